//! `cardea prompts`: contact sheets of all screens, with `--all` each screen as a picture of its own, and with `--show` the
//! screens on the outputs that are configured, for whoever has just wired them.

use super::{Code, Exit, Failure, Globals, Outcome, load_config};
use crate::adapters::prompt;
use crate::adapters::prompt::panel::sheet;
use crate::config::LANGUAGES;
use crate::domain::screen::Screen;
use crate::ports::PortError;
use crate::runtime::logging;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(clap::Args, Debug)]
#[group(required = true, multiple = true)]
pub struct Args {
    /// Directory for the pictures; made if absent.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Writes every screen as SIZE/LANGUAGE/NAME.png too.
    #[arg(long, requires = "out")]
    all: bool,
    /// Shows these screens, or all without a name, on the configured display, ring, lamps and buzzer.
    #[arg(long, value_name = "NAME", num_args = 0.., value_delimiter = ',')]
    show: Option<Vec<String>>,
    /// How long each is shown.
    #[arg(long, value_name = "MS", default_value_t = 3000, requires = "show", value_parser = clap::value_parser!(u64).range(200..=600_000))]
    each_ms: u64,
}

pub fn run(globals: &Globals, args: Args) -> Outcome {
    let shown = args.show.as_ref().map_or(Ok(0), |names| show(globals, names, Duration::from_millis(args.each_ms)))?;
    let written = args.out.as_ref().map_or(Ok(0), |dir| pictures(dir, args.all))?;
    if globals.json {
        println!("{}", json!({"out": args.out, "pictures": written, "shown": shown}));
    } else if let Some(dir) = &args.out {
        println!("{written} pictures in {}", dir.display());
    }
    Ok(Exit::Done)
}

/// Shows screens one after another. An output that is not there is logged, as it would be at the door.
fn show(globals: &Globals, names: &[String], each: Duration) -> Result<usize, Failure> {
    let all = sheet::screens();
    let plain = || all.iter().filter(|(name, _)| !name.contains('-')).cloned().collect();
    let chosen = |name: &String| {
        all.iter().find(|(n, _)| n == name).cloned().ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(|(n, _)| n.as_str()).filter(|n| !n.contains('-')).collect();
            let hint = format!("one of: {}; most also with advice, as looking-come_closer", known.join(", "));
            Failure::new(Code::Usage, "--show", format!("there is no screen `{name}`"), hint)
        })
    };
    let screens: Vec<(String, Screen)> =
        if names.is_empty() { plain() } else { names.iter().map(chosen).collect::<Result<_, _>>()? };
    let config = load_config(globals)?;
    logging::start(&config.log().level);
    let mut prompt = prompt::open(config.prompt()).map_err(failure)?;
    for (name, screen) in &screens {
        if !globals.json {
            println!("{name}");
        }
        prompt.show(screen).map_err(failure)?;
        std::thread::sleep(each);
    }
    Ok(screens.len())
}

fn pictures(out: &Path, all: bool) -> Result<usize, Failure> {
    make(out)?;
    let mut written = 0;
    for size in sheet::SIZES {
        let (width, height) = size.pixels();
        let name = format!("{width}x{height}");
        sheet::write(&sheet::sheet(size), &out.join(format!("{name}.png"))).map_err(failure)?;
        written += 1;
        for (column, language) in LANGUAGES.iter().enumerate().filter(|_| all) {
            let dir = out.join(&name).join(language);
            make(&dir)?;
            for (screen_name, screen) in sheet::screens() {
                let (picture, _) = sheet::picture(&screen, column, size, Duration::ZERO);
                sheet::write(&picture, &dir.join(format!("{screen_name}.png"))).map_err(failure)?;
                written += 1;
            }
        }
    }
    Ok(written)
}

fn make(dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(|e| {
        Failure::new(Code::Io, dir.display().to_string(), e, "choose a directory that can be made with --out")
    })
}

fn failure(e: PortError) -> Failure {
    Failure::new(Code::Io, e.what, e.cause, e.hint)
}
