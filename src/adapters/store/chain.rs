//! Checking the chain of records: every number, hash and link, what the ring has let go, and the signed head.

use super::device_key::PublicKey;
use crate::ports::ChainReport;
use crate::schema::head::SignedHead;
use crate::schema::record::{GENESIS, chain_hash};
use rusqlite::{Connection, ErrorCode, OptionalExtension};
use serde::Deserialize;

/// What of a record binds it to its place. Nothing else is parsed: a record of a newer version is still checked.
#[derive(Deserialize)]
struct Link {
    seq: u64,
    prev: String,
    #[serde(rename = "type", default)]
    kind: String,
    /// Of `system.log_gap`: the last record that was let go, and its hash.
    #[serde(default)]
    last: Option<u64>,
    #[serde(default)]
    hash: Option<String>,
}

/// The type of the record that stands for those that were let go.
pub(super) const GAP: &str = "system.log_gap";

/// The row that every append moves on, together with the record.
pub(super) fn head(conn: &Connection) -> rusqlite::Result<(u64, String)> {
    conn.prepare_cached("SELECT seq, hash FROM head WHERE id = 0")?
        .query_row([], |r| Ok((r.get::<_, i64>(0)?.unsigned_abs(), r.get(1)?)))
}

/// The head with its signature; `None` in an empty journal and in one that was never signed.
pub(super) fn signed_head(conn: &Connection) -> rusqlite::Result<Option<SignedHead>> {
    let head = conn
        .prepare_cached("SELECT seq, hash, key, sig FROM head WHERE id = 0")?
        .query_row([], |r| {
            let seq = r.get::<_, i64>(0)?.unsigned_abs();
            Ok(SignedHead { v: 1, seq, hash: r.get(1)?, key: r.get(2)?, sig: r.get(3)? })
        })
        .optional()?;
    Ok(head.filter(|h| h.seq > 0 && !h.sig.is_empty()))
}

/// The last record that the ring has let go, and its hash; 0 and [`GENESIS`] while there is none.
pub(super) fn gap(conn: &Connection) -> rusqlite::Result<(u64, String)> {
    conn.prepare_cached("SELECT upto, hash FROM gap WHERE id = 0")?
        .query_row([], |r| Ok((r.get::<_, i64>(0)?.unsigned_abs(), r.get(1)?)))
}

/// Follows a chain from its first record on, in the journal or in an export of it.
#[derive(Debug)]
pub struct Walk {
    /// Number and hash of the record before the first.
    start: (u64, String),
    prev: String,
    next: u64,
    /// The newest record that stands for some that were let go: the last of them and its hash.
    marker: Option<(u64, String)>,
}

/// A record that is wrong, and why.
pub type Broken = (u64, String);

impl Walk {
    /// Behind a record: its number and hash, 0 and [`GENESIS`] for a chain from its beginning.
    #[must_use]
    pub fn behind(seq: u64, hash: String) -> Walk {
        Walk { start: (seq, hash.clone()), prev: hash, next: seq + 1, marker: None }
    }

    /// From a record on, whatever was before it.
    ///
    /// # Errors
    /// It is no record.
    pub fn from(text: &[u8]) -> Result<Walk, Broken> {
        let link: Link = serde_json::from_slice(text).map_err(|e| (1, format!("the text is no record: {e}")))?;
        if link.seq == 0 {
            return Err((1, "there is a record before the first".to_owned()));
        }
        Ok(Walk::behind(link.seq - 1, link.prev))
    }

    /// The next record as it was found. `seq` and `hash` are what the journal says of it beside its text; an export has
    /// the text alone.
    ///
    /// # Errors
    /// The number of the record that is wrong, and why.
    pub fn step(&mut self, seq: Option<i64>, text: &[u8], hash: Option<&[u8]>) -> Result<(), Broken> {
        let want = self.next;
        let bad = |cause: &str| (want, cause.to_owned());
        if let Some(seq) = seq
            && seq != i64::try_from(want).unwrap_or(i64::MAX)
        {
            return Err(bad(if seq < 1 { "there is a record before the first" } else { "the record is missing" }));
        }
        let text = std::str::from_utf8(text).map_err(|_| bad("the text is no longer UTF-8"))?;
        let right = chain_hash(text);
        if hash.is_some_and(|h| right.as_bytes() != h) {
            return Err(bad("the text does not have its hash"));
        }
        let said: Link = serde_json::from_str(text).map_err(|e| (want, format!("the text is no record: {e}")))?;
        if said.seq != want {
            return Err((want, format!("the text says that it is record {}", said.seq)));
        }
        if said.prev != self.prev {
            return Err(bad("the record does not follow the one before it"));
        }
        if said.kind == GAP {
            self.marker = said.last.zip(said.hash);
        }
        self.prev = right;
        self.next += 1;
        Ok(())
    }

    /// Number of the last record that was right.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.next - 1
    }

    /// How many records were right.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.at() - self.start.0
    }

    /// At the end: whether what is missing at the front was let go by the journal itself, which wrote a record of it.
    ///
    /// # Errors
    /// As [`Walk::step`].
    pub fn front(&self) -> Result<(), Broken> {
        let (seq, hash) = &self.start;
        match &self.marker {
            Some((last, of)) if last == seq && of == hash => Ok(()),
            None if *seq == 0 && hash == GENESIS => Ok(()),
            Some((last, _)) if last > seq => {
                Err((seq + 1, format!("the record was let go, as a later one says (up to {last}), but it is here")))
            }
            _ => Err((*seq, "the record is missing, and no later one says that it was let go".to_owned())),
        }
    }

    /// At the end: whether the last record is the one that a head names.
    ///
    /// # Errors
    /// As [`Walk::step`].
    pub fn ends_at(&self, seq: u64, hash: &str) -> Result<(), Broken> {
        let at = self.at();
        if seq > at {
            Err((at + 1, format!("the journal ends here, but {seq} records were written")))
        } else if seq < at {
            Err((seq + 1, format!("the record was not written by the journal, whose head is {seq}")))
        } else if hash != self.prev {
            Err((seq, "the last record is not the one that the head names".to_owned()))
        } else {
            Ok(())
        }
    }
}

/// Checks all records of one snapshot, oldest first, and stops at the first that is wrong; then the head's signature by
/// `key`, or why there is no key to check it by.
pub(super) fn check(conn: &mut Connection, key: Result<PublicKey, String>) -> rusqlite::Result<ChainReport> {
    let snapshot = conn.savepoint()?;
    let mut records = 0;
    match walk(&snapshot, key, &mut records) {
        Ok(None) => Ok(ChainReport { records, first_bad_seq: None, cause: None }),
        Ok(Some((seq, cause))) => Ok(ChainReport { records, first_bad_seq: Some(seq), cause: Some(cause) }),
        // A file whose pages are damaged is an answer, not a failure to answer.
        Err(e) if matches!(e.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) => {
            Ok(ChainReport {
                records,
                first_bad_seq: Some(records + 1),
                cause: Some(format!("the file is damaged: {e}")),
            })
        }
        Err(e) => Err(e),
    }
}

/// The first record that is wrong and why. `records` counts the good ones.
fn walk(conn: &Connection, key: Result<PublicKey, String>, records: &mut u64) -> rusqlite::Result<Option<Broken>> {
    let Some((upto, of)) = conn
        .query_row("SELECT upto, hash FROM gap", [], |r| Ok((r.get::<_, i64>(0)?.unsigned_abs(), r.get(1)?)))
        .optional()?
    else {
        return Ok(Some((1, "the row that says what was let go is missing".to_owned())));
    };
    let mut walk = Walk::behind(upto, of);
    let mut rows = conn.prepare("SELECT seq, text, hash FROM records ORDER BY seq")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        // As bytes: a text that was tampered with need not be UTF-8.
        let (text, hash) = (row.get_ref(1)?.as_bytes()?, row.get_ref(2)?.as_bytes()?);
        if let Err(broken) = walk.step(Some(row.get(0)?), text, Some(hash)) {
            return Ok(Some(broken));
        }
        *records = walk.records();
    }
    let heads: i64 = conn.query_row("SELECT count(*) FROM head", [], |r| r.get(0))?;
    if heads != 1 {
        return Ok(Some((walk.at() + 1, "the head is missing".to_owned())));
    }
    let (seq, hash) = head(conn)?;
    if let Err(broken) = walk.ends_at(seq, &hash).and_then(|()| walk.front()) {
        return Ok(Some(broken));
    }
    if seq == 0 {
        return Ok(None);
    }
    let vouched = match (signed_head(conn)?, key) {
        (None, _) => Err("the head is not signed: anybody may have written these records".to_owned()),
        (Some(_), Err(why)) => Err(why),
        (Some(head), Ok(key)) => key.check(&head),
    };
    Ok(vouched.err().map(|cause| (seq, cause)))
}
