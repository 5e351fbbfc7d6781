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
    /// Colours are shown: look at the display and hold still.
    Light,
    /// Decided.
    Done,
    /// The terminal cannot decide now.
    Unavailable,
}

impl Phase {
    /// The word for clients and scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::Looking => "looking",
            Phase::Challenge => "challenge",
            Phase::Light => "light",
            Phase::Done => "done",
            Phase::Unavailable => "unavailable",
        }
    }
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
    /// Nothing that can be asked is possible for this person: a card, a PIN, an attendant.
    OtherWay,
}

impl Advice {
    /// The word for clients and scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Advice::ComeCloser => "come_closer",
            Advice::HoldStill => "hold_still",
            Advice::MoreLight => "more_light",
            Advice::LessLight => "less_light",
            Advice::FaceTheCamera => "face_the_camera",
            Advice::OneAtATime => "one_at_a_time",
            Advice::Later => "later",
            Advice::OtherWay => "other_way",
        }
    }
}

/// One screen. Equal screens need not be drawn twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    pub phase: Phase,
    pub action: Option<Action>,
    /// Steps done and steps in all; `(0, 0)` outside of a challenge.
    pub progress: (u8, u8),
    /// How often the action is still to be done; 0 without one.
    pub left: u8,
    /// Milliseconds for the action from the moment of this screen, for a countdown; 0 without one.
    pub window_ms: u16,
    pub verdict: Option<Verdict>,
    pub advice: Option<Advice>,
    /// The whole display in this colour, sRGB, during a light handshake; nothing else is drawn.
    pub light: Option<[u8; 3]>,
}

impl Screen {
    /// Nobody there.
    pub const IDLE: Screen = Screen {
        phase: Phase::Idle,
        action: None,
        progress: (0, 0),
        left: 0,
        window_ms: 0,
        verdict: None,
        advice: None,
        light: None,
    };
}
