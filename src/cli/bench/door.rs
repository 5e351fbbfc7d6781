//! The time of a decision at the door while web clients or bad commands flood the terminal, beside that of an idle one.
//!
//! One process as the daemon is: the web server with its worker and networks, the MQTT client, the recorder with a journal
//! on the disk. In the place of camera and controller stands a loop with the door's own networks: a frame every 33 ms, the
//! decision on it, and the durable record of a grant. The kinds take turns, so that a machine that becomes slower meanwhile
//! changes all of them.

use super::clients::{self, Flood};
use super::looks::{Crowd, DECIDE, Looks};
use super::measure::{Cost, Figure, round};
use super::rig::{Rig, wait};
use crate::cli::{Failure, Globals};
use crate::runtime::web::Web;
use crate::schema::event::Event;
use crate::schema::ids::{PersonId, VisitId};
use crate::vision::frame::Frame;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Between two frames of the door's camera.
const FRAME: Duration = Duration::from_millis(33);
/// How often each kind has its turn.
const ROUNDS: u32 = 3;
/// What a flood has before the first decision is counted.
const WARM: Duration = Duration::from_secs(1);
/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub sessions: u32,
    pub fps: u32,
    /// `None`: a thousand, if there is a broker to be had.
    pub messages: Option<u32>,
    /// Of each kind.
    pub seconds: u32,
}

/// Decisions and grants of one kind.
#[derive(Default)]
struct Kind {
    decisions: Vec<Cost>,
    grants: Vec<Cost>,
    sent: u64,
}

impl Kind {
    fn answer(&self) -> Value {
        json!({ "decision": Figure::of(&self.decisions), "grant": Figure::of(&self.grants) })
    }
}

/// The figures of all kinds as JSON.
///
/// # Errors
/// The parts cannot be started, or the networks fail.
pub(super) fn measure(
    globals: &Globals,
    ask: Ask,
    looks: &mut Looks<'_>,
    frames: &[Frame],
    face: bool,
    crowd: &Crowd,
) -> Result<Value, Failure> {
    let rig = Rig::start(globals, &ask)?;
    let part = Duration::from_secs(u64::from(ask.seconds)) / ROUNDS;
    let (mut idle, mut web, mut mqtt) = (Kind::default(), Kind::default(), Kind::default());
    let mut door = Door { looks, frames, face, crowd, next: 0 };
    for _ in 0..ROUNDS {
        door.decide(&rig, part, &mut idle)?;
        if let Some(at) = rig.web.as_ref().and_then(Web::address) {
            let flood = clients::sessions(at, ask.sessions, ask.fps, frames);
            wait("the sessions", || flood.connected() >= u64::from(ask.sessions))?;
            door.under(&rig, flood, part, &mut web)?;
        }
        if let Some(broker) = &rig.broker {
            let flood = clients::junk(broker.port, &rig.device, broker.rate)?;
            door.under(&rig, flood, part, &mut mqtt)?;
        }
    }
    let mut answer =
        json!({ "seconds": ask.seconds, "frame_ms": 33, "idle": idle.answer(), "web": null, "mqtt": null });
    let ratio = |kind: &Kind| {
        let of = |pick: fn(&Kind) -> &Vec<Cost>| {
            let (busy, idle) = (Figure::of(pick(kind)).wall_ms, Figure::of(pick(&idle)).wall_ms);
            let over = |a: f64, b: f64| if b > 0.0 { round(a / b) } else { 0.0 };
            json!({ "median": over(busy.median, idle.median), "p95": over(busy.p95, idle.p95) })
        };
        json!({ "decision": of(|k| &k.decisions), "grant": of(|k| &k.grants) })
    };
    if let Some(served) = &rig.web {
        let (counts, seen) = (served.counts(), rig.precedence.seen());
        answer["web"] = web.answer();
        answer["web"]["ratio"] = ratio(&web);
        answer["web"]["sessions"] = json!({
            "at_once": ask.sessions, "fps": ask.fps, "begun": counts.sessions_total,
            "pictures_sent": web.sent, "pictures_replaced": counts.frames_replaced_total,
            "door_frames": seen.turns, "door_frames_beside_web": seen.turns_beside,
            "beside_ms": round(seen.beside.as_secs_f64() * 1e3), "door_frames_overtaken": seen.overtook,
        });
    }
    if let Some(broker) = &rig.broker {
        let refused = rig.commands.status().counts.refused.values().sum::<u64>();
        answer["mqtt"] = mqtt.answer();
        answer["mqtt"]["ratio"] = ratio(&mqtt);
        answer["mqtt"]["messages"] = json!({ "a_second": broker.rate, "sent": mqtt.sent, "refused": refused });
    }
    Ok(answer)
}

/// The loop in the place of camera and controller.
struct Door<'a, 'b> {
    looks: &'a mut Looks<'b>,
    frames: &'a [Frame],
    face: bool,
    crowd: &'a Crowd,
    next: usize,
}

impl Door<'_, '_> {
    fn under(&mut self, rig: &Rig, flood: Flood, part: Duration, kind: &mut Kind) -> Result<(), Failure> {
        std::thread::sleep(WARM);
        self.decide(rig, part, kind)?;
        kind.sent += flood.sent();
        Ok(())
    }

    fn decide(&mut self, rig: &Rig, part: Duration, kind: &mut Kind) -> Result<(), Failure> {
        let began = Instant::now();
        let mut due = began + FRAME;
        while began.elapsed() < part {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let frame = &self.frames[self.next % self.frames.len()];
            self.next += 1;
            let turn = rig.precedence.first();
            let run = self.looks.once(frame, self.face, DECIDE, Some(self.crowd))?;
            drop(turn);
            // From when the frame was there: what it waited for a processor counts.
            let decided = Cost { cpu: run.total.cpu, wall: millis(due.elapsed()) };
            let (record, writing) = self.looks.watch.time(|| rig.recorder.commit(grant(run.total.wall)));
            record.map_err(Failure::unavailable)?;
            kind.decisions.push(decided);
            kind.grants.push(Cost { cpu: decided.cpu + writing.cpu, wall: millis(due.elapsed()) });
            due = (due + FRAME).max(Instant::now());
        }
        Ok(())
    }
}

fn millis(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

fn grant(decision_ms: f64) -> Event {
    Event::AccessGranted {
        visit: VisitId(1),
        person: PersonId::new("nobody").expect("letters are a name"),
        door: "bench".into(),
        decision_ms: decision_ms as u64,
        passive_pad: true,
    }
}

/// The same for people.
pub(super) fn table(door: &Value) -> String {
    let mut text = format!(
        "\n{:<22} {:>10} {:>10} {:>10} {:>10} {:>6}\n",
        "at the door, wall ms", "median", "p95", "of idle", "p95", "runs"
    );
    for (kind, name) in [("idle", "idle"), ("web", "under web sessions"), ("mqtt", "under bad commands")] {
        for what in ["decision", "grant"] {
            let figure = &door[kind][what];
            if figure.is_null() {
                continue;
            }
            let number = |v: &Value| v.as_f64().map_or_else(|| "-".into(), |n| format!("{n:.3}"));
            let (wall, ratio) = (&figure["wall_ms"], &door[kind]["ratio"][what]);
            text.push_str(&format!(
                "{:<22} {:>10} {:>10} {:>10} {:>10} {:>6}\n",
                format!("{what}, {name}"),
                number(&wall["median"]),
                number(&wall["p95"]),
                number(&ratio["median"]),
                number(&ratio["p95"]),
                figure["runs"]
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_leaves_out_what_was_not_measured() {
        let f = json!({ "wall_ms": { "median": 10.0, "p95": 12.5 }, "runs": 90 });
        let door = json!({
            "idle": { "decision": f, "grant": f }, "mqtt": null,
            "web": { "decision": f, "grant": f, "ratio": { "decision": { "median": 1.0, "p95": 1.25 } } },
        });
        let text = table(&door);
        let row = |name: &str| text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
        assert!(row("decision, under web").contains("1.250") && row("decision, idle").contains(" - "), "{text}");
        assert!(!text.contains("bad commands"), "{text}");
    }
}
