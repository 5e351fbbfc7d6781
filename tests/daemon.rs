//! `cardea run` from outside: cameras that fail, models that are not what they must be, stopping.

mod support;

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A daemon whose records arrive as they are written.
struct Daemon {
    child: Child,
    records: Receiver<Value>,
}

impl Daemon {
    fn start(state: &Path, settings: &[String]) -> Daemon {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
        command.args(["run", "--json", "--state"]).arg(state);
        for s in settings {
            command.args(["--set", s]);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
        let out = child.stdout.take().expect("piped");
        let (tx, records) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _nobody_listens = tx.send(serde_json::from_str(&line).expect("JSON only"));
            }
        });
        Daemon { child, records }
    }

    /// Waits for a record of that type.
    fn wait_for(&self, kind: &str) -> Value {
        let until = Instant::now() + Duration::from_secs(60);
        let mut seen = Vec::new();
        while let Ok(r) = self.records.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if r["type"] == kind {
                return r;
            }
            seen.push(r["type"].to_string());
        }
        panic!("no {kind} came; there were {seen:?}");
    }

    fn stop(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        self.child.wait().expect("it ends").code()
    }
}

fn camera(kind: &str, fault: &str) -> Vec<String> {
    let clip = support::shared().join("data/video/live_far_p11_no.mkv");
    let mut set = vec![format!("camera.kind={kind:?}"), format!("camera.path={:?}", clip.display().to_string())];
    if !fault.is_empty() {
        set.push(format!("camera.faults=[{fault:?}]"));
    }
    set
}

#[test]
fn an_unplugged_camera_raises_an_alarm_and_its_return_is_recorded() {
    let state = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(state.path(), &camera("sim", "unplug@1500+1500"));
    daemon.wait_for("system.ready");
    let alarm = daemon.wait_for("alarm.camera");
    assert!(alarm["what"].as_str().is_some_and(|w| !w.is_empty()));
    daemon.wait_for("system.camera");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_stalled_camera_raises_an_alarm() {
    let state = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(state.path(), &camera("sim", "stall@1000"));
    daemon.wait_for("alarm.camera");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_missing_camera_is_an_alarm_and_the_daemon_waits_for_it() {
    let state = tempfile::tempdir().expect("a directory");
    let set = ["camera.kind=\"v4l2\"".to_owned(), "camera.device=\"/dev/video97\"".to_owned()];
    let daemon = Daemon::start(state.path(), &set);
    let alarm = daemon.wait_for("alarm.camera");
    assert!(alarm["what"].as_str().is_some_and(|w| w.contains("/dev/video97")), "{alarm}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn the_journal_of_a_run_is_a_sound_chain_that_ends_with_the_stop() {
    let state = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(state.path(), &camera("file", ""));
    daemon.wait_for("system.ready");
    assert_eq!(daemon.stop(), Some(0));
    let cardea = |args: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_cardea"))
            .args(args)
            .arg("--state")
            .arg(state.path())
            .output()
            .expect("the program starts");
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    let (code, answer) = cardea(&["events", "verify", "--json"]);
    assert_eq!(code, Some(0), "{answer}");
    let (_, list) = cardea(&["events", "list", "--json"]);
    let last: Value = serde_json::from_str(list.lines().last().expect("records")).expect("JSON");
    assert_eq!(last["type"], "system.stopped");
}

#[test]
fn models_that_are_not_what_the_manifest_says_stop_the_start() {
    let state = tempfile::tempdir().expect("a directory");
    let cache = tempfile::tempdir().expect("a directory");
    for entry in std::fs::read_dir("models/cache").expect("run `make models` first").flatten() {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), cache.path().join(entry.file_name())).expect("copied");
        }
    }
    let file = cache.path().join("face_reid_0095_128_split.onnx");
    let mut bytes = std::fs::read(&file).expect("the embedding network");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    let out = Command::new(env!("CARGO_BIN_EXE_cardea"))
        .args(["run", "--state"])
        .arg(state.path())
        .args(["--set", &format!("models.cache={:?}", cache.path().display().to_string())])
        .args(camera("file", "").iter().flat_map(|s| ["--set", s.as_str()]))
        .output()
        .expect("the program starts");
    let error = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(69), "{error}");
    assert!(error.contains("face_reid_0095_128_split.onnx"), "{error}");
}
