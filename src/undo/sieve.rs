//! Of what came later, the changes that have to do with rows that are to be brought back: what others did with other rows meanwhile may be
//! far more than that, and does not matter.
//!
//! They are those of the rows themselves, of rows that these need (what they reference), of rows that need them, and of rows that have what
//! is theirs alone.

use rustc_hash::{FxHashMap, FxHashSet};

use super::names::Names;
use super::net;
use super::rows::identity;
use super::schema::{Key, Schema, Table};
use super::told::{Row, Told, value_of};
use super::value::Value;
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
    /// Some of its rows are to be undone, or were changed beside these.
    is_changed: bool,
    /// By what rows are bound to those that are to be undone.
    bonds: Vec<Bond<'s>>,
    /// A row went of which it was not told by what it was referenced.
    is_blind: bool,
}

/// Columns by which rows are referenced, reference others, or are unique.
#[derive(Debug)]
struct Bond<'s> {
    columns: &'s [usize],
    /// The values of them that matter.
    values: FxHashSet<String>,
    is_referenced: bool,
}

impl<'s> Sieve<'s> {
    /// For the rows of these changes: those that are to be undone, and those beside them.
    pub fn new(undone: &[Change<'_>], beside: &[Change<'_>], schema: &'s Schema) -> Self {
        let mut sieve = Sieve { schema, tables: FxHashMap::default() };
        for (changes, is_undone) in [(undone, true), (beside, false)] {
            let mut tables: FxHashMap<Oid, (&'s Table, Vec<&Change<'_>>)> = FxHashMap::default();
            for change in changes {
                if let Some(table) = schema.table(change.oid) {
                    tables.entry(table.oid).or_insert_with(|| (table, Vec::new())).1.push(change);
                }
            }
            for (table, changes) in tables.into_values() {
                sieve.follow(table, &changes, is_undone);
            }
        }
        sieve
    }

    /// Whether changes of this table may have to do with any.
    pub fn follows(&self, table: Oid) -> bool {
        self.schema.table(table).is_some_and(|table| self.tables.contains_key(&table.oid))
    }

    /// Whether the next change has to do with one of the rows.
    pub fn keeps(&mut self, change: &Change<'_>) -> bool {
        let followed = self.schema.table(change.oid).and_then(|table| self.tables.get_mut(&table.oid));
        followed.is_some_and(|followed| followed.keeps(change))
    }

    /// Rows of this table, and if they are to be undone, rows that may keep them from it.
    fn follow(&mut self, table: &'s Table, changes: &[&Change<'_>], is_undone: bool) {
        let names = Names::of(table, changes.iter().copied());
        let told: Vec<Told<'_>> = changes.iter().map(|change| Told::read(change, table, &names)).collect();
        let followed = self.tables.entry(table.oid).or_insert_with(|| Followed::new(table));
        (followed.key, followed.names, followed.is_changed) = (net::key(table, &told), names, true);
        for told in &told {
            let known: Vec<String> = followed.identities(told).collect();
            followed.known.extend(known);
        }
        for key in table.keys.iter().filter(|_| is_undone) {
            let taken = told.iter().flat_map(|told| told.lost(&key.columns, table)).collect();
            self.bind(table.oid, Bond { columns: &key.columns, values: taken, is_referenced: false });
        }
        for key in self.schema.foreign_keys.iter().filter(|key| is_undone && !key.is_temporal) {
            if key.table == table.oid {
                let needed = told.iter().flat_map(|told| told.lost(&key.columns, table)).collect();
                self.bind(key.references, Bond { columns: &key.referenced, values: needed, is_referenced: true });
            }
            if key.references == table.oid {
                let given = told.iter().filter_map(|told| told.gained(&key.referenced, table)).collect();
                self.bind(key.table, Bond { columns: &key.columns, values: given, is_referenced: false });
            }
        }
    }

    /// Rows of this table that are bound so at any time.
    fn bind(&mut self, table: Oid, bond: Bond<'s>) {
        if let Some(table) = self.schema.tables.get(&table).filter(|_| !bond.values.is_empty()) {
            self.tables.entry(table.oid).or_insert_with(|| Followed::new(table)).bonds.push(bond);
        }
    }

    /// The tables of which rows went that are needed, or not: the log told these rows by another key than the one that is referenced.
    pub fn blind(&self) -> impl Iterator<Item = &'s Table> {
        self.tables.values().filter(|followed| followed.is_blind).map(|followed| followed.table)
    }
}

impl<'s> Followed<'s> {
    fn new(table: &'s Table) -> Self {
        let (key, names) = (net::key(table, &[]), Names::new(table));
        Followed { table, names, key, known: FxHashSet::default(), is_changed: false, bonds: Vec::new(), is_blind: false }
    }

    fn keeps(&mut self, change: &Change<'_>) -> bool {
        self.names.explain(change);
        self.names.add(change);
        let told = Told::read(change, self.table, &self.names);
        // What cannot be told apart may be about any row.
        if told.operation == Operation::Truncate || self.is_changed && self.key.is_some_and(|key| !told.tells(key)) {
            return true;
        }
        let identities: Vec<String> = self.identities(&told).collect();
        let is_untold = |column: &usize| told.old.as_ref().and_then(|old| old.get(*column)) == Some(&Value::Unknown);
        let goes = told.operation == Operation::Delete;
        self.is_blind |= goes && self.bonds.iter().any(|bond| bond.is_referenced && bond.columns.iter().any(is_untold));
        let value = |row, bond: &Bond<'_>| value_of(row, bond.columns, self.table);
        let binds =
            |bond: &Bond<'_>| told.each_row().filter_map(|row| value(row, bond)).any(|value| bond.values.contains(&value));
        let is_bound = || self.bonds.iter().any(binds);
        let keeps = identities.iter().any(|identity| self.known.contains(identity)) || is_bound();
        if keeps {
            // It may go by another name from here on.
            self.known.extend(identities);
        }
        keeps
    }

    fn identities(&self, told: &Told<'_>) -> impl Iterator<Item = String> {
        told.each_row().map(|row: &Row<'_>| identity(row, self.table, self.key))
    }
}
