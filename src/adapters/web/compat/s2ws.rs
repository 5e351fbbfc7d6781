//! Clients of the system that asks for steps over Socket.IO: `challenge`, `frame`, `feedback`, `result`.
//!
//! A connection is one visit of goal liveness, which begins with its first picture. One that was not decided begins again;
//! after a verdict pictures are not looked at any more.

use super::socketio::{Clients, address, begin, emit, guarded, server};
use super::steps::{self, Draw};
use super::{reply, words};
use crate::adapters::web::App;
use crate::adapters::web::hub::{Out, Refusal};
use crate::adapters::web::look::{Again, Manner};
use crate::config::sections::{Cors, Seed};
use crate::schema::event::{Action, Goal};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::get;
use serde_json::{Value, json};
use socketioxide::extract::{SocketRef, TryData};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;

/// A connection's visits are over by then.
const TTL: Duration = Duration::from_mins(5);
/// For one step.
const WINDOW: Duration = Duration::from_secs(30);

const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Cardea</title>\
    <p>Liveness by steps over Socket.IO: <code>challenge</code>, <code>frame</code>, <code>feedback</code>, \
    <code>result</code>.</p></html>";

struct Client {
    address: IpAddr,
    state: Mutex<Mine>,
}

#[derive(Default)]
struct Mine {
    session: Option<String>,
    /// There was a verdict.
    over: bool,
    /// What was said last: it is not said again and again.
    said: String,
    step: Option<u64>,
    /// How often the action of this step was to be done at first.
    times: u64,
}

impl Client {
    fn mine(&self) -> MutexGuard<'_, Mine> {
        self.state.lock().expect("client mutex: no holder panics")
    }

    fn feedback(&self, socket: &SocketRef, status: &str, message: &str) {
        let mut mine = self.mine();
        if mine.said != message {
            message.clone_into(&mut mine.said);
            drop(mine);
            emit(socket, "feedback", &json!({"status": status, "message": message}));
        }
    }
}

struct Desk {
    app: Arc<App>,
    clients: Clients<Client>,
}

/// What its clients call.
pub(super) fn routes(app: &Arc<App>, cors: &Cors) -> Router {
    let (layer, io) = server();
    let desk = Arc::new(Desk { app: app.clone(), clients: Clients::default() });
    io.ns("/", move |socket: SocketRef| {
        let desk = desk.clone();
        async move { desk.connected(socket) }
    });
    let routes = Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .fallback(|| async { reply::error(StatusCode::NOT_FOUND, "Not found") });
    guarded(routes, &layer, app, cors)
}

impl Desk {
    fn connected(self: &Arc<Self>, socket: SocketRef) {
        let client = Arc::new(Client { address: address(&socket), state: Mutex::default() });
        if !self.clients.enter(socket.id.to_string(), client.clone(), self.app.config.max_sessions) {
            client.feedback(&socket, "FAIL", "Service at capacity");
            let _gone = socket.disconnect();
            return;
        }
        emit(&socket, "challenge", &json!({"challenge": "CENTER"}));
        let (desk, at) = (self.clone(), (self.clone(), client));
        socket.on("frame", move |s: SocketRef, TryData(picture): TryData<Bytes>| {
            let (desk, client) = at.clone();
            async move {
                match picture {
                    Ok(picture) => desk.frame(&s, &client, &picture),
                    Err(_) => client.feedback(&s, "FAIL", "A frame is a JPEG picture as binary data."),
                }
            }
        });
        socket.on_disconnect(move |s: SocketRef| {
            let desk = desk.clone();
            async move { desk.gone(&s.id.to_string()) }
        });
    }

    fn gone(&self, id: &str) {
        if let Some(session) = self.clients.leave(id).and_then(|c| c.mine().session.take()) {
            self.app.hub.end(&session);
        }
    }

    fn frame(self: &Arc<Self>, socket: &SocketRef, client: &Arc<Client>, picture: &[u8]) {
        let Some(session) = self.session(socket, client) else { return };
        if self.app.hub.frame(&session, picture.to_vec()) == Err(Refusal::BadPicture) {
            client.feedback(socket, "FAIL", "A frame is a JPEG picture of at most 1 MB and 1920 pixels a side.");
        }
    }

    /// The visit of a client, which begins now if it has not yet.
    fn session(self: &Arc<Self>, socket: &SocketRef, client: &Arc<Client>) -> Option<String> {
        let mut mine = client.mine();
        if mine.over || mine.session.is_some() {
            return mine.session.clone();
        }
        let manner = self.manner()?;
        match begin(&self.app, Seed::S2ws, client.address, Goal::Liveness, manner) {
            Ok((session, inbox)) => {
                mine.session = Some(session.clone());
                drop(mine);
                let (desk, socket, client) = (self.clone(), socket.clone(), client.clone());
                tokio::spawn(async move { desk.listen(&socket, &client, inbox).await });
                Some(session)
            }
            Err(why) => {
                mine.over = true;
                drop(mine);
                client.feedback(socket, "FAIL", why);
                None
            }
        }
    }

    /// A turn to each side and blinks in a drawn order, or the configured steps; `None` without random numbers.
    fn manner(&self) -> Option<Manner> {
        let config = &self.app.config.compat;
        let mut order = config.s2ws_sequence.clone();
        if order.is_empty() {
            let mut draw = Draw::new(self.app.random).ok()?;
            let mut rest = vec![(Action::TurnLeft, 1), (Action::TurnRight, 1), (Action::Blink, config.s2ws_blinks)];
            while !rest.is_empty() {
                let next = draw.below(u16::try_from(rest.len()).unwrap_or(1));
                order.push(rest.swap_remove(next));
            }
        }
        Some(Manner {
            ttl: Some(TTL),
            plan: Some(steps::plan(&order, |_| WINDOW)),
            forgiving: true,
            again: Again::Undecided,
            ..Manner::default()
        })
    }

    async fn listen(&self, socket: &SocketRef, client: &Client, mut inbox: mpsc::Receiver<Out>) {
        while let Some(out) = inbox.recv().await {
            match out {
                Out::Text(text) => tell(socket, client, &serde_json::from_str(&text).unwrap_or_default()),
                Out::Last(text) => {
                    let said: Value = serde_json::from_str(&text).unwrap_or_default();
                    client.mine().over = true;
                    if said["verdict"] == "granted" {
                        client.feedback(socket, "SUCCESS", "Verification successful.");
                        return emit(socket, "result", &json!({"status": "SUCCESS", "token": said["token"]}));
                    }
                    let message = "Verification failed. Please connect again.";
                    client.feedback(socket, "FAIL", message);
                    return emit(socket, "result", &json!({"status": "FAIL", "message": message}));
                }
            }
        }
    }
}

/// What a message of a visit says in the words of this protocol.
fn tell(socket: &SocketRef, client: &Client, said: &Value) {
    match said["type"].as_str() {
        Some("progress") if said["faces"].as_u64() != Some(1) => {
            client.feedback(socket, "INFO", "Keep one face in frame.");
        }
        Some("error") => client.feedback(socket, "FAIL", "A frame could not be decoded."),
        Some("prompt") => prompt(socket, client, said),
        _ => {}
    }
}

fn prompt(socket: &SocketRef, client: &Client, said: &Value) {
    let (step, left) = (said["step"].as_u64().unwrap_or(0), said["left"].as_u64().unwrap_or(1).max(1));
    if said["phase"] == "looking" {
        // A visit that was not decided begins again.
        if client.mine().step.take().is_some() {
            emit(socket, "challenge", &json!({"challenge": "CENTER"}));
        }
        return client.feedback(socket, "INFO", words::advice(said["advice"].as_str()));
    }
    let Some(action) = said["action"].as_str() else {
        if said["of"].as_u64().is_some_and(|of| of > 0 && step > 0) {
            client.feedback(socket, "SUCCESS", &format!("Step {step} completed."));
        }
        return;
    };
    let new = {
        let mut mine = client.mine();
        let new = mine.step != Some(step);
        if new {
            (mine.step, mine.times) = (Some(step), left);
        }
        new
    };
    if new {
        emit(socket, "challenge", &json!({"challenge": words::challenge(action)}));
    }
    let times = client.mine().times.max(left);
    let message = match action {
        "blink" => format!("Blink {}/{times}: close your eyes fully and open them again.", times - left + 1),
        _ => words::instruction(action, left),
    };
    client.feedback(socket, "INFO", &message);
}
