//! Real processes for tests of the door: daemon, guard and observer.
//!
//! The daemon and the observer are this very test program, started again with a role in its environment, so that no
//! test helper becomes a part of the product. They speak in lines that begin with `@`.

use cardea::adapters::relay::client::GuardClient;
use cardea::adapters::relay::line::LineSpec;
use cardea::adapters::relay::sim::{read_edges, read_line};
use cardea::adapters::relay::spawner::{GuardCommand, Spawner};
use cardea::adapters::system::SystemClock;
use cardea::base::time::{Clock, Tick};
use cardea::ports::DoorGuard;
use cardea::schema::event::EdgeCause;
use cardea::schema::ids::VisitId;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The longest that a test waits for something that must come.
pub const PATIENCE: Duration = Duration::from_secs(20);
const ROLE: &str = "CARDEA_TEST_ROLE";
const PLACE: &str = "CARDEA_TEST_PLACE";

pub type Edge = (Tick, bool, EdgeCause);

pub fn now() -> Tick {
    SystemClock.now()
}

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Waits until `found` finds something.
pub fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(it) = found() {
            return it;
        }
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(ms(2));
    }
}

/// A door of its own for one test.
pub struct Scene {
    dir: tempfile::TempDir,
    /// The test that plays the roles when it is started again.
    host: &'static str,
}

impl Scene {
    pub fn new(host: &'static str) -> Self {
        Scene { dir: tempfile::tempdir().expect("a temporary directory"), host }
    }

    pub fn line(&self) -> PathBuf {
        self.dir.path().join("relay")
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("guard.sock")
    }

    pub fn level(&self, persist: bool) -> bool {
        read_line(&self.line(), persist).expect("a level")
    }

    pub fn edges(&self) -> Vec<Edge> {
        read_edges(&self.line()).expect("edges")
    }

    /// Waits for the edge number `n`, counted from 0.
    pub fn edge(&self, n: usize) -> Edge {
        wait_for(&format!("edge {n}"), || self.edges().get(n).copied())
    }

    pub fn causes(&self) -> Vec<EdgeCause> {
        self.edges().iter().map(|(_, _, cause)| *cause).collect()
    }

    pub fn guard_command(&self) -> Command {
        let mut c = Command::new(env!("CARGO_BIN_EXE_cardea"));
        c.arg("guard").arg("--line").arg(self.line());
        c
    }

    /// A guard that outlives its daemons. Returns when it listens.
    pub fn guard(&self) -> Process {
        let starts = self.causes().iter().filter(|c| **c == EdgeCause::Start).count();
        let mut command = self.guard_command();
        command.arg("--socket").arg(self.socket());
        let guard = Process::start(command);
        wait_for("a guard", || {
            (self.causes().iter().filter(|c| **c == EdgeCause::Start).count() > starts).then_some(())
        });
        guard
    }

    /// A daemon that is connected to its guard; with `spawns` it has started the guard itself.
    pub fn daemon(&self, spawns: bool) -> Process {
        let daemon = self.role(if spawns { "spawning-daemon" } else { "daemon" });
        daemon.expect("@ready");
        daemon
    }

    /// Watches the line, `persist` as on a Raspberry Pi.
    pub fn observer(&self) -> Process {
        let observer = self.role("observer");
        observer.expect("@watching");
        observer
    }

    fn role(&self, role: &str) -> Process {
        let mut c = Command::new(std::env::current_exe().expect("this program"));
        c.args(["--exact", self.host, "--nocapture", "--test-threads=1"]).env(ROLE, role).env(PLACE, self.dir.path());
        Process::start(c)
    }
}

/// A child that does not outlive its test.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    /// Edges that were told, also those that came while something else was waited for.
    edges: RefCell<Vec<String>>,
}

impl Process {
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let out = child.stdout.take().expect("a pipe");
        let (tx, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some(at) = line.find('@') {
                    // The test harness of the child begins a line of its own without ending it.
                    let _gone = tx.send(line[at..].to_owned());
                }
            }
        });
        Process { child, lines, edges: RefCell::default() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn tell(&mut self, text: &str) {
        let pipe = self.child.stdin.as_mut().expect("a pipe");
        writeln!(pipe, "{text}").and_then(|()| pipe.flush()).expect("the child listens");
    }

    /// Waits for a line that begins with `word`, passing over others; returns its further words.
    pub fn expect(&self, word: &str) -> Vec<String> {
        self.expect_any(&[word]).split_off(1)
    }

    /// Waits for a line that begins with one of `words`; returns all words of that line.
    pub fn expect_any(&self, words: &[&str]) -> Vec<String> {
        loop {
            let line: Vec<String> = self.line(words).split(' ').map(str::to_owned).collect();
            if words.contains(&line[0].as_str()) {
                return line;
            }
        }
    }

    /// Waits for the daemon's first `n` edges.
    pub fn edges(&self, n: usize) -> Vec<String> {
        while self.edges.borrow().len() < n {
            self.line(&["@edge"]);
        }
        self.edges.borrow()[..n].to_vec()
    }

    fn line(&self, wanted: &[&str]) -> String {
        let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("waited in vain for {wanted:?}: {e}"));
        if let Some(edge) = line.strip_prefix("@edge ") {
            self.edges.borrow_mut().push(edge.to_owned());
        }
        line
    }

    /// Waits for a line of that word; returns its further words as ticks.
    pub fn expect_ticks(&self, word: &str) -> Vec<Tick> {
        self.expect(word).iter().map(|w| Tick::from_nanos(w.parse().expect("nanoseconds"))).collect()
    }

    /// Sends a signal; returns a time just before.
    pub fn signal(&self, signal: Signal) -> Tick {
        signal_pid(self.pid(), signal)
    }

    /// Waits for the end.
    pub fn ended(&mut self) -> ExitStatus {
        wait_for("the end of a process", || self.child.try_wait().expect("a child"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Sends a signal; returns a time just before.
pub fn signal_pid(pid: u32, signal: Signal) -> Tick {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    let before = now();
    kill_process(pid, signal).expect("the process is there");
    before
}

/// Whether a process of that id runs; one that has ended and waits for its parent does not.
pub fn runs(pid: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

/// In a child: plays the role that the environment names and never returns. In the test itself: does nothing.
pub fn play_role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    // Like the daemon's `main`. A core dump would keep the socket open until it is written.
    std::panic::set_hook(Box::new(|_| std::process::abort()));
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).expect("no core dumps");
    let place = PathBuf::from(std::env::var_os(PLACE).expect("a place"));
    match role.as_str() {
        "observer" => observe(&place.join("relay")),
        "daemon" => daemon(&place, false),
        "spawning-daemon" => daemon(&place, true),
        other => panic!("no role {other}"),
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).expect("the test listens");
}

/// Tells when the line was seen to rise, and when it was last seen active and first seen inactive.
fn observe(line: &Path) {
    say("@watching");
    let mut active_at: Option<Tick> = None;
    loop {
        let before = now();
        let level = read_line(line, true).expect("a level");
        match (level, active_at) {
            (true, None) => say(&format!("@up {}", now().as_nanos())),
            (false, Some(last)) => say(&format!("@down {} {}", last.as_nanos(), now().as_nanos())),
            _ => {}
        }
        active_at = level.then_some(before);
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// The smallest daemon: a loop that beats, opens when it is told, and tells what the guard said.
fn daemon(place: &Path, spawns: bool) {
    let (line, socket) = (place.join("relay"), place.join("guard.sock"));
    let program = PathBuf::from(env!("CARGO_BIN_EXE_cardea"));
    let spawner = spawns.then(|| {
        Spawner::start(GuardCommand { program, line: LineSpec::Sim(line), socket: socket.clone() })
            .expect("a guard is started")
    });
    let mut guard = GuardClient::connect(&socket, PATIENCE).expect("a guard");
    let (tx, orders) = channel();
    std::thread::spawn(move || {
        for order in std::io::stdin().lines().map_while(Result::ok) {
            let _gone = tx.send(order);
        }
    });
    say("@ready");
    let mut beaten = None;
    let mut pid = 0;
    loop {
        if beaten.is_none_or(|at: Instant| at.elapsed() >= ms(250)) {
            let _gone = guard.heartbeat();
            beaten = Some(Instant::now());
        }
        if let Some(new) = spawner.as_ref().map(Spawner::pid).filter(|new| *new != 0 && *new != pid) {
            pid = new;
            say(&format!("@guard {pid}"));
        }
        for e in guard.edges() {
            let visit = e.visit.map_or("-".to_owned(), |v| v.0.to_string());
            say(&format!("@edge {} {} {} {visit}", e.number, u8::from(e.energised), e.cause.name()));
        }
        let order = match orders.recv_timeout(ms(20)) {
            Ok(order) => order,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => std::process::exit(0),
        };
        match order.split(' ').collect::<Vec<_>>()[..] {
            ["open", visit, hold] => {
                let (visit, hold) = (visit.parse().expect("a visit"), hold.parse().expect("milliseconds"));
                match guard.open(VisitId(visit), ms(hold)) {
                    Ok(()) => say("@opened"),
                    Err(why) => say(&format!("@refused {why:?}")),
                }
            }
            ["panic"] => {
                say(&format!("@panics {}", now().as_nanos()));
                panic!("as the test wishes");
            }
            ["quit"] => {
                drop(spawner);
                std::process::exit(0);
            }
            _ => panic!("no order {order}"),
        }
    }
}
