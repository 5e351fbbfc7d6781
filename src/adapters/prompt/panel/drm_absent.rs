//! Stands in for `drm.rs` in a build without it.

use crate::adapters::prompt::threaded::Display;
use crate::config::sections::PromptConfig;
use crate::ports::{PortError, Recovery};

/// Says what is missing.
///
/// # Errors
/// Always.
pub fn built_in(_: &PromptConfig) -> Result<(), PortError> {
    Err(absent())
}

/// Says what is missing.
///
/// # Errors
/// Always.
pub fn open(_: &PromptConfig) -> Result<Box<dyn Display>, PortError> {
    Err(absent())
}

fn absent() -> PortError {
    PortError::new(
        "show screens on an HDMI or DSI display",
        "this build has no DRM",
        "build with --features drm, or set prompt.kind to console or png",
        Recovery::Fatal,
    )
}
