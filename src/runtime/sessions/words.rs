//! What clients hear of screens and verdicts.

use crate::domain::screen::{Advice, Phase, Screen};
use crate::schema::event::{Reason, Verdict};
use serde_json::json;

/// A screen as a client hears it.
pub(super) fn prompt(s: &Screen) -> String {
    let phase = match s.phase {
        Phase::Idle => "idle",
        Phase::Looking => "looking",
        Phase::Challenge => "challenge",
        Phase::Light => "light",
        Phase::Done => "done",
        Phase::Unavailable => "unavailable",
    };
    json!({
        "type": "prompt", "phase": phase, "action": s.action.map(|a| a.name()), "left": s.left,
        "step": s.progress.0, "of": s.progress.1, "window_ms": s.window_ms, "advice": s.advice.map(advice),
    })
    .to_string()
}

fn advice(a: Advice) -> &'static str {
    match a {
        Advice::ComeCloser => "come_closer",
        Advice::HoldStill => "hold_still",
        Advice::MoreLight => "more_light",
        Advice::LessLight => "less_light",
        Advice::FaceTheCamera => "face_the_camera",
        Advice::OneAtATime => "one_at_a_time",
        Advice::Later => "later",
        Advice::OtherWay => "other_way",
    }
}

/// What can be said after a session that was not decided; a refusal has no reason for whom it refuses.
pub(super) fn advice_for(verdict: Verdict, reason: Option<Reason>) -> Option<&'static str> {
    match (verdict, reason?) {
        (Verdict::TryAgain, Reason::PoorQuality) => Some("more_light"),
        (Verdict::TryAgain, Reason::SeveralFaces) => Some("one_at_a_time"),
        (Verdict::TryAgain, Reason::NoFace) => Some("face_the_camera"),
        (Verdict::TryAgain, Reason::Degraded) => Some("slow"),
        _ => None,
    }
}
