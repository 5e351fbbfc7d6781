//! Decoder of YuNet (2023mar): anchor-free, three grids of 8, 16 and 32 pixels.

use super::detection::{Detection, Points};
use super::family::{BadOutput, Family, flat};
use super::nms::suppress;
use super::tensor::Letterbox;
use crate::domain::observation::Rect;
use ndarray::ArrayD;

/// The usual score from which on a cell is a face.
pub const THRESHOLD: f32 = 0.6;
/// Boxes that overlap by more are one face.
pub const MAX_IOU: f32 = 0.3;

/// Faces in picture pixels, best first. Outputs in the order of [`Family::outputs`].
///
/// # Errors
/// Outputs of other lengths than the contract's.
pub fn decode(outputs: &[ArrayD<f32>], letterbox: &Letterbox, threshold: f32) -> Result<Vec<Detection>, BadOutput> {
    let mut found = Vec::new();
    for (level, stride) in [8, 16, 32].into_iter().enumerate() {
        let columns = letterbox.side / stride;
        let cells = columns * columns;
        let read = |kind: usize, width: usize| flat(Family::Yunet, outputs, kind * 3 + level, cells * width);
        let (cls, obj, bbox, kps) = (read(0, 1)?, read(1, 1)?, read(2, 4)?, read(3, 10)?);
        let s = stride as f32;
        for cell in 0..cells {
            let score = (cls[cell].clamp(0.0, 1.0) * obj[cell].clamp(0.0, 1.0)).sqrt();
            // In this direction NaN is no face.
            let face = score > threshold;
            if !face {
                continue;
            }
            let (column, row) = ((cell % columns) as f32, (cell / columns) as f32);
            let b = &bbox[cell * 4..][..4];
            let [w, h] = letterbox.lengths([b[2].exp() * s, b[3].exp() * s]);
            let [cx, cy] = letterbox.to_picture([(column + b[0]) * s, (row + b[1]) * s]);
            let k = &kps[cell * 10..][..10];
            let point = |j: usize| letterbox.to_picture([(column + k[2 * j]) * s, (row + k[2 * j + 1]) * s]);
            let rect = Rect { x: cx - w / 2.0, y: cy - h / 2.0, w, h };
            let d = Detection { rect, score, points: Points::Five(std::array::from_fn(point)) };
            if d.usable() {
                found.push(d);
            }
        }
    }
    Ok(suppress(found, MAX_IOU))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Empty outputs for an input of `side`.
    pub(crate) fn empty(side: usize) -> Vec<ArrayD<f32>> {
        Family::Yunet.outputs(side).into_iter().map(|(_, shape)| ArrayD::zeros(shape)).collect()
    }

    fn put(outputs: &mut [ArrayD<f32>], level: usize, cell: usize, score: [f32; 2], bbox: [f32; 4], kps: [f32; 10]) {
        for (kind, values) in [&score[..1], &score[1..], &bbox[..], &kps[..]].into_iter().enumerate() {
            let width = values.len();
            let out = outputs[kind * 3 + level].as_slice_mut().unwrap();
            out[cell * width..][..width].copy_from_slice(values);
        }
    }

    const HALF: Letterbox = Letterbox { scale: [0.5, 0.5], offset: [0.0, 0.0], side: 320 };

    #[test]
    fn one_cell_becomes_one_face_in_picture_pixels() {
        let mut outputs = empty(320);
        // Grid of 16 pixels, 20 columns: cell 105 is row 5, column 5. Centre (5.5, 6) * 16 = (88, 96) in the input.
        let ln2 = 2f32.ln();
        let kps = [0.0, 0.0, 1.0, 0.0, 0.5, 0.5, 0.0, 1.0, 1.0, 1.0];
        put(&mut outputs, 1, 105, [0.81, 1.0], [0.5, 1.0, ln2, 2.0 * ln2], kps);
        let found = decode(&outputs, &HALF, THRESHOLD).unwrap();
        assert_eq!(found.len(), 1);
        let d = found[0];
        assert!((d.score - 0.9).abs() < 1e-6);
        // Width 32 and height 64 in the input, doubled in the picture, centre (176, 192).
        for (got, want) in [d.rect.x, d.rect.y, d.rect.w, d.rect.h].into_iter().zip([144.0, 128.0, 64.0, 128.0]) {
            assert!((got - want).abs() < 1e-3, "{:?}", d.rect);
        }
        assert_eq!(
            d.points,
            Points::Five([[160.0, 160.0], [192.0, 160.0], [176.0, 176.0], [160.0, 192.0], [192.0, 192.0]])
        );
    }

    #[test]
    fn neighbouring_cells_on_one_face_are_one_detection() {
        let mut outputs = empty(320);
        for (cell, score, dx) in [(105, 0.7, 0.5), (106, 0.9, -0.5)] {
            put(&mut outputs, 1, cell, [score, score], [dx, 0.0, 1.5, 1.5], [0.0; 10]);
        }
        let found = decode(&outputs, &HALF, THRESHOLD).unwrap();
        assert_eq!(found.len(), 1);
        assert!((found[0].score - 0.9).abs() < 1e-6);
    }

    #[test]
    fn a_cell_at_the_threshold_below_it_or_without_a_number_is_no_face() {
        let mut outputs = empty(320);
        put(&mut outputs, 0, 1, [0.36, 1.0], [0.0; 4], [0.0; 10]);
        put(&mut outputs, 0, 500, [f32::NAN, 1.0], [0.0; 4], [0.0; 10]);
        put(&mut outputs, 2, 50, [1.0, 1.0], [0.0, 0.0, f32::NAN, 0.0], [0.0; 10]);
        put(&mut outputs, 2, 70, [1.0, 1.0], [0.0; 4], [f32::INFINITY; 10]);
        put(&mut outputs, 2, 90, [1.0, 1.0], [0.0, 0.0, 200.0, 0.0], [0.0; 10]);
        assert_eq!(decode(&outputs, &HALF, 0.601).unwrap(), vec![]);
    }

    #[test]
    fn outputs_of_another_size_are_refused() {
        assert!(decode(&empty(640), &HALF, THRESHOLD).is_err());
        assert!(decode(&empty(320)[..11], &HALF, THRESHOLD).is_err());
    }
}
