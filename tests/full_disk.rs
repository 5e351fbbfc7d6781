//! A disk that fills up, by the recorder and the journal of a daemon: the alarm, ten thousand records more, a refusal that
//! damages nothing, and the way back by itself. Needs root, for a RAM disk of its own.

use cardea::adapters::store::SqliteJournal;
use cardea::adapters::system::SystemClock;
use cardea::base::time::Clock;
use cardea::ports::Journal;
use cardea::runtime::recorder::{Listeners, Recorder, Stamp};
use cardea::schema::event::Event;
use cardea::schema::ids::DeviceId;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A RAM disk while this lives.
struct RamDisk {
    at: PathBuf,
    _base: tempfile::TempDir,
}

impl RamDisk {
    fn new(megabytes: u32) -> Option<RamDisk> {
        let base = tempfile::tempdir().expect("a directory");
        let at = base.path().join("m");
        std::fs::create_dir(&at).expect("makes");
        let size = format!("size={megabytes}m");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&at).output();
        done.is_ok_and(|out| out.status.success()).then_some(RamDisk { at, _base: base })
    }
}

impl Drop for RamDisk {
    fn drop(&mut self) {
        let _either_way = Command::new("umount").arg(&self.at).status();
    }
}

fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn event(n: u64) -> Event {
    Event::AlarmCamera { what: format!("record {n} {}", "x".repeat(100)) }
}

#[test]
fn a_disk_that_fills_up_is_an_alarm_costs_no_record_and_heals_by_itself() {
    let test = "a_disk_that_fills_up_is_an_alarm_costs_no_record_and_heals_by_itself";
    let Some(disk) = RamDisk::new(64) else {
        println!("left out: {test} (needs root, to mount a RAM disk)");
        return;
    };
    let state = disk.at.join("state");
    let journal = SqliteJournal::open(&state).expect("opens");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let device = DeviceId::new("front").expect("valid");
    let stamp = Stamp { device, boot: Uuid::from_u128(1), started: clock.now() };
    let (recorder, thread) = Recorder::start(Box::new(journal), clock, stamp, Listeners::default()).expect("a thread");
    recorder.commit(Event::SystemReady {}).expect("committed");
    assert!(!recorder.starved());

    // Somebody else fills the disk.
    let filler = disk.at.join("filler");
    let mut file = std::fs::File::create(&filler).expect("makes");
    while file.write_all(&[7; 4096]).is_ok() {}
    let mut acknowledged = 0;
    let mut n = 0;
    while !recorder.starved() {
        n += 1;
        assert!(n < 20_000, "the disk never ran out");
        recorder.commit(event(n)).expect("there is the reserve");
        acknowledged += 1;
    }
    let before = acknowledged;
    // All that the reserve holds, and then a refusal.
    let refused = loop {
        n += 1;
        match recorder.commit(event(n)) {
            Ok(_) => acknowledged += 1,
            Err(e) => break e,
        }
        assert!(n < 200_000, "the reserve never ran out");
    };
    assert!(refused.to_string().contains("free space"), "{refused}");
    assert!(recorder.failing());
    println!("{} records in the reserve", acknowledged - before);
    assert!(acknowledged - before >= 10_000, "{} records in the reserve", acknowledged - before);

    drop(file);
    std::fs::remove_file(&filler).expect("removes");
    until("room, without anybody recording", || !recorder.starved() && !recorder.failing());
    recorder.commit(event(0)).expect("goes on");
    drop(recorder);
    thread.join().expect("the recorder ends");

    let mut journal = SqliteJournal::open(&state).expect("opens");
    assert_eq!(journal.verify().expect("checks").first_bad_seq, None);
    let texts: Vec<String> = journal.after(0, usize::MAX >> 1).expect("reads").into_iter().map(|s| s.text).collect();
    let of = |kind: &str| texts.iter().filter(|t| t.contains(&format!(r#""type":"{kind}""#))).count();
    assert_eq!((of("alarm.disk"), of("system.disk")), (1, 1));
    assert_eq!(of("alarm.camera") as u64, acknowledged + 1, "what was acknowledged is there, and nothing else");
}
