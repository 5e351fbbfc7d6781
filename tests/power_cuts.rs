//! The power goes while records are written: none that was acknowledged may be lost, and the journal must always open.
//!
//! Two ways. A trace of what a writer did to its files is cut at drawn moments, and of what was not yet synced a drawn
//! part is there, sector by sector, in any order: harsher than most disks. With `CARDEA_POWER_CUTS=200` (`make
//! power-cuts`, root and loop devices) a real ext4 image is copied under a writer that is frozen, and mounted.
//! `synchronous=NORMAL` goes through both as a control and must lose records, or the test sees nothing.

#[path = "support/disk.rs"]
mod disk;

use cardea::adapters::store::SqliteJournal;
use cardea::base::time::WallTime;
use cardea::ports::{Journal, Stored};
use cardea::schema::event::Event;
use cardea::schema::ids::DeviceId;
use cardea::schema::record::{Draft, Record};
use disk::{Call, Disk};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use uuid::Uuid;

const DIR: &str = "CARDEA_TEST_WRITER";
const CARELESS: &str = "CARDEA_TEST_CARELESS";
const LIMIT: &str = "CARDEA_TEST_RECORDS";

fn left_out(test: &str, tool: &str) -> bool {
    if std::env::var("CARDEA_TEST_WITHOUT").is_ok_and(|list| list.split(',').any(|t| t.trim() == tool)) {
        println!("left out: {test} (without {tool})");
        return true;
    }
    let found = std::env::var_os("PATH").is_some_and(|p| std::env::split_paths(&p).any(|d| d.join(tool).is_file()));
    assert!(found, "{tool} is missing; run: apt-get install {tool}");
    false
}

/// When this process is a writer: appends records, some of them several to a commit, and says each id once it is durable.
fn write_if_asked() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let limit: u64 = std::env::var(LIMIT).ok().map_or(u64::MAX, |n| n.parse().expect("a number"));
    let mut journal = SqliteJournal::open(Path::new(&dir)).expect("opens");
    if std::env::var(CARELESS).is_ok() {
        journal.without_waiting_for_the_disk();
    }
    let mut n = 0;
    while n < limit {
        let drafts: Vec<Draft> = (0..if n % 7 == 3 { 5 } else { 1 })
            .map(|i| Draft {
                device: DeviceId::new("front").expect("valid"),
                boot: Uuid::from_u128(1),
                id: Uuid::from_u128(u128::from(n + i)),
                wall: WallTime { unix_ms: 0, synced: true },
                uptime_ms: n + i,
                event: Event::AlarmDisk { what: "x".repeat(200) },
            })
            .collect();
        journal.append_all(&drafts).expect("appends");
        let said: String = drafts.iter().map(|d| format!("\nack {}\n", d.id)).collect();
        std::io::stdout().write_all(said.as_bytes()).expect("the parent listens");
        n += drafts.len() as u64;
        if n % 50 < 5 {
            journal.keep_head().expect("keeps");
        }
    }
    // As the power does: nothing is put away.
    std::process::abort();
}

fn acks(text: &str) -> Vec<Uuid> {
    text.lines().filter_map(|l| l.strip_prefix("ack ")).filter_map(|id| id.trim().parse().ok()).collect()
}

/// Ids of `acknowledged` that a journal does not have; panics when it does not open, or is not in order. One that did not
/// wait for the disk is only read: it is not continued when the head beside it says that records are missing.
fn lost(dir: &Path, acknowledged: &[Uuid], careless: bool) -> usize {
    if careless {
        let stored = SqliteJournal::open_reader(dir).ok().and_then(|mut j| j.after(0, usize::MAX >> 1).ok());
        return missing(&stored.unwrap_or_default(), acknowledged);
    }
    let mut journal = SqliteJournal::open(dir).unwrap_or_else(|e| panic!("the journal does not open: {e}"));
    let report = journal.verify().expect("checks");
    assert_eq!(report.first_bad_seq, None, "{report:?}");
    missing(&journal.after(0, usize::MAX >> 1).expect("reads"), acknowledged)
}

fn missing(stored: &[Stored], acknowledged: &[Uuid]) -> usize {
    let ids: HashSet<Uuid> =
        stored.iter().map(|s| serde_json::from_str::<Record>(&s.text).expect("a record").id).collect();
    acknowledged.iter().filter(|id| !ids.contains(id)).count()
}

/// What a writer did, as strace saw it.
fn traced(test: &str, careless: bool, records: u64) -> Vec<Call> {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("state");
    std::fs::create_dir(&state).expect("makes");
    let trace = dir.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-xx", "-s", "200000", "-e", &format!("trace={}", disk::CALLS), "-o"]).arg(&trace);
    strace.arg(std::env::current_exe().expect("a path"));
    strace.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    strace.env(DIR, &state).env(LIMIT, records.to_string()).stdout(Stdio::null());
    if careless {
        strace.env(CARELESS, "1");
    }
    let _aborts = strace.status().expect("strace runs");
    disk::calls(&std::fs::read_to_string(&trace).expect("strace has written"), &state)
}

/// Cuts a trace at drawn moments; returns records acknowledged in all cuts, and those lost.
fn cuts(calls: &[Call], careless: bool, cuts: usize, seed: u64) -> (usize, usize) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut at: Vec<usize> = (0..cuts).map(|_| rng.next_u64() as usize % (calls.len() + 1)).collect();
    at.sort_unstable();
    let (mut disk, mut followed, mut said) = (Disk::default(), 0, Vec::new());
    let (mut acknowledged, mut missing) = (0, 0);
    for at in at {
        for call in &calls[followed..at] {
            disk.follow(call);
            if let Call::Said(text) = call {
                said.extend(acks(text));
            }
        }
        followed = at;
        let dir = tempfile::tempdir().expect("a directory");
        // The index of the WAL is made anew, the reserve holds nothing.
        disk.cut(&mut rng, dir.path(), &["-shm", ".reserve"]);
        acknowledged += said.len();
        missing += lost(dir.path(), &said, careless);
    }
    (acknowledged, missing)
}

#[test]
fn no_acknowledged_record_is_lost_in_two_hundred_drawn_power_cuts() {
    let test = "no_acknowledged_record_is_lost_in_two_hundred_drawn_power_cuts";
    write_if_asked();
    if left_out(test, "strace") {
        return;
    }
    let calls = traced(test, false, 400);
    let (acknowledged, missing) = cuts(&calls, false, 200, 11);
    println!("200 cuts of {} calls: {missing} of {acknowledged} acknowledged records lost", calls.len());
    assert!(acknowledged > 10_000, "{acknowledged} acknowledged");
    assert_eq!(missing, 0);
}

#[test]
fn the_same_cuts_lose_records_of_a_journal_that_does_not_wait_for_the_disk() {
    let test = "the_same_cuts_lose_records_of_a_journal_that_does_not_wait_for_the_disk";
    write_if_asked();
    if left_out(test, "strace") {
        return;
    }
    let (acknowledged, missing) = cuts(&traced(test, true, 100), true, 20, 11);
    assert!(missing > 0, "none of {acknowledged} was lost: the test would see no loss");
}

fn run(program: &str, args: &[&str]) {
    let out = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// An ext4 image that is mounted while this lives.
struct Mounted(String);

impl Mounted {
    fn new(image: &Path, at: &Path) -> Mounted {
        std::fs::create_dir_all(at).expect("makes");
        run("mount", &["-o", "loop", &image.display().to_string(), &at.display().to_string()]);
        Mounted(at.display().to_string())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _either_way = Command::new("umount").arg(&self.0).status();
    }
}

/// Copies of a mounted image, taken while its writer is frozen: acknowledged and lost.
fn image_cuts(test: &str, careless: bool, cuts: usize) -> (usize, usize) {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let base = tempfile::tempdir().expect("a directory");
    let (image, copy) = (base.path().join("image"), base.path().join("copy"));
    let (mut acknowledged, mut missing) = (0, 0);
    for _ in 0..cuts {
        let file = std::fs::File::create(&image).expect("makes");
        file.set_len(64 << 20).expect("sets");
        run("mke2fs", &["-q", "-F", "-t", "ext4", &image.display().to_string()]);
        let said = {
            let mounted = Mounted::new(&image, &base.path().join("m"));
            let mut writer = Command::new(std::env::current_exe().expect("a path"));
            writer.args(["--exact", test, "--nocapture", "--test-threads=1"]);
            writer.env(DIR, format!("{}/state", mounted.0)).stdout(Stdio::piped());
            if careless {
                writer.env(CARELESS, "1");
            }
            let mut child = writer.spawn().expect("starts");
            let out = BufReader::new(child.stdout.take().expect("piped"));
            let (tx, lines) = std::sync::mpsc::channel();
            let reader = std::thread::spawn(move || {
                for line in out.lines().map_while(Result::ok) {
                    let _over = tx.send(line);
                }
            });
            // Not for luck: the moment of the cut is what is drawn.
            std::thread::sleep(Duration::from_millis(200 + rng.next_u64() % 700));
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("is ours");
            std::thread::sleep(Duration::from_millis(20));
            // What was said by now was said before the copy begins.
            let said: Vec<String> = lines.try_iter().collect();
            run("cp", &["--sparse=always", &image.display().to_string(), &copy.display().to_string()]);
            child.kill().expect("is ours");
            child.wait().expect("ends");
            reader.join().expect("ends");
            said
        };
        let said = acks(&said.join("\n"));
        let mounted = Mounted::new(&copy, &base.path().join("c"));
        acknowledged += said.len();
        missing += lost(&Path::new(&mounted.0).join("state"), &said, careless);
    }
    (acknowledged, missing)
}

#[test]
fn no_acknowledged_record_is_lost_in_power_cuts_of_a_real_image() {
    let test = "no_acknowledged_record_is_lost_in_power_cuts_of_a_real_image";
    write_if_asked();
    let Ok(times) = std::env::var("CARDEA_POWER_CUTS") else {
        println!("left out: {test} (needs root and loop devices: make power-cuts)");
        return;
    };
    let times: usize = times.parse().expect("CARDEA_POWER_CUTS is a number");
    let (acknowledged, missing) = image_cuts(test, false, times);
    println!("{times} cuts of an ext4 image: {missing} of {acknowledged} acknowledged records lost");
    assert!(acknowledged > times, "{acknowledged} acknowledged");
    assert_eq!(missing, 0);
    let (acknowledged, missing) = image_cuts(test, true, 10);
    println!("control, synchronous=NORMAL, 10 cuts: {missing} of {acknowledged} lost");
    assert!(missing > 0, "none of {acknowledged} was lost: the test would see no loss");
}
