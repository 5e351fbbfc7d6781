//! `cardea prompts`: contact sheets of all screens, and with `--all` each screen as a picture of its own.

use super::{Code, Exit, Failure, Globals, Outcome};
use crate::adapters::prompt::panel::sheet;
use crate::config::LANGUAGES;
use crate::ports::PortError;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Directory for the pictures; made if absent.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Writes every screen as SIZE/LANGUAGE/NAME.png too.
    #[arg(long)]
    all: bool,
}

pub fn run(globals: &Globals, args: Args) -> Outcome {
    make(&args.out)?;
    let mut written = 0;
    for size in sheet::SIZES {
        let (width, height) = size.pixels();
        let name = format!("{width}x{height}");
        sheet::write(&sheet::sheet(size), &args.out.join(format!("{name}.png"))).map_err(failure)?;
        written += 1;
        for (column, language) in LANGUAGES.iter().enumerate().filter(|_| args.all) {
            let dir = args.out.join(&name).join(language);
            make(&dir)?;
            for (screen_name, screen) in sheet::screens() {
                let (picture, _) = sheet::picture(&screen, column, size, Duration::ZERO);
                sheet::write(&picture, &dir.join(format!("{screen_name}.png"))).map_err(failure)?;
                written += 1;
            }
        }
    }
    if globals.json {
        println!("{}", json!({"out": args.out, "pictures": written}));
    } else {
        println!("{written} pictures in {}", args.out.display());
    }
    Ok(Exit::Done)
}

fn make(dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(|e| {
        Failure::new(Code::Io, dir.display().to_string(), e, "choose a directory that can be made with --out")
    })
}

fn failure(e: PortError) -> Failure {
    Failure::new(Code::Io, e.what, e.cause, e.hint)
}
