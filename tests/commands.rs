//! Commands from a real broker to the whole daemon, and what they do to the line.

#[path = "support/broker.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod broker;
#[path = "support/daemon.rs"]
mod daemon;

use broker::{Broker, Message, Subscriber, left_out, wait_for};
use cardea::schema::command::CommandName;
use cardea::schema::request::{Field, sign, signed_text};
use daemon::Daemon;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Frames, a key, and a place for the state.
struct House(TempDir);

impl House {
    /// Nobody comes.
    fn new() -> House {
        House::where_comes(10, &[])
    }

    /// Frames of one round, after which the recording begins anew, and who is there in which.
    fn where_comes(round: u32, rows: &[Value]) -> House {
        let dir = tempfile::tempdir().expect("a directory");
        let frames = dir.path().join("frames");
        std::fs::create_dir(&frames).expect("a directory");
        for i in 0..round {
            let on = |x: u32, y: u32| ((x + i * 7) / 40 + y / 8).is_multiple_of(2);
            let picture = image::RgbImage::from_fn(320, 240, |x, y| image::Rgb([if on(x, y) { 170 } else { 80 }; 3]));
            picture.save(frames.join(format!("frame_{i:05}.jpg"))).expect("a picture");
        }
        let script = json!({"picture": [320.0, 240.0], "rows": rows});
        std::fs::write(dir.path().join("script.json"), script.to_string()).expect("written");
        let key = dir.path().join("key");
        std::fs::write(&key, format!("{KEY}\n")).expect("written");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("private");
        House(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The daemon, when it has said `online`.
    fn daemon(&self, broker: &Broker, more: &[&str]) -> Daemon {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
        command.args(["run", "--state"]).arg(self.path().join("state"));
        let settings = [
            "models.pack=\"scripted\"".to_owned(),
            format!("models.script={:?}", self.path().join("script.json")),
            "insecure.scripted_models=true".into(),
            "insecure.trust_clock=true".into(),
            "camera.kind=\"file\"".into(),
            format!("camera.path={:?}", self.path().join("frames")),
            "camera.looped=true".into(),
            "prompt.kind=\"none\"".into(),
            "door.hold_ms=300".into(),
            "mqtt.enabled=true".into(),
            format!("mqtt.port={}", broker.port),
            format!("mqtt.command_key_file={:?}", self.path().join("key")),
        ];
        for s in settings.iter().map(String::as_str).chain(more.iter().copied()) {
            command.args(["--set", s]);
        }
        let mut online = Subscriber::new(broker, "cardea/front/availability");
        let log = std::fs::File::create(self.path().join("daemon.log")).expect("a log");
        let child = command.stdout(Stdio::null()).stderr(log).spawn().expect("the program starts");
        online.next("online", |m| m.payload == "online" && !m.retained);
        Daemon(child)
    }

    /// Changes of the line to active since the first start.
    fn openings(&self) -> usize {
        let edges = std::fs::read_to_string(self.path().join("state/relay.edges")).unwrap_or_default();
        edges.lines().filter(|l| l.split(' ').nth(1) == Some("1")).count()
    }

    /// Records of that type, as text.
    fn records(&self, kind: &str) -> Vec<Value> {
        let out = Command::new(env!("CARGO_BIN_EXE_cardea"))
            .args(["events", "list", "--json", "--state"])
            .arg(self.path().join("state"))
            .output()
            .expect("the program starts");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok()).filter(|v| v["type"] == kind).collect()
    }
}

impl Drop for House {
    /// A test that fails tells what the daemon said: what comes once in a hundred runs is not seen twice.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = std::fs::read_to_string(self.path().join("daemon.log")).unwrap_or_default();
            eprintln!("the daemon said:\n{said}");
        }
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("fits")
}

fn payload_at(name: CommandName, id: &str, at: i64, more: &[(&str, Value)]) -> String {
    let (at_text, expires) = (at.to_string(), (at + 9_000).to_string());
    let fields: BTreeMap<String, Field> =
        more.iter().map(|(k, v)| ((*k).to_owned(), serde_json::from_value(v.clone()).expect("a field"))).collect();
    let text = signed_text("front", name, id, &at_text, &expires, &fields);
    let mut payload = json!({"id": id, "at": at, "expires": at + 9_000, "hmac": sign(KEY.as_bytes(), &text)});
    for (k, v) in more {
        payload[*k] = v.clone();
    }
    payload.to_string()
}

fn payload(name: CommandName, id: &str) -> String {
    payload_at(name, id, now_ms(), &[])
}

fn publish(broker: &Broker, topic: &str, payload: &str, more: &[&str]) {
    let port = broker.port.to_string();
    let run = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &port, "-V", "mqttv5", "-t", topic, "-m", payload])
        .args(more)
        .output()
        .expect("mosquitto_pub runs");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

/// The answer to `id`, in the order of asking.
fn answer(results: &mut Subscriber, id: &str) -> Value {
    let of = |m: &Message| serde_json::from_str::<Value>(&m.payload).expect("an answer is JSON");
    let found = results.next(id, |m| of(m)["id"] == id);
    of(&found)
}

const OPENS: &str =
    "mqtt.commands=[\"unlock\",\"hold\",\"lock\",\"lockdown\",\"release\",\"ping\",\"replay\",\"sync\",\"remove\"]";

#[test]
fn each_wrong_command_has_its_answer_and_its_record_and_only_the_right_one_opens() {
    if left_out("each_wrong_command_has_its_answer_and_its_record_and_only_the_right_one_opens", "mosquitto") {
        return;
    }
    let (broker, house) = (Broker::started(), House::new());
    let unlock = "cardea/front/cmd/unlock";
    // From before the terminal came: never delivered.
    publish(&broker, unlock, &payload(CommandName::Unlock, "kept"), &["-r", "-q", "1"]);
    let daemon = house.daemon(&broker, &[OPENS]);
    let mut results = Subscriber::new(&broker, "cardea/front/cmd/result");
    let old = payload_at(CommandName::Unlock, "old", now_ms() - 10_000, &[]);
    let unsigned = json!({"id": "unsigned", "at": now_ms(), "expires": now_ms() + 5_000}).to_string();
    let forged = payload(CommandName::Lock, "forged");
    let long = format!("{}{}", payload(CommandName::Unlock, "long"), " ".repeat(4_096));
    for (topic, text, id, error, more) in [
        (unlock, old.as_str(), "old", "expired", &[][..]),
        (unlock, &unsigned, "unsigned", "bad_mac", &[]),
        (unlock, &forged, "forged", "bad_mac", &[]),
        (unlock, "{\"id\":\"half\"", "", "malformed", &[]),
        (unlock, "{\"id\":\"bare\"}", "bare", "malformed", &[]),
        (unlock, &long, "", "too_large", &[]),
        (unlock, &payload(CommandName::Unlock, "flagged"), "", "retained", &["-r"]),
        ("cardea/front/cmd/snapshot", &payload(CommandName::Snapshot, "picture"), "picture", "disabled", &[]),
        ("cardea/front/cmd/explode", &payload(CommandName::Unlock, "what"), "", "unknown", &[]),
    ] {
        publish(&broker, topic, text, more);
        let told = answer(&mut results, id);
        assert_eq!((&told["ok"], &told["error"]), (&json!(false), &json!(error)), "{told}");
        assert!(told["seq"].as_u64().is_some(), "{told}");
    }
    assert_eq!(house.openings(), 0);

    let good = payload(CommandName::Unlock, "good");
    let mut panel = Subscriber::new(&broker, "panel/7");
    let ask = ["-D", "publish", "response-topic", "panel/7", "-D", "publish", "correlation-data", "42"];
    publish(&broker, unlock, &good, &ask);
    let told = answer(&mut results, "good");
    assert_eq!(told["ok"], true, "{told}");
    assert_eq!(answer(&mut panel, "good"), told);
    wait_for("a pulse", || house.openings() == 1);
    publish(&broker, unlock, &good, &[]);
    assert_eq!(answer(&mut results, "good")["error"], "duplicate");
    daemon.stop();

    // What was used stays used over a restart, as long as it has not expired by then.
    let daemon = house.daemon(&broker, &[OPENS]);
    publish(&broker, unlock, &good, &[]);
    let error = answer(&mut results, "good")["error"].clone();
    assert!(error == "duplicate" || error == "expired", "{error}");
    daemon.stop();
    assert_eq!(house.openings(), 1);
    let rejected = house.records("command.rejected");
    assert_eq!(rejected.len(), 11, "{rejected:?}");
    let accepted = house.records("command.accepted");
    assert_eq!((accepted.len(), &accepted[0]["id"]), (1, &json!("good")));
    let opened = house.records("relay.energised");
    assert!(accepted[0]["seq"].as_u64() < opened[0]["seq"].as_u64(), "recorded before it opens");
}

#[test]
fn home_assistant_opens_where_it_may_with_a_message_that_expires() {
    if left_out("home_assistant_opens_where_it_may_with_a_message_that_expires", "mosquitto") {
        return;
    }
    let (broker, house) = (Broker::started(), House::new());
    let set = "cardea/front/lock/set";
    let daemon = house.daemon(&broker, &["mqtt.remote_unlock=\"home_assistant\""]);
    let mut results = Subscriber::new(&broker, "cardea/front/cmd/result");
    let mut events = Subscriber::new(&broker, "cardea/front/event/access");
    let expiring = ["-D", "publish", "message-expiry-interval", "5"];
    for (text, more, error) in [
        ("UNLOCK", &[][..], "expired"),
        ("UNLOCK", &["-D", "publish", "message-expiry-interval", "3600"], "expired"),
        ("open sesame", &expiring, "malformed"),
        ("UNLOCK", &["-r", "-D", "publish", "message-expiry-interval", "5"], "retained"),
    ] {
        publish(&broker, set, text, more);
        let told = answer(&mut results, "");
        assert_eq!(told["error"], error, "{told}");
    }
    assert_eq!(house.openings(), 0);
    publish(&broker, set, r#"{"action":"UNLOCK"}"#, &expiring);
    assert_eq!(answer(&mut results, "")["ok"], true);
    wait_for("a pulse", || house.openings() == 1);
    events.next("remote_unlock", |m| m.payload.contains(r#""event_type":"remote_unlock""#));
    daemon.stop();

    // Off, as it is by default: nobody listens there.
    let daemon = house.daemon(&broker, &[]);
    publish(&broker, set, r#"{"action":"UNLOCK"}"#, &expiring);
    publish(&broker, "cardea/front/cmd/ping", &payload(CommandName::Ping, "after"), &[]);
    assert_eq!(answer(&mut results, "after")["ok"], true);
    daemon.stop();
    assert_eq!(house.openings(), 1);
    let subscribed = broker.log().lines().filter(|l| l.contains("cardea/front/lock/set (QoS 0)")).count();
    assert_eq!(subscribed, 1, "at the first start alone");
}

#[test]
fn a_lockdown_refuses_until_it_is_released_and_outlives_a_restart() {
    if left_out("a_lockdown_refuses_until_it_is_released_and_outlives_a_restart", "mosquitto") {
        return;
    }
    let (broker, house) = (Broker::started(), House::new());
    let mut results = Subscriber::new(&broker, "cardea/front/cmd/result");
    let mut health = Subscriber::new(&broker, "cardea/front/health");
    let mut ask = |name: CommandName, id: &str| {
        publish(&broker, &format!("cardea/front/cmd/{}", name.word()), &payload(name, id), &[]);
        answer(&mut results, id)
    };
    let daemon = house.daemon(&broker, &[OPENS]);
    assert_eq!(ask(CommandName::Lockdown, "l1")["ok"], true);
    assert_eq!(ask(CommandName::Unlock, "u1")["error"], "lockdown");
    health.until("the lockdown", |m| m.payload.contains(r#""lockdown":true"#));
    daemon.stop();
    let daemon = house.daemon(&broker, &[OPENS]);
    assert_eq!(ask(CommandName::Unlock, "u2")["error"], "lockdown");
    assert_eq!(house.openings(), 0);
    assert_eq!(ask(CommandName::Release, "r1")["ok"], true);
    assert_eq!(ask(CommandName::Unlock, "u3")["ok"], true);
    wait_for("a pulse", || house.openings() == 1);
    daemon.stop();
}

#[test]
fn a_hold_keeps_the_line_active_until_lock() {
    if left_out("a_hold_keeps_the_line_active_until_lock", "mosquitto") {
        return;
    }
    let (broker, house) = (Broker::started(), House::new());
    let mut results = Subscriber::new(&broker, "cardea/front/cmd/result");
    let mut lock = Subscriber::new(&broker, "cardea/front/lock/state");
    let daemon = house.daemon(&broker, &[OPENS]);
    let until = json!(now_ms() + 600_000);
    let hold = payload_at(CommandName::Hold, "h1", now_ms(), &[("until", until)]);
    publish(&broker, "cardea/front/cmd/hold", &hold, &[]);
    assert_eq!(answer(&mut results, "h1")["ok"], true);
    lock.next("unlocked", |m| m.payload == "UNLOCKED");
    publish(&broker, "cardea/front/cmd/lock", &payload(CommandName::Lock, "l1"), &[]);
    assert_eq!(answer(&mut results, "l1")["ok"], true);
    lock.next("locked", |m| m.payload == "LOCKED");
    daemon.stop();
    assert_eq!(house.openings(), 1, "one lease, renewed");
}

#[test]
fn a_flood_of_junk_opens_nothing_and_leaves_frames_and_good_commands_their_way() {
    if left_out("a_flood_of_junk_opens_nothing_and_leaves_frames_and_good_commands_their_way", "mosquitto") {
        return;
    }
    let (broker, house) = (Broker::started(), House::new());
    let mut results = Subscriber::new(&broker, "cardea/front/cmd/result");
    let daemon = house.daemon(&broker, &[OPENS, "mqtt.remote_unlock=\"home_assistant\""]);
    let mut health = Subscriber::new(&broker, "cardea/front/health");
    // Each line one message, as fast as mosquitto_pub can: some thousands a second.
    let port = broker.port.to_string();
    let mut flood = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &port, "-V", "mqttv5", "-t", "cardea/front/cmd/unlock", "-l"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("mosquitto_pub starts");
    let mut lines = flood.stdin.take().expect("piped");
    for n in 0..10_000 {
        let unsigned = json!({"id": format!("f{n}"), "at": now_ms(), "expires": now_ms() + 5_000});
        writeln!(lines, "{unsigned}").expect("mosquitto_pub reads");
    }
    drop(lines);
    assert!(flood.wait().expect("it ends").success());
    publish(&broker, "cardea/front/cmd/unlock", &payload(CommandName::Unlock, "good"), &[]);
    assert_eq!(answer(&mut results, "good")["ok"], true);
    wait_for("a pulse", || house.openings() == 1);
    let answered = results.seen.len();
    assert!((20..=30).contains(&answered), "{answered} answers: twenty at once, then one in ten seconds");
    // The camera's frames went on meanwhile.
    let fps = |m: &Message| serde_json::from_str::<Value>(&m.payload).ok()?["camera"]["fps"].as_f64();
    health.next("a frame rate", |m| !m.retained && fps(m).is_some_and(|f| f > 5.0));
    daemon.stop();
    assert_eq!(house.openings(), 1);
    assert_eq!(house.records("alarm.camera").len() + house.records("alarm.guard").len(), 0);
}

#[test]
fn a_replay_repeats_the_journal_in_order_and_a_person_is_removed_for_good() {
    if left_out("a_replay_repeats_the_journal_in_order_and_a_person_is_removed_for_good", "mosquitto") {
        return;
    }
    let (broker, house) = (Broker::started(), House::new());
    let mut results = Subscriber::new(&broker, "cardea/front/cmd/result");
    let mut replayed = Subscriber::new(&broker, "cardea/front/log/replay");
    let mut log = Subscriber::new(&broker, "cardea/front/log");
    let daemon = house.daemon(&broker, &[OPENS]);
    for n in 0..5 {
        publish(&broker, "cardea/front/cmd/unlock", "junk", &[]);
        let _told = answer(&mut results, "");
        assert!(n < 20);
    }
    let replay = |id: &str, seq: u64, limit: u64| {
        let fields = [("limit", json!(limit)), ("seq", json!(seq))];
        publish(&broker, "cardea/front/cmd/replay", &payload_at(CommandName::Replay, id, now_ms(), &fields), &[]);
    };
    replay("r1", 2, 4);
    assert_eq!(answer(&mut results, "r1")["ok"], true);
    let seq = |m: &Message| serde_json::from_str::<Value>(&m.payload).expect("a record")["seq"].as_u64();
    for want in 3..=6 {
        let m = replayed.next("a record", |_| true);
        assert_eq!((seq(&m), m.retained), (Some(want), false));
        log.until("the same record", |l| l.payload == m.payload);
    }
    let fields = [("person", json!("nobody"))];
    publish(&broker, "cardea/front/cmd/remove", &payload_at(CommandName::Remove, "d1", now_ms(), &fields), &[]);
    assert_eq!(answer(&mut results, "d1")["error"], "failed", "there is no such person");
    daemon.stop();
    assert_eq!(replayed.seen.len(), 4, "bounded");
}

#[test]
fn home_assistant_is_told_first_and_again_when_it_comes() {
    if left_out("home_assistant_is_told_first_and_again_when_it_comes", "mosquitto") {
        return;
    }
    let (broker, house) = (Broker::started(), House::new());
    let mut told = Subscriber::new(&broker, "homeassistant/device/cardea_front/config");
    let daemon = house.daemon(&broker, &[]);
    let first = told.next("the announcement", |_| true);
    let payload: Value = serde_json::from_str(&first.payload).expect("JSON");
    assert_eq!(payload["dev"]["ids"][0], "cardea_front");
    publish(&broker, "homeassistant/status", "online", &[]);
    assert_eq!(told.next("the same once more", |_| true).payload, first.payload);
    let log = broker.log();
    let spoke: Vec<&str> = log
        .lines()
        .filter(|l| l.contains("Received PUBLISH from cardea-front"))
        .filter_map(|l| l.split('\'').nth(1))
        .collect();
    assert_eq!(spoke[0], "homeassistant/device/cardea_front/config", "before states and availability: {spoke:?}");
    daemon.stop();
    assert!(Subscriber::new(&broker, "homeassistant/#").until("it is kept", |m| m.retained).payload == first.payload);

    // And taken away again.
    let out = Command::new(env!("CARGO_BIN_EXE_cardea"))
        .args(["mqtt", "remove", "--json", "--set", &format!("mqtt.port={}", broker.port)])
        .output()
        .expect("the program starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let removed: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(removed["removed"][0], "homeassistant/device/cardea_front/config");
    publish(&broker, "marker", "x", &["-r", "-q", "1"]);
    let mut left = Subscriber::new(&broker, "#");
    left.until("the marker", |m| m.topic == "marker");
    assert_eq!(left.seen.len(), 1, "{:?}", left.seen);
}

#[test]
fn the_shell_lines_of_the_manual_sign_a_command_that_is_taken() {
    if left_out("the_shell_lines_of_the_manual_sign_a_command_that_is_taken", "mosquitto") {
        return;
    }
    let manual = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/mqtt.md")).expect("the manual");
    let block = manual.split("<!-- A test runs this block as it stands. -->\n```sh\n").nth(1).expect("the block");
    let block = block.split("```").next().expect("its end");
    let (broker, house) = (Broker::started(), House::new());
    let mut results = Subscriber::new(&broker, "cardea/front/cmd/result");
    let daemon = house.daemon(&broker, &[OPENS]);
    let run = Command::new("bash")
        .args(["-euc", block])
        .env("COMMAND", "unlock")
        .env("KEY_FILE", house.path().join("key"))
        .env("PORT", broker.port.to_string())
        .status()
        .expect("bash runs");
    assert!(run.success());
    let told = results.next("an answer", |m| m.payload.contains(r#""command":"unlock""#));
    assert!(told.payload.contains(r#""ok":true"#), "{told:?}");
    wait_for("a pulse", || house.openings() == 1);
    daemon.stop();
}

/// Somebody who is guided: nobody for six seconds, then straight, a little left, right, up, straight; at ten frames a second.
/// The face of a script is seen some four degrees to the right of where it says, and six below.
fn somebody_poses() -> House {
    let rows: Vec<Value> = [(60, 0.0, 0.0), (75, 15.0, 0.0), (90, -8.0, 0.0), (105, 0.0, 16.0), (120, 0.0, 0.0)]
        .into_iter()
        .map(|(from, yaw, pitch)| {
            let rect = [100.0, 50.0, 120.0, 140.0];
            let face = json!({"box": rect, "live": 0.99, "person": 7, "yaw": yaw, "pitch": pitch});
            json!({"frames": [from, from + 14], "face": face})
        })
        .collect();
    House::where_comes(160, &rows)
}

const GROUPS: &str =
    "[groups.staff]\n[doors.front]\n[[grants]]\ngroups = [\"staff\"]\ndoors = [\"front\"]\nschedule = \"always\"\n";

/// Asks until nobody is being looked at, and until the answer that ends it is none of `again`.
fn enrol(broker: &Broker, results: &mut Subscriber, person: &str, again: &[&str]) -> Value {
    let begun = std::time::Instant::now();
    for n in 0.. {
        assert!(begun.elapsed() < broker::DEADLINE * 2, "waited in vain: {person} is enrolled");
        let id = format!("{person}-{n}-{}", now_ms());
        let fields = [("groups", json!("staff")), ("person", json!(person))];
        let text = payload_at(CommandName::Enroll, &id, now_ms(), &fields);
        publish(broker, "cardea/front/cmd/enroll", &text, &[]);
        let told = answer(results, &id);
        if told["error"] == "busy" || told["error"] == "rate" {
            std::thread::sleep(std::time::Duration::from_millis(2_000));
            continue;
        }
        assert_eq!((&told["ok"], &told["result"]), (&json!(true), &json!("accepted")), "{told}");
        let end = answer(results, &id);
        if !again.iter().any(|w| end["result"] == *w) {
            return end;
        }
    }
    unreachable!("the loop has no end of its own")
}

#[test]
fn somebody_is_enrolled_at_the_camera_from_afar_once_and_removed_with_a_receipt() {
    if left_out("somebody_is_enrolled_at_the_camera_from_afar_once_and_removed_with_a_receipt", "mosquitto") {
        return;
    }
    let (broker, house) = (Broker::started(), somebody_poses());
    let mut results = Subscriber::new(&broker, "cardea/front/cmd/result");
    let state = house.path().join("state");
    let cardea = |args: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_cardea")).args(args).arg("--state").arg(&state).output();
        let out = out.expect("the program starts");
        (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    let allowed = [
        "mqtt.remote_enroll=true",
        "mqtt.commands=[\"enroll\",\"remove\",\"ping\"]",
        "camera.fps=10",
        // A visit that a frame of the round begins ends soon.
        "challenge.mode=\"off\"",
        "insecure.challenge_off=true",
    ];
    let daemon = house.daemon(&broker, &allowed);
    let stored = enrol(&broker, &mut results, "ada", &["not_one_person", "too_few_poses"]);
    assert_eq!((&stored["ok"], &stored["result"]), (&json!(true), &json!("stored")), "{stored}");
    let (_, people) = cardea(&["people", "list", "--json"]);
    assert!(people.contains(r#""person":"ada""#) && people.contains(r#""templates":5"#), "{people}");

    // The same face under another name, and the same name once more.
    let twice = enrol(&broker, &mut results, "eve", &["not_one_person", "too_few_poses"]);
    assert_eq!((&twice["ok"], &twice["result"]), (&json!(false), &json!("duplicate")), "{twice}");
    let again = enrol(&broker, &mut results, "ada", &[]);
    assert_eq!((&again["ok"], &again["result"]), (&json!(false), &json!("name_taken")), "{again}");

    let fields = [("person", json!("ada"))];
    publish(&broker, "cardea/front/cmd/remove", &payload_at(CommandName::Remove, "gone", now_ms(), &fields), &[]);
    let told = answer(&mut results, "gone");
    assert_eq!(told["ok"], true, "{told}");
    daemon.stop();
    let receipt = state.join("receipts").join(told["receipt"].as_str().expect("a receipt is named"));
    let receipt = receipt.display().to_string();
    assert!(cardea(&["people", "receipt", "verify", &receipt, "--person", "ada"]).0, "{receipt}");
    assert!(!cardea(&["people", "receipt", "verify", &receipt, "--person", "eve"]).0, "of somebody else");

    let enrolled = house.records("person.enrolled");
    assert_eq!((enrolled.len(), &enrolled[0]["person"], &enrolled[0]["seq"]), (1, &json!("ada"), &stored["seq"]));
    let rules = house.records("person.rules");
    assert_eq!((rules.len(), &rules[0]["groups"]), (1, &json!(["staff"])), "no other rights than the command's");
    let not: Vec<Value> = house.records("person.not_enrolled").iter().map(|r| r["reason"].clone()).collect();
    assert!(not.contains(&json!("duplicate")) && not.contains(&json!("name_taken")), "{not:?}");
}

#[test]
fn an_enrolment_or_a_picture_that_is_not_allowed_for_leaves_nothing_but_a_record() {
    if left_out("an_enrolment_or_a_picture_that_is_not_allowed_for_leaves_nothing_but_a_record", "mosquitto") {
        return;
    }
    let (broker, house) = (Broker::started(), House::new());
    std::fs::write(house.path().join("rules.toml"), GROUPS).expect("written");
    let rules = format!("rules.file={:?}", house.path().join("rules.toml"));
    let mut results = Subscriber::new(&broker, "cardea/front/cmd/result");
    let allowed = "mqtt.commands=[\"enroll\",\"lockdown\"]";
    let daemon = house.daemon(&broker, &["mqtt.remote_enroll=true", allowed, &rules]);
    let mut ask = |id: &str, groups: &str, error: &str| {
        let fields = [("groups", json!(groups)), ("person", json!("ada"))];
        let text = payload_at(CommandName::Enroll, id, now_ms(), &fields);
        publish(&broker, "cardea/front/cmd/enroll", &text, &[]);
        let told = answer(&mut results, id);
        assert_eq!((&told["ok"], &told["error"]), (&json!(false), &json!(error)), "{told}");
    };
    // A group that the rules do not know, and the one that everybody is in.
    ask("e1", "night", "malformed");
    ask("e2", "everyone", "malformed");
    publish(
        &broker,
        "cardea/front/cmd/enroll",
        &payload_at(CommandName::Enroll, "e3", now_ms(), &[("person", json!("ada"))]),
        &[],
    );
    assert_eq!(answer(&mut results, "e3")["result"], "accepted");
    let mut ask = |id: &str, error: &str| {
        let text = payload_at(CommandName::Enroll, id, now_ms(), &[("person", json!("bob"))]);
        publish(&broker, "cardea/front/cmd/enroll", &text, &[]);
        assert_eq!(answer(&mut results, id)["error"], error);
    };
    ask("e4", "busy");
    publish(&broker, "cardea/front/cmd/lockdown", &payload(CommandName::Lockdown, "l1"), &[]);
    // In whichever order: the end of the lockdown's command, and that of the enrolment, which it stops.
    let mut ends = BTreeMap::new();
    while ends.len() < 2 {
        let told: Value = serde_json::from_str(&results.next("two ends", |_| true).payload).expect("JSON");
        ends.insert(told["id"].as_str().unwrap_or_default().to_owned(), told);
    }
    assert_eq!((&ends["l1"]["ok"], &ends["e3"]["result"]), (&json!(true), &json!("stopped")), "{ends:?}");
    let text = payload_at(CommandName::Enroll, "e5", now_ms(), &[("person", json!("bob"))]);
    publish(&broker, "cardea/front/cmd/enroll", &text, &[]);
    assert_eq!(answer(&mut results, "e5")["error"], "lockdown");
    daemon.stop();
    assert_eq!(house.records("person.enrolled").len(), 0);
    assert_eq!(house.records("person.not_enrolled").len(), 1);
    assert_eq!(house.records("command.rejected").len(), 4);
}

#[test]
fn a_picture_of_now_is_published_where_the_owner_allows_it_a_few_times_and_never_kept() {
    if left_out("a_picture_of_now_is_published_where_the_owner_allows_it_a_few_times_and_never_kept", "mosquitto") {
        return;
    }
    let (broker, house) = (Broker::started(), House::new());
    let mut results = Subscriber::new(&broker, "cardea/front/cmd/result");
    let mut told = Subscriber::new(&broker, "homeassistant/device/cardea_front/config");
    let allowed = ["privacy.snapshots=true", "mqtt.commands=[\"snapshot\",\"ping\"]"];
    let daemon = house.daemon(&broker, &allowed);
    let announced: Value = serde_json::from_str(&told.next("the announcement", |_| true).payload).expect("JSON");
    assert_eq!(announced["cmps"]["snapshot"]["image_topic"], "cardea/front/snapshot/jpeg");
    let port = broker.port.to_string();
    let listener = Command::new("mosquitto_sub")
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-V",
            "mqttv5",
            "-t",
            "cardea/front/snapshot/jpeg",
            "-C",
            "1",
            "-N",
            "-W",
            "60",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("mosquitto_sub starts");
    wait_for("it is subscribed", || broker.log().contains("cardea/front/snapshot/jpeg (QoS 0)"));
    let unsigned = json!({"id": "u1", "at": now_ms(), "expires": now_ms() + 5_000}).to_string();
    publish(&broker, "cardea/front/cmd/snapshot", &unsigned, &[]);
    assert_eq!(answer(&mut results, "u1")["error"], "bad_mac");
    let mut ask = |id: &str| {
        publish(&broker, "cardea/front/cmd/snapshot", &payload(CommandName::Snapshot, id), &[]);
        answer(&mut results, id)
    };
    let first = ask("s1");
    assert_eq!(first["ok"], true, "{first}");
    let jpeg = listener.wait_with_output().expect("it ends").stdout;
    let picture = image::load_from_memory(&jpeg).expect("a picture");
    assert_eq!((picture.width(), picture.height()), (320, 240));
    let refused = (2..9).map(|n| ask(&format!("s{n}"))).find(|a| a["ok"] == false).expect("not as many as one likes");
    assert_eq!(refused["error"], "rate");
    // Nothing lies at the broker for whoever comes later.
    publish(&broker, "marker", "x", &["-r", "-q", "1"]);
    let mut later = Subscriber::new(&broker, "#");
    later.until("the marker", |m| m.topic == "marker");
    assert!(later.seen.iter().all(|m| !m.topic.contains("snapshot")), "{:?}", later.seen);
    daemon.stop();
    let asked = house.records("command.accepted");
    assert_eq!(
        (&asked[0]["command"], &asked[0]["id"], &asked[0]["via"]),
        (&json!("snapshot"), &json!("s1"), &json!("mqtt"))
    );
}
