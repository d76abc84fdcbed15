//! The files of the web UI: what a browser gets outside of `/api`.
//!
//! Promise: the files are those of `ui/dist` when this program was built (a debug build reads the folder), and nothing
//! of an installation is in them, so they need no token. A page loads nothing from another host, and runs no script
//! but the files' own. It knows no page: paths that name no file get `index.html`, which does. Read next: `gate.rs`.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};

/// What a page may do: its own scripts, styles, fonts and requests; nothing inline, no other host, no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// The folder of files whose names have a hash of their content.
const HASHED: &str = "assets/";

/// The page of a program that was built without the UI.
const MISSING: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Towpath</title></head><body>
<h1>Towpath</h1>
<p>This program was built without the web UI. To build it: <code>make ui</code>, then build the program again.</p>
<p>The HTTP API is there: <a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a></p>
</body></html>
";

#[derive(RustEmbed)]
#[folder = "../../ui/dist"]
#[allow_missing = true]
struct Files;

/// The answer to a request outside of `/api`; nothing when it is not for a file.
pub(crate) fn answer(method: &Method, path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
    let is_api = path == "/api" || path.starts_with("/api/");
    if is_api || !(method == Method::GET || method == Method::HEAD) {
        return None;
    }
    let name = path.trim_start_matches('/');
    match (Files::get(name), is_page(name)) {
        (Some(file), _) => Some(served(name, &file, headers)),
        (None, false) => None,
        (None, true) => Some(match Files::get("index.html") {
            Some(file) => served("index.html", &file, headers),
            None => of_kind("index.html", Body::from(MISSING)),
        }),
    }
}

/// True for a path that a page of the UI may have. Names of tables have points, so only files at the top have a
/// suffix.
fn is_page(name: &str) -> bool {
    !name.starts_with(HASHED) && (name.contains('/') || !name.contains('.'))
}

fn served(name: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response<Body> {
    let hash = file.metadata.sha256_hash();
    let hex: String = hash
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let tag = format!("\"{hex}\"");
    let known = headers.get(header::IF_NONE_MATCH);
    let is_known = known.is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = match is_known {
        true => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        false => {
            let body = match file.data.clone() {
                Cow::Borrowed(bytes) => Body::from(bytes),
                Cow::Owned(bytes) => Body::from(bytes),
            };
            of_kind(name, body)
        }
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    let caching = match name.starts_with(HASHED) {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    // Also of an answer without a page: a browser takes the policy of the last answer for the page that it has.
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    response
}

fn of_kind(name: &str, body: Body) -> Response<Body> {
    let kind = match name.rsplit_once('.').map(|(_, suffix)| suffix) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_from_files() {
        for page in [
            "",
            "runs",
            "runs/shop%23212",
            "tables/raw.orders",
            "lineage",
        ] {
            assert!(is_page(page), "{page}");
        }
        for file in [
            "favicon.ico",
            "assets/index-a1b2.js",
            "assets/x",
            "robots.txt",
        ] {
            assert!(!is_page(file), "{file}");
        }
    }

    #[test]
    fn the_api_and_writes_are_not_for_files() {
        let none = HeaderMap::new();
        assert!(answer(&Method::GET, "/api/v1/runs", &none).is_none());
        assert!(answer(&Method::GET, "/api", &none).is_none());
        assert!(answer(&Method::POST, "/", &none).is_none());
        assert!(answer(&Method::GET, "/assets/../../Cargo.toml", &none).is_none());
        assert!(answer(&Method::GET, "/assets/none.js", &none).is_none());
        assert!(answer(&Method::GET, "/runs", &none).is_some());
    }
}
