//! `GET /api/v1/tables`, and the `counts` events of the stream. With `at` the tables are told as they were ([`past`](super::past)).
//!
//! A `counts` event says by `whole` whether it replaces what the client knows or adds to it; one that adds names in `gone` the tables
//! that are no more. `late` says that changes come without counts: these follow, true at a position that the client may have passed. Each is encoded once for all clients, by whoever needs it first.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;

use super::problem::{Problem, fresh_json};
use super::{App, parameters, past};
use crate::event::filter::Filter;
use crate::event::time::rfc3339_unix;
use crate::pipeline::{self, Counts, Table};

#[derive(Serialize)]
struct Tables<'a> {
    as_of: AsOf,
    late: bool,
    state: pipeline::State,
    total_rows: Option<i64>,
    tables: Vec<&'a Table>,
}

/// The position at which counts are true.
#[derive(Serialize)]
pub(super) struct AsOf {
    pub(super) lsn: String,
    pub(super) time: String,
    /// Left out of events, which are made once and sent at different times: there the `status` frames tell the age.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) age_ms: Option<u128>,
}

#[derive(Serialize)]
struct CountsEvent<'a> {
    r#type: &'static str,
    whole: bool,
    as_of: AsOf,
    late: bool,
    total_rows: Option<i64>,
    tables: Vec<&'a Table>,
    gone: &'a [u32],
}

/// `GET /api/v1/tables`
pub(super) async fn tables(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    if let Some(at) = parameters::at(&uri)? {
        return past::tables(&app, at).await;
    }
    let status = Arc::clone(&app.sources.status.borrow());
    let counts = Arc::clone(&app.sources.counts.borrow());
    let now = Instant::now();
    // A proof later than the counts says that they were still true then, if nothing has come since.
    let all_told = !counts.told_late || counts.after_block == app.sources.history.position();
    let known = status.last_proof.filter(|_| all_told).map_or(counts.time, |proof| proof.max(counts.time));
    Ok(fresh_json(Tables {
        as_of: as_of(&counts, Some(now.saturating_duration_since(known).as_millis())),
        late: counts.told_late,
        state: status.state_at(now),
        total_rows: counts.total_rows,
        tables: counts.tables.iter().map(|table| &**table).collect(),
    }))
}

/// The tables that `filter` names and that are not there now, as `schema.name`. Nothing is said while tables are not known yet.
pub(super) fn missing(filter: &Filter, counts: &Counts) -> Vec<String> {
    let is_there = |schema: &str, name: &str| counts.tables.iter().any(|table| *table.schema == *schema && *table.name == *name);
    let missing = filter.tables().filter(|(schema, name)| counts.version > 0 && !is_there(schema, name));
    missing.map(|(schema, name)| format!("{schema}.{name}")).collect()
}

/// The `counts` event for a client that was told version `told` before: what changed since, if that is one version only.
pub(super) fn news(told: Option<u64>, counts: &Counts) -> Bytes {
    if told.is_some_and(|told| told + 1 == counts.version) {
        counts.changed_json.get_or_init(|| event(counts, false, &counts.changed, &counts.removed)).clone()
    } else {
        counts.whole_json.get_or_init(|| event(counts, true, &counts.tables, &[])).clone()
    }
}

fn event(counts: &Counts, whole: bool, tables: &[Arc<Table>], gone: &[u32]) -> Bytes {
    let tables = tables.iter().map(|table| &**table).collect();
    let &Counts { total_rows, told_late: late, .. } = counts;
    let event = CountsEvent { r#type: "counts", whole, as_of: as_of(counts, None), late, total_rows, tables, gone };
    serde_json::to_vec(&event).unwrap_or_default().into()
}

fn as_of(counts: &Counts, age_ms: Option<u128>) -> AsOf {
    AsOf { lsn: counts.lsn.to_string(), time: rfc3339_unix(counts.unix_time), age_ms }
}
