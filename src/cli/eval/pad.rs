//! `cardea eval pad`: by source and species, how many attacks are taken for live and how many live ones for attacks.

use super::labels::Table;
use super::stats::Rate;
use crate::cli::{Exit, Failure, Globals, Outcome, clip, still};
use crate::config::Config;
use crate::domain::liveness::{PadEvidence, PadPhase, PadRule, PadVerdict};
use crate::domain::observation::{FaceSeen, Quality};
use crate::runtime::engine::Engine;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(clap::Args, Debug)]
pub struct Args {
    /// CSV with file, label, person; label is live or the species of an attack.
    #[arg(long, value_name = "CSV")]
    labels: PathBuf,
    /// Directory that the files are below.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
}

/// Counts of one source and species.
#[derive(Default)]
struct Group {
    n: u64,
    errors: u64,
    rejected_quality: u64,
    failed: Vec<String>,
}

/// What a picture or a clip was taken for.
enum Taken {
    Live,
    Attack,
    NotDecided,
}

pub fn run(globals: &Globals, _config: &Config, mut engine: Engine, args: &Args) -> Outcome {
    let table = Table::read(&args.labels, &["file", "label"])?;
    let rules = engine.pad_rules(0.0).map_err(Failure::unavailable)?;
    let mut groups = BTreeMap::<(String, String, &'static str), Group>::new();
    let bar = super::progress(table.rows().count(), "pad");
    for row in table.rows() {
        let (file, label) = (row.file("file")?, row.get("label").to_owned());
        let source = source_of(row.get("source"), &file);
        let path = args.root.join(&file);
        let is_clip = is_clip(&path);
        let taken = if is_clip { clip_of(&mut engine, &path, &rules)? } else { still_of(&mut engine, &path, &rules)? };
        let group = groups.entry((source, label.clone(), if is_clip { "clip" } else { "still" })).or_default();
        let wrong = match taken {
            Taken::NotDecided => {
                group.rejected_quality += 1;
                continue;
            }
            Taken::Live => label != "live",
            Taken::Attack => label == "live",
        };
        group.n += 1;
        if wrong {
            group.errors += 1;
            group.failed.push(file.display().to_string());
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut worst: Option<(f64, String)> = None;
    let rows: Vec<Value> = groups
        .iter()
        .map(|((source, species, kind), g)| {
            let r = Rate::new(g.errors, g.n);
            if species != "live" && g.n > 0 && worst.as_ref().is_none_or(|w| r.rate > w.0) {
                worst = Some((r.rate, format!("{species} ({source}, {kind})")));
            }
            json!({"source": source, "species": species, "kind": kind, "n": r.n, "errors": r.errors, "rate": r.rate,
                   "lo": r.lo, "hi": r.hi, "rejected_quality": g.rejected_quality, "failed": g.failed})
        })
        .collect();
    let report = json!({"groups": rows, "worst_species_apcer": worst.as_ref().map(|w| w.0),
                        "worst_species": worst.map(|w| w.1), "passive_pad": !rules.is_empty(),
                        "precision": engine.precision_name()});
    super::faces::print(globals, &report);
    Ok(Exit::Done)
}

/// The column, or the first two folders of the path.
fn source_of(column: &str, file: &Path) -> String {
    if !column.is_empty() {
        return column.to_owned();
    }
    let folders: Vec<String> = file
        .parent()
        .into_iter()
        .flat_map(Path::components)
        .take(2)
        .map(|c| c.as_os_str().to_string_lossy().into_owned())
        .collect();
    if folders.is_empty() { "-".into() } else { folders.join("/") }
}

fn is_clip(path: &Path) -> bool {
    const CLIPS: [&str; 8] = ["mp4", "mov", "mkv", "webm", "avi", "gif", "mjpeg", "mjpg"];
    path.is_dir() || path.extension().is_some_and(|e| CLIPS.iter().any(|c| e.eq_ignore_ascii_case(c)))
}

/// One picture, judged as a visit of one frame.
fn still_of(engine: &mut Engine, path: &Path, rules: &[PadRule]) -> Result<Taken, Failure> {
    let bytes = still::read(path)?;
    let mut evidence = PadEvidence::new(rules.to_vec(), 1);
    if let Ok((_, face)) = still::observe(&mut engine.pipeline, &bytes)? {
        take(&mut evidence, &face);
    }
    Ok(verdict(&evidence))
}

/// A whole clip, judged as a visit of all its frames.
fn clip_of(engine: &mut Engine, path: &Path, rules: &[PadRule]) -> Result<Taken, Failure> {
    let mut evidence = PadEvidence::new(rules.to_vec(), 5);
    for o in clip::observe_all(&mut engine.pipeline, path, None)? {
        if let Some(face) = &o.seen.face {
            take(&mut evidence, face);
        }
    }
    Ok(verdict(&evidence))
}

fn take(evidence: &mut PadEvidence, face: &FaceSeen) {
    if face.quality == Quality::Ok && face.frontal {
        evidence.take(PadPhase::Before, &face.pad);
    }
}

fn verdict(evidence: &PadEvidence) -> Taken {
    match evidence.verdict() {
        PadVerdict::Live => Taken::Live,
        PadVerdict::Spoof => Taken::Attack,
        PadVerdict::Wait | PadVerdict::Absent => Taken::NotDecided,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_the_column_or_two_folders() {
        assert_eq!(source_of("x", Path::new("a/b/c.jpg")), "x");
        assert_eq!(source_of("", Path::new("a/b/c/d.jpg")), "a/b");
        assert_eq!(source_of("", Path::new("a/d.jpg")), "a");
        assert_eq!(source_of("", Path::new("d.jpg")), "-");
    }

    #[test]
    fn clips_are_told_by_their_type() {
        assert!(is_clip(Path::new("a.MOV")) && is_clip(Path::new("a.gif")) && !is_clip(Path::new("a.jpg")));
    }
}
