//! The console and the self-service page in a real browser, Chromium, whose camera is a recorded clip: the terminal is set
//! up and people are enrolled by hand of the page, an enrolled person is verified, a stranger and a photo are not. Every
//! page is opened and looked at by axe-core.
//!
//! Needs chromium, ffmpeg, `make browser-tools` and the folder with the evaluation data. Screenshots: target/browser/shots.

#[path = "support/film.rs"]
mod film;
mod support;
#[path = "support/web.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod web;

use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use web::Terminal;

#[test]
fn the_console_and_the_self_service_page_in_a_real_browser() {
    let name = "the_console_in_a_real_browser";
    if !support::has("chromium", "chromium", name) || !support::has("ffmpeg", "ffmpeg", name) {
        return;
    }
    let data = support::shared().join("data");
    let work = tempfile::tempdir().expect("a directory");
    let (clip, photo) = (work.path().join("known.mjpeg"), work.path().join("photo.mjpeg"));
    film::performance(&data.join("video/live_turn_p04.mov"), &clip);
    film::photo(&data.join("pads/nuaa/print/0001_00_00_01_0.jpg"), &photo);
    let t = Terminal::start(|dir| {
        let mut all = web::in_the_clips_order(dir);
        all.extend(["web.self_service=true"].map(String::from));
        all
    });
    let shots = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/browser/shots");
    std::fs::create_dir_all(&shots).expect("a directory");
    let code = std::fs::read_to_string(t.state().join("setup-code")).expect("a set-up code");
    let file = |p: &str| data.join(p).display().to_string();
    let out = Command::new(film::python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/console.py"))
        .args(["--url", &t.url("/"), "--code", code.trim()])
        .args(["--clip", &clip.display().to_string(), "--photo-clip", &photo.display().to_string()])
        .args(["--known", &file("faces/selfies/p04.jpg"), "--other", &file("faces/selfies/p01.jpg")])
        .args(["--printed", &file("pads/nuaa/live/0001_00_00_01_0.jpg")])
        .args(["--shots", &shots.display().to_string()])
        .output()
        .expect("python starts");
    let said = String::from_utf8_lossy(&out.stderr);
    let log = t.log.lock().expect("no holder panics").clone();
    assert!(out.status.success(), "{said}\n{log}");
    let seen: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(
        (&seen["stranger"], &seen["known"], &seen["photo"]),
        (&"denied".into(), &"granted".into(), &"denied".into()),
        "{seen}\n{log}"
    );
    for list in ["axe", "errors", "foreign", "words"] {
        assert_eq!(seen[list], serde_json::json!([]), "{list}: {seen}");
    }
    assert_eq!(seen["phone_overflow"], 0, "wider than the screen");
    assert_eq!(seen["keyboard"], "SELECT", "the first stop of the keyboard on the page of events");
    let reasons: Vec<String> = t
        .client()
        .get("/metrics")
        .text
        .lines()
        .filter(|l| l.starts_with("cardea_web_verdicts_total"))
        .map(str::to_owned)
        .collect();
    assert!(reasons.iter().any(|r| r.ends_with("verdict=\"granted\"} 1")), "{reasons:?}");
}
