//! `GET /api/v1/alerts`, and the `alert` events of the stream: each is made once, for whoever asks.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::problem::{Problem, fresh_json};
use super::{App, parameters};
use crate::alerts::{self, Alert, Bulletin, Health, Severity};
use crate::event::filter::Filter;

#[derive(Serialize)]
struct Document<'a> {
    /// Whether count rules can be evaluated now.
    evaluating: bool,
    /// Newest first, as those that follow.
    active: Vec<Box<RawValue>>,
    recent: Vec<Box<RawValue>>,
    rules: Vec<Rule<'a>>,
    webhooks: &'a [Health],
}

#[derive(Serialize)]
struct Rule<'a> {
    name: &'a str,
    severity: Severity,
    fired: u64,
}

/// `GET /api/v1/alerts`
pub(super) async fn alerts(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    parameters::none(&uri)?;
    let bulletin = Arc::clone(&app.sources.alerts.borrow());
    let of_state = |state| {
        let alerts = bulletin.alerts.iter().rev().filter(move |alert| alert.state == state);
        alerts.filter_map(|alert| serde_json::from_slice(&alert.json(&bulletin.links)).ok()).collect()
    };
    let rules = bulletin.fired.iter().map(|(name, severity, fired)| Rule { name, severity: *severity, fired: *fired });
    Ok(fresh_json(Document {
        evaluating: bulletin.evaluating,
        active: of_state(alerts::State::Firing),
        recent: of_state(alerts::State::Resolved),
        rules: rules.collect(),
        webhooks: &bulletin.webhooks,
    }))
}

/// What a client is to be told that knows what there was at revision `told`: at first, what fires.
pub(super) fn news<'a>(bulletin: &'a Bulletin, told: Option<u64>, filter: &'a Filter) -> impl Iterator<Item = Bytes> + 'a {
    let is_news = move |alert: &&Arc<Alert>| told.is_some() || alert.state == alerts::State::Firing;
    let passes = |alert: &&Arc<Alert>| {
        let subject = alert.subject.as_ref();
        subject.is_none_or(|subject| filter.passes_table(&subject.schema, &subject.name))
    };
    bulletin.since(told.unwrap_or(0)).filter(is_news).filter(passes).map(|alert| alert.json(&bulletin.links))
}
