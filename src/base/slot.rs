//! A slot of one between capture and inference: the newest frame wins, what it overwrote is counted.
//! Queues are for events, which may not be lost; slots are for frames, which may.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Holds at most one value; `put` never waits.
#[derive(Debug)]
pub struct LatestSlot<T> {
    inner: Mutex<Inner<T>>,
    filled: Condvar,
}

#[derive(Debug)]
struct Inner<T> {
    value: Option<T>,
    overwritten: u64,
    closed: bool,
}

impl<T> Default for LatestSlot<T> {
    fn default() -> Self {
        LatestSlot { inner: Mutex::new(Inner { value: None, overwritten: 0, closed: false }), filled: Condvar::new() }
    }
}

impl<T> LatestSlot<T> {
    /// Replaces what is there.
    pub fn put(&self, value: T) {
        let mut g = self.lock();
        if g.value.replace(value).is_some() {
            g.overwritten += 1;
        }
        self.filled.notify_one();
    }

    /// Waits until a value comes, the slot is closed, or `timeout` is over.
    pub fn take(&self, timeout: Duration) -> Option<T> {
        let g = self.lock();
        let (mut g, _) = self
            .filled
            .wait_timeout_while(g, timeout, |i| i.value.is_none() && !i.closed)
            .expect("slot mutex: no holder panics");
        g.value.take()
    }

    /// Wakes whoever waits, for good; a value that is still there can be taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Whether no further value will come.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// How many values were replaced before anybody took them.
    pub fn overwritten(&self) -> u64 {
        self.lock().overwritten
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner<T>> {
        self.inner.lock().expect("slot mutex: no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_wins_and_the_loss_is_counted() {
        let slot = LatestSlot::default();
        for n in 0..5 {
            slot.put(n);
        }
        assert_eq!(slot.take(Duration::ZERO), Some(4));
        assert_eq!(slot.take(Duration::ZERO), None);
        assert_eq!(slot.overwritten(), 4);
    }

    #[test]
    fn closing_wakes_the_waiter() {
        let slot = std::sync::Arc::new(LatestSlot::<u8>::default());
        let waiter = std::thread::spawn({
            let slot = slot.clone();
            move || slot.take(Duration::from_secs(60))
        });
        slot.close();
        assert_eq!(waiter.join().expect("the waiter returns"), None);
    }
}
