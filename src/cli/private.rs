//! Files that only their owner may read, written whole or not at all.

use super::{Code, Failure};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Whether a file of the same name is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    Replace,
    Refuse,
}

/// Makes the directory, mode 0700. One that is there must be closed to others already: closing it is its owner's decision.
///
/// # Errors
/// It cannot be made (74, 77), or others may enter it (77).
pub(super) fn dir(path: &Path) -> Result<(), Failure> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| failure(path, &e))?;
    let meta = path.metadata().map_err(|e| failure(path, &e))?;
    if meta.mode() & 0o077 != 0 {
        let what = format!("others may enter it (mode {:03o})", meta.mode() & 0o777);
        return Err(Failure::new(Code::Permission, path.display().to_string(), what, "run chmod 700 on it"));
    }
    Ok(())
}

/// Writes a file of mode 0600 under another name, makes it durable and gives it its name. What root writes goes to the
/// owner of the directory, so that `sudo cardea …` does not lock the daemon out.
///
/// # Errors
/// 74 or 77; with [`Existing::Refuse`] also when the name is taken. Nothing is left behind then.
pub(super) fn write(path: &Path, bytes: &[u8], existing: Existing) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let made = path.with_file_name(name);
    let done = put(path, &made, bytes, existing);
    if done.is_err() {
        let _may_not_exist = std::fs::remove_file(&made);
    }
    done.map_err(|e| failure(path, &e))
}

fn put(path: &Path, made: &Path, bytes: &[u8], existing: Existing) -> std::io::Result<()> {
    let parent = parent(path);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(made)?;
    file.write_all(bytes)?;
    if rustix::process::geteuid().is_root() {
        let owner = parent.metadata()?;
        std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.sync_all()?;
    match existing {
        Existing::Replace => std::fs::rename(made, path)?,
        Existing::Refuse => renameat_with(CWD, made, CWD, path, RenameFlags::NOREPLACE)?,
    }
    File::open(parent)?.sync_all()
}

fn parent(path: &Path) -> PathBuf {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

fn failure(path: &Path, e: &std::io::Error) -> Failure {
    let (code, hint) = match e.kind() {
        ErrorKind::PermissionDenied => (Code::Permission, "run it as the owner of the directory"),
        ErrorKind::AlreadyExists => (Code::Io, "it is not overwritten; choose another name"),
        _ => (Code::Io, "check the path and the space on the disk"),
    };
    Failure::new(code, path.display().to_string(), e, hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_private_whole_and_not_overwritten_unless_asked() {
        let base = tempfile::tempdir().expect("a directory");
        let home = base.path().join("a/b");
        dir(&home).expect("makes");
        assert_eq!(home.metadata().expect("is there").mode() & 0o777, 0o700);
        let path = home.join("x");
        write(&path, b"one", Existing::Refuse).expect("writes");
        assert_eq!(path.metadata().expect("is there").mode() & 0o777, 0o600);
        let e = write(&path, b"two", Existing::Refuse).expect_err("taken");
        assert_eq!((e.code, std::fs::read(&path).expect("reads")), (Code::Io, b"one".to_vec()));
        write(&path, b"two", Existing::Replace).expect("replaces");
        assert_eq!(std::fs::read(&path).expect("reads"), b"two");
        assert_eq!(std::fs::read_dir(&home).expect("lists").count(), 1, "something was left behind");
    }

    #[test]
    fn a_directory_that_others_may_enter_is_refused_and_left_as_it_is() {
        let base = tempfile::tempdir().expect("a directory");
        std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o755)).expect("opens");
        let e = dir(base.path()).expect_err("open to others");
        assert!(e.code == Code::Permission && e.hint.contains("chmod 700"), "{e}");
        assert_eq!(base.path().metadata().expect("is there").mode() & 0o777, 0o755);
    }
}
