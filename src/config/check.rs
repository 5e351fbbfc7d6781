//! From [`Raw`] to [`Config`]: rules between keys and rules of names. Types and ranges were checked key by key before.

use super::fault::{Fault, Origin, Origins};
use super::raw::{Raw, RawChallenge, RawFormat, RawInputs, RawModels, RawMqtt, RawReader};
use super::sections::{
    Camera, CameraControls, CameraKind, Challenge, ChallengeMode, Config, Device, Door, GuardKind, InputLine,
    InputsConfig, InputsKind, Insecure, Liveness, Log, Models, Mqtt, Precision, Provider, ReaderConfig, ReaderKind,
    Recognition, RelayConfig, RelayKind, Rules, Store, is_chip_label, is_line_name,
};
use super::{panel, privacy, prompt, site, web};
use crate::domain::access::RuleBook;
use crate::domain::challenge::Deck;
use crate::domain::door::{DoorRules, Sensor};
use crate::schema::command::CommandName;
use crate::schema::event::Action;
use crate::schema::ids::DeviceId;
use crate::vision::frame::{PixelFormat, Rotation};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Languages that the texts at the door exist in, in the order of the columns of `adapters::prompt::texts`.
pub const LANGUAGES: [&str; 6] = ["en", "de", "es", "fr", "zh", "ja"];

/// The pack that has no files: its networks say what `models.script` tells them.
const SCRIPTED: &str = "scripted";
/// The same with another embedding network, so that changing it can be tried without one.
const SCRIPTED_NEXT: &str = "scripted_next";

/// The truth, or everything that is wrong between the keys.
pub(super) fn check(raw: &Raw, origins: &Origins) -> Result<Config, Vec<Fault>> {
    let mut c = Checker { origins, faults: Vec::new() };
    let book = c.rules(raw);
    let rules_file = c.rules_file(raw);
    let device = DeviceId::new(&raw.device.name);
    if let Err(e) = &device {
        c.fault("device.name", e.to_string());
    }
    c.camera(raw);
    c.recognition(raw);
    c.challenge(&raw.challenge, raw.insecure.challenge_off);
    c.sequence(&raw.challenge, raw.insecure.fixed_challenge);
    c.shape(&raw.challenge, raw.insecure.fixed_challenge);
    c.relay(raw);
    c.inputs(raw);
    c.readers(raw);
    prompt::check(&mut c, raw);
    web::check(&mut c, raw);
    c.mqtt(&raw.mqtt, raw.privacy.snapshots);
    site::check(&mut c, raw);
    panel::check(&mut c, raw);
    c.models(raw);
    if raw.store.dir.as_os_str().is_empty() {
        c.fault("store.dir", "is empty; name a directory");
    }
    match device {
        Ok(name) if c.faults.is_empty() => Ok(build(raw, name, book, rules_file)),
        _ => Err(c.faults),
    }
}

pub(super) struct Checker<'a> {
    origins: &'a Origins,
    faults: Vec<Fault>,
}

impl Checker<'_> {
    pub(super) fn fault(&mut self, key: &str, what: impl Into<String>) {
        let origin = self.origins.get(key).unwrap_or(&Origin::Default);
        self.faults.push(Fault::at(origin, key, what));
    }

    /// A fault between two keys stands where either was set, not at a default.
    pub(super) fn fault_between(&mut self, key: &str, other: &str, what: impl Into<String>) {
        let key = if self.origins.contains_key(key) || !self.origins.contains_key(other) { key } else { other };
        self.fault(key, what);
    }

    /// What the rules file says; its own faults stand beside those of the configuration.
    fn rules(&mut self, raw: &Raw) -> RuleBook {
        let Some(beside) = self.rules_file(raw) else { return RuleBook::open() };
        let book = match super::rules::read_rules(&beside) {
            Ok(book) => book,
            Err(faults) => {
                self.faults.extend(faults.iter().cloned());
                return RuleBook::shut();
            }
        };
        for (key, what) in super::reload::misfits(&book, &raw.device.name, raw.door.inputs.contact.is_some()) {
            self.fault_between("rules.file", key, what);
        }
        book
    }

    /// A path is beside the file that names it.
    fn rules_file(&self, raw: &Raw) -> Option<PathBuf> {
        let file = raw.rules.file.as_ref()?;
        Some(match self.origins.get("rules.file") {
            Some(Origin::File { path, .. }) => path.parent().unwrap_or(Path::new("")).join(file),
            _ => file.clone(),
        })
    }

    fn camera(&mut self, raw: &Raw) {
        let camera = &raw.camera;
        match camera.kind {
            CameraKind::V4l2 if camera.device.is_empty() => self.fault("camera.device", "is empty; name a device"),
            CameraKind::File | CameraKind::Sim if camera.path.as_os_str().is_empty() => {
                let what = "this kind needs camera.path: a directory of JPEGs or a clip";
                self.fault_between("camera.kind", "camera.path", what);
            }
            CameraKind::Command if camera.command.first().is_none_or(String::is_empty) => {
                let what = r#"this kind needs camera.command, for example ["rpicam-vid", "--codec", "mjpeg", "-t", "0", "-o", "-"]"#;
                self.fault_between("camera.kind", "camera.command", what);
            }
            CameraKind::None if !raw.web.enabled => {
                let what = "without a camera only web sessions are verified; set web.enabled = true";
                self.fault_between("camera.kind", "web.enabled", what);
            }
            _ => {}
        }
        if rotation(camera.rotate).is_none() {
            self.fault("camera.rotate", format!("{} is not 0, 90, 180 or 270", camera.rotate));
        }
        if let Some(hz) = camera.power_line_hz.filter(|hz| ![0, 50, 60].contains(hz)) {
            self.fault("camera.power_line_hz", format!("{hz} is not 0, 50 or 60"));
        }
        let controlled = [
            ("camera.exposure_us", camera.exposure_us),
            ("camera.gain", camera.gain),
            ("camera.power_line_hz", camera.power_line_hz),
        ];
        for (key, _) in controlled.iter().filter(|(_, v)| v.is_some() && camera.kind != CameraKind::V4l2) {
            self.fault_between(key, "camera.kind", "only a camera of kind v4l2 is told this");
        }
        if !camera.faults.is_empty() && camera.kind != CameraKind::Sim {
            self.fault_between("camera.faults", "camera.kind", "only a camera of kind sim has faults on request");
        }
        for fault in &camera.faults {
            if !is_camera_fault(fault) {
                let what = format!(
                    "`{fault}` is not stall, garble, unplug or freeze with @MS or @MS+MS, as in stall@2000+500"
                );
                self.fault("camera.faults", what);
            }
        }
    }

    fn recognition(&mut self, raw: &Raw) {
        let r = &raw.recognition;
        if r.agree > r.agree_of {
            let what = format!("recognition.agree = {} is over recognition.agree_of = {}", r.agree, r.agree_of);
            self.fault_between("recognition.agree", "recognition.agree_of", what);
        } else if r.agree * 2 <= r.agree_of {
            let what = format!("{} of {} frames are no majority: two people could both have it", r.agree, r.agree_of);
            self.fault_between("recognition.agree", "recognition.agree_of", what);
        }
    }

    fn challenge(&mut self, ch: &RawChallenge, allowed_off: bool) {
        if ch.mode == ChallengeMode::Off && !allowed_off {
            self.fault("challenge.mode", "off lets a film open the door; it also needs insecure.challenge_off = true");
        }
        if ch.onset_min_ms > ch.onset_max_ms {
            let what = format!("onset_min_ms = {} is over onset_max_ms = {}", ch.onset_min_ms, ch.onset_max_ms);
            self.fault_between("challenge.onset_min_ms", "challenge.onset_max_ms", what);
        }
        if ch.reaction_min_ms >= ch.window_ms {
            let what =
                format!("reaction_min_ms = {} leaves nothing of window_ms = {}", ch.reaction_min_ms, ch.window_ms);
            self.fault_between("challenge.reaction_min_ms", "challenge.window_ms", what);
        }
        let least = u64::from(ch.count) * (ch.onset_min_ms + ch.reaction_min_ms);
        if ch.total_ms < least {
            let what = format!("{} ms cannot hold {} actions of at least {least} ms together", ch.total_ms, ch.count);
            self.fault_between("challenge.total_ms", "challenge.count", what);
        }
        let deck = &ch.actions;
        if let Some(twice) = deck.iter().enumerate().find_map(|(i, a)| deck[..i].contains(a).then_some(a)) {
            self.fault("challenge.actions", format!("{} is there twice", twice.name()));
        } else if deck.len() < ch.count as usize {
            let what =
                format!("{} actions are too few for challenge.count = {}: none is asked twice", deck.len(), ch.count);
            self.fault_between("challenge.actions", "challenge.count", what);
        }
        let away = [Action::TurnLeft, Action::TurnRight, Action::Nod];
        if deck.contains(&Action::Centre) && !deck.iter().any(|a| away.contains(a)) {
            self.fault(
                "challenge.actions",
                "centre only follows a turn or a nod; add one of turn_left, turn_right, nod",
            );
        }
    }

    fn sequence(&mut self, ch: &RawChallenge, allowed: bool) {
        if !ch.sequence.is_empty() && !allowed {
            let what = "a fixed order is passed by a recording of it; it also needs insecure.fixed_challenge = true";
            self.fault("challenge.sequence", what);
        }
        for word in &ch.sequence {
            if Action::with_times(word).is_none() {
                self.fault("challenge.sequence", format!("`{word}` is no action; as in turn_left or blink:2"));
            }
        }
        if let Some(odd) = ch.actions.iter().find(|a| a.is_experimental()) {
            let what = format!("{} is experimental, no photo is known to fail it; web sessions only", odd.name());
            self.fault("challenge.actions", what);
        }
    }

    fn shape(&mut self, ch: &RawChallenge, allowed: bool) {
        const KEY: &str = "challenge.shape";
        let steps: Vec<_> = ch.shape.iter().map(|s| shape_step(s)).collect();
        for wrong in steps.iter().filter_map(|s| s.as_ref().err()) {
            self.fault(KEY, wrong.clone());
        }
        let Ok(steps) = steps.into_iter().collect::<Result<Vec<_>, _>>() else { return };
        if steps.is_empty() {
            return;
        }
        if !ch.sequence.is_empty() {
            self.fault_between(KEY, "challenge.sequence", "the actions are either always the same or drawn: set one");
        }
        if steps.len() > MOST_STEPS {
            self.fault(KEY, format!("{} steps; a challenge has at most {MOST_STEPS}", steps.len()));
            return;
        }
        if let Some(odd) = steps.iter().flatten().find(|a| a.is_experimental()) {
            let what = format!("{} is experimental, no photo is known to fail it; web sessions only", odd.name());
            self.fault(KEY, what);
        }
        let orders = Deck::orders(&steps).len();
        if orders == 0 {
            self.fault(KEY, "no order is left: nothing is asked twice, and centre only follows a turn or a nod");
        } else if orders < FEWEST_ORDERS && !allowed {
            let what = format!(
                "{orders} orders: a recording of one is passed that often; name more actions a step, or set \
                 insecure.fixed_challenge = true"
            );
            self.fault(KEY, what);
        }
        let least = steps.len() as u64 * (ch.onset_min_ms + ch.reaction_min_ms);
        if ch.total_ms < least {
            let what = format!("{} ms cannot hold {} steps of at least {least} ms together", ch.total_ms, steps.len());
            self.fault_between("challenge.total_ms", KEY, what);
        }
    }

    fn relay(&mut self, raw: &Raw) {
        let relay = &raw.door.relay;
        if relay.kind == RelayKind::Sim {
            return;
        }
        let name = relay.line.as_ref().map(|l| l.to_string_lossy());
        match name {
            None => {
                let what = "this kind needs door.relay.line: the line's name, as GPIO17 or PY.00";
                self.fault_between("door.relay.line", "door.relay.kind", what);
            }
            Some(name) if !is_line_name(&name) => {
                let what =
                    format!("`{name}` is no line's name; gpioinfo shows names, as GPIO17 or PY.00, and numbers move");
                self.fault("door.relay.line", what);
            }
            Some(_) => {}
        }
        if let Some(label) = relay.chip.as_ref().filter(|label| !is_chip_label(label)) {
            self.fault("door.relay.chip", format!("`{label}` is no chip's label; gpiodetect shows them in brackets"));
        }
        self.filmed(raw);
    }

    fn filmed(&mut self, raw: &Raw) {
        let filmed = matches!(raw.camera.kind, CameraKind::File | CameraKind::Command | CameraKind::Sim);
        if filmed && !raw.insecure.virtual_camera {
            let what = "a camera of this kind shows what a file or program says; with a real relay it also needs \
                        insecure.virtual_camera = true";
            self.fault_between("camera.kind", "door.relay.kind", what);
        }
    }

    fn readers(&mut self, raw: &Raw) {
        let (keypad, card) = (&raw.door.keypad, &raw.door.card);
        for (name, reader) in [("door.keypad", keypad), ("door.card", card)] {
            let (kind, device) = (format!("{name}.kind"), format!("{name}.device"));
            if (reader.kind == ReaderKind::None) != reader.device.is_none() {
                self.fault_between(&kind, &device, "a reader has both: kind = \"lines\" or \"keyboard\", and a device");
            }
        }
        if keypad.device.is_some() && keypad.device == card.device {
            self.fault("door.card.device", "is the keypad's device too: what it types would be both PIN and card");
        }
    }

    fn inputs(&mut self, raw: &Raw) {
        let (door, inputs) = (&raw.door, &raw.door.inputs);
        if door.warning_ms > door.held_ms {
            self.fault_between("door.warning_ms", "door.held_ms", "the warning comes before the alarm");
        }
        if door.entry_ms.is_some_and(|entry| entry < door.hold_ms) {
            let what = "must not be shorter than the pulse: whoever opens the door at its end would be an intruder";
            self.fault_between("door.entry_ms", "door.hold_ms", what);
        }
        let wired = inputs.lines().into_iter().filter_map(|(sensor, line, _)| line.map(|l| (sensor, l)));
        let wired: Vec<_> = wired.collect();
        for (i, (sensor, line)) in wired.iter().enumerate() {
            let key = sensor.key();
            let name = line.to_string_lossy();
            match inputs.kind {
                InputsKind::None => {
                    self.fault_between(key, "door.inputs.kind", "needs a kind: gpiocdev or sim");
                }
                InputsKind::Gpiocdev if !is_line_name(&name) => {
                    let what = format!("`{name}` is no line's name; gpioinfo shows names, and numbers move");
                    self.fault(key, what);
                }
                InputsKind::Gpiocdev | InputsKind::Sim => {}
            }
            let taken = wired[..i].iter().find(|(_, other)| other == line).map(|(s, _)| s.name());
            let relay = (Some(*line) == door.relay.line.as_ref()).then_some("the relay");
            if let Some(other) = taken.or(relay) {
                self.fault(key, format!("{other} has this line already"));
            }
        }
        if inputs.kind != InputsKind::None && wired.is_empty() {
            self.fault("door.inputs.kind", "nothing is wired: set door.inputs.contact or another line");
        }
        if let Some(label) = inputs.chip.as_ref().filter(|label| !is_chip_label(label)) {
            self.fault("door.inputs.chip", format!("`{label}` is no chip's label; gpiodetect shows them in brackets"));
        }
    }

    fn mqtt(&mut self, mqtt: &RawMqtt, snapshots: bool) {
        for part in mqtt.base.split('/') {
            if !is_level(part) {
                let what = format!(
                    "`{}` is not topic levels of printable ASCII without + # $, as in building/cardea",
                    mqtt.base
                );
                self.fault("mqtt.base", what);
                break;
            }
        }
        if mqtt.host.is_empty() || mqtt.host.contains([' ', '/']) {
            self.fault("mqtt.host", format!("`{}` is not the name or address of a host", mqtt.host));
        }
        if mqtt.client_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > 128 || id.chars().any(char::is_control))
        {
            self.fault("mqtt.client_id", "must be 1 to 128 bytes without control characters");
        }
        if mqtt.discovery_prefix.split('/').any(|part| !is_level(part)) {
            let what = format!("`{}` is not topic levels, as in homeassistant", mqtt.discovery_prefix);
            self.fault("mqtt.discovery_prefix", what);
        }
        for name in &mqtt.commands {
            let what = match name {
                CommandName::Snapshot if !snapshots => {
                    "`snapshot` needs privacy.snapshots = true: pictures of whoever is at the door leave the terminal"
                        .into()
                }
                CommandName::Enroll if !mqtt.remote_enroll => {
                    "`enroll` needs mqtt.remote_enroll = true: whoever has the command key says who comes in".into()
                }
                _ if (name.is_signed() || *name == CommandName::Remove) && mqtt.command_key_file.is_none() => {
                    format!(
                        "`{}` needs mqtt.command_key_file: unsigned, anybody at the broker could send it",
                        name.word()
                    )
                }
                _ => continue,
            };
            self.fault("mqtt.commands", what);
        }
        let needs: [(&str, bool, &str, bool); 4] = [
            ("client_cert_file", mqtt.client_cert_file.is_some(), "client_key_file", mqtt.client_key_file.is_some()),
            ("client_key_file", mqtt.client_key_file.is_some(), "client_cert_file", mqtt.client_cert_file.is_some()),
            ("client_cert_file", mqtt.client_cert_file.is_some(), "ca_file", mqtt.ca_file.is_some()),
            ("password_file", mqtt.password_file.is_some(), "username", mqtt.username.is_some()),
        ];
        for (key, has, other, has_other) in needs {
            if has && !has_other {
                self.fault(&format!("mqtt.{key}"), format!("needs mqtt.{other} as well"));
            }
        }
    }

    fn models(&mut self, raw: &Raw) {
        let m = &raw.models;
        self.one_word("models.pack", &m.pack);
        let is_scripted = |pack: &str| pack == SCRIPTED || pack == SCRIPTED_NEXT;
        let scripted = is_scripted(&m.pack);
        if let Some(next) = &m.next {
            self.one_word("models.next", next);
            if *next == m.pack {
                self.fault("models.next", format!("`{next}` is models.pack: there is nothing to learn"));
            } else if is_scripted(next) != scripted {
                self.fault("models.next", "a script is followed by no other networks, and follows none");
            }
        }
        if scripted && !raw.insecure.scripted_models {
            let what = "scripted lets a file say who is there; it also needs insecure.scripted_models = true";
            self.fault("models.pack", what);
        }
        if scripted && m.script.is_none() {
            self.fault_between("models.script", "models.pack", "the pack scripted needs models.script: a JSON file");
        }
    }

    fn one_word(&mut self, key: &str, text: &str) {
        let ok = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !ok {
            self.fault(key, format!("`{text}` is not a name of letters, digits, _ and -"));
        }
    }
}

/// Steps of a challenge, as the range of `challenge.count`.
const MOST_STEPS: usize = 6;
/// A shape with fewer orders is nearly a fixed one.
const FEWEST_ORDERS: usize = 6;

/// The actions of one step of `challenge.shape`, as `turn_left|turn_right`.
fn shape_step(text: &str) -> Result<Vec<Action>, String> {
    let mut step = Vec::new();
    for word in text.split('|').map(str::trim) {
        let Some(action) = Action::ALL.into_iter().find(|a| a.name() == word) else {
            return Err(format!("`{word}` is no action; a step is written as turn_left|turn_right"));
        };
        if step.contains(&action) {
            return Err(format!("{word} is there twice in one step"));
        }
        step.push(action);
    }
    Ok(step)
}

/// One level of a topic: no wildcard, nothing that a broker keeps for itself.
fn is_level(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic() && !"+#$".contains(c))
}

fn rotation(degrees: u32) -> Option<Rotation> {
    match degrees {
        0 => Some(Rotation::None),
        90 => Some(Rotation::Cw90),
        180 => Some(Rotation::Cw180),
        270 => Some(Rotation::Cw270),
        _ => None,
    }
}

fn is_camera_fault(text: &str) -> bool {
    let number = |t: &str| !t.is_empty() && t.len() <= 9 && t.bytes().all(|b| b.is_ascii_digit());
    let Some((name, when)) = text.split_once('@') else { return false };
    let (at, long) = when.split_once('+').unwrap_or((when, "0"));
    ["stall", "garble", "unplug", "freeze"].contains(&name) && number(at) && number(long)
}

/// A directory of the source tree, where it is there, else the installed one.
fn here_or(path: Option<&PathBuf>, here: &str, installed: &str) -> PathBuf {
    let found = || PathBuf::from(if Path::new(here).is_dir() { here } else { installed });
    path.cloned().unwrap_or_else(found)
}

fn build(raw: &Raw, name: DeviceId, book: RuleBook, rules_file: Option<PathBuf>) -> Config {
    let ms = Duration::from_millis;
    let state = &raw.store.dir;
    let client_id = raw.mqtt.client_id.clone().unwrap_or_else(|| format!("cardea-{name}"));
    Config {
        device: Device { name },
        camera: Camera {
            kind: raw.camera.kind,
            device: raw.camera.device.clone(),
            path: raw.camera.path.clone(),
            command: raw.camera.command.clone(),
            format: match raw.camera.format {
                RawFormat::Auto => None,
                RawFormat::Mjpg => Some(PixelFormat::Jpeg),
                RawFormat::Yuyv => Some(PixelFormat::Yuyv),
                RawFormat::Nv12 => Some(PixelFormat::Nv12),
                RawFormat::Grey => Some(PixelFormat::Grey),
            },
            width: raw.camera.width,
            height: raw.camera.height,
            fps: raw.camera.fps,
            rotate: rotation(raw.camera.rotate).unwrap_or_default(),
            mirrored: raw.camera.mirrored,
            controls: CameraControls {
                exposure_us: raw.camera.exposure_us,
                gain: raw.camera.gain,
                power_line_hz: raw.camera.power_line_hz,
            },
            timeout: ms(raw.camera.timeout_ms),
            looped: raw.camera.looped,
            faults: raw.camera.faults.clone(),
            virtual_allowed: raw.insecure.virtual_camera,
        },
        models: Models {
            pack: raw.models.pack.clone(),
            script: raw.models.script.clone().filter(|_| [SCRIPTED, SCRIPTED_NEXT].contains(&raw.models.pack.as_str())),
            next: raw.models.next.clone(),
            packs: here_or(raw.models.packs.as_ref(), "models/packs", "/usr/share/cardea/packs"),
            cache: here_or(raw.models.cache.as_ref(), "models/cache", "/var/lib/cardea/models"),
            precision: precision(&raw.models),
            provider: raw.models.provider,
            runtime: raw.models.runtime.clone().filter(|p| !p.as_os_str().is_empty()),
            threads: raw.models.threads as usize,
        },
        recognition: Recognition {
            target_fpir: raw.recognition.target_fpir,
            min_margin: raw.recognition.min_margin as f32,
            agree: raw.recognition.agree as usize,
            agree_of: raw.recognition.agree_of as usize,
            min_face_px: raw.recognition.min_face_px as f32,
            tighten: raw.recognition.tighten as f32,
        },
        liveness: Liveness { min_frames: raw.liveness.min_frames as usize, tighten: raw.liveness.tighten as f32 },
        challenge: Challenge {
            mode: raw.challenge.mode,
            actions: raw.challenge.actions.clone(),
            sequence: raw.challenge.sequence.iter().filter_map(|w| Action::with_times(w)).collect(),
            shape: raw.challenge.shape.iter().filter_map(|s| shape_step(s).ok()).collect(),
            blinks: u8::try_from(raw.challenge.blinks).unwrap_or(1),
            count: raw.challenge.count as usize,
            onset_min: ms(raw.challenge.onset_min_ms),
            onset_max: ms(raw.challenge.onset_max_ms),
            window: ms(raw.challenge.window_ms),
            reaction_min: ms(raw.challenge.reaction_min_ms),
            total: ms(raw.challenge.total_ms),
            mouth_hold: ms(raw.challenge.mouth_hold_ms),
            light: raw.challenge.light,
        },
        door: Door {
            hold: ms(raw.door.hold_ms),
            guard: raw.door.guard.clone(),
            guard_socket: match (&raw.door.guard_socket, &raw.door.guard) {
                (Some(path), _) => Some(path.clone()),
                (None, GuardKind::Spawn | GuardKind::Socket) => Some(state.join("guard.sock")),
            },
            rules: DoorRules {
                contact: raw.door.inputs.contact.is_some(),
                entry: ms(raw.door.entry_ms.unwrap_or(raw.door.hold_ms + 4000)),
                warning: ms(raw.door.warning_ms),
                held: ms(raw.door.held_ms),
                relock: raw.door.relock_on_open,
                exit_opens: raw.door.exit_opens,
            },
            tamper: raw.door.tamper,
            inputs: InputsConfig {
                kind: raw.door.inputs.kind,
                chip: raw.door.inputs.chip.clone(),
                bias: raw.door.inputs.bias,
                debounce: ms(raw.door.inputs.debounce_ms),
                lines: wired(&raw.door.inputs),
            },
            keypad: reader(&raw.door.keypad),
            card: reader(&raw.door.card),
            relay: RelayConfig {
                kind: raw.door.relay.kind,
                line: Some(raw.door.relay.line.clone().unwrap_or_else(|| state.join("relay"))),
                chip: raw.door.relay.chip.clone(),
                active: raw.door.relay.active,
                bias: raw.door.relay.bias,
                persist: raw.door.relay.persist,
            },
        },
        prompt: raw.prompt.build(),
        rules: Rules {
            lockout_failures: raw.rules.lockout_failures,
            lockout: ms(raw.rules.lockout_ms),
            file: rules_file,
            book: Arc::new(book),
        },
        mqtt: Mqtt {
            enabled: raw.mqtt.enabled,
            host: raw.mqtt.host.clone(),
            port: raw.mqtt.port.and_then(|p| u16::try_from(p).ok()).unwrap_or(if raw.mqtt.ca_file.is_some() {
                8883
            } else {
                1883
            }),
            base: raw.mqtt.base.clone(),
            client_id,
            username: raw.mqtt.username.clone(),
            password_file: raw.mqtt.password_file.clone(),
            ca_file: raw.mqtt.ca_file.clone(),
            client_cert_file: raw.mqtt.client_cert_file.clone(),
            client_key_file: raw.mqtt.client_key_file.clone(),
            keep_alive: Duration::from_secs(raw.mqtt.keep_alive_s),
            names: raw.mqtt.names,
            commands: raw.mqtt.commands.iter().copied().collect(),
            command_key_file: raw.mqtt.command_key_file.clone(),
            remote_unlock: raw.mqtt.remote_unlock,
            discovery: raw.mqtt.discovery,
            discovery_prefix: raw.mqtt.discovery_prefix.clone(),
        },
        site: site::build(&raw.site),
        access_panel: panel::build(raw),
        web: web::build(&raw.web),
        privacy: privacy::build(&raw.privacy),
        store: Store { dir: raw.store.dir.clone(), keep_records: raw.store.keep_records },
        log: Log { level: format!("{:?}", raw.log.level).to_lowercase() },
        insecure: Insecure {
            challenge_off: raw.insecure.challenge_off,
            virtual_camera: raw.insecure.virtual_camera,
            unsynced_clock: raw.insecure.unsynced_clock,
            scripted_models: raw.insecure.scripted_models,
            fixed_challenge: raw.insecure.fixed_challenge,
            dev: raw.insecure.dev,
            max_frame_age: Some(ms(raw.insecure.max_frame_age_ms)).filter(|age| *age > ms(500)),
            compat_plain_http: raw.insecure.compat_plain_http,
            trust_clock: raw.insecure.trust_clock,
        },
    }
}

impl Config {
    /// The same with `models.next` in the place of the pack; `None` where there is no next one.
    #[must_use]
    pub fn with_next_pack(&self) -> Option<Config> {
        let pack = self.models.next.clone()?;
        Some(Config { models: Models { pack, next: None, ..self.models.clone() }, ..self.clone() })
    }

    /// The built-in defaults, with journal, people, keys and sockets in `state`.
    #[must_use]
    pub fn defaults(state: &Path) -> Config {
        let mut raw = Raw::default();
        raw.store.dir = state.to_owned();
        check(&raw, &Origins::new()).expect("built-in defaults are without fault, as a test shows")
    }
}

/// What was measured for `auto` was measured on ONNX Runtime; tract runs fp32 only.
fn precision(models: &RawModels) -> Precision {
    match (models.provider, models.precision) {
        (Provider::Tract, Precision::Auto) => Precision::Fp32,
        (_, asked) => asked,
    }
}

fn reader(raw: &RawReader) -> ReaderConfig {
    ReaderConfig { kind: raw.kind, device: raw.device.clone().unwrap_or_default() }
}

fn wired(inputs: &RawInputs) -> Vec<(Sensor, InputLine)> {
    let lines = inputs.lines().into_iter();
    lines.filter_map(|(sensor, line, active)| Some((sensor, InputLine { name: line?.clone(), active }))).collect()
}
