//! What one picture of a session said, for listeners that answer every picture; and how their sessions differ from
//! those of the API.

use super::hub::Outcome;
use crate::domain::challenge::Plan;
use crate::domain::observation::Pose;
use crate::domain::screen::{Advice, Phase};
use crate::schema::event::Action;
use std::time::Duration;
use tokio::sync::oneshot;

/// How a session differs from one of the API.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// Lifetime instead of `web.session_ttl_s`.
    pub ttl: Option<Duration>,
    /// The steps, in this order and with these times, instead of a draw; empty asks for none.
    pub plan: Option<Plan>,
    /// A wrong action does not count, and is not the end.
    pub forgiving: bool,
    /// The client's pictures are mirror images.
    pub mirrored: bool,
    pub again: Again,
    /// With [`crate::schema::event::Goal::Verify`]: compares with the target of this other session.
    pub target_of: Option<String>,
}

impl Manner {
    /// Whether it is that of the API: one visit, judged as at the door.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.plan.is_none()
            && !self.forgiving
            && !self.mirrored
            && self.again == Again::Never
            && self.target_of.is_none()
    }
}

/// Which visits of a session are followed by another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Again {
    /// None: the first verdict ends the session.
    #[default]
    Never,
    /// Those that were not decided: no face, a poor picture, a camera that paused.
    Undecided,
    /// All; a grant stands for as long as the face stays in front. The session ends by its time or with its client.
    Always,
}

/// What PAD says of one face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Live {
    /// The least of the networks' values, `0.0..=1.0`.
    pub value: f32,
    /// Every network's value is over its threshold, and so is what the visit has seen so far.
    pub real: bool,
}

/// What one picture said, and where the visit stands after it. Only `live.value` is a score; who it is stays out.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Pictures of this session that were looked at.
    pub frames: u64,
    /// The newest picture could not be decoded, and said nothing.
    pub broken: bool,
    pub faces: u32,
    /// Width and height of the picture.
    pub size: (u32, u32),
    /// Left, top, width, height of the face in pixels of the picture.
    pub rect: Option<[f32; 4]>,
    /// Of the newest picture in this visit that PAD looked at; `None` before, and without PAD networks.
    pub live: Option<Live>,
    /// Against the face at rest; yaw is positive towards the person's own left.
    pub pose: Pose,
    /// `None` before the first screen.
    pub phase: Option<Phase>,
    pub advice: Option<Advice>,
    /// The action asked for now, how often it is still to be done, and the milliseconds it had from its prompt.
    pub action: Option<Action>,
    pub left: u8,
    pub window_ms: u16,
    /// Steps done and steps in all; `(0, 0)` before the challenge.
    pub steps: (u8, u8),
    /// A step was done with this picture.
    pub stepped: bool,
    /// Rises with every visit of this session.
    pub visit: u32,
    /// How the newest visit ended, once it has.
    pub outcome: Option<Outcome>,
    /// How the visit before it ended.
    pub before: Option<Outcome>,
    /// Of a grant that ended the session: for somebody else to redeem.
    pub token: Option<String>,
}

/// Where the answer to a picture goes. It is dropped when a newer picture replaced that one.
pub type LookReply = oneshot::Sender<Look>;
