//! The command line from outside: exit codes, and what stands on which stream.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// Runs `cardea` with nothing of this machine in its way: a configuration of its own, no variables, an empty directory.
fn cardea(dir: &Path, args: &[&str]) -> Output {
    let config = dir.join("cardea.toml");
    if !config.exists() {
        std::fs::write(&config, "").expect("the directory can be written");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARDEA_") || name == "CREDENTIALS_DIRECTORY" {
            command.env_remove(name);
        }
    }
    command.args(args).arg("--config").arg(config).current_dir(dir);
    command.output().expect("cardea starts")
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("cardea was ended by a signal: {output:?}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("cardea writes UTF-8")
}

/// Standard output as one JSON object, and nothing else.
fn json(output: &Output) -> Value {
    let out = text(&output.stdout);
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("standard output is not one JSON object ({e}): {out}"))
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// `doctor` on an empty state directory, without models and without a camera.
fn doctor(dir: &Path, more: &[&str]) -> Output {
    let state = dir.join("state");
    std::fs::create_dir_all(&state).expect("makes");
    std::fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("closes");
    let state = state.display().to_string();
    let mut args = vec!["doctor", "--state", &state, "--set", "models.cache=none", "--set", "camera.device=none"];
    args.extend(more);
    cardea(dir, &args)
}

#[test]
fn doctor_on_an_empty_state_ends_with_1_and_names_a_fix_for_each_fault() {
    let dir = directory();
    let packs = format!("models.packs={}/models/packs", env!("CARGO_MANIFEST_DIR"));
    let output = doctor(dir.path(), &["--json", "--set", &packs]);
    assert_eq!(code(&output), 1, "{output:?}");
    let answer = json(&output);
    assert_eq!(answer["ok"], false);
    let checks = answer["checks"].as_array().expect("checks");
    let of = |id: &str| checks.iter().find(|c| c["id"] == id).unwrap_or_else(|| panic!("no check {id} in {answer}"));
    for id in ["config", "state_dir", "relay", "pack", "insecure"] {
        assert_ne!(of(id)["status"], "fail", "{id} in {answer}");
    }
    for id in ["journal", "mqtt"] {
        assert_eq!(of(id)["status"], "skip", "{answer}");
    }
    for (id, fix) in [("models", "cardea models install"), ("camera", "camera")] {
        assert_eq!(of(id)["status"], "fail", "{answer}");
        assert!(of(id)["fix"].as_str().is_some_and(|f| f.contains(fix)), "{answer}");
    }
    assert!(of("people")["fix"].as_str().is_some_and(|f| f.contains("cardea enroll")), "{answer}");
    for check in checks {
        let wrong = ["fail", "warn"].contains(&check["status"].as_str().unwrap_or_default());
        assert_eq!(wrong, check["fix"].is_string(), "a fix stands beside a fault and nowhere else: {check}");
    }
    let left = std::fs::read_dir(dir.path().join("state")).expect("lists").count();
    assert_eq!(left, 0, "doctor left something in the state directory");
}

#[test]
fn doctor_writes_a_line_a_check_for_people() {
    let dir = directory();
    let output = doctor(dir.path(), &[]);
    assert_eq!(code(&output), 1);
    let out = text(&output.stdout);
    for id in ["config", "state_dir", "journal", "people", "models", "runtime", "camera", "relay", "mqtt", "clock"] {
        assert_eq!(out.lines().filter(|l| l.split_whitespace().nth(1) == Some(id)).count(), 1, "{id} in {out}");
    }
}

#[test]
fn doctor_takes_a_faulty_configuration_for_the_fault_that_it_is() {
    let dir = directory();
    let output = doctor(dir.path(), &["--json", "--set", "door.hold_m=700"]);
    assert_eq!(code(&output), 1);
    let answer = json(&output);
    let checks = answer["checks"].as_array().expect("checks");
    assert_eq!(checks[0]["id"], "config");
    assert_eq!(checks[0]["status"], "fail");
    assert!(checks[0]["what"].as_str().is_some_and(|w| w.contains("hold_ms")), "{answer}");
    assert!(checks[1..].iter().all(|c| c["status"] == "skip"), "{answer}");
}

#[test]
fn options_that_do_not_exist_end_with_64_and_an_empty_standard_output() {
    let dir = directory();
    for args in [&["doctor", "--no-such-option"][..], &["no-such-command"], &[], &["bench", "--runs", "0"]] {
        let output = cardea(dir.path(), args);
        assert_eq!(code(&output), 64, "{args:?}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}: {output:?}");
    }
}

#[test]
fn with_json_a_failing_command_writes_one_object_with_code_what_and_hint() {
    let dir = directory();
    let clip = ["replay", "--clip", "no-such-clip.mjpg", "--json"];
    for args in [&["bench", "--frames", "no-such-directory", "--json"][..], &clip] {
        let output = cardea(dir.path(), args);
        let answer = json(&output);
        assert_eq!(answer["error"]["code"], code(&output), "{args:?}: {answer}");
        assert!(code(&output) >= 64, "{args:?}: {answer}");
        for key in ["what", "hint"] {
            assert!(answer["error"][key].as_str().is_some_and(|t| !t.is_empty()), "{key} in {answer}");
        }
        let err = text(&output.stderr);
        assert!(err.lines().any(|l| l.starts_with("error: ")), "{args:?}: {err}");
    }
}

#[test]
fn a_directory_without_frames_is_unreadable_input_for_bench() {
    let dir = directory();
    let output = cardea(dir.path(), &["bench", "--frames", "no-such-directory", "--json"]);
    assert_eq!(code(&output), 65, "{output:?}");
    assert!(json(&output)["error"]["what"].as_str().is_some_and(|w| w.contains("no-such-directory")));
}

#[test]
fn an_unknown_key_ends_with_78_and_names_the_nearest_one() {
    let dir = directory();
    std::fs::write(dir.path().join("cardea.toml"), "[door]\nhold_m = 700\n").expect("writes");
    let output = cardea(dir.path(), &["config", "check", "--json"]);
    assert_eq!(code(&output), 78, "{output:?}");
    let answer = json(&output);
    let fault = &answer["faults"][0];
    assert_eq!((&fault["key"], &fault["line"]), (&"door.hold_m".into(), &2.into()), "{answer}");
    assert!(fault["nearest"].as_str().is_some_and(|n| n.contains("hold_ms")), "{answer}");
    let output = cardea(dir.path(), &["models", "list"]);
    assert_eq!(code(&output), 78, "{output:?}");
    let err = text(&output.stderr);
    assert!(err.contains("cardea.toml:2: door.hold_m") && err.contains("hold_ms"), "{err}");
}

#[test]
fn the_guard_takes_its_line_from_the_configuration_and_puts_it_inactive() {
    let dir = directory();
    let line = dir.path().join("elsewhere");
    std::fs::write(&line, "1").expect("written");
    let set = format!("door.relay.line={line:?}");
    let done = cardea(dir.path(), &["guard", "--lock", "--set", &set]);
    assert_eq!(code(&done), 0, "{}", text(&done.stderr));
    assert_eq!(std::fs::read_to_string(&line).expect("the line"), "0");
    let faulty = cardea(dir.path(), &["guard", "--lock", "--set", "door.relay.lime=1"]);
    assert_eq!(code(&faulty), 78, "without the configuration nobody knows which line it is");
}

#[test]
fn settings_before_and_behind_the_name_of_a_command_all_count() {
    let dir = directory();
    let args = ["--set", "door.hold_ms=1234", "config", "show", "--set=device.name=\"side\"", "--json"];
    let shown = cardea(dir.path(), &args);
    let all = json(&shown).to_string();
    assert!(all.contains("1234") && all.contains("\"side\""), "{all}");
    let faulty = cardea(dir.path(), &["--set", "door.hold_m=1", "config", "check", "--set", "device.name=\"side\""]);
    assert_eq!(code(&faulty), 78, "it was left out without a word");
}

#[test]
fn completions_and_manual_pages_come_from_the_commands() {
    let dir = directory();
    for shell in ["bash", "zsh", "fish"] {
        let done = cardea(dir.path(), &["completions", shell]);
        assert_eq!(code(&done), 0, "{}", text(&done.stderr));
        let script = text(&done.stdout);
        assert!(["enroll", "lock"].iter().all(|word| script.contains(word)), "{shell}: {script}");
    }
    assert_eq!(code(&cardea(dir.path(), &["completions", "cobol"])), 64);
    let out = dir.path().join("man/man1");
    let made = cardea(dir.path(), &["man", "--out", out.to_str().expect("text")]);
    assert_eq!(code(&made), 0, "{}", text(&made.stderr));
    let guard = std::fs::read_to_string(out.join("cardea-guard.1")).expect("the guard's page");
    assert!(guard.starts_with(".ie") || guard.contains(".TH cardea-guard 1"), "{guard}");
    assert!(guard.contains("lock") && !guard.contains("spawned"), "{guard}");
    assert!(std::fs::read_to_string(out.join("cardea.1")).expect("the page").contains("enroll"));
    std::fs::write(dir.path().join("file"), "").expect("written");
    let nowhere = dir.path().join("file/man");
    assert_eq!(code(&cardea(dir.path(), &["man", "--out", nowhere.to_str().expect("text")])), 74);
}

#[test]
fn contact_sheets_are_written_and_a_screen_is_shown_on_the_configured_output() {
    let dir = directory();
    let out = cardea(dir.path(), &["--json", "prompts", "--out", "pictures"]);
    assert_eq!((code(&out), json(&out)["pictures"].as_u64()), (0, Some(4)), "{}", text(&out.stderr));
    let sheet = image::open(dir.path().join("pictures/320x240.png")).expect("a picture").into_rgb8();
    let (size, colours) = (sheet.dimensions(), sheet.pixels().collect::<std::collections::HashSet<_>>().len());
    assert!(size.0 > 6 * 320 && size.1 > 20 * 240 && colours > 4, "{size:?} {colours}");
    let set = ["--set", "prompt.kind=\"png\"", "--set", "prompt.path=\"now\"", "--set", "prompt.size=\"240x240\""];
    let show = [&set[..], &["--json", "prompts", "--show", "granted,turn_left", "--each-ms", "200"]].concat();
    let out = cardea(dir.path(), &show);
    assert_eq!((code(&out), json(&out)["shown"].as_u64()), (0, Some(2)), "{}", text(&out.stderr));
    let last = image::open(dir.path().join("now/screen.png")).expect("a picture").into_rgb8();
    assert_eq!(last.dimensions(), (240, 240));
    let ask = last.enumerate_pixels().filter(|(x, _, p)| *x < 120 && p.0 == [255, 204, 64]).count();
    assert!(ask > 1000, "an arrow at the left: {ask}");
    let out = cardea(dir.path(), &["prompts", "--show", "dance"]);
    assert!(code(&out) == 64 && text(&out.stderr).contains("no screen `dance`"), "{}", text(&out.stderr));
    assert_eq!(code(&cardea(dir.path(), &["prompts"])), 64);
    // What is not wired is said, and ends nothing.
    let lamp = "prompt.lamps.yes=\"no-such-line\"";
    let out = cardea(dir.path(), &["prompts", "--show", "granted", "--each-ms", "400", "--set", lamp]);
    let told = text(&out.stderr);
    assert!(code(&out) == 0 && told.contains("take the line no-such-line") && told.contains("lamps"), "{told}");
}
