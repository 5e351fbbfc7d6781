//! A peripheral device of an OSDP panel (IEC 60839-11-5) on RS-485, with the secure channel and nothing without it.
//!
//! `libosdp` speaks the protocol. Beside it, `wire::Tap` reads along on the serial line, for what the library does not
//! tell: whether the panel really asks *us*, and whether it has taken a card. The tap is the gate too: no card leaves in
//! clear, unasked, or a second time.
//!
//! The panel may ask for identity, capabilities and cards. Lamps, buzzer, texts and outputs are not among the
//! capabilities, and commands for them, new keys and new addresses are answered with NAK.

mod serial;
mod wire;

use super::key;
use crate::base::time::Clock;
use crate::config::sections::OsdpConfig;
use crate::domain::panel::card::CardBits;
use crate::domain::panel::courier::LineState;
use crate::ports::{PanelLine, PortError, Recovery};
use libosdp::{
    Channel, ChannelError, OsdpEvent, OsdpEventCardRead, OsdpFlag, PdCapEntity, PdCapability, PdInfoBuilder,
    PeripheralDevice,
};
use serial::Serial;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wire::Tap;

/// Whether this build can be a reader of an OSDP panel.
pub const BUILT_IN: bool = true;

/// The library wants to be called every 50 ms, and a panel its answer within 200 ms.
const TURN: Duration = Duration::from_millis(10);

/// Opens the serial line; the panel makes the secure channel when it asks.
///
/// # Errors
/// The key is missing or none, or the line cannot be opened.
pub fn open(config: &OsdpConfig, clock: Arc<dyn Clock>) -> Result<Box<dyn PanelLine>, PortError> {
    let key = key::find(config.key_file.as_deref())?;
    let serial = Serial::open(&config.device, config.baud)?;
    let wire = Arc::new(Mutex::new(Wire { serial: Some(serial), tap: Tap::new(config.address), clock, failed: None }));
    let refused = |e: libosdp::OsdpError| {
        let what = format!("be a reader on {}", config.device.display());
        PortError::new(what, e, "check [osdp]", Recovery::Fatal)
    };
    let info = PdInfoBuilder::new()
        .name("cardea")
        .and_then(|b| b.address(config.address.into()))
        .and_then(|b| b.baud_rate(i32::try_from(config.baud).unwrap_or(0)))
        .map_err(refused)?
        .flag(OsdpFlag::EnforceSecure)
        .capability(PdCapability::CommunicationSecurity(PdCapEntity::new(1, 1)))
        .capability(PdCapability::CardDataFormat(PdCapEntity::new(1, 1)))
        .secure_channel_key(*key);
    let mut device = PeripheralDevice::new(info, Box::new(Shared(wire.clone()))).map_err(refused)?;
    // Every command that reaches us by this way is answered with NAK.
    device.set_command_callback(|_| -1);
    Ok(Box::new(Reader { device, wire, path: config.device.clone() }))
}

/// The line as the library and the tap share it.
struct Wire {
    /// `None` once the library has closed it.
    serial: Option<Serial>,
    tap: Tap,
    clock: Arc<dyn Clock>,
    /// Why it cannot go on.
    failed: Option<String>,
}

/// What the library gets; it leaks the box, but closes the line.
struct Shared(Arc<Mutex<Wire>>);

fn lock(wire: &Mutex<Wire>) -> MutexGuard<'_, Wire> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Channel for Shared {
    fn get_id(&self) -> i32 {
        0
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ChannelError> {
        let wire = &mut *lock(&self.0);
        let serial = wire.serial.as_ref().ok_or(ChannelError::TransportError)?;
        match serial.read(buf) {
            Ok(n) => {
                wire.tap.incoming(wire.clock.now(), buf.get(..n).unwrap_or_default());
                Ok(n)
            }
            Err(e) => {
                wire.failed = Some(e);
                Err(ChannelError::TransportError)
            }
        }
    }

    fn write(&mut self, buf: &[u8]) -> Result<usize, ChannelError> {
        let wire = &mut *lock(&self.0);
        let serial = wire.serial.as_ref().ok_or(ChannelError::TransportError)?;
        if let Err(why) = wire.tap.may_leave(buf) {
            wire.failed = Some(why.into());
            return Err(ChannelError::TransportError);
        }
        serial.write(buf).map_err(|e| {
            wire.failed = Some(e);
            ChannelError::TransportError
        })
    }

    /// The library means the input, and what lies there may be the panel's next question.
    fn flush(&mut self) -> Result<(), ChannelError> {
        Ok(())
    }

    fn close(&mut self) -> Result<(), ChannelError> {
        lock(&self.0).serial = None;
        Ok(())
    }
}

struct Reader {
    device: PeripheralDevice,
    wire: Arc<Mutex<Wire>>,
    path: PathBuf,
}

impl Reader {
    fn failed(&self, cause: impl ToString) -> PortError {
        let what = format!("speak with the panel on {}", self.path.display());
        PortError::new(what, cause, "check the cable and that the daemon's user may use the line", Recovery::Reopen)
    }
}

impl PanelLine for Reader {
    fn turn(&mut self, timeout: Duration) -> Result<LineState, PortError> {
        let waited = {
            // The library is not running now: nobody else wants the lock.
            let wire = lock(&self.wire);
            wire.serial.as_ref().map_or(Err("it is closed".into()), |s| s.wait(timeout.min(TURN)))
        };
        waited.map_err(|e| self.failed(e))?;
        self.device.refresh();
        let secure = self.device.is_sc_active();
        let wire = lock(&self.wire);
        if let Some(why) = &wire.failed {
            return Err(self.failed(why));
        }
        Ok(LineState { secure, heard: wire.tap.heard(), taken: wire.tap.taken() })
    }

    fn send(&mut self, card: CardBits) -> Result<(), PortError> {
        let refused = |e: libosdp::OsdpError| self.failed(e);
        let read = OsdpEventCardRead::new_wiegand(card.count(), card.bytes()).map_err(refused)?;
        // Nothing else of ours waits, and of what waits nothing may go out with this.
        self.device.flush_events();
        lock(&self.wire).tap.let_one_card_leave();
        self.device.notify_event(OsdpEvent::CardRead(read)).map_err(|e| self.failed(e))
    }

    /// The queue is emptied, and the tap is shut for whatever was taken out of it already. The channel stays: a panel whose
    /// reader begins anew in the middle of a conversation may leave it alone for minutes (libosdp's own for five).
    fn forget(&mut self) {
        self.device.flush_events();
        lock(&self.wire).tap.let_no_card_leave();
    }
}
