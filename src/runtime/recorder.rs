//! The one owner of the journal: commits each event, then tells everybody who listens.

mod desk;

use crate::adapters::mqtt::Outbox;
use crate::adapters::system::{random, uuid_v7};
use crate::base::time::{Clock, Tick};
use crate::ports::{Journal, PortError, Recovery};
use crate::schema::event::Event;
use crate::schema::ids::DeviceId;
use crate::schema::record::{Draft, Record};
use desk::Desk;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use uuid::Uuid;

/// Events that may wait for the disk. A full queue makes the sender wait: events are never lost.
const QUEUE: usize = 1024;
/// A grant that is not on the disk by then is no grant.
const COMMIT: Duration = Duration::from_secs(2);

enum Message {
    Event(Event),
    /// The sender waits for the commit.
    Commit(Event, Sender<Result<Record, PortError>>),
    /// Whoever sent it is called with what became of it, and does not wait.
    Then(Event, After),
    /// Everything before this is committed.
    Flush(Sender<()>),
}

/// Called on the recorder's thread with the number of the record; `None` when it could not be written.
pub type After = Box<dyn FnOnce(Option<u64>) + Send>;

/// The sending end; clones share the queue.
#[derive(Clone)]
pub struct Recorder {
    queue: SyncSender<Message>,
    health: Arc<RecorderHealth>,
}

/// How the journal stands.
#[derive(Debug, Default)]
pub struct RecorderHealth {
    failing: AtomicBool,
    starved: AtomicBool,
    seq: AtomicU64,
    /// Records since the start, by type.
    counts: Mutex<BTreeMap<String, u64>>,
}

/// Who is told of committed records beside the journal.
#[derive(Default)]
pub struct Listeners {
    pub outbox: Option<Outbox>,
    /// Standard output, one line a record.
    pub lines: bool,
    /// The console.
    pub feed: Option<super::web::Feed>,
    /// Records that the journal keeps; all of them without a number.
    pub keep: Option<u64>,
}

/// What stands in every record of this start.
#[derive(Clone, Debug)]
pub struct Stamp {
    pub device: DeviceId,
    pub boot: Uuid,
    pub started: Tick,
}

impl Recorder {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        mut journal: Box<dyn Journal>,
        clock: Arc<dyn Clock>,
        stamp: Stamp,
        listeners: Listeners,
    ) -> Result<(Recorder, JoinHandle<()>), PortError> {
        let (queue, inbox) = sync_channel(QUEUE);
        let health = Arc::new(RecorderHealth::default());
        let thread = std::thread::Builder::new().name("recorder".into());
        let shared = health.clone();
        let handle = thread
            .spawn(move || Desk::new(&mut *journal, &*clock, &stamp, &listeners, &shared).work(&inbox))
            .map_err(|e| PortError::new("start the recorder", e, "free some memory", Recovery::Fatal))?;
        Ok((Recorder { queue, health }, handle))
    }

    /// Puts an event into the queue; waits only when a thousand wait already.
    pub fn record(&self, event: Event) {
        if self.queue.send(Message::Event(event)).is_err() {
            tracing::error!("the recorder has ended; an event is lost");
        }
    }

    /// Returns when the event is on the disk.
    ///
    /// # Errors
    /// It is not: the disk refused, or took longer than two seconds.
    pub fn commit(&self, event: Event) -> Result<Record, PortError> {
        let failed = |cause: &str| PortError::new("commit a record", cause, "check the disk", Recovery::Degrade);
        let (reply, answer) = channel();
        self.queue.try_send(Message::Commit(event, reply)).map_err(|_| failed("the queue is full"))?;
        answer.recv_timeout(COMMIT).map_err(|_| failed("no answer within two seconds"))?
    }

    /// Puts an event into the queue and never waits; `after` is told of its record. A queue that is full of events that may
    /// not be lost takes no such event, and `after` is told that at once.
    pub fn record_then(&self, event: Event, after: After) {
        if let Err(TrySendError::Full(m) | TrySendError::Disconnected(m)) =
            self.queue.try_send(Message::Then(event, after))
            && let Message::Then(_, after) = m
        {
            after(None);
        }
    }

    /// Waits until everything so far is committed.
    pub fn flush(&self) {
        let (reply, answer) = channel();
        if self.queue.send(Message::Flush(reply)).is_ok() {
            let _ended = answer.recv_timeout(COMMIT * 5);
        }
    }

    /// Whether the last record could not be written.
    #[must_use]
    pub fn failing(&self) -> bool {
        self.health.failing.load(Ordering::Relaxed)
    }

    /// Whether records go to the space that was held back for a full disk.
    #[must_use]
    pub fn starved(&self) -> bool {
        self.health.starved.load(Ordering::Relaxed)
    }

    /// Records since the start, by type.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.health.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Newest sequence number.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.health.seq.load(Ordering::Relaxed)
    }
}

fn draft(clock: &dyn Clock, stamp: &Stamp, event: Event) -> Result<Draft, PortError> {
    let wall = clock.wall();
    let uptime = clock.now().since(stamp.started).as_millis();
    Ok(Draft {
        device: stamp.device.clone(),
        boot: stamp.boot,
        id: uuid_v7(wall.unix_ms, random()?),
        wall,
        uptime_ms: u64::try_from(uptime).unwrap_or(u64::MAX),
        event,
    })
}

fn tell(listeners: &Listeners, record: &Record, kind: &str) {
    if let Some(outbox) = &listeners.outbox {
        outbox.recorded(record);
    }
    if let Some(feed) = &listeners.feed {
        let _nobody_looks = feed.send(record.text().into());
    }
    if listeners.lines {
        let mut out = std::io::stdout().lock();
        // A reader that has gone away is no reason to stop a door.
        let _closed = writeln!(out, "{}", record.text()).and_then(|()| out.flush());
    }
    tracing::info!(seq = record.seq, event = kind, "{kind}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::ManualClock;
    use crate::ports::{ChainReport, LogGap, Stored};
    use crate::schema::ids::{PersonId, VisitId};
    use std::sync::Mutex;

    /// A journal in memory that can be told to fail, and that shows what shared a commit.
    #[derive(Clone, Default)]
    struct Memory {
        texts: Arc<Mutex<Vec<String>>>,
        commits: Arc<Mutex<Vec<usize>>>,
        full: Arc<AtomicBool>,
        starved: Arc<AtomicBool>,
        pruned: Arc<Mutex<Vec<u64>>>,
        /// A commit that finds it set waits until it is not.
        slow: Arc<AtomicBool>,
    }

    impl Journal for Memory {
        fn append(&mut self, draft: &Draft) -> Result<Record, PortError> {
            Ok(self.append_all(std::slice::from_ref(draft))?.remove(0))
        }
        fn append_all(&mut self, drafts: &[Draft]) -> Result<Vec<Record>, PortError> {
            while self.slow.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            if self.full.load(Ordering::Relaxed) {
                return Err(PortError::new("write", "disk full", "free space", Recovery::Degrade));
            }
            let mut texts = self.texts.lock().expect("memory mutex: no holder panics");
            self.commits.lock().expect("memory mutex: no holder panics").push(drafts.len());
            let mut seal = |d: &Draft| {
                let record = d.seal(texts.len() as u64 + 1, String::new());
                texts.push(record.text());
                record
            };
            Ok(drafts.iter().map(&mut seal).collect())
        }
        fn starved(&mut self) -> bool {
            self.starved.load(Ordering::Relaxed)
        }
        fn surplus(&mut self, keep: u64) -> Result<Option<LogGap>, PortError> {
            let here = self.texts.lock().expect("memory mutex: no holder panics").len() as u64;
            let done = self.pruned.lock().expect("memory mutex: no holder panics").last().copied().unwrap_or(0);
            Ok((here > keep && done == 0).then(|| LogGap { first: 1, last: here - keep, hash: "ab".into() }))
        }
        fn prune(&mut self, gap: &Draft) -> Result<Record, PortError> {
            if let Event::SystemLogGap { last, .. } = gap.event {
                self.pruned.lock().expect("memory mutex: no holder panics").push(last);
            }
            self.append(gap)
        }
        fn after(&mut self, _: u64, _: usize) -> Result<Vec<Stored>, PortError> {
            Ok(Vec::new())
        }
        fn head(&mut self) -> Result<Option<(u64, String)>, PortError> {
            Ok(None)
        }
        fn verify(&mut self) -> Result<ChainReport, PortError> {
            Ok(ChainReport { records: 0, first_bad_seq: None, cause: None })
        }
        fn cursor(&mut self, _: &str) -> Result<u64, PortError> {
            Ok(0)
        }
        fn set_cursor(&mut self, _: &str, _: u64) -> Result<(), PortError> {
            Ok(())
        }
    }

    impl Memory {
        fn texts(&self) -> Vec<String> {
            self.texts.lock().expect("memory mutex: no holder panics").clone()
        }
        fn kinds(&self) -> Vec<String> {
            let kind = |t: &String| serde_json::from_str::<Record>(t).expect("a record").event.kind();
            self.texts().iter().map(kind).collect()
        }
    }

    fn start_with(keep: Option<u64>) -> (Recorder, JoinHandle<()>, Memory) {
        let journal = Memory::default();
        let stamp =
            Stamp { device: DeviceId::new("front").expect("valid"), boot: Uuid::from_u128(1), started: Tick::ZERO };
        let clock = Arc::new(ManualClock::new(0));
        let listeners = Listeners { keep, ..Listeners::default() };
        let (r, h) = Recorder::start(Box::new(journal.clone()), clock, stamp, listeners).expect("starts");
        (r, h, journal)
    }

    fn start() -> (Recorder, JoinHandle<()>, Memory) {
        start_with(None)
    }

    fn granted() -> Event {
        let (visit, person) = (VisitId(1), PersonId::new("ada").expect("valid"));
        Event::AccessGranted { visit, person, door: "front".into(), decision_ms: 1, passive_pad: true }
    }

    /// Polls for what the recorder's thread does by itself.
    fn until(what: &str, done: impl Fn() -> bool) {
        let begun = std::time::Instant::now();
        while !done() {
            assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_commit_returns_with_the_record_and_events_keep_their_order() {
        let (r, handle, journal) = start();
        r.record(Event::SystemReady {});
        assert_eq!(r.commit(Event::SystemStopped {}).expect("committed").seq, 2);
        assert_eq!(r.seq(), 2);
        drop(r);
        handle.join().expect("the recorder ends");
        assert_eq!(journal.kinds(), ["system.ready", "system.stopped"]);
    }

    #[test]
    fn what_waits_shares_a_commit_and_a_grant_has_its_own_in_its_place() {
        let (r, handle, journal) = start();
        journal.slow.store(true, Ordering::Relaxed);
        r.record(Event::SystemReady {});
        // The first may be on its way alone already; everything else waits behind it.
        for _ in 0..10 {
            r.record(Event::DoorForced {});
        }
        let (reply, answer) = channel();
        r.queue.try_send(Message::Commit(granted(), reply)).expect("has room");
        for _ in 0..100 {
            r.record(Event::DoorExitRequested {});
        }
        let (tx, then) = channel();
        r.record_then(Event::SystemReady {}, Box::new(move |seq| tx.send(seq).expect("is waited for")));
        journal.slow.store(false, Ordering::Relaxed);
        assert_eq!(answer.recv().expect("answers").expect("committed").seq, 12);
        assert_eq!(then.recv().expect("is told"), Some(113));
        drop(r);
        handle.join().expect("the recorder ends");
        let kinds = journal.kinds();
        assert!(kinds[1..11].iter().all(|k| k == "door.forced") && kinds[11] == "access.granted");
        assert!(kinds[12..112].iter().all(|k| k == "door.exit_requested") && kinds[112] == "system.ready");
        let commits = journal.commits.lock().expect("memory mutex: no holder panics").clone();
        assert!(commits.iter().all(|n| *n <= desk::GROUP), "{commits:?}");
        assert!(commits.len() <= 6, "113 records in a few commits: {commits:?}");
        let mut upto = 0;
        let own = commits.iter().any(|n| {
            upto += n;
            *n == 1 && upto == 12
        });
        assert!(own, "the grant shared a commit: {commits:?}");
    }

    #[test]
    fn a_commit_that_fails_is_told_to_everybody_in_it() {
        let (r, _handle, journal) = start();
        journal.slow.store(true, Ordering::Relaxed);
        journal.full.store(true, Ordering::Relaxed);
        let (tx, told) = channel();
        for _ in 0..5 {
            let tx = tx.clone();
            r.record_then(Event::DoorForced {}, Box::new(move |seq| tx.send(seq).expect("is waited for")));
        }
        journal.slow.store(false, Ordering::Relaxed);
        for _ in 0..5 {
            assert_eq!(told.recv().expect("is told"), None);
        }
        assert!(r.failing() && journal.texts().is_empty());
    }

    #[test]
    fn a_full_disk_is_told_to_who_waits_and_stands_in_the_health() {
        let (r, _handle, journal) = start();
        journal.full.store(true, Ordering::Relaxed);
        assert!(r.commit(Event::SystemReady {}).is_err());
        assert!(r.failing());
        journal.full.store(false, Ordering::Relaxed);
        assert!(r.commit(Event::SystemReady {}).is_ok());
        assert!(!r.failing());
    }

    #[test]
    fn a_disk_that_fills_is_an_alarm_once_and_its_end_is_recorded_without_another_event() {
        let (r, _handle, journal) = start();
        r.commit(Event::SystemReady {}).expect("committed");
        journal.starved.store(true, Ordering::Relaxed);
        r.commit(Event::DoorForced {}).expect("committed");
        until("the alarm", || r.seq() == 3);
        assert!(r.starved());
        r.commit(Event::DoorForced {}).expect("committed");
        journal.starved.store(false, Ordering::Relaxed);
        until("the end of it", || journal.texts().len() == 5);
        // The disk is looked at after each answer: the alarm stands before or behind the first door.forced.
        let kinds = journal.kinds();
        assert_eq!(kinds.iter().filter(|k| *k == "alarm.disk").count(), 1, "{kinds:?}");
        assert_eq!(kinds[3..], ["door.forced", "system.disk"], "{kinds:?}");
        assert!(!r.starved());
    }

    #[test]
    fn an_alarm_that_could_not_be_written_is_written_when_it_can_be() {
        let (r, _handle, journal) = start();
        journal.starved.store(true, Ordering::Relaxed);
        journal.full.store(true, Ordering::Relaxed);
        assert!(r.commit(Event::DoorForced {}).is_err());
        until("it was looked at", || r.starved());
        journal.full.store(false, Ordering::Relaxed);
        r.commit(Event::DoorForced {}).expect("committed");
        until("the alarm", || journal.texts().len() == 2);
        assert_eq!(journal.kinds(), ["door.forced", "alarm.disk"]);
    }

    #[test]
    fn a_ring_that_is_too_full_lets_the_oldest_go_and_says_so() {
        let (r, _handle, journal) = start_with(Some(3));
        for _ in 0..5 {
            r.commit(Event::DoorForced {}).expect("committed");
        }
        until("the record of it", || journal.texts().len() == 6);
        assert!(journal.texts()[5].contains(r#""type":"system.log_gap","first":1,"last":2,"hash":"ab""#));
        assert_eq!((journal.pruned.lock().expect("no holder panics").clone(), r.seq()), (vec![2], 6));
        let (all, _handle, journal) = start_with(None);
        for _ in 0..5 {
            all.commit(Event::DoorForced {}).expect("committed");
        }
        assert_eq!(journal.texts().len(), 5);
    }
}
