//! S3: pages that send two pictures a second as JSON, name the step they are at, and know the next one by themselves.
//!
//! No request names a session: see [`super::visitors`]. The steps are right, left, blink, in this order, after a look
//! straight ahead. A picture for `front` after the first step, or after the end, begins anew.

use super::guest::{self, NoSession, address};
use super::reply::Refused;
use super::visitors::{Found, Visitors};
use super::{pages, reply, steps};
use crate::adapters::web::App;
use crate::adapters::web::hub::Refusal;
use crate::adapters::web::look::{Again, Look, Manner};
use crate::adapters::web::server::Peer;
use crate::config::sections::{Listener, Seed};
use crate::domain::screen::{Advice, Phase};
use crate::schema::event::{Action, Goal, Verdict};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Lifetime of a visit: four steps at leisure.
const TTL: Duration = Duration::from_mins(5);
/// For one step.
const WINDOW: Duration = Duration::from_mins(1);
/// Greatest batch of captured pictures: what a page keeps, four of them, and as much again.
const BATCH: usize = 8 << 20;
const MOST_FRAMES: usize = 32;
/// Degrees to the other side that are called the wrong direction.
const WRONG_WAY: f32 = 10.0;

/// The steps after the first, in the page's order.
const ORDER: [(Action, u8); 3] = [(Action::TurnRight, 1), (Action::TurnLeft, 1), (Action::Blink, 1)];

pub(super) struct S3 {
    app: Arc<App>,
    tls: bool,
    visitors: Visitors<Visitor>,
}

#[derive(Clone, Debug, Default)]
struct Visitor {
    session: Option<String>,
}

pub(super) fn router(app: Arc<App>, of: &Listener) -> Router {
    let visitors = Visitors::new("cardea_s3", app.config.max_sessions * 4);
    let s3 = Arc::new(S3 { app, tls: of.tls, visitors });
    Router::new()
        .route("/", get(|| async { pages::page("s3.html") }))
        .route("/success", get(|| async { pages::page("s3_success.html") }))
        .route("/download-model", get(model))
        .route("/assets/{file}", get(pages::asset))
        .route("/api/process-frame", post(frame))
        .route("/api/liveness-detection", post(batch).layer(DefaultBodyLimit::max(BATCH)))
        .fallback(|| async { failed(StatusCode::NOT_FOUND, "Not found") })
        .with_state(s3)
}

fn failed(status: StatusCode, message: &str) -> Response {
    reply::answer(status, json!({"success": false, "message": message}))
}

/// The networks are installed with `cardea models install`; the page that fetched one says so.
async fn model(State(s3): State<Arc<S3>>) -> Response {
    if s3.ready() { pages::page("s3_model.html") } else { failed(StatusCode::SERVICE_UNAVAILABLE, NO_MODEL) }
}

const BUSY: &str = "Server is busy. Please try again.";
const NO_MODEL: &str = "Model not loaded. Run `cardea models install` on the server.";

impl S3 {
    fn ready(&self) -> bool {
        !self.app.house.models().is_empty()
    }

    fn visitor(&self, from: IpAddr, headers: &HeaderMap) -> Result<Found<Visitor>, Refused> {
        if !self.ready() {
            return Err(Box::new(failed(StatusCode::SERVICE_UNAVAILABLE, NO_MODEL)));
        }
        let found = self.visitors.find(from, headers, self.app.random, Instant::now());
        found.ok_or_else(|| Box::new(failed(StatusCode::SERVICE_UNAVAILABLE, "Server cannot start a session")))
    }

    fn begin(&self, from: IpAddr) -> Result<String, NoSession> {
        let plan = Some(steps::plan(&ORDER, |_| WINDOW));
        let mirrored = self.app.config.compat.s3_mirrored;
        let manner =
            Manner { ttl: Some(TTL), plan, forgiving: true, mirrored, again: Again::Undecided, ..Manner::default() };
        guest::begin(&self.app, Seed::S3, from, Goal::Liveness, None, manner)
    }

    /// Where a visitor stands, without a new picture.
    fn stands(&self, v: &Visitor) -> Option<Look> {
        let id = v.session.as_ref()?;
        self.app.hub.status(id)?;
        self.app.hub.seen(id)
    }

    /// What a picture of a visitor said.
    async fn look(
        &self,
        from: IpAddr,
        found: &mut Found<Visitor>,
        step: Challenge,
        picture: Vec<u8>,
    ) -> Result<Look, Refused> {
        let before = self.stands(&found.state);
        let over = before.as_ref().is_some_and(|l| l.outcome.is_some());
        let moved = before.as_ref().is_some_and(|l| l.steps.0 > 0);
        if before.is_none() || (step == Challenge::Front && (over || moved)) {
            if let Some(old) = found.state.session.take() {
                self.app.hub.end(&old);
            }
            let id = self.begin(from).map_err(|why| {
                Box::new(match why {
                    NoSession::Rate => {
                        failed(StatusCode::TOO_MANY_REQUESTS, "Too many attempts. Please wait a minute.")
                    }
                    NoSession::Full => failed(StatusCode::SERVICE_UNAVAILABLE, BUSY),
                    NoSession::Failed => failed(StatusCode::SERVICE_UNAVAILABLE, "Server cannot start a session"),
                })
            })?;
            found.state.session = Some(id);
            self.visitors.put(&found.cookie, found.state.clone());
        }
        let id = found.state.session.clone().unwrap_or_default();
        let refused = match self.app.hub.look(&id, picture).await {
            Ok(look) => return Ok(look),
            // The end has come meanwhile; no picture is looked at after it.
            Err(Refusal::Taken) => return Ok(self.app.hub.seen(&id).unwrap_or_default()),
            Err(Refusal::BadPicture) => failed(StatusCode::BAD_REQUEST, "Invalid frame data"),
            Err(Refusal::Unknown) => failed(StatusCode::BAD_REQUEST, "Session expired. Please start again."),
            Err(Refusal::Busy | Refusal::Full) => failed(StatusCode::SERVICE_UNAVAILABLE, BUSY),
        };
        Err(Box::new(refused))
    }

    fn with_cookie(&self, found: &Found<Visitor>, mut response: Response) -> Response {
        if found.set
            && let Ok(value) = HeaderValue::from_str(&self.visitors.set_cookie(&found.cookie, self.tls))
        {
            response.headers_mut().insert(header::SET_COOKIE, value);
        }
        response
    }
}

/// What a page asks its visitor for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Challenge {
    Front,
    Right,
    Left,
    Blink,
}

impl Challenge {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "front" => Challenge::Front,
            "right" => Challenge::Right,
            "left" => Challenge::Left,
            "blink" => Challenge::Blink,
            _ => return None,
        })
    }

    /// Whether it is done, as far as the visit has got. The last one waits for the verdict: nothing is to come after it.
    fn is_done(self, look: &Look) -> bool {
        let granted = look.outcome.as_ref().is_some_and(|o| o.verdict == Verdict::Granted);
        granted
            || match self {
                Challenge::Front => look.steps.1 > 0 && look.outcome.is_none(),
                Challenge::Right => look.steps.0 >= 1,
                Challenge::Left => look.steps.0 >= 2,
                Challenge::Blink => false,
            }
    }

    /// Steps of the visit that come before it.
    const fn before(self) -> u8 {
        match self {
            Challenge::Front | Challenge::Right => 0,
            Challenge::Left => 1,
            Challenge::Blink => 2,
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Challenge::Front => "Face centered and looking at camera!",
            Challenge::Right => "Face turned right detected!",
            Challenge::Left => "Face turned left detected!",
            Challenge::Blink => "Blink detected!",
        }
    }

    /// What is missing.
    fn missing(self, look: &Look) -> &'static str {
        // Yaw is positive towards the person's own left.
        match self {
            Challenge::Front => front(look.advice),
            Challenge::Right if look.pose.yaw > WRONG_WAY => "Wrong direction! Please turn your face to the right",
            Challenge::Right => "Please turn your face more to the right",
            Challenge::Left if look.pose.yaw < -WRONG_WAY => "Wrong direction! Please turn your face to the left",
            Challenge::Left => "Please turn your face more to the left",
            Challenge::Blink if look.steps.0 >= 3 => "Blink detected! Please keep looking at the camera",
            Challenge::Blink => "Please blink your eyes",
        }
    }
}

const fn front(advice: Option<Advice>) -> &'static str {
    match advice {
        Some(Advice::ComeCloser) => "Please move closer to the camera",
        Some(Advice::HoldStill) => "Please hold still",
        Some(Advice::MoreLight) => "Please make sure that your face is well lit",
        Some(Advice::LessLight) => "There is too much light. Please move away from it",
        Some(Advice::OneAtATime) => "Only one person, please",
        _ => "Please look straight at the camera",
    }
}

const NO_FACE: &str = "No face detected. Please ensure your face is clearly visible.";

async fn frame(State(s3): State<Arc<S3>>, peer: Option<Extension<Peer>>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(asked) = reply::object(&body) else {
        return failed(StatusCode::BAD_REQUEST, "Invalid JSON");
    };
    let Some(step) = asked.get("challenge").and_then(Value::as_str).and_then(Challenge::named) else {
        return failed(StatusCode::BAD_REQUEST, "Invalid challenge");
    };
    let picture = match asked.get("frame").and_then(Value::as_str) {
        None | Some("") => return failed(StatusCode::BAD_REQUEST, "No frame provided"),
        Some(text) => reply::picture(text),
    };
    let Some(picture) = picture else { return failed(StatusCode::BAD_REQUEST, "Invalid frame data") };
    let from = address(peer);
    let mut found = match s3.visitor(from, &headers) {
        Ok(found) => found,
        Err(refused) => return *refused,
    };
    let answered = match s3.look(from, &mut found, step, picture).await {
        Ok(look) if look.broken => failed(StatusCode::BAD_REQUEST, "Invalid frame data"),
        Ok(look) => reply::answer(StatusCode::OK, said(step, &look)),
        Err(refused) => *refused,
    };
    s3.with_cookie(&found, answered)
}

/// What a picture said, in the old words.
fn said(step: Challenge, look: &Look) -> Value {
    let denied = look.outcome.as_ref().is_some_and(|o| o.verdict == Verdict::Denied);
    let success = step.is_done(look) && !denied;
    // The visit began anew, because the camera had paused or nobody was there: earlier steps are to be done again.
    let behind = !success && step.before() > look.steps.0;
    let message = if denied || behind {
        "Liveness check failed. Please start again."
    } else if success {
        step.done()
    } else if look.rect.is_none() {
        NO_FACE
    } else {
        step.missing(look)
    };
    let face = look.rect.map(|[x, y, w, h]| {
        let [x, y, w, h] = [x, y, w, h].map(f32::round);
        json!({"x": x, "y": y, "w": w, "h": h, "width": w, "height": h})
    });
    let debug = json!({
        "faces": look.faces, "frames": look.frames, "step": look.steps.0, "of": look.steps.1,
        "looking": look.phase.is_some_and(|p| p != Phase::Idle), "restart": denied || behind,
    });
    json!({"success": success, "message": message, "face_box": face, "debug_info": debug})
}

async fn batch(State(s3): State<Arc<S3>>, peer: Option<Extension<Peer>>, headers: HeaderMap, body: Bytes) -> Response {
    let asked = reply::object(&body).unwrap_or_default();
    let frames = match asked.get("frames").and_then(Value::as_array) {
        Some(frames) if !frames.is_empty() => frames,
        _ => return failed(StatusCode::BAD_REQUEST, "No frames provided"),
    };
    if frames.len() > MOST_FRAMES {
        return failed(StatusCode::BAD_REQUEST, "Too many frames");
    }
    let found = match s3.visitor(address(peer), &headers) {
        Ok(found) => found,
        Err(refused) => return *refused,
    };
    let look = s3.stands(&found.state).unwrap_or_default();
    let results: Vec<Value> = frames.iter().map(|f| judged(f.as_object(), &look)).collect();
    let granted = look.outcome.as_ref().is_some_and(|o| o.verdict == Verdict::Granted);
    let success = granted && results.iter().all(|r| r["success"] == true);
    let message = if success { "Liveness verification successful".to_owned() } else { why_not(&look, &results) };
    let body = json!({"success": success, "message": message, "results": results});
    s3.with_cookie(&found, reply::answer(StatusCode::OK, body))
}

/// One captured picture: what the visit saw of its step counts, since a still proves no movement.
fn judged(frame: Option<&Map<String, Value>>, look: &Look) -> Value {
    let text = |key: &str| frame.and_then(|f| f.get(key)).and_then(Value::as_str);
    let name = text("challenge").unwrap_or_default();
    let (success, message) = match (Challenge::named(name), text("frame").and_then(reply::picture)) {
        (None, _) => (false, "Invalid challenge"),
        (_, None) => (false, "Invalid frame data"),
        (Some(step), Some(_)) if step.is_done(look) => (true, step.done()),
        (Some(step), Some(_)) => (false, step.missing(look)),
    };
    json!({"challenge": name.chars().take(40).collect::<String>(), "success": success, "message": message})
}

fn why_not(look: &Look, results: &[Value]) -> String {
    let denied = look.outcome.as_ref().is_some_and(|o| o.verdict == Verdict::Denied);
    let first = results.iter().find(|r| r["success"] == false).and_then(|r| r["message"].as_str());
    let why = match first {
        _ if denied => "please start again",
        _ if look.frames == 0 => "no frames were processed before",
        Some(why) => why,
        None => "not all challenges are done",
    };
    format!("Liveness verification failed: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::web::hub::Outcome;
    use crate::domain::observation::Pose;

    fn at(steps: (u8, u8), yaw: f32) -> Look {
        let pose = Pose { yaw, ..Pose::default() };
        Look { faces: 1, frames: 9, rect: Some([1.0; 4]), steps, pose, ..Look::default() }
    }

    fn message(step: Challenge, look: &Look) -> (bool, String) {
        let said = said(step, look);
        (said["success"] == true, said["message"].as_str().expect("a text").to_owned())
    }

    #[test]
    fn each_step_is_told_in_the_old_words() {
        use Challenge::{Blink, Front, Left, Right};
        let none = Look { rect: None, ..at((0, 0), 0.0) };
        let told = |step, look: &Look| message(step, look);
        assert_eq!(told(Front, &none), (false, NO_FACE.to_owned()));
        assert_eq!(told(Front, &at((0, 3), 0.0)), (true, "Face centered and looking at camera!".to_owned()));
        assert_eq!(told(Right, &at((0, 3), -9.0)), (false, "Please turn your face more to the right".to_owned()));
        let wrong = (false, "Wrong direction! Please turn your face to the right".to_owned());
        assert_eq!(told(Right, &at((0, 3), 20.0)), wrong);
        assert_eq!(told(Right, &at((1, 3), -30.0)), (true, "Face turned right detected!".to_owned()));
        let wrong = (false, "Wrong direction! Please turn your face to the left".to_owned());
        assert_eq!(told(Left, &at((1, 3), -30.0)), wrong);
        assert_eq!(told(Left, &at((2, 3), 30.0)), (true, "Face turned left detected!".to_owned()));
        assert_eq!(told(Blink, &at((2, 3), 0.0)), (false, "Please blink your eyes".to_owned()));
        let outcome = |verdict| Some(Outcome { verdict, reason: None, person: None, advice: None });
        let granted = Look { outcome: outcome(Verdict::Granted), ..at((3, 3), 0.0) };
        assert_eq!(told(Blink, &granted), (true, "Blink detected!".to_owned()));
        let denied = Look { outcome: outcome(Verdict::Denied), ..at((3, 3), 0.0) };
        for step in [Front, Right, Left, Blink] {
            assert!(!told(step, &denied).0, "{step:?}: nothing succeeds after a refusal");
        }
    }

    #[test]
    fn a_batch_proves_nothing_that_the_visit_did_not_see() {
        let frame = json!({"challenge": "blink", "frame": "data:image/jpeg;base64,/9j/"});
        let judge = |look: &Look| judged(frame.as_object(), look);
        assert_eq!(judge(&at((2, 3), 0.0))["success"], false);
        assert_eq!(judge(&Look::default())["success"], false);
        let outcome = Some(Outcome { verdict: Verdict::Granted, reason: None, person: None, advice: None });
        assert_eq!(judge(&Look { outcome, ..at((3, 3), 0.0) })["success"], true);
    }
}
