//! Who sent a request that names no session: told apart by a cookie together with the address, and by the address alone
//! as long as a client shows no cookie.
//!
//! Two clients behind one address that both refuse cookies and call themselves the same cannot be told apart; then the
//! faces differ, and the visit ends.

use crate::adapters::web::Random;
use crate::schema::record::hex;
use axum::http::{HeaderMap, header};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Who has not called for so long is forgotten.
const IDLE: Duration = Duration::from_mins(10);

struct Entry<T> {
    address: IpAddr,
    /// What the client calls itself; with its address, all that is known of one without cookies.
    agent: String,
    /// It has shown its cookie.
    kept: bool,
    used: Instant,
    state: T,
}

/// What a listener knows of its visitors.
pub(super) struct Visitors<T> {
    by_cookie: Mutex<HashMap<String, Entry<T>>>,
    name: &'static str,
    most: usize,
}

impl<T: Clone + Default> Visitors<T> {
    /// At most `most`; beyond, the one who called longest ago is forgotten. `name` is that of the cookie.
    pub(super) fn new(name: &'static str, most: usize) -> Self {
        Visitors { by_cookie: Mutex::default(), name, most }
    }

    /// The cookie of whoever sends this and what is known of them; the cookie is to be set when it is new to them.
    pub(super) fn find(&self, from: IpAddr, headers: &HeaderMap, random: Random, now: Instant) -> Option<Found<T>> {
        let agent: String = headers
            .get(header::USER_AGENT)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
            .chars()
            .take(200)
            .collect();
        let shown = self.shown(headers);
        let mut all = self.lock();
        all.retain(|_, e| now.duration_since(e.used) < IDLE);
        if let Some(cookie) = shown
            && let Some(e) = all.get_mut(cookie).filter(|e| e.address == from)
        {
            (e.kept, e.used) = (true, now);
            return Some(Found { cookie: cookie.to_owned(), set: false, state: e.state.clone() });
        }
        let alone = |e: &Entry<T>| !e.kept && e.address == from && e.agent == agent;
        if let Some((cookie, e)) = all.iter_mut().find(|(_, e)| alone(e)).filter(|_| shown.is_none()) {
            e.used = now;
            return Some(Found { cookie: cookie.clone(), set: true, state: e.state.clone() });
        }
        if all.len() >= self.most
            && let Some(oldest) = all.iter().min_by_key(|(_, e)| e.used).map(|(c, _)| c.clone())
        {
            all.remove(&oldest);
        }
        let cookie = hex(&random().ok()?[..16]);
        all.insert(cookie.clone(), Entry { address: from, agent, kept: false, used: now, state: T::default() });
        Some(Found { cookie, set: true, state: T::default() })
    }

    /// Notes what is known of them now.
    pub(super) fn put(&self, cookie: &str, state: T) {
        if let Some(e) = self.lock().get_mut(cookie) {
            e.state = state;
        }
    }

    /// The header that sets a cookie for so long as the browser runs.
    pub(super) fn set_cookie(&self, cookie: &str, tls: bool) -> String {
        // Pages of other origins that the owner has named send it only over HTTPS.
        let site = if tls { "SameSite=None; Secure" } else { "SameSite=Lax" };
        format!("{}={cookie}; Path=/; HttpOnly; {site}", self.name)
    }

    fn shown<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let all = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
        let mut pairs = all.flat_map(|v| v.split(';')).filter_map(|p| p.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.name).map(|(_, value)| value)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry<T>>> {
        self.by_cookie.lock().expect("visitors mutex: no holder panics")
    }
}

/// A visitor.
#[derive(Debug)]
pub(super) struct Found<T> {
    pub cookie: String,
    /// They have not shown it yet.
    pub set: bool,
    pub state: T,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU8, Ordering};

    fn random() -> Result<[u8; 32], crate::ports::PortError> {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        Ok([NEXT.fetch_add(1, Ordering::SeqCst); 32])
    }

    fn headers(cookie: Option<&str>, agent: &str) -> HeaderMap {
        let mut h = HeaderMap::new();
        h.insert(header::USER_AGENT, agent.parse().expect("a value"));
        if let Some(c) = cookie {
            h.insert(header::COOKIE, format!("other=1; v={c}").parse().expect("a value"));
        }
        h
    }

    #[test]
    fn a_cookie_with_its_address_is_one_visitor_and_an_address_without_cookies_another() {
        let all: Visitors<u32> = Visitors::new("v", 3);
        let (here, there, now) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]), Instant::now());
        let find =
            |from, cookie: Option<&str>, agent| all.find(from, &headers(cookie, agent), random, now).expect("one");
        let first = find(here, None, "a");
        all.put(&first.cookie, 1);
        assert_eq!(find(here, None, "a").state, 1, "a client without cookies");
        assert_eq!(find(here, None, "b").state, 0, "another one");
        let kept = find(here, Some(&first.cookie), "a");
        assert!(kept.state == 1 && !kept.set);
        assert_eq!(find(here, None, "a").state, 0, "who shows cookies is no longer known by the address");
        let moved = find(there, Some(&first.cookie), "a");
        assert!(moved.state == 0 && moved.cookie != first.cookie, "a cookie of another address is worth nothing");
        assert!(all.lock().len() <= 3, "and memory is bounded");
        let late = all.find(here, &headers(Some(&kept.cookie), "a"), random, now + IDLE).expect("one");
        assert!(late.state == 0 && late.set, "forgotten");
    }
}
