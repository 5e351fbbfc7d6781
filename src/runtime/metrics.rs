//! What a Prometheus server reads: text of the exposition format, version 0.0.4, made of health and counters.
//!
//! Names are stable. Counters count since the start of the daemon and begin anew with it; `cardea_records` is the journal's
//! own number, which does not.

use super::commands::CommandStatus;
use crate::adapters::mqtt::Status;
use crate::adapters::web::house::DoorCounts;
use crate::schema::health::{CameraHealth, Health, HealthStatus, Link};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What the text is made of.
#[derive(Clone, Debug)]
pub struct Metrics<'a> {
    pub health: &'a Health,
    /// Records since the start, by their type.
    pub records: &'a BTreeMap<String, u64>,
    pub commands: &'a CommandStatus,
    /// `None` without a broker in the configuration.
    pub mqtt: Option<Status>,
    pub door: DoorCounts,
    pub version: &'a str,
}

/// Before the supervisor has looked around once.
#[must_use]
pub fn starting() -> Health {
    Health {
        status: HealthStatus::Degraded,
        problems: vec!["the terminal is starting".into()],
        lockdown: false,
        camera: CameraHealth { fps: 0.0, age_ms: None },
        guard: Link::Off,
        broker: Link::Off,
        disk_free_mb: 0,
        model_pack: String::new(),
        passive_pad: false,
        seq: 0,
    }
}

/// The text. It holds no names of people.
#[must_use]
pub fn text(m: &Metrics<'_>) -> String {
    let mut out = Text::default();
    let h = m.health;
    out.family("cardea_build_info", "gauge", "Release and model pack, as labels; always 1.");
    out.value("cardea_build_info", &[("version", m.version), ("pack", &h.model_pack)], 1.0);
    out.family("cardea_health", "gauge", "Judgement of itself: the one that holds is 1.");
    for (status, word) in
        [(HealthStatus::Ok, "ok"), (HealthStatus::Degraded, "degraded"), (HealthStatus::Fault, "fault")]
    {
        out.value("cardea_health", &[("status", word)], f64::from(h.status == status));
    }
    out.single("cardea_camera_frames_per_second", "gauge", "Frames over the last seconds.", f64::from(h.camera.fps));
    if let Some(age) = h.camera.age_ms {
        out.single("cardea_camera_frame_age_seconds", "gauge", "Age of the newest frame.", age as f64 / 1_000.0);
    }
    out.single("cardea_guard_connected", "gauge", "Whether the guard answers.", link(h.guard));
    out.single("cardea_lockdown", "gauge", "Whether nobody is let in until release.", f64::from(h.lockdown));
    out.single("cardea_passive_pad", "gauge", "Whether the pack has a PAD network.", f64::from(h.passive_pad));
    let free = h.disk_free_mb as f64 * 1_048_576.0;
    out.single("cardea_disk_free_bytes", "gauge", "Free space where the journal lives.", free);
    out.single("cardea_journal_seq", "gauge", "Number of the newest record.", h.seq as f64);
    out.family("cardea_records_total", "counter", "Records since the start, by type.");
    for (kind, count) in m.records {
        out.value("cardea_records_total", &[("type", kind)], *count as f64);
    }
    out.family("cardea_commands_accepted_total", "counter", "Commands that passed all checks.");
    for (name, count) in &m.commands.counts.accepted {
        out.value("cardea_commands_accepted_total", &[("command", name.word())], *count as f64);
    }
    out.family("cardea_commands_refused_total", "counter", "Commands that were refused, by reason.");
    for (error, count) in &m.commands.counts.refused {
        out.value("cardea_commands_refused_total", &[("error", error.word())], *count as f64);
    }
    let overrun = m.commands.overrun as f64;
    out.single("cardea_commands_overrun_total", "counter", "Commands dropped because too many waited.", overrun);
    door(&mut out, &m.door);
    if let Some(s) = m.mqtt {
        out.single(
            "cardea_mqtt_connected",
            "gauge",
            "Whether the broker has confirmed online.",
            f64::from(s.connected),
        );
        out.single("cardea_mqtt_connections_total", "counter", "How often that came about.", s.connections as f64);
        out.single("cardea_mqtt_records_in_flight", "gauge", "Records on their way.", s.in_flight as f64);
        let waiting = h.seq.saturating_sub(s.cursor) as f64;
        out.single("cardea_mqtt_records_waiting", "gauge", "Records that the broker has not confirmed.", waiting);
        out.single("cardea_mqtt_records_confirmed_total", "counter", "Records that it has.", s.confirmed as f64);
        let dropped = s.live_dropped as f64;
        out.single("cardea_mqtt_live_dropped_total", "counter", "Live events that were not sent.", dropped);
    }
    out.0
}

/// What becomes of the door's frames, and how web sessions make way for them.
fn door(out: &mut Text, d: &DoorCounts) {
    let mut count = |name: &str, help: &str, value: f64| {
        out.single(&format!("cardea_{name}"), "counter", help, value);
    };
    count("door_frames_total", "Frames of the door's camera.", d.frames_total as f64);
    count("door_frames_torn_total", "Frames that the camera delivered broken.", d.frames_torn_total as f64);
    let replaced = "Frames that a newer one replaced before the door had time for them.";
    count("door_frames_replaced_total", replaced, d.frames_replaced_total as f64);
    count("door_frames_taken_total", "Frames that the door has taken up.", d.frames_taken_total as f64);
    let beside = "Frames taken up while a piece of a web picture, at most a network's run, was under way beside them.";
    count("door_frames_beside_web_total", beside, d.frames_beside_web_total as f64);
    let seconds = "How long such frames and pieces were under way together.";
    count("door_beside_web_seconds_total", seconds, d.beside_web_seconds_total);
    let overtaken = "Pieces of web pictures that were begun although the door had a frame.";
    count("door_frames_overtaken_total", overtaken, d.frames_overtaken_total as f64);
    count("web_pieces_total", "Pieces of web pictures: decoding, and each network's run.", d.web_pieces_total as f64);
    count("web_pieces_yielded_total", "Pieces that waited for the door.", d.web_pieces_yielded_total as f64);
    count("web_yielded_seconds_total", "How long they waited.", d.web_yielded_seconds_total);
}

fn link(link: Link) -> f64 {
    f64::from(link == Link::Connected)
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _into_a_string = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let inner: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{}\"", escaped(v))).collect();
        let labels = if inner.is_empty() { String::new() } else { format!("{{{}}}", inner.join(",")) };
        let _into_a_string = writeln!(self.0, "{name}{labels} {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.value(name, &[], value);
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::schema::command::{CommandError, CommandName};

    fn sample(pack: &str) -> String {
        let health = Health {
            status: HealthStatus::Degraded,
            problems: vec![],
            camera: CameraHealth { fps: 14.5, age_ms: Some(31) },
            guard: Link::Connected,
            broker: Link::Lost,
            disk_free_mb: 1200,
            model_pack: pack.into(),
            passive_pad: true,
            seq: 42,
            lockdown: false,
        };
        let mut commands = CommandStatus::default();
        commands.counts.accepted.insert(CommandName::Unlock, 3);
        commands.counts.refused.insert(CommandError::BadMac, 5);
        let status =
            Status { connected: true, connections: 2, in_flight: 1, cursor: 40, confirmed: 39, live_dropped: 0 };
        let records = BTreeMap::from([("access.granted".to_owned(), 7)]);
        let m = Metrics {
            health: &health,
            records: &records,
            commands: &commands,
            mqtt: Some(status),
            door: DoorCounts { frames_beside_web_total: 3, beside_web_seconds_total: 0.25, ..DoorCounts::default() },
            version: "0.1.0",
        };
        text(&m)
    }

    #[test]
    fn the_text_says_what_is_so() {
        let text = sample("standard");
        for line in [
            "cardea_build_info{version=\"0.1.0\",pack=\"standard\"} 1",
            "cardea_health{status=\"ok\"} 0",
            "cardea_health{status=\"degraded\"} 1",
            "cardea_camera_frame_age_seconds 0.031",
            "cardea_records_total{type=\"access.granted\"} 7",
            "cardea_commands_refused_total{error=\"bad_mac\"} 5",
            "cardea_mqtt_records_waiting 2",
            "cardea_door_frames_beside_web_total 3",
            "cardea_door_beside_web_seconds_total 0.25",
            "cardea_door_frames_overtaken_total 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        let text = sample("a\"b\\c\nd");
        assert!(text.contains(r#"pack="a\"b\\c\nd""#), "{text}");
        assert!(text.lines().all(|l| l.starts_with("# ") || l.starts_with("cardea_")));
    }
}
