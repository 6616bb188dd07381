//! Columns by the names that they had when a change was recorded.
//!
//! An event names columns, and the catalog knows them as they are called now. Whole rows tell which is which ([`layout`](super::layout)); a
//! name that they do not explain is that of a column of now, or of one that is no more. What such a one held is kept behind the rest of the
//! row, so that it is seen that it cannot be brought back.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::layout;
use super::schema::Table;
use crate::event::received::{Change, Row};

/// The place of each name in a row: first the columns of now, then those that are no more.
#[derive(Debug)]
pub(super) struct Names<'t> {
    table: &'t Table,
    places: FxHashMap<String, usize>,
    /// Names behind the columns of now.
    gone: Vec<String>,
    /// Names of then, with those of now.
    pub(super) renamed: BTreeMap<String, String>,
    /// Whole rows that were explained, by their names.
    explained: Vec<Vec<String>>,
}

impl<'t> Names<'t> {
    /// Those of the table as it is now.
    pub(super) fn new(table: &'t Table) -> Self {
        let (places, gone, renamed) = (FxHashMap::default(), Vec::new(), BTreeMap::new());
        Names { table, places, gone, renamed, explained: Vec::new() }
    }

    /// And those that these changes use.
    pub(super) fn of<'a>(table: &'t Table, changes: impl Iterator<Item = &'a Change<'a>> + Clone) -> Self {
        let mut names = Names::new(table);
        changes.clone().for_each(|change| names.explain(change));
        changes.for_each(|change| names.add(change));
        names
    }

    /// The place of the column that was called so.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied().or_else(|| self.table.place(name))
    }

    /// How many places there are.
    pub(super) fn width(&self) -> usize {
        self.table.columns.len() + self.gone.len()
    }

    /// What the column at this place is called now, or was.
    pub(super) fn name(&self, place: usize) -> &str {
        let now = self.table.column(place).map(|column| &column.name);
        let gone = || self.gone.get(place.checked_sub(self.table.columns.len())?);
        now.or_else(gone).map(String::as_str).unwrap_or_default()
    }

    /// Learns from the whole rows of a change which columns were renamed.
    pub(super) fn explain(&mut self, change: &Change<'_>) {
        // A partition has an order of its own.
        if change.oid != self.table.oid {
            return;
        }
        let new = change.new.as_ref().filter(|_| change.unchanged.is_empty() && change.cut.new.is_empty());
        let old = change.old.as_ref().filter(|_| change.old_complete && change.cut.old.is_empty());
        for row in new.into_iter().chain(old) {
            if !self.is_explained(row) {
                self.learn(row);
            }
        }
    }

    /// Takes in the names that no whole row explains.
    pub(super) fn add(&mut self, change: &Change<'_>) {
        let rows = change.old.iter().chain(&change.new).chain(change.old_rows.iter().flatten());
        for row in rows {
            if change.oid != self.table.oid || !self.is_explained(row) {
                row.names().for_each(|name| self.add_name(name));
            }
        }
        change.cut.old.keys().chain(change.cut.new.keys()).for_each(|name| self.add_name(name));
    }

    fn add_name(&mut self, name: &str) {
        let (now, then) = (self.table.place(name), self.places.get(name).copied());
        let is_certain = match (now, then) {
            (Some(now), Some(then)) => now == then,
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        };
        if !is_certain {
            self.lose(name);
        }
    }

    fn is_explained(&self, row: &Row<'_>) -> bool {
        self.explained.iter().rev().any(|known| row.names().eq(known.iter().map(String::as_str)))
    }

    fn learn(&mut self, row: &Row<'_>) {
        let told: Vec<&str> = row.names().collect();
        for (name, place) in told.iter().zip(layout::places(&told, self.table)) {
            // A name that was one column's once and another's then is neither's.
            let place = place.filter(|place| self.places.get(*name).is_none_or(|known| known == place));
            let Some((place, now)) = place.and_then(|place| Some((place, self.table.column(place)?))) else {
                self.lose(name);
                continue;
            };
            self.places.insert((*name).to_owned(), place);
            if now.name != **name {
                self.renamed.insert((*name).to_owned(), now.name.clone());
            }
        }
        self.explained.push(told.into_iter().map(str::to_owned).collect());
    }

    /// What it holds is no column's of now.
    fn lose(&mut self, name: &str) {
        let is_lost = self.places.get(name).is_some_and(|place| *place >= self.table.columns.len());
        if !is_lost {
            self.places.insert(name.to_owned(), self.width());
            self.gone.push(name.to_owned());
            self.renamed.remove(name);
        }
    }
}
