//! Cameras and clips behind [`FrameSource`].

pub mod command;
#[cfg(feature = "v4l2")]
mod controls;
pub mod ffmpeg;
pub mod file;
pub mod mjpeg;
pub mod nodes;
pub mod sim;
#[cfg(feature = "v4l2")]
#[path = "v4l2.rs"]
pub mod v4l2;
#[cfg(not(feature = "v4l2"))]
#[path = "v4l2_absent.rs"]
pub mod v4l2;

use crate::base::time::{Clock, Tick};
use crate::config::sections::{Camera, CameraKind};
use crate::ports::{FrameSource, PortError, Recovery};
use file::{ClipOptions, FileCamera};
pub use nodes::{CameraInfo, ControlInfo, FormatInfo, SizeInfo};
use std::path::Path;
use std::sync::Arc;

/// Opens the configured camera. Frames carry `epoch`, and greater ones once a looped clip has begun anew; whoever
/// opens again passes a greater number than any that was seen.
///
/// # Errors
/// What could not be opened, why, and which cameras there are.
pub fn open(camera: &Camera, clock: Arc<dyn Clock>, epoch: u32) -> Result<Box<dyn FrameSource>, PortError> {
    let clip = || {
        let options = ClipOptions { fps: camera.fps, rotation: camera.rotate, origin: Tick::ZERO, epoch };
        FileCamera::open(&camera.path, options, camera.looped, Arc::clone(&clock))
    };
    match camera.kind {
        CameraKind::V4l2 => v4l2::open(camera, clock, epoch),
        CameraKind::File => Ok(Box::new(clip()?)),
        CameraKind::Command => {
            let opened = command::CommandCamera::open(&camera.command, camera.rotate, clock, epoch)?;
            Ok(Box::new(opened))
        }
        CameraKind::None => {
            Err(PortError::new("open the camera", "camera.kind is none", "set it to v4l2", Recovery::Fatal))
        }
        CameraKind::Sim => {
            let faults: Result<Vec<_>, _> = camera.faults.iter().map(|f| sim::Fault::parse(f)).collect();
            let faults = faults.map_err(|e| {
                PortError::new("open the simulated camera", e, "correct camera.faults", Recovery::Fatal)
            })?;
            Ok(Box::new(sim::SimCamera::new(clip()?, faults, clock)))
        }
    }
}

/// The cameras that the system lists.
#[must_use]
pub fn list() -> Vec<CameraInfo> {
    nodes::list(Path::new("/"))
}

/// What the camera at `node` offers to capture.
///
/// # Errors
/// It cannot be opened, captures nothing, or this build has no V4L2.
pub fn formats(node: &Path) -> Result<Vec<FormatInfo>, PortError> {
    v4l2::formats(node)
}

/// The controls of the camera at `node` as they stand.
///
/// # Errors
/// It cannot be opened, or this build has no V4L2.
pub fn controls_of(node: &Path) -> Result<ControlInfo, PortError> {
    v4l2::controls_of(node)
}

/// Whether whoever controls this machine's software controls what the camera shows: files, programs, simulators and
/// V4L2 nodes without hardware. Such a camera opens a real relay only with `insecure.virtual_camera`.
#[must_use]
pub fn is_virtual(camera: &Camera) -> bool {
    match camera.kind {
        CameraKind::File | CameraKind::Command | CameraKind::Sim => true,
        CameraKind::None => false,
        CameraKind::V4l2 => nodes::node_is_virtual(Path::new("/"), Path::new(&camera.device)),
    }
}
