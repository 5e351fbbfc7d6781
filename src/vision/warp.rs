//! Cutting crops out of pictures: bilinear sampling through an affine map.
//!
//! Coordinates run in fixed point along a row (24 fractional bits, so that 1000 steps drift by less than 1e-4 pixel) and
//! weights have 8 bits; OpenCV's own have 5, and the networks do not notice.

use super::align::Affine;
use super::frame::Picture;

/// What lies outside of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// Black.
    Zero,
    /// The nearest pixel.
    Replicate,
    /// The picture mirrored at its outermost pixels, which are not repeated.
    Reflect101,
}

const FRACTION: u32 = 24;

/// Cuts `width` x `height` pixels out of `picture`: pixel p of the crop shows the picture at `inverse(m)(p)`.
///
/// `out` is overwritten with RGB, three bytes a pixel, and keeps its memory from call to call.
pub fn warp_affine(picture: &Picture, m: &Affine, width: usize, height: usize, border: Border, out: &mut Vec<u8>) {
    out.clear();
    out.resize(width * height * 3, 0);
    if width == 0 || height == 0 {
        return;
    }
    for (y, row) in out.chunks_exact_mut(width * 3).enumerate() {
        warp_row(picture, m, y, border, row);
    }
}

/// Fills one row of a crop.
pub(super) fn warp_row(picture: &Picture, m: &Affine, y: usize, border: Border, row: &mut [u8]) {
    let (w, h) = (i64::from(picture.width), i64::from(picture.height));
    if w == 0 || h == 0 || picture.rgb.len() as i64 != w * h * 3 {
        row.fill(0);
        return;
    }
    let inverse = m.inverse().rows();
    // Far outside of any picture everything is border; the clamp keeps the sums within 64 bits.
    let fixed = |v: f64| (v * f64::from(1 << FRACTION)).clamp(-1e15, 1e15) as i64;
    let half_weight = 1_i64 << (FRACTION - 9);
    let [mut sx, mut sy] = inverse.map(|r| fixed(r[1] * y as f64 + r[2]) + half_weight);
    let [dx, dy] = inverse.map(|r| fixed(r[0]).clamp(-1 << 44, 1 << 44));
    let stride = w as usize * 3;
    for pixel in row.chunks_exact_mut(3) {
        let (ix, iy) = (sx >> FRACTION, sy >> FRACTION);
        let (fx, fy) = ((sx >> (FRACTION - 8)) as u32 & 255, (sy >> (FRACTION - 8)) as u32 & 255);
        let weights = [(256 - fx) * (256 - fy), fx * (256 - fy), (256 - fx) * fy, fx * fy];
        if ix >= 0 && iy >= 0 && ix < w - 1 && iy < h - 1 {
            let at = iy as usize * stride + ix as usize * 3;
            let (top, bottom) = (&picture.rgb[at..at + 6], &picture.rgb[at + stride..at + stride + 6]);
            for c in 0..3 {
                let sum = u32::from(top[c]) * weights[0]
                    + u32::from(top[c + 3]) * weights[1]
                    + u32::from(bottom[c]) * weights[2]
                    + u32::from(bottom[c + 3]) * weights[3];
                pixel[c] = ((sum + 32768) >> 16) as u8;
            }
        } else {
            edge_pixel(picture, ix, iy, weights, border, pixel);
        }
        sx += dx;
        sy += dy;
    }
}

#[cold]
fn edge_pixel(picture: &Picture, ix: i64, iy: i64, weights: [u32; 4], border: Border, pixel: &mut [u8]) {
    let (w, h) = (i64::from(picture.width), i64::from(picture.height));
    let mut sum = [32768_u32; 3];
    for (tap, weight) in [(0, 0), (1, 0), (0, 1), (1, 1)].into_iter().zip(weights) {
        let (x, y) = (ix + tap.0, iy + tap.1);
        let inside = (0..w).contains(&x) && (0..h).contains(&y);
        let (x, y) = match border {
            Border::Zero if !inside => continue,
            Border::Zero => (x, y),
            Border::Replicate => (x.clamp(0, w - 1), y.clamp(0, h - 1)),
            Border::Reflect101 => (reflect(x, w), reflect(y, h)),
        };
        let at = (y * w + x) as usize * 3;
        for (s, v) in sum.iter_mut().zip(&picture.rgb[at..at + 3]) {
            *s += u32::from(*v) * weight;
        }
    }
    for (p, s) in pixel.iter_mut().zip(sum) {
        *p = (s >> 16) as u8;
    }
}

/// Index in a line of `n` pixels that goes on as its own mirror image on both sides.
fn reflect(i: i64, n: i64) -> i64 {
    if n == 1 {
        return 0;
    }
    let period = 2 * (n - 1);
    let i = i.rem_euclid(period);
    if i < n { i } else { period - i }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(width: u32, height: u32) -> Picture {
        let rgb = (0..height).flat_map(|y| (0..width).flat_map(move |x| [x as u8 * 4, y as u8 * 4, 7])).collect();
        Picture { width, height, rgb }
    }

    fn shift(dx: f64, dy: f64) -> Affine {
        Affine::new([[1.0, 0.0, dx], [0.0, 1.0, dy]]).unwrap()
    }

    fn warped(p: &Picture, m: &Affine, n: usize, border: Border) -> Vec<u8> {
        let mut out = Vec::new();
        warp_affine(p, m, n, n, border, &mut out);
        out
    }

    #[test]
    fn the_identity_copies() {
        let p = gradient(8, 8);
        assert_eq!(warped(&p, &shift(0.0, 0.0), 8, Border::Zero), p.rgb);
    }

    #[test]
    fn half_a_pixel_is_the_mean_of_two() {
        let p = gradient(8, 8);
        let out = warped(&p, &shift(-0.5, 0.0), 4, Border::Zero);
        assert_eq!(out[..6], [2, 0, 7, 6, 0, 7]);
    }

    #[test]
    fn outside_is_what_the_border_says() {
        let p = gradient(8, 8);
        // The crop begins two pixels left of the picture.
        let at = |border| warped(&p, &shift(2.0, 0.0), 8, border)[0..3].to_vec();
        assert_eq!(at(Border::Zero), [0, 0, 0]);
        assert_eq!(at(Border::Replicate), [0, 0, 7]);
        assert_eq!(at(Border::Reflect101), [8, 0, 7]);
        let m = shift(-6.5, 0.0);
        // Between the last pixel (28) and the black beyond it lies their mean.
        assert_eq!(warped(&p, &m, 8, Border::Zero)[3..6], [14, 0, 4]);
        assert_eq!([-3, -1, 0, 3, 4, 9].map(|i| reflect(i, 4)), [3, 1, 0, 3, 2, 3]);
        assert_eq!(reflect(-5, 1), 0);
    }

    #[test]
    fn a_turned_crop_samples_where_the_map_points() {
        let p = gradient(60, 60);
        let m = Affine::square([30.0, 30.0], 20.0, 0.7, 40).unwrap();
        let out = warped(&p, &m, 40, Border::Zero);
        for (x, y) in [(0, 0), (39, 0), (20, 20), (5, 33)] {
            let want = m.inverse().apply([x as f32, y as f32]);
            let got = &out[(y * 40 + x) * 3..][..3];
            assert!((f32::from(got[0]) - want[0] * 4.0).abs() <= 1.0, "{got:?} {want:?}");
            assert!((f32::from(got[1]) - want[1] * 4.0).abs() <= 1.0, "{got:?} {want:?}");
        }
    }

    #[test]
    fn a_crop_far_away_or_enormous_is_black_and_does_not_overflow() {
        let p = gradient(4, 4);
        for m in [
            shift(1e300, -1e300),
            shift(-1e18, 0.0),
            Affine::square([0.0, 0.0], 1e30, 0.3, 8).unwrap_or(shift(1e9, 1e9)),
        ] {
            assert!(warped(&p, &m, 8, Border::Zero).iter().all(|&v| v <= 12));
        }
        assert!(
            warped(&Picture { width: 4, height: 4, rgb: vec![9; 5] }, &shift(0.0, 0.0), 4, Border::Zero)
                .iter()
                .all(|&v| v == 0)
        );
    }
}
