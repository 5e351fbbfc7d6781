//! Rules around a visit. Here the lockout: guesses are counted, and after some of them the door stops deciding.
//!
//! Attack presentations count double; `try_again` never counts. A success clears the count.

use crate::base::time::Tick;
use crate::schema::event::{Reason, Verdict};
use std::time::Duration;

/// Longest pause between guesses.
const LONGEST: Duration = Duration::from_secs(3600);
/// Failures in a row after which only an administrator ends the lockout.
const FINAL: u32 = 50;

/// Counts failures at one door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lockout {
    allowed: u32,
    first: Duration,
    failures: u32,
    /// Failures since the last pause.
    recent: u32,
    pauses: u32,
    until: Option<Tick>,
}

impl Lockout {
    /// `allowed` failures, then a pause of `first`, doubling each time up to an hour.
    #[must_use]
    pub fn new(allowed: u32, first: Duration) -> Self {
        Lockout { allowed: allowed.max(1), first, failures: 0, recent: 0, pauses: 0, until: None }
    }

    /// Whether the door must not decide now.
    #[must_use]
    pub fn locked(&self, now: Tick) -> bool {
        self.failures >= FINAL || self.until.is_some_and(|u| now < u)
    }

    /// When the pause ends; `None` when there is none, or none that ends by itself.
    #[must_use]
    pub fn until(&self) -> Option<Tick> {
        if self.failures >= FINAL { None } else { self.until }
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Charges a verdict; returns the pause that begins with it.
    pub fn charge(&mut self, now: Tick, verdict: Verdict, reason: Option<Reason>) -> Option<Duration> {
        match (verdict, reason) {
            (Verdict::TryAgain, _) | (_, Some(Reason::LockedOut | Reason::Lockdown)) => return None,
            (Verdict::Granted, _) => {
                *self = Lockout::new(self.allowed, self.first);
                return None;
            }
            (Verdict::Denied, Some(Reason::Spoof | Reason::Injection)) => self.count(2),
            (Verdict::Denied, _) => self.count(1),
        }
        if self.recent < self.allowed {
            return None;
        }
        self.recent = 0;
        let pause = self.first.saturating_mul(2_u32.saturating_pow(self.pauses)).min(LONGEST);
        self.pauses += 1;
        self.until = Some(now + pause);
        Some(pause)
    }

    fn count(&mut self, n: u32) {
        self.failures = self.failures.saturating_add(n);
        self.recent = self.recent.saturating_add(n);
    }

    /// One line for the store: everything but the clock, which does not survive a restart.
    #[must_use]
    pub fn to_text(&self, now: Tick) -> String {
        let locked = u8::from(self.until.is_some_and(|u| now < u));
        format!("v1 {} {} {} {locked}", self.failures, self.recent, self.pauses)
    }

    /// Takes up what was stored: a pause that was running begins again in full, since nobody knows how long the
    /// daemon was away. A text that cannot be read counts as a running pause.
    #[must_use]
    pub fn from_text(allowed: u32, first: Duration, text: &str, now: Tick) -> Self {
        let mut l = Lockout::new(allowed, first);
        let words: Vec<&str> = text.split(' ').collect();
        let numbers: Option<Vec<u32>> = words.iter().skip(1).map(|w| w.parse().ok()).collect();
        let locked = match (words.first(), numbers.as_deref()) {
            (Some(&"v1"), Some(&[failures, recent, pauses, locked])) => {
                (l.failures, l.recent, l.pauses) = (failures, recent, pauses);
                locked != 0
            }
            _ => true,
        };
        if locked {
            l.pauses = l.pauses.max(1);
            let pause = first.saturating_mul(2_u32.saturating_pow(l.pauses - 1)).min(LONGEST);
            l.until = Some(now + pause);
        }
        l
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(30);

    fn deny(l: &mut Lockout, now: Tick, n: u32) -> Vec<Duration> {
        (0..n).filter_map(|_| l.charge(now, Verdict::Denied, Some(Reason::NoMatch))).collect()
    }

    #[test]
    fn five_failures_pause_for_thirty_seconds_then_twice_as_long() {
        let mut l = Lockout::new(5, FIRST);
        let now = Tick::from_millis(1000);
        assert!(deny(&mut l, now, 4).is_empty());
        assert!(!l.locked(now));
        assert_eq!(deny(&mut l, now, 1), [FIRST]);
        assert!(l.locked(now + Duration::from_millis(29_999)));
        assert!(!l.locked(now + FIRST));
        assert_eq!(deny(&mut l, now, 10), [FIRST * 2, FIRST * 4]);
    }

    #[test]
    fn no_pause_is_longer_than_an_hour_and_fifty_failures_need_a_person() {
        let mut l = Lockout::new(5, FIRST);
        let pauses = deny(&mut l, Tick::ZERO, 49);
        assert!(pauses.iter().all(|p| *p <= LONGEST));
        assert!(!l.locked(Tick::ZERO + LONGEST));
        deny(&mut l, Tick::ZERO, 1);
        assert!(l.locked(Tick::ZERO + LONGEST * 1000));
        assert_eq!(l.until(), None);
    }

    #[test]
    fn trying_again_is_free_and_attacks_cost_double() {
        let mut l = Lockout::new(5, FIRST);
        for _ in 0..100 {
            assert_eq!(l.charge(Tick::ZERO, Verdict::TryAgain, Some(Reason::NoFace)), None);
            assert_eq!(l.charge(Tick::ZERO, Verdict::Denied, Some(Reason::Lockdown)), None, "not a guess");
        }
        let spoof = |l: &mut Lockout| l.charge(Tick::ZERO, Verdict::Denied, Some(Reason::Spoof));
        assert_eq!((spoof(&mut l), spoof(&mut l)), (None, None));
        assert_eq!(spoof(&mut l), Some(FIRST));
    }

    #[test]
    fn a_grant_clears_the_count() {
        let mut l = Lockout::new(5, FIRST);
        deny(&mut l, Tick::ZERO, 4);
        l.charge(Tick::ZERO, Verdict::Granted, None);
        assert!(deny(&mut l, Tick::ZERO, 4).is_empty());
    }

    #[test]
    fn a_restart_does_not_end_a_pause() {
        let mut l = Lockout::new(5, FIRST);
        deny(&mut l, Tick::ZERO, 10);
        let text = l.to_text(Tick::from_millis(1));
        let back = Lockout::from_text(5, FIRST, &text, Tick::from_millis(5));
        assert!(back.locked(Tick::from_millis(5) + FIRST));
        assert_eq!(back.failures(), 10);
    }

    #[test]
    fn a_damaged_text_counts_as_a_pause() {
        for text in ["", "v2 0 0 0 0", "v1 0 0", "v1 a b c d", "\0"] {
            assert!(Lockout::from_text(5, FIRST, text, Tick::ZERO).locked(Tick::ZERO), "{text:?}");
        }
    }
}
