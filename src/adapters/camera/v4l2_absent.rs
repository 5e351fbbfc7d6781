//! Stands in for `v4l2.rs` in a build without it.

use super::{ControlInfo, FormatInfo};
use crate::base::time::Clock;
use crate::config::sections::Camera;
use crate::ports::{FrameSource, PortError, Recovery};
use std::path::Path;
use std::sync::Arc;

/// Whether this build can open V4L2 cameras.
pub const BUILT_IN: bool = false;

/// Says what is missing.
///
/// # Errors
/// Always.
pub fn open(camera: &Camera, _clock: Arc<dyn Clock>, _epoch: u32) -> Result<Box<dyn FrameSource>, PortError> {
    Err(absent(&camera.device))
}

/// Says what is missing.
///
/// # Errors
/// Always.
pub fn formats(node: &Path) -> Result<Vec<FormatInfo>, PortError> {
    Err(absent(&node.display().to_string()))
}

/// Says what is missing.
///
/// # Errors
/// Always.
pub fn controls_of(node: &Path) -> Result<ControlInfo, PortError> {
    Err(absent(&node.display().to_string()))
}

fn absent(device: &str) -> PortError {
    PortError::new(
        format!("open the camera {device}"),
        "this build has no V4L2",
        "build with --features v4l2, or set camera.kind to file or command",
        Recovery::Fatal,
    )
}
