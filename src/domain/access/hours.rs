//! Office hours: the lock stays released while a schedule is open, by leases, never latched.

use super::book::RuleBook;
use super::clock::Now;
use jiff::civil::Date;

/// Whether somebody has come already. Forgotten at a restart: then somebody has to come anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfficeHours {
    came: Option<Date>,
}

impl OfficeHours {
    /// Somebody was let in.
    pub fn granted(&mut self, book: &RuleBook, door: &str, now: Now) {
        if now.is_sound() {
            self.came = day(book, door, now);
        }
    }

    /// A lockdown or an open housing: somebody has to come anew.
    pub fn forget(&mut self) {
        self.came = None;
    }

    /// Whether the rules ask for an unlocked door at this moment.
    #[must_use]
    pub fn wants_open(&self, book: &RuleBook, door: &str, now: Now) -> bool {
        let Some(rule) = book.doors.get(door).and_then(|d| d.hold_open.as_ref()) else { return false };
        book.is_open(&rule.schedule, now)
            && (!rule.first_person || (self.came.is_some() && self.came == day(book, door, now)))
    }
}

/// The day that an opening belongs to, which may have begun yesterday; outside of one the day itself.
fn day(book: &RuleBook, door: &str, now: Now) -> Option<Date> {
    let local = book.zone.local(now.unix_ms)?;
    let rule = book.doors.get(door).and_then(|d| d.hold_open.as_ref());
    let schedule = rule.and_then(|r| book.schedules.get(&r.schedule));
    schedule.and_then(|s| s.opening(local, &book.holidays)).or(Some(local.date()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::{DoorBook, HoldOpen, Schedule, Span, Trust};

    const MONDAY: i64 = 1_795_392_000_000; // 2026-11-23T00:00Z
    const HOUR: i64 = 3_600_000;

    fn book(first_person: bool) -> RuleBook {
        let mut book = RuleBook::open();
        let span = Span::parse("08:00-18:00").expect("a span");
        let days = std::array::from_fn(|_| vec![span]);
        book.schedules.insert("office".into(), Schedule { days, ..Schedule::default() });
        let hold_open = Some(HoldOpen { schedule: "office".into(), first_person });
        book.doors.insert("front".into(), DoorBook { hold_open, ..DoorBook::default() });
        book
    }

    fn at(hours: i64) -> Now {
        Now::sound(MONDAY + hours * HOUR)
    }

    #[test]
    fn the_door_is_held_in_the_hours_and_by_a_sound_clock_only() {
        let (book, h) = (book(false), OfficeHours::default());
        let open: Vec<bool> = [7, 8, 17, 18].map(|t| h.wants_open(&book, "front", at(t))).to_vec();
        assert_eq!(open, [false, true, true, false]);
        assert!(!h.wants_open(&book, "side", at(9)));
        assert!(!h.wants_open(&book, "front", Now { trust: Trust::Unsynced, ..at(9) }));
    }

    #[test]
    fn with_first_person_somebody_has_to_come_every_day() {
        let (book, mut h) = (book(true), OfficeHours::default());
        assert!(!h.wants_open(&book, "front", at(9)));
        h.granted(&book, "front", at(7));
        assert!(!h.wants_open(&book, "front", at(7)), "not before the hours");
        assert!(h.wants_open(&book, "front", at(8)));
        assert!(!h.wants_open(&book, "front", at(24 + 9)), "nobody came on Tuesday");
        h.granted(&book, "front", at(24 + 9));
        assert!(h.wants_open(&book, "front", at(24 + 9)));
        h.forget();
        assert!(!h.wants_open(&book, "front", at(24 + 10)));
    }
}
