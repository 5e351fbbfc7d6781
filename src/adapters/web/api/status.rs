//! How the terminal is.

use super::{Answer, At, Shared, blocking};
use crate::adapters::web::accounts::Role;
use crate::adapters::web::auth::{self, Caller, MaybeCaller};
use crate::adapters::web::house::{DoorCounts, LogLine, ModelRow};
use crate::adapters::web::hub::Counts;
use crate::adapters::web::problem::Problem;
use crate::adapters::web::server::{Peer, stopped};
use crate::adapters::web::shown::{Evaluation, NetworkTimes};
use crate::schema::health::{Health, HealthStatus};
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// Health and what the sessions do.
#[derive(Serialize, ToSchema)]
pub struct HealthAnswer {
    /// As on the topic `health`.
    #[schema(value_type = Object)]
    #[serde(flatten)]
    health: Health,
    sessions: Counts,
    door: DoorCounts,
    version: &'static str,
    /// Of the processor; null where the machine does not tell.
    processor_celsius: Option<f32>,
    /// How long the door's networks take.
    networks: Vec<NetworkTimes>,
}

/// Open to everybody, so that it tells one word: 200 when doors are decided, 503 when not.
pub async fn healthz(State(app): At) -> Response {
    let status = app.house.health().status;
    let code = if status == HealthStatus::Fault { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(serde_json::json!({"status": status}))).into_response()
}

/// Prometheus text, for this machine itself or with a token.
pub async fn metrics(
    State(app): At,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    MaybeCaller(caller): MaybeCaller,
) -> Result<Response, Problem> {
    // What a proxy on this machine passes on is not of this machine.
    let proxied = headers.contains_key("x-forwarded-for") || headers.contains_key(header::FORWARDED);
    let local = !proxied && peer.is_some_and(|Extension(Peer(p))| p.ip().to_canonical().is_loopback());
    if !local && caller.is_none() {
        return Err(Problem::unauthenticated());
    }
    let text = blocking(move || app.house.metrics() + &web_metrics(&app)).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// The sessions' own numbers.
fn web_metrics(app: &Shared) -> String {
    use std::fmt::Write as _;
    let c = app.hub.counts();
    let mut out = String::new();
    let mut say = |name: &str, kind: &str, help: &str, rows: &[(&str, u64)]| {
        let _text = write!(out, "# HELP cardea_web_{name} {help}\n# TYPE cardea_web_{name} {kind}\n");
        for (label, value) in rows {
            let _text = writeln!(out, "cardea_web_{name}{label} {value}");
        }
    };
    say("sessions", "gauge", "Sessions without a verdict.", &[("", c.sessions)]);
    say("sessions_connected", "gauge", "Sessions with an open WebSocket.", &[("", c.connected)]);
    say("frames_waiting", "gauge", "Pictures that wait for the worker.", &[("", c.frames_waiting)]);
    say("visits_held", "gauge", "Visits in the worker's memory.", &[("", c.visits_held)]);
    say("targets_held", "gauge", "Uploaded targets in the worker's memory.", &[("", c.targets_held)]);
    say("sessions_total", "counter", "Sessions begun.", &[("", c.sessions_total)]);
    say("sessions_refused_total", "counter", "Sessions refused by the ceiling.", &[("", c.sessions_refused_total)]);
    say("frames_total", "counter", "Pictures received.", &[("", c.frames_total)]);
    say(
        "frames_dropped_total",
        "counter",
        "Pictures not looked at, by reason.",
        &[
            (r#"{reason="replaced"}"#, c.frames_replaced_total),
            (r#"{reason="too_many"}"#, c.frames_too_many_total),
            (r#"{reason="refused"}"#, c.frames_refused_total),
            (r#"{reason="late"}"#, c.frames_late_total),
        ],
    );
    say(
        "verdicts_total",
        "counter",
        "Sessions that were decided, by verdict.",
        &[
            (r#"{verdict="granted"}"#, c.granted_total),
            (r#"{verdict="denied"}"#, c.denied_total),
            (r#"{verdict="try_again"}"#, c.try_again_total),
        ],
    );
    out
}

/// The terminal's judgement of itself.
#[utoipa::path(get, path = "/api/v1/health", tag = "status", responses(
    (status = 200, body = HealthAnswer), (status = 401, body = Problem)), security(("login" = []), ("token" = [])))]
pub async fn health(State(app): At, _caller: Caller) -> Answer<HealthAnswer> {
    let sessions = app.hub.counts();
    let look = move || {
        let house = &app.house;
        (house.health(), house.door(), house.processor_celsius(), house.network_times())
    };
    let (health, door, processor_celsius, networks) = blocking(look).await?;
    let version = env!("CARGO_PKG_VERSION");
    Ok(Json(HealthAnswer { health, sessions, door, version, processor_celsius, networks }))
}

/// The networks in use.
#[utoipa::path(get, path = "/api/v1/models", tag = "status", responses(
    (status = 200, body = Vec<ModelRow>), (status = 401, body = Problem)), security(("login" = []), ("token" = [])))]
pub async fn models(State(app): At, _caller: Caller) -> Answer<Vec<ModelRow>> {
    Ok(Json(app.house.models()))
}

/// Error rates that `cardea eval … --keep` has measured on this terminal's networks, with points for plots.
#[utoipa::path(get, path = "/api/v1/evaluations", tag = "status", responses(
    (status = 200, body = Vec<Evaluation>), (status = 401, body = Problem)), security(("login" = []), ("token" = [])))]
pub async fn evaluations(State(app): At, _caller: Caller) -> Answer<Vec<Evaluation>> {
    Ok(Json(blocking(move || app.house.evaluations()).await?))
}

/// The newest lines of the log.
#[utoipa::path(get, path = "/api/v1/logs", tag = "status", responses(
    (status = 200, body = Vec<LogLine>), (status = 403, body = Problem)), security(("login" = []), ("token" = [])))]
pub async fn logs(State(app): At, caller: Caller) -> Answer<Vec<LogLine>> {
    caller.must_be(Role::Admin)?;
    Ok(Json(app.house.logs()))
}

/// A WebSocket with pictures of the door's camera, where `web.live_picture` allows it.
pub async fn live(
    State(app): At,
    caller: Caller,
    headers: HeaderMap,
    ws: WebSocketUpgrade,
) -> Result<Response, Problem> {
    caller.must_be(Role::Operator)?;
    auth::websocket_origin(&headers, caller.csrf.is_none())?;
    if app.live.is_none() {
        return Err(Problem::forbidden("disabled", "web.live_picture is off"));
    }
    super::audit(&app, &caller.name, "live.watch", "").await?;
    Ok(ws.max_message_size(1024).on_upgrade(move |socket| pictures(socket, app)))
}

async fn pictures(mut socket: WebSocket, app: Shared) {
    let Some(mut live) = app.live.clone() else { return };
    let mut stop = app.stop.clone();
    loop {
        tokio::select! {
            changed = live.changed() => if changed.is_err() { return },
            said = socket.recv() => match said {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
            () = stopped(&mut stop) => return,
        }
        let picture = live.borrow_and_update().to_vec();
        let sent = tokio::time::timeout(super::STALLED, socket.send(Message::Binary(picture.into()))).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
