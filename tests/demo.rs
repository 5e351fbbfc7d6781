//! The demo as a user runs it: four visits with a real guard, a real journal, a real broker and a real subscriber.

use serde_json::Value;
use std::process::Command;

fn lines(out: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(out).lines().map(|l| serde_json::from_str(l).expect("JSON only")).collect()
}

#[test]
fn a_known_live_face_opens_and_a_photo_and_a_stranger_do_not() {
    let out =
        Command::new(env!("CARGO_BIN_EXE_cardea")).args(["demo", "--headless"]).output().expect("the program starts");
    let lines = lines(&out.stdout);
    let summary = lines.last().expect("a last line");
    assert_eq!(summary["type"], "demo", "{}", String::from_utf8_lossy(&out.stderr));
    let visits: Vec<(&str, &str, u64)> = summary["visits"]
        .as_array()
        .expect("visits")
        .iter()
        .map(|v| {
            let text = |k: &str| v[k].as_str().unwrap_or("-");
            (text("name"), text("verdict"), v["relay_pulses"].as_u64().unwrap_or(99))
        })
        .collect();
    assert_eq!(
        visits,
        [
            ("known_live", "granted", 1),
            ("photo", "denied", 0),
            ("stranger", "denied", 0),
            ("broker_down", "granted", 1)
        ],
        "{summary}"
    );
    assert_eq!(summary["delivered"], summary["records"], "{summary}");
    assert_eq!(summary["ok"], true);
    assert_eq!(out.status.code(), Some(0));
    // Log, then open: in each start of the daemon the grant stands before its edge.
    let types: Vec<&str> = lines.iter().filter_map(|l| l["type"].as_str()).collect();
    let at = |t: &str| types.iter().position(|x| *x == t).expect("the record is there");
    assert!(at("access.granted") < at("relay.energised"));
    let seqs: Vec<u64> = lines.iter().filter_map(|l| l["seq"].as_u64()).collect();
    assert!(seqs.windows(2).all(|w| w[1] == w[0] + 1), "{seqs:?}");
    let stranger = summary["visits"][2]["reason"].as_str();
    assert_eq!(stranger, Some("no_match"), "he did what was asked and is refused for who he is");
}

#[test]
fn without_labelled_data_the_public_samples_show_the_chain_on_packages_alone() {
    let nowhere = tempfile::tempdir().expect("a directory");
    let out = Command::new(env!("CARGO_BIN_EXE_cardea"))
        .args(["demo", "--headless", "--set", "models.pack=\"registry\""])
        .env("CARDEA_SHARED", nowhere.path().join("nothing"))
        .output()
        .expect("the program starts");
    let lines = lines(&out.stdout);
    let summary = lines.last().expect("a last line");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!((out.status.code(), &summary["ok"]), (Some(0), &true.into()), "{summary} {said}");
    assert!(said.contains("public sample"), "{said}");
    let granted = lines.iter().find(|l| l["type"] == "access.granted").expect("a grant");
    assert_eq!(granted["passive_pad"], false, "the pack has no PAD network, and every grant says so");
}

#[test]
fn a_sample_database_is_made_once_and_can_be_tried() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("sample");
    let cardea = |args: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_cardea")).args(args).output().expect("the program starts");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        (out.status.code(), serde_json::from_slice::<Value>(&out.stdout).unwrap_or(Value::Null), said)
    };
    let path = state.display().to_string();
    let (code, made, said) = cardea(&["demo", "--sample-db", &path, "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let names = made["people"].as_array().expect("names").len();
    assert!(names >= 1, "{made}");
    let (code, people, said) = cardea(&["people", "list", "--json", "--state", &path]);
    let listed = people["people"].as_array().or(people.as_array()).expect("a list").len();
    assert_eq!((code, listed), (Some(0), names), "{people} {said}");
    let (code, _, said) = cardea(&["demo", "--sample-db", &path, "--json"]);
    assert_eq!(code, Some(64), "it is not written over: {said}");
}

/// A stand-in for the browser says what it was asked to open, and stays until the test has seen the page.
#[test]
fn the_window_is_the_kiosk_page_of_a_terminal_without_a_camera_and_ends_with_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let browser = format!(
        "#!/bin/sh\necho \"$@\" >{asked}.new\nmv {asked}.new {asked}\nwhile [ ! -e {seen} ]; do sleep 0.05; done\n",
        asked = at("asked").display(),
        seen = at("seen").display()
    );
    std::fs::create_dir(at("bin")).expect("a directory");
    std::fs::write(at("bin/chromium"), browser).expect("written");
    let runs = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(at("bin/chromium"), runs).expect("made a program");
    std::fs::write(at("script.json"), r#"{"picture": [64, 48], "rows": []}"#).expect("written");
    let demo = |display: &str| {
        let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
        command.args(["demo", "--window", "--set", "models.pack=\"scripted\"", "--set"]);
        command.arg(format!("models.script={:?}", at("script.json")));
        command.args(["--set", "insecure.scripted_models=true"]);
        command.env("PATH", path).env("DISPLAY", display).env_remove("WAYLAND_DISPLAY").env("TMPDIR", dir.path());
        command
    };
    let out = demo("").output().expect("it starts");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(69), "{said}");
    assert!(said.contains("no display") && said.contains("--headless") && said.contains("/kiosk"), "{said}");

    let log = std::fs::File::create(at("log")).expect("a file");
    let mut child = demo(":99").stdout(std::process::Stdio::null()).stderr(log).spawn().expect("it starts");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !at("asked").exists() {
        let ended = child.try_wait().expect("a child");
        let said = || std::fs::read_to_string(at("log")).unwrap_or_default();
        assert!(ended.is_none() && std::time::Instant::now() < until, "{ended:?} {}", said());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let asked = std::fs::read_to_string(at("asked")).expect("words");
    let page = asked.split("--app=").nth(1).and_then(|p| p.split_whitespace().next()).expect("a page");
    assert!(page.starts_with("http://127.0.0.1:") && page.ends_with("/kiosk"), "{asked}");
    let get = |page: &str| ureq::get(page).call().expect("an answer").body_mut().read_to_string().expect("text");
    assert!(get(page).contains("verify.js"), "the kiosk page");
    // A terminal without a camera misses none.
    assert!(!get(&page.replace("kiosk", "healthz")).contains("fault"));
    std::fs::write(at("seen"), "").expect("written");
    assert_eq!(
        child.wait().expect("it ends").code(),
        Some(0),
        "{}",
        std::fs::read_to_string(at("log")).unwrap_or_default()
    );
    let left: Vec<_> = std::fs::read_dir(dir.path()).expect("a directory").flatten().map(|e| e.file_name()).collect();
    assert!(left.iter().all(|n| !n.to_string_lossy().starts_with("cardea-demo")), "{left:?}");
}
