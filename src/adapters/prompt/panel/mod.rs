//! Screens as pictures: [`draw`] makes them, for all displays alike; the rest brings them to one.

pub mod canvas;
#[cfg(feature = "panel")]
#[path = "device.rs"]
pub mod device;
#[cfg(not(feature = "panel"))]
#[path = "device_absent.rs"]
pub mod device;
pub mod draw;
#[cfg(feature = "drm")]
pub mod drm;
#[cfg(not(feature = "drm"))]
#[path = "drm_absent.rs"]
pub mod drm;
pub mod font;
pub mod frame;
#[cfg(feature = "panel")]
pub mod oled;
pub mod png;
#[cfg(feature = "panel")]
pub mod ring;
pub mod sheet;
#[cfg(feature = "panel")]
pub mod tft;
