//! The configuration as it is typed: one struct a section, units in the key names, defaults in [`Default`].
//!
//! The JSON schema made from these structs is the one list of keys, types and ranges: the loader checks against it,
//! `cardea config schema` prints it, and the example file is tested against it. What one key's range cannot say (two keys
//! that disagree, a name with a rule) is in `check.rs`.

use super::panel::{DoorKind, RawOsdp, RawWiegand};
use super::privacy::RawPrivacy;
use super::prompt::RawPrompt;
use super::sections::{
    ActiveLevel, Bias, CameraKind, ChallengeMode, GuardKind, InputsKind, LightMode, Precision, Provider, ReaderKind,
    RelayKind, RemoteUnlock, TamperAction,
};
use super::site::RawSite;
use super::web::RawWeb;
use crate::domain::door::Sensor;
use crate::schema::command::CommandName;
use crate::schema::event::Action;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Configuration of cardea")]
pub struct Raw {
    /// Who this terminal is.
    pub device: RawDevice,
    /// Where frames come from.
    pub camera: RawCamera,
    /// Which networks run, and how.
    pub models: RawModels,
    /// Whose face it is.
    pub recognition: RawRecognition,
    /// Whether the face is alive, as the networks see it.
    pub liveness: RawLiveness,
    /// What a person is asked to do.
    pub challenge: RawChallenge,
    /// The relay and its owner.
    pub door: RawDoor,
    /// What the person at the door sees.
    pub prompt: RawPrompt,
    /// Who may enter when.
    pub rules: RawRules,
    /// What the building hears.
    pub mqtt: RawMqtt,
    /// People and rules that several terminals share.
    pub site: RawSite,
    /// The line to an access panel that opens the door.
    pub osdp: RawOsdp,
    /// Console, API and people with a camera of their own.
    pub web: RawWeb,
    /// What of people may leave the terminal.
    pub privacy: RawPrivacy,
    /// Where journal, people, keys and sockets live.
    pub store: RawStore,
    /// What the log says.
    pub log: RawLog,
    /// Settings that weaken the door. Each is recorded at every start while on.
    pub insecure: RawInsecure,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawDevice {
    /// Stable name of the terminal and the middle of every topic: 1 to 32 of a-z 0-9 _ -, not `site`.
    pub name: String,
}

impl Default for RawDevice {
    fn default() -> Self {
        RawDevice { name: "front".into() }
    }
}

/// `camera.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RawFormat {
    Auto,
    Mjpg,
    Yuyv,
    Nv12,
    Grey,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawCamera {
    /// v4l2; file (a directory of JPEGs, an MJPEG file, any video through ffmpeg); command (a program that writes MJPEG to its standard output); sim; or none, where only web sessions are verified.
    pub kind: CameraKind,
    /// Device of a v4l2 camera; a name under /dev/v4l/by-id or by-path stays right when devices move.
    pub device: String,
    /// Directory of JPEGs or clip, for the kinds file and sim.
    pub path: PathBuf,
    /// Program and arguments of the kind command; a list, never a shell line.
    pub command: Vec<String>,
    /// Pixel format of a v4l2 camera; auto takes the cheapest in colour that comes at the asked size and rate.
    pub format: RawFormat,
    /// Asked width in pixels; the driver may choose another.
    #[schemars(range(min = 160, max = 4096))]
    pub width: u32,
    /// Asked height in pixels.
    #[schemars(range(min = 120, max = 4096))]
    pub height: u32,
    /// Asked frames per second.
    #[schemars(range(min = 1, max = 120))]
    pub fps: u32,
    /// Clockwise degrees that make the picture upright; only 0, 90, 180 and 270.
    #[schemars(range(min = 0, max = 270))]
    pub rotate: u32,
    /// The camera delivers a mirror image: left and right actions swap.
    pub mirrored: bool,
    /// Exposure of a v4l2 camera in microseconds, no longer automatic. Unset: as the camera does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 1_000_000), example = &10_000)]
    pub exposure_us: Option<u32>,
    /// Gain of a v4l2 camera in its own units, no longer automatic. Unset: as the camera does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65_535), example = &32)]
    pub gain: Option<u32>,
    /// The mains' frequency whose flicker the camera filters out: 50, 60, or 0 for none. Unset: as the camera does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 60), example = &50)]
    pub power_line_hz: Option<u32>,
    /// No frame for so many milliseconds is a stall, and the camera is opened again.
    #[schemars(range(min = 100, max = 10_000))]
    pub timeout_ms: u64,
    /// A file camera begins again at its end, as a new opening of the device.
    pub looped: bool,
    /// Faults of a sim camera, as `stall@2000`, `garble@2000+500`, `unplug@3000`, `freeze@1000`: milliseconds since opening, + for how long.
    pub faults: Vec<String>,
}

impl Default for RawCamera {
    fn default() -> Self {
        RawCamera {
            kind: CameraKind::V4l2,
            device: "/dev/video0".into(),
            path: PathBuf::new(),
            command: Vec::new(),
            format: RawFormat::Auto,
            width: 640,
            height: 480,
            fps: 30,
            rotate: 0,
            mirrored: false,
            exposure_us: None,
            gain: None,
            power_line_hz: None,
            timeout_ms: 500,
            looped: true,
            faults: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawModels {
    /// Pack, a name under `models.packs`: standard or registry; or scripted, which plays `models.script` and needs `insecure.scripted_models`.
    pub pack: String,
    /// Pack that is to follow: whoever passes well is learnt for its embedding network too, while `pack` decides alone (docs/records.md).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"registry")]
    pub next: Option<String>,
    /// What the networks of the pack scripted say, frame by frame: a JSON file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"visit.json")]
    pub script: Option<PathBuf>,
    /// Directory of the manifests. Unset: models/packs if it exists, else /usr/share/cardea/packs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/usr/share/cardea/packs")]
    pub packs: Option<PathBuf>,
    /// Directory of the network files. Unset: models/cache if it exists, else /var/lib/cardea/models.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/var/lib/cardea/models")]
    pub cache: Option<PathBuf>,
    /// fp32, int8, or auto: what was measured to be the better one on this kind of processor.
    pub precision: Precision,
    /// cpu; tract, in pure Rust and fp32, where there is no ONNX Runtime; or xnnpack, cuda, tensorrt, each with a build and a `models.runtime` that have it. One that does not do the work is an error, never a run on the CPU.
    pub provider: Provider,
    /// Path of libonnxruntime.so. Unset: the one in the cache, then the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/usr/lib/libonnxruntime.so")]
    pub runtime: Option<PathBuf>,
    /// Threads per network.
    #[schemars(range(min = 1, max = 16))]
    pub threads: u32,
}

impl Default for RawModels {
    fn default() -> Self {
        let pack = "standard".into();
        RawModels {
            pack,
            next: None,
            script: None,
            packs: None,
            cache: None,
            precision: Precision::Auto,
            provider: Provider::DEFAULT,
            runtime: None,
            threads: 1,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawRecognition {
    /// Probability that a stranger is taken for anybody in the gallery (FPIR); the match threshold follows from it and from the gallery's size.
    #[schemars(range(min = 1e-6, max = 1e-2))]
    pub target_fpir: f64,
    /// Least distance in similarity between the best and the second-best person.
    #[schemars(range(min = 0.05, max = 0.5))]
    pub min_margin: f64,
    /// Frames that must name the same person, of `agree_of`.
    #[schemars(range(min = 3, max = 30))]
    pub agree: u32,
    /// Frames that are asked.
    #[schemars(range(min = 3, max = 30))]
    pub agree_of: u32,
    /// Least width of the face box in pixels.
    #[schemars(range(min = 40.0, max = 1000.0))]
    pub min_face_px: f64,
    /// Added to the manifest's match threshold. There is no key that loosens it.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub tighten: f64,
}

impl Default for RawRecognition {
    fn default() -> Self {
        RawRecognition { target_fpir: 1e-3, min_margin: 0.05, agree: 3, agree_of: 5, min_face_px: 80.0, tighten: 0.0 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawLiveness {
    /// Frames that the liveness networks must have judged.
    #[schemars(range(min = 5, max = 60))]
    pub min_frames: u32,
    /// Added to each network's threshold. There is no key that loosens it.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub tighten: f64,
}

impl Default for RawLiveness {
    fn default() -> Self {
        RawLiveness { min_frames: 5, tighten: 0.0 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawChallenge {
    /// always; step_up (only when something is doubtful); off, which also needs `insecure.challenge_off`.
    pub mode: ChallengeMode,
    /// The deck that actions are drawn from.
    #[schemars(schema_with = "deck")]
    pub actions: Vec<Action>,
    /// Always these actions in this order, as `["turn_left", "blink:2"]`, instead of a draw: for integrators' tests. A recording of them passes, so it needs `insecure.fixed_challenge`.
    pub sequence: Vec<String>,
    /// Steps in this order, each one action of those named, as `["blink", "turn_left|turn_right|nod", "smile|mouth_open"]`, instead of `count` of `actions` in any order. Fewer than six orders also need `insecure.fixed_challenge`.
    pub shape: Vec<String>,
    /// A blink is asked for up to so often at a time.
    #[schemars(range(min = 1, max = 3))]
    pub blinks: u32,
    /// Actions a visit.
    #[schemars(range(min = 1, max = 6))]
    pub count: u32,
    /// Shortest pause in milliseconds before an action is shown.
    #[schemars(range(min = 100, max = 5000))]
    pub onset_min_ms: u64,
    /// Longest pause in milliseconds before an action is shown.
    #[schemars(range(min = 100, max = 5000))]
    pub onset_max_ms: u64,
    /// Milliseconds to do an action in.
    #[schemars(range(min = 500, max = 10_000))]
    pub window_ms: u64,
    /// An action sooner than this after its prompt was begun before it was asked, and fails; milliseconds.
    #[schemars(range(min = 150, max = 1000))]
    pub reaction_min_ms: u64,
    /// Upper end of the whole challenge in milliseconds.
    #[schemars(range(min = 1000, max = 30_000))]
    pub total_ms: u64,
    /// Milliseconds for which an open mouth or a smile must last to count.
    #[schemars(range(min = 100, max = 2000))]
    pub mouth_hold_ms: u64,
    /// Colours shown on the display that must come back from the skin, after the actions: off; try (a clear no denies, too little light says nothing); require. Needs a prompt that shows colours, and shows one and a half flashes a second.
    pub light: LightMode,
}

impl Default for RawChallenge {
    fn default() -> Self {
        use Action::{Blink, Centre, MouthOpen, Nod, TurnLeft, TurnRight};
        RawChallenge {
            mode: ChallengeMode::Always,
            actions: vec![TurnLeft, TurnRight, Centre, Nod, MouthOpen, Blink],
            sequence: Vec::new(),
            shape: Vec::new(),
            blinks: 1,
            count: 3,
            onset_min_ms: 400,
            onset_max_ms: 1500,
            window_ms: 2500,
            reaction_min_ms: 150,
            total_ms: 12_000,
            mouth_hold_ms: 500,
            light: LightMode::Off,
        }
    }
}

/// The vocabulary belongs to `schema::event`, which does not know about JSON schemas.
fn deck(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let names: Vec<&str> = Action::ALL.iter().map(|a| a.name()).collect();
    schemars::json_schema!({ "type": "array", "items": { "type": "string", "enum": names } })
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawDoor {
    /// What opens the door after a visit that ended well: relay; panel (it is told who came, and decides); both; auto: the panel where there is one, else the relay.
    pub kind: DoorKind,
    /// Milliseconds for which a grant energises the relay. The guard has its own cap of 10 s compiled in.
    #[schemars(range(min = 200, max = 10_000))]
    pub hold_ms: u64,
    /// spawn: `cardea run` starts the guard; socket: somebody else (systemd) did.
    pub guard: GuardKind,
    /// Socket of the guard. Unset: guard.sock in the state directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/run/cardea-guard.sock")]
    pub guard_socket: Option<PathBuf>,
    /// The door may be opened for so many milliseconds after a grant or the exit button; later it counts as forced. Unset: `door.hold_ms` and four seconds more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1000, max = 60_000), example = &7000)]
    pub entry_ms: Option<u64>,
    /// A door that stays open for so long is worth a warning. Milliseconds.
    #[schemars(range(min = 1000, max = 3_600_000))]
    pub warning_ms: u64,
    /// A door that stays open for so long is an alarm, `door.held`; after the warning. Milliseconds.
    #[schemars(range(min = 1000, max = 3_600_000))]
    pub held_ms: u64,
    /// The pulse ends when the contact says open, so that the door locks behind the first one.
    pub relock_on_open: bool,
    /// The exit button also releases the lock. People must be able to leave without it: see docs/install.md.
    pub exit_opens: bool,
    /// lockdown: nobody is let in while the housing is open; alarm: only the alarm.
    pub tamper: TamperAction,
    /// The line that the guard owns.
    pub relay: RawRelay,
    /// Door contact, exit button, tamper switch and key switch.
    pub inputs: RawInputs,
    /// Keypad for PINs.
    pub keypad: RawReader,
    /// Card reader.
    pub card: RawReader,
    /// Wires to an access panel, experimental.
    pub wiegand: RawWiegand,
}

impl Default for RawDoor {
    fn default() -> Self {
        RawDoor {
            kind: DoorKind::Auto,
            hold_ms: 3000,
            guard: GuardKind::Spawn,
            guard_socket: None,
            entry_ms: None,
            warning_ms: 20_000,
            held_ms: 30_000,
            relock_on_open: true,
            exit_opens: false,
            tamper: TamperAction::Lockdown,
            relay: RawRelay::default(),
            inputs: RawInputs::default(),
            keypad: RawReader::default(),
            card: RawReader::default(),
            wiegand: RawWiegand::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawInputs {
    /// none, gpiocdev (lines of gpiochips, by name) or sim (files that hold 0 or 1).
    pub kind: InputsKind,
    /// Label of the lines' gpiochip, where several have lines of these names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"pinctrl-rp1")]
    pub chip: Option<String>,
    /// Pull of the lines: as_is, disabled, pull_up, pull_down.
    pub bias: Bias,
    /// A level must hold for so many milliseconds.
    #[schemars(range(min = 1, max = 500))]
    pub debounce_ms: u64,
    /// Line of the door contact; sim: its file. Unset: there is none, and an opened door is not noticed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"GPIO22")]
    pub contact: Option<PathBuf>,
    /// The level of an open door. high with a contact to ground that is closed with the door: a cut wire is an open door.
    pub contact_active: ActiveLevel,
    /// Line of the exit button.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"GPIO23")]
    pub exit: Option<PathBuf>,
    /// The level of the pressed button.
    pub exit_active: ActiveLevel,
    /// Line of the housing's tamper switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"GPIO24")]
    pub tamper: Option<PathBuf>,
    /// The level of an open housing; high with a switch to ground that is closed with the housing.
    pub tamper_active: ActiveLevel,
    /// Line of a key switch that keeps the door unlocked for as long as it is turned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"GPIO16")]
    pub hold_open: Option<PathBuf>,
    /// The level of the turned key.
    pub hold_open_active: ActiveLevel,
}

impl Default for RawInputs {
    fn default() -> Self {
        RawInputs {
            kind: InputsKind::None,
            chip: None,
            bias: Bias::PullUp,
            debounce_ms: 30,
            contact: None,
            contact_active: ActiveLevel::High,
            exit: None,
            exit_active: ActiveLevel::Low,
            tamper: None,
            tamper_active: ActiveLevel::High,
            hold_open: None,
            hold_open_active: ActiveLevel::Low,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawReader {
    /// none; lines (a serial line, a pipe or a file, one row of characters a line); or keyboard (a device that is a keyboard for the kernel; needs a build with the feature keyboard).
    pub kind: ReaderKind,
    /// The serial line, pipe or file, from writing to which everybody but its owner and its group must be kept; or the keyboard, as /dev/input/by-id/usb-...-event-kbd.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/dev/serial/by-id/usb-reader")]
    pub device: Option<PathBuf>,
}

impl Default for RawReader {
    fn default() -> Self {
        RawReader { kind: ReaderKind::None, device: None }
    }
}

impl RawInputs {
    /// Every sensor with its line, if it has one, and its level.
    #[must_use]
    pub fn lines(&self) -> [(Sensor, Option<&PathBuf>, ActiveLevel); 4] {
        [
            (Sensor::Contact, self.contact.as_ref(), self.contact_active),
            (Sensor::Exit, self.exit.as_ref(), self.exit_active),
            (Sensor::Tamper, self.tamper.as_ref(), self.tamper_active),
            (Sensor::HoldOpen, self.hold_open.as_ref(), self.hold_open_active),
        ]
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawRelay {
    /// sim (a file that holds 0 or 1), gpiocdev (a line of any board's gpiochip) or rppal (Raspberry Pi registers; not in every build).
    pub kind: RelayKind,
    /// gpiocdev and rppal: the line's name, as `GPIO17` or `PY.00`, never a number. sim: its file; unset: relay in the state directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"GPIO17")]
    pub line: Option<PathBuf>,
    /// Label of the line's gpiochip, where several have a line of that name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"pinctrl-rp1")]
    pub chip: Option<String>,
    /// The level that energises the relay: high or low.
    pub active: ActiveLevel,
    /// Pull of the line while it is owned: as_is, disabled, pull_up, pull_down.
    pub bias: Bias,
    /// A sim line's: true: the level stays when its owner dies, as on a Raspberry Pi; false: it falls back.
    pub persist: bool,
}

impl Default for RawRelay {
    fn default() -> Self {
        RawRelay {
            kind: RelayKind::Sim,
            line: None,
            chip: None,
            active: ActiveLevel::High,
            bias: Bias::AsIs,
            persist: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawRules {
    /// Failed visits before the door refuses everybody for a while.
    #[schemars(range(min = 1, max = 10))]
    pub lockout_failures: u32,
    /// First lockout in milliseconds; doubles up to an hour.
    #[schemars(range(min = 1000, max = 3_600_000))]
    pub lockout_ms: u64,
    /// Rules file: groups, doors, schedules, grants (docs/rules.md), beside the file that names it unless the path is absolute. Unset: everybody who is enrolled may pass at all times.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"rules.toml")]
    pub file: Option<PathBuf>,
}

impl Default for RawRules {
    fn default() -> Self {
        RawRules { lockout_failures: 5, lockout_ms: 30_000, file: None }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawMqtt {
    /// Whether a broker is spoken to at all.
    pub enabled: bool,
    /// Name or address of the broker.
    pub host: String,
    /// Port of the broker. Unset: 1883, with TLS 8883.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535), example = 8883)]
    pub port: Option<u32>,
    /// First level of every topic; no slash at either end.
    pub base: String,
    /// Client id. Unset: cardea-<device.name>.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"cardea-front")]
    pub client_id: Option<String>,
    /// User name at the broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"cardea")]
    pub username: Option<String>,
    /// File that holds the password: there is none in the configuration itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/cardea/mqtt-password")]
    pub password_file: Option<PathBuf>,
    /// Certificates that the broker's must chain to; its presence means TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/cardea/ca.pem")]
    pub ca_file: Option<PathBuf>,
    /// The terminal's own certificate, together with `client_key_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/cardea/client.pem")]
    pub client_cert_file: Option<PathBuf>,
    /// Key of `client_cert_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/cardea/client-key.pem")]
    pub client_key_file: Option<PathBuf>,
    /// Seconds between signs of life to the broker.
    #[schemars(range(min = 5, max = 300))]
    pub keep_alive_s: u64,
    /// Whether `event/access` carries names of people beside their ids.
    pub names: bool,
    /// Commands that are taken on cmd/NAME: unlock, lock, hold, lockdown, release, enroll, remove, sync, snapshot, ping, replay. What shows, opens or changes people needs `command_key_file`.
    pub commands: Vec<CommandName>,
    /// File with the key, at least 16 bytes, that every command on cmd/NAME must be signed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/etc/cardea/command-key")]
    pub command_key_file: Option<PathBuf>,
    /// Whether `enroll` may be in `commands`: whoever has the command key then says who comes in.
    pub remote_enroll: bool,
    /// Who opens through lock/set: off or home_assistant. Whoever may write there at the broker opens the door.
    pub remote_unlock: RemoteUnlock,
    /// Whether Home Assistant is told of this terminal.
    pub discovery: bool,
    /// First level of Home Assistant's discovery topics.
    pub discovery_prefix: String,
}

impl Default for RawMqtt {
    fn default() -> Self {
        RawMqtt {
            enabled: false,
            host: "127.0.0.1".into(),
            port: None,
            base: "cardea".into(),
            client_id: None,
            username: None,
            password_file: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            keep_alive_s: 15,
            names: false,
            commands: vec![CommandName::Lock, CommandName::Ping, CommandName::Replay, CommandName::Sync],
            command_key_file: None,
            remote_enroll: false,
            remote_unlock: RemoteUnlock::Off,
            discovery: true,
            discovery_prefix: "homeassistant".into(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawStore {
    /// State directory; `--state` overrides it.
    pub dir: PathBuf,
    /// Records that the journal keeps, about a kilobyte each; the oldest go when there are more, and a record of that stands for them.
    #[schemars(range(min = 100_000, max = 10_000_000))]
    pub keep_records: u64,
}

impl Default for RawStore {
    fn default() -> Self {
        RawStore { dir: "/var/lib/cardea".into(), keep_records: 200_000 }
    }
}

/// `log.level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RawLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawLog {
    /// error, warn, info, debug or trace.
    pub level: RawLevel,
}

impl Default for RawLog {
    fn default() -> Self {
        RawLog { level: RawLevel::Info }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawInsecure {
    /// Allows `challenge.mode = "off"`.
    pub challenge_off: bool,
    /// V4L2 nodes without hardware (v4l2loopback, vivid) are opened, and file, command and sim cameras may open a real relay.
    pub virtual_camera: bool,
    /// Schedules and limits of time are read by a clock of which the system does not say that it is synchronised. Jumps still close them.
    pub unsynced_clock: bool,
    /// Allows `models.pack = "scripted"`: a script says who stands in front and whether alive.
    pub scripted_models: bool,
    /// Allows `challenge.sequence`.
    pub fixed_challenge: bool,
    /// Allows `cardea run --dev`: the easiest values that there are, this machine only, no real relay.
    pub dev: bool,
    /// Frames up to so many milliseconds old are decided on, and from 2 a second: for machines that emulate others. Whoever delays frames chooses the moment.
    #[schemars(range(min = 500, max = 10_000))]
    pub max_frame_age_ms: u64,
    /// Listeners of `[web.compat]` may speak plain HTTP on other addresses than loopback: faces and passwords can be read on the way.
    pub compat_plain_http: bool,
    /// A clock that nobody is known to discipline counts as right for commands with times. Whoever sets it back replays nothing, but makes old commands young.
    pub trust_clock: bool,
}

impl Default for RawInsecure {
    fn default() -> Self {
        RawInsecure {
            challenge_off: false,
            virtual_camera: false,
            unsynced_clock: false,
            scripted_models: false,
            fixed_challenge: false,
            dev: false,
            max_frame_age_ms: 500,
            compat_plain_http: false,
            trust_clock: false,
        }
    }
}
