//! A line of the kernel's GPIO character device (uAPI v2): Raspberry Pi, Jetson and everything else with a gpiochip.
//!
//! The kernel gives a line to one owner at a time and takes it back when the owner dies. What the pin does then is the
//! board's affair: a Raspberry Pi keeps the level, others let the line fall back to its pull. That is why a guard that
//! died is followed by `cardea guard --lock`.

use super::line::{CONSUMER, GpioSpec, Held};
use crate::adapters::gpio::{self, Found, Wanted};
use crate::config::sections::Bias;
use crate::ports::{PortError, Recovery};
use gpiocdev::Request;
use gpiocdev::line::{self, Value};

/// Takes the line; its inactive level is part of the very request, so that the pin never shows another one.
///
/// # Errors
/// There is no such line, more than one, or it has another owner.
pub fn request(spec: &GpioSpec) -> Result<Box<dyn Held>, PortError> {
    let found = find(spec)?;
    let mut builder = Request::builder();
    builder.on_chip(&found.chip).with_consumer(CONSUMER).with_line(found.offset).as_output(Value::Inactive);
    if spec.active_low {
        builder.as_active_low();
    }
    builder.with_bias(match spec.bias {
        Bias::AsIs => None,
        Bias::Disabled => Some(line::Bias::Disabled),
        Bias::PullUp => Some(line::Bias::PullUp),
        Bias::PullDown => Some(line::Bias::PullDown),
    });
    // Whether the line is free is the kernel's to say, in one step with giving it; who has it is looked up afterwards.
    builder.request().map(|request| Box::new(Line(request)) as Box<dyn Held>).map_err(|e| {
        let owner = find(spec).ok().and_then(|now| now.owner);
        not_given(spec, owner.as_deref(), &e.to_string())
    })
}

/// The line in words for `cardea doctor`; changes nothing.
///
/// # Errors
/// There is no such line, or more than one.
pub fn describe(spec: &GpioSpec) -> Result<String, PortError> {
    let found = find(spec)?;
    let owner = match found.owner.as_deref() {
        None => "without an owner".to_owned(),
        Some("") => "owned by a program without a name".to_owned(),
        Some(owner) => format!("owned by {owner}"),
    };
    Ok(format!("line {} of {}, {owner}", spec.name, found.label))
}

fn find(spec: &GpioSpec) -> Result<Found, PortError> {
    let (key, chip_key) = ("door.relay.line", "door.relay.chip");
    gpio::find(&Wanted { what: "relay line", key, chip_key, name: &spec.name, chip: spec.chip.as_deref() })
}

/// A refusal never passes for silence: whoever reads this must know whether the door is in safe hands.
fn not_given(spec: &GpioSpec, owner: Option<&str>, told: &str) -> PortError {
    let (cause, hint) = match owner {
        Some(CONSUMER) => (
            "a living guard owns it, which ends every pulse by itself".to_owned(),
            "stop that guard (it puts the line inactive first), or leave it alone",
        ),
        Some(owner) => (
            format!("{} owns it", if owner.is_empty() { "another program" } else { owner }),
            "free the line: gpioinfo shows its consumer; a device tree overlay may hold it",
        ),
        None => (told.to_owned(), "let the guard's user be in the group gpio, and let the line be an output"),
    };
    PortError::new(format!("own the relay line {}", spec.name), cause, hint, Recovery::Fatal)
}

struct Line(Request);

impl Held for Line {
    fn set(&mut self, active: bool) -> Result<(), String> {
        let value = if active { Value::Active } else { Value::Inactive };
        self.0.set_lone_value(value).map_err(|e| e.to_string())
    }

    fn get(&mut self) -> Result<bool, String> {
        self.0.lone_value().map(|v| v == Value::Active).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(chip: Option<&str>) -> GpioSpec {
        GpioSpec { name: "GPIO17".into(), chip: chip.map(Into::into), active_low: false, bias: Bias::AsIs }
    }

    #[test]
    fn a_busy_line_is_fatal_and_names_its_owner() {
        for (owner, words) in [
            (Some(CONSUMER), "a living guard owns it"),
            (Some("leds"), "leds owns it"),
            (Some(""), "another program owns it"),
            (None, "EPERM"),
        ] {
            let e = not_given(&spec(None), owner, "EPERM");
            assert_eq!(e.recovery, Recovery::Fatal);
            assert!(e.to_string().contains(words), "{e}");
        }
    }

    #[test]
    fn a_line_that_no_chip_has_is_refused() {
        let none = GpioSpec { name: "no such line".into(), ..spec(Some("no such chip")) };
        assert!(request(&none).is_err() && describe(&none).is_err());
    }
}
