//! The rules file: from its text to a [`RuleBook`], or everything that is wrong with it, with file, line and key.

use super::fault::{Fault, Faults, Origin, nearest};
use super::load::read;
use crate::domain::access::{
    AntiPassback, Demand, DoorBook, EVERY_DOOR, EVERYONE, Grant, GroupBook, HoldOpen, Minute, OnHoliday, RuleBook,
    Schedule, Span, When, Zone,
};
use jiff::tz::TimeZoneDatabase;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// The schedule that needs no clock.
pub const ALWAYS: &str = "always";
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Keys that stand for several days.
const RANGES: [(&str, std::ops::RangeInclusive<usize>); 3] =
    [("mon-fri", 0..=4), ("sat-sun", 5..=6), ("every_day", 0..=6)];

/// Reads a rules file.
///
/// # Errors
/// [`Faults`]; then nothing of the file may be used.
pub fn read_rules(path: &Path) -> Result<RuleBook, Faults> {
    match read(path) {
        Ok(text) => parse_rules(path, &text),
        Err(e) => {
            let (file, key) = (path.display().to_string(), String::new());
            let fault = Fault { file, line: None, key, what: format!("cannot be read: {e}"), nearest: None };
            Err(Faults::new(vec![fault]).expect("there is a fault"))
        }
    }
}

/// The rules in a text; `path` stands in the faults.
///
/// # Errors
/// As [`read_rules`].
pub fn parse_rules(path: &Path, text: &str) -> Result<RuleBook, Faults> {
    let mut reader = Reader { path, text, faults: Vec::new() };
    let (table, errors) = DeTable::parse_recoverable(text);
    for e in errors {
        reader.fault(e.span().map_or(0, |s| s.start), "", format!("not TOML: {}", e.message()));
    }
    let book = reader.book(table.get_ref());
    let mut faults = reader.faults;
    faults.sort_by_key(|f| f.line);
    match Faults::new(faults) {
        None => Ok(book),
        Some(faults) => Err(faults),
    }
}

/// The zone of that name out of the program's own database, so that a terminal without tzdata knows it too.
#[must_use]
pub fn zone(name: &str) -> Option<Zone> {
    if name == "UTC" {
        return Some(Zone::utc());
    }
    Some(Zone::new(name, TimeZoneDatabase::bundled().get(name).ok()?))
}

type Value<'a> = Spanned<DeValue<'a>>;

pub(super) struct Reader<'t> {
    path: &'t Path,
    text: &'t str,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn fault(&mut self, at: usize, key: &str, what: impl Into<String>) {
        self.fault_near(at, key, what, None);
    }

    fn fault_near(&mut self, at: usize, key: &str, what: impl Into<String>, nearest: Option<String>) {
        let upto = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        let line = upto.iter().filter(|b| **b == b'\n').count() + 1;
        let origin = Origin::File { path: self.path.to_owned(), line };
        self.faults.push(Fault { nearest, ..Fault::at(&origin, key, what) });
    }

    /// Keys that are not known here.
    fn only(&mut self, table: &DeTable<'_>, prefix: &str, known: &[&str]) {
        for (name, _) in table {
            let word = name.get_ref().as_ref();
            if !known.contains(&word) {
                let near = nearest(word, known.iter().copied());
                self.fault_near(name.span().start, &dotted(prefix, word), "there is no key of this name here", near);
            }
        }
    }

    fn text(&mut self, key: &str, v: &Value<'_>) -> Option<String> {
        if let DeValue::String(s) = v.get_ref() {
            return Some(s.to_string());
        }
        self.fault(v.span().start, key, "is not a text");
        None
    }

    /// A text, or a list of them, each with its place.
    fn texts(&mut self, key: &str, v: &Value<'_>) -> Vec<(usize, String)> {
        let list: &DeArray<'_> = match v.get_ref() {
            DeValue::Array(list) => list,
            DeValue::String(s) => return vec![(v.span().start, s.to_string())],
            _ => {
                self.fault(v.span().start, key, "is not a list of texts");
                return Vec::new();
            }
        };
        list.iter().filter_map(|e| Some((e.span().start, self.text(key, e)?))).collect()
    }

    fn flag(&mut self, key: &str, v: &Value<'_>) -> bool {
        if let DeValue::Boolean(b) = v.get_ref() {
            return *b;
        }
        self.fault(v.span().start, key, "is not true or false");
        false
    }

    fn seconds(&mut self, key: &str, v: &Value<'_>, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let number = match v.get_ref() {
            DeValue::Integer(i) => u64::from_str_radix(i.as_str(), i.radix()).ok(),
            _ => None,
        };
        let fits = number.filter(|n| range.contains(n));
        if fits.is_none() {
            self.fault(v.span().start, key, format!("is not a whole number from {} to {}", range.start(), range.end()));
        }
        fits
    }

    fn table<'v, 'd>(&mut self, key: &str, v: &'v Value<'d>) -> Option<&'v DeTable<'d>> {
        if let DeValue::Table(t) = v.get_ref() {
            return Some(t);
        }
        self.fault(v.span().start, key, format!("is not a table; write [{key}]"));
        None
    }

    /// The tables below a section, by name.
    fn named<'v, 'd>(&mut self, root: &'v DeTable<'d>, section: &str) -> Vec<(String, usize, &'v DeTable<'d>)> {
        let Some(v) = root.get(section) else { return Vec::new() };
        let Some(all) = self.table(section, v) else { return Vec::new() };
        let mut out = Vec::new();
        for (name, v) in all {
            let (word, at) = (name.get_ref().as_ref(), name.span().start);
            let key = dotted(section, word);
            if !is_name(word) {
                self.fault(at, &key, "a name has 1 to 32 of a-z 0-9 _ -");
            } else if let Some(t) = self.table(&key, v) {
                out.push((word.to_owned(), at, t));
            }
        }
        out
    }

    fn book(&mut self, root: &DeTable<'_>) -> RuleBook {
        let mut book = RuleBook::shut();
        let known = ["zone", "holidays", "pair_window_s", "factor_window_s", "schedules", "groups", "doors", "grants"];
        self.only(root, "", &known);
        if let Some(v) = root.get("zone")
            && let Some(name) = self.text("zone", v)
        {
            match zone(&name) {
                Some(z) => book.zone = z,
                None => {
                    let names: Vec<String> = TimeZoneDatabase::bundled().available().map(|n| n.to_string()).collect();
                    let near = nearest(&name, names.iter().map(String::as_str));
                    self.fault_near(v.span().start, "zone", format!("`{name}` is no IANA time zone"), near);
                }
            }
        }
        if let Some(v) = root.get("holidays") {
            for (at, day) in self.texts("holidays", v) {
                if !book.holidays.add(&day) {
                    let what =
                        format!("`{day}` is no day; write 12-25 (every year), 2026-04-03 or 2026-12-24/2027-01-01");
                    self.fault(at, "holidays", what);
                }
            }
        }
        if let Some(s) = root.get("pair_window_s").and_then(|v| self.seconds("pair_window_s", v, 5..=120)) {
            book.pair_window = Duration::from_secs(s);
        }
        if let Some(s) = root.get("factor_window_s").and_then(|v| self.seconds("factor_window_s", v, 5..=60)) {
            book.factor_window = Duration::from_secs(s);
        }
        for (name, at, table) in self.named(root, "schedules") {
            if name == ALWAYS {
                self.fault(at, "schedules.always", "this name stands for all times already; choose another");
            }
            let schedule = self.schedule(&dotted("schedules", &name), table);
            book.schedules.insert(name, schedule);
        }
        // Groups may name one another, so all names come first.
        let groups = self.named(root, "groups");
        book.groups = groups.iter().map(|(name, ..)| (name.clone(), GroupBook::default())).collect();
        for (name, _, table) in groups {
            let key = dotted("groups", &name);
            self.only(table, &key, &["second_factor", "two_person"]);
            let rules =
                GroupBook { second_factor: self.demand(&key, table), two_person: self.partner(&key, table, &book) };
            book.groups.insert(name, rules);
        }
        for (name, _, table) in self.named(root, "doors") {
            let door = self.door(&dotted("doors", &name), table, &book);
            book.doors.insert(name, door);
        }
        self.grants(root, &mut book);
        book
    }

    fn spans(&mut self, key: &str, v: &Value<'_>) -> Vec<Span> {
        let mut out = Vec::new();
        for (at, text) in self.texts(key, v) {
            match Span::parse(&text) {
                Some(span) => out.push(span),
                None => self.fault(at, key, format!("`{text}` is no part of a day; write 08:00-18:00, or 22:00-06:00")),
            }
        }
        out
    }

    fn schedule(&mut self, key: &str, table: &DeTable<'_>) -> Schedule {
        let ranges = RANGES.map(|(name, _)| name);
        let known: Vec<&str> = DAYS.into_iter().chain(ranges).chain(["holiday"]).collect();
        self.only(table, key, &known);
        let mut schedule = Schedule::default();
        for (name, range) in RANGES {
            if let Some(v) = table.get(name) {
                let spans = self.spans(&dotted(key, name), v);
                range.for_each(|day| schedule.days[day].extend(&spans));
            }
        }
        for (day, name) in DAYS.into_iter().enumerate() {
            if let Some(v) = table.get(name) {
                let spans = self.spans(&dotted(key, name), v);
                schedule.days[day].extend(spans);
            }
        }
        match table.get("holiday") {
            None => {}
            Some(v) if matches!(v.get_ref(), DeValue::String(s) if s.as_ref() == "as_usual") => {
                schedule.holiday = OnHoliday::AsUsual;
            }
            Some(v) if matches!(v.get_ref(), DeValue::String(s) if s.as_ref() == "closed") => {}
            Some(v) => schedule.holiday = OnHoliday::Spans(self.spans(&dotted(key, "holiday"), v)),
        }
        schedule
    }

    fn demand(&mut self, key: &str, table: &DeTable<'_>) -> Demand {
        let Some(v) = table.get("second_factor") else { return Demand::default() };
        let key = dotted(key, "second_factor");
        let Some(name) = self.text(&key, v) else { return Demand::default() };
        Demand::named(&name).unwrap_or_else(|| {
            let what = format!("`{name}` is not one of: {}", Demand::NAMES.join(", "));
            self.fault_near(v.span().start, &key, what, nearest(&name, Demand::NAMES));
            Demand::default()
        })
    }

    fn partner(&mut self, key: &str, table: &DeTable<'_>, book: &RuleBook) -> Option<String> {
        let v = table.get("two_person")?;
        let key = dotted(key, "two_person");
        let name = self.text(&key, v)?;
        self.known_group(&key, v.span().start, &name, book);
        Some(name)
    }

    fn known_group(&mut self, key: &str, at: usize, name: &str, book: &RuleBook) {
        if name != EVERYONE && !book.groups.contains_key(name) {
            let near = nearest(name, book.groups.keys().map(String::as_str).chain([EVERYONE]));
            self.fault_near(at, key, format!("there is no [groups.{name}]"), near);
        }
    }

    fn known_schedule(&mut self, key: &str, at: usize, name: &str, book: &RuleBook) {
        if !book.schedules.contains_key(name) {
            let near = nearest(name, book.schedules.keys().map(String::as_str).chain([ALWAYS]));
            self.fault_near(at, key, format!("there is no [schedules.{name}]"), near);
        }
    }

    fn door(&mut self, key: &str, table: &DeTable<'_>, book: &RuleBook) -> DoorBook {
        self.only(table, key, &["second_factor", "two_person", "anti_passback", "hold_open"]);
        DoorBook {
            second_factor: self.demand(key, table),
            two_person: self.partner(key, table, book),
            anti_passback: table.get("anti_passback").and_then(|v| self.passback(&dotted(key, "anti_passback"), v)),
            hold_open: table.get("hold_open").and_then(|v| self.hold_open(&dotted(key, "hold_open"), v, book)),
        }
    }

    fn passback(&mut self, key: &str, v: &Value<'_>) -> Option<AntiPassback> {
        let table = self.table(key, v)?;
        self.only(table, key, &["reset", "after_s"]);
        let Some(at) = table.get("reset") else {
            self.fault(
                v.span().start,
                key,
                "needs reset: the time of the day at which everybody counts as having left",
            );
            return None;
        };
        let text = self.text(&dotted(key, "reset"), at)?;
        let reset = Minute::parse(&text);
        if reset.is_none() {
            self.fault(at.span().start, &dotted(key, "reset"), format!("`{text}` is no time of the day; write 04:00"));
        }
        let after_key = dotted(key, "after_s");
        let after = table.get("after_s").map(|v| self.seconds(&after_key, v, 1..=86_400));
        Some(AntiPassback { reset: reset?, after: after.flatten().map(Duration::from_secs) })
    }

    fn hold_open(&mut self, key: &str, v: &Value<'_>, book: &RuleBook) -> Option<HoldOpen> {
        let table = self.table(key, v)?;
        self.only(table, key, &["schedule", "first_person"]);
        let first_person = table.get("first_person").is_some_and(|v| self.flag(&dotted(key, "first_person"), v));
        let Some(v) = table.get("schedule") else {
            self.fault(v.span().start, key, "needs schedule: when the lock stays released");
            return None;
        };
        let key = dotted(key, "schedule");
        let schedule = self.text(&key, v)?;
        self.known_schedule(&key, v.span().start, &schedule, book);
        Some(HoldOpen { schedule, first_person })
    }

    fn grants(&mut self, root: &DeTable<'_>, book: &mut RuleBook) {
        let Some(v) = root.get("grants") else {
            return self.fault(
                0,
                "grants",
                "nobody may pass any door; write [[grants]] with groups, doors and schedule",
            );
        };
        let DeValue::Array(all) = v.get_ref() else {
            return self.fault(v.span().start, "grants", "is not a list; write [[grants]]");
        };
        for (i, v) in all.iter().enumerate() {
            let key = format!("grants[{i}]");
            if let Some(grant) = self.table(&key, v).and_then(|t| self.grant(&key, v.span().start, t, book)) {
                book.grants.push(grant);
            }
        }
    }

    fn grant(&mut self, key: &str, at: usize, table: &DeTable<'_>, book: &RuleBook) -> Option<Grant> {
        self.only(table, key, &["groups", "doors", "schedule"]);
        let mut needed = |name: &str| {
            let v = table.get(name);
            if v.is_none() {
                self.fault(at, &dotted(key, name), "is missing; a grant has groups, doors and schedule");
            }
            v
        };
        let (groups, doors, schedule) = (needed("groups"), needed("doors"), needed("schedule"));
        let (groups, doors, schedule) = (groups?, doors?, schedule?);
        let mut grant = Grant { groups: BTreeSet::new(), doors: BTreeSet::new(), when: When::Always };
        let groups_key = dotted(key, "groups");
        for (at, name) in self.texts(&groups_key, groups) {
            self.known_group(&groups_key, at, &name, book);
            grant.groups.insert(name);
        }
        let doors_key = dotted(key, "doors");
        for (at, name) in self.texts(&doors_key, doors) {
            if name != EVERY_DOOR && !book.doors.contains_key(&name) {
                let near = nearest(&name, book.doors.keys().map(String::as_str));
                self.fault_near(at, &doors_key, format!("there is no [doors.{name}]"), near);
            }
            grant.doors.insert(name);
        }
        let schedule_key = dotted(key, "schedule");
        let name = self.text(&schedule_key, schedule)?;
        if name != ALWAYS {
            self.known_schedule(&schedule_key, schedule.span().start, &name, book);
            grant.when = When::Schedule(name);
        }
        Some(grant)
    }
}

fn dotted(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// Names of groups, doors and schedules: as that of a device.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::{Attributes, Case, Evidence, Now};
    use crate::schema::ids::PersonId;

    fn faults(text: &str) -> Vec<String> {
        let faults = parse_rules(Path::new("r.toml"), text).expect_err("it has faults");
        faults.iter().map(ToString::to_string).collect()
    }

    const EXAMPLE: &str = include_str!("../../config/rules.example.toml");

    #[test]
    fn the_example_is_without_fault_and_the_manual_shows_the_same_text() {
        let book = parse_rules(Path::new("config/rules.example.toml"), EXAMPLE).expect("no faults");
        assert_eq!(book.zone.name(), "Europe/Berlin");
        assert!(book.doors["front"].hold_open.as_ref().is_some_and(|h| h.first_person));
        let manual = include_str!("../../docs/rules.md");
        assert!(manual.contains(EXAMPLE), "docs/rules.md shows another example than config/rules.example.toml");
    }

    #[test]
    fn all_faults_come_at_once_each_with_its_line_and_key() {
        let text = r#"zone = "Europe/Belrin"
holidays = ["12-25", "32-01"]
colour = 1
[schedules.office]
mon-fri = ["08:00-18:00"]
monday = ["08:00-18:00"]
sat = ["8-12"]
[schedules.always]
[groups.staff]
second_factor = "pim"
two_person = "manager"
[groups.managers]
[doors.front]
anti_passback = {}
hold_open = { schedule = "offic", first_person = 1 }
[doors.UPPER]
[[grants]]
groups = ["staf"]
doors = ["front", "back"]
schedule = "ofice"
[[grants]]
groups = ["staff"]
"#;
        assert_eq!(
            faults(text),
            [
                "r.toml:1: zone: `Europe/Belrin` is no IANA time zone; did you mean `Europe/Berlin`?",
                "r.toml:2: holidays: `32-01` is no day; write 12-25 (every year), 2026-04-03 or 2026-12-24/2027-01-01",
                "r.toml:3: colour: there is no key of this name here",
                "r.toml:6: schedules.office.monday: there is no key of this name here; did you mean `mon`?",
                "r.toml:7: schedules.office.sat: `8-12` is no part of a day; write 08:00-18:00, or 22:00-06:00",
                "r.toml:8: schedules.always: this name stands for all times already; choose another",
                "r.toml:10: groups.staff.second_factor: `pim` is not one of: pin, card, pin_or_card, pin_and_card; did you mean `pin`?",
                "r.toml:11: groups.staff.two_person: there is no [groups.manager]; did you mean `managers`?",
                "r.toml:14: doors.front.anti_passback: needs reset: the time of the day at which everybody counts as having left",
                "r.toml:15: doors.front.hold_open.first_person: is not true or false",
                "r.toml:15: doors.front.hold_open.schedule: there is no [schedules.offic]; did you mean `office`?",
                "r.toml:16: doors.UPPER: a name has 1 to 32 of a-z 0-9 _ -",
                "r.toml:18: grants[0].groups: there is no [groups.staf]; did you mean `staff`?",
                "r.toml:19: grants[0].doors: there is no [doors.back]",
                "r.toml:20: grants[0].schedule: there is no [schedules.ofice]; did you mean `office`?",
                "r.toml:21: grants[1].doors: is missing; a grant has groups, doors and schedule",
                "r.toml:21: grants[1].schedule: is missing; a grant has groups, doors and schedule",
            ]
        );
    }

    #[test]
    fn what_is_no_toml_of_rules_is_a_fault_and_never_a_panic() {
        for text in [
            "",
            "grants = 3",
            "grants = [1]",
            "= =",
            "[schedules]\na = 3\n[[grants]]",
            "pair_window_s = 4\ngrants = []",
            "holidays = 3",
        ] {
            assert!(!faults(text).is_empty() || text.contains("[]"), "{text}");
        }
        let e = read_rules(Path::new("/nonexistent/rules.toml")).expect_err("missing");
        assert!(e.to_string().contains("/nonexistent/rules.toml: cannot be read"), "{e}");
    }

    #[test]
    fn a_file_with_grants_and_nothing_else_opens_to_whom_it_says() {
        let text = "[groups.staff]\n[[grants]]\ngroups = \"staff\"\ndoors = \"*\"\nschedule = \"always\"\n";
        let book = parse_rules(Path::new("r.toml"), text).expect("no faults");
        let person = PersonId::new("ada").expect("valid");
        let decide = |attributes: &Attributes| {
            let seen = Evidence::default();
            let case = Case { now: Now::sound(0), person: &person, attributes, door: "front", seen: &seen };
            book.decide(&case).is_ok()
        };
        assert!(!decide(&Attributes::default()));
        assert!(decide(&Attributes { groups: BTreeSet::from(["staff".into()]), ..Attributes::default() }));
    }
}
