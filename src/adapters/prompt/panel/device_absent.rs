//! Stands in for `device.rs` in a build without it.

use crate::adapters::prompt::threaded::Display;
use crate::config::sections::PromptConfig;
use crate::ports::{PortError, Recovery};

/// Says what is missing.
///
/// # Errors
/// Always.
pub fn built_in(config: &PromptConfig) -> Result<(), PortError> {
    Err(absent(config))
}

/// Says what is missing.
///
/// # Errors
/// Always.
pub fn open(config: &PromptConfig) -> Result<Box<dyn Display>, PortError> {
    Err(absent(config))
}

fn absent(config: &PromptConfig) -> PortError {
    PortError::new(
        format!("use the panel on {}", config.panel.bus.display()),
        "this build has no panels",
        "build with --features panel, or set prompt.kind to console or png",
        Recovery::Fatal,
    )
}
