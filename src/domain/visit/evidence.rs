//! What a visit has seen so far.

use super::policy::Policy;
use crate::base::time::Tick;
use crate::domain::gallery::Identity;
use crate::domain::gesture::Gestures;
use crate::domain::liveness::{PadEvidence, PadPhase};
use crate::domain::observation::{Embedding, FaceSeen, Observation, Quality};
use crate::domain::relief::TurnProof;
use crate::schema::event::Cause;
use std::collections::VecDeque;

/// A frame equal to one of so many before it is a duplicate; a recording that loops is longer.
const DIGESTS: usize = 16;
/// Frame times kept to estimate the rate.
const RATE: usize = 60;

/// Collected from the frames of one track. Begun anew when the face changes before the first prompt.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    pub track: Option<u32>,
    pub gestures: Gestures,
    pub pad: PadEvidence,
    /// Frames that PAD looked at since the first prompt.
    pub pad_during: usize,
    pub embeddings: Vec<Embedding>,
    pub votes: Vec<Identity>,
    pub mean: Option<Embedding>,
    pub last_face: Option<Tick>,
    pub last_pad: Option<Tick>,
    pub last_embedding: Option<Tick>,
    /// Consecutive embeddings that do not look like the face at the beginning.
    pub strange: u32,
    pub several_since: Option<Tick>,
    /// Of the turn that is asked for: its relief, and whether the pose was seen to turn.
    pub turn: TurnProof,
    pub turned: bool,
    /// The step that was asked a second time, because its turn could not be judged; one a visit.
    pub asked_again: Option<usize>,
    /// The relief of a turn was that of a plane.
    pub plane: bool,
    /// The last thing that was wrong with a frame.
    pub trouble: Option<Quality>,
}

impl Evidence {
    pub fn new(policy: &Policy) -> Self {
        Evidence {
            track: None,
            gestures: Gestures::new(policy.limits.clone(), policy.mirrored),
            pad: PadEvidence::new(policy.pad.clone(), policy.pad_frames),
            pad_during: 0,
            embeddings: Vec::new(),
            votes: Vec::new(),
            mean: None,
            last_face: None,
            last_pad: None,
            last_embedding: None,
            strange: 0,
            several_since: None,
            turn: TurnProof::default(),
            turned: false,
            asked_again: None,
            plane: false,
            trouble: None,
        }
    }

    /// Takes the PAD scores of a frame that is fit for them.
    pub fn take_pad(&mut self, phase: PadPhase, at: Tick, face: &FaceSeen) {
        if face.quality == Quality::Ok && face.frontal && !face.pad.is_empty() {
            self.pad.take(phase, &face.pad);
            self.pad_during += usize::from(phase == PadPhase::During);
            self.last_pad = Some(at);
        }
    }
}

/// How far the challenge has got.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    pub steps: usize,
    /// Turns whose relief was shown.
    pub turns: usize,
    /// The same person was named after the last action.
    pub rematched: bool,
}

/// The order and the rate of frames, and whether one came twice.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    pub epoch: Option<u32>,
    last_frame: Option<u64>,
    digests: VecDeque<u64>,
    times: VecDeque<Tick>,
    pub duplicates: u32,
    /// Frames that came out of order.
    disorder: u32,
    /// Frames in a row on which the face was pixel for pixel that of the frame before.
    frozen: u32,
    pub stale: u32,
    pub newest: Option<Tick>,
}

/// Equal frames, and frames out of order, that show an injector; one of either happens.
const DUPLICATES: u32 = 2;
const DISORDER: u32 = 3;
/// A sensor's noise changes nearly every pixel. From this share of unchanged pixels on a face a frame is a copy, and so
/// many copies in a row are no camera (measured on the clips: a live face keeps at most a third of its pixels).
const FROZEN_SHARE: f32 = 0.97;
const FROZEN: u32 = 3;
/// Frames that a rate is judged by.
const RATE_FRAMES: usize = 15;

impl Stream {
    /// False for a frame out of order, which is not looked at.
    pub fn admit(&mut self, o: &Observation) -> bool {
        if self.last_frame.is_some_and(|l| o.frame <= l) || self.newest.is_some_and(|n| o.captured <= n) {
            self.stale += 1;
            self.disorder += 1;
            return false;
        }
        self.last_frame = Some(o.frame);
        self.newest = Some(o.captured);
        self.duplicates += u32::from(self.digests.contains(&o.digest));
        let copied = o.unchanged.is_some_and(|share| share >= FROZEN_SHARE);
        self.frozen = if copied { self.frozen + 1 } else { 0 };
        self.digests.push_back(o.digest);
        self.times.push_back(o.captured);
        if self.digests.len() > DIGESTS {
            self.digests.pop_front();
        }
        if self.times.len() > RATE {
            self.times.pop_front();
        }
        true
    }

    /// Whoever comes now answers only for frames from now on.
    pub fn forgive(&mut self) {
        (self.duplicates, self.disorder, self.frozen) = (0, 0, 0);
    }

    /// Why these frames cannot have come out of a camera as they came; rates above `max_fps` are none.
    pub fn implausible(&self, max_fps: f32) -> Option<Cause> {
        let fast = self.times.len() >= RATE_FRAMES && self.fps() > max_fps;
        [
            (self.duplicates >= DUPLICATES, Cause::DuplicateFrames),
            (self.disorder >= DISORDER, Cause::FrameOrder),
            (fast, Cause::FrameRate),
            (self.frozen >= FROZEN, Cause::FrozenFace),
        ]
        .into_iter()
        .find_map(|(is, cause)| is.then_some(cause))
    }

    /// Frames a second over the last sixty frames; zero of fewer than two.
    pub fn fps(&self) -> f32 {
        match (self.times.front(), self.times.back()) {
            (Some(first), Some(last)) if last > first => {
                #[expect(clippy::cast_precision_loss, reason = "at most sixty frames")]
                let gaps = (self.times.len() - 1) as f32;
                gaps / last.since(*first).as_secs_f32()
            }
            _ => 0.0,
        }
    }
}
