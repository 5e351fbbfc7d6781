//! `cardea eval pad`: by source and species, how many attacks are taken for live and how many live ones for attacks.

use super::presentations::{Group, groups, look_at, of_table};
use crate::cli::Failure;
use crate::runtime::engine::Engine;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// CSV with file, label, person; label is live or the species of an attack.
    #[arg(long, value_name = "CSV")]
    labels: PathBuf,
    /// Directory that the files are below.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
}

pub fn run(mut engine: Engine, args: &Args) -> Result<Value, Failure> {
    let rules = engine.pad_rules(0.0).map_err(Failure::unavailable)?;
    let all = look_at(&mut engine, &args.root, of_table(&args.labels)?)?;
    let groups = groups(&all, |p| p.taken_by(&rules));
    let worst = Group::worst(&groups);
    let rows: Vec<Value> = groups.iter().map(Group::json).collect();
    let site = engine.site();
    let report = json!({"groups": rows, "worst_species_apcer": worst.as_ref().map(|w| w.0),
                        "worst_species": worst.map(|w| w.1), "passive_pad": !rules.is_empty(),
                        "precision": engine.precision_name(),
                        "site": {"calibrated": site.calibrated.iter().map(|c| &c.name).collect::<Vec<_>>(),
                                 "head": site.head.as_ref().map(|h| &h.sha256), "ignored": site.ignored}});
    Ok(report)
}
