//! `cardea bench`: what a decision costs on this machine.
//!
//! CPU time is the thread's own, so the figures hold on a busy machine too; wall time stands beside it. Frames are
//! 640x480 JPEG pictures, as a camera delivers them.

mod clients;
mod door;
mod looks;
mod machine;
mod material;
mod measure;
mod rig;

use super::{Code, Exit, Failure, Globals, Outcome, load_config, state};
use crate::config::Config;
use crate::domain::gallery::{Gallery, MatchRule, Metric, Template};
use crate::domain::observation::Embedding;
use crate::ports::Person;
use crate::runtime::engine::Engine;
use crate::schema::event::Goal;
use crate::schema::ids::PersonId;
use crate::vision::family::Role;
use crate::vision::frame::Frame;
use looks::{BLINK, Crowd, DECIDE, Looks, TURN, ratio, totals};
use measure::{Cost, Figure, Meter, Stopwatch, round};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

/// Numbers in a vector of the galleries that only the search is measured on.
const SEARCH_DIM: usize = 256;
/// People in the gallery of a decision.
const PEOPLE: usize = 10_000;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Directory of JPEG pictures, or a clip, with somebody in front of the camera; without it nobody is.
    #[arg(long, value_name = "DIR")]
    frames: Option<PathBuf>,
    /// Keeps every core busy beside the measurement, and then measures decisions at the door under web sessions and under
    /// bad commands over MQTT.
    #[arg(long)]
    load: bool,
    /// With --load: web sessions at a time; 0 leaves them out.
    #[arg(long, value_name = "N", default_value_t = 100, requires = "load", value_parser = clap::value_parser!(u32).range(0..=1000))]
    sessions: u32,
    /// With --load: pictures a second of each session.
    #[arg(long, value_name = "N", default_value_t = 5, requires = "load", value_parser = clap::value_parser!(u32).range(1..=30))]
    fps: u32,
    /// With --load: bad commands a second, over a broker of its own (mosquitto); 0 leaves them out. 1000, if there is a
    /// mosquitto.
    #[arg(long, value_name = "N", requires = "load", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    messages: Option<u32>,
    /// With --load: seconds for the idle door, for the sessions and for the commands.
    #[arg(long, value_name = "N", default_value_t = 12, requires = "load", value_parser = clap::value_parser!(u32).range(3..=3600))]
    seconds: u32,
    /// Measured runs of each kind.
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    runs: u16,
}

pub fn run(globals: &Globals, args: Args) -> Outcome {
    let config = load_config(globals)?;
    let threads = config.models().threads;
    if args.load && threads > 1 {
        let what = "with models.threads above 1 the load would be counted too";
        return Err(Failure::new(Code::Usage, "--load", what, "add --set models.threads=1"));
    }
    let load = args.load.then(machine::Load::start);
    let answer = measure(globals, &config, &args, load)?;
    let text = if globals.json { format!("{answer}\n") } else { table(&answer) };
    let _reader_gone = state::print(&text)?;
    Ok(Exit::Done)
}

fn measure(globals: &Globals, config: &Config, args: &Args, load: Option<machine::Load>) -> Result<Value, Failure> {
    let preparing = Instant::now();
    let all = material::frames(args.frames.as_deref())?;
    let preparation = preparing.elapsed();
    let watch = Stopwatch::new(config.models().threads);
    let mut meter = None;
    let mut engine = Engine::open_with(config, |infer| {
        let made = Meter::new(infer, watch);
        meter = Some(made.clone());
        Box::new(made)
    })
    .map_err(Failure::unavailable)?;
    let meter = meter.ok_or_else(|| {
        Failure::new(Code::Internal, "bench", "the networks were not handed over", "please report this")
    })?;

    first_decision(&mut engine, &all[0])?;
    let start_to_first = machine::since_start().map(|d| round(d.saturating_sub(preparation).as_secs_f64() * 1e3));

    let crowd = crowd(config, &engine)?;
    let specs = engine.pack().nets();
    let has_eyes = specs.iter().any(|s| s.role == Role::Eyes);
    let has_pad = specs.iter().any(|s| s.role == Role::Pad);
    let (metric, precision, pack) = (engine.metric(), engine.precision_name(), engine.pack().name.clone());
    let mut looks = Looks::new(&mut engine.pipeline, meter, watch, specs);
    let mut faces = Vec::new();
    for frame in &all {
        if looks.decides(frame)? {
            faces.push(frame.clone());
        }
    }
    let face = !faces.is_empty();
    let frames = if face { &faces } else { &all };

    let runs = usize::from(args.runs);
    let decisions = looks.measure(frames, face, DECIDE, Some(&crowd), runs)?;
    let turn = looks.measure(frames, face, TURN, None, runs)?;
    let blink = looks.measure(frames, face, BLINK, None, runs)?;
    let idle = looks.idle_share(&material::empty_room()?)?;
    let peak = machine::peak_rss_mb();

    let of = |pick: fn(&looks::Run) -> Cost| Figure::of(&decisions.iter().map(pick).collect::<Vec<_>>());
    let mut stages = BTreeMap::from([
        ("decode_jpeg", of(|r| r.decode)),
        ("detect", looks.of_role(&decisions, Role::Detect)),
        ("landmarks", looks.of_role(&decisions, Role::Landmarks)),
        ("embedding", looks.of_role(&decisions, Role::Embed)),
        ("search_10k", of(|r| r.search)),
        ("around", of(looks::Run::rest)),
    ]);
    if has_eyes {
        stages.insert("eyes", looks.of_role(&blink, Role::Eyes));
    }
    if has_pad {
        stages.insert("pad", looks.of_role(&decisions, Role::Pad));
    }
    let decision = totals(&decisions);
    let networks = of(looks::Run::networks);
    // Last, since the greatest gallery is far above what a door has, and would be the peak.
    let search: BTreeMap<String, Figure> =
        [1_000, PEOPLE, 100_000].map(|n| (n.to_string(), search(metric, n, watch, runs))).into();
    let ort_sum = networks.cpu_ms;
    let mut answer = json!({
        "cpu": machine::cpu(),
        "pack": pack,
        "precision": precision,
        "threads": config.models().threads,
        "load": args.load,
        "frames": {
            "source": args.frames.as_ref().map_or_else(|| "synthetic".into(), |d| d.display().to_string()),
            "used": frames.len(), "of": all.len(), "width": 640, "height": 480,
        },
        "face": face,
        "stages": stages,
        "decision": {
            "cpu_ms": decision.cpu_ms, "wall_ms": decision.wall_ms, "runs": decision.runs,
            "ort_sum_ms": ort_sum.median, "ratio": round(ratio(&decision.cpu_ms, &ort_sum)),
        },
        "challenge_frame": { "turn": totals(&turn), "blink": totals(&blink) },
        "search": search,
        "peak_rss_mb": peak,
        "start_to_first_decision_ms": start_to_first,
        "idle_share": round(idle),
    });
    // A door is measured against an idle machine.
    if let Some(load) = load {
        drop(load);
        let Args { sessions, fps, messages, seconds, .. } = *args;
        let ask = door::Ask { sessions, fps, messages, seconds };
        answer["door"] = door::measure(globals, ask, &mut looks, frames, face, &crowd)?;
    }
    Ok(answer)
}

/// What a daemon has done when the first person has been decided on, but for the people that it loads.
fn first_decision(engine: &mut Engine, frame: &Frame) -> Result<(), Failure> {
    let seen = engine.pipeline.observe(frame, DECIDE).map_err(super::still::vision_failure)?;
    let (nobody, _) = engine.gallery(&[]);
    if let Some(e) = seen.face.and_then(|f| f.embedding) {
        black_box(nobody.search(&e));
    }
    Ok(())
}

/// Ten thousand people in the form in which a daemon holds them.
fn crowd(config: &Config, engine: &Engine) -> Result<Crowd, Failure> {
    let dim = engine
        .pack()
        .models
        .iter()
        .find(|m| m.net.role == Role::Embed)
        .and_then(|m| m.net.family.outputs(m.net.input.side()).first().map(|(_, shape)| shape.iter().product()))
        .unwrap_or(SEARCH_DIM);
    let person = |(id, embedding): (PersonId, Embedding)| {
        let templates = vec![Template { model: engine.embedding_digest().to_owned(), embedding }];
        Person { id, templates, enrolled_unix_ms: 0 }
    };
    let people: Vec<Person> = material::crowd(PEOPLE, dim).map(person).collect();
    let (gallery, templates) = engine.gallery(&people);
    let tau = engine.threshold(config, Goal::Identify, gallery.len(), templates).map_err(Failure::unavailable)?;
    let rule = MatchRule { threshold: tau.value, margin: config.recognition().min_margin };
    Ok(Crowd { gallery, rule, stranger: material::probe(dim) })
}

/// One probe against everybody, exactly.
fn search(metric: Metric, n: usize, watch: Stopwatch, runs: usize) -> Figure {
    let people: BTreeMap<PersonId, Vec<Embedding>> =
        material::crowd(n, SEARCH_DIM).map(|(id, e)| (id, vec![e])).collect();
    let (gallery, _) = Gallery::new(metric, SEARCH_DIM, &people);
    drop(people);
    let probe = material::probe(SEARCH_DIM);
    let mut costs: Vec<Cost> =
        (0..=runs).map(|_| watch.time(|| drop(black_box(gallery.search(black_box(&probe))))).1).collect();
    // The first one brings the rows into the caches.
    costs.remove(0);
    Figure::of(&costs)
}

/// The same for people.
fn table(answer: &Value) -> String {
    let word = |key: &str| answer[key].as_str().unwrap_or("?").to_owned();
    let mut text = format!("{}, pack {}, {}\n", word("cpu"), word("pack"), word("precision"));
    if answer["face"] == false {
        text.push_str(
            "no frame shows a face: networks ran on fixed inputs, crops are not counted; give --frames DIR\n",
        );
    }
    text.push_str(&format!(
        "{:<22} {:>10} {:>10} {:>10} {:>10} {:>6}\n",
        "", "cpu ms", "p95", "wall ms", "p95", "runs"
    ));
    let mut row = |name: &str, f: &Value| {
        let number = |kind: &str, part: &str| f[kind][part].as_f64().unwrap_or(f64::NAN);
        text.push_str(&format!(
            "{name:<22} {:>10.3} {:>10.3} {:>10.3} {:>10.3} {:>6}\n",
            number("cpu_ms", "median"),
            number("cpu_ms", "p95"),
            number("wall_ms", "median"),
            number("wall_ms", "p95"),
            f["runs"]
        ));
    };
    for (group, prefix) in [("stages", ""), ("challenge_frame", "challenge frame, "), ("search", "search ")] {
        for (name, figure) in answer[group].as_object().into_iter().flatten() {
            row(&format!("{prefix}{name}"), figure);
        }
    }
    row("decision", &answer["decision"]);
    let d = &answer["decision"];
    text.push_str(&format!("networks alone {} ms, ratio {}\n", d["ort_sum_ms"], d["ratio"]));
    text.push_str(&format!(
        "peak memory {} MB with 10000 people; first decision after {} ms; nobody in front: {} of looking at every frame\n",
        answer["peak_rss_mb"], answer["start_to_first_decision_ms"], answer["idle_share"]
    ));
    if !answer["door"].is_null() {
        text.push_str(&door::table(&answer["door"]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_figure_and_says_when_nobody_was_seen() {
        let f = json!({ "cpu_ms": { "median": 1.5, "p95": 2.0 }, "wall_ms": { "median": 1.6, "p95": 3.0 }, "runs": 9 });
        let answer = json!({
            "cpu": "c", "pack": "p", "precision": "fp32", "face": false, "stages": { "detect": f }, "search": { "1000": f },
            "challenge_frame": { "turn": f }, "decision": f, "peak_rss_mb": 100, "start_to_first_decision_ms": 300.0,
        });
        let text = table(&answer);
        for name in ["detect ", "search 1000 ", "challenge frame, turn ", "decision "] {
            let row = text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
            assert!(row.contains("1.500") && row.trim_end().ends_with('9'), "{row}");
        }
        assert!(text.contains("no frame shows a face"));
    }

    #[test]
    fn searching_is_counted_without_its_first_run() {
        assert_eq!(search(Metric::Cosine, 10, Stopwatch::new(1), 3).runs, 3);
    }
}
