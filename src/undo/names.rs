//! Columns by the names that they had when a change was recorded.
//!
//! An event names columns, in their order, and the catalog knows them as they are called now. Columns are only ever added at the end. So one
//! that stands now before a column that was told had to be told too; where names between two columns are as many then as now, they are the
//! same columns, renamed. A name behind the last column that is known by its name is not guessed at: it may have been dropped.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::schema::Table;
use crate::event::received::{Change, Row};

/// The place of each name in the table as it is now.
#[derive(Debug)]
pub(super) struct Names<'a> {
    places: FxHashMap<&'a str, usize>,
    /// Names of then, with those of now.
    pub(super) renamed: BTreeMap<String, String>,
}

impl<'a> Names<'a> {
    /// Those that the changes use.
    pub(super) fn new(table: &'a Table, changes: &[&'a Change<'a>]) -> Self {
        let columns = table.columns.iter().enumerate();
        let mut names =
            Names { places: columns.map(|(place, column)| (column.name.as_str(), place)).collect(), renamed: BTreeMap::new() };
        // A partition has an order of its own.
        for change in changes.iter().filter(|change| change.oid == table.oid) {
            let new = change.new.as_ref().filter(|_| change.unchanged.is_empty() && change.cut.new.is_empty());
            let old = change.old.as_ref().filter(|_| change.old_complete);
            for row in new.into_iter().chain(old) {
                names.learn(table, row);
            }
        }
        names
    }

    /// The place of the column that was called so.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Looks for renamed columns in a whole row.
    fn learn(&mut self, table: &'a Table, row: &'a Row<'a>) {
        let told: Vec<&'a str> = row.names().collect();
        if told.iter().all(|name| self.places.contains_key(name)) {
            return;
        }
        let (mut from, mut unknown) = (0, Vec::new());
        for name in &told {
            let Some(place) = table.place(name) else {
                unknown.push(*name);
                continue;
            };
            let between = table.columns.iter().enumerate().take(place).skip(from);
            let untold = between.filter(|(_, column)| !column.is_generated && !told.contains(&column.name.as_str()));
            let untold: Vec<_> = untold.collect();
            if untold.len() == unknown.len() {
                for (name, (place, column)) in unknown.drain(..).zip(untold) {
                    self.places.insert(name, place);
                    self.renamed.insert(name.to_owned(), column.name.clone());
                }
            }
            unknown.clear();
            from = from.max(place + 1);
        }
    }
}
