//! When the line may be active. Pure: no clock, no socket, no allocation.
//!
//! * *pulse*: the time from the first request to activate the line until it is inactive again.
//! * *lease*: a pulse that holds the door open for two seconds and may be renewed; it belongs to no visit. A grant is
//!   never renewed.
//! * *sign of life*: a heartbeat of the daemon, or the `open` that began the pulse.
//!
//! ```text
//!            open, right nonce              written
//!  LOCKED ----------------------> OPENING ----------> OPEN
//!    ^                               |                  | deadline, eof, heartbeat, term, door_open
//!    |                               | the same, or     v
//!    +---------- written ------------|----------> RELEASING
//!                                    | 3 failures       | 3 failures
//!                                    +------> FAULT <---+
//!                                  (inactive is asked for again and again; nothing opens any more)
//! ```
//!
//! Ticks must not go backwards. After an effect with a [`Line`] command the caller writes the line and comes back with
//! [`Input::Written`] before it handles anything else.

use crate::base::time::Tick;
use crate::ports::{Edge, OpenRefusal};
use crate::schema::event::EdgeCause;
use crate::schema::ids::VisitId;
use std::time::Duration;

/// Drawn by the caller from the kernel's generator; single use.
pub type Nonce = [u8; 16];

/// A pulse is never shorter than this, so that a bolt has time to move.
pub const HOLD_MIN: Duration = Duration::from_millis(200);
/// No pulse lasts longer than this, whatever was asked for.
pub const HARD_CAP: Duration = Duration::from_secs(10);
/// The cap must hold for the line, not for the timer: a plain thread woke up to 3.7 ms late on a loaded machine (7.2 ms
/// as a realtime one), so the longest deadline lies this much before the cap.
const CAP_MARGIN: Duration = Duration::from_millis(50);
/// A door that is held open locks by itself when nobody renews for so long; who renews does so every second.
pub const LEASE: Duration = Duration::from_secs(2);
/// How long a nonce is good for.
pub const NONCE_TTL: Duration = Duration::from_millis(500);
/// Silence after which the daemon counts as hung. Four heartbeats of 250 ms fit into the promised second; the rest
/// of that second is left to the scheduler.
pub const SILENCE_MAX: Duration = Duration::from_millis(950);
/// Between the end of a pulse and the next grant.
pub const GAP_MIN: Duration = Duration::from_millis(500);
/// Grants in any [`RATE_WINDOW`].
pub const RATE_MAX: usize = 20;
/// See [`RATE_MAX`].
pub const RATE_WINDOW: Duration = Duration::from_secs(60);
/// Edges that are kept for the next connection.
pub const EDGES_KEPT: usize = 64;
const TRIES: u8 = 3;
const RETRY: Duration = Duration::from_millis(10);
/// A line that could not be released is asked again this often, without end.
const FAULT_RETRY: Duration = Duration::from_millis(100);

/// Everything that can happen to the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The daemon wants to open soon; `nonce` was drawn for it.
    Arm { nonce: Nonce },
    /// The daemon opens with a nonce that it was given.
    Open { nonce: Nonce, visit: VisitId, hold: Duration },
    /// The daemon wants the door unlocked for a lease.
    HoldOpen { nonce: Nonce },
    /// One lease more.
    Renew,
    /// The daemon's controller got round its loop.
    Heartbeat,
    /// The door has been opened: no need to hold the bolt any longer.
    DoorOpen,
    /// The daemon is gone, or spoke nonsense.
    Eof,
    /// The guard was asked to end.
    Term,
    /// `next_deadline` may have come.
    Deadline,
    /// How the last [`Line`] command ended: the line's own stamp, or `None` after an error or a wrong read back.
    Written(Option<Tick>),
}

/// A level that the line must take now, before anything else is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub energised: bool,
    pub cause: EdgeCause,
}

/// An answer for the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Armed(Nonce),
    Opened,
    Refused(OpenRefusal),
}

/// What the caller must do: first the line, then the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    pub line: Option<Line>,
    pub reply: Option<Reply>,
}

impl Effects {
    const NONE: Effects = Effects { line: None, reply: None };

    const fn line(energised: bool, cause: EdgeCause) -> Effects {
        Effects { line: Some(Line { energised, cause }), reply: None }
    }

    const fn reply(reply: Reply) -> Effects {
        Effects { line: None, reply: Some(reply) }
    }
}

#[derive(Clone, Copy, Debug)]
struct Pulse {
    /// `None` while the door is held open.
    visit: Option<VisitId>,
    /// Absolute; set before the line is first asked to go active, and never moved but by the renewal of a lease.
    until: Tick,
}

impl Pulse {
    fn cause(&self) -> EdgeCause {
        if self.visit.is_some() { EdgeCause::Grant } else { EdgeCause::HoldOpen }
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Locked,
    /// The line was asked to go active `tries` times; the next time is at `again`.
    Opening {
        pulse: Pulse,
        tries: u8,
        again: Tick,
    },
    Open {
        pulse: Pulse,
    },
    /// The line was asked to go inactive `tries` times; the next time is at `again`.
    Releasing {
        visit: Option<VisitId>,
        cause: EdgeCause,
        tries: u8,
        again: Tick,
    },
    /// The line does not do what it is told. `again` is set while it may still be active.
    Fault {
        visit: Option<VisitId>,
        again: Option<Tick>,
        /// Whether the edge that tells of a line stuck active is out.
        told: bool,
    },
}

/// The guard's state machine.
#[derive(Debug)]
pub struct Machine {
    state: State,
    /// The one nonce that is out, and when it expires.
    armed: Option<(Nonce, Tick)>,
    /// The daemon's last sign of life.
    alive: Tick,
    /// When the last pulse ended.
    released: Option<Tick>,
    /// Times of the last grants; `grants` counts them, the newest stands at `(grants - 1) % RATE_MAX`.
    granted: [Tick; RATE_MAX],
    grants: usize,
    edges: EdgeRing,
}

impl Machine {
    /// The line has just been requested with its inactive level; `started` is its stamp.
    #[must_use]
    pub fn new(started: Tick) -> Self {
        let mut edges = EdgeRing::default();
        edges.push(started, false, EdgeCause::Start, None);
        Machine {
            state: State::Locked,
            armed: None,
            alive: started,
            released: None,
            granted: [Tick::ZERO; RATE_MAX],
            grants: 0,
            edges,
        }
    }

    /// Takes one input. The caller carries the effects out in their order.
    #[must_use]
    pub fn handle(&mut self, now: Tick, input: Input) -> Effects {
        match input {
            Input::Written(at) => self.written(now, at),
            Input::Deadline => self.due(now),
            Input::Eof => {
                self.armed = None;
                self.release(now, EdgeCause::Eof)
            }
            Input::Term => {
                self.armed = None;
                self.release(now, EdgeCause::Term)
            }
            // A door that is held open is meant to be opened.
            Input::DoorOpen if self.held_open() => self.due(now),
            Input::DoorOpen => self.release(now, EdgeCause::DoorOpen),
            Input::Heartbeat => {
                // A heartbeat that was queued while this process slept must not revive a pulse that is over.
                let effects = self.due(now);
                self.alive = now;
                effects
            }
            Input::Arm { nonce } => {
                let mut effects = self.due(now);
                self.armed = Some((nonce, now + NONCE_TTL));
                effects.reply = Some(Reply::Armed(nonce));
                effects
            }
            Input::Open { nonce, visit, hold } => {
                let due = self.due(now);
                let mut effects = self.open(now, nonce, Some(visit), hold.clamp(HOLD_MIN, HARD_CAP - CAP_MARGIN));
                effects.line = due.line.or(effects.line);
                effects
            }
            Input::HoldOpen { nonce } => {
                let due = self.due(now);
                let mut effects = self.open(now, nonce, None, LEASE);
                effects.line = due.line.or(effects.line);
                effects
            }
            Input::Renew => {
                // One that comes too late finds its lease over.
                let effects = self.due(now);
                if let State::Opening { pulse, .. } | State::Open { pulse } = &mut self.state
                    && pulse.visit.is_none()
                {
                    pulse.until = now + LEASE;
                }
                effects
            }
        }
    }

    /// When [`Input::Deadline`] is due, if ever.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        let silent = self.alive + SILENCE_MAX;
        match self.state {
            State::Locked => None,
            State::Opening { pulse, again, .. } => Some(again.min(pulse.until).min(silent)),
            State::Open { pulse } => Some(pulse.until.min(silent)),
            State::Releasing { again, .. } => Some(again),
            State::Fault { again, .. } => again,
        }
    }

    /// True once the guard may end: the line is inactive, or everything that can be tried was tried.
    #[must_use]
    pub fn settled(&self) -> bool {
        matches!(self.state, State::Locked | State::Fault { .. })
    }

    /// True while nothing is left to be released.
    #[must_use]
    pub fn inactive(&self) -> bool {
        matches!(self.state, State::Locked | State::Fault { again: None, .. })
    }

    /// The oldest edge that is still kept and has a number above `after`.
    #[must_use]
    pub fn edge_after(&self, after: u64) -> Option<Edge> {
        self.edges.after(after)
    }

    fn held_open(&self) -> bool {
        matches!(self.state, State::Opening { pulse, .. } | State::Open { pulse } if pulse.visit.is_none())
    }

    fn open(&mut self, now: Tick, nonce: Nonce, visit: Option<VisitId>, hold: Duration) -> Effects {
        let armed = self.armed.take();
        let refused = |why| Effects::reply(Reply::Refused(why));
        if matches!(self.state, State::Fault { .. }) {
            return refused(OpenRefusal::Fault);
        }
        if !armed.is_some_and(|(good, until)| good == nonce && now < until) {
            return refused(OpenRefusal::Nonce);
        }
        if !matches!(self.state, State::Locked) {
            return refused(OpenRefusal::Coalesced);
        }
        if self.released.is_some_and(|at| now.since(at) < GAP_MIN) || self.too_many(now) {
            return refused(OpenRefusal::Rate);
        }
        self.granted[self.grants % RATE_MAX] = now;
        self.grants += 1;
        self.alive = now;
        let pulse = Pulse { visit, until: now + hold };
        self.state = State::Opening { pulse, tries: 1, again: now + RETRY };
        Effects::line(true, pulse.cause())
    }

    fn too_many(&self, now: Tick) -> bool {
        // The slot that the next grant would overwrite is the oldest of the last RATE_MAX.
        self.grants >= RATE_MAX && now.since(self.granted[self.grants % RATE_MAX]) < RATE_WINDOW
    }

    /// Ends a pulse, if there is one. A release that is under way keeps its cause.
    fn release(&mut self, now: Tick, cause: EdgeCause) -> Effects {
        match self.state {
            State::Locked | State::Releasing { .. } | State::Fault { .. } => Effects::NONE,
            State::Open { pulse } => {
                self.state = State::Releasing { visit: pulse.visit, cause, tries: 1, again: now + RETRY };
                Effects::line(false, cause)
            }
            State::Opening { pulse, .. } => {
                self.state = State::Releasing { visit: pulse.visit, cause, tries: 1, again: now + RETRY };
                let reply = (cause != EdgeCause::Eof).then_some(Reply::Refused(OpenRefusal::Fault));
                Effects { reply, ..Effects::line(false, cause) }
            }
        }
    }

    fn due(&mut self, now: Tick) -> Effects {
        match &mut self.state {
            State::Locked => Effects::NONE,
            State::Opening { pulse, .. } | State::Open { pulse } if now >= pulse.until => {
                self.release(now, EdgeCause::Deadline)
            }
            State::Opening { .. } | State::Open { .. } if now >= self.alive + SILENCE_MAX => {
                self.release(now, EdgeCause::Heartbeat)
            }
            State::Open { .. } => Effects::NONE,
            State::Opening { pulse, again, tries } => {
                if now < *again {
                    return Effects::NONE;
                }
                *again = now + RETRY;
                *tries += 1;
                Effects::line(true, pulse.cause())
            }
            State::Releasing { again, tries, cause, .. } => {
                if now < *again {
                    return Effects::NONE;
                }
                *again = now + RETRY;
                *tries += 1;
                Effects::line(false, *cause)
            }
            State::Fault { again, .. } => {
                if again.is_none_or(|at| now < at) {
                    return Effects::NONE;
                }
                *again = Some(now + FAULT_RETRY);
                Effects::line(false, EdgeCause::Fault)
            }
        }
    }

    fn written(&mut self, now: Tick, at: Option<Tick>) -> Effects {
        match (self.state, at) {
            // The start was written before the machine was made.
            (State::Locked | State::Open { .. }, _) => Effects::NONE,
            (State::Opening { pulse, .. }, Some(at)) => {
                self.edges.push(at, true, pulse.cause(), pulse.visit);
                self.state = State::Open { pulse };
                Effects::reply(Reply::Opened)
            }
            (State::Opening { tries, .. } | State::Releasing { tries, .. }, None) if tries < TRIES => Effects::NONE,
            (State::Opening { pulse, .. }, None) => {
                self.state = State::Fault { visit: pulse.visit, again: Some(now + FAULT_RETRY), told: false };
                Effects { reply: Some(Reply::Refused(OpenRefusal::Fault)), ..Effects::line(false, EdgeCause::Fault) }
            }
            (State::Releasing { visit, .. }, None) => {
                self.state = State::Fault { visit, again: Some(now + FAULT_RETRY), told: false };
                Effects::line(false, EdgeCause::Fault)
            }
            (State::Releasing { visit, cause, .. }, Some(at)) => {
                self.edges.push(at, false, cause, visit);
                self.released = Some(now);
                self.state = State::Locked;
                Effects::NONE
            }
            (State::Fault { visit, again: Some(_), .. }, Some(at)) => {
                self.edges.push(at, false, EdgeCause::Fault, visit);
                self.state = State::Fault { visit, again: None, told: true };
                Effects::NONE
            }
            (State::Fault { visit, again, told: false }, None) => {
                // The daemon must hear of a line that may be stuck active, although there is no edge to tell of.
                self.edges.push(now, true, EdgeCause::Fault, visit);
                self.state = State::Fault { visit, again, told: true };
                Effects::NONE
            }
            (State::Fault { .. }, _) => Effects::NONE,
        }
    }
}

/// The last [`EDGES_KEPT`] edges, numbered from 1.
#[derive(Debug)]
struct EdgeRing {
    kept: [Option<Edge>; EDGES_KEPT],
    count: u64,
}

impl Default for EdgeRing {
    fn default() -> Self {
        EdgeRing { kept: [None; EDGES_KEPT], count: 0 }
    }
}

impl EdgeRing {
    fn slot(number: u64) -> usize {
        usize::try_from(number % EDGES_KEPT as u64).unwrap_or(0)
    }

    fn push(&mut self, at: Tick, energised: bool, cause: EdgeCause, visit: Option<VisitId>) {
        self.count += 1;
        self.kept[Self::slot(self.count)] = Some(Edge { number: self.count, at, energised, cause, visit });
    }

    fn after(&self, after: u64) -> Option<Edge> {
        let oldest = self.count.saturating_sub(EDGES_KEPT as u64) + 1;
        let wanted = after.saturating_add(1).max(oldest);
        if wanted > self.count { None } else { self.kept[Self::slot(wanted)] }
    }
}
