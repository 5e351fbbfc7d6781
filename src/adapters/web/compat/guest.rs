//! Sessions of whoever reaches a listener.

use crate::adapters::web::App;
use crate::adapters::web::hub::{Ask, Refusal};
use crate::adapters::web::look::Manner;
use crate::adapters::web::secret_id;
use crate::adapters::web::server::{Peer, counted};
use crate::config::sections::Seed;
use crate::schema::event::Goal;
use crate::schema::ids::PersonId;
use axum::Extension;
use std::net::IpAddr;
use std::time::Instant;

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSession {
    /// More than `web.sessions_per_minute` from this address.
    Rate,
    /// As many as `web.max_sessions`.
    Full,
    /// No random number could be had; the log says why.
    Failed,
}

/// The address that limits are counted by.
pub(super) fn address(peer: Option<Extension<Peer>>) -> IpAddr {
    peer.map_or(IpAddr::from([0, 0, 0, 0]), |Extension(Peer(p))| counted(p.ip()))
}

/// Begins a session; its number is the key to it and stays in here.
///
/// # Errors
/// [`NoSession`].
pub(super) fn begin(
    app: &App,
    seed: Seed,
    from: IpAddr,
    goal: Goal,
    person: Option<PersonId>,
    manner: Manner,
) -> Result<String, NoSession> {
    if !app.session_rate.take(from, Instant::now()) {
        return Err(NoSession::Rate);
    }
    let id = secret_id(app.random).map_err(|e| {
        tracing::error!(error = %e, "a session was not begun");
        NoSession::Failed
    })?;
    let ask = Ask { goal, person, challenge: None, by: seed.name().into(), manner };
    match app.hub.open(id.clone(), ask) {
        Ok(_) => Ok(id),
        Err(Refusal::Full) => Err(NoSession::Full),
        Err(_) => Err(NoSession::Failed),
    }
}

/// A session that ends when this is dropped.
pub(super) struct Held<'a> {
    pub app: &'a App,
    pub id: String,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.app.hub.end(&self.id);
    }
}
