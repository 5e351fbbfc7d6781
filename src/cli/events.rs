//! `cardea events`: reads and checks the journal. With `--json` a record is printed exactly as it is stored.

mod check;

pub(super) use check::key;

use super::state::{self, io, print};
use super::{Code, Exit, Failure, Globals, Outcome};
use crate::adapters::store::{SqliteJournal, Trouble};
use crate::ports::{Journal, Stored};
use crate::schema::head::SignedHead;
use clap::Subcommand;
use serde_json::{Map, Value, json};
use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Records, oldest first.
    List {
        /// Only records after this number.
        #[arg(long, default_value_t = 0, value_name = "SEQ")]
        after: u64,
        /// At most so many.
        #[arg(long, default_value_t = usize::MAX, hide_default_value = true, value_name = "N")]
        limit: usize,
        /// Only records of this type; `alarm.*` for all that begin so.
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
    },
    /// The newest records.
    Tail {
        /// How many.
        #[arg(long, default_value_t = 10, value_name = "N")]
        limit: usize,
        /// Goes on with those to come.
        #[arg(long)]
        follow: bool,
    },
    /// All records as JSON lines, checked on the way, to a new file or to standard output. With the file comes its signed
    /// head, FILE.head.
    Export { file: Option<PathBuf> },
    /// Checks every hash, number and link, and the signature of the head.
    Verify {
        /// A head that was kept elsewhere, as `log/head` over MQTT: finds an end that was cut off or rewritten.
        #[arg(long, value_name = "SEQ:SHA256", value_parser = head)]
        head: Option<(u64, String)>,
        /// The terminal's public key, as `events key` prints it, in hex or as a PEM file: for whoever has no terminal.
        #[arg(long, value_name = "HEX|FILE")]
        key: Option<String>,
        /// An export instead of the journal; FILE.head lies beside it.
        #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "head")]
        file: Option<PathBuf>,
    },
    /// The newest record's number and hash with the terminal's signature.
    Head,
    /// The public key that heads and receipts are checked with.
    Key,
}

/// Records read at once.
const PAGE: usize = 1000;
/// How often `--follow` looks.
const LOOK: Duration = Duration::from_millis(250);

pub fn run(globals: &Globals, args: Args) -> Outcome {
    // An export is checked where there is neither terminal nor configuration.
    if let Command::Verify { file: Some(file), key, .. } = &args.command {
        return check::export(globals, file, &check::key(key.as_deref().unwrap_or_default())?);
    }
    let dir = state::dir(globals)?;
    match args.command {
        Command::List { after, limit, kind } => match reader(&dir)? {
            Some(mut journal) => list(globals, &mut journal, after, limit, kind.as_deref()),
            None => Ok(Exit::Done),
        },
        Command::Tail { limit, follow } => tail(globals, &dir, limit, follow),
        Command::Export { file } => export(globals, &mut needed(&dir)?, file.as_deref()),
        Command::Verify { head, key, .. } => {
            let mut journal = needed(&dir)?;
            if key.is_some() {
                journal.trust(check::key(key.as_deref().unwrap_or_default())?);
            }
            verify(globals, &mut journal, head)
        }
        Command::Head => check::head(globals, &mut needed(&dir)?),
        Command::Key => check::print_key(globals, &dir),
    }
}

/// The journal, or `None` when nothing was ever recorded.
fn reader(dir: &Path) -> Result<Option<SqliteJournal>, Failure> {
    match SqliteJournal::open_reader(dir) {
        Ok(journal) => Ok(Some(journal)),
        Err(e) if e.trouble == Trouble::Missing => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn needed(dir: &Path) -> Result<SqliteJournal, Failure> {
    reader(dir)?.ok_or_else(|| {
        let file = dir.join("journal.db").display().to_string();
        Failure::new(Code::Io, file, "there is no journal", "check --state; the daemon makes one at its first start")
    })
}

fn list(
    globals: &Globals,
    journal: &mut SqliteJournal,
    mut after: u64,
    mut limit: usize,
    kind: Option<&str>,
) -> Outcome {
    while limit > 0 {
        let page = journal.after(after, PAGE).map_err(io)?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        let mut text = String::new();
        for stored in page.iter().filter(|s| kind.is_none_or(|k| is_of(s, k))).take(limit) {
            text += &line(globals, stored);
            limit -= 1;
        }
        if !print(&text)? {
            break;
        }
    }
    Ok(Exit::Done)
}

fn tail(globals: &Globals, dir: &Path, limit: usize, follow: bool) -> Outcome {
    let mut journal = reader(dir)?;
    let newest = match &mut journal {
        Some(j) => j.head().map_err(io)?.map_or(0, |(seq, _)| seq),
        None => 0,
    };
    let mut after = newest.saturating_sub(u64::try_from(limit).unwrap_or(u64::MAX));
    let mut seen = check::Seen::default();
    loop {
        if journal.is_none() {
            journal = reader(dir)?;
        }
        let mut page = Vec::new();
        if let Some(j) = &mut journal {
            // The head first: what is written meanwhile comes with the next page.
            let head = j.signed_head().map_err(io)?;
            page = j.after(after, PAGE).map_err(io)?;
            seen.take(&page, head.as_ref(), &j.public_key());
        }
        after = page.last().map_or(after, |s| s.seq);
        let text: String = page.iter().map(|s| line(globals, s)).collect();
        if !print(&text)? || seen.is_broken() || (page.is_empty() && !follow) {
            return Ok(seen.end());
        }
        if page.is_empty() {
            std::thread::sleep(LOOK);
        }
    }
}

fn export(globals: &Globals, journal: &mut SqliteJournal, file: Option<&Path>) -> Outcome {
    let head = journal.signed_head().map_err(io)?;
    let mut seen = check::Seen::default();
    let Some(path) = file else {
        let mut out = BufWriter::new(std::io::stdout().lock());
        match write_all(journal, &mut out, head.as_ref(), &mut seen) {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(Exit::Done),
            Err(e) => return Err(Failure::new(Code::Io, "standard output", e, "check where it goes")),
            Ok(_) => return Ok(seen.end()),
        }
    };
    let beside = check::head_of(path);
    let failed = |e: std::io::Error| {
        let hint = "give a file that does not exist yet, in a directory with space";
        Failure::new(Code::Io, path.display().to_string(), e, hint)
    };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let written = write_all(journal, &mut BufWriter::new(&file), head.as_ref(), &mut seen)
        .and_then(|n| file.sync_all().map(|()| n))
        .map_err(failed)
        .and_then(|n| {
            let text = head.as_ref().map(|h| format!("{}\n", h.text())).unwrap_or_default();
            super::private::write(&beside, text.as_bytes(), super::private::Existing::Refuse).map(|()| n)
        });
    match written {
        Ok(records) => {
            let text = if globals.json {
                json!({"file": path, "records": records, "head_file": beside, "head": head}).to_string()
            } else {
                format!("{records} records written to {}, their head to {}", path.display(), beside.display())
            };
            print(&format!("{text}\n"))?;
            Ok(seen.end())
        }
        Err(e) => {
            let _half_written = std::fs::remove_file(path);
            Err(e)
        }
    }
}

/// All records up to the head.
fn write_all(
    journal: &mut SqliteJournal,
    out: &mut impl Write,
    head: Option<&SignedHead>,
    seen: &mut check::Seen,
) -> std::io::Result<u64> {
    let key = journal.public_key();
    let upto = head.map_or(u64::MAX, |h| h.seq);
    let (mut after, mut records) = (0, 0);
    loop {
        let mut page = journal.after(after, PAGE).map_err(std::io::Error::other)?;
        page.retain(|s| s.seq <= upto);
        let Some(last) = page.last() else { break };
        after = last.seq;
        seen.take(&page, head, &key);
        for stored in &page {
            writeln!(out, "{}", stored.text)?;
            records += 1;
        }
    }
    out.flush()?;
    seen.whole(head, &key);
    Ok(records)
}

fn verify(globals: &Globals, journal: &mut SqliteJournal, head: Option<(u64, String)>) -> Outcome {
    let report = match head {
        Some((seq, hash)) => journal.verify_head(seq, &hash),
        None => journal.verify(),
    }
    .map_err(io)?;
    let signed = if report.first_bad_seq.is_none() { journal.signed_head().map_err(io)? } else { None };
    check::tell(globals, report, signed.as_ref())
}

/// One record as a line, newline included.
fn line(globals: &Globals, stored: &Stored) -> String {
    if globals.json {
        return format!("{}\n", stored.text);
    }
    match serde_json::from_str::<Map<String, Value>>(&stored.text) {
        Ok(record) => {
            let text = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or("?");
            let envelope = ["v", "device", "boot", "seq", "id", "time", "clock_synced", "uptime_ms", "type", "prev"];
            let rest: String = record
                .iter()
                .filter(|(k, _)| !envelope.contains(&k.as_str()))
                .map(|(k, v)| format!(" {k}={v}"))
                .collect();
            format!("{:>8}  {}  {}{rest}\n", stored.seq, text("time"), text("type"))
        }
        // A record that was tampered with is shown, escaped; `verify` says what is wrong.
        Err(_) => format!("{:>8}  ?  {:?}\n", stored.seq, stored.text),
    }
}

/// Whether the record is of that type; a star at the end stands for anything.
fn is_of(stored: &Stored, kind: &str) -> bool {
    let record: Option<Value> = serde_json::from_str(&stored.text).ok();
    let found = record.as_ref().and_then(|r| r.get("type")).and_then(Value::as_str).unwrap_or_default();
    match kind.strip_suffix('*') {
        Some(start) => found.starts_with(start),
        None => found == kind,
    }
}

fn head(text: &str) -> Result<(u64, String), String> {
    let parsed = text.split_once(':').and_then(|(seq, hash)| Some((seq.parse().ok()?, hash.to_ascii_lowercase())));
    parsed
        .filter(|(_, hash)| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
        .ok_or_else(|| "give it as 42:<64 hexadecimal digits>".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globals(json: bool) -> Globals {
        Globals { config: None, set: Vec::new(), state: None, json }
    }

    fn stored(text: &str) -> Stored {
        Stored { seq: 7, text: text.to_owned() }
    }

    #[test]
    fn a_record_is_printed_as_stored_or_as_a_readable_line() {
        let s = stored(r#"{"v":1,"seq":7,"time":"T","type":"alarm.disk","what":"a\u001b[31m","prev":"00"}"#);
        assert_eq!(line(&globals(true), &s), format!("{}\n", s.text));
        assert_eq!(line(&globals(false), &s), "       7  T  alarm.disk what=\"a\\u001b[31m\"\n");
        assert_eq!(line(&globals(false), &stored("\u{1b}[31m")), "       7  ?  \"\\u{1b}[31m\"\n");
    }

    #[test]
    fn a_type_is_matched_whole_or_by_its_beginning() {
        let s = stored(r#"{"type":"alarm.disk"}"#);
        for (kind, yes) in [("alarm.disk", true), ("alarm.*", true), ("*", true), ("alarm", false), ("system.*", false)]
        {
            assert_eq!(is_of(&s, kind), yes, "{kind}");
        }
    }

    #[test]
    fn a_head_is_a_number_and_a_hash() {
        assert!(head(&format!("42:{}", "aB".repeat(32))).is_ok_and(|h| h == (42, "ab".repeat(32))));
        for bad in ["", "42", "42:", "x:00", &format!("42:{}", "g".repeat(64)), &format!("42:{}", "a".repeat(63))] {
            assert!(head(bad).is_err(), "{bad}");
        }
    }
}
