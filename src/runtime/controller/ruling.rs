//! The controller between a visit that ended well and the door: asks the rules, waits for a second factor, charges.

use super::{Controller, Turn, VERDICT, millis};
use crate::base::time::Tick;
use crate::domain::access::Refusal;
use crate::domain::screen::{Phase, Screen};
use crate::domain::visit::{Decision, Effect, Input};
use crate::runtime::rules::{Factors, Ruling, Shown, shown};
use crate::schema::event::{Event, Reason, Verdict};

/// A visit that ended well and lacks a second factor.
pub(super) struct Waiting {
    decision: Decision,
    until: Tick,
    factors: Factors,
}

impl Waiting {
    pub(super) fn until(&self) -> Tick {
        self.until
    }
}

/// What a visit that ended well shows, before the rules have their say.
const GRANTED: Screen = Screen { phase: Phase::Done, verdict: Some(Verdict::Granted), ..Screen::IDLE };

impl Controller {
    /// What the rules say to a visit that has just ended well; `None` where none has.
    pub(super) fn ruling(&mut self, turn: &mut Turn, now: Tick, effects: &[Effect]) -> Option<Ruling> {
        let decision = effects.iter().find_map(|e| match e {
            Effect::Decided(d) if d.verdict == Verdict::Granted => Some(d),
            _ => None,
        })?;
        // Whoever showed the card while being looked at need not show it again.
        let early = turn.early.take().zip(decision.person.as_ref());
        turn.factors = Factors::default();
        let wrong = early.is_some_and(|(s, person)| !self.rules.show(person, &s, &mut turn.factors));
        match self.rules.judge(now, self.clock.wall(), decision, turn.factors) {
            Ruling::Factor(_) if wrong => Some(not_theirs()),
            ruling => Some(ruling),
        }
    }

    /// A visit ended: at once, or after waiting for what the rules still ask for.
    pub(super) fn decided(&mut self, turn: &mut Turn, now: Tick, d: &Decision, ruling: Option<&Ruling>) {
        match ruling {
            Some(Ruling::Factor(window)) => {
                turn.factor = Some(Waiting { decision: d.clone(), until: now + *window, factors: turn.factors });
            }
            Some(Ruling::Second) => {
                turn.resume = Some(now + VERDICT);
                self.call_for_help(turn, d);
            }
            Some(Ruling::Refused(refusal)) => self.conclude(turn, now, d, Some(refusal), true),
            Some(Ruling::Allowed) | None => self.conclude(turn, now, d, None, true),
        }
    }

    /// PIN or card came.
    pub(super) fn shown_factor(&mut self, turn: &mut Turn, what: Shown) {
        let now = self.clock.now();
        let Some(mut waiting) = turn.factor.take() else {
            if turn.visit.is_running() {
                turn.early = Some(what);
            }
            return;
        };
        let person = waiting.decision.person.clone();
        let right = person.is_some_and(|p| self.rules.show(&p, &what, &mut waiting.factors));
        turn.factors = waiting.factors;
        let ruling = if right {
            self.rules.judge(now, self.clock.wall(), &waiting.decision, waiting.factors)
        } else {
            not_theirs()
        };
        if let Ruling::Factor(_) = ruling {
            turn.factor = Some(waiting);
            return;
        }
        self.show(shown(GRANTED, Some(&ruling)));
        self.decided(turn, now, &waiting.decision, Some(&ruling));
    }

    /// As time passes: orders, office hours, and waiting that ends.
    pub(super) fn follow_rules(&mut self, turn: &mut Turn, now: Tick) {
        let wall = self.clock.wall();
        for event in self.rules.tick(now, wall) {
            self.recorder.record(event);
        }
        self.end_by_new_rules(turn, now);
        if let Some(on) = self.rules.ordered_lockdown()
            && let Err(why) = self.lockdown(turn, on)
        {
            tracing::error!(why, on, "the lockdown that was ordered could not be kept");
        }
        let shut = self.doorway.closed_for();
        for event in self.rules.set_lockdown(shut == Some(Reason::Lockdown)) {
            self.recorder.record(event);
        }
        let office = self.rules.wants_open(now, wall);
        self.at_the_door(|door, hands| door.office_hours(now, office, hands));
        let closed = shut.or_else(|| self.rules.locked_out(now).then_some(Reason::LockedOut));
        let Some(waiting) = turn.factor.take_if(|w| closed.is_some() || now >= w.until) else { return };
        let refusal = match closed {
            Some(reason) => Refusal { reason, rule: "the door was shut while a second factor was waited for".into() },
            None => Refusal {
                reason: Reason::SecondFactor,
                rule: "nothing was shown in the time for a second factor".into(),
            },
        };
        self.show(shown(GRANTED, Some(&Ruling::Refused(refusal.clone()))));
        // Nobody guessed.
        self.conclude(turn, now, &waiting.decision, Some(&refusal), false);
    }

    /// Nobody is let in by rules that do not hold any more, nor by half of each: a visit that was begun under others ends
    /// without a decision, and is never charged.
    fn end_by_new_rules(&mut self, turn: &mut Turn, now: Tick) {
        if !self.rules.changed() {
            return;
        }
        if turn.visit.is_running() {
            self.step(turn, Input::Refuse(Reason::Stopped));
        }
        if let Some(waiting) = turn.factor.take() {
            let refusal = Refusal { reason: Reason::Stopped, rule: "the rules were changed meanwhile".into() };
            self.show(shown(GRANTED, Some(&Ruling::Refused(refusal.clone()))));
            self.conclude(turn, now, &waiting.decision, Some(&refusal), false);
            // The face had passed, so it is told what became of it.
            let Decision { visit, person, .. } = waiting.decision.clone();
            let decision_ms = millis(waiting.decision.at.since(waiting.decision.began));
            let (door, rule) = (self.door.clone(), Some(refusal.rule));
            self.recorder.record(Event::AccessDenied {
                visit,
                reason: refusal.reason,
                door,
                person,
                rule,
                decision_ms,
            });
        }
    }

    /// The end of a visit: grant or refusal, record, lockout.
    fn conclude(&mut self, turn: &mut Turn, now: Tick, d: &Decision, refusal: Option<&Refusal>, charged: bool) {
        turn.resume = Some(now + VERDICT);
        let (mut verdict, mut reason) = (d.verdict, d.reason);
        if let Some(refusal) = refusal {
            (verdict, reason) = (refusal.reason.verdict(), Some(refusal.reason));
        }
        if verdict == Verdict::Granted {
            match self.grant(d) {
                Ok(()) => {
                    turn.granted = true;
                    // No edge of ours follows where the panel opens.
                    turn.awaiting = Some(now).filter(|_| !self.panel_alone());
                }
                Err(Some(why)) => (verdict, reason) = (Verdict::Denied, Some(why)),
                Err(None) => turn.granted = true,
            }
        }
        if let (Verdict::Granted, Some(person)) = (verdict, &d.person) {
            // Nobody is learnt who was forced, or whose life only the challenge spoke for.
            if let Some(lessons) = self.lessons.as_ref().filter(|_| self.passive_pad && !turn.factors.duress) {
                lessons.take(d.visit, person, &turn.well_matched);
            }
            for event in self.rules.granted(now, self.clock.wall(), d.visit, person) {
                self.recorder.record(event);
            }
        }
        if let (Verdict::Denied, Some(reason)) = (verdict, reason) {
            let decision_ms = millis(d.at.since(d.began));
            let (visit, door, rule) = (d.visit, self.door.clone(), refusal.map(|r| r.rule.clone()));
            let person = d.person.clone();
            self.recorder.record(Event::AccessDenied { visit, reason, door, person, rule, decision_ms });
            if matches!(reason, Reason::Spoof | Reason::Injection) {
                self.recorder.record(Event::AlarmSpoof { visit });
            }
        }
        self.call_for_help(turn, d);
        if charged {
            self.charge(now, verdict, reason, d.person.as_ref());
        }
    }

    /// The silent alarm: after everything that can be seen, so that nothing outside differs.
    fn call_for_help(&mut self, turn: &mut Turn, d: &Decision) {
        if let (true, Some(person)) = (std::mem::take(&mut turn.factors.duress), d.person.clone()) {
            self.recorder.record(Event::AlarmDuress { visit: d.visit, person });
        }
    }
}

fn not_theirs() -> Ruling {
    Ruling::Refused(Refusal { reason: Reason::SecondFactor, rule: "what was shown is not this person's".into() })
}
