//! Listeners for clients of the systems that this one grew out of: each on a port of its own, each in its old words.
//!
//! * *listener*: speaks one old protocol. It decides nothing: a visit of the session worker does, as for the API.
//! * *guest*: whoever reaches a listener; there is no login before it, which is why all are off by default.
//!
//! docs/compat.md tells what is the same and what differs.

mod bridge;
mod cors;
mod guest;
mod pages;
mod reply;
mod s0;
mod s1;
mod s1_log;
mod s1_rooms;
mod s2;
mod s2_store;
mod s2ws;
mod s3;
mod s4;
mod socketio;
mod steps;
mod visitors;
mod words;

use super::App;
use super::server;
use crate::config::sections::{CompatConfig, Cors, Listener, Seed};
use crate::ports::PortError;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::rustls::ServerConfig;
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutLayer};

/// Greatest body: a picture of a mebibyte in base64, and what stands around it.
const BODY: usize = 2 << 20;
/// Bodies of one listener that are read at a time, so that what they hold together is bounded.
const READING: usize = 64;
/// Nothing of a body for so long ends the request.
const STALLED: Duration = Duration::from_secs(10);
/// A request has its answer by then.
const WHOLE: Duration = Duration::from_secs(60);

/// A listener whose port is ours.
pub(super) struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    of: Listener,
}

/// Binds the port of every listener that runs.
///
/// # Errors
/// An address that is not ours, or a port that somebody else has.
pub(super) fn bind(config: &CompatConfig) -> Result<Vec<Bound>, PortError> {
    let one = |of: &Listener| {
        let listener = server::bind(of.listen, &of.seed.key("listen"))?;
        let address = listener.local_addr().unwrap_or(of.listen);
        Ok(Bound { listener, address, of: of.clone() })
    };
    config.listeners.iter().map(one).collect()
}

/// Tells the log where each one is.
pub(super) fn announce(all: &[Bound]) {
    for b in all {
        let scheme = if b.of.tls { "https" } else { "http" };
        tracing::info!("clients of {} are served at {scheme}://{}/", b.of.seed.name(), b.address);
    }
}

/// Serves one listener until `stop` becomes true.
pub(super) async fn serve(
    bound: Bound,
    secret: Option<Arc<ServerConfig>>,
    app: Arc<App>,
    most: usize,
    stop: watch::Receiver<bool>,
) {
    let Bound { listener, of, .. } = bound;
    let secret = secret.filter(|_| of.tls);
    if of.tls && secret.is_none() {
        return tracing::error!("{} has no certificate and is not served", of.seed.name());
    }
    let router = routes(&of, app).layer(DefaultBodyLimit::max(BODY));
    server::serve(listener, secret, around(router, of.cors), most, stop).await;
}

/// What a seed's clients call.
fn routes(of: &Listener, app: Arc<App>) -> Router {
    match of.seed {
        Seed::S0 => s0::routes(&app, &of.cors),
        Seed::S1 => s1::router(app, of.cors.clone()),
        Seed::S2 => s2::router(app),
        Seed::S2ws => s2ws::routes(&app, &of.cors),
        Seed::S3 => s3::router(app, of),
        Seed::S4 => s4::router(app, of),
    }
}

/// What every listener has around its routes: limits, and the headers that let pages of other origins call it.
fn around(router: Router, cors: Cors) -> Router {
    let places = Arc::new(Semaphore::new(READING));
    router
        .layer(from_fn_with_state(places, in_turn))
        .layer(from_fn_with_state(Arc::new(cors), cors::headers))
        .layer(from_fn(reply::plain))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, WHOLE))
        .layer(RequestBodyTimeoutLayer::new(STALLED))
}

/// Requests with bodies wait for one of [`READING`] places.
async fn in_turn(State(places): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let _place = match request.method().is_safe() {
        true => None,
        false => places.acquire().await.ok(),
    };
    next.run(request).await
}
