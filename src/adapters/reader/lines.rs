//! A pipe, a serial line or a file that gets a line for each row: serial card readers, scripts, and the simulator of the
//! product. Speed and parity of a serial line are the system's (`stty`).

use super::LONGEST;
use crate::ports::{PortError, Reader, Recovery};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zeroize::{Zeroize, Zeroizing};

/// A file that has grown is looked at so often.
const LOOK: Duration = Duration::from_millis(20);

/// The open device and what came of the row so far.
pub struct LineReader {
    fd: OwnedFd,
    path: PathBuf,
    file: bool,
    row: Zeroizing<Vec<u8>>,
    rows: VecDeque<Zeroizing<String>>,
}

impl LineReader {
    /// Opens it; what stands in a file already is passed over.
    ///
    /// # Errors
    /// It is not there, is a directory, or everybody may write to it.
    pub fn open(path: &Path) -> Result<Self, PortError> {
        let bad = |e: Errno| failed("open", path, e);
        let stat = rustix::fs::stat(path).map_err(bad)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let flags = match kind {
            // Writing too, so that the pipe does not end when its writers come and go.
            FileType::Fifo => OFlags::RDWR,
            FileType::RegularFile | FileType::CharacterDevice => OFlags::RDONLY,
            _ => return Err(failed("open", path, "it is no pipe, serial line or file")),
        };
        if stat.st_mode & 0o002 != 0 {
            return Err(failed("open", path, "everybody may write to it; run chmod o-w on it"));
        }
        let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(bad)?;
        let file = kind == FileType::RegularFile;
        if file {
            rustix::fs::seek(&fd, SeekFrom::End(0)).map_err(bad)?;
        }
        let row = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
        Ok(LineReader { fd, path: path.to_owned(), file, row, rows: VecDeque::new() })
    }

    fn take(&mut self, bytes: &[u8]) {
        for b in bytes {
            match b {
                b'\n' | b'\r' => {
                    let row = std::mem::replace(&mut self.row, Zeroizing::new(Vec::with_capacity(LONGEST + 1)));
                    let fits = (1..=LONGEST).contains(&row.len()) && row.iter().all(u8::is_ascii_graphic);
                    if fits {
                        self.rows.push_back(Zeroizing::new(String::from_utf8_lossy(&row).into_owned()));
                    }
                }
                // One too many marks a row that is too long, to its end.
                _ if self.row.len() <= LONGEST => self.row.push(*b),
                _ => {}
            }
        }
    }
}

impl Reader for LineReader {
    fn next(&mut self, timeout: Duration) -> Result<Option<Zeroizing<String>>, PortError> {
        let end = Instant::now() + timeout;
        loop {
            if let Some(row) = self.rows.pop_front() {
                return Ok(Some(row));
            }
            let left = end.saturating_duration_since(Instant::now());
            if self.file {
                // poll() calls a plain file always readable.
                std::thread::sleep(left.min(LOOK));
            } else {
                let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
                let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
                match poll(&mut fds, Some(&left)) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(e) => return Err(failed("read", &self.path, e)),
                }
                if fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
                    return Err(failed("read", &self.path, "it is gone"));
                }
            }
            let mut bytes = [0; 256];
            match rustix::io::read(&self.fd, &mut bytes) {
                Ok(n) => self.take(bytes.get(..n).unwrap_or_default()),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(e) => return Err(failed("read", &self.path, e)),
            }
            bytes.zeroize();
            if self.rows.is_empty() && Instant::now() >= end {
                return Ok(None);
            }
        }
    }
}

fn failed(what: &str, path: &Path, cause: impl ToString) -> PortError {
    PortError::new(
        format!("{what} the reader {}", path.display()),
        cause,
        "check the cable, the path, and that the daemon's user may read it",
        Recovery::Reopen,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_pipe_gives_rows_while_its_writers_come_and_go_and_rubbish_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("keypad");
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
        let mut reader = LineReader::open(&path).expect("opens");
        let wait = Duration::from_secs(60);
        for text in ["1234\r\n", "\n\u{1}\nä\n 1\n", "x", "y\n"] {
            fs::OpenOptions::new()
                .write(true)
                .open(&path)
                .and_then(|mut f| f.write_all(text.as_bytes()))
                .expect("written");
        }
        let long = format!("{}\n0815\n", "9".repeat(1000));
        fs::OpenOptions::new().write(true).open(&path).and_then(|mut f| f.write_all(long.as_bytes())).expect("written");
        let mut next = || reader.next(wait).expect("reads").expect("a row").to_string();
        assert_eq!([next(), next(), next()], ["1234", "xy", "0815"]);
        assert_eq!(reader.next(Duration::ZERO).expect("reads"), None);
    }

    #[test]
    fn a_file_tells_what_is_added_to_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("card");
        fs::write(&path, "old\n").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
        let mut reader = LineReader::open(&path).expect("opens");
        assert_eq!(reader.next(Duration::ZERO).expect("reads"), None);
        fs::OpenOptions::new().append(true).open(&path).and_then(|mut f| f.write_all(b"new\n")).expect("written");
        let row = reader.next(Duration::from_secs(60)).expect("reads").expect("a row");
        assert_eq!(row.as_str(), "new");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o606)).expect("set");
        let e = LineReader::open(&path).err().expect("refused").to_string();
        assert!(e.contains("card") && e.contains("chmod o-w"), "{e}");
        assert!(LineReader::open(dir.path()).is_err() && LineReader::open(&dir.path().join("no")).is_err());
    }
}
