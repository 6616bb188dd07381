//! Whether columns of now take texts of then, and rows fulfil the checks of now.
//!
//! Nothing is written, and nothing that an ordinary user wrote is run: what may do that is not asked (`calls_application`).

use postgres_protocol::escape::{escape_identifier, escape_literal};
use rustc_hash::FxHashSet;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::read::is_transient;
use crate::undo::doubt::{Rows, Texts};
use crate::undo::schema::{Check, Column, Schema};

/// Texts that are asked about together.
const TOGETHER: usize = 10_000;

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
    let reading = reading(column);
    let mut read = Read::default();
    for part in asked.texts.chunks(TOGETHER) {
        client.execute("SELECT set_config('pgvigil.texts', $1::text[]::text, false)", &[&part]).await?;
        if let Err(error) = client.batch_execute(&reading).await {
            return unknown(error);
        }
        let answer = "SELECT current_setting('pgvigil.refused')::text[], current_setting('pgvigil.rewritten')::text[]";
        let answer = client.query_one(answer, &[]).await?;
        read.refused.extend(answer.try_get::<_, Vec<String>>(0)?);
        read.rewritten.extend(answer.try_get::<_, Vec<String>>(1)?);
    }
    Ok(Taken::Known(read))
}

/// The block that reads texts. A cast would cut what is too long, so it is fields of a record that are read; but a document that is a field of a
/// document is read as it stands.
fn reading(Column { type_name, stored_as, is_document, is_spelled_out, .. }: &Column) -> String {
    let read = match is_document {
        true => format!("(SELECT CAST(text AS {type_name})) AS read (value)"),
        false => format!("jsonb_to_record(jsonb_build_object('value', text)) AS read (value {stored_as})"),
    };
    // The text of an array is made of its elements, and that of a boolean is the one of JSON.
    let written = if *is_spelled_out { format!("format('%s', CAST(text AS {type_name}))") } else { "text".to_owned() };
    let block = include_str!("../../sql/undo/taken.sql").replace("{written}", &written).replace("{read}", &read);
    format!("DO {}", escape_literal(&block))
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
