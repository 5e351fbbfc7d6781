//! Sessions of people with a camera of their own, and what their verdicts are worth to somebody else.

use super::people::{PersonName, busy};
use super::{Answer, At, Shared, address, now_s};
use crate::adapters::web::accounts::Role;
use crate::adapters::web::auth::{self, Caller, MaybeCaller};
use crate::adapters::web::hub::{Ask, ChallengeAsk, Frames, MAX_FRAME, Out, Refusal, RefusedPicture, Work};
use crate::adapters::web::look::Manner;
use crate::adapters::web::problem::Problem;
use crate::adapters::web::secret_id;
use crate::adapters::web::server::{Peer, stopped};
use crate::schema::event::{Action, Goal};
use crate::schema::ids::PersonId;
use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Most actions of a challenge.
const ACTIONS: usize = 12;

/// What a session is to find out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    /// identify (who is it?), verify (is it this person?) or liveness (is it somebody alive?).
    goal: Goal,
    /// With verify: an enrolled person.
    person: Option<String>,
    /// With verify: a picture in base64 instead of an enrolled person; it can also be sent afterwards.
    target: Option<String>,
    /// Other actions than the configured ones; only for callers with the role operator.
    challenge: Option<NewChallenge>,
}

/// The same as it is described: what goes with which goal.
#[derive(ToSchema)]
#[schema(as = NewSession)]
#[serde(tag = "goal", deny_unknown_fields)]
#[expect(dead_code, reason = "describes the request")]
pub enum NewSessionShape {
    /// Who is it?
    #[serde(rename = "identify")]
    Identify {
        /// Other actions than the configured ones; only for callers with the role operator.
        challenge: Option<NewChallenge>,
    },
    /// Is somebody alive there?
    #[serde(rename = "liveness")]
    Liveness { challenge: Option<NewChallenge> },
    /// Is it this enrolled person, or the face of a picture, here in base64 or sent afterwards? One of the two.
    #[serde(rename = "verify")]
    Verify { person: Option<PersonName>, target: Option<String>, challenge: Option<NewChallenge> },
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewChallenge {
    /// Of blink, turn_left, turn_right, centre, smile, mouth_open, nod, and the experimental brow_raise, wink_left,
    /// wink_right, tongue; `blink:2` for twice.
    #[schema(value_type = Vec<ActionWord>, min_items = 1, max_items = 12, example = json!(["turn_left", "blink:2"]))]
    actions: Vec<String>,
    /// In this very order, which a recording can follow. Else as many as configured are drawn from them.
    #[serde(default)]
    fixed: bool,
}

/// Describes an action, a blink with how often.
pub struct ActionWord;

impl PartialSchema for ActionWord {
    fn schema() -> RefOr<Schema> {
        let other = "turn_left|turn_right|centre|smile|mouth_open|brow_raise|wink_left|wink_right|tongue|nod";
        super::text(&format!("^(blink(:[1-9])?|{other})$"), "blink:2")
    }
}

impl ToSchema for ActionWord {}

#[derive(Serialize, ToSchema)]
pub struct Session {
    /// The only key to the session: whoever has it has the session.
    id: String,
    /// RFC 3339, UTC.
    expires_at: String,
    /// Address of its WebSocket on this host.
    ws: String,
}

/// Begins a session.
#[utoipa::path(post, path = "/api/v1/sessions", tag = "sessions", request_body = NewSessionShape, responses(
    (status = 201, body = Session), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 422, description = "The target cannot be used", body = Problem),
    (status = 429, body = Problem), (status = 503, body = Problem)), security((), ("login" = []), ("token" = [])))]
pub async fn create(
    State(app): At,
    MaybeCaller(caller): MaybeCaller,
    peer: Option<Extension<Peer>>,
    Json(asked): Json<NewSession>,
) -> Result<(StatusCode, Json<Session>), Problem> {
    if !app.config.self_service {
        caller.as_ref().ok_or_else(Problem::unauthenticated)?.must_be(Role::Operator)?;
    }
    let by = caller.as_ref().map_or_else(|| "self".to_owned(), |c| c.name.clone());
    if !app.session_rate.take(address(peer), Instant::now()) {
        let detail = "too many sessions from this address; see web.sessions_per_minute";
        return Err(Problem::later(StatusCode::TOO_MANY_REQUESTS, "rate", detail, 60));
    }
    let target =
        asked.target.as_deref().map(|t| STANDARD.decode(t.trim()).map_err(|_| Problem::bad("target is not base64")));
    let target = target.transpose()?;
    let person =
        asked.person.as_deref().map(|p| PersonId::new(p).map_err(|e| Problem::bad(e.to_string()))).transpose()?;
    match asked.goal {
        Goal::Verify if person.is_some() && target.is_some() => {
            return Err(Problem::bad("verify takes a person or a target, not both"));
        }
        Goal::Identify | Goal::Liveness if person.is_some() || target.is_some() => {
            return Err(Problem::bad("person and target go with the goal verify only"));
        }
        _ => {}
    }
    let challenge = asked.challenge.map(|c| challenge(c, caller.as_ref())).transpose()?;
    let id = secret_id(app.random)?;
    let left = app
        .hub
        .open(id.clone(), Ask { goal: asked.goal, person, challenge, by, manner: Manner::default() })
        .map_err(refused)?;
    if let Some(picture) = target
        && let Err(e) = set_target(&app, &id, picture).await
    {
        app.hub.end(&id);
        return Err(e);
    }
    let session = Session { expires_at: rfc3339_in(left), ws: format!("/api/v1/sessions/{id}/ws"), id };
    Ok((StatusCode::CREATED, Json(session)))
}

fn challenge(asked: NewChallenge, caller: Option<&Caller>) -> Result<ChallengeAsk, Problem> {
    // A visitor who chooses the actions chooses those that their recording shows.
    caller
        .ok_or_else(|| Problem::forbidden("challenge", "only who has logged in may choose the actions"))?
        .must_be(Role::Operator)?;
    if !(1..=ACTIONS).contains(&asked.actions.len()) {
        return Err(Problem::bad(format!("a challenge has 1 to {ACTIONS} actions")));
    }
    let word = |w: &String| {
        Action::with_times(w).ok_or_else(|| {
            let names: Vec<&str> = Action::ALL.iter().map(|a| a.name()).collect();
            Problem::bad(format!("`{:.40}` is no action; use some of {}", w.escape_debug(), names.join(" ")))
        })
    };
    let actions = asked.actions.iter().map(word).collect::<Result<Vec<_>, _>>()?;
    Ok(ChallengeAsk { actions, fixed: asked.fixed })
}

fn refused(why: Refusal) -> Problem {
    match why {
        Refusal::Unknown => Problem::not_found("session, or its time is over"),
        Refusal::Full => {
            let detail = "as many sessions run as may; see web.max_sessions";
            Problem::later(StatusCode::SERVICE_UNAVAILABLE, "full", detail, 10)
        }
        Refusal::Taken => {
            Problem::new(StatusCode::CONFLICT, "taken", "this session has a connection or a verdict already")
        }
        Refusal::Busy => busy(),
        Refusal::BadPicture => Problem::bad("not a JPEG picture of at most 1920 pixels a side and 1 MiB"),
    }
}

fn rfc3339_in(left: Duration) -> String {
    let at = super::now_ms().saturating_add(i64::try_from(left.as_millis()).unwrap_or(0));
    jiff::Timestamp::from_millisecond(at).map(|t| t.to_string()).unwrap_or_default()
}

#[derive(Serialize, ToSchema)]
pub struct SessionState {
    /// waiting (no client yet), running or done.
    state: &'static str,
    goal: String,
    expires_at: String,
    /// How many of its pictures were not looked at: a client whose pictures are replaced may send fewer.
    frames: Frames,
    /// granted, denied or try_again.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<String>,
    /// Why it was not granted; only for callers with the role operator, never for the person in front of the camera.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Who it is; only for callers with the role operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<String>,
}

/// Where a session stands.
#[utoipa::path(get, path = "/api/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path)), responses(
    (status = 200, body = SessionState), (status = 404, body = Problem)), security((), ("login" = []), ("token" = [])))]
pub async fn one(State(app): At, MaybeCaller(caller): MaybeCaller, Path(id): Path<String>) -> Answer<SessionState> {
    let status = app.hub.status(&id).ok_or_else(|| refused(Refusal::Unknown))?;
    let trusted = caller.is_some_and(|c| c.role >= Role::Operator);
    let word = |v: serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    let outcome = status.outcome.as_ref();
    Ok(Json(SessionState {
        state: match outcome {
            Some(_) => "done",
            None if status.connected => "running",
            None => "waiting",
        },
        goal: word(serde_json::json!(status.ask.goal)),
        expires_at: rfc3339_in(app.hub.left(&status)),
        frames: status.frames,
        verdict: outcome.map(|o| word(serde_json::json!(o.verdict))),
        reason: outcome.filter(|_| trusted).and_then(|o| o.reason).map(|r| word(serde_json::json!(r))),
        person: outcome.filter(|_| trusted).and_then(|o| o.person.as_ref()).map(ToString::to_string),
    }))
}

/// Ends a session; pictures, target and templates are forgotten at once.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path)), responses(
    (status = 204), (status = 404, body = Problem)), security((), ("login" = []), ("token" = [])))]
pub async fn end(State(app): At, MaybeCaller(_): MaybeCaller, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    if app.hub.end(&id) { Ok(StatusCode::NO_CONTENT) } else { Err(refused(Refusal::Unknown)) }
}

/// The picture that the person is compared with, as the body; before the session is connected.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/target", tag = "sessions", params(("id" = String, Path)),
    request_body(content = String, content_type = "image/jpeg"), responses(
    (status = 204), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 422, body = Problem), (status = 503, body = Problem)), security((), ("login" = []), ("token" = [])))]
pub async fn target(
    State(app): At,
    MaybeCaller(_): MaybeCaller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let status = app.hub.status(&id).ok_or_else(|| refused(Refusal::Unknown))?;
    if status.ask.goal != Goal::Verify || status.ask.person.is_some() {
        return Err(Problem::new(StatusCode::CONFLICT, "goal", "this session compares with no picture"));
    }
    if status.connected || status.outcome.is_some() {
        return Err(refused(Refusal::Taken));
    }
    set_target(&app, &id, body.to_vec()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set_target(app: &Shared, id: &str, picture: Vec<u8>) -> Result<(), Problem> {
    let (reply, answer) = oneshot::channel();
    app.hub.job(Work::Target { id: id.to_owned(), picture, reply }).map_err(refused)?;
    let taken: Result<(), RefusedPicture> = answer.await.map_err(|_| busy())??;
    taken.map_err(|r| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "target",
            format!("the target cannot be used: {}; {}", r.reason, r.hint),
        )
    })
}

/// The session's WebSocket. The client sends JPEG pictures as binary messages, two to ten a second; it hears texts:
/// `{"type":"prompt",…}` what to do, `{"type":"progress",…}` for each picture that was looked at, and last
/// `{"type":"result","verdict":"granted|denied|try_again","token"?,"advice"?}`. The newest picture wins.
pub async fn connect(
    State(app): At,
    headers: HeaderMap,
    Path(id): Path<String>,
    ws: WebSocketUpgrade,
) -> Result<Response, Problem> {
    // The id is the secret that a program brings.
    auth::websocket_origin(&headers, true)?;
    let (inbox, left) = app.hub.connect(&id).map_err(refused)?;
    let gone = (app.clone(), id.clone());
    let ws = ws.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME).max_write_buffer_size(256 << 10);
    Ok(ws.on_failed_upgrade(move |_| gone.0.hub.disconnected(&gone.1)).on_upgrade(move |socket| async move {
        talk(socket, &app, &id, inbox, left).await;
        app.hub.disconnected(&id);
    }))
}

async fn talk(mut socket: WebSocket, app: &Shared, id: &str, mut inbox: mpsc::Receiver<Out>, left: Duration) {
    let mut stop = app.stop.clone();
    // The hub ends a session by its time; this is for a worker that does not come round to it.
    let over = tokio::time::sleep(left + Duration::from_secs(2));
    tokio::pin!(over);
    loop {
        let answer = tokio::select! {
            biased;
            out = inbox.recv() => match out {
                Some(Out::Text(t)) => Message::Text(t.into()),
                Some(Out::Last(t)) => {
                    let _gone = tokio::time::timeout(super::STALLED, socket.send(Message::Text(t.into()))).await;
                    return close(socket, close_code::NORMAL, "").await;
                }
                None => return close(socket, close_code::AWAY, "the session is over").await,
            },
            said = socket.recv() => match said {
                Some(Ok(Message::Binary(picture))) => match app.hub.frame(id, picture.to_vec()) {
                    Ok(()) => continue,
                    Err(Refusal::BadPicture) => {
                        let detail = "not a JPEG picture of at most 1920 pixels a side and 1 MiB";
                        Message::Text(serde_json::json!({"type": "error", "code": "picture", "detail": detail}).to_string().into())
                    }
                    // The verdict is on its way through the inbox.
                    Err(_) => continue,
                },
                Some(Ok(Message::Text(_))) => {
                    let detail = "pictures come as binary messages";
                    Message::Text(serde_json::json!({"type": "error", "code": "malformed", "detail": detail}).to_string().into())
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
            () = &mut over => return close(socket, close_code::AWAY, "the session is over").await,
            () = stopped(&mut stop) => return close(socket, close_code::AWAY, "the terminal stops").await,
        };
        if !matches!(tokio::time::timeout(super::STALLED, socket.send(answer)).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn close(mut socket: WebSocket, code: u16, reason: &'static str) {
    let end = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
    let _gone = tokio::time::timeout(super::STALLED, socket.send(end)).await;
}

#[derive(Deserialize, ToSchema)]
pub struct Introspect {
    token: String,
}

/// What a verification token says. It is redeemed by this question: a second one hears that it is worth nothing.
#[derive(Serialize, ToSchema)]
pub struct Introspected {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<String>,
    /// Seconds since 1970, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
}

/// Redeems a verification token, once.
#[utoipa::path(post, path = "/api/v1/tokens/introspect", tag = "sessions", request_body = Introspect, responses(
    (status = 200, body = Introspected), (status = 401, body = Problem), (status = 403, body = Problem)),
    security(("login" = []), ("token" = [])))]
pub async fn introspect(State(app): At, caller: Caller, Json(asked): Json<Introspect>) -> Answer<Introspected> {
    caller.must_be(Role::Operator)?;
    let claims = app.hub.signer().redeem(&asked.token, now_s());
    Ok(Json(match claims {
        None => Introspected { active: false, goal: None, person: None, exp: None },
        Some(c) => Introspected {
            active: true,
            goal: serde_json::json!(c.goal).as_str().map(str::to_owned),
            person: c.person.map(|p| p.to_string()),
            exp: Some(c.exp),
        },
    }))
}
