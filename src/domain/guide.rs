//! Guides somebody who is enrolled at the camera through a few poses, so that the templates know more than one view.
//! Turns are small: beyond some twenty degrees the networks see another face.
//!
//! Somebody who cannot, or will not, turn is enrolled all the same: a pose that does not come within its time is taken
//! straight.

use crate::base::time::Tick;
use crate::domain::observation::Pose;
use std::time::Duration;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Straight,
    /// The person's own left.
    Left,
    Right,
    Up,
}

impl View {
    /// What the person is told.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            View::Straight => "look straight into the camera",
            View::Left => "turn your head a little to your left",
            View::Right => "turn your head a little to your right",
            View::Up => "lift your chin a little",
        }
    }

    /// Whether a head stands so; angles in degrees in an unmirrored picture.
    #[must_use]
    fn is(self, pose: Pose) -> bool {
        let level = pose.pitch.abs() <= 12.0;
        match self {
            View::Straight => pose.yaw.abs() <= 8.0 && level,
            View::Left => (8.0..=22.0).contains(&pose.yaw) && level,
            View::Right => (-22.0..=-8.0).contains(&pose.yaw) && level,
            View::Up => (6.0..=18.0).contains(&pose.pitch) && pose.yaw.abs() <= 10.0,
        }
    }
}

/// One template each, in this order.
const VIEWS: [View; 5] = [View::Straight, View::Left, View::Right, View::Up, View::Straight];
/// Between two pictures, so that they are not the same one.
const APART: Duration = Duration::from_millis(300);
/// Then the pose is given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Beyond this the face is not straight enough to stand for a pose that did not come.
const NEARLY: f32 = 15.0;

/// What is to be done with a picture that is good by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// It is one of the templates.
    Take,
    /// It is not what was asked for.
    Wait(View),
}

/// How far somebody has come.
#[derive(Clone, Debug)]
pub struct Guide {
    taken: usize,
    since: Tick,
    last: Option<Tick>,
}

impl Guide {
    /// Pictures that are taken at most.
    pub const MOST: usize = VIEWS.len();

    #[must_use]
    pub fn new(now: Tick) -> Guide {
        Guide { taken: 0, since: now, last: None }
    }

    /// What is asked for now; `None` when everything was taken.
    #[must_use]
    pub fn wants(&self) -> Option<View> {
        VIEWS.get(self.taken).copied()
    }

    /// A picture that is good by itself, of a head that stands so.
    pub fn look(&mut self, at: Tick, pose: Pose) -> Option<Advice> {
        let view = self.wants()?;
        if self.last.is_some_and(|l| at.since(l) < APART) {
            return Some(Advice::Wait(view));
        }
        let nearly = pose.yaw.abs() <= NEARLY && pose.pitch.abs() <= NEARLY;
        let late = at.since(self.since) >= PATIENCE;
        if !(view.is(pose) || (late && nearly)) {
            return Some(Advice::Wait(view));
        }
        self.taken += 1;
        (self.since, self.last) = (at, Some(at));
        Some(Advice::Take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Tick {
        Tick::ZERO + Duration::from_millis(n)
    }

    fn pose(yaw: f32, pitch: f32) -> Pose {
        Pose { yaw, pitch, roll: 0.0 }
    }

    #[test]
    fn each_view_is_taken_once_in_order_and_not_before_it_is_seen() {
        let mut guide = Guide::new(ms(0));
        let steps = [
            (View::Straight, pose(20.0, 0.0), pose(2.0, -3.0)),
            (View::Left, pose(-15.0, 0.0), pose(15.0, 0.0)),
            (View::Right, pose(15.0, 0.0), pose(-15.0, 0.0)),
            (View::Up, pose(0.0, -10.0), pose(0.0, 10.0)),
            (View::Straight, pose(0.0, 20.0), pose(0.0, 0.0)),
        ];
        for (i, (view, wrong, right)) in steps.into_iter().enumerate() {
            let at = 1000 * i as u64;
            assert_eq!(guide.wants(), Some(view));
            assert_eq!(guide.look(ms(at), wrong), Some(Advice::Wait(view)));
            assert_eq!(guide.look(ms(at + 500), right), Some(Advice::Take), "{view:?}");
        }
        assert_eq!((guide.wants(), guide.look(ms(9000), pose(0.0, 0.0))), (None, None));
    }

    #[test]
    fn two_pictures_are_apart() {
        let mut guide = Guide::new(ms(0));
        assert_eq!(guide.look(ms(0), pose(0.0, 0.0)), Some(Advice::Take));
        assert_eq!(guide.look(ms(299), pose(15.0, 0.0)), Some(Advice::Wait(View::Left)));
        assert_eq!(guide.look(ms(300), pose(15.0, 0.0)), Some(Advice::Take));
    }

    #[test]
    fn who_does_not_turn_is_taken_straight_after_a_while_and_never_from_the_side() {
        let mut guide = Guide::new(ms(0));
        assert_eq!(guide.look(ms(0), pose(0.0, 0.0)), Some(Advice::Take));
        assert_eq!(guide.look(ms(4999), pose(0.0, 0.0)), Some(Advice::Wait(View::Left)));
        assert_eq!(guide.look(ms(5000), pose(-30.0, 0.0)), Some(Advice::Wait(View::Left)), "a profile is no template");
        assert_eq!(guide.look(ms(5000), pose(0.0, 0.0)), Some(Advice::Take));
        assert_eq!(guide.wants(), Some(View::Right));
    }
}
