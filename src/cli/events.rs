//! `cardea events`: reads and checks the journal. With `--json` a record is printed exactly as it is stored.

use super::state::{self, io, print};
use super::{Code, Exit, Failure, Globals, Outcome};
use crate::adapters::store::{SqliteJournal, Trouble};
use crate::ports::{Journal, Stored};
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
    /// All records as JSON lines, to a new file or to standard output.
    Export { file: Option<PathBuf> },
    /// Checks every hash, number and link.
    Verify {
        /// A head that was kept elsewhere, as `log/head` over MQTT: finds an end that was cut off or rewritten.
        #[arg(long, value_name = "SEQ:SHA256", value_parser = head)]
        head: Option<(u64, String)>,
    },
}

/// Records read at once.
const PAGE: usize = 1000;
/// How often `--follow` looks.
const LOOK: Duration = Duration::from_millis(250);

pub fn run(globals: &Globals, args: Args) -> Outcome {
    let dir = state::dir(globals)?;
    match args.command {
        Command::List { after, limit, kind } => match reader(&dir)? {
            Some(mut journal) => list(globals, &mut journal, after, limit, kind.as_deref()),
            None => Ok(Exit::Done),
        },
        Command::Tail { limit, follow } => tail(globals, &dir, limit, follow),
        Command::Export { file } => export(globals, &mut needed(&dir)?, file.as_deref()),
        Command::Verify { head } => verify(globals, &mut needed(&dir)?, head),
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
    loop {
        if journal.is_none() {
            journal = reader(dir)?;
        }
        let page = match &mut journal {
            Some(j) => j.after(after, PAGE).map_err(io)?,
            None => Vec::new(),
        };
        after = page.last().map_or(after, |s| s.seq);
        let text: String = page.iter().map(|s| line(globals, s)).collect();
        if !print(&text)? || (page.is_empty() && !follow) {
            return Ok(Exit::Done);
        }
        if page.is_empty() {
            std::thread::sleep(LOOK);
        }
    }
}

fn export(globals: &Globals, journal: &mut SqliteJournal, file: Option<&Path>) -> Outcome {
    let Some(path) = file else {
        let exact = Globals { json: true, ..globals.clone() };
        return list(&exact, journal, 0, usize::MAX, None);
    };
    let failed = |e: std::io::Error| {
        Failure::new(
            Code::Io,
            path.display().to_string(),
            e,
            "give a file that does not exist yet, in a directory with space",
        )
    };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let written = write_all(journal, &mut BufWriter::new(&file), failed).and_then(|n| {
        file.sync_all().map_err(failed)?;
        Ok(n)
    });
    match written {
        Ok(records) if globals.json => {
            print(&format!("{}\n", json!({"file": path, "records": records}))).map(|_| Exit::Done)
        }
        Ok(records) => print(&format!("{records} records written to {}\n", path.display())).map(|_| Exit::Done),
        Err(e) => {
            let _half_written = std::fs::remove_file(path);
            Err(e)
        }
    }
}

fn write_all(
    journal: &mut SqliteJournal,
    out: &mut impl Write,
    failed: impl Fn(std::io::Error) -> Failure,
) -> Result<u64, Failure> {
    let (mut after, mut records) = (0, 0);
    loop {
        let page = journal.after(after, PAGE).map_err(io)?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for stored in &page {
            writeln!(out, "{}", stored.text).map_err(&failed)?;
            records += 1;
        }
    }
    out.flush().map_err(failed)?;
    Ok(records)
}

fn verify(globals: &Globals, journal: &mut SqliteJournal, head: Option<(u64, String)>) -> Outcome {
    let report = match head {
        Some((seq, hash)) => journal.verify_head(seq, &hash),
        None => journal.verify(),
    }
    .map_err(io)?;
    let ok = report.first_bad_seq.is_none();
    let text = if globals.json {
        let (records, bad, cause) = (report.records, report.first_bad_seq, report.cause);
        json!({"ok": ok, "records": records, "first_bad_seq": bad, "cause": cause}).to_string()
    } else if let (Some(bad), Some(cause)) = (report.first_bad_seq, &report.cause) {
        format!(
            "broken at record {bad}: {cause}; the {} records before it are as they were written",
            report.records.min(bad - 1)
        )
    } else {
        format!("{} records, every one as it was written", report.records)
    };
    print(&format!("{text}\n"))?;
    Ok(if ok { Exit::Done } else { Exit::Negative })
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
