//! Inputs on lines of the kernel's GPIO character device. The kernel debounces, and stamps each change with the monotonic
//! clock before it counts how long the level held.

use crate::adapters::gpio::{self, Wanted};
use crate::base::time::Tick;
use crate::config::sections::{ActiveLevel, Bias, InputLine, InputsConfig};
use crate::domain::door::Sensor;
use crate::ports::{DoorInputs, InputNews, PortError, Recovery};
use gpiocdev::Request;
use gpiocdev::line::{self, EdgeDetection, EdgeKind, EventClock, Value};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::Duration;

/// Shown by `gpioinfo`.
const CONSUMER: &str = "cardea-inputs";

/// One request for each sensor: they may lie on different chips.
pub struct GpioInputs {
    lines: Vec<(Sensor, Request)>,
    waiting: VecDeque<InputNews>,
}

impl GpioInputs {
    /// Takes the lines and reads their levels, which are the first news.
    ///
    /// # Errors
    /// A line is not there, has another owner, or cannot be an input.
    pub fn open(config: &InputsConfig) -> Result<Self, PortError> {
        let mut all = GpioInputs { lines: Vec::new(), waiting: VecDeque::new() };
        for (sensor, line) in &config.lines {
            let request = take(config, *sensor, line)?;
            let active = request.lone_value().map_err(|e| failed("read", *sensor, line, e))? == Value::Active;
            all.waiting.push_back(InputNews::Level { sensor: *sensor, active });
            all.lines.push((*sensor, request));
        }
        Ok(all)
    }

    /// Takes in what the kernel kept of line `i`.
    fn drain(&mut self, i: usize) -> Result<(), gpiocdev::Error> {
        let (sensor, request) = &self.lines[i];
        while request.has_edge_event()? {
            let event = request.read_edge_event()?;
            // With active-low lines too: a rising edge is the change to active.
            let active = event.kind == EdgeKind::Rising;
            let at = Tick::from_nanos(event.timestamp_ns);
            self.waiting.push_back(InputNews::Changed { sensor: *sensor, active, at });
        }
        Ok(())
    }
}

fn take(config: &InputsConfig, sensor: Sensor, line: &InputLine) -> Result<Request, PortError> {
    let (what, key) = (format!("{} line", sensor.name()), sensor.key());
    let (name, chip) = (line.name.to_string_lossy(), config.chip.as_deref());
    let found = gpio::find(&Wanted { what: &what, key, chip_key: "door.inputs.chip", name: &name, chip })?;
    let mut builder = Request::builder();
    builder
        .on_chip(&found.chip)
        .with_consumer(CONSUMER)
        .with_line(found.offset)
        .as_input()
        .with_edge_detection(EdgeDetection::BothEdges)
        .with_event_clock(EventClock::Monotonic)
        .with_debounce_period(config.debounce);
    builder.with_bias(match config.bias {
        Bias::AsIs => None,
        Bias::Disabled => Some(line::Bias::Disabled),
        Bias::PullUp => Some(line::Bias::PullUp),
        Bias::PullDown => Some(line::Bias::PullDown),
    });
    if line.active == ActiveLevel::Low {
        builder.as_active_low();
    }
    builder.request().map_err(|e| {
        let owner = found.owner.map(|o| format!("{} owns it: ", if o.is_empty() { "another program" } else { &o }));
        failed("own", sensor, line, format!("{}{e}", owner.unwrap_or_default()))
    })
}

fn failed(what: &str, sensor: Sensor, line: &InputLine, cause: impl ToString) -> PortError {
    PortError::new(
        format!("{what} the {} line {}", sensor.name(), line.name.display()),
        cause.to_string(),
        "gpioinfo shows who has it; the daemon's user must be in the group gpio",
        Recovery::Reopen,
    )
}

impl DoorInputs for GpioInputs {
    fn next(&mut self, timeout: Duration) -> Result<Option<InputNews>, PortError> {
        if let Some(news) = self.waiting.pop_front() {
            return Ok(Some(news));
        }
        let gone = |e: String| {
            PortError::new("read the door's inputs", e, "see the kernel's log for the GPIO chip", Recovery::Reopen)
        };
        let left = Timespec::try_from(timeout).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
        let mut fds: Vec<_> =
            self.lines.iter().map(|(_, r)| PollFd::from_borrowed_fd(r.as_fd(), PollFlags::IN)).collect();
        match poll(&mut fds, Some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(gone(e.to_string())),
        }
        let woken: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        drop(fds);
        for (i, flags) in woken.into_iter().enumerate() {
            if flags.intersects(PollFlags::ERR | PollFlags::HUP) {
                return Err(gone(format!("the chip of {} is gone", self.lines[i].0.name())));
            }
            if flags.contains(PollFlags::IN) {
                self.drain(i).map_err(|e| gone(e.to_string()))?;
            }
        }
        // Two lines that changed together come in the order of the kernel's stamps.
        self.waiting.make_contiguous().sort_by_key(stamp);
        Ok(self.waiting.pop_front())
    }
}

fn stamp(news: &InputNews) -> Tick {
    match news {
        InputNews::Level { .. } => Tick::ZERO,
        InputNews::Changed { at, .. } => *at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_no_chip_has_is_refused_with_its_key() {
        let line = InputLine { name: "no such line".into(), active: ActiveLevel::High };
        let config = InputsConfig {
            kind: crate::config::sections::InputsKind::Gpiocdev,
            chip: Some("no such chip".into()),
            bias: Bias::PullUp,
            debounce: Duration::from_millis(30),
            lines: vec![(Sensor::Contact, line)],
        };
        let e = GpioInputs::open(&config).err().expect("it is refused").to_string();
        assert!(e.contains("find the contact line no such line of the chip no such chip"), "{e}");
    }
}
