//! Whether the calendar may be believed. A schedule is only as good as the clock that it is read by.

use crate::base::time::{Tick, WallTime};

/// No terminal runs this program before it was written: 2026-11-01.
const EARLIEST_MS: i64 = 1_793_491_200_000;
/// How far the calendar may move against the monotonic clock over the whole run, and back against what was stored:
/// daemons that set clocks step by seconds, not by minutes.
const TOLERANCE_MS: i64 = 300_000;

/// What is known of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    Sound,
    /// Nobody says that it is synchronised.
    Unsynced,
    /// It stands before the time when this program was made.
    TooEarly,
    /// It moved against the monotonic clock, or stands before a time that was seen already; milliseconds.
    Jumped(i64),
}

impl Trust {
    /// As an administrator reads it.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Trust::Sound => "the clock is sound".into(),
            Trust::Unsynced => "the clock is not synchronised".into(),
            Trust::TooEarly => "the clock stands before this program was made".into(),
            Trust::Jumped(ms) => format!("the clock jumped by {} s", ms / 1000),
        }
    }
}

/// A calendar time with what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub unix_ms: i64,
    pub trust: Trust,
}

impl Now {
    /// A time that may be believed.
    #[must_use]
    pub const fn sound(unix_ms: i64) -> Self {
        Now { unix_ms, trust: Trust::Sound }
    }

    /// Whether a schedule may be read by it.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.trust == Trust::Sound
    }
}

/// Compares the two clocks. The first time that is believed is the anchor: from then on both must advance alike, so
/// that a step opens no schedule, forward or back. Only an administrator, or the clock that goes back to where it should
/// be, ends the distrust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockWatch {
    /// `[insecure] unsynced_clock`.
    unsynced: bool,
    /// The latest calendar time that was believed, over restarts.
    high_water: i64,
    anchor: Option<(Tick, i64)>,
}

impl ClockWatch {
    /// `high_water`: the latest time that was stored, 0 for none.
    #[must_use]
    pub fn new(unsynced: bool, high_water: i64) -> Self {
        ClockWatch { unsynced, high_water, anchor: None }
    }

    /// To be stored now and then.
    #[must_use]
    pub fn high_water(&self) -> i64 {
        self.high_water
    }

    /// Looks at both clocks.
    #[must_use]
    pub fn look(&mut self, now: Tick, wall: WallTime) -> Now {
        let trust = self.judge(now, wall);
        if trust == Trust::Sound {
            self.high_water = self.high_water.max(wall.unix_ms);
        }
        Now { unix_ms: wall.unix_ms, trust }
    }

    /// An administrator has looked at the clock: what it says now is the truth.
    pub fn accept(&mut self, now: Tick, wall: WallTime) {
        self.high_water = wall.unix_ms;
        self.anchor = Some((now, wall.unix_ms));
    }

    fn judge(&mut self, now: Tick, wall: WallTime) -> Trust {
        if wall.unix_ms < EARLIEST_MS {
            return Trust::TooEarly;
        }
        if !wall.synced && !self.unsynced {
            return Trust::Unsynced;
        }
        let back = wall.unix_ms.saturating_sub(self.high_water);
        if back < -TOLERANCE_MS {
            return Trust::Jumped(back);
        }
        let (then, was) = *self.anchor.get_or_insert((now, wall.unix_ms));
        let elapsed = i64::try_from(now.since(then).as_millis()).unwrap_or(i64::MAX);
        let off = wall.unix_ms.saturating_sub(was).saturating_sub(elapsed);
        if off.abs() > TOLERANCE_MS { Trust::Jumped(off) } else { Trust::Sound }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const T: i64 = 1_795_243_200_000;
    const HOUR: i64 = 3_600_000;

    fn at(s: u64) -> Tick {
        Tick::ZERO + Duration::from_secs(s)
    }

    fn wall(unix_ms: i64) -> WallTime {
        WallTime { unix_ms, synced: true }
    }

    #[test]
    fn both_clocks_must_advance_alike_and_the_way_back_is_believed() {
        let mut c = ClockWatch::new(false, 0);
        assert!(c.look(at(0), wall(T)).is_sound());
        assert!(c.look(at(3600), wall(T + HOUR)).is_sound());
        assert!(c.look(at(3600), wall(T + HOUR + 2000)).is_sound(), "a step by a daemon");
        for years in [-10_i64, -1, 1, 10] {
            let jump = years * 365 * 24 * HOUR;
            assert!(!c.look(at(3601), wall(T + HOUR + jump)).is_sound(), "{years} years");
        }
        assert_eq!(c.look(at(3601), wall(T + HOUR + 7 * HOUR)).trust, Trust::Jumped(7 * HOUR - 1000));
        assert!(c.look(at(7200), wall(T + 2 * HOUR)).is_sound());
        assert_eq!(c.high_water(), T + 2 * HOUR, "what was not believed is not remembered");
    }

    #[test]
    fn many_small_steps_are_one_big_one() {
        let mut c = ClockWatch::new(false, 0);
        let steps: Vec<bool> = (0..10).map(|i| c.look(at(0), wall(T + i * 60_000)).is_sound()).collect();
        assert_eq!(steps.iter().filter(|s| **s).count(), 6, "five minutes in all");
    }

    #[test]
    fn a_restart_does_not_make_an_earlier_time_believable() {
        let mut c = ClockWatch::new(false, T);
        assert_eq!(c.look(at(0), wall(T - 24 * HOUR)).trust, Trust::Jumped(-24 * HOUR));
        assert!(c.look(at(1), wall(T + HOUR)).is_sound());
        c = ClockWatch::new(false, T + 9000 * HOUR);
        assert!(!c.look(at(0), wall(T)).is_sound());
        c.accept(at(1), wall(T));
        assert!(c.look(at(2), wall(T + 1000)).is_sound(), "an administrator has looked");
    }

    #[test]
    fn an_unsynchronised_or_ancient_clock_is_not_believed() {
        let mut c = ClockWatch::new(false, 0);
        assert_eq!(c.look(at(0), WallTime { unix_ms: T, synced: false }).trust, Trust::Unsynced);
        assert_eq!(c.look(at(0), wall(0)).trust, Trust::TooEarly);
        let mut lax = ClockWatch::new(true, 0);
        assert!(lax.look(at(0), WallTime { unix_ms: T, synced: false }).is_sound());
        assert_eq!(lax.look(at(0), WallTime { unix_ms: 0, synced: false }).trust, Trust::TooEarly);
    }
}
