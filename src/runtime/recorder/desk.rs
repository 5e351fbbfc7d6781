//! The recorder's own work: what shares a commit, what the disk has to say, and what is done while nothing comes.

use super::{After, Listeners, Message, RecorderHealth, Stamp, draft, tell};
use crate::base::time::{Clock, Tick};
use crate::ports::{Journal, PortError};
use crate::schema::event::Event;
use crate::schema::record::Record;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// Records that share a commit at most: a grant behind them waits for one write of the disk, not for each of theirs.
pub(super) const GROUP: usize = 64;
/// How long nothing must have come before the head is kept, old records go and the disk is asked again.
const QUIET: Duration = Duration::from_secs(1);
/// A head is kept beside the journal this often while records come, and told to the system's log so often.
const KEEP: Duration = Duration::from_secs(60);
const TELL: Duration = Duration::from_secs(3600);
/// A record about a disk that takes none is tried again this often.
const AGAIN: Duration = Duration::from_secs(10);
/// Without a quiet second the ring is looked after this often.
const BUSY: u64 = 1000;

/// Everything that the thread owns.
pub(super) struct Desk<'a> {
    pub journal: &'a mut dyn Journal,
    pub clock: &'a dyn Clock,
    pub stamp: &'a Stamp,
    pub listeners: &'a Listeners,
    pub health: &'a RecorderHealth,
    /// What the journal says last of the disk: whether it is full.
    said_full: bool,
    tried: Option<Tick>,
    kept: Tick,
    told: Option<Tick>,
    since_tidy: u64,
}

/// An event, and who waits for it.
struct Job {
    event: Event,
    reply: Option<Sender<Result<Record, PortError>>>,
    after: Option<After>,
}

/// What opens a door has a commit of its own: it neither waits for others to come nor fails with them.
fn alone(event: &Event) -> bool {
    matches!(event, Event::AccessGranted { .. } | Event::AccessReported { .. } | Event::CommandAccepted { .. })
}

impl<'a> Desk<'a> {
    pub fn new(
        journal: &'a mut dyn Journal,
        clock: &'a dyn Clock,
        stamp: &'a Stamp,
        listeners: &'a Listeners,
        health: &'a RecorderHealth,
    ) -> Self {
        let kept = clock.now();
        Desk {
            journal,
            clock,
            stamp,
            listeners,
            health,
            said_full: false,
            tried: None,
            kept,
            told: None,
            since_tidy: 0,
        }
    }

    /// Until every sender is gone.
    pub fn work(&mut self, inbox: &Receiver<Message>) {
        loop {
            match inbox.recv_timeout(QUIET) {
                Ok(first) => self.serve(first, inbox),
                Err(RecvTimeoutError::Timeout) => self.tidy(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.since_tidy >= BUSY {
                self.tidy();
            }
        }
    }

    /// A message and those that lie in the queue already; nothing is waited for.
    fn serve(&mut self, first: Message, inbox: &Receiver<Message>) {
        let mut group = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            let job = match message {
                Message::Event(event) => Job { event, reply: None, after: None },
                Message::Commit(event, reply) => Job { event, reply: Some(reply), after: None },
                Message::Then(event, after) => Job { event, reply: None, after: Some(after) },
                Message::Flush(done) => {
                    self.commit(std::mem::take(&mut group));
                    let _nobody_waits = done.send(());
                    next = inbox.try_recv().ok();
                    continue;
                }
            };
            let alone = alone(&job.event);
            if alone {
                self.commit(std::mem::take(&mut group));
            }
            group.push(job);
            if alone || group.len() == GROUP {
                self.commit(std::mem::take(&mut group));
            }
            next = if self.since_tidy >= BUSY { None } else { inbox.try_recv().ok() };
        }
        self.commit(group);
        self.look_at_the_disk();
    }

    /// All of them in one commit, then everybody who waits is told, in order.
    fn commit(&mut self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        self.since_tidy += jobs.len() as u64;
        let drafts: Result<Vec<_>, _> = jobs.iter().map(|j| draft(self.clock, self.stamp, j.event.clone())).collect();
        let result = drafts.and_then(|d| self.journal.append_all(&d));
        self.health.failing.store(result.is_err(), Ordering::Relaxed);
        match result {
            Ok(records) => {
                for (job, record) in jobs.into_iter().zip(records) {
                    self.written(&record);
                    if let Some(after) = job.after {
                        after(Some(record.seq));
                    }
                    if let Some(reply) = job.reply {
                        let _gave_up = reply.send(Ok(record));
                    }
                }
            }
            Err(e) => {
                tracing::error!(error = %e, records = jobs.len(), "records could not be written");
                for job in jobs {
                    if let Some(after) = job.after {
                        after(None);
                    }
                    if let Some(reply) = job.reply {
                        let (what, cause, hint) = (e.what.clone(), &e.cause, e.hint.clone());
                        let _gave_up = reply.send(Err(PortError::new(what, cause, hint, e.recovery)));
                    }
                }
            }
        }
    }

    fn written(&self, record: &Record) {
        self.health.seq.store(record.seq, Ordering::Relaxed);
        let kind = record.event.kind();
        tell(self.listeners, record, &kind);
        *self.health.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    /// Records when the space that is held back is in use, and when it is held back again.
    fn look_at_the_disk(&mut self) {
        let full = self.journal.starved();
        self.health.starved.store(full, Ordering::Relaxed);
        let now = self.clock.now();
        let failing = self.health.failing.load(Ordering::Relaxed);
        if full == self.said_full || (failing && self.tried.is_some_and(|t| now.since(t) < AGAIN)) {
            return;
        }
        self.tried = Some(now);
        let event = if full {
            Event::AlarmDisk { what: "the disk is full: records go to the space that was held back for them".into() }
        } else {
            Event::SystemDisk { what: "there is room again, and space is held back anew".into() }
        };
        self.commit(vec![Job { event, reply: None, after: None }]);
        // One that could not be written is told later, should it still be so.
        self.said_full = if self.health.failing.load(Ordering::Relaxed) { self.said_full } else { full };
    }

    /// What has time: the disk, the ring, the head that is kept beside the journal.
    fn tidy(&mut self) {
        self.since_tidy = 0;
        self.look_at_the_disk();
        if let Err(e) = self.let_go() {
            tracing::error!(error = %e, "old records could not be let go; it is tried again");
        }
        let now = self.clock.now();
        if now.since(self.kept) < KEEP {
            return;
        }
        self.kept = now;
        match self.journal.keep_head() {
            Ok(Some(head)) if self.told.is_none_or(|t| now.since(t) >= TELL) => {
                self.told = Some(now);
                tracing::info!(seq = head.seq, hash = head.hash, sig = head.sig, key = head.key, "journal head");
            }
            Ok(_) => {}
            Err(e) => tracing::warn!(error = %e, "the newest head could not be kept beside the journal"),
        }
    }

    fn let_go(&mut self) -> Result<(), PortError> {
        let Some(keep) = self.listeners.keep else { return Ok(()) };
        let Some(gap) = self.journal.surplus(keep)? else { return Ok(()) };
        let event = Event::SystemLogGap { first: gap.first, last: gap.last, hash: gap.hash };
        let record = self.journal.prune(&draft(self.clock, self.stamp, event)?)?;
        self.written(&record);
        Ok(())
    }
}
