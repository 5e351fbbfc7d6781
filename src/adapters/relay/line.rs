//! Which line the guard owns, and how it is taken: one place for every kind of `door.relay.kind`.
//!
//! A line is called by its name, never by a number: a Raspberry Pi 5 numbered its chips anew with a kernel update.

use super::sim::SimLine;
use super::{gpiocdev, rppal};
use crate::base::time::{Clock, Tick};
use crate::config::sections::{ActiveLevel, Bias, RelayConfig, RelayKind, is_line_name};
use crate::ports::{PortError, Recovery, Relay};
use crate::schema::event::EdgeCause;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// What the line's owner is called in the kernel's list of lines.
pub const CONSUMER: &str = "cardea-guard";

/// Which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineSpec {
    /// A file.
    Sim(PathBuf),
    /// A line of the kernel's GPIO character device.
    Gpiocdev(GpioSpec),
    /// A Raspberry Pi's line through its registers.
    Rppal(GpioSpec),
}

/// A GPIO line by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpioSpec {
    /// As `gpioinfo` shows it: `GPIO17`, `PY.00`.
    pub name: String,
    /// The chip's label, where the name alone is not unique.
    pub chip: Option<String>,
    /// Whether the low level energises the relay.
    pub active_low: bool,
    /// The pull while the line is owned.
    pub bias: Bias,
}

/// A line that is owned and was written inactive.
pub struct Taken {
    /// The line.
    pub relay: Box<dyn Relay>,
    /// When it was inactive.
    pub started: Tick,
}

impl LineSpec {
    /// From the checked configuration; `state` holds a sim line without a path.
    #[must_use]
    pub fn of(relay: &RelayConfig, state: &Path) -> LineSpec {
        let line = relay.line.clone();
        let gpio = || GpioSpec {
            name: line.as_ref().map(|l| l.to_string_lossy().into_owned()).unwrap_or_default(),
            chip: relay.chip.clone(),
            active_low: relay.active == ActiveLevel::Low,
            bias: relay.bias,
        };
        match relay.kind {
            RelayKind::Sim => LineSpec::Sim(relay.line.clone().unwrap_or_else(|| state.join("relay"))),
            RelayKind::Gpiocdev => LineSpec::Gpiocdev(gpio()),
            RelayKind::Rppal => LineSpec::Rppal(gpio()),
        }
    }

    /// The argument of `cardea guard --line`: a path, or the kind and what it needs.
    #[must_use]
    pub fn to_arg(&self) -> OsString {
        match self {
            LineSpec::Sim(path) => path.clone().into(),
            LineSpec::Gpiocdev(gpio) => format!("gpiocdev:{}", gpio.to_words()).into(),
            LineSpec::Rppal(gpio) => format!("rppal:{}", gpio.to_words()).into(),
        }
    }

    /// The line of that argument; `None` where a kind is named but what it needs is malformed.
    #[must_use]
    pub fn from_arg(arg: &OsStr) -> Option<LineSpec> {
        let split = arg.to_str().and_then(|text| text.split_once(':'));
        match split {
            Some(("gpiocdev", words)) => GpioSpec::from_words(words).map(LineSpec::Gpiocdev),
            Some(("rppal", words)) => GpioSpec::from_words(words).map(LineSpec::Rppal),
            _ => Some(LineSpec::Sim(arg.into())),
        }
    }

    /// Takes the line and puts it inactive.
    ///
    /// # Errors
    /// The line has an owner already, is not there, or does not do what it is told.
    pub fn take(&self, clock: Box<dyn Clock>) -> Result<Taken, PortError> {
        match self {
            LineSpec::Sim(path) => {
                let line = SimLine::acquire(path, clock)?;
                Ok(Taken { started: line.started(), relay: Box::new(line) })
            }
            LineSpec::Gpiocdev(gpio) => HeldLine::take(gpiocdev::request(gpio)?, &gpio.name, clock),
            LineSpec::Rppal(gpio) => HeldLine::take(rppal::request(gpio)?, &gpio.name, clock),
        }
    }

    /// Puts the line inactive and lets it go. A sim line and one of rppal are written beside any owner. The kernel gives
    /// a line of gpiocdev to one owner only: where that one lives this fails, and the line is in its hands; where it
    /// died the kernel has taken the line back before its death can be seen.
    ///
    /// # Errors
    /// The line has a living owner (gpiocdev), is not there, or does not do what it is told.
    pub fn lock(&self, clock: Box<dyn Clock>) -> Result<(), PortError> {
        match self {
            LineSpec::Sim(path) => SimLine::force_inactive(path, clock),
            LineSpec::Gpiocdev(_) | LineSpec::Rppal(_) => self.take(clock).map(|_let_go| ()),
        }
    }
}

impl GpioSpec {
    fn to_words(&self) -> String {
        let active = if self.active_low { "low" } else { "high" };
        let chip = self.chip.as_ref().map(|c| format!("chip={c},")).unwrap_or_default();
        // Neither a name nor a label holds a comma.
        format!("{chip}active={active},bias={},line={}", self.bias.name(), self.name)
    }

    fn from_words(words: &str) -> Option<GpioSpec> {
        let mut spec = GpioSpec { name: String::new(), chip: None, active_low: false, bias: Bias::AsIs };
        for word in words.split(',') {
            match word.split_once('=')? {
                ("chip", label) => spec.chip = Some(label.into()),
                ("active", "low") => spec.active_low = true,
                ("active", "high") => spec.active_low = false,
                ("bias", name) => spec.bias = Bias::named(name)?,
                ("line", name) => spec.name = name.into(),
                _ => return None,
            }
        }
        is_line_name(&spec.name).then_some(spec)
    }
}

/// One output line that is owned, whatever drives it. `active` is the relay's meaning, not the pin's level.
pub trait Held: Send {
    /// Drives the line.
    ///
    /// # Errors
    /// The kernel's own words.
    fn set(&mut self, active: bool) -> Result<(), String>;

    /// Reads it.
    ///
    /// # Errors
    /// The kernel's own words.
    fn get(&mut self) -> Result<bool, String>;
}

/// Writes, reads back and stamps a held line.
pub struct HeldLine {
    held: Box<dyn Held>,
    name: String,
    clock: Box<dyn Clock>,
}

impl HeldLine {
    /// Around a line that was requested with its inactive level; that it has it is checked here.
    ///
    /// # Errors
    /// It reads back active.
    pub fn take(held: Box<dyn Held>, name: &str, clock: Box<dyn Clock>) -> Result<Taken, PortError> {
        let mut line = HeldLine { held, name: name.to_owned(), clock };
        // A second write costs nothing and is what proves the line.
        let started = line.set(false, EdgeCause::Start).map_err(|e| PortError { recovery: Recovery::Fatal, ..e })?;
        Ok(Taken { relay: Box::new(line), started })
    }

    fn failed(&self, what: &str, cause: String) -> PortError {
        PortError::new(
            format!("{what} the relay line {}", self.name),
            cause,
            "check its wiring and the kernel's log; the guard refuses every visit until it is started again",
            Recovery::Degrade,
        )
    }
}

impl Relay for HeldLine {
    /// The stamps err to the safe side: active from before it was, inactive from after it was.
    fn set(&mut self, energised: bool, _cause: EdgeCause) -> Result<Tick, PortError> {
        let early = self.clock.now();
        self.held.set(energised).map_err(|e| self.failed("set", e))?;
        let late = self.clock.now();
        let reads = self.held.get().map_err(|e| self.failed("read back", e))?;
        if reads != energised {
            return Err(self.failed("set", "it reads back another level".into()));
        }
        Ok(if energised { early } else { late })
    }

    fn energised(&mut self) -> Result<bool, PortError> {
        self.held.get().map_err(|e| self.failed("read", e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::ManualClock;
    use std::sync::{Arc, Mutex};

    /// A pin: what it was told, whether it follows, whether it answers.
    #[derive(Default)]
    struct Pin {
        level: bool,
        told: Vec<bool>,
        stuck: bool,
        dead: bool,
    }

    struct Fake(Arc<Mutex<Pin>>);

    impl Held for Fake {
        fn set(&mut self, active: bool) -> Result<(), String> {
            let mut pin = self.0.lock().expect("nobody panicked");
            pin.told.push(active);
            if pin.dead {
                return Err("No such device".into());
            }
            if !pin.stuck {
                pin.level = active;
            }
            Ok(())
        }
        fn get(&mut self) -> Result<bool, String> {
            Ok(self.0.lock().expect("nobody panicked").level)
        }
    }

    fn take(pin: &Arc<Mutex<Pin>>) -> Result<Taken, PortError> {
        HeldLine::take(Box::new(Fake(pin.clone())), "GPIO17", Box::new(ManualClock::new(0)))
    }

    fn spec() -> GpioSpec {
        GpioSpec {
            name: "P9_14 [a=b:c]".into(),
            chip: Some("INT34C5:00 line=d".into()),
            active_low: true,
            bias: Bias::PullUp,
        }
    }

    #[test]
    fn a_line_is_taken_inactive_and_follows() {
        let pin = Arc::default();
        let mut line = take(&pin).expect("the line").relay;
        line.set(true, EdgeCause::Grant).expect("it follows");
        assert!(line.energised().expect("a level"));
        line.set(false, EdgeCause::Deadline).expect("it follows");
        assert_eq!(pin.lock().expect("a pin").told, [false, true, false]);
    }

    #[test]
    fn a_line_that_reads_back_another_level_is_an_error() {
        let pin: Arc<Mutex<Pin>> = Arc::default();
        let mut line = take(&pin).expect("the line").relay;
        pin.lock().expect("a pin").stuck = true;
        let e = line.set(true, EdgeCause::Grant).expect_err("it does not follow");
        assert!(e.to_string().contains("set the relay line GPIO17: it reads back another level"), "{e}");
        pin.lock().expect("a pin").dead = true;
        let e = line.set(false, EdgeCause::Eof).expect_err("it is gone");
        assert!(e.to_string().contains("No such device"), "{e}");
    }

    #[test]
    fn a_line_that_is_stuck_active_is_not_taken() {
        let pin = Arc::new(Mutex::new(Pin { level: true, stuck: true, ..Pin::default() }));
        let e = take(&pin).err().expect("it is refused");
        assert_eq!(e.recovery, Recovery::Fatal);
    }

    #[test]
    fn a_spec_survives_the_command_line() {
        let plain = GpioSpec { name: "PY.00".into(), chip: None, active_low: false, bias: Bias::AsIs };
        for spec in [
            LineSpec::Sim("/var/lib/cardea/relay".into()),
            LineSpec::Gpiocdev(spec()),
            LineSpec::Gpiocdev(plain.clone()),
            LineSpec::Rppal(plain),
        ] {
            assert_eq!(LineSpec::from_arg(&spec.to_arg()), Some(spec));
        }
    }

    #[test]
    fn a_malformed_spec_is_no_line() {
        for bad in [
            "gpiocdev:",
            "gpiocdev:GPIO17",
            "gpiocdev:line=17",
            "gpiocdev:line=",
            "gpiocdev:active=up,line=GPIO17",
            "gpiocdev:bias=up,line=GPIO17",
            "gpiocdev:chip,line=GPIO17",
            "rppal:line=a\nb",
        ] {
            assert_eq!(LineSpec::from_arg(OsStr::new(bad)), None, "{bad}");
        }
    }
}
