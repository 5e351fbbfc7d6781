//! The configuration: read, and in its harmless part changed for the next start.

use super::{Answer, At, blocking};
use crate::adapters::web::accounts::Role;
use crate::adapters::web::auth::Caller;
use crate::adapters::web::house::{NotSet, SettingRow};
use crate::adapters::web::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Keys of one request: there are not so many that may be changed.
const MOST: usize = 64;

/// The configuration in force, with the origin of each value.
#[utoipa::path(get, path = "/api/v1/settings", tag = "status", responses(
    (status = 200, body = Vec<SettingRow>), (status = 403, body = Problem)), security(("login" = []), ("token" = [])))]
pub async fn list(State(app): At, caller: Caller) -> Answer<Vec<SettingRow>> {
    caller.must_be(Role::Admin)?;
    Ok(Json(blocking(move || app.house.settings()).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    /// By dotted key: a text, a number, true or false; null takes the key out of the console's file.
    #[schema(value_type = Object, example = json!({"prompt.language": "de", "camera.fps": null}))]
    changes: BTreeMap<String, Value>,
}

#[derive(Serialize, ToSchema)]
pub struct Changed {
    /// Keys whose values are others than before.
    changed: Vec<String>,
    /// They count from the next start.
    restart: bool,
}

/// Changes settings for the next start, all of them or none. Only keys with `editable` of `GET /api/v1/settings`. The whole
/// configuration is checked with them; what is wrong comes by key in `fields`. Each change is a record with who, old and new.
#[utoipa::path(post, path = "/api/v1/settings", tag = "status", request_body = Changes, responses(
    (status = 200, body = Changed), (status = 400, body = Problem), (status = 403, body = Problem),
    (status = 422, body = Problem), (status = 503, body = Problem)), security(("login" = []), ("token" = [])))]
pub async fn change(State(app): At, caller: Caller, Json(asked): Json<Changes>) -> Answer<Changed> {
    caller.must_be(Role::Admin)?;
    if asked.changes.is_empty() || asked.changes.len() > MOST {
        return Err(Problem::bad(format!("`changes` has 1 to {MOST} keys")));
    }
    let mut changes = Vec::new();
    for (key, value) in asked.changes {
        let value =
            toml_of(&value).map_err(|()| Problem::bad(format!("`{key}`: a text, a number, true, false or null")))?;
        changes.push((key, value));
    }
    let done = blocking(move || app.house.change_settings(&caller.name, &changes)).await?;
    match done {
        Ok(changed) => Ok(Json(Changed { restart: !changed.is_empty(), changed })),
        Err(NotSet::Failed(e)) => Err(e.into()),
        Err(NotSet::Wrong(fields)) => {
            let what = "nothing was changed; `fields` tells what is wrong with which key";
            Err(Problem { fields: fields.into(), ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "settings", what) })
        }
    }
}

/// `None` for null.
fn toml_of(value: &Value) -> Result<Option<toml::Value>, ()> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Bool(b) => toml::Value::Boolean(*b),
        Value::String(s) if s.len() <= 1024 && !s.contains(char::is_control) => toml::Value::String(s.clone()),
        Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => toml::Value::Integer(i),
            (None, Some(f)) => toml::Value::Float(f),
            _ => return Err(()),
        },
        _ => return Err(()),
    }))
}
