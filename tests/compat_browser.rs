//! Pages that speak the old systems' calls in a real browser, Chromium: S3's four steps at two pictures a second, and S4's
//! form with the face that belongs to the name, that of somebody else, and a photo.
//!
//! S3 runs on scripted networks, since no clip shows all four steps; S4 on the real ones, with recorded clips as camera.
//! Needs chromium, ffmpeg, `make browser-tools` and the folder with the evaluation data. Screenshots: target/browser/shots.

#[path = "support/film.rs"]
mod film;
mod support;
#[path = "support/web.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod web;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use web::{PASSWORD, Terminal, scripted};

fn shots() -> PathBuf {
    let shots = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/browser/shots");
    std::fs::create_dir_all(&shots).expect("a directory");
    shots
}

fn drive(args: &[&str], film: &Path, log: &std::sync::Mutex<String>) -> Value {
    let out = Command::new(film::python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/compat.py"))
        .args(args)
        .arg("--film")
        .arg(film)
        .arg("--shots")
        .arg(shots())
        .output()
        .expect("python starts");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}\n{}", log.lock().expect("no holder panics"));
    serde_json::from_slice(&out.stdout).expect("JSON")
}

fn address(t: &mut Terminal, name: &str) -> String {
    let line = t.wait_for_log(&format!("clients of {name} are served at "));
    let rest = line.split("are served at ").nth(1).expect("an address").trim();
    rest.chars().take_while(|c| *c != '"').collect::<String>().replace("127.0.0.1", "localhost")
}

fn missing(name: &str) -> bool {
    !support::has("chromium", "chromium", name) || !support::has("ffmpeg", "ffmpeg", name)
}

/// Somebody who blinks, turns left and turns right, again and again: a picture of closed eyes is half a second.
fn busy() -> Value {
    let face = |more: &[(&str, Value)]| {
        let mut face = json!({"box": [100.0, 50.0, 120.0, 140.0], "live": 0.99, "person": 7});
        for (key, value) in more {
            face[key] = value.clone();
        }
        face
    };
    let mut rows = vec![json!({"frames": [0, 100_000], "face": face(&[])})];
    for cycle in 0..60 {
        let at = 16 + cycle * 20;
        rows.push(json!({"frames": [at, at], "face": face(&[("openness", json!([0.05, 0.05]))])}));
        rows.push(json!({"frames": [at + 4, at + 7], "face": face(&[("yaw", json!(35))])}));
        rows.push(json!({"frames": [at + 11, at + 14], "face": face(&[("yaw", json!(-35))])}));
    }
    json!({"picture": [320.0, 240.0], "rows": rows})
}

#[test]
fn s3_page_goes_through_its_steps_by_itself_and_stops() {
    if missing("s3_page_goes_through_its_steps_by_itself_and_stops") {
        return;
    }
    let work = tempfile::tempdir().expect("a directory");
    let film = work.path().join("film.mjpeg");
    film::ffmpeg(
        &["-f", "lavfi", "-i", "testsrc2=size=640x480:rate=30", "-t", "60", "-vf", "noise=alls=4:allf=t"],
        &film,
    );
    let mut t = Terminal::start(|dir| {
        let mut all = scripted(dir, &busy());
        all.extend(["web.compat.s3.enabled=true".to_owned(), "web.compat.s3.listen=\"127.0.0.1:0\"".into()]);
        all
    });
    let url = address(&mut t, "s3");
    assert!(url.starts_with("https"));
    let seen = drive(&["s3", "--url", &url], &film, &t.log);
    assert_eq!(seen["message"], "Liveness verification successful", "{seen}");
    assert_eq!(seen["results"].as_array().map(Vec::len), Some(4), "{seen}");
    assert_eq!(seen["after"], 0, "no picture is sent after the end");
    for call in ["api/process-frame", "api/liveness-detection"] {
        assert!(seen["calls"].as_array().is_some_and(|c| c.contains(&json!(call))), "{seen}");
    }
    for list in ["axe", "errors"] {
        assert_eq!(seen[list], json!([]), "{list}: {seen}");
    }
}

#[test]
fn s4_form_and_face_in_a_browser_let_in_the_one_whose_name_it_is() {
    if missing("s4_form_and_face_in_a_browser_let_in_the_one_whose_name_it_is") {
        return;
    }
    let data = support::shared().join("data");
    let work = tempfile::tempdir().expect("a directory");
    let (clip, photo) = (work.path().join("known.mjpeg"), work.path().join("photo.mjpeg"));
    film::performance(&data.join("video/live_turn_p04.mov"), &clip);
    film::photo(&data.join("pads/nuaa/print/0001_00_00_01_0.jpg"), &photo);
    let mut t = Terminal::start(|dir| {
        let mut all = web::in_the_clips_order(dir);
        all.extend(["web.compat.s4.enabled=true", "web.compat.s4.listen=\"127.0.0.1:0\""].map(String::from));
        all
    });
    let url = address(&mut t, "s4");
    let admin = t.admin();
    for (name, picture) in [
        ("p04", "faces/selfies/p04.jpg"),
        ("p01", "faces/selfies/p01.jpg"),
        ("printed", "pads/nuaa/live/0001_00_00_01_0.jpg"),
    ] {
        let user = admin.post("/api/v1/users", &json!({"name": name, "role": "viewer", "password": PASSWORD}));
        assert_eq!(user.status, 201, "{}", user.text);
        let bytes = std::fs::read(data.join(picture)).expect("a picture");
        let done = admin.upload(&format!("/api/v1/people/{name}/photos"), "image/jpeg", bytes);
        assert_eq!(done.status, 201, "{}", done.text);
    }
    for (user, film, tries, at) in
        [("p01", &clip, "1", "login"), ("p04", &clip, "4", "main"), ("printed", &photo, "1", "login")]
    {
        let seen = drive(&["s4", "--url", &url, "--user", user, "--tries", tries], film, &t.log);
        assert_eq!(seen["at"], at, "{user}: {seen}\n{}", t.log.lock().expect("no holder panics"));
        assert_eq!(seen["kept"], if at == "login" { json!(user) } else { Value::Null }, "{seen}");
        if at == "main" {
            assert_eq!(seen["heading"], "Welcome, p04");
        }
        for list in ["axe", "errors"] {
            assert_eq!(seen[list], json!([]), "{user}: {list}: {seen}");
        }
    }
}
