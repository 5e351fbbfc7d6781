//! What one frame says, as the pipeline saw it. Positions are pixels of the upright, unmirrored-as-stored frame.

use crate::base::time::Tick;
use crate::base::units::LiveScore;
use std::sync::Arc;

/// A rectangle in pixels: left, top, width, height.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rect {
    pub x: f32,
    pub y: f32,
    pub w: f32,
    pub h: f32,
}

impl Rect {
    /// Overlap over union, `0.0..=1.0`.
    #[must_use]
    pub fn iou(&self, o: &Rect) -> f32 {
        let w = (self.x + self.w).min(o.x + o.w) - self.x.max(o.x);
        let h = (self.y + self.h).min(o.y + o.h) - self.y.max(o.y);
        if w <= 0.0 || h <= 0.0 {
            return 0.0;
        }
        let i = w * h;
        let u = self.w * self.h + o.w * o.h - i;
        if u > 0.0 { i / u } else { 0.0 }
    }
}

/// Whether a face can be decided on, with the first thing that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quality {
    Ok,
    TooSmall,
    Blurred,
    Dark,
    Bright,
    OffPose,
    Several,
}

impl Quality {
    /// The word in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Quality::Ok => "ok",
            Quality::TooSmall => "too_small",
            Quality::Blurred => "blurred",
            Quality::Dark => "dark",
            Quality::Bright => "bright",
            Quality::OffPose => "off_pose",
            Quality::Several => "several",
        }
    }
}

/// Head pose in degrees. Yaw is positive when the nose moves towards the right edge of the image (the person's own
/// left in an unmirrored picture), pitch when it moves up, roll when the head tilts clockwise in the image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pose {
    pub yaw: f32,
    pub pitch: f32,
    pub roll: f32,
}

/// What the landmarks say, all lengths in outer-eye distances, so that they do not depend on how near the face is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Signals {
    /// Eye-contour openness of the eye on the left and on the right of the image; `None` when not computed.
    pub openness: Option<[f32; 2]>,
    /// Distance of the inner lips.
    pub mouth_gap: f32,
    /// Distance of the mouth corners.
    pub mouth_width: f32,
    /// How far the mouth corners stand above the middle of the lips.
    pub corner_lift: f32,
    /// How far the brows stand above the eye line.
    pub brow: f32,
    /// Brightness of the mouth's opening over that of the lips; `None` when not computed or when the mouth is shut.
    pub tongue: Option<f32>,
    /// Nose bridge in pixels, for the stillness gate of blinks.
    pub bridge: [f32; 2],
    /// Outer-eye distance in pixels.
    pub eye_px: f32,
}

/// The embedding of one face as the network gave it (normalised where the family says so).
pub type Embedding = Arc<[f32]>;

/// How far a turning head stands out of the plane, against the most frontal frame before the turn, each the median of
/// three frames. Positive is towards the right edge of the image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Relief {
    /// Degrees by the mesh's own depth.
    pub yaw_deg: f32,
    /// How far the nose moved against the face behind it, in outer-eye distances; a plane has 0.
    pub parallax: f32,
    /// How far the nose moved beside the line from brow to mouth, in outer-eye distances.
    pub bow: f32,
    /// Points that were followed all the way, `20..=59`.
    pub points: u8,
}

/// The face that the visit is about: the biggest one.
#[derive(Clone, Debug, PartialEq)]
pub struct FaceSeen {
    /// Rises each time that the tracker had to begin anew.
    pub track: u32,
    pub rect: Rect,
    pub quality: Quality,
    /// Whether the face is within 15 degrees of frontal: only such frames count for PAD.
    pub frontal: bool,
    pub pose: Pose,
    pub signals: Option<Signals>,
    /// Per PAD network in the pack's order; empty when not asked for.
    pub pad: Vec<LiveScore>,
    /// `None` when not asked for or when the quality forbids it.
    pub embedding: Option<Embedding>,
    /// `None` when not asked for, and while there is nothing to say: no reference yet, or its points were lost.
    pub relief: Option<Relief>,
    /// Mean linear RGB of forehead and cheeks, `0.0..=1.0`; `None` when not asked for, and when they are not to be seen.
    pub skin: Option<[f32; 3]>,
}

/// What one frame says.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The driver's or the recording's number.
    pub frame: u64,
    pub captured: Tick,
    /// Changes whenever the source was opened again.
    pub epoch: u32,
    /// Hash of the decoded pixels.
    pub digest: u64,
    /// Share of the face's pixels that are those of the frame before, `0.0..=1.0`; `None` without a face or a frame before.
    pub unchanged: Option<f32>,
    pub faces: u32,
    /// Side of the second biggest face over that of the biggest; 0 when alone.
    pub second: f32,
    pub face: Option<FaceSeen>,
}

/// What is wanted of the relief of a face.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReliefAsk {
    #[default]
    No,
    /// A turn will be asked for: the most frontal frame is kept.
    Ready,
    /// A turn is asked for: the face is followed from that frame on.
    Follow,
}

/// What the visit wants to know of the next frame beyond faces and pose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    pub eyes: bool,
    pub tongue: bool,
    pub pad: bool,
    pub embedding: bool,
    pub relief: ReliefAsk,
    /// The light of the skin, while a code is shown.
    pub light: bool,
}

impl Wants {
    /// Everything that one frame can tell, for evaluation; the relief is told against a frame before.
    pub const ALL: Wants =
        Wants { eyes: true, tongue: true, pad: true, embedding: true, relief: ReliefAsk::No, light: true };
}

impl Observation {
    /// The same frame as it would look had only `wants` been asked for. `eval` computes everything once and lets many
    /// visits see what each would have seen.
    #[must_use]
    pub fn masked(&self, wants: Wants) -> Observation {
        let mut o = self.clone();
        if let Some(face) = &mut o.face {
            if !wants.pad {
                face.pad.clear();
            }
            if !wants.embedding {
                face.embedding = None;
            }
            if wants.relief != ReliefAsk::Follow {
                face.relief = None;
            }
            face.skin = face.skin.filter(|_| wants.light);
            if let Some(s) = &mut face.signals {
                s.openness = s.openness.filter(|_| wants.eyes);
                s.tongue = s.tongue.filter(|_| wants.tongue);
            }
        }
        o
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_one_for_the_same_and_zero_for_apart() {
        let a = Rect { x: 0.0, y: 0.0, w: 10.0, h: 10.0 };
        assert!((a.iou(&a) - 1.0).abs() < 1e-6);
        assert_eq!(a.iou(&Rect { x: 20.0, ..a }), 0.0);
        assert!((a.iou(&Rect { x: 5.0, ..a }) - 1.0 / 3.0).abs() < 1e-6);
    }
}
