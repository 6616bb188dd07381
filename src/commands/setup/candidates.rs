//! Which tables can be published without harm.
//!
//! As soon as a table is in a publication that publishes updates or deletes, the server refuses every `UPDATE` and `DELETE` on it that it
//! could not describe: those of tables whose rows nothing identifies (`CheckCmdReplicaIdentity`). So these are never published as they are.

use std::fmt;

use postgres_protocol::escape::escape_identifier;
use tokio_postgres::{Client, Row};

use crate::catalog::sql_name;

/// A table that could be published.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidate {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    /// It is a partitioned table: its partitions are what is published.
    pub(super) partitioned: bool,
    /// It is unlogged, as only a partitioned table here can be (up to 17): what has rows of its own is then no candidate.
    pub(super) unlogged: bool,
    pub(super) parent: Option<u32>,
    /// The tables whose `DELETE` reaches its rows: that one, or those that it inherits from.
    pub(super) above: Vec<u32>,
    /// `pg_class.relreplident`.
    pub(super) identity: char,
    /// The current role may act as its owner.
    pub(super) owned: bool,
    pub(super) key_usable: bool,
    pub(super) key_deferrable: bool,
    pub(super) index_usable: bool,
    /// An index that could serve as its replica identity, quoted where SQL wants it.
    pub(super) candidate: Option<String>,
    /// A stored generated column is part of what identifies its rows.
    pub(super) identity_generated: bool,
    pub(super) stored_columns: bool,
    pub(super) virtual_columns: bool,
    /// What its trigger tells of, as `pg_trigger.tgtype` has it; `None` if there is no trigger, or one that does not always fire.
    pub(super) attributed: Option<i16>,
    /// What the role of pgvigil lacks to read it.
    pub(super) lacks_usage: bool,
    pub(super) lacks_select: bool,
}

/// Why a table's `UPDATE` and `DELETE` would fail if it were published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hazard {
    NoKey,
    DeferrableKey,
    IdentityNothing,
    IndexUnusable,
    VirtualColumn,
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hazard::NoKey => "has no primary key",
            Hazard::DeferrableKey => "has a deferrable primary key, which does not identify rows within a transaction",
            Hazard::IdentityNothing => "has REPLICA IDENTITY NOTHING",
            Hazard::IndexUnusable => "has REPLICA IDENTITY USING INDEX, but that index is gone or unusable",
            Hazard::VirtualColumn => "has REPLICA IDENTITY FULL and a virtual generated column, which cannot be published",
        })
    }
}

impl Candidate {
    /// Reads them all; `role` is who is to read them, or `public`.
    pub(super) async fn read(client: &Client, role: &str) -> Result<Vec<Candidate>, tokio_postgres::Error> {
        let rows = client.query(include_str!("../../../sql/setup/tables.sql"), &[&role]).await?;
        rows.iter().map(Candidate::from_row).collect()
    }

    fn from_row(row: &Row) -> Result<Candidate, tokio_postgres::Error> {
        Ok(Candidate {
            oid: row.try_get("oid")?,
            schema: row.try_get("schema")?,
            name: row.try_get("name")?,
            partitioned: row.try_get("partitioned")?,
            unlogged: row.try_get("unlogged")?,
            parent: row.try_get("parent")?,
            above: row.try_get("above")?,
            identity: char::from(row.try_get::<_, i8>("replica_identity")?.cast_unsigned()),
            owned: row.try_get("owned")?,
            key_usable: row.try_get("key_usable")?,
            key_deferrable: row.try_get("key_deferrable")?,
            index_usable: row.try_get("index_usable")?,
            candidate: row.try_get("candidate")?,
            identity_generated: row.try_get("identity_generated")?,
            stored_columns: row.try_get("stored_columns")?,
            virtual_columns: row.try_get("virtual_columns")?,
            attributed: row.try_get("attributed")?,
            lacks_usage: row.try_get("lacks_usage")?,
            lacks_select: row.try_get("lacks_select")?,
        })
    }

    /// Its name as SQL takes it.
    pub(super) fn sql_name(&self) -> String {
        sql_name(&self.schema, &self.name)
    }

    /// Whether a person who writes `text` means this table: `schema.name`, plain or quoted, or the name alone of one in `public`.
    pub(super) fn is_meant_by(&self, text: &str) -> bool {
        text == format!("{}.{}", self.schema, self.name)
            || text == self.sql_name()
            || text == format!("{}.{}", self.schema, escape_identifier(&self.name))
            || (self.schema == "public" && (text == self.name || text == escape_identifier(&self.name)))
    }

    pub(super) fn hazard(&self) -> Option<Hazard> {
        match self.identity {
            'f' if self.virtual_columns => Some(Hazard::VirtualColumn),
            'f' => None,
            'i' if self.index_usable => None,
            'i' => Some(Hazard::IndexUnusable),
            'd' if self.key_usable => None,
            'd' if self.key_deferrable => Some(Hazard::DeferrableKey),
            'd' => Some(Hazard::NoKey),
            _ => Some(Hazard::IdentityNothing),
        }
    }

    /// What a person can do about it, as SQL.
    pub(super) fn cures(&self) -> Vec<String> {
        let name = self.sql_name();
        let mut cures = Vec::new();
        if self.key_usable {
            cures.push(format!("ALTER TABLE {name} REPLICA IDENTITY DEFAULT;"));
        } else {
            cures.push(format!("ALTER TABLE {name} ADD PRIMARY KEY (...);"));
        }
        if let Some(index) = &self.candidate {
            cures.push(format!("ALTER TABLE {name} REPLICA IDENTITY USING INDEX {index};"));
        }
        cures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_safe_if_its_rows_are_identified() {
        let keyed = || Candidate { identity: 'd', key_usable: true, ..Candidate::default() };
        let keyless = Candidate { key_usable: false, ..keyed() };
        for (candidate, hazard) in [
            (keyed(), None),
            (keyless.clone(), Some(Hazard::NoKey)),
            (Candidate { key_deferrable: true, ..keyless.clone() }, Some(Hazard::DeferrableKey)),
            (Candidate { identity: 'f', ..keyless.clone() }, None),
            (Candidate { identity: 'f', virtual_columns: true, ..keyed() }, Some(Hazard::VirtualColumn)),
            (Candidate { identity: 'n', ..keyed() }, Some(Hazard::IdentityNothing)),
            (Candidate { identity: 'i', index_usable: true, ..keyless.clone() }, None),
            (Candidate { identity: 'i', ..keyed() }, Some(Hazard::IndexUnusable)),
        ] {
            assert_eq!(candidate.hazard(), hazard, "{candidate:?}");
        }
    }
}
