//! The light handshake of a visit: after the actions the display shows a code, and the skin must give it back.
//!
//! Every handshake has a code of its own, drawn from the visit's seed. One that was returned ends the phase; one that was
//! not returned, or not seen well enough, is shown again where the door requires it, three times in all. PAD does not look meanwhile: its networks were not measured under coloured light.

use super::{Effect, Gate, State, Visit, is_deliberate};
use crate::base::time::Tick;
use crate::domain::fusion::Evidence as Shown;
use crate::domain::gesture::Seen;
use crate::domain::light::code::{Code, Part, SYMBOLS, Show, TRIES};
use crate::domain::light::detect::{self, Light, STEP_CLEAR, STEP_LEAST, Skin};
use crate::domain::observation::{FaceSeen, Quality};
use crate::domain::screen::{Phase, Screen};
use crate::schema::event::Reason;
use std::time::Duration;

/// Whether a visit has a light handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LightAsk {
    #[default]
    No,
    /// A clear no is a veto; anything else says nothing.
    Try,
    /// Without a yes there is no grant.
    Require,
}

/// A show that is over waits so long for a frame to be judged on.
const PATIENCE: Duration = Duration::from_millis(500);
/// Frames of one show that are kept; the fastest camera delivers fewer.
const FRAMES: usize = 2_000;

/// The handshakes of one visit.
#[derive(Clone, Debug)]
pub(super) struct Handshake {
    attempt: u8,
    pub show: Show,
    skin: Vec<Skin>,
    /// An earlier one that was clearly not returned: from then on only a yes will do, lest a recording that fades escape.
    no: Option<Light>,
    /// What came of them, once there will be no other.
    pub outcome: Option<Light>,
}

impl Handshake {
    fn new(seed: [u8; 32], attempt: u8, no: Option<Light>) -> Self {
        let show = Show::new(Code::draw(seed, attempt, SYMBOLS));
        Handshake { attempt, show, skin: Vec::new(), no, outcome: None }
    }

    /// When the next colour is due, or when no frame is waited for any more.
    pub fn deadline(&self) -> Option<Tick> {
        let change = self.show.next_change()?;
        // The last colour has nothing behind it but the verdict, which is a frame's.
        let last = self.show.span(Part::Code).is_some() && self.show.shown().len() == SYMBOLS + 2;
        Some(if last { change + PATIENCE } else { change })
    }

    /// Whether the display was bright enough and the skin followed another light, or none.
    pub fn refuted(&self) -> bool {
        matches!(self.outcome, Some(Light::NotReturned { step, .. }) if step >= STEP_CLEAR)
    }
}

impl Visit {
    /// All actions are done: the light, if any, then the same person once more.
    pub(super) fn acted(&mut self, now: Tick, at: Tick, out: &mut Vec<Effect>) {
        if self.policy.light != LightAsk::No && self.policy.holds(Gate::Light) {
            return self.shine(now, 0, None, out);
        }
        self.lit(now, at, out);
    }

    /// Begins the handshake number `attempt`.
    fn shine(&mut self, now: Tick, attempt: u8, no: Option<Light>, out: &mut Vec<Effect>) {
        self.light = Some(Handshake::new(self.seed, attempt, no));
        self.state = State::Light;
        self.glow(now, out);
    }

    /// Shows the colour that is due.
    fn glow(&mut self, now: Tick, out: &mut Vec<Effect>) {
        let Some(light) = &mut self.light else { return };
        let colour = light.show.advance(now);
        self.show(Screen { phase: Phase::Light, light: Some(colour), ..Screen::IDLE }, out);
    }

    /// A frame during a handshake.
    pub(super) fn lighted(&mut self, now: Tick, at: Tick, face: &FaceSeen, actions: &[Seen], out: &mut Vec<Effect>) {
        if self.watch(now, at, face, out) {
            return;
        }
        if self.unasked(actions) {
            return self.refuse(now, Reason::ChallengeFailed, out);
        }
        let Some(light) = &mut self.light else { return self.lit(now, at, out) };
        if let (Some(rgb), true) = (face.skin, light.skin.len() < FRAMES) {
            light.skin.push(Skin { at, rgb });
        }
        let dim = || detect::step(&light.show, &light.skin).filter(|s| s.is_nan() || *s < STEP_LEAST);
        // Nobody is kept standing before a display that this room outshines.
        let outshone = if light.show.is_probed(now) { dim() } else { None };
        match outshone {
            Some(step) => self.weigh(now, at, Light::Unavailable { step }, out),
            None if light.show.is_over(now) => {
                let result = detect::judge(&light.show, &light.skin);
                self.weigh(now, at, result, out);
            }
            None => {}
        }
    }

    /// The timer during a handshake.
    pub(super) fn light_due(&mut self, now: Tick, out: &mut Vec<Effect>) {
        let gone = self.light.as_ref().is_none_or(|l| l.deadline().is_some_and(|d| now >= d) && l.show.is_over(now));
        if gone {
            // Nobody to be judged, and nobody to be shown another one.
            if let Some(l) = &mut self.light {
                l.outcome = Some(Light::NotEnough);
            }
            return self.lit(now, now, out);
        }
        self.glow(now, out);
    }

    /// What comes of a handshake: another one, the veto, or the end of the phase.
    fn weigh(&mut self, now: Tick, at: Tick, result: Light, out: &mut Vec<Effect>) {
        let Some(light) = &mut self.light else { return };
        let require = self.policy.light == LightAsk::Require;
        let clear = matches!(result, Light::NotReturned { step, .. } if step >= STEP_CLEAR);
        let no = if clear { Some(result) } else { light.no };
        let again = match result {
            Light::Returned { .. } => false,
            // Not seen counts too: at a step of 5 % one in ten probes reads below the 3 % (`eval light`).
            _ => require || no.is_some(),
        };
        let attempt = light.attempt + 1;
        if again && attempt < TRIES {
            return self.shine(now, attempt, no, out);
        }
        let yes = matches!(result, Light::Returned { .. });
        light.outcome = Some(no.filter(|_| !yes).unwrap_or(result));
        if light.refuted() {
            return self.refuse(now, Reason::Spoof, out);
        }
        if matches!(result, Light::Unavailable { .. }) && require {
            self.evidence.trouble = Some(Quality::Bright);
        }
        self.lit(now, at, out);
    }

    /// Behind the light.
    fn lit(&mut self, now: Tick, at: Tick, out: &mut Vec<Effect>) {
        if self.plan.0.is_empty() || (!self.rematches() && self.pad_seen()) {
            return self.finish(now, out);
        }
        let total = u8::try_from(self.plan.0.len()).unwrap_or(u8::MAX);
        self.show(Screen { phase: Phase::Challenge, progress: (total, total), ..Screen::IDLE }, out);
        self.state = State::Rematch { until: at + self.policy.rematch_limit };
    }

    /// Whether an action was seen that is none of a person who holds still; the last one asked for may show again until
    /// the face is back at rest.
    pub(super) fn unasked(&self, actions: &[Seen]) -> bool {
        let last = self.plan.0.last().map(|s| s.action);
        self.strict() && actions.iter().any(|s| is_deliberate(s.action) && Some(s.action) != last)
    }

    /// What the light has to say for the verdict.
    pub(super) fn light_shown(&self) -> Shown {
        let outcome = self.light.as_ref().and_then(|l| l.outcome);
        match (self.policy.light, outcome) {
            (LightAsk::No, _) => Shown::NotAsked,
            (_, Some(Light::Returned { .. })) => Shown::Pass,
            (_, Some(Light::NotReturned { step, .. })) if step >= STEP_CLEAR => Shown::Fail(Reason::Spoof),
            // It was tried, and what came of it says nothing.
            (LightAsk::Try, Some(_)) => Shown::NotAsked,
            (LightAsk::Require, Some(_)) | (_, None) => Shown::Missing,
        }
    }
}
