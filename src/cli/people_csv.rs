//! `cardea people import --csv`: people with pictures and what the rules know of them, from a table. The whole table is
//! checked before a picture is looked at, and everything is stored in one go or nothing is.
//!
//! Columns by their names, in any order: `person`; of one row or several of the same person `picture` (a path, relative to
//! the table), `groups` (with spaces between them), `valid_from`, `valid_to`, `card`, `consent`, `expires`. An empty cell
//! says nothing.

use super::enroll::{self, Choice};
use super::state::{self, Log, print};
use super::{Code, Exit, Failure, Globals, Outcome, people_set};
use crate::adapters::system::SystemClock;
use crate::base::time::Clock;
use crate::config::Config;
use crate::domain::access::Attributes;
use crate::ports::Person;
use crate::runtime::enrolment::Taken;
use crate::runtime::registrar::known_of;
use crate::schema::ids::PersonId;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const COLUMNS: [&str; 8] = ["person", "picture", "groups", "valid_from", "valid_to", "card", "consent", "expires"];
/// A table of people is small; whatever is bigger is something else.
const LARGEST: u64 = 16 << 20;

/// What all rows of one person say.
#[derive(Debug, Default)]
struct Entry {
    /// Where the person stands first.
    line: u64,
    /// With the line each stands in.
    pictures: Vec<(u64, PathBuf)>,
    /// Column to cell, with the line it stands in.
    cells: BTreeMap<&'static str, (u64, String)>,
}

pub(super) fn run(globals: &Globals, file: &Path, choice: Choice, replace: bool) -> Outcome {
    let table = read(file)?;
    let config = super::load_config(globals)?;
    let mut store = state::people_if_any(globals)?;
    let before = store.as_mut().map(|s| s.attributes()).transpose()?.unwrap_or_default();
    let attributes = attributes(file, &config, &table, before)?;
    let enrolled: Vec<PersonId> = match &mut store {
        Some(s) => crate::ports::PeopleStore::list(s).map_err(state::io)?.into_iter().map(|p| p.person).collect(),
        None => Vec::new(),
    };
    for (id, entry) in &table {
        if entry.pictures.is_empty() && !enrolled.contains(id) {
            let what = format!("{id} is not enrolled and has no picture here");
            return Err(fault(file, entry.line, "picture", what, "give a picture, or enrol the person first"));
        }
    }
    let pictured: Vec<_> = table.iter().filter(|(_, e)| !e.pictures.is_empty()).collect();
    let mut looked = Looked::default();
    if !pictured.is_empty() {
        look(globals, file, &pictured, choice, replace, &mut looked)?;
    }
    let stored = !looked.spoilt || choice.partial;
    let mut people = std::mem::take(&mut looked.people);
    if stored {
        // Of somebody new whose every picture was refused nothing is written.
        let mut attributes = attributes;
        attributes.retain(|id, _| enrolled.contains(id) || people.iter().any(|p| p.id == *id));
        let mut log = Log::open(globals)?;
        state::people(globals)?.add_all_with(&people, &attributes, replace)?;
        for person in &people {
            enroll::record(&mut log, person)?;
        }
        for (id, a) in &attributes {
            log.append(known_of(id, a))?;
        }
    } else {
        people.clear();
    }
    let templates: usize = people.iter().map(|p| p.templates.len()).sum();
    let changed = if stored { table.len() } else { 0 };
    let text = if globals.json {
        let answer = json!({
            "file": file, "rows": changed, "people": people.len(), "templates": templates,
            "accepted": looked.accepted, "refused": looked.refused,
        });
        format!("{answer}\n")
    } else {
        let hint = if stored { "" } else { "; nothing was stored: --partial stores the good pictures" };
        format!("{}{changed} people of the table stored, {templates} templates{hint}\n", looked.lines)
    };
    print(&text)?;
    Ok(if looked.spoilt { Exit::NoDecision } else { Exit::Done })
}

/// What the pictures came to.
#[derive(Default)]
struct Looked {
    people: Vec<Person>,
    accepted: Vec<String>,
    refused: Vec<serde_json::Value>,
    lines: String,
    spoilt: bool,
}

fn look(
    globals: &Globals,
    file: &Path,
    table: &[(&PersonId, &Entry)],
    choice: Choice,
    replace: bool,
    looked: &mut Looked,
) -> Result<(), Failure> {
    let (config, mut engine) = super::eval::open(globals, None, None)?;
    let mut known = super::enrolled_people(&config.store().dir, engine.embedding_digest())?;
    for (id, entry) in table {
        let mut taken = Taken::default();
        for (line, picture) in &entry.pictures {
            let place = |f: Failure| Failure { subject: format!("{}:{line}: {}", file.display(), f.subject), ..f };
            enroll::take(&mut taken, &mut engine, picture).map_err(place)?;
        }
        let (own, others): (Vec<Person>, Vec<Person>) = known.iter().cloned().partition(|p| p.id == **id);
        if !choice.allow_duplicate {
            taken.refuse_duplicates(&engine, &config, &others).map_err(Failure::unavailable)?;
        }
        let own = if replace { Vec::new() } else { own };
        taken.refuse_strangers(&engine, &own).map_err(Failure::unavailable)?;
        looked.spoilt |= taken.is_refused();
        looked.accepted.extend(taken.names().into_iter().map(str::to_owned));
        for (refused, mut value) in taken.refused.iter().zip(enroll::refusals(&taken)) {
            let found = entry.pictures.iter().find(|(_, p)| p.display().to_string() == refused.file);
            let line = found.map_or(entry.line, |(line, _)| *line);
            value["line"] = json!(line);
            looked.refused.push(value);
            looked.lines += &format!("{}:{line}: {}", file.display(), enroll::line(refused));
        }
        if let Some(person) = taken.person(&engine, id, choice.partial, SystemClock.wall().unix_ms) {
            known.push(person.clone());
            looked.people.push(person);
        }
    }
    Ok(())
}

/// A fault of the table: file, line and column.
fn fault(file: &Path, line: u64, column: &str, what: impl ToString, hint: &str) -> Failure {
    Failure::new(Code::BadInput, format!("{}:{line}: column `{column}`", file.display()), what, hint)
}

/// The table as it stands, every row checked for its form.
fn read(file: &Path) -> Result<BTreeMap<PersonId, Entry>, Failure> {
    let unreadable = |e: &dyn std::fmt::Display| {
        let hint = "give a table of comma-separated values in UTF-8, with a first line of column names";
        Failure::new(Code::BadInput, file.display().to_string(), e.to_string(), hint)
    };
    if file.metadata().map_err(|e| unreadable(&e))?.len() > LARGEST {
        return Err(unreadable(&"bigger than 16 MiB"));
    }
    parse(file, std::fs::File::open(file).map_err(|e| unreadable(&e))?)
}

/// Whether bytes are a table of people whose pictures, if it names any, are there. For the fuzzer.
#[must_use]
pub fn is_table(bytes: &[u8]) -> bool {
    parse(Path::new("people.csv"), bytes).is_ok()
}

/// The table in a reader; `file` stands in the faults, and pictures are beside it.
fn parse(file: &Path, from: impl std::io::Read) -> Result<BTreeMap<PersonId, Entry>, Failure> {
    let unreadable = |e: &dyn std::fmt::Display| {
        let hint = "give a table of comma-separated values in UTF-8, with a first line of column names";
        Failure::new(Code::BadInput, file.display().to_string(), e.to_string(), hint)
    };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(from);
    let headers = reader.headers().map_err(|e| unreadable(&e))?.clone();
    let mut columns = Vec::new();
    for name in &headers {
        let hint = "the columns are person, picture, groups, valid_from, valid_to, card, consent, expires";
        let known = COLUMNS.iter().find(|c| **c == name.trim_start_matches('\u{feff}'));
        let column = known.ok_or_else(|| fault(file, 1, name, "there is no such column", hint))?;
        if columns.contains(column) {
            return Err(fault(file, 1, name, "the column stands there twice", hint));
        }
        columns.push(*column);
    }
    if !columns.contains(&"person") {
        return Err(fault(file, 1, "person", "the column is missing", "every row needs a name"));
    }
    let beside = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut table: BTreeMap<PersonId, Entry> = BTreeMap::new();
    for row in reader.records() {
        // Its own text names the line.
        let row = row.map_err(|e| unreadable(&e))?;
        let line = row.position().map_or(0, csv::Position::line);
        let cell =
            |column: &str| columns.iter().position(|c| *c == column).and_then(|i| row.get(i)).unwrap_or_default();
        let id = PersonId::new(cell("person"))
            .map_err(|e| fault(file, line, "person", format!("`{}`: {}", e.name, e.rule), "mend the name"))?;
        let entry = table.entry(id).or_default();
        if entry.line == 0 {
            entry.line = line;
        }
        for column in &columns {
            let text = cell(column);
            match *column {
                name if name == "person" || text.is_empty() => {}
                "picture" => {
                    let path = beside.join(text);
                    if !path.is_file() {
                        let what = format!("{} is no file", path.display());
                        return Err(fault(file, line, column, what, "paths are relative to the table"));
                    }
                    entry.pictures.push((line, path));
                }
                _ => match entry.cells.get(column) {
                    Some((first, other)) if other != text => {
                        let what = format!("`{text}`, but line {first} says `{other}` of the same person");
                        return Err(fault(file, line, column, what, "say it once"));
                    }
                    _ => {
                        entry.cells.insert(*column, (line, text.to_owned()));
                    }
                },
            }
        }
    }
    if table.is_empty() {
        return Err(unreadable(&"there is no row below the column names"));
    }
    Ok(table)
}

/// What is known of those of whom the table says something: what was known before, with the cells in its place.
fn attributes(
    file: &Path,
    config: &Config,
    table: &BTreeMap<PersonId, Entry>,
    mut before: BTreeMap<PersonId, Attributes>,
) -> Result<BTreeMap<PersonId, Attributes>, Failure> {
    let book = &config.rules().book;
    let mut all = BTreeMap::new();
    for (id, entry) in table.iter().filter(|(_, e)| !e.cells.is_empty()) {
        let mut a = before.get(id).cloned().unwrap_or_default();
        for (column, (line, text)) in &entry.cells {
            let place = |f: Failure| fault(file, *line, column, f.what, &f.hint);
            let limit = |end: bool| super::rules::simulate::limit(column, text, book, end).map(Some).map_err(place);
            match *column {
                "groups" => {
                    a.groups.clear();
                    for group in text.split_whitespace() {
                        people_set::check_group(book, group).map_err(place)?;
                        a.groups.insert(group.to_owned());
                    }
                }
                "valid_from" => a.valid_from_ms = limit(false)?,
                "valid_to" => a.valid_to_ms = limit(true)?,
                "consent" => a.consent_ms = limit(false)?,
                "expires" => a.expires_ms = limit(true)?,
                _ => a.card = Some(people_set::check_card(text).map_err(place)?),
            }
        }
        let line = entry.cells.get("valid_to").map_or(entry.line, |c| c.0);
        if let (Some(from), Some(to)) = (a.valid_from_ms, a.valid_to_ms)
            && from >= to
        {
            return Err(fault(file, line, "valid_to", "it lies before valid_from", "give a later day"));
        }
        all.insert(id.clone(), a);
    }
    for (id, a) in &all {
        before.insert(id.clone(), a.clone());
    }
    for (id, a) in &all {
        let Some(card) = &a.card else { continue };
        if let Some((other, _)) = before.iter().find(|(o, b)| *o != id && b.card.as_ref() == Some(card)) {
            let line = table.get(id).and_then(|e| e.cells.get("card")).map_or(0, |c| c.0);
            return Err(fault(file, line, "card", format!("it is {other}'s too"), "give another number"));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> (tempfile::TempDir, Result<BTreeMap<PersonId, Entry>, Failure>) {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("a.jpg"), "x").expect("writes");
        let file = dir.path().join("people.csv");
        std::fs::write(&file, text).expect("writes");
        let read = read(&file);
        (dir, read)
    }

    fn config() -> Config {
        crate::config::load(&crate::config::Inputs {
            file: Some("config/cardea.toml".into()),
            ..crate::config::Inputs::default()
        })
        .expect("the example is right")
    }

    #[test]
    fn rows_of_one_person_come_together_in_any_order_of_columns() {
        let text = "\u{feff}card,person,picture,expires\n17,ada,a.jpg,2027-01-31\n,bob,,\n17,ada,a.jpg,\n";
        let (_dir, read) = table(text);
        let read = read.expect("a table");
        let (ada, bob) = (PersonId::new("ada").expect("valid"), PersonId::new("bob").expect("valid"));
        assert_eq!((read[&ada].pictures.len(), read[&ada].line), (2, 2));
        assert!(read[&bob].cells.is_empty() && read[&bob].pictures.is_empty());
        let old = Attributes { groups: ["old".into()].into(), ..Attributes::default() };
        let all = attributes(Path::new("t"), &config(), &read, [(ada.clone(), old)].into()).expect("right");
        let a = &all[&ada];
        assert_eq!((a.card.as_deref(), a.groups.len()), (Some("17"), 1), "what the table does not name stays");
        assert!(a.expires_ms.is_some_and(|end| end > 1_801_000_000_000) && !all.contains_key(&bob));
    }

    #[test]
    fn every_fault_names_file_line_and_column() {
        for (text, line, column, word) in [
            ("person,pictures\nada,a.jpg\n", 1, "pictures", "no such column"),
            ("picture\na.jpg\n", 1, "person", "missing"),
            ("person,person\nada,ada\n", 1, "person", "twice"),
            ("person,picture\nada,a.jpg\n../eve,a.jpg\n", 3, "person", "not starting with"),
            ("person,picture\nada,a.jpg\nbob,none.jpg\n", 3, "picture", "no file"),
            ("person,card\nada,17\nada,18\n", 3, "card", "line 2 says `17`"),
        ] {
            let (dir, read) = table(text);
            let e = read.expect_err(text);
            let place = format!("{}:{line}: column `{column}`", dir.path().join("people.csv").display());
            assert_eq!((e.code, e.subject.as_str()), (Code::BadInput, place.as_str()), "{e}");
            assert!(e.what.contains(word), "{e}");
        }
        for (text, word) in
            [("person,picture\nada\n", "line"), ("person\n", "no row"), ("", "person"), ("person\n\u{0}\n", "person")]
        {
            let e = table(text).1.expect_err("refused");
            assert!(e.to_string().contains(word), "{text:?}: {e}");
        }
    }

    #[test]
    fn what_the_rules_cannot_take_is_refused_with_its_place() {
        for (text, line, column) in [
            ("person,valid_to\nada,2027-01-01\nbob,soon\n", 3, "valid_to"),
            ("person,valid_from,valid_to\nada,2027-02-01,2027-01-01\n", 2, "valid_to"),
            ("person,groups\nada,Not-A-Name!\n", 2, "groups"),
            ("person,card\nada,17\nbob,17\n", 2, "card"),
            ("person,card\nada,1 7\n", 2, "card"),
            ("person,expires\nada,2027-13-01\n", 2, "expires"),
        ] {
            let (_dir, read) = table(text);
            let e = attributes(Path::new("t"), &config(), &read.expect("a table"), BTreeMap::new()).expect_err(text);
            assert_eq!(e.subject, format!("t:{line}: column `{column}`"), "{e}");
        }
    }
}
