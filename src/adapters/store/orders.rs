//! The table `orders` of a database: what an administrator leaves for the daemon, carried out once.

use super::StoreError;
use rusqlite::Connection;
use std::path::Path;

/// Leaves an order; durable on return.
pub(super) fn leave(conn: &Connection, path: &Path, text: &str) -> Result<(), StoreError> {
    let done = conn.execute("INSERT INTO orders (text) VALUES (?1)", [text]);
    done.map(drop).map_err(|e| StoreError::sql(path, "write to", &e))
}

/// Orders that nobody has carried out, oldest first, with their numbers.
pub(super) fn waiting(conn: &Connection, path: &Path) -> Result<Vec<(i64, String)>, StoreError> {
    let sql = |e: rusqlite::Error| StoreError::sql(path, "read", &e);
    let mut all = conn.prepare_cached("SELECT id, text FROM orders ORDER BY id").map_err(sql)?;
    let rows = all.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).map_err(sql)?;
    rows.map(|r| r.map_err(sql)).collect()
}

/// An order was carried out.
pub(super) fn done(conn: &Connection, path: &Path, id: i64) -> Result<(), StoreError> {
    let done = conn.execute("DELETE FROM orders WHERE id = ?1", [id]);
    done.map(drop).map_err(|e| StoreError::sql(path, "write to", &e))
}
