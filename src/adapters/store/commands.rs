//! `commands.json`: lockdown and used ids, one small file that is replaced as a whole.

use super::{StoreError, files};
use crate::ports::{CommandStore, PortError};
use std::path::{Path, PathBuf};

const FILE: &str = "commands.json";

/// The file in the state directory.
#[derive(Debug)]
pub struct CommandFile(PathBuf);

impl CommandFile {
    /// Of a state directory, which is made if absent.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(dir: &Path) -> Result<CommandFile, StoreError> {
        files::private_dir(dir)?;
        Ok(CommandFile(dir.join(FILE)))
    }
}

impl CommandStore for CommandFile {
    fn load(&mut self) -> Result<Option<String>, PortError> {
        match std::fs::read_to_string(&self.0) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io(&self.0, "read", &e).into()),
        }
    }

    fn save(&mut self, text: &str) -> Result<(), PortError> {
        Ok(files::replace(&self.0, text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_was_kept_is_there_for_the_daemon_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut file = CommandFile::open(dir.path()).expect("opens");
        assert_eq!(file.load().expect("reads"), None);
        std::fs::write(dir.path().join("commands.json.part"), "torn").expect("writes");
        for text in ["one", "two"] {
            file.save(text).expect("saves");
            assert_eq!(CommandFile::open(dir.path()).expect("opens").load().expect("reads").as_deref(), Some(text));
        }
        let mode = std::fs::metadata(dir.path().join(FILE)).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!dir.path().join("commands.json.part").exists());
    }
}
