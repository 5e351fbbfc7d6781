//! `cardea rules simulate`: scenarios that an integrator writes, as tests of the rules.

use super::super::state::print;
use super::super::{Code, Exit, Failure, Globals, Outcome};
use super::{book, moment};
use crate::domain::access::{Attributes, Case, Evidence, Now, PinVerifier, RuleBook, Trust};
use crate::schema::event::Reason;
use crate::schema::ids::PersonId;
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenarios {
    rules: Option<PathBuf>,
    #[serde(default)]
    people: BTreeMap<PersonId, Sample>,
    #[serde(default)]
    scenario: Vec<Scenario>,
}

/// A person of the file; those of the store play no part.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Sample {
    groups: BTreeSet<String>,
    valid_from: Option<String>,
    valid_to: Option<String>,
    pin: bool,
    card: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shown {
    Pin,
    Card,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Clock {
    #[default]
    Sound,
    Unsynced,
    Jumped,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    name: String,
    person: PersonId,
    door: String,
    at: String,
    #[serde(default)]
    clock: Clock,
    #[serde(default)]
    shown: Vec<Shown>,
    #[serde(default)]
    with: Vec<PersonId>,
    entered: Option<String>,
    #[serde(default)]
    lockdown: bool,
    #[serde(default)]
    locked_out: bool,
    expect: Expect,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Expect {
    Allowed,
    OutsideSchedule,
    Expired,
    AntiPassback,
    LockedOut,
    SecondFactor,
    TwoPerson,
    Lockdown,
}

impl Expect {
    const fn reason(self) -> Option<Reason> {
        match self {
            Expect::Allowed => None,
            Expect::OutsideSchedule => Some(Reason::OutsideSchedule),
            Expect::Expired => Some(Reason::Expired),
            Expect::AntiPassback => Some(Reason::AntiPassback),
            Expect::LockedOut => Some(Reason::LockedOut),
            Expect::SecondFactor => Some(Reason::SecondFactor),
            Expect::TwoPerson => Some(Reason::TwoPerson),
            Expect::Lockdown => Some(Reason::Lockdown),
        }
    }
}

fn word(reason: Option<Reason>) -> String {
    let word = reason.and_then(|r| serde_json::to_value(r).ok()).and_then(|v| v.as_str().map(str::to_owned));
    word.unwrap_or_else(|| "allowed".into())
}

pub(super) fn run(globals: &Globals, files: &[PathBuf]) -> Outcome {
    let (mut rows, mut text, mut held) = (Vec::new(), String::new(), true);
    for file in files {
        let (scenarios, book) = load(globals, file)?;
        for s in &scenarios.scenario {
            let (got, rule) = play(file, &scenarios, s, &book)?;
            let ok = got == s.expect.reason();
            held &= ok;
            let (got, expected) = (word(got), word(s.expect.reason()));
            if globals.json {
                rows.push(
                    json!({"file": file, "name": s.name, "expected": expected, "got": got, "rule": rule, "ok": ok}),
                );
            } else {
                let mark = if ok { "ok  " } else { "FAIL" };
                let but = if ok { String::new() } else { format!(", expected {expected}") };
                let why = rule.map(|r| format!(": {r}")).unwrap_or_default();
                text += &format!("{mark} {}: {got}{but}{why}\n", s.name);
            }
        }
    }
    if globals.json {
        text = format!("{}\n", json!({"ok": held, "scenarios": rows}));
    }
    print(&text)?;
    Ok(if held { Exit::Done } else { Exit::Negative })
}

fn load(globals: &Globals, file: &Path) -> Result<(Scenarios, Arc<RuleBook>), Failure> {
    let place = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|e| {
        Failure::new(Code::BadInput, place.clone(), e, "give a file of scenarios, as config/rules.scenarios.toml")
    })?;
    let scenarios: Scenarios = toml::from_str(&text).map_err(|e| {
        let line = e
            .span()
            .map_or(1, |s| text.as_bytes()[..s.start.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1);
        Failure::new(Code::BadInput, format!("{place}:{line}"), e.message(), "see docs/rules.md, Scenarios")
    })?;
    if scenarios.scenario.is_empty() {
        return Err(Failure::new(
            Code::BadInput,
            place,
            "there is no [[scenario]] in it",
            "see docs/rules.md, Scenarios",
        ));
    }
    let book = match &scenarios.rules {
        Some(rules) => Arc::new(book(&file.parent().unwrap_or(Path::new("")).join(rules))?),
        None => super::super::load_config(globals)?.rules().book.clone(),
    };
    Ok((scenarios, book))
}

/// What the rules say, and the rule that objected.
fn play(
    file: &Path,
    all: &Scenarios,
    s: &Scenario,
    book: &RuleBook,
) -> Result<(Option<Reason>, Option<String>), Failure> {
    let place = |key: &str| format!("{}: {}: {key}", file.display(), s.name);
    let known = |id: &PersonId, key: &str| {
        let hint = format!("write [people.{id}]");
        let sample = all
            .people
            .get(id)
            .ok_or_else(|| Failure::new(Code::BadInput, place(key), format!("nobody is called `{id}`"), hint))?;
        attributes(&place(&format!("people.{id}")), sample, book)
    };
    let input = |f: Failure| Failure { code: Code::BadInput, ..f };
    let who = known(&s.person, "person")?;
    let mut others = Vec::new();
    for other in s.with.iter().filter(|o| **o != s.person) {
        others.push(known(other, "with")?);
    }
    let entered = s.entered.as_deref().map(|t| moment(&place("entered"), t, book)).transpose().map_err(input)?;
    let shown = |pin: bool| s.shown.iter().any(|x| matches!(x, Shown::Pin) == pin);
    let seen = Evidence {
        lockdown: s.lockdown,
        locked_out: s.locked_out,
        entered_ms: entered,
        pin: shown(true) && who.pin.is_some(),
        card: shown(false) && who.card.is_some(),
        others,
    };
    let trust = match s.clock {
        Clock::Sound => Trust::Sound,
        Clock::Unsynced => Trust::Unsynced,
        Clock::Jumped => Trust::Jumped(-86_400_000),
    };
    let now = Now { unix_ms: moment(&place("at"), &s.at, book).map_err(input)?, trust };
    let case = Case { now, person: &s.person, attributes: &who, door: &s.door, seen: &seen };
    Ok(book.decide(&case).err().map_or((None, None), |r| (Some(r.reason), Some(r.rule))))
}

fn attributes(place: &str, sample: &Sample, book: &RuleBook) -> Result<Attributes, Failure> {
    if let Some(group) = sample.groups.iter().find(|g| !book.groups.contains_key(*g)) {
        let what = format!("the rules have no [groups.{group}]");
        return Err(Failure::new(Code::BadInput, place, what, "mend the name, or add the group to the rules"));
    }
    let input = |f: Failure| Failure { code: Code::BadInput, ..f };
    let begin =
        |text: &Option<String>| text.as_deref().map(|t| limit(place, t, book, false)).transpose().map_err(input);
    let end = |text: &Option<String>| text.as_deref().map(|t| limit(place, t, book, true)).transpose().map_err(input);
    // Nobody types a PIN here: whether it was the right one is what the scenario says.
    let verifier = || PinVerifier { salt: [0; 16], tag: [0; 32], duress: [0; 32] };
    Ok(Attributes {
        groups: sample.groups.clone(),
        valid_from_ms: begin(&sample.valid_from)?,
        valid_to_ms: end(&sample.valid_to)?,
        pin: sample.pin.then(verifier),
        card: sample.card.then(String::new),
        consent_ms: None,
        expires_ms: None,
    })
}

/// A moment, or a day: its beginning, or with `end` that of the day after.
///
/// # Errors
/// It is neither.
pub(in crate::cli) fn limit(subject: &str, text: &str, book: &RuleBook, end: bool) -> Result<i64, Failure> {
    let day = (text.len() == 10).then(|| text.parse::<jiff::civil::Date>().ok()).flatten();
    let day = day.and_then(|d| if end { d.tomorrow().ok() } else { Some(d) });
    match day.and_then(|d| book.zone.instant(d.to_datetime(jiff::civil::Time::midnight()))) {
        Some(at) => Ok(at),
        None => moment(subject, text, book),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globals() -> Globals {
        Globals { config: None, set: Vec::new(), state: None, json: false }
    }

    fn example(edit: impl Fn(String) -> String) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("rules.example.toml"), include_str!("../../../config/rules.example.toml"))
            .expect("written");
        let file = dir.path().join("s.toml");
        std::fs::write(&file, edit(include_str!("../../../config/rules.scenarios.toml").to_owned())).expect("written");
        (dir, file)
    }

    #[test]
    fn every_scenario_of_the_example_holds_and_one_that_does_not_ends_with_one() {
        let (_dir, file) = example(|t| t);
        assert_eq!(run(&globals(), std::slice::from_ref(&file)), Ok(Exit::Done));
        let (_dir, file) = example(|t| t.replacen("expect = \"allowed\"", "expect = \"expired\"", 1));
        assert_eq!(run(&globals(), &[file]), Ok(Exit::Negative));
    }

    #[test]
    fn a_faulty_file_of_scenarios_names_the_line_or_the_scenario() {
        for (from, to, place) in [
            ("expect = \"allowed\"", "expect = \"maybe\"", "s.toml:"),
            ("person = \"ada\"", "person = \"zoe\"", "staff on a Monday morning: person"),
            ("at = \"2026-11-23T08:30\"", "at = \"noon\"", "staff on a Monday morning: at"),
            ("groups = [\"staff\"]", "groups = [\"stuff\"]", "people.ada"),
            ("door =", "dor =", "s.toml:"),
        ] {
            let (_dir, file) = example(|t| t.replacen(from, to, 1));
            let e = run(&globals(), &[file]).expect_err("faulty");
            assert!(e.code == Code::BadInput && e.subject.contains(place), "{e}");
        }
    }
}
