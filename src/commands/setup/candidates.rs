//! Which tables can be published without harm.
//!
//! As soon as a table is in a publication that publishes updates or deletes, the server refuses every `UPDATE` and `DELETE` on it that it
//! could not describe: those of tables whose rows nothing identifies (`CheckCmdReplicaIdentity`). So these are never published as they are.

use std::collections::HashMap;
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
    pub(super) parent: Option<u32>,
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
            parent: row.try_get("parent")?,
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
    fn is_meant_by(&self, text: &str) -> bool {
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

/// What to do with tables whose rows nothing identifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nobody has said yet. They are left out, and nothing is applied.
    Undecided,
    /// They are not watched.
    LeaveOut,
    /// They are given `REPLICA IDENTITY FULL`.
    Full,
}

/// Which tables to publish, and what that takes.
#[derive(Debug, Default)]
pub(super) struct Selection<'a> {
    /// All there is to choose from.
    pub(super) all: &'a [Candidate],
    /// To be named in the publication.
    pub(super) named: Vec<&'a Candidate>,
    /// To be read: what is named, and the partitions that come with it.
    pub(super) read: Vec<&'a Candidate>,
    /// To be given `REPLICA IDENTITY FULL`.
    pub(super) full: Vec<&'a Candidate>,
    /// Left out, and why.
    pub(super) left_out: Vec<(&'a Candidate, Hazard)>,
    /// Left out, because only their owner can publish them.
    pub(super) not_owned: Vec<&'a Candidate>,
}

/// There is no such table.
#[derive(Debug, thiserror::Error)]
#[error("there is no table {0:?} that could be published; name it as schema.table")]
pub struct NoSuchTable(String);

impl<'a> Selection<'a> {
    /// Chooses among `candidates`: those that `wanted` names, or all.
    ///
    /// A partitioned table is named as such, so that its later partitions come with it, if they are bound to be safe too: when it has a
    /// key, since a new partition gets that key and REPLICA IDENTITY DEFAULT. Otherwise its partitions are named one by one.
    pub(super) fn choose(
        candidates: &'a [Candidate],
        wanted: &[String],
        remedy: Remedy,
        may_publish_all: bool,
    ) -> Result<Self, NoSuchTable> {
        let mut partitions: HashMap<u32, Vec<&Candidate>> = HashMap::new();
        for candidate in candidates {
            if let Some(parent) = candidate.parent {
                partitions.entry(parent).or_default().push(candidate);
            }
        }
        let mut chosen = Vec::new();
        if wanted.is_empty() {
            chosen.extend(candidates.iter().filter(|candidate| candidate.parent.is_none()));
        }
        for text in wanted {
            let meant = candidates.iter().find(|candidate| candidate.is_meant_by(text));
            chosen.push(meant.ok_or_else(|| NoSuchTable(text.clone()))?);
        }
        let mut selection = Selection { all: candidates, ..Selection::default() };
        for table in chosen {
            selection.add(table, &partitions, remedy, may_publish_all);
        }
        selection.each_once();
        Ok(selection)
    }

    fn add(
        &mut self,
        table: &'a Candidate,
        partitions: &HashMap<u32, Vec<&'a Candidate>>,
        remedy: Remedy,
        may_publish_all: bool,
    ) {
        let leaves = leaves(table, partitions);
        let safe: Vec<_> = leaves.iter().copied().filter(|leaf| self.admit(leaf, remedy, may_publish_all)).collect();
        let as_a_tree = table.partitioned && safe.len() == leaves.len() && table.key_usable && table.identity == 'd';
        if as_a_tree && (table.owned || may_publish_all) {
            self.named.push(table);
            self.read.push(table);
        } else {
            self.named.extend(&safe);
        }
        self.read.extend(&safe);
    }

    /// Whether a table with rows can be published, if need be with another replica identity.
    fn admit(&mut self, table: &'a Candidate, remedy: Remedy, may_publish_all: bool) -> bool {
        if !table.owned && !may_publish_all {
            self.not_owned.push(table);
            return false;
        }
        match table.hazard() {
            None => true,
            Some(_) if remedy == Remedy::Full && !table.virtual_columns => {
                self.full.push(table);
                true
            }
            Some(hazard) => {
                self.left_out.push((table, hazard));
                false
            }
        }
    }

    /// A table may have been asked for twice: by its name and with the tree it is in.
    fn each_once(&mut self) {
        for tables in [&mut self.named, &mut self.read, &mut self.full, &mut self.not_owned] {
            tables.sort_by_key(|table| (&table.schema, &table.name));
            tables.dedup_by_key(|table| table.oid);
        }
        self.left_out.sort_by_key(|(table, _)| (&table.schema, &table.name));
        self.left_out.dedup_by_key(|(table, _)| table.oid);
    }

    /// Whether stored generated columns have to be published, because they are part of what identifies the rows of a table. Only 18 and
    /// later can, and only they mind.
    pub(super) fn needs_generated_columns(&self) -> bool {
        self.read.iter().any(|table| table.identity_generated) || self.full.iter().any(|table| table.stored_columns)
    }
}

/// The tables with rows in the tree under `table`, or itself.
fn leaves<'a>(table: &'a Candidate, partitions: &HashMap<u32, Vec<&'a Candidate>>) -> Vec<&'a Candidate> {
    if !table.partitioned {
        return vec![table];
    }
    partitions.get(&table.oid).into_iter().flatten().flat_map(|below| leaves(below, partitions)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(oid: u32, name: &str) -> Candidate {
        Candidate {
            oid,
            schema: "public".into(),
            name: name.into(),
            identity: 'd',
            key_usable: true,
            owned: true,
            ..Candidate::default()
        }
    }

    fn names(tables: &[&Candidate]) -> Vec<String> {
        tables.iter().map(|table| table.name.clone()).collect()
    }

    #[test]
    fn a_table_is_safe_if_its_rows_are_identified() {
        let keyless = Candidate { key_usable: false, ..table(1, "t") };
        for (candidate, hazard) in [
            (table(1, "t"), None),
            (keyless.clone(), Some(Hazard::NoKey)),
            (Candidate { key_deferrable: true, ..keyless.clone() }, Some(Hazard::DeferrableKey)),
            (Candidate { identity: 'f', ..keyless.clone() }, None),
            (Candidate { identity: 'f', virtual_columns: true, ..table(1, "t") }, Some(Hazard::VirtualColumn)),
            (Candidate { identity: 'n', ..table(1, "t") }, Some(Hazard::IdentityNothing)),
            (Candidate { identity: 'i', index_usable: true, ..keyless.clone() }, None),
            (Candidate { identity: 'i', ..table(1, "t") }, Some(Hazard::IndexUnusable)),
        ] {
            assert_eq!(candidate.hazard(), hazard, "{candidate:?}");
        }
    }

    #[test]
    fn what_is_unsafe_is_left_out_or_given_an_identity() {
        let candidates = [
            table(1, "good"),
            Candidate { key_usable: false, ..table(2, "bad") },
            Candidate { owned: false, ..table(3, "other") },
        ];
        for remedy in [Remedy::Undecided, Remedy::LeaveOut] {
            let selection = Selection::choose(&candidates, &[], remedy, false).unwrap();
            assert_eq!(names(&selection.named), ["good"]);
            assert_eq!(selection.left_out.len(), 1);
            assert_eq!(names(&selection.not_owned), ["other"]);
        }
        let selection = Selection::choose(&candidates, &[], Remedy::Full, true).unwrap();
        assert_eq!(names(&selection.named), ["bad", "good", "other"]);
        assert_eq!(names(&selection.full), ["bad"]);
    }

    #[test]
    fn a_tree_is_named_as_such_only_if_its_later_partitions_are_safe() {
        let root = Candidate { partitioned: true, ..table(1, "root") };
        let keyless_root = Candidate { key_usable: false, ..root.clone() };
        let leaf = |oid, name| Candidate { parent: Some(1), ..table(oid, name) };
        let inner = Candidate { partitioned: true, ..leaf(4, "inner") };
        let deep = Candidate { parent: Some(4), ..table(5, "deep") };

        let whole = [root.clone(), leaf(2, "a"), inner.clone(), deep.clone()];
        let selection = Selection::choose(&whole, &[], Remedy::LeaveOut, false).unwrap();
        assert_eq!(names(&selection.named), ["root"]);
        assert_eq!(names(&selection.read), ["a", "deep", "root"]);

        let no_key = [keyless_root, leaf(2, "a"), inner.clone(), deep.clone()];
        let selection = Selection::choose(&no_key, &[], Remedy::LeaveOut, false).unwrap();
        assert_eq!(names(&selection.named), ["a", "deep"]);

        let one_bad = [root, Candidate { identity: 'n', ..leaf(2, "a") }, inner, deep];
        let selection = Selection::choose(&one_bad, &[], Remedy::LeaveOut, false).unwrap();
        assert_eq!(names(&selection.named), ["deep"]);
        let selection = Selection::choose(&one_bad, &[], Remedy::Full, false).unwrap();
        assert_eq!(names(&selection.named), ["root"]);
    }

    #[test]
    fn tables_are_asked_for_by_name() {
        let candidates = [table(1, "User"), Candidate { schema: "shop".into(), ..table(2, "orders") }];
        let choose = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            Selection::choose(&candidates, &wanted, Remedy::LeaveOut, false).map(|selection| names(&selection.named))
        };
        for wanted in ["User", "\"User\"", "public.User", "public.\"User\"", "\"public\".\"User\""] {
            assert_eq!(choose(&[wanted, "public.User"]).unwrap(), ["User"], "{wanted}");
        }
        assert_eq!(choose(&["shop.orders"]).unwrap(), ["orders"]);
        assert!(choose(&["orders"]).is_err() && choose(&["public.user"]).is_err());
    }
}
