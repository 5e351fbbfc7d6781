//! Commands: arguments in, text and an exit code out.
//!
//! With `--json` standard output holds JSON only; logs go to standard error. A failure is one line on standard error,
//! `error: <file or key>: <what>; <what to do>`, and with `--json` also an object on standard output.

mod bench;
mod cert;
mod clip;
mod collect;
mod config;
mod demo;
mod dev;
mod doctor;
mod enroll;
mod eval;
mod events;
mod guard;
mod identify;
mod models;
mod mqtt;
mod pad;
mod people;
mod people_csv;
mod people_receipt;
mod people_set;
mod private;
mod prompts;
mod replay;
mod rules;
mod run;
mod site;
mod state;
mod still;
mod texts;
mod verify;
mod who_can;
mod why;

pub use people_csv::is_table as is_people_table;

use crate::adapters::store::EncryptedPeople;
use crate::config::{Config, Faults, Inputs, load};
use crate::ports::{PeopleStore, Person, PortError};
use clap::{Args, Parser, Subcommand};
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

/// How a command ended when nothing broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0.
    Done,
    /// 1: no match, chain broken, doctor found a fault, a demo visit ended wrongly.
    Negative,
    /// 2: no face, poor quality: no decision possible.
    NoDecision,
    /// A failure whose text the command itself has printed, because its JSON is one object with more than the error.
    Reported(Code),
}

/// Something broke, or was asked for wrongly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    /// The file, key or argument.
    pub subject: String,
    pub what: String,
    /// What to do.
    pub hint: String,
}

/// Exit codes of failures, after sysexits.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    Usage = 64,
    BadInput = 65,
    Unavailable = 69,
    Internal = 70,
    Io = 74,
    Permission = 77,
    Config = 78,
}

impl Failure {
    /// A failure with everything that its reader needs.
    pub fn new(code: Code, subject: impl Into<String>, what: impl ToString, hint: impl Into<String>) -> Self {
        Failure { code, subject: subject.into(), what: what.to_string(), hint: hint.into() }
    }

    /// A part of the machine or of the installation is not there.
    #[must_use]
    pub fn unavailable(e: PortError) -> Self {
        Failure::new(Code::Unavailable, e.what, e.cause, e.hint)
    }

    /// The object behind `"error"`.
    fn json(&self) -> serde_json::Value {
        let what = format!("{}: {}", self.subject, self.what);
        serde_json::json!({"code": self.code as u8, "what": what, "hint": self.hint})
    }
}

impl fmt::Display for Failure {
    /// The line on standard error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}: {}; {}", self.subject, self.what, self.hint)
    }
}

/// What a command returns.
pub type Outcome = Result<Exit, Failure>;

/// Options that stand before or after every command.
#[derive(Args, Clone, Debug)]
pub struct Globals {
    /// Configuration file instead of /etc/cardea/cardea.toml.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Overrides one key, for example door.hold_ms=2000; repeatable.
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// Journal, people, keys and sockets live here.
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// JSON on standard output, nothing else.
    #[arg(long, global = true)]
    pub json: bool,
}

/// Where the configuration of this process is looked for.
fn config_inputs(globals: &Globals) -> Inputs {
    // A variable that is not Unicode cannot hold a valid value; the replacement character makes it a fault with a name.
    let text = |t: std::ffi::OsString| t.to_string_lossy().into_owned();
    Inputs {
        file: globals.config.clone(),
        set: globals.set.clone(),
        state: globals.state.clone(),
        env: std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect(),
        credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
    }
}

/// The checked configuration, for every command that needs one.
///
/// # Errors
/// A [`Failure`] with code 78 that names the first fault and how many more there are.
pub fn load_config(globals: &Globals) -> Result<Config, Failure> {
    load(&config_inputs(globals)).map_err(|faults| config_failure(&faults))
}

/// One line for all faults: `config check` lists them.
fn config_failure(faults: &Faults) -> Failure {
    let first = faults.first();
    let meant = first.nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
    let hint = match faults.more() {
        0 => "mend it and run cardea config check".into(),
        n => format!("and {n} more; run cardea config check"),
    };
    Failure::new(Code::Config, first.place(), format!("{}{meant}", first.what), hint)
}

#[derive(Parser, Debug)]
#[command(name = "cardea", version, about = "Opens doors for faces it knows.", max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// The daemon: camera, decision, relay, journal, MQTT.
    Run(run::Args),
    /// The process that owns the relay line.
    Guard(guard::Args),
    /// Sample visits that show the whole chain.
    Demo(demo::Args),
    /// A recorded clip through the pipeline and the visit of `run`.
    Replay(replay::Args),
    /// Error rates on labelled data.
    Eval(eval::Args),
    /// Adds a person.
    Enroll(enroll::Args),
    /// Lists, shows, removes, imports, exports people.
    People(people::Args),
    /// Is this picture that person?
    Verify(verify::Args),
    /// Who is this?
    Identify(identify::Args),
    /// Reads and checks the journal.
    Events(events::Args),
    /// Why a visit ended as it did, from any record of it.
    Why(why::Args),
    /// What the broker keeps of this terminal.
    Mqtt(mqtt::Args),
    /// Who may pass which door when: checks the rules and plays scenarios.
    Rules(rules::Args),
    /// Who may pass a door at a moment.
    WhoCan(who_can::Args),
    /// People and rules that several terminals share.
    Site(site::Args),
    /// Lists, installs, verifies networks.
    Models(models::Args),
    /// Sets thresholds against attacks, and trains a head, with captures of this site.
    Pad(pad::Args),
    /// Pictures of what a display at the door shows, in every language.
    Prompts(prompts::Args),
    /// Checks, shows, describes the configuration.
    Config(config::Args),
    /// One line per thing that can be wrong.
    Doctor(doctor::Args),
    /// The certificate of the console.
    Cert(cert::Args),
    /// What a decision costs on this machine.
    Bench(bench::Args),
    /// Completions for a shell, on standard output.
    Completions(texts::Completions),
    /// Manual pages.
    Man(texts::Man),
}

/// All values of `--set`, wherever they stand. clap keeps only the deepest of those before and behind a command's name,
/// and has found all of them to be in order.
fn every_set(mut args: impl Iterator<Item = String>) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(arg) = args.next().filter(|a| a != "--") {
        if arg == "--set" {
            all.extend(args.next());
        } else if let Some(value) = arg.strip_prefix("--set=") {
            all.push(value.to_owned());
        }
    }
    all
}

/// Runs the command line; the whole of `main`.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _closed_terminal = e.print();
            return ExitCode::from(if e.use_stderr() { Code::Usage as u8 } else { 0 });
        }
    };
    let mut g = cli.globals;
    // What is not Unicode is no `--set`: clap has refused that.
    g.set = every_set(std::env::args_os().map(|a| a.to_string_lossy().into_owned()));
    let outcome = match cli.command {
        Command::Run(a) => run::run(&g, a),
        Command::Guard(a) => guard::run(&g, a),
        Command::Demo(a) => demo::run(&g, a),
        Command::Replay(a) => replay::run(&g, a),
        Command::Eval(a) => eval::run(&g, a),
        Command::Enroll(a) => enroll::run(&g, a),
        Command::People(a) => people::run(&g, a),
        Command::Verify(a) => verify::run(&g, a),
        Command::Identify(a) => identify::run(&g, a),
        Command::Events(a) => events::run(&g, a),
        Command::Why(a) => why::run(&g, a),
        Command::Mqtt(a) => mqtt::run(&g, &a),
        Command::Rules(a) => rules::run(&g, a),
        Command::WhoCan(a) => who_can::run(&g, a),
        Command::Site(a) => site::run(&g, a),
        Command::Models(a) => models::run(&g, a),
        Command::Pad(a) => pad::run(&g, a),
        Command::Prompts(a) => prompts::run(&g, a),
        Command::Config(a) => config::run(&g, a),
        Command::Doctor(a) => doctor::run(&g, a),
        Command::Cert(a) => cert::run(&g, &a),
        Command::Bench(a) => bench::run(&g, a),
        Command::Completions(a) => texts::completions(&a),
        Command::Man(a) => texts::man(&a),
    };
    match outcome {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Negative) => ExitCode::from(1),
        Ok(Exit::NoDecision) => ExitCode::from(2),
        Ok(Exit::Reported(code)) => ExitCode::from(code as u8),
        Err(f) => {
            eprintln!("{f}");
            if g.json {
                println!("{}", serde_json::json!({ "error": f.json() }));
            }
            ExitCode::from(f.code as u8)
        }
    }
}

/// Everybody in a state directory with templates of one embedding network; nobody when there are no people yet.
fn enrolled_people(state: &std::path::Path, model: &str) -> Result<Vec<Person>, Failure> {
    if !EncryptedPeople::exists(state) {
        return Ok(Vec::new());
    }
    let mut store = EncryptedPeople::open(state)?;
    store.load(model).map_err(|e| Failure::new(Code::Io, e.what, e.cause, e.hint))
}

/// Of these, those who may be recognised today.
fn known_people(state: &std::path::Path, model: &str) -> Result<Vec<Person>, Failure> {
    if !EncryptedPeople::exists(state) {
        return Ok(Vec::new());
    }
    let mut store = EncryptedPeople::open(state)?;
    let now_ms = crate::base::time::Clock::wall(&crate::adapters::system::SystemClock).unix_ms;
    let current = store.current(model, now_ms).map_err(|e| Failure::new(Code::Io, e.what, e.cause, e.hint))?;
    Ok(current.people)
}

/// What people of a state directory cannot do.
fn people_limits(
    state: &std::path::Path,
) -> Result<std::collections::BTreeMap<crate::schema::ids::PersonId, Vec<crate::schema::event::Action>>, Failure> {
    if !EncryptedPeople::exists(state) {
        return Ok(std::collections::BTreeMap::new());
    }
    Ok(EncryptedPeople::open(state)?.cannot()?)
}
