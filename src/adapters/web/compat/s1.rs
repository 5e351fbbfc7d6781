//! S1: frames over a plain WebSocket, a verdict on each.
//!
//! A connection is a session that goes on: a visit that was refused is followed by another one, a granted one stands for as
//! long as its face stays in front of the camera.

use super::guest::{self, Held, NoSession, address};
use super::s1_log::{Log, Row};
use super::s1_rooms::{Rooms, Seat, of_others};
use super::steps::{self, Draw};
use super::{cors, pages, reply};
use crate::adapters::web::App;
use crate::adapters::web::hub::{Outcome, Refusal};
use crate::adapters::web::look::{Again, Look, Manner};
use crate::adapters::web::server::{Peer, stopped};
use crate::config::sections::{Cors, Seed};
use crate::domain::screen::{Advice, Phase};
use crate::schema::event::{Action, Event, Goal, Reason, Verdict};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// A message over this ends the connection; one over a picture's size is only told so.
const MESSAGE: usize = 4 << 20;
/// Pictures of one connection that wait for their answer; more are not taken.
const WAITING: usize = 4;
/// A client that does not read for so long is gone.
const STALLED: Duration = Duration::from_secs(10);
/// A session goes on for so long; then the connection gets another one.
const TTL: Duration = Duration::from_hours(1);
/// For a blink or a turn of the head.
const WINDOW: Duration = Duration::from_secs(20);
/// Rows of the log that are told at a time.
const MOST_ROWS: usize = 1000;

pub(super) struct S1 {
    app: Arc<App>,
    cors: Cors,
    /// What later sessions begin with.
    active: AtomicBool,
    log: Log,
    rooms: Rooms,
}

pub(super) fn router(app: Arc<App>, cors: Cors) -> Router {
    let active = AtomicBool::new(app.config.compat.s1_active_check);
    let log = Log::open(&app.state);
    let rooms = Rooms::new(app.config.max_sessions);
    let s1 = Arc::new(S1 { app, cors, active, log, rooms });
    Router::new()
        .route("/", get(|| async { Json(json!({"message": "Face Liveness Detection API", "status": "running"})) }))
        .route("/health", get(health))
        .route("/toggle-active-check", post(toggle))
        .route("/logs", get(logs))
        .route("/ws", get(connect))
        .route("/ui", get(|| async { pages::page("s1.html") }))
        .route("/assets/{file}", get(pages::asset))
        .fallback(|| async { reply::answer(StatusCode::NOT_FOUND, json!({"detail": "Not Found"})) })
        .with_state(s1)
}

async fn health(State(s1): State<Arc<S1>>) -> Json<Value> {
    let loaded = !s1.app.house.models().is_empty();
    Json(json!({"status": if loaded { "healthy" } else { "unhealthy" }, "model_loaded": loaded}))
}

/// Sets what later sessions begin with; a record says who did it.
async fn toggle(State(s1): State<Arc<S1>>, peer: Option<Extension<Peer>>) -> Response {
    let from = address(peer);
    if !s1.app.session_rate.take(from, std::time::Instant::now()) {
        return reply::answer(StatusCode::TOO_MANY_REQUESTS, json!({"detail": "Too many requests"}));
    }
    let on = !s1.active.load(Ordering::SeqCst);
    let word = if on { "on" } else { "off" };
    let event = Event::SystemAdmin { by: format!("s1:{from}"), action: "active_check".into(), object: word.into() };
    let house = s1.app.house.clone();
    let written = tokio::task::spawn_blocking(move || house.commit(event)).await;
    if !matches!(written, Ok(Ok(_))) {
        return reply::answer(StatusCode::SERVICE_UNAVAILABLE, json!({"detail": "Not recorded, so not changed"}));
    }
    s1.active.store(on, Ordering::SeqCst);
    let message = if on { "Active check enabled" } else { "Active check disabled" };
    Json(json!({"active_check_enabled": on, "message": message})).into_response()
}

#[derive(Deserialize)]
struct Page {
    limit: Option<usize>,
}

async fn logs(State(s1): State<Arc<S1>>, Query(page): Query<Page>) -> Response {
    let limit = page.limit.unwrap_or(100).min(MOST_ROWS);
    let read = tokio::task::spawn_blocking(move || s1.log.newest(limit)).await;
    match read {
        Ok(Ok(rows)) => Json(json!({"count": rows.len(), "logs": rows})).into_response(),
        _ => reply::answer(StatusCode::SERVICE_UNAVAILABLE, json!({"detail": "The log cannot be read"})),
    }
}

#[derive(Deserialize)]
struct Room {
    #[serde(default)]
    session: String,
}

async fn connect(
    State(s1): State<Arc<S1>>,
    Query(room): Query<Room>,
    headers: HeaderMap,
    peer: Option<Extension<Peer>>,
    ws: WebSocketUpgrade,
) -> Response {
    if !cors::may_connect(&s1.cors, &headers) {
        return reply::answer(StatusCode::FORBIDDEN, json!({"detail": "Origin not allowed"}));
    }
    let from = address(peer);
    let ws = ws.max_message_size(MESSAGE).max_frame_size(MESSAGE).max_write_buffer_size(256 << 10);
    let seat = s1.rooms.enter(&room.session);
    ws.on_upgrade(move |socket| talk(socket, s1, from, seat))
}

/// What asks for a session, as the active check of this connection says.
fn begin(s1: &S1, from: IpAddr) -> Result<(String, bool), NoSession> {
    let active = s1.active.load(Ordering::SeqCst);
    let mut order = Vec::new();
    if active {
        let mut draw = Draw::new(s1.app.random).map_err(|_| NoSession::Failed)?;
        let turn = draw.one_of(&[Action::TurnLeft, Action::TurnRight]).unwrap_or(Action::TurnLeft);
        order = vec![(Action::Blink, 1), (turn, 1)];
        if draw.below(2) == 1 {
            order.reverse();
        }
    }
    let plan = Some(steps::plan(&order, |_| WINDOW));
    let manner =
        Manner { ttl: Some(TTL), plan, forgiving: true, mirrored: false, again: Again::Always, ..Manner::default() };
    guest::begin(&s1.app, Seed::S1, from, Goal::Liveness, None, manner).map(|id| (id, active))
}

const fn no_session(why: NoSession) -> &'static str {
    match why {
        NoSession::Rate => "Too many sessions from this address, try again in a minute",
        NoSession::Full => "Server at capacity, try again later",
        NoSession::Failed => "Session could not be started",
    }
}

fn wrong(message: &str) -> Value {
    json!({"type": "error", "message": message})
}

/// One connection.
async fn talk(mut socket: WebSocket, s1: Arc<S1>, from: IpAddr, mut seat: Option<Seat>) {
    let mut stop = s1.app.stop.clone();
    let mut session: Option<(Held<'_>, bool)> = None;
    let mut looks: JoinSet<(Result<Look, Refusal>, bool)> = JoinSet::new();
    loop {
        let said = tokio::select! {
            Some(Ok((look, active))) = looks.join_next() => match look {
                Ok(look) => {
                    let said = result(&s1, &look, active);
                    if let Some(seat) = &seat {
                        seat.tell(&said);
                    }
                    said
                }
                // The session is over by its time, or was reset meanwhile.
                Err(Refusal::Unknown | Refusal::Taken) => continue,
                Err(Refusal::BadPicture) => wrong("Invalid frame data"),
                Err(Refusal::Busy | Refusal::Full) => wrong("Server busy"),
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => match heard(&text) {
                    Heard::Ping => json!({"type": "pong"}),
                    Heard::Wrong(why) => wrong(&why),
                    Heard::Reset => {
                        session = None;
                        json!({"type": "active_check_reset", "message": "Active check reset"})
                    }
                    Heard::Frame(picture) => {
                        if session.as_ref().is_some_and(|(held, _)| s1.app.hub.status(&held.id).is_none()) {
                            session = None;
                        }
                        if session.is_none() {
                            match begin(&s1, from) {
                                Ok((id, active)) => session = Some((Held { app: &s1.app, id }, active)),
                                Err(why) => {
                                    if send(&mut socket, &wrong(no_session(why))).await { continue } else { return }
                                }
                            }
                        }
                        let Some((held, active)) = &session else { continue };
                        if looks.len() < WAITING {
                            let (hub, id, active) = (s1.app.hub.clone(), held.id.clone(), *active);
                            looks.spawn(async move { (hub.look(&id, picture).await, active) });
                        }
                        continue;
                    }
                },
                Some(Ok(Message::Binary(_))) => wrong("Frames come as text: {\"type\": \"frame\", \"data\": base64}"),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
            others = of_others(&mut seat) => (*others).clone(),
            () = stopped(&mut stop) => return,
        };
        if !send(&mut socket, &said).await {
            return;
        }
    }
}

/// False when the client is gone or does not read.
async fn send(socket: &mut WebSocket, what: &Value) -> bool {
    let sent = tokio::time::timeout(STALLED, socket.send(Message::Text(what.to_string().into()))).await;
    matches!(sent, Ok(Ok(())))
}

enum Heard {
    Frame(Vec<u8>),
    Ping,
    Reset,
    Wrong(String),
}

fn heard(text: &str) -> Heard {
    let Ok(Value::Object(message)) = serde_json::from_str::<Value>(text) else {
        return Heard::Wrong("Invalid JSON".into());
    };
    match message.get("type").and_then(Value::as_str) {
        Some("ping") => Heard::Ping,
        Some("reset_active_check") => Heard::Reset,
        Some("frame") => match message.get("data").and_then(Value::as_str) {
            None | Some("") => Heard::Wrong("No frame data".into()),
            Some(data) => reply::picture(data).map_or_else(|| Heard::Wrong("Invalid frame data".into()), Heard::Frame),
        },
        Some(other) => {
            let name: String = other.chars().take(40).collect();
            Heard::Wrong(format!("Unknown message type: {name}"))
        }
        None => Heard::Wrong("Message has no type".into()),
    }
}

/// What a picture said, in the old words; it is also a row of the log.
fn result(s1: &S1, look: &Look, active: bool) -> Value {
    if look.broken {
        return wrong("Invalid frame data");
    }
    let Some([x, y, w, h]) = look.rect else {
        return json!({"type": "result", "face_detected": false, "message": "No face detected"});
    };
    let granted = look.outcome.as_ref().is_some_and(|o| o.verdict == Verdict::Granted);
    let is_real = look.live.map_or(granted, |l| l.real);
    // The passive value to a tenth, and no more.
    let confidence = look.live.map_or(0.0, |l| (f64::from(l.value) * 10.0).round() / 10.0);
    let passed = !active || granted;
    let message = if active { message(look) } else { "Active check disabled" };
    s1.log.add(&Row::new(is_real, confidence, passed, message, look));
    #[expect(clippy::cast_possible_truncation, reason = "pixels of a picture of at most 1920 a side")]
    let bbox = [x, y, w, h].map(|v| v.round() as i32);
    json!({
        "type": "result", "face_detected": true, "is_real": is_real, "confidence": confidence,
        "active_check_passed": passed, "active_check_message": message, "bbox": bbox,
    })
}

/// What the person is told about the active check.
fn message(look: &Look) -> &'static str {
    if let Some(o) = &look.outcome {
        return ended(o);
    }
    if look.faces > 1 && look.advice == Some(Advice::OneAtATime) {
        return "Only one face, please";
    }
    match (look.phase, look.action) {
        (Some(Phase::Challenge), Some(Action::Blink)) => "Please blink",
        (Some(Phase::Challenge), Some(Action::TurnLeft)) => "Please turn your head left",
        (Some(Phase::Challenge), Some(Action::TurnRight)) => "Please turn your head right",
        (Some(Phase::Challenge), _) => "Please look at the camera",
        // A visit that has not got to its challenge yet still says how the one before it ended.
        _ => look.before.as_ref().filter(|o| o.verdict == Verdict::Denied).map_or_else(|| advised(look.advice), ended),
    }
}

fn ended(o: &Outcome) -> &'static str {
    match (o.verdict, o.reason) {
        (Verdict::Granted, _) => "Active check passed",
        (Verdict::Denied, Some(Reason::Spoof | Reason::Injection)) => "Active check failed: not a live face",
        (Verdict::Denied, _) => "Active check failed, please try again",
        (Verdict::TryAgain, _) => "Please look at the camera",
    }
}

const fn advised(advice: Option<Advice>) -> &'static str {
    match advice {
        Some(Advice::ComeCloser) => "Please come closer",
        Some(Advice::HoldStill) => "Please hold still",
        Some(Advice::MoreLight) => "More light, please",
        Some(Advice::LessLight) => "Less light, please",
        Some(Advice::OneAtATime) => "Only one face, please",
        _ => "Please look at the camera",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_none_is_told_so() {
        let why = |text: &str| match heard(text) {
            Heard::Wrong(why) => why,
            Heard::Ping => "ping".into(),
            Heard::Reset => "reset".into(),
            Heard::Frame(_) => "frame".into(),
        };
        for (text, expected) in [
            (r#"{"type":"ping"}"#, "ping"),
            (r#"{"type":"reset_active_check"}"#, "reset"),
            (r#"{"type":"frame","data":"/9j/"}"#, "frame"),
            (r#"{"type":"frame","data":"data:image/jpeg;base64,/9j/"}"#, "frame"),
            (r#"{"type":"frame","data":"???"}"#, "Invalid frame data"),
            (r#"{"type":"frame"}"#, "No frame data"),
            (r#"{"type":"jump"}"#, "Unknown message type: jump"),
            ("{}", "Message has no type"),
            ("[1]", "Invalid JSON"),
            ("hello", "Invalid JSON"),
        ] {
            assert_eq!(why(text), expected, "{text}");
        }
    }

    #[test]
    fn a_refusal_is_told_until_the_next_challenge_begins() {
        let outcome = |verdict, reason| Some(Outcome { verdict, reason, person: None, advice: None });
        let denied = outcome(Verdict::Denied, Some(Reason::ChallengeTimeout));
        let fresh = Look { before: denied.clone(), phase: Some(Phase::Looking), ..Look::default() };
        assert_eq!(message(&fresh), "Active check failed, please try again");
        let asked = Look { phase: Some(Phase::Challenge), action: Some(Action::Blink), ..fresh };
        assert_eq!(message(&asked), "Please blink");
        let done = Look { outcome: outcome(Verdict::Granted, None), ..asked };
        assert_eq!(message(&done), "Active check passed");
        assert_eq!(message(&Look::default()), "Please look at the camera");
    }
}
