//! `cardea eval light`: the light handshake, simulated on real skin traces.
//!
//! The light of the skin in live clips is what a camera really saw of it, noise, tremor, talk and all. It is brightened
//! as a display would have done it, and judged by the detector of a door. No display was in front of these people: what
//! is shown is how the detector bears the skin's own changes, not how a display lights a face.

use super::labels::Table;
use super::presentations::LIVE;
use super::stats::Rate;
use crate::adapters::camera::file::ClipOptions;
use crate::base::time::Tick;
use crate::cli::clip::{self, Splice};
use crate::cli::{Code as ExitCode, Failure};
use crate::domain::light::code::{Code, Part, Show, Shown};
use crate::domain::light::detect::{self, Light, STEP_CLEAR, Skin};
use crate::domain::observation::Wants;
use crate::runtime::engine::Engine;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// CSV with file and label; clips labelled live give the traces.
    #[arg(long, value_name = "CSV")]
    clips: PathBuf,
    /// Directory that the files are below.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// What codes, places in the traces and lags are drawn from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Handshakes of each kind for each step of light, duration and frame rate.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    tries: u32,
}

/// Steps of light against ambient, seconds of code and frames a second that are tried.
const STEPS: [f64; 3] = [0.03, 0.05, 0.10];
const SECONDS: [usize; 3] = [3, 4, 5];
const RATES: [f64; 3] = [10.0, 15.0, 30.0];
/// A head that stays within so many degrees of its pose is still.
const STILL_DEG: f32 = 8.0;
/// A shorter piece of a clip is no trace. One shorter than a handshake runs to and fro.
const LEAST: f64 = 3.0;

/// One frame of a live clip.
#[derive(Clone, Copy, Debug)]
struct Point {
    /// Seconds since the clip began.
    at: f64,
    /// Linear RGB; `None` where the skin was not to be seen.
    rgb: Option<[f32; 3]>,
    yaw: f32,
    pitch: f32,
}

/// The skin's own light over a piece of a clip.
#[derive(Clone, Debug)]
struct Trace {
    name: String,
    points: Vec<Point>,
}

impl Trace {
    fn seconds(&self) -> f64 {
        self.points.last().zip(self.points.first()).map_or(0.0, |(b, a)| b.at - a.at)
    }

    /// The frame nearest to `t` seconds; behind its end the trace runs back, as often as need be.
    fn at(&self, t: f64) -> Option<&Point> {
        let (first, length) = (self.points.first()?.at, self.seconds());
        let round = t.rem_euclid(2.0 * length);
        let t = first + if round > length { 2.0 * length - round } else { round };
        let i = self.points.partition_point(|p| p.at < t);
        let before = i.checked_sub(1).and_then(|j| self.points.get(j));
        match (before, self.points.get(i)) {
            (Some(a), Some(b)) => Some(if t - a.at < b.at - t { a } else { b }),
            (a, b) => a.or(b),
        }
    }
}

pub fn run(mut engine: Engine, args: &Args) -> Result<Value, Failure> {
    let clips = traces(&mut engine, args)?;
    let still: Vec<Trace> = clips.iter().flat_map(pieces).collect();
    let moving: Vec<Trace> = clips.into_iter().filter(|t| t.seconds() >= LEAST).collect();
    if still.is_empty() {
        let what = "no live clip shows skin for three seconds";
        return Err(Failure::new(ExitCode::BadInput, args.clips.display().to_string(), what, "give other clips"));
    }
    let mut rng = ChaCha20Rng::from_seed(clip::seed(args.seed, "light"));
    let bar = super::progress(2 * STEPS.len() * SECONDS.len() * RATES.len(), "light");
    let mut groups = serde_json::Map::new();
    for (name, traces) in [("still", &still), ("moving", &moving)] {
        let mut rows = Vec::new();
        for seconds in SECONDS {
            for fps in RATES {
                for step in STEPS {
                    rows.push(cell(&mut rng, traces, Cell { seconds, fps, step }, args.tries));
                    bar.inc(1);
                }
            }
        }
        let names: Vec<Value> = traces.iter().map(|t| json!({"clip": t.name, "seconds": t.seconds()})).collect();
        groups.insert(name.to_owned(), json!({"traces": names, "rows": rows}));
    }
    bar.finish_and_clear();
    let report = json!({"evidence": "simulated on real skin traces", "seed": args.seed, "tries": args.tries,
                        "symbols_per_second": 3, "groups": groups});
    Ok(report)
}

/// The skin in every live clip of the list.
fn traces(engine: &mut Engine, args: &Args) -> Result<Vec<Trace>, Failure> {
    let table = Table::read(&args.clips, &["file", "label"])?;
    let rows: Vec<PathBuf> =
        table.rows().filter(|r| r.get("label") == LIVE).map(|r| r.file("file")).collect::<Result<_, _>>()?;
    let bar = super::progress(rows.len(), "clips");
    let mut all = Vec::new();
    for file in rows {
        engine.pipeline.reset();
        let mut stream = Splice::open(&[args.root.join(&file)], ClipOptions::default())?;
        let mut points = Vec::new();
        while let Some(frame) = stream.read()? {
            let wants = Wants { light: true, ..Wants::default() };
            let Some(o) = clip::observe(&mut engine.pipeline, &frame, wants)? else { continue };
            let at = o.captured.since(Tick::ZERO).as_secs_f64();
            let (yaw, pitch) = o.face.as_ref().map_or((0.0, 0.0), |f| (f.pose.yaw, f.pose.pitch));
            points.push(Point { at, rgb: o.face.and_then(|f| f.skin), yaw, pitch });
        }
        all.push(Trace { name: file.display().to_string(), points });
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(all)
}

/// The pieces of a clip, one behind the other, in which the skin is always seen and the head stays where it is.
fn pieces(clip: &Trace) -> Vec<Trace> {
    let mut all = Vec::new();
    let mut piece: Vec<Point> = Vec::new();
    let mut close = |piece: &mut Vec<Point>| {
        let trace = Trace { name: clip.name.clone(), points: std::mem::take(piece) };
        if trace.seconds() >= LEAST {
            all.push(trace);
        }
    };
    for p in &clip.points {
        let stays =
            piece.first().is_none_or(|f| (p.yaw - f.yaw).abs() <= STILL_DEG && (p.pitch - f.pitch).abs() <= STILL_DEG);
        if p.rgb.is_none() || !stays {
            close(&mut piece);
        }
        if p.rgb.is_some() {
            piece.push(*p);
        }
    }
    close(&mut piece);
    all
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    seconds: usize,
    fps: f64,
    step: f64,
}

/// What lights the skin.
#[derive(Clone, Copy, Debug)]
enum Lit {
    /// The display, as it shows the code that is looked for.
    Shown,
    /// A display that shows another code at the same times.
    WrongCode,
    /// Another visit with its code, from any moment on.
    Replayed,
    /// Nothing.
    Uncoded,
}

/// Counts of one kind of handshake.
#[derive(Default)]
struct Count {
    returned: u64,
    not_returned: u64,
    /// Of those, with a step that makes it a veto.
    veto: u64,
    unavailable: u64,
    not_enough: u64,
    /// Scores that reach the threshold of their duration, whatever the step.
    scored: u64,
}

fn cell(rng: &mut ChaCha20Rng, traces: &[Trace], cell: Cell, tries: u32) -> Value {
    let mut count = |lit: Lit| {
        let mut c = Count::default();
        for _ in 0..tries {
            let Some((show, skin)) = handshake(rng, traces, cell, lit) else { continue };
            match detect::judge(&show, &skin) {
                Light::Returned { .. } => c.returned += 1,
                Light::NotReturned { step, .. } => {
                    c.not_returned += 1;
                    c.veto += u64::from(step >= STEP_CLEAR);
                }
                Light::Unavailable { .. } => c.unavailable += 1,
                Light::NotEnough => c.not_enough += 1,
            }
            let reached = |(score, seconds): (f32, f64)| detect::threshold(seconds, 1.0).is_some_and(|t| score >= t);
            c.scored += u64::from(detect::score(&show, &skin).is_some_and(reached));
        }
        c
    };
    let n = u64::from(tries);
    let live = count(Lit::Shown);
    let attack = |c: &Count| {
        json!({"far": Rate::new(c.returned, n), "far_by_score": Rate::new(c.scored, n), "veto": c.veto,
               "unavailable": c.unavailable})
    };
    let [wrong, replayed, uncoded] = [Lit::WrongCode, Lit::Replayed, Lit::Uncoded].map(count);
    json!({
        "seconds": cell.seconds, "fps": cell.fps, "step": cell.step,
        "live": {"frr": Rate::new(n - live.returned, n), "frr_by_score": Rate::new(n - live.scored, n),
                 "returned": live.returned, "not_returned": live.not_returned, "unavailable": live.unavailable,
                 "not_enough": live.not_enough, "veto": Rate::new(live.veto, n)},
        "wrong_code": attack(&wrong), "replayed": attack(&replayed), "uncoded": attack(&uncoded),
    })
}

/// A number of `0.0..1.0`.
fn unit(rng: &mut ChaCha20Rng) -> f64 {
    f64::from(rng.next_u32()) / (f64::from(u32::MAX) + 1.0)
}

fn code(rng: &mut ChaCha20Rng, cell: Cell) -> Code {
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    Code::draw(seed, 0, 3 * cell.seconds)
}

/// A code as a display shows it from `begin` on, each colour some milliseconds late.
fn played(rng: &mut ChaCha20Rng, code: Code, begin: Tick) -> Show {
    let mut show = Show::new(code);
    let mut t = begin;
    let _quiet = show.advance(t);
    while !show.is_over(t) {
        t = show.next_change().unwrap_or(t) + Duration::from_secs_f64(0.01 * unit(rng));
        let _colour = show.advance(t);
    }
    show
}

/// One handshake on a piece of a trace; `None` without traces.
fn handshake(rng: &mut ChaCha20Rng, traces: &[Trace], cell: Cell, lit: Lit) -> Option<(Show, Vec<Skin>)> {
    let begin = Tick::from_millis(100_000);
    let own = code(rng, cell);
    let show = played(rng, own, begin);
    let light = match lit {
        Lit::Shown | Lit::Uncoded => show.clone(),
        Lit::WrongCode => {
            let other = code(rng, cell);
            played(rng, other, begin)
        }
        Lit::Replayed => {
            let (other, early) = (code(rng, cell), 3.0 * unit(rng));
            played(rng, other, begin - Duration::from_secs_f64(early))
        }
    };
    let step = if matches!(lit, Lit::Uncoded) { 0.0 } else { cell.step };
    let trace = traces.get((unit(rng) * traces.len() as f64) as usize)?;
    let (start, lag) = (unit(rng) * 2.0 * trace.seconds(), 0.04 + 0.18 * unit(rng));
    let exposure = 0.005 + 0.028 * unit(rng);
    let (from, to) = (show.shown().first()?.at, show.span(Part::Code)?.1 + Duration::from_millis(300));
    let frames = (to.since(from).as_secs_f64() * cell.fps) as u32;
    let skin = (0..frames).filter_map(|i| {
        let t = (f64::from(i) + 0.2 * (unit(rng) - 0.5)).max(0.0) / cell.fps;
        let own = trace.at(start + t)?.rgb?;
        let at = from + Duration::from_secs_f64(t);
        let k = bright(light.shown(), at - Duration::from_secs_f64(lag), exposure);
        let rgb = [0, 1, 2].map(|c| (f64::from(own[c]) * (1.0 + step * k[c])).min(1.0) as f32);
        Some(Skin { at, rgb })
    });
    let skin: Vec<Skin> = skin.collect();
    Some((show, skin))
}

/// Mean light of an exposure that ends at `end`: 0..=1 a channel. Written apart from the detector's own, lest both share
/// a fault.
fn bright(shown: &[Shown], end: Tick, exposure: f64) -> [f64; 3] {
    const PARTS: u32 = 8;
    let mut sum = [0.0; 3];
    for i in 0..PARTS {
        let at = end - Duration::from_secs_f64(exposure * (f64::from(i) + 0.5) / f64::from(PARTS));
        let symbol = shown.iter().rev().find(|s| s.at <= at).map_or([false; 3], |s| s.symbol);
        sum.iter_mut().zip(symbol).for_each(|(s, on)| *s += f64::from(u8::from(on)) / f64::from(PARTS));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Skin of 30 frames a second that moves a little; between 4 s and 5 s the head is turned away.
    fn clip(turned: bool) -> Trace {
        let points = (0..300_u32).map(|i| {
            let away = turned && (120..150).contains(&i);
            let grain = f64::from(i.wrapping_mul(2_654_435_761) >> 22) / 1024.0 - 0.5;
            let v = |c: f64| (c * (1.0 + 0.004 * grain + 0.01 * (f64::from(i) / 60.0).sin())) as f32;
            let rgb = (!away).then(|| [v(0.4), v(0.25), v(0.2)]);
            Point { at: f64::from(i) / 30.0, rgb, yaw: if away { 30.0 } else { 0.0 }, pitch: 0.0 }
        });
        Trace { name: "clip".into(), points: points.collect() }
    }

    #[test]
    fn a_clip_falls_into_its_still_pieces() {
        assert_eq!(pieces(&clip(false)).len(), 1);
        let two = pieces(&clip(true));
        assert_eq!(two.iter().map(|p| p.points.len()).collect::<Vec<_>>(), [120, 150]);
    }

    #[test]
    fn a_trace_runs_to_and_fro() {
        let t = clip(false);
        let at = |s: f64| t.at(s).map_or(-1.0, |p| p.at);
        assert!((at(3.0) - 3.0).abs() < 0.02 && (at(2.0 * t.seconds() - 3.0) - 3.0).abs() < 0.02);
        assert!((at(2.0 * t.seconds() + 1.0) - 1.0).abs() < 0.04);
        assert!(Trace { name: String::new(), points: Vec::new() }.at(1.0).is_none());
    }

    #[test]
    fn quiet_skin_returns_its_code_and_no_attack_does() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let row = cell(&mut rng, &[clip(false)], Cell { seconds: 5, fps: 15.0, step: 0.10 }, 40);
        assert_eq!(row["live"]["frr"]["errors"], 0, "{row}");
        for attack in ["wrong_code", "replayed", "uncoded"] {
            assert_eq!(row[attack]["far"]["errors"], 0, "{attack}: {row}");
        }
        assert_eq!(row["uncoded"]["unavailable"], 40);
    }
}
