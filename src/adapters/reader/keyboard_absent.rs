//! Stands in for `keyboard/` in a build without it.

use crate::ports::{PortError, Reader, Recovery};
use std::path::Path;

/// Says what is missing.
///
/// # Errors
/// Always.
pub fn open(path: &Path) -> Result<Box<dyn Reader>, PortError> {
    Err(PortError::new(
        format!("open the keyboard {}", path.display()),
        "this build knows no keyboards",
        "build with --features keyboard, or set the kind to lines",
        Recovery::Fatal,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_it_says_which_feature_is_missing() {
        let e = open(Path::new("/dev/input/event9")).err().expect("refused").to_string();
        assert!(e.contains("--features keyboard") && e.contains("event9"), "{e}");
    }
}
