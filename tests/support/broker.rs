//! A real mosquitto and an independent client of it, both ended with the value that holds them.

use rustix::process::{Pid, Signal, kill_process};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take that is not a stall made on purpose. Nothing waits for it in a good run.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// True when the environment says that `tool` is missing on purpose; panics with a hint when it is just missing.
pub fn left_out(test: &str, tool: &str) -> bool {
    if std::env::var("CARDEA_TEST_WITHOUT").is_ok_and(|list| list.split(',').any(|t| t.trim() == tool)) {
        println!("left out: {test} (without {tool})");
        return true;
    }
    let found = std::env::var_os("PATH")
        .is_some_and(|p| std::env::split_paths(&p).chain(["/usr/sbin".into()]).any(|d| d.join(tool).is_file()));
    assert!(found, "{tool} is missing; run: apt-get install mosquitto mosquitto-clients openssl");
    false
}

/// Polls until `done`; panics with `what` when it does not come about.
pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < DEADLINE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A port that nobody listens on and nobody is handed. It lies below those that the kernel gives to outgoing connections
/// (32768 and up): one of these may be the near end of a client's connection by the time that a broker wants it.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 500).expect("is small") * 20;
    (0..500)
        .map(|_| 20_000 + (own + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

/// A broker on a port of its own, with its store in a directory of its own.
pub struct Broker {
    dir: TempDir,
    pub port: u16,
    extra: String,
    /// Its log leaves single packets out: with many clients that is most of its work.
    pub quiet: bool,
    child: Option<Child>,
    starts: usize,
}

impl Broker {
    /// Finds a port and writes the configuration; does not start.
    pub fn prepared() -> Broker {
        Broker::prepared_with("")
    }

    /// The same with further lines of configuration.
    pub fn prepared_with(extra: &str) -> Broker {
        Broker {
            dir: tempfile::tempdir().expect("a directory"),
            port: free_port(),
            extra: extra.to_owned(),
            quiet: false,
            child: None,
            starts: 0,
        }
    }

    /// Prepared and started.
    pub fn started() -> Broker {
        let mut broker = Broker::prepared();
        broker.start();
        broker
    }

    /// Starts it, and returns when it takes connections.
    pub fn start(&mut self) {
        let store = self.dir.path().display();
        let mut text = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\npersistence true\n\
             persistence_location {store}/\nlog_dest stderr\nlog_type {}\n{}",
            self.port,
            if self.quiet { "information\nlog_type notice\nlog_type warning\nlog_type error" } else { "all" },
            self.extra
        );
        if rustix::process::geteuid().is_root() {
            writeln!(text, "\nuser root").expect("writes into a string");
        }
        let conf = self.dir.path().join("mosquitto.conf");
        std::fs::write(&conf, text).expect("writes the configuration");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path()).expect("opens the log");
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let child = Command::new("mosquitto")
            .env("PATH", path)
            .arg("-c")
            .arg(&conf)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("mosquitto starts");
        self.child = Some(child);
        // Its own word counts: somebody else may listen there, and then it has ended. The log holds earlier starts too.
        self.starts += 1;
        wait_for("mosquitto runs", || {
            let ended = self.child.as_mut().is_some_and(|c| c.try_wait().is_ok_and(|state| state.is_some()));
            assert!(!ended, "mosquitto ended: {}", self.log());
            self.log().matches(" running\n").count() >= self.starts
        });
    }

    /// Freezes it: connections stay, answers do not come.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Ends a freeze.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGKILL, also out of a freeze.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("is ours");
            child.wait().expect("ends");
        }
    }

    /// SIGTERM: it ends as a system service does.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        if let Some(mut child) = self.child.take() {
            child.wait().expect("ends");
        }
    }

    /// Makes it write its store now, and returns when `client_id` stands in it: sessions then survive [`Broker::kill`].
    pub fn save_session_of(&self, client_id: &str) {
        let store = self.dir.path().join("mosquitto.db");
        wait_for("the broker saves the session", || {
            self.signal(Signal::USR1);
            std::fs::read(&store).is_ok_and(|bytes| bytes.windows(client_id.len()).any(|w| w == client_id.as_bytes()))
        });
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("broker.log")
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("is ours");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One message as mosquitto_sub saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub retained: bool,
    pub topic: String,
    pub payload: String,
}

/// mosquitto_sub: a client that we did not write.
pub struct Subscriber {
    child: Child,
    lines: Receiver<String>,
    pub seen: Vec<Message>,
    /// Messages that [`Subscriber::next`] has passed.
    read: usize,
}

impl Subscriber {
    /// Subscribes to `filter` at QoS 1; returns when the broker has confirmed that.
    pub fn new(broker: &Broker, filter: &str) -> Subscriber {
        Subscriber::with(broker, filter, &[])
    }

    /// The same with a session that the broker keeps under `client_id`.
    pub fn keeping(broker: &Broker, filter: &str, client_id: &str) -> Subscriber {
        Subscriber::with(broker, filter, &["-c", "-x", "86400", "-i", client_id])
    }

    /// Tries again when mosquitto_sub ends without a subscription: the broker may have closed the first connection.
    fn with(broker: &Broker, filter: &str, more: &[&str]) -> Subscriber {
        let mut said = Vec::new();
        for _ in 0..5 {
            let subscriber = Subscriber::run(broker, filter, more);
            while let Ok(line) = subscriber.lines.recv_timeout(DEADLINE) {
                if line.starts_with("Subscribed") {
                    return subscriber;
                }
                said.push(line);
            }
        }
        panic!("mosquitto_sub did not subscribe: {said:?}\n{}", broker.log());
    }

    fn run(broker: &Broker, filter: &str, more: &[&str]) -> Subscriber {
        // Its notes about the subscription stay in a buffer when they go into a pipe, unless they are told not to.
        let mut child = Command::new("stdbuf")
            .args(["-oL", "mosquitto_sub"])
            .args(["-h", "127.0.0.1", "-p", &broker.port.to_string(), "-V", "mqttv5", "-q", "1"])
            .args(["-d", "-t", filter, "-F", ">%r %t %p"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("mosquitto_sub starts");
        let out = child.stdout.take().expect("is piped");
        let (tx, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if tx.send(line).is_err() {
                    return;
                }
            }
        });
        Subscriber { child, lines, seen: vec![], read: 0 }
    }

    /// The first message of all that fits, also one that has come before; panics when none comes.
    pub fn until(&mut self, what: &str, fits: impl FnMut(&Message) -> bool) -> Message {
        self.first(what, 0, fits).1
    }

    /// The first message that fits behind the one that the last call of this found.
    pub fn next(&mut self, what: &str, fits: impl FnMut(&Message) -> bool) -> Message {
        let (at, message) = self.first(what, self.read, fits);
        self.read = at + 1;
        message
    }

    fn first(&mut self, what: &str, mut at: usize, mut fits: impl FnMut(&Message) -> bool) -> (usize, Message) {
        loop {
            while let Some(message) = self.seen.get(at) {
                if fits(message) {
                    return (at, message.clone());
                }
                at += 1;
            }
            let _line = self.line(what);
        }
    }

    /// Takes in what has come, and waits for nothing.
    pub fn drain(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            self.take(&line);
        }
    }

    /// The payloads on `topic` so far.
    pub fn payloads(&self, topic: &str) -> Vec<&str> {
        self.seen.iter().filter(|m| m.topic == topic).map(|m| m.payload.as_str()).collect()
    }

    fn line(&mut self, what: &str) -> String {
        let line = self.lines.recv_timeout(DEADLINE).unwrap_or_else(|e| panic!("waited in vain for {what}: {e}"));
        self.take(&line);
        line
    }

    fn take(&mut self, line: &str) {
        if let Some((retained, rest)) = line.strip_prefix('>').and_then(|l| l.split_once(' ')) {
            let (topic, payload) = rest.split_once(' ').unwrap_or((rest, ""));
            self.seen.push(Message { retained: retained == "1", topic: topic.into(), payload: payload.into() });
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _either_way = self.child.wait();
    }
}
