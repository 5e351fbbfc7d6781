//! Frames as cameras deliver them, and the decoded picture.

use crate::base::time::Tick;
use std::hash::{BuildHasher, Hasher};

pub mod jpeg;

/// How the bytes of a frame are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// One JPEG picture (a V4L2 MJPG frame is one).
    Jpeg,
    /// Packed 4:2:2, two bytes a pixel.
    Yuyv,
    /// A luma plane, then a half-size plane of interleaved CbCr.
    Nv12,
    /// Luma only.
    Grey,
    /// Three bytes a pixel.
    Rgb,
}

/// Quarter turns, clockwise, that make the stored picture upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    #[default]
    None,
    Cw90,
    Cw180,
    Cw270,
}

/// One frame, not decoded yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The driver's or the recording's number; rises strictly.
    pub seq: u64,
    pub captured: Tick,
    /// Changes whenever the source was opened again.
    pub epoch: u32,
    pub format: PixelFormat,
    /// Stored size; zero for [`PixelFormat::Jpeg`], whose header tells.
    pub width: u32,
    pub height: u32,
    pub rotation: Rotation,
    pub data: Vec<u8>,
}

/// A decoded, upright picture: RGB, three bytes a pixel, rows without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    pub rgb: Vec<u8>,
}

impl Picture {
    /// Brightness, one byte a pixel: BT.601 weights in 1/256, so that white stays 255.
    #[must_use]
    pub fn luma(&self) -> Vec<u8> {
        let weigh = |p: &[u8]| ((77 * u32::from(p[0]) + 150 * u32::from(p[1]) + 29 * u32::from(p[2]) + 128) >> 8) as u8;
        self.rgb.chunks_exact(3).map(weigh).collect()
    }

    /// A number that two pictures share when they are equal pixel by pixel; it finds repeated frames, it protects
    /// nothing. Only numbers of one process may be compared.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut h = foldhash::quality::FixedState::with_seed(0).build_hasher();
        h.write_u32(self.width);
        h.write_u32(self.height);
        h.write(&self.rgb);
        h.finish()
    }

    /// A smaller (or bigger) copy of exactly `width` x `height` pixels, averaging over the area that each pixel covers.
    /// A side of zero gives an empty picture.
    #[must_use]
    pub fn resized(&self, width: u32, height: u32) -> Picture {
        use fast_image_resize::images::{Image, ImageRef};
        use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
        if [self.width, self.height, width, height].contains(&0) {
            return Picture { width: 0, height: 0, rgb: Vec::new() };
        }
        let from = ImageRef::new(self.width, self.height, &self.rgb, PixelType::U8x3)
            .expect("a picture holds three bytes for each of its pixels");
        let mut to = Image::new(width, height, PixelType::U8x3);
        let how = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        Resizer::new().resize(&from, &mut to, &how).expect("both pictures have the same pixel type");
        Picture { width, height, rgb: to.into_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chequered(width: u32, height: u32) -> Picture {
        let rgb =
            (0..width * height).flat_map(|i| if (i % width + i / width).is_multiple_of(2) { [255; 3] } else { [0; 3] });
        Picture { width, height, rgb: rgb.collect() }
    }

    #[test]
    fn one_pixel_of_difference_changes_the_digest() {
        let a = chequered(64, 48);
        let mut b = a.clone();
        assert_eq!(a.digest(), b.digest());
        b.rgb[64 * 48 * 3 - 1] ^= 1;
        assert_ne!(a.digest(), b.digest());
        assert_ne!(chequered(64, 48).digest(), Picture { width: 48, height: 64, ..a }.digest());
    }

    #[test]
    fn luma_keeps_black_and_white_and_weighs_green_most() {
        let p = Picture { width: 5, height: 1, rgb: vec![0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255] };
        assert_eq!(p.luma(), [0, 255, 77, 149, 29]);
    }

    #[test]
    fn shrinking_averages_instead_of_picking() {
        let small = chequered(64, 48).resized(16, 12);
        assert_eq!((small.width, small.height, small.rgb.len()), (16, 12, 16 * 12 * 3));
        assert!(small.rgb.iter().all(|&v| (112..=143).contains(&v)), "{:?}", &small.rgb[..12]);
        assert_eq!(chequered(4, 4).resized(0, 9).rgb.len(), 0);
    }
}
