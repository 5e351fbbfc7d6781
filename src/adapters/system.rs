//! The machine's clocks, its randomness and its service manager.

use crate::base::time::{Clock, Tick, WallTime};
use rustix::time::{ClockId, clock_gettime};
use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// Files that stand while the clock is synchronised: systemd-timesyncd's, and that of
/// `systemd/examples/cardea-clock.service` for machines with another client of NTP. Both directories are root's.
pub const SYNCHRONIZED: [&str; 2] = ["/run/systemd/timesync/synchronized", "/run/cardea-clock/synchronized"];

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
        WallTime { unix_ms, synced: SYNCHRONIZED.iter().any(|mark| std::path::Path::new(mark).exists()) }
    }
}

/// What the device tree says of the board: `model`, `serial-number`. None on a PC.
#[must_use]
pub fn board(what: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/device-tree/{what}")).ok()?;
    let text: String = text.trim_end_matches('\0').chars().filter(|c| !c.is_control()).take(64).collect();
    Some(text).filter(|t| !t.is_empty())
}

/// Where Linux shows its thermal zones.
pub const THERMAL: &str = "/sys/class/thermal";

/// Temperature of the processor in degrees Celsius: of the first zone that is the processor's by its type, else of the
/// hottest one. `None` where the kernel shows none, as in most virtual machines.
#[must_use]
pub fn processor_celsius(thermal: &std::path::Path) -> Option<f32> {
    let mut zones = Vec::new();
    for entry in std::fs::read_dir(thermal).ok()?.flatten() {
        let path = entry.path();
        if !path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("thermal_zone")) {
            continue;
        }
        let read = |name: &str| std::fs::read_to_string(path.join(name)).ok();
        let degrees = read("temp").and_then(|t| t.trim().parse::<i32>().ok()).map(|milli| milli as f32 / 1000.0);
        // A zone whose sensor sleeps says 0 or far below.
        if let Some(degrees) = degrees.filter(|d| (-40.0..=150.0).contains(d) && *d != 0.0) {
            let kind = read("type").unwrap_or_default().trim().to_lowercase();
            let processor = ["cpu", "soc", "x86_pkg_temp", "coretemp"].iter().any(|k| kind.contains(k));
            zones.push((processor, degrees));
        }
    }
    zones.into_iter().max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))).map(|(_, degrees)| degrees)
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

/// Words for systemd that never make their speaker wait: the guard speaks while the door may be open. The crate
/// `sd-notify` blocks as long as systemd does not read.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
    manager: SocketAddr,
}

impl Notifier {
    /// To the socket that systemd put into the environment; `None` where nobody wants to hear, or nobody can.
    #[must_use]
    pub fn from_env() -> Option<Notifier> {
        Notifier::to(&std::env::var_os("NOTIFY_SOCKET")?).ok()
    }

    /// To a path, or with `@` to a name of the abstract namespace.
    fn to(place: &OsStr) -> std::io::Result<Notifier> {
        let manager = match place.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(place)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Notifier { socket, manager })
    }

    /// The service is up.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// The service's own loop went round.
    pub fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    fn say(&self, words: &str) {
        // Whoever does not read hears the next one, or ends this process: both leave the line inactive.
        let _heard = self.socket.send_to_addr(words.as_bytes(), &self.manager);
    }
}

/// How often to say [`Notifier::alive`]: four times in systemd's limit, if it set one for this process.
#[must_use]
pub fn watchdog_beat() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_processor_has_the_temperature_of_its_zone_and_a_machine_without_one_has_none() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(processor_celsius(&dir.path().join("none")), None);
        let zone = |n: u32, kind: &str, temp: &str| {
            let zone = dir.path().join(format!("thermal_zone{n}"));
            std::fs::create_dir_all(&zone).expect("a directory");
            std::fs::write(zone.join("type"), kind).expect("written");
            std::fs::write(zone.join("temp"), temp).expect("written");
        };
        assert_eq!(processor_celsius(dir.path()), None);
        zone(0, "pmic", "71000\n");
        assert_eq!(processor_celsius(dir.path()), Some(71.0));
        zone(1, "cpu-thermal\n", "48200\n");
        zone(2, "cpu-thermal\n", "garbage");
        assert_eq!(processor_celsius(dir.path()), Some(48.2));
        std::fs::create_dir(dir.path().join("cooling_device0")).expect("a directory");
        assert_eq!(processor_celsius(dir.path()), Some(48.2));
    }

    #[test]
    fn the_manager_hears_at_a_path_and_at_an_abstract_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let abstract_name = format!("cardea-test-{}", std::process::id());
        let by_name = SocketAddr::from_abstract_name(&abstract_name).expect("a name");
        for (heard, place) in [
            (UnixDatagram::bind(&path), path.as_os_str().to_owned()),
            (UnixDatagram::bind_addr(&by_name), format!("@{abstract_name}").into()),
        ] {
            let heard = heard.expect("a socket");
            let notifier = Notifier::to(&place).expect("a notifier");
            notifier.ready();
            notifier.alive();
            let mut told = [0; 64];
            for words in ["READY=1", "WATCHDOG=1"] {
                let n = heard.recv(&mut told).expect("words");
                assert_eq!(&told[..n], words.as_bytes());
            }
        }
    }

    #[test]
    fn a_manager_that_does_not_read_makes_nobody_wait() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let notifier = Notifier::to(path.as_os_str()).expect("a notifier");
        notifier.ready();
        let _deaf = UnixDatagram::bind(&path).expect("a socket");
        let begun = Instant::now();
        for _more_than_fit in 0..2_000 {
            notifier.alive();
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
