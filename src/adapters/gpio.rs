//! Lines of the kernel's GPIO chips, found by their names: numbers of chips and lines change from boot to boot.

use crate::ports::{PortError, Recovery};
use gpiocdev::Chip;
use std::path::PathBuf;

/// A line that is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// In words, as `relay line`.
    pub what: &'a str,
    /// The configuration's key of its name, and of its chip.
    pub key: &'a str,
    pub chip_key: &'a str,
    pub name: &'a str,
    /// Label of the chip, where several have a line of that name.
    pub chip: Option<&'a str>,
}

/// A line of that name that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub chip: PathBuf,
    pub label: String,
    pub offset: u32,
    /// Who owns it; the empty text is an owner without a name.
    pub owner: Option<String>,
}

/// What a search over all chips brought.
#[derive(Debug, Default)]
struct Search {
    found: Vec<Found>,
    labels: Vec<String>,
    refused: Vec<String>,
}

/// The one line of that name.
///
/// # Errors
/// No chip has it, or several have; or the chips may not be opened.
pub fn find(wanted: &Wanted<'_>) -> Result<Found, PortError> {
    only(wanted, search(wanted))
}

/// One hit, or words that say why not.
fn only(wanted: &Wanted<'_>, search: Search) -> Result<Found, PortError> {
    let Wanted { what, key, chip_key, name, chip } = wanted;
    let failed = |cause: String, hint: String| {
        let of = chip.map(|c| format!(" of the chip {c}")).unwrap_or_default();
        Err(PortError::new(format!("find the {what} {name}{of}"), cause, hint, Recovery::Fatal))
    };
    let Search { mut found, labels, refused } = search;
    match (found.pop(), found.is_empty()) {
        (Some(line), true) => Ok(line),
        (Some(line), false) => {
            let all: Vec<_> = found.iter().chain([&line]).map(|f| f.label.as_str()).collect();
            failed(format!("several chips have it: {}", all.join(", ")), format!("name one of them in {chip_key}"))
        }
        (None, _) if !refused.is_empty() => {
            let hint = "let its user be in the group gpio, and its unit allow char-gpiochip";
            failed(refused.join(", "), hint.into())
        }
        (None, _) if labels.is_empty() => {
            failed("this machine has no GPIO chip".into(), "load the board's driver, or set the kind to sim".into())
        }
        (None, _) => failed(
            format!("no chip has it; chips here: {}", labels.join(", ")),
            format!("set {key} to a name that gpioinfo shows"),
        ),
    }
}

fn search(wanted: &Wanted<'_>) -> Search {
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
        if wanted.chip.is_some_and(|label| label != info.label) {
            continue;
        }
        for line in chip.line_info_iter().into_iter().flatten().flatten().filter(|l| l.name == wanted.name) {
            let owner = line.used.then(|| line.consumer.clone());
            search.found.push(Found { chip: path.clone(), label: info.label.clone(), offset: line.offset, owner });
        }
    }
    search
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted<'static> {
        let (key, chip_key) = ("door.relay.line", "door.relay.chip");
        Wanted { what: "relay line", key, chip_key, name: "GPIO17", chip: None }
    }

    fn hit(label: &str) -> Found {
        Found { chip: "/dev/gpiochip0".into(), label: label.into(), offset: 17, owner: None }
    }

    fn told(search: Search) -> String {
        only(&wanted(), search).expect_err("it is no line").to_string()
    }

    #[test]
    fn one_hit_is_the_line_and_two_ask_for_the_chip() {
        let one = Search { found: vec![hit("pinctrl-rp1")], labels: vec!["pinctrl-rp1".into()], refused: vec![] };
        assert_eq!(only(&wanted(), one).expect("the line"), hit("pinctrl-rp1"));
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
}
