//! The listeners' own pages, embedded. They load nothing from elsewhere.

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
    media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// Name, media type, content.
const FILES: &[(&str, &str, &str)] = &[
    ("s1.html", HTML, include_str!("assets/s1.html")),
    ("s2.html", HTML, include_str!("assets/s2.html")),
    ("s3.html", HTML, include_str!("assets/s3.html")),
    ("s3_success.html", HTML, include_str!("assets/s3_success.html")),
    ("s3_model.html", HTML, include_str!("assets/s3_model.html")),
    ("s4_login.html", HTML, include_str!("assets/s4_login.html")),
    ("s4_face.html", HTML, include_str!("assets/s4_face.html")),
    ("s4_main.html", HTML, include_str!("assets/s4_main.html")),
    ("compat.css", CSS, include_str!("assets/compat.css")),
    ("camera.js", JS, include_str!("assets/camera.js")),
    ("s1.js", JS, include_str!("assets/s1.js")),
    ("s2.js", JS, include_str!("assets/s2.js")),
    ("s3.js", JS, include_str!("assets/s3.js")),
    ("s4.js", JS, include_str!("assets/s4.js")),
];

/// One of the pages.
pub(super) fn page(name: &str) -> Response {
    filled(name, &[])
}

/// One of the pages with texts in the places of `{{name}}`; they are text, never markup.
pub(super) fn filled(name: &str, texts: &[(&str, &str)]) -> Response {
    let Some((_, kind, content)) = FILES.iter().find(|(n, ..)| *n == name) else {
        return super::reply::error(StatusCode::NOT_FOUND, "Not found");
    };
    let mut content = (*content).to_owned();
    for (place, text) in texts {
        content = content.replace(&format!("{{{{{place}}}}}"), &escaped(text));
    }
    let headers = [
        (header::CONTENT_TYPE, *kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // With no-referrer a browser sends a form of ours with `Origin: null`, as if it came from elsewhere.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    let mut response = (headers, content).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Style and scripts.
pub(super) async fn asset(Path(file): Path<String>) -> Response {
    match FILES.iter().any(|(name, kind, _)| *name == file && *kind != HTML) {
        true => page(&file),
        false => super::reply::error(StatusCode::NOT_FOUND, "Not found"),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_types_is_never_markup() {
        assert_eq!(escaped(r#"<a b="c">&'"#), "&lt;a b=&quot;c&quot;&gt;&amp;&#39;");
    }

    #[test]
    fn pages_name_no_other_host_and_only_files_that_exist() {
        for (name, _, content) in FILES {
            assert!(!content.contains("http://") && !content.contains("https://"), "{name} names another host");
            for part in content.split("/assets/").skip(1) {
                let file: String =
                    part.chars().take_while(|c| c.is_ascii_alphanumeric() || ".-_".contains(*c)).collect();
                assert!(FILES.iter().any(|(n, ..)| *n == file), "{name} names {file}");
            }
        }
    }
}
