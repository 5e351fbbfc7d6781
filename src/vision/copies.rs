//! How much of a face is the very frame before: a sensor's noise changes nearly every pixel, a still picture that is fed
//! in through a virtual camera changes none, whatever is drawn beside the face to make frames differ.

use super::frame::Picture;
use crate::domain::observation::Rect;

/// Every so many pixels, in both directions, one is compared.
const STEP: usize = 3;
/// Fewer samples on a face say nothing.
const LEAST: u32 = 64;

/// Remembers the frame before.
#[derive(Debug, Default)]
pub struct Copies {
    size: (u32, u32),
    before: Vec<[u8; 3]>,
}

impl Copies {
    /// Share of the samples within `face` that are equal in this picture and the one before; then remembers this one.
    /// `None` without a face, without a picture before of the same size, or when the face has too few pixels.
    pub fn see(&mut self, picture: &Picture, face: Option<Rect>) -> Option<f32> {
        let now: Vec<[u8; 3]> = samples(picture).collect();
        let size = (picture.width, picture.height);
        let share = face.filter(|_| self.size == size && self.before.len() == now.len()).and_then(|f| {
            let columns = (picture.width as usize).div_ceil(STEP);
            let inside = |i: usize| {
                let (x, y) = ((i % columns * STEP) as f32, (i / columns * STEP) as f32);
                x >= f.x && x < f.x + f.w && y >= f.y && y < f.y + f.h
            };
            let (mut all, mut same) = (0_u32, 0_u32);
            for (i, (a, b)) in self.before.iter().zip(&now).enumerate() {
                if inside(i) {
                    all += 1;
                    same += u32::from(a == b);
                }
            }
            (all >= LEAST).then(|| same as f32 / all as f32)
        });
        (self.size, self.before) = (size, now);
        share
    }

    /// Forgets the frame before.
    pub fn clear(&mut self) {
        self.before.clear();
    }
}

fn samples(picture: &Picture) -> impl Iterator<Item = [u8; 3]> {
    let width = picture.width as usize * 3;
    picture
        .rgb
        .chunks_exact(width.max(1))
        .step_by(STEP)
        .flat_map(|row| row.chunks_exact(3).step_by(STEP).map(|p| [p[0], p[1], p[2]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACE: Rect = Rect { x: 20.0, y: 20.0, w: 60.0, h: 60.0 };

    /// A picture whose face has brightness `face` plus noise of `seed`, and a background of its own.
    fn picture(face: u8, noise: u32, background: u8) -> Picture {
        let rgb = (0..120 * 100_u32).flat_map(|i| {
            let (x, y) = (i % 120, i / 120);
            let grain = (i.wrapping_mul(noise.wrapping_mul(2_654_435_761).wrapping_add(1)) >> 29) as u8;
            let inside = (20..80).contains(&x) && (20..80).contains(&y);
            [if inside { face + if noise > 0 { grain } else { 0 } } else { background }; 3]
        });
        Picture { width: 120, height: 100, rgb: rgb.collect() }
    }

    #[test]
    fn a_still_face_before_a_changing_background_is_found() {
        let mut c = Copies::default();
        assert_eq!(c.see(&picture(90, 0, 10), Some(FACE)), None, "nothing before");
        assert_eq!(c.see(&picture(90, 0, 20), Some(FACE)), Some(1.0));
        assert_eq!(c.see(&picture(90, 0, 20), None), None, "nobody");
    }

    #[test]
    fn noise_of_a_few_steps_is_no_copy() {
        let mut c = Copies::default();
        let _first = c.see(&picture(90, 3, 10), Some(FACE));
        let share = c.see(&picture(90, 5, 10), Some(FACE)).expect("a face");
        assert!(share < 0.5, "{share}");
    }

    #[test]
    fn another_size_and_a_tiny_face_say_nothing() {
        let mut c = Copies::default();
        let _first = c.see(&picture(90, 0, 10), Some(FACE));
        assert_eq!(c.see(&picture(90, 0, 10), Some(Rect { w: 9.0, h: 9.0, ..FACE })), None);
        let small = Picture { width: 60, height: 50, rgb: vec![0; 60 * 50 * 3] };
        assert_eq!(c.see(&small, Some(FACE)), None);
        c.clear();
        assert_eq!(c.see(&small, Some(FACE)), None);
    }
}
