//! Whether the skin gave back the colours that were shown.
//!
//! * *Y*: log(0.01 + linear RGB) of the skin, one row a frame; a logarithm, so that a step of light is equally high
//!   whatever the colour of the skin.
//! * *K*: the colours shown (1 bright, 0 dim), some time earlier (*lag*) and averaged over a frame's exposure.
//! * *step*: by what part the probe made the skin brighter, the mean of the channels: 0.05 is 5 % of the room's light.
//! * *score*: max over lag of tr(C⁻¹ Y'K) / √(tr(C⁻¹ Y'Y) tr(C⁻¹ K'K)) of Y and K without what is slower than 0.35 Hz;
//!   at most 1. C is how the skin's colour varies without a code, so that the direction in which a head that moves
//!   changes it (all channels alike) counts least.
//!
//! Frames come when they come: K is taken at the time of each, then both are resampled alike to even steps. C is estimated
//! from the second before the probe; that is short, so it is held to its own mean variance by a tenth. Thresholds and
//! band are those of a simulation on real skin traces (`docs/liveness.md`); they are no settings.

use super::code::{Part, Show, Shown, TAIL};
use crate::base::time::Tick;
use std::time::Duration;

/// What one frame showed of the skin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Skin {
    /// When it was captured, on the clock of the show.
    pub at: Tick,
    /// Mean linear RGB, `0.0..=1.0`.
    pub rgb: [f32; 3],
}

/// What came of a handshake.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Light {
    /// The display makes no step that could be seen in this room, or in this picture.
    Unavailable { step: f32 },
    /// The skin followed the code.
    Returned { step: f32, score: f32 },
    /// It did not.
    NotReturned { step: f32, score: f32 },
    /// Too few frames, or too long a gap.
    NotEnough,
}

/// Below this step nothing is judged.
pub const STEP_LEAST: f32 = 0.03;
/// From this step on silence speaks against the skin.
pub const STEP_CLEAR: f32 = 0.05;
/// From this step on three seconds are enough.
const STEP_SHORT: f32 = 0.10;
/// Frames a second below which there are too few.
const FPS_LEAST: f64 = 9.0;
/// Longest time without a frame, in seconds: a whole symbol may not go unseen.
const GAP: f64 = 0.34;
/// What is slower than this many hertz is not the code's.
const BAND: f64 = 0.35;
/// Lags that are tried, in milliseconds.
const LAGS: std::ops::RangeInclusive<u32> = 30..=280;
const LAG_STEP: usize = 10;
/// Longest exposure in seconds; a faster camera exposes for one period at most.
const EXPOSURE: f64 = 0.033;
/// Part of C that is its mean variance, the same for every channel.
const SHRINK: f64 = 0.1;
/// Variance that C has at least: a sensor without noise is none.
const VARIANCE_LEAST: f64 = 1e-8;
/// Longest light before the quiet second that may still be seen in it.
const BEFORE: Duration = Duration::from_millis(250);
/// Frames that a level of light is read from.
const LEVEL_FRAMES: usize = 3;

/// Threshold of the score for so many seconds of code, where false accepts of wrong codes are about 1e-3; `None` where a
/// code so short proves nothing at this step of light.
#[must_use]
pub fn threshold(seconds: f64, step: f32) -> Option<f32> {
    // The first frames of a code still show the light before it.
    match seconds + 0.25 {
        s if s >= 5.0 => Some(0.63),
        s if s >= 4.0 => Some(0.74),
        s if s >= 3.0 && step >= STEP_SHORT => Some(0.77),
        _ => None,
    }
}

/// The step that the probe made, once it was shown; `None` with too few frames before or after it. Not a number nowhere.
#[must_use]
pub fn step(show: &Show, skin: &[Skin]) -> Option<f32> {
    let (from, to) = show.span(Part::Probe)?;
    let soonest = Duration::from_millis(u64::from(*LAGS.start()));
    let level = |from: Tick, to: Tick| -> Option<[f32; 3]> {
        let seen: Vec<[f32; 3]> =
            skin.iter().filter(|s| sound(s) && s.at >= from && s.at < to).map(|s| s.rgb).collect();
        (seen.len() >= LEVEL_FRAMES).then(|| [0, 1, 2].map(|c| middle(seen.iter().map(|rgb| rgb[c]).collect())))
    };
    let bright = level(from + TAIL, to + soonest)?;
    // As long before the step as after it: a face that drifts does so in both.
    let dim = level(from + soonest - to.since(from + TAIL) - soonest, from + soonest)?;
    let part = |c: usize| (bright[c] + 0.01) / (dim[c] + 0.01) - 1.0;
    Some((part(0) + part(1) + part(2)) / 3.0)
}

/// Judges a show that is over by the frames since it began. `skin` rises in time; frames that are no measurement are left
/// out.
#[must_use]
pub fn judge(show: &Show, skin: &[Skin]) -> Light {
    let Some(step) = step(show, skin) else { return Light::NotEnough };
    if step.is_nan() || step < STEP_LEAST {
        return Light::Unavailable { step };
    }
    let Some((score, seconds)) = score(show, skin) else { return Light::NotEnough };
    match threshold(seconds, step) {
        None => Light::NotEnough,
        Some(least) if score >= least => Light::Returned { step, score },
        Some(_) => Light::NotReturned { step, score },
    }
}

/// The score and the seconds of code that it rests on; `None` with too few frames or too long a gap between two.
#[must_use]
pub fn score(show: &Show, skin: &[Skin]) -> Option<(f32, f64)> {
    let (from, to) = show.span(Part::Code)?;
    let quiet = show.span(Part::Quiet)?;
    let still = Trace::of(skin, quiet.0 + BEFORE, quiet.1, from)?;
    let mut y = Trace::of(skin, from, to + TAIL, from)?;
    let c = inverse(covariance(&high_passed(still.even(&still.y))))?;
    let seconds = y.seconds();
    let exposure = (seconds / (y.y.len() - 1) as f64).min(EXPOSURE);
    y.y = high_passed(y.even(&y.y));
    let yy = weighed(&c, &y.y, &y.y);
    let mut best = f64::NEG_INFINITY;
    for lag in LAGS.step_by(LAG_STEP) {
        let lag = f64::from(lag) / 1000.0;
        let k: Vec<[f64; 3]> = y.at.iter().map(|t| light(show.shown(), from, t - lag, exposure)).collect();
        let k = high_passed(y.even(&k));
        let cosine = weighed(&c, &y.y, &k) / (yy * weighed(&c, &k, &k)).sqrt();
        // A comparison with what is no number is false: silence scores nothing.
        if cosine > best {
            best = cosine;
        }
    }
    best.is_finite().then_some((best as f32, seconds))
}

fn sound(s: &Skin) -> bool {
    s.rgb.iter().all(|v| (0.0..=1.0).contains(v))
}

/// Middle of the values; 0 of none.
fn middle(mut of: Vec<f32>) -> f32 {
    of.sort_by(f32::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or(0.0)
}

/// Seconds from `origin` to `at`; negative before it.
fn seconds(at: Tick, origin: Tick) -> f64 {
    at.since(origin).as_secs_f64() - origin.since(at).as_secs_f64()
}

/// The logarithm of the skin's light at the times of frames, in seconds.
struct Trace {
    at: Vec<f64>,
    y: Vec<[f64; 3]>,
}

impl Trace {
    /// Frames of `from..to` in seconds since `origin`; `None` when they are too few or too far apart.
    fn of(skin: &[Skin], from: Tick, to: Tick, origin: Tick) -> Option<Trace> {
        let mut trace = Trace { at: Vec::new(), y: Vec::new() };
        for s in skin.iter().filter(|s| s.at >= from && s.at < to && sound(s)) {
            let at = seconds(s.at, origin);
            if trace.at.last().is_none_or(|last| at > *last) {
                trace.at.push(at);
                trace.y.push(s.rgb.map(|v| (0.01 + f64::from(v)).ln()));
            }
        }
        let rate = (trace.at.len().max(1) - 1) as f64 / trace.seconds();
        let gap = trace.at.windows(2).map(|w| w[1] - w[0]).fold(0.0, f64::max);
        (trace.at.len() >= 2 * LEVEL_FRAMES && rate >= FPS_LEAST && gap <= GAP).then_some(trace)
    }

    fn seconds(&self) -> f64 {
        self.at.last().zip(self.at.first()).map_or(0.0, |(last, first)| last - first)
    }

    /// `values` at these times, by straight lines between them, at as many even times, and the step of these.
    fn even(&self, values: &[[f64; 3]]) -> (Vec<[f64; 3]>, f64) {
        let n = self.at.len();
        let step = self.seconds() / (n - 1) as f64;
        let mut i = 0;
        let at = |k: usize| self.at[0] + step * k as f64;
        let even = (0..n).map(|k| {
            while i + 2 < n && self.at[i + 1] < at(k) {
                i += 1;
            }
            let part = ((at(k) - self.at[i]) / (self.at[i + 1] - self.at[i])).clamp(0.0, 1.0);
            [0, 1, 2].map(|c| values[i][c] + part * (values[i + 1][c] - values[i][c]))
        });
        (even.collect(), step)
    }
}

/// What of the light shown reached the sensor in `end - exposure ..= end`, in seconds since `origin`: 0..=1 a channel.
fn light(shown: &[Shown], origin: Tick, end: f64, exposure: f64) -> [f64; 3] {
    let begin = end - exposure;
    let mut sum = [0.0; 3];
    for (i, s) in shown.iter().enumerate() {
        let from = seconds(s.at, origin);
        let to = shown.get(i + 1).map_or(f64::INFINITY, |n| seconds(n.at, origin));
        let overlap = (to.min(end) - from.max(begin)).max(0.0);
        for (sum, bright) in sum.iter_mut().zip(s.symbol) {
            *sum += if bright { overlap / exposure } else { 0.0 };
        }
    }
    sum
}

/// The rows, `step` seconds apart, without the components of their DCT-II below [`BAND`].
fn high_passed((mut rows, step): (Vec<[f64; 3]>, f64)) -> Vec<[f64; 3]> {
    let n = rows.len() as f64;
    for k in 0..rows.len() {
        // Component k has k half periods over the whole.
        if k as f64 / (2.0 * n * step) >= BAND {
            break;
        }
        let wave = |i: usize| (std::f64::consts::PI * k as f64 * (i as f64 + 0.5) / n).cos();
        let norm: f64 = (0..rows.len()).map(|i| wave(i) * wave(i)).sum();
        for c in 0..3 {
            let part = rows.iter().enumerate().map(|(i, row)| row[c] * wave(i)).sum::<f64>() / norm;
            rows.iter_mut().enumerate().for_each(|(i, row)| row[c] -= part * wave(i));
        }
    }
    rows
}

/// Covariance of rows with mean zero, held to its mean variance.
fn covariance(rows: &[[f64; 3]]) -> [[f64; 3]; 3] {
    let mut c = product(rows, rows).map(|row| row.map(|v| v / rows.len() as f64));
    let variance = (c[0][0] + c[1][1] + c[2][2]) / 3.0;
    for (i, row) in c.iter_mut().enumerate() {
        for (j, v) in row.iter_mut().enumerate() {
            *v *= 1.0 - SHRINK;
            if i == j {
                *v += SHRINK * variance + VARIANCE_LEAST;
            }
        }
    }
    c
}

/// A'B.
fn product(a: &[[f64; 3]], b: &[[f64; 3]]) -> [[f64; 3]; 3] {
    let mut sum = [[0.0; 3]; 3];
    for (a, b) in a.iter().zip(b) {
        for (row, a) in sum.iter_mut().zip(a) {
            row.iter_mut().zip(b).for_each(|(s, b)| *s += a * b);
        }
    }
    sum
}

/// tr(C⁻¹ A'B), with C⁻¹ given.
fn weighed(inverse: &[[f64; 3]; 3], a: &[[f64; 3]], b: &[[f64; 3]]) -> f64 {
    let p = product(a, b);
    (0..3).map(|i| (0..3).map(|j| inverse[i][j] * p[j][i]).sum::<f64>()).sum()
}

/// The inverse of a symmetric matrix; `None` of one that has none.
fn inverse(m: [[f64; 3]; 3]) -> Option<[[f64; 3]; 3]> {
    let minor = |i: usize, j: usize| {
        let (a, b) = ((i + 1) % 3, (i + 2) % 3);
        let (c, d) = ((j + 1) % 3, (j + 2) % 3);
        m[a][c] * m[b][d] - m[a][d] * m[b][c]
    };
    let det: f64 = (0..3).map(|j| m[0][j] * minor(0, j)).sum();
    (det.is_finite() && det > 0.0).then(|| [0, 1, 2].map(|i| [0, 1, 2].map(|j| minor(j, i) / det)))
}

#[cfg(test)]
mod tests {
    use super::super::code::{Code, SYMBOLS};
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    /// A number of about -1..1 that is zero on average.
    fn noise(rng: &mut ChaCha20Rng) -> f64 {
        (0..4).map(|_| f64::from(rng.next_u32()) / f64::from(u32::MAX) - 0.5).sum()
    }

    fn shown(seed: u8, symbols: usize) -> Show {
        let mut show = Show::new(Code::draw([seed; 32], 0, symbols));
        let mut t = Tick::from_millis(10_000);
        let _quiet = show.advance(t);
        while !show.is_over(t) {
            t = show.next_change().expect("it began");
            let _colour = show.advance(t);
        }
        show
    }

    /// How a camera sees a face.
    #[derive(Clone, Copy)]
    struct Scene {
        /// Step of light of each channel.
        step: f64,
        fps: f64,
        /// Seconds from the display to the stamp.
        lag: f64,
        /// Frames come early or late by so much of a period.
        jitter: f64,
        /// Size of what a moving head does to all channels alike, and of each channel's own.
        sway: f64,
        grain: f64,
        /// No frame in that time, in seconds since the code began.
        gap: (f64, f64),
    }

    const DOOR: Scene =
        Scene { step: 0.06, fps: 15.0, lag: 0.12, jitter: 0.2, sway: 0.004, grain: 0.002, gap: (0.0, 0.0) };

    /// What the camera sees of `lit` from the quiet second on.
    fn seen(scene: Scene, lit: &Show, seed: u8) -> Vec<Skin> {
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let (begin, origin) = (lit.shown()[0].at, lit.span(Part::Code).expect("shown").0);
        let frames = (8.0 * scene.fps) as u32;
        let mut sway = 0.0;
        (0..frames)
            .filter_map(|i| {
                let t = (f64::from(i) + scene.jitter * noise(&mut rng).clamp(-0.9, 0.9)) / scene.fps;
                let at = begin + Duration::from_secs_f64(t.max(0.0));
                sway = 0.9 * sway + scene.sway * noise(&mut rng);
                let k = light(lit.shown(), origin, seconds(at, origin) - scene.lag, 0.02);
                let own = [0.4, 0.25, 0.18];
                let rgb = [0, 1, 2].map(|c| {
                    (own[c] * (1.0 + scene.step * k[c]) * (1.0 + sway + scene.grain * noise(&mut rng))) as f32
                });
                let s = seconds(at, origin);
                (s < scene.gap.0 || s >= scene.gap.1).then_some(Skin { at, rgb })
            })
            .collect()
    }

    fn verdict(scene: Scene) -> Light {
        let show = shown(1, SYMBOLS);
        judge(&show, &seen(scene, &show, 9))
    }

    #[test]
    fn skin_that_follows_the_code_returns_it_at_every_rate() {
        for (fps, lag) in [(10.0, 0.25), (15.0, 0.12), (30.0, 0.05)] {
            let light = verdict(Scene { fps, lag, ..DOOR });
            assert!(matches!(light, Light::Returned { .. }), "{fps} fps, {lag} s: {light:?}");
        }
    }

    #[test]
    fn skin_that_follows_another_code_does_not() {
        let show = shown(1, SYMBOLS);
        for other in 2..60 {
            let light = judge(&show, &seen(DOOR, &shown(other, SYMBOLS), other));
            assert!(matches!(light, Light::NotReturned { .. }), "code {other}: {light:?}");
        }
    }

    /// Each guard broken once: what would be returned without it is not.
    #[test]
    fn a_step_too_small_too_few_frames_and_a_gap_are_no_answer() {
        assert!(matches!(verdict(Scene { step: 0.02, ..DOOR }), Light::Unavailable { step } if step < STEP_LEAST));
        assert!(matches!(verdict(Scene { step: 0.0, ..DOOR }), Light::Unavailable { .. }));
        assert_eq!(verdict(Scene { fps: 7.0, ..DOOR }), Light::NotEnough);
        assert_eq!(verdict(Scene { gap: (2.0, 2.5), ..DOOR }), Light::NotEnough);
        assert_eq!(judge(&shown(1, SYMBOLS), &[]), Light::NotEnough);
    }

    #[test]
    fn a_lag_outside_of_what_a_camera_has_is_not_looked_for() {
        let light = verdict(Scene { lag: 0.6, ..DOOR });
        assert!(!matches!(light, Light::Returned { .. }), "{light:?}");
    }

    #[test]
    fn a_short_code_needs_a_big_step_and_a_higher_score() {
        let short = |symbols, step| {
            let show = shown(1, symbols);
            judge(&show, &seen(Scene { step, ..DOOR }, &show, 9))
        };
        assert_eq!(short(9, 0.06), Light::NotEnough);
        assert!(matches!(short(9, 0.15), Light::Returned { .. }));
        assert!(matches!(short(12, 0.06), Light::Returned { .. }));
        assert_eq!(short(6, 0.5), Light::NotEnough);
        let limits: Vec<Option<f32>> =
            [(5.0, 0.04), (4.2, 0.04), (3.2, 0.11), (3.2, 0.09), (2.0, 0.9)].map(|(s, m)| threshold(s, m)).into();
        assert_eq!(limits, [Some(0.63), Some(0.74), Some(0.77), None, None]);
    }

    #[test]
    fn slow_changes_are_taken_away_and_fast_ones_stay() {
        let wave = |hz: f64| -> Vec<[f64; 3]> {
            (0..75).map(|i| [(std::f64::consts::TAU * hz * f64::from(i) / 15.0).cos(); 3]).collect()
        };
        let power = |rows: &[[f64; 3]]| rows.iter().map(|r| r[0] * r[0]).sum::<f64>() / rows.len() as f64;
        let left = |hz: f64| power(&high_passed((wave(hz), 1.0 / 15.0))) / power(&wave(hz));
        assert!(left(0.1) < 0.01 && left(0.2) < 0.05, "{} {}", left(0.1), left(0.2));
        assert!(left(0.8) > 0.95 && left(1.5) > 0.98, "{} {}", left(0.8), left(1.5));
    }

    #[test]
    fn an_inverse_undoes_its_matrix_and_none_is_made_up() {
        let m = [[2.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 3.0]];
        let i = inverse(m).expect("it has one");
        for (r, row) in m.iter().enumerate() {
            for c in 0..3 {
                let v: f64 = row.iter().zip(i).map(|(a, b)| a * b[c]).sum();
                assert!((v - f64::from(u8::from(r == c))).abs() < 1e-12, "{r} {c}: {v}");
            }
        }
        assert_eq!(inverse([[1.0; 3]; 3]), None);
        assert_eq!(inverse([[f64::NAN; 3]; 3]), None);
    }

    #[test]
    fn numbers_that_are_none_and_stamps_that_go_back_do_no_harm() {
        let show = shown(1, SYMBOLS);
        let mut skin = seen(DOOR, &show, 9);
        for (i, s) in skin.iter_mut().enumerate() {
            match i % 11 {
                0 => s.rgb[0] = f32::NAN,
                1 => s.rgb[1] = f32::INFINITY,
                2 => s.rgb[2] = -1.0,
                _ => {}
            }
        }
        skin.swap(30, 60);
        let _any = judge(&show, &skin);
        let still: Vec<Skin> = seen(DOOR, &show, 9).iter().map(|s| Skin { rgb: [0.0; 3], ..*s }).collect();
        assert!(matches!(judge(&show, &still), Light::Unavailable { .. }));
    }
}
