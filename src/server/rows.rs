//! `GET /api/v1/tables/{schema}/{name}/rows?limit=&after=`: a page of a table's rows as they are now.
//!
//! Paged by key, never by offset: `next` is the key of the last row, to be given as `after`. The key is the primary key, else a unique
//! index over columns that are not null. A table without either has one page, in no order.
//!
//! The database is asked in a read-only transaction of its own, with a time limit and a lock limit, a few at a time; and only after it
//! proved to be the one that is watched. Values are shown as events show them, cut where they are long: a page has a size.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use futures_util::TryStreamExt;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, error::SqlState};

use super::problem::{Kind, Problem, fresh_json};
use super::{App, Limits, parameters};
use crate::catalog;
use crate::event::time::rfc3339_unix;
use crate::event::write_text;
use crate::lsn::Oid;
use crate::pipeline::{CountState, Database, Table, TableKind};

/// Characters of a value that are shown; a longer one is cut, and its column named in `cut`.
const MAX_VALUE: usize = 16 << 10;
/// A page ends early once its rows take this much.
const MAX_PAGE: usize = 1 << 20;
const LOCK_TIMEOUT_MS: u32 = 400;

/// The page.
#[derive(Serialize)]
struct Page<'a> {
    schema: &'a str,
    table: &'a str,
    read_at: String,
    /// By which it is ordered; empty without a key.
    key: Vec<&'a str>,
    rows: Vec<Box<RawValue>>,
    /// By row and column, the values that are not shown in full.
    cut: Vec<Cut<'a>>,
    /// Whether these are the last rows.
    complete: bool,
    /// `after` of the next page; null without one.
    next: Option<String>,
}

#[derive(Serialize)]
struct Cut<'a> {
    row: usize,
    column: &'a str,
    characters: i64,
}

/// A column as it is read.
struct Column {
    name: String,
    /// As SQL takes it, for a cast.
    type_name: String,
    /// What its values look like: of a domain, the type below.
    type_oid: Oid,
    /// Its place in the key, from 0.
    key: Option<i32>,
}

/// `GET /api/v1/tables/{schema}/{name}/rows`
pub(super) async fn rows(
    State(app): State<Arc<App>>,
    Path((schema, name)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let wanted = parameters::page(&uri, app.limits.page_rows)?;
    let table = watched(&app, &schema, &name)?;
    let database = app.sources.status.borrow().database.clone();
    let (Some(target), Some(database)) = (&app.sources.database, database) else {
        return Err(Kind::DatabaseUnavailable.because("No database is watched yet. Ask again in a moment."));
    };
    let _turn = app.reading.acquire().await;
    let connected = target.sql("pgvigil rows").await;
    let client = connected.map_err(|error| Kind::DatabaseUnavailable.because(format!("{error}. Ask again in a moment.")))?;
    let reading = Reading { client: &client, limits: &app.limits, table: &table };
    reading.begin(&database).await?;
    let columns = reading.columns().await.map_err(explain)?;
    reading.page(&columns, wanted).await
}

/// The table, if its rows may be read here.
fn watched(app: &App, schema: &str, name: &str) -> Result<Arc<Table>, Problem> {
    let counts = Arc::clone(&app.sources.counts.borrow());
    let found = counts.tables.iter().find(|table| table.schema == schema && table.name == name);
    let table =
        found.ok_or_else(|| Kind::NotFound.because(format!("No table {schema}.{name} is watched; /api/v1/tables lists all.")))?;
    if table.count_state == CountState::Uncovered {
        let reason = table.reason.as_deref().unwrap_or("it is not in the publication");
        return Err(Kind::NotFound.because(format!("The table {schema}.{name} is not watched: {reason}.")));
    }
    Ok(Arc::clone(table))
}

struct Reading<'a> {
    client: &'a Client,
    limits: &'a Limits,
    table: &'a Table,
}

impl Reading<'_> {
    /// Begins a transaction that can harm nobody, on the database that is watched and on no other.
    async fn begin(&self, watched: &Database) -> Result<(), Problem> {
        let time = self.limits.page_time.as_millis();
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {time}; \
             SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}; SET LOCAL row_security = off; SET LOCAL datestyle = ISO; \
             SET LOCAL intervalstyle = postgres; SET LOCAL extra_float_digits = 3; SET LOCAL timezone = UTC; SET LOCAL bytea_output = hex"
        );
        self.client.batch_execute(&begin).await.map_err(explain)?;
        let here = catalog::identity(self.client).await.map_err(explain)?;
        let refused =
            || Kind::DatabaseRefused.because("Another database than the one that is watched answers: its rows are not shown.");
        watched.is(&here).then_some(()).ok_or_else(refused)
    }

    async fn columns(&self) -> Result<Vec<Column>, tokio_postgres::Error> {
        let columns = "
            SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), base.oid, pg_catalog.array_position(i.columns, a.attnum)
            FROM pg_attribute a
            CROSS JOIN LATERAL (
                WITH RECURSIVE base AS (
                    SELECT oid, typtype, typbasetype FROM pg_type WHERE oid = a.atttypid
                    UNION ALL
                    SELECT t.oid, t.typtype, t.typbasetype FROM base JOIN pg_type t ON base.typtype = 'd' AND t.oid = base.typbasetype
                )
                SELECT oid FROM base WHERE typtype <> 'd'
            ) base
            LEFT JOIN LATERAL (
                SELECT (ARRAY(SELECT pg_catalog.unnest(indkey)))[1:indnkeyatts] AS columns FROM pg_index
                WHERE indrelid = a.attrelid AND indisunique AND indisvalid AND indpred IS NULL AND indexprs IS NULL
                  AND NOT EXISTS (SELECT FROM pg_attribute n WHERE n.attrelid = indrelid AND n.attnum = ANY (indkey) AND NOT n.attnotnull)
                ORDER BY indisprimary DESC, indnkeyatts, indexrelid LIMIT 1
            ) i ON true
            WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND has_column_privilege(a.attrelid, a.attnum, 'SELECT')
            ORDER BY a.attnum";
        let column = |row: Row| Column { name: row.get(0), type_name: row.get(1), type_oid: Oid(row.get(2)), key: row.get(3) };
        Ok(self.client.query(columns, &[&self.table.oid]).await?.into_iter().map(column).collect())
    }

    async fn page(&self, columns: &[Column], wanted: parameters::Page) -> Result<Response, Problem> {
        let mut key: Vec<_> = columns.iter().filter(|column| column.key.is_some()).collect();
        key.sort_by_key(|column| column.key);
        if wanted.after.as_ref().is_some_and(|after| after.len() != key.len() || key.is_empty()) {
            return Err(Kind::InvalidParameter.because("after: give the value of `next` as it stood in the page before."));
        }
        let (name, read_at) = self.name().await?;
        let sql = self.select(&name, columns, &key, &wanted);
        let after = wanted.after.iter().flatten().map(|text| text as &(dyn ToSql + Sync));
        let stream = self.client.query_raw(&sql, after.collect::<Vec<_>>()).await.map_err(|error| misplaced(error, &wanted))?;
        let mut stream = std::pin::pin!(stream);

        let (mut rows, mut cut, mut size, mut complete, mut last) = (Vec::new(), Vec::new(), 0, true, None);
        while let Some(row) = stream.try_next().await.map_err(|error| misplaced(error, &wanted))? {
            if rows.len() == wanted.limit as usize || size > MAX_PAGE {
                complete = false;
                break;
            }
            let json = render(&row, columns, rows.len(), &mut cut);
            size += json.get().len();
            rows.push(json);
            last = Some(row);
        }
        let place = |column: &&Column| columns.iter().position(|other| std::ptr::eq(other, *column)).unwrap_or_default();
        let next = last.filter(|_| !complete && !key.is_empty()).map(|row| {
            let texts: Vec<_> = key.iter().map(|column| row.get::<_, Option<String>>(2 * place(column))).collect();
            serde_json::to_string(&texts).unwrap_or_default()
        });
        let Table { schema, name: table, .. } = self.table;
        let key = key.iter().map(|column| column.name.as_str()).collect();
        Ok(fresh_json(Page { schema, table, read_at: rfc3339_unix(read_at), key, rows, cut, complete, next }))
    }

    /// The table as SQL names it now, and the time by the server's clock (Unix time, microseconds).
    async fn name(&self) -> Result<(String, i64), Problem> {
        let now = "SELECT c.oid::regclass::text, (extract(epoch FROM now()) * 1000000)::int8 FROM pg_class c WHERE c.oid = $1";
        let row = self.client.query_opt(now, &[&self.table.oid]).await.map_err(explain)?;
        let row = row.ok_or_else(|| Kind::NotFound.because("The table was dropped a moment ago."))?;
        Ok((row.get(0), row.get(1)))
    }

    /// Two columns for each of the table's: the text, cut, and its whole length in characters.
    fn select(&self, name: &str, columns: &[Column], key: &[&Column], wanted: &parameters::Page) -> String {
        // `format` gives what the type's output function gives, which a cast to text does not for every type. It takes any type, so one
        // that someone made for a certain type would be taken before the server's own, were that not named.
        let shown = columns.iter().map(|column| {
            let text = format!("pg_catalog.format('%s', {})", quoted(&column.name));
            format!(
                "CASE WHEN {} IS DISTINCT FROM NULL THEN left({text}, {MAX_VALUE}) END, length({text})::int8",
                quoted(&column.name)
            )
        });
        let shown = shown.collect::<Vec<_>>().join(", ");
        let list = |part: &dyn Fn(usize, &Column) -> String| {
            key.iter().enumerate().map(|(index, column)| part(index, column)).collect::<Vec<_>>().join(", ")
        };
        // A partitioned table's rows are its partitions'; any other's are its own, as its count is.
        let only = if self.table.kind == TableKind::PartitionedTable { "" } else { "ONLY " };
        let names = list(&|_, column| quoted(&column.name));
        let after = list(&|index, column| format!("CAST(${}::text AS {})", index + 1, column.type_name));
        let from = if wanted.after.is_some() { format!(" WHERE ({names}) > ({after})") } else { String::new() };
        let order = if key.is_empty() { String::new() } else { format!(" ORDER BY {names}") };
        format!("SELECT {shown} FROM {only}{name}{from}{order} LIMIT {}", u64::from(wanted.limit) + 1)
    }
}

fn quoted(name: &str) -> String {
    postgres_protocol::escape::escape_identifier(name)
}

fn render<'a>(row: &Row, columns: &'a [Column], number: usize, cut: &mut Vec<Cut<'a>>) -> Box<RawValue> {
    let mut json = vec![b'{'];
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        // Writing to memory cannot fail.
        let _ = serde_json::to_writer(&mut json, &column.name);
        json.push(b':');
        let characters: i64 = row.get(2 * index + 1);
        match row.get::<_, Option<&str>>(2 * index) {
            None => json.extend_from_slice(b"null"),
            // A part of a document is no document: it is shown as text.
            Some(text) if characters > MAX_VALUE as i64 => {
                let _ = serde_json::to_writer(&mut json, text);
                cut.push(Cut { row: number, column: &column.name, characters });
            }
            Some(text) => write_text(&mut json, column.type_oid, text),
        }
    }
    json.push(b'}');
    String::from_utf8(json).ok().and_then(|json| RawValue::from_string(json).ok()).unwrap_or_default()
}

/// The same as [`explain`], where a value that was asked for can be what the database did not understand.
fn misplaced(error: tokio_postgres::Error, wanted: &parameters::Page) -> Problem {
    match error.as_db_error() {
        Some(server) if wanted.after.is_some() && server.code().code().starts_with("22") => {
            Kind::InvalidParameter.because(format!("after: {} ({}).", server.message(), server.code().code()))
        }
        _ => explain(error),
    }
}

/// What the database said, for the one who asked.
fn explain(error: tokio_postgres::Error) -> Problem {
    let Some(server) = error.as_db_error() else {
        return if error.is_closed() {
            Kind::DatabaseUnavailable.because("The connection to the database was lost. Ask again in a moment.")
        } else {
            Kind::Failed.because(format!("The rows could not be read: {error}. Please report it."))
        };
    };
    let said = format!("{} ({})", server.message(), server.code().code());
    match server.code() {
        code if *code == SqlState::QUERY_CANCELED || *code == SqlState::LOCK_NOT_AVAILABLE => {
            Kind::DatabaseUnavailable.because(format!("{said}. Ask for fewer rows, or again later."))
        }
        code if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            Kind::DatabaseRefused.because(format!("{said}. Grant SELECT on the table to the role that pgvigil connects as."))
        }
        _ => Kind::DatabaseRefused.because(format!("{said}.")),
    }
}
