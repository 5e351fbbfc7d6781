//! Clients that mean harm, at a terminal whose door goes on: uploads over the limit, pictures that are bombs, pieces of
//! requests and messages, thousands of connections. Each hears a clear word or is cut off, memory stays bounded, nothing is
//! left, and the door lets ada in afterwards.

#[path = "support/door.rs"]
mod door;
mod support;
#[path = "support/web.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod web;

use door::{count, door, enrol, granted, resident};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tungstenite::Message;
use web::{Client, PATIENCE, Stream, Terminal, hear, picture};

/// Somebody whom the door knows is let in, and no session has opened it.
fn goes_on(t: &Terminal) {
    let before = granted(t);
    t.wait("a grant at the door", || granted(t) > before);
    assert!(count(t, "cardea_records_total{type=\"relay.energised\"}") <= granted(t));
}

/// Sends a head and `size` bytes without reading, as many clients do, and then reads the answer.
fn sends_all(mut to: Stream, path: &str, kind: &str, headers: &str, size: usize) -> String {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{headers}Content-Length: {size}\r\n\r\n"
    );
    to.write_all(head.as_bytes()).expect("sent");
    let part = vec![b' '; 1 << 16];
    for n in 0..size / part.len() {
        to.write_all(&part).unwrap_or_else(|e| panic!("{path}: {e} after {n} parts of 64 KiB"));
    }
    let mut said = vec![0; 4096];
    let n = to.read(&mut said).unwrap_or_else(|e| panic!("{path}: no answer: {e}"));
    String::from_utf8_lossy(&said[..n]).into_owned()
}

#[test]
fn an_upload_over_the_limit_hears_so_although_it_goes_on_sending() {
    for tls in [true, false] {
        let t = Terminal::start(|dir| door(dir).into_iter().chain([format!("web.tls={tls}")]).collect());
        let admin = t.admin();
        enrol(&admin);
        let login = format!("Cookie: {}\r\nX-CSRF-Token: {}\r\n", admin.header("cookie"), admin.header("x-csrf-token"));
        let before = resident(&t);
        let photos = "/api/v1/people/bob/photos";
        for (path, kind, headers, size, status) in [
            (photos, "image/jpeg", login.as_str(), 40 << 20, 413),
            (photos, "multipart/form-data; boundary=x", &login, 40 << 20, 413),
            (photos, "text/plain", &login, 20 << 20, 415),
            (photos, "image/jpeg", "", 20 << 20, 401),
            ("/api/v1/login", "application/json", "", 1 << 20, 413),
            ("/api/v1/sessions", "application/json", "", 40 << 20, 413),
            ("/api/v1/nothing", "application/json", "", 4 << 20, 404),
        ] {
            let said = sends_all(t.stream(), path, kind, headers, size);
            assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{path}, {kind}: {said}");
            assert!(said.contains("application/problem+json"), "{path}: {said}");
        }
        assert!(resident(&t) < before + (64 << 20), "memory grew");
        // Beyond all measure it is cut off.
        let mut endless = t.stream();
        let head = "POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n";
        endless.write_all(head.as_bytes()).expect("sent");
        let part = vec![b' '; 1 << 16];
        assert!((0..4096).any(|_| endless.write_all(&part).is_err()), "256 MiB were taken");
        goes_on(&t);
    }
}

/// PNG, as its decoder reads it: signature and one chunk with its checksum.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut head = b"IHDR".to_vec();
    head.extend(width.to_be_bytes());
    head.extend(height.to_be_bytes());
    head.extend([8, 2, 0, 0, 0]);
    let crc = !head.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xEDB8_8320 } else { c >> 1 })
    });
    let mut out = b"\x89PNG\r\n\x1A\n\0\0\0\x0D".to_vec();
    out.extend(head);
    out.extend(crc.to_be_bytes());
    out.extend(b"\0\0\0\x08IDAT\x78\x9C\x03\0\0\0\0\x01\0\0\0\0");
    out
}

/// A JPEG whose header says `side` each way and whose data end at once.
fn jpeg(side: u16) -> Vec<u8> {
    let [hi, lo] = side.to_be_bytes();
    let mut out = vec![0xFF, 0xD8, 0xFF, 0xC0, 0, 11, 8, hi, lo, hi, lo, 1, 1, 0x11, 0];
    out.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 7, 0xFF, 0xD9]);
    out
}

/// Extended WebP: the canvas in 24 bits each way, less one.
fn webp(side: u32) -> Vec<u8> {
    let canvas = (side - 1).to_le_bytes();
    let mut out = b"RIFF\x16\0\0\0WEBPVP8X\x0A\0\0\0\0\0\0\0".to_vec();
    out.extend(&canvas[..3]);
    out.extend(&canvas[..3]);
    out
}

fn gif(side: u16) -> Vec<u8> {
    let [lo, hi] = side.to_le_bytes();
    let mut out = b"GIF89a".to_vec();
    out.extend([
        lo, hi, lo, hi, 0x80, 0, 0, 0, 0, 0, 9, 9, 9, b',', 0, 0, 0, 0, lo, hi, lo, hi, 0, 2, 2, 0x4C, 1, 0, b';',
    ]);
    out
}

fn bmp(side: u32) -> Vec<u8> {
    let mut out = b"BM\x3A\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    out.extend(side.to_le_bytes());
    out.extend(side.to_le_bytes());
    out.extend([1, 0, 24, 0]);
    out.resize(58, 0);
    out
}

fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("png", png(60_000, 60_000)),
        ("png that is only wide", png(4_000_000_000, 1)),
        ("jpeg", jpeg(60_000)),
        ("webp", webp(60_000)),
        ("gif", gif(60_000)),
        ("bmp", bmp(60_000)),
    ]
}

#[test]
fn pictures_that_are_bombs_are_refused_before_they_are_unpacked() {
    let t = Terminal::start(door);
    let admin = t.admin();
    enrol(&admin);
    let before = resident(&t);
    let upload = |what: &str, kind: &str, bytes: Vec<u8>| {
        let done = admin.upload("/api/v1/people/ada/photos?allow_duplicate=true", kind, bytes);
        assert!([201, 422].contains(&done.status), "{what}: {} {}", done.status, done.text);
        done
    };
    for (what, bytes) in bombs() {
        let done = upload(what, "application/octet-stream", bytes);
        let refused = &done.json()["refused"][0];
        assert!(done.status == 422 && refused["hint"].as_str().is_some_and(|h| !h.is_empty()), "{what}: {}", done.text);
    }
    // Everything of the corpus, good and bad; the good ones are a face to the script.
    let corpus = support::shared().join("data/bad");
    let mut refused = 0;
    for entry in std::fs::read_dir(corpus).expect("the corpus").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".csv") {
            continue;
        }
        let done = upload(&name, "application/octet-stream", std::fs::read(entry.path()).expect("a file"));
        refused += usize::from(done.status == 422);
        assert!(!name.contains("bomb") && !name.contains("65535") || done.status == 422, "{name}: {}", done.text);
    }
    assert!(refused >= 5, "{refused}");
    let many = "--x\r\ncontent-disposition: form-data; name=\"photo\"\r\n\r\nx\r\n".repeat(100_000) + "--x--\r\n";
    let done = admin.upload("/api/v1/people/ada/photos", "multipart/form-data; boundary=x", many.into_bytes());
    assert_eq!((done.status, done.code()), (400, "malformed".into()), "a hundred thousand parts");

    // The same as a target, and as a picture of a session.
    let (id, ws) = session(&t, "verify");
    for (what, bytes) in bombs() {
        let target = t.client().upload(&format!("/api/v1/sessions/{id}/target"), "image/jpeg", bytes);
        assert_eq!((target.status, target.code()), (422, "target".into()), "{what}");
    }
    let mut socket = t.websocket(&ws, &[]).expect("connects");
    for (what, bytes) in bombs() {
        socket.send(Message::Binary(bytes.into())).expect("sent");
        let said = hear(&mut socket, PATIENCE).expect("an answer");
        assert_eq!((&said["type"], &said["code"]), (&json!("error"), &json!("picture")), "{what}: {said}");
    }
    let _too_large = socket.send(Message::Binary(vec![0; 3 << 20].into()));
    assert_eq!(hear(&mut socket, PATIENCE), None, "a message over the limit ends it");
    t.wait("everything to be forgotten", || t.metric("cardea_web_sessions") == 0.0);
    let grown = resident(&t).saturating_sub(before);
    assert!(grown <= 128 << 20, "{} MiB more", grown >> 20);
    goes_on(&t);
}

/// A session's id and the address of its WebSocket.
fn session(t: &Terminal, goal: &str) -> (String, String) {
    let made = t.client().post("/api/v1/sessions", &json!({"goal": goal}));
    assert_eq!(made.status, 201, "{}", made.text);
    let text = |v: &Value| v.as_str().expect("a text").to_owned();
    (text(&made.json()["id"]), text(&made.json()["ws"]))
}

/// Reads until the server ends the connection.
fn ends(mut stream: Stream) -> String {
    let mut said = Vec::new();
    let _reset = stream.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn pieces_of_requests_and_messages_are_waited_for_only_so_long() {
    let t = Terminal::start(|dir| {
        door(dir)
            .into_iter()
            .map(|s| if s.starts_with("web.session_ttl_s") { "web.session_ttl_s=10".into() } else { s })
            .collect()
    });
    let admin = t.admin();
    enrol(&admin);
    let upgrade = |ws: &str| {
        format!(
            "GET {ws} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        )
    };
    let began = Instant::now();
    std::thread::scope(|scope| {
        let half = |text: String| {
            let mut stream = t.stream();
            scope.spawn(move || {
                let _cut_off_already = stream.write_all(text.as_bytes());
                ends(stream)
            })
        };
        // Headers that end in the middle, a body that does not come, a WebSocket's handshake without its end.
        let header = half("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ".into());
        let head = "POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        let body = half(format!("{head}Content-Length: 1000\r\n\r\n{{"));
        let chunk = half(format!("{head}Transfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n{{"));
        let handshake = half(upgrade(&session(&t, "identify").1));
        // A handshake that is one byte at a time, and too much of a header.
        let drip = scope.spawn(|| {
            let mut stream = t.stream();
            let text = upgrade("/api/v1/sessions/nobody/ws");
            let cut = text.bytes().any(|byte| {
                std::thread::sleep(Duration::from_millis(500));
                stream.write_all(&[byte]).is_err()
            });
            (cut, ends(stream))
        });
        let long = half(format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(1 << 20)));
        // A message of which only the beginning comes, and one that goes on for ever in pieces.
        let message = half(upgrade(&session(&t, "identify").1) + "\r\n\u{2}\u{7f}");
        assert!(!header.join().expect("ended").contains("200 OK"));
        for said in [body, chunk].map(|h| h.join().expect("ended")) {
            assert!(said.starts_with("HTTP/1.1 4"), "{said}");
        }
        assert!(!handshake.join().expect("ended").contains("101"));
        let (cut, said) = drip.join().expect("ended");
        assert!(cut && !said.contains("200"), "{said}");
        assert!(!long.join().expect("ended").contains("200 OK"));
        assert!(message.join().expect("ended").starts_with("HTTP/1.1 101"));
    });
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    t.wait("everything to be forgotten", || {
        ["sessions", "sessions_connected", "visits_held"].iter().all(|m| t.metric(&format!("cardea_web_{m}")) == 0.0)
    });
    goes_on(&t);
}

fn descriptors(t: &Terminal) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", t.pid())).expect("it runs").count()
}

#[test]
fn ten_thousand_connections_leave_neither_descriptors_nor_memory() {
    let t = Terminal::start(door);
    let admin = t.admin();
    enrol(&admin);
    let come_and_go = |n: u32, say: &[u8]| {
        for i in 0..n {
            let mut tcp = TcpStream::connect(("127.0.0.1", t.port)).unwrap_or_else(|e| panic!("connection {i}: {e}"));
            let _closed_at_once = tcp.write_all(say);
        }
    };
    let files = descriptors(&t);
    come_and_go(1_000, b"");
    t.wait("the first of them to be closed", || descriptors(&t) <= files + 2);
    let memory = resident(&t);
    for say in [&b""[..], b"\x16\x03\x01", b"GET / HTTP/1.1\r\n", &[0xFF; 200]] {
        come_and_go(2_250, say);
    }
    t.wait("the connections to be closed", || descriptors(&t) <= files + 2);
    let grown = resident(&t).saturating_sub(memory);
    assert!(grown <= 20 << 20, "{} KiB more", grown >> 10);
    let health: Client<'_> = t.client();
    assert_eq!(health.get("/healthz").status, 200);
    assert_eq!(admin.upload("/api/v1/people/ada/photos", "image/jpeg", picture(1)).status, 201);
    goes_on(&t);
}
