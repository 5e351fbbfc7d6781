//! `cardea eval attacks`: photographs of enrolled people, moved about in front of the door, gate by gate.
//!
//! Each sequence is drawn from a still of a person who is enrolled, looked at by the pipeline of `run`, and then asked
//! several things that do not hide one another: does it turn by pose, has it a relief, is it alive by PAD, does it pass
//! a visit that asks for just that turn with and without the relief, a random challenge without PAD, the whole door.

mod render;

use super::clips::play;
use super::labels::Table;
use super::stats::upper;
use crate::base::time::Tick;
use crate::cli::clip::{Look, Screening, observe, seed};
use crate::cli::{Code, Failure, still};
use crate::config::Config;
use crate::domain::gallery::Template;
use crate::domain::gesture::{Gestures, Limits};
use crate::domain::liveness::{PadEvidence, PadPhase, PadVerdict};
use crate::domain::observation::{Quality, ReliefAsk, Wants};
use crate::domain::relief::{ReliefRule, TurnProof};
use crate::domain::visit::{ChallengeSource, Gate, Policy};
use crate::ports::Person;
use crate::runtime::engine::{Engine, deck};
use crate::schema::event::{Action, Goal, Verdict};
use crate::schema::ids::PersonId;
use crate::vision::decode::{Limits as DecodeLimits, decode_file};
use crate::vision::frame::{Frame, Picture, PixelFormat, Rotation};
use render::{Attack, Dice, EYE_TEXTURE, FPS, FRAMES, Photo};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// CSV with the files of stills; those that show one face from the front are used.
    #[arg(long, value_name = "CSV")]
    stills: PathBuf,
    /// Directory that the files are below.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    #[arg(long, value_name = "N", default_value_t = 420, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sequences: u32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Frames a second of the camera that they stand before: 30, 15 or 10.
    #[arg(long, value_name = "FPS", default_value_t = 30, value_parser = rate)]
    fps: u64,
    /// Different stills at most, drawn from the file by the seed.
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    people: u32,
    /// Threads, each with networks of its own; unset: one for each processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: Option<u32>,
    /// Writes the sequences of the first round as directories of JPEG pictures, to look at.
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
}

/// A still that can be made into an attack.
struct Still {
    file: PathBuf,
    nose: [f32; 2],
    eyes: [[f32; 2]; 2],
    template: Template,
}

/// Stills must look so straight at the camera, and be so big, as the prototypes of these attacks had it.
const STRAIGHT_YAW: f32 = 9.0;
const STRAIGHT: f32 = 0.45;
const LEAST_EYE: f32 = 35.0;
/// PAD and embedding are computed on every so-many-th frame: a visit asks for them every 150 and 180 ms.
const FULL_EVERY: usize = 4;
/// The reference of the relief is the most frontal of the frames before this time, which are at rest.
const REFERENCE: Duration = Duration::from_millis(134);

/// Rates of which the drawn one is a multiple.
fn rate(text: &str) -> Result<u64, String> {
    let rates = [30, 15, 10];
    text.parse().ok().filter(|fps| rates.contains(fps)).ok_or_else(|| format!("{text} is not one of {rates:?}"))
}

/// What one sequence reached.
#[derive(Clone, Copy, Debug, Default)]
struct Reached([bool; GATES.len()]);

/// What is counted, each for itself.
const GATES: [(&str, &str); 8] = [
    ("faces", "a face was found in every frame"),
    ("turn_by_pose", "the pose reached a turn to either side"),
    ("relief", "the relief rule held for either side, whatever the pose said"),
    ("turn_with_relief", "both, to the same side"),
    ("pad", "PAD said live over all frames"),
    ("turn_visit_pose_only", "a visit that asks for just the turn seen, without PAD and relief, granted"),
    ("turn_visit", "the same with relief"),
    ("challenge", "a random challenge without PAD, granted"),
];

pub fn run(config: &Config, mut engine: Engine, args: &Args) -> Result<Value, Failure> {
    let stills = stills(&mut engine, args)?;
    if stills.is_empty() {
        let why = "no still shows one face from the front";
        return Err(Failure::new(Code::BadInput, args.stills.display().to_string(), why, "give other stills"));
    }
    let total = args.sequences as usize;
    let threads = args
        .threads
        .map_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get), |n| n as usize);
    let mut engines = vec![engine];
    while engines.len() < threads.min(total) {
        engines.push(Engine::open(config).map_err(Failure::unavailable)?);
    }
    let bar = super::progress(total, "attacks");
    let next = AtomicUsize::new(0);
    let work = |mut engine: Engine| -> Result<Vec<(usize, Reached, bool)>, Failure> {
        let mut done = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= total {
                return Ok(done);
            }
            let (reached, granted) = sequence(&mut engine, config, args, &stills, i)?;
            done.push((i, reached, granted));
            bar.inc(1);
        }
    };
    let results: Vec<Result<Vec<_>, Failure>> = std::thread::scope(|scope| {
        let workers: Vec<_> = engines.drain(..).map(|e| scope.spawn(|| work(e))).collect();
        // A worker that panics takes the process with it: every profile aborts.
        workers.into_iter().filter_map(|w| w.join().ok()).collect()
    });
    bar.finish_and_clear();
    let mut all = Vec::new();
    for r in results {
        all.extend(r?);
    }
    Ok(report(config, args, stills.len(), &all))
}

/// The stills that can be used, in an order that the seed draws.
fn stills(engine: &mut Engine, args: &Args) -> Result<Vec<Still>, Failure> {
    let table = Table::read(&args.stills, &["file"])?;
    let mut files = table.rows().map(|r| r.file("file")).collect::<Result<Vec<_>, _>>()?;
    files.sort();
    files.dedup();
    let mut dice = Dice::new(seed(args.seed, "stills"));
    for i in (1..files.len()).rev() {
        files.swap(i, dice.below(i + 1));
    }
    let mut found = Vec::new();
    let bar = super::progress(args.people as usize, "stills");
    for file in files {
        if found.len() >= args.people as usize {
            break;
        }
        if let Some(still) = still_of(engine, &args.root.join(&file))? {
            found.push(still);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(found)
}

fn still_of(engine: &mut Engine, path: &Path) -> Result<Option<Still>, Failure> {
    let bytes = still::read(path)?;
    let Ok(picture) = decode_file(&bytes, &DecodeLimits::default()) else { return Ok(None) };
    engine.pipeline.reset();
    let wants = Wants { embedding: true, relief: ReliefAsk::Ready, ..Wants::default() };
    let seen = engine.pipeline.look(&picture, 0, Tick::ZERO, 0, wants).map_err(still::vision_failure)?;
    let (Some(sample), Some(face)) = (engine.pipeline.take_sample(), seen.face) else { return Ok(None) };
    let (Some(embedding), true) = (face.embedding, seen.faces == 1) else { return Ok(None) };
    let eyes = sample.eyes();
    let apart = (eyes[1][0] - eyes[0][0]).hypot(eyes[1][1] - eyes[0][1]);
    let straight = sample.yaw_deg().abs() <= STRAIGHT_YAW && sample.lopsided().abs() <= STRAIGHT;
    let template = engine.template(embedding);
    Ok((straight && apart >= LEAST_EYE).then(|| Still { file: path.to_owned(), nose: sample.nose(), eyes, template }))
}

/// The still at the scale of the texture.
fn photo(still: &Still) -> Option<Photo> {
    let bytes = std::fs::read(&still.file).ok()?;
    let picture = decode_file(&bytes, &DecodeLimits::default()).ok()?;
    let [l, r] = still.eyes;
    let k = EYE_TEXTURE / (r[0] - l[0]).hypot(r[1] - l[1]);
    let side = |n: u32| ((n as f32 * k).round() as u32).clamp(1, 8192);
    let (width, height) = (side(picture.width), side(picture.height));
    let place = |p: [f32; 2]| [(p[0] + 0.5) * k - 0.5, (p[1] + 0.5) * k - 0.5];
    let picture: Picture = picture.resized(width, height);
    Some(Photo { picture, nose: place(still.nose), eyes: still.eyes.map(place) })
}

/// Draws sequence `i`, looks at it and asks everything; what it reached, and whether the door was opened.
fn sequence(
    engine: &mut Engine,
    config: &Config,
    args: &Args,
    stills: &[Still],
    i: usize,
) -> Result<(Reached, bool), Failure> {
    let mut dice = Dice::new(seed(args.seed.wrapping_mul(1_000_003).wrapping_add(i as u64), "attack"));
    let still = &stills[dice.below(stills.len())];
    let species = render::species(i);
    let attack = Attack::draw(species, &mut dice);
    let gone = |what: &str| {
        let subject = still.file.display().to_string();
        Failure::new(Code::BadInput, subject, format!("{what} while the attacks were drawn"), "try again")
    };
    let photo = photo(still).ok_or_else(|| gone("could not be read any more"))?;
    let every = (FPS / args.fps) as usize;
    let frames = render::draw(&photo, &attack, every, &mut dice).ok_or_else(|| gone("could not be written as JPEG"))?;
    if let Some(dir) = args.pictures.as_ref().filter(|_| i < render::SPECIES.iter().map(|s| s.1).sum()) {
        keep(&dir.join(format!("{i:04}_{species}")), &frames)?;
    }
    let drawn = frames.len();
    let looks = look(engine, frames, args.fps)?;
    ask(engine, config, still, &looks, (drawn, args.fps), i as u64)
}

fn keep(dir: &Path, frames: &[Vec<u8>]) -> Result<(), Failure> {
    let bad = |e: std::io::Error| Failure::new(Code::BadInput, dir.display().to_string(), e, "name another directory");
    std::fs::create_dir_all(dir).map_err(bad)?;
    for (i, bytes) in frames.iter().enumerate() {
        std::fs::write(dir.join(format!("{i:02}.jpg")), bytes).map_err(bad)?;
    }
    Ok(())
}

fn look(engine: &mut Engine, frames: Vec<Vec<u8>>, fps: u64) -> Result<Vec<Look>, Failure> {
    engine.pipeline.reset();
    let mut looks = Vec::with_capacity(frames.len());
    for (i, data) in frames.into_iter().enumerate() {
        let seq = i as u64;
        let frame = Frame {
            seq,
            captured: Tick::from_millis(1 + seq * 1000 / fps),
            epoch: 0,
            format: PixelFormat::Jpeg,
            width: 0,
            height: 0,
            rotation: Rotation::None,
            data,
        };
        let full = i % (FULL_EVERY * fps as usize).div_ceil(FPS as usize) == 0;
        let wants = Wants { eyes: true, pad: full, embedding: full, relief: ReliefAsk::Ready, ..Wants::default() };
        if let Some(seen) = observe(&mut engine.pipeline, &frame, wants)? {
            looks.push(Look { seen, sample: engine.pipeline.take_sample() });
        }
    }
    Ok(looks)
}

/// Every question of [`GATES`] and whether the door was opened.
fn ask(
    engine: &Engine,
    config: &Config,
    still: &Still,
    looks: &[Look],
    (drawn, fps): (usize, u64),
    number: u64,
) -> Result<(Reached, bool), Failure> {
    let faces = looks.len() == drawn && looks.iter().all(|l| l.seen.face.is_some());
    let turn = turned(looks, Duration::from_millis(drawn as u64 * 1000 / fps));
    let [left, right] = [1.0, -1.0].map(|side| relief(looks, side, fps as f32));
    let with = match turn {
        Some(Action::TurnLeft) => left,
        Some(_) => right,
        None => false,
    };
    let person = Person {
        id: PersonId::new("photo").map_err(|e| Failure::new(Code::Internal, "a name", e, "report this"))?,
        templates: vec![still.template.clone()],
        enrolled_unix_ms: 0,
    };
    let (gallery, templates) = engine.gallery(&[person]);
    let gallery = Arc::new(gallery);
    let policy = |challenge: ChallengeSource, pad: bool| -> Result<Policy, Failure> {
        let mut p = engine
            .policy(config, Goal::Identify, gallery.clone(), templates, challenge)
            .map_err(Failure::unavailable)?;
        if !pad {
            p.pad.clear();
        }
        Ok(p)
    };
    let granted =
        |p: Policy, purpose: &str| play(p, looks, seed(number, purpose)).is_some_and(|d| d.verdict == Verdict::Granted);
    let just = |turn: Action| ChallengeSource::Fixed { deck: deck(config), order: vec![(turn, 1)], onsets: Vec::new() };
    let (pose_only, turn_visit) = match turn {
        Some(t) => {
            (granted(policy(just(t), false)?.without(Gate::Relief), "turn"), granted(policy(just(t), false)?, "turn"))
        }
        None => (false, false),
    };
    let pad = alive(looks, policy(ChallengeSource::None, true)?);
    let challenge = granted(policy(ChallengeSource::Draw(deck(config)), false)?, "challenge");
    // The door with all its gates is asked even when one of them alone would have refused.
    let door = granted(policy(ChallengeSource::Draw(deck(config)), true)?, "challenge");
    let reached = [faces, turn.is_some(), left || right, with, pad, pose_only, turn_visit, challenge];
    Ok((Reached(reached), door))
}

/// The first turn by pose, seen in two rounds of the sequence as a visit would.
fn turned(looks: &[Look], round: Duration) -> Option<Action> {
    let mut gestures = Gestures::new(Limits::default(), false);
    (0..2_u32)
        .flat_map(|n| looks.iter().map(move |l| (round * n, &l.seen)))
        .filter_map(|(offset, o)| o.face.as_ref().map(|f| (o.captured + offset, f)))
        .flat_map(|(at, f)| gestures.see(at, f))
        .map(|s| s.action)
        .find(|a| matches!(a, Action::TurnLeft | Action::TurnRight))
}

/// Whether the relief rule holds for a turn to one side, followed from the frames at rest.
fn relief(looks: &[Look], side: f32, fps: f32) -> bool {
    let mut screening = Screening::default();
    let mut proof = TurnProof::default();
    for l in looks {
        let ask = if l.seen.captured < Tick::ZERO + REFERENCE { ReliefAsk::Ready } else { ReliefAsk::Follow };
        let o = screening.show(l, l.seen.captured, Wants { relief: ask, ..Wants::default() });
        proof.take(&ReliefRule::default(), side, fps, o.face.as_ref().and_then(|f| f.relief.as_ref()));
    }
    proof.shown()
}

/// PAD over all frames that it would look at.
fn alive(looks: &[Look], policy: Policy) -> bool {
    let mut evidence = PadEvidence::new(policy.pad, policy.pad_frames);
    for face in looks.iter().filter_map(|l| l.seen.face.as_ref()) {
        if face.quality == Quality::Ok && face.frontal && !face.pad.is_empty() {
            evidence.take(PadPhase::Before, &face.pad);
        }
    }
    evidence.verdict() == PadVerdict::Live
}

/// Passes and upper bounds of everything that was counted over some sequences.
fn counts<'a>(of: impl Iterator<Item = &'a (usize, Reached, bool)> + Clone) -> Value {
    let n = of.clone().count() as u64;
    let rate = |passes: usize| json!({"passes": passes, "hi95": upper(passes as u64, n)});
    let granted = of.clone().filter(|r| r.2).count();
    let gates: Map<String, Value> = GATES
        .iter()
        .enumerate()
        .map(|(g, (name, _))| ((*name).to_owned(), rate(of.clone().filter(|r| r.1.0[g]).count())))
        .collect();
    json!({"n": n, "passes": granted, "hi95": upper(granted as u64, n), "gates": gates})
}

fn report(config: &Config, args: &Args, stills: usize, all: &[(usize, Reached, bool)]) -> Value {
    let mut by = BTreeMap::<&str, Vec<(usize, Reached, bool)>>::new();
    let mut families = BTreeMap::<&str, Vec<(usize, Reached, bool)>>::new();
    for r in all {
        let species = render::species(r.0);
        by.entry(species).or_default().push(*r);
        families.entry(render::family(species)).or_default().push(*r);
    }
    let of = |m: &BTreeMap<&str, Vec<(usize, Reached, bool)>>| -> Map<String, Value> {
        m.iter().map(|(k, v)| ((*k).to_owned(), counts(v.iter()))).collect()
    };
    let mut reliefs: Vec<usize> = all.iter().filter(|r| r.1.0[2] || r.2).map(|r| r.0).collect();
    reliefs.sort_unstable();
    let what: Map<String, Value> = GATES.iter().map(|(n, what)| ((*n).to_owned(), json!(what))).collect();
    json!({"species": of(&by), "families": of(&families), "total": counts(all.iter()), "gates": what,
           "relief_passed_by": reliefs, "stills": stills, "frames": FRAMES.div_ceil((FPS / args.fps) as usize), "fps": args.fps, "seed": args.seed,
           "pack": config.models().pack, "note": "drawn sheets, no real paper, hands or gloss"})
}
