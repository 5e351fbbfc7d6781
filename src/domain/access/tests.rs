//! What must hold for all rules: a restriction more lets nobody in, and a schedule says what a slow look at every minute
//! says, over the changes of the clock and over holidays.

use super::*;
use crate::schema::ids::PersonId;
use jiff::tz::TimeZoneDatabase;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

const GROUPS: [&str; 4] = [EVERYONE, "staff", "managers", "guests"];
const DOORS: [&str; 2] = ["front", "vault"];
const MINUTE: i64 = 60_000;
/// 2026-01-01T00:00Z, a Thursday.
const YEAR: i64 = 1_767_225_600_000;

fn span() -> impl Strategy<Value = Span> {
    (0_u16..1440, 1_u16..1440).prop_map(|(from, len)| {
        let until = (from + len) % 1440;
        let text = format!("{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60);
        Span::parse(&text).expect("a span")
    })
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let holiday =
        prop_oneof![Just(OnHoliday::Closed), Just(OnHoliday::AsUsual), vec(span(), 0..2).prop_map(OnHoliday::Spans)];
    (vec(vec(span(), 0..3), 7), holiday).prop_map(|(days, holiday)| {
        let days = <[Vec<Span>; 7]>::try_from(days).expect("seven days");
        Schedule { days, holiday }
    })
}

fn names(of: &'static [&'static str]) -> impl Strategy<Value = BTreeSet<String>> {
    btree_set(proptest::sample::select(of).prop_map(str::to_owned), 0..=of.len())
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let limit = || prop::option::of((0_i64..200).prop_map(|h| YEAR + h * 60 * MINUTE));
    (names(&GROUPS[1..]), limit(), limit(), any::<bool>(), any::<bool>()).prop_map(|(groups, from, to, pin, card)| {
        Attributes {
            groups,
            valid_from_ms: from,
            valid_to_ms: to,
            pin: pin.then_some(PinVerifier { salt: [0; 16], tag: [1; 32], duress: [2; 32] }),
            card: card.then(|| "17".into()),
            ..Attributes::default()
        }
    })
}

fn demand() -> impl Strategy<Value = Demand> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(pin, card, either)| Demand { pin, card, either })
}

fn partner() -> impl Strategy<Value = Option<String>> {
    prop::option::of(proptest::sample::select(&GROUPS[..]).prop_map(str::to_owned))
}

fn book() -> impl Strategy<Value = RuleBook> {
    let when = prop_oneof![Just(When::Always), Just(When::Schedule("s".into()))];
    let grant = (names(&GROUPS), names(&DOORS), when).prop_map(|(groups, doors, when)| Grant { groups, doors, when });
    (schedule(), vec(grant, 0..4), vec((demand(), partner()), 4)).prop_map(|(s, grants, groups)| {
        let mut book = RuleBook { grants, ..RuleBook::shut() };
        book.schedules.insert("s".into(), s);
        for (name, (second_factor, two_person)) in GROUPS.iter().zip(groups) {
            book.groups.insert((*name).to_owned(), GroupBook { second_factor, two_person });
        }
        book
    })
}

/// What can be added to a book to make it stricter.
#[derive(Clone, Debug)]
enum Restriction {
    Group(&'static str, Demand),
    GroupPair(&'static str, String),
    Door(Demand),
    DoorPair(String),
    Passback,
    Holiday(u8),
}

fn restriction() -> impl Strategy<Value = Restriction> {
    let group = || proptest::sample::select(&GROUPS[..]);
    prop_oneof![
        (group(), demand()).prop_map(|(g, d)| Restriction::Group(g, d)),
        (group(), group()).prop_map(|(g, w)| Restriction::GroupPair(g, w.to_owned())),
        demand().prop_map(Restriction::Door),
        group().prop_map(|w| Restriction::DoorPair(w.to_owned())),
        Just(Restriction::Passback),
        (1_u8..9).prop_map(Restriction::Holiday),
    ]
}

fn add(mut book: RuleBook, r: &Restriction) -> RuleBook {
    match r {
        Restriction::Group(g, d) => {
            let group = book.groups.entry((*g).to_owned()).or_default();
            group.second_factor = group.second_factor.and(*d);
        }
        Restriction::GroupPair(g, w) => {
            let group = book.groups.entry((*g).to_owned()).or_default();
            group.two_person.get_or_insert_with(|| w.clone());
        }
        Restriction::Door(d) => {
            let door = book.doors.entry("front".into()).or_default();
            door.second_factor = door.second_factor.and(*d);
        }
        Restriction::DoorPair(w) => {
            book.doors.entry("front".into()).or_default().two_person.get_or_insert_with(|| w.clone());
        }
        Restriction::Passback => {
            let reset = Minute::parse("04:00").expect("a time");
            book.doors.entry("front".into()).or_default().anti_passback = Some(AntiPassback { reset, after: None });
        }
        Restriction::Holiday(day) => {
            // A day on which schedules are shut is stricter only where they are shut on holidays.
            for s in book.schedules.values_mut() {
                s.holiday = OnHoliday::Closed;
            }
            assert!(book.holidays.add(&format!("2026-01-{day:02}")));
        }
    }
    book
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    (flags, prop::option::of(0_i64..200), vec(attributes(), 0..3)).prop_map(
        |((pin, card, down, out), entered, others)| {
            let entered_ms = entered.map(|h| YEAR + h * 60 * MINUTE);
            Evidence { lockdown: down, locked_out: out, entered_ms, pin, card, others }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_restriction_more_never_turns_a_refusal_into_a_grant(
        book in book(), who in attributes(), seen in evidence(), minute in 0_i64..12_000,
        sound in prop::bool::weighted(0.9), more in vec(restriction(), 1..4),
    ) {
        let person = PersonId::new("ada").expect("valid");
        let trust = if sound { Trust::Sound } else { Trust::Unsynced };
        let now = Now { unix_ms: YEAR + minute * MINUTE, trust };
        let case = Case { now, person: &person, attributes: &who, door: "front", seen: &seen };
        // A restriction that may not be stricter by itself (see `add`) begins from where it is.
        let mut strict = book.clone();
        for s in strict.schedules.values_mut() {
            s.holiday = OnHoliday::Closed;
        }
        let mut before = strict.decide(&case).is_ok();
        for r in &more {
            strict = add(strict, r);
            let after = strict.decide(&case).is_ok();
            prop_assert!(before || !after, "{r:?} let somebody in");
            before = after;
        }
        // The same for what was seen and known: less of it never lets anybody in.
        let bare = Evidence { pin: false, card: false, others: Vec::new(), ..seen.clone() };
        let less = book.decide(&Case { seen: &bare, ..case }).is_ok();
        prop_assert!(book.decide(&case).is_ok() || !less);
        for shut in [Evidence { lockdown: true, ..seen.clone() }, Evidence { locked_out: true, ..seen.clone() }] {
            let allowed = book.decide(&Case { seen: &shut, ..case }).is_ok();
            prop_assert!(!allowed);
        }
        let doubted = Now { trust: Trust::Jumped(1), ..now };
        let doubted = book.decide(&Case { now: doubted, ..case }).is_ok();
        prop_assert!(book.decide(&case).is_ok() || !doubted);
    }

    #[test]
    fn a_schedule_agrees_with_a_slow_look_at_the_rules_of_summer_time(
        s in schedule(), zone in 0_usize..3, day in 0_i64..365, minute in 0_i64..1440,
        change in prop::option::of(0_usize..2), around in -300_i64..300, off in btree_set(0_i64..366, 0..40),
    ) {
        let mut holidays = Holidays::default();
        for d in &off {
            let (m, d) = month_and_day(*d);
            let day = format!("{m:02}-{d:02}");
            prop_assert!(holidays.add(&day));
        }
        let rule = &ZONES[zone];
        // Half of the looks fall into the hours around a change of the clock.
        let at = match change {
            Some(i) => rule.changes()[i] + around,
            None => day * 1440 + minute,
        };
        let database = TimeZoneDatabase::bundled();
        let zone = Zone::new(rule.name, database.get(rule.name).expect("bundled"));
        let local = zone.local(YEAR + at * MINUTE).expect("in the calendar");
        prop_assert_eq!(s.opening(local, &holidays).is_some(), slow(&s, &off, rule, at), "{} {}", rule.name, local);
    }
}

/// Summer time of 2026 as the laws say it, in minutes since the year began in UTC.
struct ZoneRule {
    name: &'static str,
    standard: i64,
    /// Day of the year and minute (UTC) of the beginning and of the end.
    summer: Option<[(i64, i64); 2]>,
}

const ZONES: [ZoneRule; 3] = [
    // Last Sundays of March (29th, day 87) and October (25th, day 297), 01:00 UTC.
    ZoneRule { name: "Europe/Berlin", standard: 60, summer: Some([(87, 60), (297, 60)]) },
    // Second Sunday of March (8th, day 66) 07:00 UTC, first Sunday of November (1st, day 304) 06:00 UTC.
    ZoneRule { name: "America/New_York", standard: -300, summer: Some([(66, 420), (304, 360)]) },
    ZoneRule { name: "Asia/Kolkata", standard: 330, summer: None },
];

impl ZoneRule {
    fn changes(&self) -> [i64; 2] {
        self.summer.unwrap_or([(0, 0), (1, 0)]).map(|(day, minute)| day * 1440 + minute)
    }

    /// What a clock on the wall reads, in minutes since the year began there.
    fn local(&self, at: i64) -> i64 {
        let [begin, end] = self.changes();
        let summer = self.summer.is_some() && (begin..end).contains(&at);
        at + self.standard + if summer { 60 } else { 0 }
    }
}

/// Day 0 is the 1st of January 2026; so is day 365, of the next year, which no look reaches.
fn month_and_day(day: i64) -> (i64, i64) {
    let mut rest = day.rem_euclid(365);
    for (month, length) in (1..).zip([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
        if rest < length {
            return (month, rest + 1);
        }
        rest -= length;
    }
    unreachable!("a year has 365 days")
}

/// Walks through every minute of two days and asks of each whether a span covers it.
fn slow(s: &Schedule, off: &BTreeSet<i64>, rule: &ZoneRule, at: i64) -> bool {
    let reading = rule.local(at);
    let (day, minute) = (reading.div_euclid(1440), reading.rem_euclid(1440));
    let spans = |day: i64| -> Vec<String> {
        // Holidays of every year; neither 2025 nor 2026 has a 29th of February.
        let holiday = off.iter().any(|d| d.rem_euclid(365) == day.rem_euclid(365));
        // The year began on a Thursday.
        let week = &s.days[usize::try_from((day + 3).rem_euclid(7)).expect("small")];
        let all: &[Span] = match (&s.holiday, holiday) {
            (_, false) | (OnHoliday::AsUsual, true) => week,
            (OnHoliday::Closed, true) => &[],
            (OnHoliday::Spans(own), true) => own,
        };
        all.iter().map(|x| format!("{x:?}")).collect()
    };
    // From the texts of the spans, so that nothing of the code under test reads them.
    let covers = |text: &str, wanted: i64| -> bool {
        let numbers: Vec<i64> = text
            .split(|c: char| !c.is_ascii_digit())
            .filter(|t| !t.is_empty())
            .map(|t| t.parse().expect("a number"))
            .collect();
        let (from, until) = (numbers[0], numbers[1]);
        let mut at = from;
        loop {
            if at == wanted {
                return true;
            }
            at += 1;
            if at % 1440 == until % 1440 {
                return false;
            }
        }
    };
    spans(day).iter().any(|t| covers(t, minute)) || spans(day - 1).iter().any(|t| covers(t, minute + 1440))
}

#[test]
fn a_clock_that_may_not_be_believed_shuts_schedules_and_limits_but_not_what_needs_no_clock() {
    let person = PersonId::new("ada").expect("valid");
    let mut book = RuleBook::open();
    let plain = Attributes::default();
    let seen = Evidence::default();
    let decide = |book: &RuleBook, attributes: &Attributes, trust| {
        let now = Now { unix_ms: YEAR, trust };
        book.decide(&Case { now, person: &person, attributes, door: "front", seen: &seen }).map_err(|r| r.reason)
    };
    use crate::schema::event::Reason;
    assert_eq!(decide(&book, &plain, Trust::Unsynced), Ok(()), "always needs no clock");
    let limited = Attributes { valid_to_ms: Some(YEAR + 1), ..Attributes::default() };
    assert_eq!(decide(&book, &limited, Trust::Sound), Ok(()));
    assert_eq!(decide(&book, &limited, Trust::Jumped(-5)), Err(Reason::Expired));
    let all_day = Span::parse("00:00-24:00").expect("a span");
    let days = std::array::from_fn(|_| vec![all_day]);
    book.schedules.insert("s".into(), Schedule { days, ..Schedule::default() });
    book.grants[0].when = When::Schedule("s".into());
    assert_eq!(decide(&book, &plain, Trust::Sound), Ok(()));
    for trust in [Trust::Unsynced, Trust::TooEarly, Trust::Jumped(1)] {
        assert_eq!(decide(&book, &plain, trust), Err(Reason::OutsideSchedule));
    }
}

#[test]
fn every_rule_tells_its_own_reason() {
    use crate::schema::event::Reason;
    let person = PersonId::new("ada").expect("valid");
    let mut book = RuleBook::open();
    let reset = Minute::parse("04:00").expect("a time");
    book.doors.insert(
        "front".into(),
        DoorBook {
            second_factor: Demand::named("pin").expect("a name"),
            two_person: Some("staff".into()),
            anti_passback: Some(AntiPassback { reset, after: Some(Duration::from_secs(600)) }),
            hold_open: None,
        },
    );
    let staff = Attributes { groups: BTreeSet::from(["staff".to_owned()]), ..Attributes::default() };
    let all = Evidence { pin: true, others: vec![staff], ..Evidence::default() };
    let decide = |attributes: &Attributes, seen: &Evidence| {
        let now = Now::sound(YEAR);
        book.decide(&Case { now, person: &person, attributes, door: "front", seen }).map_err(|r| r.reason)
    };
    let plain = Attributes::default();
    assert_eq!(decide(&plain, &all), Ok(()));
    let over = Attributes { valid_to_ms: Some(YEAR), ..Attributes::default() };
    for (attributes, seen, reason) in [
        (&plain, Evidence { lockdown: true, ..all.clone() }, Reason::Lockdown),
        (&plain, Evidence { locked_out: true, ..all.clone() }, Reason::LockedOut),
        (&over, all.clone(), Reason::Expired),
        (&plain, Evidence { entered_ms: Some(YEAR - 1), ..all.clone() }, Reason::AntiPassback),
        (&plain, Evidence { pin: false, card: true, ..all.clone() }, Reason::SecondFactor),
        (&plain, Evidence { others: vec![Attributes::default()], ..all.clone() }, Reason::TwoPerson),
    ] {
        assert_eq!(decide(attributes, &seen), Err(reason));
    }
    let nobody = RuleBook::shut();
    let case = Case { now: Now::sound(YEAR), person: &person, attributes: &plain, door: "front", seen: &all };
    assert_eq!(nobody.decide(&case).map_err(|r| r.reason), Err(Reason::OutsideSchedule));
}
