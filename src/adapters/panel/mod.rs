//! Lines to access panels, on which this terminal is a reader.

pub mod key;
#[cfg(feature = "osdp")]
pub mod osdp;
#[cfg(not(feature = "osdp"))]
#[path = "osdp_absent.rs"]
pub mod osdp;
// A build without it is rarely tested; what stands in for it is, always.
#[cfg(all(test, feature = "osdp"))]
#[allow(dead_code, reason = "only its own test uses it here")]
mod osdp_absent;
pub mod wiegand;

use crate::base::time::Clock;
use crate::config::sections::PanelLineConfig;
use crate::ports::{PanelLine, PortError};
use std::sync::Arc;

/// The configured line.
///
/// # Errors
/// The device is not there, the key is missing or none, or this build has no such line.
pub fn open(config: &PanelLineConfig, clock: Arc<dyn Clock>) -> Result<Box<dyn PanelLine>, PortError> {
    match config {
        PanelLineConfig::Osdp(osdp) => osdp::open(osdp, clock),
        PanelLineConfig::Wiegand(wiegand) => wiegand::open(wiegand, clock),
    }
}

/// The line's name in records, and whether the panel says that it has taken something.
#[must_use]
pub const fn manner(config: &PanelLineConfig) -> (&'static str, bool) {
    match config {
        PanelLineConfig::Osdp(_) => ("osdp", true),
        PanelLineConfig::Wiegand(_) => ("wiegand", false),
    }
}
