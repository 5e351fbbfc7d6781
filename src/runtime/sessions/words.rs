//! What clients hear of screens and verdicts.

use crate::domain::screen::{Advice, Screen};
use crate::schema::event::{Reason, Verdict};
use serde_json::json;

/// A screen as a client hears it.
pub(super) fn prompt(s: &Screen) -> String {
    json!({
        "type": "prompt", "phase": s.phase.name(), "action": s.action.map(|a| a.name()), "left": s.left,
        "step": s.progress.0, "of": s.progress.1, "window_ms": s.window_ms, "advice": s.advice.map(Advice::name),
    })
    .to_string()
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
