//! `cardea eval`: error rates on labelled data, by the product's own pipeline and visit.

mod actions;
mod attacks;
mod clips;
mod curves;
mod faces;
mod gallery;
mod labels;
mod light;
mod pad;
pub(super) mod presentations;
pub(super) mod stats;
mod turns;

use super::private::Existing;
use super::{Code, Exit, Failure, Globals, Outcome};
use crate::adapters::system::SystemClock;
use crate::base::time::Clock;
use crate::config::Config;
use crate::runtime::engine::Engine;
use crate::runtime::evaluations;
use clap::Subcommand;

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
    /// Pack instead of the configured one.
    #[arg(long, global = true)]
    pack: Option<String>,
    /// auto, fp32 or int8 instead of the configured precision.
    #[arg(long, global = true)]
    precision: Option<String>,
    /// Keeps the result of faces, gallery or pad for the console's page of models: `eval/NAME.json` of the state directory.
    #[arg(long, global = true)]
    keep: bool,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Verification: false non-match rate at false match rates.
    Faces(faces::Args),
    /// Identification: who is missed, who is let in, at the default threshold.
    Gallery(gallery::Args),
    /// Attack presentations accepted and live ones refused, by source and species.
    Pad(pad::Args),
    /// Actions on the signal stream, and whole visits on clips.
    Clips(clips::Args),
    /// Drawn attacks with photographs of enrolled people, gate by gate.
    Attacks(attacks::Args),
    /// The light handshake, simulated on the skin of live clips.
    Light(light::Args),
}

pub fn run(globals: &Globals, args: Args) -> Outcome {
    let name = args.what.name();
    if args.keep && !evaluations::KINDS.contains(&name) {
        let hint = format!("the console shows {}", evaluations::KINDS.join(", "));
        return Err(Failure::new(Code::Usage, "--keep", format!("is not for {name}"), hint));
    }
    let (config, engine) = open(globals, args.pack.as_deref(), args.precision.as_deref())?;
    let pack = config.models().pack.clone();
    let report = match args.what {
        What::Faces(a) => faces::run(&config, engine, &a),
        What::Gallery(a) => gallery::run(&config, engine, &a),
        What::Pad(a) => pad::run(engine, &a),
        What::Clips(a) => clips::run(&config, engine, &a),
        What::Attacks(a) => attacks::run(&config, engine, &a),
        What::Light(a) => light::run(engine, &a),
    }?;
    if args.keep {
        let dir = super::state::dir(globals)?.join(evaluations::DIR);
        super::private::dir(&dir)?;
        let text = evaluations::text(name, SystemClock.wall().unix_ms, &pack, &report);
        super::private::write(&dir.join(format!("{name}.json")), text.as_bytes(), Existing::Replace)?;
    }
    // As it is; without `--json` indented for people.
    super::state::print(&if globals.json { format!("{report}\n") } else { format!("{report:#}\n") })?;
    Ok(Exit::Done)
}

impl What {
    /// The command's own name.
    fn name(&self) -> &'static str {
        match self {
            What::Faces(_) => "faces",
            What::Gallery(_) => "gallery",
            What::Pad(_) => "pad",
            What::Clips(_) => "clips",
            What::Attacks(_) => "attacks",
            What::Light(_) => "light",
        }
    }
}

/// Configuration and networks, with pack and precision of the command line over those of the file.
pub(in crate::cli) fn open(
    globals: &Globals,
    pack: Option<&str>,
    precision: Option<&str>,
) -> Result<(Config, Engine), Failure> {
    let mut globals = globals.clone();
    let set = [("models.pack", pack), ("models.precision", precision)];
    globals.set.extend(set.into_iter().filter_map(|(k, v)| v.map(|v| format!("{k}={v:?}"))));
    let config = super::load_config(&globals)?;
    super::pad::check_site(&config)?;
    let engine = Engine::open(&config).map_err(Failure::unavailable)?;
    engine.site().ignored.iter().for_each(|why| eprintln!("error: {why}"));
    Ok((config, engine))
}

/// Tells people how far it has got, on standard error and only on a terminal.
fn progress(total: usize, what: &str) -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new(total as u64);
    let style = indicatif::ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}
