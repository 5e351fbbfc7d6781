//! FaceMesh: where its crop lies, and its 468 points.

use super::align::{Affine, Point};
use super::detection::{Detection, middle};
use super::family::{BadOutput, Family, flat};
use ndarray::ArrayD;

/// Number of points.
pub const POINTS: usize = 468;
/// Side of the input.
pub const SIDE: usize = 192;
/// The network's crop is this much wider than the face's box.
const MARGIN: f32 = 1.5;

/// Indices of the points that something here uses; "left" is the left side of the image.
pub mod index {
    pub const LEFT_EYE_OUTER: usize = 33;
    pub const LEFT_EYE_INNER: usize = 133;
    pub const RIGHT_EYE_INNER: usize = 362;
    pub const RIGHT_EYE_OUTER: usize = 263;
    pub const NOSE_TIP: usize = 1;
    pub const NOSE_BASE: usize = 2;
    pub const MOUTH_LEFT: usize = 61;
    pub const MOUTH_RIGHT: usize = 291;
    pub const LIP_UPPER: usize = 13;
    pub const LIP_LOWER: usize = 14;
    pub const FACE_LEFT: usize = 234;
    pub const FACE_RIGHT: usize = 454;
}

/// A square in the picture, turned so that the eye line is level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roi {
    pub centre: Point,
    /// Side in picture pixels.
    pub side: f32,
    /// Radians, clockwise in the image.
    pub angle: f32,
}

impl Roi {
    /// Around a detected face.
    #[must_use]
    pub fn of_detection(d: &Detection) -> Roi {
        let r = d.rect;
        Roi { centre: [r.x + r.w / 2.0, r.y + r.h / 2.0], side: r.w.max(r.h) * MARGIN, angle: d.points.tilt() }
    }

    /// Around the points of the frame before, so that detection need not run.
    #[must_use]
    pub fn of_mesh(mesh: &Mesh) -> Roi {
        let (mut lo, mut hi) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
        for p in mesh.points.iter() {
            for axis in 0..2 {
                lo[axis] = lo[axis].min(p[axis]);
                hi[axis] = hi[axis].max(p[axis]);
            }
        }
        Roi { centre: middle(lo, hi), side: (hi[0] - lo[0]).max(hi[1] - lo[1]) * MARGIN, angle: mesh.tilt() }
    }

    /// The map from picture to the network's input; `None` for a square without area.
    #[must_use]
    pub fn affine(&self) -> Option<Affine> {
        Affine::square(self.centre, self.side, self.angle, SIDE)
    }
}

/// The points of a face. x and y are picture pixels; z is depth in picture pixels too, smaller is nearer to the camera,
/// in the axes of the crop (so z does not change with the head's tilt).
#[derive(Clone, Debug, PartialEq)]
pub struct Mesh {
    pub points: Box<[[f32; 3]; POINTS]>,
    /// Probability that the crop shows a face at all; below 0.5 the points mean nothing.
    pub probability: f32,
    /// The crop that was read.
    pub roi: Roi,
}

impl Mesh {
    /// One point in the picture.
    #[must_use]
    pub fn xy(&self, index: usize) -> Point {
        let p = self.points[index];
        [p[0], p[1]]
    }

    /// Angle of the line through the outer eye corners in radians, clockwise in the image.
    #[must_use]
    pub fn tilt(&self) -> f32 {
        let (l, r) = (self.xy(index::LEFT_EYE_OUTER), self.xy(index::RIGHT_EYE_OUTER));
        (r[1] - l[1]).atan2(r[0] - l[0])
    }

    /// Distance of the outer eye corners in pixels, the unit of all signals.
    #[must_use]
    pub fn eye_distance(&self) -> f32 {
        let (l, r) = (self.xy(index::LEFT_EYE_OUTER), self.xy(index::RIGHT_EYE_OUTER));
        (r[0] - l[0]).hypot(r[1] - l[1])
    }

    /// Eye centres, nose tip, mouth corners, in the order of [`super::detection::Points::Five`].
    #[must_use]
    pub fn five(&self) -> [Point; 5] {
        use index::*;
        [
            middle(self.xy(LEFT_EYE_OUTER), self.xy(LEFT_EYE_INNER)),
            middle(self.xy(RIGHT_EYE_INNER), self.xy(RIGHT_EYE_OUTER)),
            self.xy(NOSE_TIP),
            self.xy(MOUTH_LEFT),
            self.xy(MOUTH_RIGHT),
        ]
    }
}

/// Points in the picture. Outputs in the order of [`Family::outputs`]; `roi` is what the crop was cut from.
///
/// # Errors
/// Outputs of other lengths than the contract's, numbers that are not finite, or a square without area.
pub fn decode(outputs: &[ArrayD<f32>], roi: Roi) -> Result<Mesh, BadOutput> {
    let landmarks = flat(Family::Facemesh, outputs, 0, POINTS * 3)?;
    let logit = flat(Family::Facemesh, outputs, 1, 1)?[0];
    if !logit.is_finite() || landmarks.iter().any(|v| !v.is_finite()) {
        return Err(BadOutput::new(Family::Facemesh, "a number that is not finite"));
    }
    let back = roi.affine().ok_or_else(|| BadOutput::new(Family::Facemesh, "a crop without area"))?.inverse();
    let depth = roi.side / SIDE as f32;
    let mut points = Box::new([[0.0; 3]; POINTS]);
    for (p, l) in points.iter_mut().zip(landmarks.chunks_exact(3)) {
        let [x, y] = back.apply([l[0], l[1]]);
        *p = [x, y, l[2] * depth];
    }
    Ok(Mesh { points, probability: 1.0 / (1.0 + (-logit).exp()), roi })
}

#[cfg(test)]
mod tests {
    use super::super::detection::Points;
    use super::*;
    use crate::domain::observation::Rect;

    fn outputs(at: impl Fn(usize) -> [f32; 3], logit: f32) -> Vec<ArrayD<f32>> {
        let flat = (0..POINTS).flat_map(at).collect();
        vec![
            ArrayD::from_shape_vec(vec![1, 1404, 1, 1], flat).unwrap(),
            ArrayD::from_shape_vec(vec![1, 1, 1, 1], vec![logit]).unwrap(),
        ]
    }

    #[test]
    fn the_crop_of_a_detection_is_a_level_square_half_as_wide_again() {
        let eyes = [[110.0, 120.0], [150.0, 120.0]];
        let points = Points::Five([eyes[0], eyes[1], [130.0, 140.0], [115.0, 160.0], [145.0, 160.0]]);
        let d = Detection { rect: Rect { x: 100.0, y: 90.0, w: 60.0, h: 80.0 }, score: 0.9, points };
        assert_eq!(Roi::of_detection(&d), Roi { centre: [130.0, 130.0], side: 120.0, angle: 0.0 });
        let m = Roi::of_detection(&d).affine().unwrap();
        // The square begins at (70, 70); 192 / 120 = 1.6 input pixels per picture pixel.
        assert_eq!(m.apply([70.0, 70.0]), [0.0, 0.0]);
        assert_eq!(m.apply([130.0, 80.0]), [96.0, 16.0]);
    }

    #[test]
    fn points_come_back_into_a_turned_picture_with_their_depth() {
        let roi = Roi { centre: [200.0, 100.0], side: 96.0, angle: std::f32::consts::FRAC_PI_2 };
        let mesh = decode(&outputs(|i| [96.0 + i as f32 / 10.0, 96.0, 8.0], 0.0), roi).unwrap();
        assert_eq!(mesh.probability, 0.5);
        // Right in the crop is down in the picture, at half the length.
        let p = mesh.points[100];
        assert!((p[0] - 200.0).abs() < 1e-3 && (p[1] - 105.0).abs() < 1e-3 && p[2] == 4.0, "{p:?}");
    }

    #[test]
    fn the_next_crop_surrounds_the_points_and_follows_the_tilt() {
        use index::*;
        let roi = Roi { centre: [96.0, 96.0], side: 192.0, angle: 0.0 };
        let at = |i| match i {
            LEFT_EYE_OUTER => [60.0, 60.0, 0.0],
            RIGHT_EYE_OUTER => [120.0, 120.0, 0.0],
            _ => [90.0 + (i % 2) as f32 * 40.0, 150.0, 0.0],
        };
        let next = Roi::of_mesh(&decode(&outputs(at, 5.0), roi).unwrap());
        assert!((next.centre[0] - 95.0).abs() < 1e-3 && (next.centre[1] - 105.0).abs() < 1e-3, "{next:?}");
        assert!((next.side - 135.0).abs() < 1e-3);
        assert!((next.angle - std::f32::consts::FRAC_PI_4).abs() < 1e-5);
    }

    #[test]
    fn a_mesh_with_a_number_that_is_none_is_refused() {
        let roi = Roi { centre: [96.0, 96.0], side: 192.0, angle: 0.0 };
        let at = |i| if i == 467 { [1.0, f32::NAN, 1.0] } else { [1.0; 3] };
        assert!(decode(&outputs(at, 1.0), roi).is_err());
        assert!(decode(&outputs(|_| [1.0; 3], f32::INFINITY), roi).is_err());
        assert!(decode(&outputs(|_| [1.0; 3], 1.0), Roi { side: 0.0, ..roi }).is_err());
    }
}
