//! `cardea eval faces`: how often the same person is missed at a given rate of wrong matches.

use super::curves::{det, histogram};
use super::labels::Table;
use super::stats::{eer, fnmr_at};
use crate::cli::{Code, Failure, still};
use crate::config::Config;
use crate::domain::gallery::Metric;
use crate::domain::observation::Embedding;
use crate::runtime::engine::Engine;
use crate::vision::pipeline::Subject;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[derive(clap::Args, Debug)]
pub struct Args {
    /// CSV with file_a, file_b, same.
    #[arg(long, value_name = "CSV", required_unless_present = "all_pairs", conflicts_with = "all_pairs")]
    pairs: Option<PathBuf>,
    /// CSV with file, person, role: all pairs of the pictures with the role gallery.
    #[arg(long, value_name = "LABELS")]
    all_pairs: Option<PathBuf>,
    /// Directory that the files are below.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// Each picture in turn is the try, against the mean of up to N others of each person.
    #[arg(long, value_name = "N", requires = "all_pairs", value_parser = clap::value_parser!(u32).range(1..=100))]
    templates: Option<u32>,
    /// Writes every score.
    #[arg(long, value_name = "OUT")]
    scores: Option<PathBuf>,
}

/// One comparison.
struct Score {
    a: String,
    b: String,
    same: bool,
    score: f32,
}

/// Embeddings by file; `None` where no face was found.
type Embeddings = BTreeMap<PathBuf, Option<Embedding>>;

pub fn run(config: &Config, mut engine: Engine, args: &Args) -> Result<Value, Failure> {
    engine.pipeline = engine.pipeline.with_subject(Subject::Central);
    let metric = engine.metric();
    let mut excluded = 0;
    let (scores, embeddings) = match (&args.pairs, &args.all_pairs) {
        (Some(csv), _) => {
            let table = Table::read(csv, &["file_a", "file_b", "same"])?;
            let mut pairs = Vec::new();
            for row in table.rows() {
                if row.get("known_label_error") == "1" {
                    excluded += 1;
                } else {
                    pairs.push((row.file("file_a")?, row.file("file_b")?, row.get("same") == "1"));
                }
            }
            let files = pairs.iter().flat_map(|(a, b, _)| [a.clone(), b.clone()]).collect();
            let embeddings = embed_all(&mut engine, &args.root, &files)?;
            (pair_scores(metric, &pairs, &embeddings), embeddings)
        }
        (None, Some(csv)) => {
            let table = Table::read(csv, &["file", "person", "role"])?;
            let mut people = BTreeMap::<String, BTreeSet<PathBuf>>::new();
            for row in table.rows().filter(|r| r.get("role") == "gallery") {
                people.entry(row.get("person").to_owned()).or_default().insert(row.file("file")?);
            }
            let files = people.values().flatten().cloned().collect();
            let embeddings = embed_all(&mut engine, &args.root, &files)?;
            let scores = match args.templates {
                Some(n) => template_scores(metric, &people, &embeddings, n as usize),
                None => pair_scores(metric, &all_pairs(&people), &embeddings),
            };
            (scores, embeddings)
        }
        (None, None) => return Err(Failure::new(Code::Usage, "--pairs", "is missing", "give --pairs or --all-pairs")),
    };
    if let Some(out) = &args.scores {
        write_scores(out, &scores)?;
    }
    let failed = embeddings.values().filter(|e| e.is_none()).count();
    let mut report = report(&scores, excluded, failed);
    report.insert("pack".into(), json!(config.models().pack));
    report.insert("precision".into(), json!(engine.precision_name()));
    Ok(Value::Object(report))
}

/// Embeds every file once.
fn embed_all(engine: &mut Engine, root: &Path, files: &BTreeSet<PathBuf>) -> Result<Embeddings, Failure> {
    let bar = super::progress(files.len(), "faces");
    let mut all = Embeddings::new();
    for file in files {
        let bytes = still::read(&root.join(file))?;
        let face = still::observe(&mut engine.pipeline, &bytes)?.ok();
        all.insert(file.clone(), face.and_then(|(_, f)| f.embedding));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(all)
}

/// Every pair of two pictures once.
fn all_pairs(people: &BTreeMap<String, BTreeSet<PathBuf>>) -> Vec<(PathBuf, PathBuf, bool)> {
    let files: Vec<(&String, &PathBuf)> = people.iter().flat_map(|(p, f)| f.iter().map(move |f| (p, f))).collect();
    let mut pairs = Vec::new();
    for (i, (p, a)) in files.iter().enumerate() {
        pairs.extend(files[i + 1..].iter().map(|(q, b)| ((*a).clone(), (*b).clone(), p == q)));
    }
    pairs
}

fn pair_scores(metric: Metric, pairs: &[(PathBuf, PathBuf, bool)], embeddings: &Embeddings) -> Vec<Score> {
    let of = |f: &PathBuf| embeddings.get(f).and_then(Option::as_ref);
    pairs
        .iter()
        .filter_map(|(a, b, same)| {
            let score = metric.similarity(of(a)?, of(b)?)?.get();
            Some(Score { a: a.display().to_string(), b: b.display().to_string(), same: *same, score })
        })
        .collect()
}

/// Each picture against the mean of up to `n` others of each person.
fn template_scores(
    metric: Metric,
    people: &BTreeMap<String, BTreeSet<PathBuf>>,
    embeddings: &Embeddings,
    n: usize,
) -> Vec<Score> {
    let usable: BTreeMap<&String, Vec<(&PathBuf, &Embedding)>> = people
        .iter()
        .map(|(p, files)| (p, files.iter().filter_map(|f| Some((f, embeddings.get(f)?.as_ref()?))).collect()))
        .collect();
    let mut scores = Vec::new();
    for (person, tries) in &usable {
        for (file, probe) in tries {
            for (other, templates) in &usable {
                let chosen: Vec<Embedding> =
                    templates.iter().filter(|(f, _)| f != file).take(n).map(|(_, e)| (*e).clone()).collect();
                let similarity = metric.mean(&chosen).and_then(|m| metric.similarity(&m, probe));
                if let Some(s) = similarity {
                    let (a, b) = (file.display().to_string(), (*other).clone());
                    scores.push(Score { a, b, same: person == other, score: s.get() });
                }
            }
        }
    }
    scores
}

/// The figures of the contract.
fn report(scores: &[Score], excluded: u64, failed: usize) -> Map<String, Value> {
    let genuine: Vec<f32> = scores.iter().filter(|s| s.same).map(|s| s.score).collect();
    let mut impostor: Vec<f32> = scores.iter().filter(|s| !s.same).map(|s| s.score).collect();
    impostor.sort_by(|a, b| b.total_cmp(a));
    let equal = eer(&genuine, &impostor);
    let mut at = Map::new();
    for (name, fmr) in [("1e-2", 1e-2), ("1e-3", 1e-3), ("1e-4", 1e-4), ("1e-5", 1e-5)] {
        // With fewer impostors than 1/fmr the rate cannot be shown.
        let shown = impostor.len() as f64 * fmr >= 1.0;
        let value = fnmr_at(&genuine, &impostor, fmr).map_or(Value::Null, |(threshold, r)| {
            json!({"fnmr": r.rate, "lo": r.lo, "hi": r.hi, "threshold": threshold, "errors": r.errors, "shown": shown})
        });
        at.insert(name.into(), value);
    }
    let mut out = Map::new();
    out.insert("pairs".into(), json!(scores.len()));
    out.insert("genuine".into(), json!(genuine.len()));
    out.insert("impostor".into(), json!(impostor.len()));
    out.insert("excluded".into(), json!(excluded));
    out.insert("failed_to_acquire".into(), json!(failed));
    out.insert("eer".into(), json!(equal.map(|e| e.0)));
    out.insert("threshold".into(), json!(equal.map(|e| e.1)));
    out.insert("fnmr_at_fmr".into(), Value::Object(at));
    out.insert("det".into(), json!(det(&genuine, &impostor)));
    out.insert("histogram".into(), histogram(&genuine, &impostor));
    out
}

fn write_scores(path: &Path, scores: &[Score]) -> Result<(), Failure> {
    let name = path.display().to_string();
    let io = |e: csv::Error| Failure::new(Code::Io, &name, e, "check the directory and the space left");
    let mut w = csv::Writer::from_path(path).map_err(io)?;
    w.write_record(["a", "b", "same", "score"]).map_err(io)?;
    for s in scores {
        w.write_record([s.a.as_str(), &s.b, if s.same { "1" } else { "0" }, &s.score.to_string()]).map_err(io)?;
    }
    w.flush().map_err(|e| io(e.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embeddings(rows: &[(&str, Option<[f32; 2]>)]) -> Embeddings {
        rows.iter().map(|(f, e)| (PathBuf::from(f), e.map(|e| e.to_vec().into()))).collect()
    }

    fn people(rows: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<PathBuf>> {
        rows.iter().map(|(p, f)| ((*p).to_owned(), f.iter().map(PathBuf::from).collect())).collect()
    }

    #[test]
    fn every_pair_is_compared_once() {
        let pairs = all_pairs(&people(&[("ada", &["a1", "a2", "a3"]), ("eve", &["e1"])]));
        assert_eq!(pairs.len(), 6);
        assert_eq!(pairs.iter().filter(|p| p.2).count(), 3);
    }

    #[test]
    fn a_try_is_never_its_own_template() {
        let e = embeddings(&[("a1", Some([1.0, 0.0])), ("a2", Some([0.0, 1.0])), ("e1", Some([1.0, 0.0]))]);
        let p = people(&[("ada", &["a1", "a2"]), ("eve", &["e1"])]);
        let scores = template_scores(Metric::Cosine, &p, &e, 3);
        let own: Vec<f32> = scores.iter().filter(|s| s.same).map(|s| s.score).collect();
        assert_eq!(own, [0.0, 0.0]);
        // Eve's only picture has no template of hers left, but is tried against Ada's mean.
        assert_eq!(scores.iter().filter(|s| s.b == "eve").count(), 2);
    }

    #[test]
    fn a_picture_without_a_face_is_counted_and_not_compared() {
        let e = embeddings(&[("a1", Some([1.0, 0.0])), ("a2", None)]);
        let scores = pair_scores(Metric::Cosine, &all_pairs(&people(&[("ada", &["a1", "a2"])])), &e);
        assert!(scores.is_empty());
        assert_eq!(report(&scores, 0, 1)["failed_to_acquire"], 1);
    }
}
