//! Frames as cameras deliver them, and the decoded picture.

use crate::base::time::Tick;

/// How the bytes of a frame are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// One JPEG picture (a V4L2 MJPG frame is one).
    Jpeg,
    /// Packed 4:2:2, two bytes a pixel.
    Yuyv,
    /// A luma plane, then a half-size plane of interleaved CbCr.
    Nv12,
    /// Luma only.
    Grey,
    /// Three bytes a pixel.
    Rgb,
}

/// Quarter turns, clockwise, that make the stored picture upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    #[default]
    None,
    Cw90,
    Cw180,
    Cw270,
}

/// One frame, not decoded yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The driver's or the recording's number; rises strictly.
    pub seq: u64,
    pub captured: Tick,
    /// Changes whenever the source was opened again.
    pub epoch: u32,
    pub format: PixelFormat,
    /// Stored size; zero for [`PixelFormat::Jpeg`], whose header tells.
    pub width: u32,
    pub height: u32,
    pub rotation: Rotation,
    pub data: Vec<u8>,
}

/// A decoded, upright picture: RGB, three bytes a pixel, rows without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    pub rgb: Vec<u8>,
}
