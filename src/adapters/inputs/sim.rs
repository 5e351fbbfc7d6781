//! Inputs made of files, so that the whole daemon runs on a laptop and a script can open the door: each sensor has a
//! file that holds `0` or `1`. Looked at every few milliseconds, debounced as the kernel would.

use crate::base::time::{Clock, Tick};
use crate::config::sections::{ActiveLevel, InputsConfig};
use crate::domain::door::Sensor;
use crate::ports::{DoorInputs, InputNews, PortError, Recovery};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(5);

struct Pin {
    sensor: Sensor,
    path: PathBuf,
    low: bool,
    /// What was told.
    active: bool,
    /// Another level than that, and since when.
    other: Option<Tick>,
}

impl Pin {
    fn read(&self) -> Result<bool, PortError> {
        let bad = |cause: String| {
            PortError::new(
                format!("read the {} file {}", self.sensor.name(), self.path.display()),
                cause,
                "write 0 or 1 to it",
                Recovery::Reopen,
            )
        };
        let text = std::fs::read_to_string(&self.path).map_err(|e| bad(e.to_string()))?;
        match text.trim() {
            "1" => Ok(!self.low),
            "0" => Ok(self.low),
            other => Err(bad(format!("it holds `{}`", other.chars().take(16).collect::<String>().escape_debug()))),
        }
    }
}

/// The files.
pub struct SimInputs {
    pins: Vec<Pin>,
    debounce: Duration,
    waiting: VecDeque<InputNews>,
    clock: Arc<dyn Clock>,
}

impl SimInputs {
    /// Reads every file; the levels are the first news.
    ///
    /// # Errors
    /// A file is missing or holds neither 0 nor 1.
    pub fn open(config: &InputsConfig, clock: Arc<dyn Clock>) -> Result<Self, PortError> {
        let mut all = SimInputs { pins: Vec::new(), debounce: config.debounce, waiting: VecDeque::new(), clock };
        for (sensor, line) in &config.lines {
            let low = line.active == ActiveLevel::Low;
            let mut pin = Pin { sensor: *sensor, path: line.name.clone(), low, active: false, other: None };
            pin.active = pin.read()?;
            all.waiting.push_back(InputNews::Level { sensor: *sensor, active: pin.active });
            all.pins.push(pin);
        }
        Ok(all)
    }

    fn look(&mut self, now: Tick) -> Result<(), PortError> {
        for pin in &mut self.pins {
            let active = match pin.read() {
                // Whoever writes the file truncates it first.
                Err(e) => match pin.read() {
                    Ok(active) => active,
                    Err(_) if pin.path.exists() => continue,
                    Err(_) => return Err(e),
                },
                Ok(active) => active,
            };
            if active == pin.active {
                pin.other = None;
                continue;
            }
            let since = *pin.other.get_or_insert(now);
            if now.since(since) >= self.debounce {
                (pin.active, pin.other) = (active, None);
                self.waiting.push_back(InputNews::Changed { sensor: pin.sensor, active, at: since });
            }
        }
        Ok(())
    }
}

impl DoorInputs for SimInputs {
    fn next(&mut self, timeout: Duration) -> Result<Option<InputNews>, PortError> {
        let end = self.clock.now() + timeout;
        loop {
            if let Some(news) = self.waiting.pop_front() {
                return Ok(Some(news));
            }
            let now = self.clock.now();
            self.look(now)?;
            if self.waiting.is_empty() {
                if now >= end {
                    return Ok(None);
                }
                std::thread::sleep(LOOK.min(end.since(now)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::ManualClock;
    use crate::config::sections::{Bias, InputLine, InputsKind};
    use std::fs;
    use std::path::Path;

    fn open(dir: &Path, active: ActiveLevel) -> Result<SimInputs, PortError> {
        let line = InputLine { name: dir.join("contact"), active };
        let config = InputsConfig {
            kind: InputsKind::Sim,
            chip: None,
            bias: Bias::AsIs,
            debounce: Duration::from_millis(30),
            lines: vec![(Sensor::Contact, line)],
        };
        SimInputs::open(&config, Arc::new(ManualClock::new(0)))
    }

    /// What a look at `ms` brings.
    fn at(inputs: &mut SimInputs, ms: u64) -> Option<InputNews> {
        inputs.look(Tick::from_millis(ms)).expect("the file is there");
        inputs.waiting.pop_front()
    }

    #[test]
    fn levels_come_first_and_changes_when_they_have_held() {
        let dir = tempfile::tempdir().expect("a directory");
        let put = |text: &str| fs::write(dir.path().join("contact"), text).expect("written");
        put("0\n");
        let mut inputs = open(dir.path(), ActiveLevel::High).expect("opens");
        assert_eq!(inputs.waiting.pop_front(), Some(InputNews::Level { sensor: Sensor::Contact, active: false }));
        put("1");
        assert_eq!((at(&mut inputs, 100), at(&mut inputs, 129)), (None, None));
        put("0");
        assert_eq!(at(&mut inputs, 130), None, "a bounce is no change");
        put("1");
        assert_eq!((at(&mut inputs, 140), at(&mut inputs, 169)), (None, None));
        let changed = InputNews::Changed { sensor: Sensor::Contact, active: true, at: Tick::from_millis(140) };
        assert_eq!(at(&mut inputs, 170), Some(changed));
    }

    #[test]
    fn a_low_active_line_turns_round() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("contact"), "0").expect("written");
        let mut inputs = open(dir.path(), ActiveLevel::Low).expect("opens");
        assert_eq!(inputs.waiting.pop_front(), Some(InputNews::Level { sensor: Sensor::Contact, active: true }));
    }

    #[test]
    fn a_missing_file_and_nonsense_are_errors_that_name_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let e = open(dir.path(), ActiveLevel::High).err().expect("missing").to_string();
        assert!(e.contains("contact") && e.contains("write 0 or 1"), "{e}");
        fs::write(dir.path().join("contact"), "open").expect("written");
        let e = open(dir.path(), ActiveLevel::High).err().expect("nonsense").to_string();
        assert!(e.contains("it holds `open`"), "{e}");
        fs::write(dir.path().join("contact"), "1").expect("written");
        let mut inputs = open(dir.path(), ActiveLevel::High).expect("opens");
        fs::remove_file(dir.path().join("contact")).expect("removed");
        assert!(inputs.look(Tick::from_millis(1)).is_err(), "a file that goes is a loss");
    }
}
