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

const RULES: &str = r#"
zone = "Europe/Berlin"
holidays = ["12-25", "2026-12-27/2026-12-31"]
[schedules.office]
mon-fri = ["08:00-18:00"]
sat = ["09:00-12:00"]
[groups.staff]
[groups.visitors]
second_factor = "pin_or_card"
two_person = "staff"
[doors.side]
[doors.front]
hold_open = { schedule = "office", first_person = true }
[[grants]]
groups = ["everyone"]
doors = ["front"]
schedule = "always"
[[grants]]
groups = ["visitors"]
doors = ["front", "side"]
schedule = "office"
"#;

/// Results as `cardea eval --keep` leaves them, with the shape of true ones and made up numbers.
fn kept_results(dir: &std::path::Path) {
    use std::os::unix::fs::DirBuilderExt;
    let kept = dir.join("state/eval");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&kept).expect("a directory");
    let det: Vec<Value> = (0..120)
        .map(|i| {
            let x = f64::from(i) / 119.0;
            serde_json::json!({"threshold": x, "fmr": 10_f64.powf(-5.0 * x), "fnmr": 10_f64.powf(-3.0 + 2.2 * x * x)})
        })
        .collect();
    let hill = |mid: f64| -> Vec<u64> {
        (0..50).map(|i| (1e4 * (-(f64::from(i) - mid).powi(2) / 30.0).exp()) as u64).collect()
    };
    let at = |fnmr: f64, shown| serde_json::json!({"fnmr": fnmr, "lo": fnmr / 2.0, "hi": fnmr * 2.0, "threshold": 0.3, "shown": shown});
    let faces = serde_json::json!({"genuine": 1200, "impostor": 115_000, "eer": 0.008, "precision": "fp32", "det": det,
        "histogram": {"from": -0.2, "to": 1.0, "genuine": hill(36.0), "impostor": hill(9.0)},
        "fnmr_at_fmr": {"1e-2": at(0.004, true), "1e-3": at(0.01, true), "1e-4": at(0.03, true), "1e-5": at(0.08, false)}});
    let group = |species: &str, errors: u64, n: u64| {
        let rate = errors as f64 / n as f64;
        serde_json::json!({"source": "site", "species": species, "kind": "still", "n": n, "errors": errors, "rate": rate, "lo": rate / 3.0, "hi": (rate * 2.0 + 0.02).min(1.0)})
    };
    let pad = serde_json::json!({"passive_pad": true, "groups": [group("live", 4, 120), group("print", 3, 200), group("replay", 11, 90)]});
    for (name, report) in [("faces", faces), ("pad", pad)] {
        let text =
            serde_json::json!({"eval": name, "at": "2026-11-22T08:00:00Z", "pack": "standard", "report": report});
        std::fs::write(kept.join(format!("{name}.json")), text.to_string()).expect("written");
    }
    std::fs::write(kept.join("gallery.json"), "{").expect("written");
}

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
        std::fs::write(dir.join("rules.toml"), RULES).expect("written");
        all.push(format!("rules.file={:?}", dir.join("rules.toml")));
        kept_results(dir);
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
