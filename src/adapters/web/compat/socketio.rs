//! What the two Socket.IO listeners share: the server with its limits, who is connected, and visits of a guest.

use super::bridge::{self, Bridge};
use super::guest::{self, NoSession};
use crate::adapters::web::App;
use crate::adapters::web::hub::Out;
use crate::adapters::web::look::Manner;
use crate::adapters::web::server::{Peer, counted};
use crate::config::sections::Seed;
use crate::schema::event::Goal;
use axum::Router;
use axum::middleware::from_fn_with_state;
use serde::Serialize;
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;
use tower::Layer;

/// Signs of life: a client that vanishes is noticed after both.
const PING: Duration = Duration::from_secs(10);
const PONG: Duration = Duration::from_secs(20);
/// A connection without a namespace by then ends.
const JOIN: Duration = Duration::from_secs(30);
/// Packets that may wait for a client that does not read.
const WAITING: usize = 64;

/// A Socket.IO server in front of `routes`; clients have still to be listened to through the second part.
pub(super) fn server() -> (socketioxide::layer::SocketIoLayer, SocketIo) {
    SocketIo::builder()
        .max_payload(bridge::MESSAGE as u64)
        .max_buffer_size(WAITING)
        .ping_interval(PING)
        .ping_timeout(PONG)
        .connect_timeout(JOIN)
        .build_layer()
}

/// The server in front of the routes, and the guard before both. The layer is put around all routes at once: a router that
/// layers its own fallback makes it anew for each request, and the sessions of polling clients with it.
pub(super) fn guarded(
    routes: Router,
    layer: &socketioxide::layer::SocketIoLayer,
    app: &App,
    cors: &crate::config::sections::Cors,
) -> Router {
    let served = Router::new().fallback_service(layer.layer(routes));
    let bridge = Bridge::new(served.clone(), cors.clone(), app.stop.clone());
    served.layer(from_fn_with_state(bridge, bridge::guard))
}

/// Who is connected, by the id that the client knows itself by.
pub(super) struct Clients<T>(Mutex<HashMap<String, Arc<T>>>);

impl<T> Default for Clients<T> {
    fn default() -> Self {
        Clients(Mutex::default())
    }
}

impl<T> Clients<T> {
    /// Takes somebody in; false when there are `most` already.
    pub(super) fn enter(&self, id: String, client: Arc<T>, most: usize) -> bool {
        let mut all = self.lock();
        if all.len() >= most {
            return false;
        }
        all.insert(id, client);
        true
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<T>> {
        self.lock().get(id).cloned()
    }

    pub(super) fn leave(&self, id: &str) -> Option<Arc<T>> {
        self.lock().remove(id)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<T>>> {
        self.0.lock().expect("clients mutex: no holder panics")
    }
}

/// The address that limits are counted by.
pub(super) fn address(socket: &SocketRef) -> IpAddr {
    let peer = socket.req_parts().extensions.get::<Peer>();
    peer.map_or(IpAddr::from([0, 0, 0, 0]), |Peer(p)| counted(p.ip()))
}

/// Tells a client; one that does not read has lost it.
pub(super) fn emit<T: Serialize>(socket: &SocketRef, event: &str, body: &T) {
    if let Err(e) = socket.emit(event, body) {
        tracing::debug!(error = %e, "a Socket.IO client did not hear");
    }
}

/// Begins a visit; what is said of it comes out of the receiver.
///
/// # Errors
/// A sentence for the client.
pub(super) fn begin(
    app: &App,
    seed: Seed,
    from: IpAddr,
    goal: Goal,
    manner: Manner,
) -> Result<(String, mpsc::Receiver<Out>), &'static str> {
    let id = guest::begin(app, seed, from, goal, None, manner).map_err(|why| match why {
        NoSession::Rate => "Too many attempts. Please wait a minute.",
        NoSession::Full => "Service at capacity",
        NoSession::Failed => "The service is not available.",
    })?;
    match app.hub.connect(&id) {
        Ok((inbox, _)) => Ok((id, inbox)),
        Err(_) => Err("The service is not available."),
    }
}
