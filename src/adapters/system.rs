//! The machine's clocks and its randomness.

use crate::base::time::{Clock, Tick, WallTime};
use rustix::time::{ClockId, clock_gettime};
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// `CLOCK_MONOTONIC` and the calendar.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Tick {
        let t = clock_gettime(ClockId::Monotonic);
        let (s, ns) = (u64::try_from(t.tv_sec).unwrap_or(0), u64::try_from(t.tv_nsec).unwrap_or(0));
        Tick::from_nanos(s.saturating_mul(1_000_000_000).saturating_add(ns))
    }

    fn wall(&self) -> WallTime {
        let unix_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        WallTime { unix_ms, synced: std::path::Path::new("/run/systemd/timesync/synchronized").exists() }
    }
}

/// Bytes from the kernel's generator.
///
/// # Errors
/// The kernel refused, which leaves nothing to fall back to.
pub fn random<const N: usize>() -> Result<[u8; N], crate::ports::PortError> {
    let mut b = [0; N];
    getrandom::fill(&mut b).map_err(|e| {
        crate::ports::PortError::new(
            "read the kernel's random numbers",
            e,
            "check /dev/urandom",
            crate::ports::Recovery::Fatal,
        )
    })?;
    Ok(b)
}

/// A version 7 id at calendar time `unix_ms`, with 10 random bytes.
#[must_use]
pub fn uuid_v7(unix_ms: i64, random: [u8; 10]) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(unix_ms).unwrap_or(0), &random).into_uuid()
}
