//! `cardea completions` and `cardea man`: made from the very commands, so that they cannot differ from them.

use super::{Cli, Code, Exit, Failure, Outcome};
use clap::CommandFactory;
use std::io::Write;
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub struct Completions {
    /// bash, zsh, fish, elvish or powershell.
    shell: clap_complete::Shell,
}

#[derive(clap::Args, Debug)]
pub struct Man {
    /// Directory for cardea.1 and a page for each command; it is made.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub fn completions(args: &Completions) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cardea", &mut script);
    let written = std::io::stdout().write_all(&script);
    written.map_err(|e| Failure::new(Code::Io, "standard output", e, "let something read it"))?;
    Ok(Exit::Done)
}

pub fn man(args: &Man) -> Outcome {
    let made = std::fs::create_dir_all(&args.out).and_then(|()| clap_mangen::generate_to(Cli::command(), &args.out));
    made.map_err(|e| {
        Failure::new(Code::Io, args.out.display().to_string(), e, "name a directory that can be written")
    })?;
    Ok(Exit::Done)
}
