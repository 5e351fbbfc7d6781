//! The way of a command from afar to the controller: judged on the caller's thread, then one bounded queue.
//!
//! Whoever takes commands (MQTT client, web server) holds a [`CommandSender`]. Judging takes microseconds and never waits,
//! so a flood costs its own thread a little time and the controller nothing: only what passed gets into the queue, and of
//! that at most a few in a minute. The controller carries one command out between two frames.
//!
//! ```text
//!   MQTT client --offer--\                                      /--> record, then the door
//!   web server  --order--+-> gatekeeper -> queue -> controller -+
//!                              \-> refused: record and answer    \--> answer
//! ```

use super::recorder::Recorder;
use super::watch::Watched;
use crate::base::time::Clock;
use crate::domain::command::{Counts, Gate, GateRules, Offer, Passed, Refused};
use crate::ports::{CommandDesk, CommandStore, PortError, Recovery, Reply};
use crate::schema::command::{Answer, Command, CommandError, Memory, Via};
use crate::schema::event::Event;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Commands that passed and wait for the controller.
const QUEUE: usize = 16;
/// A controller that has not answered by then hangs.
const ANSWER: Duration = Duration::from_secs(5);

/// The sending end: cheap to clone, for any thread.
///
/// The web server, for somebody who is signed in and may open the door:
///
/// ```text
/// // POST /api/v1/door/unlock, inside of tokio::task::spawn_blocking:
/// let answer = commands.ask(Via::Web, &request_id, Command::Unlock);
/// // answer.ok; answer.error says `lockdown`, `rate` or `failed`; answer.seq is the record's number.
/// ```
///
/// Where nothing may block, [`CommandDesk::order`] takes a closure instead, for example one that fills a
/// `tokio::sync::oneshot`. `id` is 1 to 64 characters of the caller's choice and stands in the record.
#[derive(Clone)]
pub struct CommandSender(Arc<Shared>);

struct Shared {
    gate: Mutex<Gate>,
    queue: SyncSender<Job>,
    wake: SyncSender<Watched>,
    recorder: Recorder,
    clock: Arc<dyn Clock>,
    overrun: AtomicU64,
}

/// A command on its way.
pub struct Job {
    pub passed: Passed,
    pub reply: Reply,
}

/// The controller's end.
pub struct CommandInbox {
    jobs: Receiver<Job>,
    sender: CommandSender,
    store: Box<dyn CommandStore>,
}

/// How commands stand; a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandStatus {
    pub lockdown: bool,
    pub counts: Counts,
    /// Passed, and dropped because sixteen waited already.
    pub overrun: u64,
}

/// Both ends, with what is known from before the restart. `wake` is the controller's own queue.
///
/// # Errors
/// What was kept cannot be read: whether the door is locked down is then not known.
pub fn commands(
    rules: GateRules,
    mut store: Box<dyn CommandStore>,
    recorder: Recorder,
    clock: Arc<dyn Clock>,
    wake: SyncSender<Watched>,
) -> Result<(CommandSender, CommandInbox), PortError> {
    let memory = match store.load()? {
        None => Memory::default(),
        Some(text) => Memory::from_text(&text).map_err(|e| {
            let hint =
                "restore it from a backup, or remove it: that ends a lockdown and forgets which commands were used";
            PortError::new("read commands.json of the state directory", e, hint, Recovery::Fatal)
        })?,
    };
    let (queue, jobs) = sync_channel(QUEUE);
    let gate = Mutex::new(Gate::new(rules, memory));
    let sender = CommandSender(Arc::new(Shared { gate, queue, wake, recorder, clock, overrun: AtomicU64::new(0) }));
    Ok((sender.clone(), CommandInbox { jobs, sender, store }))
}

impl CommandSender {
    /// Gives a command and waits for its answer, at most five seconds; see [`CommandDesk::order`].
    #[must_use]
    pub fn ask(&self, via: Via, id: &str, command: Command) -> Answer {
        let name = command.name().word().to_owned();
        let (tx, rx) = channel();
        self.order(via, id, command, Box::new(move |answer| drop(tx.send(answer))));
        rx.recv_timeout(ANSWER).unwrap_or(Answer {
            id: id.to_owned(),
            command: name,
            ok: false,
            error: Some(CommandError::Failed),
            ..Answer::default()
        })
    }

    /// How commands stand.
    #[must_use]
    pub fn status(&self) -> CommandStatus {
        let gate = self.gate();
        CommandStatus {
            lockdown: gate.lockdown(),
            counts: gate.counts().clone(),
            overrun: self.0.overrun.load(Ordering::Relaxed),
        }
    }

    /// Records what a flood left without records of its own; to be called every few seconds.
    pub fn sum_up(&self) {
        let summed = self.gate().sum_up(self.0.clock.now());
        if let Some((count, error)) = summed {
            self.0.recorder.record(Event::CommandRejected {
                id: String::new(),
                command: String::new(),
                via: Via::Mqtt.word().into(),
                error: error.word().into(),
                count: Some(count),
            });
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        // A holder that panicked ended the process.
        self.0.gate.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn settle(&self, judged: Result<Passed, Refused>, reply: Reply) {
        match judged {
            Ok(passed) => self.enqueue(Job { passed, reply }),
            Err(refused) => self.refuse(refused, reply),
        }
    }

    fn enqueue(&self, job: Job) {
        match self.0.queue.try_send(job) {
            // A full queue of the controller means that it is awake.
            Ok(()) => drop(self.0.wake.try_send(Watched::Command)),
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                self.0.overrun.fetch_add(1, Ordering::Relaxed);
                let Job { passed: Passed { id, via, command }, reply } = job;
                let name = command.name().word().to_owned();
                self.refuse(Refused { id, via, name, error: CommandError::Rate }, reply);
            }
        }
    }

    fn refuse(&self, refused: Refused, mut reply: Reply) {
        let told = self.gate().is_told(self.0.clock.now(), refused.error);
        if told || matches!(refused.via, Via::Web | Via::Cli) {
            let Refused { id, via, name, error } = refused;
            let event = Event::CommandRejected {
                id: id.clone(),
                command: name.clone(),
                via: via.word().into(),
                error: error.word().into(),
                count: None,
            };
            let answer = move |seq| {
                reply(Answer { id, command: name, error: Some(error), seq, ..Answer::default() });
            };
            self.0.recorder.record_then(event, Box::new(answer));
        }
    }
}

impl CommandDesk for CommandSender {
    fn offer(&self, offer: &Offer<'_>, reply: Reply) {
        let judged = self.gate().judge(self.0.clock.now(), self.0.clock.wall(), offer);
        self.settle(judged, reply);
    }

    fn order(&self, via: Via, id: &str, command: Command, reply: Reply) {
        let judged = self.gate().judge_trusted(self.0.clock.now(), self.0.clock.wall(), via, id, command);
        self.settle(judged, reply);
    }
}

impl CommandInbox {
    /// The next command; never waits.
    pub fn take(&mut self) -> Option<Job> {
        self.jobs.try_recv().ok()
    }

    /// Whether nobody is let in.
    #[must_use]
    pub fn lockdown(&self) -> bool {
        self.sender.gate().lockdown()
    }

    /// Begins or ends a lockdown, durable on return; also when this fails a begun one is in force, and one that should
    /// have ended too.
    ///
    /// # Errors
    /// It could not be written.
    pub fn set_lockdown(&mut self, on: bool) -> Result<(), PortError> {
        self.sender.gate().set_lockdown(on);
        let kept = self.keep();
        if kept.is_err() {
            self.sender.gate().set_lockdown(true);
        }
        kept
    }

    /// Makes it durable which commands were used.
    ///
    /// # Errors
    /// It could not be written.
    pub fn keep(&mut self) -> Result<(), PortError> {
        let text = self.sender.gate().memory().text();
        self.store.save(&text)
    }

    /// Refuses a command that had passed.
    pub fn refuse(&self, job: Job, error: CommandError) {
        let Job { passed: Passed { id, via, command }, reply } = job;
        self.sender.refuse(Refused { id, via, name: command.name().word().into(), error }, reply);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::store::{CommandFile, SqliteJournal};
    use crate::base::time::{ManualClock, Tick};
    use crate::ports::Journal;
    use crate::runtime::recorder::{Listeners, Stamp};
    use crate::schema::command::CommandName;
    use crate::schema::ids::DeviceId;
    use tempfile::TempDir;

    struct Rig {
        sender: CommandSender,
        inbox: CommandInbox,
        watched: Receiver<Watched>,
        dir: TempDir,
        recorder: Recorder,
    }

    fn rig(dir: TempDir) -> Result<Rig, PortError> {
        let journal = SqliteJournal::open(dir.path()).expect("a journal");
        let device = DeviceId::new("front").expect("valid");
        let stamp = Stamp { device, boot: uuid::Uuid::from_u128(1), started: Tick::ZERO };
        let clock = Arc::new(ManualClock::new(1_795_243_200_000));
        let listeners = Listeners::default();
        let (recorder, _thread) =
            Recorder::start(Box::new(journal), clock.clone(), stamp, listeners).expect("a thread");
        let rules = GateRules { device: "front".into(), enabled: CommandName::ALL.into(), ..GateRules::default() };
        let (wake, watched) = sync_channel(4);
        let store = Box::new(CommandFile::open(dir.path()).expect("a store"));
        let (sender, inbox) = commands(rules, store, recorder.clone(), clock, wake)?;
        Ok(Rig { sender, inbox, watched, dir, recorder })
    }

    fn fresh() -> Rig {
        rig(tempfile::tempdir().expect("a directory")).expect("opens")
    }

    /// Offers a payload on `cmd/ping`; where the answer will be.
    fn offer(rig: &Rig, payload: &str) -> Receiver<Answer> {
        let (tx, rx) = channel();
        let offer = Offer {
            via: Via::Mqtt,
            name: "ping",
            payload: payload.as_bytes(),
            retained: false,
            expiry: None,
            correlation: None,
        };
        rig.sender.offer(&offer, Box::new(move |a| drop(tx.send(a))));
        rx
    }

    fn records(rig: &Rig) -> Vec<String> {
        rig.recorder.flush();
        let mut journal = SqliteJournal::open_reader(rig.dir.path()).expect("opens");
        journal.after(0, 1_000).expect("reads").into_iter().map(|r| r.text).collect()
    }

    #[test]
    fn a_command_that_passes_wakes_the_controller_and_one_that_does_not_is_recorded_and_answered() {
        let mut rig = fresh();
        let _answer_of_the_controller = offer(&rig, r#"{"id":"a1"}"#);
        assert!(matches!(rig.watched.try_recv(), Ok(Watched::Command)));
        assert_eq!(rig.inbox.take().expect("one").passed.id, "a1");
        let answer = offer(&rig, "{").recv_timeout(ANSWER).expect("an answer");
        assert_eq!((answer.error, answer.seq), (Some(CommandError::Malformed), Some(1)));
        let all = records(&rig);
        assert!(
            all.len() == 1 && all[0].contains(r#""type":"command.rejected","id":"","command":"ping","via":"mqtt""#)
        );
        assert!(rig.watched.try_recv().is_err() && rig.inbox.take().is_none());
    }

    #[test]
    fn a_hundred_thousand_bad_commands_leave_the_queue_empty_and_twenty_records() {
        let mut rig = fresh();
        for n in 0..100_000_u32 {
            let _nobody_listens = offer(&rig, &format!(r#"{{"id":{n}}}"#));
        }
        assert!(rig.inbox.take().is_none() && rig.watched.try_recv().is_err());
        assert_eq!(rig.sender.status().counts.refused[&CommandError::Malformed], 100_000);
        assert_eq!(records(&rig).len(), 20);
        let answer = offer(&rig, r#"{"id":"a1"}"#);
        assert!(rig.inbox.take().is_some(), "what is good still passes");
        drop(answer);
    }

    #[test]
    fn a_queue_that_nobody_empties_is_bounded_and_counted() {
        let rig = fresh();
        let mut overrun = 0;
        for command in [Command::Lock, Command::Ping, Command::Sync] {
            for n in 0..8 {
                let (tx, rx) = channel();
                rig.sender.order(Via::Web, &format!("w{n}"), command.clone(), Box::new(move |a| drop(tx.send(a))));
                if rig.sender.status().overrun > overrun {
                    overrun += 1;
                    let answer = rx.recv_timeout(ANSWER).expect("told at once");
                    assert_eq!(answer.error, Some(CommandError::Rate));
                }
            }
        }
        assert_eq!(overrun, 24 - QUEUE as u64);
    }

    #[test]
    fn a_lockdown_outlives_a_restart_and_a_torn_memory_stops_the_start() {
        let mut first = fresh();
        first.inbox.set_lockdown(true).expect("kept");
        let Rig { dir, .. } = first;
        let mut second = rig(dir).expect("opens");
        assert!(second.sender.status().lockdown && second.inbox.lockdown());
        let answer = second.sender.ask(Via::Web, "w1", Command::Unlock);
        assert_eq!(answer.error, Some(CommandError::Lockdown));
        second.inbox.set_lockdown(false).expect("kept");
        let Rig { dir, .. } = second;
        std::fs::write(dir.path().join("commands.json"), "{\"lockdown\":").expect("writes");
        let error = rig(dir).err().expect("refused").to_string();
        assert!(error.contains("commands.json") && error.contains("remove it"), "{error}");
    }

    #[test]
    fn a_disk_that_does_not_take_the_end_of_a_lockdown_leaves_it_in_force() {
        let mut rig = fresh();
        rig.inbox.set_lockdown(true).expect("kept");
        std::fs::remove_file(rig.dir.path().join("commands.json")).expect("removed");
        std::fs::create_dir(rig.dir.path().join("commands.json")).expect("in the way");
        assert!(rig.inbox.set_lockdown(false).is_err());
        assert!(rig.sender.status().lockdown);
    }
}
