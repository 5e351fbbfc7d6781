//! What is here of the site's directory: `site.db`. Blobs as they came, sealed; heads, and what was agreed on with the
//! people here, as small texts; what an administrator orders. No name stands here in clear.

use super::migrate::{self, Layout};
use super::{StoreError, files, orders};
use crate::ports::{PortError, Shelf};
use crate::schema::directory::Digest;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const LAYOUT: Layout = Layout {
    application_id: 0x4361_5369,
    version: 1,
    name: "site's directory",
    sql: "
    CREATE TABLE blobs (digest BLOB PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
    CREATE TABLE texts (name TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;
    CREATE TABLE orders (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
    ",
    steps: &[],
};

const FILE: &str = "site.db";

/// The file.
pub struct SiteFile {
    conn: Connection,
    path: PathBuf,
}

impl SiteFile {
    /// Opens the file of a state directory; it is made (0600) if absent.
    ///
    /// # Errors
    /// A foreign, newer or damaged file, or one that cannot be made.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        files::private_dir(dir)?;
        let path = dir.join(FILE);
        let conn = migrate::open(&path, &LAYOUT)?;
        Ok(SiteFile { conn, path })
    }

    /// Whether there is such a file.
    #[must_use]
    pub fn exists(dir: &Path) -> bool {
        dir.join(FILE).exists()
    }

    /// Leaves an order for the daemon; durable on return.
    ///
    /// # Errors
    /// Nothing was written.
    pub fn order(&self, text: &str) -> Result<(), StoreError> {
        orders::leave(&self.conn, &self.path, text)
    }

    /// Orders that nobody has carried out, oldest first, with their numbers.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn orders(&self) -> Result<Vec<(i64, String)>, StoreError> {
        orders::waiting(&self.conn, &self.path)
    }

    /// An order was carried out.
    ///
    /// # Errors
    /// Nothing was written: it will be carried out again.
    pub fn done(&self, id: i64) -> Result<(), StoreError> {
        orders::done(&self.conn, &self.path, id)
    }

    fn write(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>) -> Result<(), PortError> {
        let done = || {
            let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate)?;
            work(&tx)?;
            tx.commit()
        };
        done().map_err(|e| StoreError::sql(&self.path, "write to", &e).into())
    }
}

impl Shelf for SiteFile {
    fn blob(&mut self, digest: &Digest) -> Result<Option<Vec<u8>>, PortError> {
        let read = || {
            let mut one = self.conn.prepare_cached("SELECT sealed FROM blobs WHERE digest = ?1")?;
            one.query_row([&digest.0[..]], |r| r.get(0)).optional()
        };
        read().map_err(|e| StoreError::sql(&self.path, "read", &e).into())
    }

    fn put(&mut self, blobs: &[(Digest, Vec<u8>)], texts: &[(&str, Option<&str>)]) -> Result<(), PortError> {
        self.write(|tx| {
            let mut put = tx.prepare_cached("INSERT OR IGNORE INTO blobs VALUES (?1, ?2)")?;
            for (digest, sealed) in blobs {
                put.execute(params![&digest.0[..], sealed])?;
            }
            for (name, text) in texts {
                match text {
                    Some(text) => tx.execute("INSERT OR REPLACE INTO texts VALUES (?1, ?2)", params![name, text])?,
                    None => tx.execute("DELETE FROM texts WHERE name = ?1", [name])?,
                };
            }
            Ok(())
        })
    }

    fn keep_only(&mut self, keep: &BTreeSet<Digest>) -> Result<(), PortError> {
        let read = || -> rusqlite::Result<Vec<[u8; 32]>> {
            let mut all = self.conn.prepare_cached("SELECT digest FROM blobs")?;
            all.query_map([], |r| r.get(0))?.collect()
        };
        let all = read().map_err(|e| StoreError::sql(&self.path, "read", &e))?;
        let old: Vec<[u8; 32]> = all.into_iter().filter(|d| !keep.contains(&Digest(*d))).collect();
        if old.is_empty() {
            return Ok(());
        }
        self.write(|tx| {
            let mut delete = tx.prepare_cached("DELETE FROM blobs WHERE digest = ?1")?;
            old.iter().try_for_each(|d| delete.execute([&d[..]]).map(drop))
        })
    }

    fn texts(&mut self, prefix: &str) -> Result<Vec<(String, String)>, PortError> {
        let read = || -> rusqlite::Result<Vec<(String, String)>> {
            let sql = "SELECT name, text FROM texts WHERE substr(name, 1, length(?1)) = ?1 ORDER BY name";
            let mut all = self.conn.prepare_cached(sql)?;
            all.query_map([prefix], |r| Ok((r.get(0)?, r.get(1)?)))?.collect()
        };
        read().map_err(|e| StoreError::sql(&self.path, "read", &e).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_keeps_blobs_and_texts_over_a_restart_and_forgets_what_is_not_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut file = SiteFile::open(dir.path()).expect("opens");
        let (one, two) = (Digest([1; 32]), Digest([2; 32]));
        let blobs = [(one, vec![1; 100]), (two, b"a-blob-to-forget".to_vec())];
        file.put(&blobs, &[("head/a", Some("1")), ("head/b", Some("2")), ("other", Some("3"))]).expect("writes");
        file.put(&[], &[("head/b", None)]).expect("writes");
        file.order("revoke\tada").expect("writes");
        drop(file);
        let mut file = SiteFile::open(dir.path()).expect("opens");
        assert_eq!(file.blob(&one).expect("reads"), Some(vec![1; 100]));
        assert_eq!(file.texts("head/").expect("reads"), [("head/a".to_owned(), "1".to_owned())]);
        file.keep_only(&BTreeSet::from([one])).expect("writes");
        assert_eq!((file.blob(&one).expect("reads").is_some(), file.blob(&two).expect("reads")), (true, None));
        let orders = file.orders().expect("reads");
        assert_eq!(orders[0].1, "revoke\tada");
        file.done(orders[0].0).expect("writes");
        assert!(file.orders().expect("reads").is_empty());
    }
}
