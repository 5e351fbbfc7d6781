use super::sections::{CameraKind, ChallengeMode, GuardKind, Precision, Provider, ReaderKind, Seed};
use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A directory with files as given, and what points at `cardea.toml` in it.
fn house(files: &[(&str, &str)]) -> (tempfile::TempDir, Inputs) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let inputs = Inputs { file: Some(dir.path().join("cardea.toml")), ..Inputs::default() };
    (dir, inputs)
}

/// Faults of a file as `line key: what -> nearest`, without the directory.
fn faults(text: &str) -> Vec<String> {
    let (_dir, inputs) = house(&[("cardea.toml", text)]);
    told(&inputs)
}

fn told(inputs: &Inputs) -> Vec<String> {
    let show = |f: &Fault| {
        let name = Path::new(&f.file).file_name().unwrap().to_string_lossy().into_owned();
        let place = f.line.map_or(name, |l| l.to_string());
        let nearest = f.nearest.as_ref().map(|n| format!(" -> {n}")).unwrap_or_default();
        format!("{place} {}: {}{nearest}", f.key, f.what)
    };
    load(inputs).err().iter().flatten().map(show).collect()
}

fn from_text(text: &str) -> Config {
    let (_dir, inputs) = house(&[("cardea.toml", text)]);
    load(&inputs).unwrap_or_else(|f| panic!("{f}"))
}

#[test]
fn the_defaults_are_without_fault_and_keep_the_state_together() {
    let config = Config::defaults(Path::new("/s"));
    assert_eq!(config.door().relay.line, Some(PathBuf::from("/s/relay")));
    assert_eq!(config.door().guard_socket, Some(PathBuf::from("/s/guard.sock")));
    assert_eq!(config.device().name.as_str(), "front");
    assert_eq!(config.mqtt().client_id, "cardea-front");
    assert_eq!(config.mqtt().port, 1883);
    assert_eq!(config.door().hold, Duration::from_millis(3000));
    assert_eq!(config.challenge().mode, ChallengeMode::Always);
    assert!(config.insecure().in_force().is_empty());
}

#[test]
fn a_later_layer_overrides_an_earlier_one() {
    let files = [
        ("cardea.toml", "[door]\nhold_ms = 1001\n[mqtt]\nhost = 'file'\nkeep_alive_s = 20\n[device]\nname = 'file'"),
        ("cardea.d/10-a.toml", "[door]\nhold_ms = 1002\n[rules]\nlockout_failures = 2"),
        ("cardea.d/20-b.toml", "door.hold_ms = 1003\nmqtt.host = 'b'"),
        ("cardea.d/30-c.txt", "this is not read"),
        ("credentials/cardea.toml", "[mqtt]\nhost = 'credential'\nusername = 'credential'"),
    ];
    let (dir, mut inputs) = house(&files);
    let check = |inputs: &Inputs, hold: u64, host: &str| {
        let config = load(inputs).unwrap_or_else(|f| panic!("{f}"));
        assert_eq!((config.door().hold.as_millis(), config.mqtt().host.as_str()), (u128::from(hold), host));
        assert_eq!(config.rules().lockout_failures, 2, "a key that no later layer names stays");
        assert_eq!(config.device().name.as_str(), "file");
    };
    check(&inputs, 1003, "b");
    inputs.env = vec![
        ("CARDEA__DOOR__HOLD_MS".into(), "1004".into()),
        ("CARDEA__MQTT__HOST".into(), "env".into()),
        ("CARDEA_MODELS_FROM".into(), "no key".into()),
    ];
    check(&inputs, 1004, "env");
    inputs.credentials = Some(dir.path().join("credentials"));
    check(&inputs, 1004, "credential");
    inputs.set = vec!["door.hold_ms=9".into(), "door.hold_ms = 1005".into(), "mqtt.host=set".into()];
    assert_eq!(told(&inputs), ["--set door.hold_ms: 9 is not a whole number from 200 to 10000"]);
    inputs.set.remove(0);
    check(&inputs, 1005, "set");
    inputs.state = Some("/from-state".into());
    assert_eq!(load(&inputs).unwrap().store().dir, PathBuf::from("/from-state"));

    let origins = merge(&inputs).origins;
    assert_eq!(origins["device.name"].to_string(), format!("{}:7", dir.path().join("cardea.toml").display()));
    assert_eq!(origins["rules.lockout_failures"].line(), Some(4));
    assert_eq!((origins["door.hold_ms"].place(), origins["store.dir"].place()), ("--set".into(), "--state".into()));
}

#[test]
fn every_fault_is_told_at_once_with_its_line_and_the_nearest_key() {
    let text = "\
[door]
hold_msec = 3000
guard = 'spwan'
hold_ms = '3s'
[recogntion]
agree = 3
[privacy]
listen = 1
[rules]
hold_ms = 5
[camera]
rotate = 45
kind = \"file\"
";
    assert_eq!(
        faults(text),
        [
            "2 door.hold_msec: [door] has no key of this name -> door.hold_ms",
            "3 door.guard: \"spwan\" is not one of: spawn, socket -> spawn",
            "4 door.hold_ms: \"3s\" is not a whole number from 200 to 10000",
            "5 recogntion: there is no section [recogntion] -> recognition",
            "8 privacy.listen: [privacy] has no key of this name -> web.compat.s0.listen",
            "10 rules.hold_ms: [rules] has no key of this name -> door.hold_ms",
            "13 camera.kind: this kind needs camera.path: a directory of JPEGs or a clip",
            "12 camera.rotate: 45 is not 0, 90, 180 or 270",
        ]
    );
}

#[test]
fn a_real_line_goes_by_its_name_and_wants_a_real_camera() {
    for line in ["'GPIO17'", "'PY.00'", "'P9_14 [gpio1_18]'"] {
        let told = faults(&format!("[door.relay]\nkind = 'gpiocdev'\nline = {line}\nactive = 'low'\nbias = 'pull_up'"));
        assert!(told.is_empty(), "{told:?}");
    }
    for (text, what) in [
        ("kind = 'gpiocdev'", "this kind needs door.relay.line"),
        ("kind = 'rppal'\nline = '17'", "`17` is no line's name"),
        ("kind = 'gpiocdev'\nline = ''", "`` is no line's name"),
        ("kind = 'gpiocdev'\nline = 'a,b'", "`a,b` is no line's name"),
        ("kind = 'gpiocdev'\nline = 'GPIO17'\nchip = 'a,b'", "`a,b` is no chip's label"),
        ("kind = 'gpiocdev'\nline = 'GPIO17'\n[camera]\nkind = 'sim'\npath = '/x'", "insecure.virtual_camera = true"),
    ] {
        let told = faults(&format!("[door.relay]\n{text}"));
        assert!(told.len() == 1 && told[0].contains(what), "{text}: {told:?}");
    }
    let meant = "[door.relay]\nkind = 'gpiocdev'\nline = 'GPIO17'\n[camera]\nkind = 'sim'\npath = '/x'\n[insecure]\nvirtual_camera = true";
    assert!(faults(meant).is_empty());
}

#[test]
fn a_value_of_the_wrong_type_or_range_is_a_fault() {
    for (text, fault) in [
        ("door.hold_ms = 199", "1 door.hold_ms: 199 is not a whole number from 200 to 10000"),
        ("door.hold_ms = 10001", "1 door.hold_ms: 10001 is not a whole number from 200 to 10000"),
        ("door.hold_ms = -1", "1 door.hold_ms: -1 is not a whole number from 200 to 10000"),
        ("door.hold_ms = 300.5", "1 door.hold_ms: 300.5 is not a whole number from 200 to 10000"),
        ("recognition.target_fpir = nan", "1 recognition.target_fpir: nan is not a number from 0.000001 to 0.01"),
        ("recognition.target_fpir = 0.5", "1 recognition.target_fpir: 0.5 is not a number from 0.000001 to 0.01"),
        ("recognition.tighten = -0.1", "1 recognition.tighten: -0.1 is not a number from 0 to 0.5"),
        ("liveness.tighten = inf", "1 liveness.tighten: inf is not a number from 0 to 0.5"),
        ("liveness.min_frames = 4", "1 liveness.min_frames: 4 is not a whole number from 5 to 60"),
        ("recognition.min_margin = 0.04", "1 recognition.min_margin: 0.04 is not a number from 0.05 to 0.5"),
        ("insecure.challenge_off = 1", "1 insecure.challenge_off: 1 is not true or false"),
        ("camera.command = 'rpicam-vid -t 0'", "1 camera.command: 'rpicam-vid -t 0' is not a list of texts"),
        ("door = 3", "1 door: is a section; write [door] and its keys below"),
        ("door.relay = 'sim'", "1 door.relay: is a section; write [door.relay] and its keys below"),
        ("door.relay.kind = 'gpio'", "1 door.relay.kind: \"gpio\" is not one of: sim, gpiocdev, rppal"),
        ("door.relay.bias = 'up'", "1 door.relay.bias: \"up\" is not one of: as_is, disabled, pull_up, pull_down"),
        ("mqtt.port = 70000", "1 mqtt.port: 70000 is not a whole number from 1 to 65535"),
        ("hold_ms = 4", "1 hold_ms: there is no section [hold_ms] -> door.hold_ms"),
    ] {
        let told = faults(text);
        assert_eq!(told.len(), 1, "{text}: {told:?}");
        assert_eq!(told[0].replace('\'', "\""), fault.replace('\'', "\""), "{text}");
    }
    let told = faults("[challenge]\nactions = ['nod', 'turn_lef', 'blink']");
    assert!(told.len() == 1 && told[0].ends_with(" -> turn_left"), "{told:?}");
}

#[test]
fn keys_that_disagree_are_a_fault() {
    for (text, part) in [
        (
            "[challenge]\nonset_min_ms = 2000",
            "2 challenge.onset_min_ms: onset_min_ms = 2000 is over onset_max_ms = 1500",
        ),
        ("[challenge]\nonset_max_ms = 300", "2 challenge.onset_max_ms: onset_min_ms = 400 is over onset_max_ms = 300"),
        ("[challenge]\nmode = 'off'", "insecure.challenge_off = true"),
        ("[challenge]\nactions = ['nod', 'nod', 'blink']", "nod is there twice"),
        ("[challenge]\nactions = ['nod', 'blink']", "too few for challenge.count = 3"),
        ("[challenge]\nactions = ['centre', 'blink', 'smile']", "centre only follows"),
        ("[challenge]\ntotal_ms = 1500", "cannot hold 3 actions"),
        ("[challenge]\nreaction_min_ms = 600\nwindow_ms = 600", "leaves nothing"),
        ("[recognition]\nagree = 6", "is over recognition.agree_of = 5"),
        ("[recognition]\nagree_of = 6", "2 recognition.agree_of: 3 of 6 frames are no majority"),
        ("[mqtt]\nclient_cert_file = 'c'\nca_file = 'a'", "2 mqtt.client_cert_file: needs mqtt.client_key_file"),
        ("[mqtt]\nclient_key_file = 'k'", "2 mqtt.client_key_file: needs mqtt.client_cert_file"),
        ("[mqtt]\npassword_file = 'p'", "needs mqtt.username"),
        ("[mqtt]\nbase = '/a'", "topic levels"),
        ("[mqtt]\nbase = 'a/#'", "topic levels"),
        ("[mqtt]\nhost = ''", "mqtt.host"),
        ("[device]\nname = 'site'", "2 device.name: `site` is not a valid device"),
        ("[camera]\nkind = 'command'", "needs camera.command"),
        ("[camera]\nkind = 'sim'\npath = 'x'\nfaults = ['stall@2000', 'explode@1']", "`explode@1` is not stall"),
        ("[camera]\nfaults = ['stall@2000']", "only a camera of kind sim"),
        ("[prompt]\nkind = 'sim'", "needs prompt.path"),
        ("challenge.light = 'try'", "needs a prompt that shows colours"),
        ("challenge.light = 'require'\nprompt.kind = 'none'", "needs a prompt that shows colours"),
        ("challenge.light = 'maybe'\nprompt.kind = 'sim'\nprompt.path = 'p'", "challenge.light"),
        ("[prompt]\nlanguage = 'xx'", "`xx` is not one of: en"),
        ("[prompt]\nkind = 'png'", "needs prompt.path"),
        ("[prompt]\nkind = 'panel'\nsize = '240x240'", "no such size; set it to 128x64"),
        ("[prompt]\nkind = 'panel'\nsize = '240x240'\npanel.model = 'st7789'", "needs prompt.panel.dc"),
        ("[prompt]\nkind = 'panel'\npanel.rotate = 90", "90 is not one of: [0, 180]"),
        ("[prompt.panel]\nreset = '27'", "`27` is no line; write its name"),
        ("[prompt.lamps]\nyes = 'gpiochip0:5'", "2 prompt.lamps.yes: `gpiochip0:5` is no line"),
        ("[prompt.buzzer]\nline = '4'", "`4` is no line"),
        ("[prompt]\nlamps.left = 'GPIO5'\nbuzzer.line = 'GPIO5'", "`GPIO5` is prompt.lamps.left already"),
        (
            "door.relay = { kind = 'gpiocdev', line = 'R1' }\nprompt.lamps.no = 'R1'",
            "prompt.lamps.no: `R1` is door.relay.line already",
        ),
        ("[prompt.ring]\nbus = '/dev/spidev0.0'\nleds = 12\ntop = 12", "no LED 12 in a ring of 12"),
        ("prompt = { kind = 'panel', panel.bus = '/dev/b', ring.bus = '/dev/b' }", "one bus cannot drive both"),
        ("prompt.drm.rotate = 45", "45 is not 0, 90, 180 or 270"),
        ("challenge.light = 'try'\nprompt.kind = 'panel'", "needs a prompt that shows colours"),
        ("[challenge]\nsequence = ['nod', 'blink:2']", "insecure.fixed_challenge = true"),
        ("challenge.sequence = ['fly']\ninsecure.fixed_challenge = true", "`fly` is no action"),
        ("[challenge]\nactions = ['turn_left', 'nod', 'wink_left']", "experimental"),
        ("challenge.shape = ['blink', 'turn_left|turn_right', 'smile']", "insecure.fixed_challenge = true"),
        ("challenge.shape = ['blink', 'fly|nod']", "`fly` is no action"),
        ("challenge.shape = ['centre', 'blink']", "centre only follows"),
        ("challenge.shape = ['nod|nod']", "twice in one step"),
        ("challenge.shape = ['nod|blink', 'tongue|smile', 'turn_left|turn_right']", "experimental"),
        ("[models]\npack = '../x'", "is not a name"),
        ("[models]\npack = 'scripted'\nscript = 'a'", "insecure.scripted_models = true"),
        ("models.pack = 'scripted'\ninsecure.scripted_models = true", "needs models.script"),
        ("models.pack = 'standard'\nmodels.next = 'standard'", "nothing to learn"),
        ("models.pack = 'standard'\nmodels.next = 'scripted_next'", "models.next"),
        ("models.next = '../x'", "models.next"),
        ("[store]\ndir = ''", "is empty"),
    ] {
        let told = faults(text);
        assert!(told.len() == 1 && told[0].contains(part), "{text}: {told:?}");
    }
}

#[test]
fn a_handshake_is_allowed_wherever_there_is_a_colour() {
    for prompt in [
        "prompt.kind = 'drm'",
        "prompt = { kind = 'panel', size = '320x240', panel.model = 'ili9341', panel.dc = 'GPIO25' }",
        "prompt = { kind = 'console', ring.bus = '/dev/spidev1.0' }",
        "prompt = { kind = 'png', path = 'p', size = '240x240' }",
    ] {
        let none: [String; 0] = [];
        assert_eq!(faults(&format!("challenge.light = 'require'\n{prompt}")), none, "{prompt}");
    }
}

#[test]
fn a_challenge_has_the_shape_that_is_asked_for() {
    use crate::schema::event::Action::{Blink, MouthOpen, Nod, Smile, TurnLeft, TurnRight};
    let config = from_text("challenge.shape = ['blink', 'turn_left|turn_right|nod', 'smile|mouth_open']");
    assert_eq!(config.challenge().shape, [vec![Blink], vec![TurnLeft, TurnRight, Nod], vec![Smile, MouthOpen]]);
}

#[test]
fn off_needs_its_confession_in_so_many_words() {
    let config = from_text("challenge.mode = 'off'\ninsecure.challenge_off = true");
    assert_eq!(config.challenge().mode, ChallengeMode::Off);
    assert_eq!(config.insecure().in_force(), ["challenge_off"]);
    // Setting a switch to "0" must not turn it on, and nothing but `true` does.
    for value in ["0", "1", "yes", "on", "", "TRUE", "'true'", "false"] {
        let env = vec![("CARDEA__INSECURE__CHALLENGE_OFF".into(), value.into())];
        let (_dir, inputs) = house(&[("cardea.toml", "challenge.mode = 'off'")]);
        assert!(load(&Inputs { env, ..inputs }).is_err(), "{value}");
    }
}

#[test]
fn there_is_no_key_that_loosens_a_threshold() {
    for key in ["recognition.threshold", "liveness.threshold", "recognition.loosen", "models.threshold"] {
        assert_eq!(faults(&format!("{key} = 0.1")).len(), 1, "{key}");
    }
    for key in ["recognition.tighten", "liveness.tighten"] {
        assert_eq!(faults(&format!("{key} = -0.01")).len(), 1, "{key}");
        assert_eq!(faults(&format!("{key} = 0.01")).len(), 0, "{key}");
    }
}

#[test]
fn a_file_that_is_named_must_exist_and_be_readable() {
    let missing = Inputs { file: Some("/nonexistent/cardea.toml".into()), ..Inputs::default() };
    let faults = load(&missing).unwrap_err();
    assert_eq!(faults.more(), 0);
    assert!(faults.to_string().starts_with("/nonexistent/cardea.toml: cannot be read: No such file"), "{faults}");
    let (dir, inputs) = house(&[("cardea.toml", "")]);
    fs::write(dir.path().join("cardea.toml"), [0x61, 0xff, 0xfe]).unwrap();
    assert!(told(&inputs)[0].contains("cannot be read"), "{:?}", told(&inputs));
    fs::write(dir.path().join("cardea.toml"), vec![b'#'; 2 << 20]).unwrap();
    assert!(told(&inputs)[0].contains("over 1 MiB"), "{:?}", told(&inputs));
    assert!(load(&Inputs { file: Some(dir.path().to_owned()), ..Inputs::default() }).is_err(), "a directory");
}

#[test]
fn what_everybody_may_write_is_not_believed() {
    let (dir, inputs) = house(&[("cardea.toml", "door.hold_ms = 500"), ("cardea.d/a.toml", "")]);
    let chmod =
        |path: &str, mode| fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    chmod("cardea.toml", 0o664);
    assert_eq!(told(&inputs), Vec::<String>::new());
    for (path, mode, back) in
        [("cardea.toml", 0o646, 0o644), ("cardea.d", 0o777, 0o755), ("cardea.d/a.toml", 0o602, 0o600)]
    {
        chmod(path, mode);
        let told = told(&inputs);
        assert!(told.len() == 1 && told[0].contains("everybody may write"), "{path}: {told:?}");
        chmod(path, back);
    }
}

#[test]
fn what_is_not_toml_is_told_with_its_line_and_hides_nothing_else() {
    let told = faults("[door]\nhold_ms = = 3\n[rules]\nlockout_failures = 99\n");
    assert!(told.iter().any(|f| f.starts_with("2 : not TOML")), "{told:?}");
    assert!(told.iter().any(|f| f.starts_with("4 rules.lockout_failures: 99 is not")), "{told:?}");
    assert!(faults("[door]\nhold_ms = 500\nhold_ms = 600")[0].starts_with("3 : not TOML: duplicate key"));
}

#[test]
fn an_argument_is_toml_where_it_is_and_text_where_it_is_not() {
    let (_dir, inputs) = house(&[("cardea.toml", "")]);
    let set = |pairs: &[&str]| Inputs { set: pairs.iter().map(ToString::to_string).collect(), ..inputs.clone() };
    let pairs = [
        "device.name=12",
        "camera.kind=command",
        "camera.command=[\"a\", \"b c\"]",
        "log.level=debug",
        "mqtt.base=a/b",
    ];
    let config = load(&set(&pairs)).unwrap_or_else(|f| panic!("{f}"));
    assert_eq!(config.device().name.as_str(), "12");
    assert_eq!((config.camera().kind, config.log().level.as_str()), (CameraKind::Command, "debug"));
    assert_eq!(config.camera().command, ["a", "b c"]);
    assert_eq!(config.mqtt().base, "a/b");
    for (pair, part) in [
        ("door.hold_ms", "has no `=`"),
        ("=3", "there is no section []"),
        ("door.hold_ms=300\ninsecure.challenge_off=true", "is not a whole number"),
        ("door.hold_mss=300", "-> door.hold_ms"),
        ("door=", "is a section"),
        ("osdp.baud=1", "is not a whole number from 9600 to 230400"),
    ] {
        let told = told(&set(&[pair]));
        assert!(told.len() == 1 && told[0].contains(part), "{pair}: {told:?}");
    }
    let env =
        vec![("CARDEA__DOR__HOLD_MS".into(), "300".into()), ("CARDEA__DOOR__RELAY__PERSIST".into(), "maybe".into())];
    assert_eq!(
        told(&Inputs { env, ..inputs.clone() }),
        [
            "CARDEA__DOOR__RELAY__PERSIST door.relay.persist: \"maybe\" is not true or false",
            "CARDEA__DOR__HOLD_MS dor.hold_ms: there is no section [dor] -> door",
        ]
    );
}

#[test]
fn tls_has_a_port_of_its_own() {
    assert_eq!(from_text("mqtt.ca_file = 'ca.pem'").mqtt().port, 8883);
    assert_eq!(from_text("mqtt.ca_file = 'ca.pem'\nmqtt.port = 1884").mqtt().port, 1884);
}

#[test]
fn web_sessions_open_the_door_only_after_a_challenge_and_that_is_told() {
    let told = faults("[web]\nenabled = true\nopens_door = true\n[challenge]\nmode = 'step_up'");
    assert!(told.iter().any(|f| f.contains("web.opens_door")), "{told:?}");
    let about = |text: &str| super::warnings(&from_text(text)).into_iter().map(|(_, what, _)| what).collect::<Vec<_>>();
    assert_eq!(about("web.enabled = true"), Vec::<String>::new());
    assert_eq!(about("web.opens_door = true"), Vec::<String>::new(), "without a server there are no sessions");
    let on = about("web.enabled = true\nweb.opens_door = true");
    assert!(on.len() == 1 && on[0].contains("whoever has logged in"), "{on:?}");
    let open = about("web.enabled = true\nweb.opens_door = true\nweb.self_service = true");
    assert!(open.len() == 1 && open[0].contains("anybody who reaches the address"), "{open:?}");
}

#[test]
fn a_panel_has_a_line_and_the_lock_or_shares_it() {
    let osdp = "[osdp]\nenabled = true\ndevice = '/dev/ttyUSB0'\n";
    let panel = from_text(osdp);
    let panel = panel.access_panel().as_ref().unwrap();
    assert!(panel.alone, "where there is a panel it has the lock unless somebody says otherwise");
    assert!(
        !from_text(&format!("{osdp}[door]\nkind = 'both'\nexit_opens = true")).access_panel().as_ref().unwrap().alone
    );
    assert!(from_text("[osdp]\ndevice = '/dev/ttyUSB0'").access_panel().is_none());
    let wires = from_text("[door.wiegand]\nexperimental = true\nd0 = 'GPIO5'\nd1 = 'GPIO6'");
    assert!(wires.access_panel().as_ref().unwrap().alone);
    let keypad = from_text("[door.keypad]\nkind = 'keyboard'\ndevice = '/dev/input/by-id/usb-keypad-event-kbd'");
    assert_eq!(keypad.door().keypad.kind, ReaderKind::Keyboard);
    for (text, what) in [
        ("[osdp]\nenabled = true", "osdp.enabled: needs osdp.device"),
        ("[osdp]\nbaud = 12000", "osdp.baud: 12000 is not 9600, 19200"),
        ("[osdp]\naddress = 127", "osdp.address: 127 is not a whole number from 0 to 126"),
        ("[osdp]\nfacility = 256", "osdp.facility: 256 is over 255"),
        ("[osdp]\nformat = '37bit'\nfacility = 1", "osdp.facility: 1 is over 0"),
        ("[osdp]\nformat = '27bit'", "is not one of: 26bit, 34bit, 37bit, 37bit_facility, raw"),
        ("[door]\nkind = 'panel'", "door.kind: there is no panel"),
        ("[door]\nkind = 'both'", "door.kind: there is no panel"),
        ("[door.wiegand]\ngap_us = 200\npulse_us = 51", "door.wiegand.gap_us: gap_us = 200 is less than four pulses"),
        ("[door.wiegand]\nchip = 'a,b'", "door.wiegand.chip: `a,b` is no chip's label"),
        ("[door.wiegand]\nfacility = 256", "door.wiegand.facility: 256 is over 255"),
        ("[door.wiegand]\nexperimental = true\nd0 = 'GPIO5'", "experimental: needs door.wiegand.d1"),
        ("[door.wiegand]\nexperimental = true\nd0 = '5'\nd1 = 'GPIO6'", "door.wiegand.d0: `5` is no line's name"),
        ("[door.wiegand]\nexperimental = true\nd0 = 'GPIO5'\nd1 = 'GPIO5'", "door.wiegand.d1: something else has"),
        (
            "[door]\nrelay.line = 'GPIO5'\n[door.wiegand]\nexperimental = true\nd0 = 'GPIO5'\nd1 = 'GPIO6'",
            "door.wiegand.d0: something else has",
        ),
        (
            &format!("{osdp}[door.wiegand]\nexperimental = true\nd0 = 'GPIO5'\nd1 = 'GPIO6'"),
            "door.wiegand.experimental: osdp.enabled is set too",
        ),
        (&format!("{osdp}[door]\nkind = 'relay'"), "door.kind: the relay alone opens, and a panel is told"),
        (&format!("{osdp}[door]\nexit_opens = true"), "door.exit_opens: opens by the relay"),
        (&format!("{osdp}[mqtt]\nremote_unlock = 'home_assistant'"), "mqtt.remote_unlock: opens by the relay"),
        (&format!("{osdp}[mqtt]\ncommands = ['unlock']\ncommand_key_file = '/k'"), "mqtt.commands: opens by the relay"),
        (
            &format!("{osdp}[door.card]\nkind = 'lines'\ndevice = '/dev/ttyUSB0'"),
            "osdp.device: is a keypad's or card reader's device",
        ),
    ] {
        let told = faults(text);
        assert!(told.len() == 1 && told[0].contains(what), "{text}: {told:?}");
    }
}

#[test]
fn plain_http_a_lone_certificate_and_a_listener_that_is_none_are_faults() {
    let one = |text: &str, key: &str| {
        let told = faults(text);
        assert!(told.len() == 1 && told[0].contains(key), "{text}: {told:?}");
    };
    one("web.tls = false", "web.tls");
    one("web.tls = false\nweb.listen = '[::]:80'", "plain HTTP");
    one("web.listen = 'localhost'", "web.listen");
    one("web.cert_file = 'a.pem'", "web.cert_file");
    one("web.names = ['a b']", "web.names");
    assert!(!from_text("web.tls = false\nweb.listen = '[::1]:8080'").web().tls);
    assert!(!from_text("").web().enabled, "nothing is served unless the owner says so");
}

#[test]
fn the_example_file_is_the_one_that_the_program_prints() {
    let file = fs::read_to_string("config/cardea.toml").unwrap();
    assert!(file == example(), "config/cardea.toml is old; run: cardea config example > config/cardea.toml");
    let uncommented: String = file
        .lines()
        .map(|l| if l.starts_with("# ") { "" } else { l.trim_start_matches('#') })
        .map(|l| format!("{l}\n"))
        .collect();
    // Lines that are wired need a kind.
    let (before, inputs) = uncommented.split_once("[door.inputs]").unwrap();
    let uncommented = format!("{before}[door.inputs]{}", inputs.replacen("\"none\"", "\"gpiocdev\"", 1));
    // Readers that have devices need kinds, and two of them.
    let reader = |text: String, name: &str, device: &str| {
        let (before, section) = text.split_once(&format!("[door.{name}]")).unwrap();
        let section = section.replacen("\"none\"", "\"lines\"", 1).replacen("/dev/serial/by-id/usb-reader", device, 1);
        format!("{before}[door.{name}]{section}")
    };
    let uncommented = reader(reader(uncommented, "keypad", "/dev/a"), "card", "/dev/b");
    // A site needs a broker and somebody whom it trusts.
    let (before, mqtt) = uncommented.split_once("[mqtt]").unwrap();
    let uncommented = format!("{before}[mqtt]{}", mqtt.replacen("enabled = false", "enabled = true", 1));
    let uncommented = uncommented.replace("signers = []", &format!("signers = [\"office:{}\"]", "ab".repeat(32)));
    // A file that is named must be there.
    let uncommented = uncommented.replace(
        "file = \"rules.toml\"",
        concat!("file = \"", env!("CARGO_MANIFEST_DIR"), "/config/rules.example.toml\""),
    );
    assert_eq!(faults(&uncommented), Vec::<String>::new(), "every value of the example may be used as it stands");
    for key in keys::keys().keys.keys() {
        let (section, name) = key.rsplit_once('.').unwrap();
        let part = file.split(&format!("\n[{section}]\n")).nth(1).unwrap_or_else(|| panic!("no [{section}]"));
        let part = part.split("\n[").next().unwrap();
        assert!(part.contains(&format!("\n#{name} = ")), "{key} is not in the example");
    }
}

#[test]
fn every_profile_of_the_source_tree_is_without_fault() {
    let mut profiles: Vec<PathBuf> = fs::read_dir("config").unwrap().map(|e| e.unwrap().path()).collect();
    // Rules and their scenarios are no configuration; they have tests of their own.
    profiles.retain(|p| p.is_file() && !p.file_name().unwrap().to_str().unwrap().starts_with("rules."));
    profiles.sort();
    let names: Vec<&str> = profiles.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["cardea.toml", "demo.toml", "jetson.toml", "pi4.toml", "pi5.toml"]);
    for file in profiles {
        let loaded = load(&Inputs { file: Some(file.clone()), ..Inputs::default() });
        assert!(loaded.is_ok(), "{}: {}", file.display(), loaded.unwrap_err());
    }
}

#[test]
fn listeners_for_other_clients_are_off_on_loopback_and_have_ports_of_their_own() {
    let one = |text: &str, key: &str| {
        let told = faults(&format!("web.enabled = true\n{text}"));
        assert!(told.len() == 1 && told[0].contains(key), "{text}: {told:?}");
    };
    assert!(from_text("web.enabled = true").web().compat.listeners.is_empty());
    let all: String = Seed::ALL.iter().map(|s| format!("{}\n", s.key("enabled = true"))).collect();
    let config = from_text(&format!("web.enabled = true\n{all}"));
    let at: Vec<String> = config.web().compat.listeners.iter().map(|l| format!("{} {}", l.listen, l.tls)).collect();
    let expected = ["5000 false", "8000 false", "5002 false", "5001 false", "5555 true", "5003 false"];
    assert_eq!(at, expected.map(|e| format!("127.0.0.1:{e}")));
    let told = faults("web.compat.s1.enabled = true");
    assert!(told.len() == 1 && told[0].contains("needs web.enabled"), "{told:?}");
    one("web.compat.s1.enabled = true\nweb.compat.s1.listen = '0.0.0.0:8000'", "insecure.compat_plain_http");
    one(
        "web.compat.s1.enabled = true\nweb.compat.s1.listen = '127.0.0.1:8443'\nweb.listen = '127.0.0.1:8443'",
        "web.listen has",
    );
    one("web.compat.s1.listen = 'localhost'", "web.compat.s1.listen");
    one("web.compat.s3.cors_origins = ['app.example.org']", "web.compat.s3.cors_origins");
    one("web.compat.s3.cors_origins = ['https://app.example.org/']", "web.compat.s3.cors_origins");
    one("web.compat.s2.sequence = ['turn_left', 'jump']", "`jump`");
    let open = "web.enabled = true\nweb.compat.s1.enabled = true\nweb.compat.s1.listen = '0.0.0.0:8000'\n\
        insecure.compat_plain_http = true";
    assert!(from_text(open).insecure().in_force().contains(&"compat_plain_http"));
}

#[test]
fn a_listeners_port_comes_from_the_variable_that_its_owner_names() {
    let text = "[web]\nenabled = true\n[web.compat.s1]\nenabled = true\nport_env = 'PORT'";
    let (_dir, inputs) = house(&[("cardea.toml", text)]);
    let with = |port: &str| Inputs { env: vec![("PORT".into(), port.into())], ..inputs.clone() };
    let port = |inputs: &Inputs| load(inputs).unwrap().web().compat.listeners[0].listen.port();
    assert_eq!((port(&inputs), port(&with("9000"))), (8000, 9000));
    for bad in ["", "http", "0", "65536"] {
        let told = load(&with(bad)).unwrap_err().to_string();
        assert!(told.contains("PORT") && told.contains("web.compat.s1.listen"), "{told}");
    }
}

#[test]
fn tract_takes_fp32_files_unless_others_are_asked_for_by_name() {
    for (text, precision) in [
        ("models.provider = 'tract'", Precision::Fp32),
        ("models = { provider = 'tract', precision = 'int8' }", Precision::Int8),
        ("models.provider = 'cpu'", Precision::Auto),
    ] {
        let (_dir, inputs) = house(&[("cardea.toml", text)]);
        assert_eq!(load(&inputs).unwrap().models().precision, precision, "{text}");
    }
}

#[test]
fn inputs_need_a_kind_names_and_lines_of_their_own() {
    let told = |text: &str| faults(text).join("; ");
    assert!(told("door.inputs.contact = 'GPIO22'").contains("door.inputs.contact: needs a kind"));
    assert!(told("door.inputs.kind = 'gpiocdev'").contains("nothing is wired"));
    let kind = "door.inputs.kind = 'gpiocdev'\n";
    assert!(told(&format!("{kind}door.inputs.exit = '23'")).contains("door.inputs.exit: `23` is no line's name"));
    let twice = format!("{kind}door.inputs.exit = 'A'\ndoor.inputs.tamper = 'A'");
    assert!(told(&twice).contains("door.inputs.tamper: exit has this line already"), "{}", told(&twice));
    let relay = format!("{kind}door.inputs.contact = 'A'\ndoor.relay.line = 'A'");
    assert!(told(&relay).contains("the relay has this line already"));
    let lamp = format!("{kind}door.inputs.contact = 'A'\nprompt.buzzer.line = 'A'");
    assert!(told(&lamp).contains("`A` is door.inputs.contact already"), "{}", told(&lamp));
    let good = format!("{kind}door.inputs.contact = 'A'\ndoor.inputs.contact_active = 'low'");
    let config = from_text(&good);
    assert!(config.door().rules.contact && config.door().inputs.lines.len() == 1);
}

#[test]
fn a_door_warns_before_it_alarms_and_an_entry_outlasts_its_pulse() {
    assert!(faults("door.warning_ms = 40000").join("").contains("the warning comes before the alarm"));
    assert!(
        faults("door.hold_ms = 9000\ndoor.entry_ms = 8000").join("").contains("must not be shorter than the pulse")
    );
    assert_eq!(from_text("door.hold_ms = 9000").door().rules.entry, Duration::from_secs(13));
}

#[test]
fn older_frames_are_an_insecure_setting_that_is_told() {
    assert_eq!(from_text("insecure.max_frame_age_ms = 500").insecure().in_force(), Vec::<&str>::new());
    let slow = from_text("insecure.max_frame_age_ms = 5000");
    assert_eq!(slow.insecure().in_force(), ["max_frame_age_ms"]);
    assert_eq!(slow.insecure().max_frame_age, Some(Duration::from_secs(5)));
}

#[test]
fn camera_controls_are_for_v4l2_and_in_its_words() {
    assert_eq!(faults("camera.exposure_us = 8000\ncamera.gain = 20\ncamera.power_line_hz = 50"), Vec::<String>::new());
    assert!(faults("camera.power_line_hz = 55").join("").contains("55 is not 0, 50 or 60"));
    let told = faults("camera.kind = 'file'\ncamera.path = 'x'\ncamera.gain = 20").join("");
    assert!(told.contains("camera.gain: only a camera of kind v4l2"), "{told}");
}

#[test]
fn each_board_has_its_own_line_and_provider_and_a_guard_that_systemd_starts() {
    for (file, line, chip, provider) in [
        ("pi4", "GPIO17", "pinctrl-bcm2711", Provider::Cpu),
        ("pi5", "GPIO17", "pinctrl-rp1", Provider::Cpu),
        ("jetson", "PY.00", "tegra234-gpio", Provider::Cuda),
    ] {
        let config =
            load(&Inputs { file: Some(format!("config/{file}.toml").into()), ..Inputs::default() }).expect(file);
        let relay = &config.door().relay;
        assert_eq!((relay.line.as_deref(), relay.chip.as_deref()), (Some(Path::new(line)), Some(chip)), "{file}");
        assert_eq!((&config.door().guard, config.models().provider), (&GuardKind::Socket, provider), "{file}");
    }
}

#[test]
fn a_command_that_opens_is_configured_with_a_key_or_not_at_all() {
    let text = |more: &str| format!("[mqtt]\ncommands = ['unlock', 'ping', 'remove']\n{more}");
    let told = faults(&text(""));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("`unlock` needs mqtt.command_key_file"), "{told:?}");
    assert_eq!(faults(&text("command_key_file = '/etc/cardea/command-key'")), [""; 0]);
    let key = "command_key_file = '/etc/cardea/command-key'";
    for (name, other, of) in
        [("snapshot", "[privacy]\nsnapshots = true", "privacy"), ("enroll", "remote_enroll = true", "mqtt")]
    {
        let text = |more: &str| format!("[mqtt]\ncommands = ['{name}']\n{more}");
        let told = faults(&text(key));
        assert!(told.len() == 1 && told[0].contains(&format!("`{name}` needs {of}.")), "{told:?}");
        assert!(faults(&text(other))[0].contains("mqtt.command_key_file"), "never unsigned");
        assert_eq!(faults(&text(&format!("{key}\n{other}"))), [""; 0]);
    }
    assert!(faults("[mqtt]\ncommands = ['open']")[0].contains("mqtt.commands"));
    assert!(faults("[mqtt]\ndiscovery_prefix = 'a/#'")[0].contains("mqtt.discovery_prefix"));
}

#[test]
fn a_site_trusts_nobody_who_is_not_named_and_needs_a_broker() {
    let (one, two) = ("ab".repeat(32), "cd".repeat(32));
    let text = |more: &str| format!("[mqtt]\nenabled = true\n[site]\nname = 'works'\n{more}");
    let config = from_text(&text(&format!("signers = ['office:{one}', 'gate:{two}']\nrules = true")));
    let site = config.site().as_ref().expect("a site");
    assert_eq!(site.signers.values().collect::<Vec<_>>(), ["office", "gate"]);
    assert!(from_text("").site().is_none(), "off by default");
    for (text, part) in [
        (text(""), "site.signers"),
        (text(&format!("signers = ['office:{}']", one.to_uppercase())), "64 lower-case hex digits"),
        (text(&format!("signers = ['{one}']")), "label:KEY"),
        (text(&format!("signers = ['a:{one}', 'b:{one}']")), "a second time"),
        (text(&format!("signers = ['a:{one}', 'a:{two}']")), "a second time"),
        (text(&format!("signers = ['a:{one}']")).replace("works", "Works/#"), "a-z"),
        (format!("[site]\nname = 'works'\nsigners = ['a:{one}']"), "mqtt.enabled"),
        (format!("[site]\nsigners = ['a:{one}']"), "needs a name"),
    ] {
        let told = faults(&text);
        assert!(told.len() == 1 && told[0].contains(part), "{text}: {told:?}");
    }
}
