//! What each gate can say of a visit: for the verdict, for `replay --json` and for the record of a refusal.

use super::{Gate, GateState, Identity, State, Visit};
use crate::base::time::Tick;
use crate::domain::fusion::Evidence as Shown;
use crate::domain::liveness::PadVerdict;
use crate::schema::event::{Action, Cause, Goal, Reason, Verdict};
use std::collections::BTreeMap;

/// So many embeddings in a row must be strange: one blurred frame is.
pub(super) const STRANGE: u32 = 2;

impl Visit {
    /// What a gate has to say for the verdict at `now`. A gate that a test took out agrees with everything.
    pub(super) fn shown(&self, gate: Gate, now: Tick) -> Shown {
        let or_missing = |ok: bool| if ok { Shown::Pass } else { Shown::Missing };
        let or_fail = |ok: bool, reason: Reason| if ok { Shown::Pass } else { Shown::Fail(reason) };
        // Even a test cannot let in nobody.
        if !self.policy.holds(gate) && gate != Gate::Match {
            return Shown::Pass;
        }
        let (e, asked) = (&self.evidence, !self.plan.0.is_empty());
        match gate {
            Gate::Intent => or_missing(self.began.is_some()),
            Gate::Fresh => {
                let newest = self.stream.newest.unwrap_or_default();
                let slow = self.policy.goal == Goal::Identify && self.stream.fps() < self.policy.min_fps;
                or_fail(now.since(newest) <= self.policy.max_age && !slow, Reason::Degraded)
            }
            Gate::Source => or_fail(self.injected().is_none(), Reason::Injection),
            Gate::OneFace => or_fail(e.several_since.is_none(), Reason::SeveralFaces),
            Gate::Quality => or_missing(!e.embeddings.is_empty()),
            Gate::Pad => match e.pad.verdict() {
                PadVerdict::Spoof => Shown::Fail(Reason::Spoof),
                PadVerdict::Absent => Shown::NotAsked,
                PadVerdict::Wait => Shown::Missing,
                PadVerdict::Live => or_missing(!asked || self.pad_seen()),
            },
            Gate::Match => match &self.identity {
                _ if self.policy.goal == Goal::Liveness => Shown::NotAsked,
                Some(Identity::Known(_)) => Shown::Pass,
                Some(Identity::Ambiguous) => Shown::Fail(Reason::AmbiguousMatch),
                Some(_) => Shown::Fail(Reason::NoMatch),
                None => Shown::Missing,
            },
            Gate::Challenge | Gate::Timing if !asked => Shown::NotAsked,
            Gate::Challenge => or_missing(self.done.steps == self.plan.0.len()),
            Gate::Light => self.light_shown(),
            // A wrong or early action ends the visit when it is seen.
            Gate::Timing => Shown::Pass,
            Gate::Relief => match self.turns() {
                0 => Shown::NotAsked,
                _ if !self.relief_asked => Shown::NotAsked,
                n => or_missing(self.done.turns == n),
            },
            Gate::Continuity => or_fail(e.strange < STRANGE, Reason::FaceChanged),
            Gate::Rematch if !asked || !self.rematches() => Shown::NotAsked,
            Gate::Rematch => or_missing(self.done.rematched),
        }
    }

    /// Turns of the challenge.
    fn turns(&self) -> usize {
        self.plan.0.iter().filter(|s| matches!(s.action, Action::TurnLeft | Action::TurnRight)).count()
    }

    /// Why the frames cannot have come out of a camera as they came.
    pub(super) fn injected(&self) -> Option<Cause> {
        self.stream.implausible(self.policy.max_fps)
    }

    /// The gates that did not pass, for the record of a refusal.
    pub(super) fn open_gates(&self, reason: Reason, now: Tick) -> BTreeMap<String, String> {
        let mut open: BTreeMap<String, String> = Gate::ALL
            .into_iter()
            .filter_map(|gate| match self.shown(gate, now) {
                Shown::Fail(_) => Some((gate, GateState::Fail)),
                Shown::Missing => Some((gate, GateState::Wait)),
                Shown::Pass | Shown::NotAsked => None,
            })
            .map(|(gate, state)| (gate.name().to_owned(), state.name().to_owned()))
            .collect();
        let named = self.convicting().or(gate_of(reason));
        open.extend(named.map(|gate| (gate.name().to_owned(), GateState::Fail.name().to_owned())));
        open
    }

    /// The gate that found a spoof, where that is not PAD.
    fn convicting(&self) -> Option<Gate> {
        let refuted = self.light.as_ref().is_some_and(super::light::Handshake::refuted);
        [(self.evidence.plane, Gate::Relief), (refuted, Gate::Light)]
            .into_iter()
            .find_map(|(is, gate)| is.then_some(gate))
    }

    /// Each gate as it stands.
    #[must_use]
    pub fn gates(&self) -> Vec<(Gate, GateState)> {
        let reason = self.decision().and_then(|d| d.reason);
        let granted = self.decision().is_some_and(|d| d.verdict == Verdict::Granted);
        let past = |assessed: bool| if assessed { GateState::Pass } else { GateState::Wait };
        let done = matches!(self.state, State::Light | State::Rematch { .. });
        let assessed = done || matches!(self.state, State::Between { .. } | State::Asked { .. });
        let state = |gate| {
            let failed = match self.convicting() {
                Some(by) if matches!(gate, Gate::Relief | Gate::Light | Gate::Pad) => gate == by,
                _ => reason.is_some_and(|r| gate_of(r) == Some(gate)),
            };
            match gate {
                _ if failed => GateState::Fail,
                _ if granted => GateState::Pass,
                Gate::Intent => past(self.began.is_some()),
                Gate::Fresh | Gate::Source | Gate::Timing | Gate::Continuity => past(assessed),
                Gate::OneFace if self.evidence.several_since.is_some() => GateState::Fail,
                Gate::OneFace => past(self.began.is_some()),
                Gate::Quality if self.evidence.trouble.is_some() => GateState::Fail,
                Gate::Quality => past(self.began.is_some()),
                Gate::Pad => match self.evidence.pad.verdict() {
                    PadVerdict::Live => GateState::Pass,
                    PadVerdict::Spoof => GateState::Fail,
                    PadVerdict::Wait | PadVerdict::Absent => GateState::Wait,
                },
                Gate::Match => match &self.identity {
                    None => GateState::Wait,
                    Some(Identity::Known(_)) => GateState::Pass,
                    Some(_) => GateState::Fail,
                },
                Gate::Challenge | Gate::Relief => past(done),
                Gate::Light => match self.light_shown() {
                    Shown::Pass => GateState::Pass,
                    Shown::Fail(_) => GateState::Fail,
                    Shown::NotAsked => past(done),
                    Shown::Missing => GateState::Wait,
                },
                Gate::Rematch => GateState::Wait,
            }
        };
        Gate::ALL.into_iter().map(|gate| (gate, state(gate))).collect()
    }
}

/// The gate that a reason belongs to.
const fn gate_of(reason: Reason) -> Option<Gate> {
    Some(match reason {
        Reason::NoMatch | Reason::AmbiguousMatch => Gate::Match,
        Reason::Spoof => Gate::Pad,
        Reason::Injection | Reason::CameraChanged => Gate::Source,
        Reason::ChallengeFailed => Gate::Timing,
        Reason::ChallengeTimeout => Gate::Challenge,
        Reason::ChallengeMismatch => Gate::Rematch,
        Reason::FaceChanged => Gate::Continuity,
        Reason::PoorQuality => Gate::Quality,
        Reason::SeveralFaces => Gate::OneFace,
        Reason::Degraded => Gate::Fresh,
        Reason::NoFace => Gate::Intent,
        _ => return None,
    })
}
