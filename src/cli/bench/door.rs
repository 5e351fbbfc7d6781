//! The time of a decision at the door while web clients or bad commands flood the terminal, beside that of an idle one.
//!
//! One process as the daemon is: the web server with its worker and networks, the MQTT client, the recorder with a journal
//! on the disk. In the place of camera and controller stands a loop with the door's own networks: a frame every 33 ms, the
//! decision on it, and the durable record of a grant. The kinds take turns, so that a machine that becomes slower meanwhile
//! changes all of them.

use super::clients::{self, Flood};
use super::looks::{Crowd, DECIDE, Looks};
use super::measure::{Cost, Figure, round};
use crate::adapters::mqtt::{Client, CursorMoves, OpenJournal};
use crate::adapters::store::{CommandFile, SqliteJournal};
use crate::adapters::system::{SystemClock, random, uuid_v7};
use crate::base::precedence::Precedence;
use crate::base::time::Clock;
use crate::cli::{Code, Failure, Globals, load_config, state};
use crate::config::Config;
use crate::ports::Journal;
use crate::runtime::capture::CameraState;
use crate::runtime::commands::{CommandInbox, CommandSender, commands};
use crate::runtime::daemon;
use crate::runtime::net::Net;
use crate::runtime::recorder::{Listeners, Recorder, Stamp};
use crate::runtime::rules::InForce;
use crate::runtime::timings::Timings;
use crate::runtime::watch::Watched;
use crate::runtime::web::{self, HealthBoard, SetupBoard, Sights, Web, WebParts};
use crate::schema::event::Event;
use crate::schema::ids::{PersonId, VisitId};
use crate::schema::record::hex;
use crate::vision::frame::Frame;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Between two frames of the door's camera.
const FRAME: Duration = Duration::from_millis(33);
/// How often each kind has its turn.
const ROUNDS: u32 = 3;
/// What a flood has before the first decision is counted.
const WARM: Duration = Duration::from_secs(1);
/// A broker and a hundred sessions are there by then.
const READY: Duration = Duration::from_secs(60);

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub sessions: u32,
    pub fps: u32,
    /// `None`: a thousand, if there is a broker to be had.
    pub messages: Option<u32>,
    /// Of each kind.
    pub seconds: u32,
}

/// Decisions and grants of one kind.
#[derive(Default)]
struct Kind {
    decisions: Vec<Cost>,
    grants: Vec<Cost>,
    sent: u64,
}

impl Kind {
    fn answer(&self) -> Value {
        json!({ "decision": Figure::of(&self.decisions), "grant": Figure::of(&self.grants) })
    }
}

/// Everything of the terminal that runs beside the door.
struct Rig {
    web: Option<Web>,
    net: Option<Net>,
    recorder: Recorder,
    precedence: Arc<Precedence>,
    commands: CommandSender,
    broker: Option<Broker>,
    device: String,
    /// Nobody takes what passes; nothing does.
    _orders: (CommandInbox, Receiver<Watched>),
    _dir: Directory,
}

/// The figures of all kinds as JSON.
///
/// # Errors
/// The parts cannot be started, or the networks fail.
pub(super) fn measure(
    globals: &Globals,
    ask: Ask,
    looks: &mut Looks<'_>,
    frames: &[Frame],
    face: bool,
    crowd: &Crowd,
) -> Result<Value, Failure> {
    let rig = Rig::start(globals, &ask)?;
    let part = Duration::from_secs(u64::from(ask.seconds)) / ROUNDS;
    let (mut idle, mut web, mut mqtt) = (Kind::default(), Kind::default(), Kind::default());
    let mut door = Door { looks, frames, face, crowd, next: 0 };
    for _ in 0..ROUNDS {
        door.decide(&rig, part, &mut idle)?;
        if let Some(at) = rig.web.as_ref().and_then(Web::address) {
            let flood = clients::sessions(at, ask.sessions, ask.fps, frames);
            wait("the sessions", || flood.connected() >= u64::from(ask.sessions))?;
            door.under(&rig, flood, part, &mut web)?;
        }
        if let Some(broker) = &rig.broker {
            let flood = clients::junk(broker.port, &rig.device, broker.rate)?;
            door.under(&rig, flood, part, &mut mqtt)?;
        }
    }
    let mut answer =
        json!({ "seconds": ask.seconds, "frame_ms": 33, "idle": idle.answer(), "web": null, "mqtt": null });
    let ratio = |kind: &Kind| {
        let of = |pick: fn(&Kind) -> &Vec<Cost>| {
            let (busy, idle) = (Figure::of(pick(kind)).wall_ms, Figure::of(pick(&idle)).wall_ms);
            let over = |a: f64, b: f64| if b > 0.0 { round(a / b) } else { 0.0 };
            json!({ "median": over(busy.median, idle.median), "p95": over(busy.p95, idle.p95) })
        };
        json!({ "decision": of(|k| &k.decisions), "grant": of(|k| &k.grants) })
    };
    if let Some(served) = &rig.web {
        let (counts, seen) = (served.counts(), rig.precedence.seen());
        answer["web"] = web.answer();
        answer["web"]["ratio"] = ratio(&web);
        answer["web"]["sessions"] = json!({
            "at_once": ask.sessions, "fps": ask.fps, "begun": counts.sessions_total,
            "pictures_sent": web.sent, "pictures_replaced": counts.frames_replaced_total,
            "door_frames": seen.turns, "door_frames_beside_web": seen.turns_beside,
            "beside_ms": round(seen.beside.as_secs_f64() * 1e3), "door_frames_overtaken": seen.overtook,
        });
    }
    if let Some(broker) = &rig.broker {
        let refused = rig.commands.status().counts.refused.values().sum::<u64>();
        answer["mqtt"] = mqtt.answer();
        answer["mqtt"]["ratio"] = ratio(&mqtt);
        answer["mqtt"]["messages"] = json!({ "a_second": broker.rate, "sent": mqtt.sent, "refused": refused });
    }
    Ok(answer)
}

/// The loop in the place of camera and controller.
struct Door<'a, 'b> {
    looks: &'a mut Looks<'b>,
    frames: &'a [Frame],
    face: bool,
    crowd: &'a Crowd,
    next: usize,
}

impl Door<'_, '_> {
    fn under(&mut self, rig: &Rig, flood: Flood, part: Duration, kind: &mut Kind) -> Result<(), Failure> {
        std::thread::sleep(WARM);
        self.decide(rig, part, kind)?;
        kind.sent += flood.sent();
        Ok(())
    }

    fn decide(&mut self, rig: &Rig, part: Duration, kind: &mut Kind) -> Result<(), Failure> {
        let began = Instant::now();
        let mut due = began + FRAME;
        while began.elapsed() < part {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let frame = &self.frames[self.next % self.frames.len()];
            self.next += 1;
            let turn = rig.precedence.first();
            let run = self.looks.once(frame, self.face, DECIDE, Some(self.crowd))?;
            drop(turn);
            // From when the frame was there: what it waited for a processor counts.
            let decided = Cost { cpu: run.total.cpu, wall: millis(due.elapsed()) };
            let (record, writing) = self.looks.watch.time(|| rig.recorder.commit(grant(run.total.wall)));
            record.map_err(Failure::unavailable)?;
            kind.decisions.push(decided);
            kind.grants.push(Cost { cpu: decided.cpu + writing.cpu, wall: millis(due.elapsed()) });
            due = (due + FRAME).max(Instant::now());
        }
        Ok(())
    }
}

fn millis(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

fn grant(decision_ms: f64) -> Event {
    Event::AccessGranted {
        visit: VisitId(1),
        person: PersonId::new("nobody").expect("letters are a name"),
        door: "bench".into(),
        decision_ms: decision_ms as u64,
        passive_pad: true,
    }
}

fn wait(what: &str, mut done: impl FnMut() -> bool) -> Result<(), Failure> {
    let began = Instant::now();
    while !done() {
        if began.elapsed() > READY {
            return Err(Failure::new(Code::Unavailable, what, "are not there after a minute", "look at the log"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

impl Rig {
    fn start(globals: &Globals, ask: &Ask) -> Result<Rig, Failure> {
        let dir = Directory::new()?;
        let broker = Broker::start(&dir.0, ask.messages)?;
        let config = config(globals, ask, &dir.0, broker.as_ref())?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let state = config.store().dir.clone();
        let journal = SqliteJournal::open(&state)?;
        let device = config.device().name.clone();
        let boot = uuid_v7(clock.wall().unix_ms, random().map_err(state::io)?);
        let open: OpenJournal = {
            let state = state.clone();
            Box::new(move || Ok(Box::new(SqliteJournal::open_reader(&state)?) as Box<dyn Journal>))
        };
        let mqtt = broker.is_some().then(|| Client::new(config.mqtt(), &device, open, CursorMoves::default()));
        let mqtt = mqtt.transpose().map_err(Failure::unavailable)?;
        let outbox = mqtt.as_ref().map(|(_, outbox)| outbox.clone());
        let feed = web::feed();
        let listeners = Listeners { outbox: outbox.clone(), feed: Some(feed.clone()), ..Listeners::default() };
        let stamp = Stamp { device: device.clone(), boot, started: clock.now() };
        let (recorder, _ends_with_its_senders) =
            Recorder::start(Box::new(journal), clock.clone(), stamp, listeners).map_err(Failure::unavailable)?;
        let (watched, inbox) = sync_channel(4);
        let store = Box::new(CommandFile::open(&state).map_err(|e| Failure::unavailable(e.into()))?);
        let rules = daemon::gate_rules(&config).map_err(Failure::unavailable)?;
        let (sender, orders) =
            commands(rules, store, recorder.clone(), clock.clone(), watched.clone()).map_err(Failure::unavailable)?;
        let net = mqtt.map(|(client, _)| Net::start(client.with_commands(Arc::new(sender.clone()))));
        let net = net.transpose().map_err(Failure::unavailable)?;
        if let Some(outbox) = &outbox {
            wait("the broker's connection", || outbox.status().connected)?;
        }
        let precedence = Arc::new(Precedence::default());
        let sights =
            Sights { camera: Arc::new(CameraState::default()), slot: Arc::default(), precedence: precedence.clone() };
        let web = Web::start(WebParts {
            config: &config,
            state: &state,
            recorder: &recorder,
            commands: sender.clone(),
            outbox,
            clock,
            board: HealthBoard::default(),
            feed,
            live: None,
            sights,
            settings: None,
            setup: SetupBoard::default(),
            door: watched,
            rules: Arc::new(Mutex::new(InForce { book: config.rules().book.clone(), sound: false })),
            timings: Timings::default(),
        })
        .map_err(Failure::unavailable)?;
        Ok(Rig {
            web,
            net,
            recorder,
            precedence,
            commands: sender,
            broker,
            device: device.to_string(),
            _orders: (orders, inbox),
            _dir: dir,
        })
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(self.web.take());
        if let Some(net) = self.net.take() {
            net.stop();
        }
    }
}

/// The configured networks in a terminal of its own, which nobody else reaches.
fn config(globals: &Globals, ask: &Ask, dir: &Path, broker: Option<&Broker>) -> Result<Config, Failure> {
    let mut g = globals.clone();
    g.state = Some(dir.join("state"));
    let mut set = vec![
        format!("web.enabled={}", ask.sessions > 0),
        "web.listen=\"127.0.0.1:0\"".into(),
        // On loopback; what encryption costs is the server's thread's, which is not measured.
        "web.tls=false".into(),
        "web.self_service=true".into(),
        "web.sessions_per_minute=6000".into(),
        "web.session_ttl_s=3600".into(),
        format!("web.max_sessions={}", ask.sessions.clamp(1, 1000)),
        format!("web.session_fps={}", (2 * ask.fps).clamp(2, 30)),
        format!("mqtt.enabled={}", broker.is_some()),
    ];
    set.extend(["s0", "s1", "s2", "s2ws", "s3", "s4"].map(|s| format!("web.compat.{s}.enabled=false")));
    if let Some(broker) = broker {
        set.extend(["mqtt.host=\"127.0.0.1\"".to_owned(), format!("mqtt.port={}", broker.port)]);
    }
    g.set.extend(set);
    load_config(&g)
}

/// A broker of its own.
struct Broker {
    child: Child,
    port: u16,
    /// Messages a second that it is to be flooded with.
    rate: u32,
}

impl Broker {
    /// `None` when nobody asked for one and there is none.
    fn start(dir: &Path, messages: Option<u32>) -> Result<Option<Broker>, Failure> {
        let rate = messages.unwrap_or(1_000);
        if rate == 0 {
            return Ok(None);
        }
        let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| io(dir, e))?;
        let file = dir.join("mosquitto.conf");
        let text = format!("listener {} 127.0.0.1\nallow_anonymous true\npersistence false\n", free.port());
        std::fs::write(&file, text).map_err(|e| io(&file, e))?;
        let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
        let spawned = Command::new("mosquitto")
            .arg("-c")
            .arg(&file)
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = match spawned {
            Ok(child) => child,
            Err(_) if messages.is_none() => return Ok(None),
            Err(e) => {
                return Err(Failure::new(Code::Unavailable, "mosquitto", e, "apt install mosquitto, or --messages 0"));
            }
        };
        let broker = Broker { child, port: free.port(), rate };
        let at = SocketAddr::from(([127, 0, 0, 1], broker.port));
        wait("mosquitto", || TcpStream::connect(at).is_ok())?;
        Ok(Some(broker))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _either_way = self.child.wait();
    }
}

/// Goes when the measurement is over.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Directory, Failure> {
        let bytes: [u8; 8] = random().map_err(state::io)?;
        let path = std::env::temp_dir().join(format!("cardea-bench-{}", hex(&bytes)));
        std::fs::create_dir(&path).map_err(|e| io(&path, e))?;
        Ok(Directory(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(error = %e, path = %self.0.display(), "the directory of the measurement stays");
        }
    }
}

fn io(path: &Path, e: std::io::Error) -> Failure {
    Failure::new(Code::Io, path.display().to_string(), e, "check the directory and the space left")
}

/// The same for people.
pub(super) fn table(door: &Value) -> String {
    let mut text = format!(
        "\n{:<22} {:>10} {:>10} {:>10} {:>10} {:>6}\n",
        "at the door, wall ms", "median", "p95", "of idle", "p95", "runs"
    );
    for (kind, name) in [("idle", "idle"), ("web", "under web sessions"), ("mqtt", "under bad commands")] {
        for what in ["decision", "grant"] {
            let figure = &door[kind][what];
            if figure.is_null() {
                continue;
            }
            let number = |v: &Value| v.as_f64().map_or_else(|| "-".into(), |n| format!("{n:.3}"));
            let (wall, ratio) = (&figure["wall_ms"], &door[kind]["ratio"][what]);
            text.push_str(&format!(
                "{:<22} {:>10} {:>10} {:>10} {:>10} {:>6}\n",
                format!("{what}, {name}"),
                number(&wall["median"]),
                number(&wall["p95"]),
                number(&ratio["median"]),
                number(&ratio["p95"]),
                figure["runs"]
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_leaves_out_what_was_not_measured() {
        let f = json!({ "wall_ms": { "median": 10.0, "p95": 12.5 }, "runs": 90 });
        let door = json!({
            "idle": { "decision": f, "grant": f }, "mqtt": null,
            "web": { "decision": f, "grant": f, "ratio": { "decision": { "median": 1.0, "p95": 1.25 } } },
        });
        let text = table(&door);
        let row = |name: &str| text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
        assert!(row("decision, under web").contains("1.250") && row("decision, idle").contains(" - "), "{text}");
        assert!(!text.contains("bad commands"), "{text}");
    }
}
