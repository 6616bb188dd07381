//! Rows that went by a cascade, under the row that took them along.
//!
//! The log does not say why a row was changed; the foreign keys and the values do. A row belongs to a referenced row that was deleted (or
//! whose key was changed) before it in the same transaction, by a key that cascades, if it referenced that row. Where old rows are told by
//! their key only, what a row referenced may not be known: it is listed without a parent, if there is one that it can belong to.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::schema::{Action, ForeignKey, Schema, Table};
use super::value::{Value, loose};
use crate::event::Operation;
use crate::event::received::{Change, Row};

/// Rows that one row took along by one foreign key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cascade<'a> {
    /// The event of the row that was deleted, or whose key was changed; `null` if it is not known which.
    pub parent: Option<&'a str>,
    /// Name of the constraint.
    pub foreign_key: &'a str,
    /// Schema of the table with the rows that followed.
    pub schema: &'a str,
    /// Name of it.
    pub table: &'a str,
    /// The events of the rows that followed, in order.
    pub rows: Vec<&'a str>,
}

/// Groups the changes of one transaction or several, oldest first. What was not caused by another is in no group.
pub fn cascades<'a>(changes: &'a [Change<'a>], schema: &'a Schema) -> Vec<Cascade<'a>> {
    let keys: Vec<&ForeignKey> = schema.foreign_keys.iter().filter(|key| acts(key)).collect();
    let mut causes: FxHashMap<(usize, String), &'a str> = FxHashMap::default();
    let mut groups: BTreeMap<(usize, Option<&'a str>), Vec<&'a str>> = BTreeMap::new();
    let (mut order, mut transaction) = (Vec::new(), "");
    for change in changes {
        if change.tx.id != transaction {
            transaction = change.tx.id;
            causes.clear();
        }
        let Some(table) = schema.table(change.oid) else { continue };
        for (nth, key) in keys.iter().enumerate() {
            if key.table == table.oid && follows(change, table, key) {
                let cause = match before(change, table, &key.columns) {
                    Values::Known(value) => causes.get(&(nth, value)).copied().map(Some),
                    Values::Untold if change.op == Operation::Delete => causes.keys().any(|(of, _)| *of == nth).then_some(None),
                    Values::Untold | Values::Null => None,
                };
                let Some(parent) = cause else { continue };
                let group = groups.entry((nth, parent)).or_insert_with(|| {
                    order.push((nth, parent));
                    Vec::new()
                });
                group.push(change.id);
                break;
            }
        }
        for (nth, key) in keys.iter().enumerate() {
            if key.references == table.oid
                && let Values::Known(value) = before(change, table, &key.referenced)
                && (change.op == Operation::Delete || after(change, table, &key.referenced) != Values::Known(value.clone()))
            {
                causes.insert((nth, value), change.id);
            }
        }
    }
    let group = |of: (usize, Option<&'a str>)| {
        let (rows, key) = (groups.remove(&of)?, keys.get(of.0)?);
        let table = schema.tables.get(&key.table)?;
        Some(Cascade { parent: of.1, foreign_key: &key.name, schema: &table.schema, table: &table.name, rows })
    };
    order.into_iter().filter_map(group).collect()
}

fn acts(key: &ForeignKey) -> bool {
    key.on_delete != Action::Refuse || key.on_update != Action::Refuse
}

/// Whether this is what the key would do.
fn follows(change: &Change<'_>, table: &Table, key: &ForeignKey) -> bool {
    match change.op {
        Operation::Delete => key.on_delete == Action::Cascade,
        Operation::Update => {
            let acts = key.on_delete == Action::Release || key.on_update != Action::Refuse;
            let before = before(change, table, &key.columns);
            acts && matches!(before, Values::Known(_)) && before != after(change, table, &key.columns)
        }
        Operation::Insert | Operation::Truncate => false,
    }
}

/// The values of some columns, as one text.
#[derive(PartialEq, Eq)]
enum Values {
    Known(String),
    /// One of them is NULL, so nothing is referenced.
    Null,
    /// One of them was not told.
    Untold,
}

fn before(change: &Change<'_>, table: &Table, columns: &[usize]) -> Values {
    values(change.old.as_ref(), &change.exact.old, table, columns)
}

fn after(change: &Change<'_>, table: &Table, columns: &[usize]) -> Values {
    values(change.new.as_ref(), &change.exact.new, table, columns)
}

fn values(row: Option<&Row<'_>>, exact: &Row<'_>, table: &Table, columns: &[usize]) -> Values {
    let (mut text, mut is_told) = (String::new(), true);
    for column in columns.iter().filter_map(|column| table.column(*column)) {
        let told = row.and_then(|row| row.get(&column.name));
        match told.map(|told| Value::read(told, exact.get(&column.name), column.is_document)) {
            Some(Value::Null) => return Values::Null,
            Some(Value::Text(value)) => {
                text.push_str(loose(&value));
                text.push('\0');
            }
            _ => is_told = false,
        }
    }
    if is_told { Values::Known(text) } else { Values::Untold }
}
