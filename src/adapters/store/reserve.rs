//! Disk space that is held back for the journal and given up when the disk is full: deleting rows frees nothing on a
//! full disk (a DELETE needs space in the WAL first), a file can always be unlinked.

use super::files;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Enough for more than 10,000 records of about 450 bytes, with their hashes, page overhead and a WAL of 4 MiB.
pub(super) const BYTES: u64 = 16 << 20;

/// The file that holds the space.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    held: bool,
}

impl Reserve {
    /// What an earlier process has left.
    pub fn existing(dir: &Path) -> Self {
        let path = dir.join("journal.reserve");
        let held = path.metadata().is_ok_and(|m| m.len() == BYTES);
        Reserve { path, held }
    }

    /// Takes the space if the disk has plenty, else goes without and says so in the log.
    pub fn take(dir: &Path) -> Self {
        let mut reserve = Reserve::existing(dir);
        reserve.restore();
        if !reserve.held {
            tracing::warn!(path = %reserve.path.display(), "no disk space for the journal's reserve");
        }
        reserve
    }

    /// Whether the space is held back.
    pub fn held(&self) -> bool {
        self.held
    }

    /// Gives the space up; true when there was some.
    pub fn release(&mut self) -> bool {
        let held = std::mem::take(&mut self.held);
        if let Err(e) = std::fs::remove_file(&self.path) {
            if held {
                tracing::error!(path = %self.path.display(), error = %e, "the reserve could not be released");
            }
            return false;
        }
        held
    }

    /// Takes the space again once the disk has room for twice as much, so that it does not swing.
    pub fn restore(&mut self) {
        if self.held || free_bytes(files::parent(&self.path)).is_none_or(|free| free < 2 * BYTES) {
            return;
        }
        let _absent = std::fs::remove_file(&self.path);
        match allocate(&self.path) {
            Ok(()) => self.held = true,
            Err(e) => {
                tracing::warn!(path = %self.path.display(), error = %e, "the reserve could not be allocated");
                let _absent = std::fs::remove_file(&self.path);
            }
        }
    }
}

/// Space on the file system of `dir` that this user may fill.
pub(super) fn free_bytes(dir: &Path) -> Option<u64> {
    statvfs(dir).ok().map(|s| s.f_bavail.saturating_mul(s.f_frsize))
}

fn allocate(path: &Path) -> std::io::Result<()> {
    let mut file: File = files::create_new(path)?;
    if fallocate(&file, FallocateFlags::empty(), 0, BYTES).is_err() {
        // Some file systems cannot set blocks aside; written ones count as well.
        let block = [0xA5; 64 << 10];
        for _ in 0..BYTES / block.len() as u64 {
            file.write_all(&block)?;
        }
    }
    files::sync_new(path, &file).map_err(std::io::Error::other)
}
