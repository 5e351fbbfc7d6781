//! Whose word stands for the journal: taking the key, checking signatures and heads that were kept.

use super::{DeviceKey, SqliteJournal, chain, head_file, wide};
use crate::adapters::store::{StoreError, Trouble, files};
use crate::ports::{ChainReport, Journal, PortError};
use crate::schema::head::SignedHead;
use crate::schema::record::{GENESIS, chain_hash};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::path::Path;

impl SqliteJournal {
    /// Takes the device key, and checks that it is the one which has signed what is here, up to the head that was kept.
    /// A journal that nobody has signed yet is signed now.
    pub(super) fn take_key(&mut self, dir: &Path) -> Result<(), StoreError> {
        let sql = |e: rusqlite::Error| self.sql("open", &e);
        let tx = rusqlite::Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate).map_err(sql)?;
        let (seq, hash) = self.last(&tx)?;
        let named: String = tx.query_row("SELECT key FROM head", [], |r| r.get(0)).map_err(sql)?;
        let key = if named.is_empty() {
            // New, or of a version that did not sign. A key that is there already would have signed it.
            if seq > 0 && DeviceKey::existing(dir).is_ok() {
                return Err(self.in_doubt(format!("its {seq} records are not signed, although this device has a key")));
            }
            let key = DeviceKey::or_make(dir)?;
            let sig = if seq > 0 { key.sign(&SignedHead::signed_text(seq, &hash)) } else { String::new() };
            tx.execute("UPDATE head SET key = ?1, sig = ?2", params![key.public().hex(), sig]).map_err(sql)?;
            tx.commit().map_err(sql)?;
            key
        } else {
            let key = DeviceKey::existing(dir).map_err(|e| match e.trouble {
                Trouble::Missing => {
                    let hint = "put device.key back; without it, move journal.db and journal.head away to begin anew";
                    StoreError::new(Trouble::Data, &e.path, "read", "the key that signs the journal is missing", hint)
                }
                _ => e,
            })?;
            if seq == 0 && named != key.public().hex() {
                return Err(self.in_doubt("it was begun with another key than this device's"));
            }
            if let Some(why) = self.doubt(&tx, seq, &key)? {
                return Err(self.in_doubt(why));
            }
            drop(tx);
            key
        };
        self.public = Ok(key.public());
        self.trusted = (seq, hash);
        self.key = Some(key);
        match self.against_kept(seq)? {
            (_, Some((_, cause))) => return Err(self.in_doubt(cause)),
            (kept, None) => self.kept = kept,
        }
        // After an upgrade, or where somebody took it away. A full disk must not keep the door's journal shut.
        if let Err(e) = self.keep_newest() {
            tracing::warn!(error = %e, "the newest head could not be kept beside the journal");
        }
        Ok(())
    }

    /// Why the head is not this key's.
    fn doubt(&self, conn: &Connection, seq: u64, key: &DeviceKey) -> Result<Option<String>, StoreError> {
        if seq == 0 {
            return Ok(None);
        }
        let head = chain::signed_head(conn).map_err(|e| self.sql("read", &e))?;
        let Some(head) = head else { return Ok(Some("its head is not signed".into())) };
        Ok(key.public().check(&head).err())
    }

    /// The head to chain on. One that another process has written is believed by its signature alone: whoever can write
    /// the file, but has no key, must not have records signed that we did not write.
    pub(super) fn vouched(&self, tx: &Connection) -> Result<(u64, String), StoreError> {
        let head = self.last(tx)?;
        if head != self.trusted
            && let Some(key) = &self.key
            && let Some(why) = self.doubt(tx, head.0, key)?
        {
            return Err(self.in_doubt(why));
        }
        Ok(head)
    }

    pub(super) fn in_doubt(&self, cause: impl ToString) -> StoreError {
        let hint =
            "run `cardea events verify`, keep journal.db and journal.head for study, and move both away to begin anew";
        StoreError::new(Trouble::Data, &self.path, "continue", cause, hint)
    }

    /// Every record, the signature of the head, and the head that was kept beside the journal.
    pub(super) fn check(&mut self) -> Result<ChainReport, StoreError> {
        // Before the records, since a daemon may go on writing both.
        let kept = head_file::read(files::parent(&self.path))?;
        let mut report =
            chain::check(&mut self.conn, self.public.clone()).map_err(|e| StoreError::sql(&self.path, "check", &e))?;
        if report.first_bad_seq.is_some() {
            return Ok(report);
        }
        let (seq, _) = chain::head(&self.conn).map_err(|e| self.sql("read", &e))?;
        let fault = match kept {
            Err(why) => Some((seq, why)),
            Ok(None) => None,
            Ok(Some(head)) => self.against(&head, seq)?,
        };
        if let Some((bad, cause)) = fault {
            (report.first_bad_seq, report.cause) = (Some(bad), Some(cause));
        }
        Ok(report)
    }

    /// Number of the record whose head was kept, and what is wrong with it in a journal that ends at `seq`.
    fn against_kept(&self, seq: u64) -> Result<(u64, Option<(u64, String)>), StoreError> {
        match head_file::read(files::parent(&self.path))? {
            Err(why) => Ok((0, Some((seq, why)))),
            Ok(None) => Ok((0, None)),
            Ok(Some(head)) => Ok((head.seq, self.against(&head, seq)?)),
        }
    }

    /// What is wrong between a head that was kept and a journal that ends at `seq` or later.
    fn against(&self, head: &SignedHead, seq: u64) -> Result<Option<(u64, String)>, StoreError> {
        if let Ok(key) = &self.public
            && let Err(why) = key.check(head)
        {
            return Ok(Some((seq, format!("journal.head: {why}"))));
        }
        let found = self.compare(head.seq, &head.hash, seq)?;
        Ok(found.map(|(bad, cause)| (bad, format!("{cause}, by journal.head"))))
    }

    /// Whether record `seq` is here with that hash, in a journal that ends at `end` or later.
    fn compare(&self, seq: u64, hash: &str, end: u64) -> Result<Option<(u64, String)>, StoreError> {
        if seq > end {
            return Ok(Some((end + 1, format!("the journal ends here, but record {seq} was seen elsewhere"))));
        }
        let (upto, of) = chain::gap(&self.conn).map_err(|e| self.sql("read", &e))?;
        if seq < upto {
            // Let go since; nothing is left to compare.
            return Ok(None);
        }
        let found = if seq == upto {
            Some(of)
        } else {
            self.conn
                .query_row("SELECT text FROM records WHERE seq = ?1", [wide(seq)], |r| r.get::<_, String>(0))
                .optional()
                .map_err(|e| self.sql("read", &e))?
                .map(|text| chain_hash(&text))
        };
        let same = found.as_deref() == Some(hash) || (seq == 0 && hash == GENESIS);
        Ok((!same).then(|| (seq, "the record is not the one that was seen elsewhere".to_owned())))
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
        let (end, _) = chain::head(&self.conn).map_err(|e| self.sql("read", &e))?;
        if let Some((bad, cause)) = self.compare(seq, hash, end)? {
            (report.first_bad_seq, report.cause) = (Some(bad), Some(cause));
        }
        Ok(report)
    }

    /// Keeps the newest head beside the journal unless it lies there already; returns it when it is news.
    pub(super) fn keep_newest(&mut self) -> Result<Option<SignedHead>, StoreError> {
        let Some(head) = self.read_signed_head()? else { return Ok(None) };
        if self.key.is_none() || head.seq <= self.kept {
            return Ok(None);
        }
        // Only what this handle vouches for: what another process wrote since is that one's to keep.
        if (head.seq, &head.hash) != (self.trusted.0, &self.trusted.1) {
            return Ok(None);
        }
        head_file::write(files::parent(&self.path), &head)?;
        self.kept = head.seq;
        Ok(Some(head))
    }
}
