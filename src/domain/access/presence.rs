//! Who has entered, for anti-passback. An entry counts when it was used: when the door's contact opened after the grant.

use super::book::AntiPassback;
use super::calendar::Zone;
use super::clock::Now;
use crate::schema::ids::{PersonId, VisitId};
use std::collections::BTreeMap;

impl AntiPassback {
    /// Whether an entry at that time still counts. A clock that may not be believed forgets nothing.
    #[must_use]
    pub fn holds(&self, zone: &Zone, entered_ms: i64, now: Now) -> bool {
        if !now.is_sound() || entered_ms > now.unix_ms {
            return true;
        }
        let aged = self.after.and_then(|a| i64::try_from(a.as_millis()).ok());
        if aged.is_some_and(|a| now.unix_ms - entered_ms >= a) {
            return false;
        }
        // A reset that no calendar can place is none.
        self.last_reset(zone, now.unix_ms).is_none_or(|reset| entered_ms >= reset)
    }

    fn last_reset(&self, zone: &Zone, unix_ms: i64) -> Option<i64> {
        let local = zone.local(unix_ms)?;
        let minute = self.reset.get() % 1440;
        let time =
            jiff::civil::Time::new(i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?, 0, 0).ok()?;
        let today = zone.instant(local.date().to_datetime(time))?;
        if today <= unix_ms { Some(today) } else { zone.instant(local.date().yesterday().ok()?.to_datetime(time)) }
    }
}

/// Entries by person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    entered: BTreeMap<PersonId, i64>,
    /// The grant whose opening is waited for.
    pending: Option<(VisitId, PersonId)>,
}

impl Presence {
    /// Somebody was let in; whether they go is not known yet.
    pub fn granted(&mut self, visit: VisitId, person: &PersonId) {
        self.pending = Some((visit, person.clone()));
    }

    /// The door opened after that grant; true when an entry was noted.
    pub fn opened(&mut self, visit: VisitId, unix_ms: i64) -> bool {
        match self.pending.take() {
            Some((v, person)) if v == visit => {
                self.entered.insert(person, unix_ms);
                true
            }
            other => {
                self.pending = other;
                false
            }
        }
    }

    /// When the person entered.
    #[must_use]
    pub fn entered(&self, person: &PersonId) -> Option<i64> {
        self.entered.get(person).copied()
    }

    /// Forgets entries that no longer count.
    pub fn prune(&mut self, counts: impl Fn(i64) -> bool) {
        self.entered.retain(|_, at| counts(*at));
    }

    /// The person counts as having left; true when there was an entry.
    pub fn release(&mut self, person: &PersonId) -> bool {
        self.entered.remove(person).is_some()
    }

    /// One line an entry, for the store. A person's name holds no tab.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.entered.iter().map(|(p, at)| format!("{at}\t{p}\n")).collect()
    }

    /// What was stored; `None` when it cannot be read.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let entry = |line: &str| {
            let (at, person) = line.split_once('\t')?;
            Some((PersonId::new(person).ok()?, at.parse().ok()?))
        };
        Some(Presence { entered: text.lines().map(entry).collect::<Option<_>>()?, pending: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::{Minute, Trust};
    use std::time::Duration;

    const NOON: i64 = 1_795_262_400_000; // 2026-11-21T12:00Z
    const HOUR: i64 = 3_600_000;

    fn ada() -> PersonId {
        PersonId::new("ada").expect("valid")
    }

    #[test]
    fn an_entry_counts_until_the_reset_or_the_end_of_its_time() {
        let reset = Minute::parse("04:00").expect("a time");
        let rule = AntiPassback { reset, after: None };
        let z = Zone::utc();
        let at = |h: i64| Now::sound(NOON + h * HOUR);
        assert!(rule.holds(&z, NOON, at(1)) && rule.holds(&z, NOON, at(15)));
        assert!(!rule.holds(&z, NOON, at(16)), "four in the morning");
        assert!(
            rule.holds(&z, NOON, Now { unix_ms: NOON + 1000 * HOUR, trust: Trust::Jumped(1) }),
            "no clock, no reset"
        );
        assert!(rule.holds(&z, NOON + HOUR, at(0)), "an entry of the future");
        let timed = AntiPassback { after: Some(Duration::from_secs(1800)), ..rule };
        assert!(timed.holds(&z, NOON, Now::sound(NOON + HOUR / 2 - 1)) && !timed.holds(&z, NOON, at(1)));
    }

    #[test]
    fn only_an_opening_of_that_very_grant_is_an_entry() {
        let mut p = Presence::default();
        p.granted(VisitId(3), &ada());
        assert!(!p.opened(VisitId(2), NOON));
        assert_eq!(p.entered(&ada()), None);
        assert!(p.opened(VisitId(3), NOON));
        assert!(!p.opened(VisitId(3), NOON + 1), "one grant, one entry");
        assert_eq!(p.entered(&ada()), Some(NOON));
        let back = Presence::from_text(&p.to_text()).expect("reads");
        assert_eq!(back.entered(&ada()), Some(NOON));
        assert!(Presence::from_text("x").is_none() && Presence::from_text("1\t\u{7}").is_none());
        assert!(p.release(&ada()) && !p.release(&ada()));
    }
}
