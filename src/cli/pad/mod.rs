//! `cardea pad`: what a site measures and trains against attacks with captures of its own. Both only refuse more.

mod calibrate;
mod place;
mod split;
mod train;

use super::eval::presentations::{self, Labelled, Presentation};
use super::{Code, Failure, Globals, Outcome};
use crate::config::Config;
use crate::runtime::engine;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Proposes thresholds for the pack's networks, never looser than the pack's.
    Calibrate(calibrate::Args),
    /// Trains a head on the frozen networks: one more veto, installed only if it beats the rule in use.
    Train(train::Args),
}

pub fn run(globals: &Globals, args: Args) -> Outcome {
    match args.what {
        What::Calibrate(a) => calibrate::run(globals, &a),
        What::Train(a) => train::run(globals, &a),
    }
}

/// Stops a command that would rely on a faulty file of `cardea pad`, before any network is loaded.
///
/// # Errors
/// Exit 78, naming file and key.
pub(super) fn check_site(config: &Config) -> Result<(), Failure> {
    engine::site(config).map(|_| ()).map_err(|e| Failure::new(Code::Config, e.what, e.cause, e.hint))
}

/// Where the captures are.
#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
struct Source {
    /// Directory that `people collect` filled, or with live/ (or real/) and spoof/.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// CSV with file, label, and if possible person and source, as `eval pad` reads it.
    #[arg(long, value_name = "CSV", requires = "root")]
    labels: Option<PathBuf>,
}

/// `--root` goes with `--labels` only.
#[derive(clap::Args, Debug)]
struct Captures {
    #[command(flatten)]
    source: Source,
    /// Directory that the files of --labels are below.
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    root: Option<PathBuf>,
}

impl Captures {
    /// What is labelled, and the directory that it is below.
    fn read(&self) -> Result<(PathBuf, Vec<Labelled>), Failure> {
        if let (Some(labels), Some(root)) = (&self.source.labels, &self.root) {
            return Ok((root.clone(), presentations::of_table(labels)?));
        }
        let dir = self.source.data.as_deref().unwrap_or(Path::new("."));
        let table = dir.join("labels.csv");
        let all = if table.is_file() { presentations::of_table(&table)? } else { presentations::of_folders(dir)? };
        Ok((dir.to_owned(), all))
    }
}

/// How many captures of each kind can be judged at all.
fn decided(all: &[Presentation]) -> (usize, usize) {
    let of = |live: bool| all.iter().filter(|p| p.is_judged() && p.is_live() == live).count();
    (of(true), of(false))
}

/// What there is too little of, as sentences.
fn missing(wanted: &[(&str, usize, usize)]) -> Vec<String> {
    let short = wanted.iter().filter(|(_, have, least)| have < least);
    short.map(|(what, have, least)| format!("{have} {what} of at least {least}")).collect()
}

/// The answer of a command that cannot decide: exit 2 and what is missing.
fn refuse(globals: &Globals, what: &str, missing: &[String]) -> Outcome {
    let hint = "take more with `cardea people collect`";
    let line = format!("{what}: too few captures that can be judged: {}; {hint}", missing.join(", "));
    eprintln!("error: {line}");
    if globals.json {
        super::state::print(&format!("{}\n", json!({"done": false, "missing": missing, "hint": hint})))?;
    }
    Ok(super::Exit::NoDecision)
}

/// Groups as JSON.
fn rows(groups: &[presentations::Group]) -> Vec<Value> {
    groups.iter().map(presentations::Group::json).collect()
}

/// Groups as lines for people.
fn lines(groups: &[presentations::Group]) -> String {
    groups.iter().map(presentations::Group::line).collect()
}
