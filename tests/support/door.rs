//! A door that somebody comes to again and again, beside whatever is done to its terminal.

use super::web::{Client, Terminal, picture, scripted};
use serde_json::json;
use std::path::Path;

/// Frames of one round at the door, 30 a second: somebody comes at 60 and goes at 150.
const ROUND: u32 = 210;

/// A door to which ada comes every seven seconds; no challenge, so that a script can be her.
pub fn door(dir: &Path) -> Vec<String> {
    let face = json!({"box": [100.0, 50.0, 120.0, 140.0], "live": 0.99, "person": 7});
    let script = json!({"picture": [320.0, 240.0], "rows": [
        // A still picture is frame 0.
        {"frames": [0, 0], "face": {"box": [100.0, 50.0, 120.0, 140.0], "person": 7}},
        {"frames": [60, 150], "face": face},
    ]});
    let mut settings = scripted(dir, &script);
    let frames = dir.join("round");
    std::fs::create_dir(&frames).expect("a directory");
    for i in 0..ROUND {
        std::fs::write(frames.join(format!("frame_{i:05}.jpg")), picture(i)).expect("written");
    }
    settings.retain(|s| !s.starts_with("camera.path") && !s.starts_with("web.session_fps"));
    settings.extend([
        format!("camera.path={frames:?}"),
        "challenge.mode=\"off\"".into(),
        "insecure.challenge_off=true".into(),
        "door.hold_ms=500".into(),
        "web.self_service=true".into(),
        "web.sessions_per_minute=6000".into(),
        "web.session_ttl_s=600".into(),
    ]);
    settings
}

/// A number of /metrics; 0 while nothing of the kind has happened.
pub fn count(t: &Terminal, name: &str) -> f64 {
    let text = t.client().get("/metrics").text;
    let value = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0.0, |v| v.parse().expect("a number"))
}

pub fn granted(t: &Terminal) -> f64 {
    count(t, "cardea_records_total{type=\"access.granted\"}")
}

pub fn enrol(admin: &Client<'_>) {
    let done = admin.upload("/api/v1/people/ada/photos", "image/jpeg", picture(0));
    assert_eq!(done.status, 201, "{}", done.text);
}

/// Bytes in memory.
pub fn resident(t: &Terminal) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", t.pid())).expect("it runs");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}
