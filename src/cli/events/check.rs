//! What `cardea events` says about the chain: of a journal, of an export without a terminal, and of what it prints anyway.

use super::super::state::{io, print};
use super::super::{Code, Exit, Failure, Globals, Outcome};
use crate::adapters::store::{Broken, DeviceKey, PublicKey, SqliteJournal, Walk};
use crate::ports::{ChainReport, Journal, Stored};
use crate::schema::head::SignedHead;
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// A record has at most some kilobytes; a line of an export that is longer is none.
const LONGEST: u64 = 1 << 20;

/// The head that lies beside an export.
pub(super) fn head_of(export: &Path) -> PathBuf {
    export.with_added_extension("head")
}

/// The key that was given on the command line.
///
/// # Errors
/// 64 when it is no key, 65 when its file is none.
pub(in crate::cli) fn key(given: &str) -> Result<PublicKey, Failure> {
    if let Some(key) = PublicKey::parse(given) {
        return Ok(key);
    }
    let hint = "give 64 hexadecimal digits, or a file as `cardea events key` prints it";
    let text = std::fs::read_to_string(given).map_err(|e| Failure::new(Code::BadInput, given, e, hint))?;
    PublicKey::parse(&text).ok_or_else(|| Failure::new(Code::BadInput, given, "this is no Ed25519 public key", hint))
}

pub(super) fn print_key(globals: &Globals, dir: &Path) -> Outcome {
    let key = DeviceKey::existing(dir)?.public();
    let text = if globals.json { format!("{}\n", json!({"key": key.hex(), "pem": key.pem()})) } else { key.pem() };
    print(&text).map(|_| Exit::Done)
}

pub(super) fn head(_globals: &Globals, journal: &mut SqliteJournal) -> Outcome {
    match journal.signed_head().map_err(io)? {
        Some(head) => print(&format!("{}\n", head.text())).map(|_| Exit::Done),
        None => Ok(Exit::Negative),
    }
}

/// Says what a check found, and returns the exit code for it.
pub(super) fn tell(globals: &Globals, report: ChainReport, head: Option<&SignedHead>) -> Outcome {
    let ok = report.first_bad_seq.is_none();
    let text = if globals.json {
        let (records, bad, cause) = (report.records, report.first_bad_seq, report.cause);
        json!({"ok": ok, "records": records, "first_bad_seq": bad, "cause": cause, "head": head}).to_string()
    } else if let (Some(bad), Some(cause)) = (report.first_bad_seq, &report.cause) {
        format!("broken at record {bad}: {cause}; records before it are as they were written")
    } else {
        let by = head.map(|h| format!("; record {} is signed by {}", h.seq, h.key)).unwrap_or_default();
        format!("{} records, every one as it was written{by}", report.records)
    };
    print(&format!("{text}\n"))?;
    Ok(if ok { Exit::Done } else { Exit::Negative })
}

/// Checks an export with nothing but the public key.
pub(super) fn export(globals: &Globals, file: &Path, key: &PublicKey) -> Outcome {
    let beside = head_of(file);
    let unreadable = |path: &Path, e: &dyn std::fmt::Display| {
        let hint = "give a file that `cardea events export FILE` wrote, with FILE.head beside it";
        Failure::new(Code::BadInput, path.display().to_string(), e.to_string(), hint)
    };
    let text = std::fs::read_to_string(&beside).map_err(|e| unreadable(&beside, &e))?;
    let head: SignedHead = serde_json::from_str(&text).map_err(|e| unreadable(&beside, &e))?;
    let lines = BufReader::new(std::fs::File::open(file).map_err(|e| unreadable(file, &e))?);
    let (records, broken) = walk(lines, &head, key).map_err(|e| unreadable(file, &e))?;
    let (first_bad_seq, cause) = broken.unzip();
    tell(globals, ChainReport { records, first_bad_seq, cause }, Some(&head))
}

/// How many records of an export are right, and the first thing that is wrong.
pub(super) fn walk(
    mut lines: impl BufRead,
    head: &SignedHead,
    key: &PublicKey,
) -> std::io::Result<(u64, Option<Broken>)> {
    let mut chain: Option<Walk> = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = std::io::Read::take(&mut lines, LONGEST).read_until(b'\n', &mut line)?;
        let records = chain.as_ref().map_or(0, Walk::records);
        let at = chain.as_ref().map_or(1, |c| c.at() + 1);
        if read == 0 {
            break;
        }
        let Some(text) = line.strip_suffix(b"\n") else {
            return Ok((records, Some((at, "the line is not whole".into()))));
        };
        let walk = match &mut chain {
            Some(walk) => walk,
            none => match Walk::from(text) {
                Ok(walk) => none.insert(walk),
                Err(broken) => return Ok((0, Some(broken))),
            },
        };
        if let Err(broken) = walk.step(None, text, None) {
            return Ok((records, Some(broken)));
        }
    }
    let Some(walk) = chain else { return Ok((0, Some((1, "there is no record".into())))) };
    let sound = walk
        .ends_at(head.seq, &head.hash)
        .and_then(|()| walk.front())
        .and_then(|()| key.check(head).map_err(|why| (head.seq, why)));
    Ok((walk.records(), sound.err()))
}

/// Follows what is printed, so that nobody reads a broken journal without being told.
#[derive(Default)]
pub(super) struct Seen {
    walk: Option<Walk>,
    broken: Option<Broken>,
}

impl Seen {
    /// A page that was read after `head`.
    pub(super) fn take(&mut self, page: &[Stored], head: Option<&SignedHead>, key: &Result<PublicKey, String>) {
        for stored in page {
            if self.broken.is_some() {
                return;
            }
            self.broken = self.step(stored, head, key).err();
        }
    }

    fn step(
        &mut self,
        stored: &Stored,
        head: Option<&SignedHead>,
        key: &Result<PublicKey, String>,
    ) -> Result<(), Broken> {
        let text = stored.text.as_bytes();
        let walk = match &mut self.walk {
            Some(walk) => walk,
            none => none.insert(Walk::from(text)?),
        };
        walk.step(i64::try_from(stored.seq).ok(), text, None)?;
        match head {
            Some(head) if head.seq == stored.seq => {
                walk.ends_at(head.seq, &head.hash)?;
                let vouched = key.as_ref().map_err(Clone::clone).and_then(|k| k.check(head));
                vouched.map_err(|why| (head.seq, why))
            }
            _ => Ok(()),
        }
    }

    /// At the end of a whole journal: nothing is missing in front, and its head is signed.
    pub(super) fn whole(&mut self, head: Option<&SignedHead>, key: &Result<PublicKey, String>) {
        if self.broken.is_some() {
            return;
        }
        let sound = match (&self.walk, head) {
            (None, None) => Ok(()),
            (None, Some(head)) => Err((1, format!("there is no record, but {} were written", head.seq))),
            (Some(walk), None) => Err((walk.at(), "the head is not signed".to_owned())),
            (Some(walk), Some(head)) => walk.ends_at(head.seq, &head.hash).and_then(|()| walk.front()).and_then(|()| {
                key.as_ref().map_err(Clone::clone).and_then(|k| k.check(head)).map_err(|w| (head.seq, w))
            }),
        };
        self.broken = sound.err();
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Tells on standard error what is wrong.
    pub(super) fn end(&self) -> Exit {
        match &self.broken {
            None => Exit::Done,
            Some((seq, cause)) => {
                eprintln!("error: record {seq}: {cause}; run `cardea events verify` and keep the file for study");
                Exit::Negative
            }
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
