//! Lockouts: guesses are counted, and after some of them nothing is decided for a while.
//!
//! Counted twice: at the door, whoever tried, and in the name of the person whom the face was taken for. Attack
//! presentations count double; `try_again` and refusals that are no guess (a schedule, a relay that fails) never count.
//! A success clears the person's count and leaves the door's, of which one failure is forgiven every ten minutes.

use crate::base::time::Tick;
use crate::schema::event::{Reason, Verdict};
use crate::schema::ids::PersonId;
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest pause between guesses.
const LONGEST: Duration = Duration::from_secs(3600);
/// Failures in a row after which only an administrator ends the lockout.
const FINAL: u32 = 50;
/// A door forgives one failure after so long: some hundred strangers a day do not shut it, guessing at that rate stays
/// slower than a pause of the longest kind allows.
const FORGIVE: Duration = Duration::from_secs(600);

/// What a verdict costs.
const fn cost(verdict: Verdict, reason: Option<Reason>) -> u32 {
    match (verdict, reason) {
        (Verdict::Granted | Verdict::TryAgain, _) => 0,
        (_, Some(Reason::Spoof | Reason::Injection)) => 2,
        (
            _,
            Some(
                Reason::LockedOut
                | Reason::Lockdown
                | Reason::OutsideSchedule
                | Reason::Expired
                | Reason::AntiPassback
                | Reason::TwoPerson
                | Reason::RelayFault
                | Reason::RelayRate
                | Reason::JournalFailed
                | Reason::Panel,
            ),
        ) => 0,
        (Verdict::Denied, _) => 1,
    }
}

/// Counts failures of one kind.
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

    /// Whether nothing may be decided now.
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

    /// Charges so many failures; returns the pause that begins with them.
    fn charge(&mut self, now: Tick, failures: u32) -> Option<Duration> {
        if failures == 0 {
            return None;
        }
        self.failures = self.failures.saturating_add(failures);
        self.recent = self.recent.saturating_add(failures);
        if self.recent < self.allowed {
            return None;
        }
        self.recent = 0;
        let pause = self.pause(self.pauses);
        self.pauses = self.pauses.saturating_add(1);
        self.until = Some(now + pause);
        Some(pause)
    }

    fn pause(&self, before: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(before)).min(LONGEST)
    }

    /// Takes a failure back. Who was shut until an administrator comes stays so.
    fn forgive(&mut self) {
        if self.failures < FINAL {
            self.failures = self.failures.saturating_sub(1);
            self.recent = self.recent.saturating_sub(1);
            if self.failures == 0 {
                self.pauses = 0;
            }
        }
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
            l.until = Some(now + l.pause(l.pauses - 1));
        }
        l
    }
}

/// A pause that began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// In whose name; `None` for the whole door.
    pub person: Option<PersonId>,
    pub failures: u32,
    pub lasts: Duration,
}

/// The door's count and those of people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lockouts {
    fresh: Lockout,
    door: Lockout,
    people: BTreeMap<PersonId, Lockout>,
    forgiven: Tick,
}

impl Lockouts {
    /// As [`Lockout::new`], for the door and for each person.
    #[must_use]
    pub fn new(allowed: u32, first: Duration, now: Tick) -> Self {
        let fresh = Lockout::new(allowed, first);
        Lockouts { door: fresh.clone(), fresh, people: BTreeMap::new(), forgiven: now }
    }

    /// Whether the door must not decide now.
    #[must_use]
    pub fn door(&self, now: Tick) -> bool {
        self.door.locked(now)
    }

    /// Whether nothing may be decided in the name of that person.
    #[must_use]
    pub fn person(&self, now: Tick, person: &PersonId) -> bool {
        self.people.get(person).is_some_and(|l| l.locked(now))
    }

    /// Charges how a visit ended, in whose name it was as far as that is known; returns the pauses that begin.
    pub fn charge(
        &mut self,
        now: Tick,
        verdict: Verdict,
        reason: Option<Reason>,
        person: Option<&PersonId>,
    ) -> Vec<Pause> {
        while now.since(self.forgiven) >= FORGIVE {
            self.forgiven = self.forgiven + FORGIVE;
            self.door.forgive();
        }
        let cost = cost(verdict, reason);
        let mut begun = Vec::new();
        if let Some(lasts) = self.door.charge(now, cost) {
            begun.push(Pause { person: None, failures: self.door.failures, lasts });
        }
        let Some(person) = person else { return begun };
        if verdict == Verdict::Granted {
            self.people.remove(person);
        } else if cost > 0 {
            let own = self.people.entry(person.clone()).or_insert_with(|| self.fresh.clone());
            if let Some(lasts) = own.charge(now, cost) {
                begun.push(Pause { person: Some(person.clone()), failures: own.failures, lasts });
            }
        }
        begun
    }

    /// An administrator ends the lockout of a person, or with `None` of the door; false when nothing was counted.
    pub fn release(&mut self, person: Option<&PersonId>) -> bool {
        match person {
            Some(p) => self.people.remove(p).is_some(),
            None => std::mem::replace(&mut self.door, self.fresh.clone()) != self.fresh,
        }
    }

    /// The door first, then one line a person. A person's name holds no tab.
    #[must_use]
    pub fn to_text(&self, now: Tick) -> String {
        let people = self.people.iter().map(|(p, l)| format!("{}\t{p}\n", l.to_text(now)));
        std::iter::once(format!("{}\n", self.door.to_text(now))).chain(people).collect()
    }

    /// Takes up what was stored, as [`Lockout::from_text`]; a line that cannot be read shuts the door for a pause.
    #[must_use]
    pub fn from_text(allowed: u32, first: Duration, text: &str, now: Tick) -> Self {
        let mut all = Lockouts::new(allowed, first, now);
        let mut lines = text.lines();
        all.door = Lockout::from_text(allowed, first, lines.next().unwrap_or_default(), now);
        for line in lines {
            match line.split_once('\t').map(|(l, p)| (l, PersonId::new(p))) {
                Some((own, Ok(person))) => {
                    all.people.insert(person, Lockout::from_text(allowed, first, own, now));
                }
                _ => all.door = Lockout::from_text(allowed, first, "", now),
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(30);

    fn deny(l: &mut Lockout, now: Tick, n: u32) -> Vec<Duration> {
        (0..n).filter_map(|_| l.charge(now, cost(Verdict::Denied, Some(Reason::NoMatch)))).collect()
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
        l.forgive();
        assert!(l.locked(Tick::ZERO + LONGEST * 1000), "time does not do what an administrator must");
    }

    #[test]
    fn trying_again_and_what_is_no_guess_are_free_and_attacks_cost_double() {
        for reason in [Reason::NoFace, Reason::Degraded] {
            assert_eq!(cost(Verdict::TryAgain, Some(reason)), 0);
        }
        for reason in [Reason::Lockdown, Reason::LockedOut, Reason::OutsideSchedule, Reason::TwoPerson] {
            assert_eq!(cost(Verdict::Denied, Some(reason)), 0, "{reason:?}");
        }
        assert_eq!(cost(Verdict::Denied, Some(Reason::SecondFactor)), 1);
        assert_eq!(cost(Verdict::Denied, Some(Reason::Spoof)), 2);
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
            assert!(Lockouts::from_text(5, FIRST, text, Tick::ZERO).door(Tick::ZERO), "{text:?}");
            let behind = format!("v1 0 0 0 0\n{text}\n");
            assert!(Lockouts::from_text(5, FIRST, &behind, Tick::ZERO).door(Tick::ZERO), "{text:?}");
        }
    }

    fn person(name: &str) -> PersonId {
        PersonId::new(name).expect("valid")
    }

    #[test]
    fn a_person_is_shut_out_alone_and_over_a_restart_until_the_time_or_an_administrator() {
        let (ada, bob) = (person("ada o'neill"), person("bob"));
        let mut all = Lockouts::new(5, FIRST, Tick::ZERO);
        let mut begun = Vec::new();
        for minute in 0..5 {
            let now = Tick::ZERO + FORGIVE * (minute * 2);
            begun.extend(all.charge(now, Verdict::Denied, Some(Reason::ChallengeFailed), Some(&ada)));
        }
        let now = Tick::ZERO + FORGIVE * 8;
        assert_eq!(begun, [Pause { person: Some(ada.clone()), failures: 5, lasts: FIRST }]);
        assert!(all.person(now, &ada) && !all.person(now, &bob) && !all.door(now));
        let later = Tick::from_millis(3);
        let mut back = Lockouts::from_text(5, FIRST, &all.to_text(now), later);
        assert!(back.person(later, &ada), "a restart ends nothing");
        assert!(back.release(Some(&ada)) && !back.person(later, &ada) && !back.release(Some(&ada)));
        all.charge(now + FIRST, Verdict::Granted, None, Some(&ada));
        assert!(!all.release(Some(&ada)), "a success clears the person's count");
    }

    #[test]
    fn somebody_elses_success_does_not_clear_the_doors_count_but_time_does() {
        let mut all = Lockouts::new(5, FIRST, Tick::ZERO);
        let stranger = |all: &mut Lockouts, now| all.charge(now, Verdict::Denied, Some(Reason::NoMatch), None);
        for _ in 0..4 {
            assert_eq!(stranger(&mut all, Tick::ZERO), []);
            all.charge(Tick::ZERO, Verdict::Granted, None, Some(&person("ada")));
        }
        let mut patient = all.clone();
        assert_eq!(stranger(&mut all, Tick::ZERO).len(), 1, "the fifth, whoever came between");
        assert_eq!(stranger(&mut patient, Tick::ZERO + FORGIVE), [], "one was forgiven");
        assert!(all.release(None) && !all.door(Tick::ZERO));
    }
}
