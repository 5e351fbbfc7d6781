//! `cardea cert`: the certificate of the console.

use super::state::{self, print};
use super::{Code, Exit, Failure, Globals, Outcome, load_config};
use crate::adapters::web::tls::{self, CertInfo, Place};
use clap::Subcommand;

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Clone, Copy, Debug)]
enum What {
    /// Names, validity and fingerprint, to be compared with what a browser shows.
    Show,
    /// Replaces the self-signed certificate and its key; a running daemon takes the new one within a minute.
    Renew,
}

pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let config = load_config(globals)?;
    let place = Place::of(config.web(), &state::dir(globals)?);
    let found = match args.what {
        What::Show => tls::show(&place),
        What::Renew => tls::renew(&place, &config.web().names),
    };
    let info = found.map_err(|e| Failure::new(Code::Io, e.what, e.cause, e.hint))?;
    let text = if globals.json { format!("{}\n", serde_json::json!(info)) } else { lines(&info) };
    print(&text)?;
    Ok(if info.days_left < 0 { Exit::Negative } else { Exit::Done })
}

fn lines(c: &CertInfo) -> String {
    let kind = if c.self_signed { "self-signed" } else { "your own" };
    format!(
        "subject      {} ({kind})\nnames        {}\nvalid        {} to {} ({} days left)\nfingerprint  {}\n",
        c.subject,
        c.names.join(" "),
        c.not_before,
        c.not_after,
        c.days_left,
        c.fingerprint
    )
}
