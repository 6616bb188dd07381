//! Which path is answered by what.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;

use super::guard::{Guard, guard};
use super::problem::Kind;
use super::{App, alerts, assets, events, metrics, past, rows, sse, status, tables, undo, websocket};

pub(super) fn router(app: Arc<App>, guarding: Guard) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(status::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/tables", get(tables::tables))
        .route("/api/v1/tables/{schema}/{name}/rows", get(rows::rows))
        .route("/api/v1/tables/{schema}/{name}/history", get(past::history))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/transactions/{tx}", get(events::transaction))
        .route("/api/v1/transactions/{tx}/undo", get(undo::of_transaction))
        .route("/api/v1/undo", get(undo::of_range))
        .route("/api/v1/alerts", get(alerts::alerts))
        .route("/api/v1/stream", get(sse::stream))
        .route("/api/v1/ws", get(websocket::upgrade))
        .route("/", get(viewer))
        .route("/{*path}", get(viewer))
        .method_not_allowed_fallback(|| async { Kind::MethodNotAllowed.because("Nothing is changed through this API.") })
        .with_state(app)
        .layer(from_fn_with_state(Arc::new(guarding), guard))
}

async fn viewer(request: Request) -> axum::response::Response {
    assets::serve(request.uri().path().trim_start_matches('/'), request.headers()).into_response()
}
