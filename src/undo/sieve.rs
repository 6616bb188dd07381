//! Of what came later, the changes that have to do with rows that are to be brought back: what others did with other rows meanwhile may be
//! far more than that, and does not matter.

use rustc_hash::{FxHashMap, FxHashSet};

use super::names::Names;
use super::net;
use super::rows::identity;
use super::schema::{Key, Schema, Table};
use super::told::{Row, Told};
use crate::event::Operation;
use crate::event::received::Change;
use crate::lsn::Oid;

/// Told the later changes one after the other, oldest first.
#[derive(Debug)]
pub struct Sieve<'s> {
    schema: &'s Schema,
    tables: FxHashMap<Oid, Followed<'s>>,
}

/// A table, and what its rows were known by at any time.
#[derive(Debug)]
struct Followed<'s> {
    table: &'s Table,
    names: Names<'s>,
    key: Option<&'s Key>,
    known: FxHashSet<String>,
}

impl<'s> Sieve<'s> {
    /// For the rows of these changes, which are to be undone.
    pub fn new<'c, 'a: 'c>(undone: impl IntoIterator<Item = &'c Change<'a>>, schema: &'s Schema) -> Self {
        let mut changes: FxHashMap<Oid, (&Table, Vec<&Change<'_>>)> = FxHashMap::default();
        for change in undone {
            if let Some(table) = schema.table(change.oid) {
                changes.entry(table.oid).or_insert_with(|| (table, Vec::new())).1.push(change);
            }
        }
        let tables = changes.into_iter().map(|(oid, (table, changes))| (oid, Followed::new(table, &changes)));
        Sieve { schema, tables: tables.collect() }
    }

    /// Whether the next change has to do with one of the rows.
    pub fn keeps(&mut self, change: &Change<'_>) -> bool {
        let followed = self.schema.table(change.oid).and_then(|table| self.tables.get_mut(&table.oid));
        followed.is_some_and(|followed| followed.keeps(change))
    }
}

impl<'s> Followed<'s> {
    fn new(table: &'s Table, changes: &[&Change<'_>]) -> Self {
        let names = Names::of(table, changes.iter().copied());
        let told: Vec<Told<'_>> = changes.iter().map(|change| Told::read(change, table, &names)).collect();
        let mut followed = Followed { table, key: net::key(table, &told), names, known: FxHashSet::default() };
        for told in &told {
            let known: Vec<String> = followed.identities(told).collect();
            followed.known.extend(known);
        }
        followed
    }

    fn keeps(&mut self, change: &Change<'_>) -> bool {
        self.names.explain(change);
        self.names.add(change);
        let told = Told::read(change, self.table, &self.names);
        // What cannot be told apart may be about any row.
        if told.operation == Operation::Truncate || self.key.is_some_and(|key| !told.tells(key)) {
            return true;
        }
        let identities: Vec<String> = self.identities(&told).collect();
        let keeps = identities.iter().any(|identity| self.known.contains(identity));
        if keeps {
            // It may go by another name from here on.
            self.known.extend(identities);
        }
        keeps
    }

    fn identities(&self, told: &Told<'_>) -> impl Iterator<Item = String> {
        let rows = told.old.iter().chain(&told.new).chain(told.rows.iter().flatten());
        rows.map(|row: &Row<'_>| identity(row, self.table, self.key))
    }
}
