//! The inputs thread: carries what contact, buttons and switches say to the controller, and opens them anew.

use super::watch::Watched;
use crate::adapters::inputs;
use crate::base::stop::Stop;
use crate::base::time::Clock;
use crate::config::sections::InputsConfig;
use crate::ports::{DoorInputs, PortError};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

const WAIT: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_secs(1);

/// Everything that the thread needs.
pub struct Inputs {
    pub config: InputsConfig,
    pub clock: Arc<dyn Clock>,
    /// Opened at the start, where a fault is the administrator's to see.
    pub first: Box<dyn DoorInputs>,
    pub out: SyncSender<Watched>,
    pub stop: Stop,
}

impl Inputs {
    /// The thread's life.
    pub fn run(self) {
        let Inputs { config, clock, first, out, stop } = self;
        let mut source = Ok(first);
        while !stop.requested() {
            let lost: PortError = match source {
                Ok(mut inputs) => match pump(&mut *inputs, &out, &stop) {
                    Some(e) => e,
                    None => return,
                },
                Err(e) => e,
            };
            tracing::warn!(error = %lost, "the door's inputs failed");
            if out.send(Watched::DoorLost(lost.to_string())).is_err() {
                return;
            }
            stop.wait(PAUSE);
            source = inputs::open(&config, clock.clone()).and_then(|i| {
                i.ok_or_else(|| PortError::new("open the inputs", "none", "see door.inputs", lost.recovery))
            });
        }
    }
}

/// Until the end, or the fault that is returned.
fn pump(inputs: &mut dyn DoorInputs, out: &SyncSender<Watched>, stop: &Stop) -> Option<PortError> {
    while !stop.requested() {
        match inputs.next(WAIT) {
            Ok(None) => {}
            // Waits when the controller is behind: no change of the door may be lost.
            Ok(Some(news)) => out.send(Watched::Door(news)).ok()?,
            Err(e) => return Some(e),
        }
    }
    None
}
