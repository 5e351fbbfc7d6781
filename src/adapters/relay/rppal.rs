//! A Raspberry Pi's line through its registers.
//!
//! Its limits are why `gpiocdev` is the way that is advised: nobody is kept from driving the same pin, a killed guard
//! leaves the pin as it is on every kernel, there is no other board than a Raspberry Pi, and the crate is no longer
//! maintained by its author. It is here for boards whose kernel lacks the character device.

use super::line::{GpioSpec, Held};
use crate::config::sections::Bias;
use crate::ports::{PortError, Recovery};
use rppal::gpio::{Gpio, OutputPin};

/// Takes the pin; its level is set before it becomes an output.
///
/// # Errors
/// This is no Raspberry Pi, the name is not GPIO0 to GPIO53, or the registers cannot be reached.
pub fn request(spec: &GpioSpec) -> Result<Box<dyn Held>, PortError> {
    let failed = |cause: String, hint: &str| {
        PortError::new(format!("own the relay line {}", spec.name), cause, hint, Recovery::Fatal)
    };
    let number = spec.name.strip_prefix("GPIO").and_then(|n| n.parse::<u8>().ok());
    let Some(number) = number else {
        return Err(failed("rppal knows GPIO0 to GPIO53 only".into(), "mend door.relay.line, or use kind gpiocdev"));
    };
    if spec.bias != Bias::AsIs {
        return Err(failed(
            "rppal sets no bias on an output".into(),
            "set door.relay.bias = \"as_is\", or use kind gpiocdev",
        ));
    }
    let pin = Gpio::new().and_then(|gpio| gpio.get(number)).map_err(|e| {
        failed(e.to_string(), "use a Raspberry Pi and the group gpio, or door.relay.kind = \"gpiocdev\"")
    })?;
    let mut pin = if spec.active_low { pin.into_output_high() } else { pin.into_output_low() };
    // An input floats until the next guard; an output keeps the inactive level that it has at the end of `--lock`.
    pin.set_reset_on_drop(false);
    Ok(Box::new(Pin { pin, active_low: spec.active_low }))
}

/// The line in words for `cardea doctor`.
///
/// # Errors
/// Never here: whether the pin is there shows only when it is taken.
pub fn describe(spec: &GpioSpec) -> Result<String, PortError> {
    Ok(format!("line {} through rppal, whose owner nobody knows", spec.name))
}

struct Pin {
    pin: OutputPin,
    active_low: bool,
}

impl Held for Pin {
    fn set(&mut self, active: bool) -> Result<(), String> {
        if active == self.active_low {
            self.pin.set_low();
        } else {
            self.pin.set_high();
        }
        Ok(())
    }

    fn get(&mut self) -> Result<bool, String> {
        Ok(self.pin.is_set_high() != self.active_low)
    }
}
