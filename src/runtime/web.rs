//! The web server in the daemon: what it may ask the terminal for, its worker, and the order of their end.

use super::capture::CameraState;
use super::commands::CommandSender;
use super::engine::Engine;
use super::precedence::Yielding;
use super::recorder::Recorder;
use super::rules::{InForce, RulesBoard};
use super::sessions::{self, Worker};
use super::settings::Settings;
use super::timings::Timings;
use super::watch::Watched;
use super::{evaluations, logging, metrics, rules_shown, who_can};
use crate::adapters::mqtt::Outbox;
use crate::adapters::store::{EncryptedPeople, SqliteJournal, receipt};
use crate::adapters::system::{THERMAL, processor_celsius, random};
use crate::adapters::web::house::{DoorCounts, House, LogLine, ModelRow, NotOpened, NotSet, SettingRow, WrongField};
use crate::adapters::web::hub::{Counts, Hub, Limits};
use crate::adapters::web::shown::{Evaluation, MayNotPass, MayPass, NetworkTimes, RulesShown, WhoCan};
use crate::adapters::web::token::Signer;
use crate::adapters::web::{FEED, Parts, Server};
use crate::base::precedence::Precedence;
use crate::base::slot::LatestSlot;
use crate::base::time::{Clock, Tick};
use crate::config::Config;
use crate::domain::access::Attributes;
use crate::domain::screen::Setup;
use crate::ports::{Journal, PeopleStore, PersonSummary, PortError, Recovery, Stored};
use crate::schema::command::{Command, CommandError, Via};
use crate::schema::event::Event;
use crate::schema::health::Health;
use crate::schema::ids::PersonId;
use crate::schema::record::rfc3339;
use crate::vision::frame::Frame;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{broadcast, watch};

/// Texts of records, as they are committed.
pub type Feed = broadcast::Sender<Arc<str>>;
/// The newest judgement of the supervisor; `None` before the first.
pub type HealthBoard = Arc<Mutex<Option<Health>>>;

/// So long after the start the display shows how to set the terminal up: whoever installs it stands before it then, and
/// afterwards anybody could.
const SETUP_SHOWN: Duration = Duration::from_mins(30);

/// What the display shows while there is no administrator, until when.
#[derive(Clone, Default)]
pub struct SetupBoard(Arc<Mutex<Option<(Setup, Tick)>>>);

impl SetupBoard {
    /// What is to be shown now.
    #[must_use]
    pub fn at(&self, now: Tick) -> Option<Setup> {
        let held = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.filter(|(_, until)| now < *until).map(|(setup, _)| setup)
    }

    fn tell(&self, setup: Option<Setup>, now: Tick) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = setup.map(|s| (s, now + SETUP_SHOWN));
    }
}

/// The door's pictures, for the server.
pub type Live = watch::Receiver<Arc<Vec<u8>>>;

/// A new feed that nobody listens to yet.
#[must_use]
pub fn feed() -> Feed {
    broadcast::channel(FEED).0
}

/// The picture at the door, for who may look: at most five a second, and only while somebody does.
pub struct Tap {
    out: watch::Sender<Arc<Vec<u8>>>,
    last: Option<crate::base::time::Tick>,
}

impl Tap {
    const APART: Duration = Duration::from_millis(200);

    /// Shows a frame that is JPEG already; others would cost the door time.
    pub fn show(&mut self, frame: &crate::vision::frame::Frame) {
        let due = self.last.is_none_or(|l| frame.captured.since(l) >= Self::APART);
        // One receiver is that of the server itself.
        if due && frame.format == crate::vision::frame::PixelFormat::Jpeg && self.out.receiver_count() > 1 {
            self.last = Some(frame.captured);
            self.out.send_replace(Arc::new(frame.data.clone()));
        }
    }
}

/// The tap of a door whose owner lets others look, and its other end.
#[must_use]
pub fn tap(config: &Config) -> (Option<Tap>, Option<Live>) {
    if !config.web().enabled || !config.web().live_picture {
        return (None, None);
    }
    let (out, seen) = watch::channel(Arc::default());
    (Some(Tap { out, last: None }), Some(seen))
}

/// What becomes of the door's frames, for the counters.
#[derive(Clone)]
pub struct Sights {
    pub camera: Arc<CameraState>,
    pub slot: Arc<LatestSlot<Frame>>,
    pub precedence: Arc<Precedence>,
}

impl Sights {
    fn counts(&self) -> DoorCounts {
        let seen = self.precedence.seen();
        DoorCounts {
            frames_total: self.camera.frames.load(Ordering::Relaxed),
            frames_torn_total: self.camera.torn.load(Ordering::Relaxed),
            frames_replaced_total: self.slot.overwritten(),
            frames_taken_total: seen.turns,
            frames_beside_web_total: seen.turns_beside,
            beside_web_seconds_total: seen.beside.as_secs_f64(),
            frames_overtaken_total: seen.overtook,
            web_pieces_total: seen.pieces,
            web_pieces_yielded_total: seen.yielded,
            web_yielded_seconds_total: seen.yielded_for.as_secs_f64(),
        }
    }
}

/// What of the terminal the server may touch.
struct Terminal {
    state: PathBuf,
    recorder: Recorder,
    commands: CommandSender,
    outbox: Option<Outbox>,
    journal: Mutex<SqliteJournal>,
    board: HealthBoard,
    sights: Sights,
    models: Vec<ModelRow>,
    settings: Option<Settings>,
    clock: Arc<dyn Clock>,
    /// This terminal's name.
    door: String,
    rules: RulesBoard,
    timings: Timings,
    /// Role and name of each network, in the order of the pack.
    nets: Vec<(String, String)>,
}

impl Terminal {
    fn rules_in_force(&self) -> InForce {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl House for Terminal {
    fn people(&self) -> Result<Vec<PersonSummary>, PortError> {
        EncryptedPeople::open(&self.state)?.list()
    }

    fn remove(&self, id: &PersonId) -> Result<bool, PortError> {
        let Some(removal) = EncryptedPeople::open(&self.state)?.remove_person(id)? else { return Ok(false) };
        let record = self.recorder.commit(Event::PersonRemoved { person: id.clone() })?;
        if let Err(e) = receipt::issue(&self.state, id, &removal, &record) {
            tracing::error!(error = %e, seq = record.seq, "a person was removed, but there is no receipt of it");
        }
        Ok(true)
    }

    fn events(&self, after: u64, limit: usize) -> Result<Vec<Stored>, PortError> {
        self.journal.lock().expect("journal mutex: no holder panics").after(after, limit)
    }

    fn newest(&self) -> u64 {
        self.recorder.seq()
    }

    fn health(&self) -> Health {
        let known = self.board.lock().expect("board mutex: no holder panics").clone();
        known.unwrap_or_else(metrics::starting)
    }

    fn commit(&self, event: Event) -> Result<u64, PortError> {
        Ok(self.recorder.commit(event)?.seq)
    }

    fn metrics(&self) -> String {
        metrics::text(&metrics::Metrics {
            health: &self.health(),
            records: &self.recorder.counts(),
            commands: &self.commands.status(),
            mqtt: self.outbox.as_ref().map(Outbox::status),
            door: self.sights.counts(),
            version: env!("CARGO_PKG_VERSION"),
        })
    }

    fn door(&self) -> DoorCounts {
        self.sights.counts()
    }

    fn models(&self) -> Vec<ModelRow> {
        self.models.clone()
    }

    fn evaluations(&self) -> Vec<Evaluation> {
        evaluations::read(&self.state)
    }

    fn network_times(&self) -> Vec<NetworkTimes> {
        self.timings.shown(self.clock.now(), &self.nets)
    }

    fn processor_celsius(&self) -> Option<f32> {
        processor_celsius(Path::new(THERMAL))
    }

    fn rules(&self) -> Result<RulesShown, PortError> {
        let held = self.rules_in_force();
        let mut store = EncryptedPeople::open(&self.state)?;
        let people = store.list()?.into_iter().map(|p| p.person).collect();
        let now = held.sound.then(|| self.clock.wall().unix_ms);
        Ok(rules_shown::shown(&held.book, &self.door, &people, &store.attributes()?, now))
    }

    fn who_can(&self, door: &str, at: &str) -> Result<Result<WhoCan, String>, PortError> {
        let held = self.rules_in_force();
        let book = &held.book;
        let Some(moment) = who_can::moment(at, book) else {
            return Ok(Err("`at` is 2026-11-23T08:30, or with an offset 2026-11-23T08:30+01:00".into()));
        };
        if !who_can::knows(book, door, &self.door) {
            let known = book.doors.keys().cloned().collect::<Vec<_>>().join(", ");
            return Ok(Err(format!("there is no such door; the rules know {known}")));
        }
        let mut store = EncryptedPeople::open(&self.state)?;
        let (none, attributes) = (Attributes::default(), store.attributes()?);
        let people = store.list()?;
        let all = people.iter().map(|p| (&p.person, attributes.get(&p.person).unwrap_or(&none)));
        let answer = who_can::ask(book, door, moment, all);
        let can = answer.can.into_iter().map(|(p, needs)| MayPass { person: p.to_string(), needs });
        let cannot = answer.cannot.into_iter().map(|(p, reason, rule)| MayNotPass {
            person: p.to_string(),
            reason: serde_json::to_value(reason).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default(),
            rule,
        });
        Ok(Ok(WhoCan {
            door: door.to_owned(),
            at: rfc3339(moment),
            zone: book.zone.name().to_owned(),
            people: can.collect(),
            others: cannot.collect(),
        }))
    }

    fn settings(&self) -> Vec<SettingRow> {
        self.settings.as_ref().map(Settings::rows).unwrap_or_default()
    }

    fn change_settings(&self, by: &str, changes: &[(String, Option<toml::Value>)]) -> Result<Vec<String>, NotSet> {
        let Some(settings) = &self.settings else {
            let what = "the daemon was started without its layers";
            let wrong = WrongField { key: String::new(), what: what.into() };
            return Err(NotSet::Wrong(vec![wrong]));
        };
        let record = |object| {
            let action = "settings.change".to_owned();
            self.recorder.commit(Event::SystemAdmin { by: by.to_owned(), action, object }).map(|_| ())
        };
        settings.change(changes, record)
    }

    fn logs(&self) -> Vec<LogLine> {
        logging::recent().into_iter().map(|(time, level, text)| LogLine { time, level, text }).collect()
    }

    fn unlock(&self, id: &str) -> Result<u64, NotOpened> {
        let answer = self.commands.ask(Via::Web, id, Command::Unlock);
        let (code, detail) = match (answer.ok, answer.error) {
            (true, _) => return Ok(answer.seq.unwrap_or(0)),
            (_, Some(CommandError::Lockdown)) => ("lockdown", "the door is locked down, or its housing is open"),
            (_, Some(CommandError::Rate)) => ("rate", "too many commands; wait a little"),
            _ => ("unavailable", "the door could not be opened; the journal says why"),
        };
        Err(NotOpened { code, detail: detail.into() })
    }
}

/// What the server is started with.
pub struct WebParts<'a> {
    pub config: &'a Config,
    pub state: &'a Path,
    pub recorder: &'a Recorder,
    pub commands: CommandSender,
    pub outbox: Option<Outbox>,
    pub clock: Arc<dyn Clock>,
    pub board: HealthBoard,
    pub feed: Feed,
    pub live: Option<Live>,
    pub sights: Sights,
    /// `None` where the configuration did not come from layers.
    pub settings: Option<Settings>,
    pub setup: SetupBoard,
    /// To the controller; used only where `web.opens_door` is on.
    pub door: SyncSender<Watched>,
    pub rules: RulesBoard,
    /// Of the door's networks.
    pub timings: Timings,
}

/// The running server with its worker.
pub struct Web {
    server: Option<Server>,
    hub: Arc<Hub>,
    worker: Option<JoinHandle<()>>,
}

impl Web {
    /// Starts both, if they are configured.
    ///
    /// # Errors
    /// A certificate, an account file or a port that cannot be had; networks that cannot be loaded.
    pub fn start(parts: WebParts<'_>) -> Result<Option<Web>, PortError> {
        let WebParts {
            config,
            state,
            recorder,
            commands,
            outbox,
            clock,
            board,
            feed,
            live,
            sights,
            settings,
            setup,
            door,
            rules,
            timings,
        } = parts;
        let web = config.web();
        if !web.enabled {
            return Ok(None);
        }
        let limits = Limits { sessions: web.max_sessions, ttl: web.session_ttl, fps: web.session_fps };
        let hub = Arc::new(Hub::new(limits, clock.clone(), Signer::new(random()?, web.token_ttl)));
        let precedence = sights.precedence.clone();
        let make = {
            let (config, recorder, state) = (config.clone(), recorder.clone(), state.to_owned());
            let (hub, precedence, clock) = (hub.clone(), precedence.clone(), clock.clone());
            let door = web.opens_door.then_some(door);
            move |engine| Worker { config, engine, hub, recorder, clock, state, precedence, door }
        };
        let (thread, Networks { models, nets }) = work(config.clone(), make, hub.clone(), precedence)?;
        let house = Terminal {
            state: state.to_owned(),
            recorder: recorder.clone(),
            commands,
            outbox,
            journal: Mutex::new(SqliteJournal::open_reader(state)?),
            board,
            sights,
            settings,
            clock: clock.clone(),
            door: config.device().name.to_string(),
            rules,
            timings,
            nets,
            models,
        };
        // From here on the worker ends with this.
        let mut web = Web { server: None, hub: hub.clone(), worker: Some(thread) };
        web.server = Some(Server::start(Parts {
            config: config.web().clone(),
            device: config.device().name.to_string(),
            state: state.to_owned(),
            house: Arc::new(house),
            hub,
            feed,
            live,
            random: random::<32>,
            tell_setup: Box::new(move |shown| setup.tell(shown, clock.now())),
        })?);
        Ok(Some(web))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(|s| s.address)
    }

    /// What the sessions have come to.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.hub.counts()
    }
}

/// What the worker has loaded; the door's own engine is opened from the same pack.
struct Networks {
    models: Vec<ModelRow>,
    /// Role and name of each network, in the order of the pack.
    nets: Vec<(String, String)>,
}

/// Starts the worker with networks of its own, so that a session never waits in the door's way. They are loaded on its
/// thread, which has taken its lower priority by then: threads that they start have it too.
fn work(
    config: Config,
    make: impl FnOnce(Engine) -> Worker + Send + 'static,
    hub: Arc<Hub>,
    precedence: Arc<Precedence>,
) -> Result<(JoinHandle<()>, Networks), PortError> {
    let (told, loaded) = sync_channel(1);
    let life = move || {
        sessions::step_back();
        let engine = match Engine::open_with(&config, |infer| Box::new(Yielding::new(infer, precedence))) {
            Ok(engine) => engine,
            Err(e) => return drop(told.send(Err(e))),
        };
        let nets = engine.pack().models.iter().map(|m| (m.net.role.name().to_owned(), m.net.name.clone())).collect();
        let _starting = told.send(Ok(Networks { models: sessions::models(&engine), nets }));
        if let Err(e) = make(engine).run() {
            tracing::error!(error = %e, "web sessions are over until the next start; the door goes on");
        }
        hub.close();
    };
    let failed = |e: &dyn std::fmt::Display| {
        PortError::new("start the thread web-sessions", e.to_string(), "free some memory", Recovery::Fatal)
    };
    let thread = std::thread::Builder::new().name("web-sessions".into()).spawn(life).map_err(|e| failed(&e))?;
    let networks = loaded.recv().map_err(|_| failed(&"it ended without a word"))??;
    Ok((thread, networks))
}

impl Drop for Web {
    fn drop(&mut self) {
        drop(self.server.take());
        self.hub.close();
        if self.worker.take().is_some_and(|w| w.join().is_err()) {
            tracing::error!("the worker of web sessions had panicked");
        }
    }
}
