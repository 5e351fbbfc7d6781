//! `[prompt]` in both forms: as it is typed and as it was checked, with the rules between its keys.

use super::check::{Checker, LANGUAGES};
use super::raw::Raw;
use super::sections::{ActiveLevel, InputsKind, LightMode, RelayKind, is_chip_label, is_line_name};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PromptKind {
    Console,
    Sim,
    Png,
    Panel,
    Drm,
    None,
}

/// Width and height of a display in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PanelSize {
    #[serde(rename = "128x64")]
    S128x64,
    #[serde(rename = "240x240")]
    S240x240,
    #[serde(rename = "320x240")]
    S320x240,
    #[serde(rename = "800x480")]
    S800x480,
}

impl PanelSize {
    /// Width and height.
    #[must_use]
    pub const fn pixels(self) -> (u32, u32) {
        match self {
            PanelSize::S128x64 => (128, 64),
            PanelSize::S240x240 => (240, 240),
            PanelSize::S320x240 => (320, 240),
            PanelSize::S800x480 => (800, 480),
        }
    }
}

/// Controller of a panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PanelModel {
    Ssd1306,
    Sh1106,
    St7789,
    Ili9341,
}

impl PanelModel {
    /// Whether it hangs on I2C; else on SPI.
    #[must_use]
    pub const fn is_i2c(self) -> bool {
        matches!(self, PanelModel::Ssd1306 | PanelModel::Sh1106)
    }
}

/// A GPIO line by what does not move when a kernel numbers its chips anew.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GpioLine {
    /// By its own name: `GPIO17`, `PY.00`.
    Named(String),
    /// By its chip's label and its place there: `pinctrl-rp1:17`.
    At { chip: String, offset: u32 },
}

impl GpioLine {
    /// A name, or `label:offset`. A number, and the number of a chip (`gpiochip0:17`), are none.
    #[must_use]
    pub fn parse(text: &str) -> Option<GpioLine> {
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        match text.rsplit_once(':') {
            Some((chip, offset)) if digits(offset) => {
                let numbered = chip.contains('/') || chip.strip_prefix("gpiochip").is_some_and(digits);
                let offset = offset.parse().ok()?;
                (!numbered && is_chip_label(chip)).then(|| GpioLine::At { chip: chip.to_owned(), offset })
            }
            _ => is_line_name(text).then(|| GpioLine::Named(text.to_owned())),
        }
    }
}

impl std::fmt::Display for GpioLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GpioLine::Named(name) => write!(f, "{name}"),
            GpioLine::At { chip, offset } => write!(f, "{chip}:{offset}"),
        }
    }
}

#[derive(Clone, Debug)]
pub struct PanelConfig {
    /// `prompt.panel.model`, default ssd1306.
    pub model: PanelModel,
    /// `prompt.panel.bus`, default /dev/i2c-1.
    pub bus: PathBuf,
    /// `prompt.panel.address`, default 60; 8..=119.
    pub address: u8,
    /// `prompt.panel.dc`; there is one for a panel on SPI.
    pub dc: Option<GpioLine>,
    /// `prompt.panel.reset`.
    pub reset: Option<GpioLine>,
    /// `prompt.panel.rotate`, default 0; 0, 90, 180 or 270, on I2C 0 or 180.
    pub rotate: u32,
    /// `prompt.panel.speed_hz`, default 32 MHz.
    pub speed_hz: u32,
}

/// A ring of WS2812.
#[derive(Clone, Debug)]
pub struct RingConfig {
    /// `prompt.ring.bus`.
    pub bus: PathBuf,
    /// `prompt.ring.leds`, default 16; 8..=256.
    pub leds: u16,
    /// `prompt.ring.top`, default 0; below `leds`.
    pub top: u16,
    /// `prompt.ring.clockwise`, default true.
    pub clockwise: bool,
}

/// Up to four plain LEDs; there is one at least.
#[derive(Clone, Debug)]
pub struct LampsConfig {
    /// `prompt.lamps.left`, `right`, `yes` and `no`.
    pub lines: [Option<GpioLine>; 4],
    /// `prompt.lamps.active`, default high.
    pub active: ActiveLevel,
}

/// A buzzer that sounds by itself while its line is active.
#[derive(Clone, Debug)]
pub struct BuzzerConfig {
    /// `prompt.buzzer.line`.
    pub line: GpioLine,
    /// `prompt.buzzer.active`, default high.
    pub active: ActiveLevel,
}

/// A display on HDMI or DSI.
#[derive(Clone, Debug)]
pub struct DrmConfig {
    /// `prompt.drm.card`; without one, the first with a display.
    pub card: Option<PathBuf>,
    /// `prompt.drm.rotate`, default 0; 0, 90, 180 or 270.
    pub rotate: u32,
}

#[derive(Clone, Debug)]
pub struct PromptConfig {
    /// `prompt.kind`: console | sim | png | panel | drm | none. Default console.
    pub kind: PromptKind,
    /// `prompt.language`, default `en`.
    pub language: String,
    /// `prompt.path` for `sim`: a JSON line per screen; for `png`: a directory.
    pub path: Option<PathBuf>,
    /// `prompt.size` for `png` and `panel`, default 128x64.
    pub size: PanelSize,
    /// `prompt.panel`.
    pub panel: PanelConfig,
    /// `prompt.drm`.
    pub drm: DrmConfig,
    /// `prompt.ring`, if it has a bus.
    pub ring: Option<RingConfig>,
    /// `prompt.lamps`, if there is one.
    pub lamps: Option<LampsConfig>,
    /// `prompt.buzzer`, if it has a line.
    pub buzzer: Option<BuzzerConfig>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawPrompt {
    /// console; sim (a JSON line a screen, written to `prompt.path`); png (the screen as screen.png in the directory `prompt.path`); panel; drm (HDMI or DSI); or none. Ring, lamps and buzzer go with any of them.
    pub kind: PromptKind,
    /// Language at the door: en, de, es, fr, zh or ja.
    pub language: String,
    /// File of the kind sim, directory of the kind png.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/var/lib/cardea/screens.jsonl")]
    pub path: Option<PathBuf>,
    /// Pixels of the kinds png and panel: 128x64, 240x240, 320x240, 800x480.
    pub size: PanelSize,
    /// The display of the kind panel.
    pub panel: RawPanel,
    /// The display of the kind drm.
    pub drm: RawDrm,
    /// A ring of WS2812, in addition.
    pub ring: RawRing,
    /// Plain LEDs, in addition.
    pub lamps: RawLamps,
    /// A buzzer, in addition.
    pub buzzer: RawBuzzer,
}

impl Default for RawPrompt {
    fn default() -> Self {
        RawPrompt {
            kind: PromptKind::Console,
            language: "en".into(),
            path: None,
            size: PanelSize::S128x64,
            panel: RawPanel::default(),
            drm: RawDrm::default(),
            ring: RawRing::default(),
            lamps: RawLamps::default(),
            buzzer: RawBuzzer::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawPanel {
    /// ssd1306 and sh1106 (I2C, 128x64), st7789 (SPI, 240x240 or 320x240), ili9341 (SPI, 320x240).
    pub model: PanelModel,
    /// Device of the bus: /dev/i2c-1, /dev/spidev0.0.
    pub bus: PathBuf,
    /// Address on I2C: 60 (0x3c) or 61.
    #[schemars(range(min = 8, max = 119))]
    pub address: u32,
    /// Line of the pin DC of a panel on SPI: its name, as gpioinfo shows it, or label:offset, as pinctrl-rp1:25.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"GPIO25")]
    pub dc: Option<String>,
    /// Line of the pin RST of a panel on SPI. Unset: it is reset by command.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"GPIO27")]
    pub reset: Option<String>,
    /// Clockwise degrees by which the panel hangs turned: 0, 90, 180 or 270; on I2C 0 or 180.
    #[schemars(range(min = 0, max = 270))]
    pub rotate: u32,
    /// Bits a second on SPI; long wires need fewer.
    #[schemars(range(min = 1_000_000, max = 62_500_000))]
    pub speed_hz: u32,
}

impl Default for RawPanel {
    fn default() -> Self {
        RawPanel {
            model: PanelModel::Ssd1306,
            bus: "/dev/i2c-1".into(),
            address: 0x3c,
            dc: None,
            reset: None,
            rotate: 0,
            speed_hz: 32_000_000,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawDrm {
    /// Device of the display's controller. Unset: the first of /dev/dri/card* with a display that is plugged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/dev/dri/card1")]
    pub card: Option<PathBuf>,
    /// Clockwise degrees by which the display hangs turned: 0, 90, 180 or 270.
    #[schemars(range(min = 0, max = 270))]
    pub rotate: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawRing {
    /// SPI bus whose data line goes to the ring's first LED. Unset: there is no ring.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/dev/spidev1.0")]
    pub bus: Option<PathBuf>,
    /// LEDs of the ring.
    #[schemars(range(min = 8, max = 256))]
    pub leds: u32,
    /// Which LED is at twelve o'clock, the first being 0.
    #[schemars(range(min = 0, max = 255))]
    pub top: u32,
    /// The LEDs follow each other clockwise, as the person sees them.
    pub clockwise: bool,
}

impl Default for RawRing {
    fn default() -> Self {
        RawRing { bus: None, leds: 16, top: 0, clockwise: true }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawLamps {
    /// Line of the LED at the person's left: its name, as gpioinfo shows it, or label:offset, as pinctrl-rp1:5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"GPIO5")]
    pub left: Option<String>,
    /// Line of the LED at the person's right.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"GPIO6")]
    pub right: Option<String>,
    /// Line of the LED under a tick.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"GPIO13")]
    pub yes: Option<String>,
    /// Line of the LED under a cross.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"GPIO19")]
    pub no: Option<String>,
    /// The level that lights them.
    pub active: ActiveLevel,
}

impl Default for RawLamps {
    fn default() -> Self {
        RawLamps { left: None, right: None, yes: None, no: None, active: ActiveLevel::High }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawBuzzer {
    /// Line of a buzzer with a tone of its own: its name, or label:offset. Unset: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"GPIO26")]
    pub line: Option<String>,
    /// The level that makes it sound.
    pub active: ActiveLevel,
}

impl Default for RawBuzzer {
    fn default() -> Self {
        RawBuzzer { line: None, active: ActiveLevel::High }
    }
}

impl RawPrompt {
    /// Every line with its key.
    fn lines(&self) -> [(&'static str, Option<&String>); 7] {
        [
            ("prompt.panel.dc", self.panel.dc.as_ref()),
            ("prompt.panel.reset", self.panel.reset.as_ref()),
            ("prompt.lamps.left", self.lamps.left.as_ref()),
            ("prompt.lamps.right", self.lamps.right.as_ref()),
            ("prompt.lamps.yes", self.lamps.yes.as_ref()),
            ("prompt.lamps.no", self.lamps.no.as_ref()),
            ("prompt.buzzer.line", self.buzzer.line.as_ref()),
        ]
    }

    /// Whether some part of it can be told to have a colour.
    fn has_colours(&self) -> bool {
        let display = match self.kind {
            PromptKind::Sim | PromptKind::Drm => true,
            PromptKind::Png => self.size != PanelSize::S128x64,
            PromptKind::Panel => !self.panel.model.is_i2c(),
            PromptKind::Console | PromptKind::None => false,
        };
        display || self.ring.bus.is_some()
    }

    /// From the checked keys.
    pub(super) fn build(&self) -> PromptConfig {
        let line = |text: &Option<String>| text.as_deref().and_then(GpioLine::parse);
        let (panel, ring, lamps) = (&self.panel, &self.ring, &self.lamps);
        let lamp_lines = [&lamps.left, &lamps.right, &lamps.yes, &lamps.no].map(line);
        let small = |number: u32| u16::try_from(number).unwrap_or(0);
        PromptConfig {
            kind: self.kind,
            language: self.language.clone(),
            path: self.path.clone(),
            size: self.size,
            panel: PanelConfig {
                model: panel.model,
                bus: panel.bus.clone(),
                address: u8::try_from(panel.address).unwrap_or(0x3c),
                dc: line(&panel.dc),
                reset: line(&panel.reset),
                rotate: panel.rotate,
                speed_hz: panel.speed_hz,
            },
            drm: DrmConfig { card: self.drm.card.clone(), rotate: self.drm.rotate },
            ring: ring.bus.clone().map(|bus| RingConfig {
                bus,
                leds: small(ring.leds),
                top: small(ring.top),
                clockwise: ring.clockwise,
            }),
            lamps: lamp_lines
                .iter()
                .any(Option::is_some)
                .then_some(LampsConfig { lines: lamp_lines, active: lamps.active }),
            buzzer: line(&self.buzzer.line).map(|line| BuzzerConfig { line, active: self.buzzer.active }),
        }
    }
}

/// Everything that is wrong between the keys of `[prompt]`, and between them and others.
pub(super) fn check(c: &mut Checker<'_>, raw: &Raw) {
    let prompt = &raw.prompt;
    if raw.challenge.light != LightMode::Off && !prompt.has_colours() {
        let what = "needs a prompt that shows colours (sim, drm, a panel on SPI, or prompt.ring): every handshake would \
                    fail";
        c.fault_between("challenge.light", "prompt.kind", what);
    }
    if matches!(prompt.kind, PromptKind::Sim | PromptKind::Png) && prompt.path.is_none() {
        let what = "this kind needs prompt.path: the file that screens are written to, or for png the directory";
        c.fault("prompt.kind", what);
    }
    if prompt.kind == PromptKind::Panel {
        panel(c, prompt);
    }
    if ![0, 90, 180, 270].contains(&prompt.drm.rotate) {
        c.fault("prompt.drm.rotate", format!("{} is not 0, 90, 180 or 270", prompt.drm.rotate));
    }
    if prompt.ring.top >= prompt.ring.leds {
        let what = format!("there is no LED {} in a ring of {}; the first is 0", prompt.ring.top, prompt.ring.leds);
        c.fault_between("prompt.ring.top", "prompt.ring.leds", what);
    }
    if prompt.kind == PromptKind::Panel && prompt.ring.bus.as_ref() == Some(&prompt.panel.bus) {
        c.fault_between("prompt.ring.bus", "prompt.panel.bus", "one bus cannot drive both a panel and a ring");
    }
    lines(c, raw);
    if !LANGUAGES.contains(&prompt.language.as_str()) {
        c.fault("prompt.language", format!("`{}` is not one of: {}", prompt.language, LANGUAGES.join(", ")));
    }
}

fn panel(c: &mut Checker<'_>, prompt: &RawPrompt) {
    let panel = &prompt.panel;
    let sizes: &[PanelSize] = match panel.model {
        PanelModel::Ssd1306 | PanelModel::Sh1106 => &[PanelSize::S128x64],
        PanelModel::St7789 => &[PanelSize::S240x240, PanelSize::S320x240],
        PanelModel::Ili9341 => &[PanelSize::S320x240],
    };
    if !sizes.contains(&prompt.size) {
        let names: Vec<String> = sizes.iter().map(|s| format!("{}x{}", s.pixels().0, s.pixels().1)).collect();
        let what = format!("prompt.panel.model has no such size; set it to {}", names.join(" or "));
        c.fault_between("prompt.size", "prompt.panel.model", what);
    }
    if !panel.model.is_i2c() && panel.dc.is_none() {
        c.fault("prompt.panel.model", "a panel on SPI needs prompt.panel.dc: the GPIO line of its pin DC");
    }
    let turns: &[u32] = if panel.model.is_i2c() { &[0, 180] } else { &[0, 90, 180, 270] };
    if !turns.contains(&panel.rotate) {
        c.fault("prompt.panel.rotate", format!("{} is not one of: {turns:?}", panel.rotate));
    }
}

/// Each line has a name that stays, and one duty. A line that the guard could not take would be a door that never opens.
fn lines(c: &mut Checker<'_>, raw: &Raw) {
    let relay = raw.door.relay.line.as_ref().filter(|_| raw.door.relay.kind != RelayKind::Sim);
    let relay = relay.map(|line| line.to_string_lossy().into_owned());
    let mut taken: Vec<(&str, String)> = relay.into_iter().map(|line| ("door.relay.line", line)).collect();
    if raw.door.inputs.kind == InputsKind::Gpiocdev {
        let inputs = raw.door.inputs.lines().into_iter();
        taken.extend(inputs.filter_map(|(s, line, _)| Some((s.key(), line?.to_string_lossy().into_owned()))));
    }
    for (key, text) in raw.prompt.lines() {
        let Some(text) = text else { continue };
        if GpioLine::parse(text).is_none() {
            let what = format!(
                "`{text}` is no line; write its name, as GPIO17 (gpioinfo), or its chip's label with its offset, as \
                 pinctrl-rp1:17 (gpiodetect): numbers alone move"
            );
            c.fault(key, what);
        } else if let Some((other, _)) = taken.iter().find(|(_, line)| line == text) {
            c.fault_between(key, other, format!("`{text}` is {other} already"));
        } else {
            taken.push((key, text.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_name_or_a_chip_with_a_label_and_never_a_number_alone() {
        let at = |chip: &str, offset| Some(GpioLine::At { chip: chip.into(), offset });
        for (text, want) in [
            ("GPIO17", Some(GpioLine::Named("GPIO17".into()))),
            ("PY.00", Some(GpioLine::Named("PY.00".into()))),
            ("door:bell", Some(GpioLine::Named("door:bell".into()))),
            ("pinctrl-rp1:17", at("pinctrl-rp1", 17)),
            ("INT34C5:00:4", at("INT34C5:00", 4)),
            ("17", None),
            (":17", None),
            ("", None),
            ("gpiochip0:17", None),
            ("/dev/gpiochip0:17", None),
            ("rp1:99999999999", None),
            ("a,b:1", None),
        ] {
            assert_eq!(GpioLine::parse(text), want, "{text}");
            if let Some(line) = want {
                assert_eq!(line.to_string(), text);
            }
        }
    }
}
