//! `cardea eval gallery`: who is missed and who is let in among many, at the threshold that a door would use.

use super::labels::Table;
use super::stats::Rate;
use crate::cli::{Code, Failure, clip, still};
use crate::config::Config;
use crate::domain::gallery::{Gallery, Identity, MatchRule};
use crate::domain::observation::{Embedding, Quality};
use crate::runtime::engine::Engine;
use crate::schema::event::Goal;
use crate::schema::ids::PersonId;
use crate::vision::pipeline::Subject;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(clap::Args, Debug)]
pub struct Args {
    /// CSV with file, person, role.
    #[arg(long, value_name = "CSV")]
    labels: PathBuf,
    /// Directory that the files are below.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// CSV with file, person, label of clips, relative to itself.
    #[arg(long, value_name = "CSV")]
    clips: Option<PathBuf>,
    /// The first N pictures by name of each person enrol, the rest are tries.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    templates: Option<u32>,
}

/// One try with the frames that may be used: a picture has one, a clip five.
struct Try {
    name: String,
    person: PersonId,
    frames: Vec<Embedding>,
}

pub fn run(config: &Config, mut engine: Engine, args: &Args) -> Result<Value, Failure> {
    engine.pipeline = engine.pipeline.with_subject(Subject::Central);
    let table = Table::read(&args.labels, &["file", "person", "role"])?;
    let mut enrol = BTreeMap::<PersonId, Vec<Embedding>>::new();
    let (mut tries, mut strangers) = (Vec::new(), Vec::new());
    let mut rejected = Vec::new();
    let mut rows = Vec::new();
    for row in table.rows() {
        rows.push((row.file("file")?, person(row.get("person"))?, row.get("role").to_owned()));
    }
    rows.sort();
    let bar = super::progress(rows.len(), "gallery");
    for (file, person, role) in rows {
        bar.inc(1);
        let Some(embedding) = picture(&mut engine, &args.root.join(&file))? else {
            rejected.push(file.display().to_string());
            continue;
        };
        let have = enrol.get(&person).map_or(0, Vec::len);
        let enrols = match role.as_str() {
            "enrol" => true,
            "gallery" => args.templates.is_none_or(|n| have < n as usize),
            _ => false,
        };
        let attempt = |person| Try { name: file.display().to_string(), person, frames: vec![embedding.clone()] };
        match role.as_str() {
            _ if enrols => enrol.entry(person).or_default().push(embedding),
            "stranger" => strangers.push(attempt(person)),
            "gallery" | "probe" | "probe_dark" => tries.push(attempt(person)),
            other => {
                return Err(Failure::new(
                    Code::BadInput,
                    file.display().to_string(),
                    format!("the role `{other}` is unknown"),
                    "use gallery, stranger, enrol, probe or probe_dark",
                ));
            }
        }
    }
    bar.finish_and_clear();
    engine.pipeline = engine.pipeline.with_subject(Subject::Biggest);
    if let Some(csv) = &args.clips {
        for t in clip_tries(&mut engine, csv, config, &mut rejected)? {
            if enrol.contains_key(&t.person) { tries.push(t) } else { strangers.push(t) }
        }
    }
    let dim = enrol.values().flatten().next().map_or(1, |e| e.len());
    let (gallery, _) = Gallery::new(engine.metric(), dim, &enrol);
    let fewest = u32::try_from(enrol.values().map(Vec::len).min().unwrap_or(0)).unwrap_or(u32::MAX);
    let tau = engine.threshold(config, Goal::Identify, gallery.len(), fewest).map_err(Failure::unavailable)?;
    let rule = MatchRule { threshold: tau.value, margin: config.recognition().min_margin };
    // Whoever's only picture was refused is not enrolled: those tries are neither missed nor accepted.
    tries.retain(|t| enrol.contains_key(&t.person));
    let judge = |t: &Try| agreed(&gallery, &rule, &t.frames, config.recognition().agree);
    let (mut missed, mut wrong, mut accepted) = (Vec::new(), Vec::new(), Vec::new());
    for t in &tries {
        match judge(t) {
            Identity::Known(id) if id == t.person => {}
            Identity::Known(_) => wrong.push(t.name.clone()),
            _ => missed.push(t.name.clone()),
        }
    }
    for t in &strangers {
        if let Identity::Known(_) = judge(t) {
            accepted.push(t.name.clone());
        }
    }
    let fpir = Rate::new(accepted.len() as u64, strangers.len() as u64);
    let fnir = Rate::new((missed.len() + wrong.len()) as u64, tries.len() as u64);
    let report = json!({
        "enrolled": gallery.len(), "templates": gallery.templates(), "genuine_tries": tries.len(),
        "missed": missed.len(), "wrong_person": wrong.len(), "strangers": strangers.len(),
        "strangers_accepted": accepted.len(), "fpir": fpir.rate, "fpir_hi": fpir.hi, "fnir": fnir.rate,
        "fnir_lo": fnir.lo, "fnir_hi": fnir.hi, "threshold": tau.value,
        "threshold_source": if tau.extrapolated { "extrapolated" } else { "measured" },
        "rejected_quality": rejected.len(), "rejected": rejected, "missed_files": missed, "wrong_files": wrong,
        "accepted_files": accepted, "fnir_at_fpir": trade(&gallery, &tries, &strangers),
        "precision": engine.precision_name(),
    });
    Ok(report)
}

fn person(name: &str) -> Result<PersonId, Failure> {
    PersonId::new(name).map_err(|e| Failure::new(Code::BadInput, name, e.rule, "mend the label file"))
}

/// The embedding of a picture that is good enough. Who is meant stands in the middle, so others do not matter here.
fn picture(engine: &mut Engine, path: &Path) -> Result<Option<Embedding>, Failure> {
    let bytes = still::read(path)?;
    let seen = still::observe(&mut engine.pipeline, &bytes)?;
    Ok(seen.ok().and_then(|(_, f)| {
        let fit = matches!(f.quality, Quality::Ok | Quality::Several | Quality::OffPose);
        f.embedding.filter(|_| fit)
    }))
}

/// The first frames of each live clip that a visit would match on.
fn clip_tries(
    engine: &mut Engine,
    csv: &Path,
    config: &Config,
    rejected: &mut Vec<String>,
) -> Result<Vec<Try>, Failure> {
    let table = Table::read(csv, &["file", "person"])?;
    let root = csv.parent().unwrap_or(Path::new(".")).to_owned();
    let mut tries = Vec::new();
    for row in table.rows() {
        if !matches!(row.get("label"), "live" | "") {
            continue;
        }
        let file = row.file("file")?;
        let all = clip::observe_all(&mut engine.pipeline, &root.join(&file), None)?;
        let frames: Vec<Embedding> = all
            .iter()
            .filter_map(|o| clip::usable(o.seen.face.as_ref()?).cloned())
            .take(config.recognition().agree_of)
            .collect();
        if frames.len() < config.recognition().agree_of {
            rejected.push(file.display().to_string());
        } else {
            tries.push(Try { name: file.display().to_string(), person: person(row.get("person"))?, frames });
        }
    }
    Ok(tries)
}

/// The person that enough frames agree on; one frame decides alone.
fn agreed(gallery: &Gallery, rule: &MatchRule, frames: &[Embedding], agree: usize) -> Identity {
    let votes: Vec<Identity> = frames.iter().map(|f| rule.judge(&gallery.search(f))).collect();
    let needed = agree.min(frames.len());
    votes
        .iter()
        .find(|v| matches!(v, Identity::Known(_)) && votes.iter().filter(|w| w == v).count() >= needed)
        .cloned()
        .unwrap_or(Identity::NoMatch)
}

/// Misses at given false-accept rates over these strangers' pictures, as other systems report it; thresholds are read
/// off the same data.
fn trade(gallery: &Gallery, tries: &[Try], strangers: &[Try]) -> Value {
    let best =
        |t: &Try| t.frames.iter().filter_map(|f| gallery.search(f).best).map(|(_, s)| s.get()).fold(-2.0, f32::max);
    let mut impostor: Vec<f32> = strangers.iter().map(best).collect();
    impostor.sort_by(|a, b| b.total_cmp(a));
    let at = |accepted: usize| {
        let threshold = impostor.get(accepted).map_or(-1.0, |s| s.next_up());
        let missed = tries.iter().filter(|t| {
            let found = t.frames.first().and_then(|f| gallery.search(f).best);
            !found.is_some_and(|(id, s)| id == t.person && s.get() >= threshold)
        });
        let rate = Rate::new(missed.count() as u64, tries.len() as u64);
        json!({"strangers_accepted": accepted, "fnir": rate.rate, "lo": rate.lo, "hi": rate.hi, "threshold": threshold})
    };
    let n = impostor.len();
    json!({"0.02": at(n / 50), "0.005": at(n / 200), "0": at(0)})
}
