//! One detection per face: non-maximum suppression, plain and weighted.

use super::detection::{Detection, Points};
use crate::domain::observation::Rect;

/// Keeps the best of each heap of boxes that overlap by more than `max_iou`; best first.
#[must_use]
pub fn suppress(mut found: Vec<Detection>, max_iou: f32) -> Vec<Detection> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Detection> = Vec::new();
    for d in found {
        if kept.iter().all(|k| k.rect.iou(&d.rect) <= max_iou) {
            kept.push(d);
        }
    }
    kept
}

/// Averages each heap, weighted by score, as MediaPipe does for BlazeFace, whose anchors answer in crowds; the score is
/// that of the best. Best first.
#[must_use]
pub fn blend(mut found: Vec<Detection>, max_iou: f32) -> Vec<Detection> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut blended = Vec::new();
    while let Some(best) = found.first().copied() {
        let (heap, rest) = found.into_iter().partition::<Vec<_>, _>(|d| best.rect.iou(&d.rect) > max_iou);
        // A box without area overlaps nothing, not even itself; it must not keep the loop going.
        let heap = if heap.is_empty() { vec![best] } else { heap };
        found = if heap.len() == 1 { rest.into_iter().filter(|d| *d != best).collect() } else { rest };
        blended.push(mean(&heap, best));
    }
    blended
}

fn mean(heap: &[Detection], best: Detection) -> Detection {
    let total: f32 = heap.iter().map(|d| d.score).sum();
    let of = |value: &dyn Fn(&Detection) -> f32| heap.iter().map(|d| value(d) * d.score).sum::<f32>() / total;
    let rect = Rect { x: of(&|d| d.rect.x), y: of(&|d| d.rect.y), w: of(&|d| d.rect.w), h: of(&|d| d.rect.h) };
    let point = |i: usize| [of(&|d| d.points.all()[i][0]), of(&|d| d.points.all()[i][1])];
    let points = match best.points {
        Points::Five(_) => Points::Five(std::array::from_fn(point)),
        Points::Six(_) => Points::Six(std::array::from_fn(point)),
    };
    Detection { rect, score: best.score, points }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, score: f32) -> Detection {
        let points = Points::Six([[x, 1.0]; 6]);
        Detection { rect: Rect { x, y: 0.0, w: 10.0, h: 10.0 }, score, points }
    }

    #[test]
    fn overlapping_boxes_leave_only_the_best() {
        let kept = suppress(vec![face(1.0, 0.7), face(0.0, 0.9), face(50.0, 0.8)], 0.3);
        assert_eq!(kept, vec![face(0.0, 0.9), face(50.0, 0.8)]);
    }

    #[test]
    fn boxes_that_barely_overlap_are_two_faces() {
        // 5 of 15 columns: an overlap of one third.
        assert_eq!(suppress(vec![face(0.0, 0.9), face(5.0, 0.8)], 0.34).len(), 2);
        assert_eq!(suppress(vec![face(0.0, 0.9), face(5.0, 0.8)], 0.32).len(), 1);
    }

    #[test]
    fn blending_weighs_by_score_and_keeps_the_best_score() {
        let blended = blend(vec![face(0.0, 0.75), face(4.0, 0.25), face(50.0, 0.6)], 0.3);
        assert_eq!(blended.len(), 2);
        assert!((blended[0].rect.x - 1.0).abs() < 1e-6 && (blended[0].points.nose()[0] - 1.0).abs() < 1e-6);
        assert_eq!(blended[0].score, 0.75);
        assert_eq!(blended[1].rect.x, 50.0);
    }

    #[test]
    fn a_box_without_area_does_not_hang_the_blending() {
        let mut flat = face(0.0, 0.9);
        flat.rect.w = 0.0;
        assert_eq!(blend(vec![flat, flat, face(30.0, 0.8)], 0.3).len(), 2);
    }
}
