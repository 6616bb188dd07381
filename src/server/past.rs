//! `GET /api/v1/tables?at=` and `GET /api/v1/tables/{schema}/{name}/history`: how many rows there were, as a journal tells it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use serde::Serialize;

use super::events::look;
use super::parameters::{Course, Step};
use super::problem::{Kind, Problem, fresh_json};
use super::tables::AsOf;
use super::{App, parameters};
use crate::event::time::{from_unix_micros, rfc3339};
use crate::history::journal::{self, JournalError, Minute, TableState};
use crate::history::{Bound, History, Past, PastError};
use crate::lsn::Oid;
use crate::pgoutput::Timestamp;

/// Points in one answer.
const MOST: i64 = 10_000;

/// How long a course is if nothing is said, in steps: a day of minutes, or a month of hours.
fn usual(step: Step) -> i64 {
    match step {
        Step::Minute => 24 * 60,
        Step::Hour => 31 * 24,
    }
}

#[derive(Serialize)]
struct Tables<'a> {
    as_of: AsOf,
    epoch: String,
    /// Of all that are watched, but partitioned ones, whose rows are those of their partitions.
    total_rows: Option<i64>,
    tables: Vec<Table<'a>>,
}

#[derive(Serialize)]
struct Table<'a> {
    oid: u32,
    schema: &'a str,
    name: &'a str,
    parent: Option<u32>,
    count: Option<i64>,
    reason: Option<&'a str>,
    /// Where it had so many: behind that nothing changed, unless counts are late.
    lsn: String,
}

#[derive(Serialize)]
struct OneTable<'a> {
    as_of: AsOf,
    #[serde(flatten)]
    table: Table<'a>,
}

#[derive(Serialize)]
struct Points<'a> {
    schema: &'a str,
    name: &'a str,
    oid: u32,
    step: &'static str,
    /// Where the journal begins: of what was before, nothing is known.
    begins: Option<String>,
    points: Vec<Point>,
}

/// A step: when it begins, and how many rows there were at its end.
#[derive(Serialize)]
struct Point {
    time: String,
    count: Option<i64>,
}

/// `GET /api/v1/tables?at=`
pub(super) async fn tables(app: &App, at: Bound) -> Result<Response, Problem> {
    let past = at_point(app, at).await?;
    let is_parent = |oid: Oid| past.tables.iter().any(|table| table.parent == Some(oid));
    let rows = past.tables.iter().filter(|table| table.covered && !is_parent(table.oid));
    let total_rows = rows.map(|table| table.count).sum();
    let tables = past.tables.iter().map(Table::from).collect();
    Ok(fresh_json(Tables { as_of: as_of(&past), epoch: past.epoch.to_string(), total_rows, tables }))
}

/// `GET /api/v1/tables/{schema}/{name}/history`
pub(super) async fn history(
    State(app): State<Arc<App>>,
    Path((schema, name)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let Course { at, since, until, step } = parameters::course(&uri)?;
    let unknown =
        || Kind::NotFound.because(format!("There is no table {schema}.{name}, and none is known to have had this name."));
    if let Some(at) = at {
        let past = at_point(&app, at).await?;
        let table = past.tables.iter().find(|table| table.schema == schema && table.name == name).ok_or_else(unknown)?;
        return Ok(fresh_json(OneTable { as_of: as_of(&past), table: table.into() }));
    }
    let now = from_unix_micros(jiff::Timestamp::now().as_microsecond());
    let length = step.minutes();
    // Steps are whole, and counted from 2000 on, as minutes are.
    let floor = |time: Timestamp| Minute::of(time).0.div_euclid(length) * length;
    let last = floor(until.map_or(now, |until| Timestamp(until.0.saturating_sub(1)).min(now)));
    let first = since.map_or_else(|| last - (usual(step) - 1) * length, floor);
    if first > last {
        return Err(Kind::InvalidParameter.because("since: this is not before until, or has not come yet."));
    }
    if (last - first) / length >= MOST {
        let detail = format!("since: these are more than {MOST} points; ask for less at a time, or with step=hour.");
        return Err(Kind::InvalidParameter.because(detail));
    }
    let counts = Arc::clone(&app.sources.counts.borrow());
    let present = counts.tables.iter().find(|table| table.schema == schema && table.name == name).map(|table| Oid(table.oid));
    let wanted = (schema.clone(), name.clone());
    let found = look(&app, move |history| course(history, present, &wanted, (Minute(first), Minute(last + length - 1)))).await?;
    let (oid, course) = found.map_err(refused)?.ok_or_else(unknown)?;
    let points = points(&course, (first, last, length));
    let begins = course.begins.map(|begins| rfc3339(begins.begins()));
    Ok(fresh_json(Points { schema: &schema, name: &name, oid: oid.0, step: step.as_str(), begins, points }))
}

/// Of the table that has this oid now, or that had this name last.
fn course(
    history: &History,
    present: Option<Oid>,
    (schema, name): &(String, String),
    (since, until): (Minute, Minute),
) -> Result<Option<(Oid, journal::Course)>, PastError> {
    let archive = history.archive()?;
    let oid = match present {
        Some(oid) => Some(oid),
        None => archive.named(schema, name)?,
    };
    Ok(oid.map(|oid| archive.course(oid, since, until).map(|course| (oid, course))).transpose()?)
}

fn points(course: &journal::Course, (first, last, length): (i64, i64, i64)) -> Vec<Point> {
    let (mut changes, mut count) = (course.changes.iter().peekable(), course.before);
    let mut step = first;
    let steps = std::iter::from_fn(|| {
        let at = step;
        step += length;
        (at <= last).then_some(at)
    });
    let point = |at: i64| {
        while let Some((_, behind)) = changes.next_if(|(minute, _)| minute.0 < at + length) {
            count = *behind;
        }
        let is_known = course.begins.is_some_and(|begins| begins.0 < at + length);
        Point { time: rfc3339(Minute(at).begins()), count: count.filter(|_| is_known) }
    };
    steps.map(point).collect()
}

async fn at_point(app: &App, at: Bound) -> Result<Past, Problem> {
    let now = from_unix_micros(jiff::Timestamp::now().as_microsecond());
    if matches!(at, Bound::Time(time) if time > now) {
        return Err(Kind::InvalidParameter.because("at: this has not come yet."));
    }
    look(app, move |history| history.counts_at(at)).await?.map_err(refused)
}

fn refused(error: PastError) -> Problem {
    let kind = match &error {
        PastError::NotRecorded => Kind::NotFound,
        PastError::NotKept { .. } | PastError::Unseen { .. } => Kind::NoLongerKept,
        PastError::Ahead { .. } => Kind::NotYetThere,
        PastError::Journal(JournalError::Missing { .. }) => Kind::NoLongerKept,
        PastError::Journal(error) if error.is_gone() => Kind::NoLongerKept,
        PastError::Journal(_) => Kind::Failed,
    };
    let mut detail = error.to_string();
    detail.get_mut(..1).into_iter().for_each(str::make_ascii_uppercase);
    kind.because(format!("{detail}."))
}

fn as_of(past: &Past) -> AsOf {
    AsOf { lsn: past.lsn.to_string(), time: rfc3339(past.time), age_ms: None }
}

impl<'a> From<&'a TableState> for Table<'a> {
    fn from(table: &'a TableState) -> Self {
        let TableState { oid, schema, name, count, as_of, reason, parent, .. } = table;
        let (oid, parent) = (oid.0, parent.map(|parent| parent.0));
        Table { oid, schema, name, parent, count: *count, reason: reason.as_deref(), lsn: as_of.to_string() }
    }
}
