//! A keypad or card reader that is a keyboard for the kernel. It is taken for this program alone: what is typed reaches
//! no console.

use super::LONGEST;
use crate::ports::{PortError, Reader, Recovery};
use evdev::{Device, EventSummary, KeyCode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zeroize::{Zeroize, Zeroizing};

/// A row whose next key does not come in this time is forgotten.
const PAUSE: Duration = Duration::from_secs(5);

/// The device and the row so far.
pub struct EvdevReader {
    device: Device,
    path: PathBuf,
    row: Row,
    last: Instant,
    rows: VecDeque<Zeroizing<String>>,
}

impl EvdevReader {
    /// Takes the device.
    ///
    /// # Errors
    /// It is not there, is no keyboard, or another program has taken it.
    pub fn open(path: &Path) -> Result<Self, PortError> {
        let bad = |what: &str, e: std::io::Error| failed(what, path, e);
        let mut device = Device::open(path).map_err(|e| bad("open", e))?;
        if !device.supported_keys().is_some_and(|k| k.contains(KeyCode::KEY_ENTER) || k.contains(KeyCode::KEY_KPENTER))
        {
            return Err(failed("use", path, "it is no keyboard: it has no enter key"));
        }
        device.grab().map_err(|e| bad("take", e))?;
        device.set_nonblocking(true).map_err(|e| bad("open", e))?;
        let row = Row(Zeroizing::new(String::with_capacity(LONGEST + 1)));
        Ok(EvdevReader { device, path: path.to_owned(), row, last: Instant::now(), rows: VecDeque::new() })
    }
}

impl Reader for EvdevReader {
    fn next(&mut self, timeout: Duration) -> Result<Option<Zeroizing<String>>, PortError> {
        if let Some(row) = self.rows.pop_front() {
            return Ok(Some(row));
        }
        let left = Timespec::try_from(timeout).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
        let mut fds = [PollFd::from_borrowed_fd(self.device.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(failed("read", &self.path, e)),
        }
        if self.last.elapsed() > PAUSE {
            self.row.0.zeroize();
        }
        match self.device.fetch_events() {
            Ok(events) => {
                for event in events {
                    // 1 is pressed; 0 is let go, 2 is held.
                    if let EventSummary::Key(_, key, 1) = event.destructure() {
                        self.last = Instant::now();
                        self.rows.extend(self.row.press(key));
                    }
                }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => return Err(failed("read", &self.path, e)),
        }
        Ok(self.rows.pop_front())
    }
}

fn failed(what: &str, path: &Path, cause: impl ToString) -> PortError {
    PortError::new(
        format!("{what} the keyboard {}", path.display()),
        cause,
        "take a name under /dev/input/by-id; the daemon's user must be in the group input",
        Recovery::Reopen,
    )
}

/// What was typed since the last enter.
struct Row(Zeroizing<String>);

impl Row {
    /// Takes a key; returns the row that it ends.
    fn press(&mut self, key: KeyCode) -> Option<Zeroizing<String>> {
        match key {
            KeyCode::KEY_ENTER | KeyCode::KEY_KPENTER | KeyCode::KEY_NUMERIC_POUND => {
                let row = std::mem::replace(&mut self.0, Zeroizing::new(String::with_capacity(LONGEST + 1)));
                return (1..=LONGEST).contains(&row.len()).then_some(row);
            }
            KeyCode::KEY_BACKSPACE => {
                self.0.pop();
            }
            KeyCode::KEY_ESC | KeyCode::KEY_NUMERIC_STAR => self.0.zeroize(),
            _ => {
                if let Some(c) = character(key).filter(|_| self.0.len() <= LONGEST) {
                    self.0.push(c);
                }
            }
        }
        None
    }
}

/// Digits and capital letters; what a card reader types is compared as it comes, whether or not shift is held.
fn character(key: KeyCode) -> Option<char> {
    const KEYS: [(KeyCode, char); 56] = [
        (KeyCode::KEY_0, '0'),
        (KeyCode::KEY_1, '1'),
        (KeyCode::KEY_2, '2'),
        (KeyCode::KEY_3, '3'),
        (KeyCode::KEY_4, '4'),
        (KeyCode::KEY_5, '5'),
        (KeyCode::KEY_6, '6'),
        (KeyCode::KEY_7, '7'),
        (KeyCode::KEY_8, '8'),
        (KeyCode::KEY_9, '9'),
        (KeyCode::KEY_KP0, '0'),
        (KeyCode::KEY_KP1, '1'),
        (KeyCode::KEY_KP2, '2'),
        (KeyCode::KEY_KP3, '3'),
        (KeyCode::KEY_KP4, '4'),
        (KeyCode::KEY_KP5, '5'),
        (KeyCode::KEY_KP6, '6'),
        (KeyCode::KEY_KP7, '7'),
        (KeyCode::KEY_KP8, '8'),
        (KeyCode::KEY_KP9, '9'),
        (KeyCode::KEY_NUMERIC_0, '0'),
        (KeyCode::KEY_NUMERIC_1, '1'),
        (KeyCode::KEY_NUMERIC_2, '2'),
        (KeyCode::KEY_NUMERIC_3, '3'),
        (KeyCode::KEY_NUMERIC_4, '4'),
        (KeyCode::KEY_NUMERIC_5, '5'),
        (KeyCode::KEY_NUMERIC_6, '6'),
        (KeyCode::KEY_NUMERIC_7, '7'),
        (KeyCode::KEY_NUMERIC_8, '8'),
        (KeyCode::KEY_NUMERIC_9, '9'),
        (KeyCode::KEY_A, 'A'),
        (KeyCode::KEY_B, 'B'),
        (KeyCode::KEY_C, 'C'),
        (KeyCode::KEY_D, 'D'),
        (KeyCode::KEY_E, 'E'),
        (KeyCode::KEY_F, 'F'),
        (KeyCode::KEY_G, 'G'),
        (KeyCode::KEY_H, 'H'),
        (KeyCode::KEY_I, 'I'),
        (KeyCode::KEY_J, 'J'),
        (KeyCode::KEY_K, 'K'),
        (KeyCode::KEY_L, 'L'),
        (KeyCode::KEY_M, 'M'),
        (KeyCode::KEY_N, 'N'),
        (KeyCode::KEY_O, 'O'),
        (KeyCode::KEY_P, 'P'),
        (KeyCode::KEY_Q, 'Q'),
        (KeyCode::KEY_R, 'R'),
        (KeyCode::KEY_S, 'S'),
        (KeyCode::KEY_T, 'T'),
        (KeyCode::KEY_U, 'U'),
        (KeyCode::KEY_V, 'V'),
        (KeyCode::KEY_W, 'W'),
        (KeyCode::KEY_X, 'X'),
        (KeyCode::KEY_Y, 'Y'),
        (KeyCode::KEY_Z, 'Z'),
    ];
    KEYS.iter().find(|(k, _)| *k == key).map(|(_, c)| *c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[KeyCode]) -> Vec<String> {
        let mut row = Row(Zeroizing::new(String::new()));
        keys.iter().filter_map(|k| row.press(*k)).map(|r| r.to_string()).collect()
    }

    #[test]
    fn keys_become_rows_and_a_slip_can_be_taken_back() {
        use KeyCode as K;
        assert_eq!(
            typed(&[K::KEY_1, K::KEY_KP2, K::KEY_NUMERIC_3, K::KEY_A, K::KEY_ENTER, K::KEY_4, K::KEY_KPENTER]),
            ["123A", "4"]
        );
        assert_eq!(typed(&[K::KEY_1, K::KEY_2, K::KEY_BACKSPACE, K::KEY_3, K::KEY_ENTER]), ["13"]);
        assert_eq!(
            typed(&[K::KEY_1, K::KEY_ESC, K::KEY_ENTER, K::KEY_LEFTSHIFT, K::KEY_9, K::KEY_NUMERIC_POUND]),
            ["9"]
        );
        let many: Vec<K> = std::iter::repeat_n(K::KEY_7, 1000).chain([K::KEY_ENTER, K::KEY_5, K::KEY_ENTER]).collect();
        assert_eq!(typed(&many), ["5"], "nobody's PIN has a thousand digits");
    }

    #[test]
    fn what_is_no_keyboard_is_refused_by_name() {
        let e = EvdevReader::open(Path::new("/nonexistent/event0")).err().expect("refused").to_string();
        assert!(e.contains("/nonexistent/event0") && e.contains("group input"), "{e}");
    }
}
