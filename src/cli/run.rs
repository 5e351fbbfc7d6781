//! `cardea run`: the daemon.

use super::{Code, Exit, Failure, Globals, Outcome, dev};
use crate::adapters::web::house::SettingRow;
use crate::base::stop::Stop;
use crate::config::Entry;
use crate::runtime::daemon::{self, Options};
use crate::runtime::logging;

#[derive(clap::Args, Debug, Default)]
pub struct Args {
    /// For development, with `insecure.dev = true`: the easiest values that there are, a small picture, this machine only, no
    /// real relay; starts again when its configuration or its program changes.
    #[arg(long)]
    dev: bool,
}

pub fn run(globals: &Globals, args: Args) -> Outcome {
    let loose;
    let globals = if args.dev {
        loose = dev::globals(globals);
        &loose
    } else {
        globals
    };
    let config = super::load_config(globals)?;
    super::pad::check_site(&config)?;
    logging::start(&config.log().level);
    let stop = Stop::default();
    let again = if args.dev { Some(dev::begin(globals, &config, &stop)?) } else { None };
    stop_on_signals(&stop)?;
    daemon::run(&config, &stop, Options { lines: globals.json, challenge: None, settings: settings(globals) })
        .map_err(Failure::unavailable)?;
    match again {
        Some(again) => again.if_something_changed(),
        None => Ok(Exit::Done),
    }
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
