//! Still pictures: read, decode, look, judge. Shared by `enroll`, `verify`, `identify`, `people import` and `eval`.

use super::{Code, Failure};
use crate::domain::observation::{FaceSeen, Observation};
use crate::ports::Infer;
use crate::runtime::enrolment;
pub use crate::runtime::enrolment::Refusal;
use crate::vision::pipeline::{Pipeline, VisionError};
use std::path::Path;

/// Greatest file that is read at all; decoding has its own limits.
const MAX_BYTES: u64 = 32 << 20;

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
    enrolment::observe(pipeline, bytes).map_err(vision_failure)
}

/// One person, good enough to be enrolled or recognised from this picture.
///
/// # Errors
/// As [`observe`].
pub fn portrait<I: Infer>(pipeline: &mut Pipeline<I>, bytes: &[u8]) -> Result<Result<FaceSeen, Refusal>, Failure> {
    enrolment::portrait(pipeline, bytes).map_err(vision_failure)
}

/// A fault of the networks or the runtime.
#[must_use]
pub fn vision_failure(e: VisionError) -> Failure {
    match e {
        VisionError::Infer(p) => Failure::new(Code::Unavailable, p.what, p.cause, p.hint),
        other => Failure::new(Code::Internal, "vision", other, "run `cardea models verify`"),
    }
}
