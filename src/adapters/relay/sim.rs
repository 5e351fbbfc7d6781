//! A relay line made of files, so that the whole daemon runs on a laptop and a script can watch the door.
//!
//! PATH holds one byte, `0` or `1`. `PATH.edges` gets a line per change, `<CLOCK_MONOTONIC ns> <0|1> <cause>`. With
//! `persist` only a write changes the level, as on a Raspberry Pi; without it the level falls back to 0 when the owner
//! dies, which readers see by the lock that the owner held.
//!
//! It misbehaves on request: while `PATH.stuck` exists the level does not move.

use super::wire::cause_named;
use crate::base::time::{Clock, Tick};
use crate::ports::{PortError, Recovery, Relay};
use crate::schema::event::EdgeCause;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often and how far apart the lock is tried. A reader may hold it for an instant to learn whether it is free; 20 ms
/// leave the greater part of the 50 ms in which a starting guard has its line.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// The owner's end of a sim line.
pub struct SimLine {
    level: File,
    edges: File,
    path: PathBuf,
    stuck: PathBuf,
    clock: Box<dyn Clock>,
    started: Tick,
}

impl SimLine {
    /// Takes the line and writes it inactive, with an edge line of cause `start`.
    ///
    /// # Errors
    /// The line has an owner already, or its files cannot be made.
    pub fn acquire(path: &Path, clock: Box<dyn Clock>) -> Result<SimLine, PortError> {
        let mut line = SimLine::attach(path, clock)?;
        line.lock()?;
        line.started = line.write(false, EdgeCause::Start, true)?;
        line.level.set_len(1).map_err(|e| failed("shorten", path, &e))?;
        Ok(line)
    }

    /// Writes the line inactive with cause `lock`, beside whatever owner it has or had.
    ///
    /// # Errors
    /// The line could not be written.
    pub fn force_inactive(path: &Path, clock: Box<dyn Clock>) -> Result<(), PortError> {
        SimLine::attach(path, clock)?.write(false, EdgeCause::Lock, false).map(|_at| ())
    }

    /// When [`SimLine::acquire`] wrote the line inactive.
    #[must_use]
    pub fn started(&self) -> Tick {
        self.started
    }

    fn attach(path: &Path, clock: Box<dyn Clock>) -> Result<SimLine, PortError> {
        let level = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).open(path);
        let edges_path = edges_path(path);
        let edges = OpenOptions::new().append(true).create(true).mode(0o644).open(&edges_path);
        Ok(SimLine {
            level: level.map_err(|e| failed("open", path, &e))?,
            edges: edges.map_err(|e| failed("open", &edges_path, &e))?,
            path: path.to_owned(),
            stuck: beside(path, ".stuck"),
            clock,
            started: Tick::ZERO,
        })
    }

    fn lock(&self) -> Result<(), PortError> {
        for _try in 1..LOCK_TRIES {
            if flock(&self.level, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return Ok(());
            }
            std::thread::sleep(LOCK_PAUSE);
        }
        flock(&self.level, FlockOperation::NonBlockingLockExclusive).map_err(|e| {
            PortError::new(
                format!("own the relay line {}", self.path.display()),
                e,
                "another guard owns it: stop that one, or give this one another door.relay.line",
                Recovery::Fatal,
            )
        })
    }

    /// Writes, reads back, then appends the edge if there was one. The stamps err to the safe side: a line is said to
    /// be active from before it was, and inactive from after it was.
    fn write(&mut self, energised: bool, cause: EdgeCause, always: bool) -> Result<Tick, PortError> {
        let before = self.level_byte().map_err(|e| failed("read", &self.path, &e))?;
        let early = self.clock.now();
        let wanted = if energised { b'1' } else { b'0' };
        if !self.stuck.exists() {
            self.level.write_all_at(&[wanted], 0).map_err(|e| failed("write", &self.path, &e))?;
        }
        let late = self.clock.now();
        let after = self.level_byte().map_err(|e| failed("read back", &self.path, &e))?;
        let at = if energised { early } else { late };
        // An empty file is inactive to every reader, so the first level of a new line is no change.
        if after != Some(before.unwrap_or(b'0')) || always {
            self.append(at, after == Some(b'1'), cause)
                .map_err(|e| failed("append to", &edges_path(&self.path), &e))?;
        }
        if after == Some(wanted) {
            return Ok(at);
        }
        Err(PortError::new(
            format!("set the relay line {} to {}", self.path.display(), u8::from(energised)),
            "it reads back another level",
            "check the line; the guard refuses every visit until it is started again",
            Recovery::Degrade,
        ))
    }

    /// One write, so that readers never see half a line; no allocation, since this stands between two levels.
    fn append(&mut self, at: Tick, energised: bool, cause: EdgeCause) -> io::Result<()> {
        let mut text = [0u8; 64];
        let mut rest = &mut text[..];
        writeln!(rest, "{} {} {}", at.as_nanos(), u8::from(energised), cause.name())?;
        let unused = rest.len();
        let end = text.len() - unused;
        self.edges.write_all(&text[..end])
    }

    fn level_byte(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        Ok((self.level.read_at(&mut byte, 0)? == 1).then_some(byte[0]))
    }
}

impl Relay for SimLine {
    fn set(&mut self, energised: bool, cause: EdgeCause) -> Result<Tick, PortError> {
        self.write(energised, cause, false)
    }

    fn energised(&mut self) -> Result<bool, PortError> {
        Ok(self.level_byte().map_err(|e| failed("read", &self.path, &e))? == Some(b'1'))
    }
}

/// The level as somebody beside the guard sees it; a line that was never written is inactive.
///
/// # Errors
/// The file cannot be read, or holds something else than a level.
pub fn read_line(path: &Path, persist: bool) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    if !persist && flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return Ok(false);
    }
    let mut byte = [0];
    match (file.read_at(&mut byte, 0)?, byte[0]) {
        (0, _) | (1, b'0') => Ok(false),
        (1, b'1') => Ok(true),
        (_, other) => Err(invalid(path, &format!("0x{other:02x} is no level; 0 or 1 stands there"))),
    }
}

/// All changes of the line, oldest first; a line that is still being written is left out.
///
/// # Errors
/// The file cannot be read, or a whole line of it is malformed.
pub fn read_edges(path: &Path) -> io::Result<Vec<(Tick, bool, EdgeCause)>> {
    let edges_path = edges_path(path);
    let text = match std::fs::read_to_string(&edges_path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    text.split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
        .map(|line| edge_of(line).ok_or_else(|| invalid(&edges_path, &format!("{line:?} is no edge"))))
        .collect()
}

fn edge_of(line: &str) -> Option<(Tick, bool, EdgeCause)> {
    let mut words = line.split(' ');
    let (at, level, cause) = (words.next()?, words.next()?, words.next()?);
    let level = match level {
        "0" => false,
        "1" => true,
        _ => return None,
    };
    words.next().is_none().then_some((Tick::from_nanos(at.parse().ok()?), level, cause_named(cause)?))
}

/// Where the changes of the line at `path` are written.
#[must_use]
pub fn edges_path(path: &Path) -> PathBuf {
    beside(path, ".edges")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn failed(verb: &str, path: &Path, cause: &io::Error) -> PortError {
    PortError::new(format!("{verb} {}", path.display()), cause, "check the directory and its rights", Recovery::Fatal)
}

fn invalid(path: &Path, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::ManualClock;

    struct Door {
        dir: tempfile::TempDir,
    }

    impl Door {
        fn new() -> Self {
            Door { dir: tempfile::tempdir().expect("a temporary directory") }
        }
        fn path(&self) -> PathBuf {
            self.dir.path().join("relay")
        }
        fn acquire(&self) -> Result<SimLine, PortError> {
            SimLine::acquire(&self.path(), Box::new(ManualClock::new(0)))
        }
        fn edges(&self) -> Vec<(bool, EdgeCause)> {
            read_edges(&self.path()).expect("edges").into_iter().map(|(_at, level, cause)| (level, cause)).collect()
        }
        fn reads(&self, persist: bool) -> bool {
            read_line(&self.path(), persist).expect("a level")
        }
    }

    #[test]
    fn a_start_is_an_edge_line_and_inactive() {
        let door = Door::new();
        let _line = door.acquire().expect("the line");
        assert_eq!(std::fs::read(door.path()).expect("the byte"), b"0");
        assert_eq!(door.edges(), [(false, EdgeCause::Start)]);
    }

    #[test]
    fn only_changes_are_edges() {
        let door = Door::new();
        let mut line = door.acquire().expect("the line");
        for (level, cause) in [(true, EdgeCause::Grant), (true, EdgeCause::Grant), (false, EdgeCause::Deadline)] {
            line.set(level, cause).expect("the line follows");
            assert_eq!(line.energised().expect("a level"), level);
        }
        line.set(false, EdgeCause::Eof).expect("the line follows");
        let expected = [(false, EdgeCause::Start), (true, EdgeCause::Grant), (false, EdgeCause::Deadline)];
        assert_eq!(door.edges(), expected);
    }

    #[test]
    fn a_line_without_persist_falls_back_when_its_owner_is_gone() {
        let door = Door::new();
        let mut line = door.acquire().expect("the line");
        line.set(true, EdgeCause::Grant).expect("the line follows");
        assert!(door.reads(false) && door.reads(true));
        drop(line);
        assert!(!door.reads(false), "nobody holds it");
        assert!(door.reads(true), "only a write changes it");
    }

    #[test]
    fn a_second_owner_is_refused_and_changes_nothing() {
        let door = Door::new();
        let mut line = door.acquire().expect("the line");
        line.set(true, EdgeCause::Grant).expect("the line follows");
        let refused = door.acquire().err().expect("a second owner is refused");
        assert!(refused.to_string().contains("another guard owns it"), "{refused}");
        assert!(door.reads(true));
        assert_eq!(door.edges().len(), 2);
    }

    #[test]
    fn a_lock_works_beside_a_running_owner() {
        let door = Door::new();
        let mut line = door.acquire().expect("the line");
        line.set(true, EdgeCause::Grant).expect("the line follows");
        for _twice in 0..2 {
            SimLine::force_inactive(&door.path(), Box::new(ManualClock::new(0))).expect("locked");
        }
        assert!(!door.reads(true));
        assert_eq!(door.edges()[1..], [(true, EdgeCause::Grant), (false, EdgeCause::Lock)]);
    }

    #[test]
    fn a_stuck_line_is_an_error_and_no_edge() {
        let door = Door::new();
        let mut line = door.acquire().expect("the line");
        std::fs::write(door.path().with_extension("stuck"), "").expect("a file");
        let e = line.set(true, EdgeCause::Grant).expect_err("it does not follow");
        assert!(e.to_string().contains("reads back another level"), "{e}");
        assert_eq!(door.edges(), [(false, EdgeCause::Start)]);
    }

    #[test]
    fn a_malformed_edge_is_named_and_half_a_line_is_not_read() {
        let door = Door::new();
        let _line = door.acquire().expect("the line");
        let edges = edges_path(&door.path());
        std::fs::write(&edges, "5 1 grant\n7 0 dead").expect("a file");
        assert_eq!(door.edges(), [(true, EdgeCause::Grant)]);
        for bad in ["5 2 grant", "x 1 grant", "5 1 wind", "5 1 grant x", "5 1"] {
            std::fs::write(&edges, format!("{bad}\n")).expect("a file");
            let e = read_edges(&door.path()).expect_err(bad);
            assert!(e.to_string().contains("relay.edges"), "{e}");
        }
        std::fs::write(door.path(), "x").expect("a file");
        assert!(read_line(&door.path(), true).is_err());
    }
}
