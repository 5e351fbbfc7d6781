//! Maps between pictures and crops: similarity alignment and level squares.
//!
//! Coordinates are those of pixel centres: (0, 0) is the middle of the first pixel, as in OpenCV's `warpAffine`, with
//! which the networks were trained and their thresholds measured.

/// A position in pixels: x to the right, y down.
pub type Point = [f32; 2];

/// A 2x3 map from picture to crop; always finite and invertible.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine([[f64; 3]; 2]);

impl Affine {
    /// `None` when a number is not finite or the map cannot be undone.
    #[must_use]
    pub fn new(m: [[f64; 3]; 2]) -> Option<Self> {
        let det = m[0][0] * m[1][1] - m[0][1] * m[1][0];
        let usable = m.iter().flatten().all(|v| v.is_finite()) && det.is_finite() && det.abs() > 1e-12;
        usable.then_some(Affine(m))
    }

    /// The similarity (turn, scale, shift; no mirroring) that brings `from` nearest to `to` in the sense of least
    /// squares. In the plane Umeyama's solution has this closed form: with points as complex numbers about their means,
    /// factor = sum(conj(a) b) / sum(|a|^2).
    ///
    /// `None` for fewer than two pairs, for coinciding points, and for numbers that are not finite.
    #[must_use]
    pub fn similarity(from: &[Point], to: &[Point]) -> Option<Self> {
        if from.len() != to.len() || from.len() < 2 {
            return None;
        }
        let mean = |points: &[Point]| {
            let n = points.len() as f64;
            points.iter().fold([0.0, 0.0], |m, p| [m[0] + f64::from(p[0]) / n, m[1] + f64::from(p[1]) / n])
        };
        let (mf, mt) = (mean(from), mean(to));
        let (mut re, mut im, mut norm) = (0.0, 0.0, 0.0);
        for (f, t) in from.iter().zip(to) {
            let (ax, ay) = (f64::from(f[0]) - mf[0], f64::from(f[1]) - mf[1]);
            let (bx, by) = (f64::from(t[0]) - mt[0], f64::from(t[1]) - mt[1]);
            re += ax * bx + ay * by;
            im += ax * by - ay * bx;
            norm += ax * ax + ay * ay;
        }
        let (c, s) = (re / norm, im / norm);
        Affine::new([[c, -s, mt[0] - c * mf[0] + s * mf[1]], [s, c, mt[1] - s * mf[0] - c * mf[1]]])
    }

    /// Brings a square of `side` pixels about `centre`, turned by `angle` radians clockwise in the image, to `n` x `n`.
    #[must_use]
    pub fn square(centre: Point, side: f32, angle: f32, n: usize) -> Option<Self> {
        let (k, half) = (n as f64 / f64::from(side), n as f64 / 2.0);
        let (s, c) = (-f64::from(angle)).sin_cos();
        let (s, c) = (s * k, c * k);
        let (x, y) = (f64::from(centre[0]), f64::from(centre[1]));
        if side <= 0.0 {
            return None;
        }
        Affine::new([[c, -s, half - c * x + s * y], [s, c, half - s * x - c * y]])
    }

    /// Brings the pixels `left..left+width`, `top..top+height` to `n` x `n`, edges on edges, as `cv2.resize` does.
    #[must_use]
    pub fn crop(left: u32, top: u32, width: u32, height: u32, n: usize) -> Option<Self> {
        let axis = |at: u32, len: u32| {
            let k = n as f64 / f64::from(len);
            (k, (0.5 - f64::from(at)) * k - 0.5)
        };
        let ((kx, dx), (ky, dy)) = (axis(left, width), axis(top, height));
        Affine::new([[kx, 0.0, dx], [0.0, ky, dy]])
    }

    /// The same crop seen in a mirror; `width` is the crop's.
    #[must_use]
    pub fn mirrored(self, width: usize) -> Self {
        let [a, b] = self.0;
        Affine([[-a[0], -a[1], width as f64 - 1.0 - a[2]], b])
    }

    /// From crop back to picture.
    #[must_use]
    pub fn inverse(self) -> Self {
        let [[a, b, c], [d, e, f]] = self.0;
        let det = a * e - b * d;
        let (ia, ib, id, ie) = (e / det, -b / det, -d / det, a / det);
        Affine([[ia, ib, -ia * c - ib * f], [id, ie, -id * c - ie * f]])
    }

    /// Where a point comes to lie.
    #[must_use]
    pub fn apply(&self, p: Point) -> Point {
        let (x, y) = (f64::from(p[0]), f64::from(p[1]));
        self.0.map(|r| (r[0] * x + r[1] * y + r[2]) as f32)
    }

    /// How much longer lengths become (square root of the area's factor).
    #[must_use]
    pub fn scale(&self) -> f32 {
        let [[a, b, _], [d, e, _]] = self.0;
        (a * e - b * d).abs().sqrt() as f32
    }

    /// The six numbers, row by row.
    #[must_use]
    pub const fn rows(&self) -> [[f64; 3]; 2] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::embedding::{ARCFACE_112, REID_128};
    use proptest::prelude::*;

    const GOLDEN_FROM: [Point; 5] = [[220.5, 180.25], [300.0, 176.5], [262.0, 228.0], [230.0, 270.0], [298.5, 266.0]];

    fn near(m: Affine, want: [[f64; 3]; 2], tolerance: f64) {
        for (got, want) in m.rows().iter().flatten().zip(want.iter().flatten()) {
            assert!((got - want).abs() <= tolerance, "{m:?} instead of {want:?}");
        }
    }

    #[test]
    fn alignment_gives_the_golden_matrix_of_the_112_template() {
        let want = [[0.445038, -0.018667, -56.478586], [0.018667, 0.445038, -32.748888]];
        near(Affine::similarity(&GOLDEN_FROM, &ARCFACE_112).unwrap(), want, 2e-5);
    }

    #[test]
    fn alignment_gives_the_golden_matrix_of_the_128_template() {
        let want = [[0.542058, -0.023906, -72.734217], [0.023906, 0.542058, -45.516589]];
        near(Affine::similarity(&GOLDEN_FROM, &REID_128).unwrap(), want, 2e-5);
    }

    #[test]
    fn points_that_coincide_or_are_no_numbers_give_no_alignment() {
        assert!(Affine::similarity(&[[5.0, 5.0]; 5], &ARCFACE_112).is_none());
        let mut broken = GOLDEN_FROM;
        broken[3][1] = f32::NAN;
        assert!(Affine::similarity(&broken, &ARCFACE_112).is_none());
        assert!(Affine::similarity(&GOLDEN_FROM[..1], &ARCFACE_112[..1]).is_none());
        assert!(Affine::new([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]]).is_none(), "a map onto a line");
        assert!(Affine::square([1.0, 1.0], 0.0, 0.0, 192).is_none());
        assert!(Affine::square([1.0, 1.0], -3.0, 0.0, 192).is_none());
        assert!(Affine::square([1.0, f32::INFINITY], 3.0, 0.0, 192).is_none());
    }

    #[test]
    fn a_level_square_turns_a_tilted_eye_line_level() {
        // Eyes on a line that falls to the right by 45 degrees.
        let (left, right) = ([90.0, 90.0], [110.0, 110.0]);
        let m = Affine::square([100.0, 100.0], 96.0, std::f32::consts::FRAC_PI_4, 192).unwrap();
        let (a, b) = (m.apply(left), m.apply(right));
        assert!((a[1] - b[1]).abs() < 1e-4 && b[0] > a[0], "{a:?} {b:?}");
        assert!((m.apply([100.0, 100.0])[0] - 96.0).abs() < 1e-4);
        assert!((m.scale() - 2.0).abs() < 1e-6);
    }

    #[test]
    fn a_crop_puts_edges_on_edges() {
        // 40 pixels from 10 on become 80: the first pixel's left edge, 9.5, comes to -0.5, the last one's, 49.5, to 79.5.
        let m = Affine::crop(10, 20, 40, 80, 80).unwrap();
        assert_eq!(m.apply([9.5, 19.5]), [-0.5, -0.5]);
        assert_eq!(m.apply([49.5, 99.5]), [79.5, 79.5]);
        assert!(Affine::crop(0, 0, 0, 5, 80).is_none());
    }

    #[test]
    fn a_mirrored_crop_swaps_its_first_and_last_column() {
        let m = Affine::square([50.0, 50.0], 64.0, 0.0, 64).unwrap();
        let (plain, mirrored) = (m.apply([18.0, 40.0]), m.mirrored(64).apply([18.0, 40.0]));
        assert_eq!(plain, [0.0, 22.0]);
        assert_eq!(mirrored, [63.0, 22.0]);
    }

    proptest! {
        #[test]
        fn property_there_and_back_is_where_one_was(
            x in 0f32..2000.0, y in 0f32..2000.0, side in 4f32..2000.0, angle in -4f32..4.0,
            px in 0f32..2000.0, py in 0f32..2000.0,
        ) {
            let m = Affine::square([x, y], side, angle, 192).unwrap();
            let back = m.inverse().apply(m.apply([px, py]));
            prop_assert!((back[0] - px).abs() < 0.05 && (back[1] - py).abs() < 0.05, "{back:?}");
        }

        #[test]
        fn property_alignment_recovers_any_similarity(
            k in 0.05f64..20.0, angle in -3.1f64..3.1, dx in -500f64..500.0, dy in -500f64..500.0,
        ) {
            let m = Affine::new([
                [k * angle.cos(), -k * angle.sin(), dx],
                [k * angle.sin(), k * angle.cos(), dy],
            ]).unwrap();
            let to = GOLDEN_FROM.map(|p| m.apply(p));
            let found = Affine::similarity(&GOLDEN_FROM, &to).unwrap();
            for p in GOLDEN_FROM {
                let (a, b) = (m.apply(p), found.apply(p));
                prop_assert!((a[0] - b[0]).abs() < 0.01 && (a[1] - b[1]).abs() < 0.01);
            }
        }
    }
}
