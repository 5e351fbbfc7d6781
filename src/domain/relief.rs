//! What a prompted turn must show beside its angle: that the head stands out of the plane while it turns.
//!
//! A photograph that is turned, bent or creased can reach the angle, since pose is computed from landmarks that a
//! network places on whatever looks like a face. It does not reach the parallax of a nose. The limits were read off
//! rendered sheets and ten labelled turns (`docs/liveness.md`, *Geometry*); they are no settings.
//!
//! * *shown*: the relief held long enough towards the side that was asked for.
//! * *flat*: the face was followed without a break, the depth said turned, and the picture said plane all the while.
//! * neither: too little was followed to say anything. That is asked again and accuses nobody.

use super::observation::Relief;

/// From when on the relief of a turn is shown. Angles in degrees, lengths in outer-eye distances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReliefRule {
    pub yaw: f32,
    pub parallax: f32,
    pub bow: f32,
    /// So many frames in a row.
    pub frames: u32,
    /// So many below `slow_fps` frames a second, where a turn is soon over.
    pub slow_frames: u32,
    pub slow_fps: f32,
    /// So many frames in a row that are turned and flat speak against the turn.
    pub flat_frames: u32,
}

impl Default for ReliefRule {
    fn default() -> Self {
        ReliefRule { yaw: 20.0, parallax: 0.055, bow: 0.035, frames: 3, slow_frames: 2, slow_fps: 12.0, flat_frames: 6 }
    }
}

/// Up to this part of its limit a measure counts as flat; between the two it says nothing.
const FLAT: f32 = 0.4;

/// What was seen of one prompted turn.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TurnProof {
    run: u32,
    shown: bool,
    flat_run: u32,
    flat: bool,
    /// Something was followed that is no plane, or the points were lost on the way.
    doubt: bool,
}

impl TurnProof {
    /// Takes the next frame since the prompt. `side` is 1 for a turn towards the right edge of the image and -1 for
    /// one towards the left; `fps` is the rate of the frames.
    pub fn take(&mut self, rule: &ReliefRule, side: f32, fps: f32, relief: Option<&Relief>) {
        let Some(r) = relief else {
            // Before the first followed frame there is nothing to lose.
            self.doubt |= self.run > 0 || self.flat_run > 0;
            (self.run, self.flat_run) = (0, 0);
            return;
        };
        let (yaw, parallax, bow) = (r.yaw_deg * side, r.parallax * side, r.bow * side);
        let turned = yaw >= rule.yaw;
        // Written so that a number that is none passes nowhere.
        let solid = turned && parallax >= rule.parallax && bow >= rule.bow;
        self.run = if solid { self.run + 1 } else { 0 };
        self.shown |= self.run >= if fps < rule.slow_fps { rule.slow_frames } else { rule.frames };
        let plane = parallax.abs() <= FLAT * rule.parallax && bow.abs() <= FLAT * rule.bow;
        self.flat_run = if turned && plane { self.flat_run + 1 } else { 0 };
        self.flat |= self.flat_run >= rule.flat_frames;
        self.doubt |= turned && !plane;
    }

    /// Whether the turn was that of a solid head.
    #[must_use]
    pub fn shown(&self) -> bool {
        self.shown
    }

    /// Whether all that was followed speaks for a plane.
    #[must_use]
    pub fn flat(&self) -> bool {
        self.flat && !self.doubt && !self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relief(yaw_deg: f32, parallax: f32, bow: f32) -> Relief {
        Relief { yaw_deg, parallax, bow, points: 50 }
    }

    fn played(side: f32, fps: f32, frames: &[Option<Relief>]) -> TurnProof {
        let mut proof = TurnProof::default();
        for f in frames {
            proof.take(&ReliefRule::default(), side, fps, f.as_ref());
        }
        proof
    }

    #[test]
    fn three_frames_in_a_row_show_a_head() {
        let r = Some(relief(25.0, 0.08, 0.05));
        assert!(!played(1.0, 30.0, &[r, r]).shown());
        assert!(played(1.0, 30.0, &[r, r, r]).shown());
        assert!(!played(1.0, 30.0, &[r, r, None, r, r]).shown(), "a gap begins the row anew");
        let weak = Some(relief(19.0, 0.08, 0.05));
        assert!(!played(1.0, 30.0, &[r, r, weak, r, r]).shown());
        assert!(played(1.0, 30.0, &[None, r, r, r, None, weak]).shown(), "what was shown stays shown");
    }

    #[test]
    fn slow_cameras_need_two() {
        let r = Some(relief(25.0, 0.08, 0.05));
        assert!(played(1.0, 8.0, &[r, r]).shown());
        assert!(!played(1.0, 8.0, &[r]).shown());
        assert!(!played(1.0, 12.0, &[r, r]).shown());
    }

    #[test]
    fn every_measure_must_pass_and_point_to_the_side_that_was_asked() {
        let show = |side, r| played(side, 30.0, &[Some(r); 4]).shown();
        assert!(show(1.0, relief(20.0, 0.055, 0.035)));
        assert!(show(-1.0, relief(-20.0, -0.055, -0.035)));
        for r in [
            relief(19.9, 0.2, 0.2),
            relief(40.0, 0.054, 0.2),
            relief(40.0, 0.2, 0.034),
            relief(40.0, -0.2, 0.2),
            relief(40.0, 0.2, -0.2),
            relief(-40.0, 0.2, 0.2),
            relief(-40.0, -0.2, -0.2),
            relief(f32::NAN, 0.2, 0.2),
            relief(40.0, f32::NAN, 0.2),
            relief(40.0, 0.2, f32::NAN),
        ] {
            assert!(!show(1.0, r), "{r:?}");
        }
    }

    #[test]
    fn only_what_was_followed_all_the_way_is_called_flat() {
        let flat = Some(relief(30.0, 0.01, 0.005));
        assert!(played(1.0, 30.0, &[flat; 6]).flat());
        assert!(!played(1.0, 30.0, &[flat; 5]).flat(), "too short");
        let lost = [&[flat; 3][..], &[None], &[flat; 8]].concat();
        assert!(!played(1.0, 30.0, &lost).flat(), "lost on the way");
        let between = Some(relief(30.0, 0.04, 0.01));
        assert!(!played(1.0, 30.0, &[&[flat; 8][..], &[between]].concat()).flat(), "neither head nor plane");
        assert!(!played(1.0, 30.0, &[Some(relief(10.0, 0.0, 0.0)); 9]).flat(), "not turned");
        assert!(!played(1.0, 30.0, &[Some(relief(30.0, f32::NAN, 0.0)); 9]).flat());
        let solid = Some(relief(30.0, 0.1, 0.1));
        assert!(!played(1.0, 30.0, &[&[flat; 8][..], &[solid; 3]].concat()).flat());
    }
}
