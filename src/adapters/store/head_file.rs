//! `journal.head`: the newest signed head, beside the journal. A journal whose end was cut off, together with a head that
//! was once right, is shown by it, as long as this file was not put back too; heads that left the terminal (MQTT, the
//! system's log, exports) show even that.

use super::{StoreError, files};
use crate::schema::head::SignedHead;
use std::path::{Path, PathBuf};

const FILE: &str = "journal.head";

/// Where it lies.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// The head that was kept; `None` when none was. The inner error is a file that nobody here has written so.
pub(super) fn read(dir: &Path) -> Result<Result<Option<SignedHead>, String>, StoreError> {
    let path = path(dir);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).map(Some).map_err(|e| format!("{FILE} is no head: {e}"))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Ok(None)),
        Err(e) => Err(StoreError::io(&path, "read", &e)),
    }
}

/// Keeps a head in place of the one before; durable on return.
pub(super) fn write(dir: &Path, head: &SignedHead) -> Result<(), StoreError> {
    files::replace(&path(dir), format!("{}\n", head.text()).as_bytes())
}
