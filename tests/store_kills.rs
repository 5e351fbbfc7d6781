//! Real processes: a writer is killed with SIGKILL again and again, and nothing that it acknowledged may be lost.
//!
//! The ids come from the generator, never from the store: a store that used lost numbers again would hide its losses.
//! A plain buffered file goes through the same test as a control and must lose some, or the test sees nothing.
//! SIGKILL does not show durability in a power cut (`synchronous=NORMAL` survives it): that is a unit test's matter.

use cardea::adapters::store::SqliteJournal;
use cardea::base::time::WallTime;
use cardea::ports::Journal;
use cardea::schema::event::Event;
use cardea::schema::ids::DeviceId;
use cardea::schema::record::{Draft, Record};
use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use uuid::Uuid;

/// Rounds; `CARDEA_KILLS=500` for a long run.
fn rounds() -> u64 {
    std::env::var("CARDEA_KILLS").ok().map_or(40, |n| n.parse().expect("CARDEA_KILLS is a number"))
}

/// A writer's part: its directory and round, when this process is one.
fn writer() -> Option<(String, u64)> {
    let dir = std::env::var("CARDEA_TEST_WRITER").ok()?;
    Some((dir, std::env::var("CARDEA_TEST_ROUND").ok()?.parse().ok()?))
}

fn id(round: u64, n: u64) -> Uuid {
    Uuid::from_u64_pair(round, n)
}

fn acknowledge(id: Uuid) {
    // Past the harness, which would keep what `print!` writes until the test ends.
    std::io::stdout().write_all(format!("\nack {id}\n").as_bytes()).expect("the parent listens");
}

/// Starts this very test as a writer, kills it once it has acknowledged some records, and returns all ids that it did.
fn killed(test: &str, dir: &Path, round: u64) -> Vec<Uuid> {
    let mut child = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("CARDEA_TEST_WRITER", dir)
        .env("CARDEA_TEST_ROUND", round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    // From none, where it may still be opening its files, to some dozens.
    let enough = usize::try_from(round * 7 % 41).expect("small");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).split(b'\n');
    let mut seen = Vec::new();
    while seen.len() < enough {
        let line = lines.next().expect("the writer goes on until it is killed").expect("reads");
        seen.extend(ack(&line));
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("ends");
    // What is still in the pipe was acknowledged too.
    seen.extend(lines.filter_map(|line| ack(&line.expect("reads"))));
    seen
}

fn ack(line: &[u8]) -> Option<Uuid> {
    let text = std::str::from_utf8(line).ok()?.strip_prefix("ack ")?;
    (text.len() == 36).then(|| text.parse().expect("an id"))
}

#[test]
fn no_acknowledged_record_is_lost_when_the_writer_is_killed() {
    if let Some((dir, round)) = writer() {
        let mut journal = SqliteJournal::open(Path::new(&dir)).expect("opens after every kill");
        for n in 1.. {
            let draft = Draft {
                device: DeviceId::new("front").expect("valid"),
                boot: Uuid::from_u128(u128::from(round)),
                id: id(round, n),
                wall: WallTime { unix_ms: 0, synced: true },
                uptime_ms: n,
                event: Event::AlarmDisk { what: "x".repeat(200) },
            };
            journal.append(&draft).expect("appends");
            acknowledge(draft.id);
        }
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mut acknowledged = Vec::new();
    for round in 0..rounds() {
        acknowledged.extend(killed("no_acknowledged_record_is_lost_when_the_writer_is_killed", dir.path(), round));
    }
    assert!(acknowledged.len() > 300, "only {} records were acknowledged", acknowledged.len());

    let mut journal = SqliteJournal::open(dir.path()).expect("opens");
    let stored = journal.after(0, usize::MAX).expect("reads");
    let ids: HashSet<Uuid> =
        stored.iter().map(|s| serde_json::from_str::<Record>(&s.text).expect("a record").id).collect();
    let lost: Vec<&Uuid> = acknowledged.iter().filter(|id| !ids.contains(id)).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), acknowledged.len());
    // Written but not acknowledged: at most one record in each round.
    assert!(ids.len() <= acknowledged.len() + usize::try_from(rounds()).expect("small"));
    let report = journal.verify().expect("checks");
    assert_eq!((report.first_bad_seq, report.records), (None, stored.len() as u64));
}

#[test]
fn the_same_test_sees_a_buffered_file_lose_records() {
    if let Some((dir, round)) = writer() {
        let file = OpenOptions::new().create(true).append(true).open(Path::new(&dir).join("log")).expect("opens");
        let mut file = BufWriter::new(file);
        for n in 1.. {
            writeln!(file, "{}", id(round, n)).expect("writes");
            acknowledge(id(round, n));
        }
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        acknowledged.extend(killed("the_same_test_sees_a_buffered_file_lose_records", dir.path(), round));
    }
    let stored: HashSet<Uuid> = std::fs::read_to_string(dir.path().join("log"))
        .unwrap_or_default()
        .lines()
        .filter_map(|l| l.parse().ok())
        .collect();
    assert!(acknowledged.iter().any(|id| !stored.contains(id)), "nothing was lost: the test would see no loss");
}
