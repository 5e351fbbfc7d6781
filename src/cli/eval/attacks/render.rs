//! A photograph held before a camera: a sheet that is turned, tilted, carried about, bent, creased or warped, drawn frame
//! by frame with tremor, changing light, noise, a background of its own and JPEG.
//!
//! Drawings only: no real paper, no hands, no gloss. Lengths are millimetres: a face has 90 between its outer eye
//! corners, and the camera stands where those are 85 pixels apart.

use crate::vision::align::Point;
use crate::vision::frame::Picture;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use nalgebra::{Rotation3, Vector3};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Side of the frames in pixels and their rate.
const SIDE: usize = 480;
pub const FPS: u64 = 30;
/// Frames at rest, on the way, held at its end, on the way back and at rest again.
const REST: usize = 5;
const AWAY: usize = 25;
const HELD: usize = 4;
const BACK: usize = 9;
const AGAIN: usize = 3;
pub const FRAMES: usize = REST + AWAY + HELD + BACK + AGAIN;
/// Outer-eye distance on the sheet and in its texture.
const EYE_MM: f32 = 90.0;
pub const EYE_TEXTURE: f32 = 110.0;
const EYE_PX: f32 = 85.0;
/// Distance of the grid on which the sheet is looked up, in pixels.
const GRID: usize = 6;

/// Numbers from a seed.
pub struct Dice(ChaCha20Rng);

impl Dice {
    pub fn new(seed: [u8; 32]) -> Dice {
        Dice(ChaCha20Rng::from_seed(seed))
    }

    /// Within 0..1.
    fn one(&mut self) -> f32 {
        (self.0.next_u64() >> 40) as f32 / (1_u64 << 24) as f32
    }

    fn within(&mut self, lo: f32, hi: f32) -> f32 {
        lo + (hi - lo) * self.one()
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n.max(1) as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T], otherwise: T) -> T {
        all.get(self.below(all.len())).copied().unwrap_or(otherwise)
    }

    fn chance(&mut self, p: f32) -> bool {
        self.one() < p
    }

    fn side(&mut self) -> f32 {
        if self.chance(0.5) { 1.0 } else { -1.0 }
    }

    /// Normal with variance 1 (Box and Muller).
    fn normal(&mut self) -> f32 {
        let r = (-2.0 * (1.0 - self.one()).ln()).sqrt();
        r * (self.one() * std::f32::consts::TAU).cos()
    }
}

/// What is done with the photograph. The numbers say how often each comes in a round.
pub const SPECIES: [(&str, usize); 16] = [
    ("yaw", 6),
    ("yaw_pan", 3),
    ("yaw_pitch", 3),
    ("pitch", 2),
    ("pan_tremor", 2),
    ("relit", 2),
    ("eyes_covered", 2),
    ("cylinder", 5),
    ("cylinder_bent_more", 3),
    ("cylinder_concave", 2),
    ("cylinder_diagonal", 3),
    ("cylinder_horizontal", 2),
    ("crease", 4),
    ("crease_inwards", 2),
    ("crease_diagonal", 2),
    ("thin_plate", 4),
];

/// The groups that pass marks are given for.
pub fn family(species: &str) -> &'static str {
    match species {
        "crease_diagonal" => "crease_diagonal",
        s if s.starts_with("cylinder") => "bent",
        s if s.starts_with("crease") => "creased",
        "thin_plate" => "thin_plate",
        _ => "flat",
    }
}

/// The species of sequence `i`.
pub fn species(i: usize) -> &'static str {
    let round: usize = SPECIES.iter().map(|s| s.1).sum();
    let mut at = i % round;
    for (name, n) in SPECIES {
        if at < n {
            return name;
        }
        at -= n;
    }
    SPECIES[0].0
}

/// The shape of the sheet; `grows` from flat to its full bend during the sequence.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Flat,
    /// Bent about an axis `axis` degrees from the vertical; towards the camera in the middle for sign 1.
    Cylinder {
        axis: f32,
        radius: f32,
        sign: f32,
        grows: bool,
    },
    /// Folded along such an axis, each half by `fold` degrees.
    Crease {
        axis: f32,
        fold: f32,
        sign: f32,
        grows: bool,
    },
    ThinPlate {
        c: [f32; 7],
        grows: bool,
    },
}

impl Shape {
    /// Where a place of the sheet is in space.
    fn at(&self, u: f32, v: f32, t: f32) -> [f32; 3] {
        let along = |axis: f32, bend: &dyn Fn(f32) -> (f32, f32)| {
            let (s, c) = axis.to_radians().sin_cos();
            let (a, b) = (u * c + v * s, v * c - u * s);
            let (x, z) = bend(a);
            [x * c - b * s, x * s + b * c, z]
        };
        match *self {
            Shape::Flat => [u, v, 0.0],
            Shape::Cylinder { axis, radius, sign, grows } => {
                let r = if grows { radius / t.max(0.05) } else { radius };
                along(axis, &|a| {
                    let angle = (a / r).clamp(-2.2, 2.2);
                    (r * angle.sin(), sign * r * (1.0 - angle.cos()))
                })
            }
            Shape::Crease { axis, fold, sign, grows } => {
                let (s, c) = (fold.to_radians() * if grows { t } else { 1.0 }).sin_cos();
                along(axis, &|a| {
                    // The edge of the fold is as round as paper's.
                    let q = (a * a + 16.0).sqrt() - 4.0;
                    (a.signum() * q * c + (a - a.signum() * q), sign * q * s)
                })
            }
            Shape::ThinPlate { c, grows } => {
                let (k, x, y) = (if grows { t } else { 1.0 }, u / 70.0, v / 70.0);
                let smooth = c[0] * x * x + c[1] * x * y + c[2] * y * y + c[3] * x * x * x + c[4] * x * x * y;
                [u, v, k * (smooth + c[5] * (2.0 * x + c[6]).sin())]
            }
        }
    }
}

/// One attack in all its parameters.
#[derive(Clone, Debug)]
pub struct Attack {
    shape: Shape,
    /// Degrees at the end of the way.
    yaw: f32,
    pitch: f32,
    /// Millimetres.
    pan: [f32; 2],
    /// How far behind the sheet it is held.
    pivot: f32,
    focal: f32,
    /// Cut out along the face.
    cut: bool,
    /// Light that changes: how much brighter in all and from side to side.
    light: [f32; 2],
    /// Frames in which the eyes are covered, as by a lid.
    covered: std::ops::Range<usize>,
    jpeg: u8,
    noise: f32,
    tremor: [[f32; 3]; 6],
}

impl Attack {
    /// Draws the parameters of one attack.
    pub fn draw(species: &str, dice: &mut Dice) -> Attack {
        let mut a = Attack {
            shape: Shape::Flat,
            yaw: dice.side() * dice.within(25.0, 50.0),
            pitch: 0.0,
            pan: [0.0; 2],
            pivot: dice.of(&[0.0, 0.0, 40.0, 80.0], 0.0),
            focal: dice.of(&[350.0, 500.0, 700.0, 1100.0], 500.0),
            cut: dice.chance(0.4),
            light: [dice.within(0.0, 0.15), 0.0],
            covered: 0..0,
            jpeg: 65 + dice.below(27) as u8,
            noise: dice.within(1.0, 4.0),
            tremor: [[0.0; 3]; 6],
        };
        let amplitude = dice.within(0.3, 1.5);
        a.tremor = std::array::from_fn(|_| [amplitude, dice.within(2.0, 8.0), dice.within(0.0, std::f32::consts::TAU)]);
        let sign = if dice.chance(0.67) { 1.0 } else { -1.0 };
        let grows = dice.chance(0.3);
        match species {
            "yaw_pan" => a.pan = [dice.within(-90.0, 90.0), dice.within(-36.0, 36.0)],
            "yaw_pitch" => a.pitch = dice.within(-40.0, 40.0),
            "pitch" => {
                a.yaw = dice.within(-5.0, 5.0);
                a.pitch = dice.side() * dice.within(25.0, 50.0);
            }
            "pan_tremor" => {
                a.yaw = dice.within(-8.0, 8.0);
                a.pan = [dice.within(-120.0, 120.0), dice.within(-60.0, 60.0)];
            }
            "relit" => a.light = [dice.within(-0.4, 0.4), dice.side() * dice.within(0.3, 0.8)],
            "eyes_covered" => {
                a.yaw *= 0.6;
                let from = REST + dice.below(AWAY);
                a.covered = from..from + 4;
            }
            "cylinder" => {
                let radius = dice.of(&[60.0, 80.0, 110.0, 160.0], 80.0);
                a.shape = Shape::Cylinder { axis: 0.0, radius, sign: 1.0, grows: false };
            }
            "cylinder_bent_more" => {
                let (radius, sign) = (dice.of(&[55.0, 75.0, 100.0], 75.0), dice.side());
                a.shape = Shape::Cylinder { axis: 0.0, radius, sign, grows: true };
            }
            "cylinder_concave" => {
                let radius = dice.of(&[80.0, 110.0, 160.0], 110.0);
                a.shape = Shape::Cylinder { axis: 0.0, radius, sign: -1.0, grows: false };
            }
            "cylinder_diagonal" => {
                a.pitch = dice.within(-20.0, 20.0);
                let (radius, axis) = (dice.of(&[60.0, 80.0, 110.0], 80.0), dice.side() * dice.within(20.0, 70.0));
                a.shape = Shape::Cylinder { axis, radius, sign, grows };
            }
            "cylinder_horizontal" => {
                a.pitch = dice.within(-20.0, 20.0);
                let radius = dice.of(&[60.0, 80.0, 110.0], 80.0);
                a.shape = Shape::Cylinder { axis: 90.0, radius, sign, grows };
            }
            "crease" => {
                a.shape = Shape::Crease { axis: 0.0, fold: dice.within(15.0, 45.0), sign: 1.0, grows };
            }
            "crease_inwards" => {
                a.shape = Shape::Crease { axis: 0.0, fold: dice.within(15.0, 40.0), sign: -1.0, grows };
            }
            "crease_diagonal" => {
                let axis = dice.side() * dice.within(15.0, 60.0);
                a.shape = Shape::Crease { axis, fold: dice.within(15.0, 45.0), sign: 1.0, grows: false };
            }
            "thin_plate" => {
                let mut c: [f32; 7] = std::array::from_fn(|_| dice.within(-22.0, 22.0));
                (c[5], c[6]) = (dice.within(-12.0, 12.0), dice.within(-2.0, 2.0));
                a.shape = Shape::ThinPlate { c, grows: dice.chance(0.5) };
            }
            _ => {}
        }
        a
    }
}

/// The photograph, with [`EYE_TEXTURE`] pixels between the outer eye corners.
pub struct Photo {
    pub picture: Picture,
    pub nose: Point,
    pub eyes: [Point; 2],
}

/// How far along the way frame `i` is, `0..=1`.
fn way(i: usize) -> f32 {
    let t = if i < REST {
        0.0
    } else if i < REST + AWAY {
        (i - REST) as f32 / AWAY as f32
    } else if i < REST + AWAY + HELD {
        1.0
    } else {
        (1.0 - (i - REST - AWAY - HELD) as f32 / BACK as f32).max(0.0)
    };
    t * t * (3.0 - 2.0 * t)
}

/// Draws a whole sequence as JPEG pictures, every so-many-th frame of it; `None` for a frame that cannot be written.
pub fn draw(photo: &Photo, attack: &Attack, every: usize, dice: &mut Dice) -> Option<Vec<Vec<u8>>> {
    let background = background(dice);
    let noise: Vec<f32> = (0..1 << 16).map(|_| dice.normal()).collect();
    let middle = [0, 1].map(|i| photo.nose[i] / 2.0 + (photo.eyes[0][i] + photo.eyes[1][i]) / 4.0);
    let cells = SIDE.div_ceil(GRID) + 1;
    let mut places: Option<Vec<Point>> = None;
    (0..FRAMES)
        .step_by(every)
        .map(|i| {
            let t = way(i);
            let scene = Scene::new(attack, i, t);
            let found = scene.grid(cells, places.as_deref());
            let mut rgb = vec![0_u8; SIDE * SIDE * 3];
            paint(photo, attack, i, t, middle, &found, cells, &background, &mut rgb);
            for row in rgb.chunks_exact_mut(SIDE * 3) {
                let from = dice.below(noise.len() - SIDE * 3);
                for (p, n) in row.iter_mut().zip(&noise[from..]) {
                    *p = (f32::from(*p) + attack.noise * n + 0.5).clamp(0.0, 255.0) as u8;
                }
            }
            places = Some(found);
            let mut jpeg = Vec::new();
            let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, attack.jpeg);
            encoder.encode(&rgb, SIDE as u32, SIDE as u32, ExtendedColorType::Rgb8).ok()?;
            Some(jpeg)
        })
        .collect()
}

/// One moment: where the sheet is.
struct Scene<'a> {
    attack: &'a Attack,
    t: f32,
    turn: Rotation3<f32>,
    shift: Vector3<f32>,
}

impl<'a> Scene<'a> {
    fn new(attack: &'a Attack, i: usize, t: f32) -> Self {
        let tremor =
            attack.tremor.map(|[a, f, phase]| a * (std::f32::consts::TAU * f * i as f32 / FPS as f32 + phase).sin());
        let yaw = (attack.yaw * t + 0.6 * tremor[0]).to_radians();
        let pitch = (attack.pitch * t + 0.6 * tremor[1]).to_radians();
        let turn = Rotation3::from_axis_angle(&Vector3::z_axis(), (0.5 * tremor[2]).to_radians())
            * Rotation3::from_axis_angle(&Vector3::x_axis(), pitch)
            * Rotation3::from_axis_angle(&Vector3::y_axis(), yaw);
        let pivot = attack.pivot * (attack.yaw * t).to_radians().sin();
        let shift = Vector3::new(
            attack.pan[0] * t + 1.5 * tremor[3] + pivot,
            attack.pan[1] * t + 1.5 * tremor[4],
            attack.focal * EYE_MM / EYE_PX + 2.0 * tremor[5],
        );
        Scene { attack, t, turn, shift }
    }

    /// Where a place of the sheet is seen.
    fn seen(&self, [u, v]: Point) -> Point {
        let p = self.turn * Vector3::from(self.attack.shape.at(u, v, self.t)) + self.shift;
        let z = p.z.max(30.0);
        let half = SIDE as f32 / 2.0;
        [self.attack.focal * p.x / z + half, self.attack.focal * p.y / z + half]
    }

    /// The place of the sheet that is seen at each point of the grid, by Newton's method from where it was in the frame
    /// before; far away where there is none.
    fn grid(&self, cells: usize, before: Option<&[Point]>) -> Vec<Point> {
        let half = SIDE as f32 / 2.0;
        let k = self.shift.z / self.attack.focal;
        (0..cells * cells)
            .map(|i| {
                let at = [(i % cells * GRID) as f32, (i / cells * GRID) as f32];
                let plain = [(at[0] - half) * k - self.shift.x, (at[1] - half) * k - self.shift.y];
                let start = before.and_then(|b| b.get(i)).filter(|p| p[0].abs() < 390.0 && p[1].abs() < 390.0);
                let mut p = start.copied().unwrap_or(plain);
                for _ in 0..if start.is_some() { 4 } else { 9 } {
                    let now = self.seen(p);
                    let (right, down) = (self.seen([p[0] + 0.5, p[1]]), self.seen([p[0], p[1] + 0.5]));
                    let j = [
                        (right[0] - now[0]) * 2.0,
                        (down[0] - now[0]) * 2.0,
                        (right[1] - now[1]) * 2.0,
                        (down[1] - now[1]) * 2.0,
                    ];
                    let det = j[0] * j[3] - j[1] * j[2];
                    let det = if det.abs() < 0.02 { 0.02_f32.copysign(det) } else { det };
                    let (dx, dy) = (at[0] - now[0], at[1] - now[1]);
                    p[0] = (p[0] + ((j[3] * dx - j[1] * dy) / det).clamp(-60.0, 60.0)).clamp(-400.0, 400.0);
                    p[1] = (p[1] + ((j[0] * dy - j[2] * dx) / det).clamp(-60.0, 60.0)).clamp(-400.0, 400.0);
                }
                let now = self.seen(p);
                if (now[0] - at[0]).hypot(now[1] - at[1]) > 2.0 { [-9e3; 2] } else { p }
            })
            .collect()
    }
}

/// Blots and lines.
fn background(dice: &mut Dice) -> Vec<u8> {
    let blots: Vec<[f32; 3]> = (0..144).map(|_| std::array::from_fn(|_| dice.within(0.0, 255.0))).collect();
    let lines: Vec<([f32; 4], [f32; 3])> = (0..25)
        .map(|_| {
            (std::array::from_fn(|_| dice.within(0.0, SIDE as f32)), std::array::from_fn(|_| dice.within(0.0, 255.0)))
        })
        .collect();
    let mut rgb = vec![0_u8; SIDE * SIDE * 3];
    for (i, p) in rgb.chunks_exact_mut(3).enumerate() {
        let (x, y) = ((i % SIDE) as f32 * 11.0 / SIDE as f32, (i / SIDE) as f32 * 11.0 / SIDE as f32);
        let (ix, iy) = (x as usize, y as usize);
        let (fx, fy) = (x - ix as f32, y - iy as f32);
        for (c, v) in p.iter_mut().enumerate() {
            let at = |dx: usize, dy: usize| blots[(iy + dy) * 12 + ix + dx][c];
            let mix =
                (at(0, 0) * (1.0 - fx) + at(1, 0) * fx) * (1.0 - fy) + (at(0, 1) * (1.0 - fx) + at(1, 1) * fx) * fy;
            *v = (mix * 0.5 + 60.0) as u8;
        }
    }
    for ([x0, y0, x1, y1], colour) in lines {
        let steps = (x1 - x0).abs().max((y1 - y0).abs()).max(1.0) as usize;
        for s in 0..steps {
            let k = s as f32 / steps as f32;
            let (x, y) = ((x0 + (x1 - x0) * k) as usize, (y0 + (y1 - y0) * k) as usize);
            for (x, y) in [(x, y), (x + 1, y)] {
                if x < SIDE && y < SIDE {
                    rgb[(y * SIDE + x) * 3..][..3].copy_from_slice(&colour.map(|v| v as u8));
                }
            }
        }
    }
    rgb
}

#[expect(clippy::too_many_arguments, reason = "the parts of one frame")]
fn paint(
    photo: &Photo,
    attack: &Attack,
    i: usize,
    t: f32,
    middle: Point,
    places: &[Point],
    cells: usize,
    background: &[u8],
    rgb: &mut [u8],
) {
    let (w, h) = (photo.picture.width as f32, photo.picture.height as f32);
    let half = [middle[0].min(w - 1.0 - middle[0]).min(240.0), middle[1].min(h - 1.0 - middle[1]).min(260.0)];
    let stride = photo.picture.width as usize * 3;
    let covered = attack.covered.contains(&i);
    // The colour of a lid is that of the nose.
    let lid = texel(&photo.picture.rgb, stride, photo.nose[0].max(0.0), photo.nose[1].max(0.0));
    let bright = 1.0 + attack.light[0] * t * attack.yaw.to_radians().sin().signum();
    for y in 0..SIDE {
        for x in 0..SIDE {
            let at = (y * SIDE + x) * 3;
            let (cx, cy) = (x / GRID, y / GRID);
            let (fx, fy) = ((x % GRID) as f32 / GRID as f32, (y % GRID) as f32 / GRID as f32);
            let corner = cy * cells + cx;
            let (a, b, c, d) = (places[corner], places[corner + 1], places[corner + cells], places[corner + cells + 1]);
            let place =
                [0, 1].map(|k| (a[k] * (1.0 - fx) + b[k] * fx) * (1.0 - fy) + (c[k] * (1.0 - fx) + d[k] * fx) * fy);
            let on = [0, 1].map(|k| place[k] * EYE_TEXTURE / EYE_MM + middle[k]);
            let off = [(on[0] - middle[0]).abs(), (on[1] - middle[1]).abs()];
            let inside = off[0] < half[0]
                && off[1] < half[1]
                && (!attack.cut || (off[0] / 105.0).powi(2) + (off[1] / 150.0).powi(2) < 1.0)
                && on[0] >= 0.0
                && on[1] >= 0.0
                && on[0] < w - 1.0
                && on[1] < h - 1.0;
            let mut colour = if inside {
                texel(&photo.picture.rgb, stride, on[0], on[1])
            } else {
                [0, 1, 2].map(|k| f32::from(background[at + k]))
            };
            let eye = |e: Point| ((on[0] - e[0]) / 30.0).powi(2) + ((on[1] - e[1]) / 13.0).powi(2) < 1.0;
            if covered && inside {
                let inner = (photo.eyes[1][0] - photo.eyes[0][0]) * 0.14;
                let shifted =
                    [[photo.eyes[0][0] + inner, photo.eyes[0][1]], [photo.eyes[1][0] - inner, photo.eyes[1][1]]];
                if shifted.into_iter().any(eye) {
                    colour = lid;
                }
            }
            let across = 1.0 + attack.light[1] * t * (x as f32 / SIDE as f32 - 0.5);
            for (p, v) in rgb[at..at + 3].iter_mut().zip(colour) {
                *p = (v * bright * across).clamp(0.0, 255.0) as u8;
            }
        }
    }
}

/// Bilinear; the caller keeps inside.
fn texel(rgb: &[u8], stride: usize, x: f32, y: f32) -> [f32; 3] {
    let (ix, iy) = (x as usize, y as usize);
    let (fx, fy) = (x - ix as f32, y - iy as f32);
    let at = iy * stride + ix * 3;
    let v = |i: usize| rgb.get(i).copied().map_or(0.0, f32::from);
    [0, 1, 2].map(|c| {
        (v(at + c) * (1.0 - fx) + v(at + 3 + c) * fx) * (1.0 - fy)
            + (v(at + stride + c) * (1.0 - fx) + v(at + stride + 3 + c) * fx) * fy
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_species_comes_as_often_as_it_should() {
        let round: usize = SPECIES.iter().map(|s| s.1).sum();
        for (name, n) in SPECIES {
            assert_eq!((0..round).filter(|i| species(*i) == name).count(), n, "{name}");
        }
        assert_eq!(species(round), species(0));
    }

    #[test]
    fn a_sequence_begins_and_ends_at_rest() {
        assert_eq!((way(0), way(REST + AWAY), way(FRAMES - 1)), (0.0, 1.0, 0.0));
        for i in 1..FRAMES {
            assert!((way(i) - way(i - 1)).abs() < 0.25, "{i}");
        }
    }

    #[test]
    fn shapes_are_sheets_that_were_only_bent() {
        let cylinder = Shape::Cylinder { axis: 30.0, radius: 80.0, sign: 1.0, grows: false };
        for shape in [Shape::Flat, cylinder] {
            for (u, v) in [(0.0, 0.0), (40.0, -30.0), (-70.0, 60.0)] {
                // Lengths on a sheet stay what they are.
                let p = |du: f32, dv: f32| Vector3::from(shape.at(u + du, v + dv, 1.0));
                for d in [p(0.1, 0.0), p(0.0, 0.1)] {
                    assert!(((d - p(0.0, 0.0)).norm() - 0.1).abs() < 1e-3, "{shape:?} at {u} {v}");
                }
            }
        }
        let grows = Shape::Cylinder { axis: 0.0, radius: 80.0, sign: 1.0, grows: true };
        assert!(grows.at(70.0, 0.0, 0.0)[2] < grows.at(70.0, 0.0, 1.0)[2] / 5.0);
    }

    #[test]
    fn the_grid_finds_what_is_seen() {
        let mut dice = Dice::new([5; 32]);
        for name in SPECIES.map(|s| s.0) {
            let attack = Attack::draw(name, &mut dice);
            let cells = SIDE.div_ceil(GRID) + 1;
            let scene = Scene::new(&attack, 20, way(20));
            let places = scene.grid(cells, None);
            let good = (0..cells * cells).filter(|i| {
                let now = scene.seen(places[*i]);
                let at = [(i % cells * GRID) as f32, (i / cells * GRID) as f32];
                (now[0] - at[0]).hypot(now[1] - at[1]) < 2.0
            });
            let n = good.count();
            // A sheet that is rolled up covers little of the picture.
            assert!(n > cells * cells / 5, "{name}: {n} of {}", cells * cells);
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_bytes() {
        let photo = || Photo {
            picture: Picture { width: 300, height: 300, rgb: (0..270_000).map(|i| (i % 251) as u8).collect() },
            nose: [150.0, 170.0],
            eyes: [[95.0, 130.0], [205.0, 130.0]],
        };
        let play = |seed| {
            let mut dice = Dice::new([seed; 32]);
            let attack = Attack::draw("thin_plate", &mut dice);
            draw(&photo(), &attack, 1, &mut dice).expect("draws")
        };
        let (a, b) = (play(1), play(1));
        assert_eq!(a.len(), FRAMES);
        assert!(a == b && a != play(2));
    }
}
