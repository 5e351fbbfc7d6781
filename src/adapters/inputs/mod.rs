//! What is wired to the terminal beside the lock: door contact, exit button, tamper switch, key switch.

pub mod gpiocdev;
pub mod sim;

use crate::base::time::Clock;
use crate::config::sections::{InputsConfig, InputsKind};
use crate::ports::{DoorInputs, PortError};
use std::sync::Arc;

/// The configured inputs; `None` where nothing is wired.
///
/// # Errors
/// A line is not there, has another owner, or cannot be an input.
pub fn open(config: &InputsConfig, clock: Arc<dyn Clock>) -> Result<Option<Box<dyn DoorInputs>>, PortError> {
    Ok(match config.kind {
        InputsKind::None => None,
        InputsKind::Gpiocdev => Some(Box::new(gpiocdev::GpioInputs::open(config)?)),
        InputsKind::Sim => Some(Box::new(sim::SimInputs::open(config, clock)?)),
    })
}
