//! `cardea mqtt`: what is at the broker.

use super::{Exit, Failure, Globals, Outcome, load_config};
use crate::adapters::mqtt::forget;
use clap::Subcommand;

/// Looks after what the broker keeps of this terminal.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Takes the announcement to Home Assistant and all retained states away. Stop the daemon first.
    Remove,
}

pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let Action::Remove = args.action;
    let config = load_config(globals)?;
    let topics = forget(config.mqtt(), &config.device().name).map_err(Failure::unavailable)?;
    if globals.json {
        println!("{}", serde_json::json!({"removed": topics}));
    } else {
        topics.iter().for_each(|t| println!("removed {t}"));
    }
    Ok(Exit::Done)
}
