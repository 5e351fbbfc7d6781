//! What outlives the process: the journal of records and the encrypted people, each one SQLite file in the state
//! directory, readable by the daemon's user alone.
//!
//! * *journal*: append-only, chained by hashes, committed with an fsync before anybody hears of a record.
//! * *door*: what a door remembers over restarts: failures, entries, the latest time that was believed.
//! * *people*: templates sealed under a key per person; removing a person destroys that key.
//! * *site*: what is here of the site's directory, and what it and the people here last agreed on.
//! * *commands*: lockdown and the ids of commands that were used, so that a restart forgets neither.
//! * *reserve*: disk space held back, so that records can still be written when the disk is full.

mod attributes;
mod carry;
mod chain;
mod commands;
mod device_key;
mod door;
mod export;
mod files;
mod head_file;
mod journal;
mod key;
mod migrate;
mod orders;
mod people;
pub mod pin;
pub mod receipt;
mod reserve;
mod seal;
mod site;

pub use carry::{Carry, is_person};
pub use commands::CommandFile;
pub use door::DoorMemory;
pub use journal::SqliteJournal;
pub use key::KeySource;
pub use people::{EncryptedPeople, Removal};
pub use site::SiteFile;

use crate::ports::{PortError, Recovery};
use rusqlite::ErrorCode;
use std::path::{Path, PathBuf};

pub use attributes::Current;
pub use chain::{Broken, Walk};
pub use device_key::{DeviceKey, PublicKey};

/// What kind of trouble it is: commands choose their exit code by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The file is not there and was not to be made.
    Missing,
    /// The file is there but may not be used as it is: wrong owner or mode.
    Permission,
    /// The content is not what it must be: foreign, newer, damaged, tampered with, or another key.
    Data,
    /// The disk is full.
    Full,
    /// The operation itself failed.
    Io,
}

/// A store failed: which file, what kind of trouble, and the three parts that every port error has.
#[derive(Debug, thiserror::Error)]
#[error("{port}")]
pub struct StoreError {
    pub trouble: Trouble,
    pub path: PathBuf,
    pub port: PortError,
}

impl From<StoreError> for PortError {
    fn from(e: StoreError) -> Self {
        e.port
    }
}

impl StoreError {
    fn new(trouble: Trouble, path: &Path, what: &str, cause: impl ToString, hint: impl Into<String>) -> Self {
        let recovery = match trouble {
            Trouble::Full => Recovery::Degrade,
            Trouble::Io => Recovery::Reopen,
            Trouble::Missing | Trouble::Permission | Trouble::Data => Recovery::Fatal,
        };
        let port = PortError::new(format!("{what} {}", path.display()), cause, hint, recovery);
        StoreError { trouble, path: path.to_owned(), port }
    }

    /// Sorts an error of the operating system into its kind.
    fn io(path: &Path, what: &str, e: &std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let (trouble, hint) = match e.kind() {
            K::NotFound => (Trouble::Missing, "check the path, or --state"),
            K::PermissionDenied | K::ReadOnlyFilesystem => {
                (Trouble::Permission, "run as the user that owns the state directory, or point --state elsewhere")
            }
            K::StorageFull | K::QuotaExceeded => (Trouble::Full, "free space on that file system"),
            _ => (Trouble::Io, "check the disk and try again"),
        };
        StoreError::new(trouble, path, what, e, hint)
    }

    /// Sorts an error of the database into its kind.
    fn sql(path: &Path, what: &str, e: &rusqlite::Error) -> Self {
        let (trouble, hint) = match e.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => (Trouble::Full, "free space on that file system"),
            Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
                (Trouble::Permission, "run as the user that owns the state directory, or point --state elsewhere")
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                (Trouble::Io, "another process holds the file; try again")
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                (Trouble::Data, "keep a copy of the file for study and restore it from a backup")
            }
            _ => (Trouble::Io, "check the disk and try again"),
        };
        StoreError::new(trouble, path, what, e, hint)
    }
}
