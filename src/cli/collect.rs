//! `cardea people collect`: labelled pictures from the camera, for `eval pad`, `pad calibrate` and `pad train`.
//!
//! This is the only command that stores pictures. They are stored as the camera gave them, the whole frame, since the
//! scene around a face is what the networks against attacks look at.

use super::private::{self, Existing};
use super::state::print;
use super::{Code, Exit, Failure, Globals, Outcome, clip};
use crate::adapters::camera;
use crate::adapters::system::SystemClock;
use crate::base::time::{Clock, Tick};
use crate::config::Config;
use crate::domain::observation::{Observation, Quality, Wants};
use crate::ports::NextFrame;
use crate::runtime::engine::Engine;
use crate::schema::ids::PersonId;
use crate::schema::record::rfc3339;
use crate::vision::decode::{Limits, decode, decode_file};
use crate::vision::frame::{Frame, PixelFormat, Rotation};
use clap::ValueEnum;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// New directory, or one that an earlier `people collect` began and that is continued.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What is in front of the camera.
    #[arg(long, value_enum)]
    label: Label,
    /// Kind of attack: print, replay, mask, ...; becomes the label in labels.csv. Default: spoof.
    #[arg(long, value_name = "NAME")]
    species: Option<String>,
    /// Where the pictures come from. Default: device.name.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Who it is, or whose picture is shown: the same person must not be in two parts of the data when something is learnt.
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
    /// Pictures to store.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// Least time between two pictures in milliseconds, so that they differ.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    every_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Label {
    /// A person who stands there.
    Live,
    /// A picture, a screen, a mask, ...
    Spoof,
}

impl Label {
    /// The folder's name, as `pad train --data` wants it.
    fn folder(self) -> &'static str {
        match self {
            Label::Live => "live",
            Label::Spoof => "spoof",
        }
    }
}

/// Head line of labels.csv: the first four columns are those that `eval pad` reads.
const HEAD: [&str; 7] = ["file", "label", "person", "source", "session", "captured", "context"];
/// Without a good picture for so long it is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// Beside a second face of this part of the first one's size nothing is stored: nobody else is to be in the pictures.
const SECOND_FACE: f32 = 0.4;
/// Of frames that the camera does not give as JPEG.
const JPEG_QUALITY: u8 = 95;

pub(super) fn run(globals: &Globals, args: &Args) -> Outcome {
    let (config, mut engine) = super::eval::open(globals, None, None)?;
    let labels = Labels::of(args, &config)?;
    let mut collection = Collection::open(&args.out)?;
    eprintln!("{}", consent(&args.out));
    let mut session = Session::new(args, labels);
    session.collect(&config, &mut engine, &mut collection)?;
    print(&session.report(globals.json, &args.out))?;
    Ok(if session.stored.len() == args.count as usize { Exit::Done } else { Exit::NoDecision })
}

/// What whoever stands in front of the camera must have agreed to.
fn consent(dir: &Path) -> String {
    format!(
        "note: pictures of people are stored in {} and nowhere else; take them only of people who agreed, and delete the directory when it has served",
        dir.display()
    )
}

/// What every line of this session carries.
struct Labels {
    label: String,
    person: String,
    source: String,
}

impl Labels {
    fn of(args: &Args, config: &Config) -> Result<Labels, Failure> {
        // Names with a rule, since they stand in a table and in reports.
        let name = |option: &str, text: &str| {
            PersonId::new(text)
                .map(|n| n.as_str().to_owned())
                .map_err(|e| Failure::new(Code::Usage, option, e.rule, "choose another name"))
        };
        let usage = |what: &str, hint: &str| Err(Failure::new(Code::Usage, "--species", what, hint));
        let label = match (args.label, args.species.as_deref()) {
            (Label::Live, None) => "live".to_owned(),
            (Label::Live, Some(_)) => return usage("belongs to --label spoof", "leave it out"),
            (Label::Spoof, None) => "spoof".to_owned(),
            (Label::Spoof, Some(s)) => match name("--species", s)? {
                s if s == "live" => return usage("an attack cannot be called live", "use --label live for people"),
                s => s,
            },
        };
        let person = args.person.as_deref().map(|p| name("--person", p)).transpose()?.unwrap_or_default();
        let source = match &args.source {
            Some(s) => name("--source", s)?,
            None => config.device().name.to_string(),
        };
        Ok(Labels { label, person, source })
    }
}

/// A directory with pictures and their labels.
struct Collection {
    dir: PathBuf,
    /// The whole text of labels.csv.
    table: Vec<u8>,
    /// Number of the next picture.
    next: u32,
}

impl Collection {
    /// Makes a new one or goes on with one.
    fn open(dir: &Path) -> Result<Collection, Failure> {
        private::dir(dir)?;
        let path = dir.join("labels.csv");
        let bad = |what: String| {
            let hint = "name a new directory, or one that `people collect` made";
            Failure::new(Code::BadInput, path.display().to_string(), what, hint)
        };
        let table = match std::fs::read(&path) {
            Ok(table) => table,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let mut entries = std::fs::read_dir(dir).map_err(|e| bad(e.to_string()))?;
                // Whose files these are is not known, so none is added.
                if entries.next().is_some() {
                    return Err(bad("the directory holds other files and no labels.csv".into()));
                }
                Vec::new()
            }
            Err(e) => return Err(bad(e.to_string())),
        };
        if !table.is_empty() {
            let head = csv::Reader::from_reader(&table[..]).headers().map_err(|e| bad(e.to_string()))?.clone();
            if head != HEAD[..] {
                return Err(bad(format!("its head line is not `{}`", HEAD.join(","))));
            }
        }
        let mut collection = Collection { dir: dir.to_owned(), table, next: 1 };
        for label in [Label::Live, Label::Spoof] {
            private::dir(&dir.join(label.folder()))?;
            // A picture without a line, left by an interrupted run, keeps its number too.
            for entry in std::fs::read_dir(dir.join(label.folder())).map_err(|e| bad(e.to_string()))? {
                let name = entry.map_err(|e| bad(e.to_string()))?.file_name();
                let number = name.to_str().and_then(|n| n.strip_suffix(".jpg")).and_then(|n| n.parse::<u32>().ok());
                collection.next = collection.next.max(number.map_or(0, |n| n.saturating_add(1)));
            }
        }
        if collection.table.is_empty() {
            collection.append(&HEAD.map(str::to_owned))?;
        }
        Ok(collection)
    }

    /// Stores a picture, then its line: a line never names a picture that is not whole.
    fn add(&mut self, label: Label, jpeg: &[u8], cells: [String; 6]) -> Result<String, Failure> {
        let file = format!("{}/{:06}.jpg", label.folder(), self.next);
        private::write(&self.dir.join(&file), jpeg, Existing::Refuse)?;
        self.next = self.next.saturating_add(1);
        let [label, person, source, session, captured, context] = cells;
        self.append(&[file.clone(), label, person, source, session, captured, context])?;
        Ok(file)
    }

    fn append(&mut self, cells: &[String; 7]) -> Result<(), Failure> {
        let mut writer = csv::Writer::from_writer(&mut self.table);
        let internal = |e: csv::Error| Failure::new(Code::Internal, "labels.csv", e, "please report this");
        writer.write_record(cells).map_err(internal)?;
        writer.flush().map_err(|e| internal(e.into()))?;
        drop(writer);
        private::write(&self.dir.join("labels.csv"), &self.table, Existing::Replace)
    }
}

/// One run of the command.
struct Session<'a> {
    args: &'a Args,
    labels: Labels,
    /// Pictures of one session are one capture: they stay together when data are divided.
    name: String,
    stored: Vec<String>,
    refused: BTreeMap<&'static str, u64>,
}

impl<'a> Session<'a> {
    fn new(args: &'a Args, labels: Labels) -> Self {
        let name = rfc3339(SystemClock.wall().unix_ms);
        Session { args, labels, name, stored: Vec::new(), refused: BTreeMap::new() }
    }

    fn collect(&mut self, config: &Config, engine: &mut Engine, to: &mut Collection) -> Result<(), Failure> {
        let clock = Arc::new(SystemClock);
        let mut source = camera::open(config.camera(), clock.clone(), 0).map_err(Failure::unavailable)?;
        let identity = source.identity();
        engine.pipeline.reset();
        let every = Duration::from_millis(self.args.every_ms);
        // Any picture twice adds nothing, whether the camera froze or a clip began again.
        let mut seen = BTreeSet::new();
        let (mut last, mut good, mut said) = (None::<Tick>, clock.now(), "");
        while self.stored.len() < self.args.count as usize && clock.now().since(good) < PATIENCE {
            let frame = match source.next(config.camera().timeout).map_err(Failure::unavailable)? {
                NextFrame::Frame(frame) => frame,
                NextFrame::Torn(_) | NextFrame::Stalled => continue,
                NextFrame::End => break,
            };
            if last.is_some_and(|l| frame.captured.since(l) < every) {
                continue;
            }
            let wants = Wants { pad: true, ..Wants::default() };
            let Some(seen_now) = clip::observe(&mut engine.pipeline, &frame, wants)? else { continue };
            if !seen.insert(seen_now.digest) {
                continue;
            }
            if let Some((reason, advice)) = trouble(&seen_now) {
                *self.refused.entry(reason).or_default() += 1;
                if said != advice {
                    eprintln!("{advice}");
                    said = advice;
                }
                continue;
            }
            let jpeg = as_jpeg(&frame, seen_now.digest)?;
            let l = &self.labels;
            let captured = rfc3339(clock.wall().unix_ms);
            let cells =
                [l.label.clone(), l.person.clone(), l.source.clone(), self.name.clone(), captured, identity.clone()];
            self.stored.push(to.add(self.args.label, &jpeg, cells)?);
            (last, good, said) = (Some(frame.captured), clock.now(), "");
            eprintln!("picture {} of {}", self.stored.len(), self.args.count);
        }
        Ok(())
    }

    fn report(&self, as_json: bool, dir: &Path) -> String {
        if as_json {
            let answer = json!({
                "dir": dir, "labels": dir.join("labels.csv"), "label": self.labels.label, "person": self.labels.person,
                "source": self.labels.source, "session": self.name, "asked": self.args.count,
                "stored": self.stored.len(), "files": self.stored, "refused": self.refused, "consent": consent(dir),
            });
            return format!("{answer}\n");
        }
        let why: String = self.refused.iter().map(|(reason, n)| format!("; {n} frames {reason}")).collect();
        let (n, all) = (self.stored.len(), self.args.count);
        let end = if n < all as usize { "; no more good picture came: repeat the command to go on" } else { "" };
        format!("{n} of {all} pictures `{}` stored in {}{why}{end}\n", self.labels.label, dir.display())
    }
}

/// Why a frame is not stored, and what helps. The same frames are kept that PAD would judge at the door.
fn trouble(o: &Observation) -> Option<(&'static str, &'static str)> {
    let Some(face) = &o.face else { return Some(("no_face", "look into the camera")) };
    if o.faces > 1 && o.second >= SECOND_FACE {
        return Some(("several_faces", "only one person at a time"));
    }
    match face.quality {
        Quality::Ok if face.frontal => None,
        Quality::Ok => Some(("off_pose", "look straight into the camera")),
        q => Some((q.name(), super::still::Refusal::Quality(q).advice())),
    }
}

/// The frame as a file that shows the very picture that was judged: the camera's own bytes where they do, else encoded
/// anew from the upright picture.
fn as_jpeg(frame: &Frame, digest: u64) -> Result<Vec<u8>, Failure> {
    let limits = Limits::default();
    if frame.format == PixelFormat::Jpeg && frame.rotation == Rotation::None {
        // An EXIF orientation counts in a file and not in a frame; then the two pictures differ.
        let same = decode_file(&frame.data, &limits).is_ok_and(|p| p.digest() == digest);
        if same {
            return Ok(frame.data.clone());
        }
    }
    let bad = |e: String| Failure::new(Code::Internal, format!("frame {}", frame.seq), e, "please report this");
    let picture = decode(frame, &limits).map_err(|e| bad(e.to_string()))?;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY)
        .write_image(&picture.rgb, picture.width, picture.height, ExtendedColorType::Rgb8)
        .map_err(|e| bad(e.to_string()))?;
    Ok(jpeg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::frame::Picture;

    fn cells(n: u32) -> [String; 6] {
        ["live", "ada", "front", "s", &n.to_string(), "a, b"].map(str::to_owned)
    }

    #[test]
    fn a_collection_goes_on_where_it_was_and_overwrites_nothing() {
        let base = tempfile::tempdir().expect("a directory");
        let dir = base.path().join("c");
        let mut c = Collection::open(&dir).expect("new");
        assert_eq!(c.add(Label::Live, b"1", cells(1)).expect("stores"), "live/000001.jpg");
        assert_eq!(c.add(Label::Spoof, b"2", cells(2)).expect("stores"), "spoof/000002.jpg");
        // As an interrupted run leaves it: a picture without its line.
        std::fs::write(dir.join("live/000007.jpg"), b"7").expect("writes");
        let mut c = Collection::open(&dir).expect("goes on");
        assert_eq!(c.add(Label::Live, b"8", cells(8)).expect("stores"), "live/000008.jpg");
        let text = std::fs::read_to_string(dir.join("labels.csv")).expect("reads");
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.starts_with("file,label,person,source,") && text.contains("\"a, b\""), "{text}");
        c.next = 8;
        let e = c.add(Label::Live, b"9", cells(9)).expect_err("taken");
        assert!(e.subject.ends_with("000008.jpg"), "{e}");
        assert_eq!(std::fs::read(dir.join("live/000008.jpg")).expect("reads"), b"8");
    }

    #[test]
    fn a_directory_of_somebody_else_is_left_alone() {
        let base = tempfile::tempdir().expect("a directory");
        let dir = base.path().join("c");
        private::dir(&dir).expect("makes");
        std::fs::write(dir.join("notes.txt"), "x").expect("writes");
        assert_eq!(Collection::open(&dir).err().expect("refused").code, Code::BadInput);
        std::fs::write(dir.join("labels.csv"), "file,label\n").expect("writes");
        let e = Collection::open(&dir).err().expect("refused");
        assert!(e.what.contains("head line"), "{e}");
        assert_eq!(std::fs::read_dir(&dir).expect("lists").count(), 2);
    }

    #[test]
    fn a_frame_is_kept_byte_by_byte_where_it_shows_what_was_judged() {
        let rgb: Vec<u8> = (0..48 * 32 * 3_u32).map(|i| (i % 251) as u8).collect();
        let raw = Frame {
            seq: 0,
            captured: Tick::ZERO,
            epoch: 0,
            format: PixelFormat::Rgb,
            width: 48,
            height: 32,
            rotation: Rotation::Cw90,
            data: rgb,
        };
        let size = |bytes: &[u8]| decode_file(bytes, &Limits::default()).map(|p: Picture| (p.width, p.height));
        let turned = as_jpeg(&raw, 0).expect("encodes");
        assert_eq!(size(&turned).expect("a picture"), (32, 48), "upright as it was judged");
        let digest = decode_file(&turned, &Limits::default()).expect("a picture").digest();
        let frame = Frame { format: PixelFormat::Jpeg, rotation: Rotation::None, data: turned.clone(), ..raw };
        assert_eq!(as_jpeg(&frame, digest).expect("kept"), turned);
        assert_ne!(
            as_jpeg(&frame, digest ^ 1).expect("encodes"),
            turned,
            "a file that shows something else is not kept"
        );
    }
}
