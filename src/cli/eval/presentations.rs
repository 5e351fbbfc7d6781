//! Labelled pictures and clips as the PAD networks see them, and how a rule judges them. Shared by `eval pad`,
//! `pad calibrate` and `pad train`, so that none of them measures anything else than the others.

use super::labels::Table;
use super::stats::Rate;
use crate::adapters::camera::file::ClipOptions;
use crate::base::units::LiveScore;
use crate::cli::clip::{self, Splice};
use crate::cli::{Code, Failure, still};
use crate::domain::liveness::{PadEvidence, PadPhase, PadRule, PadVerdict};
use crate::domain::observation::{FaceSeen, Quality, Wants};
use crate::runtime::engine::Engine;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The label of a person who was there.
pub(in crate::cli) const LIVE: &str = "live";

/// One picture or clip.
pub(in crate::cli) struct Presentation {
    pub file: PathBuf,
    pub source: String,
    /// `live`, or the kind of attack.
    pub species: String,
    /// Who or what must not be torn apart when data are divided; empty where nothing is known.
    pub group: String,
    pub is_clip: bool,
    /// The frames that PAD judges: good quality, near frontal.
    pub frames: Vec<Look>,
}

/// One frame of it.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Look {
    /// One a network, then the head's.
    pub scores: Vec<LiveScore>,
    /// Empty unless the engine exposes them.
    pub features: Vec<f32>,
}

/// What a picture or a clip was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Taken {
    Live,
    Attack,
    /// No frame, or too few, were good enough.
    NotDecided,
}

/// What a label file, or a folder, says of one file.
pub(in crate::cli) struct Labelled {
    pub file: PathBuf,
    pub label: String,
    pub source: String,
    pub group: String,
}

/// The lines of a label file; the group is the person, else the session.
pub(in crate::cli) fn of_table(path: &Path) -> Result<Vec<Labelled>, Failure> {
    let table = Table::read(path, &["file", "label"])?;
    table
        .rows()
        .map(|row| {
            let file = row.file("file")?;
            let source = source_of(row.get("source"), &file);
            let group = [row.get("person"), row.get("session")].into_iter().find(|c| !c.is_empty()).unwrap_or_default();
            Ok(Labelled { label: row.get("label").to_owned(), source, group: group.to_owned(), file })
        })
        .collect()
}

/// The files of `live/` (or `real/`) and `spoof/` below a directory. A folder inside of these is a person, or whatever
/// belongs together; files without one are each for itself.
pub(in crate::cli) fn of_folders(root: &Path) -> Result<Vec<Labelled>, Failure> {
    let bad = |path: &Path, e: &dyn std::fmt::Display| {
        let hint = "give a directory with labels.csv, or with live/ (or real/) and spoof/";
        Failure::new(Code::BadInput, path.display().to_string(), e, hint)
    };
    let list = |dir: &Path| -> Result<Vec<PathBuf>, Failure> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(|e| bad(dir, &e))? {
            let entry = entry.map_err(|e| bad(dir, &e))?;
            if !entry.file_name().as_encoded_bytes().starts_with(b".") {
                all.push(entry.path());
            }
        }
        all.sort();
        Ok(all)
    };
    let mut found = Vec::new();
    for (folder, label) in [("live", LIVE), ("real", LIVE), ("spoof", "spoof")] {
        let dir = root.join(folder);
        if !dir.is_dir() {
            continue;
        }
        for path in list(&dir)? {
            let group = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (files, group) = if path.is_dir() { (list(&path)?, group) } else { (vec![path], String::new()) };
            for path in files.into_iter().filter(|p| p.is_file()) {
                let file = path.strip_prefix(root).unwrap_or(&path).to_owned();
                found.push(Labelled { file, label: label.to_owned(), source: "-".into(), group: group.clone() });
            }
        }
    }
    if found.is_empty() {
        return Err(bad(root, &"there are no captures in it"));
    }
    Ok(found)
}

/// Looks at all of them.
pub(in crate::cli) fn look_at(
    engine: &mut Engine,
    root: &Path,
    labelled: Vec<Labelled>,
) -> Result<Vec<Presentation>, Failure> {
    let bar = super::progress(labelled.len(), "pad");
    let mut all = Vec::with_capacity(labelled.len());
    for l in labelled {
        let path = root.join(&l.file);
        let is_clip = is_clip(&path);
        let frames = if is_clip { clip_of(engine, &path)? } else { still_of(engine, &path)? };
        bar.inc(1);
        let Labelled { file, label: species, source, group } = l;
        all.push(Presentation { file, source, species, group, is_clip, frames });
    }
    bar.finish_and_clear();
    Ok(all)
}

impl Presentation {
    /// Whether a person was there.
    pub fn is_live(&self) -> bool {
        self.species == LIVE
    }

    /// Frames that a verdict needs.
    fn least(&self) -> usize {
        if self.is_clip { 5 } else { 1 }
    }

    /// Whether there is enough of it for a verdict.
    pub fn is_judged(&self) -> bool {
        self.frames.len() >= self.least()
    }

    /// What rules, one a score, take it for: a picture is judged as a visit of one frame, a clip as one of all its frames.
    pub fn taken_by(&self, rules: &[PadRule]) -> Taken {
        self.taken(rules, |look| look.scores.clone())
    }

    /// The same with other scores than those that the engine gave.
    pub fn taken(&self, rules: &[PadRule], scores: impl Fn(&Look) -> Vec<LiveScore>) -> Taken {
        let mut evidence = PadEvidence::new(rules.to_vec(), self.least());
        self.frames.iter().for_each(|look| evidence.take(PadPhase::Before, &scores(look)));
        match evidence.verdict() {
            PadVerdict::Live => Taken::Live,
            PadVerdict::Spoof => Taken::Attack,
            PadVerdict::Wait | PadVerdict::Absent => Taken::NotDecided,
        }
    }
}

/// Counts of one source, species and kind of file.
pub(in crate::cli) struct Group {
    pub source: String,
    pub species: String,
    pub kind: &'static str,
    pub rate: Rate,
    pub rejected_quality: u64,
    pub failed: Vec<String>,
}

/// Errors by source and species: live ones refused, attacks accepted.
pub(in crate::cli) fn groups<'a>(
    all: impl IntoIterator<Item = &'a Presentation>,
    taken: impl Fn(&Presentation) -> Taken,
) -> Vec<Group> {
    #[derive(Default)]
    struct Count {
        n: u64,
        rejected: u64,
        failed: Vec<String>,
    }
    let mut counts = BTreeMap::<(&str, &str, &'static str), Count>::new();
    for p in all {
        let kind = if p.is_clip { "clip" } else { "still" };
        let count = counts.entry((&p.source, &p.species, kind)).or_default();
        let wrong = match taken(p) {
            Taken::NotDecided => {
                count.rejected += 1;
                continue;
            }
            Taken::Live => !p.is_live(),
            Taken::Attack => p.is_live(),
        };
        count.n += 1;
        if wrong {
            count.failed.push(p.file.display().to_string());
        }
    }
    let group = |((source, species, kind), c): ((&str, &str, _), Count)| Group {
        source: source.to_owned(),
        species: species.to_owned(),
        kind,
        rate: Rate::new(c.failed.len() as u64, c.n),
        rejected_quality: c.rejected,
        failed: c.failed,
    };
    counts.into_iter().map(group).collect()
}

impl Group {
    /// As `eval pad` prints it.
    pub fn json(&self) -> Value {
        let r = self.rate;
        json!({"source": self.source, "species": self.species, "kind": self.kind, "n": r.n, "errors": r.errors,
               "rate": r.rate, "lo": r.lo, "hi": r.hi, "rejected_quality": self.rejected_quality,
               "failed": self.failed})
    }

    /// The attacks' group with the greatest error rate, and its name.
    pub fn worst(groups: &[Group]) -> Option<(f64, String)> {
        let mut worst: Option<(f64, String)> = None;
        for g in groups.iter().filter(|g| g.species != LIVE && g.rate.n > 0) {
            if worst.as_ref().is_none_or(|w| g.rate.rate > w.0) {
                worst = Some((g.rate.rate, format!("{} ({}, {})", g.species, g.source, g.kind)));
            }
        }
        worst
    }

    /// A line for people.
    pub fn line(&self) -> String {
        let r = self.rate;
        let what = if self.species == LIVE { "refused" } else { "accepted" };
        format!(
            "{:<14} {:<10} {:<5} {:>4} of {:>4} {what:<8} {:>5.1} % ({:.1}-{:.1}), {} not judged\n",
            self.source,
            self.species,
            self.kind,
            r.errors,
            r.n,
            r.rate * 100.0,
            r.lo * 100.0,
            r.hi * 100.0,
            self.rejected_quality
        )
    }
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

fn still_of(engine: &mut Engine, path: &Path) -> Result<Vec<Look>, Failure> {
    let bytes = still::read(path)?;
    let seen = still::observe(&mut engine.pipeline, &bytes)?;
    Ok(seen.ok().and_then(|(_, face)| look(engine, &face)).into_iter().collect())
}

fn clip_of(engine: &mut Engine, path: &Path) -> Result<Vec<Look>, Failure> {
    engine.pipeline.reset();
    let mut stream = Splice::open(&[path.to_owned()], ClipOptions::default())?;
    let mut frames = Vec::new();
    while let Some(frame) = stream.read()? {
        let Some(o) = clip::observe(&mut engine.pipeline, &frame, Wants::ALL)? else { continue };
        frames.extend(o.face.as_ref().and_then(|face| look(engine, face)));
    }
    Ok(frames)
}

fn look(engine: &Engine, face: &FaceSeen) -> Option<Look> {
    let judged = face.quality == Quality::Ok && face.frontal;
    judged.then(|| Look { scores: face.pad.clone(), features: engine.pipeline.features().to_vec() })
}

#[cfg(test)]
pub(in crate::cli) mod tests {
    use super::*;

    /// Stills of one network with these scores.
    pub(in crate::cli) fn stills(species: &str, group: &str, scores: &[f32]) -> Vec<Presentation> {
        let one = |p: &f32| Presentation {
            file: format!("{species}/{p}.jpg").into(),
            source: "s".into(),
            species: species.into(),
            group: group.into(),
            is_clip: false,
            frames: vec![Look { scores: LiveScore::new(*p).into_iter().collect(), features: Vec::new() }],
        };
        scores.iter().map(one).collect()
    }

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

    #[test]
    fn errors_are_live_ones_refused_and_attacks_accepted_and_undecided_ones_count_for_neither() {
        let rule = [PadRule { threshold: 0.5, floor: 0.1 }];
        let mut all = stills(LIVE, "a", &[0.9, 0.4]);
        all.extend(stills("print", "a", &[0.2, 0.3, 0.6]));
        all.push(Presentation { frames: Vec::new(), ..stills("print", "a", &[0.0]).remove(0) });
        let g = groups(&all, |p| p.taken_by(&rule));
        let told: Vec<_> =
            g.iter().map(|g| (g.species.as_str(), g.rate.errors, g.rate.n, g.rejected_quality)).collect();
        assert_eq!(told, [("live", 1, 2, 0), ("print", 1, 3, 1)]);
        assert_eq!(Group::worst(&g).expect("attacks").1, "print (s, still)");
        let clip = Presentation { is_clip: true, ..stills(LIVE, "a", &[0.9]).remove(0) };
        assert_eq!(clip.taken_by(&rule), Taken::NotDecided, "a clip needs as many frames as a visit");
    }

    #[test]
    fn a_folder_inside_is_what_belongs_together() {
        let dir = tempfile::tempdir().expect("a directory");
        for file in ["real/ada/1.jpg", "real/ada/2.jpg", "live/3.jpg", "spoof/bob/4.jpg", "spoof/.hidden"] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
            std::fs::write(path, "x").expect("writes");
        }
        let found = of_folders(dir.path()).expect("reads");
        let told: Vec<_> =
            found.iter().map(|l| (l.file.to_str().expect("text"), l.label.as_str(), l.group.as_str())).collect();
        let wanted = [
            ("live/3.jpg", "live", ""),
            ("real/ada/1.jpg", "live", "ada"),
            ("real/ada/2.jpg", "live", "ada"),
            ("spoof/bob/4.jpg", "spoof", "bob"),
        ];
        assert_eq!(told, wanted);
        assert!(of_folders(&dir.path().join("spoof")).is_err());
    }
}
