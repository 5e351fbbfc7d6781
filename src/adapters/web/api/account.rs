//! Who one is, logging in and out, accounts and tokens.

use super::{Answer, At, Shared, address, audit, blocking, now_ms};
use crate::adapters::web::accounts::{self, AccountError, ApiToken, Role, User};
use crate::adapters::web::auth::{self, Caller, MaybeCaller};
use crate::adapters::web::problem::Problem;
use crate::adapters::web::server::Peer;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Instant;
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// Who is calling, and what this terminal offers.
#[derive(Serialize, ToSchema)]
pub struct Me {
    device: String,
    authenticated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    /// To be sent as `X-CSRF-Token` with whatever changes something, when a cookie says who is calling.
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf: Option<String>,
    /// Nobody can log in yet: the set-up code makes the first administrator.
    setup_needed: bool,
    /// Anybody may begin a session.
    self_service: bool,
    /// An operator may open the door.
    remote_unlock: bool,
    /// The door's picture can be looked at.
    live_picture: bool,
}

impl From<AccountError> for Problem {
    fn from(e: AccountError) -> Self {
        match e {
            AccountError::Refused(why) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", why),
            AccountError::Conflict(why) => Problem::new(StatusCode::CONFLICT, "refused", why),
            AccountError::Store(e) => e.into(),
        }
    }
}

#[utoipa::path(get, path = "/api/v1/me", tag = "account", responses((status = 200, body = Me)))]
pub async fn me(State(app): At, MaybeCaller(caller): MaybeCaller) -> Answer<Me> {
    let setup_needed = app.setup.lock().expect("setup mutex: no holder panics").is_some();
    Ok(Json(Me {
        device: app.device.clone(),
        authenticated: caller.is_some(),
        name: caller.as_ref().map(|c| c.name.clone()),
        role: caller.as_ref().map(|c| c.role),
        csrf: caller.and_then(|c| c.csrf),
        setup_needed,
        self_service: app.config.self_service,
        remote_unlock: app.config.remote_unlock,
        live_picture: app.live.is_some(),
    }))
}

#[derive(Deserialize, ToSchema)]
pub struct Setup {
    /// Of the log, or of the file `setup-code` in the state directory; spaces, dashes and case do not matter.
    code: String,
    #[schema(example = "ada", pattern = "^[A-Za-z0-9_.-]{1,32}$")]
    name: String,
    /// 10 to 128 characters.
    #[schema(min_length = 10, max_length = 128)]
    password: String,
}

/// A login. The cookie comes with it.
#[derive(Serialize, ToSchema)]
pub struct LoggedIn {
    name: String,
    role: Role,
    /// To be sent as `X-CSRF-Token` with whatever changes something.
    csrf: String,
}

/// Makes the first administrator with the one-time code, and logs in.
#[utoipa::path(post, path = "/api/v1/setup", tag = "account", request_body = Setup, responses(
    (status = 201, body = LoggedIn), (status = 403, body = Problem), (status = 422, body = Problem),
    (status = 429, body = Problem)))]
pub async fn setup(
    State(app): At,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Json(asked): Json<Setup>,
) -> Result<Response, Problem> {
    own_page(&headers)?;
    let password = Zeroizing::new(asked.password);
    let key = format!("address {}", address(peer));
    attempt(&app, &key)?;
    let plain = |t: &str| t.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase();
    let right = {
        let code = app.setup.lock().expect("setup mutex: no holder panics");
        code.as_ref().is_some_and(|c| plain(c) == plain(&asked.code))
    };
    if !right {
        return Err(Problem::forbidden("setup_code", "this is not the set-up code of this start; look into the log"));
    }
    app.limiter.forgive(&key);
    let hash = hashed(&app, password).await?;
    audit(&app, "setup", "user.add", &asked.name).await?;
    app.accounts().put_user(&asked.name, Role::Admin, &hash, now_ms())?;
    app.setup.lock().expect("setup mutex: no holder panics").take();
    (app.tell_setup)(None);
    if let Err(e) = std::fs::remove_file(&app.setup_file) {
        tracing::warn!(error = %e, "the file with the used set-up code could not be removed");
    }
    logged_in(&app, &asked.name, Role::Admin, StatusCode::CREATED)
}

#[derive(Deserialize, ToSchema)]
pub struct Login {
    name: String,
    password: String,
}

/// Logs in. Ten failures of an address or of a name are followed by a quarter of an hour of silence.
#[utoipa::path(post, path = "/api/v1/login", tag = "account", request_body = Login, responses(
    (status = 200, body = LoggedIn), (status = 401, body = Problem), (status = 429, body = Problem)))]
pub async fn login(
    State(app): At,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Json(asked): Json<Login>,
) -> Result<Response, Problem> {
    own_page(&headers)?;
    let password = Zeroizing::new(asked.password);
    let name: String = asked.name.chars().take(64).collect();
    let role = prove(&app, &name, password, address(peer)).await?;
    audit(&app, &format!("user:{name}"), "login", "").await?;
    logged_in(&app, &name, role, StatusCode::OK)
}

/// The role of an account, if this is its password; failures are counted by address and by name.
///
/// # Errors
/// Wrong, or failed too often.
pub(in crate::adapters::web) async fn prove(
    app: &Shared,
    name: &str,
    password: Zeroizing<String>,
    from: IpAddr,
) -> Result<Role, Problem> {
    let (by_address, by_name) = (format!("address {from}"), format!("name {name}"));
    attempt(app, &by_address)?;
    attempt(app, &by_name)?;
    let found = app.accounts().hash_of(name)?;
    let permit = app.hashing.acquire().await.map_err(|_| Problem::unauthenticated())?;
    let stored = found.clone();
    let right = blocking(move || accounts::verify(&password, stored.as_ref().map(|(_, h)| h.as_str()))).await?;
    drop(permit);
    let Some((role, _)) = found.filter(|_| right) else {
        tracing::warn!(address = by_address, "a login failed");
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "login", "name or password is wrong"));
    };
    app.limiter.forgive(&by_address);
    app.limiter.forgive(&by_name);
    Ok(role)
}

/// Refuses pages of other sites before there is a login that could be misused.
fn own_page(headers: &HeaderMap) -> Result<(), Problem> {
    match auth::same_origin(headers) {
        Some(false) => Err(Problem::forbidden("origin", "this request came from a page of another site")),
        _ => Ok(()),
    }
}

/// Charges one attempt.
fn attempt(app: &Shared, key: &str) -> Result<(), Problem> {
    let now = Instant::now();
    if let Some(seconds) = app.limiter.locked(key, now) {
        return Err(Problem::later(StatusCode::TOO_MANY_REQUESTS, "locked", "too many failures; wait", seconds));
    }
    app.limiter.charge(key, now);
    Ok(())
}

async fn hashed(app: &Shared, password: Zeroizing<String>) -> Result<String, Problem> {
    let permit = app.hashing.acquire().await.map_err(|_| Problem::unauthenticated())?;
    let random = (app.random)()?;
    let mut salt = [0; 16];
    salt.copy_from_slice(&random[..16]);
    let hash = blocking(move || accounts::hash(&password, salt)).await??;
    drop(permit);
    Ok(hash)
}

fn logged_in(app: &Shared, name: &str, role: Role, status: StatusCode) -> Result<Response, Problem> {
    let mut csrf = [0; 16];
    csrf.copy_from_slice(&(app.random)()?[..16]);
    let (value, csrf) = app.logins.begin(name, role, (app.random)()?, csrf, Instant::now());
    let body = LoggedIn { name: name.to_owned(), role, csrf };
    Ok((status, set_cookie(app, &value, app.config.login.as_secs()), Json(body)).into_response())
}

/// A cookie that no script reads and no other site sends.
fn set_cookie(app: &Shared, value: &str, seconds: u64) -> [(header::HeaderName, HeaderValue); 1] {
    let (name, secure) = if app.config.tls { (auth::COOKIE, "; Secure") } else { (auth::COOKIE_PLAIN, "") };
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    [(header::SET_COOKIE, HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("")))]
}

/// Ends the login.
#[utoipa::path(post, path = "/api/v1/logout", tag = "account", responses((status = 204)),
    security(("login" = []), ("token" = [])))]
pub async fn logout(State(app): At, _caller: Caller, headers: HeaderMap) -> Result<Response, Problem> {
    if let Some(cookie) = auth::cookie(&headers, app.config.tls) {
        app.logins.end(cookie);
    }
    Ok((StatusCode::NO_CONTENT, set_cookie(&app, "", 0)).into_response())
}

#[derive(Deserialize, ToSchema)]
pub struct NewPassword {
    old: String,
    #[schema(min_length = 10, max_length = 128)]
    new: String,
}

/// Changes one's own password and ends all one's logins.
#[utoipa::path(post, path = "/api/v1/password", tag = "account", request_body = NewPassword, responses(
    (status = 204), (status = 403, body = Problem), (status = 422, body = Problem)), security(("login" = [])))]
pub async fn password(State(app): At, caller: Caller, Json(asked): Json<NewPassword>) -> Result<StatusCode, Problem> {
    let (old, new) = (Zeroizing::new(asked.old), Zeroizing::new(asked.new));
    let Some(name) = caller.name.strip_prefix("user:").map(str::to_owned) else {
        return Err(Problem::forbidden("login", "a token has no password"));
    };
    attempt(&app, &format!("name {name}"))?;
    let Some((role, stored)) = app.accounts().hash_of(&name)? else { return Err(Problem::unauthenticated()) };
    let permit = app.hashing.acquire().await.map_err(|_| Problem::unauthenticated())?;
    let right = blocking(move || accounts::verify(&old, Some(&stored))).await?;
    drop(permit);
    if !right {
        return Err(Problem::forbidden("password", "the old password is wrong"));
    }
    app.limiter.forgive(&format!("name {name}"));
    let hash = hashed(&app, new).await?;
    audit(&app, &caller.name, "user.password", &name).await?;
    app.accounts().put_user(&name, role, &hash, now_ms())?;
    app.logins.end_all_of(&name);
    Ok(StatusCode::NO_CONTENT)
}

/// Everybody who can log in.
#[utoipa::path(get, path = "/api/v1/users", tag = "account", responses(
    (status = 200, body = Vec<User>), (status = 403, body = Problem)), security(("login" = []), ("token" = [])))]
pub async fn users(State(app): At, caller: Caller) -> Answer<Vec<User>> {
    caller.must_be(Role::Admin)?;
    Ok(Json(app.accounts().users()?))
}

#[derive(Deserialize, ToSchema)]
pub struct NewUser {
    #[schema(example = "ada", pattern = "^[A-Za-z0-9_.-]{1,32}$")]
    name: String,
    role: Role,
    #[schema(min_length = 10, max_length = 128)]
    password: String,
}

/// Adds somebody who can log in; one of that name gets the new role and password, and all their logins end.
#[utoipa::path(post, path = "/api/v1/users", tag = "account", request_body = NewUser, responses(
    (status = 201, body = User), (status = 403, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)),
    security(("login" = []), ("token" = [])))]
pub async fn add_user(
    State(app): At,
    caller: Caller,
    Json(asked): Json<NewUser>,
) -> Result<(StatusCode, Json<User>), Problem> {
    caller.must_be(Role::Admin)?;
    let password = Zeroizing::new(asked.password);
    let users = app.accounts().users()?;
    let others = users.iter().filter(|u| u.role == Role::Admin && u.name != asked.name).count();
    if asked.role != Role::Admin && others == 0 {
        return Err(AccountError::Conflict("the last administrator stays one; add another one first").into());
    }
    let hash = hashed(&app, password).await?;
    audit(&app, &caller.name, "user.add", &asked.name).await?;
    let now = now_ms();
    app.accounts().put_user(&asked.name, asked.role, &hash, now)?;
    app.logins.end_all_of(&asked.name);
    Ok((StatusCode::CREATED, Json(User { name: asked.name, role: asked.role, created_unix_ms: now })))
}

/// Removes somebody who can log in; the last administrator stays.
#[utoipa::path(delete, path = "/api/v1/users/{name}", tag = "account", params(("name" = String, Path)), responses(
    (status = 204), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)),
    security(("login" = []), ("token" = [])))]
pub async fn remove_user(State(app): At, caller: Caller, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    caller.must_be(Role::Admin)?;
    if app.accounts().hash_of(&name)?.is_none() {
        return Err(Problem::not_found("account"));
    }
    audit(&app, &caller.name, "user.remove", &name).await?;
    if !app.accounts().remove_user(&name)? {
        return Err(Problem::not_found("account"));
    }
    app.logins.end_all_of(&name);
    Ok(StatusCode::NO_CONTENT)
}

/// All tokens for programs, without their secrets.
#[utoipa::path(get, path = "/api/v1/api-tokens", tag = "account", responses(
    (status = 200, body = Vec<ApiToken>), (status = 403, body = Problem)), security(("login" = []), ("token" = [])))]
pub async fn tokens(State(app): At, caller: Caller) -> Answer<Vec<ApiToken>> {
    caller.must_be(Role::Admin)?;
    Ok(Json(app.accounts().tokens()?))
}

#[derive(Deserialize, ToSchema)]
pub struct NewToken {
    #[schema(example = "ada", pattern = "^[A-Za-z0-9_.-]{1,32}$")]
    name: String,
    role: Role,
}

#[derive(Serialize, ToSchema)]
pub struct MadeToken {
    #[serde(flatten)]
    token: ApiToken,
    /// Shown this once.
    secret: String,
}

/// Makes a token for a program.
#[utoipa::path(post, path = "/api/v1/api-tokens", tag = "account", request_body = NewToken, responses(
    (status = 201, body = MadeToken), (status = 403, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)),
    security(("login" = []), ("token" = [])))]
pub async fn add_token(
    State(app): At,
    caller: Caller,
    Json(asked): Json<NewToken>,
) -> Result<(StatusCode, Json<MadeToken>), Problem> {
    caller.must_be(Role::Admin)?;
    let secret = (app.random)()?;
    audit(&app, &caller.name, "token.add", &asked.name).await?;
    let (token, secret) = app.accounts().add_token(&asked.name, asked.role, secret, now_ms())?;
    Ok((StatusCode::CREATED, Json(MadeToken { token, secret })))
}

/// Removes a token; it is worth nothing from now on.
#[utoipa::path(delete, path = "/api/v1/api-tokens/{id}", tag = "account", params(("id" = i64, Path)), responses(
    (status = 204), (status = 403, body = Problem), (status = 404, body = Problem)),
    security(("login" = []), ("token" = [])))]
pub async fn remove_token(State(app): At, caller: Caller, Path(id): Path<i64>) -> Result<StatusCode, Problem> {
    caller.must_be(Role::Admin)?;
    let Some(token) = app.accounts().tokens()?.into_iter().find(|t| t.id == id) else {
        return Err(Problem::not_found("token"));
    };
    audit(&app, &caller.name, "token.remove", &token.name).await?;
    app.accounts().remove_token(id)?;
    Ok(StatusCode::NO_CONTENT)
}
