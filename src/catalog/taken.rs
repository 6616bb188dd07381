//! Whether columns of now take texts of then, and rows fulfil the checks of now.
//!
//! Nothing is written, and nothing that an ordinary user wrote is run: what may do that is not asked (`calls_application`).

use postgres_protocol::escape::escape_identifier;
use rustc_hash::FxHashSet;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::read::is_transient;
use crate::undo::doubt::{Rows, Texts};
use crate::undo::schema::{Check, Column, Schema};

/// Texts that are asked about together.
const TOGETHER: usize = 5_000;

/// Questions about one column. Where so many do not do, the texts that are left are taken for refused.
const MOST: usize = 20_000;

/// What the database said.
#[derive(Debug)]
pub enum Taken<T> {
    /// So.
    Known(T),
    /// It cannot be asked, for this reason.
    Unknown(String),
}

/// What a column makes of texts.
#[derive(Debug, Default)]
pub struct Read {
    /// It does not take these,
    pub refused: FxHashSet<String>,
    /// and makes something else of these.
    pub rewritten: FxHashSet<String>,
}

/// What the column makes of these texts.
pub async fn texts(client: &Client, schema: &Schema, asked: &Texts) -> Result<Taken<Read>, tokio_postgres::Error> {
    let column = schema.tables.get(&asked.table).and_then(|table| table.columns.get(asked.column));
    let Some(column) = column else { return Ok(Taken::Known(Read::default())) };
    let statement = match client.prepare(&reading(column)).await {
        Ok(statement) => statement,
        Err(error) => return unknown(error),
    };
    let (mut read, mut questions) = (Read::default(), 0);
    // Halves of what was refused are asked again.
    let mut parts: Vec<&[String]> = asked.texts.chunks(TOGETHER).collect();
    while let Some(part) = parts.pop() {
        questions += 1;
        let answer = if questions > MOST { None } else { Some(client.query_one(&statement, &[&part]).await) };
        match answer {
            Some(Ok(row)) => read.rewritten.extend(row.try_get::<_, Vec<String>>(0)?),
            Some(Err(error)) if !is_refusal(&error) => return unknown(error),
            Some(Err(_)) if part.len() > 1 => parts.extend(<[&[String]; 2]>::from(part.split_at(part.len() / 2))),
            Some(Err(_)) | None => read.refused.extend(part.iter().cloned()),
        }
    }
    Ok(Taken::Known(read))
}

/// Reads all texts of `$1`, and gives those that it would write otherwise. A cast would cut what is too long, so it is fields of a record that
/// are read; but a document that is a field of a document is read as it stands.
fn reading(Column { type_name, stored_as, is_document, is_spelled_out, .. }: &Column) -> String {
    let read = match is_document {
        true => format!("(SELECT CAST(text AS {type_name})) AS read (value)"),
        false => format!("jsonb_to_record(jsonb_build_object('value', text)) AS read (value {stored_as})"),
    };
    // The text of an array is made of its elements, and that of a boolean is the one of JSON.
    let written = if *is_spelled_out { format!("format('%s', CAST(text AS {type_name}))") } else { "text".to_owned() };
    format!(
        "SELECT coalesce(array_agg(text) FILTER (WHERE format('%s', read.value) <> {written}), '{{}}') \
         FROM unnest($1::text[]) text, LATERAL {read}"
    )
}

/// Which of these rows do not fulfil the check.
pub async fn rows(
    client: &Client,
    schema: &Schema,
    asked: &Rows,
) -> Result<Taken<FxHashSet<Vec<Option<String>>>>, tokio_postgres::Error> {
    let table = schema.tables.get(&asked.table);
    let Some((table, check)) = table.and_then(|table| Some((table, table.checks.get(asked.check)?))) else {
        return Ok(Taken::Known(FxHashSet::default()));
    };
    let columns: Vec<&Column> = check.columns.iter().filter_map(|place| table.columns.get(*place)).collect();
    let values: Vec<Vec<Option<&str>>> =
        (0..columns.len()).map(|nth| asked.rows.iter().map(|row| row.get(nth).and_then(Option::as_deref)).collect()).collect();
    let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|values| values as _).collect();
    match client.query(&fulfilling(check, &columns), &parameters).await {
        Ok(found) => {
            let places = found.iter().map(|row| row.try_get::<_, i64>(0)).collect::<Result<Vec<_>, _>>()?;
            let row = |place: i64| asked.rows.get(usize::try_from(place).ok()?.checked_sub(1)?).cloned();
            Ok(Taken::Known(places.into_iter().filter_map(row).collect()))
        }
        Err(error) => unknown(error),
    }
}

/// The numbers of the rows that do not fulfil it; `$1` and so on are the values of its columns.
fn fulfilling(check: &Check, columns: &[&Column]) -> String {
    let (mut given, mut names, mut read) = (Vec::new(), Vec::new(), Vec::new());
    for (nth, column) in (1..).zip(columns) {
        given.push(format!("${nth}::text[]"));
        names.push(format!("text{nth}"));
        read.push(format!("CAST(told.text{nth} AS {}) AS {}", column.stored_as, escape_identifier(&column.name)));
    }
    if columns.is_empty() {
        return format!("SELECT 1::bigint WHERE ({}) IS FALSE", check.expression);
    }
    format!(
        "SELECT told.nth FROM unnest({}) WITH ORDINALITY AS told ({}, nth), LATERAL (SELECT {}) AS it WHERE ({}) IS FALSE",
        given.join(", "),
        names.join(", "),
        read.join(", "),
        check.expression
    )
}

/// The value is not good. By which code a type says so is its own affair.
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| !is_transient(code) && *code != SqlState::INSUFFICIENT_PRIVILEGE)
}

/// That it cannot be asked; or that the connection is in trouble, or takes too long.
fn unknown<T>(error: tokio_postgres::Error) -> Result<Taken<T>, tokio_postgres::Error> {
    match error.as_db_error() {
        // A statement_timeout of our own.
        Some(server) if !is_transient(server.code()) || *server.code() == SqlState::QUERY_CANCELED => {
            Ok(Taken::Unknown(format!("{} ({})", server.message(), server.code().code())))
        }
        _ => Err(error),
    }
}
