//! Actions seen on a clip against the actions that are in it.

use crate::base::time::Tick;
use crate::cli::{Code, Failure};
use crate::domain::gesture::{Gestures, Limits, Seen};
use crate::domain::observation::Observation;
use crate::schema::event::Action;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

/// Interval ends of the truth are exact to about four frames, a signal needs its hold time, and slow turns pass 20
/// degrees well before the 22 from which they are labelled.
const SLACK: Duration = Duration::from_millis(300);
const TURN_SLACK: Duration = Duration::from_millis(500);
/// The return to the centre counts when it is seen within a second of the end of the turn.
const CENTRE: Duration = Duration::from_millis(1000);

/// The truth file.
#[derive(Deserialize)]
pub struct Truth {
    pub videos: HashMap<String, Map<String, Value>>,
}

/// One action of a clip, in frames of the clip as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub action: Action,
    pub first: u64,
    pub last: u64,
}

impl Truth {
    /// Reads the file.
    ///
    /// # Errors
    /// Exit 65 naming it.
    pub fn read(path: &Path) -> Result<Truth, Failure> {
        let bad = |e: String| Failure::new(Code::BadInput, path.display().to_string(), e, "give {\"videos\":{…}}");
        let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
        serde_json::from_str(&text).map_err(|e| bad(e.to_string()))
    }

    /// The actions of one clip in order, without the returns to the centre.
    pub fn events(&self, file: &str) -> Vec<Event> {
        let Some(video) = self.videos.get(file) else { return Vec::new() };
        let mut all: Vec<Event> = KEYS
            .iter()
            .filter(|(key, action)| *action != Action::Blink || annotated(video) || *key != "blinks")
            .flat_map(|(key, action)| {
                intervals(video, key).into_iter().map(|(first, last)| Event { action: *action, first, last })
            })
            .collect();
        all.sort_by_key(|e| e.first);
        all
    }
}

/// Truth keys and the actions that they are; left and right of the image are the person's other side.
const KEYS: [(&str, Action); 8] = [
    ("blinks", Action::Blink),
    ("turn_image_right", Action::TurnLeft),
    ("turn_image_left", Action::TurnRight),
    ("look_up", Action::Nod),
    ("look_down", Action::Nod),
    ("mouth_open", Action::MouthOpen),
    ("smile_teeth", Action::Smile),
    ("smile_closed_lips", Action::Smile),
];

/// Intervals that count neither way.
const UNSURE: [(&str, Action); 5] = [
    ("unsure_blink", Action::Blink),
    ("unsure_mouth", Action::MouthOpen),
    ("unsure_smile", Action::Smile),
    ("slight_left", Action::TurnRight),
    ("slight_right", Action::TurnLeft),
];

fn annotated(video: &Map<String, Value>) -> bool {
    video.get("blinks_annotated").and_then(Value::as_bool).unwrap_or(false)
}

fn intervals(video: &Map<String, Value>, key: &str) -> Vec<(u64, u64)> {
    let Some(Value::Array(list)) = video.get(key) else { return Vec::new() };
    list.iter()
        .filter_map(|i| match i.as_array()?.as_slice() {
            [a, b] => Some((a.as_u64()?, b.as_u64()?)),
            _ => None,
        })
        .collect()
}

/// Hits and false alarms of every action over all clips.
#[derive(Default)]
pub struct Tally(BTreeMap<&'static str, Counts>);

#[derive(Default)]
struct Counts {
    n: u64,
    hit: u64,
    false_alarms: u64,
    seconds: f64,
    latency_ms: Vec<f64>,
    /// `file:frame` of what was missed and of false alarms.
    missed: Vec<String>,
    wrong: Vec<String>,
}

/// Every action on the stream of a clip, without prompts.
pub fn seen(observations: &[Observation]) -> Vec<Seen> {
    let mut gestures = Gestures::new(Limits::default(), false);
    observations
        .iter()
        .filter_map(|o| o.face.as_ref().map(|f| (o.captured, f)))
        .flat_map(|(at, f)| gestures.see(at, f))
        .collect()
}

impl Tally {
    /// Adds one clip.
    pub fn add(&mut self, file: &str, truth: &Truth, observations: &[Observation]) {
        let Some(video) = truth.videos.get(file) else { return };
        let (Some(first), Some(last)) = (observations.first(), observations.last()) else { return };
        let fps = video.get("fps").and_then(Value::as_f64).unwrap_or(30.0);
        let time = |frame: u64| frame_time(observations, frame, fps);
        let end = video.get("annotated_to").and_then(Value::as_u64).map_or(last.captured, time);
        let seconds = end.since(first.captured).as_secs_f64();
        let events = truth.events(file);
        let seen: Vec<Seen> = seen(observations).into_iter().filter(|s| s.at <= end).collect();
        for action in Action::ALL {
            if action != Action::Centre && !mentions(video, action) {
                continue;
            }
            let slack = if matches!(action, Action::TurnLeft | Action::TurnRight) { TURN_SLACK } else { SLACK };
            let counts = self.0.entry(action.name()).or_default();
            counts.seconds += seconds;
            let mut alarms: Vec<&Seen> = seen.iter().filter(|s| s.action == action).collect();
            let due: Vec<(Tick, Tick)> = if action == Action::Centre {
                events.iter().filter(|e| is_away(e.action)).map(|e| (time(e.last), time(e.last) + CENTRE)).collect()
            } else {
                events.iter().filter(|e| e.action == action).map(|e| (time(e.first), time(e.last))).collect()
            };
            let due = if action == Action::Smile { joined(due) } else { due };
            for (from, to) in due.into_iter().filter(|(from, _)| *from <= end) {
                counts.n += 1;
                let found = alarms.iter().position(|s| s.onset <= to + slack && s.at + slack >= from);
                if let Some(i) = found {
                    let s = alarms.remove(i);
                    counts.hit += 1;
                    counts.latency_ms.push(s.at.as_millis() as f64 - from.as_millis() as f64);
                    // One long event may fire more than once.
                    alarms.retain(|s| !(s.onset <= to + slack && s.at + slack >= from));
                } else {
                    counts.missed.push(format!("{file}:{}", (from.since(first.captured).as_secs_f64() * fps) as u64));
                }
            }
            let unsure: Vec<(Tick, Tick)> = UNSURE
                .iter()
                .filter(|(_, a)| *a == action)
                .flat_map(|(key, _)| intervals(video, key))
                .map(|(a, b)| (time(a), time(b)))
                .collect();
            alarms.retain(|s| !unsure.iter().any(|(a, b)| s.onset <= *b + slack && s.at + slack >= *a));
            if action != Action::Centre {
                counts.false_alarms += alarms.len() as u64;
                counts.wrong.extend(
                    alarms
                        .iter()
                        .map(|s| format!("{file}:{}", (s.at.since(first.captured).as_secs_f64() * fps) as u64)),
                );
            }
        }
    }

    /// The `actions` object of the contract.
    pub fn report(&self) -> Value {
        let rows: Map<String, Value> = self
            .0
            .iter()
            .filter(|(_, c)| c.n > 0 || c.seconds > 0.0)
            .map(|(name, c)| {
                let minutes = c.seconds / 60.0;
                let mut latency = c.latency_ms.clone();
                latency.sort_by(f64::total_cmp);
                let rate = super::stats::Rate::new(c.hit, c.n);
                let value = json!({
                    "n": c.n, "hit": c.hit, "recall": if c.n == 0 { Value::Null } else { json!(rate.rate) },
                    "lo": rate.lo, "hi": rate.hi, "false": c.false_alarms, "minutes": minutes,
                    "false_per_minute": if minutes > 0.0 { c.false_alarms as f64 / minutes } else { 0.0 },
                    "median_latency_ms": latency.get(latency.len() / 2), "missed_at": c.missed, "false_at": c.wrong,
                });
                ((*name).to_owned(), value)
            })
            .collect();
        Value::Object(rows)
    }
}

/// A smile that shows teeth and then none, labelled as two, is one that was never let go of.
fn joined(due: Vec<(Tick, Tick)>) -> Vec<(Tick, Tick)> {
    let mut all: Vec<(Tick, Tick)> = Vec::new();
    for (from, to) in due {
        match all.last_mut() {
            Some(last) if from <= last.1 + SLACK => last.1 = last.1.max(to),
            _ => all.push((from, to)),
        }
    }
    all
}

/// Actions that have a way back.
pub fn is_away(action: Action) -> bool {
    matches!(action, Action::TurnLeft | Action::TurnRight | Action::Nod)
}

/// Whether the truth of a clip says anything about an action, if only that there is none.
fn mentions(video: &Map<String, Value>, action: Action) -> bool {
    let key = |k: &str| video.contains_key(k);
    match action {
        Action::Blink => annotated(video),
        Action::Nod => ["turn_image_left", "look_up", "look_down"].into_iter().any(key),
        other => KEYS.iter().filter(|(_, a)| *a == other).any(|(k, _)| key(k)),
    }
}

/// Capture time of a frame, also of one that was thinned out or could not be decoded.
pub fn frame_time(observations: &[Observation], frame: u64, fps: f64) -> Tick {
    match observations.iter().find(|o| o.frame >= frame) {
        Some(o) => o.captured,
        None => observations.last().map_or(Tick::ZERO, |l| {
            l.captured + Duration::from_secs_f64(frame.saturating_sub(l.frame) as f64 / fps.max(1.0))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smile_labelled_in_two_parts_is_one() {
        let span = |a: u64, b: u64| (Tick::from_millis(a), Tick::from_millis(b));
        let due = vec![span(700, 1000), span(6200, 7730), span(8000, 8500), span(9100, 9333)];
        assert_eq!(joined(due), [span(700, 1000), span(6200, 8500), span(9100, 9333)]);
        assert_eq!(joined(Vec::new()), []);
    }
}
