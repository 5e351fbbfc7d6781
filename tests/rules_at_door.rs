//! Rules at a running door: PIN and duress, two people, anti-passback. Faces by a script, the sim line and its contact, a
//! real broker where something must not be told.

#[path = "support/broker.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod broker;
#[path = "support/squares.rs"]
mod squares;

use broker::{Broker, Subscriber, left_out};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

/// Frames of one round: at 30 a second somebody comes at 15, goes at 135, and again 6 and 12 seconds after.
const FRAMES: u32 = 570;
const COMES: [u32; 3] = [15, 195, 375];
const STAYS: u32 = 120;

/// A door with its people, its rules, and who comes to it one after the other; then it begins anew.
struct Scene(tempfile::TempDir);

impl Scene {
    fn new(coming: [u64; 3], rules: &str) -> Scene {
        let dir = tempfile::tempdir().expect("a directory");
        let frames = dir.path().join("frames");
        squares::film(&frames, FRAMES);
        let face = |person: u64| json!({"box": [100.0, 50.0, 120.0, 140.0], "live": 0.99, "person": person});
        let rows: Vec<Value> = COMES
            .iter()
            .zip(coming)
            .map(|(at, person)| json!({"frames": [at, at + STAYS], "face": face(person)}))
            .collect();
        let scene = Scene(dir);
        scene.write("script.json", &json!({"picture": [320.0, 240.0], "rows": rows}).to_string());
        scene.write("rules.toml", rules);
        for (name, person) in [("ada", 7), ("ben", 8)] {
            let row = json!({"frames": [0, 0], "face": face(person)});
            scene.write("enrol.json", &json!({"picture": [320.0, 240.0], "rows": [row]}).to_string());
            let script = format!("models.script={:?}", scene.at("enrol.json"));
            let picture = scene.at("frames/frame_00000.jpg").display().to_string();
            scene.cardea(&["enroll", name, "--image", &picture, "--set", &script], "");
            scene.cardea(&["people", "set", name, "--group", "staff"], "");
        }
        scene
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.at(name), text).expect("written");
    }

    fn models(&self) -> Vec<String> {
        vec![
            "models.pack=\"scripted\"".into(),
            format!("models.script={:?}", self.at("script.json")),
            "insecure.scripted_models=true".into(),
        ]
    }

    /// A command on the door's state; `input` is what somebody types.
    fn cardea(&self, args: &[&str], input: &str) {
        // What stands behind the name of the command takes the place of what stands before it.
        let (name, rest) = args.split_at(1);
        let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
        command.args(name);
        for s in self.models() {
            command.args(["--set", &s]);
        }
        command.args(rest).arg("--state").arg(self.at("state"));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("typed");
        let out = child.wait_with_output().expect("it ends");
        let said = [&out.stdout, &out.stderr].map(|s| String::from_utf8_lossy(s).into_owned()).concat();
        assert!(out.status.success(), "{args:?}: {said}");
    }

    /// `people list` as JSON.
    fn people(&self) -> String {
        let out = Command::new(env!("CARGO_BIN_EXE_cardea"))
            .args(["people", "list", "--json", "--state"])
            .arg(self.at("state"))
            .output()
            .expect("it starts");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    fn start(&self, more: &[String]) -> Door<'_> {
        let own = [
            "camera.kind=\"file\"".to_owned(),
            format!("camera.path={:?}", self.at("frames")),
            "challenge.mode=\"off\"".into(),
            "insecure.challenge_off=true".into(),
            "prompt.kind=\"none\"".into(),
            format!("rules.file={:?}", self.at("rules.toml")),
            "insecure.unsynced_clock=true".into(),
            "door.hold_ms=1000".into(),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
        command.args(["run", "--json", "--state"]).arg(self.at("state"));
        for s in self.models().iter().chain(&own).chain(more) {
            command.args(["--set", s]);
        }
        let errors = std::fs::File::create(self.at("errors")).expect("a file");
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().expect("it starts");
        let out = child.stdout.take().expect("piped");
        let (tx, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _nobody_listens = tx.send(serde_json::from_str(&line).expect("JSON only"));
            }
        });
        Door { scene: self, child, lines, seen: Vec::new() }
    }
}

/// The daemon at that door, and its records so far.
struct Door<'a> {
    scene: &'a Scene,
    child: Child,
    lines: Receiver<Value>,
    seen: Vec<Value>,
}

impl Door<'_> {
    /// The next record of one of these types.
    fn next(&mut self, kinds: &[&str]) -> Value {
        let until = Instant::now() + broker::DEADLINE;
        while let Ok(record) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.seen.push(record.clone());
            if kinds.iter().any(|k| record["type"] == *k) {
                return record;
            }
        }
        let said = std::fs::read_to_string(self.scene.at("errors")).unwrap_or_default();
        panic!("none of {kinds:?} came: {:?}\n{said}", self.kinds());
    }

    fn kinds(&self) -> Vec<&str> {
        self.seen.iter().filter_map(|r| r["type"].as_str()).collect()
    }

    /// The rising edges of the line so far, by cause.
    fn pulses(&self) -> usize {
        let edges = std::fs::read_to_string(self.scene.at("state/relay.edges")).unwrap_or_default();
        edges.lines().filter(|l| l.contains(" 1 ")).count()
    }
}

impl Drop for Door<'_> {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _gone_already = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _either_way = self.child.wait();
    }
}

/// Rules by which the staff may always pass, with more said of the door.
fn rules(door: &str) -> String {
    format!(
        "zone = \"UTC\"\npair_window_s = 30\n[groups.staff]\n[doors.front]\n{door}\n\
         [[grants]]\ngroups = [\"staff\"]\ndoors = [\"front\"]\nschedule = \"always\"\n"
    )
}

/// A visit of ada's in which `typed` comes from the keypad: the door's records, and what the broker's subscribers saw.
fn with_pin(typed: &str) -> (Vec<Value>, Vec<broker::Message>, usize) {
    let scene = Scene::new([7, 7, 7], &rules("second_factor = \"pin\""));
    scene.cardea(&["people", "set", "ada", "--pin"], "2468\n");
    scene.write("keypad", "");
    std::fs::set_permissions(scene.at("keypad"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("ours");
    let broker = Broker::started();
    let mut outside = Subscriber::new(&broker, "cardea/front/#");
    let mut door = scene.start(&[
        "door.keypad.kind=\"lines\"".into(),
        format!("door.keypad.device={:?}", scene.at("keypad")),
        "mqtt.enabled=true".into(),
        format!("mqtt.port={}", broker.port),
    ]);
    outside.until("the terminal is there", |m| m.topic.ends_with("/availability") && m.payload == "online");
    door.next(&["visit.started"]);
    let mut keypad = std::fs::OpenOptions::new().append(true).open(scene.at("keypad")).expect("the keypad");
    keypad.write_all(format!("{typed}\n").as_bytes()).expect("typed");
    let decided = door.next(&["access.granted", "access.denied"]);
    if decided["type"] == "access.granted" {
        door.next(&["relay.released"]);
        outside.until("the lock falls back", |m| {
            m.topic.ends_with("/log") && m.payload.contains("\"relay.released\"") && m.payload.contains("deadline")
        });
    } else {
        outside.until("the refusal", |m| m.topic.ends_with("/event/access"));
    }
    let pulses = door.pulses();
    (std::mem::take(&mut door.seen), std::mem::take(&mut outside.seen), pulses)
}

/// What somebody outside the journal can see of it: without numbers, times and hashes, which differ from run to run.
fn told(payload: &str) -> Value {
    let mut value = serde_json::from_str(payload).unwrap_or_else(|_| json!(payload));
    if let Some(fields) = value.as_object_mut() {
        for own in ["at", "id", "seq", "boot", "time", "uptime_ms", "decision_ms", "duration_ms", "at_ns", "prev"] {
            fields.remove(own);
        }
    }
    value
}

#[test]
fn the_duress_pin_opens_like_the_right_one_and_only_the_journal_tells_them_apart() {
    if left_out("the_duress_pin_opens_like_the_right_one_and_only_the_journal_tells_them_apart", "mosquitto") {
        return;
    }
    let runs = ["2468", "2469"].map(with_pin);
    // Each topic has its order; states and events are on different ways.
    let outside = runs.each_ref().map(|(_, messages, _)| {
        ["/event/access", "/last_access", "/lock/state"].map(|topic| {
            let of = messages.iter().filter(|m| m.topic.ends_with(topic));
            of.map(|m| told(&m.payload)).collect::<Vec<_>>()
        })
    });
    assert_eq!(outside[0][0].len(), 1, "{outside:?}");
    assert_eq!(outside[0][0][0]["event_type"], "granted");
    assert_eq!(outside[0], outside[1], "who forces somebody may look at the broker");
    let inside = runs.each_ref().map(|(records, ..)| {
        records.iter().filter(|r| r["type"] != "alarm.duress").map(|r| told(&r.to_string())).collect::<Vec<_>>()
    });
    assert_eq!(inside[0], inside[1]);
    let alarms = runs.each_ref().map(|(_, messages, _)| {
        messages.iter().filter(|m| m.payload.contains("duress")).map(|m| m.topic.as_str()).collect::<Vec<_>>()
    });
    assert_eq!(alarms, [vec![], vec!["cardea/front/log"]], "the alarm is told once, to those who read the journal");
    assert_eq!(runs.each_ref().map(|(.., pulses)| *pulses), [1, 1]);
}

#[test]
fn a_wrong_pin_opens_nothing() {
    if left_out("a_wrong_pin_opens_nothing", "mosquitto") {
        return;
    }
    let (records, _, pulses) = with_pin("1357");
    let denied = records.iter().find(|r| r["type"] == "access.denied").expect("a refusal");
    let rule = json!("what was shown is not this person's");
    assert_eq!((&denied["reason"], &denied["rule"]), (&json!("second_factor"), &rule), "{denied}");
    assert_eq!(pulses, 0);
}

const TWO: &str = "two_person = \"staff\"";

#[test]
fn two_people_open_together_what_neither_opens_alone_or_twice() {
    let scene = Scene::new([7, 8, 8], &rules(TWO));
    let mut door = scene.start(&[]);
    // She stays a while and is asked again: that is no second person, and she goes on waiting.
    let granted = loop {
        let answer = door.next(&["access.granted", "access.denied"]);
        if answer["type"] == "access.granted" {
            break answer;
        }
        let said = (&answer["person"], &answer["reason"], &answer["rule"]);
        let waits = json!("this person waits for somebody else already");
        assert_eq!(said, (&json!("ada"), &json!("two_person"), &waits));
        assert_eq!(door.pulses(), 0);
    };
    assert_eq!(granted["person"], "ben");
    door.next(&["relay.released"]);
    assert_eq!(door.pulses(), 1);
    let paired = door.seen.iter().find(|r| r["type"] == "access.paired").expect("ada's visit is told too");
    assert_eq!(paired["person"], "ada", "{paired}");
    drop(door);

    let alone = Scene::new([7, 7, 7], &rules(TWO));
    let mut door = alone.start(&[]);
    let denied = door.next(&["access.granted", "access.denied"]);
    let said = (&denied["type"], &denied["person"], &denied["reason"]);
    assert_eq!(said, (&json!("access.denied"), &json!("ada"), &json!("two_person")), "nobody is their own second");
    assert_eq!(door.pulses(), 0);
}

/// Everybody counts as having left twelve hours from now.
fn no_return() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let reset = (now.as_secs() / 3600 + 12) % 24;
    rules(&format!("anti_passback = {{ reset = \"{reset:02}:00\" }}"))
}

#[test]
fn who_went_in_does_not_go_in_again_until_an_administrator_says_so() {
    let scene = Scene::new([7, 7, 7], &no_return());
    scene.write("contact", "0");
    let mut door = scene.start(&[
        "door.inputs.kind=\"sim\"".into(),
        "door.inputs.debounce_ms=10".into(),
        format!("door.inputs.contact={:?}", scene.at("contact")),
    ]);
    let first = door.next(&["access.granted", "access.denied"]);
    assert_eq!(first["type"], "access.granted", "{first}");
    // A grant that nobody used is no entry: she opens the door.
    scene.write("contact", "1");
    assert_eq!(door.next(&["door.opened"])["by"], "grant");
    scene.write("contact", "0");
    let second = door.next(&["access.granted", "access.denied"]);
    let said = (&second["type"], &second["reason"], &second["rule"]);
    assert_eq!(
        said,
        (&json!("access.denied"), &json!("anti_passback"), &json!("the person has entered and not left")),
        "{second}"
    );
    assert_eq!(door.pulses(), 1);
    scene.cardea(&["rules", "release", "ada"], "");
    // It is taken within a second; until then she may be refused once more.
    while door.next(&["access.granted", "access.denied"])["type"] == "access.denied" {}
    door.next(&["relay.released"]);
    assert_eq!(door.pulses(), 2);
}

#[test]
fn a_daemon_that_is_started_anew_still_knows_who_went_in() {
    let scene = Scene::new([7, 7, 7], &no_return());
    scene.write("contact", "0");
    let contact = format!("door.inputs.contact={:?}", scene.at("contact"));
    let wired = ["door.inputs.kind=\"sim\"".to_owned(), "door.inputs.debounce_ms=10".into(), contact];
    let mut door = scene.start(&wired);
    assert_eq!(door.next(&["access.granted", "access.denied"])["type"], "access.granted");
    scene.write("contact", "1");
    door.next(&["door.opened"]);
    drop(door);
    scene.write("contact", "0");
    let mut door = scene.start(&wired);
    let second = door.next(&["access.granted", "access.denied"]);
    assert_eq!((&second["type"], &second["reason"]), (&json!("access.denied"), &json!("anti_passback")), "{second}");
    assert_eq!(door.pulses(), 1);
}

impl Door<'_> {
    /// Has the daemon read its rules anew, as systemd does.
    fn reload(&self, rules: &str) {
        self.scene.write("rules.toml", rules);
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("it runs");
    }
}

#[test]
fn rules_are_read_anew_while_the_door_runs_and_a_faulty_file_changes_nothing() {
    let scene = Scene::new([7, 7, 7], &rules(""));
    let mut door = scene.start(&[]);
    assert_eq!(door.next(&["access.granted", "access.denied"])["type"], "access.granted");

    // A file with a fault, and one that would leave nobody any way in.
    for (text, said) in [
        (rules("").replace("schedule = \"always\"", "schedule = \"alwys\""), "alwys"),
        (rules("[doors.back]").replace("doors = [\"front\"]", "doors = [\"back\"]"), "no grant in it opens `front`"),
    ] {
        door.reload(&text);
        let told = door.next(&["system.rules", "alarm.rules"]);
        assert_eq!(told["type"], "alarm.rules", "{told}");
        let what = told["what"].as_str().expect("a text");
        assert!(what.contains(said) && what.contains("those before hold"), "{what}");
    }
    let again = door.next(&["access.granted", "access.denied"]);
    assert_eq!(again["type"], "access.granted", "{again}");

    // Good ones, by which the staff may not pass.
    let visitors = rules("")
        .replace("[groups.staff]", "[groups.staff]\n[groups.visitors]")
        .replace("[\"staff\"]", "[\"visitors\"]");
    door.reload(&visitors);
    let told = door.next(&["system.rules", "alarm.rules"]);
    let sha256 = cardea::schema::record::hex(&<sha2::Sha256 as sha2::Digest>::digest(visitors.as_bytes()));
    assert_eq!((&told["type"], &told["sha256"]), (&json!("system.rules"), &json!(sha256)));
    let refused = door.next(&["access.granted", "access.denied"]);
    assert_eq!(
        (&refused["type"], &refused["reason"]),
        (&json!("access.denied"), &json!("outside_schedule")),
        "{refused}"
    );
}

#[test]
fn a_visit_that_waits_by_the_old_rules_ends_without_a_decision_when_new_ones_come() {
    let scene = Scene::new([7, 7, 7], &rules("second_factor = \"pin\""));
    scene.cardea(&["people", "set", "ada", "--pin"], "2468\n");
    scene.write("keypad", "");
    std::fs::set_permissions(scene.at("keypad"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("ours");
    let keypad = format!("door.keypad.device={:?}", scene.at("keypad"));
    let mut door = scene.start(&["door.keypad.kind=\"lines\"".into(), keypad]);
    let seen = door.next(&["visit.ended"]);
    assert_eq!(seen["verdict"], "granted", "what remains is the PIN: {seen}");
    // Even though nothing is asked for by the new ones.
    door.reload(&rules(""));
    let ended = door.next(&["access.granted", "access.denied"]);
    let said = (&ended["type"], &ended["reason"], &ended["visit"]);
    assert_eq!(said, (&json!("access.denied"), &json!("stopped"), &seen["visit"]), "{ended}");
    assert_eq!(door.pulses(), 0);
    assert_eq!(door.next(&["access.granted", "access.denied"])["type"], "access.granted", "the next one is by the new");
    assert!(!door.kinds().contains(&"alarm.lockout"));
}

#[test]
fn whoever_passes_well_is_learnt_for_the_network_that_comes_next_and_passes_by_it_alone() {
    let scene = Scene::new([7, 7, 8], &rules(""));
    let mut door = scene.start(&["models.next=\"scripted_next\"".into()]);
    let granted = door.next(&["access.granted"]);
    let learnt = door.next(&["person.relearned"]);
    let said = (&learnt["person"], &learnt["visit"], &learnt["model"]);
    assert_eq!(said, (&json!("ada"), &granted["visit"], &json!("f".repeat(64))), "{learnt}");
    assert!(learnt["templates"].as_u64().is_some_and(|n| n >= 3), "{learnt}");
    // Once is enough: the next grant teaches nothing.
    assert_eq!(door.next(&["access.granted"])["person"], "ada");
    drop(door);
    // The next network alone: it knows her, and him not, who was enrolled with the other as well.
    let mut door = scene.start(&["models.pack=\"scripted_next\"".into()]);
    let mut ends = Vec::new();
    while ends.len() < 3 {
        let end = door.next(&["access.granted", "access.denied"]);
        ends.push((end["type"].clone(), end["person"].clone(), end["reason"].clone()));
    }
    assert_eq!(ends[0], (json!("access.granted"), json!("ada"), Value::Null));
    assert!(ends.contains(&(json!("access.denied"), Value::Null, json!("no_match"))), "{ends:?}");
    assert!(!ends.iter().any(|e| e.1 == "ben"), "{ends:?}");
    drop(door);
    let listed = scene.people();
    assert!(listed.contains(r#""person":"ada","templates":"#), "{listed}");
    assert_eq!(listed.matches(&"f".repeat(64)).count(), 1, "hers alone: {listed}");
}
