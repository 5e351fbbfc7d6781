//! A keypad or card reader that is a keyboard for the kernel ("keyboard wedge"), through its event device.
//!
//! It is grabbed: nobody else gets its keys, so no PIN stands at a console's login. A device that has another owner
//! already is refused.

mod keys;

use crate::ports::{PortError, Reader, Recovery};
use evdev::EventType;
use evdev::raw_stream::RawDevice;
use keys::Typist;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};
use zeroize::Zeroizing;

/// Of synchronisation events: the kernel's buffer was full, and keys are lost.
const SYN_DROPPED: u16 = 3;

/// Opens and grabs it.
///
/// # Errors
/// It is not there, is no event device with digits, may not be read, or is grabbed already.
pub fn open(path: &Path) -> Result<Box<dyn Reader>, PortError> {
    let stat = rustix::fs::stat(path).map_err(|e| failed("open", path, e))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice {
        return Err(failed("open", path, "it is no event device; see /dev/input/by-id"));
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).map_err(|e| failed("open", path, e))?;
    let mut device = RawDevice::from_fd(fd).map_err(|_| failed("open", path, "it is no event device"))?;
    let digits = |k: &evdev::AttributeSetRef<evdev::KeyCode>| {
        k.contains(evdev::KeyCode::KEY_1) || k.contains(evdev::KeyCode::KEY_KP1)
    };
    if !device.supported_keys().is_some_and(digits) {
        return Err(failed("open", path, "it has no keys for digits"));
    }
    device.grab().map_err(|e| match e.kind() {
        ErrorKind::ResourceBusy => failed("grab", path, "another program has grabbed it; stop that one"),
        _ => failed("grab", path, e),
    })?;
    Ok(Box::new(Keyboard { device, path: path.to_owned(), typist: Typist::default(), rows: VecDeque::new() }))
}

struct Keyboard {
    device: RawDevice,
    path: PathBuf,
    typist: Typist,
    rows: VecDeque<Zeroizing<String>>,
}

impl Keyboard {
    fn read(&mut self) -> Result<(), PortError> {
        let events = match self.device.fetch_events() {
            Ok(events) => events,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
            Err(e) => return Err(failed("read", &self.path, e)),
        };
        for event in events {
            match event.event_type() {
                EventType::KEY => {
                    let at = event.timestamp().duration_since(UNIX_EPOCH).unwrap_or_default();
                    self.rows.extend(self.typist.key(at, event.code(), event.value()));
                }
                EventType::SYNCHRONIZATION if event.code() == SYN_DROPPED => self.typist.lost_some(),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Reader for Keyboard {
    fn next(&mut self, timeout: Duration) -> Result<Option<Zeroizing<String>>, PortError> {
        let end = Instant::now() + timeout;
        loop {
            if let Some(row) = self.rows.pop_front() {
                return Ok(Some(row));
            }
            let left = end.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
            let gone = {
                let mut fds = [PollFd::new(&self.device, PollFlags::IN)];
                match poll(&mut fds, Some(&left)) {
                    Ok(_) | Err(Errno::INTR) => fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP),
                    Err(e) => return Err(failed("read", &self.path, e)),
                }
            };
            if gone {
                return Err(failed("read", &self.path, "it is gone"));
            }
            self.read()?;
            if self.rows.is_empty() && Instant::now() >= end {
                return Ok(None);
            }
        }
    }
}

fn failed(what: &str, path: &Path, cause: impl ToString) -> PortError {
    PortError::new(
        format!("{what} the keyboard {}", path.display()),
        cause,
        "check the cable, the path, and that the daemon's user is in the group input",
        Recovery::Reopen,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_keyboard_is_refused_with_its_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        std::fs::write(&file, "").expect("written");
        for (path, words) in [
            (file.as_path(), "it is no event device; see /dev/input/by-id"),
            (dir.path(), "it is no event device"),
            (Path::new("/dev/null"), "it is no event device"),
            (&dir.path().join("none"), "group input"),
        ] {
            let e = open(path).err().expect("refused").to_string();
            assert!(e.contains(words) && e.contains(&path.display().to_string()), "{e}");
        }
    }
}
