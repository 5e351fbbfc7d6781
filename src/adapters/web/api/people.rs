//! The people at the door, and pictures of them.

use super::{Answer, At, Shared, audit, blocking};
use crate::adapters::web::accounts::Role;
use crate::adapters::web::auth::Caller;
use crate::adapters::web::hub::{EnrolAsk, EnrolDone, Work};
use crate::adapters::web::problem::Problem;
use crate::ports::PersonSummary;
use crate::schema::ids::PersonId;
use axum::Json;
use axum::extract::{FromRequest, Multipart, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

/// Pictures of one upload.
const MOST: usize = 20;

/// Somebody who is enrolled.
#[derive(Serialize, ToSchema)]
pub struct PersonRow {
    person: String,
    templates: u32,
    enrolled_unix_ms: i64,
}

impl From<PersonSummary> for PersonRow {
    fn from(p: PersonSummary) -> Self {
        PersonRow { person: p.person.to_string(), templates: p.templates, enrolled_unix_ms: p.enrolled_unix_ms }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PeoplePage {
    /// Names behind this one, as `next` of the page before says.
    after: Option<String>,
    /// 1 to 500; 100 when left out.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Only names that contain this.
    search: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct People {
    people: Vec<PersonRow>,
    /// Everybody, whatever was searched for.
    total: usize,
    /// `after` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

async fn everybody(app: &Shared) -> Result<Vec<PersonSummary>, Problem> {
    let house = app.house.clone();
    Ok(blocking(move || house.people()).await??)
}

/// Everybody who is enrolled, by name.
#[utoipa::path(get, path = "/api/v1/people", tag = "people", params(PeoplePage), responses(
    (status = 200, body = People), (status = 400, body = Problem), (status = 401, body = Problem)),
    security(("login" = []), ("token" = [])))]
pub async fn list(State(app): At, _caller: Caller, Query(page): Query<PeoplePage>) -> Answer<People> {
    let all = everybody(&app).await?;
    let total = all.len();
    let limit = page.limit.unwrap_or(100);
    if !(1..=500).contains(&limit) {
        return Err(Problem::bad("limit is a number from 1 to 500"));
    }
    let limit = limit as usize;
    let search = page.search.unwrap_or_default().to_lowercase();
    let mut found: Vec<PersonRow> = all
        .into_iter()
        .filter(|p| page.after.as_deref().is_none_or(|a| p.person.as_str() > a))
        .filter(|p| p.person.as_str().to_lowercase().contains(&search))
        .map(PersonRow::from)
        .collect();
    let next = (found.len() > limit).then(|| found[limit - 1].person.clone());
    found.truncate(limit);
    Ok(Json(People { people: found, total, next }))
}

/// Describes a person's name: 1 to 64 letters, digits, spaces or `_ - . '`, not beginning with a dot or a dash.
pub struct PersonName;

impl PartialSchema for PersonName {
    fn schema() -> RefOr<Schema> {
        super::text("^[\\w'][\\w .'-]{0,63}$", "ada")
    }
}

impl ToSchema for PersonName {}

fn person_id(name: &str) -> Result<PersonId, Problem> {
    PersonId::new(name).map_err(|e| Problem::bad(e.to_string()))
}

/// One person.
#[utoipa::path(get, path = "/api/v1/people/{person}", tag = "people", params(("person" = inline(PersonName), Path)), responses(
    (status = 200, body = PersonRow), (status = 400, body = Problem), (status = 404, body = Problem)),
    security(("login" = []), ("token" = [])))]
pub async fn one(State(app): At, _caller: Caller, Path(person): Path<String>) -> Answer<PersonRow> {
    let id = person_id(&person)?;
    let found = everybody(&app).await?.into_iter().find(|p| p.person == id);
    found.map(|p| Json(p.into())).ok_or_else(|| Problem::not_found("person"))
}

/// Removes a person, all templates and the key that they were sealed with.
#[utoipa::path(delete, path = "/api/v1/people/{person}", tag = "people", params(("person" = inline(PersonName), Path)), responses(
    (status = 204), (status = 400, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)),
    security(("login" = []), ("token" = [])))]
pub async fn remove(State(app): At, caller: Caller, Path(person): Path<String>) -> Result<StatusCode, Problem> {
    caller.must_be(Role::Admin)?;
    let id = person_id(&person)?;
    if !everybody(&app).await?.iter().any(|p| p.person == id) {
        return Err(Problem::not_found("person"));
    }
    audit(&app, &caller.name, "person.remove", id.as_str()).await?;
    let house = app.house.clone();
    let removed = blocking(move || house.remove(&id)).await??;
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("person")) }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EnrolChoice {
    /// Stores the good pictures although others were refused.
    #[serde(default)]
    partial: bool,
    /// Stores somebody who looks like a person of another name.
    #[serde(default)]
    allow_duplicate: bool,
}

/// A form with the pictures of one person.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form; its parts are read one by one")]
pub struct Photos {
    /// JPEG, PNG, WebP, BMP, TIFF or GIF; up to 20.
    #[schema(value_type = Vec<String>, format = Binary, min_items = 1, max_items = 20)]
    photo: Vec<u8>,
}

/// Enrols a person from pictures, or adds pictures: a multipart form, or one picture as the body. All or nothing.
#[utoipa::path(post, path = "/api/v1/people/{person}/photos", tag = "people", params(("person" = inline(PersonName), Path), EnrolChoice),
    request_body(content = Photos, content_type = "multipart/form-data"), responses(
    (status = 201, body = EnrolDone), (status = 400, body = Problem), (status = 403, body = Problem),
    (status = 413, body = Problem), (status = 422, description = "A picture was refused; nothing was stored", body = EnrolDone),
    (status = 503, body = Problem)), security(("login" = []), ("token" = [])))]
pub async fn photos(
    State(app): At,
    caller: Caller,
    Path(person): Path<String>,
    Query(choice): Query<EnrolChoice>,
    request: Request,
) -> Result<(StatusCode, Json<EnrolDone>), Problem> {
    caller.must_be(Role::Admin)?;
    let person = person_id(&person)?;
    let pictures = pictures(&app, request).await?;
    let (reply, answer) = oneshot::channel();
    let EnrolChoice { partial, allow_duplicate } = choice;
    let ask = EnrolAsk { person, pictures, partial, allow_duplicate, by: caller.name };
    app.hub.job(Work::Enrol(ask, reply)).map_err(|_| busy())?;
    let done = answer.await.map_err(|_| busy())??;
    let status = if done.templates > 0 { StatusCode::CREATED } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((status, Json(done)))
}

pub(super) fn busy() -> Problem {
    Problem::later(StatusCode::SERVICE_UNAVAILABLE, "busy", "the terminal has no time for pictures now; try again", 2)
}

/// Names and bytes of the uploaded pictures.
async fn pictures(app: &Shared, request: Request) -> Result<Vec<(String, Vec<u8>)>, Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let unfit = |e: &dyn std::fmt::Display| Problem::bad(format!("the form cannot be read: {e}"));
    if kind.starts_with("image/") || kind == "application/octet-stream" {
        let limit = app.config.upload_bytes;
        let too_large = |_| {
            let detail = format!("at most {} MB; see web.upload_mb", limit >> 20);
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
        };
        let bytes = axum::body::to_bytes(request.into_body(), limit).await.map_err(too_large)?;
        return Ok(vec![("picture".into(), bytes.to_vec())]);
    }
    if !kind.starts_with("multipart/form-data") {
        let detail = "send a form (multipart/form-data) with parts named photo, or one picture (image/jpeg)";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", detail));
    }
    let mut form = Multipart::from_request(request, &()).await.map_err(|e| unfit(&e))?;
    let mut all = Vec::new();
    while let Some(part) = form.next_field().await.map_err(|e| form_fault(&e))? {
        let name = part.file_name().unwrap_or("picture").chars().filter(|c| !c.is_control()).take(80).collect();
        let bytes = part.bytes().await.map_err(|e| form_fault(&e))?;
        if all.len() >= MOST {
            return Err(Problem::bad(format!("at most {MOST} pictures at a time")));
        }
        all.push((name, bytes.to_vec()));
    }
    if all.is_empty() {
        return Err(Problem::bad("there is no picture in the form"));
    }
    Ok(all)
}

fn form_fault(e: &axum::extract::multipart::MultipartError) -> Problem {
    let code = if e.status() == StatusCode::PAYLOAD_TOO_LARGE { "too_large" } else { "malformed" };
    Problem::new(e.status(), code, format!("the form cannot be read: {}", e.body_text()))
}
