//! Passive presentation attack detection: each network's crop, and its probability that the face is alive.

use super::align::Affine;
use super::family::{BadOutput, Family, NetSpec, flat};
use super::frame::Picture;
use super::tensor::NetInput;
use super::warp::Border;
use crate::base::units::LiveScore;
use crate::domain::observation::Rect;
use ndarray::{ArrayD, ArrayView4};

/// Name of the head's score beside those of the networks.
pub const HEAD: &str = "site_head";
/// Side of the crop over that of the face for [`Family::Minifas128`].
const MINIFAS_SCALE: f32 = 1.5;

/// Pixels of the picture that [`Family::Minifasnet80`] looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

/// The face box grown `scale` times about its centre, less where the picture is smaller, and shifted (never cut) into the
/// picture. `None` for a box or a picture without area.
#[must_use]
pub fn minifasnet_crop(face: Rect, scale: f32, width: u32, height: u32) -> Option<Crop> {
    let sound = [face.x, face.y, face.w, face.h, scale].iter().all(|v| v.is_finite());
    if !sound || face.w <= 0.0 || face.h <= 0.0 || scale <= 0.0 || width < 2 || height < 2 {
        return None;
    }
    let (last_x, last_y) = ((width - 1) as f32, (height - 1) as f32);
    let s = scale.min(last_x / face.w).min(last_y / face.h);
    let axis = |at: f32, len: f32, last: f32| {
        let (centre, half) = (at + len / 2.0, len * s / 2.0);
        let (mut lo, mut hi) = (centre - half, centre + half);
        if lo < 0.0 {
            (lo, hi) = (0.0, hi - lo);
        }
        if hi > last {
            (lo, hi) = (lo - (hi - last), last);
        }
        // Both ends belong to the crop; rounding is towards zero, as in the network's own code.
        let lo = lo.clamp(0.0, last) as u32;
        let hi = hi.clamp(0.0, last) as u32;
        (lo, hi - lo + 1)
    };
    let ((left, width), (top, height)) = (axis(face.x, face.w, last_x), axis(face.y, face.h, last_y));
    Some(Crop { left, top, width, height })
}

/// Writes the crop of one PAD network into its input. `None` for a face without area, and for a network that is not PAD.
pub fn write<'a>(net: &NetSpec, picture: &Picture, face: Rect, input: &'a mut NetInput) -> Option<ArrayView4<'a, f32>> {
    let side = net.input.side();
    match net.family {
        Family::Minifasnet80 => {
            let c = minifasnet_crop(face, net.crop_scale?, picture.width, picture.height)?;
            let m = Affine::crop(c.left, c.top, c.width, c.height, side)?;
            Some(input.warp(picture, &m, Border::Replicate))
        }
        Family::Minifas128 => {
            let centre = [face.x + face.w / 2.0, face.y + face.h / 2.0];
            let m = Affine::square(centre, face.w.max(face.h) * MINIFAS_SCALE, 0.0, side)?;
            Some(input.warp(picture, &m, Border::Reflect101))
        }
        _ => None,
    }
}

/// Probability that the face is alive.
///
/// # Errors
/// Outputs of other lengths than the contract's, or numbers that are not finite: never a live face by mistake.
pub fn decode(family: Family, outputs: &[ArrayD<f32>]) -> Result<LiveScore, BadOutput> {
    let (classes, live) = match family {
        Family::Minifasnet80 => (3, 1),
        Family::Minifas128 => (2, 0),
        _ => return Err(BadOutput::new(family, "not a PAD network")),
    };
    let logits = flat(family, outputs, 0, classes)?;
    if logits.iter().any(|v| !v.is_finite()) {
        return Err(BadOutput::new(family, "a number that is not finite"));
    }
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|v| (v - top).exp()).sum();
    LiveScore::new((logits[live] - top).exp() / sum).ok_or_else(|| BadOutput::new(family, "no probability"))
}

/// A linear layer that was trained on site on the features of all PAD networks, one behind the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    weights: Vec<f32>,
    bias: f32,
}

impl Head {
    /// `None` without weights, or with one that is not finite.
    #[must_use]
    pub fn new(weights: Vec<f32>, bias: f32) -> Option<Head> {
        let sound = !weights.is_empty() && weights.iter().chain([&bias]).all(|v| v.is_finite());
        sound.then_some(Head { weights, bias })
    }

    /// Number of features that it reads.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// The layer itself.
    #[must_use]
    pub fn parameters(&self) -> (&[f32], f32) {
        (&self.weights, self.bias)
    }

    /// Probability that the face is alive. `None` for another number of features, or one that is not finite: never a
    /// live face by mistake.
    #[must_use]
    pub fn score(&self, features: &[f32]) -> Option<LiveScore> {
        if features.len() != self.weights.len() {
            return None;
        }
        let products = self.weights.iter().zip(features).map(|(w, x)| f64::from(*w) * f64::from(*x));
        let logit = products.sum::<f64>() + f64::from(self.bias);
        #[expect(clippy::cast_possible_truncation, reason = "a probability")]
        LiveScore::new((1.0 / (1.0 + (-logit).exp())) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn logits(v: &[f32]) -> Vec<ArrayD<f32>> {
        vec![ArrayD::from_shape_vec(vec![1, v.len()], v.to_vec()).unwrap()]
    }

    #[test]
    fn a_face_in_the_middle_gets_its_box_grown_about_the_centre() {
        let face = Rect { x: 300.0, y: 200.0, w: 40.0, h: 60.0 };
        // 2.7 * 40 = 108 and 2.7 * 60 = 162 about (320, 230): 266..=374 and 149..=311, both ends included.
        let c = minifasnet_crop(face, 2.7, 640, 480).unwrap();
        assert_eq!(c, Crop { left: 266, top: 149, width: 109, height: 163 });
    }

    #[test]
    fn a_face_at_the_edge_is_shifted_and_not_cut() {
        let face = Rect { x: 0.0, y: 440.0, w: 40.0, h: 40.0 };
        // 108 about (20, 460) would be -34..74 and 406..514.
        let c = minifasnet_crop(face, 2.7, 640, 480).unwrap();
        assert_eq!(c, Crop { left: 0, top: 371, width: 109, height: 109 });
    }

    #[test]
    fn a_big_face_gets_as_much_as_the_picture_has() {
        let face = Rect { x: 100.0, y: 100.0, w: 200.0, h: 240.0 };
        // min(4, 639 / 200, 479 / 240) = 1.9958: height 479, width 399.17 about (200, 220).
        let c = minifasnet_crop(face, 4.0, 640, 480).unwrap();
        assert_eq!(c, Crop { left: 0, top: 0, width: 400, height: 480 });
    }

    #[test]
    fn a_box_that_is_none_has_no_crop() {
        for w in [0.0, -5.0, f32::NAN, f32::INFINITY] {
            assert!(minifasnet_crop(Rect { x: 1.0, y: 1.0, w, h: 10.0 }, 2.7, 640, 480).is_none(), "{w}");
        }
        assert!(minifasnet_crop(Rect { x: 1.0, y: 1.0, w: 9.0, h: 9.0 }, 2.7, 1, 480).is_none());
    }

    #[test]
    fn the_live_class_is_the_second_of_three_and_the_first_of_two() {
        let three = decode(Family::Minifasnet80, &logits(&[0.0, 2.0, 0.0])).unwrap().get();
        assert!((three - 0.786_986).abs() < 1e-5, "{three}");
        assert!(decode(Family::Minifasnet80, &logits(&[9.0, 0.0, 0.0])).unwrap().get() < 0.001);
        assert!(decode(Family::Minifas128, &logits(&[9.0, 0.0])).unwrap().get() > 0.999);
        assert_eq!(decode(Family::Minifas128, &logits(&[-900.0, 900.0])).unwrap().get(), 0.0);
    }

    #[test]
    fn logits_that_are_no_numbers_are_never_live() {
        for v in [[f32::NAN, 1.0, 1.0], [0.0, f32::INFINITY, 0.0], [f32::NEG_INFINITY, 1.0, 0.0]] {
            assert!(decode(Family::Minifasnet80, &logits(&v)).is_err());
        }
        assert!(decode(Family::Minifasnet80, &logits(&[0.0, 1.0])).is_err());
        assert!(decode(Family::Yunet, &logits(&[0.0, 1.0])).is_err());
    }

    #[test]
    fn a_head_weighs_its_features_and_never_takes_nonsense_for_life() {
        let head = Head::new(vec![2.0, -1.0], 0.5).unwrap();
        let p = head.score(&[1.0, 1.0]).unwrap().get();
        assert!((p - 0.817_574).abs() < 1e-5, "{p}");
        assert_eq!(head.score(&[900.0, 0.0]).unwrap().get(), 1.0);
        assert_eq!(head.score(&[-900.0, 0.0]).unwrap().get(), 0.0);
        for bad in [&[1.0][..], &[1.0, 1.0, 1.0], &[f32::NAN, 1.0], &[]] {
            assert!(head.score(bad).is_none(), "{bad:?}");
        }
        assert!(head.score(&[f32::INFINITY, f32::INFINITY]).is_none());
        assert!(Head::new(vec![], 0.0).is_none() && Head::new(vec![f32::NAN], 0.0).is_none());
    }

    proptest! {
        #[test]
        fn property_every_crop_lies_within_the_picture(
            x in -500f32..1500.0, y in -500f32..1500.0, w in 0.1f32..3000.0, h in 0.1f32..3000.0,
            scale in 0.5f32..8.0, width in 2u32..2000, height in 2u32..2000,
        ) {
            let c = minifasnet_crop(Rect { x, y, w, h }, scale, width, height).unwrap();
            prop_assert!(c.width >= 1 && c.left + c.width <= width, "{c:?}");
            prop_assert!(c.height >= 1 && c.top + c.height <= height, "{c:?}");
        }
    }
}
