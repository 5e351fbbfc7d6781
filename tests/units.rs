//! The systemd units, as systemd itself reads them: their sandbox by its own figure, and their syntax.
//!
//! What a sandbox really does shows only on a board; `docs/install.md` says how to look.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const UNITS: [&str; 3] = ["cardea.service", "cardea-guard.service", "cardea-guard.socket"];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(file(name)).expect(name)
}

/// Values of a directive, in their order.
fn values(unit: &str, directive: &str) -> Vec<String> {
    let text = text(unit);
    let set = text.lines().filter_map(|line| line.split_once('=')).filter(|(name, _)| *name == directive);
    set.map(|(_, value)| value.to_owned()).collect()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn exposure_at_most(unit: &str, tenths: u32) {
    if !support::has("systemd-analyze", "systemd", "the exposure of a unit") {
        return;
    }
    let threshold = format!("--threshold={tenths}");
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", &threshold])
        .arg(file(unit))
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{unit} is exposed beyond {tenths} tenths\n{}", said(&output));
}

#[test]
fn the_daemon_is_exposed_at_1_5_or_less() {
    exposure_at_most("cardea.service", 15);
}

#[test]
fn the_guard_is_exposed_at_0_6_or_less() {
    exposure_at_most("cardea-guard.service", 6);
}

#[test]
fn systemd_finds_no_fault_in_the_units_and_their_drop_ins() {
    if !support::has("systemd-analyze", "systemd", "the syntax of the units") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    for unit in UNITS {
        // The program is not installed where the tests run.
        let here = text(unit).replace("/usr/bin/cardea", env!("CARGO_BIN_EXE_cardea"));
        std::fs::write(dir.path().join(unit), here).expect("a unit");
    }
    let clock = dir.path().join("cardea-clock.service");
    std::fs::copy(file("examples/cardea-clock.service"), &clock).expect("a unit");
    let drop_ins = dir.path().join("cardea.service.d");
    std::fs::create_dir(&drop_ins).expect("a directory");
    for name in ["cuda.conf", "csi.conf", "panel.conf"] {
        std::fs::copy(file("examples").join(name), drop_ins.join(name)).expect("a drop-in");
    }
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=one"])
        .args(UNITS.map(|unit| dir.path().join(unit)))
        .arg(clock)
        .env("SYSTEMD_UNIT_PATH", format!("{}:", dir.path().display()))
        .output()
        .expect("it runs");
    let told = said(&output);
    // Unknown directives are warnings to systemd, and mistakes here.
    assert!(output.status.success() && !told.contains(&dir.path().display().to_string()), "{told}");
}

#[test]
fn the_mark_of_another_client_of_ntp_is_one_that_the_daemon_looks_for() {
    let touched: Vec<String> = values("examples/cardea-clock.service", "ExecStart");
    let marks = cardea::adapters::system::SYNCHRONIZED.map(|mark| format!("/usr/bin/touch {mark}"));
    assert!(touched.len() == 1 && marks.contains(&touched[0]), "{touched:?}");
    assert_eq!(values("examples/cardea-clock.service", "RuntimeDirectory"), ["cardea-clock"]);
}

#[test]
fn users_and_directories_are_what_systemd_can_make() {
    if !support::has("systemd-sysusers", "systemd", "the users of the units") {
        return;
    }
    let output = Command::new("systemd-sysusers")
        .arg("--dry-run")
        .arg(file("sysusers.d/cardea.conf"))
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    for unit in ["cardea.service", "cardea-guard.service"] {
        let users = std::fs::read_to_string(file("sysusers.d/cardea.conf")).expect("the users");
        for name in values(unit, "User").iter().chain(&values(unit, "Group")) {
            assert!(users.lines().any(|l| l.starts_with(&format!("u {name} "))), "{unit}: nobody makes {name}");
        }
    }
}

#[test]
fn a_door_waits_neither_for_the_network_nor_for_the_clock() {
    for unit in UNITS {
        for directive in ["After", "Wants", "Requires", "BindsTo", "Requisite"] {
            for value in values(unit, directive) {
                let waits = value.contains("network") || value.contains("time");
                assert!(!waits, "{unit}: {directive}={value}");
            }
        }
        assert!(!unit.ends_with("service") || values(unit, "StartLimitIntervalSec") == ["0"], "{unit} gives up");
    }
}

#[test]
fn a_dead_guard_is_followed_by_a_lock_and_the_next_guard() {
    let guard = "cardea-guard.service";
    for (directive, value) in [
        ("Type", "notify"),
        ("ExecStart", "/usr/bin/cardea guard"),
        ("ExecStopPost", "/usr/bin/cardea guard --lock"),
        ("Restart", "always"),
        ("RestartSec", "100ms"),
        ("WatchdogSec", "2"),
        ("WatchdogSignal", "SIGKILL"),
        ("PrivateNetwork", "yes"),
        ("LimitCORE", "0"),
    ] {
        assert_eq!(values(guard, directive), [value], "{directive}");
    }
    let socket = "cardea-guard.socket";
    assert_eq!(values(socket, "ListenSequentialPacket"), ["/run/cardea-guard.sock"]);
    assert_eq!(
        (values(socket, "SocketMode"), values(socket, "SocketUser")),
        (vec!["0600".into()], vec!["cardea".into()])
    );
}

#[test]
fn memory_is_never_writable_and_executable_but_for_cuda() {
    for unit in ["cardea.service", "cardea-guard.service"] {
        assert_eq!(values(unit, "MemoryDenyWriteExecute"), ["yes"], "{unit}");
    }
    assert_eq!(values("examples/cuda.conf", "MemoryDenyWriteExecute"), ["no"]);
    assert!(values("examples/csi.conf", "MemoryDenyWriteExecute").is_empty());
}

#[test]
fn secrets_come_encrypted_and_a_core_dump_holds_none() {
    let unit = "cardea.service";
    assert!(values(unit, "LoadCredential").is_empty());
    let secrets = values(unit, "LoadCredentialEncrypted");
    for name in ["people.key", "device.key", "mqtt-password", "mqtt-client.key"] {
        // By name, not by path: systemd leaves out a credential of a name that is in no store.
        assert!(secrets.contains(&format!("{name}:cardea.{name}")), "{name}: {secrets:?}");
    }
    assert_eq!(values(unit, "LimitCORE"), ["0"]);
}

#[test]
fn installing_upgrading_and_removing_the_package_never_leaves_the_relay_alone() {
    if !support::has("dpkg-deb", "dpkg", "the package's scripts") {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deb.sh");
    let output = Command::new(script).output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn the_package_brings_every_unit_and_what_the_units_need() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("it");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let deb = &manifest["package"]["metadata"]["deb"];
    let assets: Vec<(&str, &str)> = deb["assets"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|a| (a[0].as_str().expect("a source"), a[1].as_str().expect("a target")))
        .collect();
    for (from, to) in [
        ("systemd/cardea.service", "usr/lib/systemd/system/"),
        ("systemd/cardea-guard.service", "usr/lib/systemd/system/"),
        ("systemd/cardea-guard.socket", "usr/lib/systemd/system/"),
        ("systemd/sysusers.d/cardea.conf", "usr/lib/sysusers.d/"),
        ("systemd/tmpfiles.d/cardea.conf", "usr/lib/tmpfiles.d/"),
        ("systemd/60-cardea.rules", "usr/lib/udev/rules.d/"),
        ("config/cardea.toml", "etc/cardea/"),
    ] {
        assert!(assets.contains(&(from, to)), "{from} is not packed to {to}");
    }
    for (from, _) in &assets {
        let made = from.starts_with("target/") || from.starts_with("models/cache/") || from.contains('*');
        assert!(made || Path::new(env!("CARGO_MANIFEST_DIR")).join(from).is_file(), "there is no {from}");
    }
    let kept: Vec<_> = deb["conf-files"].as_array().expect("a list").iter().filter_map(|f| f.as_str()).collect();
    assert_eq!(kept, ["/etc/cardea/cardea.toml"], "an upgrade asks before it changes the configuration");
}
