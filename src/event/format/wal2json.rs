//! wal2json's format version 2, one object a line: <https://github.com/eulerto/wal2json>.
//!
//! As with `include-xids`, `include-lsn` and `include-timestamp` on and `include-types` off, since the stream carries no types.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::event::block::Operation;
use crate::event::received::{Change, Cut, CutMessage, Event, Message, Row, Tx};

#[derive(Default, Serialize)]
struct Action<'a> {
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    xid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lsn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<Column<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<Vec<Column<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transactional: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    /// Ours: wal2json would put the bytes as they are, and break the JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<&'a str>,
    /// Ours: what is left out since it is too long, as the stream says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<Missing<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Missing<'a> {
    Columns(&'a Cut),
    Content(CutMessage),
}

#[derive(Serialize)]
struct Column<'a> {
    name: &'a str,
    value: &'a RawValue,
}

/// The event's line, after that of its transaction's beginning if this is the first event seen of it, which `begun` remembers.
pub(super) fn lines(event: &Event<'_>, begun: &mut String) -> Result<Option<String>, serde_json::Error> {
    let (tx, action) = match event {
        Event::Change(change) => (Some(&change.tx), of_change(change)),
        Event::Message(message) => (message.tx.as_ref(), of_message(message)),
        Event::Commit(commit) => (Some(&commit.tx), Action { action: "C", ..in_transaction(&commit.tx) }),
        _ => return Ok(None),
    };
    let line = serde_json::to_string(&action)?;
    match tx {
        Some(tx) if tx.id != begun => {
            tx.id.clone_into(begun);
            let begin = serde_json::to_string(&Action { action: "B", ..in_transaction(tx) })?;
            Ok(Some(format!("{begin}\n{line}")))
        }
        _ => Ok(Some(line)),
    }
}

fn in_transaction<'a>(tx: &Tx<'a>) -> Action<'a> {
    // PostgreSQL's form of a timestamptz, in UTC.
    let timestamp = tx.time.trim_end_matches('Z').replacen('T', " ", 1) + "+00";
    Action { xid: Some(tx.xid), timestamp: Some(timestamp), lsn: Some(tx.lsn), ..Action::default() }
}

fn of_change<'a>(change: &'a Change<'a>) -> Action<'a> {
    // wal2json identifies the row of an UPDATE by its old key, also when it has not changed.
    let identity = match change.op {
        Operation::Update => change.old.as_ref().or(change.key.as_ref()),
        _ => change.old.as_ref(),
    };
    Action {
        action: match change.op {
            Operation::Insert => "I",
            Operation::Update => "U",
            Operation::Delete => "D",
            Operation::Truncate => "T",
        },
        schema: Some(&change.schema),
        table: Some(&change.table),
        columns: change.new.as_ref().map(columns),
        identity: identity.map(columns),
        cut: (!change.cut.old.is_empty() || !change.cut.new.is_empty()).then_some(Missing::Columns(&change.cut)),
        ..in_transaction(&change.tx)
    }
}

fn of_message<'a>(message: &'a Message<'a>) -> Action<'a> {
    Action {
        action: "M",
        transactional: Some(message.tx.is_some()),
        prefix: Some(&message.prefix),
        content: message.content.as_deref(),
        content_encoding: message.content_encoding.as_deref(),
        cut: message.cut.map(Missing::Content),
        ..message.tx.as_ref().map(in_transaction).unwrap_or_default()
    }
}

fn columns<'a>(row: &'a Row<'a>) -> Vec<Column<'a>> {
    row.iter().map(|(name, value)| Column { name, value }).collect()
}
