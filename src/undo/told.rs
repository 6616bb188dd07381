//! A recorded change, by the columns that its table has now.

use std::collections::BTreeMap;

use super::names::Names;
use super::schema::{Key, Table};
use super::value::{Value, loose};
use crate::event::Operation;
use crate::event::received::{self, Change};
use crate::lsn::Oid;

/// A value for each column of the table as it is now, and behind them one for each that is no more.
pub(super) type Row<'a> = Vec<Value<'a>>;

/// A change, by the columns of now.
pub(super) struct Told<'a> {
    pub(super) operation: Operation,
    pub(super) leaf: Oid,
    /// Its transaction.
    pub(super) tx: &'a str,
    pub(super) old: Option<Row<'a>>,
    pub(super) new: Option<Row<'a>>,
    /// Nothing is missing in `old`.
    pub(super) complete: bool,
    /// Columns that did not change if there is no `old`.
    pub(super) kept: Vec<usize>,
    /// How many rows a TRUNCATE took.
    pub(super) rows_lost: Option<u64>,
    /// All of these, where they are known.
    pub(super) rows: Option<Vec<Row<'a>>>,
}

impl<'a> Told<'a> {
    /// Reads it.
    pub(super) fn read(change: &'a Change<'a>, table: &Table, names: &Names<'_>) -> Self {
        let none = received::Row::default();
        let read = |row: &'a received::Row<'a>, exact: &received::Row<'a>, cut: &BTreeMap<String, u64>| {
            let mut values: Row<'a> = vec![Value::Unknown; names.width()];
            for (name, raw) in row.iter() {
                let Some((place, value)) = names.place(name).and_then(|place| Some((place, values.get_mut(place)?))) else {
                    continue;
                };
                // Only an array is told as an array; a text that looks like one was a document then.
                let is_document = table
                    .column(place)
                    .is_some_and(|column| column.is_document || !column.is_spelled_out && raw.get().starts_with('['));
                *value = match change.invalid.iter().any(|invalid| invalid == name) {
                    true => Value::Invalid,
                    false => Value::read(raw, exact.get(name), is_document),
                };
            }
            for place in cut.keys().filter_map(|name| names.place(name)) {
                if let Some(value) = values.get_mut(place) {
                    *value = Value::Cut;
                }
            }
            values
        };
        let old = change.old.as_ref().map(|row| read(row, &change.exact.old, &change.cut.old));
        let mut new = change.new.as_ref().map(|row| read(row, &change.exact.new, &change.cut.new));
        let exact = change.exact.old_rows.iter().chain(std::iter::repeat(&none));
        let rows = change.old_rows.as_ref();
        let rows = rows.map(|rows| rows.iter().zip(exact).map(|(row, exact)| read(row, exact, &BTreeMap::new())).collect());
        for place in change.unchanged.iter().filter_map(|name| names.place(name)) {
            // What was not even sent is what it was, however long.
            if let Some(unsent) = new.as_mut().and_then(|new| new.get_mut(place)).filter(|value| !value.is_known()) {
                let before = old.as_ref().and_then(|old| old.get(place)).filter(|value| **value != Value::Cut);
                *unsent = before.cloned().unwrap_or_default();
            }
        }
        let named = change.key.iter().flat_map(received::Row::iter).filter_map(|(name, _)| names.place(name));
        Told {
            operation: change.op,
            leaf: change.oid,
            tx: change.tx.id,
            complete: change.old_complete,
            kept: if old.is_none() { named.collect() } else { Vec::new() },
            old,
            new,
            rows_lost: change.rows_lost.and_then(|lost| u64::try_from(lost).ok()),
            rows,
        }
    }

    /// That a TRUNCATE took this row.
    pub(super) fn deleted(row: Row<'a>, leaf: Oid, tx: &'a str) -> Self {
        let (operation, complete, kept) = (Operation::Delete, true, Vec::new());
        Told { operation, leaf, tx, old: Some(row), new: None, complete, kept, rows_lost: None, rows: None }
    }

    /// The rows that it tells of, before and after it.
    pub(super) fn each_row(&self) -> impl Iterator<Item = &Row<'a>> {
        self.old.iter().chain(&self.new).chain(self.rows.iter().flatten())
    }

    /// The values of these columns that rows had, and have no more.
    pub(super) fn lost(&self, columns: &[usize], table: &Table) -> impl Iterator<Item = String> {
        let value = |row| value_of(row, columns, table);
        let new = self.new.as_ref().and_then(value);
        let rows = self.old.iter().chain(self.rows.iter().flatten());
        rows.filter_map(move |row| value_of(row, columns, table)).filter(move |old| new.as_ref() != Some(old))
    }

    /// The value of these columns that a row has, and did not have before, as far as is known.
    pub(super) fn gained(&self, columns: &[usize], table: &Table) -> Option<String> {
        let value = |row| value_of(row, columns, table);
        let old = self.old.as_ref().and_then(value);
        let is_kept = self.operation == Operation::Update && columns.iter().all(|column| self.kept.contains(column));
        self.new.as_ref().and_then(value).filter(|new| old.as_ref() != Some(new) && !is_kept)
    }

    /// Whether it says of which row it is, by this key, before and after it.
    pub(super) fn tells(&self, key: &Key) -> bool {
        let has = |row: &Option<Row<'_>>| row.as_ref().is_some_and(|row| text_of(row, &key.columns).is_some());
        match self.operation {
            Operation::Insert => has(&self.new),
            Operation::Delete => has(&self.old),
            Operation::Update if self.old.is_some() => has(&self.old) && has(&self.new),
            Operation::Update => has(&self.new) && key.columns.iter().all(|column| self.kept.contains(column)),
            Operation::Truncate => self.rows.iter().flatten().all(|row| text_of(row, &key.columns).is_some()),
        }
    }
}

/// The values of these columns as one text; `None` unless all are known and not NULL.
pub(super) fn text_of(row: &Row<'_>, columns: &[usize]) -> Option<String> {
    let mut text = String::new();
    for column in columns {
        let Some(Value::Text(value)) = row.get(*column) else { return None };
        text.push_str(value);
        text.push('\0');
    }
    Some(text)
}

/// The same, however they are written: rows in which these are equal have the same text. That others may have it too, such as `A` and `a` of a
/// type of which it is not known whether it tells them apart, is to do no harm.
pub(super) fn value_of(row: &Row<'_>, columns: &[usize], table: &Table) -> Option<String> {
    let mut text = String::new();
    for column in columns {
        let Some(Value::Text(value)) = row.get(*column) else { return None };
        match table.column(*column).is_some_and(|column| matches!(&*column.type_name, "text" | "character varying")) {
            true => text.push_str(value),
            false => text.push_str(&loose(value).to_lowercase()),
        }
        text.push('\0');
    }
    Some(text)
}

/// Nothing is known in which they differ.
pub(super) fn agree(a: &Row<'_>, b: &Row<'_>) -> bool {
    a.iter().zip(b).all(|(a, b)| !differ(Some(a), Some(b)))
}

/// Both are known, and not the same.
pub(super) fn differ(a: Option<&Value<'_>>, b: Option<&Value<'_>>) -> bool {
    a.zip(b).is_some_and(|(a, b)| a.is_known() && b.is_known() && a != b)
}
