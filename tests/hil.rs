//! Scenarios of the virtual bench (`tests/hil`): the program on V4L2 cameras of a real kernel, in an emulated machine.
#![cfg(feature = "v4l2")]

mod support;

use std::path::Path;
use std::process::Command;

/// Runs one scenario; the bench fetches by itself what it needs.
fn scenario(name: &str) {
    if support::left_out("hil", &format!("the scenario {name}")) {
        return;
    }
    let bench = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hil/bench.sh");
    let run = Command::new(bench)
        .arg(name)
        .env("CARDEA_BIN", env!("CARGO_BIN_EXE_cardea"))
        .env("CARDEA_SHARED", support::shared())
        .output()
        .expect("the bench starts");
    let told = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{told}\nCARDEA_TEST_WITHOUT=hil leaves the bench out");
}

#[test]
fn every_format_is_read_with_rising_numbers_and_stamps_and_torn_frames_are_skipped() {
    scenario("camera");
}

#[test]
fn an_unplugged_camera_is_an_alarm_and_comes_back_and_another_one_is_refused() {
    scenario("unplug");
}
