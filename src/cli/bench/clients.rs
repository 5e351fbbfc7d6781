//! Who floods the terminal in `bench --load`: web clients and a publisher of junk, on a thread each. They speak just enough
//! of WebSocket and MQTT over loopback to be a burden, and run at a lower priority: real ones have processors of their own.

use crate::cli::{Code, Failure};
use crate::vision::frame::Frame;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Steps of niceness below the daemon's threads.
const NICE: i32 = 15;
/// An answer on loopback is there by then.
const ANSWER: Duration = Duration::from_secs(20);

/// A thread that floods until it is dropped.
pub(super) struct Flood {
    stop: Arc<AtomicBool>,
    /// Messages or pictures that went out.
    sent: Arc<AtomicU64>,
    /// Sessions that are connected.
    connected: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    fn start(life: impl FnOnce(&AtomicBool, &AtomicU64, &AtomicU64) + Send + 'static) -> Flood {
        let (stop, sent, connected) = <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let shared = (stop.clone(), sent.clone(), connected.clone());
        let thread = std::thread::spawn(move || {
            // Without the lower priority the figures are the worse ones.
            let _as_it_is = rustix::process::nice(NICE);
            life(&shared.0, &shared.1, &shared.2);
        });
        Flood { stop, sent, connected, thread: Some(thread) }
    }

    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub fn connected(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// `n` sessions that send `fps` pictures a second each; one that ends is followed by another.
pub(super) fn sessions(at: SocketAddr, n: u32, fps: u32, frames: &[Frame]) -> Flood {
    let pictures: Vec<Vec<u8>> = frames.iter().map(|f| message(&f.data)).collect();
    Flood::start(move |stop, sent, connected| {
        let apart = Duration::from_secs(1) / n.max(1) / fps.max(1);
        let mut clients: Vec<Option<TcpStream>> = (0..n).map(|_| session(at)).collect();
        let mut due = Instant::now();
        for turn in 0_usize.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let (client, picture) = (turn % clients.len(), turn / clients.len() + turn);
            let fine = clients[client].as_mut().is_some_and(|c| {
                let gone = c.write_all(&pictures[picture % pictures.len()]).is_err() || over(c);
                sent.fetch_add(1, Ordering::Relaxed);
                !gone
            });
            if !fine {
                clients[client] = session(at);
            }
            connected.store(clients.iter().flatten().count() as u64, Ordering::Relaxed);
            // Who is behind does not catch up: a camera does not either.
            due = (due + apart).max(Instant::now().checked_sub(apart).unwrap_or(due));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    })
}

/// A session with its open WebSocket; `None` when the terminal has no place for it now.
fn session(at: SocketAddr) -> Option<TcpStream> {
    let body = r#"{"goal":"identify"}"#;
    let ask = format!(
        "POST /api/v1/sessions HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut tcp = connect(at)?;
    tcp.write_all(ask.as_bytes()).ok()?;
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).ok()?;
    let made: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    let mut tcp = connect(at)?;
    let path = made["ws"].as_str()?;
    let upgrade = format!(
        "GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    tcp.write_all(upgrade.as_bytes()).ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tcp.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    head.starts_with(b"HTTP/1.1 101").then_some(tcp)
}

fn connect(at: SocketAddr) -> Option<TcpStream> {
    let tcp = TcpStream::connect(at).ok()?;
    tcp.set_read_timeout(Some(ANSWER)).ok()?;
    tcp.set_write_timeout(Some(ANSWER)).ok()?;
    tcp.set_nodelay(true).ok()?;
    Some(tcp)
}

/// Takes in what came; true when the session has its verdict or is gone.
fn over(tcp: &mut TcpStream) -> bool {
    let mut buffer = [0; 16 << 10];
    let mut ended = tcp.set_nonblocking(true).is_err();
    while !ended {
        match tcp.read(&mut buffer) {
            Ok(0) => ended = true,
            Ok(n) => ended = buffer[..n].windows(15).any(|w| w == br#""type":"result""#),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(_) => ended = true,
        }
    }
    ended || tcp.set_nonblocking(false).is_err()
}

/// A binary message as a client sends it. Its mask is zero, which is one of those that may be drawn.
fn message(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x82];
    match data.len() {
        n @ 0..126 => out.push(0x80 | n as u8),
        n @ 126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(0x80 | 127);
            out.extend((n as u64).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(data);
    out
}

/// `rate` commands a second, none of them good.
///
/// # Errors
/// The broker does not take the connection.
pub(super) fn junk(port: u16, device: &str, rate: u32) -> Result<Flood, Failure> {
    let refused =
        |e: std::io::Error| Failure::new(Code::Unavailable, "mosquitto", e, "give --messages 0, or look at its log");
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).map_err(refused)?;
    tcp.write_all(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x00\x00\x05bench").map_err(refused)?;
    let mut answer = [0; 4];
    tcp.read_exact(&mut answer).map_err(refused)?;
    if (answer[0], answer[3]) != (0x20, 0) {
        return Err(refused(std::io::Error::other("it refuses connections without a password")));
    }
    let topics = ["unlock", "hold", "remove", "explode"].map(|c| format!("cardea/{device}/cmd/{c}"));
    Ok(Flood::start(move |stop, sent, connected| {
        connected.store(1, Ordering::Relaxed);
        let began = Instant::now();
        let mut n: u64 = 0;
        while !stop.load(Ordering::Relaxed) {
            while n < began.elapsed().as_millis() as u64 * u64::from(rate) / 1_000 {
                let payload = match n % 3 {
                    0 => format!(r#"{{"id":"b{n}","at":1,"expires":2,"hmac":"{n:064x}"}}"#),
                    1 => format!(r#"{{"id":"b{n}""#),
                    _ => "x".repeat(4_000),
                };
                if tcp.write_all(&publish(&topics[n as usize % topics.len()], payload.as_bytes())).is_err() {
                    return;
                }
                n += 1;
                sent.store(n, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }))
}

/// PUBLISH of MQTT 3.1.1 at quality 0.
fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut rest = 2 + topic.len() + payload.len();
    let mut out = vec![0x30];
    while rest > 127 {
        out.push(0x80 | (rest % 128) as u8);
        rest /= 128;
    }
    out.push(rest as u8);
    out.extend((topic.len() as u16).to_be_bytes());
    out.extend(topic.as_bytes());
    out.extend(payload);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_the_protocols_say() {
        assert_eq!(message(&[7; 5])[..7], [0x82, 0x85, 0, 0, 0, 0, 7]);
        assert_eq!(message(&[7; 300])[..8], [0x82, 0xFE, 1, 44, 0, 0, 0, 0]);
        assert_eq!(message(&vec![7; 70_000])[..10], [0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
        assert_eq!(publish("a/b", b"xy"), [0x30, 7, 0, 3, b'a', b'/', b'b', b'x', b'y']);
        assert_eq!(publish("t", &[0; 200])[..4], [0x30, 0xCB, 1, 0]);
    }
}
