//! The terminal's health as Prometheus text.

use crate::schema::health::{CameraHealth, Health, HealthStatus, Link};
use std::fmt::Write as _;

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

/// Gauges of a health.
#[must_use]
pub fn text(h: &Health) -> String {
    let mut out = String::new();
    let mut gauge = |name: &str, help: &str, value: f64| {
        let _text = writeln!(out, "# HELP cardea_{name} {help}\n# TYPE cardea_{name} gauge\ncardea_{name} {value}");
    };
    let link = |l: Link| f64::from(u8::from(l == Link::Connected));
    let status = match h.status {
        HealthStatus::Ok => 0.0,
        HealthStatus::Degraded => 1.0,
        HealthStatus::Fault => 2.0,
    };
    gauge("health_status", "0 ok, 1 degraded, 2 fault.", status);
    gauge("camera_frames_per_second", "Frames of the door's camera.", f64::from(h.camera.fps));
    if let Some(age) = h.camera.age_ms {
        gauge("camera_frame_age_seconds", "Age of the newest frame.", age as f64 / 1000.0);
    }
    gauge("guard_connected", "Whether the guard can be reached.", link(h.guard));
    gauge("broker_connected", "Whether the MQTT broker is connected.", link(h.broker));
    gauge("disk_free_bytes", "Free space of the state directory.", h.disk_free_mb as f64 * 1_048_576.0);
    gauge("journal_seq", "Number of the newest record.", h.seq as f64);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_comment_or_a_number() {
        let text = text(&Health { camera: CameraHealth { fps: 29.5, age_ms: Some(31) }, ..starting() });
        assert!(text.contains("\ncardea_camera_frame_age_seconds 0.031\n"), "{text}");
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let (_, value) = line.rsplit_once(' ').expect("a name and a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}
