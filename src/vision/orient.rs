//! Turning and mirroring pictures so that they stand upright.

use super::frame::{Picture, Rotation};

/// How a stored picture must be changed to stand upright, in the order of the EXIF values 1 to 8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orientation {
    #[default]
    Upright,
    Mirrored,
    Turned180,
    /// Upside down and mirrored.
    Flipped,
    /// Mirrored on the diagonal from top left to bottom right.
    Transposed,
    /// To be turned by 90 degrees clockwise.
    Turned90,
    /// Mirrored on the other diagonal.
    Transversed,
    Turned270,
}

impl From<Rotation> for Orientation {
    fn from(r: Rotation) -> Self {
        match r {
            Rotation::None => Orientation::Upright,
            Rotation::Cw90 => Orientation::Turned90,
            Rotation::Cw180 => Orientation::Turned180,
            Rotation::Cw270 => Orientation::Turned270,
        }
    }
}

impl From<image::metadata::Orientation> for Orientation {
    fn from(o: image::metadata::Orientation) -> Self {
        use image::metadata::Orientation as I;
        match o {
            I::NoTransforms => Orientation::Upright,
            I::FlipHorizontal => Orientation::Mirrored,
            I::Rotate180 => Orientation::Turned180,
            I::FlipVertical => Orientation::Flipped,
            I::Rotate90FlipH => Orientation::Transposed,
            I::Rotate90 => Orientation::Turned90,
            I::Rotate270FlipH => Orientation::Transversed,
            I::Rotate270 => Orientation::Turned270,
        }
    }
}

/// The upright picture. Only quarter turns need a second buffer.
#[must_use]
pub fn upright(mut picture: Picture, orientation: Orientation) -> Picture {
    let (w, h) = (picture.width as usize, picture.height as usize);
    if w == 0 || h == 0 {
        return picture;
    }
    match orientation {
        Orientation::Upright => picture,
        Orientation::Mirrored => {
            picture.rgb.chunks_exact_mut(w * 3).for_each(mirror_pixels);
            picture
        }
        Orientation::Turned180 => {
            mirror_pixels(&mut picture.rgb);
            picture
        }
        Orientation::Flipped => {
            mirror_pixels(&mut picture.rgb);
            picture.rgb.chunks_exact_mut(w * 3).for_each(mirror_pixels);
            picture
        }
        // The new row y is the old column `column(y)`, read from above or from below.
        Orientation::Transposed => columns(&picture, |y| y, false),
        Orientation::Turned90 => columns(&picture, |y| y, true),
        Orientation::Transversed => columns(&picture, |y| w - 1 - y, true),
        Orientation::Turned270 => columns(&picture, |y| w - 1 - y, false),
    }
}

fn mirror_pixels(run: &mut [u8]) {
    let (pixels, _) = run.as_chunks_mut::<3>();
    pixels.reverse();
}

fn columns(picture: &Picture, column: impl Fn(usize) -> usize, from_below: bool) -> Picture {
    let (w, h) = (picture.width as usize, picture.height as usize);
    let (from, _) = picture.rgb.as_chunks::<3>();
    let mut rgb = vec![0; picture.rgb.len()];
    let (to, _) = rgb.as_chunks_mut::<3>();
    // Squares of 32 pixels keep both sides in the first cache: a whole column would miss at every pixel.
    for y0 in (0..w).step_by(32) {
        for x0 in (0..h).step_by(32) {
            for y in y0..(y0 + 32).min(w) {
                let c = column(y);
                for x in x0..(x0 + 32).min(h) {
                    let row = if from_below { h - 1 - x } else { x };
                    to[y * h + x] = from[row * w + c];
                }
            }
        }
    }
    Picture { width: picture.height, height: picture.width, rgb }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3x2, each pixel three times its number.
    fn numbered(rows: &[&[u8]]) -> Picture {
        let rgb = rows.iter().flat_map(|r| r.iter().flat_map(|&n| [n; 3])).collect();
        Picture { width: rows[0].len() as u32, height: rows.len() as u32, rgb }
    }

    #[test]
    fn each_of_the_eight_orientations_puts_the_pixels_where_the_standard_says() {
        let stored = numbered(&[&[1, 2, 3], &[4, 5, 6]]);
        let cases: [(Orientation, &[&[u8]]); 8] = [
            (Orientation::Upright, &[&[1, 2, 3], &[4, 5, 6]]),
            (Orientation::Mirrored, &[&[3, 2, 1], &[6, 5, 4]]),
            (Orientation::Turned180, &[&[6, 5, 4], &[3, 2, 1]]),
            (Orientation::Flipped, &[&[4, 5, 6], &[1, 2, 3]]),
            (Orientation::Transposed, &[&[1, 4], &[2, 5], &[3, 6]]),
            (Orientation::Turned90, &[&[4, 1], &[5, 2], &[6, 3]]),
            (Orientation::Transversed, &[&[6, 3], &[5, 2], &[4, 1]]),
            (Orientation::Turned270, &[&[3, 6], &[2, 5], &[1, 4]]),
        ];
        for (orientation, upright_rows) in cases {
            assert_eq!(upright(stored.clone(), orientation), numbered(upright_rows), "{orientation:?}");
        }
    }

    #[test]
    fn four_quarter_turns_of_a_picture_larger_than_one_block_change_nothing() {
        let rgb: Vec<u8> = (0..70u32 * 45 * 3).map(|i| (i * 7 % 251) as u8).collect();
        let first = Picture { width: 70, height: 45, rgb };
        let mut p = first.clone();
        for _ in 0..4 {
            p = upright(p, Orientation::Turned90);
        }
        assert_eq!(p, first);
    }
}
