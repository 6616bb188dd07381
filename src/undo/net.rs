//! Recorded changes → what they came to: for each row, how it was before the first of them and how it is after the last.
//!
//! ```text
//!  insert ─▶ update ─▶ delete      came to nothing
//!  update ─▶ update                old of the first, new of the last; the key may have changed on the way
//!  delete ─▶ insert of that key    the same row, replaced
//! ```
//!
//! A row is followed by a key that every change of its table tells. Where there is none, whole rows are compared: of equal ones it does
//! not matter which is meant.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::names::Names;
use super::schema::{Key, Schema, Table};
use super::value::Value;
use crate::event::Operation;
use crate::event::received::{self, Change};
use crate::lsn::Oid;

/// A value for each column of the table, as it is now.
pub(super) type Row<'a> = Vec<Value<'a>>;

/// What became of a row.
#[derive(Debug, Default)]
pub(super) struct Effect<'a> {
    /// How it was before; `None` if it did not exist.
    pub(super) old: Option<Row<'a>>,
    /// How it is after; `None` if it does not exist.
    pub(super) new: Option<Row<'a>>,
    /// All columns that the table had are known of `old`.
    pub(super) complete: bool,
    /// Where it is now, or was last.
    leaf: Oid,
}

impl<'a> Effect<'a> {
    /// How it was before.
    pub(super) fn before(&self) -> Option<&Row<'a>> {
        self.old.as_ref()
    }

    /// How it is after.
    pub(super) fn after(&self) -> Option<&Row<'a>> {
        self.new.as_ref()
    }
}

/// What became of the rows of a table.
#[derive(Debug)]
pub(super) struct TableEffect<'s, 'a> {
    /// The table, or the tree of partitions.
    pub(super) oid: Oid,
    /// Schema and name: those of now, or the last that were told.
    pub(super) name: (String, String),
    /// `None` if it is no more.
    pub(super) table: Option<&'s Table>,
    /// By what a row is found; `None` for all of its columns.
    pub(super) key: Option<&'s Key>,
    /// In the order in which they were first touched.
    pub(super) rows: Vec<Effect<'a>>,
    /// Columns that were told and are no more.
    pub(super) gone: BTreeSet<String>,
    /// Columns that have another name now, by the one they had.
    pub(super) renamed: BTreeMap<String, String>,
    /// Rows that a TRUNCATE took and of which nothing else is known; `None` when even their number is not.
    pub(super) truncated: Option<u64>,
    /// Changes that were recorded.
    pub(super) changes: u64,
}

/// What the changes, oldest first, came to: a table each, in the order in which they were first touched.
pub(super) fn effects<'s, 'a>(changes: &'a [Change<'a>], schema: &'s Schema) -> Vec<TableEffect<'s, 'a>> {
    let mut places = FxHashMap::default();
    let mut tables: Vec<(Oid, Vec<&Change<'a>>)> = Vec::new();
    for change in changes {
        let oid = schema.table(change.oid).map_or(change.oid, |table| table.oid);
        let place = *places.entry(oid).or_insert_with(|| {
            tables.push((oid, Vec::new()));
            tables.len() - 1
        });
        if let Some((_, changes)) = tables.get_mut(place) {
            changes.push(change);
        }
    }
    tables.into_iter().map(|(oid, changes)| of_table(oid, &changes, schema.table(oid))).collect()
}

fn of_table<'s, 'a>(oid: Oid, changes: &[&'a Change<'a>], table: Option<&'s Table>) -> TableEffect<'s, 'a> {
    let told = changes.last().map(|change| (change.schema.to_string(), change.table.to_string()));
    let name = table.map(|table| (table.schema.clone(), table.name.clone())).or(told).unwrap_or_default();
    let recorded = u64::try_from(changes.len()).unwrap_or(u64::MAX);
    let mut effect = TableEffect {
        oid,
        name,
        table,
        key: None,
        rows: Vec::new(),
        gone: BTreeSet::new(),
        renamed: BTreeMap::new(),
        truncated: Some(0),
        changes: recorded,
    };
    let Some(table) = table else { return effect };
    let names = Names::new(table, changes);
    let told: Vec<Told<'a>> = changes.iter().map(|change| Told::read(change, table, &names, &mut effect.gone)).collect();
    effect.renamed = names.renamed;
    effect.key = table.keys.iter().find(|key| key.identifies && told.iter().all(|told| told.tells(key)));
    let mut rows = Rows { key: effect.key, rows: Vec::new(), alive: FxHashMap::default(), dead: FxHashMap::default() };
    for told in told {
        match told.operation {
            Operation::Insert => rows.insert(told),
            Operation::Update => rows.update(told),
            Operation::Delete => rows.delete(told),
            Operation::Truncate => {
                let known = rows.truncate(told.leaf);
                let lost = told.rows_lost.map(|lost| lost.saturating_sub(known));
                effect.truncated = effect.truncated.zip(lost).map(|(before, lost)| before + lost);
            }
        }
    }
    effect.rows = rows.rows;
    effect.rows.retain(|row| row.old.is_some() || row.new.is_some());
    effect
}

/// A change, by the columns of now.
struct Told<'a> {
    operation: Operation,
    leaf: Oid,
    old: Option<Row<'a>>,
    new: Option<Row<'a>>,
    /// Nothing is missing in `old`.
    complete: bool,
    /// Columns that did not change if there is no `old`.
    kept: Vec<usize>,
    rows_lost: Option<u64>,
}

impl<'a> Told<'a> {
    fn read(change: &'a Change<'a>, table: &Table, names: &Names<'_>, gone: &mut BTreeSet<String>) -> Self {
        let unsent = |name: &String| change.unchanged.contains(name);
        let mut read = |row: &'a received::Row<'a>, exact: &'a received::Row<'a>, cut: &BTreeMap<String, u64>| {
            let mut values: Row<'a> = table.columns.iter().map(|_| Value::Unknown).collect();
            for (name, raw) in row.iter() {
                let place = names.place(name);
                match place.and_then(|place| values.get_mut(place).zip(table.column(place))) {
                    Some((value, _)) if change.invalid.iter().any(|invalid| invalid == name) => *value = Value::Invalid,
                    Some((value, column)) => *value = Value::read(raw, exact.get(name), column.is_document),
                    None => {
                        gone.insert(name.to_owned());
                    }
                }
            }
            // What was not even sent is what it was, however long.
            for place in cut.keys().filter(|name| !unsent(name)).filter_map(|name| names.place(name)) {
                if let Some(value) = values.get_mut(place) {
                    *value = Value::Cut;
                }
            }
            values
        };
        let old = change.old.as_ref().map(|row| read(row, &change.exact.old, &change.cut.old));
        let mut new = change.new.as_ref().map(|row| read(row, &change.exact.new, &change.cut.new));
        for place in change.unchanged.iter().filter_map(|name| names.place(name)) {
            let unsent = new.as_mut().and_then(|new| new.get_mut(place)).filter(|value| **value == Value::Unknown);
            if let Some((unsent, value)) = unsent.zip(old.as_ref().and_then(|old| old.get(place))) {
                *unsent = value.clone();
            }
        }
        let named = change.key.iter().flat_map(received::Row::iter).filter_map(|(name, _)| names.place(name));
        Told {
            operation: change.op,
            leaf: change.oid,
            complete: change.old_complete,
            kept: if old.is_none() { named.collect() } else { Vec::new() },
            old,
            new,
            rows_lost: change.rows_lost.and_then(|lost| u64::try_from(lost).ok()),
        }
    }

    /// Whether it says of which row it is, by this key, before and after it.
    fn tells(&self, key: &Key) -> bool {
        let has = |row: &Option<Row<'_>>| row.as_ref().is_some_and(|row| text_of(row, &key.columns).is_some());
        match self.operation {
            Operation::Insert => has(&self.new),
            Operation::Delete => has(&self.old),
            Operation::Update if self.old.is_some() => has(&self.old) && has(&self.new),
            Operation::Update => has(&self.new) && key.columns.iter().all(|column| self.kept.contains(column)),
            Operation::Truncate => true,
        }
    }
}

/// The values of these columns as one text; `None` unless all are known and not NULL.
fn text_of(row: &Row<'_>, columns: &[usize]) -> Option<String> {
    let mut text = String::new();
    for column in columns {
        let Some(Value::Text(value)) = row.get(*column) else { return None };
        text.push_str(value);
        text.push('\0');
    }
    Some(text)
}

struct Rows<'s, 'a> {
    key: Option<&'s Key>,
    rows: Vec<Effect<'a>>,
    /// Rows that exist, by what identifies them. Of equal ones there may be several.
    alive: FxHashMap<String, Vec<usize>>,
    /// Rows that existed before and do not any more.
    dead: FxHashMap<String, Vec<usize>>,
}

impl<'a> Rows<'_, 'a> {
    /// What identifies a row: its key, else all of it.
    fn identity(&self, row: &Row<'a>) -> String {
        let by_key = self.key.and_then(|key| text_of(row, &key.columns));
        by_key.unwrap_or_else(|| {
            let mut text = String::new();
            for value in row {
                match value {
                    Value::Text(value) => text.extend(["=", value, "\0"]),
                    Value::Null => text.push_str("-\0"),
                    Value::Unknown | Value::Invalid | Value::Cut => text.push_str("?\0"),
                }
            }
            text
        })
    }

    fn insert(&mut self, told: Told<'a>) {
        let Some(new) = told.new else { return };
        let identity = self.identity(&new);
        let replaced = self.dead.get_mut(&identity).and_then(Vec::pop);
        let place = replaced.unwrap_or_else(|| self.add(Effect { complete: true, ..Effect::default() }));
        self.lives(place, identity, new, told.leaf);
    }

    fn update(&mut self, told: Told<'a>) {
        let Some(mut new) = told.new else { return };
        let before = self.identity(told.old.as_ref().unwrap_or(&new));
        let place = match self.alive.get_mut(&before).and_then(Vec::pop) {
            Some(place) => {
                // A large value that was not sent is the one that was.
                let known = self.rows.get(place).and_then(|row| row.new.as_ref());
                for (value, known) in new.iter_mut().zip(known.into_iter().flatten()) {
                    if *value == Value::Unknown {
                        *value = known.clone();
                    }
                }
                place
            }
            None => {
                let kept = |column: usize| told.kept.contains(&column);
                let old = told.old.unwrap_or_else(|| {
                    let values = new.iter().enumerate();
                    values.map(|(column, value)| if kept(column) { value.clone() } else { Value::Unknown }).collect()
                });
                self.add(Effect { old: Some(old), complete: told.complete, ..Effect::default() })
            }
        };
        let identity = self.identity(&new);
        self.lives(place, identity, new, told.leaf);
    }

    fn delete(&mut self, told: Told<'a>) {
        let Some(old) = told.old else { return };
        let identity = self.identity(&old);
        match self.alive.get_mut(&identity).and_then(Vec::pop) {
            Some(place) => self.dies(place, identity),
            None => {
                let place = self.add(Effect { old: Some(old), complete: told.complete, leaf: told.leaf, new: None });
                self.dead.entry(identity).or_default().push(place);
            }
        }
    }

    /// All rows in this table are gone. Gives how many of them are known.
    fn truncate(&mut self, leaf: Oid) -> u64 {
        let rows = &self.rows;
        let is_there = |place: &usize| rows.get(*place).is_some_and(|row| row.leaf == leaf);
        let mut lost: Vec<(usize, String)> = Vec::new();
        for (identity, places) in &mut self.alive {
            lost.extend(places.extract_if(.., |place| is_there(place)).map(|place| (place, identity.clone())));
        }
        lost.sort_unstable();
        let known = u64::try_from(lost.len()).unwrap_or(u64::MAX);
        for (place, identity) in lost {
            self.dies(place, identity);
        }
        known
    }

    fn add(&mut self, effect: Effect<'a>) -> usize {
        self.rows.push(effect);
        self.rows.len() - 1
    }

    fn lives(&mut self, place: usize, identity: String, new: Row<'a>, leaf: Oid) {
        if let Some(row) = self.rows.get_mut(place) {
            row.new = Some(new);
            row.leaf = leaf;
        }
        self.alive.entry(identity).or_default().push(place);
    }

    fn dies(&mut self, place: usize, identity: String) {
        let Some(row) = self.rows.get_mut(place) else { return };
        row.new = None;
        if row.old.is_some() {
            self.dead.entry(identity).or_default().push(place);
        }
    }
}
