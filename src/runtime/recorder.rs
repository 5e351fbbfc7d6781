//! The one owner of the journal: commits each event, then tells everybody who listens.

use crate::adapters::mqtt::Outbox;
use crate::adapters::system::{random, uuid_v7};
use crate::base::time::{Clock, Tick};
use crate::ports::{Journal, PortError, Recovery};
use crate::schema::event::Event;
use crate::schema::ids::DeviceId;
use crate::schema::record::{Draft, Record};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
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
            .spawn(move || record(&mut *journal, &*clock, &stamp, &listeners, &inbox, &shared))
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

/// The thread: ends when every sender is gone.
fn record(
    journal: &mut dyn Journal,
    clock: &dyn Clock,
    stamp: &Stamp,
    listeners: &Listeners,
    inbox: &Receiver<Message>,
    health: &RecorderHealth,
) {
    while let Ok(message) = inbox.recv() {
        let (event, reply, after) = match message {
            Message::Event(e) => (e, None, None),
            Message::Commit(e, reply) => (e, Some(reply), None),
            Message::Then(e, after) => (e, None, Some(after)),
            Message::Flush(done) => {
                let _nobody_waits = done.send(());
                continue;
            }
        };
        let result = draft(clock, stamp, event).and_then(|d| journal.append(&d));
        health.failing.store(result.is_err(), Ordering::Relaxed);
        match &result {
            Ok(r) => {
                health.seq.store(r.seq, Ordering::Relaxed);
                let kind = r.event.kind();
                tell(listeners, r, &kind);
                let mut counts = health.counts.lock().unwrap_or_else(PoisonError::into_inner);
                *counts.entry(kind).or_default() += 1;
            }
            Err(e) => tracing::error!(error = %e, "a record could not be written"),
        }
        if let Some(after) = after {
            after(result.as_ref().ok().map(|r| r.seq));
        }
        if let Some(reply) = reply {
            let _gave_up = reply.send(result);
        }
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
    use crate::ports::{ChainReport, Stored};
    use std::sync::Mutex;

    /// A journal in memory that can be told to fail.
    struct Memory {
        texts: Arc<Mutex<Vec<String>>>,
        full: Arc<AtomicBool>,
    }

    impl Journal for Memory {
        fn append(&mut self, draft: &Draft) -> Result<Record, PortError> {
            if self.full.load(Ordering::Relaxed) {
                return Err(PortError::new("write", "disk full", "free space", Recovery::Degrade));
            }
            let mut texts = self.texts.lock().expect("memory mutex: no holder panics");
            let record = draft.seal(texts.len() as u64 + 1, String::new());
            texts.push(record.text());
            Ok(record)
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

    type Started = (Recorder, JoinHandle<()>, Arc<Mutex<Vec<String>>>, Arc<AtomicBool>);

    fn start() -> Started {
        let (texts, full) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let journal = Memory { texts: Arc::clone(&texts), full: Arc::clone(&full) };
        let stamp =
            Stamp { device: DeviceId::new("front").expect("valid"), boot: Uuid::from_u128(1), started: Tick::ZERO };
        let clock = Arc::new(ManualClock::new(0));
        let (r, h) = Recorder::start(Box::new(journal), clock, stamp, Listeners::default()).expect("starts");
        (r, h, texts, full)
    }

    #[test]
    fn a_commit_returns_with_the_record_and_events_keep_their_order() {
        let (r, handle, texts, _) = start();
        r.record(Event::SystemReady {});
        assert_eq!(r.commit(Event::SystemStopped {}).expect("committed").seq, 2);
        assert_eq!(r.seq(), 2);
        drop(r);
        handle.join().expect("the recorder ends");
        let texts = texts.lock().expect("memory mutex: no holder panics");
        assert!(texts[0].contains("system.ready") && texts[1].contains("system.stopped"));
    }

    #[test]
    fn a_full_disk_is_told_to_who_waits_and_stands_in_the_health() {
        let (r, _handle, _, full) = start();
        full.store(true, Ordering::Relaxed);
        assert!(r.commit(Event::SystemReady {}).is_err());
        assert!(r.failing());
        full.store(false, Ordering::Relaxed);
        assert!(r.commit(Event::SystemReady {}).is_ok());
        assert!(!r.failing());
    }
}
