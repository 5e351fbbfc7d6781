//! Clips as rows of observations, and visits played on them. Shared by `replay`, `eval` and `enroll`.

use super::{Code, Failure, still};
use crate::adapters::camera::file::{ClipOptions, ClipReader};
use crate::base::time::Tick;
use crate::domain::observation::{Embedding, FaceSeen, Observation, Quality, ReliefAsk, Wants};
use crate::ports::{Infer, NextFrame, PortError};
use crate::vision::decode::{Limits, decode_file};
use crate::vision::frame::Frame;
use crate::vision::pipeline::{Pipeline, VisionError};
use crate::vision::relief::{Follower, Sample};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::time::Duration;

/// Several clips one after another as one stream with one clock: frame numbers and times go on.
pub struct Splice {
    paths: Vec<std::path::PathBuf>,
    options: ClipOptions,
    reader: Option<ClipReader>,
    offset: Duration,
    frames: u64,
    last: Option<Tick>,
    step: Duration,
}

impl Splice {
    /// Opens the first clip.
    ///
    /// # Errors
    /// Exit 65 for a clip that is missing or empty, 69 for a missing ffmpeg.
    pub fn open(paths: &[std::path::PathBuf], options: ClipOptions) -> Result<Self, Failure> {
        let mut paths = paths.to_vec();
        paths.reverse();
        let mut s = Splice {
            paths,
            options,
            reader: None,
            offset: Duration::ZERO,
            frames: 0,
            last: None,
            step: Duration::from_millis(33),
        };
        s.advance()?;
        Ok(s)
    }

    fn advance(&mut self) -> Result<bool, Failure> {
        let Some(path) = self.paths.pop() else {
            self.reader = None;
            return Ok(false);
        };
        if let Some(last) = self.last {
            self.offset = last.since(self.options.origin) + self.step;
        }
        self.reader = Some(ClipReader::open(&path, self.options).map_err(clip_failure)?);
        Ok(true)
    }

    /// The next frame of the stream, `None` at its end. Torn frames are skipped.
    ///
    /// # Errors
    /// The clip broke in the middle.
    pub fn read(&mut self) -> Result<Option<Frame>, Failure> {
        loop {
            let Some(reader) = &mut self.reader else { return Ok(None) };
            match reader.read().map_err(clip_failure)? {
                NextFrame::Frame(mut f) => {
                    f.captured = f.captured + self.offset;
                    f.seq = self.frames;
                    self.frames += 1;
                    if let Some(last) = self.last {
                        self.step = f.captured.since(last).max(Duration::from_millis(1));
                    }
                    self.last = Some(f.captured);
                    return Ok(Some(f));
                }
                NextFrame::Torn(why) => {
                    tracing::warn!(why, "frame skipped");
                    self.frames += 1;
                }
                NextFrame::Stalled => {}
                NextFrame::End => {
                    if !self.advance()? {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

/// A clip that cannot be read: 69 when a program is missing, else 65.
pub fn clip_failure(e: PortError) -> Failure {
    let code = if e.hint.contains("install") { Code::Unavailable } else { Code::BadInput };
    Failure::new(code, e.what, e.cause, e.hint)
}

/// A frame with everything computed that it tells by itself, and what its relief is computed from.
pub struct Look {
    pub seen: Observation,
    pub sample: Option<Sample>,
}

/// Lets visits see recorded frames as a camera would have shown them to each, relief included.
#[derive(Default)]
pub struct Screening {
    follower: Follower,
    track: Option<u32>,
}

impl Screening {
    /// The frame as it looks to a visit that wants this.
    pub fn show(&mut self, look: &Look, at: Tick, wants: Wants) -> Observation {
        let mut o = look.seen.masked(wants);
        o.captured = at;
        let track = o.face.as_ref().map(|f| f.track);
        if track.is_some() && track != self.track {
            self.follower.clear();
            self.track = track;
        }
        let relief = self.follower.see(at, wants.relief, look.sample.as_ref());
        if let Some(f) = &mut o.face {
            f.relief = relief;
        }
        o
    }
}

/// Every frame of a clip with everything computed; frames that cannot be decoded are skipped. `thin` keeps so many
/// frames a second, the first of them so many frames after the beginning.
///
/// # Errors
/// The clip cannot be read, or the networks fail.
pub fn observe_all<I: Infer>(
    pipeline: &mut Pipeline<I>,
    path: &Path,
    thin: Option<(f32, u32)>,
) -> Result<Vec<Look>, Failure> {
    pipeline.reset();
    let mut stream = Splice::open(&[path.to_owned()], ClipOptions::default())?;
    let mut all = Vec::new();
    let mut next_due = Tick::ZERO;
    let mut left_out = 0;
    while let Some(frame) = stream.read()? {
        if let Some((fps, phase)) = thin {
            if left_out < phase {
                left_out += 1;
                continue;
            }
            if frame.captured < next_due {
                continue;
            }
            next_due = (if next_due == Tick::ZERO { frame.captured } else { next_due })
                + Duration::from_secs_f32(1.0 / fps.max(0.1));
        }
        let wants = Wants { relief: ReliefAsk::Ready, ..Wants::ALL };
        if let Some(o) = observe(pipeline, &frame, wants)? {
            all.push(Look { seen: o, sample: pipeline.take_sample() });
        }
    }
    Ok(all)
}

/// One frame; `None` when it cannot be decoded, which is counted and skipped.
///
/// # Errors
/// The networks fail.
pub fn observe<I: Infer>(
    pipeline: &mut Pipeline<I>,
    frame: &Frame,
    wants: Wants,
) -> Result<Option<Observation>, Failure> {
    match pipeline.observe(frame, wants) {
        Ok(o) => Ok(Some(o)),
        Err(VisionError::Decode(e)) => {
            tracing::warn!(frame = frame.seq, error = %e, "frame skipped");
            Ok(None)
        }
        Err(e) => Err(still::vision_failure(e)),
    }
}

/// A seed of 32 bytes from a number of the command line.
pub fn seed(number: u64, purpose: &str) -> [u8; 32] {
    Sha256::digest(format!("cardea {purpose} {number}").as_bytes()).into()
}

/// Whether a face may be matched on: good, near frontal, with an embedding.
pub fn usable(face: &FaceSeen) -> Option<&Embedding> {
    (face.quality == Quality::Ok && face.frontal).then_some(face.embedding.as_ref()).flatten()
}

/// Most templates that are taken from one clip.
const FROM_CLIP: usize = 5;
/// Templates come from so much of a clip's beginning.
const BEGINNING: Duration = Duration::from_secs(2);

/// Embeddings of the person in a picture, or in the first two seconds of a clip.
///
/// # Errors
/// The outer error is a fault of the machine, the inner a file that cannot be used.
pub fn embeddings_of<I: Infer>(
    pipeline: &mut Pipeline<I>,
    path: &Path,
) -> Result<Result<Vec<Embedding>, still::Refusal>, Failure> {
    if !path.is_dir() {
        let bytes = still::read(path)?;
        let video = path.extension().is_some_and(|e| {
            ["mp4", "mov", "mkv", "webm", "avi", "mjpeg", "mjpg"].iter().any(|v| e.eq_ignore_ascii_case(v))
        });
        if !video || decode_file(&bytes, &Limits::default()).is_ok() {
            return Ok(still::portrait(pipeline, &bytes)?.map(|f| f.embedding.into_iter().collect()));
        }
    }
    pipeline.reset();
    let mut stream = Splice::open(&[path.to_owned()], ClipOptions::default())?;
    let mut refusal = still::Refusal::NoFace;
    let mut found = Vec::new();
    while let Some(frame) = stream.read()? {
        if frame.captured > Tick::ZERO + BEGINNING {
            break;
        }
        let Some(o) = observe(pipeline, &frame, Wants { embedding: true, ..Wants::default() })? else { continue };
        if let Some(f) = &o.face {
            match usable(f) {
                Some(e) => found.push(e.clone()),
                None => refusal = still::Refusal::Quality(f.quality),
            }
        }
    }
    if found.is_empty() {
        return Ok(Err(refusal));
    }
    // Spread over the time, so that they are not five times the same picture.
    let step = found.len().div_ceil(FROM_CLIP);
    Ok(Ok(found.into_iter().step_by(step).collect()))
}
