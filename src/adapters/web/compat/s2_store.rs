//! Pictures of verified people on the disk: only where the owner turned it on, for as many days as they said.

use serde::Serialize;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What stands beside a picture.
#[derive(Debug, Serialize)]
pub(super) struct Picture {
    pub session: String,
    /// RFC 3339, UTC.
    pub timestamp: String,
    /// The steps that were done.
    pub steps: Vec<String>,
}

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Store {
    dir: PathBuf,
    keep: Duration,
}

impl Store {
    /// Old pictures go with the opening and with every new one.
    pub(super) fn open(state: &Path, keep: Duration) -> Self {
        let store = Store { dir: state.join("verified_images"), keep };
        store.purge(SystemTime::now());
        store
    }

    /// Stores one; its path, or nothing when it could not be stored, which the log tells.
    pub(super) async fn keep(&self, about: Picture, jpeg: &[u8]) -> Option<String> {
        let (store, jpeg) = (self.clone(), jpeg.to_vec());
        let stored = tokio::task::spawn_blocking(move || {
            store.purge(SystemTime::now());
            store.write(&about, &jpeg).inspect_err(|e| {
                tracing::error!(error = %e, dir = %store.dir.display(), "a verified picture was not stored");
            })
        });
        stored.await.ok()?.ok().map(|p| p.display().to_string())
    }

    fn write(&self, about: &Picture, jpeg: &[u8]) -> std::io::Result<PathBuf> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        // The session's name is one of ours: letters, digits and underscores.
        let path = self.dir.join(format!("verified_{}.jpg", about.session));
        let put = |path: &Path, bytes: &[u8]| {
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(bytes)
        };
        put(&path, jpeg)?;
        put(&path.with_extension("json"), serde_json::to_string(about)?.as_bytes())?;
        Ok(path)
    }

    fn purge(&self, now: SystemTime) {
        let Ok(files) = std::fs::read_dir(&self.dir) else { return };
        for file in files.flatten() {
            let age = file.metadata().and_then(|m| m.modified()).ok().and_then(|m| now.duration_since(m).ok());
            if age.is_some_and(|a| a > self.keep)
                && let Err(e) = std::fs::remove_file(file.path())
            {
                tracing::error!(error = %e, path = %file.path().display(), "an old verified picture could not be removed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_go_after_their_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), Duration::from_hours(24));
        let about =
            Picture { session: "liveness_1_1000".into(), timestamp: String::new(), steps: vec!["blink".into()] };
        let path = store.write(&about, b"jpeg").expect("written");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        let files = || std::fs::read_dir(&store.dir).expect("there").count();
        assert_eq!(files(), 2, "the picture and what is known of it");
        store.purge(SystemTime::now() + Duration::from_hours(23));
        assert_eq!(files(), 2);
        store.purge(SystemTime::now() + Duration::from_hours(25));
        assert_eq!(files(), 0);
    }
}
