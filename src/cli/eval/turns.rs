//! The relief of each labelled turn of a clip, prompted as a door would: when the face is at rest before the turn.

use super::actions::{Event, frame_time};
use super::stats::Rate;
use crate::cli::clip::{Look, Screening};
use crate::domain::observation::{Observation, ReliefAsk, Wants};
use crate::domain::relief::{ReliefRule, TurnProof};
use crate::schema::event::Action;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The turn is prompted at the last frame at rest that is so long before its onset; its reference may be so much older.
const PROMPT: Duration = Duration::from_millis(300);
const READY: Duration = Duration::from_millis(1500);
/// At rest the pose is within so many degrees of yaw.
const REST: f32 = 10.0;
/// The window goes on for so long after the turn has ended.
const AFTER: Duration = Duration::from_millis(500);

/// What one turn showed.
pub struct Turn {
    shown: bool,
    flat: bool,
    row: Value,
}

/// Every labelled turn of one clip.
pub fn of(file: &str, looks: &[Look], events: &[Event], fps: f64) -> Vec<Turn> {
    let seen: Vec<_> = looks.iter().map(|l| l.seen.clone()).collect();
    let pairs = seen.windows(2).map(|w| w[1].captured.since(w[0].captured).as_secs_f32());
    let period = pairs.sum::<f32>() / (seen.len().max(2) - 1) as f32;
    let rate = if period > 0.0 { 1.0 / period } else { 0.0 };
    let turns = events.iter().filter_map(|e| match e.action {
        Action::TurnLeft => Some((e, 1.0)),
        Action::TurnRight => Some((e, -1.0)),
        _ => None,
    });
    turns
        .map(|(e, side)| {
            let (onset, end) = (frame_time(&seen, e.first, fps), frame_time(&seen, e.last, fps) + AFTER);
            let rest = |o: &&Observation| {
                o.captured + PROMPT <= onset && o.face.as_ref().is_some_and(|f| f.pose.yaw.abs() < REST)
            };
            let prompt = seen.iter().rev().find(rest).map_or(onset - PROMPT, |o| o.captured);
            let (mut screening, mut proof) = (Screening::default(), TurnProof::default());
            let (mut told, mut asked) = (0_u32, 0_u32);
            let mut best = [0.0_f32; 3];
            for l in looks.iter().filter(|l| l.seen.captured >= prompt - READY && l.seen.captured <= end) {
                let at = l.seen.captured;
                let relief = if at < prompt { ReliefAsk::Ready } else { ReliefAsk::Follow };
                let o = screening.show(l, at, Wants { relief, ..Wants::default() });
                if at < prompt {
                    continue;
                }
                let r = o.face.as_ref().and_then(|f| f.relief);
                proof.take(&ReliefRule::default(), side, rate, r.as_ref());
                asked += 1;
                if let Some(r) = r {
                    told += 1;
                    for (b, v) in best.iter_mut().zip([r.yaw_deg, r.parallax, r.bow]) {
                        *b = b.max(v * side);
                    }
                }
            }
            let round = |v: f32| (f64::from(v) * 1e4).round() / 1e4;
            let row = json!({"file": file, "frame": e.first, "action": e.action, "shown": proof.shown(),
                             "flat": proof.flat(), "yaw_deg": round(best[0]), "parallax": round(best[1]),
                             "bow": round(best[2]), "frames": asked, "followed": told});
            Turn { shown: proof.shown(), flat: proof.flat(), row }
        })
        .collect()
}

/// The turns of all clips by label.
#[derive(Default)]
pub struct Turns(BTreeMap<String, Vec<Turn>>);

impl Turns {
    /// Adds the turns of one clip.
    pub fn add(&mut self, label: &str, turns: Vec<Turn>) {
        self.0.entry(label.to_owned()).or_default().extend(turns);
    }

    /// For each label how many turns there are, how many were shown, with bounds, and each of them.
    pub fn report(&self) -> Value {
        let of = |turns: &Vec<Turn>| {
            let shown = turns.iter().filter(|t| t.shown).count() as u64;
            let flat = turns.iter().filter(|t| t.flat).count();
            let rate = Rate::new(shown, turns.len() as u64);
            let rows: Vec<&Value> = turns.iter().map(|t| &t.row).collect();
            json!({"n": rate.n, "shown": shown, "lo": rate.lo, "hi": rate.hi, "flat": flat, "turns": rows})
        };
        let all: Map<String, Value> =
            self.0.iter().filter(|(_, t)| !t.is_empty()).map(|(label, t)| (label.clone(), of(t))).collect();
        Value::Object(all)
    }
}
