//! Pages of other origins: which may call, and what their browsers ask beforehand.
//!
//! Cookies go only to origins that the owner has named; `*` never takes them along.

use crate::config::sections::Cors;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// What a browser may be told to leave out for so many seconds.
const MAX_AGE: &str = "600";

/// Adds the headers, and answers what browsers ask before they send: 204.
pub(super) async fn headers(State(cors): State<Arc<Cors>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    let preflight = response.status() == StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    match (&*cors, origin) {
        (Cors::Any, _) => {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        (Cors::Of(_), Some(o)) if o.to_str().is_ok_and(|o| cors.allows(o)) => {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, o);
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        _ => return response,
    }
    if preflight {
        let mut put = |name: HeaderName, value: HeaderValue| headers.insert(name, value);
        put(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
        let named = asked.unwrap_or(HeaderValue::from_static("content-type"));
        put(header::ACCESS_CONTROL_ALLOW_HEADERS, named);
        put(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    }
    response
}

/// Whether a WebSocket may be opened: by a program, by a page of this very listener, or by one of an allowed origin.
pub(super) fn may_connect(cors: &Cors, headers: &HeaderMap) -> bool {
    match headers.get(header::ORIGIN).map(HeaderValue::to_str) {
        None => true,
        Some(Ok(origin)) => cors.allows(origin) || crate::adapters::web::auth::same_origin(headers).unwrap_or(false),
        Some(Err(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_elsewhere_connects_only_if_it_is_named() {
        let of = |origin: Option<&str>| {
            let mut h = HeaderMap::new();
            h.insert(header::HOST, HeaderValue::from_static("door.local:8000"));
            if let Some(o) = origin {
                h.insert(header::ORIGIN, o.parse().expect("a value"));
            }
            h
        };
        let named = Cors::Of(vec!["https://app.example.org".into()]);
        assert!(may_connect(&named, &of(None)), "a program");
        assert!(may_connect(&named, &of(Some("https://app.example.org"))));
        assert!(may_connect(&named, &of(Some("http://door.local:8000"))), "its own page");
        assert!(!may_connect(&named, &of(Some("https://evil.example"))));
        assert!(may_connect(&Cors::Any, &of(Some("https://evil.example"))));
    }
}
