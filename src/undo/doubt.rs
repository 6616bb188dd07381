//! What has to be asked of the database before anything is promised: whether what was recorded then is good for the table as it is now.
//!
//! A text is read by its type, and that may have lost an enum's value, got a shorter length or another `CHECK`, or be another type by now;
//! and a row has to fulfil what was asked of rows since. So whatever is to be given to a column that was altered since, or whose type was, is
//! tried before. Of all other columns nothing is in doubt.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::IgnoredAny;

use super::net;
use super::plan::{self, Options};
use super::quoting::{table_name, where_needed};
use super::schema::{Check, Column, ForeignKey, Schema, Table};
use super::told::{Row, value_of};
use super::value::Value;
use super::{Changes, Subject};
use crate::event::Operation;
use crate::event::received::Change;
use crate::lsn::Oid;

/// What altered a type may have begun so many transactions before something else changed rows, and have been committed after that.
const OVERLAP: i64 = 100_000;

/// A column, and the texts that it may have to take.
#[derive(Debug)]
pub struct Texts {
    /// Its table.
    pub table: Oid,
    /// Its place there.
    pub column: usize,
    /// Each once.
    pub texts: Vec<String>,
    /// Those of them that may mean something else than what they say.
    pub ambiguous: Vec<String>,
}

/// A `CHECK`, and the rows that may have to fulfil it.
#[derive(Debug)]
pub struct Rows {
    /// Its table.
    pub table: Oid,
    /// Its place among the checks of it.
    pub check: usize,
    /// The values of its columns, each once.
    pub rows: Vec<Vec<Option<String>>>,
}

/// The texts that columns may have to take, and are not known to be good for.
pub fn texts<'a>(changes: Changes<'a, 'a>, schema: &Schema, options: &Options) -> Vec<Texts> {
    let since = Since::new(changes, schema);
    let in_doubt = |column: &Column| !column.calls_application && since.may_have(column);
    if !any(changes, schema, |table| table.columns.iter().any(in_doubt)) {
        return Vec::new();
    }
    let mut found: BTreeMap<(Oid, usize), BTreeSet<String>> = BTreeMap::new();
    each_row(changes, schema, options, |table, rows| {
        for (place, _) in table.columns.iter().enumerate().filter(|(_, column)| !column.is_generated && in_doubt(column)) {
            let texts = rows.iter().flatten().filter_map(|row| match row.get(place) {
                Some(Value::Text(text)) => Some(text.clone().into_owned()),
                _ => None,
            });
            found.entry((table.oid, place)).or_default().extend(texts);
        }
    });
    let texts = found.into_iter().map(|((table, column), texts)| {
        let texts: Vec<String> = texts.into_iter().collect();
        let of = schema.tables.get(&table).and_then(|table| table.column(column));
        let is_new = of.is_some_and(|column| column.is_document && column.altered.is_some_and(|altered| since.has(altered)));
        let ambiguous = texts.iter().filter(|text| is_new && may_be_quoted(text)).cloned().collect();
        Texts { table, column, texts, ambiguous }
    });
    texts.filter(|texts| !texts.texts.is_empty()).collect()
}

/// It is a string as a document, or the text of a document as it is told of a column that was a text then.
fn may_be_quoted(text: &str) -> bool {
    serde_json::from_str::<String>(text).is_ok_and(|inner| serde_json::from_str::<IgnoredAny>(&inner).is_ok())
}

/// The rows that have to fulfil a `CHECK` that was not there when they were, or not as it is now. Asked when it is known which texts are good.
pub fn rows<'a>(changes: Changes<'a, 'a>, schema: &Schema, options: &Options) -> Vec<Rows> {
    let since = Since::new(changes, schema);
    let in_doubt = |table: &Table, check: &Check| !table.calls_application(check) && since.has(check.altered);
    if !any(changes, schema, |table| table.checks.iter().any(|check| in_doubt(table, check))) {
        return Vec::new();
    }
    let mut found: BTreeMap<(Oid, usize), BTreeSet<Vec<Option<String>>>> = BTreeMap::new();
    each_row(changes, schema, options, |table, [before, _]| {
        for (place, check) in table.checks.iter().enumerate().filter(|(_, check)| in_doubt(table, check)) {
            let values = before.and_then(|row| check.values(row)).filter(|values| table.takes(check, values));
            found.entry((table.oid, place)).or_default().extend(values);
        }
    });
    let rows = found.into_iter().map(|((table, check), rows)| Rows { table, check, rows: rows.into_iter().collect() });
    rows.filter(|rows| !rows.rows.is_empty()).collect()
}

/// Says of what it cannot be known before the SQL runs.
pub fn warn<'a>(changes: Changes<'a, 'a>, schema: &Schema, options: &Options, subject: &mut Subject) {
    for table in may_lack(changes, schema, options).iter().filter_map(|table| schema.tables.get(table)) {
        subject.warnings.push(format!(
            "What rows reference in {} may have gone with a partition, since one was attached since, perhaps in the place of another. The \
             dry run of `pgvigil undo --apply` finds out; a row whose reference is gone is left alone.",
            table_name(&table.schema, &table.name)
        ));
    }
    let since = Since::new(changes, schema);
    let mut leaves: BTreeMap<Oid, i64> = BTreeMap::new();
    for change in changes.undone.iter().filter(|change| change.op != Operation::Insert) {
        let first = leaves.entry(change.oid).or_default();
        *first = ago(change, schema).max(*first);
    }
    // What was made with the first of its changes was not made since.
    leaves.retain(|leaf, first| schema.partitions.get(leaf).is_some_and(|altered| altered < first));
    for table in leaves.keys().filter_map(|leaf| schema.table(*leaf)) {
        let warning = format!(
            "{}: whether its partitions take what was recorded is not known, since one was attached or got constraints of its own since. \
             The dry run of `pgvigil undo --apply` finds out; if one row is refused, nothing is changed.",
            table_name(&table.schema, &table.name)
        );
        if !subject.warnings.contains(&warning) {
            subject.warnings.push(warning);
        }
    }
    let mut tables: Vec<&Table> = changes.undone.iter().filter_map(|change| schema.table(change.oid)).collect();
    tables.sort_by_key(|table| table.oid);
    tables.dedup_by_key(|table| table.oid);
    for table in tables {
        let name = table_name(&table.schema, &table.name);
        // What was made with the first of the changes was not made since. Where rows only came, they go.
        let comes = |change: &Change<'_>| {
            change.op != Operation::Insert && schema.table(change.oid).is_some_and(|of| of.oid == table.oid)
        };
        if table.unique_altered.is_some_and(|altered| altered < since.0) && changes.undone.iter().any(comes) {
            subject.warnings.push(format!(
                "{name}: whether rows are unique in what has to be since is not known. The dry run of `pgvigil undo --apply` finds out: of \
                 those that are not, one comes back, or nothing is changed."
            ));
        }
        for column in &table.columns {
            if column.calls_application && column.altered.is_some_and(|altered| since.has(altered)) {
                let column = where_needed(&column.name);
                subject.warnings.push(format!(
                    "{name}: whether column {column} takes what was recorded is for functions of the application to say, and it or its \
                     type was altered since. The dry run of `pgvigil undo --apply` finds out; if it refuses one row, nothing is changed."
                ));
            }
        }
        for check in &table.checks {
            let is_told = check.columns.iter().all(|column| table.column(*column).is_some_and(|column| !column.is_generated));
            if since.has(check.altered) && (table.calls_application(check) || !is_told) {
                let check = where_needed(&check.name);
                subject.warnings.push(format!(
                    "{name}: whether rows fulfil the constraint {check}, which came since, is not known. The dry run of `pgvigil undo \
                     --apply` finds out; if it refuses one row, nothing is changed."
                ));
            }
        }
    }
}

/// The trees that rows come to reference, and that may lack what they held: that a partition was dropped no change tells.
fn may_lack<'a>(changes: Changes<'a, 'a>, schema: &Schema, options: &Options) -> BTreeSet<Oid> {
    let since = Since::new(changes, schema);
    let attached = schema.partitions.iter().filter(|(_, altered)| **altered < since.0);
    let trees: BTreeSet<Oid> = attached.filter_map(|(partition, _)| schema.roots.get(partition).copied()).collect();
    let keys: Vec<&ForeignKey> = schema.foreign_keys.iter().filter(|key| trees.contains(&key.references)).collect();
    let mut found = BTreeSet::new();
    if !keys.is_empty() {
        each_row(changes, schema, options, |table, rows| {
            for key in keys.iter().filter(|key| key.table == table.oid) {
                let [before, after] = rows.map(|row| value_of(row?, &key.columns, table));
                found.extend(before.filter(|before| after.as_ref() != Some(before)).map(|_| key.references));
            }
        });
    }
    found
}

/// Any of the tables that were changed is so.
fn any(changes: Changes<'_, '_>, schema: &Schema, is: impl Fn(&Table) -> bool) -> bool {
    let mut last = None;
    changes.undone.iter().any(|change| last.replace(change.oid) != Some(change.oid) && schema.table(change.oid).is_some_and(&is))
}

/// Each row that is wanted, before and after.
fn each_row<'a>(
    changes: Changes<'a, 'a>,
    schema: &Schema,
    options: &Options,
    mut see: impl FnMut(&Table, [Option<&Row<'a>>; 2]),
) {
    let mut effects = net::effects(changes, schema);
    plan::select(&mut effects, options);
    for effect in &effects {
        let Some(table) = effect.table else { continue };
        effect.rows.iter().for_each(|row| see(table, [row.before(), row.after()]));
    }
}

/// How long ago the first of the changes was, in transactions.
struct Since(i64);

impl Since {
    fn new(changes: Changes<'_, '_>, schema: &Schema) -> Self {
        Since(changes.undone.iter().map(|change| ago(change, schema)).max().unwrap_or_default())
    }

    /// Whether what was altered so long ago was altered since.
    fn has(&self, altered: i64) -> bool {
        altered <= self.0
    }

    fn may_have(&self, column: &Column) -> bool {
        column.altered.is_some_and(|altered| altered <= self.0.saturating_add(OVERLAP))
    }
}

/// How many transactions ago it was.
fn ago(change: &Change<'_>, schema: &Schema) -> i64 {
    // Ids are told modulo 2³². One that began after the tables were looked at is none ago.
    let next = schema.next_xid.map(|next| next & u64::from(u32::MAX)).and_then(|next| u32::try_from(next).ok());
    next.map_or(i64::MAX, |next| i64::from(next.wrapping_sub(change.tx.xid).cast_signed().max(0)))
}

impl Check {
    /// The values of its columns in this row, if all are known.
    pub(super) fn values(&self, row: &Row<'_>) -> Option<Vec<Option<String>>> {
        let value = |column: &usize| match row.get(*column)? {
            Value::Null => Some(None),
            Value::Text(text) => Some(Some(text.clone().into_owned())),
            Value::Unknown | Value::Invalid | Value::Cut => None,
        };
        self.columns.iter().map(value).collect()
    }
}

impl Table {
    /// The check does, or what its columns need to be read.
    fn calls_application(&self, check: &Check) -> bool {
        let calls = |place: &usize| self.column(*place).is_some_and(|column| column.calls_application);
        check.calls_application || check.columns.iter().any(calls)
    }

    /// The columns of the check take these texts.
    fn takes(&self, check: &Check, values: &[Option<String>]) -> bool {
        let refuses = |(column, value): (&usize, &Option<String>)| {
            self.column(*column).zip(value.as_ref()).is_some_and(|(column, value)| column.refused.contains(value))
        };
        !check.columns.iter().zip(values).any(refuses)
    }
}
