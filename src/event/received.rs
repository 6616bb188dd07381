//! The stream's JSON, read back into typed events by those who receive it.
//!
//! Rows keep the order of their columns and the text of their values ([`RawValue`]), so that nothing is lost on the way into another
//! format: a parsed number would be `1.1` where the stream said `1.10`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::block::Operation;
use crate::lsn::Oid;

/// One object of the stream; those that say nothing about the data are [`Event::Other`].
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The first of every connection.
    Hello(Hello),
    /// A row changed, or a table was truncated.
    Change(Box<Change<'a>>),
    /// A transaction's changes are complete.
    Commit(Commit<'a>),
    /// Something was altered.
    Ddl(Ddl<'a>),
    /// A logical message.
    Message(Message<'a>),
    /// Continuity was lost.
    Gap(Gap<'a>),
    /// The server refuses something.
    Error(Refusal),
    /// Counts, status, alerts, answers.
    Other,
}

/// `hello`, as far as a format needs it.
#[derive(Clone, Debug, Deserialize)]
pub struct Hello {
    /// What is watched.
    pub database: Option<Database>,
    /// Tables that were asked for and are not there.
    #[serde(default)]
    pub no_such_table: Vec<String>,
}

/// The watched database.
#[derive(Clone, Debug, Deserialize)]
pub struct Database {
    /// Name.
    pub name: String,
}

/// The transaction of an event.
#[derive(Clone, Debug, Deserialize)]
pub struct Tx<'a> {
    /// The transaction's identity.
    pub id: &'a str,
    /// Top-level transaction id.
    pub xid: u32,
    /// Where its commit stands.
    pub lsn: &'a str,
    /// When it was committed, RFC 3339.
    pub time: &'a str,
    /// The event's place in it, from 1.
    pub ordinal: u64,
    /// Changes of the whole transaction; a commit has it.
    pub changes: Option<u64>,
    /// Who did it, if that is known.
    #[serde(borrow)]
    pub actor: Option<Actor<'a>>,
}

/// Who did something, as far as it was told.
#[derive(Clone, Debug, Deserialize)]
pub struct Actor<'a> {
    /// Who logged in.
    #[serde(borrow)]
    pub session_user: Option<Cow<'a, str>>,
    /// What the client calls itself.
    #[serde(borrow)]
    pub application_name: Option<Cow<'a, str>>,
    /// The statement.
    #[serde(borrow)]
    pub query: Option<Cow<'a, str>>,
    /// What the application says of itself.
    #[serde(borrow)]
    pub annotation: Option<&'a RawValue>,
}

/// `change`
#[derive(Clone, Debug, Deserialize)]
pub struct Change<'a> {
    /// Its identity.
    pub id: &'a str,
    /// What was done.
    pub op: Operation,
    /// The table's schema.
    #[serde(borrow)]
    pub schema: Cow<'a, str>,
    /// The table's name.
    #[serde(borrow)]
    pub table: Cow<'a, str>,
    /// The table itself, whatever it is called.
    #[serde(default)]
    pub oid: Oid,
    /// Its transaction.
    #[serde(borrow)]
    pub tx: Tx<'a>,
    /// What names the row.
    #[serde(borrow)]
    pub key: Option<Row<'a>>,
    /// What is known of the old row.
    #[serde(borrow)]
    pub old: Option<Row<'a>>,
    /// The new row.
    #[serde(borrow)]
    pub new: Option<Row<'a>>,
    /// Nothing is missing in `old`.
    #[serde(default)]
    pub old_complete: bool,
    /// Columns whose large value was not sent.
    pub unchanged: Vec<String>,
    /// What is missing from the rows since it is too long.
    #[serde(default)]
    pub cut: Cut,
    /// Columns with bytes that mean nothing in the server's encoding.
    #[serde(default)]
    pub invalid: Vec<String>,
    /// PostgreSQL's own text of the values that their JSON does not tell.
    #[serde(default, borrow)]
    pub exact: Exact<'a>,
    /// The table's count after it.
    pub count: Option<i64>,
    /// Rows that a truncate removed.
    pub rows_lost: Option<i64>,
    /// All of these rows, whole, where they are known.
    #[serde(default, borrow)]
    pub old_rows: Option<Vec<Row<'a>>>,
}

/// The columns that are missing from the rows of a change since their values are too long to be kept, with how long each is.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Cut {
    /// From the old row.
    pub old: BTreeMap<String, u64>,
    /// From the new row.
    pub new: BTreeMap<String, u64>,
}

/// PostgreSQL's own text of some values of a change, each a JSON string.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Exact<'a> {
    /// In the old row.
    #[serde(borrow)]
    pub old: Row<'a>,
    /// In the new row.
    #[serde(borrow)]
    pub new: Row<'a>,
    /// In each of the rows that a truncate removed.
    #[serde(default, borrow)]
    pub old_rows: Vec<Row<'a>>,
}

/// `commit`
#[derive(Clone, Debug, Deserialize)]
pub struct Commit<'a> {
    /// Its identity.
    pub id: &'a str,
    /// The transaction.
    #[serde(borrow)]
    pub tx: Tx<'a>,
    /// What it did to each table.
    #[serde(borrow)]
    pub tables: Vec<Totals<'a>>,
}

/// What a transaction did to one table.
#[derive(Clone, Debug, Deserialize)]
pub struct Totals<'a> {
    /// The table itself, whatever it is called.
    #[serde(default)]
    pub oid: Oid,
    /// The table's schema.
    #[serde(borrow)]
    pub schema: Cow<'a, str>,
    /// The table's name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Rows inserted.
    pub inserts: u64,
    /// Rows updated.
    pub updates: u64,
    /// Rows deleted.
    pub deletes: u64,
    /// Times truncated.
    pub truncates: u64,
}

/// `ddl`
#[derive(Clone, Debug, Deserialize)]
pub struct Ddl<'a> {
    /// Its identity.
    pub id: &'a str,
    /// The transaction.
    #[serde(borrow)]
    pub tx: Tx<'a>,
    /// The command's tag.
    #[serde(borrow)]
    pub command: Cow<'a, str>,
    /// What was altered.
    pub object: Option<String>,
    /// The statement, if it is known.
    #[serde(default)]
    pub sql: Option<String>,
}

/// `message`
#[derive(Clone, Debug, Deserialize)]
pub struct Message<'a> {
    /// Its identity.
    pub id: &'a str,
    /// Its transaction, if it has one.
    #[serde(borrow)]
    pub tx: Option<Tx<'a>>,
    /// What kind of message it is.
    #[serde(borrow)]
    pub prefix: Cow<'a, str>,
    /// Text, or what `content_encoding` says; nothing if it was too long to be kept.
    #[serde(borrow)]
    pub content: Option<Cow<'a, str>>,
    /// `base64`, or nothing for plain text.
    pub content_encoding: Option<String>,
    /// What is missing since it is too long.
    pub cut: Option<CutMessage>,
}

/// How long a message is that is too long to be kept.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct CutMessage {
    /// Bytes of the prefix, if only its beginning is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<u64>,
    /// Bytes of the content.
    pub content: u64,
}

/// `gap`
#[derive(Clone, Debug, Deserialize)]
pub struct Gap<'a> {
    /// The last event known before it.
    pub from: Option<&'a str>,
    /// The first place known after it.
    pub to: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// `error`
#[derive(Clone, Debug, Deserialize)]
pub struct Refusal {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
}

impl<'a> Event<'a> {
    /// Reads one object of the stream.
    ///
    /// # Errors
    /// If it is not JSON, or not of the promised shape.
    pub fn read(json: &'a str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Typed<'a> {
            #[serde(borrow)]
            r#type: Cow<'a, str>,
        }
        let Typed { r#type } = serde_json::from_str(json)?;
        Ok(match &*r#type {
            "hello" => Self::Hello(serde_json::from_str(json)?),
            "change" => Self::Change(serde_json::from_str(json)?),
            "commit" => Self::Commit(serde_json::from_str(json)?),
            "ddl" => Self::Ddl(serde_json::from_str(json)?),
            "message" => Self::Message(serde_json::from_str(json)?),
            "gap" => Self::Gap(serde_json::from_str(json)?),
            "error" => Self::Error(serde_json::from_str(json)?),
            _ => Self::Other,
        })
    }
}

/// A row, or the part of it that is known: columns in the table's order, values as the stream has them.
#[derive(Clone, Debug, Default)]
pub struct Row<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Row<'a> {
    /// Each column with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> + '_ {
        self.0.iter().map(|(name, value)| (&**name, *value))
    }

    /// The columns' names.
    pub fn names(&self) -> impl Iterator<Item = &str> + '_ {
        self.0.iter().map(|(name, _)| &**name)
    }

    /// The value of a column, if it is known.
    pub fn get(&self, column: &str) -> Option<&'a RawValue> {
        self.iter().find(|(name, _)| *name == column).map(|(_, value)| value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Row<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Columns;

        #[derive(Deserialize)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

        impl<'de> Visitor<'de> for Columns {
            type Value = Row<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of columns")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row<'de>, A::Error> {
                let mut columns = Vec::with_capacity(map.size_hint().unwrap_or_default());
                while let Some((Name(name), value)) = map.next_entry()? {
                    columns.push((name, value));
                }
                Ok(Row(columns))
            }
        }

        deserializer.deserialize_map(Columns)
    }
}
