//! `cardea run`: the daemon.

use super::{Code, Exit, Failure, Globals, Outcome, dev};
use crate::base::stop::{Knock, Stop};
use crate::runtime::daemon::{self, Options};
use crate::runtime::logging;
use crate::runtime::settings::Settings;

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
    let settings = Settings::new(super::config_inputs(globals));
    super::pad::check_site(&config)?;
    logging::start(&config.log().level);
    let stop = Stop::default();
    let again = if args.dev { Some(dev::begin(globals, &config, &stop)?) } else { None };
    let reload = Knock::default();
    on_signals(&stop, &reload)?;
    daemon::run(&config, &stop, Options { lines: globals.json, challenge: None, reload, settings: Some(settings) })
        .map_err(Failure::unavailable)?;
    match again {
        Some(again) => again.if_something_changed(),
        None => Ok(Exit::Done),
    }
}

/// SIGTERM and SIGINT ask for the end, in order; SIGHUP for the rules file to be read anew.
pub(super) fn on_signals(stop: &Stop, reload: &Knock) -> Result<(), Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let failed = |e: std::io::Error| Failure::new(Code::Internal, "signals", e, "start again");
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(failed)?;
    let (stop, reload) = (stop.clone(), reload.clone());
    let listen = move || {
        for signal in signals.forever() {
            match signal {
                SIGHUP => reload.knock(),
                _ => return stop.request(),
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen).map_err(failed)?;
    Ok(())
}
