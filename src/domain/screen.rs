//! The screen model: what a display, LEDs or a console show, independent of any of them.

use crate::schema::event::{Action, Verdict};

/// Where the visit stands, as the person sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody is there.
    Idle,
    /// Somebody is being looked at.
    Looking,
    /// An action is asked for.
    Challenge,
    /// Decided.
    Done,
    /// The terminal cannot decide now.
    Unavailable,
}

/// Advice that helps the person; never a score, never a name of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    ComeCloser,
    HoldStill,
    MoreLight,
    LessLight,
    FaceTheCamera,
    OneAtATime,
    Later,
}

/// One screen. Equal screens need not be drawn twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    pub phase: Phase,
    pub action: Option<Action>,
    /// Steps done and steps in all; `(0, 0)` outside of a challenge.
    pub progress: (u8, u8),
    pub verdict: Option<Verdict>,
    pub advice: Option<Advice>,
}

impl Screen {
    /// Nobody there.
    pub const IDLE: Screen = Screen { phase: Phase::Idle, action: None, progress: (0, 0), verdict: None, advice: None };
}
