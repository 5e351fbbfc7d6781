//! The reader threads: carry what keypad and card reader type to the controller, and open them anew.

use super::rules::Shown;
use super::watch::Watched;
use crate::adapters::reader;
use crate::base::stop::Stop;
use crate::config::sections::ReaderConfig;
use crate::ports::{PortError, Reader};
use crate::schema::event::Event;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use zeroize::Zeroizing;

const WAIT: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_secs(1);

/// Everything that one thread needs.
pub struct Readers {
    pub config: ReaderConfig,
    /// Opened at the start, where a fault is the administrator's to see.
    pub first: Box<dyn Reader>,
    /// What a row means that this device types.
    pub means: fn(Zeroizing<String>) -> Shown,
    pub out: SyncSender<Watched>,
    pub tell: Box<dyn Fn(Event) + Send>,
    pub stop: Stop,
}

impl Readers {
    /// The thread's life. A reader that is gone shuts no door: who needs a second factor cannot show one.
    pub fn run(mut self) {
        let mut source: Result<Box<dyn Reader>, PortError> = Ok(std::mem::replace(&mut self.first, Box::new(Nothing)));
        let mut lost = false;
        while !self.stop.requested() {
            match source {
                Ok(mut reader) => {
                    if std::mem::take(&mut lost) {
                        (self.tell)(Event::SystemInputs { what: "the reader is there again".into() });
                    }
                    match self.pump(&mut *reader) {
                        Some(e) => source = Err(e),
                        None => return,
                    }
                }
                Err(e) => {
                    if !std::mem::replace(&mut lost, true) {
                        (self.tell)(Event::AlarmInputs { what: e.to_string() });
                    }
                    self.stop.wait(PAUSE);
                    source = reader::open(&self.config).and_then(|r| r.ok_or(e));
                }
            }
        }
    }

    /// Until the end, or the fault that is returned.
    fn pump(&self, reader: &mut dyn Reader) -> Option<PortError> {
        while !self.stop.requested() {
            match reader.next(WAIT) {
                Ok(None) => {}
                Ok(Some(row)) => self.out.send(Watched::Shown((self.means)(row))).ok()?,
                Err(e) => return Some(e),
            }
        }
        None
    }
}

/// Types nothing.
struct Nothing;

impl Reader for Nothing {
    fn next(&mut self, _: Duration) -> Result<Option<Zeroizing<String>>, PortError> {
        Ok(None)
    }
}
