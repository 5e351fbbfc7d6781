//! An enrolment from afar, between two visits: frames go to it instead of to the visit, until it ends.

use super::{Controller, Turn, VERDICT};
use crate::base::time::Tick;
use crate::domain::access::Attributes;
use crate::domain::enrolment::{Enrolment, Outcome};
use crate::domain::observation::Observation;
use crate::domain::screen::Screen;
use crate::ports::Reply;
use crate::schema::command::{Answer, Command, CommandError, Enrolled};
use crate::schema::event::Event;
use crate::schema::ids::PersonId;

/// The one that is under way.
pub(super) struct Enrolling {
    steps: Enrolment,
    person: PersonId,
    attributes: Attributes,
    shown: Screen,
    /// As the sender was told that it began.
    accepted: Answer,
    reply: Reply,
}

impl Controller {
    /// Why an enrolment cannot begin now; asked before anything is recorded as accepted.
    pub(super) fn cannot_enrol(&self, turn: &Turn, command: &Command) -> Option<CommandError> {
        let Command::Enroll { groups, .. } = command else { return None };
        // Whoever was let in a moment ago may still stand there.
        let idle = !turn.visit.is_running()
            && turn.resume.is_none()
            && turn.factor.is_none()
            && turn.awaiting.is_none()
            && turn.enrolling.is_none();
        if let Some(error) = self.shut() {
            Some(error)
        } else if !self.rules.are_groups(groups) {
            Some(CommandError::Malformed)
        } else {
            (!idle).then_some(CommandError::Busy)
        }
    }

    /// Begins; the sender is told so, and told again at the end.
    pub(super) fn begin_enrolment(&mut self, turn: &mut Turn, command: Command, mut answer: Answer, mut reply: Reply) {
        let Command::Enroll { person, groups, valid_to_ms } = command else { return };
        (answer.ok, answer.error, answer.result) = (true, None, Some(Enrolled::Accepted));
        reply(answer.clone());
        let policy = &self.policy;
        let now = self.clock.now();
        let steps = Enrolment::new(now, policy.pad.clone(), policy.pad_frames, policy.mirrored);
        let attributes = Attributes { groups, valid_to_ms, ..Attributes::default() };
        let shown = steps.screen();
        let known = self.registrar.knows(&person);
        turn.enrolling = Some(Enrolling { steps, person, attributes, shown, accepted: answer, reply });
        match known {
            Ok(false) => {
                self.wants.set(Enrolment::WANTS, true);
                self.show(shown);
            }
            Ok(true) => self.end_enrolment(turn, Outcome::Not(Enrolled::NameTaken)),
            Err(e) => {
                tracing::error!(error = %e, "nobody can be enrolled");
                self.end_enrolment(turn, Outcome::Not(Enrolled::Failed));
            }
        }
    }

    /// Whether the frame went to an enrolment.
    pub(super) fn seen_enrolling(&mut self, turn: &mut Turn, o: &Observation) -> bool {
        let now = self.clock.now();
        let Some(e) = &mut turn.enrolling else { return false };
        let outcome = e.steps.see(now, o);
        let screen = e.steps.screen();
        let fresh = std::mem::replace(&mut e.shown, screen) != screen;
        match outcome {
            Some(outcome) => self.end_enrolment(turn, outcome),
            None if fresh => self.show(screen),
            None => {}
        }
        true
    }

    /// Time passes; what shuts the door ends an enrolment too.
    pub(super) fn go_on_enrolling(&mut self, turn: &mut Turn, now: Tick) {
        let Some(e) = &mut turn.enrolling else { return };
        let outcome = match self.doorway.closed_for() {
            Some(_) => Some(Outcome::Not(Enrolled::Stopped)),
            None => e.steps.tick(now),
        };
        if let Some(outcome) = outcome {
            self.end_enrolment(turn, outcome);
        }
    }

    /// Stores or does not, records it either way, and tells the sender.
    pub(super) fn end_enrolment(&mut self, turn: &mut Turn, outcome: Outcome) {
        let Some(mut e) = turn.enrolling.take() else { return };
        let poses = e.steps.poses();
        let (result, seq) = match outcome {
            Outcome::Not(why) => (why, None),
            Outcome::Pictures(all) => {
                let now_ms = self.clock.wall().unix_ms;
                match self.registrar.enrol(&self.recorder, &e.person, all, &e.attributes, now_ms) {
                    Ok(seq) => (Enrolled::Stored, Some(seq)),
                    Err(why) => (why, None),
                }
            }
        };
        let mut answer = Answer { seq, result: Some(result), ..e.accepted };
        if result != Enrolled::Stored {
            let reason = result.word().to_owned();
            let record = self.recorder.commit(Event::PersonNotEnrolled { person: e.person, reason, poses });
            (answer.ok, answer.error, answer.seq) = (false, Some(CommandError::Failed), record.ok().map(|r| r.seq));
        }
        (e.reply)(answer);
        // The next visit begins with the people as they are then.
        turn.resume = Some(self.clock.now() + VERDICT);
        self.show(Screen::IDLE);
    }
}
