//! What a door must remember over restarts: `door.db`. Failures, entries, the lockdown, the latest time that was believed,
//! each as a small text under a name; and what an administrator orders while the daemon may be running.
//!
//! It is a file of its own, so that an entry does not look like a change of the people.

use super::migrate::{self, Layout};
use super::{StoreError, files, orders};
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};

const LAYOUT: Layout = Layout {
    application_id: 0x4361_446f,
    version: 1,
    name: "door's memory",
    sql: "
    CREATE TABLE state (name TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;
    CREATE TABLE orders (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
    ",
    steps: &[],
};

const FILE: &str = "door.db";

/// The door's memory.
pub struct DoorMemory {
    conn: Connection,
    path: PathBuf,
}

impl DoorMemory {
    /// Opens the memory of a state directory; it is made (0600) if absent.
    ///
    /// # Errors
    /// A foreign, newer or damaged file, or one that cannot be made.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        files::private_dir(dir)?;
        let path = dir.join(FILE);
        let conn = migrate::open(&path, &LAYOUT)?;
        Ok(DoorMemory { conn, path })
    }

    /// What stands under a name.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn get(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.conn
            .query_row("SELECT text FROM state WHERE name = ?1", [name], |r| r.get(0))
            .optional()
            .map_err(|e| StoreError::sql(&self.path, "read", &e))
    }

    /// Puts a text under a name; durable on return.
    ///
    /// # Errors
    /// Nothing was written.
    pub fn put(&self, name: &str, text: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO state VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET text = excluded.text";
        match self.conn.execute(sql, params![name, text]) {
            Ok(_) => Ok(()),
            Err(e) => Err(StoreError::sql(&self.path, "write to", &e)),
        }
    }

    /// Leaves an order for the daemon, which takes it within a second, or when it starts; durable on return.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_there_after_a_restart_and_orders_are_taken_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let door = DoorMemory::open(dir.path()).expect("opens");
        assert_eq!(door.get("lockout").expect("reads"), None);
        let synchronous: i64 = door.conn.pragma_query_value(None, "synchronous", |r| r.get(0)).expect("says");
        assert_eq!(synchronous, 2, "FULL");
        door.put("lockout", "1").expect("writes");
        door.put("lockout", "2").expect("writes");
        let other = DoorMemory::open(dir.path()).expect("a second process");
        other.order("lockdown").expect("writes");
        other.order("person\tada").expect("writes");
        drop(door);
        let door = DoorMemory::open(dir.path()).expect("opens");
        assert_eq!(door.get("lockout").expect("reads").as_deref(), Some("2"));
        let orders = door.orders().expect("reads");
        assert_eq!(orders.iter().map(|(_, t)| t.as_str()).collect::<Vec<_>>(), ["lockdown", "person\tada"]);
        door.done(orders[0].0).expect("writes");
        assert_eq!(door.orders().expect("reads").len(), 1);
    }
}
