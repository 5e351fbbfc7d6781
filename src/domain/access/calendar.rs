//! Weekly schedules: which parts of which days, as a clock on the wall of that place reads.
//!
//! A span belongs to the day on which it begins, also when it runs past midnight: `22:00-06:00` of a Friday ends on
//! Saturday morning, whatever Saturday is. An hour that comes twice in autumn is open twice; one that spring leaves out
//! is never there. Holidays take the place of the day of the week.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use std::fmt;

/// A time zone with its IANA name. Which database it comes from is the caller's affair.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// UTC.
    #[must_use]
    pub fn utc() -> Self {
        Zone { name: "UTC".into(), zone: TimeZone::UTC }
    }

    /// A zone under the name that people know it by.
    #[must_use]
    pub fn new(name: &str, zone: TimeZone) -> Self {
        Zone { name: name.to_owned(), zone }
    }

    /// `Europe/Berlin`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a clock on the wall reads there; `None` outside of the years that a calendar knows.
    #[must_use]
    pub fn local(&self, unix_ms: i64) -> Option<DateTime> {
        Some(self.zone.to_datetime(jiff::Timestamp::from_millisecond(unix_ms).ok()?))
    }

    /// The moment at which that clock reads so: the earlier one of two, and after the gap where there is none.
    #[must_use]
    pub fn instant(&self, local: DateTime) -> Option<i64> {
        Some(self.zone.to_timestamp(local).ok()?.as_millisecond())
    }
}

/// A time of the day in minutes, 0 to 1440.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minute(u16);

impl Minute {
    /// `08:30`; `24:00` is the end of the day.
    #[must_use]
    pub fn parse(text: &str) -> Option<Minute> {
        let (h, m) = text.split_once(':')?;
        let two = |t: &str| (t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse::<u16>().ok())?;
        let (h, m) = (two(h)?, two(m)?);
        let all = h * 60 + m;
        (m < 60 && all <= 1440).then_some(Minute(all))
    }

    /// Minutes since midnight.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    fn of(local: DateTime) -> Minute {
        let (h, m) = (u16::from(local.hour().unsigned_abs()), u16::from(local.minute().unsigned_abs()));
        Minute(h * 60 + m)
    }
}

impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A part of a day, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    from: Minute,
    until: Minute,
}

impl Span {
    /// `08:00-18:00`, `00:00-24:00`, or past midnight `22:00-06:00`. One without length is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Span> {
        let (from, until) = text.split_once('-')?;
        let (from, until) = (Minute::parse(from.trim())?, Minute::parse(until.trim())?);
        (from != until && from.0 < 1440).then_some(Span { from, until })
    }

    const fn overnight(self) -> bool {
        self.until.0 < self.from.0
    }

    /// Whether the reading is in it, on the day on which it began.
    fn holds(self, at: Minute) -> bool {
        self.from <= at && (self.overnight() || at < self.until)
    }

    /// Whether the reading is in what it leaves to the next day.
    fn holds_after_midnight(self, at: Minute) -> bool {
        self.overnight() && at < self.until
    }
}

/// As [`Span::parse`] reads it.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from, self.until)
    }
}

/// Days on which schedules are not those of the week.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holidays {
    /// Month and day.
    yearly: BTreeSet<(i8, i8)>,
    /// First and last day.
    dates: Vec<(Date, Date)>,
}

impl Holidays {
    /// Adds `12-25` (every year), `2026-04-03`, or `2026-12-24/2027-01-01` with both ends; false when it is none of them.
    #[must_use]
    pub fn add(&mut self, text: &str) -> bool {
        let date = |t: &str| (t.len() == 10).then(|| t.parse::<Date>().ok())?;
        if text.len() == 5 {
            // A leap year, so that the 29th of February is a day.
            return match date(&format!("2024-{text}")) {
                Some(d) => {
                    self.yearly.insert((d.month(), d.day()));
                    true
                }
                None => false,
            };
        }
        let (first, last) = text.split_once('/').unwrap_or((text, text));
        match (date(first), date(last)) {
            (Some(first), Some(last)) if first <= last => {
                self.dates.push((first, last));
                true
            }
            _ => false,
        }
    }

    /// All of them as [`Holidays::add`] reads them: those of every year, then dates in the order in which they came.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let yearly = self.yearly.iter().map(|(month, day)| format!("{month:02}-{day:02}"));
        let dates = self.dates.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}/{b}") });
        yearly.chain(dates).collect()
    }

    /// Whether that day is one.
    #[must_use]
    pub fn contains(&self, day: Date) -> bool {
        self.yearly.contains(&(day.month(), day.day())) || self.dates.iter().any(|(a, b)| (*a..=*b).contains(&day))
    }
}

/// What a schedule does on a holiday.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnHoliday {
    #[default]
    Closed,
    /// As if it were none.
    AsUsual,
    Spans(Vec<Span>),
}

/// Open parts of each day of the week, Monday first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    pub days: [Vec<Span>; 7],
    pub holiday: OnHoliday,
}

impl Schedule {
    /// The day to which the opening at this reading belongs; `None` while it is closed.
    #[must_use]
    pub fn opening(&self, local: DateTime, holidays: &Holidays) -> Option<Date> {
        let (day, at) = (local.date(), Minute::of(local));
        if self.of(day, holidays).iter().any(|s| s.holds(at)) {
            return Some(day);
        }
        let before = day.yesterday().ok()?;
        self.of(before, holidays).iter().any(|s| s.holds_after_midnight(at)).then_some(before)
    }

    fn of(&self, day: Date, holidays: &Holidays) -> &[Span] {
        let week = || {
            let index = usize::from(day.weekday().to_monday_zero_offset().unsigned_abs());
            self.days.get(index).map_or(&[][..], Vec::as_slice)
        };
        if !holidays.contains(day) {
            return week();
        }
        match &self.holiday {
            OnHoliday::Closed => &[],
            OnHoliday::AsUsual => week(),
            OnHoliday::Spans(spans) => spans,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(day: usize, spans: &[&str]) -> Schedule {
        let mut s = Schedule::default();
        s.days[day] = spans.iter().map(|t| Span::parse(t).expect("a span")).collect();
        s
    }

    fn open(s: &Schedule, h: &Holidays, at: &str) -> bool {
        s.opening(at.parse().expect("a reading"), h).is_some()
    }

    #[test]
    fn a_span_has_a_beginning_and_no_end_and_may_run_past_midnight() {
        // 2026-11-23 is a Monday.
        let s = schedule(0, &["08:00-12:00", "22:00-06:00"]);
        let none = Holidays::default();
        for (at, is) in [
            ("2026-11-23T07:59", false),
            ("2026-11-23T08:00", true),
            ("2026-11-23T11:59", true),
            ("2026-11-23T12:00", false),
            ("2026-11-23T22:00", true),
            ("2026-11-24T05:59", true),
            ("2026-11-24T06:00", false),
            ("2026-11-23T05:00", false),
        ] {
            assert_eq!(open(&s, &none, at), is, "{at}");
        }
    }

    #[test]
    fn a_holiday_takes_the_place_of_the_day_on_which_a_span_begins() {
        let mut s = schedule(0, &["08:00-12:00", "22:00-06:00"]);
        let mut h = Holidays::default();
        assert!(h.add("11-23") && h.add("2026-12-24/2026-12-31"));
        assert!(!open(&s, &h, "2026-11-23T09:00") && !open(&s, &h, "2026-11-24T01:00"));
        s.holiday = OnHoliday::Spans(vec![Span::parse("10:00-11:00").expect("a span")]);
        assert!(open(&s, &h, "2026-11-23T10:30") && !open(&s, &h, "2026-11-23T09:00"));
        s.holiday = OnHoliday::AsUsual;
        assert!(open(&s, &h, "2026-11-24T01:00"));
        // The Monday of the year after is one as well, where the date is yearly.
        assert!(h.contains("2030-11-23".parse().expect("a date")));
        assert!(
            h.contains("2026-12-31".parse().expect("a date")) && !h.contains("2027-01-01".parse().expect("a date"))
        );
    }

    #[test]
    fn what_is_no_time_no_span_and_no_day_is_refused() {
        for bad in [
            "8:00-9:00",
            "08:00",
            "08:00-08:00",
            "24:00-08:00",
            "08:60-09:00",
            "08:00-24:01",
            "-",
            "08:00–09:00",
            "+8:00-09:00",
        ] {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
        let mut h = Holidays::default();
        for bad in ["", "13-01", "02-30", "2026-02-29", "2026-12-31/2026-12-24", "2026-1-1", "x", "12-25 "] {
            assert!(!h.add(bad), "{bad}");
        }
        assert!(h.add("02-29"));
    }
}
