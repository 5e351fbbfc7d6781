//! From signals to actions seen: a turn, a nod, a blink, an open mouth, a smile, the return to the centre.
//!
//! Everything counts time, not frames, and is relative to the person's own neutral face, so that it works from 5 to
//! 30 frames a second and for people who hold their head at a tilt.
//!
//! * *neutral*: the median of the first second of frames that look about straight into the camera.
//! * *onset*: when a signal first passed its limit; *at*: when it had held long enough to be an action.
//!
//! The limits were measured on labelled clips (`docs/specification.md`, *Clips*). Brow, wink and tongue are experimental:
//! no clip shows them labelled, a tilted photo can raise its brows, and no door asks for them.

use super::observation::{FaceSeen, Pose, Signals};
use crate::base::time::Tick;
use crate::schema::event::Action;
use std::collections::VecDeque;
use std::time::Duration;

/// An action that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub action: Action,
    pub onset: Tick,
    pub at: Tick,
}

/// Degrees, ratios and durations from which a signal is an action. Angles are relative to neutral.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    pub turn_on: f32,
    pub turn_off: f32,
    pub turn_hold: Duration,
    pub nod_on: f32,
    pub nod_off: f32,
    pub nod_hold: Duration,
    pub centre_yaw: f32,
    pub centre_pitch: f32,
    pub centre_hold: Duration,
    /// Openness over its running median: closed below the first, both eyes below the second, open again above the third.
    pub blink_closed: f32,
    pub blink_both: f32,
    pub blink_open: f32,
    pub blink_longest: Duration,
    /// Nose-bridge speed in outer-eye distances a second above which a closure is blur.
    pub blink_still: f32,
    /// Lip gap above neutral, in outer-eye distances.
    pub mouth_gap: f32,
    pub mouth_hold: Duration,
    /// Mouth width over neutral, and lift of the corners above neutral.
    pub smile_width: f32,
    pub smile_lift: f32,
    pub smile_hold: Duration,
    /// Experimental: distance of the brows from the eye line over neutral.
    pub brow_raise: f32,
    pub brow_hold: Duration,
    /// Experimental: openness of the eye that winks over its median, and of the other one.
    pub wink_closed: f32,
    pub wink_open: f32,
    pub wink_hold: Duration,
    /// Experimental: lip gap above neutral from which the opening is looked into, and its brightness over that of the lips.
    pub tongue_gap: f32,
    pub tongue_fill: f32,
    pub tongue_hold: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Limits {
            turn_on: 20.0,
            turn_off: 15.0,
            turn_hold: ms(100),
            nod_on: 14.0,
            nod_off: 10.0,
            nod_hold: ms(150),
            centre_yaw: 10.0,
            centre_pitch: 12.0,
            centre_hold: ms(200),
            blink_closed: 0.75,
            blink_both: 0.85,
            blink_open: 0.80,
            blink_longest: ms(600),
            blink_still: 2.8,
            mouth_gap: 0.15,
            mouth_hold: ms(500),
            smile_width: 1.10,
            smile_lift: 0.02,
            smile_hold: ms(200),
            brow_raise: 1.15,
            brow_hold: ms(200),
            wink_closed: 0.65,
            wink_open: 0.85,
            wink_hold: ms(150),
            tongue_gap: 0.06,
            tongue_fill: 0.85,
            tongue_hold: ms(300),
        }
    }
}

/// A signal that must hold, fires once, and is armed again when it lets go.
#[derive(Clone, Debug, Default)]
struct Held {
    since: Option<Tick>,
    fired: bool,
    /// Farthest that it went since it fired.
    peak: f32,
}

/// A turn or nod that comes back by so many degrees, and below its limit, has let go: whoever turns again from there
/// turns a second time.
const LET_GO: f32 = 6.0;

/// Frames come so much early or late. Without it a signal held for 200 ms needs a third frame of five a second whenever
/// two of them are 199 ms apart.
const JITTER: Duration = Duration::from_millis(10);

/// Whether something that began with the frame at `since` has lasted for `hold` at the frame of `at`.
fn lasted(at: Tick, since: Tick, hold: Duration) -> bool {
    at.since(since) + JITTER >= hold
}

impl Held {
    fn step(&mut self, at: Tick, on: bool, off: bool, hold: Duration) -> Option<Tick> {
        if self.fired {
            if off {
                *self = Held::default();
            }
            return None;
        }
        if !on {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(at);
        self.fired = lasted(at, since, hold);
        self.fired.then_some(since)
    }

    /// The same for an angle, with the limit that it must pass and the one below which it is at rest.
    fn angle(&mut self, at: Tick, angle: f32, on: f32, off: f32, hold: Duration) -> Option<Tick> {
        self.peak = if self.fired { self.peak.max(angle) } else { angle };
        let let_go = angle < off || (angle < on && angle < self.peak - LET_GO);
        self.step(at, angle > on, let_go, hold)
    }
}

/// One value of the neutral face, as the median of what was collected.
#[derive(Clone, Debug, Default)]
struct Neutral {
    yaw: Vec<f32>,
    pitch: Vec<f32>,
    gap: Vec<f32>,
    width: Vec<f32>,
    lift: Vec<f32>,
    brow: Vec<f32>,
    collected: Duration,
    last: Option<Tick>,
}

/// Neutral is settled after so much time in front of the camera.
const NEUTRAL: Duration = Duration::from_secs(1);
/// Only frames that look so straight count for neutral, in degrees.
const NEUTRAL_YAW: f32 = 10.0;

impl Neutral {
    fn learn(&mut self, at: Tick, pose: &Pose, signals: Option<&Signals>) {
        if self.collected >= NEUTRAL || pose.yaw.abs() >= NEUTRAL_YAW {
            self.last = None;
            return;
        }
        if let Some(last) = self.last.replace(at) {
            self.collected += at.since(last);
        }
        self.yaw.push(pose.yaw);
        self.pitch.push(pose.pitch);
        if let Some(s) = signals {
            self.gap.push(s.mouth_gap);
            self.width.push(s.mouth_width);
            self.lift.push(s.corner_lift);
            self.brow.push(s.brow);
        }
    }
}

/// Middle value; `None` of nothing. Even counts take the upper of the two.
#[must_use]
pub fn median(values: &[f32]) -> Option<f32> {
    let mut v = values.to_vec();
    v.sort_by(f32::total_cmp);
    v.get(v.len() / 2).copied()
}

/// Eyes shut since when, and whether the head moved too fast meanwhile.
#[derive(Clone, Copy, Debug)]
struct Closure {
    since: Tick,
}

/// How long the running median of the eyes looks back.
const EYE_MEMORY: Duration = Duration::from_secs(3);
/// So many samples make a median that a blink may be measured against.
const EYE_SAMPLES: usize = 4;

/// Follows one face and tells the actions.
#[derive(Clone, Debug)]
pub struct Gestures {
    limits: Limits,
    mirrored: bool,
    neutral: Neutral,
    left: Held,
    right: Held,
    nod: Held,
    mouth: Held,
    smile: Held,
    brow: Held,
    tongue: Held,
    /// Eye on the left and on the right of the image.
    winks: [Held; 2],
    /// Set by a turn or a nod: the return counts once.
    away: bool,
    centre: Option<Tick>,
    eyes: VecDeque<(Tick, [f32; 2])>,
    closure: Option<Closure>,
    bridge: Option<(Tick, [f32; 2])>,
    relative: Pose,
}

impl Gestures {
    /// `mirrored`: the picture is a mirror image, so left and right swap.
    #[must_use]
    pub fn new(limits: Limits, mirrored: bool) -> Self {
        Gestures {
            limits,
            mirrored,
            neutral: Neutral::default(),
            left: Held::default(),
            right: Held::default(),
            nod: Held::default(),
            mouth: Held::default(),
            smile: Held::default(),
            brow: Held::default(),
            tongue: Held::default(),
            winks: [Held::default(), Held::default()],
            away: false,
            centre: None,
            eyes: VecDeque::new(),
            closure: None,
            bridge: None,
            relative: Pose::default(),
        }
    }

    /// Pose against neutral, of the newest frame.
    #[must_use]
    pub fn relative(&self) -> Pose {
        self.relative
    }

    /// Whether the face looks into the camera with its mouth closed: the state between two actions.
    #[must_use]
    pub fn is_neutral(&self) -> bool {
        self.relative.yaw.abs() < self.limits.centre_yaw
            && self.relative.pitch.abs() < self.limits.centre_pitch
            && self.mouth.since.is_none()
            && !self.mouth.fired
    }

    /// Takes the next frame of the face; returns what became an action with it, in the order of onset.
    pub fn see(&mut self, at: Tick, face: &FaceSeen) -> Vec<Seen> {
        let signals = face.signals.as_ref();
        self.neutral.learn(at, &face.pose, signals);
        self.relative = Pose {
            yaw: face.pose.yaw - median(&self.neutral.yaw).unwrap_or(0.0),
            pitch: face.pose.pitch - median(&self.neutral.pitch).unwrap_or(0.0),
            roll: face.pose.roll,
        };
        let mut seen = self.head(at);
        if let Some(s) = signals {
            seen.extend(self.lips(at, s));
            seen.extend(self.lids(at, s));
        }
        seen.sort_by_key(|s| s.onset);
        seen
    }

    fn head(&mut self, at: Tick) -> Vec<Seen> {
        let (l, p) = (&self.limits, self.relative);
        let mut seen = Vec::new();
        let mut fire = |action, onset: Option<Tick>| {
            if let Some(onset) = onset {
                seen.push(Seen { action, onset, at });
            }
        };
        let (towards_right_edge, towards_left_edge) =
            if self.mirrored { (Action::TurnRight, Action::TurnLeft) } else { (Action::TurnLeft, Action::TurnRight) };
        fire(towards_right_edge, self.left.angle(at, p.yaw, l.turn_on, l.turn_off, l.turn_hold));
        fire(towards_left_edge, self.right.angle(at, -p.yaw, l.turn_on, l.turn_off, l.turn_hold));
        // At large yaw the pitch of a mesh drifts by up to 14 degrees (measured on a 60-degree turn), so a nod needs a
        // head that is not turned.
        let level = p.yaw.abs() < l.turn_on;
        fire(Action::Nod, self.nod.step(at, level && p.pitch.abs() > l.nod_on, p.pitch.abs() < l.nod_off, l.nod_hold));
        if !seen.is_empty() {
            self.away = true;
        }
        let central = p.yaw.abs() < l.centre_yaw && p.pitch.abs() < l.centre_pitch;
        if !(self.away && central) {
            self.centre = None;
        } else {
            let since = *self.centre.get_or_insert(at);
            if lasted(at, since, l.centre_hold) {
                self.away = false;
                self.centre = None;
                seen.push(Seen { action: Action::Centre, onset: since, at });
            }
        }
        seen
    }

    fn lips(&mut self, at: Tick, s: &Signals) -> Vec<Seen> {
        let (l, n) = (&self.limits, &self.neutral);
        let (Some(gap), Some(width), Some(lift)) = (median(&n.gap), median(&n.width), median(&n.lift)) else {
            return Vec::new();
        };
        let opened = s.mouth_gap - gap;
        let level = self.relative.yaw.abs() < l.turn_on && self.relative.pitch.abs() < 2.0 * l.nod_on;
        let mouth = self.mouth.step(at, level && opened > l.mouth_gap, opened < l.mouth_gap * 0.67, l.mouth_hold);
        let still = self.relative.yaw.abs() < l.turn_off && self.relative.pitch.abs() < l.nod_on;
        let wide = s.mouth_width > l.smile_width * width && s.corner_lift - lift > l.smile_lift;
        let smile = self.smile.step(at, still && wide, !wide, l.smile_hold);
        let raised = median(&n.brow).is_some_and(|b| b > 0.0 && s.brow > l.brow_raise * b);
        let brow = self.brow.step(at, still && raised, !raised, l.brow_hold);
        let out = opened > l.tongue_gap && s.tongue.is_some_and(|t| t > l.tongue_fill);
        let tongue = self.tongue.step(at, still && out, !out, l.tongue_hold);
        [(Action::MouthOpen, mouth), (Action::Smile, smile), (Action::BrowRaise, brow), (Action::Tongue, tongue)]
            .into_iter()
            .filter_map(|(action, onset)| onset.map(|onset| Seen { action, onset, at }))
            .collect()
    }

    fn lids(&mut self, at: Tick, s: &Signals) -> Vec<Seen> {
        let l = &self.limits;
        let moved = self.bridge.replace((at, s.bridge)).is_some_and(|(then, b)| {
            let seconds = at.since(then).as_secs_f32().max(1e-3);
            let px = (s.bridge[0] - b[0]).hypot(s.bridge[1] - b[1]);
            px / s.eye_px.max(1.0) / seconds > l.blink_still
        });
        let Some(eyes) = s.openness else { return Vec::new() };
        let frontal = self.relative.yaw.abs() < 25.0 && self.relative.pitch.abs() < l.centre_pitch;
        if moved || !frontal {
            // A shaken or turned head reads like a closure: what was begun does not count.
            self.closure = None;
            self.winks = [Held::default(), Held::default()];
            return Vec::new();
        }
        self.eyes.push_back((at, eyes));
        while self.eyes.front().is_some_and(|(t, _)| at.since(*t) > EYE_MEMORY) {
            self.eyes.pop_front();
        }
        if self.eyes.len() < EYE_SAMPLES {
            return Vec::new();
        }
        let side = |i: usize| median(&self.eyes.iter().map(|(_, e)| e[i]).collect::<Vec<_>>()).unwrap_or(0.0).max(1e-3);
        let ratio = [eyes[0] / side(0), eyes[1] / side(1)];
        let mut seen = self.wink(at, ratio);
        seen.extend(self.blink(at, ratio));
        seen
    }

    /// One eye shut, the other open.
    fn wink(&mut self, at: Tick, ratio: [f32; 2]) -> Vec<Seen> {
        let l = &self.limits;
        let of_image =
            if self.mirrored { [Action::WinkLeft, Action::WinkRight] } else { [Action::WinkRight, Action::WinkLeft] };
        let mut seen = Vec::new();
        for (i, action) in of_image.into_iter().enumerate() {
            let shut = ratio[i] < l.wink_closed && ratio[1 - i] > l.wink_open;
            let onset = self.winks[i].step(at, shut, ratio[i] > l.blink_open, l.wink_hold);
            seen.extend(onset.map(|onset| Seen { action, onset, at }));
        }
        seen
    }

    /// Both eyes shut and open again.
    fn blink(&mut self, at: Tick, ratio: [f32; 2]) -> Option<Seen> {
        let l = &self.limits;
        let mean = (ratio[0] + ratio[1]) / 2.0;
        match self.closure {
            None if mean < l.blink_closed && ratio.iter().all(|r| *r < l.blink_both) => {
                self.closure = Some(Closure { since: at });
                None
            }
            Some(c) if mean > l.blink_open => {
                self.closure = None;
                (at.since(c.since) <= l.blink_longest).then_some(Seen { action: Action::Blink, onset: c.since, at })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::observation::{Quality, Rect};

    /// A face with this yaw, pitch, openness and lip gap.
    fn face(yaw: f32, pitch: f32, open: f32, gap: f32) -> FaceSeen {
        FaceSeen {
            track: 1,
            rect: Rect { x: 0.0, y: 0.0, w: 100.0, h: 100.0 },
            quality: Quality::Ok,
            frontal: true,
            pose: Pose { yaw, pitch, roll: 0.0 },
            signals: Some(Signals {
                openness: Some([open; 2]),
                mouth_gap: gap,
                mouth_width: 1.0,
                corner_lift: 0.0,
                brow: 0.3,
                tongue: None,
                bridge: [50.0, 50.0],
                eye_px: 60.0,
            }),
            pad: Vec::new(),
            embedding: None,
            relief: None,
            skin: None,
        }
    }

    /// Plays 1.2 s of neutral, then the frames; returns what was seen, at the frame rate given.
    fn play(fps: u64, mirrored: bool, frames: &[(u64, FaceSeen)]) -> Vec<(Action, u64, u64)> {
        let mut g = Gestures::new(Limits::default(), mirrored);
        let mut out = Vec::new();
        let mut t = 0;
        let mut feed = |g: &mut Gestures, f: &FaceSeen, for_ms: u64| {
            let end = t + for_ms;
            while t < end {
                out.extend(
                    g.see(Tick::from_millis(t), f)
                        .into_iter()
                        .map(|s| (s.action, s.onset.as_millis(), s.at.as_millis())),
                );
                t += 1000 / fps;
            }
        };
        feed(&mut g, &face(0.0, -5.0, 0.3, 0.0), 1200);
        for (ms, f) in frames {
            feed(&mut g, f, *ms);
        }
        out
    }

    fn names(seen: &[(Action, u64, u64)]) -> Vec<Action> {
        seen.iter().map(|s| s.0).collect()
    }

    #[test]
    fn a_turn_is_seen_once_and_the_return_is_the_centre() {
        for fps in [30, 10, 5] {
            let seen = play(fps, false, &[(800, face(35.0, -5.0, 0.3, 0.0)), (800, face(0.0, -5.0, 0.3, 0.0))]);
            assert_eq!(names(&seen), [Action::TurnLeft, Action::Centre], "at {fps} fps");
            let delay = seen[0].2 - 1200;
            assert!(delay <= 400, "at {fps} fps the turn was told after {delay} ms");
        }
    }

    /// A camera of five frames a second, whose frames come a little early.
    #[test]
    fn frames_that_come_a_little_early_hold_as_long() {
        let smile = |wide: f32| {
            let mut f = face(0.0, 0.0, 0.3, 0.0);
            if let Some(s) = &mut f.signals {
                (s.mouth_width, s.corner_lift) = (wide, 0.1 * (wide - 1.0));
            }
            f
        };
        let seen_at = |apart: u64| {
            let mut g = Gestures::new(Limits::default(), false);
            (0..9_u64)
                .flat_map(|i| g.see(Tick::from_millis(apart * i), &smile(if i < 6 { 1.0 } else { 1.3 })))
                .map(|s| (s.action, s.at.as_millis() / apart))
                .next()
        };
        assert_eq!(seen_at(199), Some((Action::Smile, 7)));
        assert_eq!(seen_at(180), Some((Action::Smile, 8)), "more than a little");
    }

    #[test]
    fn a_mirrored_picture_swaps_left_and_right() {
        assert_eq!(names(&play(10, true, &[(500, face(35.0, -5.0, 0.3, 0.0))])), [Action::TurnRight]);
        assert_eq!(names(&play(10, false, &[(500, face(-35.0, -5.0, 0.3, 0.0))])), [Action::TurnRight]);
    }

    #[test]
    fn a_nod_counts_from_the_persons_own_tilt() {
        assert_eq!(names(&play(30, false, &[(400, face(0.0, 7.0, 0.3, 0.0))])), []);
        assert_eq!(names(&play(30, false, &[(400, face(0.0, 12.0, 0.3, 0.0))])), [Action::Nod]);
        assert_eq!(names(&play(30, false, &[(400, face(0.0, -21.0, 0.3, 0.0))])), [Action::Nod]);
    }

    #[test]
    fn pitch_that_drifts_in_a_turn_is_no_nod() {
        assert_eq!(names(&play(30, false, &[(800, face(50.0, 12.0, 0.3, 0.0))])), [Action::TurnLeft]);
    }

    #[test]
    fn a_blink_is_short_and_with_both_eyes() {
        let open = || face(0.0, -5.0, 0.3, 0.0);
        let shut = || face(0.0, -5.0, 0.1, 0.0);
        assert_eq!(names(&play(30, false, &[(130, shut()), (300, open())])), [Action::Blink]);
        assert_eq!(names(&play(30, false, &[(900, shut()), (300, open())])), []);
        let mut wink = shut();
        if let Some(s) = &mut wink.signals {
            s.openness = Some([0.05, 0.3]);
        }
        assert_eq!(names(&play(30, false, &[(130, wink), (300, open())])), []);
    }

    #[test]
    fn a_shaken_head_does_not_blink() {
        let mut blurred = face(0.0, -5.0, 0.1, 0.0);
        if let Some(s) = &mut blurred.signals {
            s.bridge = [90.0, 50.0];
        }
        assert_eq!(names(&play(30, false, &[(100, blurred), (300, face(0.0, -5.0, 0.3, 0.0))])), []);
    }

    #[test]
    fn a_wink_is_one_eye_and_left_is_the_persons_own() {
        let wink = |openness| {
            let mut f = face(0.0, -5.0, 0.3, 0.0);
            f.signals = f.signals.map(|s| Signals { openness: Some(openness), ..s });
            f
        };
        let open = || face(0.0, -5.0, 0.3, 0.0);
        assert_eq!(names(&play(30, false, &[(300, wink([0.1, 0.3])), (200, open())])), [Action::WinkRight]);
        assert_eq!(names(&play(30, false, &[(300, wink([0.3, 0.1])), (200, open())])), [Action::WinkLeft]);
        assert_eq!(names(&play(30, true, &[(300, wink([0.3, 0.1])), (200, open())])), [Action::WinkRight]);
        assert_eq!(names(&play(30, false, &[(100, wink([0.3, 0.1])), (200, open())])), [], "too short");
        assert_eq!(names(&play(30, false, &[(300, wink([0.2, 0.1])), (200, open())])), [Action::Blink], "both");
    }

    #[test]
    fn brows_count_from_the_persons_own_and_a_tongue_fills_the_opening() {
        let with = |brow, gap, tongue| {
            let mut f = face(0.0, -5.0, 0.3, gap);
            f.signals = f.signals.map(|s| Signals { brow, tongue, ..s });
            f
        };
        assert_eq!(names(&play(30, false, &[(400, with(0.36, 0.0, None))])), [Action::BrowRaise]);
        assert_eq!(names(&play(30, false, &[(400, with(0.33, 0.0, None))])), []);
        assert_eq!(names(&play(30, false, &[(450, with(0.3, 0.1, Some(0.95)))])), [Action::Tongue]);
        assert_eq!(names(&play(30, false, &[(450, with(0.3, 0.1, Some(0.5)))])), [], "a dark opening");
        assert_eq!(names(&play(30, false, &[(450, with(0.3, 0.02, Some(0.95)))])), [], "a closed mouth");
    }

    #[test]
    fn talking_is_no_open_mouth() {
        let talk = |gap| face(0.0, -5.0, 0.3, gap);
        assert_eq!(names(&play(30, false, &[(300, talk(0.25)), (100, talk(0.02)), (300, talk(0.25))])), []);
        assert_eq!(names(&play(30, false, &[(700, talk(0.25))])), [Action::MouthOpen]);
    }

    #[test]
    fn the_middle_of_nothing_is_nothing() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    }
}
