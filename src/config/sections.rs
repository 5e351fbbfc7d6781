//! The checked configuration, one struct a section. Units stand in the key names of the file; here they are types.

pub use super::compat::{CompatConfig, Cors, Listener, Seed};
pub use super::panel::{AccessPanel, DoorKind, OsdpConfig, PanelLineConfig, WiegandConfig, WiegandKind};
pub use super::privacy::Privacy;
pub use super::prompt::{
    BuzzerConfig, DrmConfig, GpioLine, LampsConfig, PanelConfig, PanelModel, PanelSize, PromptConfig, PromptKind,
    RingConfig,
};
pub use super::web::WebConfig;
use crate::domain::access::RuleBook;
use crate::domain::door::{DoorRules, Sensor};
use crate::schema::command::CommandName;
use crate::schema::event::Action;
use crate::schema::ids::DeviceId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
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
    pub(super) site: Option<SiteConfig>,
    pub(super) access_panel: Option<AccessPanel>,
    pub(super) web: WebConfig,
    pub(super) privacy: Privacy,
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
    challenge: Challenge, door: Door, prompt: PromptConfig, rules: Rules, mqtt: Mqtt, web: WebConfig, privacy: Privacy, store: Store, log: Log,
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
    // Web sessions alone: there is no door to look at.
    None,
}

/// What a V4L2 camera is told beside format and size; `None` is left as the camera has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CameraControls {
    /// Microseconds; 100..=1_000_000.
    pub exposure_us: Option<u32>,
    /// The camera's own units.
    pub gain: Option<u32>,
    /// 0 | 50 | 60.
    pub power_line_hz: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct Camera {
    /// `camera.kind`: v4l2 | file | command | sim | none. Default v4l2.
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
    /// `camera.exposure_us`, `camera.gain`, `camera.power_line_hz`.
    pub controls: CameraControls,
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

/// What computes the networks; [`Provider::name`] is the word in the file and the feature that builds it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    Cpu,
    Xnnpack,
    Cuda,
    Tensorrt,
    Tract,
}

impl Provider {
    /// Where nothing is configured: for armv7 there is no ONNX Runtime.
    pub const DEFAULT: Provider =
        if cfg!(all(feature = "tract", target_arch = "arm")) { Provider::Tract } else { Provider::Cpu };

    /// The word in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Provider::Cpu => "cpu",
            Provider::Xnnpack => "xnnpack",
            Provider::Cuda => "cuda",
            Provider::Tensorrt => "tensorrt",
            Provider::Tract => "tract",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Models {
    /// `models.pack`: a name under `models.packs`, default `standard`.
    pub pack: String,
    /// `models.next`: a pack whose embedding network is learnt meanwhile.
    pub next: Option<String>,
    /// `models.script`: what the networks say, in place of a pack; only with `insecure.scripted_models`.
    pub script: Option<PathBuf>,
    /// `models.packs`, directory of the manifests; default `models/packs`, else `/usr/share/cardea/packs`.
    pub packs: PathBuf,
    /// `models.cache`, directory of the files; default `models/cache`, else `/var/lib/cardea/models`.
    pub cache: PathBuf,
    /// `models.precision`.
    pub precision: Precision,
    /// `models.provider`, default `cpu`, on armv7 `tract`; one that is asked for and not really used is an error.
    pub provider: Provider,
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

/// Whether a light handshake is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LightMode {
    #[default]
    Off,
    Try,
    Require,
}

#[derive(Clone, Debug)]
pub struct Challenge {
    /// `challenge.mode`: always | step_up | off; `off` only with `insecure.challenge_off`.
    pub mode: ChallengeMode,
    /// `challenge.actions`, the deck; default turn_left, turn_right, centre, nod, mouth_open, blink.
    pub actions: Vec<Action>,
    /// `challenge.sequence` with the number of times; empty draws.
    pub sequence: Vec<(Action, u8)>,
    /// `challenge.shape`: one action of each; empty draws `count` of `actions`.
    pub shape: Vec<Vec<Action>>,
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
    /// `challenge.light`: off | try | require, default off; not with a prompt that shows no colours.
    pub light: LightMode,
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
    /// `door.entry_ms`, `door.warning_ms`, `door.held_ms`, `door.relock_on_open`, `door.exit_opens`.
    pub rules: DoorRules,
    /// `door.tamper`: lockdown | alarm.
    pub tamper: TamperAction,
    pub relay: RelayConfig,
    pub inputs: InputsConfig,
    /// `[door.keypad]`.
    pub keypad: ReaderConfig,
    /// `[door.card]`.
    pub card: ReaderConfig,
}

/// What an open housing does to the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TamperAction {
    Lockdown,
    Alarm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InputsKind {
    None,
    Gpiocdev,
    Sim,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReaderKind {
    None,
    // A serial line, a pipe or a file, one row a line.
    Lines,
    // An event device of the kernel.
    Keyboard,
}

/// A keypad or card reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderConfig {
    pub kind: ReaderKind,
    /// Empty for the kind `none`.
    pub device: PathBuf,
}

/// One input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputLine {
    /// The line's name; a sim input's file.
    pub name: PathBuf,
    /// The level that counts as active.
    pub active: ActiveLevel,
}

#[derive(Clone, Debug)]
pub struct InputsConfig {
    /// `door.inputs.kind`: none | gpiocdev | sim.
    pub kind: InputsKind,
    /// `door.inputs.chip`: the label of the lines' chip.
    pub chip: Option<String>,
    /// `door.inputs.bias`, default pull_up.
    pub bias: Bias,
    /// `door.inputs.debounce_ms`, default 30; 1..=500.
    pub debounce: Duration,
    /// What is wired; empty with the kind none.
    pub lines: Vec<(Sensor, InputLine)>,
}

#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// `door.relay.kind`: sim | gpiocdev | rppal.
    pub kind: RelayKind,
    /// `door.relay.line`: a sim line's file, default `<state>/relay`; else the line's name, always set.
    pub line: Option<PathBuf>,
    /// `door.relay.chip`: the label of the line's chip.
    pub chip: Option<String>,
    /// `door.relay.active`, default high.
    pub active: ActiveLevel,
    /// `door.relay.bias`, default as_is.
    pub bias: Bias,
    /// `door.relay.persist`, default false.
    pub persist: bool,
}

/// Whether the kernel could call a line so; a bare number is no name, since chips and lines get new numbers.
#[must_use]
pub fn is_line_name(name: &str) -> bool {
    is_chip_label(name) && !name.bytes().all(|b| b.is_ascii_digit())
}

/// Whether the kernel could call a chip so; it has 32 bytes with the last one zero. A comma separates arguments.
#[must_use]
pub fn is_chip_label(label: &str) -> bool {
    (1..32).contains(&label.len()) && label.bytes().all(|b| b == b' ' || b.is_ascii_graphic() && b != b',')
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RelayKind {
    Sim,
    Gpiocdev,
    Rppal,
}

/// The level that energises the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ActiveLevel {
    High,
    Low,
}

/// The pull of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bias {
    AsIs,
    Disabled,
    PullUp,
    PullDown,
}

impl Bias {
    const NAMES: [(Bias, &str); 4] =
        [(Bias::AsIs, "as_is"), (Bias::Disabled, "disabled"), (Bias::PullUp, "pull_up"), (Bias::PullDown, "pull_down")];

    /// As the configuration writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(bias, _)| *bias == self).map_or("as_is", |(_, name)| name)
    }

    /// The bias of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Bias> {
        Self::NAMES.iter().find(|(_, n)| *n == name).map(|(bias, _)| *bias)
    }
}

#[derive(Clone, Debug)]
pub struct Rules {
    /// `rules.lockout_failures`, default 5; 1..=10.
    pub lockout_failures: u32,
    /// `rules.lockout_ms`, default 30000; doubles up to an hour.
    pub lockout: Duration,
    /// `rules.file`, as it was found beside the file that names it.
    pub file: Option<PathBuf>,
    /// What `rules.file` says; without it everybody who is enrolled may pass.
    pub book: Arc<RuleBook>,
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
    /// `mqtt.commands`, default lock, ping, replay, sync.
    pub commands: BTreeSet<CommandName>,
    /// `mqtt.command_key_file`: without it nothing that opens is taken on `cmd/`.
    pub command_key_file: Option<PathBuf>,
    /// `mqtt.remote_unlock`, default off.
    pub remote_unlock: RemoteUnlock,
    /// `mqtt.discovery`, default true, and `mqtt.discovery_prefix`, default `homeassistant`.
    pub discovery: bool,
    pub discovery_prefix: String,
}

/// `mqtt.remote_unlock`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RemoteUnlock {
    /// Nobody opens through `lock/set`.
    #[default]
    Off,
    /// Whoever may write to `lock/set` at the broker.
    HomeAssistant,
}

pub use super::site::SiteConfig;

getters! { site: Option<SiteConfig>, access_panel: Option<AccessPanel> }

#[derive(Clone, Debug)]
pub struct Store {
    /// `store.dir`, or `--state`; default `/var/lib/cardea`.
    pub dir: PathBuf,
    /// `store.keep_records`: 100,000 to 10,000,000; default 200,000.
    pub keep_records: u64,
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
    /// `insecure.unsynced_clock`: schedules are read by a clock of which nobody says that it is synchronised.
    pub unsynced_clock: bool,
    /// `insecure.scripted_models`: `models.pack = "scripted"` is allowed.
    pub scripted_models: bool,
    /// `insecure.fixed_challenge`: `challenge.sequence` is allowed.
    pub fixed_challenge: bool,
    /// `insecure.dev`: `cardea run --dev` is allowed.
    pub dev: bool,
    /// `insecure.max_frame_age_ms`, when it is over the 500 of every door.
    pub max_frame_age: Option<Duration>,
    /// `insecure.compat_plain_http`: listeners of `[web.compat]` speak plain HTTP off loopback.
    pub compat_plain_http: bool,
    /// `insecure.trust_clock`: a clock that nobody is known to discipline counts as right for commands with times.
    pub trust_clock: bool,
}

impl Insecure {
    /// Names of the settings in force.
    #[must_use]
    pub fn in_force(&self) -> Vec<&'static str> {
        [
            ("challenge_off", self.challenge_off),
            ("virtual_camera", self.virtual_camera),
            ("unsynced_clock", self.unsynced_clock),
            ("scripted_models", self.scripted_models),
            ("fixed_challenge", self.fixed_challenge),
            ("dev", self.dev),
            ("max_frame_age_ms", self.max_frame_age.is_some()),
            ("compat_plain_http", self.compat_plain_http),
            ("trust_clock", self.trust_clock),
        ]
        .into_iter()
        .filter_map(|(n, on)| on.then_some(n))
        .collect()
    }
}
