//! The demo's own broker and subscriber: real ones, started and stopped as programs.

use super::io;
use crate::cli::{Code, Failure};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// A broker that may be away for a while, and who listens to it.
pub struct Broker {
    config: PathBuf,
    port: u16,
    broker: Option<Child>,
    subscriber: Option<Child>,
    seen: Arc<(Mutex<BTreeSet<u64>>, Condvar)>,
}

/// A port that nobody listens on.
pub fn free_port() -> Result<u16, Failure> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    bound.map(|a| a.port()).map_err(|e| Failure::new(Code::Io, "127.0.0.1", e, "free a port"))
}

impl Broker {
    /// Starts both.
    pub fn start(work: &Path, port: u16) -> Result<Self, Failure> {
        let config = work.join("mosquitto.conf");
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n");
        std::fs::write(&config, text).map_err(|e| io(&config, e))?;
        let mut b = Broker { config, port, broker: None, subscriber: None, seen: Arc::default() };
        b.up()?;
        Ok(b)
    }

    /// Takes the broker away; the subscriber goes with it.
    pub fn down(&mut self) -> Result<(), Failure> {
        for child in [self.subscriber.take(), self.broker.take()].into_iter().flatten() {
            end(child);
        }
        Ok(())
    }

    /// Brings it back.
    pub fn up(&mut self) -> Result<(), Failure> {
        if self.broker.is_some() {
            return Ok(());
        }
        let missing = |program: &str| {
            let program = program.to_owned();
            move |e: std::io::Error| {
                Failure::new(Code::Unavailable, program, e, "apt install mosquitto mosquitto-clients")
            }
        };
        let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
        let broker = Command::new("mosquitto")
            .arg("-c")
            .arg(&self.config)
            .env("PATH", &path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(missing("mosquitto"))?;
        self.broker = Some(broker);
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if started.elapsed() > Duration::from_secs(10) {
                return Err(Failure::new(Code::Unavailable, "mosquitto", "does not listen", "try `mosquitto -v`"));
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        let mut subscriber = Command::new("mosquitto_sub")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-V", "mqttv5", "-q", "1", "-t", "cardea/+/log"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(missing("mosquitto_sub"))?;
        if let Some(out) = subscriber.stdout.take() {
            let seen = self.seen.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    let seq = serde_json::from_str::<serde_json::Value>(&line).ok().and_then(|v| v["seq"].as_u64());
                    if let Some(seq) = seq {
                        seen.0.lock().expect("seen mutex: no holder panics").insert(seq);
                        seen.1.notify_all();
                    }
                }
            });
        }
        self.subscriber = Some(subscriber);
        Ok(())
    }

    /// Different records that the subscriber has had.
    pub fn delivered(&self) -> u64 {
        self.seen.0.lock().expect("seen mutex: no holder panics").len() as u64
    }

    /// Waits until the subscriber has had so many, at most half a minute.
    pub fn wait_for(&self, records: u64) {
        let seen = self.seen.0.lock().expect("seen mutex: no holder panics");
        let _timed_out = self.seen.1.wait_timeout_while(seen, Duration::from_secs(30), |s| (s.len() as u64) < records);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        for child in [self.subscriber.take(), self.broker.take()].into_iter().flatten() {
            end(child);
        }
    }
}

fn end(mut child: Child) {
    // Both fail only when it has ended already.
    let _ended = child.kill();
    let _reaped = child.wait();
}
