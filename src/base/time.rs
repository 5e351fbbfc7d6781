//! Time is a value: rooms that decide are handed a [`Tick`], only the shell owns a [`Clock`].
//!
//! * *tick*: a point on the monotonic clock (`CLOCK_MONOTONIC` in the daemon, a clip's own clock in `replay`).
//! * *wall time*: what a calendar would show, together with whether it can be trusted.

use std::ops::{Add, Sub};
use std::sync::Mutex;
use std::time::Duration;

/// A point in monotonic time, in nanoseconds since an origin that only differences reveal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// The origin.
    pub const ZERO: Tick = Tick(0);

    /// A tick `ns` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(ns: u64) -> Self {
        Tick(ns)
    }

    /// A tick `ms` milliseconds after the origin.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Tick(ms * 1_000_000)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the origin.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Time passed since `earlier`; zero when `earlier` is later, since a late stamp must not become a huge age.
    #[must_use]
    pub const fn since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Tick {
    type Output = Tick;
    fn add(self, d: Duration) -> Tick {
        Tick(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Tick {
    type Output = Tick;
    fn sub(self, d: Duration) -> Tick {
        Tick(self.0.saturating_sub(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Calendar time: stamps records and opens schedules, never measures a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallTime {
    /// Milliseconds since 1970-01-01 UTC.
    pub unix_ms: i64,
    /// Whether the kernel says that the clock is disciplined (NTP, PTP or GPS).
    pub synced: bool,
}

/// The two clocks that the shell owns.
pub trait Clock: Send + Sync {
    /// Monotonic now.
    fn now(&self) -> Tick;
    /// Calendar now.
    fn wall(&self) -> WallTime;
}

/// A clock that stands still until it is told to move.
#[derive(Debug)]
pub struct ManualClock(Mutex<(Tick, WallTime)>);

impl ManualClock {
    /// A synchronised clock at tick zero and the given calendar time.
    #[must_use]
    pub fn new(unix_ms: i64) -> Self {
        ManualClock(Mutex::new((Tick::ZERO, WallTime { unix_ms, synced: true })))
    }

    /// Moves both clocks on by `d`.
    pub fn advance(&self, d: Duration) {
        let mut g = self.lock();
        g.0 = g.0 + d;
        g.1.unix_ms += i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    }

    /// Makes the calendar jump without moving the monotonic clock.
    pub fn set_wall(&self, wall: WallTime) {
        self.lock().1 = wall;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Tick, WallTime)> {
        self.0.lock().expect("manual clock mutex: no holder panics")
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Tick {
        self.lock().0
    }
    fn wall(&self) -> WallTime {
        self.lock().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_stamp_has_no_age() {
        assert_eq!(Tick::from_millis(5).since(Tick::from_millis(9)), Duration::ZERO);
        assert_eq!(Tick::from_millis(9).since(Tick::from_millis(5)), Duration::from_millis(4));
    }

    #[test]
    fn a_calendar_jump_leaves_the_monotonic_clock_alone() {
        let clock = ManualClock::new(1_000);
        clock.advance(Duration::from_millis(7));
        clock.set_wall(WallTime { unix_ms: 0, synced: false });
        assert_eq!(clock.now(), Tick::from_millis(7));
        assert_eq!(clock.wall().unix_ms, 0);
    }
}
