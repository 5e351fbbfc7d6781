//! `cardea replay`: a recorded clip through the pipeline and the visit of `run`, on the clip's own clock.
//!
//! It drives no door and writes no journal; its records are chained among themselves. With the same arguments it
//! prints the same bytes: boot, ids and times come from the seed and from the clip.

use super::clip::{self, Splice};
use super::{Code, Exit, Failure, Globals, Outcome};
use crate::adapters::camera::file::ClipOptions;
use crate::adapters::system::uuid_v7;
use crate::base::time::{Tick, WallTime};
use crate::config::Config;
use crate::domain::gesture::Gestures;
use crate::domain::observation::{Observation, Wants};
use crate::domain::visit::{ChallengeSource, Decision, Effect, Input, Policy, Visit};
use crate::ports::Person;
use crate::runtime::engine::{self, Engine};
use crate::schema::event::{Action, Event, Goal, Reason, Verdict};
use crate::schema::ids::{PersonId, VisitId};
use crate::schema::record::{Draft, GENESIS, chain_hash};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// A directory of JPEGs, an MJPEG file or a video; several are played one after another as one stream.
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    clip: Vec<PathBuf>,
    /// State directory whose people are known.
    #[arg(long, value_name = "STATE")]
    people: Option<PathBuf>,
    /// Enrols a person from pictures, or from the beginning of a clip, for this run only.
    #[arg(long, value_name = "NAME=FILE", num_args = 1..)]
    enroll: Vec<String>,
    #[arg(long, default_value = "identify", value_parser = ["identify", "verify", "liveness"])]
    goal: String,
    /// Who it should be, for `verify`.
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
    /// A fixed order (`turn_left,blink:2`), or `none`; without it the challenge is drawn from the seed.
    #[arg(long, value_name = "A,B")]
    challenge: Option<String>,
    /// Prompt i appears so long after the gate before it.
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    onset_ms: Vec<u64>,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The clip is a mirror image.
    #[arg(long)]
    mirrored: bool,
    /// auto, fp32 or int8.
    #[arg(long)]
    precision: Option<String>,
    /// Pack instead of the configured one.
    #[arg(long)]
    pack: Option<String>,
    /// Frame rate of clips that carry no times.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=240))]
    fps: u32,
}

/// 2026-01-01T00:00:00Z: calendar time of a clip's first frame.
const CLIP_EPOCH_MS: i64 = 1_767_225_600_000;

pub fn run(globals: &Globals, args: Args) -> Outcome {
    let (config, mut engine) = super::eval::open(globals, args.pack.as_deref(), args.precision.as_deref())?;
    let policy = Arc::new(policy(&config, &mut engine, &args)?);
    let stream = Splice::open(&args.clip, ClipOptions { fps: args.fps, ..ClipOptions::default() })?;
    Replay::new(globals, &config, policy, &args).play(&mut engine, stream)?;
    Ok(Exit::Done)
}

/// What the visit is held to: people, goal and challenge of the command line over the configuration.
fn policy(config: &Config, engine: &mut Engine, args: &Args) -> Result<Policy, Failure> {
    let goal = match args.goal.as_str() {
        "verify" => Goal::Verify,
        "liveness" => Goal::Liveness,
        _ => Goal::Identify,
    };
    let people = people(engine, args)?;
    let (mut gallery, templates) = engine.gallery(&people);
    if goal == Goal::Verify {
        let usage = |what: String| Failure::new(Code::Usage, "--person", what, "name an enrolled person");
        let name = args.person.as_deref().ok_or_else(|| usage("is missing for --goal verify".into()))?;
        let id = PersonId::new(name).map_err(|e| usage(e.to_string()))?;
        gallery = gallery.only(&id);
        if gallery.is_empty() {
            return Err(usage(format!("`{name}` is not enrolled")));
        }
    }
    let onsets: Vec<Duration> = args.onset_ms.iter().map(|ms| Duration::from_millis(*ms)).collect();
    let challenge = match args.challenge.as_deref() {
        None if onsets.is_empty() => ChallengeSource::Draw(engine::deck(config)),
        None => return Err(Failure::new(Code::Usage, "--onset-ms", "needs --challenge", "name the actions")),
        Some("none") => ChallengeSource::None,
        Some(text) => ChallengeSource::Fixed { deck: engine::deck(config), order: order(text)?, onsets },
    };
    let mut policy =
        engine.policy(config, goal, Arc::new(gallery), templates, challenge).map_err(Failure::unavailable)?;
    policy.mirrored |= args.mirrored;
    if let Some(dir) = &args.people {
        policy.cannot = Arc::new(super::people_limits(dir)?);
    }
    Ok(policy)
}

/// `turn_left,blink:2`.
pub(super) fn order(text: &str) -> Result<Vec<(Action, u8)>, Failure> {
    text.split(',')
        .map(|w| {
            Action::with_times(w.trim()).ok_or_else(|| {
                let names: Vec<&str> = Action::ALL.iter().map(|a| a.name()).collect();
                let hint = format!("use some of {}, blink:2 for twice", names.join(" "));
                Failure::new(Code::Usage, "--challenge", format!("`{w}` is no action"), hint)
            })
        })
        .collect()
}

fn people(engine: &mut Engine, args: &Args) -> Result<Vec<Person>, Failure> {
    let mut people = match &args.people {
        Some(dir) => super::known_people(dir, engine.embedding_digest())?,
        None => Vec::new(),
    };
    for given in &args.enroll {
        let bad = |what: String| Failure::new(Code::Usage, "--enroll", what, "give NAME=FILE");
        let (name, file) = given.split_once('=').ok_or_else(|| bad(format!("`{given}` has no `=`")))?;
        let id = PersonId::new(name).map_err(|e| bad(e.to_string()))?;
        let templates = match clip::embeddings_of(&mut engine.pipeline, Path::new(file))? {
            Ok(found) => found.into_iter().map(|e| engine.template(e)).collect::<Vec<_>>(),
            Err(r) => return Err(Failure::new(Code::BadInput, file, r.reason(), r.advice())),
        };
        match people.iter_mut().find(|p| p.id == id) {
            Some(p) => p.templates.extend(templates),
            None => people.push(Person { id, templates, enrolled_unix_ms: CLIP_EPOCH_MS }),
        }
    }
    Ok(people)
}

/// State of one run.
struct Replay<'a> {
    globals: &'a Globals,
    policy: Arc<Policy>,
    device: crate::schema::ids::DeviceId,
    seed: u64,
    boot: Uuid,
    seq: u64,
    prev: String,
    visits: u64,
    frames: u64,
    last: Option<Decision>,
    gestures: Gestures,
    pad_names: Vec<String>,
}

impl<'a> Replay<'a> {
    fn new(globals: &'a Globals, config: &Config, policy: Arc<Policy>, args: &Args) -> Self {
        let seed = clip::seed(args.seed, "boot");
        Replay {
            globals,
            device: config.device().name.clone(),
            gestures: Gestures::new(policy.limits.clone(), policy.mirrored),
            policy,
            seed: args.seed,
            boot: uuid::Builder::from_random_bytes(seed[..16].try_into().unwrap_or_default()).into_uuid(),
            seq: 0,
            prev: GENESIS.into(),
            visits: 0,
            frames: 0,
            last: None,
            pad_names: Vec::new(),
        }
    }

    fn next_visit(&mut self) -> Visit {
        self.visits += 1;
        let number = self.seed.wrapping_mul(1_000_003).wrapping_add(self.visits);
        // The first visit draws from the seed itself, so that `--seed` and `eval` mean the same challenge.
        let seed = if self.visits == 1 { clip::seed(self.seed, "visit") } else { clip::seed(number, "visit again") };
        Visit::new(self.policy.clone(), VisitId(self.visits), seed)
    }

    fn play(&mut self, engine: &mut Engine, mut stream: Splice) -> Result<(), Failure> {
        engine.pipeline.reset();
        self.pad_names = engine.pipeline.pad_names();
        let mut visit = self.next_visit();
        let mut newest = Tick::ZERO;
        while let Some(frame) = stream.read()? {
            newest = frame.captured;
            // Eyes are always computed: they are shown, and they do not change what the pipeline follows.
            let wants = Wants { eyes: true, tongue: true, ..visit.wants(frame.captured) };
            let Some(o) = clip::observe(&mut engine.pipeline, &frame, wants)? else { continue };
            self.frames += 1;
            let effects = visit.handle(o.captured, Input::Seen(&o));
            self.observation(&o, &visit);
            self.carry_out(o.captured, effects);
            // A refusal or a grant is the clip's verdict; who may try again goes on in the same clip.
            match visit.decision().map(|d| d.verdict) {
                Some(Verdict::TryAgain) => visit = self.next_visit(),
                Some(_) => break,
                None => {}
            }
        }
        let effects = visit.handle(newest, Input::Stop);
        self.carry_out(newest, effects);
        self.summary();
        Ok(())
    }

    fn carry_out(&mut self, now: Tick, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Record(event) => self.record(now, event),
                Effect::Decided(d) => self.last = Some(d),
                Effect::Show(_) => {}
            }
        }
    }

    fn record(&mut self, now: Tick, event: Event) {
        self.seq += 1;
        let unix_ms = CLIP_EPOCH_MS + i64::try_from(now.as_millis()).unwrap_or(0);
        let noise = clip::seed(self.seed.wrapping_add(self.seq << 32), "record");
        let draft = Draft {
            device: self.device.clone(),
            boot: self.boot,
            id: uuid_v7(unix_ms, noise[..10].try_into().unwrap_or_default()),
            wall: WallTime { unix_ms, synced: true },
            uptime_ms: now.as_millis(),
            event,
        };
        let text = draft.seal(self.seq, self.prev.clone()).text();
        self.prev = chain_hash(&text);
        self.say(&text);
    }

    fn observation(&mut self, o: &Observation, visit: &Visit) {
        let seen = o.face.as_ref().map(|f| self.gestures.see(o.captured, f)).unwrap_or_default();
        let action = seen.last().map(|s| s.action.name());
        let gates: Map<String, Value> =
            visit.gates().into_iter().map(|(g, s)| (g.name().to_owned(), json!(s.name()))).collect();
        let f = o.face.as_ref();
        let s = f.and_then(|f| f.signals.as_ref());
        let round = |v: f32| (f64::from(v) * 1e4).round() / 1e4;
        let pad: Map<String, Value> = f
            .map(|f| self.pad_names.iter().zip(&f.pad).map(|(n, p)| (n.clone(), json!(round(p.get())))).collect())
            .unwrap_or_default();
        let line = json!({
            "type": "observation", "frame": o.frame, "t_ms": o.captured.as_millis(), "faces": o.faces,
            "box": f.map(|f| [f.rect.x, f.rect.y, f.rect.w, f.rect.h].map(|v| f64::from(v.round()))),
            "quality": f.map(|f| f.quality.name()),
            "yaw_deg": f.map(|f| round(f.pose.yaw)), "pitch_deg": f.map(|f| round(f.pose.pitch)),
            "roll_deg": f.map(|f| round(f.pose.roll)), "openness": s.and_then(|s| s.openness).map(|e| e.map(round)),
            "mouth": s.map(|s| round(s.mouth_gap)), "smile": s.map(|s| round(s.corner_lift)),
            "brow": s.map(|s| round(s.brow)), "tongue": s.and_then(|s| s.tongue).map(round),
            "unchanged": o.unchanged.map(round),
            "relief": f.and_then(|f| f.relief).map(|r| [r.yaw_deg, r.parallax, r.bow].map(round)),
            "pad": pad, "action": action, "gates": gates,
        });
        if self.globals.json {
            println!("{line}");
        }
    }

    fn say(&self, text: &str) {
        println!("{text}");
    }

    fn summary(&self) {
        let (verdict, reason) = match &self.last {
            Some(d) => (d.verdict, d.reason),
            None => (Verdict::TryAgain, Some(Reason::NoFace)),
        };
        let granted = self.last.as_ref().filter(|d| d.verdict == Verdict::Granted);
        let line = json!({
            "type": "summary", "verdict": verdict, "reason": reason,
            "person": granted.and_then(|d| d.person.as_ref()), "frames": self.frames,
            "decided_at_ms": self.last.as_ref().map(|d| d.at.as_millis()), "relay_pulses": 0,
        });
        self.say(&line.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_names_actions_and_how_often() {
        assert_eq!(order("turn_left, blink:2").expect("an order"), [(Action::TurnLeft, 1), (Action::Blink, 2)]);
        for bad in ["", "jump", "nod:2", "blink:0", "blink:x", "turn_left,,nod"] {
            assert!(order(bad).is_err(), "{bad:?}");
        }
    }
}
