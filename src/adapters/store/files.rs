//! Files and directories that only the daemon's user may read.

use super::StoreError;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Makes the directory with mode 0700; one that is there is left as its owner made it.
pub(super) fn private_dir(dir: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| StoreError::io(dir, "create", &e))
}

/// Makes an empty file with mode 0600 and takes the rights of others away from one that is there.
pub(super) fn private_file(path: &Path) -> Result<(), StoreError> {
    match create_new(path) {
        Ok(file) => sync_new(path, &file),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            let meta = path.metadata().map_err(|e| StoreError::io(path, "look at", &e))?;
            if meta.mode() & 0o077 != 0 {
                std::fs::set_permissions(path, Permissions::from_mode(0o600))
                    .map_err(|e| StoreError::io(path, "set mode 0600 on", &e))?;
            }
            Ok(())
        }
        Err(e) => Err(StoreError::io(path, "create", &e)),
    }
}

/// Opens a file that must not exist yet, mode 0600.
pub(super) fn create_new(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Makes a new file and its name durable. A file that root makes goes to the owner of the directory: otherwise one
/// `sudo cardea enroll` before the first start would lock the daemon out of its own state.
pub(super) fn sync_new(path: &Path, file: &File) -> Result<(), StoreError> {
    let parent = parent(path);
    let done = || -> std::io::Result<()> {
        if rustix::process::geteuid().is_root() {
            let owner = parent.metadata()?;
            std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))?;
        }
        file.sync_all()?;
        File::open(parent)?.sync_all()
    };
    done().map_err(|e| StoreError::io(path, "make durable", &e))
}

/// Puts a small file in the place of the one before, as a whole and durable on return; the other is still there after an
/// error.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let part = path.with_added_extension("part");
    // One that a crash left behind is worth nothing.
    let _none = std::fs::remove_file(&part);
    let failed = |e: std::io::Error| StoreError::io(&part, "write", &e);
    let mut file = create_new(&part).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    sync_new(&part, &file)?;
    std::fs::rename(&part, path).map_err(failed)?;
    let dir = parent(path);
    let synced = File::open(dir).and_then(|d| d.sync_all());
    synced.map_err(|e| StoreError::io(dir, "make durable", &e))
}

/// The directory that holds `path`; the working directory for a bare name.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
