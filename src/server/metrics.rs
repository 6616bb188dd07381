//! `GET /metrics`: Prometheus text, read off what is published at the moment of asking. Every name is in [`names`].

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::App;
use crate::alerts::Bulletin;
use crate::history::Usage;
use crate::pipeline::{self, CountState, Counts, Status};
use crate::rows;

/// At most so many tables get a series of their own; `pgvigil_table_rows_omitted` says how many exact counts were left out.
const MAX_TABLES: usize = 1_000;

/// What the series are called.
pub(super) mod names {
    pub(crate) const BUILD: &str = "pgvigil_build_info";
    pub(crate) const UPTIME: &str = "pgvigil_uptime_seconds";
    pub(crate) const STATE: &str = "pgvigil_state";
    pub(crate) const LAG: &str = "pgvigil_lag_bytes";
    pub(crate) const PROOF_AGE: &str = "pgvigil_last_proof_age_seconds";
    pub(crate) const POSITION: &str = "pgvigil_stream_position_bytes";
    pub(crate) const RETAINED: &str = "pgvigil_slot_retained_bytes";
    pub(crate) const CHANGES: &str = "pgvigil_changes_total";
    pub(crate) const TRANSACTIONS: &str = "pgvigil_transactions_total";
    pub(crate) const TABLES: &str = "pgvigil_tables";
    pub(crate) const ROWS: &str = "pgvigil_table_rows";
    pub(crate) const ROWS_OMITTED: &str = "pgvigil_table_rows_omitted";
    pub(crate) const ROW_CACHE_BYTES: &str = "pgvigil_row_cache_bytes";
    pub(crate) const ROW_CACHE_LIMIT: &str = "pgvigil_row_cache_limit_bytes";
    pub(crate) const ROW_CACHE_ROWS: &str = "pgvigil_row_cache_rows";
    pub(crate) const ROW_CACHE_TABLES: &str = "pgvigil_row_cache_tables";
    pub(crate) const ROW_CACHE_DROPPED: &str = "pgvigil_row_cache_dropped_tables_total";
    pub(crate) const ALERTS: &str = "pgvigil_alerts";
    pub(crate) const ALERTS_FIRED: &str = "pgvigil_alerts_fired_total";
    pub(crate) const EVALUATING: &str = "pgvigil_alerts_evaluating";
    pub(crate) const WEBHOOK_MESSAGES: &str = "pgvigil_webhook_messages_total";
    pub(crate) const WEBHOOK_WAITING: &str = "pgvigil_webhook_waiting";
    pub(crate) const CLIENTS: &str = "pgvigil_clients";
    pub(crate) const CONNECTIONS: &str = "pgvigil_connections";
    pub(crate) const HISTORY_BYTES: &str = "pgvigil_history_bytes";
    pub(crate) const HISTORY_LIMIT: &str = "pgvigil_history_limit_bytes";
    pub(crate) const HISTORY_EVENTS: &str = "pgvigil_history_events";
    pub(crate) const HISTORY_EVICTED: &str = "pgvigil_history_evicted_events_total";
}

/// `GET /metrics`
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut text = Exposition::default();
    text.gauge(names::BUILD, "The version that runs.").sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.gauge(names::UPTIME, "Since the start.").sample(&[], app.started.elapsed().as_secs());
    text.gauge(names::CLIENTS, "Clients of the stream, WebSocket and SSE.").sample(&[], app.clients.get());
    text.gauge(names::CONNECTIONS, "Connections, of any kind.").sample(&[], app.admission.taken());
    let (status, now) = (app.sources.status.borrow().clone(), Instant::now());
    stream(&mut text, &status, now);
    counts(&mut text, &app.sources.counts.borrow().clone(), status.state_at(now));
    if let Some(usage) = &status.row_cache {
        row_cache(&mut text, usage);
    }
    alerts(&mut text, &app.sources.alerts.borrow().clone());
    history(&mut text, &app.sources.history.usage());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], text.0)
        .into_response()
}

fn stream(text: &mut Exposition, status: &Status, now: Instant) {
    use pipeline::State::{Connecting, Disconnected, Lagging, Live, Resyncing, Stale, WrongDatabase};
    let present = status.state_at(now);
    let mut states = text.gauge(names::STATE, "1 for the state that holds, 0 for every other.");
    for (state, name) in [
        (Connecting, "connecting"),
        (Live, "live"),
        (Lagging, "lagging"),
        (Stale, "stale"),
        (Disconnected, "disconnected"),
        (Resyncing, "resyncing"),
        (WrongDatabase, "wrong_database"),
    ] {
        states.sample(&[("state", name)], u8::from(state == present));
    }
    // What is not known has no sample: a zero would be a lie.
    if let Some(proof) = status.last_proof {
        let age = now.saturating_duration_since(proof).as_secs_f64();
        text.gauge(names::PROOF_AGE, "Since the server last proved that the stream stands at its present.").sample(&[], age);
    }
    if status.epoch.is_some() {
        text.gauge(names::POSITION, "Everything committed up to here was applied (the LSN as a number).")
            .sample(&[], status.lsn.0);
        if status.server_lsn.0 > 0 {
            let lag = status.server_lsn.bytes_since(status.lsn);
            text.gauge(names::LAG, "From the stream's position to the end of the server's log.").sample(&[], lag);
        }
    }
    if let Some(slot) = &status.slot {
        text.gauge(names::RETAINED, "Log that the server keeps for our slot.").sample(&[], slot.retained_bytes);
    }
}

fn counts(text: &mut Exposition, counts: &Counts, state: pipeline::State) {
    let passed = counts.passed;
    text.counter(names::TRANSACTIONS, "Transactions with at least one event.").sample(&[], passed.transactions);
    let mut changes = text.counter(names::CHANGES, "Rows changed, and tables truncated.");
    let by_operation =
        [("insert", passed.inserts), ("update", passed.updates), ("delete", passed.deletes), ("truncate", passed.truncates)];
    for (operation, passed) in by_operation {
        changes.sample(&[("operation", operation)], passed);
    }
    let mut tables = text.gauge(names::TABLES, "Tables, by what their count is worth.");
    for (state, name) in [
        (CountState::Exact, "exact"),
        (CountState::Counting, "counting"),
        (CountState::Unknown, "unknown"),
        (CountState::Uncovered, "uncovered"),
    ] {
        tables.sample(&[("count_state", name)], counts.tables.iter().filter(|table| table.count_state == state).count());
    }
    // Whoever scrapes takes a sample for the present, so there is none of what was true once.
    let present = matches!(state, pipeline::State::Live | pipeline::State::Lagging);
    let mut exact = counts.tables.iter().filter(|_| present).filter_map(|table| Some((table, table.count?)));
    let mut rows = text.gauge(names::ROWS, "Rows of a table; only while the count is exact and the stream is held.");
    for (table, count) in exact.by_ref().take(MAX_TABLES) {
        rows.sample(&[("schema", &table.schema), ("table", &table.name)], count);
    }
    text.gauge(names::ROWS_OMITTED, "Exact counts without a series of their own.").sample(&[], exact.count());
}

fn row_cache(text: &mut Exposition, usage: &rows::Usage) {
    text.gauge(names::ROW_CACHE_BYTES, "Memory that the rows of small tables take.").sample(&[], usage.bytes);
    text.gauge(names::ROW_CACHE_LIMIT, "Memory that the rows of small tables may take.").sample(&[], usage.limit);
    text.gauge(names::ROW_CACHE_ROWS, "Rows that are kept.").sample(&[], usage.rows);
    let mut tables = text.gauge(names::ROW_CACHE_TABLES, "Tables, by whether their rows are kept.");
    for (state, number) in [("full", usage.full), ("loading", usage.loading), ("off", usage.off)] {
        tables.sample(&[("row_cache", state)], number);
    }
    text.counter(names::ROW_CACHE_DROPPED, "Tables whose rows had to go for lack of room.").sample(&[], usage.dropped);
}

fn alerts(text: &mut Exposition, bulletin: &Bulletin) {
    let firing = |rule: &str| bulletin.firing().filter(|alert| alert.rule == rule).count();
    let mut alerts = text.gauge(names::ALERTS, "Alerts that fire.");
    for (rule, severity, _) in &bulletin.fired {
        alerts.sample(&[("rule", rule), ("severity", severity.as_str())], firing(rule));
    }
    let mut fired = text.counter(names::ALERTS_FIRED, "Alerts that were raised.");
    for (rule, severity, times) in &bulletin.fired {
        fired.sample(&[("rule", rule), ("severity", severity.as_str())], times);
    }
    text.gauge(names::EVALUATING, "1 while rules about counts can be evaluated.").sample(&[], u8::from(bulletin.evaluating));
    let mut messages = text.counter(names::WEBHOOK_MESSAGES, "Messages to webhooks, by what became of them.");
    for webhook in &bulletin.webhooks {
        let by_outcome = [("delivered", webhook.delivered), ("failed", webhook.failed), ("dropped", webhook.dropped)];
        for (outcome, number) in by_outcome {
            messages.sample(&[("webhook", &webhook.name), ("outcome", outcome)], number);
        }
    }
    let mut waiting = text.gauge(names::WEBHOOK_WAITING, "Messages that wait to be sent.");
    for webhook in &bulletin.webhooks {
        waiting.sample(&[("webhook", &webhook.name)], webhook.waiting);
    }
}

fn history(text: &mut Exposition, usage: &Usage) {
    text.gauge(names::HISTORY_BYTES, "Memory that the history takes.").sample(&[], usage.bytes);
    text.gauge(names::HISTORY_LIMIT, "Memory that the history may take.").sample(&[], usage.limit);
    text.gauge(names::HISTORY_EVENTS, "Events that the history keeps.").sample(&[], usage.events);
    text.counter(names::HISTORY_EVICTED, "Events that had to go.").sample(&[], usage.evicted_events);
}

/// The text, family by family.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { name, text: &mut self.0 }
    }
}

/// One metric, open for samples.
struct Family<'a> {
    name: &'static str,
    text: &'a mut String,
}

impl Family<'_> {
    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(self.name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{label}=\"{}\"", Escaped(text));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
    }
}

/// A label's value: backslash, quote and line end are escaped.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_escaped() {
        let mut text = Exposition::default();
        let mut family = text.gauge(names::ROWS, "Rows.");
        family.sample(&[("schema", "a\"b\\c\nd"), ("table", "User")], 22);
        family.sample(&[], 1.5);
        let lines: Vec<_> = text.0.lines().collect();
        assert_eq!(
            lines,
            [
                "# HELP pgvigil_table_rows Rows.",
                "# TYPE pgvigil_table_rows gauge",
                r#"pgvigil_table_rows{schema="a\"b\\c\nd",table="User"} 22"#,
                "pgvigil_table_rows 1.5",
            ]
        );
    }
}
