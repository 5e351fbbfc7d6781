//! An enrolment at the door's camera that was asked for from afar: nobody who knows the person need stand beside. So it is
//! held to more than one at a command line: every frame speaks for life, and a camera that was opened anew ends it.
//!
//! ```text
//!   new --pictures of the asked poses--> all taken --enough frames for PAD--> Pictures
//!    |                                                                  \---> NotLive
//!    \--time over--> Timeout (nobody came), TooFewPoses
//! ```

use super::guide::{Advice as Step, Guide, View};
use super::liveness::{PadEvidence, PadPhase, PadRule, PadVerdict};
use super::observation::{Embedding, Observation, Quality, Wants};
use super::screen::{Advice, Phase, Screen};
use super::visit::against;
use crate::base::time::Tick;
use crate::schema::command::Enrolled;
use crate::schema::event::Action;
use std::time::Duration;

/// Then it is given up: somebody comes, five poses that do not come, and some time for light and distance.
pub const LIMIT: Duration = Duration::from_secs(45);
/// A second face of this part of the first one's size is too many.
const SECOND_FACE: f32 = 0.4;

/// How it ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// One of each pose, all of frames that may be enrolled from.
    Pictures(Vec<Embedding>),
    Not(Enrolled),
}

/// One enrolment.
#[derive(Clone, Debug)]
pub struct Enrolment {
    began: Tick,
    guide: Guide,
    mirrored: bool,
    pad: PadEvidence,
    taken: Vec<Embedding>,
    /// Of the camera, since the first picture.
    epoch: Option<u32>,
    newest: Option<u64>,
    trouble: Option<Advice>,
}

impl Enrolment {
    /// What it wants to know of each frame.
    pub const WANTS: Wants = Wants {
        eyes: false,
        tongue: false,
        pad: true,
        embedding: true,
        relief: super::observation::ReliefAsk::No,
        light: false,
    };

    /// Begins now. `pad` are the rules of a visit, of which `pad_frames` are needed.
    #[must_use]
    pub fn new(now: Tick, pad: Vec<PadRule>, pad_frames: usize, mirrored: bool) -> Self {
        Enrolment {
            began: now,
            guide: Guide::new(now),
            mirrored,
            pad: PadEvidence::new(pad, pad_frames),
            taken: Vec::new(),
            epoch: None,
            newest: None,
            trouble: None,
        }
    }

    /// Poses that were taken.
    #[must_use]
    pub fn poses(&self) -> u32 {
        u32::try_from(self.taken.len()).unwrap_or(u32::MAX)
    }

    /// Takes a frame.
    pub fn see(&mut self, now: Tick, o: &Observation) -> Option<Outcome> {
        // A frozen camera shows the same picture again: that adds nothing.
        if self.newest.replace(o.digest) == Some(o.digest) {
            return self.tick(now);
        }
        if self.epoch.is_some_and(|e| e != o.epoch) {
            return Some(Outcome::Not(Enrolled::NotOnePerson));
        }
        let Some(face) = &o.face else { return self.tick(now) };
        if o.faces > 1 && o.second >= SECOND_FACE {
            self.trouble = Some(Advice::OneAtATime);
            return self.tick(now);
        }
        self.trouble = against(face.quality);
        let (Quality::Ok, Some(embedding)) = (face.quality, &face.embedding) else { return self.tick(now) };
        if face.frontal && !face.pad.is_empty() {
            self.pad.take(PadPhase::Before, &face.pad);
        }
        let mut pose = face.pose;
        if self.mirrored {
            pose.yaw = -pose.yaw;
        }
        if self.guide.look(now, pose) == Some(Step::Take) {
            self.epoch = Some(o.epoch);
            self.taken.push(embedding.clone());
        }
        self.tick(now)
    }

    /// Time passes, or a frame was taken.
    pub fn tick(&mut self, now: Tick) -> Option<Outcome> {
        match self.pad.verdict() {
            PadVerdict::Spoof => return Some(Outcome::Not(Enrolled::NotLive)),
            PadVerdict::Live | PadVerdict::Absent if self.guide.wants().is_none() => {
                return Some(Outcome::Pictures(std::mem::take(&mut self.taken)));
            }
            _ => {}
        }
        (now.since(self.began) >= LIMIT).then_some(Outcome::Not(match self.taken.len() {
            0 => Enrolled::Timeout,
            _ => Enrolled::TooFewPoses,
        }))
    }

    /// What the person is shown: what stands in the way, else the pose.
    #[must_use]
    pub fn screen(&self) -> Screen {
        let of = u8::try_from(Guide::MOST).unwrap_or(u8::MAX);
        let done = u8::try_from(self.taken.len()).unwrap_or(of);
        let screen = Screen { progress: (done, of), ..Screen::IDLE };
        let Some(view) = self.guide.wants().filter(|_| self.trouble.is_none()) else {
            let advice = self.trouble.or(Some(Advice::HoldStill));
            return Screen { phase: Phase::Looking, advice, ..screen };
        };
        let action = match view {
            View::Straight => Action::Centre,
            View::Left => Action::TurnLeft,
            View::Right => Action::TurnRight,
            // On its way up the head stands as it should.
            View::Up => Action::Nod,
        };
        Screen { phase: Phase::Challenge, action: Some(action), left: 1, ..screen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::LiveScore;
    use crate::domain::observation::{FaceSeen, Pose, Rect};

    fn rules() -> Vec<PadRule> {
        vec![PadRule { threshold: 0.5, floor: 0.1 }]
    }

    fn seen(n: u64, yaw: f32, pitch: f32, live: f32) -> Observation {
        let face = FaceSeen {
            track: 1,
            rect: Rect { x: 0.0, y: 0.0, w: 200.0, h: 200.0 },
            quality: Quality::Ok,
            frontal: yaw.abs() <= 15.0,
            pose: Pose { yaw, pitch, roll: 0.0 },
            signals: None,
            pad: vec![LiveScore::new(live).expect("within 0 and 1")],
            embedding: Some(vec![n as f32; 4].into()),
            relief: None,
            skin: None,
        };
        let captured = Tick::from_millis(n);
        let (epoch, unchanged) = (1, None);
        Observation { frame: n, captured, epoch, digest: n, unchanged, faces: 1, second: 0.0, face: Some(face) }
    }

    const POSES: [(f32, f32); 5] = [(0.0, 0.0), (12.0, 0.0), (-12.0, 0.0), (0.0, 10.0), (0.0, 0.0)];

    /// Shows each frame at its number in milliseconds; the end, if there is one.
    fn run(enrolment: &mut Enrolment, frames: impl IntoIterator<Item = Observation>) -> Option<Outcome> {
        frames.into_iter().find_map(|o| enrolment.see(o.captured, &o))
    }

    fn good(live: f32) -> impl Iterator<Item = Observation> {
        (0_u64..).zip(POSES).map(move |(i, (yaw, pitch))| seen(1 + i * 400, yaw, pitch, live))
    }

    fn fresh() -> Enrolment {
        Enrolment::new(Tick::ZERO, rules(), 3, false)
    }

    #[test]
    fn five_poses_of_a_live_face_end_with_a_picture_of_each() {
        let mut e = fresh();
        assert_eq!(e.screen().action, Some(Action::Centre));
        let Some(Outcome::Pictures(all)) = run(&mut e, good(0.9)) else { panic!("not enrolled") };
        assert_eq!(all.iter().map(|e| e[0]).collect::<Vec<_>>(), [1.0, 401.0, 801.0, 1201.0, 1601.0]);
    }

    #[test]
    fn a_mirrored_camera_swaps_the_sides() {
        let mut e = Enrolment::new(Tick::ZERO, rules(), 3, true);
        let mirrored = good(0.9).map(|mut o| {
            let face = o.face.as_mut().expect("a face");
            face.pose.yaw = -face.pose.yaw;
            o
        });
        assert!(matches!(run(&mut e, mirrored), Some(Outcome::Pictures(_))));
    }

    #[test]
    fn a_picture_that_passive_pad_refuses_is_nobody_and_one_frame_below_the_floor_is_enough() {
        let not_live = Some(Outcome::Not(Enrolled::NotLive));
        assert_eq!(run(&mut fresh(), good(0.4)), not_live);
        let one = good(0.9).map(|mut o| {
            if o.frame == 401 {
                o.face.as_mut().expect("a face").pad = vec![LiveScore::new(0.05).expect("within 0 and 1")];
            }
            o
        });
        assert_eq!(run(&mut fresh(), one), not_live);
    }

    #[test]
    fn too_few_frames_for_pad_are_waited_for() {
        let mut e = Enrolment::new(Tick::ZERO, rules(), 7, false);
        assert_eq!(run(&mut e, good(0.9)), None);
        assert_eq!((e.screen().phase, e.poses()), (Phase::Looking, 5));
        let more = [2000, 2100].map(|n| seen(n, 0.0, 0.0, 0.9));
        assert!(matches!(run(&mut e, more), Some(Outcome::Pictures(_))));
    }

    #[test]
    fn nobody_and_too_little_end_at_the_limit_and_not_before() {
        let at = |ms: u64| Tick::from_millis(ms);
        let mut e = fresh();
        assert_eq!(e.tick(at(44_999)), None);
        assert_eq!(e.tick(at(45_000)), Some(Outcome::Not(Enrolled::Timeout)));
        let mut e = fresh();
        assert_eq!(run(&mut e, good(0.9).take(4)), None);
        assert_eq!(e.tick(at(45_000)), Some(Outcome::Not(Enrolled::TooFewPoses)));
    }

    #[test]
    fn a_camera_that_was_opened_anew_ends_it_and_a_frozen_one_adds_nothing() {
        let mut e = fresh();
        assert_eq!(run(&mut e, good(0.9).take(2)), None);
        let other = Observation { epoch: 2, ..seen(900, -12.0, 0.0, 0.9) };
        assert_eq!(e.see(Tick::from_millis(900), &other), Some(Outcome::Not(Enrolled::NotOnePerson)));
        let mut e = fresh();
        let frozen = (1..2000_u64).map(|n| Observation { digest: 7, ..seen(n * 20, 0.0, 0.0, 0.9) });
        assert_eq!((run(&mut e, frozen), e.poses()), (None, 1));
    }

    #[test]
    fn what_stands_in_the_way_is_told_and_a_second_face_is_never_taken() {
        let mut e = fresh();
        let mut dark = seen(1, 0.0, 0.0, 0.9);
        dark.face.as_mut().expect("a face").quality = Quality::Dark;
        let two = Observation { faces: 2, second: 0.5, ..seen(2, 0.0, 0.0, 0.9) };
        for (o, advice) in [(dark, Advice::MoreLight), (two, Advice::OneAtATime)] {
            assert_eq!(e.see(o.captured, &o), None);
            assert_eq!((e.screen().advice, e.poses()), (Some(advice), 0));
        }
    }
}
