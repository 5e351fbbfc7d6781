//! Schemathesis, which makes requests of its own from the description of the API, against the running server: it finds no
//! answer that the description does not know, and no failure. At most two minutes.
//!
//! Needs `scripts/setup.sh clients`.

#[path = "support/clients.rs"]
mod clients;
#[path = "support/web.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod web;

use std::process::Command;
use web::{Terminal, script, scripted};

#[test]
fn schemathesis_finds_nothing_in_the_api() {
    let t = Terminal::start(|dir| {
        let more = ["web.sessions_per_minute=6000", "web.max_sessions=1000", "web.remote_unlock=true"];
        scripted(dir, &script(0.99, 7)).into_iter().chain(more.iter().map(|s| (*s).to_owned())).collect()
    });
    let admin = t.admin();
    let token = t.token(&admin, "admin");
    let out = Command::new(clients::installed("schemathesis"))
        .current_dir(t.dir.path())
        .arg("--config-file")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/schemathesis.toml"))
        .args(["run", &t.url("/api/v1/openapi.json"), "--url", &t.url("")])
        .args(["--header", &format!("Authorization: {}", token.header("authorization"))])
        .arg("--tls-verify")
        .arg(t.state().join("web-cert.pem"))
        .env("NO_COLOR", "1")
        .output()
        .expect("schemathesis starts");
    let said = format!("{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}");
    let cases = said.lines().rev().find_map(|l| l.trim().split_once(" generated").map(|(n, _)| n.to_owned()));
    assert!(cases.as_deref().and_then(|n| n.parse::<u32>().ok()).is_some_and(|n| n > 500), "it looked: {said}");
    assert_eq!(t.client().get("/healthz").status, 200, "it still serves");
}
