//! The journal: `journal.db`, append-only, each record chained to the one before it and on the disk before `append`
//! returns. Several processes may hold it: the daemon's recorder appends, its pump reads and moves its cursor through
//! a handle of its own, commands append or read beside them; the head is read inside the writing transaction, so the
//! chain never forks.

use super::{StoreError, Trouble, chain, files, migrate, reserve};
use crate::ports::{ChainReport, Journal, PortError, Stored};
use crate::schema::record::{Draft, GENESIS, Record, chain_hash};
use migrate::Layout;
use reserve::Reserve;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::path::{Path, PathBuf};

const LAYOUT: Layout = Layout {
    application_id: 0x4361_4A6F,
    version: 1,
    name: "journal",
    sql: "
    CREATE TABLE records (seq INTEGER PRIMARY KEY, text TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
    CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 0), seq INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;
    CREATE TABLE cursors (consumer TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO head VALUES (0, 0, '0000000000000000000000000000000000000000000000000000000000000000');
    CREATE TRIGGER records_stay BEFORE UPDATE ON records BEGIN SELECT RAISE(ABORT, 'records are never changed'); END;
    CREATE TRIGGER records_last BEFORE DELETE ON records BEGIN SELECT RAISE(ABORT, 'records are never removed'); END;
    -- Also stops INSERT OR REPLACE, which removes a row without asking the trigger above.
    CREATE TRIGGER records_follow BEFORE INSERT ON records WHEN NEW.seq <> (SELECT seq + 1 FROM head)
        BEGIN SELECT RAISE(ABORT, 'a record comes after the last one'); END;
    CREATE TRIGGER head_follows BEFORE UPDATE ON head WHEN NEW.id <> 0 OR NEW.seq <> OLD.seq + 1
        BEGIN SELECT RAISE(ABORT, 'the head moves on by one'); END;
    CREATE TRIGGER head_lasts BEFORE DELETE ON head BEGIN SELECT RAISE(ABORT, 'the head is never removed'); END;
    CREATE TRIGGER cursors_advance BEFORE UPDATE ON cursors WHEN NEW.seq < OLD.seq
        BEGIN SELECT RAISE(ABORT, 'a cursor never moves back'); END;
    ",
    steps: &[],
};

/// The file's name in the state directory.
const FILE: &str = "journal.db";

/// The journal in `journal.db`.
#[derive(Debug)]
pub struct SqliteJournal {
    conn: Connection,
    path: PathBuf,
    /// `None` in a reader.
    reserve: Option<Reserve>,
}

impl SqliteJournal {
    /// Opens the journal for writing; makes the directory (0700), the file (0600) and the reserve if they are absent.
    ///
    /// # Errors
    /// A foreign or newer file, one whose last record is not the one that was written last, or no right to write.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        files::private_dir(dir)?;
        let path = dir.join(FILE);
        let conn = match Self::prepare(&path) {
            // Opening needs a few pages for the WAL's index.
            Err(e) if starved(&e, dir) && Reserve::existing(dir).release() => Self::prepare(&path)?,
            other => other?,
        };
        let journal = SqliteJournal { conn, path, reserve: Some(Reserve::take(dir)) };
        journal.last(&journal.conn)?;
        Ok(journal)
    }

    /// Opens an existing journal to read, to check, and to move cursors; `append` is refused. A damaged journal opens
    /// too, so that [`Journal::verify`] can say what is wrong.
    ///
    /// # Errors
    /// [`Trouble::Missing`] without a file, [`Trouble::Data`] for a foreign or newer one.
    pub fn open_reader(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        path.metadata().map_err(|e| StoreError::io(&path, "open", &e))?;
        let conn = migrate::connect(&path, &LAYOUT)?;
        if migrate::check(&conn, &LAYOUT, &path)? {
            let hint = "start the daemon once, or check --state";
            return Err(StoreError::new(Trouble::Missing, &path, "open", "the journal is empty", hint));
        }
        Ok(SqliteJournal { conn, path, reserve: None })
    }

    fn prepare(path: &Path) -> Result<Connection, StoreError> {
        files::private_file(path)?;
        let mut conn = migrate::connect(path, &LAYOUT)?;
        migrate::prepare(&mut conn, &LAYOUT, path)?;
        Ok(conn)
    }

    /// Whether the disk was so full that the space held back was given up, or could never be held back: time for
    /// `alarm.disk`. It becomes false by itself once there is room again.
    #[must_use]
    pub fn reserve_in_use(&self) -> bool {
        self.reserve.as_ref().is_some_and(|r| !r.held())
    }

    /// [`Journal::verify`] against a head that was kept elsewhere, as `log/head` over MQTT: finds even a journal whose
    /// end was cut off or rewritten in good order.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn verify_head(&mut self, seq: u64, hash: &str) -> Result<ChainReport, PortError> {
        let mut report = self.verify()?;
        if report.first_bad_seq.is_some() {
            return Ok(report);
        }
        let cause = if seq > report.records {
            report.first_bad_seq = Some(report.records + 1);
            format!("the journal ends here, but record {seq} was seen elsewhere")
        } else {
            let found = if seq == 0 {
                Some(GENESIS.to_owned())
            } else {
                self.after(seq - 1, 1)?.first().map(|s| chain_hash(&s.text))
            };
            if found.as_deref() == Some(hash) {
                return Ok(report);
            }
            report.first_bad_seq = Some(seq);
            "the record is not the one that was seen elsewhere".to_owned()
        };
        report.cause = Some(cause);
        Ok(report)
    }

    fn sql(&self, what: &str, e: &rusqlite::Error) -> StoreError {
        StoreError::sql(&self.path, what, e)
    }

    /// Number and hash of the last record, checked against its text: nothing is chained to a record in doubt.
    fn last(&self, conn: &Connection) -> Result<(u64, String), StoreError> {
        let read = || -> rusqlite::Result<_> {
            let (seq, hash) = chain::head(conn)?;
            let newest = conn
                .prepare_cached("SELECT seq, text FROM records ORDER BY seq DESC LIMIT 1")?
                .query_row([], |r| Ok((r.get::<_, i64>(0)?, r.get_ref(1)?.as_bytes()?.to_vec())))
                .optional()?;
            Ok((seq, hash, newest))
        };
        let (seq, hash, newest) = read().map_err(|e| self.sql("read the last record of", &e))?;
        let right = match newest {
            None => seq == 0 && hash == GENESIS,
            Some((found, text)) => {
                found == wide(seq) && std::str::from_utf8(&text).is_ok_and(|text| chain_hash(text) == hash)
            }
        };
        if right {
            return Ok((seq, hash));
        }
        let cause = format!("record {seq}, the last one written, is not at the end of the file any more");
        let hint = "run `cardea events verify`, keep the file for study, and start with an empty state directory";
        Err(StoreError::new(Trouble::Data, &self.path, "continue", cause, hint))
    }

    fn try_append(&self, draft: &Draft) -> Result<Record, StoreError> {
        let sql = |e: rusqlite::Error| self.sql("append to", &e);
        let tx = rusqlite::Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate).map_err(sql)?;
        let (seq, prev) = self.last(&tx)?;
        let seq = seq + 1;
        let record = draft.seal(seq, prev);
        let text = record.text();
        let hash = chain_hash(&text);
        let write = || -> rusqlite::Result<()> {
            tx.prepare_cached("INSERT INTO records (seq, text, hash) VALUES (?1, ?2, ?3)")?.execute(params![
                wide(seq),
                text,
                hash
            ])?;
            tx.prepare_cached("UPDATE head SET seq = ?1, hash = ?2")?.execute(params![wide(seq), hash]).map(drop)
        };
        write().map_err(sql)?;
        tx.commit().map_err(sql)?;
        Ok(record)
    }
}

impl Journal for SqliteJournal {
    fn append(&mut self, draft: &Draft) -> Result<Record, PortError> {
        let dir = files::parent(&self.path).to_owned();
        if self.reserve.is_none() {
            let hint = "open the journal for writing";
            return Err(
                StoreError::new(Trouble::Permission, &self.path, "append to", "opened for reading", hint).into()
            );
        }
        let mut done = self.try_append(draft);
        if let (Err(e), Some(reserve)) = (&done, &mut self.reserve)
            && starved(e, &dir)
            && reserve.release()
        {
            tracing::error!(path = %self.path.display(), "disk full: the journal's reserve is in use");
            done = self.try_append(draft);
        }
        match done {
            Ok(record) => {
                if let Some(reserve) = &mut self.reserve {
                    reserve.restore();
                }
                Ok(record)
            }
            Err(e) if e.trouble == Trouble::Full => {
                let cause = "the disk is full and the journal's reserve is used up";
                let hint = "free space on that file system; the door refuses everybody until records can be written";
                Err(StoreError::new(Trouble::Full, &self.path, "append to", cause, hint).into())
            }
            Err(e) => Err(e.into()),
        }
    }

    fn after(&mut self, seq: u64, limit: usize) -> Result<Vec<Stored>, PortError> {
        let read = || -> rusqlite::Result<Vec<Stored>> {
            self.conn
                .prepare_cached("SELECT seq, text FROM records WHERE seq > ?1 ORDER BY seq LIMIT ?2")?
                .query_map([wide(seq), i64::try_from(limit).unwrap_or(i64::MAX)], |r| {
                    Ok(Stored { seq: r.get::<_, i64>(0)?.unsigned_abs(), text: r.get(1)? })
                })?
                .collect()
        };
        read().map_err(|e| self.sql("read", &e).into())
    }

    fn head(&mut self) -> Result<Option<(u64, String)>, PortError> {
        let (seq, hash) = chain::head(&self.conn).map_err(|e| self.sql("read", &e))?;
        Ok((seq > 0).then_some((seq, hash)))
    }

    fn verify(&mut self) -> Result<ChainReport, PortError> {
        chain::check(&mut self.conn).map_err(|e| StoreError::sql(&self.path, "check", &e).into())
    }

    fn cursor(&mut self, consumer: &str) -> Result<u64, PortError> {
        let read = || -> rusqlite::Result<Option<i64>> {
            self.conn
                .prepare_cached("SELECT seq FROM cursors WHERE consumer = ?1")?
                .query_row([consumer], |r| r.get(0))
                .optional()
        };
        Ok(read().map_err(|e| self.sql("read", &e))?.unwrap_or(0).unsigned_abs())
    }

    fn set_cursor(&mut self, consumer: &str, seq: u64) -> Result<(), PortError> {
        let write = || -> rusqlite::Result<()> {
            self.conn
                .prepare_cached(
                    "INSERT INTO cursors VALUES (?1, ?2)
                     ON CONFLICT (consumer) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seq",
                )?
                .execute(params![consumer, wide(seq)])
                .map(drop)
        };
        write().map_err(|e| self.sql("move a cursor in", &e).into())
    }
}

/// SQLite's integers are signed; a number beyond them would take a million years at a million records a second.
fn wide(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// Whether it failed for want of space. A full disk also shows as an I/O error (the WAL's index cannot grow, a quota),
/// so the file system is asked.
fn starved(e: &StoreError, dir: &Path) -> bool {
    match e.trouble {
        Trouble::Full => true,
        Trouble::Io | Trouble::Permission => reserve::free_bytes(dir).is_some_and(|free| free < 1 << 20),
        Trouble::Missing | Trouble::Data => false,
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
