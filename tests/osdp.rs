//! A door that is a reader of an access panel: the daemon with a scripted camera on one side of a pseudo-terminal, the
//! control panel of libosdp's Python package on the other.

#[path = "support/clients.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod clients;
#[path = "support/daemon.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod daemon;
#[path = "support/squares.rs"]
mod squares;
#[path = "support/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod support;

use cardea::adapters::panel;
use cardea::adapters::system::SystemClock;
use cardea::base::time::Clock;
use cardea::config::sections::{OsdpConfig, PanelLineConfig};
use cardea::domain::panel::card::CardFormat;
use cardea::domain::panel::courier::SILENT;
use cardea::ports::PanelLine;
use daemon::Daemon;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const KEY: &str = "00112233445566778899aabbccddeeff";
const ADDRESS: u8 = 5;
/// Facility 17, number 4242, as 26 bits.
const ADA: &str = "10001000100010000100100100";

/// Lines of JSON as they come, and those that came.
struct Lines {
    from: Receiver<Value>,
    seen: Vec<Value>,
}

impl Lines {
    fn of(child: &mut Child) -> Lines {
        let out = child.stdout.take().expect("piped");
        let (tx, from) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _nobody_listens = tx.send(serde_json::from_str(&line).unwrap_or_else(|_| panic!("JSON: {line}")));
            }
        });
        Lines { from, seen: Vec::new() }
    }

    /// The next line that is one of those.
    fn next(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        while let Ok(line) = self.from.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.seen.push(line.clone());
            if wanted(&line) {
                return line;
            }
        }
        panic!("{what} did not come: {:?}", self.seen);
    }

    fn record(&mut self, kinds: &[&str]) -> Value {
        self.next(&kinds.join(" or "), |line| kinds.iter().any(|k| line["type"] == *k))
    }

    fn count(&self, kind: &str) -> usize {
        self.seen.iter().filter(|line| line["type"] == kind).count()
    }
}

/// The panel in the wall.
struct Panel {
    child: Child,
    lines: Lines,
    device: PathBuf,
}

impl Panel {
    fn start(key: &str) -> Panel {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/osdp/panel.py");
        let mut command = Command::new(clients::python());
        command.arg(script).arg(key).arg(ADDRESS.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = Lines::of(&mut child);
        let first = lines.next("the device", |line| line["device"].is_string());
        let device = first["device"].as_str().expect("a path").into();
        Panel { child, lines, device }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    fn secure(&mut self) {
        self.lines.next("the secure channel", |line| line["secure"] == true);
    }

    fn card(&mut self) -> String {
        let line = self.lines.next("a card", |line| line["card"].is_string());
        line["card"].as_str().expect("bits").to_owned()
    }

    /// Ends it; the cards that came in all its life.
    fn end(mut self) -> u64 {
        drop(self.child.stdin.take());
        self.lines.next("the end", |line| line["cards"].is_u64())["cards"].as_u64().expect("a number")
    }
}

impl Drop for Panel {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _either_way = self.child.wait();
    }
}

/// A door: ada comes, and after her somebody who is not enrolled; then it begins anew.
struct Scene(tempfile::TempDir);

impl Scene {
    fn new(coming: [u64; 2]) -> Scene {
        let scene = Scene(tempfile::tempdir().expect("a directory"));
        let frames = scene.at("frames");
        squares::film(&frames, 360);
        let face = |person: u64| json!({"box": [100.0, 50.0, 120.0, 140.0], "live": 0.99, "person": person});
        let rows: Vec<Value> = [15, 195]
            .iter()
            .zip(coming)
            .map(|(at, person)| json!({"frames": [at, at + 120], "face": face(person)}))
            .collect();
        let script = |rows: &[Value]| json!({"picture": [320.0, 240.0], "rows": rows}).to_string();
        scene.write("script.json", &script(&rows));
        scene.write("enrol.json", &script(&[json!({"frames": [0, 0], "face": face(7)})]));
        scene.write("key", KEY);
        let picture = scene.at("frames/frame_00000.jpg").display().to_string();
        scene.cardea(&["enroll", "ada", "--image", &picture], "enrol.json");
        scene.cardea(&["people", "set", "ada", "--card", "17:4242"], "script.json");
        scene
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.at(name), text).expect("written");
        std::fs::set_permissions(self.at(name), std::fs::Permissions::from_mode(0o600)).expect("ours");
    }

    fn command(&self, args: &[&str], script: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
        command.args(args).arg("--state").arg(self.at("state"));
        let script = format!("models.script={:?}", self.at(script));
        for set in ["models.pack=\"scripted\"", &script, "insecure.scripted_models=true"] {
            command.args(["--set", set]);
        }
        command
    }

    fn cardea(&self, args: &[&str], script: &str) {
        let out = self.command(args, script).output().expect("it starts");
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    }

    fn start(&self, panel: &Panel) -> (Daemon, Lines) {
        self.run(&[
            "osdp.enabled=true".into(),
            format!("osdp.device={:?}", panel.device),
            format!("osdp.address={ADDRESS}"),
            format!("osdp.key_file={:?}", self.at("key")),
        ])
    }

    fn run(&self, line: &[String]) -> (Daemon, Lines) {
        let mut command = self.command(&["run", "--json"], "script.json");
        let own = [
            "camera.kind=\"file\"".to_owned(),
            format!("camera.path={:?}", self.at("frames")),
            "challenge.mode=\"off\"".into(),
            "insecure.challenge_off=true".into(),
            "prompt.kind=\"none\"".into(),
        ];
        for set in own.iter().chain(line) {
            command.args(["--set", set]);
        }
        let errors = std::fs::File::create(self.at("errors")).expect("a file");
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().expect("it starts");
        let lines = Lines::of(&mut child);
        (Daemon(child), lines)
    }

    /// Rising edges of our own line.
    fn pulses(&self) -> usize {
        let edges = std::fs::read_to_string(self.at("state/relay.edges")).unwrap_or_default();
        edges.lines().filter(|l| l.contains(" 1 ")).count()
    }
}

#[test]
fn the_panel_gets_the_card_of_who_came_and_nothing_of_a_stranger() {
    if support::left_out("libosdp", "the_panel_gets_the_card_of_who_came_and_nothing_of_a_stranger") {
        return;
    }
    let scene = Scene::new([7, 9]);
    let mut panel = Panel::start(KEY);
    let (daemon, mut records) = scene.start(&panel);
    records.record(&["system.panel"]);
    let sent = records.record(&["panel.sent"]);
    assert_eq!((&sent["via"], &sent["confirmed"]), (&json!("osdp"), &json!(true)), "{sent}");
    assert_eq!(panel.card(), ADA);
    let reported = records.seen.iter().find(|r| r["type"] == "access.reported").expect("it is told before it is sent");
    assert_eq!((&reported["person"], &reported["visit"]), (&json!("ada"), &sent["visit"]), "{reported}");
    let stranger = records.next("a stranger", |r| r["reason"] == "no_match" && r["type"] == "access.denied");
    assert_eq!(stranger["person"], Value::Null);
    daemon.stop();
    records.record(&["system.stopped"]);
    assert_eq!(panel.end(), records.count("panel.sent") as u64);
    assert_eq!((scene.pulses(), records.count("access.granted")), (0, 0), "the panel has the lock");
}

#[test]
fn a_panel_with_another_key_gets_no_channel_and_no_card() {
    if support::left_out("libosdp", "a_panel_with_another_key_gets_no_channel_and_no_card") {
        return;
    }
    let scene = Scene::new([7, 7]);
    let panel = Panel::start("ffeeddccbbaa99887766554433221100");
    let (daemon, mut records) = scene.start(&panel);
    let denied = records.record(&["access.denied"]);
    assert_eq!(denied["reason"], "panel", "{denied}");
    let alarm = records.record(&["alarm.panel"]);
    assert!(alarm["what"].as_str().is_some_and(|w| w.contains("no secure channel")), "{alarm}");
    daemon.stop();
    records.record(&["system.stopped"]);
    assert_eq!(panel.lines.seen.iter().filter(|l| l["secure"] == true).count(), 0);
    assert_eq!(panel.end(), 0);
    assert_eq!((scene.pulses(), records.count("panel.sent"), records.count("access.reported")), (0, 0, 0));
}

#[test]
fn a_panel_that_stopped_for_a_while_never_hears_of_who_came_meanwhile() {
    if support::left_out("libosdp", "a_panel_that_stopped_for_a_while_never_hears_of_who_came_meanwhile") {
        return;
    }
    let scene = Scene::new([7, 7]);
    let mut panel = Panel::start(KEY);
    let (daemon, mut records) = scene.start(&panel);
    records.record(&["system.panel"]);
    panel.signal(Signal::STOP);
    records.record(&["alarm.panel"]);
    let before = records.count("panel.sent") as u64;
    let denied = records.next("a refusal", |r| r["type"] == "access.denied" && r["reason"] == "panel");
    assert_eq!(denied["rule"], Value::Null);
    panel.signal(Signal::CONT);
    records.record(&["system.panel"]);
    records.record(&["panel.sent"]);
    for _ in 0..=before {
        assert_eq!(panel.card(), ADA);
    }
    daemon.stop();
    records.record(&["system.stopped"]);
    assert_eq!(panel.end(), records.count("panel.sent") as u64, "as many as were sent while it was there");
}

/// The line alone, until the panel has made its channel.
fn opened(panel: &mut Panel, key: &Path) -> Box<dyn PanelLine> {
    let config = OsdpConfig { device: panel.device.clone(), baud: 9600, address: ADDRESS, key_file: Some(key.into()) };
    let mut line = panel::open(&PanelLineConfig::Osdp(config), Arc::new(SystemClock)).expect("opens");
    let start = Instant::now();
    while !turned(&mut *line, |state| state.secure && state.heard.is_some()) {
        assert!(start.elapsed() < PATIENCE, "no secure channel");
    }
    panel.secure();
    line
}

fn turned(line: &mut dyn PanelLine, is: impl Fn(&cardea::domain::panel::courier::LineState) -> bool) -> bool {
    is(&line.turn(Duration::from_millis(10)).expect("the line stands"))
}

/// Puts a card on the line of a panel that stands still.
fn stuck(panel: &Panel, line: &mut dyn PanelLine, number: &str) {
    panel.signal(Signal::STOP);
    // What it asked before it stopped is answered first.
    while !turned(line, |s| s.heard.is_some_and(|h| SystemClock.now().since(h) >= SILENT)) {}
    line.send(CardFormat::Raw.encode(number, 0).expect("hex")).expect("taken");
}

/// Until the panel has taken so many.
fn taken(line: &mut dyn PanelLine, count: u64) {
    let start = Instant::now();
    while !turned(line, |state| state.taken == count) {
        assert!(start.elapsed() < PATIENCE, "it was never taken");
    }
}

#[test]
fn what_waits_on_the_line_comes_late_unless_the_line_forgets_it() {
    if support::left_out("libosdp", "what_waits_on_the_line_comes_late_unless_the_line_forgets_it") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let key = dir.path().join("key");
    std::fs::write(&key, KEY).expect("written");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("ours");
    let mut panel = Panel::start(KEY);

    // Why there is a courier: a line that is left alone delivers late.
    let mut line = opened(&mut panel, &key);
    stuck(&panel, &mut *line, "aaaa");
    panel.signal(Signal::CONT);
    taken(&mut *line, 1);
    assert_eq!(panel.card(), "1010101010101010");
    // What the courier does instead: the card that waits is gone, and the next one is the next one.
    stuck(&panel, &mut *line, "bbbb");
    line.forget();
    panel.signal(Signal::CONT);
    let since = SystemClock.now();
    let start = Instant::now();
    while !turned(&mut *line, |s| s.secure && s.heard.is_some_and(|h| h > since)) {
        assert!(start.elapsed() < PATIENCE, "it asks nothing");
    }
    line.send(CardFormat::Raw.encode("cccc", 0).expect("hex")).expect("taken");
    taken(&mut *line, 2);
    assert_eq!(panel.card(), "1100110011001100");
    drop(line);
    assert_eq!(panel.end(), 2);
}

#[test]
fn wires_carry_the_card_of_who_came_beside_the_relay_and_nobody_confirms() {
    let scene = Scene::new([7, 9]);
    let (daemon, mut records) = scene.run(&[
        "door.wiegand.experimental=true".into(),
        "door.wiegand.kind=\"sim\"".into(),
        "door.kind=\"both\"".into(),
        format!("door.wiegand.d0={:?}", scene.at("d0")),
        format!("door.wiegand.d1={:?}", scene.at("d1")),
    ]);
    let sent = records.record(&["panel.sent"]);
    assert_eq!((&sent["via"], &sent["confirmed"]), (&json!("wiegand"), &json!(false)), "{sent}");
    records.next("a stranger", |r| r["reason"] == "no_match" && r["type"] == "access.denied");
    daemon.stop();
    records.record(&["system.stopped"]);
    let mut pulses: Vec<(u64, char)> = [("d0", '0'), ("d1", '1')]
        .iter()
        .flat_map(|(file, bit)| {
            let text = std::fs::read_to_string(scene.at(file)).expect("edges");
            let starts = text.lines().filter_map(|l| l.strip_suffix(" 1")).map(|at| at.parse().expect("a time"));
            starts.map(|at| (at, *bit)).collect::<Vec<(u64, char)>>()
        })
        .collect();
    pulses.sort_unstable();
    let bits: String = pulses.iter().map(|(_, bit)| bit).collect();
    assert_eq!(bits, ADA.repeat(records.count("panel.sent")), "a stranger's visit moves no wire");
    let granted = records.count("access.granted");
    assert_eq!((scene.pulses(), records.count("panel.sent"), records.count("access.reported")), (granted, granted, 0));
}
