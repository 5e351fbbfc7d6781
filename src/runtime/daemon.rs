//! The supervisor: starts every thread, watches that they advance, and stops them in order.

use super::broker_news::BrokerNews;
use super::capture::{CameraState, Capture};
use super::commands::{CommandSender, commands};
use super::controller::Controller;
use super::doorway::Doorway;
use super::engine::Engine;
use super::expiry::Expiry;
use super::inputs::Inputs;
use super::net::Net;
use super::panel::{Panel, PanelDesk};
use super::readers::Readers;
use super::recorder::{Listeners, Recorder, Stamp};
use super::registrar::Registrar;
use super::relearn;
use super::reload::RulesFile;
use super::rules::{Rules, Shown};
use super::site::{RulesSlot, SiteDoor};
use super::snapshot::Shutter;
use super::timings::{Timed, Timings};
use super::watch::{SharedWants, Watch, Watched};
use super::web::{self, HealthBoard, SetupBoard, Sights, Web, WebParts};
use crate::adapters::mqtt::{Client, CursorMoves, Outbox, SiteClient, command_key};
use crate::adapters::relay::client::GuardClient;
use crate::adapters::relay::line::LineSpec;
use crate::adapters::relay::spawner::{GuardCommand, Spawner};
use crate::adapters::store::{CommandFile, EncryptedPeople, SqliteJournal};
use crate::adapters::system::{SystemClock, board, random, uuid_v7};
use crate::adapters::{inputs, prompt, reader};
use crate::base::precedence::Precedence;
use crate::base::slot::LatestSlot;
use crate::base::stop::{Heartbeat, Knock, Stop};
use crate::base::time::Clock;
use crate::config::Config;
use crate::config::sections::{GuardKind, RemoteUnlock};
use crate::domain::command::GateRules;
use crate::domain::door::Door;
use crate::domain::door::Sensor;
use crate::domain::visit::{ChallengeSource, Policy};
use crate::ports::{Journal, PortError, Recovery};
use crate::schema::command::CommandName;
use crate::schema::discovery::Terminal;
use crate::schema::event::{Event, Goal};
use crate::schema::health::{CameraHealth, Health, HealthStatus, Link};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

/// Observations that may wait for the controller: it is faster than any camera.
const OBSERVATIONS: usize = 4;
/// A thread that has not turned for so long hangs.
const HANGS: Duration = Duration::from_secs(5);
/// The health is told this often.
const HEALTH: Duration = Duration::from_secs(2);

/// How the daemon is to behave beyond its configuration.
#[derive(Default)]
pub struct Options {
    /// Records on standard output, one line each.
    pub lines: bool,
    /// Another challenge than the configured one: the demo knows what its clips can answer.
    pub challenge: Option<ChallengeSource>,
    /// Knocked on when the rules file is to be read anew.
    pub reload: Knock,
    /// The configuration as the console shows and changes it.
    pub settings: Option<super::settings::Settings>,
}

/// Runs until `stop`, a fault, or the end of a recording that is not looped.
///
/// # Errors
/// What could not be started, or broke so that only a new start helps.
pub fn run(config: &Config, stop: &Stop, options: Options) -> Result<(), PortError> {
    // A core dump would keep the guard's socket open until it is written, and hold templates.
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(e) = rustix::process::setrlimit(rustix::process::Resource::Core, none) {
        tracing::warn!(error = %e, "core dumps could not be switched off");
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let started = clock.now();
    let state = config.store().dir.clone();
    let journal = SqliteJournal::open(&state)?;
    // Looked at before anything is recorded.
    drop(EncryptedPeople::open(&state)?);
    let rules = Rules::open(config, &state, &*clock)?;
    let timings = Timings::default();
    let engine =
        Engine::open_with(config, |inner| Box::new(Timed { inner, clock: clock.clone(), timings: timings.clone() }))?;
    let passive_pad = engine.pack().passive_pad;

    let mut mqtt = None;
    if config.mqtt().enabled {
        let dir = state.clone();
        let open: crate::adapters::mqtt::OpenJournal =
            Box::new(move || Ok(Box::new(SqliteJournal::open_reader(&dir)?) as Box<dyn Journal>));
        mqtt = Some(Client::new(config.mqtt(), &config.device().name, open, CursorMoves::default())?);
    }
    let outbox = mqtt.as_ref().map(|(_, outbox)| outbox.clone());
    let boot = uuid_v7(clock.wall().unix_ms, random()?);
    let stamp = Stamp { device: config.device().name.clone(), boot, started };
    let (feed, board) = (web::feed(), HealthBoard::default());
    let listeners = Listeners {
        outbox: outbox.clone(),
        lines: options.lines,
        feed: Some(feed.clone()),
        keep: Some(config.store().keep_records),
    };
    let (recorder, recording) = Recorder::start(Box::new(journal), clock.clone(), stamp, listeners)?;
    recorder.commit(Event::SystemStarted {
        version: env!("CARGO_PKG_VERSION").into(),
        pack: engine.pack().name.clone(),
        precision: engine.precision_name().into(),
        passive_pad,
        insecure: config.insecure().in_force().into_iter().map(str::to_owned).collect(),
    })?;
    for setting in config.insecure().in_force() {
        recorder.record(Event::SystemInsecure { setting: setting.into() });
    }
    let (watched, inbox) = sync_channel(OBSERVATIONS);
    let store = Box::new(CommandFile::open(&state)?);
    let (sender, orders) = commands(gate_rules(config)?, store, recorder.clone(), clock.clone(), watched.clone())?;
    let net = match mqtt {
        Some((client, _)) => {
            let terminal = terminal(config);
            Some(Net::start(client.with_commands(Arc::new(sender.clone())).announced_as(&terminal))?)
        }
        None => None,
    };

    let (site, rules) = site(config, &state, &recorder, &clock, rules)?;
    let (spawner, guard) = guard(config, &state)?;
    let challenge = options.challenge.clone().unwrap_or_else(|| super::engine::challenge(config));
    let registrar = Registrar::open(&state, (*engine).clone(), config)?;
    let (lessons, film, learner) = match relearn::open(config, &engine, &state, &recorder)? {
        Some((lessons, film, learner)) => (Some(lessons), Some(film), Some(learner)),
        None => (None, None, None),
    };
    let shutter = Shutter::default();
    let (policy, renew, pipeline, names) =
        policies(config, engine, &state, challenge, clock.clone(), recorder.clone())?;

    let camera = Arc::new(CameraState::default());
    let slot = Arc::new(LatestSlot::default());
    let wants = Arc::new(SharedWants::default());
    let precedence = Arc::new(Precedence::default());
    let (tap, live) = web::tap(config);
    let (setup_board, door_ear) = (SetupBoard::default(), watched.clone());
    let wired = inputs::open(&config.door().inputs, clock.clone())?.map(|first| Inputs {
        config: config.door().inputs.clone(),
        clock: clock.clone(),
        first,
        out: watched.clone(),
        stop: stop.clone(),
    });
    let readers = readers(config, &watched, &recorder, stop)?;
    let (panel, reporting) = self::panel(config, &clock, &recorder, stop)?.unzip();
    let rules_file = RulesFile::new(config, recorder.clone());
    let rules = rules.of_file(rules_file.slot());
    let rules = rules.with_factors(!readers.is_empty());
    let rules_board = rules.board();
    let (watch_beat, control_beat) = (Heartbeat::default(), Heartbeat::default());
    let guard_lost = Arc::new(AtomicBool::new(false));
    let tell = recorder.clone();
    let capture = Capture {
        config: config.camera().clone(),
        clock: clock.clone(),
        slot: slot.clone(),
        state: camera.clone(),
        stop: stop.clone(),
        tell: Box::new(move |e| tell.record(e)),
    };
    let watch = Watch {
        pipeline,
        slot: slot.clone(),
        wants: wants.clone(),
        out: watched,
        clock: clock.clone(),
        beat: watch_beat.clone(),
        stop: stop.clone(),
        precedence: precedence.clone(),
        film,
        shutter: shutter.clone(),
        tap,
    };
    let controller = Controller {
        clock: clock.clone(),
        inbox,
        wants,
        policy,
        renew,
        guard: Box::new(guard),
        panel: panel.clone(),
        doorway: Doorway::new(Door::new(config.door().rules), config.door().tamper),
        prompt: prompt::open(config.prompt())?,
        recorder: recorder.clone(),
        registrar,
        lessons,
        shutter,
        rules,
        commands: orders,
        outbox: outbox.clone(),
        door: config.device().name.to_string(),
        hold: config.door().hold,
        passive_pad,
        seed: Box::new(random::<32>),
        beat: control_beat.clone(),
        guard_lost: guard_lost.clone(),
        setup: setup_board.clone(),
        resting: None,
        stop: stop.clone(),
    };
    let now = clock.now();
    watch_beat.beat(now);
    control_beat.beat(now);
    let parts = WebParts {
        config,
        state: &state,
        recorder: &recorder,
        commands: sender.clone(),
        outbox: outbox.clone(),
        clock: clock.clone(),
        board: board.clone(),
        feed,
        live,
        sights: Sights { camera: camera.clone(), slot: slot.clone(), precedence },
        settings: options.settings,
        setup: setup_board.clone(),
        door: door_ear,
        rules: rules_board,
        timings,
    };
    let web = Web::start(parts)?;
    let capturing = thread("capture", move || capture.run())?;
    let watching = thread("watch", move || watch.run())?;
    let controlling = thread("controller", move || controller.run())?;
    let learning = learner.map(|l| thread("learner", move || l.run())).transpose()?;
    let wired = wired.map(|i| thread("inputs", move || i.run())).transpose()?;
    let readers = readers.into_iter().map(|r| thread("reader", move || r.run()));
    let readers = readers.collect::<Result<Vec<_>, _>>()?;
    let reporting = reporting.map(|p| thread("panel", move || p.run())).transpose()?;
    tracing::info!(pack = names, "ready");
    recorder.record(Event::SystemReady {});

    let supervisor = Supervisor {
        clock: clock.clone(),
        camera: camera.clone(),
        watch: watch_beat,
        control: control_beat,
        guard_lost,
        panel,
        recorder: recorder.clone(),
        commands: sender,
        outbox,
        board,
        pack: config.models().pack.clone(),
        passive_pad,
        state: state.clone(),
        reload: options.reload,
        rules_file,
    };
    let hung = supervisor.watch(stop, || controlling.is_finished());

    stop.request();
    slot.close();
    drop(web);
    let (fault, connection) = match hung {
        Some(what) => (Some(what), None),
        None => match controlling.join() {
            Ok((fault, guard)) => (fault, Some(guard)),
            Err(_) => (Some("the controller ended without a word".into()), None),
        },
    };
    drop(spawner);
    drop(connection);
    if fault.as_ref().is_some_and(|f| f.ends_with("hangs")) {
        // Whoever hangs cannot be joined: the process ends, the guard has released the line, systemd starts again.
        recorder.record(Event::SystemStopped {});
        recorder.flush();
        return Err(broke(fault.unwrap_or_default()));
    }
    let _capture = capturing.join();
    let _watch = watching.join();
    // The controller's end is gone, so it has nothing to wait for.
    let _learner = learning.map(std::thread::JoinHandle::join);
    let _inputs = wired.map(std::thread::JoinHandle::join);
    let _panel = reporting.map(std::thread::JoinHandle::join);
    for reader in readers {
        let _reader = reader.join();
    }
    recorder.record(Event::SystemStopped {});
    recorder.flush();
    for net in [site, net].into_iter().flatten() {
        net.stop();
    }
    drop(supervisor);
    drop(recorder);
    let _recorder = recording.join();
    match fault {
        Some(what) => Err(broke(what)),
        None => Ok(()),
    }
}

/// The door's part in its site, where it has one, on a thread of its own; and the rules, which may come from there.
fn site(
    config: &Config,
    state: &Path,
    recorder: &Recorder,
    clock: &Arc<dyn Clock>,
    rules: Rules,
) -> Result<(Option<Net>, Rules), PortError> {
    let slot = config.site().as_ref().filter(|s| s.rules).map(|_| RulesSlot::default());
    let Some(door) = SiteDoor::open(config, state, recorder.clone(), slot.clone())? else { return Ok((None, rules)) };
    let net = Net::site(SiteClient::new(config.mqtt(), clock.clone())?, door)?;
    Ok((Some(net), rules.of_site(slot)))
}

fn broke(what: String) -> PortError {
    PortError::new("run", what, "see the journal; the service manager starts again", Recovery::Fatal)
}

fn thread<T: Send + 'static>(
    name: &str,
    life: impl FnOnce() -> T + Send + 'static,
) -> Result<std::thread::JoinHandle<T>, PortError> {
    let started = std::thread::Builder::new().name(name.into()).spawn(life);
    started.map_err(|e| PortError::new(format!("start the thread {name}"), e, "free some memory", Recovery::Fatal))
}

/// The guard as a child that outlives us until the line is inactive, or the one behind a socket.
fn guard(config: &Config, state: &Path) -> Result<(Option<Spawner>, GuardClient), PortError> {
    let door = config.door();
    let socket = door.guard_socket.clone().unwrap_or_else(|| state.join("guard.sock"));
    let line = LineSpec::of(&door.relay, state);
    let spawner = match door.guard {
        GuardKind::Spawn => Some(Spawner::start(GuardCommand::of_this_program(line, &socket)?)?),
        GuardKind::Socket => None,
    };
    let client = GuardClient::connect(&socket, Duration::from_secs(5))?;
    Ok((spawner, client))
}

/// What Home Assistant is told of this terminal.
fn terminal(config: &Config) -> Terminal {
    let wired = |sensor| config.door().inputs.lines.iter().any(|(s, _)| *s == sensor);
    Terminal {
        device: config.device().name.to_string(),
        version: env!("CARGO_PKG_VERSION").into(),
        board: board("model"),
        serial: board("serial-number"),
        contact: wired(Sensor::Contact),
        tamper: wired(Sensor::Tamper),
        unlock: config.mqtt().remote_unlock == RemoteUnlock::HomeAssistant,
        picture: config.mqtt().commands.contains(&CommandName::Snapshot),
    }
}

/// What may be asked of this terminal from afar.
///
/// # Errors
/// The key cannot be read.
pub fn gate_rules(config: &Config) -> Result<GateRules, PortError> {
    let mqtt = config.mqtt();
    Ok(GateRules {
        device: config.device().name.to_string(),
        enabled: mqtt.commands.clone(),
        key: command_key(mqtt)?,
        home_assistant: mqtt.remote_unlock == RemoteUnlock::HomeAssistant,
        trust_clock: config.insecure().trust_clock,
    })
}

/// Keypad and card reader, as far as there are any.
fn readers(
    config: &Config,
    out: &SyncSender<Watched>,
    recorder: &Recorder,
    stop: &Stop,
) -> Result<Vec<Readers>, PortError> {
    let door = config.door();
    let mut all = Vec::new();
    for (config, means) in [(&door.keypad, Shown::Pin as fn(_) -> _), (&door.card, Shown::Card)] {
        let Some(first) = reader::open(config)? else { continue };
        let (recorder, config) = (recorder.clone(), config.clone());
        let tell = Box::new(move |e| recorder.record(e));
        all.push(Readers { config, first, means, out: out.clone(), tell, stop: stop.clone() });
    }
    Ok(all)
}

/// The line to an access panel, where there is one.
fn panel(
    config: &Config,
    clock: &Arc<dyn Clock>,
    recorder: &Recorder,
    stop: &Stop,
) -> Result<Option<(PanelDesk, Panel)>, PortError> {
    let Some(panel) = config.access_panel() else { return Ok(None) };
    let recorder = recorder.clone();
    Panel::open(panel, clock.clone(), Box::new(move |e| recorder.record(e)), stop.clone()).map(Some)
}

type Parts = (
    Arc<Policy>,
    super::controller::MakePolicy,
    crate::vision::pipeline::Pipeline<Box<dyn crate::ports::Infer>>,
    String,
);

/// The policy of now, and how to make the next one when people came or went. The engine's networks go to the watch
/// thread; what the policies need of it stays here.
fn policies(
    config: &Config,
    engine: Engine,
    state: &Path,
    challenge: ChallengeSource,
    clock: Arc<dyn Clock>,
    recorder: Recorder,
) -> Result<Parts, PortError> {
    let (pipeline, judge) = engine.split();
    let mut expiry = Expiry::open(state, clock, recorder)?;
    let mut store = EncryptedPeople::open(state)?;
    let config = config.clone();
    let mut make = move |force: bool| -> Result<Option<Arc<Policy>>, PortError> {
        if !store.changed()? && !expiry.is_due() && !force {
            return Ok(None);
        }
        let people = expiry.current(&mut store, judge.embedding_digest())?;
        let (gallery, templates) = judge.gallery(&people);
        let mut policy = judge.policy(&config, Goal::Identify, Arc::new(gallery), templates, challenge.clone())?;
        policy.cannot = Arc::new(store.cannot()?);
        // Only a door has a display that follows the visit.
        policy.light = super::engine::light(&config);
        Ok(Some(Arc::new(policy)))
    };
    let Some(first) = make(true)? else {
        return Err(PortError::new("load the people", "nothing came", "run `cardea doctor`", Recovery::Fatal));
    };
    let renew: super::controller::MakePolicy = Box::new(move || match make(false) {
        Ok(p) => p,
        Err(e) => {
            tracing::error!(error = %e, "people could not be loaded again; the ones before stay");
            None
        }
    });
    let name = config_name(&first);
    Ok((first, renew, pipeline, name))
}

fn config_name(policy: &Policy) -> String {
    format!("{} people, threshold {:.3}", policy.gallery.len(), policy.matching.threshold)
}

/// Looks at the threads; decides nothing about doors.
struct Supervisor {
    clock: Arc<dyn Clock>,
    camera: Arc<CameraState>,
    watch: Heartbeat,
    control: Heartbeat,
    guard_lost: Arc<AtomicBool>,
    panel: Option<PanelDesk>,
    recorder: Recorder,
    commands: CommandSender,
    outbox: Option<Outbox>,
    board: HealthBoard,
    pack: String,
    passive_pad: bool,
    state: PathBuf,
    reload: Knock,
    rules_file: RulesFile,
}

impl Supervisor {
    /// Until the end; returns what hangs.
    fn watch(&self, stop: &Stop, over: impl Fn() -> bool) -> Option<String> {
        let mut told_ready = false;
        let mut last_health = None;
        let mut broker = BrokerNews::default();
        let mut frames = (self.clock.now(), 0_u64);
        let mut fps = 0.0;
        while !stop.wait(Duration::from_millis(100)) && !over() {
            let now = self.clock.now();
            let hangs = [("watch", &self.watch), ("controller", &self.control)]
                .into_iter()
                .find(|(_, beat)| beat.age(now) > HANGS)
                .map(|(name, _)| format!("the {name} thread hangs"));
            if hangs.is_some() {
                // Whoever hangs cannot be joined: the process ends, and with it the guard's pulse.
                return hangs;
            }
            let delivering = self.camera.delivering.load(Ordering::Relaxed);
            if !told_ready {
                told_ready = true;
                notify(sd_notify::NotifyState::Ready);
            }
            if delivering || self.camera.none.load(Ordering::Relaxed) {
                notify(sd_notify::NotifyState::Watchdog);
            }
            if self.reload.answered() {
                notify(sd_notify::NotifyState::Reloading);
                match sd_notify::NotifyState::monotonic_usec_now() {
                    Ok(since) => notify(since),
                    Err(e) => tracing::debug!(error = %e, "no time for the service manager"),
                }
                self.rules_file.read_anew();
                notify(sd_notify::NotifyState::Ready);
            }
            if last_health.is_none_or(|l| now.since(l) >= HEALTH) {
                let seen = self.camera.frames.load(Ordering::Relaxed);
                let seconds = now.since(frames.0).as_secs_f32();
                if seconds > 0.5 {
                    fps = (seen - frames.1) as f32 / seconds;
                    frames = (now, seen);
                }
                last_health = Some(now);
                if let Some(connected) = self.outbox.as_ref().and_then(|o| broker.step(now, o.status().connected)) {
                    self.recorder.record(Event::SystemBroker { connected });
                }
                let health = self.health(fps);
                self.commands.sum_up();
                if let Some(outbox) = &self.outbox {
                    outbox.health(&health);
                }
                *self.board.lock().expect("board mutex: no holder panics") = Some(health);
            }
        }
        None
    }

    fn health(&self, fps: f32) -> Health {
        let now = self.clock.now();
        let delivering = self.camera.delivering.load(Ordering::Relaxed);
        let guard_lost = self.guard_lost.load(Ordering::Relaxed);
        let broker = self.outbox.as_ref().map(|o| o.status().connected);
        let mut problems = Vec::new();
        if !delivering && !self.camera.none.load(Ordering::Relaxed) {
            problems.push("the camera delivers no frames".to_owned());
        }
        if guard_lost {
            problems.push("the guard cannot be reached".to_owned());
        }
        if self.recorder.failing() {
            problems.push("the journal cannot be written".to_owned());
        }
        let panel_lost = self.panel.as_ref().is_some_and(|p| !p.is_ready());
        if panel_lost {
            problems.push("the access panel cannot be reached".to_owned());
        }
        let fault = !problems.is_empty();
        if self.recorder.starved() {
            problems.push("the disk is full: records go to the space held back for them".to_owned());
        }
        let lockdown = self.commands.status().lockdown;
        if lockdown {
            problems.push("the door is locked down until `release`".to_owned());
        }
        if !self.passive_pad {
            problems.push("no passive PAD network: active liveness only".to_owned());
        }
        if broker == Some(false) {
            problems.push("no MQTT broker".to_owned());
        }
        let status = match (fault, problems.is_empty()) {
            (true, _) => HealthStatus::Fault,
            (false, false) => HealthStatus::Degraded,
            (false, true) => HealthStatus::Ok,
        };
        let frames = self.camera.frames.load(Ordering::Relaxed);
        let age = (frames > 0).then(|| u64::try_from(self.camera.beat.age(now).as_millis()).unwrap_or(u64::MAX));
        Health {
            status,
            problems,
            camera: CameraHealth { fps, age_ms: age },
            guard: if guard_lost { Link::Lost } else { Link::Connected },
            broker: broker.map_or(Link::Off, |b| if b { Link::Connected } else { Link::Lost }),
            disk_free_mb: free_mb(&self.state),
            model_pack: self.pack.clone(),
            passive_pad: self.passive_pad,
            seq: self.recorder.seq(),
            lockdown,
        }
    }
}

/// Free space of the state directory's file system.
fn free_mb(dir: &Path) -> u64 {
    rustix::fs::statvfs(dir).map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize) / (1 << 20))
}

/// Tells systemd; outside of it there is nobody to tell.
fn notify(state: sd_notify::NotifyState<'_>) {
    if let Err(e) = sd_notify::notify(&[state]) {
        tracing::debug!(error = %e, "no service manager listens");
    }
}
