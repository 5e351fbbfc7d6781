//! The checked configuration, one struct a section. Units stand in the key names of the file; here they are types.

use crate::schema::event::Action;
use crate::schema::ids::DeviceId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Everything that the daemon may rely on. Only the loader makes one, and only without faults.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) device: Device,
    pub(super) camera: Camera,
    pub(super) models: Models,
    pub(super) recognition: Recognition,
    pub(super) liveness: Liveness,
    pub(super) challenge: Challenge,
    pub(super) door: Door,
    pub(super) prompt: PromptConfig,
    pub(super) rules: Rules,
    pub(super) mqtt: Mqtt,
    pub(super) store: Store,
    pub(super) log: Log,
    pub(super) insecure: Insecure,
}

macro_rules! getters {
    ($($name:ident: $ty:ty),* $(,)?) => { impl Config { $(
        #[doc = concat!("Section `[", stringify!($name), "]`.")]
        #[must_use]
        pub fn $name(&self) -> &$ty { &self.$name }
    )* } };
}
getters! {
    device: Device, camera: Camera, models: Models, recognition: Recognition, liveness: Liveness,
    challenge: Challenge, door: Door, prompt: PromptConfig, rules: Rules, mqtt: Mqtt, store: Store, log: Log,
    insecure: Insecure,
}

#[derive(Clone, Debug)]
pub struct Device {
    /// `device.name`, default `front`.
    pub name: DeviceId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CameraKind {
    V4l2,
    // A directory of JPEGs, an MJPEG file, or any video through ffmpeg. No doc comments here: they would turn the
    // schema's list of names into a list of schemas.
    File,
    // A program that writes MJPEG to its standard output.
    Command,
    Sim,
}

#[derive(Clone, Debug)]
pub struct Camera {
    /// `camera.kind`: v4l2 | file | command | sim. Default v4l2.
    pub kind: CameraKind,
    /// `camera.device`, default `/dev/video0`; a by-id or by-path name is better.
    pub device: String,
    /// `camera.path` for `file` and `sim` (a directory of JPEGs, a clip).
    pub path: PathBuf,
    /// `camera.command`, a list: program and arguments, never a shell line.
    pub command: Vec<String>,
    /// `camera.format`: auto | mjpg | yuyv | nv12 | grey. `None` is auto.
    pub format: Option<crate::vision::frame::PixelFormat>,
    pub width: u32,
    pub height: u32,
    pub fps: u32,
    /// `camera.rotate`: 0 | 90 | 180 | 270.
    pub rotate: crate::vision::frame::Rotation,
    /// `camera.mirrored`, default false.
    pub mirrored: bool,
    /// `camera.timeout_ms`, default 500: no frame for so long is a stall.
    pub timeout: Duration,
    /// `camera.looped`, default true: a file camera begins again at its end, as a new device opening.
    pub looped: bool,
    /// `camera.faults` for `sim`: `stall@2000`, `garble@2000+500`, `unplug@3000`, `freeze@1000` (ms since opening, `+` for how long).
    pub faults: Vec<String>,
    /// `insecure.virtual_camera`: a V4L2 node without hardware may be opened.
    pub virtual_allowed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    Auto,
    Fp32,
    Int8,
}

#[derive(Clone, Debug)]
pub struct Models {
    /// `models.pack`: a name under `models.packs`, default `standard`.
    pub pack: String,
    /// `models.script`: what the networks say, in place of a pack; only with `insecure.scripted_models`.
    pub script: Option<PathBuf>,
    /// `models.packs`, directory of the manifests; default `models/packs`, else `/usr/share/cardea/packs`.
    pub packs: PathBuf,
    /// `models.cache`, directory of the files; default `models/cache`, else `/var/lib/cardea/models`.
    pub cache: PathBuf,
    /// `models.precision`.
    pub precision: Precision,
    /// `models.runtime`: path of `libonnxruntime.so`; empty looks into the cache, then the system.
    pub runtime: Option<PathBuf>,
    /// `models.threads` per network, default 1.
    pub threads: usize,
}

#[derive(Clone, Debug)]
pub struct Recognition {
    /// `recognition.target_fpir`, default 1e-3; 1e-6..=1e-2.
    pub target_fpir: f64,
    /// `recognition.min_margin` to the second person, default 0.05.
    pub min_margin: f32,
    /// `recognition.agree` of `recognition.agree_of` frames, default 3 of 5.
    pub agree: usize,
    pub agree_of: usize,
    /// `recognition.min_face_px`: width of the face box, default 80.
    pub min_face_px: f32,
    /// `recognition.tighten`: added to the manifest's threshold, 0.0..=0.5, default 0.
    pub tighten: f32,
}

#[derive(Clone, Debug)]
pub struct Liveness {
    /// `liveness.min_frames` that PAD must have seen, default 5; 5..=60.
    pub min_frames: usize,
    /// `liveness.tighten`: added to each network's threshold, 0.0..=0.5, default 0.
    pub tighten: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChallengeMode {
    Always,
    StepUp,
    Off,
}

#[derive(Clone, Debug)]
pub struct Challenge {
    /// `challenge.mode`: always | step_up | off; `off` only with `insecure.challenge_off`.
    pub mode: ChallengeMode,
    /// `challenge.actions`, the deck; default turn_left, turn_right, centre, nod, mouth_open, blink.
    pub actions: Vec<Action>,
    /// `challenge.sequence` with the number of times; empty draws.
    pub sequence: Vec<(Action, u8)>,
    /// `challenge.blinks`, default 1, 1..=3.
    pub blinks: u8,
    /// `challenge.count`, default 3, 1..=6.
    pub count: usize,
    /// `challenge.onset_min_ms` and `onset_max_ms`, default 400 and 1500.
    pub onset_min: Duration,
    pub onset_max: Duration,
    /// `challenge.window_ms`, default 2500.
    pub window: Duration,
    /// `challenge.reaction_min_ms`, default 150.
    pub reaction_min: Duration,
    /// `challenge.total_ms`, default 12000: upper end of the whole challenge.
    pub total: Duration,
    /// `challenge.mouth_hold_ms`, default 500.
    pub mouth_hold: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GuardKind {
    Spawn,
    Socket,
}

#[derive(Clone, Debug)]
pub struct Door {
    /// `door.hold_ms`, default 3000; 200..=10000.
    pub hold: Duration,
    /// `door.guard`: spawn | socket.
    pub guard: GuardKind,
    /// `door.guard_socket`, default `<state>/guard.sock`.
    pub guard_socket: Option<PathBuf>,
    pub relay: RelayConfig,
}

#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// `door.relay.kind`: only `sim` in this version.
    pub kind: RelayKind,
    /// `door.relay.line`, default `<state>/relay`.
    pub line: Option<PathBuf>,
    /// `door.relay.persist`, default false.
    pub persist: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RelayKind {
    Sim,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PromptKind {
    Console,
    Sim,
    Png,
    Panel,
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

/// A line of a GPIO chip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpioLine {
    /// The chip's device.
    pub chip: PathBuf,
    pub offset: u32,
}

impl GpioLine {
    /// `gpiochip0:25`, with or without `/dev/`.
    #[must_use]
    pub fn parse(text: &str) -> Option<GpioLine> {
        let (chip, offset) = text.rsplit_once(':')?;
        let offset = offset.parse().ok()?;
        (!chip.is_empty()).then(|| GpioLine { chip: PathBuf::from("/dev").join(chip), offset })
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

#[derive(Clone, Debug)]
pub struct PromptConfig {
    /// `prompt.kind`: console | sim | png | panel | none. Default console.
    pub kind: PromptKind,
    /// `prompt.language`, default `en`.
    pub language: String,
    /// `prompt.path` for `sim`: a JSON line per screen; for `png`: a directory.
    pub path: Option<PathBuf>,
    /// `prompt.size` for `png` and `panel`, default 128x64.
    pub size: PanelSize,
    /// `prompt.panel`.
    pub panel: PanelConfig,
}

#[derive(Clone, Debug)]
pub struct Rules {
    /// `rules.lockout_failures`, default 5; 1..=10.
    pub lockout_failures: u32,
    /// `rules.lockout_ms`, default 30000; doubles up to an hour.
    pub lockout: Duration,
}

#[derive(Clone, Debug)]
pub struct Mqtt {
    /// `mqtt.enabled`, default false.
    pub enabled: bool,
    /// `mqtt.host`, default 127.0.0.1, and `mqtt.port`, default 1883 (8883 with TLS).
    pub host: String,
    pub port: u16,
    /// `mqtt.base`, default `cardea`.
    pub base: String,
    /// `mqtt.client_id`, default `cardea-<device>`.
    pub client_id: String,
    pub username: Option<String>,
    /// `mqtt.password_file`: never a password in the configuration itself.
    pub password_file: Option<PathBuf>,
    /// `mqtt.ca_file`: its presence means TLS.
    pub ca_file: Option<PathBuf>,
    pub client_cert_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    /// `mqtt.keep_alive_s`, default 15; 5..=300.
    pub keep_alive: Duration,
    /// `mqtt.names`, default false: whether `event/access` carries names of people beside their ids.
    pub names: bool,
}

#[derive(Clone, Debug)]
pub struct Store {
    /// `store.dir`, or `--state`; default `/var/lib/cardea`.
    pub dir: PathBuf,
}

#[derive(Clone, Debug)]
pub struct Log {
    /// `log.level`: error | warn | info | debug | trace.
    pub level: String,
}

/// Each is off by default, and raises a `system.insecure` record at every start while on.
#[derive(Clone, Debug, Default)]
pub struct Insecure {
    /// `insecure.challenge_off`.
    pub challenge_off: bool,
    /// `insecure.virtual_camera`: V4L2 nodes without hardware are opened, and file, command and sim cameras may open a real
    /// relay.
    pub virtual_camera: bool,
    /// `insecure.scripted_models`: `models.pack = "scripted"` is allowed.
    pub scripted_models: bool,
    /// `insecure.fixed_challenge`: `challenge.sequence` is allowed.
    pub fixed_challenge: bool,
}

impl Insecure {
    /// Names of the settings in force.
    #[must_use]
    pub fn in_force(&self) -> Vec<&'static str> {
        [
            ("challenge_off", self.challenge_off),
            ("virtual_camera", self.virtual_camera),
            ("scripted_models", self.scripted_models),
            ("fixed_challenge", self.fixed_challenge),
        ]
        .into_iter()
        .filter_map(|(n, on)| on.then_some(n))
        .collect()
    }
}
