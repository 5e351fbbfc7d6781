//! `cardea run --dev`, which only a machine that guards nothing may be told to: easy values, this machine alone, no real
//! relay, and a new start when its configuration changes. And what commands say while there is nobody to recognise.

#[path = "support/web.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod web;

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use web::{PATIENCE, picture, script, scripted};

fn cardea(state: &Path, args: &[&str], set: &[String]) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_cardea"));
    c.args(args).args(["--json", "--state"]).arg(state).env("NO_COLOR", "1");
    for s in set {
        c.args(["--set", s]);
    }
    c
}

struct Running {
    child: Child,
    said: Receiver<String>,
}

impl Running {
    fn start(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts");
        let err = child.stderr.take().expect("piped");
        let (tell, said) = channel();
        std::thread::spawn(move || {
            BufReader::new(err).lines().map_while(Result::ok).all(|line| tell.send(line).is_ok());
        });
        Running { child, said }
    }

    /// Reads on until a line has `word`; every line until then.
    fn until(&mut self, word: &str) -> Vec<String> {
        let (end, mut all) = (Instant::now() + PATIENCE, Vec::new());
        while Instant::now() < end {
            let Ok(line) = self.said.recv_timeout(Duration::from_millis(100)) else { continue };
            all.push(line);
            if all.last().is_some_and(|l| l.contains(word)) {
                return all;
            }
        }
        panic!("no `{word}` in {all:#?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn development_needs_its_confession_and_stays_on_this_machine_without_a_relay() {
    let dir = tempfile::tempdir().expect("a directory");
    let set = scripted(dir.path(), &script(0.99, 7));
    for (more, key) in [
        (&[][..], "insecure.dev"),
        (&["insecure.dev=true", "web.listen=\"0.0.0.0:8443\""][..], "web.listen"),
        (
            &[
                "insecure.dev=true",
                "insecure.virtual_camera=true",
                "door.relay.kind=\"gpiocdev\"",
                "door.relay.line=\"GPIO17\"",
            ],
            "door.relay.kind",
        ),
    ] {
        let set: Vec<String> = set.iter().cloned().chain(more.iter().map(|s| (*s).to_owned())).collect();
        let out = cardea(&dir.path().join("state"), &["run", "--dev"], &set).output().expect("starts");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(78), "{more:?}: {said}");
        assert!(said.contains(&format!("error: {key}: ")), "{more:?}: {said}");
    }
}

#[test]
fn development_is_easy_and_starts_again_when_its_file_changes() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut set = scripted(dir.path(), &script(0.99, 7));
    set.extend(["web.enabled=true".to_owned(), "web.listen=\"127.0.0.1:0\"".into()]);
    let file = dir.path().join("cardea.toml");
    std::fs::write(&file, "insecure.dev = true\n[challenge]\nwindow_ms = 1000\n[device]\nname = 'one'\n")
        .expect("written");
    let mut command = cardea(&dir.path().join("state"), &["run", "--dev"], &set);
    command.arg("--config").arg(&file);
    let mut running = Running::start(command);
    let first = running.until("the console is at ");
    assert!(first.iter().any(|l| l.contains("DEVELOPMENT")), "a banner: {first:#?}");
    std::fs::write(&file, "insecure.dev = true\n[device]\nname = 'not a name'\n").expect("written");
    running.until("the changed configuration is not taken");
    std::fs::write(&file, "insecure.dev = true\n[device]\nname = 'second'\n").expect("written");
    running.until("starting again");
    running.until("DEVELOPMENT");
    running.until("the console is at ");
    drop(running);
    let out = cardea(&dir.path().join("state"), &["events", "list"], &set).output().expect("starts");
    let records: Vec<Value> =
        String::from_utf8_lossy(&out.stdout).lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let started: Vec<&Value> = records.iter().filter(|r| r["type"] == "system.started").collect();
    assert_eq!(started.iter().map(|r| r["device"].as_str()).collect::<Vec<_>>(), [Some("one"), Some("second")]);
    assert!(started.iter().all(|r| r["insecure"].as_array().is_some_and(|i| i.contains(&"dev".into()))), "{started:?}");

    let mut easy = cardea(&dir.path().join("state"), &["run", "--dev"], &["insecure.dev=true".into()]);
    easy.args(["--set", "recognition.min_face_px=90", "--set", "web.listen=\"192.0.2.1:1\""]);
    let out = easy.output().expect("starts");
    assert!(String::from_utf8_lossy(&out.stderr).contains("error: web.listen"), "what --set says comes over --dev");
}

#[test]
fn who_is_to_be_recognised_while_nobody_is_enrolled_is_told_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let set = scripted(dir.path(), &script(0.99, 7));
    let file = dir.path().join("face.jpg");
    std::fs::write(&file, picture(0)).expect("written");
    let mut ask = cardea(&dir.path().join("state"), &["identify", &file.display().to_string()], &set);
    let out = ask.output().expect("starts");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("nobody is enrolled; add a person with `cardea enroll"), "{said}");
    let answer: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!((&answer["match"], &answer["reason"]), (&false.into(), &"no_match".into()));
}
