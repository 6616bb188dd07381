//! `GET /api/v1/transactions/{tx}/undo` and `GET /api/v1/undo?tx=|since=&until=&table=&key=&partial=&coverage=`: the SQL that reverses what
//! the history keeps.
//!
//! ```text
//!  scope ─ which changes of which tables ─▶ present ─ the tables as they are now ─▶ reading ─ the history, once ─┐
//!                                     undo ◀─ what was altered since is tried with what was recorded ─ present ◀─┘
//! ```
//!
//! As JSON, with its coverage and what went by cascades; the SQL alone to whoever accepts `application/sql` or `text/plain`; and with
//! `coverage=only` all but the SQL, which may be as large as what was lost.

mod present;
mod reading;
mod scope;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use tokio::runtime::Handle;

use super::App;
use super::events::look;
use super::parameters;
use super::problem::{Kind, Problem};
use crate::event::received::{Change, Event, Gap};
use crate::undo::{self, Cascade, Changes, Coverage};
use reading::{Altered, Reading};
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
    let scope = Scope::of(app, &asked).await?;
    let mut present = present::Present::look(app, &scope, &asked).await?;
    let runtime = Handle::current();
    let made = look(app, move |history| {
        let mut reading = Reading::begin(history, &scope, &present.schema, present.trees.clone());
        let undone = reading.undone()?;
        let (changes, beside) = (changes(&undone.changes)?, changes(&undone.beside)?);
        let later = reading.later(&changes, &beside, &present.schema)?;
        let (altered, moves) = reading.found();
        present.options.moves = moves;
        for (table, altered) in altered {
            let Some(table) = present.schema.table_mut(table) else { continue };
            match altered {
                Altered::Renamed(rename) => table.renames.push(rename),
                Altered::Ungenerated => table.was_generated = true,
            }
        }
        let mut subject = scope.subject(&undone, &changes)?;
        for gap in &later.gaps {
            subject.notes.push(format!("What others did later is not known whole: {}", unknown(gap)?));
        }
        subject.warnings.extend(later.warnings);
        let later = self::changes(&later.changes)?;
        let changes = Changes { undone: &changes, beside: &beside, later: &later };
        runtime.block_on(present.try_out(changes, &mut subject))?;
        let present::Present { schema, options, .. } = &present;
        let (sql, coverage) = match form {
            Form::CoverageOnly => (None, undo::coverage(changes, schema, options, subject)),
            Form::Everything | Form::SqlOnly => {
                let undone = undo::undo(changes, schema, options, subject);
                (Some(undone.sql), undone.coverage)
            }
        };
        if !options.rows.is_empty() && coverage.tables.is_empty() {
            return Err(scope.nothing_named(changes.undone.len()));
        }
        if form == Form::SqlOnly {
            return Ok(sql.unwrap_or_default().into_bytes());
        }
        let cascades = undo::cascades(changes.undone, schema);
        let few = form == Form::Everything || cascades.iter().map(|cascade| cascade.rows.len()).sum::<usize>() <= FEW_ROWS;
        let answer = Answer { sql: sql.as_deref(), coverage: &coverage, cascades: few.then_some(&cascades) };
        Ok(serde_json::to_vec(&answer).unwrap_or_default())
    });
    let body = made.await??;
    let kind = if form == Form::SqlOnly { "application/sql; charset=utf-8" } else { "application/json" };
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], body).into_response())
}

/// The changes, read.
fn changes(events: &[Bytes]) -> Result<Vec<Change<'_>>, Problem> {
    let mut changes = Vec::with_capacity(events.len());
    for event in events {
        if let Event::Change(change) = read(event)? {
            changes.push(*change);
        }
    }
    Ok(changes)
}

fn read(event: &[u8]) -> Result<Event<'_>, Problem> {
    Event::read(std::str::from_utf8(event).map_err(unreadable)?).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> Problem {
    Kind::Failed.because(format!("An event of the history cannot be read: {error}. Please report it."))
}

/// What a gap leaves out, for a person.
fn unknown(gap: &[u8]) -> Result<String, Problem> {
    Ok(match read(gap)? {
        Event::Gap(Gap { from, to, reason }) => {
            format!("Nothing is known from {} to {to} ({reason}).", from.unwrap_or("the beginning"))
        }
        _ => "Something is missing.".to_owned(),
    })
}

fn wants_sql(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|list| list.split(',')).filter_map(|kind| kind.split(';').next()).map(str::trim);
    kinds.any(|kind| matches!(kind, "application/sql" | "text/plain"))
}
