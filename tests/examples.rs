//! The clients of `docs/examples` as their readers run them, over TLS against a terminal with real networks: a person whose
//! recording does what is asked is granted, another one is not.
//!
//! Needs `make models`, `scripts/setup.sh clients`, ffmpeg, node and the folder with the evaluation data.

#[path = "support/clients.rs"]
mod clients;
#[path = "support/film.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod film;
mod support;
#[path = "support/web.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod web;

use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use web::{Client, Terminal};

/// A terminal that asks for what the clip shows, in its order.
fn terminal() -> Terminal {
    Terminal::start(web::in_the_clips_order)
}

fn enrol(admin: &Client<'_>, name: &str, picture: &Path) {
    let bytes = std::fs::read(picture).unwrap_or_else(|e| panic!("{}: {e}", picture.display()));
    let done = admin.upload(&format!("/api/v1/people/{name}/photos"), "image/jpeg", bytes);
    assert_eq!(done.status, 201, "{}", done.text);
}

/// What a client says at its end. On a busy machine pictures come too late to be judged; then one tries again, as a
/// person would.
fn verdict(t: &Terminal, run: impl Fn() -> Output) -> Value {
    for _ in 0..6 {
        let out = run();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let result: Value = serde_json::from_slice(&out.stdout)
            .unwrap_or_else(|e| panic!("{e}: {said} {}", t.log.lock().expect("no holder panics")));
        let code = match result["verdict"].as_str() {
            Some("granted") => 0,
            Some("denied") => 1,
            _ => 2,
        };
        assert_eq!(out.status.code(), Some(code), "{result} {said}");
        if code != 2 {
            return result;
        }
    }
    panic!("never judged: {}", t.log.lock().expect("no holder panics"));
}

#[test]
fn the_clients_in_python_and_javascript_are_granted_and_refused() {
    let name = "the_clients_in_python_and_javascript_are_granted_and_refused";
    if !support::has("ffmpeg", "ffmpeg", name) || !support::has("node", "nodejs", name) {
        return;
    }
    let data = support::shared().join("data");
    let work = tempfile::tempdir().expect("a directory");
    let film = work.path().join("known.mjpeg");
    film::performance(&data.join("video/live_turn_p04.mov"), &film);
    let frames = clients::pictures(work.path(), "known", &["-i", &film.display().to_string()], 10);
    let t = terminal();
    let admin = t.admin();
    enrol(&admin, "p04", &data.join("faces/selfies/p04.jpg"));
    enrol(&admin, "p01", &data.join("faces/selfies/p01.jpg"));
    let operator = t.token(&admin, "operator");
    let token = work.path().join("token");
    std::fs::write(&token, operator.header("authorization").trim_start_matches("Bearer ")).expect("written");
    let ca = t.state().join("web-cert.pem");
    let node = clients::scripts(&["docs/examples/javascript/cardea.mjs", "docs/examples/javascript/frames.mjs"]);
    let url = t.url("");
    let python = |more: &[&str]| {
        let mut c = Command::new(clients::python());
        c.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/python/cardea_client.py"));
        c.args(["--url", &url, "--ca"]).arg(&ca).arg("--token-file").arg(&token).arg("--frames").arg(&frames);
        c.args(more).env("PYTHONDONTWRITEBYTECODE", "1").output().expect("python starts")
    };
    let javascript = |more: &[&str]| {
        let mut c = Command::new("node");
        c.arg(node.path().join("frames.mjs")).args(["--url", &url, "--token-file"]).arg(&token);
        c.arg("--frames").arg(&frames).args(more).env("NODE_EXTRA_CA_CERTS", &ca).output().expect("node starts")
    };
    let redeem = |result: &Value| operator.post("/api/v1/tokens/introspect", &json!({"token": result["token"]})).json();
    let granted = verdict(&t, || python(&["--goal", "identify"]));
    assert_eq!(granted["verdict"], "granted", "{granted}");
    assert_eq!(redeem(&granted)["person"], "p04");
    let refused = verdict(&t, || python(&["--goal", "verify", "--person", "p01"]));
    assert_eq!(refused, json!({"type": "result", "verdict": "denied"}));
    let granted = verdict(&t, || javascript(&["--goal", "verify", "--person", "p04"]));
    assert_eq!(granted["verdict"], "granted", "{granted}");
    assert_eq!(redeem(&granted)["goal"], "verify");
    let other = data.join("faces/selfies/p01.jpg").display().to_string();
    let refused = verdict(&t, || javascript(&["--goal", "verify", "--target", &other]));
    assert_eq!(refused, json!({"type": "result", "verdict": "denied"}));
    let wrong = work.path().join("wrong");
    std::fs::write(&wrong, "cardea_no_such_token").expect("written");
    let wrong = wrong.display().to_string();
    for client in [python(&["--token-file", &wrong]), javascript(&["--goal", "fly"])] {
        let said = String::from_utf8_lossy(&client.stderr).into_owned();
        assert!(!client.status.success() && said.contains("error: "), "{said}");
    }
}
