//! Decoder of BlazeFace (short range): 896 anchors on grids of 16 x 16 and 8 x 8.

use super::detection::{Detection, Points};
use super::family::{BadOutput, Family, flat};
use super::nms::blend;
use super::tensor::Letterbox;
use crate::domain::observation::Rect;
use ndarray::ArrayD;

/// The usual score from which on an anchor is a face.
pub const THRESHOLD: f32 = 0.5;
/// Boxes that overlap by more are one face.
pub const MAX_IOU: f32 = 0.3;
const ANCHORS: usize = 896;
const SIDE: f32 = 128.0;

/// Centre of anchor `i` in input pixels: 16 x 16 cells of two anchors, then 8 x 8 cells of six.
fn anchor(i: usize) -> [f32; 2] {
    let (cell, grid) = if i < 512 { (i / 2, 16) } else { ((i - 512) / 6, 8) };
    let at = |n: usize| (n as f32 + 0.5) * SIDE / grid as f32;
    [at(cell % grid), at(cell / grid)]
}

/// Faces in picture pixels, best first. Outputs in the order of [`Family::outputs`].
///
/// # Errors
/// Outputs of other lengths than the contract's.
pub fn decode(outputs: &[ArrayD<f32>], letterbox: &Letterbox, threshold: f32) -> Result<Vec<Detection>, BadOutput> {
    let regressors = flat(Family::Blazeface, outputs, 0, ANCHORS * 16)?;
    let logits = flat(Family::Blazeface, outputs, 1, ANCHORS)?;
    let mut found = Vec::new();
    for (i, (r, logit)) in regressors.chunks_exact(16).zip(logits).enumerate() {
        let score = 1.0 / (1.0 + (-logit).exp());
        // In this direction NaN is no face.
        let face = score > threshold;
        if !face {
            continue;
        }
        let [ax, ay] = anchor(i);
        let [cx, cy] = letterbox.to_picture([r[0] + ax, r[1] + ay]);
        let [w, h] = letterbox.lengths([r[2], r[3]]);
        let point = |j: usize| letterbox.to_picture([r[4 + 2 * j] + ax, r[5 + 2 * j] + ay]);
        let rect = Rect { x: cx - w / 2.0, y: cy - h / 2.0, w, h };
        let d = Detection { rect, score, points: Points::Six(std::array::from_fn(point)) };
        if d.usable() {
            found.push(d);
        }
    }
    Ok(blend(found, MAX_IOU))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Letterbox = Letterbox { scale: [0.2, 0.2], offset: [0.0, 16.0], side: 128 };

    fn empty() -> Vec<ArrayD<f32>> {
        let mut logits = ArrayD::zeros(vec![1, 896, 1]);
        logits.fill(-20.0);
        vec![ArrayD::zeros(vec![1, 896, 16]), logits]
    }

    fn put(outputs: &mut [ArrayD<f32>], i: usize, logit: f32, r: [f32; 16]) {
        outputs[0].as_slice_mut().unwrap()[i * 16..][..16].copy_from_slice(&r);
        outputs[1].as_slice_mut().unwrap()[i] = logit;
    }

    #[test]
    fn anchors_stand_where_the_two_grids_say() {
        assert_eq!(anchor(0), [4.0, 4.0]);
        assert_eq!(anchor(1), [4.0, 4.0]);
        assert_eq!(anchor(2), [12.0, 4.0]);
        assert_eq!(anchor(511), [124.0, 124.0]);
        assert_eq!(anchor(512), [8.0, 8.0]);
        assert_eq!(anchor(517), [8.0, 8.0]);
        assert_eq!(anchor(895), [120.0, 120.0]);
    }

    #[test]
    fn one_anchor_becomes_one_face_in_picture_pixels() {
        let mut outputs = empty();
        // Anchor 728 = 512 + 6 * 36: cell 36 of the small grid, row 4, column 4, centre (72, 72).
        let mut r = [0.0; 16];
        r[..4].copy_from_slice(&[-8.0, -8.0, 32.0, 24.0]);
        for j in 0..6 {
            r[4 + 2 * j] = j as f32;
            r[5 + 2 * j] = -(j as f32);
        }
        put(&mut outputs, 728, 0.0, r);
        assert_eq!(decode(&outputs, &WIDE, 0.5).unwrap(), vec![], "a score of one half is no face");
        outputs[1].as_slice_mut().unwrap()[728] = 3.0;
        let found = decode(&outputs, &WIDE, THRESHOLD).unwrap();
        assert_eq!(found.len(), 1);
        let d = found[0];
        assert!((d.score - 0.952_574).abs() < 1e-5);
        // Centre (64, 64) in the input is (320, 240) in the picture; 32 x 24 there are 160 x 120.
        assert_eq!([d.rect.x, d.rect.y, d.rect.w, d.rect.h].map(f32::round), [240.0, 180.0, 160.0, 120.0]);
        assert_eq!(d.points.eyes().map(|p| p.map(f32::round)), [[360.0, 280.0], [365.0, 275.0]]);
        assert_eq!(d.points.mouth().map(f32::round), [375.0, 265.0]);
    }

    #[test]
    fn numbers_that_are_none_are_no_face() {
        let mut outputs = empty();
        put(&mut outputs, 7, f32::NAN, [1.0; 16]);
        put(&mut outputs, 70, 9.0, [f32::NAN; 16]);
        put(&mut outputs, 90, 9.0, [-1.0; 16]);
        assert_eq!(decode(&outputs, &WIDE, THRESHOLD).unwrap(), vec![]);
        assert!(decode(&outputs[..1], &WIDE, THRESHOLD).is_err());
    }
}
