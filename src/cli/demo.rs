//! `cardea demo`: the daemon of `run` on sample visits, with a real guard, a real journal and a real broker.
//!
//! Each visit is one start of the daemon on a clip that plays like a camera. What its clip can answer is asked for in a
//! fixed order; everything else is as at a door. Pulses are counted from the relay line's edges file, deliveries by a
//! subscriber that is not part of the daemon.

mod broker;
mod material;
mod window;

use super::{Code, Exit, Failure, Globals, Outcome, clip};
use crate::adapters::relay::sim::{edges_path, read_edges};
use crate::adapters::store::{EncryptedPeople, SqliteJournal};
use crate::adapters::system::{SystemClock, random};
use crate::base::stop::Stop;
use crate::base::time::Clock;
use crate::config::Config;
use crate::domain::visit::ChallengeSource;
use crate::ports::{Journal, PeopleStore, Stored};
use crate::runtime::daemon::{self, Options};
use crate::runtime::engine::{self, Engine};
use crate::runtime::logging;
use crate::schema::event::{Event, Reason, Verdict};
use crate::schema::ids::PersonId;
use crate::schema::record::Record;
use broker::Broker;
use material::{Material, Sample};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Plays the sample visits even where a camera is.
    #[arg(long)]
    headless: bool,
    /// Directory of labelled sample data, laid out as the evaluation data; else the sample clip of the model tool.
    #[arg(long, value_name = "DIR")]
    material: Option<PathBuf>,
    /// Plays nothing: enrols the people of the sample data into DIR, a state directory to try commands and clients on.
    #[arg(long, value_name = "DIR")]
    sample_db: Option<PathBuf>,
    /// Opens a window on the desktop in which whoever sits there is verified: the kiosk page of a terminal that this
    /// starts on loopback, in a browser without its bars.
    #[arg(long, conflicts_with_all = ["headless", "sample_db"])]
    window: bool,
}

pub fn run(globals: &Globals, args: Args) -> Outcome {
    if let Some(dir) = &args.sample_db {
        return sample_db(globals, &args, dir);
    }
    if args.window {
        return window::run(globals);
    }
    let camera = Path::new("/dev/video0").exists();
    if camera && !args.headless {
        eprintln!("demo: looking through /dev/video0; enrol yourself with `cardea enroll NAME --camera` first");
        return super::run::run(globals, super::run::Args::default());
    }
    let work = tempdir()?;
    let outcome = play(globals, &args, work.path());
    work.close();
    outcome
}

/// A small database: the people of the demo, nothing else.
fn sample_db(globals: &Globals, args: &Args, dir: &Path) -> Outcome {
    if EncryptedPeople::exists(dir) {
        let what = "holds people already";
        return Err(Failure::new(Code::Usage, dir.display().to_string(), what, "name another directory"));
    }
    let work = tempdir()?;
    let made = || {
        let material = Material::find(args.material.as_deref(), work.path())?;
        let mut g = globals.clone();
        g.state = Some(dir.to_owned());
        g.set.extend(material.known.settings.iter().map(|s| (*s).to_owned()));
        let config = super::load_config(&g)?;
        enrol(&config, &material)?;
        let names: Vec<&str> = material.enrol.iter().map(|(name, _)| *name).collect();
        println!("{}", json!({"type": "sample_db", "state": dir, "people": names}));
        eprintln!("demo: {}; try: cardea --state {} people list", material.about, dir.display());
        Ok(Exit::Done)
    };
    let outcome = made();
    work.close();
    outcome
}

/// One visit of the demo.
struct Played {
    name: &'static str,
    expected: Verdict,
    /// Why it must be refused; `None` where any denial will do.
    because: Option<Reason>,
    verdict: Option<Verdict>,
    reason: Option<Reason>,
    relay_pulses: usize,
}

impl Played {
    fn ended_as_it_must(&self) -> bool {
        self.verdict == Some(self.expected)
            && (self.because.is_none() || self.reason == self.because)
            && (self.relay_pulses == 1) == (self.expected == Verdict::Granted)
    }
}

fn play(globals: &Globals, args: &Args, work: &Path) -> Outcome {
    let material = Material::find(args.material.as_deref(), work)?;
    let config = config(globals, work, &material.known.settings)?;
    logging::start(if config.log().level == "info" { "error" } else { &config.log().level });
    eprintln!("demo: {}", material.about);
    let state = config.store().dir.clone();
    let passive_pad = enrol(&config, &material)?;
    let mut broker = Broker::start(work, config.mqtt().port)?;
    let mut visits = Vec::new();
    let known = |name| (name, &material.known, Verdict::Granted, None);
    let plan = [
        known("known_live"),
        ("photo", &material.photo, Verdict::Denied, material.photo_because.filter(|_| passive_pad)),
        ("stranger", &material.stranger, Verdict::Denied, material.stranger_because),
        known("broker_down"),
    ];
    for (name, sample, expected, because) in plan {
        if name == "broker_down" {
            broker.down()?;
        }
        eprintln!("demo: {name}, expected {expected:?}");
        let (verdict, reason, relay_pulses) = visit(globals, work, sample, &state)?;
        visits.push(Played { name, expected, because, verdict, reason, relay_pulses });
    }
    broker.up()?;
    let records = drain(&config, &mut broker, &state)?;
    let delivered = broker.delivered();
    let ok = visits.iter().all(Played::ended_as_it_must) && delivered == records;
    let rows: Vec<Value> = visits
        .iter()
        .map(|v| {
            json!({"name": v.name, "expected": v.expected, "verdict": v.verdict, "reason": v.reason,
                   "relay_pulses": v.relay_pulses})
        })
        .collect();
    println!("{}", json!({"type": "demo", "visits": rows, "records": records, "delivered": delivered, "ok": ok}));
    Ok(if ok { Exit::Done } else { Exit::Negative })
}

/// The configuration of `run` for a demo: its own state, a simulated line that keeps its level, a broker of its own.
fn config(globals: &Globals, work: &Path, settings: &[&str]) -> Result<Config, Failure> {
    let mut g = demo_globals(globals, work)?;
    g.set.extend(settings.iter().map(|s| (*s).to_owned()));
    g.set.push("camera.kind=\"file\"".into());
    g.set.push(format!("camera.path={:?}", work.display().to_string()));
    super::load_config(&g)
}

fn demo_globals(globals: &Globals, work: &Path) -> Result<Globals, Failure> {
    let mut g = globals.clone();
    g.state = Some(work.join("state"));
    let port = broker::free_port()?;
    let file = work.join("port");
    // Every start of the demo's daemon talks to the same broker.
    let port = match std::fs::read_to_string(&file).ok().and_then(|t| t.trim().parse::<u16>().ok()) {
        Some(p) => p,
        None => {
            std::fs::write(&file, port.to_string()).map_err(|e| io(&file, e))?;
            port
        }
    };
    for set in [
        "camera.looped=false",
        "door.relay.kind=\"sim\"",
        "door.relay.persist=true",
        "door.hold_ms=1500",
        "mqtt.enabled=true",
        "mqtt.host=\"127.0.0.1\"",
        "prompt.kind=\"console\"",
        // Refusals are part of the show: they must not lock the door for the visit after them.
        "rules.lockout_failures=10",
    ] {
        g.set.push(set.into());
    }
    g.set.push(format!("mqtt.port={port}"));
    Ok(g)
}

/// Enrols those whom the visits show; tells whether the pack has PAD networks.
fn enrol(config: &Config, material: &Material) -> Result<bool, Failure> {
    let mut engine = Engine::open(config).map_err(Failure::unavailable)?;
    let mut people = EncryptedPeople::open(&config.store().dir)?;
    for (name, file) in &material.enrol {
        let id = PersonId::new(name).map_err(|e| Failure::new(Code::Internal, *name, e, "report this"))?;
        let found = clip::embeddings_of(&mut engine.pipeline, file)?
            .map_err(|r| Failure::new(Code::BadInput, file.display().to_string(), r.reason(), r.advice()))?;
        let templates: Vec<_> = found.into_iter().map(|e| engine.template(e)).collect();
        people.add(&id, &templates, SystemClock.wall().unix_ms).map_err(super::state::io)?;
    }
    Ok(engine.pack().passive_pad)
}

/// One start of the daemon on one clip; the verdict is read from the journal, the pulses from the line.
fn visit(
    globals: &Globals,
    work: &Path,
    sample: &Sample,
    state: &Path,
) -> Result<(Option<Verdict>, Option<Reason>, usize), Failure> {
    let mut g = demo_globals(globals, work)?;
    g.set.push("camera.kind=\"file\"".into());
    g.set.push(format!("camera.path={:?}", sample.clip.display().to_string()));
    g.set.push(format!("camera.fps={}", sample.fps));
    g.set.extend(sample.settings.iter().map(|s| (*s).to_owned()));
    let config = super::load_config(&g)?;
    let order: Vec<_> = sample.actions.iter().map(|a| (*a, 1)).collect();
    let onsets = sample.onsets.clone();
    let challenge = ChallengeSource::Fixed { deck: engine::deck(&config), order, onsets };
    let line = config.door().relay.line.clone().unwrap_or_else(|| state.join("relay"));
    let (before, records) = (pulses(&line)?, head(state)?);
    let stop = Stop::default();
    daemon::run(&config, &stop, Options { lines: true, challenge: Some(challenge), ..Options::default() })
        .map_err(Failure::unavailable)?;
    let ended = after(state, records)?.into_iter().filter_map(|s| serde_json::from_str::<Record>(&s.text).ok());
    let decided = ended
        .filter_map(|r| match r.event {
            Event::VisitEnded { verdict, reason, .. } => Some((verdict, reason)),
            _ => None,
        })
        // The first verdict that is one: a visit cut short before it may be followed by another.
        .find(|(v, _)| *v != Verdict::TryAgain);
    let (verdict, reason) = decided.map_or((None, None), |(v, r)| (Some(v), r));
    Ok((verdict, reason, pulses(&line)? - before))
}

/// How often the line was energised so far.
fn pulses(line: &Path) -> Result<usize, Failure> {
    match read_edges(line) {
        Ok(edges) => Ok(edges.iter().filter(|(_, active, _)| *active).count()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(io(&edges_path(line), e)),
    }
}

fn head(state: &Path) -> Result<u64, Failure> {
    let mut journal = SqliteJournal::open(state)?;
    Ok(journal.head().map_err(super::state::io)?.map_or(0, |(seq, _)| seq))
}

fn after(state: &Path, seq: u64) -> Result<Vec<Stored>, Failure> {
    SqliteJournal::open_reader(state)?.after(seq, 10_000).map_err(super::state::io)
}

/// Lets the daemon's own client deliver what the broker missed: the daemon is started once more without a visitor.
fn drain(config: &Config, broker: &mut Broker, state: &Path) -> Result<u64, Failure> {
    use crate::adapters::mqtt::{Client, CursorMoves, OpenJournal};
    use crate::runtime::net::Net;
    let records = head(state)?;
    let dir = state.to_owned();
    let open: OpenJournal = Box::new(move || Ok(Box::new(SqliteJournal::open_reader(&dir)?) as Box<dyn Journal>));
    let (client, _outbox) = Client::new(config.mqtt(), &config.device().name, open, CursorMoves::default())
        .map_err(Failure::unavailable)?;
    let net = Net::start(client).map_err(Failure::unavailable)?;
    broker.wait_for(records);
    net.stop();
    Ok(records)
}

fn io(path: &Path, e: std::io::Error) -> Failure {
    Failure::new(Code::Io, path.display().to_string(), e, "check the directory and the space left")
}

/// A directory that goes when the demo is over.
struct WorkDir(PathBuf);

impl WorkDir {
    fn path(&self) -> &Path {
        &self.0
    }
    fn close(self) {
        if let Err(e) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(error = %e, path = %self.0.display(), "the demo's directory stays");
        }
    }
}

fn tempdir() -> Result<WorkDir, Failure> {
    let bytes: [u8; 8] = random().map_err(super::state::io)?;
    let path = std::env::temp_dir().join(format!("cardea-demo-{}", crate::schema::record::hex(&bytes)));
    std::fs::create_dir(&path).map_err(|e| io(&path, e))?;
    Ok(WorkDir(path))
}
