//! What several integration tests need.

use std::path::PathBuf;

/// The folder with evaluation data and models: `CARDEA_SHARED`, else `../shared` beside the repository.
///
/// # Panics
/// When it is not there: a test that lacks its material fails.
#[allow(dead_code)]
pub fn shared() -> PathBuf {
    let dir = std::env::var_os("CARDEA_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    assert!(
        dir.is_dir(),
        "{} is no directory; set CARDEA_SHARED to the folder with the evaluation data",
        dir.display()
    );
    dir
}
