//! Stopping a thread, and knowing that one still advances.

use super::time::Tick;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Asks threads to end; clones share the request.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<StopInner>);

#[derive(Debug, Default)]
struct StopInner {
    flag: AtomicBool,
    gate: Mutex<()>,
    bell: Condvar,
}

impl Stop {
    /// Asks everybody to end and wakes those who wait.
    pub fn request(&self) {
        self.0.flag.store(true, Ordering::SeqCst);
        let _held = self.0.gate.lock().expect("stop mutex: no holder panics");
        self.0.bell.notify_all();
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.0.flag.load(Ordering::SeqCst)
    }

    /// Waits for `d` or for the request, whichever is first; true when the end was asked for.
    pub fn wait(&self, d: Duration) -> bool {
        let g = self.0.gate.lock().expect("stop mutex: no holder panics");
        let _unused =
            self.0.bell.wait_timeout_while(g, d, |()| !self.requested()).expect("stop mutex: no holder panics");
        self.requested()
    }
}

/// Asks for something that may be asked for again; clones share it. Several knocks before somebody answers are one.
#[derive(Clone, Debug, Default)]
pub struct Knock(Arc<AtomicBool>);

impl Knock {
    /// Asks.
    pub fn knock(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked since the last call.
    #[must_use]
    pub fn answered(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}

/// Last time that a thread got round its loop.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat(Arc<AtomicU64>);

impl Heartbeat {
    /// The loop turned at `now`.
    pub fn beat(&self, now: Tick) {
        self.0.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// Time since the last beat; since the origin when there never was one.
    #[must_use]
    pub fn age(&self, now: Tick) -> Duration {
        now.since(Tick::from_nanos(self.0.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_the_wait() {
        let stop = Stop::default();
        let waiter = std::thread::spawn({
            let stop = stop.clone();
            move || stop.wait(Duration::from_secs(60))
        });
        stop.request();
        assert!(waiter.join().expect("the waiter returns"));
    }

    #[test]
    fn a_heartbeat_ages() {
        let beat = Heartbeat::default();
        beat.beat(Tick::from_millis(100));
        assert_eq!(beat.age(Tick::from_millis(350)), Duration::from_millis(250));
    }
}
