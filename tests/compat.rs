//! The listeners for clients of other systems, from outside, in their own words: S1 over a WebSocket, S2 and S3 over HTTP,
//! S4 as a form. The terminal is a real daemon; its networks follow a script in which somebody blinks and turns.

#[path = "support/web.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod web;

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};
use tungstenite::{Message, WebSocket};
use web::{PASSWORD, PATIENCE, Terminal, picture, scripted};

/// From here on somebody is there, and every [`CYCLE`] pictures they blink, turn left, turn right, open their mouth.
const FACE: u64 = 3;
const CYCLE: u64 = 32;
/// A picture each so often: between the two a second that suffice and the eight from which a turn must show its relief,
/// which scripted faces do not have.
const PACE: Duration = Duration::from_millis(160);

fn face(live: f64, person: u64, more: &[(&str, Value)]) -> Value {
    let mut face = json!({"box": [100.0, 50.0, 120.0, 140.0], "live": live, "person": person});
    for (key, value) in more {
        face[key] = value.clone();
    }
    face
}

/// A script of somebody who does everything again and again.
fn busy(live: f64) -> Value {
    let mut rows = vec![
        json!({"frames": [FACE, 100_000], "face": face(live, 7, &[])}),
        json!({"frames": [0, 0], "face": face(0.99, 7, &[])}),
    ];
    for cycle in 0..60 {
        let mut row = |from: u64, to: u64, more: &[(&str, Value)]| {
            let at = 16 + cycle * CYCLE;
            rows.push(json!({"frames": [at + from, at + to], "face": face(live, 7, more)}));
        };
        // One picture, which is half a second at two a second: longer is no blink.
        row(0, 0, &[("openness", json!([0.05, 0.05]))]);
        row(6, 9, &[("yaw", json!(35))]);
        row(14, 17, &[("yaw", json!(-35))]);
        row(22, 27, &[("mouth", json!(0.4))]);
    }
    json!({"picture": [320.0, 240.0], "rows": rows})
}

/// A terminal with these listeners, each on a free port.
struct Old {
    t: Terminal,
}

impl Old {
    fn start(script: &Value, names: &[&str], more: &[&str]) -> Old {
        let t = Terminal::start(|dir| {
            let mut all = scripted(dir, script);
            for name in names {
                all.push(format!("web.compat.{name}.enabled=true"));
                all.push(format!("web.compat.{name}.listen=\"127.0.0.1:0\""));
            }
            all.extend(more.iter().map(|s| (*s).to_owned()));
            all
        });
        Old { t }
    }

    /// Address of a listener, as the log tells it.
    fn url(&mut self, name: &str) -> String {
        let line = self.t.wait_for_log(&format!("clients of {name} are served at "));
        let rest = line.split("are served at ").nth(1).expect("an address");
        let url: String = rest.trim().chars().take_while(|c| *c != '"').collect();
        url.trim_end_matches('/').replace("127.0.0.1", "localhost")
    }

    fn client(&mut self, name: &str) -> Http {
        let base = self.url(name);
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(PATIENCE));
        if base.starts_with("https") {
            let pem = std::fs::read(self.t.state().join("web-cert.pem")).expect("a certificate");
            let cert = ureq::tls::Certificate::from_pem(&pem).expect("PEM");
            let roots = ureq::tls::RootCerts::new_with_certs(&[cert]);
            config = config.tls_config(ureq::tls::TlsConfig::builder().root_certs(roots).build());
        }
        Http { base, agent: config.build().into(), cookies: Vec::new(), keeps: true, headers: Vec::new() }
    }

    fn records(&self, filter: &str) -> Vec<Value> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
        let out = command.args(["events", "list", "--json", "--state"]).arg(self.t.state()).output().expect("starts");
        let lines = String::from_utf8_lossy(&out.stdout).into_owned();
        let all = lines.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        all.filter(|r| r["type"].as_str().is_some_and(|t| t.starts_with(filter))).collect()
    }
}

struct Said {
    status: u16,
    text: String,
    headers: Vec<(String, String)>,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }
}

/// A client with or without a memory for cookies.
struct Http {
    base: String,
    agent: ureq::Agent,
    cookies: Vec<String>,
    keeps: bool,
    headers: Vec<(String, String)>,
}

impl Http {
    fn called(mut self, agent: &str) -> Self {
        self.headers.push(("user-agent".into(), agent.into()));
        self
    }

    fn send(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) -> Said {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if !self.cookies.is_empty() {
            request = request.header("cookie", self.cookies.join("; "));
        }
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        let answered = match method {
            "GET" | "OPTIONS" => self.agent.run(request.body(()).expect("a request")),
            _ => self.agent.run(request.body(body.to_vec()).expect("a request")),
        };
        let mut answer = answered.unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        let headers: Vec<(String, String)> =
            answer.headers().iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap_or_default().to_owned())).collect();
        if self.keeps {
            for (_, cookie) in headers.iter().filter(|(n, _)| n == "set-cookie") {
                let pair = cookie.split(';').next().expect("a pair").to_owned();
                let name = pair.split('=').next().expect("a name").to_owned();
                self.cookies.retain(|c| !c.starts_with(&format!("{name}=")));
                self.cookies.push(pair);
            }
        }
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        Said { status: answer.status().as_u16(), text, headers }
    }

    fn get(&mut self, path: &str) -> Said {
        self.send("GET", path, "", &[])
    }

    fn post(&mut self, path: &str, body: &Value) -> Said {
        self.send("POST", path, "application/json", body.to_string().as_bytes())
    }

    fn form(&mut self, path: &str, fields: &str) -> Said {
        self.send("POST", path, "application/x-www-form-urlencoded", fields.as_bytes())
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |c: &[u8], i: usize| {
        let n = c.iter().chain(&[0, 0]).take(3).fold(0_u32, |n, b| n << 8 | u32::from(*b));
        if i <= c.len() { char::from(DIGITS[(n >> (18 - 6 * i)) as usize & 63]) } else { '=' }
    };
    bytes.chunks(3).flat_map(|c| (0..4).map(move |i| digit(c, i))).collect()
}

/// One picture after another, at the pace of a client.
struct Camera {
    next: u32,
    last: Option<Instant>,
}

impl Camera {
    fn new() -> Self {
        Camera { next: 1, last: None }
    }

    fn shot(&mut self) -> Vec<u8> {
        if let Some(early) = self.last.and_then(|l| PACE.checked_sub(l.elapsed())) {
            std::thread::sleep(early);
        }
        self.last = Some(Instant::now());
        self.next += 1;
        picture(self.next % 299 + 1)
    }

    fn plain(&mut self) -> String {
        base64(&self.shot())
    }

    fn url(&mut self) -> String {
        format!("data:image/jpeg;base64,{}", self.plain())
    }
}

fn ws(url: &str, origin: Option<&str>) -> Result<WebSocket<TcpStream>, u16> {
    ws_at(url, "/ws", origin)
}

fn ws_at(url: &str, path: &str, origin: Option<&str>) -> Result<WebSocket<TcpStream>, u16> {
    use tungstenite::client::IntoClientRequest;
    let host = url.trim_start_matches("http://");
    let port: u16 = host.rsplit(':').next().and_then(|p| p.parse().ok()).expect("a port");
    let mut request = format!("ws://{host}{path}").into_client_request().expect("an address");
    if let Some(origin) = origin {
        request.headers_mut().insert("origin", origin.parse().expect("a value"));
    }
    let tcp = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    tcp.set_read_timeout(Some(PATIENCE)).expect("a socket");
    match tungstenite::client(request, tcp) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(r))) => Err(r.status().as_u16()),
        Err(e) => panic!("{e}"),
    }
}

fn ask(socket: &mut WebSocket<TcpStream>, what: &str) -> Value {
    socket.send(Message::Text(what.into())).expect("sent");
    loop {
        match socket.read().expect("an answer") {
            Message::Text(t) => return serde_json::from_str(&t).expect("JSON"),
            _ => continue,
        }
    }
}

fn frame(camera: &mut Camera) -> String {
    json!({"type": "frame", "data": camera.plain()}).to_string()
}

/// Sends frames until one has this answer.
fn until(socket: &mut WebSocket<TcpStream>, camera: &mut Camera, what: impl Fn(&Value) -> bool) -> (Value, Vec<Value>) {
    let end = Instant::now() + PATIENCE;
    let mut heard = Vec::new();
    while Instant::now() < end {
        let said = ask(socket, &frame(camera));
        if what(&said) {
            return (said, heard);
        }
        heard.push(said);
    }
    panic!("no such answer; heard {heard:?}");
}

#[test]
fn s1_judges_every_picture_and_passes_who_blinks_and_turns() {
    let mut old = Old::start(&busy(0.93), &["s1"], &[]);
    let mut http = old.client("s1");
    assert_eq!(http.get("/").json(), json!({"message": "Face Liveness Detection API", "status": "running"}));
    assert_eq!(http.get("/health").json(), json!({"status": "healthy", "model_loaded": true}));
    assert_eq!(http.get("/logs").json(), json!({"logs": [], "count": 0}));
    let mut socket = ws(&http.base, Some("http://localhost:3000")).expect("connects");
    assert_eq!(ask(&mut socket, r#"{"type":"ping"}"#), json!({"type": "pong"}));
    let mut camera = Camera::new();
    let none = ask(&mut socket, &frame(&mut camera));
    assert_eq!(none, json!({"type": "result", "face_detected": false, "message": "No face detected"}));
    let (passed, before) = until(&mut socket, &mut camera, |r| r["active_check_passed"] == true);
    let keys =
        ["type", "face_detected", "is_real", "confidence", "active_check_passed", "active_check_message", "bbox"];
    let mut names: Vec<&str> = passed.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    let mut expected = keys;
    expected.sort_unstable();
    assert_eq!(names, expected, "and no other field");
    assert_eq!((&passed["is_real"], &passed["confidence"]), (&json!(true), &json!(0.9)), "to a tenth");
    assert_eq!(passed["active_check_message"], "Active check passed");
    let bbox: Vec<f64> = passed["bbox"].as_array().expect("a box").iter().filter_map(Value::as_f64).collect();
    assert!((bbox[0] - 100.0).abs() < 12.0 && (bbox[2] - 120.0).abs() < 24.0, "pixels of the picture: {bbox:?}");
    let told = |m: &str| before.iter().any(|r| r["active_check_message"] == m);
    assert!(told("Please blink"), "{before:?}");
    assert!(told("Please turn your head left") || told("Please turn your head right"), "{before:?}");
    let stands = ask(&mut socket, &frame(&mut camera));
    assert_eq!(stands["active_check_passed"], true, "it stands while the face stays: {stands}");
    let reset = ask(&mut socket, r#"{"type":"reset_active_check"}"#);
    assert_eq!(reset, json!({"type": "active_check_reset", "message": "Active check reset"}));
    let (again, _) = until(&mut socket, &mut camera, |r| r["face_detected"] == true);
    assert_eq!(again["active_check_passed"], false, "{again}");
    let logs = http.get("/logs?limit=3").json();
    assert_eq!(logs["count"], 3);
    for key in ["id", "timestamp", "is_real", "confidence", "active_check_passed", "active_check_message", "metadata"] {
        assert!(!logs["logs"][0][key].is_null(), "{key} is missing in {logs}");
    }
    assert!(old.records("visit.ended").iter().any(|r| r["verdict"] == "granted" && r["goal"] == "liveness"));
    assert!(old.records("access.").is_empty(), "no session opens the door");
}

#[test]
fn s1_results_are_heard_by_the_viewers_of_the_same_session_alone() {
    let mut old = Old::start(&busy(0.99), &["s1"], &[]);
    let url = old.url("s1");
    let at = |name: &str| ws_at(&url, &format!("/ws?session={name}"), None).expect("connects");
    let (mut camera, mut viewer, mut stranger) = (at("lobby"), at("lobby"), at("yard"));
    let said = ask(&mut camera, &frame(&mut Camera::new()));
    let heard = viewer.read().expect("a message").into_text().expect("a text");
    assert_eq!(serde_json::from_str::<Value>(&heard).expect("JSON"), said);
    assert_eq!(ask(&mut stranger, r#"{"type":"ping"}"#), json!({"type": "pong"}), "and nothing before it");
}

#[test]
fn s1_tells_what_is_wrong_with_a_message_and_the_connection_stays() {
    let mut old = Old::start(&busy(0.99), &["s1"], &["web.compat.s1.cors_origins=[\"https://app.example.org\"]"]);
    let url = old.url("s1");
    assert_eq!(ws(&url, Some("https://evil.example")).err(), Some(403));
    assert!(ws(&url, Some("https://app.example.org")).is_ok());
    let mut socket = ws(&url, None).expect("a program connects");
    let big = format!(r#"{{"type":"frame","data":"{}"}}"#, "A".repeat(2 << 20));
    let header_only = base64(&picture(1)[..400]);
    let cut = format!(r#"{{"type":"frame","data":"{header_only}"}}"#);
    for (text, message) in [
        ("hello", "Invalid JSON"),
        ("[]", "Invalid JSON"),
        ("{}", "Message has no type"),
        (r#"{"type":"jump"}"#, "Unknown message type: jump"),
        (r#"{"type":"frame"}"#, "No frame data"),
        (r#"{"type":"frame","data":"%"}"#, "Invalid frame data"),
        (r#"{"type":"frame","data":"AAAA"}"#, "Invalid frame data"),
        (big.as_str(), "Invalid frame data"),
        (cut.as_str(), "Invalid frame data"),
    ] {
        assert_eq!(ask(&mut socket, text), json!({"type": "error", "message": message}), "{text:.60}");
    }
    assert_eq!(ask(&mut socket, r#"{"type":"ping"}"#), json!({"type": "pong"}));
}

#[test]
fn s1_is_switched_for_later_sessions_and_it_is_on_record_and_a_photo_never_passes() {
    let mut old = Old::start(&busy(0.2), &["s1"], &[]);
    let mut http = old.client("s1");
    let mut camera = Camera::new();
    let mut socket = ws(&http.base, None).expect("connects");
    let failed = "Active check failed: not a live face";
    let (_, heard) = until(&mut socket, &mut camera, |r| r["active_check_message"] == failed);
    assert!(heard.iter().all(|r| r["is_real"] != true && r["active_check_passed"] != true), "{heard:?}");
    let off = json!({"active_check_enabled": false, "message": "Active check disabled"});
    assert_eq!(http.post("/toggle-active-check", &json!({})).json(), off);
    let same = ask(&mut socket, &frame(&mut camera));
    assert_ne!(same["active_check_message"], "Active check disabled", "a session keeps what it began with");
    let mut later = ws(&http.base, None).expect("connects");
    let (said, _) = until(&mut later, &mut Camera::new(), |r| r["face_detected"] == true);
    assert_eq!((&said["active_check_message"], &said["is_real"]), (&json!("Active check disabled"), &json!(false)));
    let on = json!({"active_check_enabled": true, "message": "Active check enabled"});
    assert_eq!(http.post("/toggle-active-check", &json!({})).json(), on);
    let switched = old.records("system.admin");
    let words: Vec<&str> = switched.iter().filter_map(|r| r["object"].as_str()).collect();
    assert_eq!(words, ["off", "on"], "{switched:?}");
}

#[test]
fn s2_leads_through_its_steps_and_hands_the_picture_out_once_they_are_done() {
    let mut old =
        Old::start(&busy(0.99), &["s2"], &["web.compat.s2.sequence=[\"blink:2\",\"turn_left\",\"mouth_open\"]"]);
    let mut http = old.client("s2");
    let health = http.get("/health").json();
    assert_eq!(
        (&health["status"], &health["service"], &health["version"], &health["max_sessions"]),
        (&json!("healthy"), &json!("liveness-detection-only"), &json!("1.0"), &json!(100))
    );
    assert!(health["features"].as_array().is_some_and(|f| !f.is_empty()) && health["active_sessions"] == 0, "{health}");
    let begun = http.post("/start", &json!({})).json();
    let id = begun["session_id"].as_str().expect("an id").to_owned();
    let parts: Vec<&str> = id.split('_').collect();
    assert!(parts.len() == 3 && parts[0] == "liveness" && parts[2].len() == 4, "{id}");
    assert!(parts[1..].iter().all(|p| p.bytes().all(|b| b.is_ascii_digit())), "{id}");
    assert_eq!(
        (&begun["success"], &begun["current_step"], &begun["total_steps"], &begun["expires_in_minutes"]),
        (&json!(true), &json!(1), &json!(3), &json!(10))
    );
    assert!(begun["instruction"].is_string());
    assert_eq!(http.get("/stats").json()["active_sessions"], 1);
    let early = http.post("/complete", &json!({"session_id": id}));
    assert_eq!((early.status, early.json()), (400, json!({"error": "Verification not completed yet"})));
    let other = http.post("/start", &json!({})).json()["session_id"].as_str().expect("an id").to_owned();
    let (mut camera, mut heard, end) = (Camera::new(), Vec::new(), Instant::now() + PATIENCE);
    let done = loop {
        assert!(Instant::now() < end, "{heard:?}");
        // With and without the prefix, as the old clients did.
        let image = if heard.len() % 2 == 0 { camera.url() } else { camera.plain() };
        let said = http.post("/process", &json!({"session_id": id, "image": image}));
        assert_eq!(said.status, 200, "{}", said.text);
        let said = said.json();
        if said["verification_complete"] == true {
            break said;
        }
        assert_eq!(said["verification_failed"], false, "{said}");
        heard.push(said);
    };
    assert_eq!((&done["instruction"], &done["success"]), (&json!("VERIFICATION COMPLETE!"), &json!(true)));
    let told = |m: &str| heard.iter().any(|r| r["instruction"] == m);
    for text in ["Blink 2 more times", "Blink 1 more time", "Turn your head LEFT", "Please open your mouth"] {
        assert!(told(text), "{text}: {heard:?}");
    }
    assert_eq!(heard[0]["error"], "No face detected", "{}", heard[0]);
    assert_eq!((&heard[0]["face_detected"], &heard[0]["verified_image_path"]), (&json!(false), &Value::Null));
    let steps: Vec<u64> = heard.iter().filter_map(|r| r["current_step"].as_u64()).collect();
    assert!(steps.is_sorted() && steps.contains(&1) && steps.contains(&3), "{steps:?}");
    assert_eq!(heard.iter().chain([&done]).filter(|r| r["step_completed"] == true).count(), 3, "{heard:?}");
    let again = http.post("/process", &json!({"session_id": id, "image": camera.plain()})).json();
    let already = json!({"success": true, "verification_complete": true, "verification_failed": false,
        "message": "Verification already completed", "verified_image_path": null});
    assert_eq!(again, already);
    let end = http.post("/complete", &json!({"session_id": id})).json();
    assert_eq!((&end["success"], &end["steps_completed"], &end["total_blinks"]), (&json!(true), &json!(3), &json!(2)));
    assert!(end["verification_time"].as_f64().is_some_and(|s| s > 0.0) && end["results"].is_object(), "{end}");
    assert!(end["verified_image"].as_str().is_some_and(|i| i.starts_with("/9j/")), "a JPEG in base64");
    assert!(end["timestamp"].as_str().is_some_and(|t| t.contains('T') && t.ends_with('Z')), "{end}");
    let state = http.get(&format!("/status/{id}")).json();
    assert_eq!((&state["completed"], &state["verification_complete"]), (&json!(true), &json!(true)), "{state}");
    let untouched = http.get(&format!("/status/{other}")).json();
    assert_eq!((&untouched["completed"], &untouched["current_step"]), (&json!(false), &json!(1)), "its own session");
    assert!(!old.t.state().join("verified_images").exists(), "no picture is stored unless the owner says so");
}

#[test]
fn s2_refuses_a_photo_and_says_what_is_wrong_with_a_request() {
    let mut old = Old::start(&busy(0.2), &["s2"], &["web.max_sessions=2"]);
    let mut http = old.client("s2");
    let id = http.post("/start", &json!({})).json()["session_id"].as_str().expect("an id").to_owned();
    let errors = [
        ("/process", json!({"session_id": "liveness_1_1000", "image": "x"}), "Invalid session ID"),
        ("/process", json!({}), "Invalid session ID"),
        ("/complete", json!({"session_id": 7}), "Invalid session ID"),
        ("/process", json!({"session_id": id}), "No image provided"),
        ("/process", json!({"session_id": id, "image": ""}), "No image provided"),
        ("/process", json!({"session_id": id, "image": "%"}), "Invalid image data - decode failed"),
        ("/process", json!({"session_id": id, "image": "AAAA"}), "Invalid image data - decode failed"),
        (
            "/process",
            json!({"session_id": id, "image": base64(&picture(1)[..400])}),
            "Invalid image data - decode failed",
        ),
    ];
    for (path, body, error) in errors {
        let said = http.post(path, &body);
        assert_eq!((said.status, said.json()), (400, json!({"error": error})), "{body}");
    }
    let unknown = http.get("/status/liveness_1_1000");
    assert_eq!((unknown.status, unknown.json()), (404, json!({"error": "Session not found"})));
    assert_eq!(http.post("/start", &json!({})).status, 200);
    let full = http.post("/start", &json!({}));
    assert_eq!((full.status, full.json()), (503, json!({"error": "Service at capacity"})));
    // The connection is closed upon whoever still sends: what is heard is the refusal, or nothing any more.
    let url = old.url("s2");
    let mut raw = TcpStream::connect(url.trim_start_matches("http://")).expect("connects");
    raw.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let head =
        "POST /process HTTP/1.1\r\nHost: door\r\nContent-Type: application/json\r\nContent-Length: 3145728\r\n\r\n";
    let _cut_off = raw.write_all(head.as_bytes()).and_then(|()| raw.write_all(&vec![b' '; 3 << 20]));
    let mut said = Vec::new();
    let _cut_off = raw.read_to_end(&mut said);
    let said = String::from_utf8_lossy(&said).into_owned();
    let refused = said.starts_with("HTTP/1.1 413") && said.contains("Request too large");
    assert!(refused || said.is_empty(), "{said}");
    let (mut camera, end) = (Camera::new(), Instant::now() + PATIENCE);
    let failed = loop {
        assert!(Instant::now() < end);
        let said = http.post("/process", &json!({"session_id": id, "image": camera.plain()})).json();
        assert_eq!(said["verification_complete"], false, "{said}");
        if said["verification_failed"] == true {
            break said;
        }
    };
    assert_eq!(failed["error"], "Verification failed");
    let after = http.post("/process", &json!({"session_id": id, "image": camera.plain()})).json();
    assert_eq!(after["verification_failed"], true, "it stays so: {after}");
    assert_eq!(http.get(&format!("/status/{id}")).json()["verification_failed"], true);
}

#[test]
fn s2_sessions_expire_and_a_stored_picture_is_the_owners_choice() {
    let more = [
        "web.compat.s2.session_minutes=1",
        "web.compat.s2.store_pictures_days=1",
        "web.compat.s2.sequence=[\"blink\"]",
    ];
    let mut old = Old::start(&busy(0.99), &["s2"], &more);
    let mut http = old.client("s2");
    let begun = Instant::now();
    let start = http.post("/start", &json!({})).json();
    assert_eq!(start["expires_in_minutes"], 1);
    let (id, mut camera) = (start["session_id"].as_str().expect("an id").to_owned(), Camera::new());
    let path = loop {
        let said = http.post("/process", &json!({"session_id": id, "image": camera.plain()})).json();
        assert!(begun.elapsed() < PATIENCE && said["error"] != "Session expired", "{said}");
        if said["verification_complete"] == true {
            break said["verified_image_path"].as_str().expect("a path").to_owned();
        }
    };
    assert!(std::fs::read(&path).expect("stored").starts_with(&[0xFF, 0xD8]), "{path}");
    let beside: Value =
        serde_json::from_slice(&std::fs::read(path.replace(".jpg", ".json")).expect("stored")).expect("JSON");
    assert_eq!((&beside["session"], &beside["steps"]), (&json!(id), &json!(["blink"])));
    let end = begun + Duration::from_secs(60) + PATIENCE;
    let expired = loop {
        let said = http.post("/process", &json!({"session_id": id, "image": camera.plain()}));
        if said.status == 400 {
            break said.json();
        }
        assert!(Instant::now() < end, "{}", said.text);
        std::thread::sleep(Duration::from_millis(500));
    };
    assert_eq!(expired, json!({"error": "Session expired"}));
    assert!(begun.elapsed() >= Duration::from_secs(59));
    assert_eq!(http.get(&format!("/status/{id}")).status, 404);
    assert_eq!(http.get("/stats").json()["active_sessions"], 0);
}

/// What S3's page does at one step; the picture that did it, and what was said before.
fn s3_step(http: &mut Http, camera: &mut Camera, challenge: &str) -> (Value, Vec<String>) {
    let (end, mut heard) = (Instant::now() + PATIENCE, Vec::new());
    while Instant::now() < end {
        let frame = camera.url();
        let said = http.post("/api/process-frame", &json!({"challenge": challenge, "frame": frame}));
        assert_eq!(said.status, 200, "{}", said.text);
        let said = said.json();
        heard.push(said["message"].as_str().expect("a text").to_owned());
        if said["success"] == true {
            return (json!({"challenge": challenge, "frame": frame}), heard);
        }
    }
    panic!("{challenge}: {heard:?}");
}

#[test]
fn s3_leads_a_visitor_without_a_session_through_four_steps_over_https() {
    let mut old = Old::start(&busy(0.99), &["s3"], &[]);
    let mut http = old.client("s3").called("one");
    assert!(http.base.starts_with("https"));
    let mut camera = Camera::new();
    let mut frames = Vec::new();
    let mut said = std::collections::BTreeMap::new();
    for challenge in ["front", "right", "left", "blink"] {
        let (frame, heard) = s3_step(&mut http, &mut camera, challenge);
        frames.push(frame);
        said.insert(challenge, heard);
        if challenge == "right" {
            // Another visitor behind the same address, who shows no cookie.
            let mut other = old.client("s3").called("two");
            other.keeps = false;
            let batch = other.post("/api/liveness-detection", &json!({"frames": frames})).json();
            assert_eq!(batch["success"], false, "{batch}");
            let ahead = other.post("/api/process-frame", &json!({"challenge": "blink", "frame": camera.url()})).json();
            assert_eq!(ahead["success"], false, "{ahead}");
        }
    }
    assert_eq!(said["front"][0], "No face detected. Please ensure your face is clearly visible.");
    let last = |c: &str| said[c].last().expect("a message").clone();
    assert_eq!(last("front"), "Face centered and looking at camera!");
    assert_eq!(last("right"), "Face turned right detected!");
    assert_eq!(last("left"), "Face turned left detected!");
    assert_eq!(last("blink"), "Blink detected!");
    assert!(said["left"].iter().any(|m| m == "Please turn your face more to the left"), "{said:?}");
    // The head is still turned to the right when left is asked for.
    assert!(said["left"].iter().any(|m| m == "Wrong direction! Please turn your face to the left"), "{said:?}");
    assert!(said["blink"].iter().any(|m| m == "Please blink your eyes"), "{said:?}");
    let batch = http.post("/api/liveness-detection", &json!({"frames": frames}));
    let batch = batch.json();
    assert_eq!((&batch["success"], &batch["message"]), (&json!(true), &json!("Liveness verification successful")));
    let results: Vec<(&str, bool)> = batch["results"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|r| (r["challenge"].as_str().unwrap_or_default(), r["success"] == true))
        .collect();
    assert_eq!(results, [("front", true), ("right", true), ("left", true), ("blink", true)]);
    let late_ones = |t: &Terminal| t.metric("cardea_web_frames_dropped_total{reason=\"late\"}");
    let before = late_ones(&old.t);
    let late = http.post("/api/process-frame", &json!({"challenge": "blink", "frame": camera.url()})).json();
    assert_eq!(late["success"], true, "the verdict stands, and no picture is looked at after the end");
    assert_eq!(late_ones(&old.t), before + 1.0);
}

#[test]
fn s3_knows_clients_without_cookies_refuses_a_photo_and_answers_every_origin() {
    let mut old = Old::start(&busy(0.2), &["s3"], &[]);
    let mut http = old.client("s3");
    http.keeps = false;
    let mut camera = Camera::new();
    let shot = |camera: &mut Camera, c: &str| json!({"challenge": c, "frame": camera.url()});
    let end = Instant::now() + PATIENCE;
    let mut seen = std::collections::BTreeSet::new();
    // A photo is shown all steps, as a person is, and fails at the end of them.
    let failed = 'visit: loop {
        for c in ["front", "right", "left", "blink"] {
            loop {
                assert!(Instant::now() < end, "{seen:?}");
                let said = http.post("/api/process-frame", &shot(&mut camera, c)).json();
                seen.insert(said["message"].as_str().unwrap_or_default().to_owned());
                assert!(!(c == "blink" && said["success"] == true), "{said}");
                if said["debug_info"]["restart"] == true {
                    break 'visit said;
                }
                if said["success"] == true {
                    break;
                }
            }
        }
    };
    assert_eq!(failed["message"], "Liveness check failed. Please start again.");
    let batch = http.post("/api/liveness-detection", &json!({"frames": [shot(&mut camera, "blink")]})).json();
    assert_eq!(batch["success"], false);
    assert!(batch["message"].as_str().is_some_and(|m| m.starts_with("Liveness verification failed: ")), "{batch}");
    let none = http.post("/api/liveness-detection", &json!({"frames": []}));
    assert_eq!((none.status, none.json()), (400, json!({"success": false, "message": "No frames provided"})));
    for (body, message) in [
        (json!({"challenge": "blink"}), "No frame provided"),
        (json!({"challenge": "jump", "frame": "x"}), "Invalid challenge"),
        (json!({"challenge": "front", "frame": "x,y"}), "Invalid frame data"),
        (json!({"challenge": "front", "frame": "AAAA"}), "Invalid frame data"),
        (json!([]), "Invalid JSON"),
    ] {
        let said = http.post("/api/process-frame", &body);
        assert_eq!((said.status, said.json()), (400, json!({"success": false, "message": message})), "{body}");
    }
    for path in ["/api/process-frame", "/api/liveness-detection"] {
        http.headers = vec![
            ("origin".into(), "https://elsewhere.example".into()),
            ("access-control-request-method".into(), "POST".into()),
            ("access-control-request-headers".into(), "content-type".into()),
        ];
        let asked = http.send("OPTIONS", path, "", &[]);
        assert_eq!((asked.status, asked.header("access-control-allow-origin")), (204, "*"));
        assert!(asked.header("access-control-allow-methods").contains("POST"));
        assert_eq!(asked.header("access-control-allow-headers"), "content-type");
    }
    for (path, word) in [("/", "video"), ("/success", "successful"), ("/download-model", "loaded")] {
        let page = http.get(path);
        assert!(page.status == 200 && page.text.contains(word), "{path}: {}", page.text);
        assert!(page.header("content-security-policy").contains("default-src 'none'"), "{path}");
    }
}

const NOD: u64 = 100;
const MOUTH: u64 = 170;

/// Somebody who nods and opens their mouth late, for a visit that is as strict as at a door.
fn calm(live: f64, person: u64) -> Value {
    json!({"picture": [320.0, 240.0], "rows": [
        {"frames": [1, 100_000], "face": face(live, person, &[])},
        {"frames": [0, 0], "face": face(0.99, 7, &[])},
        {"frames": [NOD, NOD + 10], "face": face(live, person, &[("pitch", json!(20))])},
        {"frames": [MOUTH, MOUTH + 24], "face": face(live, person, &[("mouth", json!(0.4))])},
    ]})
}

const STRICT: [&str; 3] =
    ["challenge.sequence=[\"nod\",\"mouth_open\"]", "insecure.fixed_challenge=true", "challenge.window_ms=10000"];

/// What S4's page does before the camera: pictures until the answer names the next page.
fn s4_face(http: &mut Http) -> (String, Vec<String>) {
    let (mut sent, mut heard, end) = (0_u32, Vec::new(), Instant::now() + PATIENCE);
    let mut fast = 0;
    while Instant::now() < end {
        sent += 1;
        std::thread::sleep(Duration::from_millis(if u64::from(sent) < fast { 30 } else { 80 }));
        let said = http.send("POST", "/face/frame", "image/jpeg", &picture(sent % 299));
        assert_eq!(said.status, 200, "{}", said.text);
        let said = said.json();
        assert!(!said.to_string().contains("score"), "{said}");
        if let Some(next) = said["next"].as_str() {
            heard.push(said["face"].as_str().unwrap_or_default().to_owned());
            return (next.to_owned(), heard);
        }
        match said["message"].as_str() {
            Some("Please nod") => fast = NOD,
            Some("Please open your mouth") => fast = MOUTH,
            _ => {}
        }
        heard.push(said["message"].as_str().unwrap_or_default().to_owned());
    }
    panic!("no end: {heard:?}");
}

const FORM: &str = "username=ada&password=correct+horse+battery";

/// A terminal with an account `ada`, and with her face where `enrolled`.
fn s4(live: f64, person: u64, enrolled: bool) -> Old {
    let old = Old::start(&calm(live, person), &["s4"], &STRICT);
    let admin = old.t.admin();
    let user = admin.post("/api/v1/users", &json!({"name": "ada", "role": "viewer", "password": PASSWORD}));
    assert!(user.status < 300, "{}", user.text);
    if enrolled {
        let done = admin.upload("/api/v1/people/ada/photos", "image/jpeg", picture(0));
        assert_eq!(done.status, 201, "{}", done.text);
    }
    old
}

#[test]
fn s4_lets_in_who_has_the_password_and_the_face_of_the_name() {
    let mut old = s4(0.99, 7, true);
    let mut http = old.client("s4");
    let root = http.get("/");
    assert_eq!((root.status, root.header("location")), (303, "/login"));
    let form = http.get("/login");
    assert!(form.text.contains("name=\"username\""));
    assert_eq!(form.header("referrer-policy"), "same-origin", "else browsers send the form without its origin");
    assert_eq!(http.get("/main").header("location"), "/login", "not logged in");
    assert_eq!(http.get("/face").header("location"), "/login", "no password yet");
    let right = http.form("/login", FORM);
    assert_eq!((right.status, right.header("location")), (303, "/face"), "{}", right.text);
    let cookie = right.header("set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert!(http.get("/face").text.contains("ada"));
    assert_eq!(http.get("/main").header("location"), "/login", "the password alone is not enough");
    let (next, heard) = s4_face(&mut http);
    assert_eq!(next, "/main", "{heard:?}");
    assert_eq!(heard.last().map(String::as_str), Some("real"));
    assert!(http.get("/main").text.contains("Welcome, ada"));
    let console = old.t.client().with("cookie", &http.cookies.join("; ")).get("/api/v1/people");
    assert_eq!(console.status, 401, "it is no login to the console");
    assert_eq!(http.get("/logout").header("location"), "/login");
    assert_eq!(http.get("/main").header("location"), "/login", "logged out");
    let ended = old.records("visit.ended");
    assert!(
        ended.iter().any(|r| r["person"] == "ada" && r["goal"] == "verify" && r["verdict"] == "granted"),
        "{ended:?}"
    );
    assert!(old.records("system.admin").iter().any(|r| r["action"] == "login.s4" && r["by"] == "user:ada"));
}

#[test]
fn s4_refuses_a_wrong_password_a_stranger_and_a_photo_and_keeps_the_name() {
    for (live, person) in [(0.99, 8), (0.2, 7)] {
        let mut old = s4(live, person, true);
        let mut http = old.client("s4");
        for (form, message) in [
            ("username=ada&password=wrong+horse", "Invalid username or password"),
            ("username=ada&password=short", "A password has at least 8 characters."),
            ("username=&password=correct+horse", "Please enter your user name."),
        ] {
            let said = http.form("/login", form);
            assert!(said.status == 200 && said.text.contains(message), "{form}: {}", said.text);
            assert_eq!(said.text.contains("value=\"ada\""), form.contains("ada"), "the name is kept");
        }
        let nobody = http.form("/login", "username=%3Cb%3Eeve&password=correct+horse");
        assert!(nobody.text.contains("&lt;b&gt;eve") && !nobody.text.contains("<b>"), "{}", nobody.text);
        http.headers = vec![("origin".into(), "https://evil.example".into())];
        assert_eq!(http.form("/login", FORM).status, 403, "a page of another site");
        http.headers.clear();
        assert_eq!(http.form("/login", FORM).header("location"), "/face");
        let (next, heard) = s4_face(&mut http);
        assert_eq!(next, "/login?user=ada&failed=face", "{heard:?}");
        assert!(heard.iter().any(|m| m == "Please nod"), "the same prompts for everybody: {heard:?}");
        let back = http.get(&next);
        assert!(back.text.contains("Face not recognised") && back.text.contains("value=\"ada\""), "{}", back.text);
        assert_eq!(http.get("/main").header("location"), "/login");
        assert!(old.records("system.admin").iter().all(|r| r["action"] != "login.s4"));
    }
}

#[test]
fn s4_says_that_nobody_is_enrolled_yet() {
    let mut old = s4(0.99, 7, false);
    let said = old.client("s4").form("/login", FORM);
    assert!(said.text.contains("Recognition data is missing"), "{}", said.text);
}

#[test]
fn a_listeners_port_comes_from_the_environment_and_a_taken_one_is_told_with_its_owner() {
    let mut old = Old::start(&busy(0.99), &["s1"], &[]);
    let url = old.url("s1");
    let port = url.rsplit(':').next().expect("a port").to_owned();
    let dir = tempfile::tempdir().expect("a directory");
    let mut second = Command::new(env!("CARGO_BIN_EXE_cardea"));
    second.args(["run", "--state"]).arg(dir.path().join("state")).env("OLD_PORT", &port);
    for s in scripted(dir.path(), &busy(0.99)) {
        second.args(["--set", &s]);
    }
    for s in [
        "web.enabled=true",
        "web.listen=\"127.0.0.1:0\"",
        "web.compat.s1.enabled=true",
        "web.compat.s1.port_env=\"OLD_PORT\"",
    ] {
        second.args(["--set", s]);
    }
    let out = second.output().expect("starts");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(69), "{said}");
    for part in [format!("127.0.0.1:{port}"), format!("(process {})", old.t.pid()), "web.compat.s1.listen".into()] {
        assert!(said.contains(&part), "{part} is missing in {said}");
    }
}
