//! Recorded changes → what they came to, table by table. A partition stands for its tree.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

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
    /// Nothing of it was asked for.
    pub(super) is_beside: bool,
    /// Columns, in the order in which rows have them: those of now, and those that are no more.
    pub(super) columns: Vec<String>,
    /// Columns that have another name now, by the one they had.
    pub(super) renamed: BTreeMap<String, String>,
    /// Rows that a TRUNCATE took and of which nothing else is known; `None` when even their number is not.
    pub(super) truncated: Option<u64>,
    /// Changes that were recorded.
    pub(super) changes: u64,
}

/// What `changes` came to, oldest first: a table each, in the order in which they were first touched. What `later` ones, which are not to
/// be undone, made of the same rows stands beside.
pub(super) fn effects<'s, 'a>(
    changes: &'a [Change<'a>],
    later: &'a [Change<'a>],
    schema: &'s Schema,
) -> Vec<TableEffect<'s, 'a>> {
    let mut places = FxHashMap::default();
    let mut tables: Vec<(Oid, [Vec<&'a Change<'a>>; 2])> = Vec::new();
    let tree = |change: &Change<'_>| schema.table(change.oid).map_or(change.oid, |table| table.oid);
    for change in changes {
        let oid = tree(change);
        let place = *places.entry(oid).or_insert_with(|| {
            tables.push((oid, [Vec::new(), Vec::new()]));
            tables.len() - 1
        });
        if let Some((_, [changes, _])) = tables.get_mut(place) {
            changes.push(change);
        }
    }
    for change in later {
        if let Some((_, [_, later])) = places.get(&tree(change)).and_then(|place| tables.get_mut(*place)) {
            later.push(change);
        }
    }
    tables.into_iter().map(|(oid, [changes, later])| of_table(oid, &changes, &later, schema.table(oid))).collect()
}

/// Sets those of tables beside them that are not to be brought back.
pub(super) fn set_beside<'s, 'a>(
    effects: &mut Vec<TableEffect<'s, 'a>>,
    beside: &'a [Change<'a>],
    later: &'a [Change<'a>],
    schema: &'s Schema,
) {
    let mut others = self::effects(beside, later, schema);
    others.retain(|other| effects.iter().all(|effect| effect.oid != other.oid));
    effects.extend(others.into_iter().map(|mut other| {
        other.unwanted = std::mem::take(&mut other.rows);
        TableEffect { is_beside: true, ..other }
    }));
}

fn of_table<'s, 'a>(
    oid: Oid,
    changes: &[&'a Change<'a>],
    later: &[&'a Change<'a>],
    table: Option<&'s Table>,
) -> TableEffect<'s, 'a> {
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
        is_beside: false,
        columns: Vec::new(),
        renamed: BTreeMap::new(),
        truncated: Some(0),
        changes: recorded,
    };
    let Some(table) = table else { return effect };
    let names = Names::of(table, changes.iter().chain(later).copied());
    let told: Vec<Told<'a>> = changes.iter().map(|change| Told::read(change, table, &names)).collect();
    effect.key = key(table, &told);
    let mut rows = Rows::new(table, effect.key);
    told.into_iter().for_each(|told| rows.change(told));
    effect.truncated = rows.truncated;
    rows.bury();
    for change in later {
        let told = Told::read(change, table, &names);
        if effect.key.is_none_or(|key| told.tells(key)) {
            rows.later = Some(told.tx);
            rows.change(told);
        }
    }
    effect.columns = (0..names.width()).map(|place| names.name(place).to_owned()).collect();
    effect.renamed = names.renamed;
    effect.rows = rows.done();
    effect
}

/// What all of these changes tell their rows by.
pub(super) fn key<'s>(table: &'s Table, told: &[Told<'_>]) -> Option<&'s Key> {
    table.keys.iter().find(|key| key.identifies && told.iter().all(|told| told.tells(key)))
}
