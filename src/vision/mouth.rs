//! What fills the opening of the mouth: experimental, for "put out your tongue".
//!
//! No network of a pack has a landmark on the tongue. An open mouth is a dark hole, a tongue in it is about as bright as
//! the lips: the ratio of the two is the signal. Never measured on labelled clips; teeth are bright as well.

use super::facemesh::Mesh;
use super::frame::Picture;

/// Inner lips: left and right of the upper one, then of the lower one.
const OPENING: [usize; 4] = [82, 312, 87, 317];
/// Middle of the outer lips.
const LIPS: [usize; 6] = [0, 37, 267, 17, 84, 314];
/// An opening lower than this many pixels shows nothing.
const LOWEST: f32 = 4.0;
/// Lips darker than this are no measure, of 255.
const DARK: f32 = 12.0;
const GRID: u8 = 6;

/// Mean luma of the opening over that of the lips; `None` when the mouth is shut, outside of the picture or in the dark.
#[must_use]
pub fn fill(picture: &Picture, mesh: &Mesh) -> Option<f32> {
    let [ul, ur, ll, lr] = OPENING.map(|i| mesh.xy(i));
    let height = ((ll[1] - ul[1]).hypot(ll[0] - ul[0]) + (lr[1] - ur[1]).hypot(lr[0] - ur[0])) / 2.0;
    if height.is_nan() || height < LOWEST {
        return None;
    }
    let lips = LIPS.iter().map(|i| luma(picture, mesh.xy(*i))).sum::<Option<f32>>()? / LIPS.len() as f32;
    if lips < DARK {
        return None;
    }
    let between = |a: [f32; 2], b: [f32; 2], t: f32| [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t];
    let mut sum = 0.0;
    for row in 0..GRID {
        for column in 0..GRID {
            let part = |n: u8| 0.2 + 0.6 * f32::from(n) / f32::from(GRID - 1);
            let (x, y) = (part(column), part(row));
            sum += luma(picture, between(between(ul, ur, x), between(ll, lr, x), y))?;
        }
    }
    Some(sum / f32::from(GRID * GRID) / lips)
}

/// Brightness of the pixel at a point.
fn luma(picture: &Picture, [x, y]: [f32; 2]) -> Option<f32> {
    let inside = x >= 0.0 && y >= 0.0 && x < picture.width as f32 && y < picture.height as f32;
    if !inside {
        return None;
    }
    let at = (y as usize * picture.width as usize + x as usize) * 3;
    let [r, g, b] = picture.rgb.get(at..at + 3)? else { return None };
    Some(0.299 * f32::from(*r) + 0.587 * f32::from(*g) + 0.114 * f32::from(*b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::facemesh::{POINTS, Roi};

    /// Lips of brightness 120 round an opening of `inside`, `height` pixels high.
    fn scene(inside: u8, height: u32) -> (Picture, Mesh) {
        let (top, bottom) = (60, 60 + height);
        let rgb = (0..160 * 120).flat_map(|i| {
            let (x, y) = (i % 160, i / 160);
            let opening = (50..110).contains(&x) && (top..bottom).contains(&y);
            [if opening { inside } else { 120 }; 3]
        });
        let picture = Picture { width: 160, height: 120, rgb: rgb.collect() };
        let mut points = Box::new([[80.0_f32, 60.0, 0.0]; POINTS]);
        let (up, low) = (top as f32, bottom as f32);
        for (i, p) in [(82, [60.0, up]), (312, [100.0, up]), (87, [60.0, low]), (317, [100.0, low])] {
            points[i] = [p[0], p[1], 0.0];
        }
        for (i, x, y) in
            [(0, 80.0, up), (37, 70.0, up), (267, 90.0, up), (17, 80.0, low), (84, 70.0, low), (314, 90.0, low)]
        {
            points[i] = [x, if y == up { y - 8.0 } else { y + 8.0 }, 0.0];
        }
        (picture, Mesh { points, probability: 1.0, roi: Roi { centre: [80.0, 60.0], side: 100.0, angle: 0.0 } })
    }

    #[test]
    fn a_dark_opening_is_told_from_a_filled_one() {
        let of = |inside| {
            let (picture, mesh) = scene(inside, 20);
            fill(&picture, &mesh).expect("an open mouth")
        };
        assert!(of(30) < 0.4, "{}", of(30));
        assert!(of(120) > 0.95, "{}", of(120));
    }

    #[test]
    fn a_shut_mouth_and_one_outside_of_the_picture_say_nothing() {
        let (picture, mesh) = scene(30, 2);
        assert_eq!(fill(&picture, &mesh), None);
        let (picture, mut mesh) = scene(30, 20);
        mesh.points[312] = [500.0, 60.0, 0.0];
        assert_eq!(fill(&picture, &mesh), None);
        mesh.points[312] = [f32::NAN, 60.0, 0.0];
        assert_eq!(fill(&picture, &mesh), None);
    }
}
