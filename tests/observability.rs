//! What operators are handed: metrics and alert rules as promtool reads them, the Node-RED example, and the shell lines of
//! the manual.

mod support;

use cardea::adapters::mqtt::Status;
use cardea::adapters::web::house::DoorCounts;
use cardea::runtime::commands::CommandStatus;
use cardea::runtime::metrics::{Metrics, text};
use cardea::schema::access::AccessKind;
use cardea::schema::command::{CommandError, CommandName};
use cardea::schema::health::{CameraHealth, Health, HealthStatus, Link};
use cardea::schema::ids::DeviceId;
use cardea::schema::topics::{self, Topics};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn metrics() -> String {
    let health = Health {
        status: HealthStatus::Ok,
        problems: vec![],
        camera: CameraHealth { fps: 15.0, age_ms: Some(20) },
        guard: Link::Connected,
        broker: Link::Connected,
        disk_free_mb: 1000,
        model_pack: "standard".into(),
        passive_pad: true,
        seq: 4711,
        lockdown: false,
    };
    let mut commands = CommandStatus::default();
    for name in CommandName::ALL {
        commands.counts.accepted.insert(name, 1);
    }
    for error in CommandError::ALL {
        commands.counts.refused.insert(error, 2);
    }
    let mqtt = Status { connected: true, connections: 1, in_flight: 0, cursor: 4711, confirmed: 4711, live_dropped: 0 };
    let records = ["access.granted", "door.forced", "alarm.tamper", "alarm.spoof"].map(|k| (k.to_owned(), 1));
    let records = BTreeMap::from(records);
    let (mqtt, door) = (Some(mqtt), DoorCounts::default());
    text(&Metrics { health: &health, records: &records, commands: &commands, mqtt, door, version: "0.1.0" })
}

fn promtool(args: &[&str], input: &str) -> (Option<i32>, String) {
    let mut child = Command::new("promtool")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    let out = child.wait_with_output().expect("it ends");
    (out.status.code(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
}

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics_and_would() {
    if !support::has("promtool", "prometheus", "promtool_finds_nothing_wrong_with_the_metrics_and_would") {
        return;
    }
    let good = metrics();
    let (code, said) = promtool(&["check", "metrics"], &good);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{good}");
    let bad = good.replace("cardea_records_total", "cardea_records");
    assert_ne!(promtool(&["check", "metrics"], &bad).0, Some(0));
}

#[test]
fn the_alert_rules_are_sound_and_name_metrics_that_there_are() {
    if !support::has("promtool", "prometheus", "the_alert_rules_are_sound_and_name_metrics_that_there_are") {
        return;
    }
    let path = at("config/prometheus/cardea.rules.yml");
    let (code, said) = promtool(&["check", "rules", &path.display().to_string()], "");
    assert_eq!(code, Some(0), "{said}");
    let known: BTreeSet<String> =
        metrics().lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned)).collect();
    let rules = std::fs::read_to_string(path).expect("the rules");
    let used: BTreeSet<&str> = rules
        .lines()
        .filter(|l| l.contains("expr:"))
        .flat_map(|l| l.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')))
        .filter(|w| w.starts_with("cardea_"))
        .collect();
    assert!(used.len() >= 6, "{used:?}");
    for name in used {
        assert!(known.contains(name), "{name} is in the rules and not in the metrics");
    }
}

#[test]
fn the_node_red_example_reads_topics_and_events_that_there_are() {
    let text = std::fs::read_to_string(at("docs/examples/node-red.json")).expect("the example");
    let flow: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let ids: BTreeSet<&str> = flow.iter().filter_map(|n| n["id"].as_str()).collect();
    assert_eq!(ids.len(), flow.len(), "each node has an id of its own");
    let front = Topics::new("cardea", &DeviceId::new("front").expect("valid"));
    let known: Vec<String> =
        topics::RETAINED.into_iter().chain([topics::EVENT_ACCESS]).map(|l| front.leaf(l)).collect();
    let mut read = 0;
    for node in &flow {
        for wire in node["wires"].as_array().into_iter().flatten().flat_map(|w| w.as_array().into_iter().flatten()) {
            assert!(ids.contains(wire.as_str().expect("an id")), "{wire} leads nowhere");
        }
        if node["type"] == "mqtt in" {
            read += 1;
            assert!(known.iter().any(|k| node["topic"] == **k), "{}", node["topic"]);
        }
    }
    assert_eq!(read, 2);
    let kinds = flow.iter().find(|n| n["id"] == "cardea-kind").expect("the switch");
    let words: Vec<&str> = kinds["rules"].as_array().expect("rules").iter().filter_map(|r| r["v"].as_str()).collect();
    let sent = [AccessKind::Granted, AccessKind::ForcedOpen, AccessKind::Spoof];
    assert_eq!(serde_json::to_value(words).expect("words"), serde_json::to_value(sent).expect("words"));
}
