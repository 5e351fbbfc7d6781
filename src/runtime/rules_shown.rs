//! The rules in force as the console shows them. Of people only numbers: no PIN, no card, no verifier.

use super::who_can::factors;
use crate::adapters::web::shown::{DoorShown, GrantShown, GroupShown, RulesShown, ScheduleShown};
use crate::domain::access::{Attributes, Now, OnHoliday, RuleBook, Schedule, Span, When};
use crate::schema::ids::PersonId;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// All of it; `now` is `None` while the clock may not be believed.
#[must_use]
pub fn shown(
    book: &RuleBook,
    door: &str,
    people: &BTreeSet<PersonId>,
    attributes: &BTreeMap<PersonId, Attributes>,
    now: Option<i64>,
) -> RulesShown {
    let known: Vec<&Attributes> = people.iter().filter_map(|p| attributes.get(p)).collect();
    let count = |what: &dyn Fn(&Attributes) -> bool| known.iter().filter(|a| what(a)).count() as u64;
    let with_pin = count(&|a| a.pin.is_some());
    // Groups that only people or grants name have no rules of their own, and are groups.
    let named = known.iter().flat_map(|a| &a.groups).chain(book.grants.iter().flat_map(|g| &g.groups));
    let names: BTreeSet<&String> = book.groups.keys().chain(named).collect();
    let group = |name: &String| GroupShown {
        name: name.clone(),
        second_factor: book.groups.get(name).map(|g| factors(g.second_factor)).unwrap_or_default(),
        two_person: book.groups.get(name).and_then(|g| g.two_person.clone()),
        people: if name == crate::domain::access::EVERYONE { people.len() as u64 } else { count(&|a| a.is_in(name)) },
    };
    let doors = book.doors.iter().map(|(name, d)| DoorShown {
        name: name.clone(),
        second_factor: factors(d.second_factor),
        two_person: d.two_person.clone(),
        anti_passback: d.anti_passback.map(|a| a.reset.to_string()),
        hold_open: d.hold_open.as_ref().map(|h| h.schedule.clone()),
        first_person: d.hold_open.as_ref().is_some_and(|h| h.first_person),
    });
    let grants = book.grants.iter().map(|g| GrantShown {
        groups: g.groups.iter().cloned().collect(),
        doors: g.doors.iter().cloned().collect(),
        when: match &g.when {
            When::Always => crate::config::ALWAYS.to_owned(),
            When::Schedule(name) => name.clone(),
        },
    });
    let open = |name: &str| now.map(|ms| book.is_open(name, Now::sound(ms)));
    RulesShown {
        door: door.to_owned(),
        zone: book.zone.name().to_owned(),
        holidays: book.holidays.texts(),
        schedules: book.schedules.iter().map(|(name, s)| schedule(name, s, open(name))).collect(),
        groups: names.into_iter().map(group).collect(),
        doors: doors.collect(),
        grants: grants.collect(),
        pair_window_s: book.pair_window.as_secs(),
        factor_window_s: book.factor_window.as_secs(),
        people: people.len() as u64,
        with_pin,
        with_card: count(&|a| a.card.is_some()),
        duress: with_pin > 0,
    }
}

fn schedule(name: &str, s: &Schedule, open: Option<bool>) -> ScheduleShown {
    let texts = |spans: &[Span]| spans.iter().map(Span::to_string).collect::<Vec<_>>();
    let (holiday, holiday_spans) = match &s.holiday {
        OnHoliday::Closed => ("closed", Vec::new()),
        OnHoliday::AsUsual => ("as_usual", Vec::new()),
        OnHoliday::Spans(spans) => ("spans", texts(spans)),
    };
    let days = s.days.iter().map(|d| texts(d)).collect();
    ScheduleShown { name: name.to_owned(), days, holiday: holiday.into(), holiday_spans, open }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::PinVerifier;

    const RULES: &str = r#"
zone = "Europe/Berlin"
holidays = ["12-25", "2026-12-24/2026-12-31"]
[schedules.office]
mon-fri = ["08:00-12:00", "22:00-06:00"]
holiday = ["10:00-11:00"]
[groups.staff]
second_factor = "pin"
two_person = "staff"
[doors.front]
anti_passback = { reset = "04:00" }
[[grants]]
groups = ["staff"]
doors = ["front"]
schedule = "office"
"#;

    #[test]
    fn rules_are_told_and_secrets_are_not() {
        let file = std::path::Path::new("rules.toml");
        let text = RULES;
        let book = crate::config::parse_rules(file, text).expect("rules");
        let ada = PersonId::new("ada").expect("a name");
        let pin = PinVerifier { salt: [7; 16], tag: [8; 32], duress: [9; 32] };
        let who = Attributes {
            groups: ["staff".to_owned()].into(),
            pin: Some(pin),
            card: Some("12345678".into()),
            ..Attributes::default()
        };
        let eve = PersonId::new("eve").expect("a name");
        let people = [ada.clone(), eve].into();
        // Monday, 9 o'clock in Berlin.
        let at = 1_795_420_800_000;
        let s = shown(&book, "front", &people, &BTreeMap::from([(ada, who)]), Some(at));
        assert_eq!((s.people, s.with_pin, s.with_card, s.duress), (2, 1, 1, true));
        assert_eq!(s.schedules[0].days[4], ["08:00-12:00", "22:00-06:00"]);
        assert_eq!((s.schedules[0].holiday.as_str(), s.schedules[0].open), ("spans", Some(true)));
        assert_eq!(s.holidays, ["12-25", "2026-12-24/2026-12-31"]);
        assert_eq!((s.groups[0].people, s.groups[0].second_factor.as_slice()), (1, &["pin".to_owned()][..]));
        assert_eq!((s.doors[0].anti_passback.as_deref(), s.grants[0].when.as_str()), (Some("04:00"), "office"));
        let told = serde_json::to_string(&s).expect("JSON");
        for secret in ["12345678", "[7", "[8", "[9", "ada"] {
            assert!(!told.contains(secret), "{secret} in {told}");
        }
        assert_eq!(shown(&book, "front", &people, &BTreeMap::new(), None).schedules[0].open, None);
    }
}
