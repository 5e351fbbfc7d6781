//! Stands in for `device.rs` in a build without it.

use crate::adapters::prompt::threaded::Display;
use crate::config::sections::{PromptConfig, RingConfig};
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

/// Says what is missing.
///
/// # Errors
/// Always.
pub fn ring_built_in(config: &RingConfig) -> Result<(), PortError> {
    Err(absent_ring(config))
}

fn absent_ring(config: &RingConfig) -> PortError {
    PortError::new(
        format!("use the ring on {}", config.bus.display()),
        "this build has no rings",
        "build with --features panel, or remove prompt.ring.bus",
        Recovery::Fatal,
    )
}

/// Says what is missing.
///
/// # Errors
/// Always.
pub fn open_ring(config: &RingConfig) -> Result<Box<dyn Display>, PortError> {
    Err(absent_ring(config))
}

fn absent(config: &PromptConfig) -> PortError {
    PortError::new(
        format!("use the panel on {}", config.panel.bus.display()),
        "this build has no panels",
        "build with --features panel, or set prompt.kind to console or png",
        Recovery::Fatal,
    )
}
