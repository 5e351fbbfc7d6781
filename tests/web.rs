//! The web server from outside, over TLS with its own certificate checked: set-up, logins, roles, forged requests, people,
//! records, sessions and what is left of them, and clients that mean harm.

#[path = "support/web.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod web;

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};
use tungstenite::Message;
use web::{Client, PASSWORD, PATIENCE, Terminal, attend, hear, picture, script, scripted};

fn terminal() -> Terminal {
    Terminal::start(|dir| scripted(dir, &script(0.99, 7)))
}

fn with(more: &[&str]) -> Terminal {
    Terminal::start(|dir| {
        scripted(dir, &script(0.99, 7)).into_iter().chain(more.iter().map(|s| (*s).to_owned())).collect()
    })
}

fn enrol(admin: &Client<'_>, name: &str) {
    let done = admin.upload(&format!("/api/v1/people/{name}/photos"), "image/jpeg", picture(0));
    assert_eq!((done.status, &done.json()["templates"]), (201, &json!(1)), "{}", done.text);
}

fn types(admin: &Client<'_>, filter: &str) -> Vec<Value> {
    let page = admin.get(&format!("/api/v1/events?limit=1000&type={filter}"));
    assert_eq!(page.status, 200, "{}", page.text);
    page.json()["events"].as_array().expect("a list").clone()
}

#[test]
fn the_set_up_code_makes_one_administrator_and_is_gone() {
    let t = terminal();
    let me = t.client().get("/api/v1/me").json();
    assert_eq!((&me["authenticated"], &me["setup_needed"]), (&json!(false), &json!(true)));
    let wrong = json!({"code": "AAAA-AAAA-AAAA", "name": "eve", "password": PASSWORD});
    assert_eq!(t.client().post("/api/v1/setup", &wrong).code(), "setup_code");
    let admin = t.admin();
    assert!(!t.state().join("setup-code").exists());
    assert!(t.log.lock().expect("no holder panics").contains("set-up code"), "an owner finds it in the log");
    let again = t.client().post("/api/v1/setup", &wrong);
    assert_eq!((again.status, again.code()), (403, "setup_code".into()));
    let login = t.client().post("/api/v1/login", &json!({"name": "root", "password": PASSWORD}));
    let cookie = login.header("set-cookie").expect("a cookie");
    for part in ["__Host-cardea=", "Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{part} is missing in {cookie}");
    }
    let me = admin.get("/api/v1/me").json();
    assert_eq!((&me["name"], &me["role"], &me["setup_needed"]), (&json!("user:root"), &json!("admin"), &json!(false)));
    assert_eq!(admin.post("/api/v1/logout", &json!({})).status, 204);
    assert_eq!(admin.get("/api/v1/people").status, 401);
    let dir = t.stop();
    let t = Terminal::start_in(dir, |dir| scripted(dir, &script(0.99, 7)));
    assert!(!t.state().join("setup-code").exists(), "there is an administrator");
    assert_eq!(t.client().post("/api/v1/login", &json!({"name": "root", "password": PASSWORD})).status, 200);
}

#[test]
fn ten_wrong_passwords_are_followed_by_silence_even_for_the_right_one() {
    let t = terminal();
    let _admin = t.admin();
    for i in 0..10 {
        let answer = t.client().post("/api/v1/login", &json!({"name": "root", "password": format!("wrong {i}")}));
        assert_eq!((answer.status, answer.code()), (401, "login".into()));
    }
    let right = t.client().post("/api/v1/login", &json!({"name": "root", "password": PASSWORD}));
    assert_eq!((right.status, right.code()), (429, "locked".into()));
    let wait: u64 = right.header("retry-after").and_then(|s| s.parse().ok()).expect("seconds");
    assert!((800..=901).contains(&wait), "{wait}");
}

#[test]
fn a_request_that_another_site_makes_a_browser_send_does_nothing() {
    let t = terminal();
    let admin = t.admin();
    let cookie = admin.header("cookie").to_owned();
    let body = json!({"name": "till", "role": "admin"});
    let without = t.client().with("cookie", &cookie);
    assert_eq!(without.post("/api/v1/api-tokens", &body).code(), "csrf");
    let foreign = t.client().with("cookie", &cookie).with("x-csrf-token", admin.header("x-csrf-token"));
    assert_eq!(foreign.with("origin", "https://evil.example").post("/api/v1/api-tokens", &body).code(), "origin");
    let login = t.client().with("origin", "https://evil.example");
    assert_eq!(login.post("/api/v1/login", &json!({"name": "root", "password": PASSWORD})).code(), "origin");
    assert_eq!(admin.get("/api/v1/api-tokens").json(), json!([]), "nothing was made");
    let stream = "/api/v1/events/stream";
    let own = t.url("").trim_end_matches('/').to_owned();
    assert_eq!(t.websocket(stream, &[("origin", &own)]).err(), Some(401), "without a login");
    assert_eq!(t.websocket(stream, &[("cookie", &cookie)]).err(), Some(403), "without an origin");
    assert_eq!(t.websocket(stream, &[("cookie", &cookie), ("origin", "https://evil.example")]).err(), Some(403));
    let mut socket = t.websocket(stream, &[("cookie", &cookie), ("origin", &own)]).expect("a page of ours");
    assert_eq!(admin.post("/api/v1/api-tokens", &body).status, 201);
    let record = std::iter::from_fn(|| hear(&mut socket, PATIENCE)).find(|r| r["type"] == "system.admin");
    let record = record.expect("a record");
    assert_eq!(
        (&record["type"], &record["by"], &record["action"]),
        (&json!("system.admin"), &json!("user:root"), &json!("token.add"))
    );
}

#[test]
fn each_role_does_its_part_and_no_more() {
    let t = terminal();
    let admin = t.admin();
    let (viewer, operator) = (t.token(&admin, "viewer"), t.token(&admin, "operator"));
    for path in ["people", "events", "health", "models", "evaluations"] {
        assert_eq!(t.client().get(&format!("/api/v1/{path}")).status, 401, "{path}");
        assert_eq!(viewer.get(&format!("/api/v1/{path}")).status, 200, "{path}");
    }
    assert_eq!(viewer.get("/api/v1/rules").code(), "role", "who may pass when is nobody's business");
    assert_eq!(operator.get("/api/v1/rules").status, 200);
    for path in ["settings", "logs", "users", "api-tokens"] {
        assert_eq!(operator.get(&format!("/api/v1/{path}")).code(), "role", "{path}");
        assert_eq!(admin.get(&format!("/api/v1/{path}")).status, 200, "{path}");
    }
    let goal = json!({"goal": "liveness"});
    assert_eq!(t.client().post("/api/v1/sessions", &goal).status, 401);
    assert_eq!(viewer.post("/api/v1/sessions", &goal).code(), "role");
    assert_eq!(operator.post("/api/v1/sessions", &goal).status, 201);
    assert_eq!(operator.upload("/api/v1/people/ada/photos", "image/jpeg", picture(0)).code(), "role");
    assert_eq!(operator.post("/api/v1/door/unlock", &json!({})).code(), "disabled", "off unless the owner allows it");
    assert_eq!(admin.delete("/api/v1/users/root").code(), "refused", "the last administrator");
    let id = admin.get("/api/v1/api-tokens").json()[0]["id"].clone();
    assert_eq!(admin.delete(&format!("/api/v1/api-tokens/{id}")).status, 204);
    assert_eq!(operator.get("/api/v1/people").status, 401, "a removed token is worth nothing");
    let settings = admin.get("/api/v1/settings").json();
    let pack =
        settings.as_array().expect("a list").iter().find(|s| s["key"] == "models.pack").expect("the key").clone();
    assert!(pack["value"] == "\"scripted\"" && pack["origin"] != "default", "{pack}");
}

#[test]
fn people_come_by_upload_and_go_and_every_step_is_on_record() {
    let t = terminal();
    let admin = t.admin();
    enrol(&admin, "ada");
    let form = |part: &[u8]| {
        let mut body = b"--x\r\ncontent-disposition: form-data; name=\"photo\"; filename=\"a.jpg\"\r\n\r\n".to_vec();
        body.extend_from_slice(part);
        body.extend_from_slice(b"\r\n--x--\r\n");
        body
    };
    let kind = "multipart/form-data; boundary=x";
    let twin = admin.upload("/api/v1/people/eve/photos", kind, form(&picture(0)));
    assert_eq!(twin.status, 422, "{}", twin.text);
    let refused = &twin.json()["refused"][0];
    assert_eq!((&refused["reason"], &refused["person"]), (&json!("already_enrolled_as"), &json!("ada")));
    let allowed = admin.upload("/api/v1/people/eve/photos?allow_duplicate=true", kind, form(&picture(0)));
    assert_eq!(allowed.status, 201, "{}", allowed.text);
    let junk = admin.upload("/api/v1/people/bob/photos", kind, form(b"GIF89a no picture"));
    assert_eq!((junk.status, &junk.json()["templates"]), (422, &json!(0)));
    assert_eq!(admin.upload("/api/v1/people/bob/photos", "text/plain", b"x".to_vec()).code(), "media_type");
    assert_eq!(admin.upload("/api/v1/people/bob/photos", kind, b"--x\r\n".to_vec()).code(), "malformed");
    assert_eq!(
        admin.upload("/api/v1/people/a%2Fb/photos", "image/jpeg", picture(0)).code(),
        "malformed",
        "no such name"
    );
    let page = admin.get("/api/v1/people?limit=1").json();
    assert_eq!(
        (&page["people"][0]["person"], &page["total"], &page["next"]),
        (&json!("ada"), &json!(2), &json!("ada"))
    );
    let rest = admin.get("/api/v1/people?limit=1&after=ada").json();
    assert_eq!((&rest["people"][0]["person"], &rest["next"]), (&json!("eve"), &Value::Null));
    assert_eq!(admin.get("/api/v1/people?limit=0").code(), "malformed");
    assert_eq!(admin.delete("/api/v1/people/eve").status, 204);
    assert_eq!(admin.delete("/api/v1/people/eve").code(), "not_found");
    assert_eq!(admin.get("/api/v1/people/eve").code(), "not_found");
    let done: Vec<String> = types(&admin, "person.,system.admin")
        .iter()
        .map(|e| format!("{} {}", e["type"].as_str().unwrap_or_default(), e["action"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(done.iter().filter(|d| d.starts_with("person.enrolled")).count(), 2, "{done:?}");
    for step in ["system.admin user.add", "system.admin person.enrol", "system.admin person.remove", "person.removed "]
    {
        assert!(done.iter().any(|d| d == step), "{step} is missing in {done:?}");
    }
}

#[test]
fn an_operator_opens_the_door_where_the_owner_allows_it_and_it_is_on_record_who() {
    let t = with(&["web.remote_unlock=true"]);
    let admin = t.admin();
    let (viewer, operator) = (t.token(&admin, "viewer"), t.token(&admin, "operator"));
    assert_eq!(viewer.post("/api/v1/door/unlock", &json!({})).code(), "role");
    let opened = operator.post("/api/v1/door/unlock", &json!({}));
    assert_eq!(opened.status, 200, "{}", opened.text);
    t.wait("the pulse", || types(&admin, "relay.energised").len() == 1);
    let admin_acts = types(&admin, "system.admin,command.accepted");
    let by = admin_acts.iter().find(|e| e["action"] == "door.unlock").expect("who did it");
    assert_eq!(by["by"], "token:t-operator");
    let accepted = admin_acts.iter().find(|e| e["type"] == "command.accepted").expect("the command");
    assert_eq!((&accepted["id"], &accepted["via"]), (&by["object"], &json!("web")));
}

const FIXED: &str = r#"{"actions": ["nod", "mouth_open"], "fixed": true}"#;

fn session(client: &Client<'_>, mut ask: Value) -> (String, String) {
    ask["challenge"] = serde_json::from_str(FIXED).expect("JSON");
    let made = client.post("/api/v1/sessions", &ask);
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    (made["id"].as_str().expect("an id").to_owned(), made["ws"].as_str().expect("an address").to_owned())
}

#[test]
fn a_session_that_is_granted_gives_a_token_that_is_redeemed_once_and_leaves_nothing() {
    let t = terminal();
    let admin = t.admin();
    let operator = t.token(&admin, "operator");
    enrol(&admin, "ada");
    let (id, ws) = session(&operator, json!({"goal": "identify"}));
    assert_eq!(operator.get(&format!("/api/v1/sessions/{id}")).json()["state"], "waiting");
    let mut socket = t.websocket(&ws, &[]).expect("connects");
    assert_eq!(t.websocket(&ws, &[]).err(), Some(409), "one client a session");
    let (result, heard) = attend(&mut socket);
    assert_eq!(result["verdict"], "granted", "{heard:?}");
    assert!(heard.iter().all(|m| !m.to_string().contains("score") && !m.to_string().contains("ada")), "{heard:?}");
    let token = result["token"].as_str().expect("a token").to_owned();
    let redeem = |token: &str| operator.post("/api/v1/tokens/introspect", &json!({"token": token})).json();
    assert_eq!(redeem(&format!("{token}x"))["active"], false);
    let first = redeem(&token);
    assert_eq!((&first["active"], &first["goal"], &first["person"]), (&json!(true), &json!("identify"), &json!("ada")));
    assert_eq!(redeem(&token), json!({"active": false}), "once");
    assert_eq!(t.client().post("/api/v1/tokens/introspect", &json!({"token": token})).status, 401);
    drop(socket);
    t.wait("everything to be forgotten", || {
        t.metric("cardea_web_visits_held") == 0.0 && t.metric("cardea_web_sessions") == 0.0
    });
    let state = operator.get(&format!("/api/v1/sessions/{id}")).json();
    assert_eq!(
        (&state["state"], &state["verdict"], &state["person"]),
        (&json!("done"), &json!("granted"), &json!("ada"))
    );
    let open = t.client().get(&format!("/api/v1/sessions/{id}")).json();
    assert_eq!((&open["verdict"], &open["person"]), (&json!("granted"), &Value::Null), "who it was is for operators");
    let records = types(&admin, "session.,visit.,access.,relay.energised");
    let kinds: Vec<&str> = records.iter().filter_map(|r| r["type"].as_str()).collect();
    assert_eq!(kinds, ["session.started", "visit.ended"], "a session opens no door");
    assert_eq!(records[0]["by"], "token:t-operator");
    assert_eq!(records[0]["visit"], records[1]["visit"]);
}

#[test]
fn a_stranger_and_a_photo_are_refused_after_the_same_prompts_without_a_word_why() {
    for (live, person, reason) in [(0.99, 8, "no_match"), (0.2, 7, "spoof")] {
        let t = Terminal::start(|dir| scripted(dir, &script(live, person)));
        let admin = t.admin();
        let operator = t.token(&admin, "operator");
        enrol(&admin, "ada");
        let (id, ws) = session(&operator, json!({"goal": "verify", "person": "ada"}));
        let mut socket = t.websocket(&ws, &[]).expect("connects");
        let (result, heard) = attend(&mut socket);
        assert_eq!(result, json!({"type": "result", "verdict": "denied"}));
        let asked = |a: &str| heard.iter().any(|m| m["action"] == a);
        assert!(asked("nod") && asked("mouth_open"), "{heard:?}");
        let path = format!("/api/v1/sessions/{id}");
        assert_eq!(operator.get(&path).json()["reason"], reason);
        assert_eq!(t.client().get(&path).json()["reason"], Value::Null);
    }
}

#[test]
fn a_target_is_a_person_of_its_own_and_goes_with_its_client() {
    let t = terminal();
    let admin = t.admin();
    let operator = t.token(&admin, "operator");
    let (id, ws) = session(&operator, json!({"goal": "verify"}));
    let target = format!("/api/v1/sessions/{id}/target");
    assert_eq!(t.client().upload(&target, "image/jpeg", b"nothing".to_vec()).code(), "target");
    assert_eq!(t.client().upload(&target, "image/jpeg", picture(0)).status, 204, "the id is the key");
    t.wait("the target", || t.metric("cardea_web_targets_held") == 1.0);
    let mut socket = t.websocket(&ws, &[]).expect("connects");
    let (result, heard) = attend(&mut socket);
    assert_eq!(result["verdict"], "granted", "{heard:?}");
    let claims = operator.post("/api/v1/tokens/introspect", &json!({"token": result["token"]})).json();
    assert_eq!((&claims["goal"], &claims["person"]), (&json!("verify"), &Value::Null), "a target has no name");
    assert_eq!(t.metric("cardea_web_targets_held"), 0.0);

    let (_, ws) = session(&operator, json!({"goal": "verify", "target": base64(&picture(0))}));
    let mut leaves = t.websocket(&ws, &[]).expect("connects");
    let looked_at = (1..100).any(|i| {
        leaves.send(Message::Binary(picture(i).into())).expect("sent");
        hear(&mut leaves, Duration::from_millis(100)).is_some_and(|m| m["frames"] == 3)
    });
    assert!(looked_at, "three pictures");
    assert_eq!((t.metric("cardea_web_targets_held"), t.metric("cardea_web_visits_held")), (1.0, 1.0));
    drop(leaves);
    t.wait("target, visit and pictures to be forgotten", || {
        ["targets_held", "visits_held", "frames_waiting", "sessions"]
            .iter()
            .all(|m| t.metric(&format!("cardea_web_{m}")) == 0.0)
    });
    assert_eq!(types(&admin, "person.").len(), 0, "nobody was enrolled");
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |c: &[u8], i: usize| {
        let n = c.iter().chain(&[0, 0]).take(3).fold(0_u32, |n, b| n << 8 | u32::from(*b));
        if i <= c.len() { char::from(DIGITS[(n >> (18 - 6 * i)) as usize & 63]) } else { '=' }
    };
    bytes.chunks(3).flat_map(|c| (0..4).map(move |i| digit(c, i))).collect()
}

#[test]
fn sessions_have_a_ceiling_a_rate_and_an_end_and_know_nothing_of_each_other() {
    let t = with(&["web.max_sessions=2", "web.self_service=true", "web.sessions_per_minute=5", "web.session_ttl_s=10"]);
    let anybody = t.client();
    let goal = json!({"goal": "liveness"});
    let first = anybody.post("/api/v1/sessions", &goal).json();
    assert_eq!(anybody.post("/api/v1/sessions", &goal).status, 201);
    let full = anybody.post("/api/v1/sessions", &goal);
    assert_eq!((full.status, full.code()), (503, "full".into()));
    let path = format!("/api/v1/sessions/{}", first["id"].as_str().expect("an id"));
    assert_eq!(anybody.delete(&path).status, 204);
    assert_eq!(anybody.delete(&path).code(), "not_found");
    assert_eq!(t.websocket(first["ws"].as_str().expect("an address"), &[]).err(), Some(404));
    let mine = json!({"goal": "liveness", "challenge": {"actions": ["smile"]}});
    assert_eq!(anybody.post("/api/v1/sessions", &mine).code(), "challenge", "a visitor does not choose the actions");
    let second = anybody.post("/api/v1/sessions", &goal);
    assert_eq!(second.status, 201);
    let slow = anybody.post("/api/v1/sessions", &goal);
    assert_eq!((slow.status, slow.code()), (429, "rate".into()));
    let mut socket = t.websocket(second.json()["ws"].as_str().expect("an address"), &[]).expect("connects");
    socket.send(Message::Text("hello".into())).expect("sent");
    assert_eq!(hear(&mut socket, PATIENCE).expect("an answer")["code"], "malformed");
    socket.send(Message::Binary(vec![7; 300].into())).expect("sent");
    assert_eq!(hear(&mut socket, PATIENCE).expect("an answer")["code"], "picture");
    let end = hear(&mut socket, PATIENCE).expect("its end");
    assert_eq!((&end["verdict"], &end["advice"]), (&json!("try_again"), &json!("expired")));
    t.wait("the others to end", || t.metric("cardea_web_sessions") == 0.0);
}

#[test]
fn every_address_of_the_description_exists_and_says_no_in_the_same_shape() {
    let t = terminal();
    let spec = t.client().get("/api/v1/openapi.json").json();
    let paths = spec["paths"].as_object().expect("paths");
    assert!(paths.len() >= 22, "{}", paths.len());
    for (path, methods) in paths {
        for (method, _) in methods.as_object().expect("methods") {
            let at = path.replace("{id}", "1").replace("{person}", "ada").replace("{name}", "root");
            let answer = match method.as_str() {
                "get" => t.client().get(&at),
                "delete" => t.client().delete(&at),
                _ => t.client().post(&at, &json!({})),
            };
            let open = ["/api/v1/me"].contains(&path.as_str());
            assert!(
                open || (400..500).contains(&answer.status) && answer.status != 405,
                "{method} {path}: {}",
                answer.status
            );
            if !open {
                assert!(!answer.code().is_empty(), "{method} {path}");
            }
        }
    }
    for (answer, status) in [
        (t.client().get("/nothing"), 404),
        (t.client().get("/api/v1/nothing"), 404),
        (t.client().delete("/api/v1/login"), 405),
        (t.client().upload("/api/v1/login", "application/json", b"{".to_vec()), 400),
        (t.client().upload("/api/v1/login", "text/plain", b"{}".to_vec()), 415),
    ] {
        assert_eq!((answer.status, answer.code().is_empty()), (status, false), "{}", answer.text);
    }
}

#[test]
fn pages_load_nothing_from_elsewhere_and_health_is_one_word() {
    let t = terminal();
    let page = t.client().get("/");
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(
        policy.contains("default-src 'none'")
            && policy.contains("frame-ancestors 'none'")
            && !policy.contains("unsafe")
    );
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    for path in [
        "/",
        "/verify",
        "/kiosk",
        "/docs",
        "/assets/console.js",
        "/assets/pages.js",
        "/assets/style.css",
        "/assets/verify.js",
    ] {
        let page = t.client().get(path);
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.text.contains("http://") || path.ends_with("dom.js"), "{path} names another host");
        assert!(!page.text.contains("https://"), "{path} names another host");
    }
    let health = t.client().get("/healthz").json();
    assert_eq!(health.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>()), Some(vec!["status".to_owned()]));
    let far = t.client().with("x-forwarded-for", "203.0.113.9").get("/metrics");
    assert_eq!(far.status, 401, "what a proxy passes on is not of this machine");
    let text = t.client().get("/metrics").text;
    assert!(text.contains("cardea_camera_frames_per_second") && text.contains("cardea_web_frames_total 0"), "{text}");
}

#[test]
fn slow_and_huge_clients_are_cut_off_and_others_are_served() {
    let t = terminal();
    let mut slow: Vec<_> = (0..60)
        .map(|_| {
            let mut s = std::net::TcpStream::connect(("127.0.0.1", t.port)).expect("connects");
            let _cut = s.write_all(&[0x16, 3, 1]);
            s.set_read_timeout(Some(PATIENCE)).expect("a socket");
            s
        })
        .collect();
    let began = Instant::now();
    // Some of the sixty have no place at all; the others are cut off, since nothing of their handshake follows.
    for s in &mut slow {
        let mut rest = Vec::new();
        let _reset = s.read_to_end(&mut rest);
    }
    assert!(began.elapsed() < Duration::from_secs(40), "they were held for {:?}", began.elapsed());
    let mut half = t.stream();
    half.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ").expect("sent");
    let mut said = String::new();
    let _reset = half.read_to_string(&mut said);
    assert!(!said.contains("200 OK"), "{said}");
    assert_eq!(t.client().get("/healthz").status, 200);
    let mut drip = t.stream();
    drip.write_all(b"POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{").expect("sent");
    let mut said = String::new();
    let _reset = drip.read_to_string(&mut said);
    assert!(said.starts_with("HTTP/1.1 4") || said.is_empty(), "{said}");
    let before = resident(t.pid());
    let admin = t.admin();
    for (path, size) in [("/api/v1/people/ada/photos", 40 << 20), ("/api/v1/login", 1 << 20)] {
        let mut huge = t.stream();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nCookie: {}\r\nX-CSRF-Token: {}\r\nContent-Length: {size}\r\n\r\n",
            admin.header("cookie"),
            admin.header("x-csrf-token")
        );
        huge.write_all(head.as_bytes()).expect("sent");
        let _cut = (0..size / 65536).try_for_each(|_| huge.write_all(&[b' '; 65536]));
        let mut said = Vec::new();
        let _reset = huge.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 413") || said.starts_with("HTTP/1.1 415"), "{said}");
    }
    assert!(resident(t.pid()) < before + (64 << 20), "memory grew");
}

/// Bytes in memory.
fn resident(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).expect("it runs");
    statm.split(' ').nth(1).and_then(|p| p.parse::<u64>().ok()).expect("pages") * 4096
}

#[test]
fn the_certificate_is_shown_and_renewed_and_a_taken_port_is_named_with_its_owner() {
    let mut t = terminal();
    let cert = |what: &str| {
        let out = Command::new(env!("CARGO_BIN_EXE_cardea"))
            .args(["cert", what, "--json", "--state"])
            .arg(t.state())
            .output();
        serde_json::from_slice::<Value>(&out.expect("starts").stdout).expect("JSON")
    };
    let shown = cert("show");
    let renewed = cert("renew");
    assert_ne!(shown["fingerprint"], renewed["fingerprint"]);
    assert!(shown["names"].as_array().is_some_and(|n| n.contains(&json!("localhost"))), "{shown}");
    let line = t.wait_for_log("fingerprint");
    assert!(line.contains(shown["fingerprint"].as_str().expect("a text")), "{line}");
    let other = tempfile::tempdir().expect("a directory");
    let mut second = Command::new(env!("CARGO_BIN_EXE_cardea"));
    second.args(["run", "--state"]).arg(other.path().join("state"));
    for s in scripted(other.path(), &script(0.99, 7)) {
        second.args(["--set", &s]);
    }
    second.args(["--set", "web.enabled=true", "--set", &format!("web.listen=\"127.0.0.1:{}\"", t.port)]);
    let out = second.output().expect("starts");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(69), "{said}");
    assert!(said.contains(&format!("(process {})", t.pid())), "{said}");
}

#[test]
fn plain_http_is_for_this_machine_alone() {
    let t = with(&["web.tls=false"]);
    assert!(!t.tls);
    assert_eq!(t.client().get("/healthz").status, 200);
    let cookie = t.client().post("/api/v1/setup", &json!({
        "code": std::fs::read_to_string(t.state().join("setup-code")).expect("a code"), "name": "root", "password": PASSWORD,
    }));
    assert!(cookie.header("set-cookie").is_some_and(|c| c.starts_with("cardea=") && c.contains("HttpOnly")));
    let out = Command::new(env!("CARGO_BIN_EXE_cardea"))
        .args(["config", "check", "--set", "web.tls=false", "--set", "web.listen=\"0.0.0.0:8443\""])
        .output()
        .expect("starts");
    assert_eq!(out.status.code(), Some(78));
}

const RULES: &str = r#"
zone = "Europe/Berlin"
[schedules.office]
mon-fri = ["08:00-18:00"]
[groups.staff]
second_factor = "pin"
[doors.front]
[[grants]]
groups = ["staff"]
doors = ["front"]
schedule = "office"
"#;

#[test]
fn the_rules_in_force_are_read_and_asked_who_may_pass_when() {
    let t = Terminal::start(|dir| {
        std::fs::write(dir.join("rules.toml"), RULES).expect("written");
        let mut all = scripted(dir, &script(0.99, 7));
        all.push(format!("rules.file={:?}", dir.join("rules.toml")));
        all
    });
    let admin = t.admin();
    enrol(&admin, "ada");
    let set = Command::new(env!("CARGO_BIN_EXE_cardea"))
        .args(["people", "set", "ada", "--group", "staff", "--card", "12345678", "--state"])
        .arg(t.state())
        .output()
        .expect("it runs");
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let rules = admin.get("/api/v1/rules");
    let shown = rules.json();
    assert_eq!((&shown["zone"], &shown["door"]), (&json!("Europe/Berlin"), &json!("front")));
    assert_eq!(shown["schedules"][0]["days"][0], json!(["08:00-18:00"]));
    assert_eq!(shown["grants"], json!([{"groups": ["staff"], "doors": ["front"], "when": "office"}]));
    assert_eq!((&shown["people"], &shown["with_card"], &shown["with_pin"]), (&json!(1), &json!(1), &json!(0)));
    assert!(!rules.text.contains("12345678"), "a card stays secret: {}", rules.text);
    let ask = |at: &str| admin.get(&format!("/api/v1/rules/who-can?door=front&at={at}"));
    // She has no PIN, and the group needs one.
    let monday = ask("2026-11-23T09:00").json();
    assert_eq!(monday["people"], json!([]));
    assert_eq!(
        (&monday["others"][0]["person"], &monday["others"][0]["reason"]),
        (&json!("ada"), &json!("second_factor"))
    );
    assert_eq!(ask("2026-11-22T09:00").json()["others"][0]["reason"], "outside_schedule");
    assert_eq!(ask("soon").code(), "malformed");
    assert_eq!(admin.get("/api/v1/rules/who-can?door=side&at=2026-11-23T09:00").code(), "malformed");
}

#[test]
fn what_eval_kept_is_shown_with_its_curve_and_networks_tell_their_times() {
    let t = Terminal::start(|dir| scripted(dir, &script(0.99, 7)));
    let admin = t.admin();
    assert_eq!(admin.get("/api/v1/evaluations").json(), json!([]));
    let dir = t.state().join("eval");
    std::fs::create_dir(&dir).expect("a directory");
    let report = json!({"genuine": 2, "impostor": 3, "eer": 0.1, "fnmr_at_fmr": {}, "precision": "int8",
                        "det": [{"threshold": 0.2, "fmr": 0.5, "fnmr": 0.0}]});
    let kept = json!({"eval": "faces", "at": "2026-11-22T08:00:00Z", "pack": "standard", "report": report});
    std::fs::write(dir.join("faces.json"), kept.to_string()).expect("written");
    std::fs::write(dir.join("pad.json"), "{").expect("written");
    let shown = admin.get("/api/v1/evaluations").json();
    assert_eq!((&shown[0]["name"], &shown[0]["faces"]["det"][0]["fmr"]), (&json!("faces"), &json!(0.5)), "{shown}");
    assert_eq!((&shown[1]["name"], &shown[1]["at"]), (&json!("pad"), &Value::Null));
    assert!(shown[1]["problem"].is_string(), "{shown}");
    t.wait("a frame at the door", || {
        let nets = admin.get("/api/v1/health").json()["networks"].clone();
        nets.as_array().expect("a list").iter().any(|n| n["runs"].as_u64() > Some(0) && n["p50_ms"].is_number())
    });
    let health = admin.get("/api/v1/health").json();
    assert!(health["processor_celsius"].is_null() || health["processor_celsius"].is_number(), "{health}");
}

/// A terminal whose web sessions may open the door, if `on`; the rules let the group `staff` pass.
fn at_the_door(on: bool) -> Terminal {
    Terminal::start(|dir| {
        let rules =
            "[groups.staff]\n[doors.front]\n[[grants]]\ngroups = ['staff']\ndoors = ['front']\nschedule = 'always'\n";
        std::fs::write(dir.join("rules.toml"), rules).expect("written");
        let mut all = scripted(dir, &script(0.99, 7));
        // The configured challenge in the order of the script.
        all.extend(["challenge.sequence=[\"nod\",\"mouth_open\"]", "insecure.fixed_challenge=true"].map(String::from));
        all.extend([format!("rules.file={:?}", dir.join("rules.toml")), format!("web.opens_door={on}")]);
        all
    })
}

/// A session that ends in a grant. On a busy machine an action may be seen before it is asked for: then another one.
fn granted_session(t: &Terminal, operator: &Client<'_>, ask: &Value) {
    let mut verdict = Value::Null;
    for _ in 0..4 {
        let made = operator.post("/api/v1/sessions", ask);
        assert_eq!(made.status, 201, "{}", made.text);
        let mut socket = t.websocket(made.json()["ws"].as_str().expect("an address"), &[]).expect("connects");
        verdict = attend(&mut socket).0["verdict"].clone();
        if verdict == "granted" {
            return;
        }
    }
    panic!("four sessions, and the last was {verdict}");
}

fn in_group(t: &Terminal, group: &str) {
    let set = Command::new(env!("CARGO_BIN_EXE_cardea"))
        .args(["people", "set", "ada", "--group", group, "--state"])
        .arg(t.state())
        .output()
        .expect("it runs");
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
}

#[test]
fn a_web_visit_opens_the_door_where_the_owner_says_so_and_the_rules_agree() {
    let t = at_the_door(true);
    let admin = t.admin();
    let operator = t.token(&admin, "operator");
    enrol(&admin, "ada");
    let identify = json!({"goal": "identify"});
    // No group yet: no rule lets her pass.
    granted_session(&t, &operator, &identify);
    t.wait("the refusal", || types(&admin, "access.denied").len() == 1);
    let refused = &types(&admin, "access.denied")[0];
    assert_eq!((&refused["reason"], &refused["person"]), (&json!("outside_schedule"), &json!("ada")), "{refused}");
    in_group(&t, "staff");
    // Who is it said to be, and actions of the client's own choice: granted, and not the door's business.
    granted_session(&t, &operator, &json!({"goal": "verify", "person": "ada"}));
    granted_session(
        &t,
        &operator,
        &json!({"goal": "identify", "challenge": serde_json::from_str::<Value>(FIXED).expect("JSON")}),
    );
    assert_eq!(types(&admin, "session.door").len(), 1, "only the first asked the door");
    assert_eq!(types(&admin, "relay.energised").len(), 0);
    granted_session(&t, &operator, &identify);
    t.wait("the pulse", || types(&admin, "relay.energised").len() == 1);
    let asked = types(&admin, "session.door");
    let granted = types(&admin, "access.granted");
    assert_eq!((asked.len(), granted.len(), &asked[1]["source"]), (2, 1, &json!("web")));
    assert_eq!((&granted[0]["visit"], &granted[0]["person"]), (&asked[1]["visit"], &json!("ada")));
    assert_eq!(types(&admin, "relay.energised")[0]["visit"], asked[1]["visit"]);
}

#[test]
fn a_web_visit_opens_nothing_unless_the_owner_says_so() {
    let t = at_the_door(false);
    let admin = t.admin();
    let operator = t.token(&admin, "operator");
    enrol(&admin, "ada");
    in_group(&t, "staff");
    granted_session(&t, &operator, &json!({"goal": "identify"}));
    // A second one: by its end the door would have heard of the first.
    granted_session(&t, &operator, &json!({"goal": "identify"}));
    assert_eq!(types(&admin, "session.door,access.,relay.energised"), Vec::<Value>::new());
}

#[test]
fn settings_are_checked_before_they_are_written_and_only_harmless_ones_change() {
    let t = terminal();
    let admin = t.admin();
    let operator = t.token(&admin, "operator");
    let change = |client: &Client<'_>, changes: Value| client.post("/api/v1/settings", &json!({"changes": changes}));
    assert_eq!(change(&operator, json!({"log.level": "debug"})).code(), "role");
    let wrong = change(&admin, json!({"camera.fps": 500, "web.remote_unlock": true, "prompt.language": "de"}));
    assert_eq!((wrong.status, wrong.code()), (422, "settings".into()));
    let wrong = change(&admin, json!({"camera.fps": 500, "prompt.language": "xx"}));
    let fields: Vec<String> = wrong.json()["fields"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|f| f["key"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert!(fields.contains(&"camera.fps".to_owned()) && fields.contains(&"prompt.language".to_owned()), "{fields:?}");
    for bad in [json!({}), json!({"log.level": ["a"]}), json!({"log.level": {"a": 1}})] {
        assert_eq!(change(&admin, bad).code(), "malformed");
    }
    // Over the file and under the arguments: what an argument sets stays as it is.
    let above = change(&admin, json!({"web.session_fps": 12}));
    assert!(above.status == 422 && above.text.contains("--set"), "{}", above.text);
    let file = t.state().join("settings.toml");
    assert!(!file.exists(), "nothing was written so far");
    let done = change(&admin, json!({"camera.fps": 24, "prompt.language": "de"}));
    assert_eq!(
        (done.status, done.json()),
        (200, json!({"changed": ["camera.fps", "prompt.language"], "restart": true}))
    );
    let acts = types(&admin, "system.admin");
    let act = |object: &str| {
        acts.iter().any(|e| e["by"] == "user:root" && e["action"] == "settings.change" && e["object"] == object)
    };
    assert!(act("camera.fps: 30 -> 24") && act("prompt.language: \"en\" -> \"de\""), "{acts:?}");
    let row = |t: &Client<'_>, key: &str| {
        let all = t.get("/api/v1/settings").json();
        all.as_array().expect("a list").iter().find(|s| s["key"] == key).expect("the key").clone()
    };
    let fps = row(&admin, "camera.fps");
    assert_eq!((&fps["value"], &fps["next"], &fps["own"]), (&json!("30"), &json!("24"), &json!(true)), "{fps}");
    assert_eq!(row(&admin, "web.remote_unlock")["editable"], false);
    let shown = Command::new(env!("CARGO_BIN_EXE_cardea"))
        .args(["config", "show", "--origin", "--state"])
        .arg(t.state())
        .output()
        .expect("it runs");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.lines().any(|l| l.starts_with("fps = 24") && l.contains("settings.toml:")), "{shown}");
    let dir = t.stop();
    let t = Terminal::start_in(dir, |dir| scripted(dir, &script(0.99, 7)));
    let login = t.client().post("/api/v1/login", &json!({"name": "root", "password": PASSWORD}));
    let cookie = login.header("set-cookie").and_then(|c| c.split(';').next()).expect("a cookie").to_owned();
    let admin = t.client().with("cookie", &cookie);
    assert_eq!((&row(&admin, "camera.fps")["value"], &row(&admin, "camera.fps")["next"]), (&json!("24"), &Value::Null));
}

#[test]
fn the_display_shows_the_code_until_there_is_an_administrator() {
    let t = Terminal::start(|dir| {
        let mut all = scripted(dir, &script(0.99, 7));
        all.retain(|s| !s.starts_with("prompt."));
        all.extend(["prompt.kind=\"sim\"".into(), format!("prompt.path={:?}", dir.join("screens"))]);
        // Another address than loopback, where somebody in front of the display could reach it.
        all.push("web.listen=\"0.0.0.0:0\"".into());
        all
    });
    let screens = || {
        let text = std::fs::read_to_string(t.dir.path().join("screens")).unwrap_or_default();
        text.lines().map(|l| serde_json::from_str::<Value>(l).expect("JSON")).collect::<Vec<_>>()
    };
    t.wait("the first screen", || !screens().is_empty());
    let code = std::fs::read_to_string(t.state().join("setup-code")).expect("a code");
    let shown = screens().last().expect("one")["setup"].clone();
    assert_eq!(shown["code"], code.trim());
    assert!(
        shown["address"].as_str().is_some_and(|a| a.starts_with("https://") && a.ends_with(&t.port.to_string())),
        "{shown}"
    );
    let log = t.log.lock().expect("no holder panics").clone();
    assert!(log.contains(shown["fingerprint"].as_str().expect("a text")) && shown["fingerprint"] != "", "{shown}");
    let _admin = t.admin();
    t.wait("the plain screen", || screens().last().is_some_and(|s| s["phase"] == "idle" && s.get("setup").is_none()));
}
