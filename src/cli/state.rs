//! The state directory as commands use it: opening its stores, and writing what an administrator did to the journal.

use super::{Code, Failure, Globals, load_config};
use crate::adapters::store::{EncryptedPeople, SqliteJournal, StoreError, Trouble};
use crate::adapters::system::{SystemClock, random, uuid_v7};
use crate::base::time::Clock;
use crate::ports::{Journal, PortError};
use crate::schema::event::Event;
use crate::schema::ids::DeviceId;
use crate::schema::record::{Draft, Record};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

impl From<StoreError> for Failure {
    fn from(e: StoreError) -> Self {
        let code = match e.trouble {
            Trouble::Data => Code::BadInput,
            Trouble::Permission => Code::Permission,
            Trouble::Missing | Trouble::Full | Trouble::Io => Code::Io,
        };
        Failure::new(code, e.path.display().to_string(), e.port.cause, e.port.hint)
    }
}

/// A port that failed while it was in use.
pub(super) fn io(e: PortError) -> Failure {
    Failure::new(Code::Io, e.what, e.cause, e.hint)
}

/// Where journal, people, keys and sockets live. With `--state` a faulty configuration stops nobody from reading.
pub(super) fn dir(globals: &Globals) -> Result<PathBuf, Failure> {
    match &globals.state {
        Some(dir) => Ok(dir.clone()),
        None => Ok(load_config(globals)?.store().dir.clone()),
    }
}

/// The people of the state directory; made if absent.
pub(super) fn people(globals: &Globals) -> Result<EncryptedPeople, Failure> {
    Ok(EncryptedPeople::open(&dir(globals)?)?)
}

/// The people if there are any, so that looking leaves nothing behind.
pub(super) fn people_if_any(globals: &Globals) -> Result<Option<EncryptedPeople>, Failure> {
    if EncryptedPeople::exists(&dir(globals)?) { people(globals).map(Some) } else { Ok(None) }
}

/// Writes what an administrator did to the journal, beside a daemon that may be running.
pub(super) struct Log {
    journal: SqliteJournal,
    device: DeviceId,
    boot: uuid::Uuid,
    start: crate::base::time::Tick,
}

impl Log {
    /// Opens the journal before anything is done that must be recorded.
    pub fn open(globals: &Globals) -> Result<Self, Failure> {
        let clock = SystemClock;
        let device = load_config(globals)?.device().name.clone();
        Ok(Log {
            journal: SqliteJournal::open(&dir(globals)?)?,
            device,
            boot: uuid_v7(clock.wall().unix_ms, random().map_err(io)?),
            start: clock.now(),
        })
    }

    /// One record, durable on return.
    pub fn append(&mut self, event: Event) -> Result<Record, Failure> {
        let clock = SystemClock;
        let wall = clock.wall();
        let draft = Draft {
            device: self.device.clone(),
            boot: self.boot,
            id: uuid_v7(wall.unix_ms, random().map_err(io)?),
            wall,
            uptime_ms: u64::try_from(clock.now().since(self.start).as_millis()).unwrap_or(u64::MAX),
            event,
        };
        self.journal.append(&draft).map_err(io)
    }
}

/// Writes to standard output; false when the reader is gone, as `head` is after ten lines. `println!` would panic.
pub(super) fn print(text: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Failure::new(Code::Io, "standard output", e, "check where it goes")),
    }
}
