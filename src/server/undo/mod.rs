//! `GET /api/v1/transactions/{tx}/undo` and `GET /api/v1/undo?tx=|since=&until=&table=&key=&partial=&coverage=`: the SQL that reverses what
//! the history keeps.
//!
//! ```text
//!  scope ─ which changes of which tables ─▶ history ─▶ present ─ the tables as they are now ─▶ history ─ what came later ─▶ undo
//! ```
//!
//! As JSON, with its coverage and what went by cascades; the SQL alone to whoever accepts `application/sql` or `text/plain`; and with
//! `coverage=only` all but the SQL, which may be as large as what was lost.

mod present;
mod scope;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;

use super::App;
use super::events::look;
use super::parameters;
use super::problem::{Kind, Problem};
use crate::event::received::{Change, Event, Gap};
use crate::lsn::Oid;
use crate::undo::{self, Cascade, Changes, Coverage, Options};
use scope::Scope;

/// Rows in cascades that are told beside a coverage alone.
const FEW_ROWS: usize = 20_000;

/// The answer.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<&'a str>,
    coverage: &'a Coverage,
    /// `null` if they are too many.
    cascades: Option<&'a [Cascade<'a>]>,
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Everything,
    CoverageOnly,
    SqlOnly,
}

/// `GET /api/v1/transactions/{tx}/undo`
pub(super) async fn of_transaction(
    State(app): State<Arc<App>>,
    Path(tx): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(&app, parameters::undo(&uri, Some(&tx))?, &headers).await
}

/// `GET /api/v1/undo`
pub(super) async fn of_range(State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    answer(&app, parameters::undo(&uri, None)?, &headers).await
}

async fn answer(app: &App, asked: parameters::Undo, headers: &HeaderMap) -> Result<Response, Problem> {
    let form = match asked.coverage_only {
        true => Form::CoverageOnly,
        false if wants_sql(headers) => Form::SqlOnly,
        false => Form::Everything,
    };
    let mut scope = Scope::of(app, &asked).await?;
    let query = scope.changes();
    let events = look(app, move |history| history.query(&query).events).await?;
    let tables = {
        let (changes, gaps) = read(&events)?;
        scope.subject.warnings.extend(gaps.iter().map(unknown));
        tables_of(&changes)
    };
    let present = present::Present::look(app, &tables, &asked.rows).await?;
    let query = scope.later(present.schema.roots.keys().copied().collect());
    let later = look(app, move |history| query.map(|query| history.query(&query).events).unwrap_or_default()).await?;
    let nothing_named = scope.nothing_named(&asked.rows);
    let made = look(app, move |_| {
        let ((changes, _), (later, gaps)) = (read(&events)?, read(&later)?);
        let mut subject = scope.subject;
        subject.notes.extend(gaps.iter().map(|gap| format!("What others did later is not known whole: {}", unknown(gap))));
        let options = Options { rows: present.rows, partial: asked.partial };
        let changes = Changes { undone: &changes, later: &later };
        let (sql, coverage) = match form {
            Form::CoverageOnly => (None, undo::coverage(changes, &present.schema, &options, subject)),
            Form::Everything | Form::SqlOnly => {
                let undone = undo::undo(changes, &present.schema, &options, subject);
                (Some(undone.sql), undone.coverage)
            }
        };
        if !options.rows.is_empty() && coverage.tables.is_empty() {
            return Err(nothing_named);
        }
        if form == Form::SqlOnly {
            return Ok(sql.unwrap_or_default().into_bytes());
        }
        let cascades = undo::cascades(changes.undone, &present.schema);
        let few = form == Form::Everything || cascades.iter().map(|cascade| cascade.rows.len()).sum::<usize>() <= FEW_ROWS;
        let answer = Answer { sql: sql.as_deref(), coverage: &coverage, cascades: few.then_some(&cascades) };
        Ok(serde_json::to_vec(&answer).unwrap_or_default())
    });
    let body = made.await??;
    let kind = if form == Form::SqlOnly { "application/sql; charset=utf-8" } else { "application/json" };
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], body).into_response())
}

/// The changes among the events, and the gaps.
fn read(events: &[Bytes]) -> Result<(Vec<Change<'_>>, Vec<Gap<'_>>), Problem> {
    let unreadable =
        |error: String| Kind::Failed.because(format!("An event of the history cannot be read: {error}. Please report it."));
    let (mut changes, mut gaps) = (Vec::with_capacity(events.len()), Vec::new());
    for event in events {
        let text = std::str::from_utf8(event).map_err(|error| unreadable(error.to_string()))?;
        match Event::read(text).map_err(|error| unreadable(error.to_string()))? {
            Event::Change(change) => changes.push(*change),
            Event::Gap(gap) => gaps.push(gap),
            _ => {}
        }
    }
    Ok((changes, gaps))
}

fn tables_of(changes: &[Change<'_>]) -> Vec<Oid> {
    let mut tables: Vec<Oid> = changes.iter().map(|change| change.oid).collect();
    tables.sort_unstable();
    tables.dedup();
    tables
}

fn unknown(Gap { from, to, reason }: &Gap<'_>) -> String {
    format!("Nothing is known from {} to {to} ({reason}).", from.unwrap_or("the beginning"))
}

fn wants_sql(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|list| list.split(',')).filter_map(|kind| kind.split(';').next()).map(str::trim);
    kinds.any(|kind| matches!(kind, "application/sql" | "text/plain"))
}
