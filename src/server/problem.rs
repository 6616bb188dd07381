//! Errors as RFC 9457 problem documents: what happened, and what to do about it.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;

/// What is wrong with a request, or with us. The same text serves as an `error` frame of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) kind: Kind,
    pub(super) detail: String,
}

/// The kinds of problem: each has one status, one code that a program can match, and one title for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    InvalidParameter,
    NotFound,
    NoLongerKept,
    NotYetThere,
    MethodNotAllowed,
    HostRefused,
    OriginRefused,
    BodyTooLarge,
    UriTooLong,
    UpgradeRequired,
    NotReady,
    TooManyConnections,
    DatabaseUnavailable,
    DatabaseRefused,
    Failed,
}

impl Kind {
    /// Status, code, title.
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvalidParameter => (StatusCode::BAD_REQUEST, "invalid-parameter", "A parameter is not understood"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is nothing here"),
            Self::NoLongerKept => (StatusCode::GONE, "no-longer-kept", "The history does not reach back so far"),
            Self::NotYetThere => (StatusCode::SERVICE_UNAVAILABLE, "not-yet-there", "It is arriving just now"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Only GET and HEAD are served here"),
            Self::HostRefused => (StatusCode::FORBIDDEN, "host-refused", "This host name is not ours"),
            Self::OriginRefused => (StatusCode::FORBIDDEN, "origin-refused", "Pages of this origin may not read from here"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The request's body is too large"),
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "uri-too-long", "The address is too long"),
            Self::UpgradeRequired => (StatusCode::UPGRADE_REQUIRED, "upgrade-required", "This is a WebSocket"),
            Self::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "not-ready", "What is shown is not live"),
            Self::TooManyConnections => (StatusCode::SERVICE_UNAVAILABLE, "too-many-connections", "Too many connections"),
            Self::DatabaseUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "database-unavailable", "The database does not answer")
            }
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "failed", "pgvigil failed"),
            Self::DatabaseRefused => (StatusCode::BAD_GATEWAY, "database-refused", "The database refused the query"),
        }
    }

    /// What a program matches on: the last part of the document's `type`.
    pub(super) fn code(self) -> &'static str {
        self.parts().1
    }

    /// A problem of this kind; `detail` tells a person what to do.
    pub(super) fn because(self, detail: impl Into<String>) -> Problem {
        Problem { kind: self, detail: detail.into() }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl Problem {
    /// The document itself.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let (status, code, title) = self.kind.parts();
        let document =
            Document { r#type: format!("urn:pgvigil:problem:{code}"), title, status: status.as_u16(), detail: &self.detail };
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

/// The same as an event of the stream.
#[derive(Serialize)]
struct Frame<'a> {
    r#type: &'static str,
    code: &'a str,
    message: &'a str,
}

impl Problem {
    /// An `error` event.
    pub(super) fn to_frame(&self) -> Bytes {
        let frame = Frame { r#type: "error", code: self.kind.code(), message: &self.detail };
        serde_json::to_vec(&frame).unwrap_or_default().into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, ..) = self.kind.parts();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], self.to_json()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match status {
            StatusCode::METHOD_NOT_ALLOWED => headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD")),
            StatusCode::UPGRADE_REQUIRED => headers.insert(header::UPGRADE, HeaderValue::from_static("websocket")),
            // What follows on this connection would be the rest of the body.
            StatusCode::PAYLOAD_TOO_LARGE => headers.insert(header::CONNECTION, HeaderValue::from_static("close")),
            StatusCode::SERVICE_UNAVAILABLE => headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1")),
            _ => None,
        };
        response
    }
}

/// A JSON answer about the present: never to be kept.
pub(super) fn fresh_json(value: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(value)).into_response()
}
