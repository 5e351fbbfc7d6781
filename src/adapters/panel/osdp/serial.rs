//! A serial line for RS-485, raw: 8 bits, no parity, one stop bit, no flow control. The adapter switches the direction.

use crate::ports::{PortError, Recovery};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::termios::{ControlModes, OptionalActions, tcgetattr, tcsetattr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// The open line.
pub struct Serial(OwnedFd);

impl Serial {
    /// Opens and sets it up; what lay in it is thrown away.
    ///
    /// # Errors
    /// It is not there, is no serial line, has another user of this program, or cannot have this speed.
    pub fn open(path: &Path, baud: u32) -> Result<Serial, PortError> {
        let bad = |e: Errno| {
            let (cause, hint) = match e {
                Errno::WOULDBLOCK => ("another cardea has it".to_owned(), "stop the other one"),
                Errno::NOTTY => ("it is no serial line".to_owned(), "set osdp.device to the RS-485 adapter"),
                e => (e.to_string(), "check osdp.device, osdp.baud, the cable, and the group dialout"),
            };
            PortError::new(format!("open the panel's line {}", path.display()), cause, hint, Recovery::Reopen)
        };
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(bad)?;
        let mut termios = tcgetattr(&fd).map_err(bad)?;
        flock(&fd, FlockOperation::NonBlockingLockExclusive).map_err(bad)?;
        termios.make_raw();
        termios.control_modes -=
            ControlModes::CSIZE | ControlModes::PARENB | ControlModes::CSTOPB | ControlModes::CRTSCTS;
        termios.control_modes |= ControlModes::CS8 | ControlModes::CLOCAL | ControlModes::CREAD;
        termios.set_speed(baud).map_err(bad)?;
        tcsetattr(&fd, OptionalActions::Flush, &termios).map_err(bad)?;
        Ok(Serial(fd))
    }

    /// Waits for something to read, at most so long.
    pub fn wait(&self, timeout: Duration) -> Result<(), String> {
        let timeout = Timespec::try_from(timeout).map_err(|e| e.to_string())?;
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.to_string()),
        }
        if fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            return Err("it is gone".into());
        }
        Ok(())
    }

    /// What is there; zero bytes when nothing is.
    pub fn read(&self, buf: &mut [u8]) -> Result<usize, String> {
        match rustix::io::read(&self.0, buf) {
            Ok(n) => Ok(n),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(e) => Err(e.to_string()),
        }
    }

    /// All of it: an answer is far shorter than the kernel's buffer, so a full one means that nothing moves.
    pub fn write(&self, buf: &[u8]) -> Result<usize, String> {
        match rustix::io::write(&self.0, buf) {
            Ok(n) if n == buf.len() => Ok(n),
            Ok(_) | Err(Errno::AGAIN) => Err("it takes nothing any more".into()),
            Err(e) => Err(e.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    #[test]
    fn bytes_go_through_as_they_are_and_a_line_that_goes_is_noticed() {
        let panel = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&panel).unwrap();
        unlockpt(&panel).unwrap();
        let name = ptsname(&panel, Vec::new()).unwrap();
        let path = Path::new(name.to_str().unwrap());
        let line = Serial::open(path, 19_200).unwrap();
        let all: Vec<u8> = (0..=255).collect();
        rustix::io::write(&panel, &all).unwrap();
        let (mut got, mut buf) = (Vec::new(), [0; 64]);
        while got.len() < all.len() {
            line.wait(Duration::from_secs(60)).unwrap();
            let n = line.read(&mut buf).unwrap();
            got.extend_from_slice(&buf[..n]);
        }
        assert_eq!(got, all, "neither line ends nor control characters mean anything");
        assert_eq!(line.read(&mut buf), Ok(0));
        assert_eq!(line.write(b"\x03\n\x11"), Ok(3));
        let n = rustix::io::read(&panel, &mut buf).unwrap();
        assert_eq!(buf[..n], *b"\x03\n\x11");
        let e = Serial::open(path, 9600).err().expect("it has a user").to_string();
        assert!(e.contains("another cardea has it"), "{e}");
        drop(panel);
        assert_eq!(line.wait(Duration::from_secs(60)), Err("it is gone".into()));
    }

    #[test]
    fn what_is_no_serial_line_is_refused() {
        for (path, words) in [("/dev/null", "it is no serial line"), ("/dev/no such line", "osdp.device")] {
            let e = Serial::open(Path::new(path), 9600).err().expect("refused").to_string();
            assert!(e.contains(words) && e.contains(path), "{e}");
        }
    }
}
