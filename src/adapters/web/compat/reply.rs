//! Answers of the listeners: JSON, in the shapes of the old systems, and never a text that a JSON client cannot read.

use axum::Json;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// An answer that ends a request early; boxed, since it is big and rare.
pub(super) type Refused = Box<Response>;

/// Any JSON with a status.
pub(super) fn answer(status: StatusCode, body: Value) -> Response {
    (status, Json(body)).into_response()
}

/// `{"error": …}`.
pub(super) fn error(status: StatusCode, what: &str) -> Response {
    answer(status, json!({"error": what}))
}

/// The body as a JSON object; `None` for anything else. The old servers did not look at the content type.
pub(super) fn object(body: &Bytes) -> Option<serde_json::Map<String, Value>> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(o)) => Some(o),
        _ => None,
    }
}

/// The bytes of a picture in base64, with or without `data:image/jpeg;base64,` before it.
pub(super) fn picture(text: &str) -> Option<Vec<u8>> {
    let data = match text.split_once(',') {
        Some((head, data)) if head.starts_with("data:") && head.ends_with(";base64") => data,
        Some(_) => return None,
        None => text,
    };
    let bytes = STANDARD.decode(data.trim()).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}

/// What the framework itself refuses has a text; clients get `{"error": …}` here too. Nothing is kept by caches or framed.
pub(super) async fn plain(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("permissions-policy"), "camera=(self), microphone=(), geolocation=()"),
    ] {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    let status = response.status();
    let text = response.headers().get(header::CONTENT_TYPE).is_none_or(|t| t.as_bytes().starts_with(b"text/plain"));
    if !(status.is_client_error() && text) {
        return response;
    }
    let what = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Request too large",
        StatusCode::REQUEST_TIMEOUT => "Request timed out",
        StatusCode::METHOD_NOT_ALLOWED => "Method not allowed",
        _ => "Bad request",
    };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response::from_parts(parts, json!({"error": what}).to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_with_and_without_their_prefix() {
        assert_eq!(picture("/9j/"), Some(vec![0xFF, 0xD8, 0xFF]));
        assert_eq!(picture("data:image/jpeg;base64,/9j/"), Some(vec![0xFF, 0xD8, 0xFF]));
        for bad in ["", "data:image/jpeg;base64,", "data:image/jpeg,/9j/", "%%%", "a,b"] {
            assert_eq!(picture(bad), None, "{bad}");
        }
    }
}
