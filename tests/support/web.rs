//! A daemon with its web server, and clients of it that check its certificate.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tungstenite::{Message, WebSocket};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Nothing waits so long in a good run.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const PASSWORD: &str = "correct horse battery";

/// What the script says: `ada` from the first frame of a session on; she nods and opens her mouth much later.
pub fn script(live: f64, person: u64) -> Value {
    let face = |more: &[(&str, f64)]| {
        let mut face = json!({"box": [100.0, 50.0, 120.0, 140.0], "live": live, "person": person});
        for (key, value) in more {
            face[key] = json!(value);
        }
        face
    };
    json!({"picture": [320.0, 240.0], "rows": [
        {"frames": [1, 100_000], "face": face(&[])},
        // A still picture is frame 0.
        {"frames": [0, 0], "face": {"box": [100.0, 50.0, 120.0, 140.0], "person": 7}},
        {"frames": [NOD, NOD + 10], "face": face(&[("pitch", 20.0)])},
        {"frames": [MOUTH, MOUTH + 24], "face": face(&[("mouth", 0.4)])},
    ]})
}

/// Frames of a session from which on the script shows the actions.
pub const NOD: usize = 100;
pub const MOUTH: usize = 170;

/// A picture, unlike that of any other `i` below 300.
pub fn picture(i: u32) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(320, 240, |x, y| {
        let wanders = if y < 120 { i * 320 / 200 } else { 0 };
        let on = ((x + wanders) / 40 + y / 8).is_multiple_of(2);
        // The pattern comes again after fifty; a repeated picture would be taken for an injection.
        let dimmer = u8::try_from(i / 50 * 6).expect("few");
        image::Rgb(if on { [170 - dimmer, 160 - dimmer, 150 - dimmer] } else { [90, 80, 70] })
    });
    let mut out = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut out, image::ImageFormat::Jpeg).expect("a picture");
    out.into_inner()
}

/// The settings of a terminal with real networks and nobody before its own camera, which asks for what the clips
/// `live_turn_*` show, in their order; at a door it is drawn.
pub fn in_the_clips_order(dir: &Path) -> Vec<String> {
    let frames = dir.join("frames");
    std::fs::create_dir_all(&frames).expect("a directory");
    for i in 0..3 {
        let grey = image::RgbImage::from_pixel(640, 480, image::Rgb([90, 90, 90 + i]));
        grey.save(frames.join(format!("frame_{i}.jpg"))).expect("a picture");
    }
    vec![
        "camera.kind=\"file\"".to_owned(),
        format!("camera.path={frames:?}"),
        "prompt.kind=\"none\"".into(),
        "challenge.sequence=[\"turn_left\",\"turn_right\"]".into(),
        // A clip turns when it turns, and not when it is asked to.
        "challenge.window_ms=10000".into(),
        "insecure.fixed_challenge=true".into(),
    ]
}

/// The settings of a terminal whose networks are scripted and whose camera is a folder.
pub fn scripted(dir: &Path, script: &Value) -> Vec<String> {
    let frames = dir.join("frames");
    std::fs::create_dir_all(&frames).expect("a directory");
    let empty = image::RgbImage::from_pixel(64, 48, image::Rgb([90, 90, 90]));
    for i in 0..3 {
        empty.save(frames.join(format!("frame_{i}.jpg"))).expect("a picture");
    }
    std::fs::write(dir.join("script.json"), script.to_string()).expect("written");
    vec![
        "models.pack=\"scripted\"".into(),
        format!("models.script={:?}", dir.join("script.json")),
        "insecure.scripted_models=true".into(),
        "camera.kind=\"file\"".into(),
        format!("camera.path={frames:?}"),
        "prompt.kind=\"none\"".into(),
        "web.session_fps=30".into(),
        "challenge.onset_min_ms=400".into(),
        "challenge.onset_max_ms=401".into(),
    ]
}

/// The running terminal.
pub struct Terminal {
    child: Child,
    pub dir: tempfile::TempDir,
    pub port: u16,
    pub tls: bool,
    pub log: Arc<Mutex<String>>,
}

impl Terminal {
    /// Starts it and waits until it serves. `settings` come over those of the tests.
    pub fn start(settings: impl FnOnce(&Path) -> Vec<String>) -> Terminal {
        Self::start_in(tempfile::tempdir().expect("a directory"), settings)
    }

    pub fn start_in(dir: tempfile::TempDir, settings: impl FnOnce(&Path) -> Vec<String>) -> Terminal {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
        command.args(["run", "--json", "--state"]).arg(dir.path().join("state"));
        for s in
            ["web.enabled=true".to_owned(), "web.listen=\"127.0.0.1:0\"".into()].into_iter().chain(settings(dir.path()))
        {
            command.args(["--set", &s]);
        }
        command.env("NO_COLOR", "1").stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let err = child.stderr.take().expect("piped");
        let log: Arc<Mutex<String>> = Arc::default();
        let lines = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                let mut log = lines.lock().expect("no holder panics");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut terminal = Terminal { child, dir, port: 0, tls: true, log };
        let at = terminal.wait_for_log("the console is at ");
        let rest = at.split("the console is at ").nth(1).expect("an address").trim().trim_end_matches('/').to_owned();
        terminal.tls = rest.starts_with("https");
        terminal.port = rest.rsplit(':').next().and_then(|p| p.parse().ok()).expect("a port");
        terminal
    }

    /// The first line of the log that contains `word`.
    pub fn wait_for_log(&mut self, word: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let log = self.log.lock().expect("no holder panics").clone();
            if let Some(line) = log.lines().find(|l| l.contains(word)) {
                return line.to_owned();
            }
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none() && Instant::now() < until, "no `{word}` in the log:\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://localhost:{}{path}", if self.tls { "https" } else { "http" }, self.port)
    }

    /// A client without a login.
    pub fn client(&self) -> Client<'_> {
        let mut config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        if self.tls {
            let pem = std::fs::read(self.state().join("web-cert.pem")).expect("a certificate");
            let cert = Certificate::from_pem(&pem).expect("PEM");
            config = config.tls_config(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[cert])).build());
        }
        Client { terminal: self, agent: config.build().into(), headers: Vec::new() }
    }

    /// The first administrator, made with the code in the file, as a program would: cookie and token by hand.
    pub fn admin(&self) -> Client<'_> {
        let code = std::fs::read_to_string(self.state().join("setup-code")).expect("a set-up code");
        let body = json!({"code": code, "name": "root", "password": PASSWORD});
        let answer = self.client().post("/api/v1/setup", &body);
        assert_eq!(answer.status, 201, "{}", answer.text);
        let cookie = answer.header("set-cookie").expect("a cookie");
        let cookie = cookie.split(';').next().expect("a value").to_owned();
        let csrf = answer.json()["csrf"].as_str().expect("a token").to_owned();
        self.client().with("cookie", &cookie).with("x-csrf-token", &csrf)
    }

    /// A client with an API token of that role.
    pub fn token(&self, admin: &Client<'_>, role: &str) -> Client<'_> {
        let made = admin.post("/api/v1/api-tokens", &json!({"name": format!("t-{role}"), "role": role}));
        assert_eq!(made.status, 201, "{}", made.text);
        let secret = made.json()["secret"].as_str().expect("a secret").to_owned();
        self.client().with("authorization", &format!("Bearer {secret}"))
    }

    /// A WebSocket; `Err` with the status when it was refused.
    pub fn websocket(&self, path: &str, headers: &[(&str, &str)]) -> Result<Socket, u16> {
        use tungstenite::client::IntoClientRequest;
        let scheme = if self.tls { "wss" } else { "ws" };
        let mut request =
            format!("{scheme}://localhost:{}{path}", self.port).into_client_request().expect("an address");
        for (name, value) in headers {
            let name: tungstenite::http::HeaderName = name.parse().expect("a name");
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        match tungstenite::client(request, self.stream()) {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(r))) => Err(r.status().as_u16()),
            Err(e) => panic!("{e}"),
        }
    }

    /// A bare connection.
    pub fn stream(&self) -> Stream {
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).expect("connects");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a socket");
        if !self.tls {
            return Stream::Plain(tcp);
        }
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(self.state().join("web-cert.pem")).expect("PEM"))
            .expect("a certificate");
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(Arc::new(config), name).expect("TLS");
        Stream::Tls(Box::new(StreamOwned::new(session, tcp)))
    }

    /// A number of /metrics.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.client().get("/metrics").text;
        let value = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{text}"))
    }

    /// Polls until `done`.
    pub fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < until, "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to end and waits; its files stay.
    pub fn stop(mut self) -> tempfile::TempDir {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        assert_eq!(
            self.child.wait().expect("it ends").code(),
            Some(0),
            "{}",
            self.log.lock().expect("no holder panics")
        );
        std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a directory"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

pub enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(t) => t,
            Stream::Tls(t) => &t.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Stream::Plain(t) => t.read(buf),
            Stream::Tls(t) => t.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        match self {
            Stream::Plain(t) => t.write(buf),
            Stream::Tls(t) => t.write(buf),
        }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Stream::Plain(t) => t.flush(),
            Stream::Tls(t) => t.flush(),
        }
    }
}

pub type Socket = WebSocket<Stream>;

/// The next text, as JSON; `None` at the end or when nothing came within `patience`.
pub fn hear(socket: &mut Socket, patience: Duration) -> Option<Value> {
    socket.get_ref().tcp().set_read_timeout(Some(patience)).expect("a socket");
    loop {
        match socket.read() {
            Ok(Message::Text(t)) => return Some(serde_json::from_str(&t).expect("JSON")),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// One answer.
pub struct Answer {
    pub status: u16,
    pub text: String,
    headers: Vec<(String, String)>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The code of a refusal.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text);
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Speaks to a terminal with the same headers each time.
pub struct Client<'a> {
    pub terminal: &'a Terminal,
    agent: ureq::Agent,
    headers: Vec<(String, String)>,
}

impl Client<'_> {
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None)
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(("application/json", body.to_string().into_bytes())))
    }

    pub fn upload(&self, path: &str, kind: &str, body: Vec<u8>) -> Answer {
        self.send("POST", path, Some((kind, body)))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    fn send(&self, method: &str, path: &str, body: Option<(&str, Vec<u8>)>) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(self.terminal.url(path));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answered = match body {
            Some((kind, body)) => self.agent.run(request.header("content-type", kind).body(body).expect("a request")),
            None => self.agent.run(request.body(()).expect("a request")),
        };
        let mut answer = answered.unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        let headers = answer.headers().iter();
        let headers = headers.map(|(n, v)| (n.to_string(), v.to_str().unwrap_or_default().to_owned())).collect();
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        Answer { status: answer.status().as_u16(), text, headers }
    }
}

/// What a client with a face does in a session: sends pictures and follows the script's actions when it is asked for them.
/// Returns the result and every message before it.
pub fn attend(socket: &mut Socket) -> (Value, Vec<Value>) {
    let (mut sent, mut heard) = (0_usize, Vec::new());
    // Up to the frame before the next action slowly; when it is asked for, fast on to it and slowly past it.
    let (mut goal, mut fast) = (NOD - 10, 0);
    let mut last: Option<Instant> = None;
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let pace = Duration::from_millis(if sent < fast { 30 } else { 80 });
        if sent < goal && last.is_none_or(|l| l.elapsed() >= pace) {
            (sent, last) = (sent + 1, Some(Instant::now()));
            let picture = Message::Binary(picture(u32::try_from(sent).expect("small")).into());
            let _the_verdict_may_be_there = socket.send(picture);
        }
        let Some(said) = hear(socket, Duration::from_millis(10)) else {
            if socket.can_write() {
                continue;
            }
            break;
        };
        match (said["type"].as_str(), said["action"].as_str()) {
            (Some("result"), _) => return (said, heard),
            (Some("prompt"), Some("nod")) => (goal, fast) = (goal.max(MOUTH - 10), NOD),
            (Some("prompt"), Some("mouth_open")) => (goal, fast) = (goal.max(299), MOUTH),
            _ => {}
        }
        heard.push(said);
    }
    panic!("no result; heard {heard:?}");
}
