//! `[osdp]` and `[door.wiegand]`, the lines to an access panel, in both forms: as they are typed and as they were checked.

use super::check::Checker;
use super::raw::Raw;
use super::sections::{ActiveLevel, RemoteUnlock, is_chip_label, is_line_name};
use crate::domain::panel::card::CardFormat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Speeds of the standard, in bits a second.
pub const BAUDS: [u32; 6] = [9600, 19_200, 38_400, 57_600, 115_200, 230_400];

/// `door.kind`: what opens the door after a visit that ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DoorKind {
    // The panel where there is one, else the relay.
    Auto,
    Relay,
    Panel,
    Both,
}

/// `osdp.format` and `door.wiegand.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RawCardFormat {
    #[serde(rename = "26bit")]
    Bits26,
    #[serde(rename = "34bit")]
    Bits34,
    #[serde(rename = "37bit")]
    Bits37,
    #[serde(rename = "37bit_facility")]
    Bits37Facility,
    #[serde(rename = "raw")]
    Raw,
}

impl RawCardFormat {
    const fn format(self) -> CardFormat {
        match self {
            RawCardFormat::Bits26 => CardFormat::Bits26,
            RawCardFormat::Bits34 => CardFormat::Bits34,
            RawCardFormat::Bits37 => CardFormat::Bits37,
            RawCardFormat::Bits37Facility => CardFormat::Bits37Facility,
            RawCardFormat::Raw => CardFormat::Raw,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawOsdp {
    /// This terminal is a reader of an access panel, over OSDP with the secure channel (docs/panels.md). Needs a build with the feature osdp.
    pub enabled: bool,
    /// The serial line to the panel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/dev/serial/by-id/usb-rs485")]
    pub device: Option<PathBuf>,
    /// Bits a second, as the panel speaks: 9600, 19200, 38400, 57600, 115200 or 230400.
    #[schemars(range(min = 9600, max = 230_400))]
    pub baud: u32,
    /// This terminal's address on the line.
    #[schemars(range(min = 0, max = 126))]
    pub address: u32,
    /// File with the key of the secure channel (SCBK): 32 hex digits, as the panel has it. Unset: the systemd credential osdp.key. There is no default key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/cardea/osdp.key")]
    pub key_file: Option<PathBuf>,
    /// How a person's card number becomes bits: 26bit, 34bit, 37bit, 37bit_facility or raw (hex digits as they are).
    pub format: RawCardFormat,
    /// Facility code of card numbers that name none, where the format has one.
    #[schemars(range(min = 0, max = 65_535))]
    pub facility: u32,
}

impl Default for RawOsdp {
    fn default() -> Self {
        RawOsdp {
            enabled: false,
            device: None,
            baud: 9600,
            address: 0,
            key_file: None,
            format: RawCardFormat::Bits26,
            facility: 0,
        }
    }
}

/// `door.wiegand.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WiegandKind {
    Gpiocdev,
    Sim,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawWiegand {
    /// This terminal is a Wiegand reader of an access panel. Experimental: card numbers in clear, nobody answers, and the times are not guaranteed (docs/panels.md).
    pub experimental: bool,
    /// gpiocdev (lines of gpiochips, by name) or sim (files that get a line for each change).
    pub kind: WiegandKind,
    /// Label of the lines' gpiochip, where several have lines of these names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"pinctrl-rp1")]
    pub chip: Option<String>,
    /// Line that pulses for a zero; sim: its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"GPIO5")]
    pub d0: Option<PathBuf>,
    /// Line that pulses for a one; sim: its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"GPIO6")]
    pub d1: Option<PathBuf>,
    /// Level of our line in a pulse; high where a transistor pulls the wire low.
    pub active: ActiveLevel,
    /// Length of a pulse in microseconds; it is never shorter, and longer under load.
    #[schemars(range(min = 20, max = 200))]
    pub pulse_us: u64,
    /// From the beginning of a pulse to that of the next in microseconds.
    #[schemars(range(min = 200, max = 20_000))]
    pub gap_us: u64,
    /// How a person's card number becomes bits: 26bit, 34bit, 37bit, 37bit_facility or raw (hex digits as they are).
    pub format: RawCardFormat,
    /// Facility code of card numbers that name none, where the format has one.
    #[schemars(range(min = 0, max = 65_535))]
    pub facility: u32,
}

impl Default for RawWiegand {
    fn default() -> Self {
        RawWiegand {
            experimental: false,
            kind: WiegandKind::Gpiocdev,
            chip: None,
            d0: None,
            d1: None,
            active: ActiveLevel::High,
            pulse_us: 50,
            gap_us: 2000,
            format: RawCardFormat::Bits26,
            facility: 0,
        }
    }
}

/// The line to the panel.
#[derive(Clone, Debug)]
pub enum PanelLineConfig {
    Osdp(OsdpConfig),
    Wiegand(WiegandConfig),
}

/// The panel, checked; only there when a line to one is enabled.
#[derive(Clone, Debug)]
pub struct AccessPanel {
    pub line: PanelLineConfig,
    /// How a person's card number becomes bits.
    pub format: CardFormat,
    /// For numbers that name none.
    pub facility: u64,
    /// The panel alone opens the door; without it the relay does so too.
    pub alone: bool,
}

/// Section `[osdp]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsdpConfig {
    /// `osdp.device`.
    pub device: PathBuf,
    /// `osdp.baud`, one of `BAUDS`.
    pub baud: u32,
    /// `osdp.address`: 0..=126.
    pub address: u8,
    /// `osdp.key_file`; without it the credential `osdp.key`.
    pub key_file: Option<PathBuf>,
}

/// Section `[door.wiegand]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WiegandConfig {
    /// `door.wiegand.kind`: gpiocdev | sim.
    pub kind: WiegandKind,
    /// `door.wiegand.d0` and `d1`: names of lines; of the kind sim: files.
    pub d0: PathBuf,
    pub d1: PathBuf,
    /// `door.wiegand.chip`: the label of the lines' chip.
    pub chip: Option<String>,
    /// `door.wiegand.active`, default high.
    pub active: ActiveLevel,
    /// `door.wiegand.pulse_us`, default 50; 20..=200.
    pub pulse: Duration,
    /// `door.wiegand.gap_us`, default 2000; 200..=20000, and at least four pulses.
    pub gap: Duration,
}

pub(super) fn check(c: &mut Checker<'_>, raw: &Raw) {
    let osdp = &raw.osdp;
    if osdp.enabled {
        match &osdp.device {
            None => c.fault_between("osdp.enabled", "osdp.device", "needs osdp.device: the serial line to the panel"),
            Some(device) if [&raw.door.keypad.device, &raw.door.card.device].contains(&&Some(device.clone())) => {
                c.fault("osdp.device", "is a keypad's or card reader's device too");
            }
            Some(_) => {}
        }
    }
    if !BAUDS.contains(&osdp.baud) {
        let what = format!("{} is not 9600, 19200, 38400, 57600, 115200 or 230400", osdp.baud);
        c.fault("osdp.baud", what);
    }
    facility(c, "osdp", osdp.format, osdp.facility);
    facility(c, "door.wiegand", raw.door.wiegand.format, raw.door.wiegand.facility);
    wiegand(c, raw);
    kind(c, raw);
}

fn wiegand(c: &mut Checker<'_>, raw: &Raw) {
    let (door, wiegand) = (&raw.door, &raw.door.wiegand);
    if wiegand.gap_us < 4 * wiegand.pulse_us {
        let what = format!("gap_us = {} is less than four pulses of {} us", wiegand.gap_us, wiegand.pulse_us);
        c.fault_between("door.wiegand.gap_us", "door.wiegand.pulse_us", what);
    }
    if let Some(label) = wiegand.chip.as_ref().filter(|label| !is_chip_label(label)) {
        c.fault("door.wiegand.chip", format!("`{label}` is no chip's label; gpiodetect shows them in brackets"));
    }
    if !wiegand.experimental {
        return;
    }
    if raw.osdp.enabled {
        let what = "osdp.enabled is set too: a door has one panel";
        c.fault_between("door.wiegand.experimental", "osdp.enabled", what);
    }
    let inputs = door.inputs.lines().map(|(_, line, _)| line);
    let others: Vec<&Path> =
        inputs.into_iter().chain([door.relay.line.as_ref()]).flatten().map(PathBuf::as_path).collect();
    for (key, line, other) in
        [("door.wiegand.d0", &wiegand.d0, &wiegand.d1), ("door.wiegand.d1", &wiegand.d1, &wiegand.d0)]
    {
        let Some(line) = line else {
            c.fault_between("door.wiegand.experimental", key, format!("needs {key}: the line's name, as GPIO5"));
            continue;
        };
        if wiegand.kind == WiegandKind::Gpiocdev && !is_line_name(&line.to_string_lossy()) {
            let what = format!("`{}` is no line's name; gpioinfo shows names, and numbers move", line.display());
            c.fault(key, what);
        } else if others.contains(&line.as_path()) || (key.ends_with("d1") && Some(line) == other.as_ref()) {
            c.fault(key, "something else has this line already");
        }
    }
}

fn facility(c: &mut Checker<'_>, section: &str, format: RawCardFormat, facility: u32) {
    let most = format.format().most_facility();
    if u64::from(facility) > most {
        let (key, other) = (format!("{section}.facility"), format!("{section}.format"));
        c.fault_between(&key, &other, format!("{facility} is over {most}, the greatest of this format"));
    }
}

/// What `door.kind` says of the relay must be true of everything else that would move it.
fn kind(c: &mut Checker<'_>, raw: &Raw) {
    const KEY: &str = "door.kind";
    let there = raw.osdp.enabled || raw.door.wiegand.experimental;
    match raw.door.kind {
        DoorKind::Panel | DoorKind::Both if !there => {
            c.fault(KEY, "there is no panel: set osdp.enabled = true as well, or door.wiegand.experimental");
        }
        DoorKind::Relay if there => {
            c.fault(KEY, "the relay alone opens, and a panel is told: set panel or both, or take the panel out");
        }
        _ => {}
    }
    if !there || !alone(raw) {
        return;
    }
    let commands = raw.mqtt.commands.iter().any(|name| name.opens());
    for (key, moves) in [
        ("door.exit_opens", raw.door.exit_opens),
        ("mqtt.remote_unlock", raw.mqtt.remote_unlock != RemoteUnlock::Off),
        ("mqtt.commands", commands),
    ] {
        if moves {
            c.fault_between(
                key,
                KEY,
                "opens by the relay of this terminal, but the panel has the lock: set door.kind = \"both\"",
            );
        }
    }
}

const fn alone(raw: &Raw) -> bool {
    matches!(raw.door.kind, DoorKind::Auto | DoorKind::Panel)
}

pub(super) fn build(raw: &Raw) -> Option<AccessPanel> {
    let alone = alone(raw);
    let (osdp, wiegand) = (&raw.osdp, &raw.door.wiegand);
    if osdp.enabled {
        let line = PanelLineConfig::Osdp(OsdpConfig {
            device: osdp.device.clone()?,
            baud: osdp.baud,
            address: u8::try_from(osdp.address).ok()?,
            key_file: osdp.key_file.clone(),
        });
        Some(AccessPanel { line, format: osdp.format.format(), facility: osdp.facility.into(), alone })
    } else if wiegand.experimental {
        let line = PanelLineConfig::Wiegand(WiegandConfig {
            kind: wiegand.kind,
            d0: wiegand.d0.clone()?,
            d1: wiegand.d1.clone()?,
            chip: wiegand.chip.clone(),
            active: wiegand.active,
            pulse: Duration::from_micros(wiegand.pulse_us),
            gap: Duration::from_micros(wiegand.gap_us),
        });
        Some(AccessPanel { line, format: wiegand.format.format(), facility: wiegand.facility.into(), alone })
    } else {
        None
    }
}
