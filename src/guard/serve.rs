//! The loop around the machine: one thread, blocked in `poll` on a signal pipe, a timer, the socket and one daemon.
//!
//! The order within a turn is the order of what matters: signals, deadlines, the end of the daemon, and only then what
//! the daemon asks for.

use super::machine::{Effects, Input, Machine, Reply};
use crate::adapters::relay::wire::{Answer, MAX, Request};
use crate::base::time::{Clock, Tick};
use crate::ports::{PortError, Recovery, Relay};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, recv,
    send, socket_with, sockopt,
};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// A guard that was started by a daemon and never hears of it ends after this time.
const ALONE_MAX: Duration = Duration::from_secs(5);
/// Packets of one daemon that are taken before deadlines and signals are looked at again.
const BURST: usize = 16;

/// How long the guard lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// `door.guard = "spawn"`: until its daemon is gone and the line is inactive.
    WithDaemon,
    /// `door.guard = "socket"`: until it is told to end.
    Service,
}

/// What the guard is handed by the shell.
pub struct Parts<'a> {
    pub line: &'a mut dyn Relay,
    /// The stamp of the line's first, inactive write.
    pub started: Tick,
    /// A listening `SOCK_SEQPACKET` socket.
    pub listener: OwnedFd,
    /// Becomes readable when the guard shall end.
    pub signals: OwnedFd,
    pub clock: &'a dyn Clock,
    pub random: fn() -> Result<[u8; 16], PortError>,
    pub life: Life,
    /// Whom to tell how the loop fares; must not wait.
    pub notify: &'a dyn Fn(Notice),
    /// How often to tell [`Notice::Alive`].
    pub beat: Option<Duration>,
}

/// What the guard says to its service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The line is inactive and callers are heard.
    Ready,
    /// The loop went round: nothing else proves that a deadline would be kept.
    Alive,
}

/// Makes the socket at `path`, which only this user can connect to. A file that stands there is removed: the caller
/// owns the line, so no other guard of this line is alive.
///
/// # Errors
/// The path is too long, or its directory refuses.
pub fn listen_at(path: &Path) -> Result<OwnedFd, PortError> {
    let failed = |e: Errno| {
        let what = format!("listen at {}", path.display());
        PortError::new(what, e, "check door.guard_socket, its directory and its rights", Recovery::Fatal)
    };
    let address = SocketAddrUnix::new(path).map_err(failed)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(failed)?;
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(failed(e)),
    }
    // The mask makes the file 0600 from its first instant; the mode is the only check of who may open the door.
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = bind(&socket, &address);
    rustix::process::umask(before);
    bound.and_then(|()| listen(&socket, 4)).map_err(failed)?;
    Ok(socket)
}

/// Checks a socket that somebody else made, for example systemd.
///
/// # Errors
/// It is no listening `SOCK_SEQPACKET` socket.
pub fn adopt(socket: OwnedFd) -> Result<OwnedFd, PortError> {
    let fits = sockopt::socket_type(&socket).is_ok_and(|t| t == SocketType::SEQPACKET)
        && sockopt::socket_domain(&socket).is_ok_and(|d| d == AddressFamily::UNIX)
        && sockopt::socket_acceptconn(&socket).is_ok_and(|a| a);
    let nonblocking = rustix::io::ioctl_fionbio(&socket, true);
    if fits && nonblocking.is_ok() {
        return Ok(socket);
    }
    let hint = "use ListenSequentialPacket= in the socket unit";
    Err(PortError::new(
        "use the socket from LISTEN_FDS",
        "it is no listening SOCK_SEQPACKET socket",
        hint,
        Recovery::Fatal,
    ))
}

/// Runs until the guard shall end. The line is inactive then, unless it does not do what it is told.
///
/// # Errors
/// The kernel refused a timer, a random number or `poll`; the line was released before.
pub fn serve(parts: Parts<'_>) -> Result<(), PortError> {
    let boot = (parts.random)()?;
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)
        .map_err(|e| PortError::new("make a timer", e, "check the limit of open files", Recovery::Fatal))?;
    let machine = Machine::new(parts.started);
    let alone_until = (parts.life == Life::WithDaemon).then(|| parts.started + ALONE_MAX);
    let next_beat = parts.beat.map(|_| parts.started);
    let mut guard = Guard { parts, machine, boot, timer, daemon: None, alone_until, next_beat, ending: false };
    (guard.parts.notify)(Notice::Ready);
    loop {
        if guard.over() {
            return Ok(());
        }
        if let Err(e) = guard.turn() {
            guard.step(Input::Term);
            return Err(PortError::new("wait for the daemon", e, "see the kernel's log", Recovery::Fatal));
        }
    }
}

struct Daemon {
    socket: OwnedFd,
    /// Number of the last edge that was handed over on this connection.
    told: u64,
}

struct Guard<'a> {
    parts: Parts<'a>,
    machine: Machine,
    boot: [u8; 16],
    timer: OwnedFd,
    daemon: Option<Daemon>,
    /// When to end unless a daemon connects.
    alone_until: Option<Tick>,
    /// When the service manager is to hear of the loop again.
    next_beat: Option<Tick>,
    /// A signal came.
    ending: bool,
}

/// What a turn woke up for.
struct Woken {
    signal: bool,
    caller: bool,
    packet: bool,
    hangup: bool,
}

impl Guard<'_> {
    fn over(&self) -> bool {
        let abandoned = self.alone_until.is_some_and(|until| self.parts.clock.now() >= until);
        (self.ending && self.machine.settled()) || (abandoned && self.machine.inactive())
    }

    fn turn(&mut self) -> Result<(), Errno> {
        let woken = self.wait()?;
        if woken.signal {
            self.step(Input::Term);
            self.ending = true;
            // The pipe stays readable; a second signal has nothing to add.
        }
        self.step(Input::Deadline);
        if woken.hangup {
            self.hang_up();
        } else if woken.packet {
            self.listen_to_daemon();
        }
        if woken.caller {
            self.answer_caller();
        }
        self.hand_over_edges();
        self.beat();
        Ok(())
    }

    /// Last in a turn, so that a turn that hangs is not told as one that went round.
    fn beat(&mut self) {
        let now = self.parts.clock.now();
        if self.next_beat.is_some_and(|due| now >= due) {
            (self.parts.notify)(Notice::Alive);
            self.next_beat = self.parts.beat.map(|beat| now + beat);
        }
    }

    fn wait(&self) -> Result<Woken, Errno> {
        self.set_timer()?;
        let daemon = self.daemon.as_ref();
        let mut wanted = PollFlags::IN;
        if daemon.is_some_and(|d| self.machine.edge_after(d.told).is_some()) {
            wanted |= PollFlags::OUT;
        }
        // Once a signal came its pipe is readable for ever, so only the timer is waited for then.
        let signal_wanted = if self.ending { PollFlags::empty() } else { PollFlags::IN };
        let daemon_fd = daemon.map_or(self.timer.as_fd(), |d| d.socket.as_fd());
        let mut fds = [
            PollFd::from_borrowed_fd(self.parts.signals.as_fd(), signal_wanted),
            PollFd::from_borrowed_fd(self.timer.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.parts.listener.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(daemon_fd, wanted),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
        let [signal, _timer, caller, daemon_events] = fds.map(|f| f.revents());
        Ok(Woken {
            signal: !self.ending && !signal.is_empty(),
            caller: caller.contains(PollFlags::IN),
            packet: daemon.is_some() && daemon_events.contains(PollFlags::IN),
            hangup: daemon.is_some() && daemon_events.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::RDHUP),
        })
    }

    /// An absolute time, so that a delay between here and `poll` does not add to the pulse.
    fn set_timer(&self) -> Result<(), Errno> {
        // A line that is still to be released keeps a lonely guard alive, and has its own deadline.
        let alone = self.alone_until.filter(|_| self.machine.inactive());
        let due = self.machine.next_deadline().into_iter().chain(alone).chain(self.next_beat).min();
        // Zero disarms a timer; one nanosecond after the machine's start is long over and fires at once.
        let ns = due.map_or(0, |t| t.as_nanos().max(1));
        let at = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let it_value = Timespec { tv_sec: at(ns / 1_000_000_000), tv_nsec: at(ns % 1_000_000_000) };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec).map(|_before| ())
    }

    /// Hands one input to the machine and carries out what follows: the line first, then the answer.
    fn step(&mut self, input: Input) {
        let mut effects = self.machine.handle(self.parts.clock.now(), input);
        loop {
            let Effects { line, reply } = effects;
            let written = line.map(|l| self.parts.line.set(l.energised, l.cause).ok());
            let Some(at) = written else {
                self.reply(reply);
                return;
            };
            effects = self.machine.handle(self.parts.clock.now(), Input::Written(at));
            self.reply(reply);
        }
    }

    fn reply(&mut self, reply: Option<Reply>) {
        let answer = match reply {
            None => return,
            Some(Reply::Armed(nonce)) => Answer::Armed { nonce },
            Some(Reply::Opened) => Answer::Opened,
            Some(Reply::Refused(why)) => Answer::Refused(why),
        };
        // A daemon that does not take its answers hears nothing, gives up, and hangs up.
        if let Some(d) = &self.daemon {
            let _sent = tell(&d.socket, answer);
        }
    }

    fn listen_to_daemon(&mut self) {
        for _packet in 0..BURST {
            let Some(daemon) = &self.daemon else { return };
            let mut bytes = [0u8; MAX + 1];
            match recv(&daemon.socket, &mut bytes, RecvFlags::DONTWAIT) {
                Err(Errno::AGAIN | Errno::INTR) => return,
                Ok((len, _)) if len > 0 => match Request::decode(&bytes[..len]) {
                    Some(request) => self.obey(request),
                    None => return self.hang_up(),
                },
                Ok(_) | Err(_) => return self.hang_up(),
            }
        }
    }

    fn obey(&mut self, request: Request) {
        let input = match request {
            Request::Heartbeat => Input::Heartbeat,
            Request::DoorOpen => Input::DoorOpen,
            Request::HoldOpen { nonce } => Input::HoldOpen { nonce },
            Request::Renew => Input::Renew,
            Request::Open { nonce, visit, hold_ms } => {
                Input::Open { nonce, visit, hold: Duration::from_millis(u64::from(hold_ms)) }
            }
            Request::Arm => match (self.parts.random)() {
                Ok(nonce) => Input::Arm { nonce },
                // Without random numbers there is no nonce, and without a nonce no door.
                Err(_) => return self.hang_up(),
            },
        };
        self.step(input);
    }

    fn hang_up(&mut self) {
        self.step(Input::Eof);
        self.daemon = None;
        if self.parts.life == Life::WithDaemon {
            self.alone_until = Some(self.parts.started);
        }
    }

    fn answer_caller(&mut self) {
        let Ok(socket) = accept_with(&self.parts.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) else {
            return;
        };
        if self.daemon.is_some() || self.ending {
            let _sent = tell(&socket, Answer::Busy);
            return;
        }
        if tell(&socket, Answer::Hello { boot: self.boot }).is_ok() {
            self.daemon = Some(Daemon { socket, told: 0 });
            self.alone_until = None;
        }
    }

    fn hand_over_edges(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        while let Some(edge) = self.machine.edge_after(daemon.told) {
            if tell(&daemon.socket, Answer::Edge(edge)).is_err() {
                // Full: `poll` says when there is room again. Broken: `poll` says that too.
                return;
            }
            daemon.told = edge.number;
        }
    }
}

fn tell(socket: &OwnedFd, answer: Answer) -> Result<(), Errno> {
    send(socket, answer.encode().bytes(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL).map(|_len| ())
}
