//! YUYV and NV12 to RGB: BT.601 with limited range.
//!
//! That is what camera formats without a matrix of their own are (V4L2: `V4L2_YCBCR_ENC_DEFAULT` and
//! `V4L2_QUANTIZATION_DEFAULT` of the sRGB colour space, as UVC cameras report). Our own, because the library for it has
//! hundreds of kernels for formats that no camera here gives, and took longer to build than all other crates together.

/// R, G and B of one pixel: 1.164 (Y-16) + 1.596 (V-128), - 0.813 (V-128) - 0.391 (U-128), + 2.018 (U-128) in units of
/// 1/256 (ITU-R BT.601, 8 bit).
fn rgb(y: u8, u: u8, v: u8) -> [u8; 3] {
    let (y, u, v) = (298 * (i32::from(y) - 16) + 128, i32::from(u) - 128, i32::from(v) - 128);
    [y + 409 * v, y - 100 * u - 208 * v, y + 516 * u].map(|c| u8::try_from((c >> 8).clamp(0, 255)).unwrap_or(0))
}

/// Fills `out` (3 bytes a pixel) from `data` (Y0 U Y1 V for two pixels); whatever of either is left over stays untouched.
pub fn yuyv(data: &[u8], out: &mut [u8]) {
    for (from, to) in data.chunks_exact(4).zip(out.chunks_exact_mut(6)) {
        let [a, b] = [rgb(from[0], from[1], from[3]), rgb(from[2], from[1], from[3])];
        to[..3].copy_from_slice(&a);
        to[3..].copy_from_slice(&b);
    }
}

/// Fills `out` from a plane of Y and one of U V pairs at half the width and height; `width` must be even.
pub fn nv12(luma: &[u8], chroma: &[u8], width: usize, out: &mut [u8]) {
    let rows = luma.chunks_exact(width.max(1)).zip(out.chunks_exact_mut(width.max(1) * 3));
    for (row, (from, to)) in rows.enumerate() {
        let Some(pairs) = chroma.get(row / 2 * width..row / 2 * width + width) else { return };
        for ((y, uv), p) in from.chunks_exact(2).zip(pairs.chunks_exact(2)).zip(to.chunks_exact_mut(6)) {
            p[..3].copy_from_slice(&rgb(y[0], uv[0], uv[1]));
            p[3..].copy_from_slice(&rgb(y[1], uv[0], uv[1]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corners_of_the_range_are_the_colours_of_the_standard() {
        for ((y, u, v), want) in [
            ((16, 128, 128), [0, 0, 0]),
            ((235, 128, 128), [255, 255, 255]),
            ((126, 128, 128), [128, 128, 128]),
            ((81, 90, 240), [255, 0, 0]),
            ((145, 54, 34), [0, 255, 0]),
            ((41, 240, 110), [0, 0, 255]),
            ((0, 0, 0), [0, 136, 0]),
            ((255, 255, 255), [255, 125, 255]),
        ] {
            let got = rgb(y, u, v);
            let near = got.iter().zip(want).all(|(a, b): (&u8, u8)| a.abs_diff(b) <= 2);
            assert!(near, "{y} {u} {v}: {got:?} instead of {want:?}");
        }
    }

    #[test]
    fn each_pixel_takes_its_own_luma_and_its_pairs_colour() {
        let mut two = [0; 6];
        yuyv(&[16, 128, 235, 128], &mut two);
        assert_eq!(two, [0, 0, 0, 255, 255, 255]);
        let mut four = [0; 2 * 4 * 3];
        nv12(&[16, 16, 235, 235, 16, 16, 235, 235], &[90, 240, 128, 128], 4, &mut four);
        assert_eq!(four[6..12], [255; 6]);
        assert_eq!(four[..3], four[12..15], "both rows have the pair of the rows' own half");
        assert!(four[0] > 150 && four[2] < 40, "red: {:?}", &four[..3]);
    }
}
