//! Eye contour: the crop of one eye, and how far it is open.

use super::align::{Affine, Point};
use super::facemesh::{Mesh, index};
use super::family::{BadOutput, Family, flat};
use ndarray::ArrayD;

/// Side of the input.
pub const SIDE: usize = 64;
/// The crop is this many eye widths wide.
const MARGIN: f32 = 2.3;
const CONTOUR: usize = 71;

/// An eye by its side of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eye {
    Left,
    Right,
}

/// The map from picture to the network's input for one eye of a mesh; `None` for an eye without width.
#[must_use]
pub fn affine(mesh: &Mesh, eye: Eye) -> Option<Affine> {
    let corners = match eye {
        Eye::Left => [index::LEFT_EYE_OUTER, index::LEFT_EYE_INNER],
        Eye::Right => [index::RIGHT_EYE_INNER, index::RIGHT_EYE_OUTER],
    };
    between(corners.map(|i| mesh.xy(i)), eye)
}

/// The same from the eye's two corners, the left one in the image first. The network knows right eyes only, so the eye
/// on the left is mirrored.
#[must_use]
pub fn between([a, b]: [Point; 2], eye: Eye) -> Option<Affine> {
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let centre = super::detection::middle(a, b);
    let m = Affine::square(centre, dx.hypot(dy) * MARGIN, dy.atan2(dx), SIDE)?;
    Some(if eye == Eye::Left { m.mirrored(SIDE) } else { m })
}

/// Distance of the lids over that of the corners: about 0.3 open, below 0.2 shut. Compare with the person's own median.
///
/// # Errors
/// Outputs of other lengths than the contract's, numbers that are not finite, or corners that coincide.
pub fn openness(outputs: &[ArrayD<f32>]) -> Result<f32, BadOutput> {
    let contour = flat(Family::EyeContour, outputs, 0, CONTOUR * 3)?;
    let apart = |a: usize, b: usize| (contour[a * 3] - contour[b * 3]).hypot(contour[a * 3 + 1] - contour[b * 3 + 1]);
    // Lower lid 1..=7, upper lid 9..=15, corners 0 and 8.
    let open = (apart(11, 3) + apart(12, 4) + apart(13, 5)) / 3.0 / apart(0, 8);
    if open.is_finite() { Ok(open) } else { Err(BadOutput::new(Family::EyeContour, "an eye without width")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contour(at: impl Fn(usize) -> [f32; 3]) -> Vec<ArrayD<f32>> {
        let flat = (0..CONTOUR).flat_map(at).collect();
        vec![ArrayD::from_shape_vec(vec![1, 213], flat).unwrap(), ArrayD::zeros(vec![1, 15])]
    }

    #[test]
    fn the_crop_is_centred_level_and_two_point_three_eyes_wide() {
        let m = between([[100.0, 80.0], [120.0, 80.0]], Eye::Right).unwrap();
        assert!((m.scale() - 64.0 / 46.0).abs() < 1e-6);
        assert_eq!(m.apply([110.0, 80.0]), [32.0, 32.0]);
        assert!(m.apply([120.0, 80.0])[0] > 32.0);
        let m = between([[100.0, 80.0], [120.0, 90.0]], Eye::Right).unwrap();
        assert!((m.apply([100.0, 80.0])[1] - m.apply([120.0, 90.0])[1]).abs() < 1e-4);
    }

    #[test]
    fn the_eye_on_the_left_of_the_image_is_mirrored() {
        let corners = [[100.0, 80.0], [120.0, 80.0]];
        let (left, right) = (between(corners, Eye::Left).unwrap(), between(corners, Eye::Right).unwrap());
        let (l, r) = (left.apply([120.0, 77.0]), right.apply([120.0, 77.0]));
        assert!((l[0] - (63.0 - r[0])).abs() < 1e-4 && l[1] == r[1], "{l:?} {r:?}");
        assert!(between([[1.0, 1.0]; 2], Eye::Left).is_none());
    }

    #[test]
    fn openness_is_the_mean_of_three_lid_distances_over_the_width() {
        let at = |i: usize| match i {
            0 => [10.0, 30.0, 0.0],
            8 => [50.0, 30.0, 0.0],
            3 => [20.0, 35.0, 9.0],
            4 => [30.0, 36.0, 9.0],
            5 => [40.0, 35.0, 9.0],
            11 => [20.0, 26.0, 0.0],
            12 => [30.0, 24.0, 0.0],
            13 => [40.0, 26.0, 0.0],
            _ => [0.0; 3],
        };
        // (9 + 12 + 9) / 3 / 40
        assert!((openness(&contour(at)).unwrap() - 0.25).abs() < 1e-6);
    }

    #[test]
    fn an_eye_without_width_or_numbers_is_refused() {
        assert!(openness(&contour(|_| [5.0; 3])).is_err());
        assert!(openness(&contour(|i| [i as f32, f32::NAN, 0.0])).is_err());
        assert!(openness(&[ArrayD::zeros(vec![1, 15])]).is_err());
    }
}
