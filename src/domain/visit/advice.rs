//! What is told to the person in front: about the picture and what to do, never about identity or PAD.

use crate::domain::observation::Quality;
use crate::domain::screen::Advice;
use crate::schema::event::Reason;

/// What helps against a poor picture.
#[must_use]
pub const fn against(quality: Quality) -> Option<Advice> {
    Some(match quality {
        Quality::Ok => return None,
        Quality::TooSmall => Advice::ComeCloser,
        Quality::Blurred => Advice::HoldStill,
        Quality::Dark => Advice::MoreLight,
        Quality::Bright => Advice::LessLight,
        Quality::OffPose => Advice::FaceTheCamera,
        Quality::Several => Advice::OneAtATime,
    })
}

/// Advice that goes with a verdict.
pub(super) fn with(reason: Reason, trouble: Option<Quality>) -> Option<Advice> {
    match reason {
        Reason::PoorQuality => trouble.and_then(against),
        Reason::SeveralFaces => Some(Advice::OneAtATime),
        Reason::SecondFactor => Some(Advice::OtherWay),
        _ => None,
    }
}
