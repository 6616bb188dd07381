//! What became of each row → what is to be done, in groups, and what cannot be.

use rustc_hash::{FxHashMap, FxHashSet};

use super::constraints;
use super::coverage::{Reason, Tally};
use super::judge::{Judge, Judged};
use super::moved::{self, Move};
use super::net::TableEffect;
use super::quoting::table_name;
use super::rows::Effect;
use super::schema::{Key, OtherUnique, Schema, Table};
use super::told::{Row, value_of};
use super::value::Value;

/// What is done to a row. In the order in which kinds are done that nothing else puts in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// It was inserted.
    Delete,
    /// It was updated.
    Update,
    /// It was deleted.
    Insert,
}

/// Rows of a table to which the same is done, with the same columns: one statement, if nothing speaks against it.
#[derive(Clone, Debug)]
pub(super) struct Group<'p, 'a> {
    /// Its place among the tables that were changed.
    pub(super) place: usize,
    pub(super) table: &'p Table,
    pub(super) key: Option<&'p Key>,
    pub(super) kind: Kind,
    /// To be given (insert), set back (update) or compared (delete).
    pub(super) columns: Vec<usize>,
    /// As far as is known, nothing will keep these rows from it.
    pub(super) is_expected: bool,
    pub(super) rows: Vec<&'p Effect<'a>>,
}

impl<'p, 'a> Group<'p, 'a> {
    /// The same, done to these rows.
    pub(super) fn with_rows(&self, rows: Vec<&'p Effect<'a>>) -> Self {
        let Group { place, table, key, kind, is_expected, .. } = *self;
        Group { place, table, key, kind, columns: self.columns.clone(), is_expected, rows }
    }

    /// What is done if one of these columns has another value than before.
    pub(super) fn touches(&self, columns: &[usize]) -> bool {
        self.kind != Kind::Update || columns.iter().any(|column| self.columns.contains(column))
    }
}

/// Which rows are wanted, and how much of them.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only rows that had all these values once.
    pub rows: Vec<Wanted>,
    /// Bring rows back also where not all of their columns are known.
    pub partial: bool,
    /// Rows may have been moved from one table to another.
    pub moves: Vec<Move>,
}

/// A value that a row is known by.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its column.
    pub column: String,
    /// How the value is written: the ways that mean the same.
    pub values: Vec<String>,
}

/// Leaves of the rows those that are wanted.
pub(super) fn select(effects: &mut [TableEffect<'_, '_>], options: &Options) {
    for effect in effects {
        if let Some(table) = effect.table {
            let unwanted = effect.rows.extract_if(.., |row| !options.rows.iter().all(|wanted| is_wanted(row, table, wanted)));
            effect.unwanted.extend(unwanted);
        }
    }
}

fn is_wanted(row: &Effect<'_>, table: &Table, Wanted { column, values }: &Wanted) -> bool {
    let Some(place) = table.place(column) else { return false };
    let is = |row: Option<&Row<'_>>| match row.and_then(|row| row.get(place)) {
        Some(Value::Text(text)) => values.iter().any(|value| text == value),
        _ => false,
    };
    is(row.before()) || is(row.after())
}

/// A row by the place of its table among the effects, and its number there.
pub(super) type RowNumber = (usize, usize);

/// Groups what is to be done, and counts what is not. For some rows there is no order: they are left as they are.
pub(super) fn plan<'p, 'a>(
    effects: &'p [TableEffect<'p, 'a>],
    schema: &Schema,
    options: &Options,
    unordered: &FxHashSet<RowNumber>,
) -> (Vec<Group<'p, 'a>>, Vec<Tally>) {
    let judge = |(place, effect): (usize, &'p TableEffect<'p, 'a>)| {
        let judge = Judge { effect, partial: options.partial };
        let judged = effect.rows.iter().filter_map(|row| judge.row(row, unordered.contains(&(place, row.number))));
        judged.collect()
    };
    let mut judged: Vec<Vec<Judged<'p, 'a>>> = effects.iter().enumerate().map(judge).collect();
    constraints::mark(effects, &mut judged, schema);
    moved::mark(effects, &mut judged, schema, &options.moves);
    // What stays for that may be what needs others, or keeps them.
    constraints::mark(effects, &mut judged, schema);
    let mut groups = Vec::new();
    let tallies = effects.iter().zip(judged).enumerate().map(|(place, (effect, judged))| {
        let mut tally = Tally::default();
        // A key says which rows are meant; that a truncate had one of them is not known.
        tally.truncated(if effect.is_beside { Some(0) } else { effect.truncated });
        match effect.table {
            None => tally.missing(Reason::TableGone, Some(effect.changes), Vec::new(), false),
            Some(table) => {
                judged.iter().for_each(|judged| judged.count(&mut tally));
                group(&mut groups, place, table, effect.key, judged);
            }
        }
        tally
    });
    let tallies = tallies.collect();
    (groups, tallies)
}

/// Those of a table that the SQL is about.
fn group<'p, 'a>(
    groups: &mut Vec<Group<'p, 'a>>,
    place: usize,
    table: &'p Table,
    key: Option<&'p Key>,
    judged: Vec<Judged<'p, 'a>>,
) {
    let mut places: FxHashMap<(Kind, bool, Vec<usize>), usize> = FxHashMap::default();
    for judged in judged.into_iter().filter(|judged| judged.is_done && judged.verdict.judged_by_sql) {
        let (kind, is_expected) = (judged.kind, judged.is_undone());
        let group = *places.entry((kind, is_expected, judged.columns)).or_insert_with_key(|(_, _, columns)| {
            groups.push(Group { place, table, key, kind, columns: columns.clone(), is_expected, rows: Vec::new() });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(group) {
            group.rows.push(judged.row);
        }
    }
}

/// What may stand in the way of it all, table by table: constraints of which the SQL cannot see in time whether they hold.
pub(super) fn unguarded(groups: &[Group<'_, '_>]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for Group { table, columns, kind, .. } in groups {
        let deferrable = table.keys.iter().any(|key| key.is_deferrable && key.touches(columns));
        let is_unguarded = match kind {
            Kind::Insert => !table.other_uniques.is_empty() && table.has_deferrable_unique(),
            Kind::Update => !table.other_uniques.is_empty() || deferrable,
            Kind::Delete => false,
        };
        if is_unguarded {
            let name = table_name(&table.schema, &table.name);
            let note = format!(
                "{name} has a deferrable, partial or expression constraint: if somebody took a value since that is to be \
                 brought back, the SQL fails and changes nothing. The dry run shows it."
            );
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    notes
}

/// What is in doubt, table by table: rows may have passed values on to each other that must be unique, and in which order is not known, since
/// it is not told by columns alone what these are.
pub(super) fn in_doubt(groups: &[Group<'_, '_>]) -> Vec<String> {
    let updated = |group: &&Group<'_, '_>| group.kind == Kind::Update && group.is_expected;
    let mut tables: Vec<&Group<'_, '_>> = groups.iter().filter(updated).collect();
    tables.sort_by_key(|group| group.place);
    let in_doubt = tables.chunk_by(|a, b| a.place == b.place).filter_map(|groups| {
        let table = groups.first()?.table;
        table.other_uniques.iter().any(|unique| may_have_passed_on(unique, groups)).then(|| {
            format!(
                "{}: rows may have passed values on to each other that a partial or expression index or an exclusion constraint keeps \
                 unique, so whether they can be set back is not known. The dry run of `pgvigil undo --apply` finds out; if not, nothing is \
                 changed.",
                table_name(&table.schema, &table.name)
            )
        })
    });
    in_doubt.collect()
}

/// Whether one of these rows of a table, which were updated, may have got what another one had.
fn may_have_passed_on(unique: &OtherUnique, groups: &[&Group<'_, '_>]) -> bool {
    let OtherUnique { columns, condition, by_columns, is_deferrable } = unique;
    let touched = groups.iter().filter(|group| !is_deferrable && (group.touches(columns) || group.touches(condition)));
    let mut had: FxHashMap<String, Vec<usize>> = FxHashMap::default();
    let mut got = Vec::new();
    for (table, row) in touched.clone().flat_map(|group| group.rows.iter().map(|row| (group.table, row))) {
        let value = |row: &Row<'_>| value_of(row, columns, table);
        if let Some(value) = row.before().and_then(value) {
            had.entry(value).or_default().push(row.number);
        }
        got.push((row.number, row.after().and_then(value)));
    }
    // What an expression makes of other values may be the same.
    let is_made = !by_columns && touched.clone().any(|group| group.touches(columns));
    let passed_on = |(number, value): &(usize, Option<String>)| {
        let by = value.as_ref().and_then(|value| had.get(value));
        by.is_some_and(|by| by.iter().any(|other| other != number))
    };
    is_made && got.len() > 1 || got.iter().any(passed_on)
}
