//! The door by hand.

use super::{At, audit, blocking};
use crate::adapters::web::accounts::Role;
use crate::adapters::web::auth::Caller;
use crate::adapters::web::problem::Problem;
use crate::adapters::web::secret_id;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub struct Unlocked {
    /// Number of the record.
    seq: u64,
}

/// Opens the door once, for as long as a grant does. Off unless `web.remote_unlock` is on; an open housing or a lockdown
/// keeps the door shut.
#[utoipa::path(post, path = "/api/v1/door/unlock", tag = "door", responses(
    (status = 200, body = Unlocked), (status = 403, body = Problem), (status = 409, body = Problem),
    (status = 503, body = Problem)), security(("login" = []), ("token" = [])))]
pub async fn unlock(State(app): At, caller: Caller) -> Result<Json<Unlocked>, Problem> {
    caller.must_be(Role::Operator)?;
    if !app.config.remote_unlock {
        return Err(Problem::forbidden("disabled", "web.remote_unlock is off"));
    }
    let id = secret_id(app.random)?;
    audit(&app, &caller.name, "door.unlock", &id).await?;
    let done = blocking(move || app.house.unlock(&id)).await?;
    done.map(|seq| Json(Unlocked { seq })).map_err(|e| {
        let status = match e.code {
            "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
        };
        Problem::new(status, e.code, e.detail)
    })
}
