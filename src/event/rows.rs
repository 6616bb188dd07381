//! The rows of a change → JSON: key, old, new, and what is to be known of their values.
//!
//! A value that is not there is never shown as one: a large one that was not sent is named in `unchanged`, one that was too long to be
//! kept in `cut`. Where the JSON of a value does not tell it, PostgreSQL's own text follows in `exact`; one whose bytes mean nothing is named
//! in `invalid`.

use super::block::Operation;
use super::relation::{Column, Relation};
use super::trace::Trace;
use super::{json, value};
use crate::encoding::Encoding;
use crate::pgoutput::{Old, Row, Tuple, Value};

/// Writes the rows of one change after the other.
#[derive(Debug)]
pub(super) struct Rows {
    encoding: Encoding,
    /// Columns of the change at hand whose large value was not sent.
    unchanged: Vec<usize>,
    /// Columns of it with bytes that mean nothing.
    invalid: Vec<usize>,
    /// Columns of a row of it whose value was too long to be kept, and how long it is.
    cut: Vec<(usize, usize)>,
    /// Columns of it with a value that cannot be made again from its JSON.
    inexact: Vec<usize>,
    /// Values of its key, before and after.
    keys: Vec<Trace>,
    scratch: String,
}

impl Rows {
    pub(super) fn new(encoding: Encoding) -> Self {
        let (unchanged, invalid, cut, inexact) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { encoding, unchanged, invalid, cut, inexact, keys: Vec::new(), scratch: String::new() }
    }

    /// Appends the members from `key` on that tell the rows: before, if there was one, and after.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        relation: &Relation,
        operation: Operation,
        old: Option<&Old<'_>>,
        new: Option<&Tuple<'_>>,
    ) {
        self.unchanged.clear();
        self.invalid.clear();
        self.cut.clear();
        self.inexact.clear();
        self.keys.clear();
        let (old_row, whole) = match old {
            Some(Old::Full(row)) => (Some(row), true),
            Some(Old::Key(row)) => (Some(row), false),
            None => (None, false),
        };
        out.extend_from_slice(b",\"key\":");
        self.key(out, relation, new.or(old_row), old_row);
        if let (Some(old), Some(new)) = (old_row, new) {
            self.former_key(relation, old, new);
        }
        out.extend_from_slice(b",\"old\":");
        let missing = match old_row {
            None => {
                out.extend_from_slice(b"null");
                operation != Operation::Insert
            }
            Some(row) => {
                let known = |column: &Column| whole || column.in_identity();
                self.row(out, relation, row, None, known);
                !relation.columns().iter().all(known) || !self.unchanged.is_empty() || !self.cut.is_empty()
            }
        };
        self.unchanged.clear();
        let cut_of_old = self.cut.len();
        out.extend_from_slice(b",\"new\":");
        match new {
            None => out.extend_from_slice(b"null"),
            Some(row) => self.row(out, relation, row, old_row.filter(|_| whole), |_| true),
        }
        out.extend_from_slice(if missing { b",\"old_complete\":false" } else { b",\"old_complete\":true" });
        out.extend_from_slice(b",\"unchanged\":");
        names(out, relation, &self.unchanged);
        self.invalid(out, relation);
        if !self.cut.is_empty() {
            let (old, new) = self.cut.split_at(cut_of_old);
            out.extend_from_slice(b",\"cut\":{\"old\":");
            lengths(out, relation, old);
            out.extend_from_slice(b",\"new\":");
            lengths(out, relation, new);
            out.push(b'}');
        }
        if !self.inexact.is_empty() {
            self.exact(out, relation, old_row, whole, new);
        }
    }

    /// PostgreSQL's own text of the values that their JSON does not tell: rare, so the rows are gone through once more.
    fn exact(&mut self, out: &mut Vec<u8>, relation: &Relation, old: Option<&Tuple<'_>>, whole: bool, new: Option<&Tuple<'_>>) {
        self.inexact.sort_unstable();
        self.inexact.dedup();
        let fill = old.filter(|_| whole);
        out.extend_from_slice(b",\"exact\":{\"old\":");
        self.texts(out, relation, old, None, whole);
        out.extend_from_slice(b",\"new\":");
        self.texts(out, relation, new, fill, true);
        out.push(b'}');
    }

    /// PostgreSQL's own text of the values of one row that their JSON does not tell.
    fn texts(&self, out: &mut Vec<u8>, relation: &Relation, row: Option<&Tuple<'_>>, fill: Option<&Tuple<'_>>, whole: bool) {
        let start = out.len();
        for &index in &self.inexact {
            let value = row.and_then(|row| sent(row, index).or_else(|| fill.and_then(|fill| sent(fill, index))));
            let column = relation.columns().get(index).filter(|column| whole || column.in_identity());
            if let Some((column, Value::Text(bytes))) = column.zip(value) {
                out.extend_from_slice(&column.member);
                value::text(out, bytes, &self.encoding);
            }
        }
        close(out, start);
    }

    /// Appends the rows that a truncate removed, all of them whole, and what is to be known of their values.
    pub(super) fn removed(&mut self, out: &mut Vec<u8>, relation: &Relation, rows: &[Row]) {
        self.invalid.clear();
        let (mut texts, mut any_inexact) = (Vec::new(), false);
        out.extend_from_slice(b",\"old_rows\":[");
        for (nth, row) in rows.iter().enumerate() {
            self.inexact.clear();
            if nth > 0 {
                out.push(b',');
                texts.push(b',');
            }
            let row = row.as_tuple();
            self.row(out, relation, &row, None, |_| true);
            self.texts(&mut texts, relation, Some(&row), None, true);
            any_inexact |= !self.inexact.is_empty();
        }
        out.push(b']');
        self.invalid(out, relation);
        if any_inexact {
            out.extend_from_slice(b",\"exact\":{\"old\":{},\"new\":{},\"old_rows\":[");
            out.extend_from_slice(&texts);
            out.extend_from_slice(b"]}");
        }
    }

    /// Names the columns with bytes that mean nothing, if there are any.
    fn invalid(&mut self, out: &mut Vec<u8>, relation: &Relation) {
        if !self.invalid.is_empty() {
            self.invalid.sort_unstable();
            self.invalid.dedup();
            out.extend_from_slice(b",\"invalid\":");
            names(out, relation, &self.invalid);
        }
    }

    /// The columns that name the row, from `row`, or, where it leaves a large one out, from `old`: the key has not changed then.
    fn key(&mut self, out: &mut Vec<u8>, relation: &Relation, row: Option<&Tuple<'_>>, old: Option<&Tuple<'_>>) {
        let Some(row) = row.filter(|_| relation.key().len() > 0) else { return out.extend_from_slice(b"null") };
        let start = out.len();
        for index in relation.key() {
            let value = sent(row, index).or_else(|| old.and_then(|row| sent(row, index)));
            match (relation.columns().get(index), value) {
                (None, _) | (_, None | Some(Value::Cut(_))) => {}
                (Some(column), Some(value)) => {
                    // Behind the comma.
                    let member = out.len() + 1;
                    self.member(out, index, column, value);
                    self.keys.push(Trace::key(out.get(member..).unwrap_or_default()));
                }
            }
        }
        close(out, start);
    }

    /// A row is found by its key from before as well.
    fn former_key(&mut self, relation: &Relation, old: &Tuple<'_>, new: &Tuple<'_>) {
        for index in relation.key() {
            let (Some(column), Some(value)) = (relation.columns().get(index), sent(old, index)) else { continue };
            if sent(new, index).is_some_and(|new| new != value) && !matches!(value, Value::Cut(_)) {
                let mut written = Vec::new();
                self.member(&mut written, index, column, value);
                self.keys.push(Trace::key(written.get(1..).unwrap_or_default()));
            }
        }
    }

    /// The traces of the key of the change that was written last.
    pub(super) fn keys(&mut self) -> impl Iterator<Item = Trace> {
        self.keys.drain(..)
    }

    /// A row, but for the columns that are not `known` and those that were cut; a large value that was not sent comes from `fill`, if it
    /// is there.
    fn row(
        &mut self,
        out: &mut Vec<u8>,
        relation: &Relation,
        row: &Tuple<'_>,
        fill: Option<&Tuple<'_>>,
        known: impl Fn(&Column) -> bool,
    ) {
        let start = out.len();
        for (index, (column, value)) in relation.columns().iter().zip(row.iter()).enumerate() {
            if !known(column) {
                continue;
            }
            let value = match value {
                Value::Unchanged => {
                    self.unchanged.push(index);
                    fill.and_then(|row| sent(row, index))
                }
                value => Some(value),
            };
            match value {
                None => {}
                Some(Value::Cut(length)) => self.cut.push((index, length)),
                Some(value) => self.member(out, index, column, value),
            }
        }
        close(out, start);
    }

    /// A comma, the column's name, and its value.
    fn member(&mut self, out: &mut Vec<u8>, index: usize, column: &Column, value: Value<'_>) {
        out.extend_from_slice(&column.member);
        match value {
            Value::Text(bytes) => {
                let written = value::write(out, column.form, bytes, &self.encoding, &mut self.scratch);
                if !written.valid {
                    self.invalid.push(index);
                }
                if !written.exact {
                    self.inexact.push(index);
                }
            }
            // The stream never asks for the binary form; were it to come, it is shown as a bytea would be.
            Value::Binary(bytes) => {
                out.extend_from_slice(b"\"\\\\x");
                json::hex(out, bytes);
                out.push(b'"');
            }
            Value::Null | Value::Unchanged | Value::Cut(_) => out.extend_from_slice(b"null"),
        }
    }
}

/// A column of a row, unless it is a large value that was not sent.
fn sent<'a>(row: &Tuple<'a>, index: usize) -> Option<Value<'a>> {
    row.iter().nth(index).filter(|value| *value != Value::Unchanged)
}

/// Makes an object of the members written since `start`, each behind a comma.
fn close(out: &mut Vec<u8>, start: usize) {
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

fn names(out: &mut Vec<u8>, relation: &Relation, indices: &[usize]) {
    out.push(b'[');
    for (nth, index) in indices.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        json::string(out, relation.columns().get(*index).map_or("", Column::name));
    }
    out.push(b']');
}

/// How long the values are that were cut from a row.
fn lengths(out: &mut Vec<u8>, relation: &Relation, cut: &[(usize, usize)]) {
    let start = out.len();
    for (index, length) in cut {
        out.extend_from_slice(relation.columns().get(*index).map_or(&[], |column| &column.member));
        json::integer(out, *length);
    }
    close(out, start);
}
