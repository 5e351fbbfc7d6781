//! A whole visit without a network, a face or a clip: a directory of JPEGs, a script that says what is in them, the
//! visit of a door and the sim line behind it.

mod support;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What the script says happens: he is there from the beginning, nods, then opens his mouth.
fn script(live: f64, person: u64) -> Value {
    let face = |more: Value| {
        let mut face = json!({"box": [100.0, 50.0, 120.0, 140.0], "live": live, "person": person});
        if let (Some(face), Some(more)) = (face.as_object_mut(), more.as_object()) {
            face.extend(more.clone());
        }
        face
    };
    // The picture that enrols somebody is frame 0 of its own.
    let enrolled = json!({"frames": [0, 0], "face": {"box": [100.0, 50.0, 120.0, 140.0], "person": 7}});
    json!({"picture": [320.0, 240.0], "rows": [
        {"frames": [1, 400], "face": face(json!({}))},
        enrolled,
        {"frames": [55, 66], "face": face(json!({"pitch": 20.0}))},
        {"frames": [100, 124], "face": face(json!({"mouth": 0.4}))},
    ]})
}

/// A folder with 200 pictures, none like another, and the script.
fn scene(script: &Value) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let frames = dir.path().join("frames");
    std::fs::create_dir(&frames).expect("a directory");
    for i in 0..200_u32 {
        // Squares, sharp and neither dark nor bright, of which those in the upper half wander.
        let picture = image::RgbImage::from_fn(320, 240, |x, y| {
            let wanders = if y < 120 { i * 320 / 200 } else { 0 };
            let on = ((x + wanders) / 40 + y / 8).is_multiple_of(2);
            image::Rgb(if on { [170, 160, 150] } else { [90, 80, 70] })
        });
        picture.save(frames.join(format!("frame_{i:05}.jpg"))).expect("a picture");
    }
    std::fs::write(dir.path().join("script.json"), script.to_string()).expect("written");
    dir
}

fn settings(dir: &Path) -> Vec<String> {
    vec![
        "models.pack=\"scripted\"".into(),
        format!("models.script={:?}", dir.join("script.json")),
        "insecure.scripted_models=true".into(),
    ]
}

fn cardea(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
    command.args(args).arg("--json").arg("--state").arg(dir.join("state"));
    for s in settings(dir) {
        command.args(["--set", &s]);
    }
    command.output().expect("the program starts")
}

/// The lines as they are written, and what they say.
fn replay(dir: &Path) -> (Vec<String>, Vec<Value>) {
    let frames = dir.join("frames").display().to_string();
    let enrol = format!("ada={}", dir.join("frames/frame_00000.jpg").display());
    let out = cardea(
        dir,
        &["replay", "--clip", &frames, "--enroll", &enrol, "--challenge", "nod,mouth_open", "--onset-ms", "400,400"],
    );
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    let text: Vec<String> = String::from_utf8_lossy(&out.stdout).lines().map(|l| format!("{l}\n")).collect();
    let lines = text.iter().map(|l| serde_json::from_str(l).expect("JSON only")).collect();
    (text, lines)
}

fn of_kind<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|l| l["type"] == kind).collect()
}

#[test]
fn a_scripted_visit_ends_granted_and_its_records_are_the_pinned_text() {
    let dir = scene(&script(0.99, 7));
    let (text, lines) = replay(dir.path());
    let summary = lines.last().expect("a summary");
    assert_eq!((&summary["verdict"], &summary["person"]), (&json!("granted"), &json!("ada")), "{summary}");
    let records: String = text
        .into_iter()
        .zip(&lines)
        .filter(|(_, l)| l["type"] != "observation" && l["type"] != "summary")
        .map(|(text, _)| text)
        .collect();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/scripted_visit.jsonl");
    let pinned = std::fs::read_to_string(&path).expect("the pinned records");
    assert_eq!(records, pinned, "integrators read this text: it never changes by accident");
}

#[test]
fn a_script_that_says_not_alive_or_somebody_else_ends_in_a_refusal() {
    for (live, person, reason) in [(0.2, 7, "spoof"), (0.99, 8, "no_match")] {
        let dir = scene(&script(live, person));
        let (_, lines) = replay(dir.path());
        let summary = lines.last().expect("a summary");
        assert_eq!((&summary["verdict"], &summary["reason"]), (&json!("denied"), &json!(reason)), "{summary}");
        assert_eq!(of_kind(&lines, "visit.prompted").len(), 2, "asked as everybody is");
    }
}

#[test]
fn a_faulty_script_is_named_with_the_row_and_nothing_is_looked_at() {
    let mut faulty = script(0.99, 7);
    faulty["rows"][2]["face"]["pitch"] = json!(95.0);
    let dir = scene(&faulty);
    let frames = dir.path().join("frames").display().to_string();
    let out = cardea(dir.path(), &["replay", "--clip", &frames]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(69), "{said}");
    assert!(said.contains("script.json") && said.contains("rows[2]"), "{said}");
}

/// The daemon on the scene's frames.
fn start(dir: &Path, wired: &[String]) -> std::process::Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
    command.args(["run", "--json", "--state"]).arg(dir.join("state"));
    let more = [
        "camera.kind=\"file\"".to_owned(),
        format!("camera.path={:?}", dir.join("frames")),
        "camera.looped=false".into(),
        "challenge.sequence=[\"nod\",\"mouth_open\"]".into(),
        "insecure.fixed_challenge=true".into(),
        "challenge.onset_min_ms=400".into(),
        "challenge.onset_max_ms=401".into(),
        "prompt.kind=\"none\"".into(),
    ];
    for s in settings(dir).iter().chain(&more).chain(wired) {
        command.args(["--set", s]);
    }
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().expect("starts")
}

/// Starts the daemon until it has decided, and ends it.
fn run_until_decided(dir: &Path) {
    use std::io::{BufRead, BufReader};
    let mut child = start(dir, &[]);
    let out = child.stdout.take().expect("piped");
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        if line.contains("\"relay.released\"") && line.contains("\"deadline\"") || line.contains("\"access.denied\"") {
            break;
        }
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .expect("runs");
    child.wait().expect("ends");
}

#[test]
fn a_scripted_visit_moves_the_sim_line_and_why_explains_a_refusal() {
    for (live, verdict) in [(0.99, "granted"), (0.2, "denied")] {
        let dir = scene(&script(live, 7));
        let enrol = cardea(
            dir.path(),
            &["enroll", "ada", "--image", &dir.path().join("frames/frame_00000.jpg").display().to_string()],
        );
        assert_eq!(enrol.status.code(), Some(0), "{}", String::from_utf8_lossy(&enrol.stderr));
        run_until_decided(dir.path());
        let edges = std::fs::read_to_string(dir.path().join("state/relay.edges")).unwrap_or_default();
        assert_eq!(edges.contains("1 grant"), verdict == "granted", "{edges}");
        let list = cardea(dir.path(), &["events", "list", "--type", "visit.ended"]);
        let ended: Value = serde_json::from_slice(&list.stdout).expect("one visit");
        let why = cardea(dir.path(), &["why", &ended["seq"].to_string()]);
        let told: Value = serde_json::from_slice(&why.stdout).expect("JSON");
        assert_eq!(told["verdict"], verdict, "{told}");
        if verdict == "denied" {
            assert_eq!((&told["reason"], &told["gates"]["pad"]), (&json!("spoof"), &json!("fail")), "{told}");
            assert_eq!(told["asked"], json!(["nod", "mouth_open"]));
            assert!(!told.to_string().contains("0.2"), "a score is in {told}");
        }
    }
}

/// From the grant to the closed door, with contact, button, switch and key as files: what each does to line and journal.
#[test]
fn the_door_behind_the_lock_is_told_and_relocked() {
    use cardea::adapters::relay::sim::read_edges;
    use cardea::adapters::system::SystemClock;
    use cardea::base::time::Clock;
    use cardea::schema::event::EdgeCause;
    use std::io::{BufRead, BufReader};
    let dir = scene(&script(0.99, 7));
    let picture = dir.path().join("frames/frame_00000.jpg").display().to_string();
    assert_eq!(cardea(dir.path(), &["enroll", "ada", "--image", &picture]).status.code(), Some(0));
    let pin = |name: &str| dir.path().join(name);
    let put = |name: &str, level: &str| std::fs::write(pin(name), level).expect("written");
    let mut wired = vec!["door.inputs.kind=\"sim\"".to_owned(), "door.inputs.debounce_ms=10".into()];
    for (name, level) in [("contact", "0"), ("exit", "1"), ("tamper", "0"), ("hold_open", "1")] {
        put(name, level);
        wired.push(format!("door.inputs.{name}={:?}", pin(name)));
    }
    // The recording must outlast what happens behind it.
    wired.push("camera.looped=true".into());
    let mut child = start(dir.path(), &wired);
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let mut wait = |kind: &str| -> Value {
        let found = lines.find(|l| l.contains(&format!("\"type\":\"{kind}\"")));
        serde_json::from_str(&found.unwrap_or_else(|| panic!("no {kind} came"))).expect("JSON")
    };
    let granted = wait("access.granted");
    wait("relay.energised");
    let opened_at = SystemClock.now();
    put("contact", "1");
    let opened = wait("door.opened");
    assert_eq!((&opened["by"], &opened["visit"]), (&json!("grant"), &granted["visit"]));
    assert_eq!(wait("relay.released")["cause"], "door_open");
    let edges = read_edges(&dir.path().join("state/relay")).expect("edges");
    let (at, _, _) = edges.iter().find(|(_, on, cause)| !on && *cause == EdgeCause::DoorOpen).expect("relocked");
    let took = at.since(opened_at);
    assert!(took <= std::time::Duration::from_millis(100), "the bolt was thrown {took:?} after the door opened");
    put("contact", "0");
    assert!(wait("door.closed")["open_ms"].as_u64().is_some());
    put("contact", "1");
    assert_eq!(wait("door.opened")["by"], "unknown");
    wait("door.forced");
    put("contact", "0");
    wait("door.closed");
    put("exit", "0");
    wait("door.exit_requested");
    put("contact", "1");
    assert_eq!(wait("door.opened")["by"], "exit");
    put("hold_open", "0");
    assert_eq!(wait("door.hold_open")["active"], true);
    assert_eq!(wait("relay.energised")["cause"], "hold_open");
    put("hold_open", "1");
    assert_eq!(wait("relay.released")["cause"], "deadline", "nobody renews the lease");
    put("tamper", "1");
    assert_eq!(wait("alarm.tamper")["active"], true);
    std::fs::remove_file(pin("contact")).expect("removed");
    assert!(wait("alarm.inputs")["what"].as_str().is_some_and(|w| w.contains("contact")));
    put("contact", "0");
    wait("system.inputs");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .expect("runs");
    child.wait().expect("ends");
}

#[test]
fn what_somebody_cannot_do_is_noted_by_name_and_nobody_else_has_it() {
    let dir = scene(&script(0.99, 7));
    let picture = dir.path().join("frames/frame_00000.jpg").display().to_string();
    assert_eq!(cardea(dir.path(), &["enroll", "ada", "--image", &picture]).status.code(), Some(0));
    let told = |args: &[&str]| {
        let out = cardea(dir.path(), args);
        (out.status.code(), serde_json::from_slice::<Value>(&out.stdout).unwrap_or_default())
    };
    let none = json!({"person": "ada", "cannot": []});
    assert_eq!(told(&["people", "limits", "ada"]), (Some(0), none.clone()));
    let noted = json!({"person": "ada", "cannot": ["turn_left", "blink"]});
    assert_eq!(told(&["people", "limits", "ada", "--cannot", "turn_left,blink"]), (Some(0), noted.clone()));
    assert_eq!(told(&["people", "limits", "ada"]), (Some(0), noted));
    assert_eq!(told(&["people", "limits", "ada", "--cannot", "fly"]).0, Some(64));
    assert_eq!(told(&["people", "limits", "eve"]).0, Some(64));
    assert_eq!(told(&["people", "limits", "ada", "--cannot", "none"]), (Some(0), none));
    let records = told(&["events", "list", "--type", "person.limits", "--limit", "1"]);
    assert_eq!(records.1["cannot"], json!(["turn_left", "blink"]));
}

#[test]
fn a_table_with_pictures_enrols_everybody_or_names_the_row_and_stores_nothing() {
    // Four pictures of one size: what is in them the script says by their numbers, of which the first is 0 each time.
    let dir = scene(&script(0.99, 7));
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("ada")).expect("a directory");
    for n in [1, 2] {
        std::fs::copy(at(&format!("frames/frame_{n:05}.jpg")), at(&format!("ada/{n}.jpg"))).expect("copied");
    }
    let table = |text: &str| std::fs::write(at("people.csv"), text).expect("written");
    let file = at("people.csv").display().to_string();
    let people = || {
        let out = cardea(dir.path(), &["people", "list"]);
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let before = people();
    std::fs::write(at("ada/bad.jpg"), "no picture at all").expect("written");
    let half = std::fs::read(at("ada/2.jpg")).expect("read");
    std::fs::write(at("ada/half.jpg"), &half[..half.len() / 3]).expect("written");
    for bad in ["bad", "half"] {
        table(&format!("person,picture,groups\nada,ada/1.jpg,staff\nada,ada/{bad}.jpg,\n"));
        let out = cardea(dir.path(), &["people", "import", "--csv", &file]);
        assert_eq!(out.status.code(), Some(2), "{}", String::from_utf8_lossy(&out.stderr));
        let answer: Value = serde_json::from_slice(&out.stdout).expect("JSON");
        assert_eq!(
            (&answer["rows"], &answer["people"], &answer["refused"][0]["line"]),
            (&json!(0), &json!(0), &json!(3))
        );
        let named = answer["refused"][0]["file"].as_str().expect("a file");
        assert!(named.ends_with(&format!("ada/{bad}.jpg")), "{answer}");
        // And in words.
        let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
        command.args(["people", "import", "--csv", &file, "--state"]).arg(at("state"));
        for s in settings(dir.path()) {
            command.args(["--set", &s]);
        }
        let said = String::from_utf8_lossy(&command.output().expect("the program starts").stdout).into_owned();
        assert!(said.contains("people.csv:3: refused") && said.contains("nothing was stored"), "{said}");
        assert_eq!(people(), before, "neither the good picture nor the groups");
    }
    table("person,picture,groups\nada,ada/1.jpg,staff\nada,ada/2.jpg,\n");
    let out = cardea(dir.path(), &["people", "import", "--csv", &file]);
    let answer: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(
        (out.status.code(), &answer["people"], &answer["templates"]),
        (Some(0), &json!(1), &json!(2)),
        "{answer}"
    );
    assert!(people().contains(r#""person":"ada""#));
}
