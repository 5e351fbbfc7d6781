//! What `docs/deploy.md` tells to do: its nginx in front of a real terminal, and the container file held against the program.

#[path = "support/web.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod web;

use serde_json::json;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tungstenite::client::IntoClientRequest;
use web::{PASSWORD, PATIENCE, Terminal, script, scripted};

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The code blocks of one language in a page.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let parts = page.split(&fence).skip(1);
    parts.map(|p| p.split("```").next().expect("an end").to_owned()).collect()
}

/// A running nginx, ended with the value.
struct Nginx {
    child: Child,
    port: u16,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM: its workers go with it.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _gone_already = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _either_way = self.child.wait();
    }
}

/// The page's server with a port, a certificate and a terminal of the test's own in the place of the page's.
fn nginx(t: &Terminal, block: &str) -> Nginx {
    let dir = t.dir.path().join("nginx");
    std::fs::create_dir(&dir).expect("a directory");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let state = t.state();
    let put = |text: String, from: &str, to: &str| {
        assert!(text.contains(from), "`{from}` is not in the page's block:\n{text}");
        text.replace(from, to)
    };
    // The public side is without TLS here: that part is nginx's own.
    let mut server = block.lines().filter(|l| !l.trim().starts_with("ssl_certificate")).collect::<Vec<_>>().join("\n");
    server = put(server, "listen 443 ssl;", &format!("listen 127.0.0.1:{};", free.port()));
    if t.tls {
        server = put(server, "https://front.local:8443", &format!("https://127.0.0.1:{}", t.port));
        server = put(server, "/etc/nginx/cardea-front.pem", &state.join("web-cert.pem").display().to_string());
        server = put(server, "proxy_ssl_name front.local", "proxy_ssl_name localhost");
    } else {
        server = put(server, "http://127.0.0.1:8080", &format!("http://127.0.0.1:{}", t.port));
    }
    let at = dir.display();
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    let temporary: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|p| format!("{p}_temp_path {at}/{p};\n")).concat();
    let text = format!(
        "{user}daemon off;\nworker_processes 1;\npid {at}/pid;\nerror_log {at}/error.log;\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}{server}\n}}\n"
    );
    let conf = dir.join("nginx.conf");
    std::fs::write(&conf, text).expect("written");
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let run = |args: &[&str]| {
        let mut c = Command::new("nginx");
        c.env("PATH", &path).args(["-e", &format!("{at}/first.log"), "-c"]).arg(&conf).args(args).stdout(Stdio::null());
        c
    };
    let checked = run(&["-t"]).output().expect("nginx starts");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let nginx = Nginx { child: run(&[]).stderr(Stdio::null()).spawn().expect("nginx starts"), port: free.port() };
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", nginx.port)).is_err() {
        assert!(Instant::now() < until, "nginx does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    nginx
}

/// Whether `CARDEA_TEST_WITHOUT` leaves it out.
fn left_out(test: &str) -> bool {
    let without = std::env::var("CARDEA_TEST_WITHOUT").unwrap_or_default();
    let left_out = without.split(',').any(|t| t.trim() == "nginx");
    if left_out {
        println!("left out: {test} (without nginx)");
    }
    let there = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"].iter().any(|p| Path::new(p).is_file());
    assert!(left_out || there, "nginx is missing; run: apt-get install nginx-light");
    left_out
}

#[test]
fn the_pages_nginx_serves_logins_sessions_and_live_pages_and_keeps_metrics_to_itself() {
    if left_out("the_pages_nginx_serves_logins_sessions_and_live_pages_and_keeps_metrics_to_itself") {
        return;
    }
    let pages = blocks(&read("docs/deploy.md"), "nginx");
    assert_eq!(pages.len(), 2, "one on the same machine, one on another");
    for (block, tls) in pages.iter().zip([false, true]) {
        let t = Terminal::start(|dir| {
            let more = [format!("web.tls={tls}"), "web.self_service=true".into()];
            scripted(dir, &script(0.99, 7)).into_iter().chain(more).collect()
        });
        assert_eq!(t.tls, tls);
        let proxy = nginx(&t, block);
        let host = format!("127.0.0.1:{}", proxy.port);
        let http = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let url = |path: &str| format!("http://{host}{path}");
        // A page of the proxy's origin changes something, which needs `Host` to be the browser's.
        let code = std::fs::read_to_string(t.state().join("setup-code")).expect("a code");
        let body = json!({"code": code, "name": "root", "password": PASSWORD}).to_string();
        let made = http
            .post(url("/api/v1/setup"))
            .header("content-type", "application/json")
            .header("origin", format!("http://{host}"));
        let made = made.send(body).expect("an answer");
        assert_eq!(made.status(), 201);
        let cookie = made.headers().get("set-cookie").expect("a cookie").to_str().expect("text");
        let cookie = cookie.split(';').next().expect("a value").to_owned();
        assert_eq!(
            http.get(url("/metrics")).call().expect("an answer").status(),
            401,
            "whoever comes through the proxy"
        );
        assert_eq!(t.client().get("/metrics").status, 200, "the machine itself");
        // WebSockets: the stream of records with the login, and a session.
        let socket = |path: &str, cookie: &str| {
            let mut request = format!("ws://{host}{path}").into_client_request().expect("an address");
            let headers = request.headers_mut();
            headers.insert("origin", format!("http://{host}").parse().expect("a value"));
            headers.insert("cookie", cookie.parse().expect("a value"));
            let tcp = TcpStream::connect(&host).expect("connects");
            tcp.set_read_timeout(Some(PATIENCE)).expect("a socket");
            tungstenite::client(request, tcp).unwrap_or_else(|e| panic!("{path}: {e}")).0
        };
        let mut records = socket("/api/v1/events/stream", &cookie);
        let session = http.post(url("/api/v1/sessions")).header("content-type", "application/json");
        let mut session = session.send(r#"{"goal":"liveness"}"#).expect("an answer");
        assert_eq!(session.status(), 201);
        let session: serde_json::Value =
            serde_json::from_str(&session.body_mut().read_to_string().expect("text")).expect("JSON");
        let mut live = socket(session["ws"].as_str().expect("an address"), "");
        live.send(tungstenite::Message::Binary(web::picture(1).into())).expect("sent");
        let said = live.read().expect("an answer").into_text().expect("a text").to_string();
        assert!(said.contains("prompt") || said.contains("progress"), "{said}");
        let record = records.read().expect("a record").into_text().expect("a text").to_string();
        assert!(record.contains("\"type\":"), "{record}");
    }
}

fn cardea(args: &[&str]) -> (Option<i32>, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_cardea")).args(args).output().expect("it starts");
    (out.status.code(), [&out.stdout, &out.stderr].map(|s| String::from_utf8_lossy(s).into_owned()).concat())
}

/// No container engine is here: this is what can be said without one.
#[test]
fn the_container_file_names_what_there_is_and_gives_no_more_than_it_must() {
    let file = read("docs/examples/container/Containerfile").replace("\\\n", " ");
    let steps: Vec<(&str, &str)> = file
        .lines()
        .filter(|l| !l.starts_with('#') && !l.trim().is_empty())
        .filter_map(|l| l.split_once(' '))
        .collect();
    let of = |name: &str| steps.iter().filter(|(n, _)| *n == name).map(|(_, v)| v.trim()).collect::<Vec<_>>();
    let words = |list: &str| serde_json::from_str::<Vec<String>>(list).unwrap_or_else(|e| panic!("{list}: {e}"));

    // Its user is the package's, everything written lies in that user's home, and nothing runs as another after it.
    let users = read("systemd/sysusers.d/cardea.conf");
    assert_eq!(of("USER"), ["cardea"]);
    assert!(users.lines().any(|l| l.starts_with("u cardea ") && l.ends_with(of("VOLUME")[0])), "{users}");
    let user_at = steps.iter().position(|(n, _)| *n == "USER").expect("a user");
    assert!(steps[user_at..].iter().all(|(n, _)| !["RUN", "COPY"].contains(n)));

    // The program, its commands and its configuration.
    let package = read("Cargo.toml");
    assert!(package.contains("\"/etc/cardea/cardea.toml\"") && of("COPY")[1].ends_with(" /etc/cardea/cardea.toml"));
    let program = words(of("ENTRYPOINT")[0]);
    let health = words(of("HEALTHCHECK")[0].split(" CMD ").nth(1).expect("a command"));
    assert_eq!((program[0].as_str(), health[0].as_str()), ("/usr/bin/cardea", "/usr/bin/cardea"));
    for args in [&words(of("CMD")[0])[..], &health[1..]] {
        let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
        args.push("--help");
        assert_eq!(cardea(&args).0, Some(0), "{args:?}");
    }
    let config = "docs/examples/container/cardea.toml";
    let (code, said) = cardea(&["config", "check", "--config", config]);
    assert_eq!(code, Some(0), "{said}");
    let (_, shown) = cardea(&["config", "show", "--config", config]);
    for line in ["kind = \"none\"", "tls = true", &format!("listen = \"0.0.0.0:{}\"", of("EXPOSE")[0])] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    assert!(!shown.contains("kind = \"gpio\""), "{shown}");

    // How the page starts it: nothing of the host, nothing writable but the volume.
    let page = read("docs/deploy.md");
    let run = blocks(&page, "sh").into_iter().find(|b| b.contains("podman run -d")).expect("how it is started");
    for word in ["--read-only", "--cap-drop all", "no-new-privileges", "-v cardea:/var/lib/cardea", "-p 8443:8443"] {
        assert!(run.contains(word), "{word}");
    }
    assert!(!run.contains("--privileged") && !run.contains("--device") && !run.contains("--network host"));
    let install = run.lines().find(|l| l.contains("models install")).expect("how the networks come");
    let args: Vec<&str> = install.split(" cardea models ").nth(1).expect("words").split(' ').collect();
    let (code, help) = cardea(&["models", args[0], "--help"]);
    assert_eq!(code, Some(0), "{help}");
    for flag in args.iter().filter(|a| a.starts_with("--")) {
        assert!(help.contains(flag), "{flag}: {help}");
    }
}

/// A terminal without a door: it is well, says so, and verifies.
#[test]
fn without_a_camera_a_terminal_of_web_sessions_is_well() {
    let t = Terminal::start(|dir| {
        let mut settings = scripted(dir, &script(0.99, 7));
        settings.retain(|s| !s.starts_with("camera."));
        settings.extend(["camera.kind=\"none\"".to_owned(), "web.self_service=true".into()]);
        settings
    });
    t.wait("its health", || t.client().get("/healthz").status == 200 && t.metric("cardea_journal_seq") > 2.0);
    let text = t.client().get("/metrics").text;
    assert!(text.contains("cardea_health{status=\"fault\"} 0") && !text.contains("alarm.camera"), "{text}");
    let made = t.client().post("/api/v1/sessions", &json!({"goal": "liveness"})).json();
    let mut socket = t.websocket(made["ws"].as_str().expect("an address"), &[]).expect("connects");
    socket.send(tungstenite::Message::Binary(web::picture(1).into())).expect("sent");
    assert!(web::hear(&mut socket, PATIENCE).is_some());
    let (code, said) = cardea(&["config", "check", "--set", "camera.kind=\"none\""]);
    assert!(code == Some(78) && said.contains("web.enabled"), "{said}");
}
