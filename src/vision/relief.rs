//! A turning head is not a plane: how far the nose moves against the face behind it while the head turns.
//!
//! A homography carries the points of the flat parts of a face from a frontal reference frame to the present one. On a
//! photograph it carries the nose along; on a head it does not. The points are followed in the pictures themselves:
//! the mesh network imagines a head behind every sheet, and its own points would show the relief of that.
//!
//! * *reference*: the most frontal frame before the turn, by the ratio of the nose's distances from both sides of the face.
//! * *depth yaw*: yaw by the mesh's own depth against the reference.
//! * *parallax*: how far the nose lies beside where the homography expects it.
//! * *bow*: how far the nose lies beside the line from brow to mouth. A sheet bent or creased about a vertical axis
//!   keeps that line straight.
//!
//! The rule and its limits are in `domain::relief`, what it was measured on and what it is blind to in
//! `docs/liveness.md`.

use super::align::Point;
use super::facemesh::{Mesh, index};
use super::frame::Picture;
use super::track::{Pyramid, WIDE, WINDOW, follow};
use crate::base::time::Tick;
use crate::domain::observation::{Relief, ReliefAsk};
use nalgebra::{Matrix3, SMatrix, SVector, Vector3};
use std::collections::VecDeque;
use std::time::Duration;

/// Number of points that are followed.
pub const TRACKED: usize = 59;
/// Points of the flat parts come first, then other rigid ones, then six of the lips for the bow.
const FLAT: usize = 20;
const RIGID: usize = 53;
/// Mesh points that are followed: eye and mouth corners, brows and cheeks; bridge, nose and forehead; lips.
const POINTS: [usize; TRACKED] = [
    33, 133, 362, 263, 61, 291, 70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 50, 280, 205, 425, //
    168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 48, 278, 45, 275, 220, 440, 44, 274, 117, 346, 9, 8, 151, 108, 337, 69, 299,
    36, 266, 101, 330, 203, 423, //
    0, 37, 267, 17, 84, 314,
];
/// Places in [`POINTS`]: outer eye corners, nose, bridge and forehead, tip of the nose, lips.
const EYES: [usize; 2] = [0, 3];
const NOSE: [usize; 7] = [26, 25, 24, 32, 33, 36, 37];
const UPPER: [usize; 4] = [20, 41, 40, 42];
const TIP: [usize; 3] = [26, 25, 24];
const LOWER: [usize; 6] = [53, 54, 55, 56, 57, 58];
/// With fewer points than these the measures mean nothing.
const LEAST_FLAT: usize = 9;
const LEAST_NOSE: usize = 2;
const LEAST_RIGID: usize = 20;
/// Outer-eye distance of the reference in the grey pictures that points are followed in, in pixels.
const EYE: f32 = 90.0;
/// Faces below this outer-eye distance have too few pixels to be followed.
const LEAST_EYE: f32 = 30.0;
/// Side of the region around a face, in outer-eye distances.
const REGION: f32 = 4.0;
/// A reference must look so straight: about 15 degrees of yaw.
const FRONTAL: f32 = 0.6;
/// Another frame becomes the reference when it looks straighter by this; less is noise of the mesh.
const STRAIGHTER: f32 = 0.04;
/// Before the prompt the reference is followed about so often, lest the way to the prompt's first frame be too far.
const KEEP: Duration = Duration::from_millis(60);
/// After this time a younger frame that looks as straight as the best one is better: points creep while they are followed.
const RENEW: Duration = Duration::from_millis(1000);
/// Frames farther apart than this (below 12 a second) are searched in a wider window.
const SLOW: Duration = Duration::from_millis(84);
/// Values of which the median is told.
const MEDIAN: usize = 3;

/// What is kept of a frame to follow a face through it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Positions of [`POINTS`] by the mesh, in picture pixels.
    points: [Point; TRACKED],
    /// Degrees, by the mesh's depth.
    yaw: f32,
    /// Logarithm of the ratio of the nose's distances from both sides of the face; 0 is frontal.
    lopsided: f32,
    /// Grey region around the face: its corner in the picture, its side, one byte a pixel.
    corner: [i32; 2],
    side: usize,
    grey: Vec<u8>,
}

impl Sample {
    /// Outer eye corners and tip of the nose, in picture pixels.
    #[must_use]
    pub fn eyes(&self) -> [Point; 2] {
        EYES.map(|i| self.points[i])
    }

    /// See [`Sample::eyes`].
    #[must_use]
    pub fn nose(&self) -> Point {
        self.points[TIP[0]]
    }

    /// Yaw by the mesh's depth, in degrees; of a frontal face about 0.
    #[must_use]
    pub fn yaw_deg(&self) -> f32 {
        self.yaw
    }

    /// Logarithm of the ratio of the nose's distances from both sides of the face; 0 is frontal.
    #[must_use]
    pub fn lopsided(&self) -> f32 {
        self.lopsided
    }

    /// What the frame shows; `None` for a face that is too small, or points that are none.
    #[must_use]
    pub fn of(picture: &Picture, mesh: &Mesh) -> Option<Sample> {
        let p = |i: usize| Vector3::from(mesh.points[i]);
        let eyes = p(index::RIGHT_EYE_OUTER) - p(index::LEFT_EYE_OUTER);
        let sides = p(index::FACE_RIGHT) - p(index::FACE_LEFT);
        // In depth too, so that a turn does not change it.
        let eye = eyes.norm();
        let across = eyes.normalize() + sides.normalize();
        // The length in the picture, not only along its rows: a tilted head has the same yaw.
        let yaw = across.z.atan2(across.x.hypot(across.y)).to_degrees();
        let level = eyes.xy() / eyes.xy().norm().max(1e-6);
        let from = |i: usize| (p(index::NOSE_TIP) - p(i)).xy().dot(&level).abs() + 1e-3;
        let lopsided = (from(index::FACE_LEFT) / from(index::FACE_RIGHT)).ln();
        let points = POINTS.map(|i| mesh.xy(i));
        let sound = points.iter().flatten().chain(&[eye, yaw, lopsided]).all(|v| v.is_finite() && v.abs() < 1e5);
        if !sound || eye < LEAST_EYE {
            return None;
        }
        let centre = middle(&points);
        let side = (REGION * eye).ceil();
        let corner = centre.map(|c| (c - side / 2.0).round() as i32);
        let side = side as usize;
        let grey = region(picture, corner, side)?;
        Some(Sample { points, yaw, lopsided, corner, side, grey })
    }
}

/// Mean of all points.
fn middle(points: &[Point]) -> Point {
    let n = points.len().max(1) as f32;
    points.iter().fold([0.0; 2], |m, p| [m[0] + p[0] / n, m[1] + p[1] / n])
}

/// Luma of a square of the picture; its edge goes on outside of it. `None` of an empty picture.
fn region(picture: &Picture, corner: [i32; 2], side: usize) -> Option<Vec<u8>> {
    let (w, h) = (i64::from(picture.width), i64::from(picture.height));
    if w == 0 || h == 0 || picture.rgb.len() as i64 != w * h * 3 {
        return None;
    }
    let mut grey = vec![0; side * side];
    let (left, top) = (i64::from(corner[0]), i64::from(corner[1]));
    for (y, out) in (top..).zip(grey.chunks_exact_mut(side)) {
        let row = (y.clamp(0, h - 1) * w) as usize * 3;
        let row = &picture.rgb[row..row + w as usize * 3];
        for (x, o) in (left..).zip(out) {
            let p = &row[x.clamp(0, w - 1) as usize * 3..][..3];
            *o = ((77 * u32::from(p[0]) + 150 * u32::from(p[1]) + 29 * u32::from(p[2]) + 128) >> 8) as u8;
        }
    }
    Some(grey)
}

/// The region at the reference's scale.
struct View {
    pyramid: Pyramid,
    corner: [i32; 2],
    scale: f32,
}

impl View {
    /// `scale`: pixels of the view per pixel of the picture.
    fn new(sample: &Sample, scale: f32) -> Option<View> {
        use fast_image_resize::images::{Image, ImageRef};
        use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
        let side = u32::try_from(sample.side).ok().filter(|s| *s > 0)?;
        let small = ((side as f32 * scale).round() as u32).clamp(64, 1024);
        let from = ImageRef::new(side, side, &sample.grey, PixelType::U8).ok()?;
        let mut to = Image::new(small, small, PixelType::U8);
        let how = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        Resizer::new().resize(&from, &mut to, &how).ok()?;
        let scale = small as f32 / side as f32;
        Some(View { pyramid: Pyramid::new(small as usize, small as usize, to.buffer()), corner: sample.corner, scale })
    }

    fn place(&self, p: Point) -> Point {
        [0, 1].map(|i| (p[i] + 0.5 - self.corner[i] as f32) * self.scale - 0.5)
    }

    fn back(&self, p: Point) -> Point {
        [0, 1].map(|i| (p[i] + 0.5) / self.scale + self.corner[i] as f32 - 0.5)
    }
}

/// One reference and where its points have got to.
struct Chain {
    since: Tick,
    /// How lopsided the reference looks, and the straightest one before it for the same prompt.
    lopsided: f32,
    best: f32,
    yaw: f32,
    scale: f32,
    reference: [Point; TRACKED],
    /// The newest frame.
    view: View,
    at: Tick,
    centre: Point,
    points: [Point; TRACKED],
    held: [bool; TRACKED],
    /// Yaw, parallax and bow of the newest frames.
    values: VecDeque<[f32; 3]>,
}

impl Chain {
    fn new(sample: &Sample, at: Tick, best: f32) -> Option<Chain> {
        let scale = EYE / distance(sample.points[EYES[0]], sample.points[EYES[1]]).max(1.0);
        Some(Chain {
            since: at,
            lopsided: sample.lopsided.abs(),
            best,
            yaw: sample.yaw,
            scale,
            reference: sample.points,
            view: View::new(sample, scale)?,
            at,
            centre: middle(&sample.points),
            points: sample.points,
            held: [true; TRACKED],
            values: VecDeque::new(),
        })
    }

    /// Follows into the next frame; `None` when too few points are left.
    fn step(&mut self, sample: &Sample, at: Tick) -> Option<[f32; 3]> {
        let view = View::new(sample, self.scale)?;
        let centre = middle(&sample.points);
        // Where the mesh went the points are sought first: only the beginning of the search, never its end.
        let (old, new) = (self.view.place(self.centre), view.place(centre));
        let shift = [new[0] - old[0], new[1] - old[1]];
        let wide = at.since(self.at) > SLOW;
        for (p, held) in self.points.iter_mut().zip(&mut self.held).filter(|(_, held)| **held) {
            let from = self.view.place(*p);
            let found = if wide {
                follow::<WIDE>(&self.view.pyramid, &view.pyramid, from, shift)
            } else {
                follow::<WINDOW>(&self.view.pyramid, &view.pyramid, from, shift)
            };
            match found {
                Some(q) => *p = view.back(q),
                None => *held = false,
            }
        }
        (self.view, self.at, self.centre) = (view, at, centre);
        let [parallax, bow] = measure(&self.reference, &self.points, &self.held)?;
        Some([sample.yaw - self.yaw, parallax, bow])
    }

    /// The medians, once there are enough values.
    fn tell(&mut self, values: [f32; 3]) -> Option<Relief> {
        self.values.push_back(values);
        if self.values.len() > MEDIAN {
            self.values.pop_front();
        }
        if self.values.len() < MEDIAN {
            return None;
        }
        let median = |i: usize| {
            let mut v: Vec<f32> = self.values.iter().map(|v| v[i]).collect();
            v.sort_by(f32::total_cmp);
            v[MEDIAN / 2]
        };
        let points = u8::try_from(self.held.iter().filter(|h| **h).count()).unwrap_or(u8::MAX);
        Some(Relief { yaw_deg: median(0), parallax: median(1), bow: median(2), points })
    }
}

/// Takes references and follows them, one prompt after another.
#[derive(Default)]
pub struct Follower {
    asked: ReliefAsk,
    chain: Option<Chain>,
}

impl Follower {
    /// Forgets the reference, as after another face.
    pub fn clear(&mut self) {
        self.chain = None;
    }

    /// Takes a frame. Before the prompt (`Ready`) the most frontal frame is kept; from the prompt on (`Follow`) the
    /// relief against it is told, as soon as three frames were followed. `None` is no evidence of anything: no
    /// reference yet, or the points were lost, and then the next frontal frame is a new reference.
    pub fn see(&mut self, at: Tick, ask: ReliefAsk, sample: Option<&Sample>) -> Option<Relief> {
        let before = std::mem::replace(&mut self.asked, ask);
        if ask == ReliefAsk::No || (before == ReliefAsk::Follow && ask == ReliefAsk::Ready) {
            // Each prompt has a reference of its own.
            self.chain = None;
        }
        if ask == ReliefAsk::No {
            return None;
        }
        let sample = sample?;
        let now = sample.lopsided.abs();
        let better = |c: &Chain| {
            let renewed = ask == ReliefAsk::Ready && at.since(c.since) > RENEW && now < c.best + STRAIGHTER;
            now < c.lopsided - STRAIGHTER || renewed
        };
        if now <= FRONTAL && self.chain.as_ref().is_none_or(better) {
            let best = self.chain.as_ref().map_or(now, |c| c.best.min(now));
            self.chain = Chain::new(sample, at, best);
            return None;
        }
        let chain = self.chain.as_mut()?;
        if ask == ReliefAsk::Ready && at.since(chain.at) < KEEP {
            return None;
        }
        match chain.step(sample, at) {
            Some(values) if ask == ReliefAsk::Follow => chain.tell(values),
            Some(_) => None,
            None => {
                self.chain = None;
                None
            }
        }
    }
}

fn distance(a: Point, b: Point) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// Parallax and bow between two views, both in outer-eye distances of the first, positive towards the right edge of
/// the image. `None` when too few points are held.
fn measure(a: &[Point; TRACKED], b: &[Point; TRACKED], held: &[bool; TRACKED]) -> Option<[f32; 2]> {
    let of = |places: &[usize]| -> Vec<usize> { places.iter().copied().filter(|i| held[*i]).collect() };
    let flat = of(&std::array::from_fn::<usize, FLAT, _>(|i| i));
    let nose = of(&NOSE);
    let rigid = held[..RIGID].iter().filter(|h| **h).count();
    if flat.len() < LEAST_FLAT || nose.len() < LEAST_NOSE || rigid < LEAST_RIGID {
        return None;
    }
    let eye = f64::from(distance(a[EYES[0]], a[EYES[1]])).max(1e-3);
    let pair = |i: &usize| (a[*i].map(f64::from), b[*i].map(f64::from));
    let pairs: Vec<([f64; 2], [f64; 2])> = flat.iter().map(pair).collect();
    let (before, after) = (covariance(pairs.iter().map(|p| p.0)), covariance(pairs.iter().map(|p| p.1)));
    let scale = (after / before).powf(0.25);
    let h = homography(&pairs)?;
    let (l, r) = (carry(&h, a[EYES[0]].map(f64::from)), carry(&h, a[EYES[1]].map(f64::from)));
    let along = [r[0] - l[0], r[1] - l[1]];
    let length = along[0].hypot(along[1]);
    let unit = [along[0] / length, along[1] / length];
    let beside = |axis: usize| {
        let mut d: Vec<f64> = nose.iter().map(pair).map(|(from, to)| to[axis] - carry(&h, from)[axis]).collect();
        d.sort_by(f64::total_cmp);
        // Of an even count the mean of the two in the middle, as the limits were measured.
        f64::midpoint(d[(d.len() - 1) / 2], d[d.len() / 2])
    };
    let parallax = (beside(0) * unit[0] + beside(1) * unit[1]) / (scale * eye);
    let (upper, lower, tip) = (of(&UPPER), of(&LOWER), of(&TIP));
    let tip = if tip.is_empty() { nose } else { tip };
    let bow = if upper.is_empty() || lower.is_empty() {
        0.0
    } else {
        let bow = |points: &[Point; TRACKED]| {
            let mean = |places: &[usize]| middle(&places.iter().map(|i| points[*i]).collect::<Vec<_>>()).map(f64::from);
            let (top, bottom, nose) = (mean(&upper), mean(&lower), mean(&tip));
            let down = [bottom[0] - top[0], bottom[1] - top[1]];
            let n = down[0].hypot(down[1]).max(1e-6);
            ((nose[0] - top[0]) * down[1] - (nose[1] - top[1]) * down[0]) / n
        };
        bow(b) / (scale * eye) - bow(a) / eye
    };
    let both = [parallax as f32, bow as f32];
    both.iter().all(|v| v.is_finite()).then_some(both)
}

/// Determinant of the points' covariance.
fn covariance(points: impl Iterator<Item = [f64; 2]> + Clone) -> f64 {
    let n = points.clone().count().max(2) as f64;
    let mean = points.clone().fold([0.0; 2], |m, p| [m[0] + p[0] / n, m[1] + p[1] / n]);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for p in points {
        let d = [p[0] - mean[0], p[1] - mean[1]];
        xx += d[0] * d[0] / (n - 1.0);
        xy += d[0] * d[1] / (n - 1.0);
        yy += d[1] * d[1] / (n - 1.0);
    }
    xx * yy - xy * xy
}

fn carry(h: &Matrix3<f64>, p: [f64; 2]) -> [f64; 2] {
    let q = h * Vector3::new(p[0], p[1], 1.0);
    [q.x / q.z, q.y / q.z]
}

/// The homography that carries the first points nearest to the second: the direct linear solution of normalised points
/// (Hartley and Zisserman, *Multiple View Geometry*, algorithm 4.2), then Gauss-Newton on the distances.
fn homography(pairs: &[([f64; 2], [f64; 2])]) -> Option<Matrix3<f64>> {
    let normal = |points: &dyn Fn(usize) -> [f64; 2]| -> Option<Matrix3<f64>> {
        let n = pairs.len() as f64;
        let mean = (0..pairs.len()).fold([0.0; 2], |m, i| [m[0] + points(i)[0] / n, m[1] + points(i)[1] / n]);
        let far: f64 = (0..pairs.len()).map(|i| (points(i)[0] - mean[0]).hypot(points(i)[1] - mean[1]) / n).sum();
        let k = std::f64::consts::SQRT_2 / far;
        (far > 1e-6 && k.is_finite()).then(|| Matrix3::new(k, 0.0, -k * mean[0], 0.0, k, -k * mean[1], 0.0, 0.0, 1.0))
    };
    let (ta, tb) = (normal(&|i| pairs[i].0)?, normal(&|i| pairs[i].1)?);
    let scaled: Vec<_> = pairs.iter().map(|(a, b)| (carry(&ta, *a), carry(&tb, *b))).collect();
    let mut ata = SMatrix::<f64, 9, 9>::zeros();
    for (a, b) in &scaled {
        let (x, y, u, v) = (a[0], a[1], b[0], b[1]);
        let rows = [[x, y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y, -u], [0.0, 0.0, 0.0, x, y, 1.0, -v * x, -v * y, -v]];
        for row in rows.map(SVector::<f64, 9>::from) {
            ata += row * row.transpose();
        }
    }
    if !ata.iter().all(|v| v.is_finite()) {
        return None;
    }
    let eigen = ata.symmetric_eigen();
    let least = eigen.eigenvalues.imin();
    let v = eigen.eigenvectors.column(least);
    let mut h = Matrix3::new(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8]) / v[8];
    for _ in 0..5 {
        let mut jtj = SMatrix::<f64, 8, 8>::zeros();
        let mut jte = SVector::<f64, 8>::zeros();
        for (a, b) in &scaled {
            let (x, y) = (a[0], a[1]);
            let w = h[(2, 0)] * x + h[(2, 1)] * y + 1.0;
            let q = carry(&h, *a);
            let j = [
                [x / w, y / w, 1.0 / w, 0.0, 0.0, 0.0, -q[0] * x / w, -q[0] * y / w],
                [0.0, 0.0, 0.0, x / w, y / w, 1.0 / w, -q[1] * x / w, -q[1] * y / w],
            ];
            for (row, e) in j.map(SVector::<f64, 8>::from).iter().zip([b[0] - q[0], b[1] - q[1]]) {
                jtj += row * row.transpose();
                jte += row * e;
            }
        }
        let Some(d) = jtj.cholesky().map(|c| c.solve(&jte)) else { break };
        h += Matrix3::new(d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7], 0.0);
    }
    let whole = tb.try_inverse()? * h * ta;
    whole.iter().all(|v| v.is_finite()).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::facemesh::{POINTS as ALL, Roi};

    /// About where the followed points lie on a face, in outer-eye distances about the middle of the eyes.
    const PLACES: [Point; TRACKED] = [
        [-0.50, 0.00],
        [-0.22, 0.00],
        [0.22, 0.00],
        [0.50, 0.00],
        [-0.27, 0.66],
        [0.27, 0.66],
        [-0.64, -0.18],
        [-0.56, -0.25],
        [-0.44, -0.27],
        [-0.31, -0.29],
        [-0.16, -0.27],
        [0.16, -0.27],
        [0.31, -0.29],
        [0.44, -0.27],
        [0.56, -0.25],
        [0.64, -0.18],
        [-0.54, 0.33],
        [0.54, 0.33],
        [-0.45, 0.42],
        [0.45, 0.42],
        [0.00, -0.09],
        [0.00, -0.01],
        [0.00, 0.06],
        [0.00, 0.14],
        [0.00, 0.21],
        [0.00, 0.27],
        [0.00, 0.31],
        [0.00, 0.42],
        [-0.14, 0.40],
        [0.14, 0.40],
        [-0.17, 0.35],
        [0.17, 0.35],
        [-0.06, 0.31],
        [0.06, 0.31],
        [-0.09, 0.27],
        [0.09, 0.27],
        [-0.08, 0.29],
        [0.08, 0.29],
        [-0.53, 0.13],
        [0.53, 0.13],
        [0.00, -0.26],
        [0.00, -0.16],
        [0.00, -0.46],
        [-0.12, -0.45],
        [0.12, -0.45],
        [-0.30, -0.45],
        [0.30, -0.45],
        [-0.35, 0.33],
        [0.35, 0.33],
        [-0.36, 0.27],
        [0.36, 0.27],
        [-0.25, 0.43],
        [0.25, 0.43],
        [0.00, 0.52],
        [-0.08, 0.52],
        [0.08, 0.52],
        [0.00, 0.80],
        [-0.08, 0.79],
        [0.08, 0.79],
    ];
    const SIDES: [Point; 2] = [[-0.785, 0.16], [0.785, 0.16]];
    /// Outer-eye distance of the pictures and their side, in pixels.
    const PX: f32 = 85.0;
    const SIDE: u32 = 400;

    /// How far a surface comes towards the camera at a place, in outer-eye distances.
    type Surface = fn(Point) -> f32;

    fn plane(_: Point) -> f32 {
        0.0
    }

    /// An egg with a nose.
    fn head([u, v]: Point) -> f32 {
        let nose = 0.28 * (-(u / 0.19).powi(2) - ((v - 0.28) / 0.2).powi(2)).exp();
        nose - 0.55 * u * u - 0.15 * (v - 0.2) * (v - 0.2)
    }

    /// A sheet bent about a vertical axis, towards the camera in the middle.
    fn cylinder([u, _]: Point) -> f32 {
        -0.45 * u * u
    }

    /// Where a place of the surface is seen when it is turned by `yaw` degrees, and how far towards the camera.
    fn seen(surface: Surface, [u, v]: Point, yaw: f32) -> [f32; 3] {
        let (s, c) = yaw.to_radians().sin_cos();
        let z = surface([u, v]);
        let half = SIDE as f32 / 2.0;
        [half + PX * (u * c + z * s), half - 30.0 + PX * v, PX * (z * c - u * s)]
    }

    /// The surface with a printed pattern, as the camera sees it; the mesh thinks that it is a head all the same.
    fn frame(surface: Surface, yaw: f32) -> Sample {
        let (s, c) = yaw.to_radians().sin_cos();
        let half = SIDE as f32 / 2.0;
        let mut rgb = Vec::new();
        for i in 0..SIDE * SIDE {
            let (x, y) = ((i % SIDE) as f32, (i / SIDE) as f32);
            let (ex, v) = ((x - half) / PX, (y - half + 30.0) / PX);
            // The place whose picture lies here: bisection, since what is seen rises with the place.
            let (mut lo, mut hi) = (-4.0_f32, 4.0_f32);
            for _ in 0..22 {
                let mid = f32::midpoint(lo, hi);
                if mid * c + surface([mid, v]) * s < ex { lo = mid } else { hi = mid }
            }
            let u = f32::midpoint(lo, hi);
            let pattern = (u * 23.0 + v * 7.0).sin() + (v * 19.0 - u * 9.0).cos() + (u * 11.0).sin() * (v * 13.0).cos();
            rgb.extend([(128.0 + 38.0 * pattern).clamp(0.0, 255.0) as u8; 3]);
        }
        let mut points = Box::new([[0.0; 3]; ALL]);
        for (i, place) in POINTS.iter().zip(PLACES) {
            points[*i] = seen(surface, place, yaw);
        }
        for (i, place) in [index::FACE_LEFT, index::FACE_RIGHT].into_iter().zip(SIDES) {
            points[i] = seen(surface, place, yaw);
        }
        for i in [index::FACE_LEFT, index::FACE_RIGHT, index::LEFT_EYE_OUTER, index::RIGHT_EYE_OUTER] {
            // The mesh's depth, in which smaller is nearer: that of something turned by `yaw`.
            points[i][2] = (points[i][0] - half) * s / c;
        }
        let mesh = Mesh { points, probability: 1.0, roi: Roi { centre: [half; 2], side: 300.0, angle: 0.0 } };
        Sample::of(&Picture { width: SIDE, height: SIDE, rgb }, &mesh).expect("a face")
    }

    /// A turn from frontal to `yaw` in eight frames, held for four; the last relief told.
    fn turn(surface: Surface, yaw: f32, every_ms: u64, frames: u16) -> Option<Relief> {
        let mut f = Follower::default();
        let mut told = f.see(Tick::from_millis(0), ReliefAsk::Ready, Some(&frame(surface, 0.0)));
        assert_eq!(told, None);
        for i in 1..=frames + 4 {
            let now = yaw * f32::from(i.min(frames)) / f32::from(frames);
            told = f.see(Tick::from_millis(u64::from(i) * every_ms), ReliefAsk::Follow, Some(&frame(surface, now)));
        }
        told
    }

    #[test]
    fn a_head_stands_out_and_points_to_the_side_that_it_turns_to() {
        for yaw in [28.0, -28.0] {
            let r = turn(head, yaw, 33, 8).expect("followed");
            let side = yaw.signum();
            assert!(r.parallax * side > 0.055 && r.bow * side > 0.035 && r.yaw_deg * side > 20.0, "{yaw}: {r:?}");
            assert!(r.points > 30, "{r:?}");
        }
    }

    #[test]
    fn a_sheet_does_not_stand_out_whatever_the_mesh_thinks() {
        for yaw in [28.0, -40.0] {
            let r = turn(plane, yaw, 33, 8).expect("followed");
            assert!(r.parallax.abs() < 0.01 && r.bow.abs() < 0.01 && r.yaw_deg.abs() > 20.0, "{yaw}: {r:?}");
        }
    }

    #[test]
    fn a_bent_sheet_keeps_its_middle_line_straight() {
        let r = turn(cylinder, 28.0, 33, 8).expect("followed");
        assert!(r.bow.abs() < 0.01, "{r:?}");
    }

    #[test]
    fn a_slow_camera_searches_farther() {
        let r = turn(head, 27.0, 120, 3).expect("followed");
        assert!(r.parallax > 0.055 && r.bow > 0.035, "{r:?}");
    }

    #[test]
    fn each_prompt_has_its_own_reference_and_nothing_is_told_unasked() {
        let mut f = Follower::default();
        let (front, side) = (frame(head, 0.0), frame(head, 10.0));
        let at = Tick::from_millis;
        assert_eq!(f.see(at(0), ReliefAsk::No, Some(&front)), None);
        assert!(f.chain.is_none());
        f.see(at(33), ReliefAsk::Ready, Some(&side));
        f.see(at(66), ReliefAsk::Ready, Some(&front));
        let lopsided = |f: &Follower| f.chain.as_ref().map(|c| c.lopsided < 0.01);
        assert_eq!(lopsided(&f), Some(true), "the most frontal frame");
        f.see(at(99), ReliefAsk::Ready, Some(&side));
        assert_eq!(lopsided(&f), Some(true), "is kept");
        for i in 4..=6 {
            assert_eq!(f.see(at(i * 33), ReliefAsk::Follow, Some(&side)).is_some(), i == 6, "a median of three");
        }
        f.see(at(300), ReliefAsk::Ready, None);
        assert!(f.chain.is_none(), "the next prompt begins anew");
    }

    #[test]
    fn a_face_that_is_gone_is_lost_and_no_evidence() {
        let mut f = Follower::default();
        f.see(Tick::from_millis(0), ReliefAsk::Ready, Some(&frame(head, 0.0)));
        for i in 1..=4 {
            f.see(Tick::from_millis(i * 33), ReliefAsk::Follow, Some(&frame(head, 0.0)));
        }
        // The same points on an even wall.
        let mut wall = frame(head, 20.0);
        wall.grey.fill(120);
        for i in 5..9 {
            assert_eq!(f.see(Tick::from_millis(i * 33), ReliefAsk::Follow, Some(&wall)), None);
        }
        let back = f.see(Tick::from_millis(9 * 33), ReliefAsk::Follow, Some(&frame(head, 20.0)));
        assert_eq!(back, None, "the reference from before is gone with the points");
    }

    #[test]
    fn a_homography_is_found_again() {
        let h = Matrix3::new(1.1, 0.1, 30.0, -0.05, 0.9, -12.0, 4e-4, -3e-4, 1.0);
        let pairs: Vec<_> =
            PLACES[..FLAT].iter().map(|p| p.map(|v| f64::from(v) * 90.0 + 200.0)).map(|p| (p, carry(&h, p))).collect();
        let found = homography(&pairs).expect("points in general position");
        for (a, b) in &pairs {
            let c = carry(&found, *a);
            assert!((c[0] - b[0]).hypot(c[1] - b[1]) < 1e-6);
        }
        assert!(homography(&[([1.0, 1.0], [2.0, 2.0]); 9]).is_none(), "points that coincide");
    }

    #[test]
    fn a_face_that_is_small_or_no_numbers_gives_no_sample() {
        let picture = Picture { width: 10, height: 10, rgb: vec![9; 300] };
        let mesh = |at: fn(usize) -> [f32; 3]| Mesh {
            points: Box::new(std::array::from_fn(at)),
            probability: 1.0,
            roi: Roi { centre: [5.0; 2], side: 10.0, angle: 0.0 },
        };
        assert!(Sample::of(&picture, &mesh(|i| [i as f32 % 7.0, 1.0, 0.0])).is_none());
        assert!(Sample::of(&picture, &mesh(|i| if i == 454 { [f32::NAN; 3] } else { [i as f32, 1.0, 0.0] })).is_none());
        assert!(Sample::of(&picture, &mesh(|i| [i as f32 * 1e30, 1.0, 0.0])).is_none());
        let empty = Picture { width: 0, height: 0, rgb: Vec::new() };
        assert!(Sample::of(&empty, &mesh(|i| [i as f32, (i % 9) as f32, 0.0])).is_none());
    }
}
