//! Records: read page by page, or as they come.

use super::{Answer, At, Shared, blocking};
use crate::adapters::web::auth::{self, Caller};
use crate::adapters::web::problem::Problem;
use crate::adapters::web::server::stopped;
use crate::ports::Stored;
use axum::Json;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::broadcast::error::RecvError;
use utoipa::{IntoParams, ToSchema};

/// Records that one request reads from the journal at most, whatever its filter leaves of them.
const SCANNED: usize = 5000;
/// Read at a time.
const CHUNK: usize = 500;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventsPage {
    /// Records behind this number; 0 when left out.
    #[param(maximum = 9_007_199_254_740_991_u64)]
    after: Option<u64>,
    /// The newest records instead, so many; then `after` does not count.
    #[param(maximum = 9_007_199_254_740_991_u64)]
    newest: Option<u64>,
    /// 1 to 1000; 100 when left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Only types that begin with one of these, with commas between them, as `access.,alarm.`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Only records that name this person.
    person: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Events {
    /// Records as they stand in the journal.
    #[schema(value_type = Vec<Object>)]
    events: Vec<Box<RawValue>>,
    /// `after` of the next page: the last record that was looked at.
    next: u64,
    /// Number of the newest record of all.
    newest: u64,
    /// Whether there are more behind this page.
    more: bool,
}

/// What a filter looks at.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    person: Option<std::borrow::Cow<'a, str>>,
}

/// Records in order.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(EventsPage), responses(
    (status = 200, body = Events), (status = 400, body = Problem), (status = 401, body = Problem)),
    security(("login" = []), ("token" = [])))]
pub async fn list(State(app): At, _caller: Caller, Query(page): Query<EventsPage>) -> Answer<Events> {
    let limit = page.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::bad("limit is a number from 1 to 1000"));
    }
    let newest = app.house.newest();
    let after = match page.newest {
        Some(n) => newest.saturating_sub(n.min(SCANNED as u64)),
        None => page.after.unwrap_or(0),
    };
    let kinds: Vec<String> = page.kind.iter().flat_map(|k| k.split(',')).map(|k| k.trim().to_owned()).collect();
    let kinds: Vec<String> = kinds.into_iter().filter(|k| !k.is_empty()).collect();
    let wanted = move |text: &str| {
        if kinds.is_empty() && page.person.is_none() {
            return true;
        }
        serde_json::from_str::<Head<'_>>(text).is_ok_and(|h| {
            (kinds.is_empty() || kinds.iter().any(|k| h.kind.starts_with(k.as_str())))
                && page.person.as_ref().is_none_or(|p| h.person.as_deref() == Some(p))
        })
    };
    let (found, next, more) = blocking(move || read(&app, after, limit as usize, &wanted)).await??;
    let events = found.into_iter().filter_map(|s| RawValue::from_string(s.text).ok()).collect();
    Ok(Json(Events { events, next, newest, more }))
}

fn read(
    app: &Shared,
    after: u64,
    limit: usize,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<(Vec<Stored>, u64, bool), Problem> {
    let (mut found, mut at, mut scanned) = (Vec::new(), after, 0);
    while scanned < SCANNED {
        let chunk = app.house.events(at, CHUNK)?;
        let full = chunk.len() == CHUNK;
        for stored in chunk {
            if found.len() == limit {
                return Ok((found, at, true));
            }
            at = stored.seq;
            scanned += 1;
            if wanted(&stored.text) {
                found.push(stored);
            }
        }
        if !full {
            return Ok((found, at, false));
        }
    }
    Ok((found, at, true))
}

/// A WebSocket with each record as it is committed. A client that falls behind is told how many it missed
/// (`{"type":"missed","records":N}`) and reads them by `GET /api/v1/events`.
pub async fn stream(
    State(app): At,
    caller: Caller,
    headers: HeaderMap,
    ws: WebSocketUpgrade,
) -> Result<Response, Problem> {
    auth::websocket_origin(&headers, caller.csrf.is_none())?;
    Ok(ws.max_message_size(1024).on_upgrade(move |socket| records(socket, app)))
}

async fn records(mut socket: WebSocket, app: Shared) {
    let mut feed = app.feed.subscribe();
    let mut stop = app.stop.clone();
    loop {
        let text = tokio::select! {
            record = feed.recv() => match record {
                Ok(text) => text.to_string(),
                Err(RecvError::Lagged(n)) => format!(r#"{{"type":"missed","records":{n}}}"#),
                Err(RecvError::Closed) => return,
            },
            said = socket.recv() => match said {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
            () = stopped(&mut stop) => return,
        };
        let sent = tokio::time::timeout(super::STALLED, socket.send(Message::Text(text.into()))).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}
