//! A face as a detector sees it, whichever the detector.

use super::align::Point;
use crate::domain::observation::Rect;

/// The points that a detector gives. "Left" and "right" are sides of the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Points {
    /// Left eye, right eye, nose tip, left mouth corner, right mouth corner.
    Five([Point; 5]),
    /// Left eye, right eye, nose tip, middle of the mouth, left ear, right ear.
    Six([Point; 6]),
}

impl Points {
    /// Left and right eye.
    #[must_use]
    pub fn eyes(&self) -> [Point; 2] {
        let p = self.all();
        [p[0], p[1]]
    }

    /// Tip of the nose.
    #[must_use]
    pub fn nose(&self) -> Point {
        self.all()[2]
    }

    /// Middle of the mouth.
    #[must_use]
    pub fn mouth(&self) -> Point {
        match self {
            Points::Five(p) => middle(p[3], p[4]),
            Points::Six(p) => p[3],
        }
    }

    /// Every point, in the order of the kind.
    #[must_use]
    pub fn all(&self) -> &[Point] {
        match self {
            Points::Five(p) => p,
            Points::Six(p) => p,
        }
    }

    /// Angle of the eye line in radians, clockwise in the image.
    #[must_use]
    pub fn tilt(&self) -> f32 {
        let [l, r] = self.eyes();
        (r[1] - l[1]).atan2(r[0] - l[0])
    }
}

/// A face found, in picture pixels; every number is finite, width and height are positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    pub rect: Rect,
    /// `0.0..=1.0`.
    pub score: f32,
    pub points: Points,
}

impl Detection {
    /// Whether every number is finite and the box has an area; decoders drop what is not.
    pub(super) fn usable(&self) -> bool {
        let Rect { x, y, w, h } = self.rect;
        [x, y, w, h, self.score].iter().chain(self.points.all().iter().flatten()).all(|v| v.is_finite())
            && w > 0.0
            && h > 0.0
    }
}

/// Half way between two points.
#[must_use]
pub fn middle(a: Point, b: Point) -> Point {
    [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0]
}
