//! `cardea config check`, `show`, `schema`, `example`.

use super::{Code, Exit, Failure, Globals, Outcome, config_failure, config_inputs};
use crate::config::{self, Entry, Inputs};
use serde_json::json;

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Lists everything that is wrong; exit code 78 if anything is.
    Check,
    /// Prints all layers merged.
    Show {
        /// Adds where each value came from.
        #[arg(long)]
        origin: bool,
    },
    /// Prints the JSON schema of the file.
    Schema,
    /// Prints a file with every key, its meaning, range and default.
    Example,
}

pub fn run(globals: &Globals, args: Args) -> Outcome {
    match args.command {
        Command::Check => check(&config_inputs(globals), globals.json),
        Command::Show { origin } => show(&config_inputs(globals), globals.json, origin),
        Command::Schema => {
            println!("{:#}", config::schema());
            Ok(Exit::Done)
        }
        Command::Example => {
            print!("{}", config::example());
            Ok(Exit::Done)
        }
    }
}

/// One line a fault on standard output, or one object with all of them.
fn check(inputs: &Inputs, as_json: bool) -> Outcome {
    let loaded = config::load(inputs);
    let faults = loaded.as_ref().err();
    let failure = faults.map(config_failure);
    if as_json {
        let list: Vec<_> = faults.into_iter().flatten().collect();
        let mut object = json!({ "ok": list.is_empty(), "faults": list });
        if let Some(failure) = &failure {
            object["error"] = failure.json();
        }
        println!("{object}");
    } else if let Ok(config) = &loaded {
        println!("ok");
        for (key, what, hint) in config::warnings(config) {
            eprintln!("warning: {key}: {what}; {hint}");
        }
    } else {
        faults.into_iter().flatten().for_each(|fault| println!("{fault}"));
    }
    let Some(failure) = failure else { return Ok(Exit::Done) };
    eprintln!("{failure}");
    Ok(Exit::Reported(failure.code))
}

/// What is in force; nothing is while something is at fault.
fn show(inputs: &Inputs, as_json: bool, origin: bool) -> Outcome {
    config::load(inputs).map_err(|faults| config_failure(&faults))?;
    let entries = config::entries(&config::merge(inputs));
    if as_json {
        println!("{}", shown_json(&entries, origin)?);
    } else {
        print!("{}", shown_toml(&entries, origin));
    }
    Ok(Exit::Done)
}

fn shown_json(entries: &[Entry], origin: bool) -> Result<serde_json::Value, Failure> {
    let mut rows = serde_json::Map::new();
    for entry in entries {
        let value = serde_json::to_value(&entry.value)
            .map_err(|e| Failure::new(Code::Internal, &entry.key, e, "please report this"))?;
        let row = if origin {
            json!({ "value": value, "file": entry.origin.place(), "line": entry.origin.line() })
        } else {
            value
        };
        rows.insert(entry.key.clone(), row);
    }
    Ok(rows.into())
}

fn shown_toml(entries: &[Entry], origin: bool) -> String {
    let mut text = String::new();
    let mut section = "";
    for entry in entries {
        if entry.section() != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            section = entry.section();
            text.push_str(&format!("{gap}[{section}]\n"));
        }
        let line = match &entry.value {
            Some(value) => format!("{} = {value}", entry.name()),
            None => format!("# {} is not set", entry.name()),
        };
        let from = if origin && entry.value.is_some() { format!("  # {}", entry.origin) } else { String::new() };
        text.push_str(&format!("{line}{from}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries_of(set: &str) -> Vec<Entry> {
        let set = vec![set.to_owned()];
        config::entries(&config::merge(&Inputs { file: Some("config/cardea.toml".into()), set, ..Inputs::default() }))
    }

    #[test]
    fn what_is_shown_is_a_configuration_again() {
        let text = shown_toml(&entries_of("door.relay.persist=true"), true);
        assert!(text.contains("persist = true  # --set\n"), "{text}");
        assert!(text.contains("hold_ms = 3000  # built-in default\n"), "{text}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shown.toml");
        std::fs::write(&path, &text).unwrap();
        let loaded = config::load(&Inputs { file: Some(path), ..Inputs::default() }).unwrap();
        assert!(loaded.door().relay.persist);
    }

    #[test]
    fn json_has_a_row_a_key_with_its_origin() {
        let rows = shown_json(&entries_of("door.hold_ms=700"), true).unwrap();
        assert_eq!(rows["door.hold_ms"], json!({ "value": 700, "file": "--set", "line": null }));
        assert_eq!(rows["mqtt.username"]["value"], json!(null));
    }
}
