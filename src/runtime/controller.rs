//! The controller thread: owns visit, rules, guard and prompt; carries the visit's effects out.
//!
//! The order of a grant is fixed: lockout and guard are looked at before the visit begins, `access.granted` is on the
//! disk before the guard is armed, and the guard alone decides how long the line is active.

mod afar;
mod enrolling;
mod obey;
mod report;
mod ruling;

use super::commands::CommandInbox;
use super::doorway::{Doorway, Hands};
use super::panel::PanelDesk;
use super::recorder::Recorder;
use super::registrar::Registrar;
use super::relearn::{Lessons, WellMatched};
use super::rules::{Factors, Rules, Shown, shown};
use super::snapshot::Shutter;
use super::watch::{SharedWants, Watched};
use super::web::SetupBoard;
use crate::adapters::mqtt::Outbox;
use crate::base::stop::{Heartbeat, Stop};
use crate::base::time::{Clock, Tick};
use crate::domain::enrolment::Outcome;
use crate::domain::observation::Observation;
use crate::domain::screen::{Advice, Phase, Screen, Setup};
use crate::domain::visit::{Decision, Effect, Input, Policy, Visit};
use crate::ports::{DoorGuard, OpenRefusal, PortError, Prompt};
use crate::schema::command::Enrolled;
use crate::schema::event::{Event, OpenedBy, Reason, Verdict};
use crate::schema::ids::{PersonId, VisitId};
use crate::schema::topics::LockState;
use enrolling::Enrolling;
use ruling::Waiting;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// The guard releases the line when it hears nothing for a second: it is told four times as often.
const HEARTBEAT: Duration = Duration::from_millis(200);
/// A verdict stays on the screen for so long before the next visit may begin.
const VERDICT: Duration = Duration::from_millis(2000);
/// A grant without an edge after so long is an alarm.
const EDGE: Duration = Duration::from_millis(700);

/// Makes the policy of the next visit: people may have come or gone.
pub type MakePolicy = Box<dyn FnMut() -> Option<Arc<Policy>> + Send>;

/// Everything that the thread owns.
pub struct Controller {
    pub clock: Arc<dyn Clock>,
    pub inbox: Receiver<Watched>,
    pub wants: Arc<SharedWants>,
    pub policy: Arc<Policy>,
    /// `Some` when it changed.
    pub renew: MakePolicy,
    pub guard: Box<dyn DoorGuard>,
    /// An access panel that is told who came.
    pub panel: Option<PanelDesk>,
    pub doorway: Doorway,
    pub prompt: Box<dyn Prompt>,
    pub recorder: Recorder,
    pub registrar: Registrar,
    /// Where another embedding network is to follow.
    pub lessons: Option<Lessons>,
    /// For pictures that are asked for from afar.
    pub shutter: Shutter,
    pub rules: Rules,
    pub commands: CommandInbox,
    pub outbox: Option<Outbox>,
    pub door: String,
    pub hold: Duration,
    pub passive_pad: bool,
    /// 32 fresh bytes of the kernel's generator for each visit.
    pub seed: Box<dyn FnMut() -> Result<[u8; 32], PortError> + Send>,
    pub beat: Heartbeat,
    pub guard_lost: Arc<std::sync::atomic::AtomicBool>,
    /// How to set the terminal up, while it has no administrator.
    pub setup: SetupBoard,
    /// While nobody is there: what of it the display shows.
    pub resting: Option<Option<Setup>>,
    pub stop: Stop,
}

/// What changes from visit to visit.
struct Turn {
    visit: Visit,
    number: u64,
    /// The next visit begins after this, and only when nobody granted is still standing there.
    resume: Option<Tick>,
    granted: bool,
    last_face: Option<Tick>,
    /// A grant that waits for its edge.
    awaiting: Option<Tick>,
    /// A visit that waits for a second factor.
    factor: Option<Waiting>,
    /// For the network that is to come next.
    well_matched: WellMatched,
    /// Somebody is enrolled; no visit runs meanwhile.
    enrolling: Option<Enrolling>,
    /// What was shown while the visit ran: the last of it.
    early: Option<Shown>,
    factors: Factors,
    last_beat: Option<Tick>,
    last_renew: Tick,
}

/// People are looked for anew this often while nobody is there.
const RENEW: Duration = Duration::from_secs(2);

impl Controller {
    /// The thread's life; returns why it ended when that was a fault, and the guard, whose process must not see its
    /// daemon go before it is told to end.
    pub fn run(mut self) -> (Option<String>, Box<dyn DoorGuard>) {
        let mut turn = match self.next_visit(0) {
            Ok(t) => t,
            Err(e) => return (Some(e.to_string()), self.guard),
        };
        self.recall_lockdown();
        self.show(Screen::IDLE);
        let mut fault = None;
        while !self.stop.requested() {
            let now = self.clock.now();
            self.beat.beat(now);
            self.look_after_guard(&mut turn, now);
            if turn.resume.is_some_and(|r| now >= r) && !self.still_there(&turn, now) {
                match self.next_visit(turn.number) {
                    Ok(next) => turn = Turn { last_beat: turn.last_beat, awaiting: turn.awaiting, ..next },
                    Err(e) => {
                        fault = Some(e.to_string());
                        break;
                    }
                }
                self.show(Screen::IDLE);
            }
            if self.resting.is_some_and(|shown| shown != self.setup.at(now)) {
                self.show(Screen::IDLE);
            }
            self.obey(&mut turn);
            self.go_on_enrolling(&mut turn, now);
            self.follow_rules(&mut turn, now);
            self.at_the_door(|door, hands| door.tick(now, hands));
            let rules = self.rules.next_deadline().into_iter().chain(turn.factor.as_ref().map(Waiting::until));
            let due = turn.visit.next_deadline().into_iter().chain(self.doorway.next_deadline()).chain(rules).min();
            let deadline = due.map_or(HEARTBEAT, |d| d.since(now)).min(HEARTBEAT / 2);
            match self.inbox.recv_timeout(deadline.max(Duration::from_millis(1))) {
                Ok(Watched::Seen(o)) => self.seen(&mut turn, &o),
                Ok(Watched::Door(news)) => {
                    let now = self.clock.now();
                    self.at_the_door(|door, hands| door.news(now, &news, hands));
                    self.close_if_it_must(&mut turn);
                }
                Ok(Watched::Shown(what)) => self.shown_factor(&mut turn, what),
                Ok(Watched::DoorLost(what)) => {
                    let now = self.clock.now();
                    self.at_the_door(|door, hands| door.lost(now, what, hands));
                    self.close_if_it_must(&mut turn);
                }
                Ok(Watched::Broken(what)) => {
                    self.step(&mut turn, Input::Refuse(Reason::Degraded));
                    self.recorder.record(Event::AlarmModels { what: what.clone() });
                    fault = Some(what);
                    break;
                }
                Ok(Watched::Ended) | Err(RecvTimeoutError::Disconnected) => {
                    self.finish_pulse(&mut turn);
                    break;
                }
                Ok(Watched::Web(d)) => self.visit_from_afar(&mut turn, &d),
                Ok(Watched::Command) => {}
                Err(RecvTimeoutError::Timeout) => self.step(&mut turn, Input::Time),
            }
        }
        self.end_enrolment(&mut turn, Outcome::Not(Enrolled::Stopped));
        self.step(&mut turn, Input::Stop);
        self.show(Screen { phase: Phase::Unavailable, advice: Some(Advice::Later), ..Screen::IDLE });
        (fault, self.guard)
    }

    fn next_visit(&mut self, number: u64) -> Result<Turn, PortError> {
        let now = self.clock.now();
        if let Some(policy) = (self.renew)() {
            self.policy = policy;
        }
        let number = number + 1;
        let visit = Visit::new(self.policy.clone(), VisitId(number), (self.seed)()?);
        self.wants.set(visit.wants(now), false);
        Ok(Turn {
            visit,
            number,
            resume: None,
            granted: false,
            last_face: None,
            awaiting: None,
            factor: None,
            well_matched: WellMatched::new(),
            enrolling: None,
            early: None,
            factors: Factors::default(),
            last_beat: None,
            last_renew: now,
        })
    }

    /// Whoever was let in is expected to walk through before the next visit begins.
    fn still_there(&self, turn: &Turn, now: Tick) -> bool {
        turn.granted && turn.last_face.is_some_and(|l| now.since(l) < Duration::from_millis(800))
    }

    fn seen(&mut self, turn: &mut Turn, o: &Observation) {
        if self.seen_enrolling(turn, o) {
            return;
        }
        let now = self.clock.now();
        if o.face.is_some() {
            turn.last_face = Some(o.captured);
        } else if !turn.visit.is_running() && turn.resume.is_none() && now.since(turn.last_renew) >= RENEW {
            turn.last_renew = now;
            if let Some(policy) = (self.renew)() {
                self.policy = policy;
                if let Ok(seed) = (self.seed)() {
                    turn.visit = Visit::new(self.policy.clone(), VisitId(turn.number), seed);
                }
            }
        }
        if let Some(lessons) = self.lessons.as_ref().filter(|_| turn.visit.is_running()) {
            lessons.note(&self.policy, o, &mut turn.well_matched);
        }
        self.step(turn, Input::Seen(o));
    }

    /// One input into the visit, its effects out of it.
    fn step(&mut self, turn: &mut Turn, input: Input<'_>) {
        if turn.enrolling.is_some() {
            return;
        }
        let now = self.clock.now();
        let effects = turn.visit.handle(now, input);
        let ruling = self.ruling(turn, now, &effects);
        let mut started = false;
        for effect in effects {
            match effect {
                Effect::Show(screen) => self.show(shown(screen, ruling.as_ref())),
                Effect::Record(event) => {
                    started |= matches!(event, Event::VisitStarted { .. });
                    self.recorder.record(event);
                }
                Effect::Decided(d) => self.decided(turn, now, &d, ruling.as_ref()),
            }
        }
        if let (true, Some(reason)) = (started, self.not_ready(now)) {
            // Nobody is asked anything that could not open the door.
            self.step(turn, Input::Refuse(reason));
        }
        let soon = now + Duration::from_millis(33);
        // Faces seen while nobody is asked anything keep the watch awake by themselves.
        self.wants.set(turn.visit.wants(soon), turn.visit.is_running());
    }

    fn at_the_door(&mut self, what: impl FnOnce(&mut Doorway, &mut Hands<'_>)) {
        let recorder = &self.recorder;
        let entered = Cell::new(None);
        let record = |event| {
            if let Event::DoorOpened { by: OpenedBy::Grant, visit: Some(visit) } = &event {
                entered.set(Some(*visit));
            }
            recorder.record(event);
        };
        let (outbox, hold) = (self.outbox.as_ref(), self.hold);
        what(&mut self.doorway, &mut Hands { guard: &mut *self.guard, record: &record, outbox, hold });
        if let Some(visit) = entered.get() {
            self.rules.opened(self.clock.now(), self.clock.wall(), visit);
        }
    }

    /// A visit does not outlive a housing that is opened.
    fn close_if_it_must(&mut self, turn: &mut Turn) {
        if let Some(reason) = self.doorway.closed_for().filter(|_| turn.visit.is_running()) {
            self.step(turn, Input::Refuse(reason));
        }
    }

    /// Gate 0: why no visit may begin now.
    fn not_ready(&mut self, now: Tick) -> Option<Reason> {
        if self.rules.locked_out(now) {
            Some(Reason::LockedOut)
        } else if self.recorder.failing() {
            // The disk may be back: an attempt to write tells.
            self.recorder.commit(Event::SystemReady {}).err().map(|_| Reason::JournalFailed)
        } else if self.guard_lost.load(std::sync::atomic::Ordering::Relaxed) {
            Some(Reason::RelayFault)
        } else if self.panel_missing() {
            Some(Reason::Panel)
        } else {
            self.doorway.closed_for()
        }
    }

    /// Log, then open, or tell the panel that opens. `Err(None)` is a second grant within a pulse: neither a denial nor a second pulse.
    fn grant(&mut self, d: &Decision) -> Result<(), Option<Reason>> {
        let Some(person) = d.person.clone() else { return Err(Some(Reason::NoMatch)) };
        if self.panel_alone() {
            return self.report(d, person).map_err(Some);
        }
        let event = Event::AccessGranted {
            visit: d.visit,
            person: person.clone(),
            door: self.door.clone(),
            decision_ms: millis(d.at.since(d.began)),
            passive_pad: self.passive_pad,
        };
        if let Err(e) = self.recorder.commit(event) {
            tracing::error!(error = %e, "the grant could not be written: the door stays shut");
            return Err(Some(Reason::JournalFailed));
        }
        let refused = match self.guard.open(d.visit, self.hold) {
            Ok(()) => {
                let now = self.clock.now();
                self.at_the_door(|door, hands| door.granted(now, d.visit, hands));
                self.tell_panel(d.visit, &person);
                return Ok(());
            }
            Err(r) => r,
        };
        let reason = match refused {
            OpenRefusal::Coalesced => {
                self.recorder.record(Event::RelayCoalesced { visit: d.visit });
                return Err(None);
            }
            OpenRefusal::Rate => Reason::RelayRate,
            OpenRefusal::Fault | OpenRefusal::Nonce | OpenRefusal::Unavailable => Reason::RelayFault,
        };
        self.recorder.record(Event::AlarmRelay { what: format!("granted, but the guard did not open: {refused:?}") });
        Err(Some(reason))
    }

    fn charge(&mut self, now: Tick, verdict: Verdict, reason: Option<Reason>, person: Option<&PersonId>) {
        let pauses = self.rules.charge(now, verdict, reason, person);
        for pause in &pauses {
            let (failures, seconds) = (pause.failures, pause.lasts.as_secs());
            self.recorder.record(Event::AlarmLockout { failures, seconds, person: pause.person.clone() });
        }
        if pauses.iter().any(|p| p.person.is_none()) {
            self.show(Screen { phase: Phase::Unavailable, advice: Some(Advice::Later), ..Screen::IDLE });
        }
    }

    /// Heartbeat, edges, and the alarm for a grant without one.
    fn look_after_guard(&mut self, turn: &mut Turn, now: Tick) {
        use std::sync::atomic::Ordering;
        if turn.last_beat.is_none_or(|b| now.since(b) >= HEARTBEAT) {
            turn.last_beat = Some(now);
            let lost = self.guard.heartbeat().err();
            let was = self.guard_lost.swap(lost.is_some(), Ordering::Relaxed);
            match (was, lost) {
                (false, Some(e)) => {
                    self.recorder.record(Event::AlarmGuard { what: e.to_string() });
                    self.lock_state(LockState::Jammed);
                }
                (true, None) => {
                    self.recorder.record(Event::SystemGuard { what: "connected".into() });
                    self.lock_state(LockState::Locked);
                }
                _ => {}
            }
        }
        for edge in self.guard.edges() {
            self.doorway.edge(&edge);
            let (visit, at_ns, cause) = (edge.visit, edge.at.as_nanos(), edge.cause);
            if edge.energised {
                turn.awaiting = None;
                self.recorder.record(Event::RelayEnergised { visit, at_ns, cause });
                self.lock_state(LockState::Unlocked);
            } else {
                self.recorder.record(Event::RelayReleased { visit, at_ns, cause });
                self.lock_state(LockState::Locked);
            }
        }
        if turn.awaiting.is_some_and(|since| now.since(since) > EDGE) {
            turn.awaiting = None;
            self.recorder.record(Event::AlarmRelay { what: "granted, but the line did not change".into() });
        }
    }

    /// A recording that is over does not cut a pulse short that it began.
    fn finish_pulse(&mut self, turn: &mut Turn) {
        self.step(turn, Input::Stop);
        let begun = self.clock.now();
        let mut active = turn.granted;
        while active && self.clock.now().since(begun) < self.hold + EDGE && !self.stop.requested() {
            let now = self.clock.now();
            self.beat.beat(now);
            if turn.last_beat.is_none_or(|b| now.since(b) >= HEARTBEAT) {
                turn.last_beat = Some(now);
                active &= self.guard.heartbeat().is_ok();
            }
            for edge in self.guard.edges() {
                let (visit, at_ns, cause) = (edge.visit, edge.at.as_nanos(), edge.cause);
                let event = if edge.energised {
                    Event::RelayEnergised { visit, at_ns, cause }
                } else {
                    active = false;
                    Event::RelayReleased { visit, at_ns, cause }
                };
                self.recorder.record(event);
                self.lock_state(if edge.energised { LockState::Unlocked } else { LockState::Locked });
            }
            self.stop.wait(Duration::from_millis(20));
        }
    }

    fn lock_state(&self, state: LockState) {
        if let Some(outbox) = &self.outbox {
            outbox.lock_state(state);
        }
    }

    fn show(&mut self, mut screen: Screen) {
        self.resting = None;
        if screen == Screen::IDLE {
            screen.setup = self.setup.at(self.clock.now());
            self.resting = Some(screen.setup);
        }
        if let Err(e) = self.prompt.show(&screen) {
            tracing::warn!(error = %e, "the prompt is gone; the door works on");
        }
    }
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}
