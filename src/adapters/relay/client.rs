//! The daemon's end of the guard's socket.
//!
//! Nothing here runs by itself: the controller's loop calls [`DoorGuard::heartbeat`] and [`DoorGuard::edges`], so that a
//! controller that hangs also stops the heartbeat. A connection that is in doubt is closed, which makes the guard put
//! the line inactive.

use super::wire::{Answer, MAX, Request};
use crate::ports::{DoorGuard, Edge, OpenRefusal, PortError, Recovery};
use crate::schema::ids::VisitId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send, socket_with,
};
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// All of `open`, with its two round trips.
const OPEN_MAX: Duration = Duration::from_millis(500);
/// Between two tries to connect.
const RECONNECT: Duration = Duration::from_millis(50);

/// Says of each guard process how far its edges were recorded, so that none is recorded twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeMark {
    /// Drawn anew by each guard process.
    pub boot: [u8; 16],
    /// Number of the last edge of that process that was given out.
    pub number: u64,
}

/// A guard that is reached through a socket; it reconnects by itself.
#[derive(Debug)]
pub struct GuardClient {
    path: PathBuf,
    link: Option<Link>,
    tried: Option<Instant>,
    why_not: String,
    mark: Option<EdgeMark>,
    waiting: VecDeque<Edge>,
}

#[derive(Debug)]
struct Link {
    socket: OwnedFd,
    /// The guard's first packet came, so it speaks our version and has no other daemon.
    greeted: bool,
    answer: Option<Answer>,
}

impl GuardClient {
    /// A client that connects when it is used.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        GuardClient {
            path: path.to_owned(),
            link: None,
            tried: None,
            why_not: "it has not answered yet".to_owned(),
            mark: None,
            waiting: VecDeque::new(),
        }
    }

    /// Connects, and waits at most `within` for the guard's greeting.
    ///
    /// # Errors
    /// No guard answered in time, or it has another daemon already.
    pub fn connect(path: &Path, within: Duration) -> Result<Self, PortError> {
        let mut client = GuardClient::new(path);
        let until = Instant::now() + within;
        loop {
            client.tend();
            if client.connected() {
                return Ok(client);
            }
            if Instant::now() >= until {
                return Err(client.unreachable());
            }
            client.wait(until.min(Instant::now() + RECONNECT));
        }
    }

    /// Whether the guard has greeted us and has not hung up since.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.link.as_ref().is_some_and(|l| l.greeted)
    }

    /// How far edges were given out by [`DoorGuard::edges`]; `None` before the first greeting.
    #[must_use]
    pub fn mark(&self) -> Option<EdgeMark> {
        let unread = self.waiting.front().map(|e| e.number.saturating_sub(1));
        self.mark.map(|m| EdgeMark { number: unread.map_or(m.number, |n| n.min(m.number)), ..m })
    }

    /// Leaves out the edges that another client of this guard process gave out before.
    pub fn resume(&mut self, mark: EdgeMark) {
        match self.mark {
            Some(m) if m.boot != mark.boot => {}
            _ => {
                self.waiting.retain(|e| e.number > mark.number);
                self.mark = Some(EdgeMark { number: mark.number.max(self.mark.map_or(0, |m| m.number)), ..mark });
            }
        }
    }

    /// Connects if there is no connection, and takes in what the guard has sent. Never waits.
    fn tend(&mut self) {
        if self.link.is_none() && self.tried.is_none_or(|at| at.elapsed() >= RECONNECT) {
            self.tried = Some(Instant::now());
            match dial(&self.path) {
                // The reason of the last failure stays until the guard greets: it says more than "not yet".
                Ok(socket) => self.link = Some(Link { socket, greeted: false, answer: None }),
                Err(e) => self.why_not = e.to_string(),
            }
        }
        while let Some(link) = &self.link {
            let mut bytes = [0u8; MAX + 1];
            match recv(&link.socket, &mut bytes, RecvFlags::DONTWAIT) {
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(e) => self.drop_link(e.to_string()),
                Ok((0, _)) => self.drop_link("the guard hung up"),
                Ok((len, _)) => match Answer::decode(&bytes[..len]) {
                    Some(answer) => self.take(answer),
                    None => self.drop_link("the guard speaks another version"),
                },
            }
        }
    }

    fn take(&mut self, answer: Answer) {
        let Some(link) = &mut self.link else { return };
        match answer {
            Answer::Hello { boot } => {
                link.greeted = true;
                if self.mark.is_none_or(|m| m.boot != boot) {
                    self.mark = Some(EdgeMark { boot, number: 0 });
                }
            }
            Answer::Busy => self.drop_link("the guard has another daemon"),
            Answer::Edge(edge) => {
                if let Some(mark) = self.mark.as_mut().filter(|m| edge.number > m.number) {
                    mark.number = edge.number;
                    self.waiting.push_back(edge);
                }
            }
            Answer::Armed { .. } | Answer::Opened | Answer::Refused(_) => link.answer = Some(answer),
        }
    }

    fn drop_link(&mut self, why: impl Into<String>) {
        self.link = None;
        self.why_not = why.into();
    }

    fn send(&mut self, request: Request) -> Result<(), PortError> {
        let Some(link) = self.link.as_ref().filter(|l| l.greeted) else { return Err(self.unreachable()) };
        match send(&link.socket, request.encode().bytes(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(_) => Ok(()),
            Err(e) => {
                // A full socket too: a guard that does not read cannot be trusted with the next pulse.
                self.drop_link(e.to_string());
                Err(self.unreachable())
            }
        }
    }

    /// Waits for the guard's answer to a request; `None` when the time is over or the connection broke.
    fn answer(&mut self, until: Instant) -> Option<Answer> {
        loop {
            self.tend();
            if let Some(answer) = self.link.as_mut()?.answer.take() {
                return Some(answer);
            }
            if Instant::now() >= until {
                return None;
            }
            self.wait(until);
        }
    }

    /// Until the guard says something, at the latest `until`.
    fn wait(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        let Some(link) = &self.link else { return std::thread::sleep(left.min(RECONNECT)) };
        let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
        let _woken = poll(&mut [PollFd::from_borrowed_fd(link.socket.as_fd(), PollFlags::IN)], Some(&left));
    }

    /// Arms, and uses the nonce for what `request` makes of it.
    fn try_open(&mut self, request: impl FnOnce([u8; 16]) -> Request) -> Result<(), OpenRefusal> {
        let until = Instant::now() + OPEN_MAX;
        self.tend();
        while !self.connected() {
            if Instant::now() >= until {
                return Err(OpenRefusal::Unavailable);
            }
            self.wait(until.min(Instant::now() + RECONNECT));
            self.tend();
        }
        let gone = |_: PortError| OpenRefusal::Unavailable;
        self.send(Request::Arm).map_err(gone)?;
        let Some(Answer::Armed { nonce }) = self.answer(until) else { return Err(OpenRefusal::Unavailable) };
        self.send(request(nonce)).map_err(gone)?;
        match self.answer(until) {
            Some(Answer::Opened) => Ok(()),
            Some(Answer::Refused(why)) => Err(why),
            _ => Err(OpenRefusal::Unavailable),
        }
    }

    fn unlock(&mut self, request: impl FnOnce([u8; 16]) -> Request) -> Result<(), OpenRefusal> {
        let outcome = self.try_open(request);
        if outcome == Err(OpenRefusal::Unavailable) && self.link.is_some() {
            // The guard may open late. Hanging up makes it release the line, as nobody waits for that pulse any more.
            self.drop_link("the guard did not answer in time");
        }
        outcome
    }

    fn unreachable(&self) -> PortError {
        PortError::new(
            format!("reach the guard at {}", self.path.display()),
            &self.why_not,
            "the door stays shut; see whether `cardea guard` runs and who owns its socket",
            Recovery::Reopen,
        )
    }
}

impl DoorGuard for GuardClient {
    fn open(&mut self, visit: VisitId, hold: Duration) -> Result<(), OpenRefusal> {
        let hold_ms = u32::try_from(hold.as_millis()).unwrap_or(u32::MAX);
        self.unlock(|nonce| Request::Open { nonce, visit, hold_ms })
    }

    fn door_opened(&mut self) -> Result<(), PortError> {
        self.tend();
        self.send(Request::DoorOpen)
    }

    fn hold_open(&mut self) -> Result<(), OpenRefusal> {
        self.unlock(|nonce| Request::HoldOpen { nonce })
    }

    fn renew(&mut self) -> Result<(), PortError> {
        self.tend();
        self.send(Request::Renew)
    }

    fn heartbeat(&mut self) -> Result<(), PortError> {
        self.tend();
        self.send(Request::Heartbeat)
    }

    fn edges(&mut self) -> Vec<Edge> {
        self.tend();
        self.waiting.drain(..).collect()
    }
}

fn dial(path: &Path) -> Result<OwnedFd, Errno> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    connect(&socket, &address)?;
    Ok(socket)
}
