//! A line of the kernel's GPIO character device (uAPI v2): Raspberry Pi, Jetson and everything else with a gpiochip.
//!
//! The kernel gives a line to one owner at a time and takes it back when the owner dies. What the pin does then is the
//! board's affair: a Raspberry Pi keeps the level, others let the line fall back to its pull. That is why a guard that
//! died is followed by `cardea guard --lock`.

use super::line::{CONSUMER, GpioSpec, Held};
use crate::config::sections::Bias;
use crate::ports::{PortError, Recovery};
use gpiocdev::line::{self, Value};
use gpiocdev::{Chip, Request};
use std::path::PathBuf;

/// A line of that name that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    chip: PathBuf,
    label: String,
    offset: u32,
    /// Who owns it; the empty text is an owner without a name.
    owner: Option<String>,
}

/// What a search over all chips brought.
#[derive(Debug, Default)]
struct Search {
    found: Vec<Found>,
    labels: Vec<String>,
    refused: Vec<String>,
}

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
    only(spec, search(spec))
}

/// One hit, or words that say why not.
fn only(spec: &GpioSpec, search: Search) -> Result<Found, PortError> {
    let failed = |cause: String, hint: &str| {
        let of = spec.chip.as_ref().map(|c| format!(" of the chip {c}")).unwrap_or_default();
        Err(PortError::new(format!("find the relay line {}{of}", spec.name), cause, hint, Recovery::Fatal))
    };
    let Search { mut found, labels, refused } = search;
    match (found.pop(), found.is_empty()) {
        (Some(line), true) => Ok(line),
        (Some(line), false) => {
            let all: Vec<_> = found.iter().chain([&line]).map(|f| f.label.as_str()).collect();
            failed(format!("several chips have it: {}", all.join(", ")), "name one of them in door.relay.chip")
        }
        (None, _) if !refused.is_empty() => {
            failed(refused.join(", "), "let the guard's user be in the group gpio, and its unit allow char-gpiochip")
        }
        (None, _) if labels.is_empty() => {
            failed("this machine has no GPIO chip".into(), "load the board's driver, or set door.relay.kind = \"sim\"")
        }
        (None, _) => failed(
            format!("no chip has it; chips here: {}", labels.join(", ")),
            "set door.relay.line to a name that gpioinfo shows",
        ),
    }
}

fn search(spec: &GpioSpec) -> Search {
    let mut search = Search::default();
    let chips = match gpiocdev::chip::chips() {
        Ok(chips) => chips,
        Err(e) => return Search { refused: vec![format!("/dev: {e}")], ..search },
    };
    for path in chips {
        let opened = Chip::from_path(&path).and_then(|chip| chip.info().map(|info| (chip, info)));
        let (chip, info) = match opened {
            Ok(opened) => opened,
            Err(e) => {
                search.refused.push(format!("{}: {e}", path.display()));
                continue;
            }
        };
        search.labels.push(info.label.clone());
        if spec.chip.as_ref().is_some_and(|label| *label != info.label) {
            continue;
        }
        for line in chip.line_info_iter().into_iter().flatten().flatten().filter(|l| l.name == spec.name) {
            let owner = line.used.then(|| line.consumer.clone());
            search.found.push(Found { chip: path.clone(), label: info.label.clone(), offset: line.offset, owner });
        }
    }
    search
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

    fn hit(label: &str) -> Found {
        Found { chip: "/dev/gpiochip0".into(), label: label.into(), offset: 17, owner: None }
    }

    fn told(search: Search) -> String {
        only(&spec(None), search).expect_err("it is no line").to_string()
    }

    #[test]
    fn one_hit_is_the_line_and_two_ask_for_the_chip() {
        let one = Search { found: vec![hit("pinctrl-rp1")], labels: vec!["pinctrl-rp1".into()], refused: vec![] };
        assert_eq!(only(&spec(None), one).expect("the line"), hit("pinctrl-rp1"));
        let two = Search { found: vec![hit("a"), hit("b")], ..Search::default() };
        let text = told(two);
        assert!(text.contains("several chips have it: a, b; name one of them in door.relay.chip"), "{text}");
    }

    #[test]
    fn a_line_that_is_not_found_is_told_with_what_there_is() {
        assert!(told(Search::default()).contains("no GPIO chip"));
        let text = told(Search { labels: vec!["pinctrl-rp1".into()], ..Search::default() });
        assert!(text.contains("chips here: pinctrl-rp1"), "{text}");
        let refused = vec!["/dev/gpiochip0: Permission denied".to_owned()];
        let text = told(Search { refused, ..Search::default() });
        assert!(text.contains("Permission denied") && text.contains("group gpio"), "{text}");
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
