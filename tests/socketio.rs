//! The two Socket.IO listeners with the real `socket.io-client` under node, whose camera is a recorded clip: who is enrolled
//! by an uploaded picture is verified, a stranger and a photo are not; steps are asked for and done; and what a client may
//! not do ends in a clear word and leaves nothing.
//!
//! Needs `make models`, `scripts/setup.sh clients`, ffmpeg, node and the folder with the evaluation data.

#[path = "support/clients.rs"]
mod clients;
#[path = "support/film.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod film;
mod support;
#[path = "support/web.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod web;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use web::{PATIENCE, Terminal, script, scripted};

/// One client under node.
struct Client {
    child: Child,
    lead: ChildStdin,
    heard: Receiver<Value>,
    _scripts: tempfile::TempDir,
}

impl Client {
    /// Connects to a listener; `transport` is websocket, polling, or both, which begins with polling.
    fn new(url: &str, transport: &str) -> Client {
        let scripts = clients::scripts(&["tests/clients/socketio.mjs"]);
        let mut child = Command::new("node")
            .arg(scripts.path().join("socketio.mjs"))
            .args([url, transport])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let (out, lead) = (child.stdout.take().expect("piped"), child.stdin.take().expect("piped"));
        let (tell, heard) = channel();
        std::thread::spawn(move || {
            let events =
                BufReader::new(out).lines().map_while(Result::ok).filter_map(|l| serde_json::from_str(&l).ok());
            events.into_iter().all(|e: Value| tell.send(e).is_ok());
        });
        Client { child, lead, heard, _scripts: scripts }
    }

    /// Connected, with its id.
    fn connected(url: &str, transport: &str) -> (Client, String) {
        let client = Client::new(url, transport);
        let id = client.until("connected");
        (client, id.as_str().expect("an id").to_owned())
    }

    fn tell(&mut self, command: &Value) {
        writeln!(self.lead, "{command}").expect("node listens");
    }

    /// The next event of whatever name, if one comes.
    fn next(&self, patience: Duration) -> Option<(String, Value)> {
        let said = self.heard.recv_timeout(patience).ok()?;
        Some((said["event"].as_str().unwrap_or_default().to_owned(), said["data"].clone()))
    }

    /// Everything up to and with the first of one name.
    fn all_until(&self, name: &str) -> Vec<(String, Value)> {
        let (end, mut all) = (Instant::now() + 2 * PATIENCE, Vec::new());
        while Instant::now() < end {
            let Some(said) = self.next(Duration::from_millis(100)) else { continue };
            all.push(said);
            if all.last().is_some_and(|(n, _)| n == name) {
                return all;
            }
        }
        panic!("no {name} in {all:?}");
    }

    fn until(&self, name: &str) -> Value {
        self.all_until(name).pop().expect("the last").1
    }

    fn upload(&mut self, picture: &Path) -> Value {
        self.tell(&json!({"command": "upload", "files": {"target_image": picture}, "fields": {"socket_id": "own"}}));
        self.until("uploaded")
    }

    /// One run from its start to its result, with everything between.
    fn verify(&mut self, frames: &Path, form: &str) -> (Value, Vec<(String, Value)>) {
        self.tell(&json!({"command": "frames", "dir": frames, "fps": 5, "as": form}));
        self.tell(&json!({"command": "emit", "event": "start_verify"}));
        let mut all = self.all_until("verification_result");
        self.tell(&json!({"command": "dark"}));
        (all.pop().expect("the last").1, all)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Where a listener is.
fn address(t: &mut Terminal, seed: &str) -> String {
    let line = t.wait_for_log(&format!("clients of {seed} are served at "));
    let at = line.split("served at ").nth(1).expect("an address");
    at.split_whitespace().next().expect("an address").trim_end_matches('/').to_owned()
}

fn grey_camera(dir: &Path) -> Vec<String> {
    let frames = dir.join("frames");
    std::fs::create_dir_all(&frames).expect("a directory");
    for i in 0..3 {
        let grey = image::RgbImage::from_pixel(640, 480, image::Rgb([90, 90, 90 + i]));
        grey.save(frames.join(format!("frame_{i}.jpg"))).expect("a picture");
    }
    vec!["camera.kind=\"file\"".into(), format!("camera.path={frames:?}"), "prompt.kind=\"none\"".into()]
}

fn listener(seed: &str) -> [String; 2] {
    [format!("web.compat.{seed}.enabled=true"), format!("web.compat.{seed}.listen=\"127.0.0.1:0\"")]
}

/// A terminal with real networks.
fn real(seed: &str, more: &[&str]) -> Terminal {
    Terminal::start(|dir| {
        let more = more.iter().map(|s| (*s).to_owned());
        grey_camera(dir).into_iter().chain(listener(seed)).chain(more).collect()
    })
}

/// A terminal whose networks are scripted, for what does not depend on faces.
fn quick(seed: &str) -> Terminal {
    Terminal::start(|dir| {
        let more = ["web.sessions_per_minute=6000".to_owned()];
        scripted(dir, &script(0.99, 7)).into_iter().chain(listener(seed)).chain(more).collect()
    })
}

fn has_tools(test: &str) -> bool {
    support::has("ffmpeg", "ffmpeg", test) && support::has("node", "nodejs", test)
}

fn data(file: &str) -> PathBuf {
    support::shared().join("data").join(file)
}

/// A clip as pictures, five a second.
fn clip(dir: &Path, name: &str, file: &str) -> PathBuf {
    clients::pictures(dir, name, &["-i", &data(file).display().to_string()], 5)
}

/// A photo in a hand.
fn photo(dir: &Path, fps: u32) -> PathBuf {
    let film = dir.join("photo.mjpeg");
    film::photo(&data("pads/nuaa/print/0001_00_00_01_0.jpg"), &film);
    clients::pictures(dir, "photo", &["-i", &film.display().to_string()], fps)
}

fn held(t: &Terminal) -> [f64; 4] {
    ["targets_held", "visits_held", "frames_waiting", "sessions"].map(|m| t.metric(&format!("cardea_web_{m}")))
}

#[test]
fn an_uploaded_face_is_verified_and_a_stranger_and_a_photo_are_not() {
    if !has_tools("an_uploaded_face_is_verified_and_a_stranger_and_a_photo_are_not") {
        return;
    }
    let work = tempfile::tempdir().expect("a directory");
    let known = clip(work.path(), "known", "video/live_turn_p04.mov");
    let stranger = clip(work.path(), "stranger", "video/live_turn_p03.mp4");
    let photo = photo(work.path(), 5);
    let mut t = real("s0", &[]);
    let url = address(&mut t, "s0");
    let (mut c, _) = Client::connected(&url, "both");
    let uploaded = c.upload(&data("faces/selfies/p04.jpg"));
    let success = json!({"status": "success", "message": "Target face uploaded successfully."});
    assert_eq!((&uploaded["status"], &uploaded["body"]), (&json!(200), &success), "{uploaded}");
    t.wait("the target", || t.metric("cardea_web_targets_held") == 1.0);

    let (result, before) = c.verify(&known, "text");
    let log = t.log.lock().expect("no holder panics").clone();
    assert_eq!(result, json!({"status": "success", "message": "Face verified successfully."}), "{before:?}\n{log}");
    let told: Vec<&str> = before.iter().filter_map(|(_, d)| d["message"].as_str()).collect();
    assert_eq!(told, ["Verification started", "Face matched", "Liveness confirmed"], "both, once both hold");
    assert_eq!(before[0].1["status"], "started");

    // The same target once more, and pictures in the other form.
    let (result, before) = c.verify(&stranger, "object");
    let failed = json!({"status": "failed", "message": "Face verification failed or spoof detected."});
    assert_eq!(result, failed, "{before:?}");
    assert!(before.iter().all(|(_, d)| d["message"] != "Face matched"), "{before:?}");
    assert!(before.iter().any(|(_, d)| d["message"] == "Verification failed"), "{before:?}");

    // A second upload replaces the first: now it is the one whose photo is held into the camera.
    let uploaded = c.upload(&data("pads/nuaa/live/0001_00_00_01_0.jpg"));
    assert_eq!(uploaded["status"], 200, "{uploaded}");
    t.wait("one target", || t.metric("cardea_web_targets_held") == 1.0);
    let (result, before) = c.verify(&photo, "text");
    assert_eq!(result, failed, "{before:?}");
    let admin = t.admin();
    let records = admin.get("/api/v1/events?limit=1000&type=visit.ended").json();
    let reasons: Vec<&str> =
        records["events"].as_array().expect("records").iter().filter_map(|r| r["reason"].as_str()).collect();
    assert!(reasons.contains(&"no_match") && reasons.contains(&"spoof"), "{reasons:?}");

    c.tell(&json!({"command": "leave"}));
    t.wait("everything to be forgotten", || held(&t) == [0.0; 4]);
}

#[test]
fn a_run_has_one_result_and_without_target_face_or_time_it_is_no_success() {
    if !has_tools("a_run_has_one_result_and_without_target_face_or_time_it_is_no_success") {
        return;
    }
    let mut t = quick("s0");
    let url = address(&mut t, "s0");
    let (mut c, id) = Client::connected(&url, "websocket");
    let start = json!({"command": "emit", "event": "start_verify"});
    c.tell(&start);
    let message = "Target image not set. Please upload a target image first.";
    assert_eq!(c.until("verification_result"), json!({"status": "error", "message": message}));

    let face = t.dir.path().join("face.jpg");
    std::fs::write(&face, web::picture(0)).expect("written");
    // Somebody else's upload, with the id, is for this client; its own target is then another's.
    let (mut other, _) = Client::connected(&url, "polling");
    other.tell(&json!({"command": "upload", "files": {"target_image": face}, "fields": {"socket_id": id}}));
    assert_eq!(other.until("uploaded")["status"], 200);
    other.tell(&start);
    assert_eq!(other.until("verification_result")["message"], message, "no client sees another one's target");

    c.tell(&start);
    assert_eq!(c.until("verification_status")["status"], "started");
    c.tell(&json!({"command": "emit", "event": "stop_verify"}));
    let stopped = json!({"status": "failed", "message": "Verification stopped by user."});
    assert_eq!(c.until("verification_result"), stopped);
    c.tell(&json!({"command": "emit", "event": "stop_verify"}));
    for data in [json!("nonsense"), json!({"image": 7}), json!(null), json!("data:image/jpeg;base64,%%")] {
        c.tell(&json!({"command": "emit", "event": "video_frame", "data": data}));
    }
    c.tell(&start);
    for data in [json!("nonsense"), json!({"image": "data:image/png;base64,AAAA"}), json!([1, 2])] {
        c.tell(&json!({"command": "emit", "event": "video_frame", "data": data}));
    }
    let all = c.all_until("verification_result");
    let (_, result) = all.last().expect("a result");
    assert_eq!(all.len(), 3, "nothing between start and the end of the time: {all:?}");
    assert_eq!(result["status"], "failed");
    assert!(result["message"].as_str().is_some_and(|m| m.contains("timed out")), "{result}");
    assert_eq!(t.metric("cardea_web_targets_held"), 1.0, "the target is for the next run");

    // A connection that is lost in the middle of a run, without a word.
    c.tell(&start);
    assert_eq!(c.until("verification_status")["status"], "started");
    drop(c);
    t.wait("target and visit to be forgotten", || held(&t) == [0.0; 4]);
}

#[test]
fn an_upload_that_is_no_face_says_what_is_wrong() {
    if !has_tools("an_upload_that_is_no_face_says_what_is_wrong") {
        return;
    }
    let mut t = real("s0", &[]);
    let url = address(&mut t, "s0");
    let (mut c, _) = Client::connected(&url, "websocket");
    let face = data("faces/selfies/p04.jpg");
    let own = json!({"socket_id": "own"});
    for (files, fields, message) in [
        (json!({}), own.clone(), "No image file provided."),
        (json!({"other": face}), own.clone(), "No image file provided."),
        (json!({"target_image": null}), own.clone(), "No selected file."),
        (json!({"target_image": face}), json!({}), "Socket ID is required for target upload."),
        (json!({"target_image": face}), json!({"socket_id": "0"}), "Socket ID is unknown. Please connect first."),
        (json!({"target_image": data("bad/expected.csv")}), own.clone(), "The target image cannot be used"),
        (
            json!({"target_image": data("bad/two_people.jpg")}),
            own.clone(),
            "Multiple faces detected in the target image (2)",
        ),
    ] {
        c.tell(&json!({"command": "upload", "files": files, "fields": fields}));
        let answer = c.until("uploaded");
        assert_eq!((&answer["status"], &answer["body"]["status"]), (&json!(400), &json!("error")), "{answer}");
        assert!(answer["body"]["message"].as_str().is_some_and(|m| m.starts_with(message)), "{message}: {answer}");
    }
    let empty = t.dir.path().join("grey.jpg");
    image::RgbImage::from_pixel(640, 480, image::Rgb([90, 90, 90])).save(&empty).expect("a picture");
    let answer = c.upload(&empty);
    assert_eq!(answer["body"]["message"], "No face detected in the target image.", "{answer}");
    t.wait("nothing to be kept", || held(&t) == [0.0; 4]);
}

#[test]
fn steps_are_asked_for_and_done_and_end_in_a_token() {
    if !has_tools("steps_are_asked_for_and_done_and_end_in_a_token") {
        return;
    }
    let work = tempfile::tempdir().expect("a directory");
    let film = work.path().join("known.mjpeg");
    film::performance(&data("video/live_turn_p04.mov"), &film);
    let frames = clients::pictures(work.path(), "known", &["-i", &film.display().to_string()], 10);
    let mut t = real("s2ws", &["web.compat.s2ws.sequence=[\"turn_left\",\"turn_right\"]"]);
    let url = address(&mut t, "s2ws");
    let admin = t.admin();
    let operator = t.token(&admin, "operator");
    // On a busy machine pictures come too late to be judged; then one connects again, as a person would.
    for round in 1.. {
        let (mut c, _) = Client::connected(&url, "websocket");
        c.tell(&json!({"command": "frames", "dir": frames, "fps": 10, "event": "frame", "as": "binary"}));
        let mut all = c.all_until("result");
        let (_, result) = all.pop().expect("a result");
        let asked: Vec<&str> =
            all.iter().filter(|(n, _)| n == "challenge").filter_map(|(_, d)| d["challenge"].as_str()).collect();
        assert_eq!(asked[0], "CENTER", "first of all: {all:?}");
        if result["status"] != "SUCCESS" && round < 6 {
            continue;
        }
        assert_eq!(result["status"], "SUCCESS", "{all:?}\n{}", t.log.lock().expect("no holder panics"));
        assert!(asked.ends_with(&["LEFT", "RIGHT"]), "{all:?}");
        let feedback: Vec<&Value> = all.iter().filter(|(n, _)| n == "feedback").map(|(_, d)| d).collect();
        assert!(feedback.iter().all(|f| ["INFO", "SUCCESS", "FAIL"].contains(&f["status"].as_str().unwrap_or("-"))));
        assert!(feedback.iter().any(|f| f["message"] == "Turn your head LEFT"), "{feedback:?}");
        let claims = operator.post("/api/v1/tokens/introspect", &json!({"token": result["token"]})).json();
        assert_eq!((&claims["active"], &claims["goal"]), (&json!(true), &json!("liveness")));
        c.tell(&json!({"command": "leave"}));
        break;
    }
    t.wait("everything to be forgotten", || held(&t) == [0.0; 4]);
}

#[test]
fn blinks_are_counted_and_a_photo_gets_no_token() {
    if !has_tools("blinks_are_counted_and_a_photo_gets_no_token") {
        return;
    }
    let work = tempfile::tempdir().expect("a directory");
    let photo = photo(work.path(), 10);
    let mut t = real("s2ws", &["web.compat.s2ws.sequence=[\"blink:6\"]"]);
    let url = address(&mut t, "s2ws");
    let (mut c, _) = Client::connected(&url, "both");
    c.tell(&json!({"command": "frames", "dir": photo, "fps": 10, "event": "frame", "as": "binary"}));
    let all = c.all_until("result");
    let (_, result) = all.last().expect("a result");
    assert_eq!((&result["status"], &result["token"]), (&json!("FAIL"), &Value::Null), "{all:?}");
    assert!(all.iter().any(|(n, d)| n == "challenge" && d["challenge"] == "BLINK"), "{all:?}");
    assert!(all.iter().any(|(_, d)| d["message"].as_str().is_some_and(|m| m.starts_with("Blink 1/6: "))), "{all:?}");
    assert!(all.iter().any(|(n, d)| n == "feedback" && d["status"] == "FAIL"), "{all:?}");
}

#[test]
fn what_a_client_may_not_send_ends_in_a_clear_word_and_leaves_nothing() {
    if !has_tools("what_a_client_may_not_send_ends_in_a_clear_word_and_leaves_nothing") {
        return;
    }
    let mut t = quick("s2ws");
    let url = address(&mut t, "s2ws");
    let (mut c, _) = Client::connected(&url, "websocket");
    assert_eq!(c.until("challenge"), json!({"challenge": "CENTER"}));
    for (count, text, message) in [
        (2000, true, "A frame is a JPEG picture as binary data."),
        (2000, false, "A frame is a JPEG picture of at most 1 MB and 1920 pixels a side."),
    ] {
        c.tell(&json!({"command": "bytes", "event": "frame", "count": count, "text": text}));
        assert_eq!(c.until("feedback"), json!({"status": "FAIL", "message": message}));
    }
    let before = resident(t.pid());
    let gone = |command: Value| {
        let (mut c, _) = Client::connected(&url, "websocket");
        c.until("challenge");
        c.tell(&command);
        c.until("disconnected");
    };
    // A message over the limit, many attachments announced, many messages, and no packet at all.
    gone(json!({"command": "bytes", "event": "frame", "count": 40 << 20}));
    gone(json!({"command": "raw", "packet": "51000000-[\"frame\",{\"_placeholder\":true,\"num\":0}]"}));
    gone(json!({"command": "flood", "event": "frame", "count": 5000}));
    gone(json!({"command": "raw", "packet": "9nonsense"}));
    let polling = |path: &str, body: &str| {
        let http = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let answer = match body {
            "" => http.get(format!("{url}{path}")).call(),
            body => http.post(format!("{url}{path}")).send(body),
        };
        let mut answer = answer.expect("an answer");
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap_or_default())
    };
    let at = "/socket.io/?EIO=4&transport=polling";
    let (status, open) = polling(at, "");
    assert_eq!(status, 200, "{open}");
    let sid = open.split("\"sid\":\"").nth(1).and_then(|s| s.split('"').next()).expect("an id");
    let (status, said) = polling(&format!("{at}&sid={sid}"), "451000000-[\"frame\"]");
    assert_eq!((status, said.contains("attachment")), (400, true), "{said}");
    assert_eq!(polling(&format!("{at}&sid={sid}"), &"4".repeat((3 << 19) + 1)).0, 413);
    assert_eq!(polling(&format!("{at}&sid=nobody"), "40").0, 400);
    assert_eq!(polling("/nothing", "").0, 404);
    assert!(resident(t.pid()) < before + (48 << 20), "memory grew");

    // Faster than they can be looked at: the newest counts, and others are served meanwhile.
    let frames = t.dir.path().join("pictures");
    std::fs::create_dir_all(&frames).expect("a directory");
    for i in 0..40 {
        std::fs::write(frames.join(format!("frame_{i:03}.jpg")), web::picture(i)).expect("written");
    }
    let (mut fast, _) = Client::connected(&url, "websocket");
    fast.tell(&json!({"command": "frames", "dir": frames, "fps": 80, "event": "frame", "as": "binary"}));
    t.wait("pictures that were too many", || {
        let dropped = |why: &str| t.metric(&format!("cardea_web_frames_dropped_total{{reason=\"{why}\"}}"));
        dropped("too_many") + dropped("replaced") > 20.0
    });
    assert_eq!(t.client().get("/healthz").status, 200);
    assert!(t.metric("cardea_web_frames_waiting") <= 1.0);
    drop((fast, c));
    t.wait("everything to be forgotten", || held(&t) == [0.0; 4]);
    // Sessions that one address may begin in a minute.
    let refused = (0..200).find(|_| polling(at, "").0 == 429);
    assert!(refused.is_some_and(|n| n >= 100), "refused from {refused:?} on");
}

/// Bytes in memory.
fn resident(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).expect("it runs");
    statm.split(' ').nth(1).and_then(|p| p.parse::<u64>().ok()).expect("pages") * 4096
}

#[test]
fn a_page_with_the_seeds_calls_is_verified_in_a_real_browser() {
    let name = "a_page_with_the_seeds_calls_is_verified_in_a_real_browser";
    if !has_tools(name) || !support::has("chromium", "chromium", name) {
        return;
    }
    let work = tempfile::tempdir().expect("a directory");
    let clip = work.path().join("known.mjpeg");
    let known = data("video/live_turn_p04.mov").display().to_string();
    film::ffmpeg(&["-i", &known, "-vf", "noise=alls=4:allf=t", "-t", "4"], &clip);
    let mut t = real("s0", &[]);
    let url = address(&mut t, "s0");
    let out = Command::new(film::python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/s0.py"))
        .args(["--url", &url, "--clip", &clip.display().to_string()])
        .args(["--target", &data("faces/selfies/p04.jpg").display().to_string(), "--client"])
        .arg(clients::bundle())
        .output()
        .expect("python starts");
    let log = t.log.lock().expect("no holder panics").clone();
    assert!(out.status.success(), "{}\n{log}", String::from_utf8_lossy(&out.stderr));
    let seen: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(seen["uploaded"]["status"], "success", "{seen}");
    assert_eq!(seen["result"], json!({"status": "success", "message": "Face verified successfully."}), "{seen}\n{log}");
    t.wait("everything to be forgotten", || held(&t) == [0.0; 4]);
}
