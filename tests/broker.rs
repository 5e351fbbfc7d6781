//! The MQTT client against a real mosquitto, watched by mosquitto_sub.

#[path = "support/broker.rs"]
mod broker;
#[path = "support/journal.rs"]
mod journal;

use broker::{Broker, Subscriber, left_out, wait_for};
use cardea::adapters::mqtt::{Client, CursorMoves, Outbox};
use cardea::adapters::store::PublicKey;
use cardea::config::sections::{Mqtt, RemoteUnlock};
use cardea::runtime::net::Net;
use cardea::schema::event::{Event, Reason};
use cardea::schema::head::SignedHead;
use cardea::schema::health::{CameraHealth, Health, HealthStatus, Link};
use cardea::schema::ids::{DeviceId, PersonId, VisitId};
use cardea::schema::topics::LockState;
use journal::DiskJournal;
use std::collections::BTreeSet;
use std::time::Duration;

fn settings(port: u16) -> Mqtt {
    Mqtt {
        enabled: true,
        host: "127.0.0.1".into(),
        port,
        base: "cardea".into(),
        client_id: "cardea-front".into(),
        username: None,
        password_file: None,
        ca_file: None,
        client_cert_file: None,
        client_key_file: None,
        keep_alive: Duration::from_secs(5),
        names: false,
        commands: BTreeSet::new(),
        command_key_file: None,
        remote_unlock: RemoteUnlock::Off,
        discovery: false,
        discovery_prefix: "homeassistant".into(),
    }
}

fn start_with(mqtt: &Mqtt, journal: &DiskJournal, moves: CursorMoves) -> (Net, Outbox) {
    let device = DeviceId::new("front").expect("valid");
    let (client, outbox) = Client::new(mqtt, &device, journal.opener(), moves).expect("the options are good");
    (Net::start(client).expect("a thread"), outbox)
}

fn start(broker: &Broker, journal: &DiskJournal) -> (Net, Outbox) {
    start_with(&settings(broker.port), journal, CursorMoves::default())
}

fn denied(visit: u64) -> Event {
    let reason = Reason::NoMatch;
    Event::AccessDenied {
        visit: VisitId(visit),
        reason,
        door: "front".into(),
        person: None,
        rule: None,
        decision_ms: 412,
    }
}

fn granted(visit: u64) -> Event {
    let person = PersonId::new("p-17").expect("valid");
    Event::AccessGranted { visit: VisitId(visit), person, door: "front".into(), decision_ms: 412, passive_pad: true }
}

fn health() -> Health {
    Health {
        status: HealthStatus::Ok,
        problems: vec![],
        camera: CameraHealth { fps: 15.0, age_ms: Some(20) },
        guard: Link::Connected,
        broker: Link::Connected,
        disk_free_mb: 1000,
        model_pack: "standard".into(),
        passive_pad: true,
        seq: 1,
        lockdown: false,
    }
}

/// `seq` of each record on `log`, in the order of arrival.
fn seqs(subscriber: &Subscriber) -> Vec<u64> {
    let number = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok()?["seq"].as_u64();
    subscriber.payloads("cardea/front/log").into_iter().map(|t| number(t).expect("a record")).collect()
}

/// The same; panics when they do not rise.
fn rising(subscriber: &Subscriber) -> Vec<u64> {
    let seqs = seqs(subscriber);
    assert!(seqs.is_sorted_by(|a, b| a < b), "out of order, or twice on one connection");
    seqs
}

fn until_seq(subscriber: &mut Subscriber, seq: u64) {
    until_seq_on(subscriber, "cardea/front/log", seq);
}

fn until_seq_on(subscriber: &mut Subscriber, topic: &str, seq: u64) {
    let needle = format!("\"seq\":{seq},");
    subscriber.next(&needle, |m| m.topic == topic && m.payload.contains(&needle));
}

/// Twenty records in flight, mosquitto frozen for 14 s and then killed and started anew; returns the numbers of the
/// records that a subscriber has seen, out of 140, and the cursor.
fn after_a_stall_and_a_restart(moves: CursorMoves) -> (BTreeSet<u64>, u64) {
    let mut broker = Broker::started();
    let journal = DiskJournal::new();
    let mut subscriber = Subscriber::keeping(&broker, "cardea/front/log", "watcher");
    broker.save_session_of("watcher");
    let (net, outbox) = start_with(&settings(broker.port), &journal, moves);
    for n in 1..=100 {
        outbox.recorded(&journal.commit(denied(n)));
    }
    until_seq(&mut subscriber, 100);
    wait_for("all confirmed", || outbox.status().confirmed == 100 && outbox.status().in_flight == 0);

    broker.freeze();
    for n in 101..=140 {
        outbox.recorded(&journal.commit(Event::RelayCoalesced { visit: VisitId(n) }));
    }
    wait_for("a full window", || outbox.status().in_flight == 20);
    std::thread::sleep(Duration::from_secs(14)); // The stall is what is tested: longer than two keep-alives.
    assert!(!outbox.status().connected, "a silent broker was not noticed");
    let mut seen: BTreeSet<u64> = seqs(&subscriber).into_iter().collect();
    drop(subscriber);
    broker.kill();

    broker.start();
    let mut subscriber = Subscriber::keeping(&broker, "cardea/front/log", "watcher");
    until_seq(&mut subscriber, 140);
    wait_for("a cursor at the end", || outbox.status().cursor == 140);
    seen.extend(seqs(&subscriber));
    net.stop();
    (seen, journal.position())
}

#[test]
fn every_record_survives_a_stall_and_a_restart_of_the_broker() {
    if left_out("every_record_survives_a_stall_and_a_restart_of_the_broker", "mosquitto") {
        return;
    }
    let (seen, cursor) = after_a_stall_and_a_restart(CursorMoves::default());
    assert_eq!(seen, (1..=140).collect());
    assert_eq!(cursor, 140);
}

/// The control: were this to lose nothing, the test above would show nothing.
#[test]
fn a_cursor_that_moved_on_publish_would_lose_records() {
    if left_out("a_cursor_that_moved_on_publish_would_lose_records", "mosquitto") {
        return;
    }
    let (seen, cursor) = after_a_stall_and_a_restart(CursorMoves::on_publish_and_lose_records());
    assert_eq!(cursor, 140, "it believes that all were delivered");
    let lost: Vec<u64> = (1..=140).filter(|seq| !seen.contains(seq)).collect();
    assert!(!lost.is_empty() && lost.iter().all(|seq| (101..=120).contains(seq)), "{lost:?}");
}

#[test]
fn online_is_said_after_all_states_and_states_are_retained_but_events_are_not() {
    if left_out("online_is_said_after_all_states_and_states_are_retained_but_events_are_not", "mosquitto") {
        return;
    }
    let mut broker = Broker::prepared();
    let journal = DiskJournal::new();
    let (net, outbox) = start(&broker, &journal);
    outbox.lock_state(LockState::Locked);
    outbox.health(&health());
    // From before there was a broker: a state is worth saying late, an event is not.
    outbox.recorded(&journal.commit(granted(1)));
    broker.start();
    wait_for("a connection", || outbox.status().connected);

    let mut early = Subscriber::new(&broker, "cardea/front/#");
    early.until("availability", |m| m.topic == "cardea/front/availability" && m.payload == "online" && m.retained);
    outbox.recorded(&journal.commit(denied(2)));
    let event = early.until("the event", |m| m.topic == "cardea/front/event/access");
    assert!(event.payload.contains(r#""event_type":"denied""#) && event.payload.contains(r#""seq":2,"#), "{event:?}");
    outbox.lock_state(LockState::Unlocked);
    early.until("the lock", |m| m.topic == "cardea/front/lock/state" && m.payload == "UNLOCKED" && !m.retained);
    early.until("the new head", |m| m.topic == "cardea/front/log/head" && m.payload.contains(r#""seq":2,"#));

    let mut late = Subscriber::new(&broker, "cardea/front/#");
    late.until("availability", |m| m.topic == "cardea/front/availability");
    while late.seen.len() < 6 {
        late.next("another retained message", |_| true);
    }
    assert!(late.seen.iter().all(|m| m.retained), "{:?}", late.seen);
    assert_eq!(late.payloads("cardea/front/event/access"), [""; 0]);
    assert_eq!(late.payloads("cardea/front/log"), [""; 0]);
    assert_eq!(late.payloads("cardea/front/lock/state"), ["UNLOCKED"]);
    assert_eq!(late.payloads("cardea/front/availability"), ["online"]);
    assert_eq!(late.payloads("cardea/front/health"), [health().text()]);
    let last = late.payloads("cardea/front/last_access");
    assert!(last.len() == 1 && last[0].contains(r#""seq":2,"#) && last[0].contains(r#""decision_ms":412"#), "{last:?}");
    let (seq, hash) = journal.head();
    let head: serde_json::Value =
        serde_json::from_str(late.payloads("cardea/front/log/head")[0]).expect("one head, in JSON");
    let wanted = serde_json::json!({"seq": seq, "hash": hash, "boot": "00000000-0000-0000-0000-000000000007"});
    assert!(wanted.as_object().expect("an object").iter().all(|(k, v)| head[k] == *v), "{head}");
    let key = PublicKey::parse(head["key"].as_str().expect("text")).expect("a key");
    let signed = SignedHead::signed_text(seq, &hash);
    assert!(key.verifies(&signed, head["sig"].as_str().expect("text")), "{head}");
    net.stop();

    // The broker's own notes tell in which order the terminal spoke when it came.
    let log = broker.log();
    let spoke: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("Received PUBLISH from cardea-front"))
        .filter_map(|line| line.split('\'').nth(1)?.strip_prefix("cardea/front/"))
        .collect();
    assert_eq!(spoke[..6], ["lock/state", "health", "problem/state", "last_access", "log/head", "availability"]);
    let live = spoke.iter().filter(|topic| **topic == "event/access").count();
    assert_eq!(live, 1, "the event from before there was a broker is not said late");
    assert!(log.contains("as cardea-front (p5, c1, k5)"), "version 5, clean start: {log}");
    assert!(!log.contains("Received SUBSCRIBE from cardea-front"), "nothing is subscribed to");
}

#[test]
fn a_terminal_that_vanishes_is_offline_by_its_will_and_one_that_stops_says_so_itself() {
    if left_out("a_terminal_that_vanishes_is_offline_by_its_will_and_one_that_stops_says_so_itself", "mosquitto") {
        return;
    }
    let broker = Broker::started();
    let journal = DiskJournal::new();
    let mut subscriber = Subscriber::new(&broker, "cardea/front/availability");

    let (net, outbox) = start(&broker, &journal);
    subscriber.next("online", |m| m.payload == "online");
    wait_for("the confirmation", || outbox.status().connected);
    drop(net); // The socket closes as it does when the process dies: without a DISCONNECT.
    subscriber.next("the will", |m| m.payload == "offline");
    assert!(!broker.log().contains("Received DISCONNECT from cardea-front"));

    let (net, _outbox) = start(&broker, &journal);
    subscriber.next("online again", |m| m.payload == "online");
    net.stop();
    subscriber.next("the goodbye", |m| m.payload == "offline");
    // The broker writes its log after it has handed the message on.
    wait_for("a DISCONNECT: it was not the will", || broker.log().contains("Received DISCONNECT from cardea-front"));
    let retained = Subscriber::new(&broker, "cardea/front/availability").until("the state", |_| true);
    assert_eq!((retained.retained, retained.payload.as_str()), (true, "offline"));
}

#[test]
fn thousands_of_records_drain_in_order_when_the_broker_comes_late() {
    let records = std::env::var("CARDEA_RECORDS").map_or(5_000, |n| n.parse().expect("CARDEA_RECORDS is a number"));
    if left_out("thousands_of_records_drain_in_order_when_the_broker_comes_late", "mosquitto") {
        return;
    }
    let mut broker = Broker::started();
    drop(Subscriber::keeping(&broker, "cardea/front/log", "watcher"));
    broker.save_session_of("watcher");
    broker.kill();

    let journal = DiskJournal::new();
    let (net, outbox) = start(&broker, &journal);
    for record in journal.commit_all((1..=records).map(denied)) {
        outbox.recorded(&record);
    }
    broker.start();
    let mut subscriber = Subscriber::keeping(&broker, "cardea/front/log", "watcher");
    until_seq(&mut subscriber, records);
    assert_eq!(subscriber.payloads("cardea/front/log"), journal.texts(), "every text as it stands in the journal");
    wait_for("the cursor", || journal.position() == records);
    net.stop();
}

/// What a broker has confirmed and then lost by its death is not lost: whoever misses it has it sent again from a number on.
#[test]
fn records_drain_in_order_while_the_broker_is_killed_and_stopped_and_a_replay_brings_what_it_lost() {
    let records: u64 =
        std::env::var("CARDEA_RECORDS").map_or(5_000, |n| n.parse().expect("CARDEA_RECORDS is a number"));
    let name = "records_drain_in_order_while_the_broker_is_killed_and_stopped_and_a_replay_brings_what_it_lost";
    if left_out(name, "mosquitto") {
        return;
    }
    const DEATHS: u64 = 6;
    let mut broker = Broker::started();
    let journal = DiskJournal::new();
    let mut subscriber = Subscriber::new(&broker, "cardea/front/log");
    let (net, outbox) = start(&broker, &journal);
    for record in journal.commit_all((1..=records).map(denied)) {
        outbox.recorded(&record);
    }
    let mut seen = BTreeSet::new();
    let mut deaths = 0;
    for n in 0..DEATHS {
        let goal = records * (n + 1) / (DEATHS + 2);
        let over = || outbox.status().cursor == records;
        wait_for("its part of the records", || {
            subscriber.drain();
            seen.len() as u64 + subscriber.seen.len() as u64 >= goal || over()
        });
        deaths += u64::from(!over());
        if n % 2 == 0 {
            broker.kill()
        } else {
            broker.stop()
        }
        seen.extend(rising(&subscriber));
        broker.start();
        subscriber = Subscriber::new(&broker, "cardea/front/log");
    }
    assert!(deaths >= 2, "only {deaths} of {DEATHS} deaths came before the end of the backlog");
    // Behind the backlog, so that whoever sees it has seen what came before it on its connection.
    outbox.recorded(&journal.commit(denied(records + 1)));
    until_seq(&mut subscriber, records + 1);
    seen.extend(rising(&subscriber));
    wait_for("everything confirmed", || outbox.status().cursor == records + 1);

    let missing: Vec<u64> = (1..=records).filter(|seq| !seen.contains(seq)).collect();
    println!(
        "{records} records, {deaths} deaths of the broker in the middle, {} confirmed and lost by it",
        missing.len()
    );
    let mut replayed = Subscriber::new(&broker, "cardea/front/log/replay");
    for gap in missing.chunk_by(|a, b| a + 1 == *b) {
        assert!(outbox.replay(gap[0] - 1, u32::try_from(gap.len()).expect("small")));
        until_seq_on(&mut replayed, "cardea/front/log/replay", gap[gap.len() - 1]);
    }
    let texts = journal.texts();
    for (seq, text) in missing.iter().zip(replayed.payloads("cardea/front/log/replay")) {
        assert_eq!(text, texts[usize::try_from(*seq).expect("small") - 1], "every text as it stands in the journal");
    }
    assert_eq!(replayed.payloads("cardea/front/log/replay").len(), missing.len());
    net.stop();
}

#[test]
fn a_restart_of_the_terminal_repeats_only_what_was_in_flight() {
    if left_out("a_restart_of_the_terminal_repeats_only_what_was_in_flight", "mosquitto") {
        return;
    }
    let broker = Broker::started();
    let journal = DiskJournal::new();
    let mut subscriber = Subscriber::new(&broker, "cardea/front/log");
    let (net, outbox) = start(&broker, &journal);
    for n in 1..=50 {
        outbox.recorded(&journal.commit(denied(n)));
    }
    wait_for("the cursor on the disk", || journal.position() == 50);
    broker.freeze();
    for n in 51..=80 {
        outbox.recorded(&journal.commit(denied(n)));
    }
    wait_for("a full window", || outbox.status().in_flight == 20);
    drop(net);
    assert_eq!(journal.position(), 50, "nothing of it was confirmed");
    broker.thaw();

    let (net, _outbox) = start(&broker, &journal);
    until_seq(&mut subscriber, 80);
    wait_for("the cursor at the end", || journal.position() == 80);
    net.stop();
    let seen = seqs(&subscriber);
    let repeated = seen.len() - 80;
    let expected: Vec<u64> = (1..=50).chain(51..=50 + repeated as u64).chain(51..=80).collect();
    assert_eq!(seen, expected);
    assert!(repeated <= 20);
}

#[test]
fn a_sender_never_waits_for_a_broker_that_stands_still() {
    if left_out("a_sender_never_waits_for_a_broker_that_stands_still", "mosquitto") {
        return;
    }
    let broker = Broker::started();
    let journal = DiskJournal::new();
    let mut subscriber = Subscriber::new(&broker, "cardea/front/event/access");
    let mut mqtt = settings(broker.port);
    mqtt.keep_alive = Duration::from_secs(300); // The connection has to live as long as the freeze.
    let (net, outbox) = start_with(&mqtt, &journal, CursorMoves::default());
    wait_for("a connection", || outbox.status().connected);

    broker.freeze();
    let mut record = journal.commit(denied(1));
    for seq in 1..=10_000 {
        record.seq = seq;
        outbox.recorded(&record);
    }
    let dropped = outbox.status().live_dropped;
    assert!((9_900..10_000).contains(&dropped), "84 may be kept: 64 queued, 20 in flight; {dropped} were dropped");
    broker.thaw();
    while subscriber.seen.len() as u64 + dropped < 10_000 {
        subscriber.next("a live event", |_| true);
    }
    assert_eq!(outbox.status().live_dropped, dropped, "each event was either sent or counted");
    drop(net);
}

/// An issuer, a certificate for `localhost` and one for the terminal, by openssl.
fn certificates(dir: &std::path::Path) {
    let openssl = |args: &str| {
        let run = std::process::Command::new("openssl").args(args.split(' ')).current_dir(dir).output();
        let out = run.expect("openssl runs");
        assert!(out.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&out.stderr));
    };
    std::fs::write(dir.join("ext"), "subjectAltName=DNS:localhost\n").expect("writes");
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for ca in ["ca", "other"] {
        openssl(&format!("req -x509 {key} -keyout {ca}.key -out {ca}.pem -days 2 -subj /CN={ca}"));
    }
    for name in ["server", "client"] {
        openssl(&format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN=localhost"));
        let from = format!("-in {name}.csr -out {name}.pem -extfile ext");
        openssl(&format!("x509 -req {from} -CA ca.pem -CAkey ca.key -CAcreateserial -days 2"));
    }
}

/// A server that speaks one version of TLS alone; returns it, its port, and what it says line by line.
fn tls_server(dir: &std::path::Path, version: &str) -> (std::process::Child, u16, std::sync::mpsc::Receiver<String>) {
    use std::io::BufRead;
    use std::process::Stdio;
    let mut child = std::process::Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-cert", "server.pem", "-key", "server.key", version])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl starts");
    let (tx, lines) = std::sync::mpsc::channel();
    let parts: [Box<dyn std::io::Read + Send>; 2] =
        [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
    for part in parts {
        let tx = tx.clone();
        std::thread::spawn(move || {
            for line in std::io::BufReader::new(part).lines().map_while(Result::ok) {
                if tx.send(line).is_err() {
                    return;
                }
            }
        });
    }
    let port = loop {
        let line = lines.recv_timeout(broker::DEADLINE).expect("it listens");
        if let Some(port) = line.strip_prefix("ACCEPT ").and_then(|a| a.rsplit(':').next()?.trim().parse().ok()) {
            break port;
        }
    };
    (child, port, lines)
}

#[test]
fn a_broker_that_knows_only_an_older_tls_is_not_spoken_to() {
    let name = "a_broker_that_knows_only_an_older_tls_is_not_spoken_to";
    if left_out(name, "openssl") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    certificates(dir.path());
    for (version, sign) in [("-tls1_2", "unsupported protocol"), ("-tls1_3", "CIPHER is TLS_")] {
        let (mut server, port, lines) = tls_server(dir.path(), version);
        let mut mqtt = settings(port);
        mqtt.host = "localhost".into();
        mqtt.ca_file = Some(dir.path().join("ca.pem"));
        let (net, outbox) = start_with(&mqtt, &DiskJournal::new(), CursorMoves::default());
        // The control: one that speaks 1.3 sees the handshake through.
        let begun = std::time::Instant::now();
        while !lines.recv_timeout(broker::DEADLINE).unwrap_or_else(|e| panic!("{version}: {e}")).contains(sign) {
            assert!(begun.elapsed() < broker::DEADLINE, "{version}: {sign} was not said");
        }
        assert_eq!(outbox.status().connections, 0);
        drop(net);
        server.kill().expect("is ours");
        server.wait().expect("ends");
    }
}

#[test]
fn tls_needs_the_right_issuer_on_both_sides() {
    let name = "tls_needs_the_right_issuer_on_both_sides";
    if left_out(name, "mosquitto") || left_out(name, "openssl") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    certificates(dir.path());
    let at = |file: &str| dir.path().join(file);
    let mut broker = Broker::prepared_with(&format!(
        "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
        at("ca.pem").display(),
        at("server.pem").display(),
        at("server.key").display()
    ));
    broker.start();
    let mut mqtt = settings(broker.port);
    mqtt.host = "localhost".into();
    let journal = DiskJournal::new();

    for (ca, client, why) in [("other.pem", true, "unknown ca"), ("ca.pem", false, "did not return a certificate")] {
        mqtt.ca_file = Some(at(ca));
        mqtt.client_cert_file = client.then(|| at("client.pem"));
        mqtt.client_key_file = client.then(|| at("client.key"));
        let (net, outbox) = start_with(&mqtt, &journal, CursorMoves::default());
        wait_for(why, || broker.log().contains(why));
        assert_eq!(outbox.status().connections, 0, "with {ca}, client certificate: {client}");
        drop(net);
    }
    mqtt.client_cert_file = Some(at("client.pem"));
    mqtt.client_key_file = Some(at("client.key"));
    let (net, outbox) = start_with(&mqtt, &journal, CursorMoves::default());
    wait_for("a connection", || outbox.status().connected);
    net.stop();
}
