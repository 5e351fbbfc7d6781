//! The rules in force, to be read.

use super::{Answer, At, blocking};
use crate::adapters::web::accounts::Role;
use crate::adapters::web::auth::Caller;
use crate::adapters::web::problem::Problem;
use crate::adapters::web::shown::{RulesShown, WhoCan};
use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

/// Groups, schedules, holidays, doors and grants; of people only how many have what.
#[utoipa::path(get, path = "/api/v1/rules", tag = "rules", responses(
    (status = 200, body = RulesShown), (status = 403, body = Problem)), security(("login" = []), ("token" = [])))]
pub async fn shown(State(app): At, caller: Caller) -> Answer<RulesShown> {
    caller.must_be(Role::Operator)?;
    Ok(Json(blocking(move || app.house.rules()).await??))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Question {
    /// A door of the rules, or this terminal's name.
    door: String,
    /// `2026-11-23T08:30` on a clock on the wall there, or RFC 3339.
    at: String,
}

/// Who may pass a door at a moment, and what they must show for it; as `cardea who-can` answers.
#[utoipa::path(get, path = "/api/v1/rules/who-can", tag = "rules", params(Question), responses(
    (status = 200, body = WhoCan), (status = 400, body = Problem), (status = 403, body = Problem)),
    security(("login" = []), ("token" = [])))]
pub async fn who_can(State(app): At, caller: Caller, Query(q): Query<Question>) -> Answer<WhoCan> {
    caller.must_be(Role::Operator)?;
    let answer = blocking(move || app.house.who_can(&q.door, &q.at)).await??;
    answer.map(Json).map_err(Problem::bad)
}
