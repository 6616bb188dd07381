//! The viewer, embedded: the files of `web/`, each with a strong `ETag` from its contents.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::problem::Kind;

#[derive(RustEmbed)]
#[folder = "web/"]
#[include = "*.html"]
#[include = "*.js"]
#[include = "*.css"]
#[include = "*.svg"]
#[include = "*.png"]
#[include = "*.ico"]
#[include = "*.woff2"]
#[include = "*.webmanifest"]
struct Viewer;

/// The viewer's file at `path` (without the leading slash), or a problem.
pub(super) fn serve(path: &str, request: &HeaderMap) -> Response {
    let path = if path.is_empty() { "index.html" } else { path };
    match (Viewer::get(path), content_type(path)) {
        (Some(file), Some(content_type)) => respond(file, content_type, request),
        _ => Kind::NotFound.because("See / for the viewer, /api/v1/status for the API.").into_response(),
    }
}

fn respond(file: EmbeddedFile, content_type: &'static str, request: &HeaderMap) -> Response {
    let hash = file.metadata.sha256_hash();
    let digest: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("\"{digest}\"");
    // `no-cache`: kept, but asked for anew each time, so that a page never runs with another version's scripts.
    let headers = [(header::ETAG, etag.clone()), (header::CACHE_CONTROL, "no-cache".to_owned())];
    if request.get_all(header::IF_NONE_MATCH).iter().any(|value| names(value.as_bytes(), &etag)) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, [(header::CONTENT_TYPE, content_type)], Body::from(file.data)).into_response()
}

/// Whether an `If-None-Match` list holds this tag (weak or not: the comparison is the weak one).
fn names(list: &[u8], etag: &str) -> bool {
    let tags = list.split(|&b| b == b',').map(<[u8]>::trim_ascii);
    tags.map(|tag| tag.strip_prefix(b"W/").unwrap_or(tag)).any(|tag| tag == b"*" || tag == etag.as_bytes())
}

fn content_type(path: &str) -> Option<&'static str> {
    Some(match path.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "webmanifest" => "application/manifest+json",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_found_in_lists() {
        for list in [r#""a""#, r#"W/"a""#, r#""b" , "a""#, "*"] {
            assert!(names(list.as_bytes(), r#""a""#), "{list}");
        }
        for list in ["", "a", r#""b""#, r#""a"b"#] {
            assert!(!names(list.as_bytes(), r#""a""#), "{list}");
        }
    }

    #[test]
    fn every_embedded_file_has_a_type() {
        for path in Viewer::iter() {
            assert!(content_type(&path).is_some(), "{path}");
        }
    }
}
