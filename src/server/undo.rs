//! `GET /api/v1/transactions/{tx}/undo` and `GET /api/v1/undo?tx=|since=&until=&table=&key=&partial=`: the SQL that reverses what the
//! history keeps.
//!
//! As JSON, with its coverage and what went by cascades; the SQL alone to whoever accepts `application/sql` or `text/plain`. The
//! database is only asked for its tables as they are now, in a session of its own, once it proved to be the one that is watched.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;

use super::App;
use super::events::look;
use super::parameters::{self, Undo};
use super::problem::{Kind, Problem};
use crate::catalog;
use crate::event::received::{Change, Event, Gap};
use crate::event::time::unix_micros;
use crate::history::{Bound, History, Order, Query, TransactionLookup};
use crate::lsn::{Lsn, Oid};
use crate::undo::{self, Cascade, Coverage, Schema, Subject};

/// The longest that the database may take to tell of its tables.
const CATALOG_TIME: &str = "SET statement_timeout = '10s'; SET lock_timeout = '400ms'";

/// The answer.
#[derive(Serialize)]
struct Answer<'a> {
    sql: &'a str,
    coverage: &'a Coverage,
    cascades: &'a [Cascade<'a>],
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

async fn answer(app: &App, asked: Undo, headers: &HeaderMap) -> Result<Response, Problem> {
    let Undo { filter, tx, since, until, options } = asked;
    let mut subject = Subject::default();
    let query = match &tx {
        Some(id) => {
            let asked = id.clone();
            subject.title = format!("transaction {id}");
            subject.lost = whole(look(app, move |history| history.transaction(&asked)).await?)?;
            if subject.lost > 0 {
                let known = format!("The history does not keep the first {} changes of this transaction any more.", subject.lost);
                subject.warnings.push(known);
            }
            let Lsn(lsn) = id.commit_lsn;
            (Some(Bound::Lsn(id.commit_lsn)), Some(Bound::Lsn(Lsn(lsn.saturating_add(1)))))
        }
        None => {
            let named = |bound: Option<Bound>| bound.map_or_else(|| "now".to_owned(), shown);
            subject.title = format!("from {} to {}", named(since), named(until));
            (since, until)
        }
    };
    let filter = app.sources.history.intern(filter);
    let query = Query { since: query.0, until: query.1, order: Order::OldestFirst, ..Query::new(filter, usize::MAX) };
    let live_since = app.sources.status.borrow().since;
    let began = since.filter(|_| tx.is_none());
    let (events, from_the_start) = look(app, move |history| {
        let from_the_start = began.is_none_or(|since| reaches_back(history, since, live_since, &query));
        (history.query(&query).events, from_the_start)
    })
    .await?;
    if !from_the_start {
        subject
            .warnings
            .push("The history may not reach back to the beginning: what was changed before it is not known.".to_owned());
    }
    let mut tables: Vec<Oid> = Vec::new();
    {
        let (changes, gaps) = read(&events)?;
        subject.warnings.extend(gaps.iter().map(|gap| {
            let Gap { from, to, reason } = gap;
            format!("Nothing is known from {} to {to} ({reason}).", from.unwrap_or("the beginning"))
        }));
        tables.extend(changes.iter().map(|change| change.oid));
        tables.sort_unstable();
        tables.dedup();
    }
    let schema = tables_now(app, &tables).await?;
    let sql_alone = wants_sql(headers);
    let made = look(app, move |_| {
        let (changes, _) = read(&events)?;
        let undone = undo::undo(&changes, &schema, &options, subject);
        Ok(if sql_alone {
            undone.sql.into_bytes()
        } else {
            let cascades = undo::cascades(&changes, &schema);
            let answer = Answer { sql: &undone.sql, coverage: &undone.coverage, cascades: &cascades };
            serde_json::to_vec(&answer).unwrap_or_default()
        })
    });
    let body = made.await??;
    let kind = if sql_alone { "application/sql; charset=utf-8" } else { "application/json" };
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], body).into_response())
}

/// How many of its events are not kept any more.
fn whole(lookup: TransactionLookup) -> Result<u64, Problem> {
    match lookup {
        TransactionLookup::Whole(_) => Ok(0),
        TransactionLookup::PartlyKept { first_ordinal, .. } => Ok(first_ordinal.saturating_sub(1)),
        TransactionLookup::Arriving => Err(Kind::NotYetThere.because("Ask again in a moment.")),
        TransactionLookup::NoLongerKept => {
            Err(Kind::NoLongerKept.because("Give pgvigil more memory with --history-memory to reach further back."))
        }
        TransactionLookup::Unknown => {
            Err(Kind::NotFound.because("There was no such transaction, or not one that changed a watched table."))
        }
    }
}

/// Whether everything is kept from this point on. It is if something older is kept, or if nothing ever had to go and the watch is older.
fn reaches_back(history: &History, since: Bound, live_since: i64, query: &Query) -> bool {
    let older = Query { since: None, until: Some(since), limit: 1, ..query.clone() };
    let older = Query { filter: history.intern(crate::event::filter::Filter::everything()), ..older };
    let watched_before = match since {
        Bound::Time(time) => live_since <= unix_micros(time),
        Bound::Lsn(_) => false,
    };
    !history.query(&older).events.is_empty() || watched_before && history.usage().evicted_events == 0
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

/// The tables as they are now.
async fn tables_now(app: &App, tables: &[Oid]) -> Result<Schema, Problem> {
    let watched = app.sources.status.borrow().database.clone();
    let (Some(target), Some(watched)) = (&app.sources.database, watched) else {
        return Err(Kind::DatabaseUnavailable.because("No database is watched yet. Ask again in a moment."));
    };
    let _turn = app.reading.acquire().await;
    let again = |error: &dyn std::fmt::Display| Kind::DatabaseUnavailable.because(format!("{error}. Ask again in a moment."));
    let mut client = target.sql("pgvigil undo").await.map_err(|error| again(&error))?;
    client.batch_execute(CATALOG_TIME).await.map_err(|error| again(&error))?;
    let here = catalog::identity(&client).await.map_err(|error| again(&error))?;
    if !watched.is(&here) {
        return Err(Kind::DatabaseRefused.because("Another database than the one that is watched answers."));
    }
    catalog::schema(&mut client, tables).await.map_err(|error| again(&error))
}

fn wants_sql(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|list| list.split(',')).filter_map(|kind| kind.split(';').next()).map(str::trim);
    kinds.any(|kind| matches!(kind, "application/sql" | "text/plain"))
}

fn shown(bound: Bound) -> String {
    match bound {
        Bound::Time(time) => crate::event::time::rfc3339(time),
        Bound::Lsn(lsn) => lsn.to_string(),
    }
}
