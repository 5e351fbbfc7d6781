//! Clients of the system that compares a face with an uploaded picture: `POST /upload_target` and Socket.IO events.
//!
//! * *target*: the face of the uploaded picture, kept as one template by a session of its own until its client goes.
//! * *run*: from `start_verify` to its one result: visits that compare with the target, one after the other until one is
//!   decided or the time is over.

use super::reply;
use super::socketio::{Clients, address, begin, emit, guarded, server};
use crate::adapters::web::App;
use crate::adapters::web::hub::{Ask, Out, RefusedPicture, Work};
use crate::adapters::web::look::{Again, Manner};
use crate::adapters::web::secret_id;
use crate::adapters::web::server::{Peer, counted};
use crate::config::sections::{Cors, Seed};
use crate::domain::challenge::Plan;
use crate::schema::event::Goal;
use axum::extract::multipart::MultipartRejection;
use axum::extract::{DefaultBodyLimit, Multipart, State};
use axum::http::StatusCode;
use axum::response::{Html, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde_json::{Value, json};
use socketioxide::extract::{Data, SocketRef};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A run is over by then; the old page itself gives up after 10 s.
const RUN: Duration = Duration::from_secs(15);
/// A target is kept so long, if its client stays.
const KEPT: Duration = Duration::from_hours(1);
/// Longest text of `socket_id`.
const ID: usize = 64;

/// One connection.
struct Client {
    address: IpAddr,
    state: Mutex<Mine>,
}

#[derive(Default)]
struct Mine {
    /// The session that holds the target.
    target: Option<String>,
    run: Option<Run>,
    /// Of the newest run.
    number: u64,
}

struct Run {
    number: u64,
    /// The visit that pictures go to.
    session: Option<String>,
}

impl Client {
    fn mine(&self) -> MutexGuard<'_, Mine> {
        self.state.lock().expect("client mutex: no holder panics")
    }
}

struct Desk {
    app: Arc<App>,
    clients: Clients<Client>,
}

const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Cardea</title>\
    <p>Face verification against an uploaded picture: <code>POST /upload_target</code>, then Socket.IO \
    <code>start_verify</code>, <code>video_frame</code>, <code>stop_verify</code>.</p></html>";

/// What its clients call.
pub(super) fn routes(app: &Arc<App>, cors: &Cors) -> Router {
    let (layer, io) = server();
    let desk = Arc::new(Desk { app: app.clone(), clients: Clients::default() });
    let at = desk.clone();
    io.ns("/", move |socket: SocketRef| {
        let desk = at.clone();
        async move { desk.connected(socket) }
    });
    let upload = DefaultBodyLimit::max(app.config.upload_bytes);
    let routes = Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/upload_target", post(upload_target).layer(upload))
        .fallback(|| async { reply::error(StatusCode::NOT_FOUND, "Not found") })
        .with_state(desk);
    guarded(routes, &layer, app, cors)
}

impl Desk {
    fn connected(self: &Arc<Self>, socket: SocketRef) {
        let client = Arc::new(Client { address: address(&socket), state: Mutex::default() });
        if !self.clients.enter(socket.id.to_string(), client.clone(), self.app.config.max_sessions) {
            emit(&socket, "verification_result", &json!({"status": "error", "message": "Service at capacity"}));
            let _gone = socket.disconnect();
            return;
        }
        let mine = (self.clone(), client);
        let at = mine.clone();
        socket.on("start_verify", move |s: SocketRef| {
            let (desk, client) = at.clone();
            async move { desk.start(&s, &client) }
        });
        let at = mine.clone();
        socket.on("video_frame", move |Data(frame): Data<Value>| {
            let (desk, client) = at.clone();
            async move { desk.frame(&client, &frame) }
        });
        let (desk, at) = (self.clone(), mine);
        socket.on("stop_verify", move |s: SocketRef| {
            let (desk, client) = at.clone();
            async move { desk.stop(&s, &client) }
        });
        socket.on_disconnect(move |s: SocketRef| {
            let desk = desk.clone();
            async move { desk.gone(&s.id.to_string()) }
        });
    }

    /// Target, visit and pictures go with the client.
    fn gone(&self, id: &str) {
        let Some(client) = self.clients.leave(id) else { return };
        let mut mine = client.mine();
        let sessions = mine.target.take().into_iter().chain(mine.run.take().and_then(|r| r.session));
        for session in sessions {
            self.app.hub.end(&session);
        }
    }

    fn start(self: &Arc<Self>, socket: &SocketRef, client: &Arc<Client>) {
        let mut mine = client.mine();
        let held = mine.target.clone().filter(|t| self.app.hub.status(t).is_some());
        let Some(target) = held else {
            let message = "Target image not set. Please upload a target image first.";
            return emit(socket, "verification_result", &json!({"status": "error", "message": message}));
        };
        mine.number += 1;
        let number = mine.number;
        if let Some(old) = mine.run.replace(Run { number, session: None }).and_then(|r| r.session) {
            self.app.hub.end(&old);
        }
        drop(mine);
        emit(socket, "verification_status", &json!({"status": "started", "message": "Verification started"}));
        let (desk, socket, client) = (self.clone(), socket.clone(), client.clone());
        tokio::spawn(async move { desk.run(&socket, &client, number, target).await });
    }

    /// A picture of the camera, as a text or as `{"image": …}`; what is none is left out.
    fn frame(&self, client: &Client, frame: &Value) {
        let text = frame.as_str().or_else(|| frame["image"].as_str());
        let session = client.mine().run.as_ref().and_then(|r| r.session.clone());
        if let (Some(picture), Some(session)) = (text.and_then(reply::picture), session) {
            let _counted = self.app.hub.frame(&session, picture);
        }
    }

    fn stop(&self, socket: &SocketRef, client: &Client) {
        let number = client.mine().run.as_ref().map(|r| r.number);
        if let Some(number) = number {
            self.finish(socket, client, number, "failed", "Verification stopped by user.");
        }
    }

    /// Ends a run with its one result, unless it has had it, or another one has begun.
    fn finish(&self, socket: &SocketRef, client: &Client, number: u64, status: &str, message: &str) {
        let mut mine = client.mine();
        let Some(run) = mine.run.take_if(|r| r.number == number) else { return };
        if let Some(session) = run.session {
            self.app.hub.end(&session);
        }
        drop(mine);
        let told = |status: &str, message: &str| {
            emit(socket, "verification_status", &json!({"status": status, "message": message}));
        };
        // In this order, and both only once both hold: one without the other would help an attacker.
        if status == "success" {
            told("matched", "Face matched");
            told("live", "Liveness confirmed");
        } else {
            told("failed", "Verification failed");
        }
        emit(socket, "verification_result", &json!({"status": status, "message": message}));
    }

    async fn run(self: &Arc<Self>, socket: &SocketRef, client: &Client, number: u64, target: String) {
        let failed = "Face verification failed or spoof detected.";
        let ends = tokio::time::sleep(RUN);
        tokio::pin!(ends);
        let (session, mut inbox) = match begin(&self.app, Seed::S0, client.address, Goal::Verify, self.manner(target)) {
            Ok(began) => began,
            Err(why) => return self.finish(socket, client, number, "error", why),
        };
        match client.mine().run.as_mut().filter(|r| r.number == number) {
            Some(run) => run.session = Some(session),
            None => {
                self.app.hub.end(&session);
                return;
            }
        }
        loop {
            let said = tokio::select! {
                said = inbox.recv() => said,
                () = &mut ends => {
                    return self.finish(socket, client, number, "failed", "Verification timed out. Please try again.");
                }
            };
            match said {
                Some(Out::Text(text)) => prompt(socket, &text),
                Some(Out::Last(text)) if verdict(&text) == "granted" => {
                    return self.finish(socket, client, number, "success", "Face verified successfully.");
                }
                Some(Out::Last(_)) => return self.finish(socket, client, number, "failed", failed),
                // Stopped, gone, or begun anew: whoever did that has told the client.
                None => return self.finish(socket, client, number, "failed", failed),
            }
        }
    }

    /// The old clients show no prompts: PAD speaks for life. Without PAD networks the configured challenge does, told as
    /// `verification_status`.
    fn manner(&self, target: String) -> Manner {
        let passive = self.app.house.models().iter().any(|m| m.role == "pad");
        Manner {
            ttl: Some(RUN + Duration::from_secs(5)),
            plan: passive.then(Plan::default),
            again: Again::Undecided,
            target_of: Some(target),
            ..Manner::default()
        }
    }
}

/// What to do, in words, where something is asked for.
fn prompt(socket: &SocketRef, text: &str) {
    let said: Value = serde_json::from_str(text).unwrap_or_default();
    if let (Some("prompt"), Some(action)) = (said["type"].as_str(), said["action"].as_str()) {
        let message = super::words::instruction(action, said["left"].as_u64().unwrap_or(1));
        emit(socket, "verification_status", &json!({"status": "action", "message": message}));
    }
}

fn verdict(text: &str) -> String {
    let said: Value = serde_json::from_str(text).unwrap_or_default();
    said["verdict"].as_str().unwrap_or_default().to_owned()
}

fn refuse(message: &str) -> Response {
    reply::answer(StatusCode::BAD_REQUEST, json!({"status": "error", "message": message}))
}

/// What a form holds: the picture with its file name, and whose it is.
#[derive(Default)]
struct Form {
    picture: Option<(String, Vec<u8>)>,
    socket: Option<String>,
}

async fn read(form: Result<Multipart, MultipartRejection>) -> Result<Form, &'static str> {
    const BROKEN: &str = "The upload is broken or too large.";
    let mut found = Form::default();
    let Ok(mut form) = form else { return Ok(found) };
    while let Some(field) = form.next_field().await.map_err(|_| BROKEN)? {
        match field.name() {
            Some("target_image") => {
                // A form without a chosen file sends a part of a file's type with an empty name.
                let unnamed = field.content_type().map(|_| String::new());
                let Some(file) = field.file_name().map(str::to_owned).or(unnamed) else { continue };
                found.picture = Some((file, field.bytes().await.map_err(|_| BROKEN)?.to_vec()));
            }
            Some("socket_id") => found.socket = Some(field.text().await.map_err(|_| BROKEN)?),
            _ => {}
        }
    }
    Ok(found)
}

async fn upload_target(
    State(desk): State<Arc<Desk>>,
    peer: Option<Extension<Peer>>,
    form: Result<Multipart, MultipartRejection>,
) -> Response {
    let form = match read(form).await {
        Ok(form) => form,
        Err(why) => return refuse(why),
    };
    let Some((file, picture)) = form.picture else { return refuse("No image file provided.") };
    if file.is_empty() {
        return refuse("No selected file.");
    }
    let Some(id) = form.socket.filter(|s| !s.trim().is_empty()) else {
        return refuse("Socket ID is required for target upload.");
    };
    let Some(client) = (id.len() <= ID).then(|| desk.clients.find(id.trim())).flatten() else {
        return refuse("Socket ID is unknown. Please connect first.");
    };
    let from = peer.map_or(client.address, |Extension(Peer(p))| counted(p.ip()));
    if !desk.app.session_rate.take(from, Instant::now()) {
        let message = "Too many uploads. Please wait a minute.";
        return reply::answer(StatusCode::TOO_MANY_REQUESTS, json!({"status": "error", "message": message}));
    }
    match desk.keep(picture).await {
        Ok(session) => {
            // Whoever left in the meantime leaves nothing.
            let still = desk.clients.find(id.trim()).is_some_and(|c| Arc::ptr_eq(&c, &client));
            let old = if still { client.mine().target.replace(session) } else { Some(session) };
            if let Some(old) = old {
                desk.app.hub.end(&old);
            }
            let message = "Target face uploaded successfully.";
            reply::answer(StatusCode::OK, json!({"status": "success", "message": message}))
        }
        Err(why) => refuse(&why),
    }
}

impl Desk {
    /// A session that holds the face of this picture.
    async fn keep(&self, picture: Vec<u8>) -> Result<String, String> {
        const BUSY: &str = "The service is busy. Please try again.";
        let id = secret_id(self.app.random).map_err(|_| BUSY)?;
        let manner = Manner { ttl: Some(KEPT), ..Manner::default() };
        let ask = Ask { goal: Goal::Verify, person: None, challenge: None, by: "s0".into(), manner };
        self.app.hub.open(id.clone(), ask).map_err(|_| "Service at capacity")?;
        let (reply, answer) = oneshot::channel();
        let job = Work::Target { id: id.clone(), picture, reply };
        let taken = match self.app.hub.job(job) {
            Ok(()) => answer.await.ok().and_then(Result::ok),
            Err(_) => None,
        };
        match taken {
            Some(Ok(())) => Ok(id),
            Some(Err(why)) => {
                self.app.hub.end(&id);
                Err(sentence(&why))
            }
            None => {
                self.app.hub.end(&id);
                Err(BUSY.into())
            }
        }
    }
}

/// Why a target was not taken.
fn sentence(why: &RefusedPicture) -> String {
    match why.faces {
        Some(0) => "No face detected in the target image.".into(),
        Some(n) => {
            format!("Multiple faces detected in the target image ({n}). Please upload one with exactly one face.")
        }
        None => format!("The target image cannot be used: {}; {}.", why.reason, why.hint),
    }
}
