//! The senders' end: nothing here waits, and what piles up is bounded.

use crate::schema::access::AccessEvent;
use crate::schema::health::{Health, HealthStatus};
use crate::schema::record::Record;
use crate::schema::topics::LockState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{mpsc, watch};

/// Live events that wait for the connection. Their records are in the journal, so more than this is not kept.
pub(super) const LIVE_QUEUE: usize = 64;

/// Says things to the broker without ever waiting for it; clones share the same queue.
#[derive(Clone, Debug)]
pub struct Outbox {
    names: bool,
    live: mpsc::Sender<String>,
    states: Arc<watch::Sender<States>>,
    replays: mpsc::Sender<Replay>,
    pictures: mpsc::Sender<Vec<u8>>,
    counters: Arc<Counters>,
}

/// The newest of everything that is retained: here the last one wins, so there is nothing to queue.
#[derive(Clone, Debug, Default)]
pub(super) struct States {
    /// Raised to have all of them published anew.
    pub(super) round: u64,
    /// The newest record that is known to be committed.
    pub(super) newest: u64,
    pub(super) lock: Option<LockState>,
    pub(super) door_open: Option<bool>,
    pub(super) tamper: Option<bool>,
    pub(super) health: Option<String>,
    pub(super) problem: Option<bool>,
    pub(super) last_access: Option<String>,
}

/// Replays that wait for the one that is running.
const REPLAYS: usize = 4;

/// Pictures that wait for the connection.
const PICTURES: usize = 1;

/// Records that are wanted once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replay {
    /// The next one is the first above this.
    pub(super) after: u64,
    pub(super) left: u32,
}

/// The client's end.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) live: mpsc::Receiver<String>,
    pub(super) states: watch::Receiver<States>,
    pub(super) replays: mpsc::Receiver<Replay>,
    pub(super) pictures: mpsc::Receiver<Vec<u8>>,
    pub(super) counters: Arc<Counters>,
}

/// What [`Status`] is read from.
#[derive(Debug, Default)]
pub(super) struct Counters {
    connected: AtomicBool,
    pub(super) connections: AtomicU64,
    pub(super) in_flight: AtomicU64,
    pub(super) cursor: AtomicU64,
    pub(super) confirmed: AtomicU64,
    pub(super) live_dropped: AtomicU64,
}

impl Counters {
    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.connected.store(true, Ordering::Release);
    }

    pub(super) fn disconnected(&self) {
        self.connected.store(false, Ordering::Release);
        self.in_flight.store(0, Ordering::Relaxed);
    }
}

/// How the client stands; a snapshot whose numbers may be of slightly different moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The broker has confirmed `online`, and the connection has not broken since.
    pub connected: bool,
    /// How often that came about.
    pub connections: u64,
    /// Records on their way.
    pub in_flight: u64,
    /// All records up to here are confirmed.
    pub cursor: u64,
    /// Confirmations of records since the start.
    pub confirmed: u64,
    /// Live events that were not sent because the broker was away or slow.
    pub live_dropped: u64,
}

/// A pair of ends.
pub(super) fn channel(names: bool) -> (Outbox, Inbox) {
    let (live_tx, live_rx) = mpsc::channel(LIVE_QUEUE);
    let (states_tx, states_rx) = watch::channel(States::default());
    let (replays_tx, replays) = mpsc::channel(REPLAYS);
    let (pictures_tx, pictures) = mpsc::channel(PICTURES);
    let counters = Arc::new(Counters::default());
    let states = Arc::new(states_tx);
    let outbox =
        Outbox { names, live: live_tx, states, replays: replays_tx, pictures: pictures_tx, counters: counters.clone() };
    (outbox, Inbox { live: live_rx, states: states_rx, replays, pictures, counters })
}

impl Outbox {
    /// A record was committed: wakes the log, and says `event/access` and `last_access` where it is about access.
    pub fn recorded(&self, record: &Record) {
        let access = AccessEvent::of(record, self.names);
        let text = access.as_ref().map(AccessEvent::text);
        let last = access.filter(AccessEvent::is_decision).and(text.clone());
        self.states.send_modify(|s| {
            s.newest = s.newest.max(record.seq);
            if last.is_some() {
                s.last_access = last;
            }
        });
        if text.is_some_and(|t| self.live.try_send(t).is_err()) {
            self.counters.live_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What `lock/state` is from now on.
    pub fn lock_state(&self, state: LockState) {
        self.states.send_modify(|s| s.lock = Some(state));
    }

    /// What `door/state` is from now on.
    pub fn door_open(&self, open: bool) {
        self.states.send_modify(|s| s.door_open = Some(open));
    }

    /// What `tamper/state` is from now on.
    pub fn tamper(&self, active: bool) {
        self.states.send_modify(|s| s.tamper = Some(active));
    }

    /// What `health` is from now on.
    pub fn health(&self, health: &Health) {
        let text = health.text();
        let problem = health.status != HealthStatus::Ok;
        self.states.send_modify(|s| (s.health, s.problem) = (Some(text), Some(problem)));
    }

    /// Sends up to `limit` records above `after` on `log/replay`, in order, behind the replays that wait already; false when
    /// four do. A connection that breaks ends a replay: whoever asked begins again behind the last record that came.
    pub fn replay(&self, after: u64, limit: u32) -> bool {
        self.replays.try_send(Replay { after, left: limit }).is_ok()
    }

    /// Publishes a JPEG, once and not retained; false without a broker, or while another picture waits.
    pub fn picture(&self, jpeg: Vec<u8>) -> bool {
        self.status().connected && self.pictures.try_send(jpeg).is_ok()
    }

    /// Has all states, and the discovery, published anew.
    pub fn resync(&self) {
        self.states.send_modify(|s| s.round += 1);
    }

    /// How the client stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let c = &self.counters;
        Status {
            connected: c.connected.load(Ordering::Acquire),
            connections: c.connections.load(Ordering::Relaxed),
            in_flight: c.in_flight.load(Ordering::Relaxed),
            cursor: c.cursor.load(Ordering::Relaxed),
            confirmed: c.confirmed.load(Ordering::Relaxed),
            live_dropped: c.live_dropped.load(Ordering::Relaxed),
        }
    }
}

impl Inbox {
    /// Forgets live events from the time without a broker: they would come late, and fire automations late.
    pub(super) fn drop_stale(&mut self) {
        while self.live.try_recv().is_ok() {
            self.counters.live_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::WallTime;
    use crate::schema::event::{Event, Reason};
    use crate::schema::ids::{DeviceId, VisitId};
    use crate::schema::record::{Draft, GENESIS};

    fn record(seq: u64, event: Event) -> Record {
        Draft {
            device: DeviceId::new("front").expect("valid"),
            boot: uuid::Uuid::from_u128(1),
            id: uuid::Uuid::from_u128(2),
            wall: WallTime { unix_ms: 0, synced: true },
            uptime_ms: 1,
            event,
        }
        .seal(seq, GENESIS.into())
    }

    #[test]
    fn a_queue_that_nobody_empties_stays_bounded_and_counts() {
        let (outbox, mut inbox) = channel(false);
        for seq in 1..=1000 {
            let reason = Reason::NoMatch;
            let event = Event::AccessDenied {
                visit: VisitId(seq),
                reason,
                door: "front".into(),
                person: None,
                rule: None,
                decision_ms: 4,
            };
            outbox.recorded(&record(seq, event));
        }
        assert_eq!(outbox.status().live_dropped, 1000 - LIVE_QUEUE as u64);
        assert_eq!(inbox.states.borrow().newest, 1000);
        assert!(inbox.states.borrow().last_access.as_deref().is_some_and(|t| t.contains(r#""seq":1000,"#)));
        inbox.drop_stale();
        assert_eq!(outbox.status().live_dropped, 1000);
    }

    #[test]
    fn a_forced_door_is_an_event_but_not_the_last_decision() {
        let (outbox, mut inbox) = channel(false);
        outbox.recorded(&record(1, Event::DoorForced {}));
        outbox.recorded(&record(2, Event::DoorClosed { open_ms: 9 }));
        assert!(inbox.live.try_recv().is_ok_and(|t| t.contains("forced_open")));
        assert!(inbox.live.try_recv().is_err());
        assert_eq!(inbox.states.borrow().last_access, None);
    }
}
