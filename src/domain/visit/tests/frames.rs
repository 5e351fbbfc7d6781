//! Frames that come too late, too rarely, twice, from elsewhere or not at all, and those who come and go with them.

use super::*;

const MATCHED: Do = Hold(800, ADA);

#[test]
fn a_camera_below_five_frames_a_second_identifies_nobody() {
    let slow = [Every(250), Answer(ADA, PROMPTLY)];
    check(door(), &slow, "started, try_again degraded");
    check(door(), &[Every(200), Answer(ADA, PROMPTLY)], "started, asked turn_left, asked nod, granted ada");
    let verify = with(door(), |p| p.goal = Goal::Verify);
    check(verify, &slow, "started, asked turn_left, asked nod, granted ada");
    let live = with(door(), |p| p.goal = Goal::Liveness);
    check(live, &slow, "started, asked turn_left, asked nod, granted");
    let emulated = with(door(), Policy::allow_slow_frames);
    check(emulated.clone(), &[Every(400), Answer(ADA, PROMPTLY)], "started, asked turn_left, asked nod, granted ada");
    check(emulated, &[Every(600), Answer(ADA, PROMPTLY)], "started, try_again degraded");
}

#[test]
fn frames_held_back_decide_nothing() {
    check(door(), &[Lag(501), Hold(5_000, ADA)], "");
    check(door(), &[Lag(500), Answer(ADA, PROMPTLY)], "started, asked turn_left, asked nod, granted ada");
    check(door(), &[MATCHED, Lag(700), Hold(3_000, ADA)], "started, try_again degraded");
    check(door(), &[Hold(600, ADA), Pause(8_500)], "started, try_again degraded");
}

#[test]
fn frames_out_of_order_are_not_looked_at() {
    let mut sim = Sim::new(door(), [3; 32]);
    sim.act(&MATCHED);
    let mut older = sim.fed[20].1.clone();
    if let Some(face) = &mut older.face {
        face.track = 99;
    }
    let effects = sim.log.len();
    for _ in 0..2 {
        sim.show(&older);
    }
    assert_eq!(sim.log.len(), effects, "{}", sim.text());
    sim.act(&Answer(ADA, PROMPTLY));
    assert!(sim.granted(), "{}", sim.text());
}

#[test]
fn who_leaves_before_the_challenge_is_gone() {
    check(door(), &[Hold(600, ADA), Hold(3_000, NOBODY)], "started, try_again no_face");
}

#[test]
fn who_leaves_during_the_challenge_runs_out_of_time() {
    check(door(), &[Hold(1_500, ADA), Hold(5_000, NOBODY)], "started, asked turn_left, denied challenge_timeout");
    check(door(), &[MATCHED, Hold(13_000, NOBODY)], "started, denied challenge_timeout");
    let gone = [Answer(ADA, React { rematch: Some(NOBODY), ..PROMPTLY })];
    check(door(), &gone, "started, asked turn_left, asked nod, denied challenge_mismatch");
}

#[test]
fn passers_by_and_small_faces_begin_nothing() {
    check(door(), &[Hold(450, ADA), Hold(66, NOBODY), Hold(450, ADA), Hold(66, NOBODY)], "");
    check(door(), &[Hold(5_000, Look { width: 79.0, ..ADA })], "");
    check(door(), &[Hold(450, ADA), Hold(33, Look { width: 79.0, ..ADA }), Hold(450, ADA)], "");
    check(door(), &[Hold(450, ADA), Pause(2_000), Time, Hold(450, ADA)], "");
    check(door(), &[Hold(450, ADA), Pause(2_000), Hold(450, ADA)], "");
}

#[test]
fn a_stop_ends_what_has_begun_and_nothing_else() {
    check(door(), &[Hold(600, ADA), Stop], "started, try_again stopped");
    check(door(), &[Hold(1_500, ADA), Stop, Hold(600, ADA)], "started, asked turn_left, try_again stopped");
    check(door(), &[Hold(300, ADA), Stop, Answer(ADA, PROMPTLY)], "started, asked turn_left, asked nod, granted ada");
}

#[test]
fn another_camera_ends_what_has_begun_and_nothing_else() {
    let changed = "started, asked turn_left, try_again camera_changed";
    check(door(), &[Hold(1_500, ADA), Camera], changed);
    check(door(), &[Hold(1_500, ADA), Reopen, Hold(66, ADA)], changed);
    for before in [Camera, Reopen] {
        let script = [Hold(300, ADA), before, Hold(300, ADA)];
        check(door(), &script, "");
        let passed = "started, asked turn_left, asked nod, granted ada";
        check(door(), &[Hold(300, ADA), before, Answer(ADA, PROMPTLY)], passed);
    }
}

#[test]
fn a_frame_seen_twice_is_an_injection() {
    let injected = "started, asked turn_left, denied injection";
    check(door(), &[Hold(1_500, ADA), Frozen(true), Hold(99, ADA)], injected);
    let once = [Hold(1_500, ADA), Frozen(true), Hold(66, ADA), Frozen(false), Answer(ADA, PROMPTLY)];
    check(door(), &once, "started, asked turn_left, asked nod, granted ada");
}

#[test]
fn black_frames_at_night_do_not_accuse_who_comes_in_the_morning() {
    let script = [Frozen(true), Hold(2_000, NOBODY), Frozen(false), Answer(ADA, PROMPTLY)];
    check(door(), &script, "started, asked turn_left, asked nod, granted ada");
    check(door(), &[Frozen(true), Hold(2_000, ADA)], "started, denied injection");
}
