//! The inferences of S1's clients, as `GET /logs` tells them: a table of its own, since they are no records of the door.
//! No picture and no name is in it; the oldest rows go.

use crate::adapters::web::look::Look;
use crate::ports::{PortError, Recovery};
use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::{Value, json};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

/// Rows that are kept: a quarter of an hour of one client.
const KEPT: i64 = 10_000;
/// Rows after which old ones go.
const SWEEP: i64 = 500;

// The rows may be lost with the machine: a hundred clients must not make the disk wait a thousand times a second.
const LAYOUT: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = OFF;
    CREATE TABLE IF NOT EXISTS inferences (id INTEGER PRIMARY KEY, timestamp TEXT NOT NULL, is_real INTEGER NOT NULL,
        confidence REAL NOT NULL, active_check_passed INTEGER NOT NULL, active_check_message TEXT NOT NULL,
        metadata TEXT NOT NULL) STRICT;
    ";

/// One inference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Row {
    id: i64,
    /// RFC 3339, UTC.
    timestamp: String,
    is_real: bool,
    confidence: f64,
    active_check_passed: bool,
    active_check_message: String,
    metadata: Value,
}

impl Row {
    pub(super) fn new(is_real: bool, confidence: f64, passed: bool, message: &str, look: &Look) -> Self {
        Row {
            id: 0,
            timestamp: jiff::Timestamp::now().to_string(),
            is_real,
            confidence,
            active_check_passed: passed,
            active_check_message: message.to_owned(),
            metadata: json!({"faces": look.faces, "width": look.size.0, "height": look.size.1}),
        }
    }
}

pub(super) struct Log {
    /// `None` when it could not be opened: then nothing is logged, and `/logs` says so.
    conn: Option<Mutex<Connection>>,
    path: PathBuf,
}

impl Log {
    /// Opens or makes the file, mode 0600.
    pub(super) fn open(state: &Path) -> Self {
        let path = state.join("compat-s1.db");
        let open = || -> Result<Connection, Box<dyn std::error::Error>> {
            std::fs::OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
            let conn = Connection::open(&path)?;
            conn.execute_batch(LAYOUT)?;
            Ok(conn)
        };
        let conn = match open() {
            Ok(conn) => Some(Mutex::new(conn)),
            Err(e) => {
                tracing::error!(error = %e, path = %path.display(), "inferences of s1 are not logged");
                None
            }
        };
        Log { conn, path }
    }

    /// Adds a row; one that cannot be written is lost, and the log says so.
    pub(super) fn add(&self, row: &Row) {
        let write = |conn: &Connection| -> rusqlite::Result<()> {
            conn.prepare_cached("INSERT INTO inferences VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
                row.timestamp,
                row.is_real,
                row.confidence,
                row.active_check_passed,
                row.active_check_message,
                row.metadata.to_string()
            ])?;
            let id = conn.last_insert_rowid();
            if id % SWEEP == 0 {
                conn.execute("DELETE FROM inferences WHERE id <= ?1", [id - KEPT])?;
            }
            Ok(())
        };
        if let Some(Err(e)) = self.conn().map(|c| write(&c)) {
            tracing::warn!(error = %e, path = %self.path.display(), "an inference of s1 was not logged");
        }
    }

    /// The newest rows, newest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn newest(&self, limit: usize) -> Result<Vec<Row>, PortError> {
        let failed = |e: String| {
            PortError::new(format!("read {}", self.path.display()), e, "check the disk and the file", Recovery::Degrade)
        };
        let conn = self.conn().ok_or_else(|| failed("it could not be opened".into()))?;
        let read = || -> rusqlite::Result<Vec<Row>> {
            let mut rows = conn.prepare_cached("SELECT * FROM inferences ORDER BY id DESC LIMIT ?1")?;
            let row = |r: &rusqlite::Row<'_>| {
                let metadata: String = r.get(6)?;
                Ok(Row {
                    id: r.get(0)?,
                    timestamp: r.get(1)?,
                    is_real: r.get(2)?,
                    confidence: r.get(3)?,
                    active_check_passed: r.get(4)?,
                    active_check_message: r.get(5)?,
                    metadata: serde_json::from_str(&metadata).unwrap_or(Value::Null),
                })
            };
            rows.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], row)?.collect()
        };
        read().map_err(|e| failed(e.to_string()))
    }

    fn conn(&self) -> Option<MutexGuard<'_, Connection>> {
        self.conn.as_ref().map(|c| c.lock().expect("log mutex: no holder panics"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_rows_come_first_and_old_ones_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = Log::open(dir.path());
        let row = |n: i64| Row::new(n % 2 == 0, 0.9, false, "Please blink", &Look::default());
        for n in 1..=KEPT + SWEEP {
            log.add(&row(n));
        }
        let newest = log.newest(2).expect("read");
        assert_eq!(newest.iter().map(|r| r.id).collect::<Vec<_>>(), [KEPT + SWEEP, KEPT + SWEEP - 1]);
        assert!(newest[0].is_real && !newest[1].is_real && newest[0].active_check_message == "Please blink");
        assert_eq!(log.newest(usize::MAX).expect("read").len(), usize::try_from(KEPT).expect("small"));
        drop(log);
        assert_eq!(Log::open(dir.path()).newest(1).expect("read").len(), 1, "they are on the disk");
    }
}
