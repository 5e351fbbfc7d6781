//! Stands in for `rppal.rs` in a build without it.

use super::line::{GpioSpec, Held};
use crate::ports::{PortError, Recovery};

/// Says what is missing.
///
/// # Errors
/// Always.
pub fn request(spec: &GpioSpec) -> Result<Box<dyn Held>, PortError> {
    Err(absent(spec))
}

/// Says what is missing.
///
/// # Errors
/// Always.
pub fn describe(spec: &GpioSpec) -> Result<String, PortError> {
    Err(absent(spec))
}

fn absent(spec: &GpioSpec) -> PortError {
    PortError::new(
        format!("own the relay line {}", spec.name),
        "this build has no rppal",
        "set door.relay.kind = \"gpiocdev\", or build with --features rppal",
        Recovery::Fatal,
    )
}
