//! What a visit must be shown before it ends in `granted`.

use super::light::LightAsk;
use crate::domain::challenge::{Deck, Plan};
use crate::domain::gallery::{Gallery, MatchRule};
use crate::domain::gesture::Limits;
use crate::domain::liveness::PadRule;
use crate::domain::relief::ReliefRule;
use crate::schema::event::{Action, Goal};
use crate::schema::ids::PersonId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The conditions that every visit is held to, each able to end it. None revives a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// A face big enough for half a second.
    Intent,
    /// Frames young enough, in rising order, enough of them a second.
    Fresh,
    /// The same camera all through, and no frame twice.
    Source,
    OneFace,
    Quality,
    Pad,
    Match,
    /// The actions, each in its window.
    Challenge,
    /// A turn is that of a solid head.
    Relief,
    /// The skin gave back the colours of the display.
    Light,
    /// No action before its prompt could be seen, and none unasked.
    Timing,
    /// One track and one face from the match to the end.
    Continuity,
    /// The same person after the last action.
    Rematch,
}

impl Gate {
    /// The name in `replay --json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Gate::Intent => "intent",
            Gate::Fresh => "fresh",
            Gate::Source => "source",
            Gate::OneFace => "one_face",
            Gate::Quality => "quality",
            Gate::Pad => "pad",
            Gate::Match => "match",
            Gate::Challenge => "challenge",
            Gate::Relief => "relief",
            Gate::Light => "light",
            Gate::Timing => "timing",
            Gate::Continuity => "continuity",
            Gate::Rematch => "rematch",
        }
    }

    /// All gates, in the order of the decisions.
    pub const ALL: [Gate; 13] = [
        Gate::Intent,
        Gate::Fresh,
        Gate::Source,
        Gate::OneFace,
        Gate::Quality,
        Gate::Pad,
        Gate::Match,
        Gate::Challenge,
        Gate::Relief,
        Gate::Light,
        Gate::Timing,
        Gate::Continuity,
        Gate::Rematch,
    ];
}

/// Where the challenge comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum ChallengeSource {
    /// Drawn from the deck: what a door does.
    Draw(Deck),
    /// Drawn, but only when something about the visit is near a limit.
    StepUp(Deck),
    /// A fixed order with onsets drawn, or given one by one.
    Fixed { deck: Deck, order: Vec<(Action, u8)>, onsets: Vec<Duration> },
    /// Every time is given, as for a recording whose actions are known.
    Planned(Plan),
    /// None at all.
    None,
}

/// Everything that a visit is judged by.
#[derive(Clone, Debug)]
pub struct Policy {
    pub goal: Goal,
    pub gallery: Arc<Gallery>,
    pub matching: MatchRule,
    /// The same id in at least `agree` of `agree_of` frames.
    pub agree: usize,
    pub agree_of: usize,
    /// One a PAD network; empty when the pack has none.
    pub pad: Vec<PadRule>,
    pub pad_frames: usize,
    pub relief: ReliefRule,
    pub challenge: ChallengeSource,
    pub light: LightAsk,
    /// What people cannot do; they are asked for other things, and for a second factor when nothing is left.
    pub cannot: Arc<BTreeMap<PersonId, Vec<Action>>>,
    pub reaction_min: Duration,
    /// Upper end of the whole challenge.
    pub challenge_limit: Duration,
    /// Similarity of a frame to the faces at the beginning below which the face has changed.
    pub continuity: f32,
    pub limits: Limits,
    pub mirrored: bool,
    /// A wrong or too early action does not count, and is not the end: for clients that say so and go on. Never at a door.
    pub forgiving: bool,
    pub intent: Duration,
    pub min_face_px: f32,
    /// A frame older than this decides nothing.
    pub max_age: Duration,
    /// Longest time without the face once the challenge has begun.
    pub max_gap: Duration,
    /// Longest time to look at somebody before the challenge.
    pub assess_limit: Duration,
    pub rematch_limit: Duration,
    /// Frames a second below which `identify` never grants.
    pub min_fps: f32,
    /// Frames a second above which no camera delivers.
    pub max_fps: f32,
    removed: Option<Gate>,
}

impl Policy {
    /// The fixed parts of `field` rules with nothing known about a pack yet: no PAD rule and an empty gallery that
    /// matches nobody.
    #[must_use]
    pub fn new(goal: Goal, gallery: Arc<Gallery>, matching: MatchRule, challenge: ChallengeSource) -> Self {
        let ms = Duration::from_millis;
        Policy {
            goal,
            gallery,
            matching,
            agree: 3,
            agree_of: 5,
            pad: Vec::new(),
            pad_frames: 5,
            relief: ReliefRule::default(),
            challenge,
            light: LightAsk::No,
            cannot: Arc::default(),
            reaction_min: ms(150),
            challenge_limit: ms(12_000),
            continuity: 0.3,
            limits: Limits::default(),
            mirrored: false,
            forgiving: false,
            intent: ms(500),
            min_face_px: 80.0,
            max_age: ms(500),
            max_gap: ms(300),
            assess_limit: ms(8_000),
            rematch_limit: ms(2_500),
            min_fps: 5.0,
            max_fps: 130.0,
            removed: None,
        }
    }

    /// Takes frames from two a second on, as browsers and emulated machines deliver them. Thresholds stay as they are.
    pub fn allow_slow_frames(&mut self) {
        self.min_fps = 2.0;
        self.max_gap = Duration::from_millis(1200);
        self.assess_limit = Duration::from_secs(20);
        self.rematch_limit = Duration::from_secs(6);
    }

    /// The same policy with one gate taken out. No configuration reaches this: it is how the tests show that an
    /// attack is stopped by the gate that is said to stop it.
    #[doc(hidden)]
    #[must_use]
    pub fn without(mut self, gate: Gate) -> Self {
        self.removed = Some(gate);
        self
    }

    /// Whether a gate is in force.
    #[must_use]
    pub(super) fn holds(&self, gate: Gate) -> bool {
        self.removed != Some(gate)
    }
}
