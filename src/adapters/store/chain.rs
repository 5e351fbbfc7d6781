//! Checking the chain of records: every number, hash and link, and the head that is kept beside them.

use crate::ports::ChainReport;
use crate::schema::record::{GENESIS, chain_hash};
use rusqlite::{Connection, ErrorCode};
use serde::Deserialize;

/// What of a record binds it to its place. Nothing else is parsed: a record of a newer version is still checked.
#[derive(Deserialize)]
struct Link {
    seq: u64,
    prev: String,
}

/// The row that every append moves on, together with the record.
pub(super) fn head(conn: &Connection) -> rusqlite::Result<(u64, String)> {
    conn.prepare_cached("SELECT seq, hash FROM head WHERE id = 0")?
        .query_row([], |r| Ok((r.get::<_, i64>(0)?.unsigned_abs(), r.get(1)?)))
}

/// Checks all records of one snapshot, oldest first, and stops at the first that is wrong. A chain that was rewritten
/// from some record to its end, with its head, is in order by itself: only a head from outside shows that, see
/// [`super::SqliteJournal::verify_head`].
pub(super) fn check(conn: &mut Connection) -> rusqlite::Result<ChainReport> {
    let snapshot = conn.savepoint()?;
    let mut records = 0;
    match walk(&snapshot, &mut records) {
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
fn walk(conn: &Connection, records: &mut u64) -> rusqlite::Result<Option<(u64, String)>> {
    let mut prev = GENESIS.to_owned();
    let mut rows = conn.prepare("SELECT seq, text, hash FROM records ORDER BY seq")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let want = *records + 1;
        let seq: i64 = row.get(0)?;
        if seq != i64::try_from(want).unwrap_or(i64::MAX) {
            let cause = if seq < 1 { "there is a record before the first" } else { "the record is missing" };
            return Ok(Some((want, cause.to_owned())));
        }
        // As bytes: a text that was tampered with need not be UTF-8.
        let (text, hash) = (row.get_ref(1)?.as_bytes()?, row.get_ref(2)?.as_bytes()?);
        match link(want, text, hash, &prev) {
            Ok(hash) => prev = hash,
            Err(cause) => return Ok(Some((want, cause))),
        }
        *records = want;
    }
    let heads: i64 = conn.query_row("SELECT count(*) FROM head", [], |r| r.get(0))?;
    if heads != 1 {
        return Ok(Some((*records + 1, "the head is missing".to_owned())));
    }
    let (seq, hash) = head(conn)?;
    Ok(if seq > *records {
        Some((*records + 1, format!("the journal ends here, but {seq} records were written")))
    } else if seq < *records {
        Some((seq + 1, format!("the record was not written by the journal, whose head is {seq}")))
    } else if hash != prev {
        Some((seq, "the last record is not the one that the head names".to_owned()))
    } else {
        None
    })
}

/// The hash of a record that is right where it stands.
pub(super) fn link(seq: u64, text: &[u8], hash: &[u8], prev: &str) -> Result<String, String> {
    let text = std::str::from_utf8(text).map_err(|_| "the text is no longer UTF-8".to_owned())?;
    let right = chain_hash(text);
    if right.as_bytes() != hash {
        return Err("the text does not have its hash".to_owned());
    }
    let said: Link = serde_json::from_str(text).map_err(|e| format!("the text is no record: {e}"))?;
    if said.seq != seq {
        return Err(format!("the text says that it is record {}", said.seq));
    }
    if said.prev != prev {
        return Err("the record does not follow the one before it".to_owned());
    }
    Ok(right)
}
