//! Reading the rows of one small table in one snapshot, [held](super::held), in the very text that the stream would send of them.
//!
//! `COPY` gives what the type's output function gives, as `pgoutput` does and a cast to text does not for every type; its encoding
//! `SQL_ASCII` asks for no conversion, as the replication session does; and the settings that the text depends on are those of that session.
//!
//! Nothing large is ever sent: a value that is too long is left out where it is, with its length, and a table with too many pages is not
//! read at all.

use std::collections::BTreeSet;
use std::pin::pin;

use bytes::Bytes;
use bytesize::ByteSize;
use futures_util::TryStreamExt;
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::held::{self, Failure, Held, Step};
use super::{CatalogError, CountError, Table};
use crate::lsn::Oid;
use crate::pgoutput::encode::TupleBuf;
use crate::pgoutput::{Value, ValueLimit};
use crate::rows::{Column, Contents, Reading, Reason, Shape};

/// As the replication session has them; and a reading that takes long is given up.
const SETTINGS: &str = "SET LOCAL datestyle = ISO; SET LOCAL intervalstyle = postgres; SET LOCAL extra_float_digits = 3; \
    SET LOCAL timezone = UTC; SET LOCAL bytea_output = hex; SET LOCAL statement_timeout = '2s'";

/// A file of so many times the size that rows may have in memory is not read: it would take too long to find them in it.
const BLOAT: u64 = 4;
const PAGE: u64 = 8192;

/// Rows that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// They are not to be kept.
    #[error(transparent)]
    Refused(#[from] Reason),
    /// The table could not be read now, as it could not have been counted.
    #[error(transparent)]
    Failed(#[from] CountError),
}

/// Reads the rows of `table`, which must be one that has rows ([`Table::has_rows`]): the columns that `publication` carries, if they take no
/// more than `limit` bytes in memory, with longer values than `max_value` left out.
pub async fn contents(
    client: &mut Client,
    table: &Table,
    publication: &str,
    limit: usize,
    max_value: ValueLimit,
) -> Result<Reading, ReadError> {
    let outcome = attempt(client, table, publication, limit, max_value).await;
    match held::explained(client, table, outcome).await? {
        Ok(reading) => Ok(reading),
        Err(reason) => Err(reason.into()),
    }
}

async fn attempt(
    client: &mut Client,
    table: &Table,
    publication: &str,
    limit: usize,
    max_value: ValueLimit,
) -> Result<Result<Reading, Reason>, Failure> {
    let held = Held::take(client, table, None).await?;
    let too_large = || Reason::Table { limit: ByteSize::b(limit as u64) };
    if held.blocks.saturating_mul(PAGE) > (limit as u64).saturating_mul(BLOAT) {
        return Ok(Err(too_large()));
    }
    held.transaction.batch_execute(SETTINGS).await?;
    let published = Published::read(&held, publication, max_value).await?;
    let shape = match published.shape() {
        Ok(shape) => shape,
        Err(reason) => return Ok(Err(reason)),
    };

    let mut contents = Contents::new(shape);
    let copy = format!("COPY (SELECT {} FROM ONLY {}) TO STDOUT (ENCODING 'SQL_ASCII')", published.list(), held.name);
    let copied = async {
        let mut lines = pin!(held.transaction.copy_out(&copy).await?);
        while let Some(line) = lines.try_next().await? {
            if !contents.add(published.row(&line).into()) {
                return Ok(Err(Reason::NoKey));
            }
            if contents.size() > limit {
                return Ok(Err(too_large()));
            }
        }
        Ok(Ok(()))
    };
    match copied.await {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => return Ok(Err(reason)),
        Err(error) => return refused(error).map(Err),
    }
    let above =
        held.transaction.query_typed(include_str!("../../sql/catalog/ancestors.sql"), &[(&held.oid.0, Type::OID)]).await?;
    let mut hangs_on = published.hangs_on;
    for row in above {
        hangs_on.insert(Oid(row.try_get(0)?));
    }
    // Unlike the rows, the text of an enum or a composite is as the catalog has it when it is written, not as the snapshot sees it.
    let here = held.transaction.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await?;
    let lsn = here.try_get::<_, &str>(0)?.parse().map_err(|error| CountError::Unexpected(CatalogError::from(error)))?;
    let snapshot = held.snapshot.clone();
    held.release().await?;
    Ok(Ok(Reading { snapshot, lsn, hangs_on: hangs_on.into_iter().collect(), contents }))
}

/// What the server says of the rows themselves will not be otherwise the next time.
fn refused(error: tokio_postgres::Error) -> Result<Reason, Failure> {
    match error.as_db_error() {
        Some(said) if *said.code() == SqlState::QUERY_CANCELED => Ok(Reason::Slow),
        // A value that is too long for the server itself, or one that it cannot read.
        Some(said) if matches!(said.code().code().get(..2), Some("22" | "54" | "XX")) => {
            Ok(Reason::Unreadable { code: said.code().code().to_owned() })
        }
        _ => Err(Step::Read.failed()(error)),
    }
}

/// The columns that the stream would send.
struct Published {
    columns: Vec<Column>,
    /// Places of those that name a row.
    key: Vec<usize>,
    /// Whether values can be of any length.
    any_length: Vec<bool>,
    /// The first whose text may change while nothing tells of it.
    untold: Option<String>,
    /// What the text of any changes with.
    hangs_on: BTreeSet<Oid>,
    max_value: usize,
}

impl Published {
    async fn read(held: &Held<'_>, publication: &str, ValueLimit(max_value): ValueLimit) -> Result<Self, Failure> {
        let query = include_str!("../../sql/catalog/published_columns.sql");
        let rows = held.transaction.query_typed(query, &[(&held.oid.0, Type::OID), (&publication, Type::TEXT)]).await?;
        let (columns, key, any_length, hangs_on) = (Vec::new(), Vec::new(), Vec::new(), BTreeSet::new());
        let mut published = Published { columns, key, any_length, untold: None, hangs_on, max_value };
        for (place, row) in rows.iter().enumerate() {
            let name: String = row.try_get("name")?;
            if row.try_get("in_key")? {
                published.key.push(place);
            }
            if row.try_get("untold")? {
                published.untold.get_or_insert_with(|| name.clone());
            }
            published.hangs_on.extend(row.try_get::<_, Vec<u32>>("hangs_on")?.into_iter().map(Oid));
            published.any_length.push(row.try_get("any_length")?);
            published.columns.push(Column {
                name,
                type_oid: Oid(row.try_get("type")?),
                typmod: row.try_get("typmod")?,
                in_identity: row.try_get("in_identity")?,
            });
        }
        Ok(published)
    }

    fn shape(&self) -> Result<Shape, Reason> {
        match &self.untold {
            Some(column) => Err(Reason::Untold { column: column.clone() }),
            None => Shape::new(self.columns.as_slice().into(), self.key.clone()).ok_or(Reason::NoKey),
        }
    }

    /// What is selected: each column, and, where its values can be of any length, that of one that is too long to be sent.
    fn list(&self) -> String {
        let max = self.max_value;
        let columns = self.columns.iter().zip(&self.any_length).map(|(column, any_length)| {
            let name = escape_identifier(&column.name);
            if *any_length {
                // Of all functions, only this one takes any type and gives what the type's output function gives.
                let length = format!("pg_catalog.octet_length(pg_catalog.format('%s', {name}))");
                format!("CASE WHEN {length} <= {max} THEN {name} END, CASE WHEN {length} > {max} THEN {length} END")
            } else {
                name
            }
        });
        columns.collect::<Vec<_>>().join(", ")
    }

    /// A line of what `COPY` gives for [`Self::list`].
    fn row(&self, line: &Bytes) -> TupleBuf {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut fields = line.split(|byte| *byte == b'\t').map(field);
        let values: Vec<_> = self
            .any_length
            .iter()
            .map(|any_length| {
                let value = fields.next().flatten();
                let length = if *any_length { fields.next().flatten() } else { None };
                let length = length.and_then(|digits| std::str::from_utf8(&digits).ok()?.parse().ok());
                (value, length)
            })
            .collect();
        values.iter().map(|(text, length)| value(text.as_deref(), *length)).collect()
    }
}

fn value(text: Option<&[u8]>, too_long: Option<usize>) -> Value<'_> {
    match (text, too_long) {
        (_, Some(length)) => Value::Cut(length),
        (Some(text), None) => Value::Text(text),
        (None, None) => Value::Null,
    }
}

/// A field of `COPY`'s text format: <https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2>. `None` for NULL.
fn field(text: &[u8]) -> Option<Vec<u8>> {
    if text == b"\\N" {
        return None;
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'b') => 0x08,
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'v') => 0x0B,
                Some(b'f') => 0x0C,
                Some(b'r') => b'\r',
                Some(other) => *other,
                None => b'\\',
            },
            other => *other,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_copy_are_read() {
        assert_eq!(field(b"\\N"), None);
        assert_eq!(field(b"").unwrap(), b"");
        assert_eq!(field(br"a\\N\tb\n\r\b\f\v\\").unwrap(), b"a\\N\tb\n\r\x08\x0c\x0b\\");
    }
}
