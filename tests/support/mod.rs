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

/// Whether `CARDEA_TEST_WITHOUT=tool,…` leaves `test` out; then it says so.
#[allow(dead_code)]
pub fn left_out(tool: &str, test: &str) -> bool {
    let without = std::env::var("CARDEA_TEST_WITHOUT").unwrap_or_default();
    let left_out = without.split(',').any(|name| name.trim() == tool);
    if left_out {
        println!("left out: {test} (without {tool})");
    }
    left_out
}

/// Whether `test` may run, which needs `tool` on the path. Only `CARDEA_TEST_WITHOUT=tool,…` leaves it out, and says so.
///
/// # Panics
/// When the tool is missing and was not left out by name.
#[allow(dead_code)]
pub fn has(tool: &str, package: &str, test: &str) -> bool {
    if left_out(tool, test) {
        return false;
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|dir| dir.join(tool).is_file());
    assert!(found, "{test} needs {tool}: apt install {package}, or CARDEA_TEST_WITHOUT={tool}");
    true
}
