//! What the demo plays: the labelled data where it exists, else the public sample clip that the model tool brings.

use crate::cli::{Code, Failure};
use crate::schema::event::{Action, Reason};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// One clip and what it can answer.
pub struct Sample {
    pub clip: PathBuf,
    pub fps: u32,
    pub actions: Vec<Action>,
    /// How long after its gate each prompt appears.
    pub onsets: Vec<Duration>,
    /// What this clip needs of the configuration, and nothing of a door's security.
    pub settings: Vec<&'static str>,
}

/// Everything for the four visits.
pub struct Material {
    pub about: String,
    pub enrol: Vec<(&'static str, PathBuf)>,
    pub known: Sample,
    pub photo: Sample,
    /// Why a pack with PAD networks must refuse the photo, where they can be expected to see it.
    pub photo_because: Option<Reason>,
    pub stranger: Sample,
    /// Why the stranger must be refused, where he can answer the prompts.
    pub stranger_because: Option<Reason>,
}

/// Where `models/build/build.py samples` puts the public sample clip and portrait.
const SAMPLES: &str = "models/cache/samples";

impl Material {
    /// Looks in the order: argument, `CARDEA_SHARED`, `../shared/data`, the public samples.
    pub fn find(given: Option<&Path>, work: &Path) -> Result<Material, Failure> {
        let near = std::env::var_os("CARDEA_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
        let data = given.map_or_else(|| near.join("data"), Path::to_owned);
        if data.join("video/live_turn_p04.mov").is_file() {
            return labelled(&data, work);
        }
        if given.is_some() {
            let what = "has no video/live_turn_p04.mov";
            return Err(Failure::new(Code::BadInput, data.display().to_string(), what, "leave --material out"));
        }
        public(Path::new(SAMPLES), work)
    }
}

/// A hand that holds a photo trembles: a picture seen through a slowly moving window, with sensor noise.
const TREMBLING: &str =
    "crop=w=iw*0.94:h=ih*0.94:x='iw*0.03+iw*0.02*sin(t*2.1)':y='ih*0.03+ih*0.02*sin(t*1.3)',noise=alls=4:allf=t";

/// Eight seconds of a still picture through a filter, as an MJPEG file.
fn held(source: &Path, filter: &str, out: PathBuf) -> Result<PathBuf, Failure> {
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-loop", "1", "-framerate", "30", "-i"])
        .arg(source)
        .args(["-vf", filter, "-t", "8", "-r", "30", "-c:v", "mjpeg", "-q:v", "3"])
        .arg(&out)
        .status();
    match status {
        Ok(s) if s.success() => Ok(out),
        Ok(s) => Err(Failure::new(Code::Unavailable, "ffmpeg", format!("ended with {s}"), "try another ffmpeg")),
        Err(e) => Err(Failure::new(Code::Unavailable, "ffmpeg", e, "apt install ffmpeg")),
    }
}

/// The photo is a real one: paper with the face of somebody who is enrolled, held before a camera.
fn labelled(data: &Path, work: &Path) -> Result<Material, Failure> {
    let turns = vec![Action::TurnLeft, Action::TurnRight];
    let sample = |file: &str, first_ms| Sample {
        clip: data.join("video").join(file),
        fps: 30,
        actions: turns.clone(),
        onsets: [first_ms, 300].map(Duration::from_millis).to_vec(),
        settings: Vec::new(),
    };
    let pads = data.join("pads/nuaa");
    let paper = held(&pads.join("print/0001_00_00_01_0.jpg"), TREMBLING, work.join("photo.mjpeg"))?;
    Ok(Material {
        about: format!("labelled clips of {}", data.display()),
        enrol: vec![("p04", data.join("faces/selfies/p04.jpg")), ("photo", pads.join("live/0001_00_00_01_0.jpg"))],
        known: sample("live_turn_p04.mov", 300),
        photo: Sample { clip: paper, ..sample("", 300) },
        photo_because: Some(Reason::Spoof),
        // He turns late in the clip: the prompt waits, so that he answers it and is refused for who he is.
        stranger: sample("live_turn_p03.mp4", 1800),
        stranger_because: Some(Reason::NoMatch),
    })
}

/// The carphone clip shows a man who opens his mouth while he speaks; a portrait stands for a stranger and a still
/// frame for the photo attack. It shows the chain, not recognition across days.
fn public(samples: &Path, work: &Path) -> Result<Material, Failure> {
    let (live, portrait) = (samples.join("carphone_pristine.mp4"), samples.join("astronaut.png"));
    for file in [&live, &portrait] {
        if !file.is_file() {
            let subject = file.display().to_string();
            return Err(Failure::new(Code::Unavailable, subject, "is missing", "run `make models`"));
        }
    }
    let still = work.join("still.png");
    let frame = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-i"])
        .arg(&live)
        .args(["-frames:v", "1"])
        .arg(&still)
        .status();
    if !frame.is_ok_and(|s| s.success()) {
        return Err(Failure::new(Code::Unavailable, "ffmpeg", "gives no frame", "apt install ffmpeg"));
    }
    let photo = held(&still, &format!("scale=352:-2,{TREMBLING},scale=176:-2"), work.join("photo.mjpeg"))?;
    let filter = format!("crop=200:200:130:0,scale=352:-2,{TREMBLING},scale=240:-2");
    let stranger = held(&portrait, &filter, work.join("stranger.mjpeg"))?;
    let settings = vec!["recognition.min_face_px=40", "challenge.mouth_hold_ms=200"];
    let sample = |clip: PathBuf, fps| Sample {
        clip,
        fps,
        actions: vec![Action::MouthOpen],
        onsets: vec![Duration::from_millis(100)],
        settings: settings.clone(),
    };
    Ok(Material {
        about: "the public sample clip and portrait: shows the chain, not recognition across days".into(),
        enrol: vec![("carphone", live.clone())],
        known: sample(live, 30),
        photo: sample(photo, 30),
        photo_because: None,
        stranger: sample(stranger, 30),
        // A portrait: she answers nothing, and is refused before anybody says who she is.
        stranger_because: None,
    })
}
