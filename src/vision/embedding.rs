//! Embedding networks: how a face is brought into each one's template, and its vector.

use super::align::{Affine, Point};
use super::detection::{Points, middle};
use super::facemesh::{Mesh, index};
use super::family::{BadOutput, Family, flat};
use crate::domain::observation::Embedding;
use ndarray::ArrayD;

/// ArcFace's usual template for 112 pixels: eyes, nose tip, mouth corners.
pub const ARCFACE_112: [Point; 5] =
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]];

/// Template of Intel's reid-retail-0095 for 128 pixels, same points.
pub const REID_128: [Point; 5] = [
    reid(0.315_568_75, 0.461_574_10),
    reid(0.682_622_91, 0.461_574_10),
    reid(0.500_262_49, 0.640_505_35),
    reid(0.349_471_87, 0.824_691_96),
    reid(0.653_436_45, 0.824_691_96),
];

const fn reid(x: f64, y: f64) -> Point {
    [(x * 128.0) as f32, (y * 128.0) as f32]
}

/// dlib's template for 150 pixels: outer and inner corner of the right eye, of the left eye, base of the nose.
pub const DLIB_150: [Point; 5] = [
    dlib(0.859_567_459_599_2, 0.213_498_153_801_4),
    dlib(0.646_060_476_410_4, 0.228_967_438_767_7),
    dlib(0.120_575_062_078_9, 0.213_727_452_684_8),
    dlib(0.334_085_061_371_2, 0.229_064_240_324_2),
    dlib(0.490_112_313_567_9, 0.627_797_531_647_5),
];

const fn dlib(x: f64, y: f64) -> Point {
    [(150.0 * (0.25 + x) / 1.5) as f32, (150.0 * (0.25 + y) / 1.5) as f32]
}

/// What a face is aligned by: the best that is at hand.
#[derive(Clone, Copy, Debug)]
pub enum AlignBy<'a> {
    Detection(&'a Points),
    Mesh(&'a Mesh),
}

/// The map from picture to the network's input. `None` when the points coincide, or for a family that embeds nothing.
///
/// A template is a set of thresholds' worth of training: aligning by other points than it was made for costs accuracy, so
/// each family takes what is nearest to its own points. With the two eyes only, dlib's network was measured to be as good.
#[must_use]
pub fn affine(family: Family, by: AlignBy<'_>) -> Option<Affine> {
    let template = match family {
        Family::Arcface112 => &ARCFACE_112,
        Family::Reid128 => &REID_128,
        Family::Dlib150 => return dlib_affine(by),
        _ => return None,
    };
    match by {
        AlignBy::Detection(Points::Five(p)) => Affine::similarity(p, template),
        AlignBy::Mesh(mesh) => Affine::similarity(&mesh.five(), template),
        AlignBy::Detection(p @ Points::Six(_)) => {
            let [left, right] = p.eyes();
            let to = [template[0], template[1], template[2], middle(template[3], template[4])];
            Affine::similarity(&[left, right, p.nose(), p.mouth()], &to)
        }
    }
}

fn dlib_affine(by: AlignBy<'_>) -> Option<Affine> {
    match by {
        AlignBy::Mesh(mesh) => {
            use index::*;
            let from = [RIGHT_EYE_OUTER, RIGHT_EYE_INNER, LEFT_EYE_OUTER, LEFT_EYE_INNER, NOSE_BASE];
            Affine::similarity(&from.map(|i| mesh.xy(i)), &DLIB_150)
        }
        AlignBy::Detection(p) => {
            let to = [middle(DLIB_150[2], DLIB_150[3]), middle(DLIB_150[0], DLIB_150[1])];
            Affine::similarity(&p.eyes(), &to)
        }
    }
}

/// The face's vector: of length one for networks compared by cosine, as it came for dlib's, compared by distance.
///
/// # Errors
/// No values, values that are not finite, or a vector of length zero.
pub fn decode(family: Family, outputs: &[ArrayD<f32>]) -> Result<Embedding, BadOutput> {
    let len = outputs.first().map_or(0, ArrayD::len);
    let values = flat(family, outputs, 0, len)?;
    let norm = values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
    if !norm.is_finite() || norm < 1e-6 {
        return Err(BadOutput::new(family, format!("a vector of length {norm}")));
    }
    let scale = if family == Family::Dlib150 { 1.0 } else { 1.0 / norm };
    Ok(values.iter().map(|v| (f64::from(*v) * scale) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(v: &[f32]) -> Vec<ArrayD<f32>> {
        vec![ArrayD::from_shape_vec(vec![1, v.len()], v.to_vec()).unwrap()]
    }

    #[test]
    fn a_face_that_stands_in_the_template_is_left_as_it_is() {
        for (family, template) in [(Family::Arcface112, ARCFACE_112), (Family::Reid128, REID_128)] {
            let points = Points::Five(template);
            let m = affine(family, AlignBy::Detection(&points)).unwrap().rows();
            for (got, want) in m.iter().flatten().zip([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]) {
                assert!((got - want).abs() < 1e-4, "{m:?}");
            }
        }
    }

    #[test]
    fn the_template_of_dlib_lies_where_its_contract_says() {
        // 150 * (0.25 + 0.8595674595992) / 1.5
        assert!((DLIB_150[0][0] - 110.956_75).abs() < 1e-4);
        assert!((DLIB_150[4][1] - 87.779_753).abs() < 1e-4);
        let points =
            Points::Six([[40.0, 48.0], [100.0, 48.0], [70.0, 70.0], [70.0, 95.0], [20.0, 50.0], [120.0, 50.0]]);
        let m = affine(Family::Dlib150, AlignBy::Detection(&points)).unwrap();
        let (l, r) = (m.apply([40.0, 48.0]), m.apply([100.0, 48.0]));
        let want = [middle(DLIB_150[2], DLIB_150[3]), middle(DLIB_150[0], DLIB_150[1])];
        for (got, want) in [l, r].iter().flatten().zip(want.iter().flatten()) {
            assert!((got - want).abs() < 1e-3, "{l:?} {r:?}");
        }
    }

    #[test]
    fn six_points_align_by_eyes_nose_and_the_middle_of_the_mouth() {
        let t = ARCFACE_112;
        let points = Points::Six([t[0], t[1], t[2], middle(t[3], t[4]), [0.0, 50.0], [112.0, 50.0]]);
        let m = affine(Family::Arcface112, AlignBy::Detection(&points)).unwrap().rows();
        assert!((m[0][0] - 1.0).abs() < 1e-6 && m[0][2].abs() < 1e-4, "{m:?}");
        assert!(affine(Family::Yunet, AlignBy::Detection(&points)).is_none());
    }

    #[test]
    fn cosine_networks_give_length_one_and_dlib_gives_what_it_has() {
        assert_eq!(&decode(Family::Reid128, &vector(&[3.0, 4.0])).unwrap()[..], [0.6, 0.8]);
        assert_eq!(&decode(Family::Dlib150, &vector(&[3.0, 4.0])).unwrap()[..], [3.0, 4.0]);
    }

    #[test]
    fn a_vector_without_length_or_numbers_is_refused() {
        for v in [&[0.0, 0.0][..], &[f32::NAN, 1.0], &[f32::INFINITY, 1.0], &[]] {
            assert!(decode(Family::Reid128, &vector(v)).is_err(), "{v:?}");
        }
        assert!(decode(Family::Dlib150, &[]).is_err());
    }
}
