//! What the kernel says of this machine and of this process.

use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// `/proc` counts in hundredths of a second on every architecture that this runs on (USER_HZ).
const TICKS_PER_SECOND: u64 = 100;

/// The processor's name.
pub(super) fn cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    name_of(&text).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// x86 names the processor, Arm kernels the board.
fn name_of(cpuinfo: &str) -> Option<String> {
    let value = |key: &str| {
        let line = cpuinfo.lines().find(|l| l.split(':').next().is_some_and(|k| k.trim() == key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    value("model name").or_else(|| value("Model"))
}

/// Greatest memory that this process ever had, in MB of 10^6 bytes.
pub(super) fn peak_rss_mb() -> Option<f64> {
    high_water_mb(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn high_water_mb(status: &str) -> Option<f64> {
    let kib: f64 =
        status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kib * 1024.0 / 1e5).round() / 10.0)
}

/// Time since the kernel started this process, to 10 ms.
pub(super) fn since_start() -> Option<Duration> {
    let ticks = start_ticks(&std::fs::read_to_string("/proc/self/stat").ok()?)?;
    let now = clock_gettime(ClockId::Boottime);
    let now = Duration::new(u64::try_from(now.tv_sec).ok()?, u32::try_from(now.tv_nsec).ok()?);
    now.checked_sub(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Field 22; the name in field 2 may hold spaces and brackets, so counting starts behind it.
fn start_ticks(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// A thread a core that does nothing but run, until it is dropped.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let spin = |_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        };
        let threads = (0..cores).map(spin).collect();
        Load { stop, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_named_on_x86_and_on_a_board() {
        assert_eq!(name_of("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n").as_deref(), Some("Some CPU @ 2 GHz"));
        assert_eq!(name_of("processor : 0\nModel\t\t: Raspberry Pi 4\n").as_deref(), Some("Raspberry Pi 4"));
        assert_eq!(name_of("processor : 0\n"), None);
    }

    #[test]
    fn the_peak_is_read_in_megabytes() {
        assert_eq!(high_water_mb("VmPeak:\t 9 kB\nVmHWM:\t  100000 kB\n"), Some(102.4));
        assert_eq!(high_water_mb("VmPeak:\t 9 kB\n"), None);
        assert!(peak_rss_mb().unwrap() > 1.0);
    }

    #[test]
    fn the_start_is_found_behind_a_name_with_brackets() {
        let fields: Vec<String> = (3..=52).map(|n| n.to_string()).collect();
        assert_eq!(start_ticks(&format!("1 (a) b) {}", fields.join(" "))), Some(22));
        assert!(since_start().unwrap() < Duration::from_secs(86_400));
    }
}
