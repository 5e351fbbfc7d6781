//! Who is calling: logins with cookies, tokens for programs, and what a browser may be made to send by another site.

use super::App;
use super::accounts::Role;
use super::problem::Problem;
use crate::schema::record::hex;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Name of the cookie; the prefix makes browsers insist on HTTPS, this host and the whole path.
pub const COOKIE: &str = "__Host-cardea";
/// The same over plain HTTP on loopback, where browsers refuse the prefix.
pub const COOKIE_PLAIN: &str = "cardea";
/// Header that a page of ours sends with whatever changes something.
pub const CSRF: &str = "x-csrf-token";
/// Logins at a time.
const MOST: usize = 1000;

/// Somebody who may do something.
#[derive(Clone, Debug)]
pub struct Caller {
    /// `user:ada` or `token:till`: what stands in records.
    pub name: String,
    pub role: Role,
    /// With a login, what unsafe requests must carry.
    pub csrf: Option<String>,
}

impl Caller {
    /// Whether the role suffices.
    ///
    /// # Errors
    /// 403.
    pub fn must_be(&self, role: Role) -> Result<(), Problem> {
        if self.role >= role {
            return Ok(());
        }
        Err(Problem::forbidden("role", format!("this needs the role {}; yours is {}", role.name(), self.role.name())))
    }
}

struct Login {
    user: String,
    role: Role,
    csrf: String,
    began: Instant,
    used: Instant,
}

/// Logins in memory: a restart ends them.
pub struct Logins {
    by_digest: Mutex<HashMap<String, Login>>,
    longest: Duration,
    idle: Duration,
}

impl Logins {
    #[must_use]
    pub fn new(longest: Duration) -> Self {
        Logins { by_digest: Mutex::default(), longest, idle: longest / 12 }
    }

    /// Begins a login; returns the cookie's value and the token against forged requests.
    pub fn begin(&self, user: &str, role: Role, secret: [u8; 32], csrf: [u8; 16], now: Instant) -> (String, String) {
        let (cookie, csrf) = (hex(&secret), hex(&csrf));
        let mut all = self.lock();
        self.sweep(&mut all, now);
        if all.len() >= MOST
            && let Some(oldest) = all.iter().min_by_key(|(_, l)| l.used).map(|(d, _)| d.clone())
        {
            all.remove(&oldest);
        }
        let login = Login { user: user.to_owned(), role, csrf: csrf.clone(), began: now, used: now };
        all.insert(digest(&cookie), login);
        (cookie, csrf)
    }

    /// Who this cookie belongs to.
    pub fn find(&self, cookie: &str, now: Instant) -> Option<Caller> {
        let mut all = self.lock();
        self.sweep(&mut all, now);
        let login = all.get_mut(&digest(cookie))?;
        login.used = now;
        Some(Caller { name: format!("user:{}", login.user), role: login.role, csrf: Some(login.csrf.clone()) })
    }

    pub fn end(&self, cookie: &str) {
        self.lock().remove(&digest(cookie));
    }

    /// Ends every login of an account: it was removed, or its password changed.
    pub fn end_all_of(&self, user: &str) {
        self.lock().retain(|_, l| l.user != user);
    }

    fn sweep(&self, all: &mut HashMap<String, Login>, now: Instant) {
        all.retain(|_, l| now.duration_since(l.began) < self.longest && now.duration_since(l.used) < self.idle);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Login>> {
        self.by_digest.lock().expect("login mutex: no holder panics")
    }
}

/// What is kept instead of the secret.
fn digest(cookie: &str) -> String {
    hex(&Sha256::digest(cookie.as_bytes()))
}

/// Failures after which nobody is listened to for a while.
const FAILURES: u32 = 10;
const PAUSE: Duration = Duration::from_mins(15);
/// Addresses and names that are remembered.
const REMEMBERED: usize = 10_000;

/// Counts failed logins by address and by name.
#[derive(Default)]
pub struct Limiter(Mutex<HashMap<String, (u32, Instant)>>);

impl Limiter {
    /// Seconds until this key is listened to again, if it has failed too often.
    pub fn locked(&self, key: &str, now: Instant) -> Option<u64> {
        let all = self.0.lock().expect("limiter mutex: no holder panics");
        let (failures, last) = all.get(key)?;
        let left = PAUSE.checked_sub(now.duration_since(*last))?;
        (*failures >= FAILURES && !left.is_zero()).then(|| left.as_secs() + 1)
    }

    /// Charges a failure before it is known to be one, so that a thousand tries at once are not one.
    pub fn charge(&self, key: &str, now: Instant) {
        let mut all = self.0.lock().expect("limiter mutex: no holder panics");
        if all.len() >= REMEMBERED {
            all.retain(|_, (_, last)| now.duration_since(*last) < PAUSE);
        }
        let entry = all.entry(key.to_owned()).or_insert((0, now));
        if now.duration_since(entry.1) >= PAUSE {
            entry.0 = 0;
        }
        *entry = (entry.0.saturating_add(1), now);
    }

    /// It was none.
    pub fn forgive(&self, key: &str) {
        self.0.lock().expect("limiter mutex: no holder panics").remove(key);
    }
}

/// How many of something an address may do in a minute.
pub struct Rate {
    most: u32,
    counts: Mutex<HashMap<IpAddr, (u32, Instant)>>,
}

impl Rate {
    #[must_use]
    pub fn per_minute(most: u32) -> Self {
        Rate { most, counts: Mutex::default() }
    }

    /// Whether one more is within the limit.
    pub fn take(&self, address: IpAddr, now: Instant) -> bool {
        const MINUTE: Duration = Duration::from_mins(1);
        let mut all = self.counts.lock().expect("rate mutex: no holder panics");
        if all.len() >= REMEMBERED {
            all.retain(|_, (_, since)| now.duration_since(*since) < MINUTE);
        }
        let (count, since) = all.entry(address).or_insert((0, now));
        if now.duration_since(*since) >= MINUTE {
            (*count, *since) = (0, now);
        }
        *count = count.saturating_add(1);
        *count <= self.most
    }
}

/// The cookie's value. Over TLS only the name with the prefix counts: the other one could have been set by whoever answers
/// for a sibling of this host, or over plain HTTP, to log somebody into a login of theirs.
#[must_use]
pub fn cookie(headers: &HeaderMap, tls: bool) -> Option<&str> {
    let ours = if tls { COOKIE } else { COOKIE_PLAIN };
    let all = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    let mut pairs = all.flat_map(|v| v.split(';')).filter_map(|p| p.trim().split_once('='));
    pairs.find(|(name, _)| *name == ours).map(|(_, value)| value)
}

/// The token of `Authorization: Bearer`.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether the page that sent this came from this very host. Browsers cannot be made to lie about `Origin`.
#[must_use]
pub fn same_origin(headers: &HeaderMap) -> Option<bool> {
    let origin = headers.get(header::ORIGIN)?;
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok());
    let of = origin.to_str().ok().and_then(|o| o.split_once("://")).map(|(_, rest)| rest);
    // A proxy that ends TLS on the default port leaves it out of one of the two.
    let bare = |h: &str| h.strip_suffix(":443").unwrap_or(h).to_ascii_lowercase();
    Some(of.zip(host).is_some_and(|(o, h)| bare(o) == bare(h)))
}

/// Whether a WebSocket may be opened: from a page of ours, or by a program that brings something of its own.
///
/// # Errors
/// 403.
pub fn websocket_origin(headers: &HeaderMap, brings_secret: bool) -> Result<(), Problem> {
    match same_origin(headers) {
        Some(true) => Ok(()),
        None if brings_secret => Ok(()),
        _ => {
            Err(Problem::forbidden("origin", "this WebSocket is for pages of this host, or for programs with a token"))
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        caller(&parts.headers, &parts.method, app)?.ok_or_else(Problem::unauthenticated)
    }
}

/// Somebody, or nobody: for what may also be done without a login.
#[derive(Clone, Debug)]
pub struct MaybeCaller(pub Option<Caller>);

impl FromRequestParts<Arc<App>> for MaybeCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        caller(&parts.headers, &parts.method, app).map(MaybeCaller)
    }
}

/// Who is calling; a wrong token or a forged request is an error, no credentials at all are `None`.
fn caller(headers: &HeaderMap, method: &Method, app: &Arc<App>) -> Result<Option<Caller>, Problem> {
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    if !safe && same_origin(headers) == Some(false) {
        return Err(Problem::forbidden("origin", "this request came from a page of another site"));
    }
    if let Some(secret) = bearer(headers) {
        let found = app.accounts().token_of(secret)?;
        let token = found.ok_or_else(|| {
            Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "this token is unknown; make a new one")
        })?;
        // Who brings two proofs must not bring a wrong one.
        if cookie(headers, app.config.tls).is_some_and(|c| app.logins.find(c, Instant::now()).is_none()) {
            let detail = "the login of this cookie is over; send the token alone";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail));
        }
        return Ok(Some(Caller { name: format!("token:{}", token.name), role: token.role, csrf: None }));
    }
    let Some(found) = cookie(headers, app.config.tls).and_then(|c| app.logins.find(c, Instant::now())) else {
        return Ok(None);
    };
    let sent = headers.get(CSRF).and_then(|v| v.to_str().ok());
    if !safe && sent != found.csrf.as_deref() {
        let detail = "unsafe requests with a cookie carry the header X-CSRF-Token; GET /api/v1/me tells it";
        return Err(Problem::forbidden("csrf", detail));
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse().expect("a name"), v.parse().expect("a value"))).collect()
    }

    #[test]
    fn ten_failures_lock_a_key_for_a_quarter_of_an_hour() {
        let (limiter, start) = (Limiter::default(), Instant::now());
        for _ in 0..FAILURES {
            assert_eq!(limiter.locked("a", start), None);
            limiter.charge("a", start);
        }
        assert_eq!(limiter.locked("a", start), Some(901));
        assert_eq!(limiter.locked("b", start), None);
        assert_eq!(limiter.locked("a", start + PAUSE), None);
        limiter.charge("a", start + PAUSE);
        assert_eq!(limiter.locked("a", start + PAUSE), None, "it is counted anew");
    }

    #[test]
    fn a_login_ends_when_it_is_not_used_and_after_its_longest_time() {
        let logins = Logins::new(Duration::from_hours(12));
        let start = Instant::now();
        let (cookie, _) = logins.begin("ada", Role::Admin, [1; 32], [2; 16], start);
        assert_eq!(logins.find(&cookie, start).map(|c| c.role), Some(Role::Admin));
        let mut now = start;
        for _ in 0..13 {
            now += Duration::from_mins(55);
            assert!(logins.find(&cookie, now).is_some());
        }
        assert!(logins.find(&cookie, start + Duration::from_hours(12)).is_none(), "the longest time");
        let (idle, _) = logins.begin("ada", Role::Admin, [3; 32], [2; 16], start);
        assert!(logins.find(&idle, start + Duration::from_mins(61)).is_none());
        let (gone, _) = logins.begin("ada", Role::Admin, [4; 32], [2; 16], start);
        logins.end_all_of("ada");
        assert!(logins.find(&gone, start).is_none());
    }

    #[test]
    fn a_page_of_another_site_is_told_apart() {
        let of = |origin, host| same_origin(&headers(&[("origin", origin), ("host", host)]));
        assert_eq!(of("https://door.local:8443", "door.local:8443"), Some(true));
        assert_eq!(of("https://door.example.org", "door.example.org:443"), Some(true));
        for (origin, host) in [
            ("https://evil.example", "door.local:8443"),
            ("https://door.local:9999", "door.local:8443"),
            ("https://door.local.evil.example", "door.local"),
            ("null", "door.local"),
        ] {
            assert_eq!(of(origin, host), Some(false), "{origin}");
        }
        assert_eq!(same_origin(&headers(&[("host", "door.local")])), None);
        assert!(websocket_origin(&headers(&[("host", "a")]), false).is_err(), "no origin and no token");
        assert!(websocket_origin(&headers(&[("host", "a")]), true).is_ok());
        assert!(websocket_origin(&headers(&[("host", "a"), ("origin", "https://b")]), true).is_err());
    }

    #[test]
    fn over_tls_a_cookie_that_another_host_could_have_set_is_none_of_ours() {
        let both = headers(&[("cookie", "cardea=forged; __Host-cardea=ours")]);
        assert_eq!((cookie(&both, true), cookie(&both, false)), (Some("ours"), Some("forged")));
        assert_eq!(cookie(&headers(&[("cookie", "cardea=forged")]), true), None);
    }

    #[test]
    fn an_address_may_begin_so_many_a_minute() {
        let (rate, a, start) = (Rate::per_minute(2), IpAddr::from([10, 0, 0, 1]), Instant::now());
        assert!(rate.take(a, start) && rate.take(a, start) && !rate.take(a, start));
        assert!(rate.take(IpAddr::from([10, 0, 0, 2]), start));
        assert!(rate.take(a, start + Duration::from_mins(1)));
    }
}
