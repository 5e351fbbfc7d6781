//! `cardea eval clips`: actions without prompts, then whole visits: each clip with the challenge that it can answer
//! best, and each attack with 100 random ones.

use super::actions::{Event, Tally, Truth, frame_time};
use super::labels::Table;
use super::turns;

use crate::cli::clip::{Look, Screening};
use crate::cli::{Code, Failure, clip};
use crate::config::Config;
use crate::domain::challenge::{Onset, Plan, Step};
use crate::domain::gallery::Gallery;
use crate::domain::observation::Observation;
use crate::domain::visit::{ChallengeSource, Decision, Gate, Input, Policy, Visit};
use crate::runtime::engine::{Engine, deck};
use crate::schema::event::{Action, Goal, Reason, Verdict};
use crate::schema::ids::VisitId;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// CSV with file and label (live, or the species of an attack).
    #[arg(long, value_name = "CSV")]
    labels: PathBuf,
    /// JSON with the intervals of what happens in each clip.
    #[arg(long, value_name = "JSON")]
    truth: PathBuf,
    /// Directory that the files are below.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// How long before the true onset a prompt is shown: from..to, or one number.
    #[arg(long, value_name = "MS", default_value = "300..1000")]
    prompt_before_ms: String,
    /// Thins every clip to this frame rate.
    #[arg(long, value_name = "FPS")]
    fps: Option<f32>,
    /// Thins every clip so many times, each time beginning a frame later, and counts actions and turns over all of
    /// them: which frames a slow camera catches is chance. Visits are those of the first.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "fps", value_parser = clap::value_parser!(u32).range(1..=6))]
    phases: u32,
    /// Random challenges for each attack.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    random: u32,
}

/// Before this a visit cannot have seen enough to ask anything: half a second of intent and five frames.
const READY: Duration = Duration::from_millis(650);
/// A prompt must leave this much time to be seen.
const LEAST_BEFORE: Duration = Duration::from_millis(300);
/// A visit that is not over by then never will be.
const LONGEST: Duration = Duration::from_secs(60);

pub fn run(config: &Config, mut engine: Engine, args: &Args) -> Result<Value, Failure> {
    let before = range(&args.prompt_before_ms)?;
    let truth = Truth::read(&args.truth)?;
    let table = Table::read(&args.labels, &["file", "label"])?;
    let mut tally = Tally::default();
    let mut clips = Vec::new();
    let mut reliefs = turns::Turns::default();
    let mut totals = BTreeMap::<String, BTreeMap<String, u64>>::new();
    let bar = super::progress(table.rows().count(), "clips");
    for (i, row) in table.rows().enumerate() {
        let (file, label) = (row.file("file")?, row.get("label").to_owned());
        let name = file.display().to_string();
        let looks = clip::observe_all(&mut engine.pipeline, &args.root.join(&file), args.fps.map(|fps| (fps, 0)))?;
        let all: Vec<Observation> = looks.iter().map(|l| l.seen.clone()).collect();
        tally.add(&name, &truth, &all);
        let events = truth.events(&name);
        let fps = truth.videos.get(&name).and_then(|v| v.get("fps")).and_then(Value::as_f64).unwrap_or(30.0);
        let plan = own_order(config, &all, &events, fps, before, i as u64);
        let asked: Vec<&str> = plan.0.iter().map(|s| s.action.name()).collect();
        let own = visit(&engine, config, &looks, ChallengeSource::Planned(plan.clone()), i as u64)?;
        let pose_only = visit_without(&engine, config, &looks, ChallengeSource::Planned(plan), i as u64)?;
        let of = turns::of(&name, &looks, &events, fps);
        reliefs.add(&label, of);
        for phase in 1..args.phases {
            let thin = args.fps.map(|fps| (fps, phase));
            let looks = clip::observe_all(&mut engine.pipeline, &args.root.join(&file), thin)?;
            let all: Vec<Observation> = looks.iter().map(|l| l.seen.clone()).collect();
            tally.add(&name, &truth, &all);
            reliefs.add(&label, turns::of(&name, &looks, &events, fps));
        }
        let mut passed = 0;
        let tries = if label == "live" { 0 } else { args.random };
        for n in 0..tries {
            let random = visit(&engine, config, &looks, ChallengeSource::Draw(deck(config)), u64::from(n))?;
            passed += u32::from(random.is_some_and(|d| d.verdict == Verdict::Granted));
        }
        let verdict = own.as_ref().map_or(Verdict::TryAgain, |d| d.verdict);
        let reason = own.as_ref().map_or(Some(Reason::NoFace), |d| d.reason);
        let word = reason.map_or_else(|| "granted".to_owned(), |r| word(&r));
        *totals.entry(label.clone()).or_default().entry(word).or_default() += 1;
        *totals.entry(label.clone()).or_default().entry("clips".into()).or_default() += 1;
        if tries > 0 {
            *totals.entry(label.clone()).or_default().entry("random_tries".into()).or_default() += u64::from(tries);
            *totals.entry(label.clone()).or_default().entry("random_passed".into()).or_default() += u64::from(passed);
        }
        clips.push(json!({"file": name, "label": label, "verdict": verdict, "reason": reason, "challenge": asked,
                          "verdict_pose_only": pose_only, "decided_at_ms": own.as_ref().map(|d| d.at.as_millis()), "passed_random": passed, "random_tries": tries, "frames": all.len()}));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let report = json!({"actions": tally.report(), "clips": clips, "totals": totals, "turns": reliefs.report(), "fps": args.fps, "phases": args.phases,
                        "pack": config.models().pack, "precision": engine.precision_name()});
    Ok(report)
}

fn word(reason: &Reason) -> String {
    serde_json::to_value(reason).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// `300..1000` or `500`.
fn range(text: &str) -> Result<(u64, u64), Failure> {
    let bad = || Failure::new(Code::Usage, "--prompt-before-ms", format!("`{text}` is no range"), "give 300..1000");
    let (lo, hi) = text.split_once("..").unwrap_or((text, text));
    let lo: u64 = lo.trim().parse().map_err(|_| bad())?;
    let hi: u64 = hi.trim().trim_start_matches('=').parse().map_err(|_| bad())?;
    if lo > hi || hi > 10_000 { Err(bad()) } else { Ok((lo, hi)) }
}

/// The true actions of the clip that are in the deck, in order, each prompt a seeded time before its onset. Left out is
/// what a prompt would come too early for: before the visit is ready, or before the action before it has ended.
fn own_order(
    config: &Config,
    all: &[Observation],
    events: &[Event],
    fps: f64,
    before: (u64, u64),
    number: u64,
) -> Plan {
    let Some(first) = all.first() else { return Plan::default() };
    let deck = config.challenge().actions.clone();
    let mut free = first.captured + READY;
    let mut steps = Vec::new();
    for (i, e) in events.iter().filter(|e| deck.contains(&e.action)).enumerate() {
        let seed = clip::seed(number * 1000 + i as u64, "prompt");
        let spread = before.1 - before.0 + 1;
        let ms = before.0 + u64::from_le_bytes(seed[..8].try_into().unwrap_or_default()) % spread;
        let (onset, end) = (frame_time(all, e.first, fps), frame_time(all, e.last, fps));
        let prompt = onset - Duration::from_millis(ms);
        let late = onset - LEAST_BEFORE;
        // The first prompt may be moved up to the moment when the visit is ready, never nearer than can be seen.
        let prompt = if steps.is_empty() { prompt.max(free) } else { prompt };
        if prompt < free || prompt > late {
            continue;
        }
        free = end;
        let blink = e.action == Action::Blink;
        let window = onset.since(prompt) + end.since(onset) + Duration::from_millis(if blink { 1500 } else { 2500 });
        steps.push(Step {
            action: e.action,
            times: 1,
            onset: Onset::At(prompt),
            window: window.max(config.challenge().window),
        });
    }
    Plan(steps)
}

/// The verdict that the same visit would have come to without the relief of turns.
fn visit_without(
    engine: &Engine,
    config: &Config,
    all: &[Look],
    challenge: ChallengeSource,
    number: u64,
) -> Result<Verdict, Failure> {
    let policy = policy(engine, config, challenge)?.without(Gate::Relief);
    Ok(play(policy, all, clip::seed(number, "visit")).map_or(Verdict::TryAgain, |d| d.verdict))
}

/// Plays a visit for liveness on a clip, which begins again until there is a verdict.
fn visit(
    engine: &Engine,
    config: &Config,
    all: &[Look],
    challenge: ChallengeSource,
    number: u64,
) -> Result<Option<Decision>, Failure> {
    Ok(play(policy(engine, config, challenge)?, all, clip::seed(number, "visit")))
}

fn policy(engine: &Engine, config: &Config, challenge: ChallengeSource) -> Result<Policy, Failure> {
    let nobody = Gallery::new(engine.metric(), 1, &BTreeMap::new()).0;
    let mut policy: Policy =
        engine.policy(config, Goal::Liveness, Arc::new(nobody), 1, challenge).map_err(Failure::unavailable)?;
    if matches!(policy.challenge, ChallengeSource::Planned(_)) {
        // The clip's own actions may lie further apart than a door would wait.
        policy.challenge_limit = LONGEST;
    }
    Ok(policy)
}

/// The verdict of one visit on a looped clip; `None` when nobody came near.
pub(super) fn play(policy: Policy, all: &[Look], seed: [u8; 32]) -> Option<Decision> {
    let (first, last) = (&all.first()?.seen, &all.last()?.seen);
    let frame = last.captured.since(first.captured) / u32::try_from(all.len().max(2) - 1).unwrap_or(1);
    let turn = last.captured.since(first.captured) + frame;
    let mut visit = Visit::new(Arc::new(policy), VisitId(1), seed);
    let mut screening = Screening::default();
    let frames = last.frame + 1;
    for round in 0_u32.. {
        let offset = turn * round;
        if offset > LONGEST {
            return visit.decision().cloned();
        }
        for o in all {
            let at = o.seen.captured + offset;
            let mut now = screening.show(o, at, visit.wants(at));
            now.frame = o.seen.frame + frames * u64::from(round);
            let _effects = visit.handle(at, Input::Seen(&now));
            if let Some(d) = visit.decision() {
                return Some(d.clone());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Tick;

    #[test]
    fn a_range_is_two_numbers_or_one() {
        assert_eq!(range("300..1000").expect("a range"), (300, 1000));
        assert_eq!(range("500").expect("a number"), (500, 500));
        assert!(range("9..1").is_err() && range("a").is_err());
    }

    #[test]
    fn a_prompt_that_comes_too_early_is_left_out() {
        let config = Config::defaults(std::path::Path::new("/tmp/cardea"));
        let all: Vec<Observation> = (0..300)
            .map(|i| Observation {
                frame: i,
                captured: Tick::from_millis(i * 33),
                epoch: 0,
                digest: i,
                unchanged: None,
                faces: 0,
                second: 0.0,
                face: None,
            })
            .collect();
        let e = |action, first, last| Event { action, first, last };
        let events = [
            e(Action::TurnLeft, 20, 40),
            e(Action::TurnRight, 80, 100),
            e(Action::Nod, 105, 120),
            e(Action::Nod, 200, 230),
        ];
        let plan = own_order(&config, &all, &events, 30.0, (500, 500), 0);
        let asked: Vec<Action> = plan.0.iter().map(|s| s.action).collect();
        assert_eq!(asked, [Action::TurnRight, Action::Nod]);
        assert_eq!(plan.0[1].onset, Onset::At(Tick::from_millis(200 * 33 - 500)));
    }
}
