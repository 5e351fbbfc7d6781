//! `cardea rules`: checks a rules file, plays scenarios against it, and releases what an administrator must release.

pub(super) mod simulate;

use super::state::{self, Log, print};
use super::{Code, Exit, Failure, Globals, Outcome};
use crate::adapters::system::{SystemClock, random, uuid_v7};
use crate::base::time::Clock;
use crate::config::{Faults, read_rules};
use crate::domain::access::RuleBook;
use crate::runtime::rules::{Order, leave_order};
use crate::runtime::who_can;
use crate::schema::event::Event;
use crate::schema::ids::PersonId;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Lists everything that is wrong with a rules file; exit code 78 if anything is.
    Check {
        /// Rules file; without it the one that the configuration names.
        file: Option<PathBuf>,
    },
    /// Plays scenarios; exit code 1 when an expectation does not hold.
    Simulate {
        /// Files of scenarios (docs/rules.md).
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Shuts the door for everybody until `release --lockdown`.
    Lockdown,
    /// Ends what an administrator must end; without an option the lockout of the door.
    Release {
        /// This person's lockout; the person also counts as having left.
        #[arg(conflicts_with_all = ["lockdown", "clock"])]
        person: Option<String>,
        /// The lockdown.
        #[arg(long, conflicts_with = "clock")]
        lockdown: bool,
        /// The distrust in a clock that jumped: what it says now is right.
        #[arg(long)]
        clock: bool,
    },
}

pub fn run(globals: &Globals, args: Args) -> Outcome {
    match args.command {
        Command::Check { file } => check(globals, file.as_deref()),
        Command::Simulate { files } => simulate::run(globals, &files),
        Command::Lockdown => order(globals, "lockdown", &Order::Lockdown),
        Command::Release { person: Some(name), .. } => {
            let person = PersonId::new(&name)
                .map_err(|e| Failure::new(Code::Usage, e.name, e.rule, "see `cardea people list`"))?;
            order(globals, "release", &Order::Person(person))
        }
        Command::Release { lockdown: true, .. } => order(globals, "release", &Order::EndLockdown),
        Command::Release { clock: true, .. } => order(globals, "release", &Order::Clock),
        Command::Release { .. } => order(globals, "release", &Order::Door),
    }
}

fn check(globals: &Globals, file: Option<&Path>) -> Outcome {
    let faults = match file {
        Some(file) => read_rules(file).err(),
        None => crate::config::load(&super::config_inputs(globals)).err(),
    };
    let list: Vec<_> = faults.iter().flatten().collect();
    let failure = faults.as_ref().map(failure);
    let mut text = String::new();
    if globals.json {
        let mut object = json!({"ok": list.is_empty(), "faults": list});
        if let Some(failure) = &failure {
            object["error"] = failure.json();
        }
        text = format!("{object}\n");
    } else if list.is_empty() {
        text += "ok\n";
    } else {
        text.extend(list.iter().map(|f| format!("{f}\n")));
    }
    print(&text)?;
    let Some(failure) = failure else { return Ok(Exit::Done) };
    eprintln!("{failure}");
    Ok(Exit::Reported(failure.code))
}

/// Leaves an order for the daemon, which takes it within a second, or when it starts.
fn order(globals: &Globals, command: &str, order: &Order) -> Outcome {
    let dir = state::dir(globals)?;
    // First, so that a journal that cannot be written stops it.
    let mut log = Log::open(globals)?;
    leave_order(&dir, order)?;
    let id = uuid_v7(SystemClock.wall().unix_ms, random().map_err(state::io)?).to_string();
    let record = log.append(Event::CommandAccepted { id, command: command.into(), via: "cli".into() })?;
    let what = order.text().replace('\t', " ");
    let text = if globals.json {
        format!("{}\n", json!({"ok": true, "order": what, "seq": record.seq}))
    } else {
        format!("{command}: {what}; the daemon takes it within a second, or when it starts\n")
    };
    print(&text).map(|_| Exit::Done)
}

/// One line for all faults: `rules check` lists them.
fn failure(faults: &Faults) -> Failure {
    let failure = super::config_failure(faults);
    Failure { hint: failure.hint.replace("config check", "rules check"), ..failure }
}

/// The rules of a file.
fn book(file: &Path) -> Result<RuleBook, Failure> {
    read_rules(file).map_err(|faults| failure(&faults))
}

/// A moment: RFC 3339, or a reading of a clock on the wall of the rules' zone.
///
/// # Errors
/// It is neither.
pub(super) fn moment(subject: &str, text: &str, book: &RuleBook) -> Result<i64, Failure> {
    who_can::moment(text, book).ok_or_else(|| {
        let hint = "write 2026-11-23T08:30, or with an offset 2026-11-23T08:30+01:00";
        Failure::new(Code::Usage, subject, format!("`{text}` is no moment"), hint)
    })
}
