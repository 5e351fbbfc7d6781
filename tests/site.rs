//! The directory of a site on a real mosquitto: whole daemons, and many simulated terminals that run the daemon's own client.

#[path = "support/broker.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod broker;
#[path = "support/daemon.rs"]
mod daemon;

use broker::{Broker, Subscriber, left_out, wait_for};
use cardea::adapters::mqtt::{Ending, SiteClient};
use cardea::adapters::site::{Change, Keys, MemoryShelf, News, Replica, Settings, SiteKey, public_of};
use cardea::adapters::store::SiteFile;
use cardea::adapters::system::SystemClock;
use cardea::base::time::Tick;
use cardea::config::{Config, Inputs, load};
use cardea::ports::{Shelf, SiteDesk, SiteOut};
use cardea::schema::directory::{Head, Signer};
use daemon::Daemon;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::watch;
use zeroize::Zeroizing;

/// Doors of one site: frames without anybody, a picture to enrol from, the keys, a state directory each.
struct Site {
    dir: TempDir,
    signer: String,
}

impl Site {
    fn new() -> Site {
        let dir = tempfile::tempdir().expect("a directory");
        let frames = dir.path().join("frames");
        std::fs::create_dir(&frames).expect("a directory");
        for i in 0..10_u32 {
            let on = |x: u32, y: u32| ((x + i * 7) / 40 + y / 8).is_multiple_of(2);
            let picture = image::RgbImage::from_fn(320, 240, |x, y| image::Rgb([if on(x, y) { 170 } else { 80 }; 3]));
            picture.save(frames.join(format!("frame_{i:05}.jpg"))).expect("a picture");
        }
        let script = |rows: Value| json!({"picture": [320.0, 240.0], "rows": rows}).to_string();
        std::fs::write(dir.path().join("nobody.json"), script(json!([]))).expect("written");
        for person in 1..4 {
            let face = json!([{"frames": [0, 9], "face": {"box": [100.0, 50.0, 120.0, 140.0], "person": person}}]);
            std::fs::write(dir.path().join(format!("face-{person}.json")), script(face)).expect("written");
        }
        let mut site = Site { dir, signer: String::new() };
        site.cardea("a", "nobody", &["site", "keygen", "--out", &site.file("site.key")]);
        let made =
            site.cardea("a", "nobody", &["site", "keygen", "--signer", "office", "--out", &site.file("signer.key")]);
        site.signer = made["signer"].as_str().expect("the line for site.signers").to_owned();
        site
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn settings(&self, door: &str, script: &str, more: &[String]) -> Vec<String> {
        let mut all = vec![
            format!("device.name={door:?}"),
            "models.pack=\"scripted\"".to_owned(),
            format!("models.script={:?}", self.file(&format!("{script}.json"))),
            "insecure.scripted_models=true".into(),
            "camera.kind=\"file\"".into(),
            format!("camera.path={:?}", self.file("frames")),
            "camera.looped=true".into(),
            "prompt.kind=\"none\"".into(),
        ];
        all.extend_from_slice(more);
        all.into_iter().flat_map(|s| ["--set".to_owned(), s]).collect()
    }

    fn of_site(&self, door: &str, port: u16) -> Vec<String> {
        let mut all = vec![
            "mqtt.enabled=true".to_owned(),
            format!("mqtt.port={port}"),
            "site.name=\"works\"".into(),
            format!("site.key_file={:?}", self.file("site.key")),
            format!("site.signers=[{:?}]", self.signer),
            "site.rules=true".into(),
        ];
        if door == "a" {
            all.push(format!("site.signer_key_file={:?}", self.file("signer.key")));
        }
        all
    }

    fn state(&self, door: &str) -> String {
        self.file(&format!("state-{door}"))
    }

    /// A command at a door; its last line of JSON.
    fn cardea_with(&self, door: &str, script: &str, args: &[&str], more: &[String]) -> (Option<i32>, Value) {
        let out = Command::new(env!("CARGO_BIN_EXE_cardea"))
            .args(args)
            .args(["--json", "--state", &self.state(door)])
            .args(self.settings(door, script, more))
            .output()
            .expect("the program starts");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let last = text.lines().last().and_then(|l| serde_json::from_str(l).ok()).unwrap_or(Value::Null);
        (out.status.code(), last)
    }

    fn cardea(&self, door: &str, script: &str, args: &[&str]) -> Value {
        let (code, said) = self.cardea_with(door, script, args, &[]);
        assert_eq!(code, Some(0), "{args:?}: {said}");
        said
    }

    fn enrol(&self, door: &str, name: &str, face: u8) {
        let picture = self.file("frames/frame_00000.jpg");
        self.cardea(door, &format!("face-{face}"), &["enroll", name, "--image", &picture]);
    }

    fn people(&self, door: &str) -> Vec<String> {
        let store = cardea::adapters::store::EncryptedPeople::open(Path::new(&self.state(door)));
        let all = cardea::ports::PeopleStore::list(&mut store.expect("opens")).expect("reads");
        all.into_iter().map(|p| p.person.to_string()).collect()
    }

    fn records(&self, door: &str, kind: &str) -> Vec<Value> {
        let out = Command::new(env!("CARGO_BIN_EXE_cardea"))
            .args(["events", "list", "--json", "--state", &self.state(door)])
            .output()
            .expect("the program starts");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok()).filter(|v| v["type"] == kind).collect()
    }

    /// The daemon of a door, when it is online.
    fn daemon(&self, door: &str, broker: &Broker) -> Daemon {
        let mut online = Subscriber::new(broker, &format!("cardea/{door}/availability"));
        let log = std::fs::File::create(self.file(&format!("{door}.log"))).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_cardea"))
            .args(["run", "--state", &self.state(door)])
            .args(self.settings(door, "nobody", &self.of_site(door, broker.port)))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        online.next("online", |m| m.payload == "online" && !m.retained);
        Daemon(child)
    }
}

fn publish_retained(broker: &Broker, topic: &str, payload: &str) {
    let port = broker.port.to_string();
    let run = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &port, "-V", "mqttv5", "-q", "1", "-r", "-t", topic, "-m", payload])
        .output()
        .expect("mosquitto_pub runs");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn doors_of_a_site_share_their_people_and_believe_only_what_is_signed() {
    if left_out("doors_of_a_site_share_their_people_and_believe_only_what_is_signed", "mosquitto") {
        return;
    }
    let mut broker = Broker::prepared_with("max_queued_messages 100");
    broker.start();
    let site = Site::new();
    let mut heads = Subscriber::new(&broker, "cardea/site/works/directory/head/+");
    site.enrol("a", "ada", 1);
    let (a, b) = (site.daemon("a", &broker), site.daemon("b", &broker));
    wait_for("ada is known at b", || site.people("b") == ["ada"]);
    let first = heads.next("a head", |m| !m.payload.is_empty());

    // A door that was away catches up; one that is new too.
    b.stop();
    site.enrol("a", "bob", 2);
    wait_for("bob is signed", || site.records("a", "site.signed").len() >= 2);
    let (b, c) = (site.daemon("b", &broker), site.daemon("c", &broker));
    for door in ["b", "c"] {
        wait_for("bob is known there too", || site.people(door) == ["ada", "bob"]);
    }
    let (code, status) = site.cardea_with("c", "nobody", &["site", "status"], &site.of_site("c", broker.port));
    assert_eq!((code, &status["people"], &status["ok"]), (Some(0), &json!(2), &json!(true)), "{status}");

    // Who is removed where it is signed is gone everywhere; and a name that is enrolled nowhere can be revoked.
    let begun = Instant::now();
    site.cardea("a", "nobody", &["people", "remove", "ada"]);
    for door in ["b", "c"] {
        wait_for("ada is gone there too", || site.people(door) == ["bob"]);
    }
    println!("revoked at all doors after {} ms, the command's own start among them", begun.elapsed().as_millis());
    for door in ["b", "c"] {
        wait_for("it is recorded", || !site.records(door, "person.revoked").is_empty());
        let record = &site.records(door, "person.revoked")[0];
        assert_eq!((&record["person"], &record["by"]), (&json!("ada"), &json!("office")));
    }
    let (code, _) = site.cardea_with("b", "nobody", &["site", "revoke", "bob"], &site.of_site("b", broker.port));
    assert_eq!(code, Some(77), "b does not sign");

    // What is not signed, older, or of another site changes nothing and is recorded.
    let topic = first.topic.clone();
    let newest = heads.until("the newest", |m| {
        let version = |text: &str| serde_json::from_str::<Head>(text).map(|h| h.version).unwrap_or(0);
        version(&m.payload) > version(&first.payload)
    });
    let mut forged: Head = serde_json::from_str(&newest.payload).expect("a head");
    forged.version += 100;
    let foreign = foreign_head(&site);
    let texts = [
        ("forged", serde_json::to_string(&forged).expect("text")),
        ("rolled_back", first.payload),
        ("foreign", foreign),
    ];
    for (cause, text) in texts {
        publish_retained(&broker, &topic, &text);
        wait_for(cause, || site.records("b", "alarm.site").iter().any(|r| r["cause"] == cause));
    }
    assert_eq!(site.people("b"), ["bob"]);
    // The signer has put its own word back over the older one.
    let mut now = Subscriber::new(&broker, &topic);
    now.until("the signer's newest", |m| serde_json::from_str::<Head>(&m.payload).is_ok_and(|h| h.site == "works"));

    // Rules for all doors.
    let rules = site.file("rules.toml");
    std::fs::write(&rules, "[[grants]]\ngroups = [\"everyone\"]\ndoors = [\"*\"]\nschedule = \"always\"\n")
        .expect("written");
    let (code, said) = site.cardea_with("a", "nobody", &["site", "rules", &rules], &site.of_site("a", broker.port));
    assert_eq!(code, Some(0), "{said}");
    for door in ["a", "b", "c"] {
        wait_for("the rules hold there", || !site.records(door, "site.rules").is_empty());
    }
    for daemon in [a, b, c] {
        daemon.stop();
    }
    for door in ["a", "b", "c"] {
        let (code, said) = site.cardea_with(door, "nobody", &["events", "verify"], &[]);
        assert_eq!(code, Some(0), "{said}");
    }
}

/// A head that the very signer of the site has signed for another one.
fn foreign_head(site: &Site) -> String {
    let read = |name: &str| {
        let text = std::fs::read_to_string(site.file(name)).expect("reads");
        Zeroizing::new(Signer::parse(text.trim()).expect("a key").0)
    };
    let signer: SiteKey = read("signer.key");
    let signers = BTreeMap::from([(public_of(&signer).expect("a key"), "office".to_owned())]);
    let settings = Settings { base: "cardea".into(), site: "other".into(), device: "x".into(), signers };
    let keys = Keys::new("other", &read("site.key"), Some(&signer)).expect("keys");
    let mut replica = Replica::open(settings, keys, Box::new(MemoryShelf::default())).expect("opens");
    replica.connected(Tick::ZERO);
    replica.tick(Tick::from_millis(60_000));
    let change = BTreeMap::from([("eve".to_owned(), Change::Revoked)]);
    assert!((0..200).any(|_| replica.publish(change.clone()).expect("writes")));
    let mut head = None;
    while let Some(out) = replica.next_out() {
        if let SiteOut::Publish { topic, payload, tag, .. } = out {
            replica.confirmed(tag);
            if topic.contains("/head/") {
                head = Some(String::from_utf8(payload).expect("text"));
            }
        }
    }
    head.expect("a head")
}

/// What a signer is to say, one directory after the other.
type Orders = Arc<Mutex<Vec<BTreeMap<String, Change>>>>;

/// One simulated terminal: the daemon's client and replica, without people and doors.
struct Terminal {
    replica: Replica,
    shared: Arc<Shared>,
    at: usize,
    /// What the signer is to say next.
    orders: Option<Orders>,
}

#[derive(Default)]
struct Shared {
    /// Entries that each terminal knows.
    entries: Vec<AtomicU64>,
    /// Revoked people that each terminal was told of.
    revoked: Vec<AtomicU64>,
    bytes: Vec<AtomicU64>,
    messages: AtomicU64,
    refused: AtomicU64,
    signed: AtomicBool,
}

impl Terminal {
    fn look(&mut self) {
        for news in self.replica.news() {
            match news {
                News::Changed => {
                    self.shared.entries[self.at].store(self.replica.winners().len() as u64, Ordering::Relaxed);
                }
                News::Revoked { people, .. } => {
                    self.shared.revoked[self.at].fetch_add(people.len() as u64, Ordering::Relaxed);
                }
                News::Refused { .. } | News::Fault(_) => drop(self.shared.refused.fetch_add(1, Ordering::Relaxed)),
                News::Signed { .. } => self.shared.signed.store(true, Ordering::Relaxed),
            }
        }
    }
}

impl SiteDesk for Terminal {
    fn connected(&mut self, now: Tick) {
        self.replica.connected(now);
    }
    fn lost(&mut self) {
        self.replica.lost();
    }
    fn message(&mut self, now: Tick, topic: &str, payload: &[u8]) {
        let bytes = (topic.len() + payload.len()) as u64;
        self.shared.bytes[self.at].fetch_add(bytes, Ordering::Relaxed);
        self.shared.messages.fetch_add(1, Ordering::Relaxed);
        self.replica.message(now, topic, payload);
        self.look();
    }
    fn confirmed(&mut self, _: Tick, tag: u64) {
        self.replica.confirmed(tag);
    }
    fn tick(&mut self, now: Tick) -> Tick {
        if let Some(orders) = self.orders.clone().filter(|_| self.replica.may_publish()) {
            let order = orders.lock().expect("orders mutex: no holder panics").pop();
            if let Some(changes) = order {
                assert!(self.replica.publish(changes).expect("writes"));
            }
        }
        let next = self.replica.tick(now);
        self.look();
        if self.orders.is_some() { next.min(now + Duration::from_millis(20)) } else { next }
    }
    fn next(&mut self, _: Tick) -> Option<SiteOut> {
        self.replica.next_out()
    }
}

fn config(broker: &Broker, name: &str) -> Config {
    let set = |s: &str| s.to_owned();
    let inputs = Inputs {
        file: None,
        set: vec![
            set("mqtt.enabled=true"),
            format!("mqtt.port={}", broker.port),
            format!("device.name={name:?}"),
            set("mqtt.keep_alive_s=300"),
        ],
        state: None,
        env: Vec::new(),
        credentials: None,
    };
    load(&inputs).expect("a configuration")
}

/// Resident memory of this process in KiB.
fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn people(from: usize, to: usize) -> BTreeMap<String, Change> {
    // As long as somebody with one template of 256 numbers and a group.
    (from..to)
        .map(|i| {
            let mut bytes = vec![0_u8; 1450];
            bytes[..8].copy_from_slice(&(i as u64).to_le_bytes());
            (format!("person-{i:06}"), Change::Present(Zeroizing::new(bytes)))
        })
        .collect()
}

fn asked(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Sorted times until each terminal has come so far.
fn times(count: usize, limit: Duration, what: &str, mut there: impl FnMut(usize) -> bool) -> Vec<Duration> {
    let begun = Instant::now();
    let mut done: Vec<Option<Duration>> = vec![None; count];
    while done.iter().any(Option::is_none) {
        for (i, at) in done.iter_mut().enumerate() {
            if at.is_none() && there(i) {
                *at = Some(begun.elapsed());
            }
        }
        assert!(begun.elapsed() < limit, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut all: Vec<Duration> = done.into_iter().flatten().collect();
    all.sort();
    all
}

/// `make site` runs it with 200 terminals and 10,000 people.
#[test]
fn many_terminals_converge_on_a_broker_with_short_queues() {
    if left_out("many_terminals_converge_on_a_broker_with_short_queues", "mosquitto") {
        return;
    }
    let (terminals, count) = (asked("CARDEA_TERMINALS", 12), asked("CARDEA_PEOPLE", 400));
    let queue = std::env::var("CARDEA_QUEUE").unwrap_or_else(|_| "max_queued_messages 100".into());
    let mut broker = Broker::prepared_with(&queue);
    broker.quiet = true;
    broker.start();
    let limit = Duration::from_secs(60 + (terminals * count / 1000) as u64);
    let zeros = || (0..=terminals).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
    let shared = Arc::new(Shared { entries: zeros(), revoked: zeros(), bytes: zeros(), ..Shared::default() });
    let (site_key, signer_key): (SiteKey, SiteKey) = (Zeroizing::new([1; 32]), Zeroizing::new([2; 32]));
    let signers = BTreeMap::from([(public_of(&signer_key).expect("a key"), "office".to_owned())]);
    let orders = Arc::new(Mutex::new(Vec::new()));
    let (ending, asked_to_end) = watch::channel(Ending::Running);
    let disk = tempfile::tempdir().expect("a directory");
    let first = MemoryShelf::default();
    let before = resident_kib();
    // The signer is number 0, on a thread of its own; the others share two.
    let lane = |numbers: Vec<usize>| {
        let (shared, orders, signers, first) = (shared.clone(), orders.clone(), signers.clone(), first.clone());
        let (site_key, signer_key) = (site_key.clone(), signer_key.clone());
        let ending = asked_to_end.clone();
        let configs: Vec<Config> = numbers.iter().map(|n| config(&broker, &format!("door-{n}"))).collect();
        let disk = disk.path().to_owned();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let local = tokio::task::LocalSet::new();
            for (at, config) in numbers.into_iter().zip(configs) {
                let device = format!("door-{at}");
                let settings =
                    Settings { base: "cardea".into(), site: "works".into(), device, signers: signers.clone() };
                let signs = (at == 0).then_some(&signer_key);
                let keys = Keys::new("works", &site_key, signs).expect("keys");
                // One has its shelf on the disk, as a door has.
                let shelf: Box<dyn Shelf> =
                    if at == 1 { Box::new(SiteFile::open(&disk).expect("opens")) } else { Box::new(first.beside()) };
                let replica = Replica::open(settings, keys, shelf).expect("opens");
                let mut terminal =
                    Terminal { replica, shared: shared.clone(), at, orders: (at == 0).then(|| orders.clone()) };
                let client = SiteClient::new(config.mqtt(), Arc::new(SystemClock)).expect("a client");
                let ending = ending.clone();
                local.spawn_local(async move { client.run(&mut terminal, ending).await });
            }
            runtime.block_on(local);
        })
    };
    let others: Vec<usize> = (1..=terminals).collect();
    let half = others.len() / 2;
    let lanes = [lane(vec![0]), lane(others[..half].to_vec()), lane(others[half..].to_vec())];
    let say = |changes: BTreeMap<String, Change>| {
        shared.signed.store(false, Ordering::Relaxed);
        orders.lock().expect("orders mutex: no holder panics").push(changes);
        wait_for("the signer has signed", || shared.signed.load(Ordering::Relaxed));
    };
    let know = |i: usize, n: usize| shared.entries[i + 1].load(Ordering::Relaxed) == n as u64;
    let bytes = || (1..=terminals).map(|i| shared.bytes[i].load(Ordering::Relaxed)).sum::<u64>() / terminals as u64;
    let mut rows: Vec<(String, Vec<Duration>, u64)> = Vec::new();
    let mut measure = |what: &str, changes: BTreeMap<String, Change>, there: &mut dyn FnMut(usize) -> bool| {
        let from = bytes();
        say(changes);
        let times = times(terminals, limit, what, there);
        rows.push((what.to_owned(), times, bytes() - from));
    };
    measure(&format!("{count} people, all new"), people(0, count), &mut |i| know(i, count));
    let memory = resident_kib().saturating_sub(before);
    measure("one person more", people(count, count + 1), &mut |i| know(i, count + 1));
    let revoke = |i: usize| BTreeMap::from([(format!("person-{i:06}"), Change::Revoked)]);
    let told = |i: usize, n: u64| shared.revoked[i + 1].load(Ordering::Relaxed) >= n;
    measure("one revoked", revoke(3), &mut |i| told(i, 1));
    // While a tenth more are on their way to everybody, somebody is revoked.
    let more = count / 10;
    say(people(count + 1, count + 1 + more));
    let behind = (0..terminals).any(|i| !know(i, count + 1 + more));
    measure("one revoked during an import", revoke(5), &mut |i| told(i, 2));
    let overtaken = (0..terminals).filter(|i| !know(*i, count + 1 + more)).count();
    times(terminals, limit, "the import", |i| know(i, count + 1 + more));

    let kib = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len() / 1024);
    println!("{terminals} terminals, {count} people, mosquitto with {queue}");
    println!("{:<34} {:>10} {:>10} {:>14}", "", "median", "last", "KiB a door");
    for (what, times, bytes) in &rows {
        let (median, last) = (times[times.len() / 2], times[times.len() - 1]);
        println!("{what:<34} {:>7} ms {:>7} ms {:>14}", median.as_millis(), last.as_millis(), bytes / 1024);
    }
    println!(
        "memory a door, without blobs on the disk: {} KiB",
        memory.saturating_sub(count as u64 * 2) / terminals as u64
    );
    println!("site.db of one door: {} KiB", kib(&disk.path().join("site.db")) + kib(&disk.path().join("site.db-wal")));
    println!("messages in all: {}", shared.messages.load(Ordering::Relaxed));
    println!("doors that had the revocation before the rest of the import: {overtaken} (some were behind: {behind})");
    assert_eq!(shared.refused.load(Ordering::Relaxed), 0, "nothing is refused among friends");
    let _all_gone = ending.send(Ending::Abandon);
    lanes.into_iter().for_each(|l| l.join().expect("ends"));
}
