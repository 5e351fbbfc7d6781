//! The journal: `journal.db`, append-only, each record chained to the one before it and on the disk before `append`
//! returns; each commit signs its last record with the device key. Several processes may hold it: the daemon's recorder
//! appends, its pump reads and moves its cursor through a handle of its own, commands append or read beside them; the head
//! is read inside the writing transaction, so the chain never forks.
//!
//! It is a ring: the oldest records go when there are more than are to be kept, and a record of that takes their place.

mod vouch;

use super::device_key::{DeviceKey, PublicKey};
use super::{StoreError, Trouble, chain, files, head_file, migrate, reserve};
use crate::ports::{ChainReport, Journal, LogGap, PortError, Recovery, Stored};
use crate::schema::event::Event;
use crate::schema::head::SignedHead;
use crate::schema::record::{Draft, GENESIS, Record, chain_hash};
use migrate::Layout;
use reserve::Reserve;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::path::{Path, PathBuf};

const LAYOUT: Layout = Layout {
    application_id: 0x4361_4A6F,
    version: 2,
    name: "journal",
    sql: "
    CREATE TABLE records (seq INTEGER PRIMARY KEY, text TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
    CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 0), seq INTEGER NOT NULL, hash TEXT NOT NULL,
        key TEXT NOT NULL DEFAULT '', sig TEXT NOT NULL DEFAULT '') STRICT;
    CREATE TABLE gap (id INTEGER PRIMARY KEY CHECK (id = 0), upto INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;
    CREATE TABLE cursors (consumer TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO head (id, seq, hash) VALUES (0, 0, '0000000000000000000000000000000000000000000000000000000000000000');
    INSERT INTO gap VALUES (0, 0, '0000000000000000000000000000000000000000000000000000000000000000');
    CREATE TRIGGER records_stay BEFORE UPDATE ON records BEGIN SELECT RAISE(ABORT, 'records are never changed'); END;
    CREATE TRIGGER records_last BEFORE DELETE ON records WHEN OLD.seq > (SELECT upto FROM gap)
        BEGIN SELECT RAISE(ABORT, 'records are removed by the ring alone'); END;
    -- Also stops INSERT OR REPLACE, which removes a row without asking the trigger above.
    CREATE TRIGGER records_follow BEFORE INSERT ON records WHEN NEW.seq <> (SELECT seq + 1 FROM head)
        BEGIN SELECT RAISE(ABORT, 'a record comes after the last one'); END;
    CREATE TRIGGER head_follows BEFORE UPDATE ON head
        WHEN NEW.id <> 0 OR NEW.seq NOT IN (OLD.seq, OLD.seq + 1) OR (NEW.seq = OLD.seq AND NEW.hash <> OLD.hash)
        BEGIN SELECT RAISE(ABORT, 'the head moves on by one'); END;
    CREATE TRIGGER head_lasts BEFORE DELETE ON head BEGIN SELECT RAISE(ABORT, 'the head is never removed'); END;
    CREATE TRIGGER gap_grows BEFORE UPDATE ON gap WHEN NEW.id <> 0 OR NEW.upto < OLD.upto
        BEGIN SELECT RAISE(ABORT, 'what was let go does not come back'); END;
    CREATE TRIGGER gap_lasts BEFORE DELETE ON gap BEGIN SELECT RAISE(ABORT, 'the gap is never removed'); END;
    CREATE TRIGGER cursors_advance BEFORE UPDATE ON cursors WHEN NEW.seq < OLD.seq
        BEGIN SELECT RAISE(ABORT, 'a cursor never moves back'); END;
    ",
    steps: &["
    DROP TRIGGER head_follows;
    DROP TRIGGER records_last;
    ALTER TABLE head ADD COLUMN key TEXT NOT NULL DEFAULT '';
    ALTER TABLE head ADD COLUMN sig TEXT NOT NULL DEFAULT '';
    CREATE TABLE gap (id INTEGER PRIMARY KEY CHECK (id = 0), upto INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;
    INSERT INTO gap VALUES (0, 0, '0000000000000000000000000000000000000000000000000000000000000000');
    CREATE TRIGGER records_last BEFORE DELETE ON records WHEN OLD.seq > (SELECT upto FROM gap)
        BEGIN SELECT RAISE(ABORT, 'records are removed by the ring alone'); END;
    CREATE TRIGGER head_follows BEFORE UPDATE ON head
        WHEN NEW.id <> 0 OR NEW.seq NOT IN (OLD.seq, OLD.seq + 1) OR (NEW.seq = OLD.seq AND NEW.hash <> OLD.hash)
        BEGIN SELECT RAISE(ABORT, 'the head moves on by one'); END;
    CREATE TRIGGER gap_grows BEFORE UPDATE ON gap WHEN NEW.id <> 0 OR NEW.upto < OLD.upto
        BEGIN SELECT RAISE(ABORT, 'what was let go does not come back'); END;
    CREATE TRIGGER gap_lasts BEFORE DELETE ON gap BEGIN SELECT RAISE(ABORT, 'the gap is never removed'); END;
    "],
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
    /// `None` in a reader.
    key: Option<DeviceKey>,
    /// What heads are checked by, or why there is nothing.
    public: Result<PublicKey, String>,
    /// The head that this handle has written, or whose signature it has checked.
    trusted: (u64, String),
    /// Number of the record whose head lies beside the journal.
    kept: u64,
}

/// Records that go at once when the ring is full, and by how many it may be fuller than asked for.
const STEP: u64 = 1000;
/// At most so many go in one transaction: a grant that comes meanwhile waits for it.
const MOST: u64 = 2 * STEP;

/// Records, and the head that the last of them makes.
type Written = (Vec<Record>, (u64, String));

impl SqliteJournal {
    /// Opens the journal for writing; makes the directory (0700), the file (0600) and the reserve if they are absent.
    ///
    /// # Errors
    /// A foreign or newer file, one whose last record is not the one that was written last, or no right to write.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        files::private_dir(dir)?;
        let path = dir.join(FILE);
        let conn = match migrate::open(&path, &LAYOUT) {
            // Opening needs a few pages for the WAL's index.
            Err(e) if starved(&e, dir) && Reserve::existing(dir).release() => migrate::open(&path, &LAYOUT)?,
            other => other?,
        };
        let reserve = Some(Reserve::take(dir));
        let (key, public, trusted) = (None, Err("no key was taken".to_owned()), (0, GENESIS.to_owned()));
        let mut journal = SqliteJournal { conn, path, reserve, key, public, trusted, kept: 0 };
        journal.take_key(dir)?;
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
        let mut conn = migrate::connect(&path, &LAYOUT)?;
        if migrate::check(&conn, &LAYOUT, &path)? {
            let hint = "start the daemon once, or check --state";
            return Err(StoreError::new(Trouble::Missing, &path, "open", "the journal is empty", hint));
        }
        migrate::prepare(&mut conn, &LAYOUT, &path)?;
        let public = DeviceKey::existing(dir)
            .map(|k| k.public())
            .map_err(|e| format!("the signature cannot be checked: {}: {}; give --key", e.port.what, e.port.cause));
        let trusted = (0, GENESIS.to_owned());
        Ok(SqliteJournal { conn, path, reserve: None, key: None, public, trusted, kept: 0 })
    }

    /// The control of the power-cut test, which must see this lose records: a commit no longer waits for the disk. No
    /// configuration leads here.
    #[doc(hidden)]
    pub fn without_waiting_for_the_disk(&mut self) {
        if let Err(e) = self.conn.pragma_update(None, "synchronous", "normal") {
            tracing::error!(error = %e, "the control of the power-cut test is none");
        }
    }

    /// Heads are checked by this key from now on, instead of the one that lies beside the journal.
    pub fn trust(&mut self, key: PublicKey) {
        self.public = Ok(key);
    }

    /// What heads are checked by.
    ///
    /// # Errors
    /// Why there is nothing.
    pub fn public_key(&self) -> Result<PublicKey, String> {
        self.public.clone()
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
        Err(self.in_doubt(format!("record {seq}, the last one written, is not at the end of the file any more")))
    }

    /// Writes all of them, and with the last one its signature, in one transaction.
    fn try_append(&self, drafts: &[Draft]) -> Result<Written, StoreError> {
        let tx = self.begin()?;
        let written = self.chain_on(&tx, drafts)?;
        tx.commit().map_err(|e| self.sql("append to", &e))?;
        Ok(written)
    }

    /// Writes the record of a gap, and lets go what it stands for.
    fn try_prune(&self, draft: &Draft) -> Result<Written, StoreError> {
        let sql = |e: rusqlite::Error| self.sql("make room in", &e);
        let Event::SystemLogGap { first, last, hash } = &draft.event else {
            let hint = "report this";
            return Err(StoreError::new(Trouble::Io, &self.path, "make room in", "this is no record of a gap", hint));
        };
        let tx = self.begin()?;
        let (upto, _) = chain::gap(&tx).map_err(sql)?;
        let of: Option<String> = tx
            .query_row("SELECT hash FROM records WHERE seq = ?1", [wide(*last)], |r| r.get(0))
            .optional()
            .map_err(sql)?;
        if *first != upto + 1 || of.as_ref() != Some(hash) {
            let cause = format!("records {first} to {last} are not the oldest ones any more");
            return Err(StoreError::new(Trouble::Io, &self.path, "make room in", cause, "it is tried again"));
        }
        let written = self.chain_on(&tx, std::slice::from_ref(draft))?;
        tx.execute("UPDATE gap SET upto = ?1, hash = ?2", params![wide(*last), hash]).map_err(sql)?;
        tx.execute("DELETE FROM records WHERE seq <= ?1", [wide(*last)]).map_err(sql)?;
        tx.commit().map_err(sql)?;
        Ok(written)
    }

    fn begin(&self) -> Result<rusqlite::Transaction<'_>, StoreError> {
        rusqlite::Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate)
            .map_err(|e| self.sql("append to", &e))
    }

    /// The records, and the head that the last of them makes.
    fn chain_on(&self, tx: &Connection, drafts: &[Draft]) -> Result<Written, StoreError> {
        let sql = |e: rusqlite::Error| self.sql("append to", &e);
        let Some(key) = &self.key else {
            let hint = "open the journal for writing";
            return Err(StoreError::new(Trouble::Permission, &self.path, "append to", "opened for reading", hint));
        };
        let (mut seq, mut prev) = self.vouched(tx)?;
        let mut records = Vec::with_capacity(drafts.len());
        for draft in drafts {
            seq += 1;
            let record = draft.seal(seq, prev);
            let text = record.text();
            let hash = chain_hash(&text);
            let last = records.len() + 1 == drafts.len();
            let sig = if last { key.sign(&SignedHead::signed_text(seq, &hash)) } else { String::new() };
            let write =
                || -> rusqlite::Result<()> {
                    tx.prepare_cached("INSERT INTO records (seq, text, hash) VALUES (?1, ?2, ?3)")?
                        .execute(params![wide(seq), text, hash])?;
                    let mut head = tx.prepare_cached("UPDATE head SET seq = ?1, hash = ?2, sig = ?3")?;
                    head.execute(params![wide(seq), hash, sig]).map(drop)
                };
            write().map_err(sql)?;
            records.push(record);
            prev = hash;
        }
        Ok((records, (seq, prev)))
    }

    /// `write`, and once more with the space that was held back when the disk is full.
    fn with_reserve(&mut self, write: impl Fn(&Self) -> Result<Written, StoreError>) -> Result<Vec<Record>, PortError> {
        let dir = files::parent(&self.path).to_owned();
        let mut done = write(self);
        if let (Err(e), Some(reserve)) = (&done, &mut self.reserve)
            && starved(e, &dir)
            && reserve.release()
        {
            tracing::error!(path = %self.path.display(), "disk full: the journal's reserve is in use");
            done = write(self);
        }
        match done {
            Ok((records, head)) => {
                self.trusted = head;
                if let Some(reserve) = &mut self.reserve {
                    reserve.restore();
                }
                Ok(records)
            }
            Err(e) if e.trouble == Trouble::Full => {
                let cause = "the disk is full and the journal's reserve is used up";
                let hint = "free space on that file system; the door refuses everybody until records can be written";
                Err(StoreError::new(Trouble::Full, &self.path, "append to", cause, hint).into())
            }
            Err(e) => Err(e.into()),
        }
    }

    fn read_signed_head(&self) -> Result<Option<SignedHead>, StoreError> {
        chain::signed_head(&self.conn).map_err(|e| self.sql("read", &e))
    }
}

impl Journal for SqliteJournal {
    fn append(&mut self, draft: &Draft) -> Result<Record, PortError> {
        let mut records = self.append_all(std::slice::from_ref(draft))?;
        records.pop().ok_or_else(|| PortError::new("append", "nothing was written", "report this", Recovery::Fatal))
    }

    fn append_all(&mut self, drafts: &[Draft]) -> Result<Vec<Record>, PortError> {
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        self.with_reserve(|journal| journal.try_append(drafts))
    }

    fn starved(&mut self) -> bool {
        self.reserve.as_mut().is_some_and(|r| {
            r.restore();
            !r.held()
        })
    }

    fn surplus(&mut self, keep: u64) -> Result<Option<LogGap>, PortError> {
        let sql = |e: rusqlite::Error| self.sql("read", &e);
        let (upto, _) = chain::gap(&self.conn).map_err(sql)?;
        let (seq, _) = chain::head(&self.conn).map_err(sql)?;
        if seq.saturating_sub(upto) < keep.saturating_add(STEP) {
            return Ok(None);
        }
        let last = (seq - keep).min(upto + MOST);
        let hash = self
            .conn
            .query_row("SELECT hash FROM records WHERE seq = ?1", [wide(last)], |r| r.get(0))
            .optional()
            .map_err(sql)?;
        Ok(hash.map(|hash| LogGap { first: upto + 1, last, hash }))
    }

    fn prune(&mut self, draft: &Draft) -> Result<Record, PortError> {
        let mut records = self.with_reserve(|journal| journal.try_prune(draft))?;
        records.pop().ok_or_else(|| PortError::new("make room", "nothing was written", "report this", Recovery::Fatal))
    }

    fn signed_head(&mut self) -> Result<Option<SignedHead>, PortError> {
        Ok(self.read_signed_head()?)
    }

    fn keep_head(&mut self) -> Result<Option<SignedHead>, PortError> {
        Ok(self.keep_newest()?)
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
        Ok(self.check()?)
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

impl Drop for SqliteJournal {
    fn drop(&mut self) {
        if let Err(e) = self.keep_newest() {
            tracing::warn!(error = %e, "the newest head could not be kept beside the journal");
        }
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
