//! The relay under many deaths: daemon and guard killed in mid-pulse, starts and stops, pulses without number.
//!
//! The line keeps its level when its owner dies, as on a Raspberry Pi. Every bound is asserted against the line's own
//! stamps, for each kill. `CARDEA_KILLS=500` (`make kills`) is the promise's number; without it fewer are tried.

#[path = "support/scene.rs"]
#[allow(dead_code, reason = "tests/processes.rs uses the rest")]
mod scene;

use cardea::base::time::Tick;
use cardea::schema::event::EdgeCause;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rustix::process::Signal;
use scene::{Scene, ms, now, play_role, runs, signal_pid, wait_for};
use std::time::Duration;

const HOST: &str = "a_daemon_killed_at_any_moment_of_a_pulse_releases_the_line";

/// How many kills of each kind; starts and stops are twice as many.
fn kills() -> u32 {
    std::env::var("CARDEA_KILLS").ok().map_or(25, |n| n.parse().expect("CARDEA_KILLS is a number"))
}

/// Moments within a pulse that no two runs share, told so that a failure can be played again.
fn moments(test: &str) -> ChaCha20Rng {
    let seed = now().as_nanos();
    println!("{test}: seed {seed}");
    ChaCha20Rng::seed_from_u64(seed)
}

/// Begins a pulse that outlasts the test and returns somewhere within its first half second.
fn mid_pulse(daemon: &mut scene::Process, rng: &mut ChaCha20Rng) {
    daemon.tell("open 7 9000");
    daemon.expect("@opened");
    // Not for luck: the moment of the death is what is drawn.
    std::thread::sleep(ms(u64::from(rng.next_u32() % 300)));
}

/// From `since` to the first inactive edge after it, by the line's own stamps.
fn released_after(scene: &Scene, since: Tick, cause: EdgeCause) -> Duration {
    let edge = wait_for("an inactive line", || scene.edges().into_iter().find(|(at, on, _)| *at >= since && !on));
    assert_eq!(edge.2, cause);
    assert!(!scene.level(true));
    edge.0.since(since)
}

#[test]
fn a_daemon_killed_at_any_moment_of_a_pulse_releases_the_line() {
    play_role();
    let mut rng = moments(HOST);
    let mut worst = Duration::ZERO;
    for n in 0..kills() {
        let scene = Scene::new(HOST);
        let mut daemon = scene.daemon(true);
        let guard: u32 = daemon.expect("@guard")[0].parse().expect("a process id");
        mid_pulse(&mut daemon, &mut rng);
        let killed = daemon.signal(Signal::KILL);
        let took = released_after(&scene, killed, EdgeCause::Eof);
        assert!(took <= ms(100), "kill {n}: active for {took:?}");
        worst = worst.max(took);
        wait_for("the end of a guard without a daemon", || (!runs(guard)).then_some(()));
        assert_eq!(scene.edges().len(), 3, "kill {n}: start, grant, eof and nothing else");
    }
    println!("{} kills of a daemon, the worst {worst:?}", kills());
}

#[test]
fn a_guard_killed_at_any_moment_of_a_pulse_is_followed_by_one_that_releases_the_line() {
    let mut rng = moments("guards");
    let mut worst = Duration::ZERO;
    for n in 0..kills() {
        let scene = Scene::new(HOST);
        let mut daemon = scene.daemon(true);
        let guard: u32 = daemon.expect("@guard")[0].parse().expect("a process id");
        mid_pulse(&mut daemon, &mut rng);
        let killed = signal_pid(guard, Signal::KILL);
        let took = released_after(&scene, killed, EdgeCause::Start);
        assert!(took <= ms(1_000), "kill {n}: active for {took:?}");
        worst = worst.max(took);
        daemon.tell("quit");
        assert!(daemon.ended().success());
    }
    println!("{} kills of a guard, the worst {worst:?}", kills());
}

#[test]
fn starting_and_stopping_never_moves_the_line() {
    let scene = Scene::new(HOST);
    let times = 2 * kills();
    for n in 1..=times {
        let mut guard = scene.guard();
        guard.signal(Signal::TERM);
        assert!(guard.ended().success());
        let starts = scene.edges();
        assert_eq!(starts.len(), n as usize, "one line for each start");
        assert!(starts.iter().all(|(_, on, cause)| !on && *cause == EdgeCause::Start), "start {n}: {starts:?}");
    }
    assert!(!scene.level(true));
    println!("{times} starts and stops");
}
