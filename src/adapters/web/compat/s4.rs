//! S4: login by form. Name and password first, then the face that belongs to the name, alive, before the browser's camera.
//!
//! The accounts are those of the console, the faces those of the people of the same name. A login here opens no console.

use super::guest::{self, NoSession, address};
use super::{pages, reply};
use crate::adapters::web::App;
use crate::adapters::web::api::account;
use crate::adapters::web::auth::{self, Logins};
use crate::adapters::web::hub::Refusal;
use crate::adapters::web::look::{Again, Look, Manner};
use crate::adapters::web::server::Peer;
use crate::config::sections::{Listener, Seed};
use crate::domain::screen::{Advice, Phase};
use crate::schema::event::{Action, Event, Goal, Verdict};
use crate::schema::ids::PersonId;
use crate::schema::record::hex;
use axum::body::Bytes;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// The cookie between password and face, and the one of a login. Cookies know no ports, so the names differ from others.
const PENDING: &str = "cardea_s4_face";
const LOGIN: &str = "cardea_s4";
/// After the password the face must come within so long.
const TTL: Duration = Duration::from_mins(2);
/// Passwords may have been shorter once; here they never were.
const SHORTEST: usize = 8;

pub(super) struct S4 {
    app: Arc<App>,
    tls: bool,
    logins: Logins,
    pending: Mutex<HashMap<String, Pending>>,
}

/// Somebody whose password was right.
#[derive(Clone)]
struct Pending {
    user: String,
    session: String,
    from: IpAddr,
    began: Instant,
}

pub(super) fn router(app: Arc<App>, of: &Listener) -> Router {
    let logins = Logins::new(app.config.login);
    let s4 = Arc::new(S4 { app, tls: of.tls, logins, pending: Mutex::default() });
    Router::new()
        .route("/", get(|| async { to("/login") }))
        .route("/login", get(form).post(login))
        .route("/face", get(face))
        .route("/face/frame", post(frame))
        .route("/main", get(main))
        .route("/logout", get(logout).post(logout))
        .route("/assets/{file}", get(pages::asset))
        .fallback(|| async { reply::error(StatusCode::NOT_FOUND, "Not found") })
        .with_state(s4)
}

fn to(path: &str) -> Response {
    let path = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/login"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response()
}

#[derive(Deserialize)]
struct Back {
    #[serde(default)]
    user: String,
    #[serde(default)]
    failed: String,
}

/// The form, with the name kept after a failure.
async fn form(Query(back): Query<Back>) -> Response {
    let message = match back.failed.as_str() {
        "" => "",
        "time" => "That took too long. Please try again.",
        "full" => "Too many people are logging in. Please try again in a minute.",
        _ => "Face not recognised. Please try again.",
    };
    page(StatusCode::OK, &back.user, message)
}

fn page(status: StatusCode, user: &str, message: &str) -> Response {
    let user: String = user.chars().take(64).collect();
    let mut response = pages::filled("s4_login.html", &[("user", &user), ("message", message)]);
    *response.status_mut() = status;
    response
}

#[derive(Deserialize)]
struct Typed {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

async fn login(
    State(s4): State<Arc<S4>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Form(typed): Form<Typed>,
) -> Response {
    if auth::same_origin(&headers) == Some(false) {
        return page(StatusCode::FORBIDDEN, "", "This form was sent by a page of another site.");
    }
    let password = Zeroizing::new(typed.password);
    let user: String = typed.username.trim().chars().take(64).collect();
    if user.is_empty() {
        return page(StatusCode::OK, "", "Please enter your user name.");
    }
    if password.chars().count() < SHORTEST {
        return page(StatusCode::OK, &user, "A password has at least 8 characters.");
    }
    let from = address(peer);
    if let Err(problem) = account::prove(&s4.app, &user, password, from).await {
        let message = match problem.code {
            "locked" => "Too many failures. Please wait a quarter of an hour.",
            "login" => "Invalid username or password",
            _ => "The terminal cannot do this now.",
        };
        return page(StatusCode::OK, &user, message);
    }
    match s4.begin(&user, from).await {
        Ok(cookie) => s4.setting(to("/face"), PENDING, &cookie),
        Err(why) => page(StatusCode::OK, &user, why),
    }
}

async fn face(State(s4): State<Arc<S4>>, peer: Option<Extension<Peer>>, headers: HeaderMap) -> Response {
    match s4.pending(&headers, address(peer)) {
        Some((_, p)) => pages::filled("s4_face.html", &[("user", &p.user)]),
        None => to("/login"),
    }
}

/// One picture of the browser's camera, as the body.
async fn frame(State(s4): State<Arc<S4>>, peer: Option<Extension<Peer>>, headers: HeaderMap, body: Bytes) -> Response {
    if auth::same_origin(&headers) == Some(false) {
        return reply::error(StatusCode::FORBIDDEN, "This came from a page of another site");
    }
    let Some((cookie, pending)) = s4.pending(&headers, address(peer)) else {
        return answered("That took too long", Some("/login?failed=time".into()), None);
    };
    let look = match s4.app.hub.look(&pending.session, body.to_vec()).await {
        Ok(look) => look,
        Err(Refusal::Taken) => s4.app.hub.seen(&pending.session).unwrap_or_default(),
        Err(Refusal::BadPicture) => return reply::error(StatusCode::BAD_REQUEST, "Not a JPEG picture"),
        Err(Refusal::Unknown) => {
            s4.lock().remove(&cookie);
            return answered("That took too long", Some(back(&pending.user, "time")), None);
        }
        Err(Refusal::Busy | Refusal::Full) => return reply::error(StatusCode::SERVICE_UNAVAILABLE, "Server busy"),
    };
    match look.outcome.as_ref().map(|o| o.verdict) {
        Some(Verdict::Granted) => s4.enter(&cookie, &pending, &look).await,
        Some(Verdict::Denied) => {
            s4.lock().remove(&cookie);
            s4.app.hub.end(&pending.session);
            answered("Face not recognised", Some(back(&pending.user, "face")), Some(&look))
        }
        Some(Verdict::TryAgain) | None => answered(instruction(&look), None, Some(&look)),
    }
}

fn back(user: &str, failed: &str) -> String {
    let plain: String = user.chars().filter(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c)).collect();
    format!("/login?user={plain}&failed={failed}")
}

fn answered(message: &str, next: Option<String>, look: Option<&Look>) -> Response {
    // Whether the picture shows a live face, as a word; how sure that is stays here.
    let face = look.and_then(|l| l.live).map(|l| if l.real { "real" } else { "fake" });
    let rect = look.and_then(|l| l.rect);
    reply::answer(StatusCode::OK, json!({"message": message, "next": next, "face": face, "box": rect}))
}

fn instruction(look: &Look) -> &'static str {
    if let (Some(Phase::Challenge), Some(action)) = (look.phase, look.action) {
        return match action {
            Action::Blink => "Please blink",
            Action::TurnLeft => "Please turn your head left",
            Action::TurnRight => "Please turn your head right",
            Action::Centre => "Please look straight ahead",
            Action::Smile => "Please smile",
            Action::MouthOpen => "Please open your mouth",
            Action::Nod => "Please nod",
            Action::BrowRaise => "Please raise your eyebrows",
            Action::WinkLeft => "Please wink with your left eye",
            Action::WinkRight => "Please wink with your right eye",
            Action::Tongue => "Please show your tongue",
        };
    }
    match look.advice {
        Some(Advice::ComeCloser) => "Please come closer",
        Some(Advice::HoldStill) => "Please hold still",
        Some(Advice::MoreLight) => "More light, please",
        Some(Advice::LessLight) => "Less light, please",
        Some(Advice::OneAtATime) => "One person at a time, please",
        _ => "Please look straight at the camera",
    }
}

async fn main(State(s4): State<Arc<S4>>, headers: HeaderMap) -> Response {
    let found = cookie(&headers, LOGIN).and_then(|c| s4.logins.find(c, Instant::now()));
    match found {
        Some(caller) => pages::filled("s4_main.html", &[("user", caller.name.trim_start_matches("user:"))]),
        None => to("/login"),
    }
}

async fn logout(State(s4): State<Arc<S4>>, headers: HeaderMap) -> Response {
    if let Some(c) = cookie(&headers, LOGIN) {
        s4.logins.end(c);
    }
    to("/login")
}

impl S4 {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Pending>> {
        self.pending.lock().expect("pending mutex: no holder panics")
    }

    /// The visit of somebody whose password was right; the value of its cookie, or what the page is to say.
    async fn begin(&self, user: &str, from: IpAddr) -> Result<String, &'static str> {
        let house = self.app.house.clone();
        let known = tokio::task::spawn_blocking(move || house.people()).await;
        match known {
            Ok(Ok(all)) if all.is_empty() => {
                return Err("Recognition data is missing: nobody is enrolled. Enrol people first.");
            }
            Ok(Ok(_)) => {}
            _ => return Err("Recognition data cannot be read. The terminal's log says why."),
        }
        let person = PersonId::new(user).map_err(|_| "This user name cannot belong to a face.")?;
        let manner = Manner { ttl: Some(TTL), again: Again::Undecided, ..Manner::default() };
        let session = guest::begin(&self.app, Seed::S4, from, Goal::Verify, Some(person), manner);
        let session = session.map_err(|why| match why {
            NoSession::Rate => "Too many logins from this address. Please wait a minute.",
            NoSession::Full => "Too many people are logging in. Please try again in a minute.",
            NoSession::Failed => "The terminal cannot do this now.",
        })?;
        let cookie = (self.app.random)().map(|r| hex(&r)).map_err(|_| "The terminal cannot do this now.")?;
        let mut all = self.lock();
        all.retain(|_, p| p.began.elapsed() < TTL);
        all.insert(cookie.clone(), Pending { user: user.to_owned(), session, from, began: Instant::now() });
        Ok(cookie)
    }

    fn pending(&self, headers: &HeaderMap, from: IpAddr) -> Option<(String, Pending)> {
        let shown = cookie(headers, PENDING)?;
        let all = self.lock();
        let p = all.get(shown).filter(|p| p.from == from && p.began.elapsed() < TTL)?;
        Some((shown.to_owned(), p.clone()))
    }

    /// Password and face were right. Without a record there is no login.
    async fn enter(&self, pending_cookie: &str, p: &Pending, look: &Look) -> Response {
        if self.lock().remove(pending_cookie).is_none() {
            return answered("Logged in", Some("/main".into()), None);
        }
        self.app.hub.end(&p.session);
        let event =
            Event::SystemAdmin { by: format!("user:{}", p.user), action: "login.s4".into(), object: String::new() };
        let house = self.app.house.clone();
        let written = tokio::task::spawn_blocking(move || house.commit(event)).await;
        let account = self.app.accounts().hash_of(&p.user).ok().flatten();
        let drawn = (self.app.random)().ok().zip((self.app.random)().ok());
        // An account that was removed meanwhile has no role any more.
        let (Ok(Ok(_)), Some((role, _)), Some((secret, csrf))) = (written, account, drawn) else {
            return answered("The terminal cannot do this now", Some(back(&p.user, "full")), None);
        };
        let mut half = [0; 16];
        half.copy_from_slice(&csrf[..16]);
        let (value, _) = self.logins.begin(&p.user, role, secret, half, Instant::now());
        self.setting(answered("Welcome", Some("/main".into()), Some(look)), LOGIN, &value)
    }

    fn setting(&self, mut response: Response, name: &str, value: &str) -> Response {
        let secure = if self.tls { "; Secure" } else { "" };
        let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}");
        if let Ok(v) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, v);
        }
        response
    }
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    let mut pairs = all.flat_map(|v| v.split(';')).filter_map(|p| p.trim().split_once('='));
    pairs.find(|(n, _)| *n == name).map(|(_, value)| value)
}
