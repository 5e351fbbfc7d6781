//! What Home Assistant is told, held against Home Assistant's own schemas.

use cardea::schema::discovery::{Terminal, device};
use cardea::schema::ids::DeviceId;
use cardea::schema::topics::Topics;
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};

fn left_out(test: &str) -> bool {
    let left_out =
        std::env::var("CARDEA_TEST_WITHOUT").is_ok_and(|l| l.split(',').any(|t| t.trim() == "homeassistant"));
    if left_out {
        println!("left out: {test} (without homeassistant)");
    }
    left_out
}

/// What Home Assistant finds wrong with each line of `TOPIC PAYLOAD`.
fn validate(lines: &[String]) -> Vec<Vec<String>> {
    let root = env!("CARGO_MANIFEST_DIR");
    let target = std::path::Path::new(env!("CARGO_BIN_EXE_cardea")).ancestors().nth(2).expect("target/debug/cardea");
    let setup = Command::new(format!("{root}/tests/ha/setup.sh"))
        .arg(target.join("ha"))
        .stderr(Stdio::inherit())
        .output()
        .expect("bash runs");
    assert!(setup.status.success(), "no Home Assistant; leave it out by CARDEA_TEST_WITHOUT=homeassistant");
    let python = String::from_utf8(setup.stdout).expect("a path");
    let mut child = Command::new(python.trim())
        .arg(format!("{root}/tests/ha/validate.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    let mut input = child.stdin.take().expect("piped");
    for line in lines {
        writeln!(input, "{line}").expect("it reads");
    }
    drop(input);
    let out = child.wait_with_output().expect("it ends");
    let found: Vec<Vec<String>> = String::from_utf8_lossy(&out.stdout)
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).expect("JSON"))
        .map(|v| serde_json::from_value(v["errors"].clone()).expect("errors"))
        .collect();
    assert_eq!(found.len(), lines.len(), "an answer for each line");
    found
}

fn announced(full: bool) -> (String, Value) {
    let terminal = Terminal {
        device: "front".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        board: full.then(|| "Raspberry Pi 5 Model B Rev 1.0".into()),
        serial: full.then(|| "d83addaabbcc".into()),
        contact: full,
        tamper: full,
        unlock: full,
        picture: full,
    };
    let topics = Topics::new("cardea", &DeviceId::new("front").expect("valid"));
    let (topic, payload) = device("homeassistant", &topics, &terminal);
    (topic, serde_json::from_str(&payload).expect("JSON"))
}

/// Makes an announcement wrong.
type Break = fn(&mut Value);

/// One test for good and bad: the environment is made once, and a validator that finds nothing wrong with anything would
/// show nothing.
#[test]
fn home_assistant_takes_what_it_is_told_and_would_refuse_what_is_wrong() {
    if left_out("home_assistant_takes_what_it_is_told_and_would_refuse_what_is_wrong") {
        return;
    }
    let (topic, good) = announced(true);
    let (_, bare) = announced(false);
    let wrong: [(&str, Break); 7] = [
        ("a device class that there is not", |v| v["cmps"]["door"]["device_class"] = "gate".into()),
        ("no unique_id", |v| drop(v["cmps"]["lock"].as_object_mut().expect("an object").remove("unique_id"))),
        ("a state class that there is not", |v| v["cmps"]["latency"]["state_class"] = "parsec".into()),
        ("a broken template", |v| v["cmps"]["problem"]["value_template"] = "{{ value_json.status".into()),
        ("a mistyped key", |v| v["cmps"]["door"]["payload_onn"] = "OPEN".into()),
        ("a retained command", |v| v["cmps"]["lock"]["retain"] = true.into()),
        ("a command that does not expire", |v| {
            drop(v["cmps"]["open_once"].as_object_mut().expect("an object").remove("message_expiry_interval"));
        }),
    ];
    let mut lines = vec![format!("{topic} {good}"), format!("{topic} {bare}")];
    for (_, break_it) in wrong {
        let mut broken = good.clone();
        break_it(&mut broken);
        lines.push(format!("{topic} {broken}"));
    }
    let found = validate(&lines);
    for errors in &found[..2] {
        assert_eq!(*errors, [""; 0]);
    }
    for ((what, _), errors) in wrong.iter().zip(&found[2..]) {
        assert!(!errors.is_empty(), "not noticed: {what}");
    }
}
