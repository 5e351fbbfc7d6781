//! `events` and `people` as an auditor and an administrator call them: keys, heads, exports checked elsewhere, receipts,
//! tables of people. Openssl checks a signature that ours has made.

use cardea::adapters::store::{EncryptedPeople, SqliteJournal};
use cardea::base::time::WallTime;
use cardea::domain::gallery::Template;
use cardea::ports::{Journal, PeopleStore};
use cardea::schema::event::Event;
use cardea::schema::ids::{DeviceId, PersonId};
use cardea::schema::record::Draft;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use uuid::Uuid;

fn cardea(state: &Path, args: &[&str]) -> (i32, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_cardea"))
        .args(args)
        .arg("--state")
        .arg(state)
        .output()
        .expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code().expect("ends by itself"), text(&out.stdout), text(&out.stderr))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn fill(state: &Path, records: u128) {
    let mut journal = SqliteJournal::open(state).expect("opens");
    for n in 1..=records {
        let draft = Draft {
            device: DeviceId::new("front").expect("valid"),
            boot: Uuid::from_u128(1),
            id: Uuid::from_u128(n),
            wall: WallTime { unix_ms: 1_795_243_200_123, synced: true },
            uptime_ms: 5,
            event: Event::AlarmDisk { what: format!("record {n}") },
        };
        journal.append(&draft).expect("appends");
    }
}

fn enrol(state: &Path, name: &str) {
    let mut people = EncryptedPeople::open(state).expect("opens");
    let template = Template { model: "ab".repeat(32), embedding: vec![0.5; 8].into() };
    people.add(&PersonId::new(name).expect("valid"), &[template], 7).expect("adds");
}

#[test]
fn an_export_is_checked_on_another_machine_with_the_public_key_alone() {
    let (dir, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    fill(dir.path(), 30);
    let export = other.path().join("log.jsonl");
    let file = export.display().to_string();
    let (code, answer, _) = cardea(dir.path(), &["events", "export", &file, "--json"]);
    assert_eq!((code, &json(&answer)["records"]), (0, &30.into()), "{answer}");
    let (_, pem, _) = cardea(dir.path(), &["events", "key"]);
    let key = other.path().join("key.pem");
    std::fs::write(&key, pem).expect("writes");
    let key = key.display().to_string();
    let nowhere = other.path().join("none");
    let verify = || {
        let (code, answer, errors) = cardea(&nowhere, &["events", "verify", "--file", &file, "--key", &key, "--json"]);
        (code, if answer.is_empty() { Value::from(errors) } else { json(&answer) })
    };
    let (code, answer) = verify();
    assert_eq!((code, &answer["ok"], &answer["records"]), (0, &true.into(), &30.into()), "{answer}");
    assert!(!nowhere.exists(), "nothing is made where something is only checked");

    let whole = std::fs::read_to_string(&export).expect("reads");
    let lines: Vec<&str> = whole.lines().collect();
    let joined = |lines: &[&str]| lines.iter().map(|l| format!("{l}\n")).collect::<String>();
    for (what, text, bad) in [
        ("a changed text", whole.replacen("record 7", "record 8", 1), 8),
        ("a cut end", joined(&lines[..29]), 30),
        ("a cut front", joined(&lines[1..]), 1),
        ("a missing record", joined(&[&lines[..9], &lines[10..]].concat()), 10),
        ("half a line", whole[..whole.len() - 20].to_owned(), 30),
    ] {
        std::fs::write(&export, text).expect("writes");
        let (code, answer) = verify();
        assert_eq!(
            (code, &answer["ok"], &answer["first_bad_seq"]),
            (1, &false.into(), &bad.into()),
            "{what}: {answer}"
        );
    }
    std::fs::write(&export, &whole).expect("writes");
    let (code, answer, _) =
        cardea(&nowhere, &["events", "verify", "--file", &file, "--key", &"0".repeat(64), "--json"]);
    assert!(code == 1 && answer.contains("another key"), "{answer}");
    let (code, _, errors) = cardea(&nowhere, &["events", "verify", "--file", &file, "--key", "nonsense"]);
    assert!(code == 65 && errors.contains("nonsense"), "{errors}");
    let (code, _, _) = cardea(&nowhere, &["events", "verify", "--file", &file]);
    assert_eq!(code, 64, "a signature is nothing without a key that is known from elsewhere");
}

#[test]
fn openssl_agrees_about_the_signature_of_a_head() {
    let dir = tempfile::tempdir().expect("a directory");
    fill(dir.path(), 3);
    let head = json(&cardea(dir.path(), &["events", "head"]).1);
    let pem = cardea(dir.path(), &["events", "key"]).1;
    let place = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("writes");
        path.display().to_string()
    };
    let text = |seq: &Value| format!("cardea journal head\n{seq}\n{}\n", head["hash"].as_str().expect("text"));
    let hex = head["sig"].as_str().expect("text");
    let sig: Vec<u8> = (0..64).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex")).collect();
    let (key, sig) = (place("key.pem", pem.as_bytes()), place("sig", &sig));
    for (seq, good) in [(head["seq"].clone(), true), (Value::from(4), false)] {
        let text = place("text", text(&seq).as_bytes());
        let out = Command::new("openssl")
            .args(["pkeyutl", "-verify", "-pubin", "-rawin", "-inkey", &key, "-in", &text, "-sigfile", &sig])
            .output()
            .expect("openssl runs");
        assert_eq!(out.status.success(), good, "{}", String::from_utf8_lossy(&out.stdout));
    }
}

#[test]
fn a_journal_that_was_changed_is_said_so_by_whoever_prints_it() {
    let dir = tempfile::tempdir().expect("a directory");
    fill(dir.path(), 20);
    let (code, lines, _) = cardea(dir.path(), &["events", "tail", "--limit", "5"]);
    assert_eq!((code, lines.lines().count()), (0, 5));
    let db = rusqlite::Connection::open(dir.path().join("journal.db")).expect("opens");
    db.execute_batch(
        "DROP TRIGGER records_stay; UPDATE records SET text = replace(text, 'record 18', 'record 81') WHERE seq = 18",
    )
    .expect("the file itself does not resist");
    drop(db);
    for args in [&["events", "tail", "--limit", "5"][..], &["events", "export"], &["events", "verify"]] {
        let (code, out, errors) = cardea(dir.path(), args);
        assert!(code == 1 && (errors.contains("record 1") || out.contains("record 18")), "{args:?}: {out}{errors}");
    }
}

#[test]
fn a_removal_prints_a_receipt_that_holds_elsewhere_and_names_nobody() {
    let (dir, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    enrol(dir.path(), "zoe");
    enrol(dir.path(), "bob");
    let (code, answer, errors) = cardea(dir.path(), &["people", "remove", "zoe", "--json"]);
    assert_eq!(code, 0, "{answer}{errors}");
    let answer = json(&answer);
    assert_eq!((&answer["removed"], &answer["erased"], &answer["templates"]), (&true.into(), &true.into(), &1.into()));
    let receipt = answer["receipt"].to_string();
    assert!(!receipt.contains("zoe"), "{receipt}");
    let file = other.path().join("receipt.json");
    std::fs::write(&file, &receipt).expect("writes");
    let file = file.display().to_string();
    let key = json(&cardea(dir.path(), &["events", "key", "--json"]).1)["key"].as_str().expect("text").to_owned();
    let verify = |more: &[&str]| {
        let args = [&["people", "receipt", "verify", &file, "--key", &key, "--json"], more].concat();
        let (code, answer, _) = cardea(&other.path().join("none"), &args);
        (code, json(&answer)["ok"].clone())
    };
    assert_eq!(verify(&["--person", "zoe"]), (0, true.into()));
    assert_eq!(verify(&["--person", "bob"]), (1, false.into()));
    std::fs::write(&file, receipt.replace("\"templates\":1", "\"templates\":2")).expect("writes");
    assert_eq!(verify(&[]), (1, false.into()));
    let (code, list, _) = cardea(dir.path(), &["people", "receipt", "list"]);
    assert_eq!((code, json(&list)), (0, answer["receipt"].clone()));
    assert_eq!(cardea(dir.path(), &["people", "remove", "zoe"]).0, 1, "nobody of that name any more");
    assert_eq!(cardea(dir.path(), &["events", "verify"]).0, 0);
}

#[test]
fn dates_of_a_person_are_set_by_hand_or_by_table_and_listed() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["ada", "bob", "eve"] {
        enrol(dir.path(), name);
    }
    let set = ["people", "set", "ada", "--consent", "2020-01-01", "--expires", "2020-12-31"];
    assert_eq!(cardea(dir.path(), &set).0, 0);
    let table = dir.path().join("people.csv");
    let file = table.display().to_string();
    std::fs::write(&table, "person,card,expires\nbob,17,2199-12-31\neve,17,\n").expect("writes");
    let (code, _, errors) = cardea(dir.path(), &["people", "import", "--csv", &file]);
    assert!(code == 65 && errors.contains("people.csv:2: column `card`"), "{errors}");
    std::fs::write(&table, "person,card,expires\nbob,17,2199-12-31\nmallory,18,\n").expect("writes");
    let (code, _, errors) = cardea(dir.path(), &["people", "import", "--csv", &file]);
    assert!(code == 65 && errors.contains("people.csv:3: column `picture`"), "{errors}");
    let of = |name: &str| {
        let all = json(&cardea(dir.path(), &["people", "list", "--json"]).1);
        all["people"].as_array().expect("a list").iter().find(|p| p["person"] == name).expect("is listed").clone()
    };
    assert!(of("bob")["expires"].is_null(), "nothing of a table with a fault is stored");
    std::fs::write(&table, "person,card,expires\nbob,17,2199-12-31\neve,18,\n").expect("writes");
    let (code, answer, errors) = cardea(dir.path(), &["people", "import", "--csv", &file, "--json"]);
    assert_eq!((code, &json(&answer)["rows"]), (0, &2.into()), "{answer}{errors}");
    let (ada, bob, eve) = (of("ada"), of("bob"), of("eve"));
    assert_eq!((&ada["expired"], &bob["expired"], &eve["expired"]), (&true.into(), &false.into(), &false.into()));
    assert!(ada["consent"].as_str().is_some_and(|c| c.starts_with("20")) && bob["expires"].as_str().is_some());
    let (_, list, _) = cardea(dir.path(), &["people", "list"]);
    assert!(list.lines().any(|l| l.starts_with("ada") && l.contains("expired 20")), "{list}");
    let (_, records, _) = cardea(dir.path(), &["events", "list", "--json", "--type", "person.rules"]);
    assert_eq!(records.lines().count(), 3, "{records}");
    assert!(!records.contains("\"17\""), "no card stands in a record");
}
