//! How much light the skin of a face sends back: what a light handshake is judged by.
//!
//! Squares on the forehead and on both cheeks, where no hair, eye or mouth moves through the picture. Pixels are made
//! linear (sRGB, IEC 61966-2-1) before they are averaged, since light adds up and its code values do not. A skin that is
//! clipped to white does not follow any light and so needs no case of its own.

use super::facemesh::{Mesh, index};
use super::frame::Picture;

/// Middle of the forehead and above both brows; upper and lower cheeks of both sides.
const PATCHES: [usize; 7] = [151, 108, 337, 50, 280, 205, 425];
/// Half the side of a square, in outer-eye distances.
const HALF: f32 = 0.08;
/// A smaller face, in pixels between the outer eye corners, has no squares worth the name.
const EYES_LEAST: f32 = 24.0;

/// Mean linear RGB of the squares, `0.0..=1.0`; `None` when one of them is outside of the picture or the face is small.
#[must_use]
pub fn light(picture: &Picture, mesh: &Mesh) -> Option<[f32; 3]> {
    let (l, r) = (mesh.xy(index::LEFT_EYE_OUTER), mesh.xy(index::RIGHT_EYE_OUTER));
    let eyes = (r[0] - l[0]).hypot(r[1] - l[1]);
    if eyes.is_nan() || eyes < EYES_LEAST {
        return None;
    }
    let half = HALF * eyes;
    let (width, height) = (picture.width as usize, picture.height as usize);
    let linear = table();
    let (mut sum, mut pixels) = ([0.0_f32; 3], 0_u32);
    for patch in PATCHES {
        let [x, y] = mesh.xy(patch);
        let inside = x - half >= 0.0 && y - half >= 0.0 && x + half < width as f32 && y + half < height as f32;
        if !inside {
            return None;
        }
        let (from, to) = ((x - half) as usize, (x + half) as usize);
        for row in (y - half) as usize..=(y + half) as usize {
            let line = picture.rgb.get((row * width + from) * 3..=(row * width + to) * 3 + 2)?;
            for p in line.chunks_exact(3) {
                sum.iter_mut().zip(p).for_each(|(s, v)| *s += linear[usize::from(*v)]);
                pixels += 1;
            }
        }
    }
    (pixels > 0).then(|| sum.map(|s| s / pixels as f32))
}

/// Linear light of each code value.
fn table() -> [f32; 256] {
    std::array::from_fn(|i| {
        let v = i as f32 / 255.0;
        if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::facemesh::{POINTS, Roi};

    /// A picture of one colour with a face whose squares lie on a row.
    fn scene(rgb: [u8; 3]) -> (Picture, Mesh) {
        let picture = Picture { width: 200, height: 100, rgb: rgb.repeat(200 * 100) };
        let mut points = Box::new([[100.0_f32, 50.0, 0.0]; POINTS]);
        for (i, p) in PATCHES.iter().enumerate() {
            points[*p] = [20.0 + 25.0 * i as f32, 30.0, 0.0];
        }
        points[index::LEFT_EYE_OUTER] = [60.0, 50.0, 0.0];
        points[index::RIGHT_EYE_OUTER] = [140.0, 50.0, 0.0];
        (picture, Mesh { points, probability: 1.0, roi: Roi { centre: [100.0, 50.0], side: 100.0, angle: 0.0 } })
    }

    #[test]
    fn light_is_linear_and_not_the_code_value() {
        let (picture, mesh) = scene([255, 188, 0]);
        let [r, g, b] = light(&picture, &mesh).expect("a face");
        assert!((r - 1.0).abs() < 1e-3 && (g - 0.503).abs() < 2e-3 && b == 0.0, "{r} {g} {b}");
    }

    #[test]
    fn light_is_averaged_after_it_was_made_linear() {
        let (mut picture, mesh) = scene([0; 3]);
        for (i, p) in picture.rgb.chunks_exact_mut(3).enumerate() {
            p.fill(if i % 2 == 0 { 255 } else { 0 });
        }
        let [r, ..] = light(&picture, &mesh).expect("a face");
        assert!((r - 0.5).abs() < 0.06, "{r}");
    }

    #[test]
    fn only_the_squares_count() {
        let (mut picture, mesh) = scene([100; 3]);
        let before = light(&picture, &mesh);
        picture.rgb[200 * 60 * 3..].fill(255);
        assert_eq!(light(&picture, &mesh), before);
    }

    #[test]
    fn a_square_outside_a_small_face_and_points_that_are_none_say_nothing() {
        for to in [[1.0, 30.0], [199.0, 30.0], [100.0, 98.0], [f32::NAN, 30.0], [f32::INFINITY, 30.0]] {
            let (picture, mut mesh) = scene([100; 3]);
            mesh.points[PATCHES[2]] = [to[0], to[1], 0.0];
            assert_eq!(light(&picture, &mesh), None, "{to:?}");
        }
        let (picture, mut mesh) = scene([100; 3]);
        mesh.points[index::RIGHT_EYE_OUTER] = [75.0, 50.0, 0.0];
        assert_eq!(light(&picture, &mesh), None);
        mesh.points[index::RIGHT_EYE_OUTER] = [f32::NAN; 3];
        assert_eq!(light(&picture, &mesh), None);
        let short = Picture { rgb: vec![0; 30], ..picture };
        assert_eq!(light(&short, &scene([0; 3]).1), None);
    }
}
