//! Wiegand out on two GPIO lines, experimental: D0 pulses for a zero, D1 for a one, both idle high on the wire.
//!
//! Nobody answers on these wires, and everybody who reaches them reads the number and can send it again. User space on
//! Linux holds the times as well as it can: a pulse is never shorter than asked, and longer whenever something else runs.
//! A frame that a panel cannot make out fails its parities or its length.

use crate::adapters::gpio::{self, Wanted};
use crate::base::time::Clock;
use crate::config::sections::{ActiveLevel, WiegandConfig, WiegandKind};
use crate::domain::panel::card::CardBits;
use crate::domain::panel::courier::LineState;
use crate::ports::{PanelLine, PortError, Recovery};
use gpiocdev::Request;
use gpiocdev::line::Value;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const CONSUMER: &str = "cardea-wiegand";

/// Takes both lines; they are idle from the first moment.
///
/// # Errors
/// A line is not there, has another owner, or a sim line's file cannot be written.
pub fn open(config: &WiegandConfig, clock: Arc<dyn Clock>) -> Result<Box<dyn PanelLine>, PortError> {
    let line = |key: &str, name: &Path| match config.kind {
        WiegandKind::Gpiocdev => gpio_line(config, key, name),
        WiegandKind::Sim => sim_line(name, clock.clone()),
    };
    let wires = [line("door.wiegand.d0", &config.d0)?, line("door.wiegand.d1", &config.d1)?];
    Ok(Box::new(Wiegand { wires, pulse: config.pulse, gap: config.gap, clock, taken: 0 }))
}

/// One wire: pulled (`true`) or idle.
type Wire = Box<dyn FnMut(bool) -> Result<(), String> + Send>;

struct Wiegand {
    wires: [Wire; 2],
    pulse: Duration,
    gap: Duration,
    clock: Arc<dyn Clock>,
    taken: u64,
}

impl PanelLine for Wiegand {
    fn turn(&mut self, timeout: Duration) -> Result<LineState, PortError> {
        std::thread::sleep(timeout);
        Ok(LineState { secure: true, heard: Some(self.clock.now()), taken: self.taken })
    }

    fn send(&mut self, card: CardBits) -> Result<(), PortError> {
        for bit in card.iter() {
            let wire = &mut self.wires[usize::from(bit)];
            let pulled = wire(true).map(|()| spin_until(Instant::now() + self.pulse));
            // Idle again, whatever happened.
            pulled.and(wire(false)).map_err(|e| failed("pulse", e))?;
            std::thread::sleep(self.gap.saturating_sub(self.pulse));
        }
        self.taken += 1;
        Ok(())
    }

    /// What was sent is out.
    fn forget(&mut self) {}
}

/// The scheduler's grain is as long as a pulse: waiting for it would double each.
fn spin_until(end: Instant) {
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

fn gpio_line(config: &WiegandConfig, key: &str, name: &Path) -> Result<Wire, PortError> {
    let name = name.to_string_lossy();
    let wanted =
        Wanted { what: "Wiegand line", key, chip_key: "door.wiegand.chip", name: &name, chip: config.chip.as_deref() };
    let found = gpio::find(&wanted)?;
    let mut builder = Request::builder();
    builder.on_chip(&found.chip).with_consumer(CONSUMER).with_line(found.offset).as_output(Value::Inactive);
    if config.active == ActiveLevel::Low {
        builder.as_active_low();
    }
    let request = builder.request().map_err(|e| {
        let cause = found.owner.map_or_else(|| e.to_string(), |owner| format!("`{owner}` owns it"));
        failed(&format!("own the line {name} to"), cause)
    })?;
    Ok(Box::new(move |pulled| {
        let value = if pulled { Value::Active } else { Value::Inactive };
        request.set_lone_value(value).map_err(|e| e.to_string())
    }))
}

/// A file that gets a line for each change, `<CLOCK_MONOTONIC ns> <0|1>`; 1 is pulled.
fn sim_line(path: &Path, clock: Arc<dyn Clock>) -> Result<Wire, PortError> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    let mut file: File = file.map_err(|e| failed("record", format!("{}: {e}", path.display())))?;
    Ok(Box::new(move |pulled| {
        writeln!(file, "{} {}", clock.now().as_nanos(), u8::from(pulled)).map_err(|e| e.to_string())
    }))
}

fn failed(what: &str, cause: impl ToString) -> PortError {
    PortError::new(
        format!("{what} Wiegand"),
        cause,
        "check [door.wiegand] and who else uses its lines",
        Recovery::Reopen,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::panel::{PanelLineConfig, manner};
    use crate::base::time::{Tick, WallTime};
    use crate::domain::panel::card::CardFormat;

    struct Monotonic(Instant);

    impl Clock for Monotonic {
        fn now(&self) -> Tick {
            Tick::from_nanos(u64::try_from(self.0.elapsed().as_nanos()).unwrap())
        }
        fn wall(&self) -> WallTime {
            WallTime { unix_ms: 0, synced: false }
        }
    }

    fn config(dir: &Path) -> WiegandConfig {
        WiegandConfig {
            kind: WiegandKind::Sim,
            d0: dir.join("d0"),
            d1: dir.join("d1"),
            chip: None,
            active: ActiveLevel::High,
            pulse: Duration::from_micros(50),
            gap: Duration::from_millis(2),
        }
    }

    /// Pulses of a file: beginning and end in nanoseconds.
    fn pulses(path: &Path) -> Vec<(u64, u64)> {
        let text = std::fs::read_to_string(path).unwrap();
        let edges: Vec<(u64, &str)> =
            text.lines().map(|l| l.split_once(' ').unwrap()).map(|(at, level)| (at.parse().unwrap(), level)).collect();
        assert!(edges.iter().zip(["1", "0"].iter().cycle()).all(|((_, level), want)| level == want), "{text}");
        edges.as_chunks::<2>().0.iter().map(|[up, down]| (up.0, down.0)).collect()
    }

    #[test]
    fn each_bit_is_one_pulse_on_its_wire_with_times_that_are_never_shorter() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let mut line = open(&config, Arc::new(Monotonic(Instant::now()))).unwrap();
        assert_eq!(line.turn(Duration::ZERO).unwrap().taken, 0);
        let card = CardFormat::Bits26.encode("118:1603", 0).unwrap();
        line.send(card).unwrap();
        let state = line.turn(Duration::ZERO).unwrap();
        assert!(state.secure && state.heard.is_some() && state.taken == 1, "{state:?}");
        let mut all: Vec<(u64, u64, bool)> = [(&config.d0, false), (&config.d1, true)]
            .iter()
            .flat_map(|(path, bit)| pulses(path).into_iter().map(|(up, down)| (up, down, *bit)))
            .collect();
        all.sort_unstable();
        let bits: String = all.iter().map(|(.., bit)| if *bit { '1' } else { '0' }).collect();
        assert_eq!(bits, format!("{:026b}", 0x2ec_0c86));
        assert!(all.iter().all(|(up, down, _)| down - up >= 50_000), "{all:?}");
        assert!(all.windows(2).all(|w| w[1].0 - w[0].0 >= 2_000_000), "from the beginning of one to the next: {all:?}");
        assert_eq!(manner(&PanelLineConfig::Wiegand(config)), ("wiegand", false));
    }

    #[test]
    fn lines_that_are_not_there_are_told_with_their_keys() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Monotonic(Instant::now()));
        let none = WiegandConfig { d1: dir.path().join("no/d1"), ..config(dir.path()) };
        let e = open(&none, clock.clone()).err().expect("refused").to_string();
        assert!(e.contains("no/d1") && e.contains("[door.wiegand]"), "{e}");
        let real = WiegandConfig { kind: WiegandKind::Gpiocdev, d0: "no such line".into(), ..config(dir.path()) };
        let e = open(&real, clock).err().expect("refused").to_string();
        assert!(e.contains("no such line"), "{e}");
    }
}
