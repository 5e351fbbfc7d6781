//! The pages, embedded: the console works on a network without internet.

use super::problem::Problem;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

/// Path, media type, content.
const FILES: &[(&str, &str, &[u8])] = &[
    ("/", "text/html; charset=utf-8", include_bytes!("assets/index.html")),
    ("/verify", "text/html; charset=utf-8", include_bytes!("assets/verify.html")),
    ("/kiosk", "text/html; charset=utf-8", include_bytes!("assets/verify.html")),
    ("/docs", "text/html; charset=utf-8", include_bytes!("assets/docs.html")),
    ("/assets/style.css", "text/css; charset=utf-8", include_bytes!("assets/style.css")),
    ("/assets/i18n.js", "text/javascript; charset=utf-8", include_bytes!("assets/i18n.js")),
    ("/assets/words.js", "text/javascript; charset=utf-8", include_bytes!("assets/words.js")),
    ("/assets/api.js", "text/javascript; charset=utf-8", include_bytes!("assets/api.js")),
    ("/assets/dom.js", "text/javascript; charset=utf-8", include_bytes!("assets/dom.js")),
    ("/assets/session.js", "text/javascript; charset=utf-8", include_bytes!("assets/session.js")),
    ("/assets/verify.js", "text/javascript; charset=utf-8", include_bytes!("assets/verify.js")),
    ("/assets/console.js", "text/javascript; charset=utf-8", include_bytes!("assets/console.js")),
    ("/assets/pages.js", "text/javascript; charset=utf-8", include_bytes!("assets/pages.js")),
    ("/assets/plots.js", "text/javascript; charset=utf-8", include_bytes!("assets/plots.js")),
    ("/assets/measures.js", "text/javascript; charset=utf-8", include_bytes!("assets/measures.js")),
    ("/assets/rules.js", "text/javascript; charset=utf-8", include_bytes!("assets/rules.js")),
    ("/assets/settings.js", "text/javascript; charset=utf-8", include_bytes!("assets/settings.js")),
    ("/assets/docs.js", "text/javascript; charset=utf-8", include_bytes!("assets/docs.js")),
    ("/favicon.svg", "image/svg+xml", include_bytes!("assets/favicon.svg")),
];

/// One of the files; anything else is not there.
pub(super) async fn serve(method: Method, uri: Uri) -> Response {
    let Some((_, kind, content)) = FILES.iter().find(|(path, ..)| *path == uri.path()) else {
        return Problem::not_found("page").into_response();
    };
    if method != Method::GET && method != Method::HEAD {
        return Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "pages are only read").into_response();
    }
    // Small and from this machine: always the version of the program that runs.
    ([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, "no-cache")], *content).into_response()
}
