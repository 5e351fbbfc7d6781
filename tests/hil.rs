//! Scenarios of the virtual bench (`tests/hil`): the program on V4L2 cameras of a real kernel, in an emulated machine.
#![cfg(feature = "v4l2")]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// One guest at a time: two on two processors would tell of each other's load.
static ONE: Mutex<()> = Mutex::new(());

/// Runs one scenario; the bench fetches by itself what it needs.
fn scenario(name: &str) {
    if support::left_out("hil", &format!("the scenario {name}")) {
        return;
    }
    let _alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
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
fn a_relay_line_has_one_owner_is_inactive_from_the_first_instant_and_follows_a_grant() {
    scenario("gpio");
}

#[test]
fn contact_button_and_key_on_real_lines_are_told_and_obeyed() {
    scenario("inputs");
}

#[test]
fn an_unplugged_camera_is_an_alarm_and_comes_back_and_another_one_is_refused() {
    scenario("unplug");
}

#[test]
fn under_systemd_the_terminal_starts_restarts_and_stops_with_the_line_inactive() {
    scenario("systemd");
}
