//! `cardea people receipt`: signed receipts of removals, listed and checked. A check needs the public key alone.

use super::state::{self, print};
use super::{Code, Exit, Failure, Globals, Outcome};
use crate::adapters::store::receipt::check;
use crate::schema::ids::PersonId;
use crate::schema::receipt::Receipt;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(clap::Subcommand, Debug)]
pub(super) enum Command {
    /// Every receipt that this terminal keeps, a line each.
    List,
    /// Checks a receipt's signature.
    Verify {
        /// A file with one receipt, as `people remove` prints it.
        file: PathBuf,
        /// The terminal's public key, in hex or as a PEM file; else the one of this state directory.
        #[arg(long, value_name = "HEX|FILE")]
        key: Option<String>,
        /// Also checks that it is this person's.
        #[arg(long, value_name = "NAME")]
        person: Option<String>,
    },
}

pub(super) fn run(globals: &Globals, command: Command) -> Outcome {
    match command {
        Command::List => list(&state::dir(globals)?),
        Command::Verify { file, key, person } => verify(globals, &file, key.as_deref(), person.as_deref()),
    }
}

fn list(dir: &Path) -> Outcome {
    let home = dir.join("receipts");
    let unreadable = |e: std::io::Error| Failure::new(Code::Io, home.display().to_string(), e, "check --state");
    let mut files: Vec<PathBuf> = match std::fs::read_dir(&home) {
        Ok(entries) => entries.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>().map_err(unreadable)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(unreadable(e)),
    };
    files.retain(|f| f.extension().is_some_and(|e| e == "json"));
    let mut all = files.iter().map(|f| read(f)).collect::<Result<Vec<_>, _>>()?;
    all.sort_by_key(|r| r.seq);
    print(&all.iter().map(|r| format!("{}\n", r.text())).collect::<String>()).map(|_| Exit::Done)
}

fn read(file: &Path) -> Result<Receipt, Failure> {
    let bad = |e: &dyn std::fmt::Display| {
        let hint = "give a file with one receipt, as `cardea people remove` prints it";
        Failure::new(Code::BadInput, file.display().to_string(), e.to_string(), hint)
    };
    let text = std::fs::read_to_string(file).map_err(|e| bad(&e))?;
    serde_json::from_str(text.trim()).map_err(|e| bad(&e))
}

fn verify(globals: &Globals, file: &Path, key: Option<&str>, person: Option<&str>) -> Outcome {
    let receipt = read(file)?;
    let person = person.map(PersonId::new).transpose();
    let person = person.map_err(|e| Failure::new(Code::Usage, e.name, e.rule, "give the name as it was enrolled"))?;
    let key = match key {
        Some(given) => super::events::key(given)?,
        None => crate::adapters::store::DeviceKey::existing(&state::dir(globals)?)?.public(),
    };
    let cause = check(&receipt, &key, person.as_ref()).err();
    let ok = cause.is_none();
    let text = if globals.json {
        json!({"ok": ok, "seq": receipt.seq, "at": receipt.at, "cause": cause}).to_string()
    } else {
        match &cause {
            None => format!("a person was removed on {}; record {} of {}", receipt.at, receipt.seq, receipt.device),
            Some(cause) => format!("not to be believed: {cause}"),
        }
    };
    print(&format!("{text}\n"))?;
    Ok(if ok { Exit::Done } else { Exit::Negative })
}
