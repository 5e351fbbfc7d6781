//! What a refused request is told: `application/problem+json` (RFC 9457) with a stable code.

use super::house::WrongField;
use crate::ports::{PortError, Recovery};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// A refusal or a failure of the API.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: `code` is what programs read.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    pub kind: &'static str,
    /// The HTTP status in words.
    pub title: String,
    pub status: u16,
    /// A stable word.
    #[schema(example = "not_found")]
    pub code: &'static str,
    /// One sentence for people: what is wrong and what to do.
    pub detail: String,
    /// Seconds to wait, with 429 and 503.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// What is wrong with which key, where several can be.
    #[serde(skip_serializing_if = "<[WrongField]>::is_empty")]
    #[schema(value_type = Vec<WrongField>, required = false)]
    pub fields: Box<[WrongField]>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            retry_after: None,
            fields: Box::default(),
        }
    }

    pub fn bad(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    pub fn not_found(what: &str) -> Self {
        Problem::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    pub fn unauthenticated() -> Self {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "log in, or send a token as `Authorization: Bearer …`",
        )
    }

    pub fn forbidden(code: &'static str, detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::FORBIDDEN, code, detail)
    }

    pub fn later(status: StatusCode, code: &'static str, detail: impl Into<String>, seconds: u64) -> Self {
        Problem { retry_after: Some(seconds.max(1)), ..Problem::new(status, code, detail) }
    }
}

/// A part of the terminal failed. The cause goes to the log: paths and systems are nobody's business.
impl From<PortError> for Problem {
    fn from(e: PortError) -> Self {
        tracing::error!(error = %e, "a request failed");
        match e.recovery {
            Recovery::Degrade | Recovery::Reopen => Problem::later(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "a part of the terminal cannot do this now; its log says why",
                5,
            ),
            Recovery::Fatal => Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "the terminal could not do this; its log says why",
            ),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
