//! `GET /api/v1/status`, `/readyz`, and the `status` frames that every client is sent: one document, made once a beat for all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::problem::{Kind, Problem, fresh_json};
use super::{App, parameters};
use crate::beat;
use crate::event::time::rfc3339_unix;
use crate::pipeline::{self, Database, Slot, Status};
use crate::rows;

/// The document. What is not known is null.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    state: pipeline::State,
    reason: Option<&'a str>,
    since: String,
    database: Option<&'a Database>,
    epoch: Option<&'a str>,
    lsn: Option<String>,
    server_lsn: Option<String>,
    lag_bytes: Option<u64>,
    last_proof_age_ms: Option<u128>,
    slot: Option<&'a Slot>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row_cache: Option<RowCache>,
    publication: &'a str,
    clients: usize,
    uptime_s: u64,
    version: &'static str,
}

/// The rows of small tables that are kept.
#[derive(Serialize)]
struct RowCache {
    bytes: usize,
    limit_bytes: usize,
    rows: usize,
    tables: usize,
    loading: usize,
    off: usize,
    too_large: usize,
}

impl From<rows::Usage> for RowCache {
    fn from(rows::Usage { bytes, limit, rows, full, loading, off, too_large, .. }: rows::Usage) -> Self {
        RowCache { bytes, limit_bytes: limit, rows, tables: full, loading, off, too_large }
    }
}

/// The document as an event of the stream.
#[derive(Serialize)]
struct Frame<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    report: Report<'a>,
    /// By our monotonic clock, so that a client can tell a frame that was long on its way.
    uptime_ms: u128,
}

impl<'a> Report<'a> {
    pub(super) fn new(status: &'a Status, clients: usize, started: Instant, now: Instant) -> Self {
        let held = status.epoch.as_ref().map(|_| status.lsn);
        let server = Some(status.server_lsn).filter(|lsn| lsn.0 > 0);
        Self {
            state: status.state_at(now),
            reason: status.reason.as_deref(),
            since: rfc3339_unix(status.since),
            database: status.database.as_deref(),
            epoch: status.epoch.as_ref().map(|epoch| epoch.as_str()),
            lsn: held.map(|lsn| lsn.to_string()),
            server_lsn: server.map(|lsn| lsn.to_string()),
            lag_bytes: held.zip(server).map(|(held, server)| server.bytes_since(held)),
            last_proof_age_ms: status.last_proof.map(|proof| now.saturating_duration_since(proof).as_millis()),
            slot: status.slot.as_ref(),
            row_cache: status.row_cache.map(RowCache::from),
            publication: &status.publication,
            clients,
            uptime_s: now.saturating_duration_since(started).as_secs(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// `GET /api/v1/status`
pub(super) async fn status(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    parameters::none(&uri)?;
    let status = Arc::clone(&app.sources.status.borrow());
    Ok(fresh_json(Report::new(&status, app.clients.get(), app.started, Instant::now())))
}

/// `GET /readyz`
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let status = Arc::clone(&app.sources.status.borrow());
    match status.state_at(Instant::now()) {
        pipeline::State::Live => (StatusCode::OK, "live\n").into_response(),
        state => {
            let name = serde_json::to_value(state).ok();
            let name = name.as_ref().and_then(|name| name.as_str()).unwrap_or_default();
            let reason = status.reason.as_deref().unwrap_or("Ask again in a moment; /api/v1/status says more.");
            Kind::NotReady.because(format!("The state is {name}. {reason}")).into_response()
        }
    }
}

/// Publishes a `status` frame every beat, and at once when more than the position changed. Ends, and with it every client's stream, when
/// cancelled.
pub(super) async fn beat(app: Arc<App>, every: Duration, frames: watch::Sender<Bytes>, cancel: CancellationToken) {
    let mut status = app.sources.status.clone();
    let mut tick = beat::every(every);
    let mut published = true;
    let mut last = Arc::clone(&status.borrow_and_update());
    loop {
        frames.send_replace(frame(&last, app.clients.get(), app.started));
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = tick.tick() => break,
                changed = status.changed(), if published => {
                    // The pipeline is gone: the beat goes on, and says how old what it left is.
                    published = changed.is_ok();
                    let next = Arc::clone(&status.borrow_and_update());
                    let told = same(&last, &next);
                    last = next;
                    if !told {
                        break;
                    }
                }
            }
        }
    }
}

/// A `status` frame of this moment.
pub(super) fn frame(status: &Status, clients: usize, started: Instant) -> Bytes {
    let now = Instant::now();
    let uptime_ms = now.saturating_duration_since(started).as_millis();
    let frame = Frame { r#type: "status", report: Report::new(status, clients, started, now), uptime_ms };
    serde_json::to_vec(&frame).unwrap_or_default().into()
}

/// Whether `next` says nothing that could not wait for the next beat: only positions and proofs moved.
fn same(last: &Status, next: &Status) -> bool {
    let name = |status: &Status| status.slot.as_ref().map(|slot| slot.name.clone());
    last.state == next.state
        && last.reason == next.reason
        && last.epoch == next.epoch
        && last.database == next.database
        && last.publication == next.publication
        && name(last) == name(next)
}
