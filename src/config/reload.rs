//! The rules file as it stands now, for a door whose configuration is checked already.

use super::fault::{Fault, Faults};
use super::load::read;
use super::rules::parse_rules;
use super::sections::Config;
use crate::domain::access::RuleBook;
use crate::schema::record::hex;
use sha2::{Digest, Sha256};
use std::path::Path;

/// What of a book does not fit the door: the key that is at fault, and what is wrong.
pub(super) fn misfits(book: &RuleBook, door: &str, contact: bool) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    if !book.grants.iter().any(|g| g.opens(door)) {
        let what = format!("no grant in it opens `{door}`, the door of this terminal (device.name)");
        all.push(("rules.file", what));
    }
    if !contact && book.doors.get(door).is_some_and(|d| d.anti_passback.is_some()) {
        let what = format!("[doors.{door}] has anti_passback, which counts openings: wire door.inputs.contact");
        all.push(("door.inputs.contact", what));
    }
    all
}

/// Reads and checks a rules file as a start would; also the SHA-256 of its text, in hex.
///
/// # Errors
/// [`Faults`], all at once; then nothing of the file may be used.
pub fn reread_rules(config: &Config, path: &Path) -> Result<(RuleBook, String), Faults> {
    let fault = |key: &str, what: String| {
        let (file, key) = (path.display().to_string(), key.to_owned());
        Fault { file, line: None, key, what, nearest: None }
    };
    let all = |faults: Vec<Fault>| Faults::new(faults).expect("there is a fault");
    let text = read(path).map_err(|e| all(vec![fault("", format!("cannot be read: {e}"))]))?;
    let book = parse_rules(path, &text)?;
    let contact = config.door().inputs.lines.iter().any(|(s, _)| *s == crate::domain::door::Sensor::Contact);
    let misfits = misfits(&book, config.device().name.as_str(), contact);
    match Faults::new(misfits.into_iter().map(|(key, what)| fault(key, what)).collect()) {
        Some(faults) => Err(faults),
        None => Ok((book, hex(&Sha256::digest(text.as_bytes())))),
    }
}
