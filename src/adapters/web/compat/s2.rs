//! S2: liveness by steps over REST. A client starts a session, sends pictures one by one, and hears with each what is to
//! be done next.

use super::guest::{self, NoSession, address};
use super::reply::Refused;
use super::s2_store::{Picture, Store};
use super::steps::{self, Draw};
use super::{pages, reply};
use crate::adapters::web::App;
use crate::adapters::web::hub::Refusal;
use crate::adapters::web::look::{Again, Look, Manner};
use crate::adapters::web::server::Peer;
use crate::config::sections::Seed;
use crate::domain::challenge::Plan;
use crate::domain::screen::{Advice, Phase};
use crate::schema::event::{Action, Goal, Verdict};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// For blinks, and for every other step.
const BLINK_WINDOW: Duration = Duration::from_secs(25);
const WINDOW: Duration = Duration::from_secs(40);
/// What may be drawn: blinks, then a turn, then a movement of the face.
const BLINKS: [u8; 2] = [2, 3];
const TURNS: [Action; 2] = [Action::TurnLeft, Action::TurnRight];
const FACES: [Action; 2] = [Action::Smile, Action::MouthOpen];

pub(super) struct S2 {
    app: Arc<App>,
    sessions: Mutex<HashMap<String, Session>>,
    store: Option<Store>,
}

/// What is known of a session beside the visit itself.
#[derive(Clone)]
struct Session {
    /// The worker's number of it, which nobody else knows.
    id: String,
    /// Who started it: the client's number has only four random digits, so it is worth something only from here.
    from: IpAddr,
    began: Instant,
    created_at: String,
    plan: Plan,
    /// Where it stands, as of its newest picture.
    look: Look,
    verified: Option<Arc<Verified>>,
}

/// What a granted session leaves until it expires.
struct Verified {
    picture: Vec<u8>,
    path: Option<String>,
    timestamp: String,
    took: Duration,
}

pub(super) fn router(app: Arc<App>) -> Router {
    let store = app.config.compat.s2_store.map(|keep| Store::open(&app.state, keep));
    let s2 = Arc::new(S2 { app, sessions: Mutex::default(), store });
    Router::new()
        .route("/", get(|| async { pages::page("s2.html") }))
        .route("/assets/{file}", get(pages::asset))
        .route("/health", get(health))
        .route("/stats", get(stats))
        .route("/start", post(start))
        .route("/process", post(process))
        .route("/complete", post(complete))
        .route("/status/{id}", get(status))
        .fallback(|| async { reply::error(StatusCode::NOT_FOUND, "Not found") })
        .with_state(s2)
}

const FEATURES: [&str; 5] = ["blink_detection", "head_movement", "facial_actions", "random_challenges", "passive_pad"];

async fn health(State(s2): State<Arc<S2>>) -> Response {
    let body = json!({
        "status": "healthy", "service": "liveness-detection-only", "version": "1.0",
        "active_sessions": s2.active(), "max_sessions": s2.app.config.max_sessions, "features": FEATURES,
    });
    reply::answer(StatusCode::OK, body)
}

async fn stats(State(s2): State<Arc<S2>>) -> Response {
    let features: Map<String, Value> = FEATURES.iter().map(|f| ((*f).to_owned(), true.into())).collect();
    let body = json!({
        "active_sessions": s2.active(), "max_sessions": s2.app.config.max_sessions,
        "session_expiry_minutes": s2.minutes(), "service_type": "liveness_only", "features": features,
    });
    reply::answer(StatusCode::OK, body)
}

async fn start(State(s2): State<Arc<S2>>, peer: Option<Extension<Peer>>) -> Response {
    let from = address(peer);
    match s2.begin(from) {
        Ok((name, total)) => {
            let body = json!({
                "success": true, "session_id": name, "instruction": LOOK, "current_step": 1, "total_steps": total,
                "expires_in_minutes": s2.minutes(),
            });
            reply::answer(StatusCode::OK, body)
        }
        Err(NoSession::Rate) => reply::error(StatusCode::TOO_MANY_REQUESTS, "Too many sessions from this address"),
        Err(NoSession::Full) => reply::error(StatusCode::SERVICE_UNAVAILABLE, "Service at capacity"),
        Err(NoSession::Failed) => reply::error(StatusCode::SERVICE_UNAVAILABLE, "Session could not be started"),
    }
}

async fn process(State(s2): State<Arc<S2>>, peer: Option<Extension<Peer>>, body: Bytes) -> Response {
    let asked = reply::object(&body).unwrap_or_default();
    let (name, session) = match s2.named(&asked, address(peer)) {
        Ok(found) => found,
        Err(refused) => return *refused,
    };
    if let Some(done) = &session.verified {
        let body = json!({
            "success": true, "verification_complete": true, "verification_failed": false,
            "message": "Verification already completed", "verified_image_path": done.path,
        });
        return reply::answer(StatusCode::OK, body);
    }
    let picture = match asked.get("image").and_then(Value::as_str) {
        None | Some("") => return reply::error(StatusCode::BAD_REQUEST, "No image provided"),
        Some(text) => reply::picture(text),
    };
    let Some(picture) = picture else { return reply::error(StatusCode::BAD_REQUEST, UNDECODABLE) };
    let look = match s2.app.hub.look(&session.id, picture.clone()).await {
        Ok(look) if look.broken => return reply::error(StatusCode::BAD_REQUEST, UNDECODABLE),
        Ok(look) => look,
        // It was refused, and no picture is looked at after that.
        Err(Refusal::Taken) => s2.app.hub.seen(&session.id).unwrap_or_default(),
        Err(Refusal::BadPicture) => return reply::error(StatusCode::BAD_REQUEST, UNDECODABLE),
        Err(Refusal::Unknown) => return reply::error(StatusCode::BAD_REQUEST, EXPIRED),
        Err(Refusal::Busy | Refusal::Full) => return reply::error(StatusCode::SERVICE_UNAVAILABLE, "Server busy"),
    };
    let verified = s2.note(&name, &look, picture).await;
    reply::answer(StatusCode::OK, said(&session.plan, &look, verified.as_ref().and_then(|v| v.path.as_deref())))
}

async fn complete(State(s2): State<Arc<S2>>, peer: Option<Extension<Peer>>, body: Bytes) -> Response {
    let asked = reply::object(&body).unwrap_or_default();
    let (_, session) = match s2.named(&asked, address(peer)) {
        Ok(found) => found,
        Err(refused) => return *refused,
    };
    let Some(done) = &session.verified else {
        return reply::error(StatusCode::BAD_REQUEST, "Verification not completed yet");
    };
    let steps = session.plan.0.len();
    let blinks: u32 = session.plan.0.iter().filter(|s| s.action == Action::Blink).map(|s| u32::from(s.times)).sum();
    let took = (done.took.as_secs_f64() * 10.0).round() / 10.0;
    let names: Vec<&str> = session.plan.0.iter().map(|s| s.action.name()).collect();
    let body = json!({
        "success": true, "message": "Verification completed successfully",
        "verified_image": STANDARD.encode(&done.picture), "verified_image_path": done.path,
        "verification_time": took, "steps_completed": steps, "total_blinks": blinks, "timestamp": done.timestamp,
        "results": {
            "verification_time": took, "steps_completed": steps, "total_blinks": blinks, "steps": names,
            "timestamp": done.timestamp, "verified_image_path": done.path,
        },
    });
    reply::answer(StatusCode::OK, body)
}

async fn status(State(s2): State<Arc<S2>>, peer: Option<Extension<Peer>>, Path(name): Path<String>) -> Response {
    let from = address(peer);
    let known = s2.lock().get(&name).filter(|s| s.from == from && !s2.is_over(s)).cloned();
    let Some(session) = known else { return reply::error(StatusCode::NOT_FOUND, "Session not found") };
    let place = Place::of(&session.plan, &s2.app.hub.seen(&session.id).unwrap_or(session.look));
    let body = json!({
        "success": true, "session_id": name, "created_at": session.created_at,
        "completed": session.verified.is_some(), "current_step": place.step, "total_steps": place.total,
        "instruction": place.instruction, "verification_complete": session.verified.is_some(),
        "verification_failed": place.failed,
        "verified_image_path": session.verified.as_ref().and_then(|v| v.path.clone()),
    });
    reply::answer(StatusCode::OK, body)
}

const UNDECODABLE: &str = "Invalid image data - decode failed";
const EXPIRED: &str = "Session expired";
const LOOK: &str = "Look straight at the camera";

impl S2 {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.sessions.lock().expect("session mutex: no holder panics")
    }

    fn minutes(&self) -> u64 {
        self.app.config.compat.s2_session.as_secs() / 60
    }

    fn is_over(&self, s: &Session) -> bool {
        s.began.elapsed() >= self.app.config.compat.s2_session
    }

    /// Sessions that can still be used.
    fn active(&self) -> usize {
        self.lock().values().filter(|s| !self.is_over(s)).count()
    }

    /// Begins one; its name and number of steps. Names of sessions that expired are known for as long again, so that
    /// their clients hear why.
    fn begin(&self, from: IpAddr) -> Result<(String, usize), NoSession> {
        let config = &self.app.config.compat;
        let mut draw = Draw::new(self.app.random).map_err(|_| NoSession::Failed)?;
        let mut order = config.s2_sequence.clone();
        if order.is_empty() {
            order.push((Action::Blink, draw.one_of(&BLINKS).unwrap_or(BLINKS[0])));
            order.extend(draw.one_of(&TURNS).map(|a| (a, 1)));
            order.extend(draw.one_of(&FACES).map(|a| (a, 1)));
        }
        let plan = steps::plan(&order, |a| if a == Action::Blink { BLINK_WINDOW } else { WINDOW });
        let mut all = self.lock();
        all.retain(|_, s| s.began.elapsed() < config.s2_session * 2);
        if all.values().filter(|s| !self.is_over(s)).count() >= self.app.config.max_sessions {
            return Err(NoSession::Full);
        }
        if all.len() >= self.app.config.max_sessions * 4
            && let Some(oldest) = all.iter().min_by_key(|(_, s)| s.began).map(|(n, _)| n.clone())
        {
            all.remove(&oldest);
        }
        let now = jiff::Timestamp::now();
        let mut name = || format!("liveness_{}_{:04}", now.as_second(), 1000 + draw.below(9000));
        let name = (0..8).map(|_| name()).find(|n| !all.contains_key(n)).ok_or(NoSession::Full)?;
        let manner = Manner {
            ttl: Some(config.s2_session),
            plan: Some(plan.clone()),
            forgiving: true,
            again: Again::Undecided,
            ..Manner::default()
        };
        let id = guest::begin(&self.app, Seed::S2, from, Goal::Liveness, None, manner)?;
        let steps = plan.0.len();
        let session = Session {
            id,
            from,
            began: Instant::now(),
            created_at: now.to_string(),
            plan,
            look: Look::default(),
            verified: None,
        };
        all.insert(name.clone(), session);
        Ok((name, steps))
    }

    /// The session that a body names.
    fn named(&self, asked: &Map<String, Value>, from: IpAddr) -> Result<(String, Session), Refused> {
        let name = asked.get("session_id").and_then(Value::as_str).unwrap_or_default();
        let all = self.lock();
        match all.get(name).filter(|s| s.from == from) {
            None => Err(Box::new(reply::error(StatusCode::BAD_REQUEST, "Invalid session ID"))),
            Some(s) if self.is_over(s) => Err(Box::new(reply::error(StatusCode::BAD_REQUEST, EXPIRED))),
            Some(s) => Ok((name.to_owned(), s.clone())),
        }
    }

    /// Notes where a session stands; the picture of a grant is kept with it, and stored where the owner wants that.
    async fn note(&self, name: &str, look: &Look, picture: Vec<u8>) -> Option<Arc<Verified>> {
        let granted = look.outcome.as_ref().is_some_and(|o| o.verdict == Verdict::Granted);
        let (took, plan) = {
            let mut all = self.lock();
            let s = all.get_mut(name)?;
            s.look = look.clone();
            if !granted || s.verified.is_some() {
                return s.verified.clone();
            }
            (s.began.elapsed(), s.plan.clone())
        };
        let timestamp = jiff::Timestamp::now().to_string();
        let path = match &self.store {
            None => None,
            Some(store) => {
                let steps = plan.0.iter().map(|s| s.action.name().to_owned()).collect();
                store.keep(Picture { session: name.to_owned(), timestamp: timestamp.clone(), steps }, &picture).await
            }
        };
        let verified = Arc::new(Verified { picture, path, timestamp, took });
        self.lock().get_mut(name)?.verified = Some(verified.clone());
        Some(verified)
    }
}

/// Where a session stands, for its client.
struct Place {
    step: usize,
    total: usize,
    instruction: String,
    complete: bool,
    failed: bool,
}

impl Place {
    fn of(plan: &Plan, look: &Look) -> Self {
        let total = plan.0.len();
        let verdict = look.outcome.as_ref().map(|o| o.verdict);
        let granted = verdict == Some(Verdict::Granted);
        let done = if granted { total } else { usize::from(look.steps.0) };
        let instruction = match verdict {
            Some(Verdict::Granted) => "VERIFICATION COMPLETE!".to_owned(),
            Some(Verdict::Denied) => "VERIFICATION FAILED".to_owned(),
            // The next picture begins anew.
            Some(Verdict::TryAgain) => LOOK.to_owned(),
            None => instruction(look),
        };
        Place {
            step: (done + 1).min(total),
            total,
            instruction,
            complete: granted,
            failed: verdict == Some(Verdict::Denied),
        }
    }
}

/// What is to be done next.
fn instruction(look: &Look) -> String {
    if let (Some(Phase::Challenge), Some(action)) = (look.phase, look.action) {
        return match action {
            Action::Blink if look.left == 1 => "Blink 1 more time".into(),
            Action::Blink => format!("Blink {} more times", look.left),
            Action::TurnLeft => "Turn your head LEFT".into(),
            Action::TurnRight => "Turn your head RIGHT".into(),
            Action::Centre => "Look straight ahead".into(),
            Action::Smile => "Please smile".into(),
            Action::MouthOpen => "Please open your mouth".into(),
            Action::Nod => "Please nod".into(),
            Action::BrowRaise => "Please raise your eyebrows".into(),
            Action::WinkLeft => "Please wink with your left eye".into(),
            Action::WinkRight => "Please wink with your right eye".into(),
            Action::Tongue => "Please show your tongue".into(),
        };
    }
    match look.advice {
        Some(Advice::ComeCloser) => "Move closer to the camera",
        Some(Advice::HoldStill) => "Hold still",
        Some(Advice::MoreLight) => "Find better light",
        Some(Advice::LessLight) => "Avoid bright light",
        Some(Advice::OneAtATime) => "Keep one face in frame",
        _ => LOOK,
    }
    .into()
}

/// What a picture said, in the old words.
fn said(plan: &Plan, look: &Look, path: Option<&str>) -> Value {
    let place = Place::of(plan, look);
    let mut body = json!({
        "success": true, "face_detected": look.rect.is_some(), "instruction": place.instruction,
        "step_completed": look.stepped, "verification_complete": place.complete, "verification_failed": place.failed,
        "current_step": place.step, "total_steps": place.total, "verified_image_path": path,
    });
    if place.failed {
        body["error"] = "Verification failed".into();
    } else if look.rect.is_none() && !place.complete {
        body["error"] = "No face detected".into();
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::web::hub::Outcome;

    fn plan() -> Plan {
        steps::plan(&[(Action::Blink, 2), (Action::TurnLeft, 1), (Action::Smile, 1)], |_| WINDOW)
    }

    fn asked(action: Action, left: u8, done: u8) -> Look {
        Look {
            rect: Some([1.0; 4]),
            phase: Some(Phase::Challenge),
            action: Some(action),
            left,
            steps: (done, 3),
            ..Look::default()
        }
    }

    #[test]
    fn instructions_count_down_and_steps_count_up() {
        for (look, step, text) in [
            (Look::default(), 1, "Look straight at the camera"),
            (asked(Action::Blink, 2, 0), 1, "Blink 2 more times"),
            (asked(Action::Blink, 1, 0), 1, "Blink 1 more time"),
            (asked(Action::TurnLeft, 1, 1), 2, "Turn your head LEFT"),
            (asked(Action::Smile, 1, 2), 3, "Please smile"),
        ] {
            let said = said(&plan(), &look, None);
            assert_eq!((&said["current_step"], &said["instruction"]), (&json!(step), &json!(text)));
            assert_eq!((&said["total_steps"], &said["verification_complete"]), (&json!(3), &json!(false)));
        }
        assert_eq!(said(&plan(), &Look::default(), None)["error"], "No face detected");
    }

    #[test]
    fn an_end_is_told_as_one() {
        let ended = |verdict| {
            let outcome = Some(Outcome { verdict, reason: None, person: None, advice: None });
            said(&plan(), &Look { outcome, ..asked(Action::Smile, 1, 2) }, Some("a.jpg"))
        };
        let done = ended(Verdict::Granted);
        assert_eq!((&done["instruction"], &done["current_step"]), (&json!("VERIFICATION COMPLETE!"), &json!(3)));
        assert_eq!((&done["verification_complete"], &done["verified_image_path"]), (&json!(true), &json!("a.jpg")));
        let failed = ended(Verdict::Denied);
        assert_eq!((&failed["verification_failed"], &failed["verification_complete"]), (&json!(true), &json!(false)));
    }
}
