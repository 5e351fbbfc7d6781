//! `cardea site`: keys of a site, how its directory stands here, and what a terminal that signs may say.

use super::state::{self, Log, print};
use super::{Code, Exit, Failure, Globals, Outcome, load_config};
use crate::adapters::site::{generate, public_of};
use crate::adapters::store::SiteFile;
use crate::adapters::system::{SystemClock, random, uuid_v7};
use crate::base::time::Clock;
use crate::config::{Config, read_rules};
use crate::domain::directory::State;
use crate::runtime::site::{SiteOrder, leave_order, look};
use crate::schema::directory::{ENTRY_BYTES, RULES};
use crate::schema::event::Event;
use crate::schema::ids::PersonId;
use serde_json::json;
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Makes a key in a new file: the site's own, or with --signer that of a terminal that may enrol for all.
    Keygen {
        /// The file; it must not exist yet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// A signer's key: prints the line for site.signers.
        #[arg(long, value_name = "LABEL")]
        signer: Option<String>,
    },
    /// What is here of the site's directory; exit code 1 while something is missing.
    Status,
    /// Takes somebody from all doors of the site, enrolled here or not. At a terminal that signs.
    Revoke { person: String },
    /// Publishes a rules file for all doors that take the site's rules. At a terminal that signs.
    Rules { file: PathBuf },
}

pub fn run(globals: &Globals, args: Args) -> Outcome {
    match args.command {
        Command::Keygen { out, signer } => keygen(globals, &out, signer.as_deref()),
        Command::Status => status(globals),
        Command::Revoke { person } => {
            let id = PersonId::new(&person).map_err(|e| Failure::new(Code::Usage, e.name, e.rule, "give a name"))?;
            order(globals, "revoke", &SiteOrder::Revoke(id))
        }
        Command::Rules { file } => {
            // All faults are told by `rules check`; here the first stops it.
            read_rules(&file).map_err(|faults| super::config_failure(&faults))?;
            let subject = || file.display().to_string();
            let text = std::fs::read_to_string(&file)
                .map_err(|e| Failure::new(Code::Io, subject(), e, "check the path and who may read it"))?;
            if text.len() > ENTRY_BYTES / 2 {
                let what = format!("longer than {} KiB", ENTRY_BYTES / 2048);
                return Err(Failure::new(Code::BadInput, subject(), what, "take comments out"));
            }
            order(globals, "rules", &SiteOrder::Rules(text))
        }
    }
}

fn keygen(globals: &Globals, out: &std::path::Path, signer: Option<&str>) -> Outcome {
    if let Some(label) = signer.filter(|l| !crate::config::is_site_name(l)) {
        return Err(Failure::new(
            Code::Usage,
            "--signer",
            format!("`{label}` is no label"),
            "use 1 to 32 of a-z 0-9 _ -",
        ));
    }
    let key = generate(out).map_err(|e| Failure::new(Code::Io, e.what, e.cause, e.hint))?;
    let line = match signer {
        None => None,
        Some(label) => Some(format!("{label}:{}", public_of(&key).map_err(state::io)?)),
    };
    let text = match (globals.json, &line) {
        (true, _) => format!("{}\n", json!({"file": out, "signer": line})),
        (false, Some(line)) => {
            format!("{} is the signer's key; add to site.signers at every terminal:\n{line}\n", out.display())
        }
        (false, None) => {
            format!("{} is the site's key; carry the same to every terminal of the site\n", out.display())
        }
    };
    print(&text).map(|_| Exit::Done)
}

fn config_of_site(globals: &Globals) -> Result<Config, Failure> {
    let config = load_config(globals)?;
    if config.site().is_none() {
        let hint = "set site.name, site.signers and site.key_file (docs/site.md)";
        return Err(Failure::new(Code::Config, "site.name", "this terminal belongs to no site", hint));
    }
    Ok(config)
}

fn status(globals: &Globals) -> Outcome {
    let config = config_of_site(globals)?;
    let dir = state::dir(globals)?;
    if !SiteFile::exists(&dir) {
        let subject = dir.join("site.db").display().to_string();
        return Err(Failure::new(
            Code::Io,
            subject,
            "there is nothing of the site yet",
            "start the daemon, check --state",
        ));
    }
    let replica = look(&config, &dir).map_err(state::io)?;
    let replica = replica.ok_or_else(|| Failure::new(Code::Config, "site.name", "is not set", "set it"))?;
    let standings = replica.standings();
    let of = |present: bool| {
        let is = |w: &crate::domain::directory::Winner| matches!(w.item.state, State::Present(_)) == present;
        replica.winners().iter().filter(|(k, w)| *k != RULES && is(w)).count()
    };
    let whole = standings.iter().all(|s| s.version == s.newest);
    let (people, revoked, rules) = (of(true), of(false), replica.winners().contains_key(RULES));
    let site = config.site().as_ref().map(|s| s.name.clone()).unwrap_or_default();
    let text = if globals.json {
        let object = json!({"ok": whole, "site": site, "people": people, "revoked": revoked, "rules": rules,
            "signs": replica.signs(), "books": standings});
        format!("{object}\n")
    } else {
        let version = |v: Option<u64>| v.map_or_else(|| "-".to_owned(), |v| v.to_string());
        let mut text =
            format!("{site}: {people} people, {revoked} revoked, {}\n", if rules { "rules" } else { "no rules" });
        for s in &standings {
            let own = if s.own { ", this terminal" } else { "" };
            let missing = if s.missing > 0 { format!(", {} parts missing", s.missing) } else { String::new() };
            text += &format!(
                "{:<16} version {} of {}, {} entries{missing}{own}\n",
                s.label,
                version(s.version),
                version(s.newest),
                s.entries
            );
        }
        text
    };
    print(&text)?;
    Ok(if whole { Exit::Done } else { Exit::Negative })
}

/// Leaves an order for the daemon, which signs it as soon as it knows what the broker has of its book.
fn order(globals: &Globals, what: &str, order: &SiteOrder) -> Outcome {
    let config = config_of_site(globals)?;
    let dir = state::dir(globals)?;
    let signs = look(&config, &dir).map_err(state::io)?.is_some_and(|r| r.signs());
    if !signs {
        let hint = "do it at a terminal with site.signer_key_file";
        return Err(Failure::new(Code::Permission, "site.signer_key_file", "this terminal does not sign", hint));
    }
    // First, so that a journal that cannot be written stops it.
    let mut log = Log::open(globals)?;
    leave_order(&dir, order)?;
    let id = uuid_v7(SystemClock.wall().unix_ms, random().map_err(state::io)?).to_string();
    let command = format!("site {what}");
    let record = log.append(Event::CommandAccepted { id, command: command.clone(), via: "cli".into() })?;
    let text = if globals.json {
        format!("{}\n", json!({"ok": true, "order": what, "seq": record.seq}))
    } else {
        format!("{command}: the daemon signs it within a second, or when it starts and reaches the broker\n")
    };
    print(&text).map(|_| Exit::Done)
}
