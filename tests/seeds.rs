//! `docs/seeds.md` held against the list of what the five seed systems can: every capability once, and each row says
//! something that can be looked up: a test that exists and runs, a command, a key of the configuration, a page.
//!
//! Needs the folder with the field papers.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What may be not applicable at most: other operating systems, chores of the seeds' own languages and hosts.
const MAY_BE_LEFT_OUT: [&str; 14] = [
    "S0-34", "S1-39", "S1-41", "S2-65", "S2-80", "S2-86", "S2-87", "S3-23", "S3-37", "S3-38", "S3-39", "S4-11",
    "S4-20", "S4-25",
];

/// Rows that nothing shows yet. This number only goes down.
const OPEN: usize = 0;

fn root(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn is_id(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() == 5 && bytes[0] == b'S' && bytes[2] == b'-' && [1, 3, 4].iter().all(|i| bytes[*i].is_ascii_digit())
}

/// Rows of a table whose first cell is an id, all cells trimmed.
fn rows(text: &str) -> Vec<Vec<String>> {
    let cells = |l: &str| l.trim().trim_matches('|').split(" | ").map(|c| c.trim().to_owned()).collect::<Vec<_>>();
    text.lines().filter(|l| l.starts_with("| S")).map(cells).filter(|c| is_id(&c[0])).collect()
}

/// The words in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Why a test is not one that runs; `None` when it is.
fn no_test(name: &str) -> Option<String> {
    let Some((file, function)) = name.split_once("::") else { return Some("is not file::name".into()) };
    let Ok(text) = std::fs::read_to_string(root(file)) else { return Some(format!("there is no {file}")) };
    if !file.starts_with("tests/") && !file.starts_with("src/") {
        return Some("is neither below tests/ nor below src/".into());
    }
    let Some(at) = text.find(&format!("fn {function}(")) else { return Some(format!("{file} has no such function")) };
    // Attributes stand between the end of what comes before and the function.
    let before = &text[..at];
    let start = before.rfind("\n\n").into_iter().chain(before.rfind("}\n")).max().unwrap_or(0);
    let attributes = &before[start..];
    if !attributes.contains("#[test]") {
        return Some("is not marked as a test".into());
    }
    attributes.contains("#[ignore").then(|| "is ignored".into())
}

/// Words of a command that `cardea help` knows.
fn is_command(words: &str) -> bool {
    let (flags, names): (Vec<&str>, Vec<&str>) = words.split(' ').partition(|w| w.starts_with('-'));
    let out = Command::new(env!("CARGO_BIN_EXE_cardea")).arg("help").args(names).output().expect("starts");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    out.status.success() && flags.iter().all(|f| text.contains(f))
}

fn is_key(key: &str) -> bool {
    let mut section = String::new();
    read(&root("config/cardea.toml")).lines().any(|l| {
        if let Some(s) = l.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            s.clone_into(&mut section);
        }
        let name = l.trim_start_matches('#').split(" = ").next().filter(|_| l.contains(" = ") && !l.starts_with("# "));
        name.is_some_and(|n| format!("{section}.{n}") == key)
    })
}

/// A page that the web server has, or a file of the documentation.
fn is_page(page: &str) -> bool {
    if page.starts_with('/') {
        let route = format!("\"{page}\"");
        return ["src/adapters/web/assets.rs", "src/adapters/web/api/mod.rs"]
            .iter()
            .any(|f| read(&root(f)).contains(&route));
    }
    root(page).is_file()
}

/// Why a row says nothing; `None` when it does.
fn wrong(id: &str, state: &str, by: &str) -> Option<String> {
    match state {
        "done" => {
            let tests = quoted(by);
            if tests.is_empty() {
                return Some("names no test".into());
            }
            tests.iter().find_map(|t| no_test(t).map(|why| format!("{t}: {why}")))
        }
        "replaced" => {
            let word = by.split(' ').next().unwrap_or_default();
            let Some(what) = quoted(by).first().copied() else { return Some("names nothing in backticks".into()) };
            let there = match word {
                "command" => is_command(what),
                "key" => is_key(what),
                "page" => is_page(what),
                _ => return Some("begins with neither command, key nor page".into()),
            };
            (!there).then(|| format!("there is no {word} `{what}`"))
        }
        "not applicable" => (!MAY_BE_LEFT_OUT.contains(&id)).then(|| "may not be left out".into()),
        "open" => None,
        other => Some(format!("`{other}` is no state")),
    }
}

#[test]
fn every_capability_of_the_seeds_has_its_row_and_every_row_can_be_looked_up() {
    let list = read(&support::shared().join("field/seeds.md"));
    let known: BTreeSet<String> = rows(&list).into_iter().map(|r| r[0].clone()).collect();
    assert_eq!(known.len(), 262, "the list itself");
    let table = rows(&read(&root("docs/seeds.md")));
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for row in &table {
        let (id, state, by) = match row.as_slice() {
            [id, _what, state, by] => (id, state, by),
            other => {
                faults.push(format!("{other:?} has not four cells"));
                continue;
            }
        };
        if !known.contains(id) {
            faults.push(format!("{id} is no capability of a seed"));
        }
        if !seen.insert(id.clone()) {
            faults.push(format!("{id} is there twice"));
        }
        faults.extend(wrong(id, state, by).map(|why| format!("{id}: {why}")));
    }
    faults.extend(known.difference(&seen).map(|id| format!("{id} is missing")));
    assert!(faults.is_empty(), "{faults:#?}");
    let open: Vec<&String> = table.iter().filter(|r| r[2] == "open").map(|r| &r[0]).collect();
    assert_eq!(open.len(), OPEN, "a row that is done now lowers OPEN in this test: {open:?}");
}

#[test]
fn a_row_that_names_what_is_not_there_is_found() {
    let own = "tests/seeds.rs::a_row_that_names_what_is_not_there_is_found";
    assert_eq!(wrong("S0-01", "done", &format!("`{own}`")), None);
    for (id, state, by) in [
        ("S0-01", "done", "`tests/seeds.rs::nothing`"),
        ("S0-01", "done", "`tests/seeds.rs::rows`"),
        ("S0-01", "done", "`tests/nothing.rs::rows`"),
        ("S0-01", "done", "somehow"),
        ("S0-01", "replaced", "command `people fly`"),
        ("S0-01", "replaced", "command `pad train --wings`"),
        ("S0-01", "replaced", "key `web.wings`"),
        ("S0-01", "replaced", "page `/wings`"),
        ("S0-01", "replaced", "page `docs/wings.md`"),
        ("S0-01", "replaced", "`run`"),
        ("S0-01", "not applicable", ""),
        ("S0-01", "finished", ""),
    ] {
        assert!(wrong(id, state, by).is_some(), "{state} {by}");
    }
    for (state, by) in [
        ("replaced", "command `pad train --epochs`"),
        ("replaced", "key `web.listen`"),
        ("replaced", "page `/kiosk`"),
        ("replaced", "page `docs/web.md`"),
    ] {
        assert_eq!(wrong("S0-01", state, by), None);
    }
    assert_eq!(wrong("S0-34", "not applicable", ""), None);
}
