//! Commands from afar, carried out by the controller between two frames.

use super::{Controller, Turn};
use crate::adapters::mqtt::Outbox;
use crate::base::time::Tick;
use crate::domain::visit::{Input, Visit};
use crate::ports::OpenRefusal;
use crate::runtime::commands::Job;
use crate::runtime::doorway::NO_VISIT;
use crate::schema::command::{Answer, Command, CommandError, CommandName, Via};
use crate::schema::event::{Event, Reason};
use crate::schema::ids::PersonId;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Controller {
    /// Carries one command out, if one waits. Its record is on the disk, and its id used up, before anything moves.
    pub(super) fn obey(&mut self, turn: &mut Turn) {
        let Some(job) = self.commands.take() else { return };
        let command = job.passed.command.clone();
        let name = command.name();
        if matches!(name, CommandName::Unlock | CommandName::Hold)
            && let Some(error) = self.shut()
        {
            return self.commands.refuse(job, error);
        }
        if let Some(error) = self.cannot_enrol(turn, &command) {
            return self.commands.refuse(job, error);
        }
        let Job { passed, mut reply } = job;
        let (id, via) = (passed.id, passed.via);
        let accepted = Event::CommandAccepted { id: id.clone(), command: name.word().into(), via: via.word().into() };
        let mut answer =
            Answer { id, command: name.word().into(), error: Some(CommandError::Failed), ..Answer::default() };
        match self.recorder.commit(accepted) {
            Ok(record) => answer.seq = Some(record.seq),
            Err(e) => {
                tracing::error!(error = %e, command = name.word(), "a command could not be written: it is not carried out");
                return reply(answer);
            }
        }
        let done = match (name.changes().then(|| self.commands.keep()), command) {
            (Some(Err(e)), _) => Err(e.to_string()),
            // These two answer when they have come to an end.
            (_, command @ Command::Enroll { .. }) if via == Via::Mqtt => {
                return self.begin_enrolment(turn, command, answer, reply);
            }
            (_, Command::Snapshot) if via == Via::Mqtt && self.outbox.is_some() => {
                return match &self.outbox {
                    Some(outbox) => self.shutter.publish(outbox, answer, reply),
                    None => reply(answer),
                };
            }
            (_, Command::Remove { person }) => self.remove(turn, &person).map(|receipt| answer.receipt = receipt),
            (_, command) => self.carry_out(turn, command, via),
        };
        match done {
            Ok(()) => (answer.ok, answer.error) = (true, None),
            Err(why) => tracing::warn!(command = name.word(), why, "a command was accepted and failed"),
        }
        reply(answer);
    }

    /// The state of a lockdown from before the start.
    pub(super) fn recall_lockdown(&mut self) {
        let on = self.commands.lockdown();
        self.doorway.set_lockdown(on);
    }

    /// Why nobody can be let in from afar either.
    pub(super) fn shut(&self) -> Option<CommandError> {
        if self.doorway.closed_for() == Some(Reason::Lockdown) {
            Some(CommandError::Lockdown)
        } else if self.doorway.closed_for().is_some() || self.guard_lost.load(Ordering::Relaxed) {
            Some(CommandError::Failed)
        } else {
            None
        }
    }

    fn carry_out(&mut self, turn: &mut Turn, command: Command, via: Via) -> Result<(), String> {
        let now = self.clock.now();
        match command {
            Command::Unlock => self.unlock(turn, now),
            Command::Lock => {
                self.at_the_door(|door, hands| door.lock(now, hands));
                // Ends a pulse; a lease that nobody renews ends by itself.
                self.guard.door_opened().map_err(|e| e.to_string())
            }
            Command::Hold { until_ms } => {
                let left = u64::try_from(until_ms.saturating_sub(self.clock.wall().unix_ms)).unwrap_or(0);
                let until = now + Duration::from_millis(left);
                self.at_the_door(|door, hands| door.hold(now, Some(until), hands));
                Ok(())
            }
            Command::Lockdown => self.lockdown(turn, true),
            Command::Release => self.lockdown(turn, false),
            Command::Sync => self.outbox.as_ref().map(Outbox::resync).ok_or_else(no_broker),
            Command::Replay { after, limit } if via == Via::Mqtt => {
                let taken = self.outbox.as_ref().is_some_and(|o| o.replay(after, limit));
                taken.then_some(()).ok_or_else(|| "four replays wait already".to_owned())
            }
            Command::Ping => Ok(()),
            Command::Replay { .. } | Command::Snapshot | Command::Enroll { .. } | Command::Remove { .. } => {
                Err("there is no such thing this way".to_owned())
            }
        }
    }

    /// Begins or ends a lockdown, by a command or by an order that an administrator left.
    pub(super) fn lockdown(&mut self, turn: &mut Turn, on: bool) -> Result<(), String> {
        let now = self.clock.now();
        let kept = self.commands.set_lockdown(on);
        if !on {
            kept.map_err(|e| e.to_string())?;
            self.doorway.set_lockdown(false);
            return Ok(());
        }
        self.doorway.set_lockdown(true);
        self.at_the_door(|door, hands| door.hold(now, None, hands));
        self.close_if_it_must(turn);
        let locked = self.guard.door_opened();
        kept.and(locked).map_err(|e| e.to_string())
    }

    fn unlock(&mut self, turn: &mut Turn, now: Tick) -> Result<(), String> {
        match self.guard.open(NO_VISIT, self.hold) {
            Ok(()) => {
                turn.awaiting = Some(now);
                self.at_the_door(|door, hands| door.commanded(now, hands));
                Ok(())
            }
            Err(OpenRefusal::Coalesced) => {
                self.recorder.record(Event::RelayCoalesced { visit: NO_VISIT });
                Ok(())
            }
            Err(why) => {
                let what = format!("a command was accepted, but the guard did not open: {why:?}");
                self.recorder.record(Event::AlarmRelay { what: what.clone() });
                Err(what)
            }
        }
    }

    /// Whoever is removed is not let in by a visit that is running either. Returns the name of the receipt.
    fn remove(&mut self, turn: &mut Turn, person: &PersonId) -> Result<Option<String>, String> {
        let removed = self.registrar.remove(&self.recorder, person).map_err(|e| e.to_string())?;
        let receipt = removed.ok_or("there is no such person")?;
        if turn.visit.is_running() {
            self.step(turn, Input::Refuse(Reason::Stopped));
        }
        let policy = (self.renew)().ok_or("the people could not be loaded again; the next visit tries again")?;
        self.policy = policy;
        if !turn.visit.is_running() && turn.resume.is_none() {
            let seed = (self.seed)().map_err(|e| e.to_string())?;
            turn.visit = Visit::new(self.policy.clone(), crate::schema::ids::VisitId(turn.number), seed);
        }
        Ok(receipt)
    }
}

fn no_broker() -> String {
    "no broker is configured".to_owned()
}
