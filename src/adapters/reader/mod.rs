//! Keypads and card readers: whatever types a row of characters and ends it.

#[cfg(feature = "keyboard")]
mod keyboard;
#[cfg(not(feature = "keyboard"))]
#[path = "keyboard_absent.rs"]
mod keyboard;
// A build without it is rarely tested; what stands in for it is, always.
#[cfg(all(test, feature = "keyboard"))]
#[allow(dead_code, reason = "only its own test uses it here")]
mod keyboard_absent;
mod lines;

use crate::config::sections::{ReaderConfig, ReaderKind};
use crate::ports::{PortError, Reader};

/// Characters of a row; a longer one is no PIN and no card.
const LONGEST: usize = 64;

/// The configured reader; `None` where there is none.
///
/// # Errors
/// The device is not there, or cannot be read.
pub fn open(config: &ReaderConfig) -> Result<Option<Box<dyn Reader>>, PortError> {
    Ok(match config.kind {
        ReaderKind::None => None,
        ReaderKind::Lines => Some(Box::new(lines::LineReader::open(&config.device)?)),
        ReaderKind::Keyboard => Some(keyboard::open(&config.device)?),
    })
}
