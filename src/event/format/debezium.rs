//! Debezium's change events, as its PostgreSQL connector emits them with schemas disabled:
//! <https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-events>.
//!
//! The envelope is Debezium's; the values are the stream's (a timestamp is PostgreSQL's text, not a number of microseconds), since the
//! stream does not carry the types that Debezium's encodings depend on. There is no time of processing apart from that of the commit,
//! so `ts_ms` is the same in both places.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::event::block::Operation;
use crate::event::received::{Change, Event, Message, Row, Tx};
use crate::lsn::Lsn;

/// What Debezium puts for a large value that was not sent; here also for one that is too long to be kept.
const UNAVAILABLE: &str = "__debezium_unavailable_value";

#[derive(Serialize)]
struct Envelope<'a> {
    before: Option<Columns<'a>>,
    after: Option<Columns<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Content<'a>>,
    source: Source<'a>,
    transaction: Option<Transaction>,
    op: &'static str,
    ts_ms: Option<i64>,
}

#[derive(Serialize)]
struct Source<'a> {
    version: &'static str,
    connector: &'static str,
    name: &'static str,
    ts_ms: Option<i64>,
    ts_us: Option<i64>,
    snapshot: &'static str,
    db: &'a str,
    schema: &'a str,
    table: &'a str,
    #[serde(rename = "txId")]
    tx_id: Option<u32>,
    lsn: Option<u64>,
    xmin: Option<u32>,
}

#[derive(Serialize)]
struct Transaction {
    id: String,
    total_order: u64,
}

/// A logical message: Debezium gives the content in base64.
#[derive(Serialize)]
struct Content<'a> {
    prefix: &'a str,
    content: Option<String>,
}

/// A row with the columns that are missing from it.
struct Columns<'a> {
    row: &'a Row<'a>,
    unavailable: BTreeSet<&'a str>,
}

impl Serialize for Columns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        enum Column<'a> {
            Known(&'a RawValue),
            Unavailable,
        }
        impl Serialize for Column<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    Self::Known(value) => value.serialize(serializer),
                    Self::Unavailable => serializer.serialize_str(UNAVAILABLE),
                }
            }
        }
        let known = self.row.iter().map(|(name, value)| (name, Column::Known(value)));
        let missing = self.unavailable.iter().filter(|name| self.row.get(name).is_none());
        serializer.collect_map(known.chain(missing.map(|name| (*name, Column::Unavailable))))
    }
}

pub(super) fn line(event: &Event<'_>, database: &str) -> Result<Option<String>, serde_json::Error> {
    let envelope = match event {
        Event::Change(change) => of_change(change, database),
        Event::Message(message) => of_message(message, database),
        _ => return Ok(None),
    };
    serde_json::to_string(&envelope).map(Some)
}

fn of_change<'a>(change: &'a Change<'a>, database: &'a str) -> Envelope<'a> {
    let source = source(Some(&change.tx), database, &change.schema, &change.table);
    Envelope {
        before: change.old.as_ref().map(|row| Columns { row, unavailable: change.cut.old.keys().map(String::as_str).collect() }),
        after: change.new.as_ref().map(|row| {
            let unchanged = change.unchanged.iter().map(String::as_str);
            Columns { row, unavailable: unchanged.chain(change.cut.new.keys().map(String::as_str)).collect() }
        }),
        message: None,
        transaction: Some(transaction(&change.tx)),
        op: match change.op {
            Operation::Insert => "c",
            Operation::Update => "u",
            Operation::Delete => "d",
            Operation::Truncate => "t",
        },
        ts_ms: source.ts_ms,
        source,
    }
}

fn of_message<'a>(message: &'a Message<'a>, database: &'a str) -> Envelope<'a> {
    let content = message.content.as_ref().map(|content| match message.content_encoding {
        Some(_) => content.to_string(),
        None => BASE64.encode(content.as_bytes()),
    });
    let source = source(message.tx.as_ref(), database, "", "");
    Envelope {
        before: None,
        after: None,
        message: Some(Content { prefix: &message.prefix, content }),
        transaction: message.tx.as_ref().map(transaction),
        op: "m",
        ts_ms: source.ts_ms,
        source,
    }
}

fn source<'a>(tx: Option<&Tx<'_>>, db: &'a str, schema: &'a str, table: &'a str) -> Source<'a> {
    let micros = tx.and_then(|tx| tx.time.parse::<jiff::Timestamp>().ok()).map(jiff::Timestamp::as_microsecond);
    Source {
        version: env!("CARGO_PKG_VERSION"),
        connector: "postgresql",
        name: "pgvigil",
        ts_ms: micros.map(|micros| micros.div_euclid(1000)),
        ts_us: micros,
        snapshot: "false",
        db,
        schema,
        table,
        tx_id: tx.map(|tx| tx.xid),
        lsn: tx.and_then(|tx| tx.lsn.parse::<Lsn>().ok()).map(|Lsn(lsn)| lsn),
        xmin: None,
    }
}

/// Debezium's id of a transaction: its xid and its position.
fn transaction(tx: &Tx<'_>) -> Transaction {
    let Lsn(lsn) = tx.lsn.parse().unwrap_or_default();
    Transaction { id: format!("{}:{lsn}", tx.xid), total_order: tx.ordinal }
}
