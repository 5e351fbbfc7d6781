//! Routes, and what every answer carries.

pub(super) mod account;
mod door;
mod events;
mod people;
mod rules;
mod sessions;
mod settings;
mod status;

use super::App;
use super::problem::Problem;
use super::server::{Peer, counted};
use super::{assets, house, hub};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutLayer};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

/// Greatest body of a request that uploads no picture.
const BODY: usize = 64 << 10;
/// Nothing of a body for so long ends the request.
const STALLED: Duration = Duration::from_secs(10);
/// A request has its answer by then.
const WHOLE: Duration = Duration::from_secs(60);

type Shared = Arc<App>;
type Answer<T> = Result<Json<T>, Problem>;

#[derive(OpenApi)]
#[openapi(
    info(title = "Cardea", description = "API of a face terminal. Errors are application/problem+json."),
    paths(
        account::me, account::setup, account::login, account::logout, account::password,
        account::users, account::add_user, account::remove_user,
        account::tokens, account::add_token, account::remove_token,
        people::list, people::one, people::remove, people::photos,
        events::list,
        status::health, status::models, status::evaluations, status::logs, settings::list, settings::change,
        rules::shown, rules::who_can,
        door::unlock,
        sessions::create, sessions::one, sessions::end, sessions::target, sessions::introspect,
    ),
    components(schemas(people::PersonName, sessions::ActionWord, Problem, hub::EnrolDone, hub::RefusedPicture, house::ModelRow)),
    tags(
        (name = "account", description = "Logging in, accounts, tokens for programs."),
        (name = "people", description = "Who is enrolled."),
        (name = "events", description = "Records. `GET /api/v1/events/stream` is a WebSocket with each record as it is \
            committed; a client that falls behind hears `{\"type\":\"missed\",\"records\":N}` and reads them here."),
        (name = "status", description = "How the terminal is. `GET /api/v1/live` is a WebSocket with pictures of the door's \
            camera, where `web.live_picture` allows it: binary messages, a JPEG picture each, five a second at most."),
        (name = "rules", description = "Who may pass which door when."),
        (name = "door", description = "The door by hand."),
        (name = "sessions", description = "Somebody with a camera of their own. `ws` of a session is the address of its \
            WebSocket: the client sends JPEG pictures as binary messages, two to ten a second, and hears texts: \
            `{\"type\":\"prompt\",…}` what to do, `{\"type\":\"progress\",…}` for each picture that was looked at, and \
            last `{\"type\":\"result\",\"verdict\":\"granted|denied|try_again\",\"token\"?,\"advice\"?}`. The newest \
            picture wins."),
    ),
    modifiers(&Security, &Errors)
)]
struct Api;

struct Security;

impl Modify for Security {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        let cookie = ApiKey::Cookie(ApiKeyValue::new(super::auth::COOKIE));
        components.add_security_scheme("login", SecurityScheme::ApiKey(cookie));
    }
}

/// Every error has the same shape, also those that no handler names: too large, too slow, too many, out of order.
struct Errors;

impl Modify for Errors {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
        const KIND: &str = "application/problem+json";
        let shape = || Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
        let is_problem = |c: &RefOr<Content>| match c {
            RefOr::T(c) => matches!(&c.schema, Some(RefOr::Ref(r)) if r.ref_location.ends_with("/Problem")),
            RefOr::Ref(_) => false,
        };
        for item in openapi.paths.paths.values_mut() {
            for operation in [&mut item.get, &mut item.post, &mut item.delete].into_iter().flatten() {
                let responses = &mut operation.responses.responses;
                for response in responses.values_mut() {
                    if let RefOr::T(r) = response
                        && r.content.values().any(is_problem)
                    {
                        r.content.clear();
                        r.content.insert(KIND.into(), RefOr::T(shape()));
                    }
                }
                let other = ResponseBuilder::new().description("Any other refusal or failure").content(KIND, shape());
                responses.insert("default".into(), RefOr::T(other.build()));
            }
        }
    }
}

/// Describes a text that follows a pattern.
fn text(pattern: &str, example: &str) -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    use utoipa::openapi::schema::{ObjectBuilder, Type};
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).examples([example]).into()
}

/// The text of the description; made at each request, which is rare.
fn description() -> String {
    Api::openapi().to_json().unwrap_or_default()
}

/// Everything that is served.
pub(super) fn router(app: Shared) -> Router {
    let upload = DefaultBodyLimit::max(app.config.upload_bytes);
    let v1 = Router::new()
        .route("/me", get(account::me))
        .route("/setup", post(account::setup))
        .route("/login", post(account::login))
        .route("/logout", post(account::logout))
        .route("/password", post(account::password))
        .route("/users", get(account::users).post(account::add_user))
        .route("/users/{name}", delete(account::remove_user))
        .route("/api-tokens", get(account::tokens).post(account::add_token))
        .route("/api-tokens/{id}", delete(account::remove_token))
        .route("/people", get(people::list))
        .route("/people/{person}", get(people::one).delete(people::remove))
        .route("/people/{person}/photos", post(people::photos).layer(upload))
        .route("/events", get(events::list))
        .route("/events/stream", get(events::stream))
        .route("/health", get(status::health))
        .route("/models", get(status::models))
        .route("/evaluations", get(status::evaluations))
        .route("/rules", get(rules::shown))
        .route("/rules/who-can", get(rules::who_can))
        .route("/settings", get(settings::list).post(settings::change))
        .route("/logs", get(status::logs))
        .route("/live", get(status::live))
        .route("/door/unlock", post(door::unlock))
        .route("/tokens/introspect", post(sessions::introspect))
        .route("/sessions", post(sessions::create).layer(DefaultBodyLimit::max(app.config.upload_bytes)))
        .route("/sessions/{id}", get(sessions::one).delete(sessions::end))
        .route("/sessions/{id}/target", post(sessions::target).layer(DefaultBodyLimit::max(app.config.upload_bytes)))
        .route("/sessions/{id}/ws", get(sessions::connect))
        .route("/openapi.json", get(|| async { ([(header::CONTENT_TYPE, "application/json")], description()) }))
        .fallback(|| async { Problem::not_found("address; see /api/v1/openapi.json") })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "this address has other methods")
        });
    Router::new()
        .nest("/api/v1", v1)
        .route("/healthz", get(status::healthz))
        .route("/metrics", get(status::metrics))
        .fallback(assets::serve)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(from_fn(headers))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, WHOLE))
        .layer(RequestBodyTimeoutLayer::new(STALLED))
        .with_state(app)
}

/// Nothing from elsewhere is loaded, nothing frames us, nothing is kept by caches.
async fn headers(request: Request, next: Next) -> Response {
    const ALL: [(HeaderName, &str); 8] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; \
             connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("permissions-policy"), "camera=(self), microphone=(), geolocation=()"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in ALL {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    // What axum itself refuses has a text; programs get the same shape from everything.
    let status = response.status();
    let plain = response.headers().get(header::CONTENT_TYPE).is_none_or(|t| t.as_bytes().starts_with(b"text/plain"));
    if status.is_client_error() && plain {
        let (mut parts, body) = response.into_parts();
        let text = axum::body::to_bytes(body, 4096).await.unwrap_or_default();
        let code = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "too_large",
            StatusCode::REQUEST_TIMEOUT => "too_slow",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "media_type",
            _ => "malformed",
        };
        let problem = Problem::new(status, code, String::from_utf8_lossy(&text).into_owned()).into_response();
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        return Response::from_parts(parts, problem.into_body());
    }
    response
}

/// The address that limits are counted by.
fn address(peer: Option<Extension<Peer>>) -> IpAddr {
    peer.map_or(IpAddr::from([0, 0, 0, 0]), |Extension(Peer(p))| counted(p.ip()))
}

/// Runs what may block beside the runtime's one thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the terminal could not do this; its log says why")
    })
}

/// Calendar seconds.
fn now_s() -> i64 {
    now_ms() / 1000
}

/// Calendar milliseconds.
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// Writes what an administrator did; without a record nothing is done.
async fn audit(app: &Shared, by: &str, action: &str, object: &str) -> Result<u64, Problem> {
    let event =
        crate::schema::event::Event::SystemAdmin { by: by.into(), action: action.into(), object: object.into() };
    let house = app.house.clone();
    Ok(blocking(move || house.commit(event)).await??)
}

/// Takes the whole state where a handler needs nothing else of it.
type At = State<Shared>;
