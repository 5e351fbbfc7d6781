//! Results of `cardea eval --keep`, for the console: files in the state directory, read with limits.

use crate::adapters::web::shown::{Evaluation, FaceRates, GalleryRates, PadRates};
use crate::schema::record::rfc3339;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;

/// Directory of the state directory.
pub const DIR: &str = "eval";
/// What can be kept.
pub const KINDS: [&str; 3] = ["faces", "gallery", "pad"];
/// Results that are shown.
const FILES: usize = 32;
/// A result lists the files that failed; of many thousand pictures these are some hundred kilobytes.
const MAX_BYTES: u64 = 4 << 20;
/// Points of a curve, classes of a histogram and groups of attacks that a page can show.
const ROWS: usize = 400;

/// The text of a result that is kept; `report` is what `cardea eval` prints.
#[must_use]
pub fn text(kind: &str, unix_ms: i64, pack: &str, report: &Value) -> String {
    format!("{}\n", json!({"eval": kind, "at": rfc3339(unix_ms), "pack": pack, "report": report}))
}

/// What is kept, by name; a file that cannot be used says why.
#[must_use]
pub fn read(state: &Path) -> Vec<Evaluation> {
    let Ok(entries) = std::fs::read_dir(state.join(DIR)) else { return Vec::new() };
    let mut files: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "json"));
    files.sort();
    files.truncate(FILES);
    files.iter().map(|f| one(f)).collect()
}

fn one(path: &Path) -> Evaluation {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match open(path) {
        Ok(e) => Evaluation { name, ..e },
        Err(problem) => Evaluation { name, problem: Some(problem), ..Evaluation::default() },
    }
}

#[derive(Deserialize)]
struct Kept {
    eval: String,
    at: String,
    pack: String,
    report: Value,
}

fn open(path: &Path) -> Result<Evaluation, String> {
    let file = std::fs::File::open(path).map_err(|e| format!("it cannot be opened: {e}"))?;
    if !file.metadata().is_ok_and(|m| m.is_file()) {
        return Err("it is no file".into());
    }
    let mut text = String::new();
    let read = file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|e| format!("it cannot be read: {e}"))?;
    if read as u64 > MAX_BYTES {
        return Err(format!("it is over {} MiB", MAX_BYTES >> 20));
    }
    let kept: Kept = serde_json::from_str(&text).map_err(|e| format!("it is no kept result: {e}"))?;
    let bad = |e: serde_json::Error| format!("it is no result of `cardea eval {}`: {e}", kept.eval);
    let precision = kept.report["precision"].as_str().map(clipped);
    let mut out =
        Evaluation { at: Some(clipped(&kept.at)), pack: Some(clipped(&kept.pack)), precision, ..Evaluation::default() };
    let report = kept.report.clone();
    match kept.eval.as_str() {
        "faces" => out.faces = Some(checked_faces(serde_json::from_value(report).map_err(bad)?)?),
        "gallery" => out.gallery = Some(serde_json::from_value::<GalleryRates>(report).map_err(bad)?),
        "pad" => out.pad = Some(checked_pad(serde_json::from_value(report).map_err(bad)?)?),
        _ => return Err(format!("the console shows results of: {}", KINDS.join(", "))),
    }
    Ok(out)
}

fn clipped(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

fn checked_faces(rates: FaceRates) -> Result<FaceRates, String> {
    let rate = |r: f64| (0.0..=1.0).contains(&r);
    let long = rates.det.len() > ROWS
        || rates.fnmr_at_fmr.len() > ROWS
        || rates.histogram.as_ref().is_some_and(|h| h.genuine.len() > ROWS || h.impostor.len() > ROWS);
    let wrong = rates.det.iter().any(|p| !rate(p.fmr) || !rate(p.fnmr))
        || rates.fnmr_at_fmr.values().flatten().any(|a| !rate(a.fnmr) || !rate(a.lo) || !rate(a.hi))
        || rates.histogram.as_ref().is_some_and(|h| h.from > h.to || h.genuine.len() != h.impostor.len());
    match (long, wrong) {
        (true, _) => Err(format!("its curve has more than {ROWS} points")),
        (_, true) => Err("its curve holds what is no rate".into()),
        _ => Ok(rates),
    }
}

fn checked_pad(rates: PadRates) -> Result<PadRates, String> {
    if rates.groups.len() > ROWS {
        return Err(format!("it has more than {ROWS} groups"));
    }
    Ok(rates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, String)]) -> Vec<Evaluation> {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join(DIR)).expect("a directory");
        for (name, text) in files {
            std::fs::write(dir.path().join(DIR).join(name), text).expect("written");
        }
        read(dir.path())
    }

    fn faces(fmr: f64, points: usize) -> Value {
        let at = json!({"fnmr": 0.01, "lo": 0.0, "hi": 0.02, "threshold": 0.3, "errors": 1, "shown": true});
        json!({"pairs": 10, "genuine": 4, "impostor": 6, "eer": 0.01, "threshold": 0.2, "precision": "fp32",
               "fnmr_at_fmr": {"1e-2": at, "1e-5": null},
               "det": vec![json!({"threshold": 0.1, "fmr": fmr, "fnmr": 0.1}); points],
               "histogram": {"from": 0.0, "to": 1.0, "genuine": [1, 3], "impostor": [6, 0]}})
    }

    #[test]
    fn a_kept_result_comes_back_with_its_curve() {
        let all = of(&[("faces.json", text("faces", 0, "standard", &faces(0.5, 3))), ("notes.txt", "x".into())]);
        assert_eq!(all.len(), 1);
        let (e, f) = (&all[0], all[0].faces.as_ref().expect("rates"));
        assert_eq!(
            (e.name.as_str(), e.pack.as_deref(), e.precision.as_deref()),
            ("faces", Some("standard"), Some("fp32"))
        );
        assert_eq!((f.det.len(), f.fnmr_at_fmr["1e-5"].is_none(), &e.problem), (3, true, &None));
    }

    #[test]
    fn what_is_no_result_says_so_and_is_not_shown() {
        let kept = |report: &Value| text("faces", 0, "p", report);
        let bad = of(&[
            ("a.json", "{".into()),
            ("b.json", text("clips", 0, "p", &json!({}))),
            ("c.json", kept(&json!({"genuine": "many"}))),
            ("d.json", kept(&faces(1.5, 1))),
            ("e.json", kept(&faces(0.5, ROWS + 1))),
            ("f.json", " ".repeat(usize::try_from(MAX_BYTES).expect("small") + 1)),
        ]);
        assert_eq!(bad.len(), 6);
        for e in bad {
            assert!(e.problem.is_some() && e.faces.is_none() && e.at.is_none(), "{e:?}");
        }
        assert!(read(Path::new("/nowhere")).is_empty());
    }
}
