//! The DDL messages that `setup` has the server write into the log, read back from the stream.
//!
//! The format is that of `sql/setup/ddl_messages.sql`. Whoever may call `pg_logical_emit_message`, by default everyone, can write such a
//! message too, so one says only that and where something changed. What is true then stands in the system catalogs, and no count
//! is ever taken from a message.

use serde::{Deserialize, Deserializer};

use crate::lsn::{Oid, Xid};

/// What a command did to one table, type, publication or schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DdlMessage {
    /// The tag of the command, as in `ALTER TABLE`.
    pub command: String,
    /// The start of what the client sent, unless that is not wanted.
    pub sql: Option<String>,
    /// The sub-transaction that it happened in, if it was told; the top-level one where there is none.
    pub subxid: Option<Xid>,
    /// What became of it.
    pub change: Change,
}

/// What became of what a command named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A table was made, in this transaction.
    Created(Table),
    /// A table is now like this. It may have another name, another parent, other partitions, another persistence, or other columns.
    Altered(Table),
    /// A table is gone.
    Dropped {
        /// Identity.
        oid: Oid,
        /// Its last schema.
        schema: String,
        /// Its last name.
        name: String,
    },
    /// A type was altered, or the type of a table's rows: what is made of it may be another text now.
    Type(Type),
    /// A publication was made, altered or dropped, or what it names was.
    Publication(String),
    /// A schema was altered: renamed, most likely, and with it the tables in it.
    Schema(String),
}

/// A table as it is after a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Identity.
    pub oid: Oid,
    /// Schema.
    pub schema: String,
    /// Name, not quoted.
    pub name: String,
    /// `pg_class.relkind`.
    pub kind: char,
    /// `pg_class.relpersistence`.
    pub persistence: char,
    /// The partitioned table that it is attached to.
    pub parent: Option<Oid>,
    /// For a partitioned table, what is attached to it.
    pub partitions: Vec<Oid>,
}

/// A type as it is after a command.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Type {
    /// Identity.
    #[serde(deserialize_with = "oid")]
    pub oid: Oid,
    /// Schema.
    pub schema: String,
    /// Name, not quoted.
    pub name: String,
}

impl DdlMessage {
    /// The prefix of the messages.
    pub const PREFIX: &[u8] = b"pgvigil.ddl";

    /// Reads the content of a message with that prefix. `None` when it is not one of `setup`'s.
    pub fn parse(content: &[u8]) -> Option<Self> {
        let Raw { event, command, sql, subxid, table, r#type, publication, schema } = serde_json::from_slice(content).ok()?;
        let change = match (event, table, r#type, publication, schema) {
            (Event::Created, Some(table), None, None, None) => Change::Created(table.whole()?),
            (Event::Altered, Some(table), None, None, None) => Change::Altered(table.whole()?),
            (Event::Dropped, Some(RawTable { oid, schema, name, .. }), None, None, None) => {
                Change::Dropped { oid: Oid(oid), schema, name }
            }
            (Event::Type, None, Some(altered), None, None) => Change::Type(altered),
            (Event::Publication, None, None, Some(name), None) => Change::Publication(name),
            (Event::Schema, None, None, None, Some(name)) => Change::Schema(name),
            _ => return None,
        };
        Some(DdlMessage { command, sql, subxid, change })
    }

    /// The table whose rows are not in the log any more from here on. Even if they are again a moment later, its count is then in doubt.
    pub fn becomes_unlogged(&self) -> Option<Oid> {
        match &self.change {
            Change::Altered(Table { oid, persistence: 'u', .. }) => Some(*oid),
            _ => None,
        }
    }

    /// The table that it is about, if it is one.
    pub fn table(&self) -> Option<Oid> {
        match &self.change {
            Change::Created(Table { oid, .. }) | Change::Altered(Table { oid, .. }) | Change::Dropped { oid, .. } => Some(*oid),
            Change::Type(_) | Change::Publication(_) | Change::Schema(_) => None,
        }
    }

    /// What the command changed, for a person: `public.User`, not quoted.
    pub fn object(&self) -> String {
        match &self.change {
            Change::Created(Table { schema, name, .. })
            | Change::Altered(Table { schema, name, .. })
            | Change::Dropped { schema, name, .. }
            | Change::Type(Type { schema, name, .. }) => format!("{schema}.{name}"),
            Change::Publication(name) | Change::Schema(name) => name.clone(),
        }
    }
}

#[derive(Deserialize)]
struct Raw {
    event: Event,
    command: String,
    sql: Option<String>,
    #[serde(default, deserialize_with = "xid")]
    subxid: Option<Xid>,
    table: Option<RawTable>,
    r#type: Option<Type>,
    publication: Option<String>,
    schema: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Created,
    Altered,
    Dropped,
    Type,
    Publication,
    Schema,
}

#[derive(Deserialize)]
struct RawTable {
    oid: u32,
    schema: String,
    name: String,
    kind: Option<char>,
    persistence: Option<char>,
    parent: Option<u32>,
    partitions: Option<Vec<u32>>,
}

fn xid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Xid>, D::Error> {
    Ok(Option::<u32>::deserialize(deserializer)?.map(Xid))
}

fn oid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Oid, D::Error> {
    u32::deserialize(deserializer).map(Oid)
}

impl RawTable {
    fn whole(self) -> Option<Table> {
        let RawTable { oid, schema, name, kind, persistence, parent, partitions } = self;
        let kind = kind.filter(|kind| matches!(kind, 'r' | 'p' | 'f' | 'm'))?;
        let persistence = persistence.filter(|persistence| matches!(persistence, 'p' | 'u'))?;
        let partitions = partitions.unwrap_or_default().into_iter().map(Oid).collect();
        Some(Table { oid: Oid(oid), schema, name, kind, persistence, parent: parent.map(Oid), partitions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_the_server_writes_is_understood() {
        let altered = br#"{"event":"altered","command":"ALTER TABLE","sql":"alter table logs attach \u2026","table":{"oid":16400,
            "schema":"public","name":"logs","kind":"p","persistence":"p","parent":null,"partitions":[16402,4294967295]}}"#;
        let message = DdlMessage::parse(altered).unwrap();
        assert_eq!(message.object(), "public.logs");
        assert_eq!(message.sql.as_deref(), Some("alter table logs attach …"));
        let Change::Altered(table) = message.change else { panic!("{:?}", message.change) };
        assert_eq!(table.partitions, [Oid(16402), Oid(u32::MAX)]);

        let dropped = br#"{"event":"dropped","command":"DROP SCHEMA","sql":null,"table":{"oid":7,"schema":"a","name":"B c"}}"#;
        let message = DdlMessage::parse(dropped).unwrap();
        assert_eq!(message.change, Change::Dropped { oid: Oid(7), schema: "a".into(), name: "B c".into() });

        let renamed =
            br#"{"event":"type","command":"ALTER TYPE","sql":null,"type":{"oid":16410,"schema":"public","name":"mood"}}"#;
        let message = DdlMessage::parse(renamed).unwrap();
        assert_eq!((message.object().as_str(), message.table()), ("public.mood", None));
        assert!(matches!(message.change, Change::Type(Type { oid: Oid(16_410), .. })));

        let publication = br#"{"event":"publication","command":"ALTER PUBLICATION","sql":null,"publication":"p"}"#;
        assert_eq!(DdlMessage::parse(publication).unwrap().change, Change::Publication("p".into()));
    }

    #[test]
    fn anything_else_is_nothing() {
        for content in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"event":"exploded","command":"x"}"#,
            r#"{"event":"created","command":"CREATE TABLE"}"#,
            r#"{"event":"created","command":"CREATE TABLE","table":{"oid":7,"schema":"a","name":"b"}}"#,
            r#"{"event":"created","command":"x","table":{"oid":7,"schema":"a","name":"b","kind":"i","persistence":"p"}}"#,
            r#"{"event":"altered","command":"x","table":{"oid":-7,"schema":"a","name":"b","kind":"r","persistence":"p"}}"#,
            r#"{"event":"altered","command":"x","table":{"oid":4294967296,"schema":"a","name":"b","kind":"r","persistence":"p"}}"#,
            r#"{"event":"dropped","command":"x","publication":"p"}"#,
            r#"{"event":"publication","command":"x","publication":"p","schema":"s"}"#,
            r#"{"event":"type","command":"x","table":{"oid":7,"schema":"a","name":"b","kind":"r","persistence":"p"}}"#,
            r#"{"event":"type","command":"x","type":{"oid":-7,"schema":"a","name":"b"}}"#,
            r#"{"event":"schema","schema":"s"}"#,
            r#"{"event":"schema","command":"x","schema":"s"} trailing"#,
        ] {
            assert_eq!(DdlMessage::parse(content.as_bytes()), None, "{content}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(DdlMessage::parse(format!(r#"{{"event":"schema","more":{deep}"#).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes: Vec<u8>) {
            let _ = DdlMessage::parse(&bytes);
        }

        #[test]
        fn a_message_cut_short_is_nothing(length in 0..120_usize) {
            let whole = br#"{"event":"dropped","command":"DROP TABLE","sql":"drop table x","table":{"oid":7,"schema":"a","name":"b"}}"#;
            prop_assume!(length < whole.len());
            prop_assert_eq!(DdlMessage::parse(&whole[..length]), None);
        }
    }
}
