//! Still pictures: read, decode, look, judge. Shared by `enroll`, `verify`, `identify`, `people import` and `eval`.

use super::{Code, Failure};
use crate::base::time::Tick;
use crate::domain::observation::{FaceSeen, Observation, Quality, Wants};
use crate::ports::Infer;
use crate::vision::decode::{Limits, decode_file};
use crate::vision::pipeline::{Pipeline, VisionError};
use std::path::Path;

/// Greatest file that is read at all; decoding has its own limits.
const MAX_BYTES: u64 = 32 << 20;
/// In a picture that names or asks for one person, a second face of this part of the first one's size is too many.
const SECOND_FACE: f32 = 0.4;

/// A picture that cannot be decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not a picture, or a broken or too big one.
    Undecodable(String),
    NoFace,
    Several,
    Quality(Quality),
}

impl Refusal {
    /// The word, or the sentence, in JSON.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Refusal::Undecodable(why) => why.clone(),
            Refusal::NoFace => "no_face".into(),
            Refusal::Several => "several_faces".into(),
            Refusal::Quality(q) => q.name().into(),
        }
    }

    /// What the person who took the picture can do.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Refusal::Undecodable(_) => "use a JPEG or PNG picture of at most 4096 pixels a side",
            Refusal::NoFace => "use a picture that shows the whole face from the front",
            Refusal::Several => "use a picture with one person in it",
            Refusal::Quality(Quality::TooSmall) => "come closer",
            Refusal::Quality(Quality::Blurred) => "hold still, clean the lens",
            Refusal::Quality(Quality::Dark) => "add light",
            Refusal::Quality(Quality::Bright) => "take light away",
            Refusal::Quality(_) => "look straight into the camera",
        }
    }
}

/// Reads a file of bounded size.
///
/// # Errors
/// Exit 65 for a file that is missing or too big, naming it.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let subject = path.display().to_string();
    let size = std::fs::metadata(path).map_err(|e| Failure::new(Code::BadInput, &subject, e, "check the path"))?.len();
    if size > MAX_BYTES {
        return Err(Failure::new(
            Code::BadInput,
            &subject,
            format!("{size} bytes are too many"),
            "use a smaller picture",
        ));
    }
    std::fs::read(path).map_err(|e| Failure::new(Code::BadInput, &subject, e, "check the path and its permissions"))
}

/// Looks at one picture with everything computed.
///
/// # Errors
/// The outer error is a fault of the runtime, the inner a picture that cannot be decided on.
pub fn observe<I: Infer>(
    pipeline: &mut Pipeline<I>,
    bytes: &[u8],
) -> Result<Result<(Observation, FaceSeen), Refusal>, Failure> {
    let picture = match decode_file(bytes, &Limits::default()) {
        Ok(p) => p,
        Err(e) => return Ok(Err(Refusal::Undecodable(e.to_string()))),
    };
    pipeline.reset();
    let seen = pipeline.look(&picture, 0, Tick::ZERO, 0, Wants::ALL).map_err(vision_failure)?;
    Ok(match seen.face.clone() {
        Some(face) => Ok((seen, face)),
        None => Err(Refusal::NoFace),
    })
}

/// One person, good enough to be enrolled or recognised from this picture.
///
/// # Errors
/// As [`observe`].
pub fn portrait<I: Infer>(pipeline: &mut Pipeline<I>, bytes: &[u8]) -> Result<Result<FaceSeen, Refusal>, Failure> {
    Ok(observe(pipeline, bytes)?.and_then(|(seen, face)| {
        if seen.faces > 1 && seen.second >= SECOND_FACE {
            return Err(Refusal::Several);
        }
        match face.quality {
            Quality::Ok if face.embedding.is_some() => Ok(face),
            Quality::Ok => Err(Refusal::NoFace),
            q => Err(Refusal::Quality(q)),
        }
    }))
}

/// A fault of the networks or the runtime.
#[must_use]
pub fn vision_failure(e: VisionError) -> Failure {
    match e {
        VisionError::Infer(p) => Failure::new(Code::Unavailable, p.what, p.cause, p.hint),
        other => Failure::new(Code::Internal, "vision", other, "run `cardea models verify`"),
    }
}
