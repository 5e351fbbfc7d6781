//! The master key: `$CREDENTIALS_DIRECTORY/people.key` of systemd if there is one, else `people.key` in the state
//! directory, 32 bytes, mode 0600.
//!
//! A key in the state directory is replaced whenever a person is removed, since an erased row can survive on flash
//! and the old key would still open it. The order makes a crash harmless: the new key is written beside the old one
//! under the name of its fingerprint, then the database commits to it, then it takes the old one's place.

use super::seal::{self, Key};
use super::{StoreError, Trouble, files};
use crate::schema::record::hex;
use sha2::{Digest, Sha256};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where the master key comes from.
#[derive(Clone, Debug)]
pub struct KeySource {
    file: PathBuf,
    credential: Option<PathBuf>,
}

/// The master key with its fingerprint, which the database keeps.
pub(super) struct Master {
    pub key: Key,
    pub id: String,
}

impl Master {
    fn new(key: Key) -> Self {
        let digest = Sha256::new().chain_update(b"cardea people key\0").chain_update(key.as_slice()).finalize();
        Master { key, id: hex(&digest[..16]) }
    }
}

impl KeySource {
    /// The key of a state directory, or the credential that systemd handed over.
    #[must_use]
    pub fn of_state(dir: &Path) -> Self {
        let credential = std::env::var_os("CREDENTIALS_DIRECTORY").map(|d| Path::new(&d).join("people.key"));
        KeySource { file: dir.join("people.key"), credential: credential.filter(|c| c.exists()) }
    }

    /// A key that is handed over from outside and never replaced.
    #[must_use]
    pub fn credential(dir: &Path, credential: PathBuf) -> Self {
        KeySource { file: dir.join("people.key"), credential: Some(credential) }
    }

    /// Whether the key can be replaced.
    pub(super) fn rotates(&self) -> bool {
        self.credential.is_none()
    }

    fn path(&self) -> &Path {
        self.credential.as_deref().unwrap_or(&self.file)
    }

    /// The key for a new store; made if there is none. The caller holds the database's write lock.
    pub(super) fn for_new_store(&self) -> Result<Master, StoreError> {
        match self.read(self.path()) {
            Err(e) if e.trouble == Trouble::Missing && self.rotates() => {
                let master = self.stage()?;
                self.promote(&master)?;
                Ok(master)
            }
            other => other,
        }
    }

    /// The key of that fingerprint. Finishes a replacement that a crash has interrupted.
    pub(super) fn find(&self, id: &str) -> Result<Master, StoreError> {
        let found = self.read(self.path());
        if let Ok(master) = &found
            && master.id == id
        {
            return found;
        }
        if self.rotates()
            && let Ok(staged) = self.read(&self.staged(id))
            && staged.id == id
        {
            // When another process was faster, its key lies in place by now.
            let promoted = self.promote(&staged);
            if promoted.is_ok() || self.read(&self.file).is_ok_and(|m| m.id == id) {
                return Ok(staged);
            }
            promoted?;
        }
        let hint =
            "put back the key that the people were enrolled with; without it, move people.db away and enrol again";
        match found {
            Ok(_) => {
                let cause = "this is not the key that the people are encrypted with";
                Err(StoreError::new(Trouble::Data, self.path(), "use", cause, hint))
            }
            Err(e) if e.trouble == Trouble::Missing => {
                Err(StoreError::new(Trouble::Data, self.path(), "read", "the key of people.db is missing", hint))
            }
            Err(e) => Err(e),
        }
    }

    /// A fresh key, durable beside the old one. Keys that an interrupted replacement left are removed: the caller
    /// holds the database's write lock, so nobody else is replacing, and the key in use was found by [`Self::find`].
    pub(super) fn stage(&self) -> Result<Master, StoreError> {
        let dir = files::parent(&self.file);
        for entry in std::fs::read_dir(dir).map_err(|e| StoreError::io(dir, "list", &e))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("people.key.") {
                erase(&entry.path());
            }
        }
        let master = Master::new(seal::new_key(&self.file)?);
        write_secret(&self.staged(&master.id), &master.key)?;
        Ok(master)
    }

    /// Puts a staged key in the place of the old one, whose bytes are overwritten.
    pub(super) fn promote(&self, staged: &Master) -> Result<(), StoreError> {
        let old = OpenOptions::new().write(true).open(&self.file);
        let from = self.staged(&staged.id);
        std::fs::rename(&from, &self.file).map_err(|e| StoreError::io(&from, "rename", &e))?;
        if let Ok(mut old) = old {
            let _best_effort = old.write_all(&[0; 32]).and_then(|()| old.sync_all());
        }
        let dir = files::parent(&self.file);
        std::fs::File::open(dir).and_then(|d| d.sync_all()).map_err(|e| StoreError::io(dir, "make durable", &e))
    }

    fn staged(&self, id: &str) -> PathBuf {
        self.file.with_file_name(format!("people.key.{id}"))
    }

    fn read(&self, path: &Path) -> Result<Master, StoreError> {
        read_secret(path, self.credential.is_some(), "the key of all templates").map(Master::new)
    }
}

/// 32 bytes that nobody else can read; `of` says in an error what others could.
pub(super) fn read_secret(path: &Path, credential: bool, of: &str) -> Result<Key, StoreError> {
    let meta = path.metadata().map_err(|e| StoreError::io(path, "read", &e))?;
    // systemd may give the group of a credential a bit through an ACL; its directory is private to the unit.
    let forbidden = if credential { 0o007 } else { 0o077 };
    if meta.mode() & forbidden != 0 {
        let cause = format!("mode {:04o} lets others read {of}", meta.mode() & 0o7777);
        let hint = format!("chmod 600 {}", path.display());
        return Err(StoreError::new(Trouble::Permission, path, "use", cause, hint));
    }
    let bytes = Zeroizing::new(std::fs::read(path).map_err(|e| StoreError::io(path, "read", &e))?);
    <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new).map_err(|_| {
        let cause = format!("the key has {} bytes instead of 32", bytes.len());
        StoreError::new(Trouble::Data, path, "use", cause, "put the right key back")
    })
}

/// A new file with a key, durable on return.
fn write_secret(path: &Path, key: &Key) -> Result<(), StoreError> {
    let io = |e: std::io::Error| StoreError::io(path, "write", &e);
    let mut file = files::create_new(path).map_err(io)?;
    file.write_all(key.as_slice()).map_err(io)?;
    files::sync_new(path, &file)
}

/// Overwrites and removes a key that nobody uses.
fn erase(path: &Path) {
    if let Ok(mut old) = OpenOptions::new().write(true).open(path) {
        let _best_effort = old.write_all(&[0; 32]).and_then(|()| old.sync_all());
    }
    let _best_effort = std::fs::remove_file(path);
}
