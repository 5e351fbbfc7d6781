//! The door with real processes: a daemon that is killed, stopped or panics, a guard that is ended or killed, and an
//! observer in a third process. All on a line that keeps its level when its owner dies, as a Raspberry Pi's does.
//!
//! Time bounds are those of the promises, measured between a stamp that the killer took before the signal and the
//! stamps in the edges file, which say of a release that it came late rather than early; the observer's own clock
//! readings must agree. The guard's limits leave 50 ms to the scheduler, so the bounds hold on a busy machine too.
//!
//! Three branches of the guard have one test each that turns red when the branch is removed:
//! deadline -> `a_pulse_ends_at_its_deadline`, end of the socket -> `a_killed_daemon_releases_the_line_within_100_ms`,
//! heartbeat -> `a_stopped_daemon_releases_the_line_within_a_second`.

#[path = "support/scene.rs"]
mod scene;

use cardea::adapters::relay::client::GuardClient;
use cardea::base::time::Tick;
use cardea::ports::{DoorGuard, OpenRefusal};
use cardea::schema::event::EdgeCause;
use cardea::schema::ids::VisitId;
use rustix::process::Signal;
use scene::{Process, Scene, ms, now, play_role, runs, signal_pid, wait_for};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

/// Plays the daemon and the observer for all the others.
const HOST: &str = "a_killed_daemon_releases_the_line_within_100_ms";

fn scene() -> Scene {
    Scene::new(HOST)
}

/// A pulse of 5 s is under way, and the observer sees it.
fn mid_pulse(daemon: &mut Process, observer: &Process) {
    daemon.tell("open 7 5000");
    daemon.expect("@opened");
    observer.expect("@up");
}

/// The release after `since` had that cause and came within `bound`, by the guard's stamp and by the observer's eyes.
fn assert_released(scene: &Scene, observer: &Process, since: Tick, cause: EdgeCause, bound: Duration) {
    let down = observer.expect_ticks("@down");
    let (at, level, why) = scene.edge(2);
    assert_eq!((level, why), (false, cause));
    assert!(at > since, "it was released before anything happened");
    assert!(at.since(since) <= bound, "released after {:?}", at.since(since));
    assert!(down[0].since(since) <= bound, "seen active {:?} later", down[0].since(since));
    assert!(down[0] <= at, "the guard claims a release at a time when the line was seen active");
    assert!(!scene.level(true));
}

#[test]
fn a_killed_daemon_releases_the_line_within_100_ms() {
    play_role();
    let scene = scene();
    let mut daemon = scene.daemon(true);
    let guard: u32 = daemon.expect("@guard")[0].parse().expect("a process id");
    let observer = scene.observer();
    mid_pulse(&mut daemon, &observer);
    let killed = daemon.signal(Signal::KILL);
    assert_released(&scene, &observer, killed, EdgeCause::Eof, ms(100));
    wait_for("the end of a guard without a daemon", || (!runs(guard)).then_some(()));
    assert_eq!(scene.edges().len(), 3, "start, grant, eof and nothing else");
}

#[test]
fn a_stopped_daemon_releases_the_line_within_a_second() {
    let scene = scene();
    let _guard = scene.guard();
    let mut daemon = scene.daemon(false);
    let observer = scene.observer();
    mid_pulse(&mut daemon, &observer);
    let stopped = daemon.signal(Signal::STOP);
    assert_released(&scene, &observer, stopped, EdgeCause::Heartbeat, ms(1_000));
}

#[test]
fn a_pulse_ends_at_its_deadline() {
    let scene = scene();
    let _guard = scene.guard();
    let mut daemon = scene.daemon(false);
    let observer = scene.observer();
    daemon.tell("open 7 1500");
    daemon.expect("@opened");
    let up = observer.expect_ticks("@up")[0];
    let down = observer.expect_ticks("@down")[0];
    let edges = scene.edges();
    assert_eq!(scene.causes(), [EdgeCause::Start, EdgeCause::Grant, EdgeCause::Deadline]);
    let length = edges[2].0.since(edges[1].0);
    assert!(length >= ms(1_450) && length <= ms(1_550), "the pulse lasted {length:?}");
    assert!(down.since(up) <= ms(1_550), "seen active for {:?}", down.since(up));
}

#[test]
fn a_daemon_that_panics_releases_the_line_within_100_ms() {
    let scene = scene();
    let _guard = scene.guard();
    let mut daemon = scene.daemon(false);
    let observer = scene.observer();
    mid_pulse(&mut daemon, &observer);
    daemon.tell("panic");
    let panicked = daemon.expect_ticks("@panics")[0];
    assert_released(&scene, &observer, panicked, EdgeCause::Eof, ms(100));
    assert!(!daemon.ended().success());
}

#[test]
fn a_guard_that_is_told_to_end_releases_the_line_first() {
    for signal in [Signal::TERM, Signal::INT] {
        let scene = scene();
        let mut guard = scene.guard();
        let mut daemon = scene.daemon(false);
        let observer = scene.observer();
        mid_pulse(&mut daemon, &observer);
        let told = guard.signal(signal);
        assert_released(&scene, &observer, told, EdgeCause::Term, ms(50));
        assert_eq!(guard.ended().code(), Some(0));
        let edges = daemon.edges(3);
        assert_eq!(edges, ["1 0 start -", "2 1 grant 7", "3 0 term 7"], "the daemon hears of it");
        daemon.tell("open 8 1000");
        assert_eq!(daemon.expect("@refused"), ["Unavailable"]);
    }
}

#[test]
fn a_killed_guard_is_replaced_and_the_next_one_starts_inactive() {
    let scene = scene();
    let mut daemon = scene.daemon(true);
    let first: u32 = daemon.expect("@guard")[0].parse().expect("a process id");
    let observer = scene.observer();
    mid_pulse(&mut daemon, &observer);
    let killed = signal_pid(first, Signal::KILL);
    assert_released(&scene, &observer, killed, EdgeCause::Start, ms(1_000));
    let second: u32 = daemon.expect("@guard")[0].parse().expect("a process id");
    assert_ne!(first, second);
    // 200 ms until it is started, 50 ms until it has the line.
    let back = scene.edge(2).0.since(killed);
    assert!(back <= ms(250), "the next guard had the line after {back:?}");
    wait_for("a door that opens again", || {
        daemon.tell("open 8 300");
        (daemon.expect_any(&["@opened", "@refused"])[0] == "@opened").then_some(())
    });
    let edges = daemon.edges(4);
    assert_eq!(edges, ["1 0 start -", "2 1 grant 7", "1 0 start -", "2 1 grant 8"], "numbers begin again");
    daemon.tell("quit");
    assert!(daemon.ended().success());
    wait_for("the end of the guard", || (!runs(second)).then_some(()));
    assert!(!scene.level(true));
}

#[test]
fn a_lock_releases_what_a_killed_guard_left_active() {
    let scene = scene();
    let mut guard = scene.guard();
    let mut daemon = scene.daemon(false);
    let observer = scene.observer();
    mid_pulse(&mut daemon, &observer);
    guard.signal(Signal::KILL);
    guard.ended();
    assert!(scene.level(true), "a line that keeps its level stays active: that is what the lock is for");
    assert!(!scene.level(false), "one that does not has fallen back");
    let mut lock = Process::start({
        let mut c = scene.guard_command();
        c.arg("--lock");
        c
    });
    assert_eq!(lock.ended().code(), Some(0));
    observer.expect("@down");
    assert_eq!(scene.causes(), [EdgeCause::Start, EdgeCause::Grant, EdgeCause::Lock]);
    assert!(!scene.level(true));
}

#[test]
fn a_lock_beside_a_running_guard_ends_the_pulse() {
    let scene = scene();
    let _guard = scene.guard();
    let mut daemon = scene.daemon(false);
    let observer = scene.observer();
    mid_pulse(&mut daemon, &observer);
    assert!(scene.guard_command().arg("--lock").status().expect("it runs").success());
    observer.expect("@down");
    assert_eq!(scene.causes(), [EdgeCause::Start, EdgeCause::Grant, EdgeCause::Lock]);
}

#[test]
fn two_grants_at_once_make_one_pulse() {
    let scene = scene();
    let _guard = scene.guard();
    let mut daemon = scene.daemon(false);
    let observer = scene.observer();
    daemon.tell("open 1 1000");
    daemon.tell("open 2 1000");
    daemon.expect("@opened");
    assert_eq!(daemon.expect("@refused"), ["Coalesced"]);
    observer.expect("@down");
    let edges = scene.edges();
    assert_eq!(scene.causes(), [EdgeCause::Start, EdgeCause::Grant, EdgeCause::Deadline]);
    assert!(edges[2].0.since(edges[1].0) <= ms(1_050), "the second grant extended the pulse");
}

#[test]
fn a_grant_of_a_minute_is_capped_at_ten_seconds() {
    let scene = scene();
    let _guard = scene.guard();
    let mut daemon = scene.daemon(false);
    let observer = scene.observer();
    daemon.tell("open 1 60000");
    daemon.expect("@opened");
    let up = observer.expect_ticks("@up")[0];
    let down = observer.expect_ticks("@down")[0];
    let edges = scene.edges();
    assert_eq!(edges[2].2, EdgeCause::Deadline);
    let length = edges[2].0.since(edges[1].0);
    assert!(length > ms(9_900) && length <= ms(10_000), "the pulse lasted {length:?}");
    assert!(down.since(up) <= ms(10_000), "seen active for {:?}", down.since(up));
}

#[test]
fn a_second_daemon_is_refused_and_disturbs_nothing() {
    let scene = scene();
    let _guard = scene.guard();
    let mut first = GuardClient::connect(&scene.socket(), scene::PATIENCE).expect("a guard");
    first.open(VisitId(1), ms(600)).expect("it opens");
    let e = GuardClient::connect(&scene.socket(), ms(100)).expect_err("the guard has a daemon");
    assert!(e.to_string().contains("another daemon"), "{e}");
    let mut second = GuardClient::new(&scene.socket());
    assert_eq!(second.open(VisitId(2), ms(600)), Err(OpenRefusal::Unavailable));
    scene.edge(2);
    assert_eq!(scene.causes(), [EdgeCause::Start, EdgeCause::Grant, EdgeCause::Deadline]);
    first.heartbeat().expect("the first is still connected");
}

#[test]
fn a_second_guard_of_one_line_is_refused_and_disturbs_nothing() {
    let scene = scene();
    let _guard = scene.guard();
    let mut daemon = GuardClient::connect(&scene.socket(), scene::PATIENCE).expect("a guard");
    daemon.open(VisitId(1), ms(5_000)).expect("it opens");
    let other = scene.guard_command().arg("--socket").arg(scene.socket()).output().expect("it runs");
    assert_eq!(other.status.code(), Some(69));
    let text = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(text.starts_with("error: door.relay: own the relay line") && text.lines().count() == 1, "{text}");
    daemon.heartbeat().expect("the first guard still listens");
    assert_eq!(scene.causes(), [EdgeCause::Start, EdgeCause::Grant]);
}

#[test]
fn the_next_daemon_gets_the_kept_edges_once() {
    let scene = scene();
    let _guard = scene.guard();
    let told = |client: &mut GuardClient, n: usize| {
        let mut all = Vec::new();
        wait_for("edges", || {
            all.extend(client.edges().into_iter().map(|e| (e.number, e.cause)));
            (all.len() >= n).then_some(())
        });
        all
    };
    let mut first = GuardClient::connect(&scene.socket(), scene::PATIENCE).expect("a guard");
    first.open(VisitId(1), ms(5_000)).expect("it opens");
    assert_eq!(told(&mut first, 2), [(1, EdgeCause::Start), (2, EdgeCause::Grant)]);
    let mark = first.mark().expect("it was greeted");
    assert_eq!(mark.number, 2);
    drop(first);
    scene.edge(2);
    let mut second = GuardClient::new(&scene.socket());
    second.resume(mark);
    assert_eq!(told(&mut second, 1), [(3, EdgeCause::Eof)], "what the first recorded is not told again");
    drop(second);
    let third = GuardClient::connect(&scene.socket(), scene::PATIENCE);
    let all = told(&mut third.expect("a guard"), 3);
    assert_eq!(all, [(1, EdgeCause::Start), (2, EdgeCause::Grant), (3, EdgeCause::Eof)]);
}

#[test]
fn a_line_that_does_not_follow_is_a_fault_until_the_guard_is_started_again() {
    let scene = scene();
    let mut guard = scene.guard();
    let mut daemon = GuardClient::connect(&scene.socket(), scene::PATIENCE).expect("a guard");
    daemon.open(VisitId(1), ms(300)).expect("it opens");
    let stuck = scene.line().with_extension("stuck");
    std::fs::write(&stuck, "").expect("a file");
    let mut edges = Vec::new();
    wait_for("the fault", || {
        edges.extend(daemon.edges());
        edges.iter().any(|e| e.energised && e.cause == EdgeCause::Fault).then_some(())
    });
    assert!(scene.level(true));
    assert_eq!(daemon.open(VisitId(2), ms(300)), Err(OpenRefusal::Fault));
    std::fs::remove_file(&stuck).expect("the file is there");
    assert_eq!(scene.edge(2).2, EdgeCause::Fault, "it is released as soon as it follows again");
    assert_eq!(daemon.open(VisitId(3), ms(300)), Err(OpenRefusal::Fault));
    guard.signal(Signal::TERM);
    assert_eq!(guard.ended().code(), Some(0));
    let _next = scene.guard();
    wait_for("a door that opens again", || daemon.open(VisitId(4), ms(300)).ok());
}

#[test]
fn nonsense_ends_the_connection_and_the_pulse() {
    use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket};
    let scene = scene();
    let _guard = scene.guard();
    for nonsense in [&b"CG\x01\x7f"[..], b"CG\x02\x01", b"GC\x01\x01", b"C", &[b'C'; 4_000]] {
        let raw = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).expect("a socket");
        let address = SocketAddrUnix::new(scene.socket()).expect("an address");
        wait_for("a free guard", || connect(&raw, &address).ok());
        send(&raw, nonsense, SendFlags::NOSIGNAL).expect("it takes packets");
        wait_for("the end of the connection", || {
            let mut bytes = [0u8; 64];
            matches!(recv(&raw, &mut bytes, rustix::net::RecvFlags::empty()), Ok((0, _)) | Err(_)).then_some(())
        });
    }
    let mut daemon = GuardClient::connect(&scene.socket(), scene::PATIENCE).expect("the guard is still there");
    daemon.open(VisitId(1), ms(300)).expect("it opens");
}

#[test]
fn only_the_guards_own_user_can_connect() {
    let scene = scene();
    let _guard = scene.guard();
    let mode = wait_for("the socket", || std::fs::metadata(scene.socket()).ok()).permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_socket_that_systemd_made_is_used() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
    let scene = scene();
    let made = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).expect("a socket");
    bind(&made, &SocketAddrUnix::new(scene.socket()).expect("an address")).expect("a free name");
    listen(&made, 4).expect("it listens");
    // As systemd does it: the socket is descriptor 3, and the environment names this very process.
    let mut child = Command::new("sh")
        .args(["-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" guard --line \"$1\" 3<&0", env!("CARGO_BIN_EXE_cardea")])
        .arg(scene.line())
        .stdin(std::process::Stdio::from(made))
        .spawn()
        .expect("a shell");
    let mut daemon = GuardClient::connect(&scene.socket(), scene::PATIENCE).expect("a guard");
    daemon.open(VisitId(1), ms(300)).expect("it opens");
    scene.edge(2);
    signal_pid(child.id(), Signal::TERM);
    assert!(child.wait().expect("a child").success());
}

/// A guard whose service manager is `manager`, with a watchdog of 400 ms.
fn watched_guard(scene: &Scene, manager: &std::path::Path) -> Process {
    let mut command = scene.guard_command();
    command.arg("--socket").arg(scene.socket()).env("NOTIFY_SOCKET", manager).env("WATCHDOG_USEC", "400000");
    Process::start(command)
}

#[test]
fn a_service_manager_hears_of_the_guard_and_of_its_loop() {
    use std::os::unix::net::UnixDatagram;
    let scene = scene();
    let manager = scene.line().with_extension("notify");
    let heard = UnixDatagram::bind(&manager).expect("a socket");
    heard.set_read_timeout(Some(scene::PATIENCE)).expect("a limit");
    let words = || {
        let mut told = [0u8; 64];
        let n = heard.recv(&mut told).expect("the guard speaks");
        String::from_utf8_lossy(&told[..n]).into_owned()
    };
    let guard = watched_guard(&scene, &manager);
    assert_eq!(words(), "READY=1");
    assert_eq!(scene.causes(), [EdgeCause::Start], "the line is inactive before the guard says that it is ready");
    let begun = now();
    for _beat in 0..6 {
        assert_eq!(words(), "WATCHDOG=1");
    }
    let took = now().since(begun);
    assert!(took >= ms(400) && took < ms(1_500), "six beats took {took:?}: a fourth of the limit lies between two");
    guard.signal(Signal::STOP);
    heard.set_read_timeout(Some(ms(400))).expect("a limit");
    let silent = || std::iter::from_fn(|| heard.recv(&mut [0; 64]).ok()).count();
    assert!(silent() <= 1, "a loop that stands does not beat");
    guard.signal(Signal::CONT);
}

#[test]
fn a_service_manager_that_does_not_read_delays_no_release() {
    use std::os::unix::net::UnixDatagram;
    let scene = scene();
    let manager = scene.line().with_extension("notify");
    let deaf = UnixDatagram::bind(&manager).expect("a socket");
    // The queue of a socket is short, and whoever writes to a full one waits.
    let filler = UnixDatagram::unbound().expect("a socket");
    filler.set_nonblocking(true).expect("it does not wait");
    while filler.send_to(b"X=1", &manager).is_ok() {}
    let _guard = watched_guard(&scene, &manager);
    let mut daemon = scene.daemon(false);
    daemon.tell("open 7 1000");
    daemon.expect("@opened");
    let released = scene.edge(2);
    assert_eq!(released.2, EdgeCause::Deadline);
    assert!(released.0.since(scene.edge(1).0) <= ms(1_050));
    drop(deaf);
}

#[test]
fn a_guard_whose_daemon_never_comes_ends() {
    let scene = scene();
    let mut command = scene.guard_command();
    command.arg("--socket").arg(scene.socket()).arg("--spawned");
    let mut guard = Process::start(command);
    assert_eq!(guard.ended().code(), Some(0));
    assert_eq!(scene.causes(), [EdgeCause::Start]);
}

#[test]
fn starting_and_stopping_never_lifts_the_line() {
    let scene = scene();
    std::fs::write(scene.line(), "1").expect("a line that was left active");
    for _cycle in 0..20 {
        let before = now();
        let mut guard = scene.guard();
        let (at, level, cause) = *scene.edges().last().expect("the start");
        assert_eq!((level, cause), (false, EdgeCause::Start));
        assert!(at.since(before) <= ms(1_000), "inactive after {:?}", at.since(before));
        assert!(!scene.level(true));
        guard.signal(Signal::TERM);
        assert_eq!(guard.ended().code(), Some(0));
    }
    assert!(scene.edges().iter().all(|(_, level, cause)| !level && *cause == EdgeCause::Start));
}
