//! `cardea run`: the daemon.

use super::{Code, Exit, Failure, Globals, Outcome};
use crate::adapters::web::house::SettingRow;
use crate::base::stop::Stop;
use crate::config::Entry;
use crate::runtime::daemon::{self, Options};
use crate::runtime::logging;

#[derive(clap::Args, Debug)]
pub struct Args {}

pub fn run(globals: &Globals, _args: Args) -> Outcome {
    let config = super::load_config(globals)?;
    super::pad::check_site(&config)?;
    logging::start(&config.log().level);
    let stop = Stop::default();
    stop_on_signals(&stop)?;
    daemon::run(&config, &stop, Options { lines: globals.json, challenge: None, settings: settings(globals) })
        .map_err(Failure::unavailable)?;
    Ok(Exit::Done)
}

/// The configuration for the console's page of settings. A path to a secret is shown, no secret stands in it.
fn settings(globals: &Globals) -> Vec<SettingRow> {
    let merged = crate::config::merge(&super::config_inputs(globals));
    let row = |e: Entry| SettingRow {
        value: e.value.map(|v| v.to_string()).unwrap_or_default(),
        origin: e.origin.to_string(),
        description: crate::config::description(&e.key).to_owned(),
        key: e.key,
    };
    crate::config::entries(&merged).into_iter().map(row).collect()
}

/// SIGTERM and SIGINT ask for the end, in order.
pub(super) fn stop_on_signals(stop: &Stop) -> Result<(), Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let failed = |e: std::io::Error| Failure::new(Code::Internal, "signals", e, "start again");
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT]).map_err(failed)?;
    let stop = stop.clone();
    let listen = move || {
        if signals.forever().next().is_some() {
            stop.request();
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen).map_err(failed)?;
    Ok(())
}
