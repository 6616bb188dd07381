//! `GET /api/v1/stream`: the stream as server-sent events. A thin writer of a [`Subscription`](super::subscription::Subscription).
//!
//! `id:` is the event's id, so a browser that connects again goes on where it was, by itself.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

use super::App;
use super::admission::Client;
use super::batch::Batch;
use super::parameters;
use super::subscription::Subscription;

/// `GET /api/v1/stream`
pub(super) async fn stream(State(app): State<Arc<App>>, request: Request) -> Response {
    let resumed = request.headers().get("last-event-id");
    let terms = match parameters::stream(request.uri()).and_then(|terms| parameters::resume(terms, resumed)) {
        Ok(terms) => terms,
        Err(problem) => return problem.into_response(),
    };
    let counted = app.clients.enter();
    let body = stream::unfold((Subscription::open(app, terms), counted), next);
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    // A proxy that gathers would hold events back.
    (headers, [("x-accel-buffering", "no")], Body::from_stream(body)).into_response()
}

type Streaming = (Subscription, Client);

async fn next((mut subscription, counted): Streaming) -> Option<(Result<Bytes, Infallible>, Streaming)> {
    let batch = subscription.next().await?;
    Some((Ok(encode(&batch)), (subscription, counted)))
}

fn encode(batch: &Batch) -> Bytes {
    // An empty beat becomes a comment: a write is what tells a connection that is dead.
    if batch.is_empty() {
        return Bytes::from_static(b":\n\n");
    }
    const AROUND: usize = "id: \ndata: \n\n".len() + 40;
    let mut text = Vec::with_capacity(batch.bytes() + batch.len() * AROUND);
    for object in batch.iter() {
        // Writing to memory cannot fail.
        let _ = object.id().map_or(Ok(()), |id| writeln!(text, "id: {id}"));
        text.extend_from_slice(b"data: ");
        text.extend_from_slice(object.bytes());
        text.extend_from_slice(b"\n\n");
    }
    text.into()
}
