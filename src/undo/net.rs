//! Recorded changes → what they came to, table by table. A partition stands for its tree.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::Changes;
use super::names::Names;
use super::rows::{Effect, Rows};
use super::schema::{Key, Schema, Table};
use super::told::Told;
use crate::event::received::Change;
use crate::lsn::Oid;

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
    /// Rows that are not to be brought back, since they were not asked for.
    pub(super) unwanted: Vec<Effect<'a>>,
    /// Rows that only later changes were about: how they were when these began is how they are before and after.
    pub(super) others: Vec<Effect<'a>>,
    /// Nothing of it was asked for.
    pub(super) is_beside: bool,
    /// Columns, in the order in which rows have them: those of now, and those that are no more.
    pub(super) columns: Vec<String>,
    /// Columns that have another name now, by the one they had.
    pub(super) renamed: BTreeMap<String, String>,
    /// Rows that a TRUNCATE took and of which nothing else is known; `None` when even their number is not.
    pub(super) truncated: Option<u64>,
    /// A later TRUNCATE took some, too.
    pub(super) truncated_later: bool,
    /// Changes that were recorded.
    pub(super) changes: u64,
}

/// What came to pass, oldest first: a table each, in the order in which they were first touched. What later changes, which are not to be
/// undone, made of the same rows stands beside, and so do other rows that they are about.
pub(super) fn effects<'s, 'a>(
    Changes { undone, beside, later }: Changes<'a, 'a>,
    schema: &'s Schema,
) -> Vec<TableEffect<'s, 'a>> {
    let mut places = FxHashMap::default();
    let mut tables: Vec<Recorded<'a>> = Vec::new();
    for (part, changes) in [undone, beside, later].into_iter().enumerate() {
        for change in changes {
            let oid = schema.table(change.oid).map_or(change.oid, |table| table.oid);
            let place = *places.entry(oid).or_insert_with(|| {
                tables.push(Recorded { oid, changes: [Vec::new(), Vec::new(), Vec::new()] });
                tables.len() - 1
            });
            if let Some(changes) = tables.get_mut(place).and_then(|table| table.changes.get_mut(part)) {
                changes.push(change);
            }
        }
    }
    tables.into_iter().map(|recorded| of_table(recorded, schema)).collect()
}

/// The changes of a table: to be undone, beside these, and later.
struct Recorded<'a> {
    oid: Oid,
    changes: [Vec<&'a Change<'a>>; 3],
}

fn of_table<'s, 'a>(Recorded { oid, changes: [undone, beside, later] }: Recorded<'a>, schema: &'s Schema) -> TableEffect<'s, 'a> {
    let is_beside = undone.is_empty();
    let changes = if is_beside { beside } else { undone };
    let table = schema.table(oid);
    let told = changes.last().map(|change| (change.schema.to_string(), change.table.to_string()));
    let name = table.map(|table| (table.schema.clone(), table.name.clone())).or(told).unwrap_or_default();
    let recorded = u64::try_from(changes.len()).unwrap_or(u64::MAX);
    let mut effect = TableEffect {
        oid,
        name,
        table,
        key: None,
        rows: Vec::new(),
        unwanted: Vec::new(),
        others: Vec::new(),
        is_beside,
        columns: Vec::new(),
        renamed: BTreeMap::new(),
        truncated: Some(0),
        truncated_later: false,
        changes: recorded,
    };
    let Some(table) = table else { return effect };
    let names = Names::of(table, changes.iter().chain(&later).copied());
    let read = |changes: &[&'a Change<'a>]| changes.iter().map(|change| Told::read(change, table, &names)).collect::<Vec<_>>();
    let (told, later) = (read(&changes), read(&later));
    effect.key = key(table, if told.is_empty() { &later } else { &told });
    let mut rows = Rows::new(table, effect.key);
    told.into_iter().for_each(|told| rows.change(told));
    effect.truncated = rows.truncated;
    rows.bury();
    for told in later.into_iter().filter(|told| effect.key.is_none_or(|key| told.tells(key))) {
        rows.later = Some(told.tx);
        rows.change(told);
    }
    effect.truncated_later = rows.truncated != effect.truncated;
    effect.columns = (0..names.width()).map(|place| names.name(place).to_owned()).collect();
    effect.renamed = names.renamed;
    (effect.rows, effect.others) = rows.done();
    if is_beside {
        effect.unwanted = std::mem::take(&mut effect.rows);
    }
    effect
}

/// What all of these changes tell their rows by.
pub(super) fn key<'s>(table: &'s Table, told: &[Told<'_>]) -> Option<&'s Key> {
    table.keys.iter().find(|key| key.identifies && told.iter().all(|told| told.tells(key)))
}
