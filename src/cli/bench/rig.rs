//! The terminal of `bench --load` beside its door: web server and worker, MQTT client with a broker of its own, recorder with
//! a journal on the disk. Everything of it goes with the value.

use super::door::Ask;
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
use crate::schema::record::hex;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A broker and a hundred sessions are there by then.
const READY: Duration = Duration::from_secs(60);

/// Everything of the terminal that runs beside the door.
pub(super) struct Rig {
    pub web: Option<Web>,
    net: Option<Net>,
    pub recorder: Recorder,
    pub precedence: Arc<Precedence>,
    pub commands: CommandSender,
    pub broker: Option<Broker>,
    pub device: String,
    /// Nobody takes what passes; nothing does.
    _orders: (CommandInbox, Receiver<Watched>),
    _dir: Directory,
}

/// Until it is there, a minute at most.
pub(super) fn wait(what: &str, mut done: impl FnMut() -> bool) -> Result<(), Failure> {
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
    pub fn start(globals: &Globals, ask: &Ask) -> Result<Rig, Failure> {
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
pub(super) struct Broker {
    child: Child,
    pub port: u16,
    /// Messages a second that it is to be flooded with.
    pub rate: u32,
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
