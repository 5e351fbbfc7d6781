//! Verification tokens: the proof of a granted session that a client hands to its own server, which redeems it here.
//!
//! A token is `<payload>.<mac>`, both base64url: the payload is JSON and readable, the MAC is HMAC-SHA256 under a key
//! that is drawn at every start and never leaves the process. It lives for a minute and is redeemed once.

use crate::schema::event::Goal;
use crate::schema::ids::PersonId;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::sync::Mutex;
use zeroize::Zeroizing;

/// Longest token that is looked at.
const MAX_BYTES: usize = 1024;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Number of this token.
    pub jti: String,
    pub goal: Goal,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub person: Option<PersonId>,
    /// Seconds since 1970, UTC.
    pub exp: i64,
}

/// Signs tokens, and redeems each once.
pub struct Signer {
    key: Zeroizing<[u8; 32]>,
    ttl_s: i64,
    /// Tokens that can still be redeemed, with their end.
    open: Mutex<BTreeMap<String, i64>>,
}

impl Signer {
    #[must_use]
    pub fn new(key: [u8; 32], ttl: std::time::Duration) -> Self {
        let ttl_s = i64::try_from(ttl.as_secs()).unwrap_or(60);
        Signer { key: Zeroizing::new(key), ttl_s, open: Mutex::default() }
    }

    /// A token for what was just decided; `jti` is fresh and random.
    #[must_use]
    pub fn sign(&self, jti: String, goal: Goal, person: Option<PersonId>, now_s: i64) -> String {
        let claims = Claims { jti, goal, person, exp: now_s.saturating_add(self.ttl_s) };
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims).unwrap_or_default());
        let mac = URL_SAFE_NO_PAD.encode(self.mac(&payload).finalize().into_bytes());
        let mut open = self.open();
        open.retain(|_, exp| *exp >= now_s);
        open.insert(claims.jti, claims.exp);
        format!("{payload}.{mac}")
    }

    /// What a token says, the first time that it is asked about and before its end; `None` for anything else.
    pub fn redeem(&self, token: &str, now_s: i64) -> Option<Claims> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let (payload, mac) = token.split_once('.')?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        self.mac(payload).verify_slice(&mac).ok()?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        let exp = self.open().remove(&claims.jti)?;
        (exp == claims.exp && now_s <= exp).then_some(claims)
    }

    fn mac(&self, payload: &str) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.key.as_slice()).expect("HMAC takes any key");
        mac.update(payload.as_bytes());
        mac
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, i64>> {
        self.open.lock().expect("token mutex: no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn signer(key: u8) -> Signer {
        Signer::new([key; 32], Duration::from_secs(60))
    }

    fn ada() -> Option<PersonId> {
        PersonId::new("ada").ok()
    }

    #[test]
    fn a_token_is_redeemed_once_and_says_who_it_was() {
        let s = signer(1);
        let token = s.sign("a".into(), Goal::Verify, ada(), 1000);
        let claims = s.redeem(&token, 1059).expect("valid");
        assert_eq!((claims.goal, claims.person, claims.exp), (Goal::Verify, ada(), 1060));
        assert_eq!(s.redeem(&token, 1059), None, "a second time");
    }

    #[test]
    fn a_token_that_is_too_old_changed_or_of_another_key_says_nothing() {
        let s = signer(1);
        let late = s.sign("a".into(), Goal::Liveness, None, 1000);
        assert_eq!(s.redeem(&late, 1061), None);
        let other = signer(2).sign("b".into(), Goal::Liveness, None, 1000);
        assert_eq!(s.redeem(&other, 1001), None);
        let token = s.sign("c".into(), Goal::Identify, ada(), 1000);
        let (payload, mac) = token.split_once('.').expect("two parts");
        let mut claims: Claims =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("JSON");
        claims.person = PersonId::new("eve").ok();
        let forged = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims).expect("JSON"));
        assert_eq!(s.redeem(&format!("{forged}.{mac}"), 1001), None);
        for junk in ["", ".", "a.b", payload, &"x".repeat(5000)] {
            assert_eq!(s.redeem(junk, 1001), None, "{junk:.20}");
        }
        assert!(s.redeem(&token, 1001).is_some(), "the true one still is");
    }
}
