//! What became of each row → what is to be done about it, and what cannot be.

use rustc_hash::FxHashMap;

use super::coverage::{Reason, Tally};
use super::later::{self, Standing, Verdict};
use super::net::TableEffect;
use super::rows::Effect;
use super::schema::{Column, Key, Schema, Table};
use super::told::Row;
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
    pub(super) rows: Vec<&'p Effect<'a>>,
}

impl<'p, 'a> Group<'p, 'a> {
    /// The same, done to these rows.
    pub(super) fn with_rows(&self, rows: Vec<&'p Effect<'a>>) -> Self {
        let Group { place, table, key, kind, .. } = *self;
        Group { place, table, key, kind, columns: self.columns.clone(), rows }
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
            effect.rows.retain(|row| options.rows.iter().all(|wanted| is_wanted(row, table, wanted)));
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

/// Groups what is to be done, and counts what is not.
pub(super) fn plan<'p, 'a>(
    effects: &'p [TableEffect<'p, 'a>],
    schema: &Schema,
    options: &Options,
) -> (Vec<Group<'p, 'a>>, Vec<Tally>) {
    let (mut groups, mut tallies) = (Vec::new(), Vec::new());
    for (place, (effect, verdicts)) in effects.iter().zip(later::verdicts(effects, schema)).enumerate() {
        let mut tally = Tally::default();
        // A key says which rows are meant; that a truncate had one of them is not known.
        tally.truncated(effect.truncated);
        match effect.table {
            None => tally.missing(Reason::TableGone, Some(effect.changes), Vec::new(), false),
            Some(table) => {
                let (groups_of, order) = (FxHashMap::default(), Vec::new());
                let mut planner = Planner { place, effect, table, options, tally, groups: groups_of, order };
                planner.table(verdicts);
                tally = planner.tally;
                groups.extend(planner.order);
            }
        }
        tallies.push(tally);
    }
    (groups, tallies)
}

/// What may stand in the way of it all, table by table: constraints of which the SQL cannot see in time whether they hold.
pub(super) fn unguarded(groups: &[Group<'_, '_>]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for Group { table, columns, .. } in groups.iter().filter(|group| group.kind == Kind::Update) {
        let deferrable = table.keys.iter().any(|key| key.is_deferrable && key.touches(columns));
        if table.has_other_unique || deferrable {
            let (schema, name) = (&table.schema, &table.name);
            let note = format!(
                "{schema}.{name} has a deferrable, partial or expression constraint: if somebody took a value since that is to be set \
                 back, the SQL fails and changes nothing."
            );
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    notes
}

struct Planner<'p, 'a, 'o> {
    place: usize,
    effect: &'p TableEffect<'p, 'a>,
    table: &'p Table,
    options: &'o Options,
    tally: Tally,
    groups: FxHashMap<(Kind, Vec<usize>), usize>,
    order: Vec<Group<'p, 'a>>,
}

/// A row, with what later changes made of it.
#[derive(Clone, Copy)]
struct Judged<'p, 'a> {
    row: &'p Effect<'a>,
    verdict: Verdict<'a>,
}

impl<'p, 'a> Planner<'p, 'a, '_> {
    fn table(&mut self, verdicts: Vec<Verdict<'a>>) {
        for (row, verdict) in self.effect.rows.iter().zip(verdicts) {
            self.row(Judged { row, verdict });
        }
        if !self.effect.gone.is_empty() {
            let columns = self.effect.gone.iter().cloned().collect();
            let rows = u64::try_from(self.effect.rows.len()).ok();
            self.tally.missing(Reason::ColumnGone, rows, columns, true);
        }
    }

    fn row(&mut self, judged: Judged<'p, 'a>) {
        match (judged.row.before(), judged.row.after()) {
            (None, Some(new)) => self.delete(judged, new),
            (Some(old), None) => self.insert(judged, old),
            (Some(old), Some(new)) => self.update(judged, old, new),
            (None, None) => {}
        }
    }

    /// The columns that are stored, each with its place.
    fn columns(&self) -> impl Iterator<Item = (usize, &'p Column)> + use<'p> {
        self.table.columns.iter().enumerate().filter(|(_, column)| !column.is_generated)
    }

    fn delete(&mut self, judged: Judged<'p, 'a>, new: &Row<'a>) {
        self.tally.row(Kind::Delete);
        let known: Vec<usize> = self.columns().map(|(place, _)| place).filter(|place| is_known(new, *place)).collect();
        if self.effect.key.is_none() && known.len() < self.columns().count() {
            return self.unnamed(judged);
        }
        self.settle(Kind::Delete, known, judged, FxHashMap::default(), true);
    }

    fn insert(&mut self, judged: Judged<'p, 'a>, old: &Row<'a>) {
        self.tally.row(Kind::Insert);
        let (known, unknown): (Vec<_>, Vec<_>) = self.columns().partition(|(place, _)| is_known(old, *place));
        let mut missing: FxHashMap<Reason, Vec<&'p Column>> = FxHashMap::default();
        for (place, column) in unknown {
            let reason = match old.get(place) {
                Some(Value::Invalid) => Reason::InvalidText,
                Some(Value::Cut) => Reason::ValueCut,
                _ if !judged.row.complete => Reason::OldRowIncomplete,
                // It was not there when the row was told: what it would have got then is not known, what it gets now is.
                _ if column.may_be_left_out => continue,
                _ => Reason::ColumnNotTold,
            };
            missing.entry(reason).or_default().push(column);
        }
        let may = missing.values().flatten().all(|column| column.may_be_left_out);
        let known = known.into_iter().map(|(place, _)| place).collect();
        self.settle(Kind::Insert, known, judged, missing, may);
    }

    fn update(&mut self, judged: Judged<'p, 'a>, old: &Row<'a>, new: &Row<'a>) {
        let (mut set, mut missing) = (Vec::new(), FxHashMap::<Reason, Vec<&'p Column>>::default());
        for (place, column) in self.columns() {
            let reason = match (old.get(place), new.get(place)) {
                (Some(Value::Invalid), _) | (_, Some(Value::Invalid)) => Reason::InvalidText,
                (Some(Value::Cut), Some(Value::Unknown)) => continue,
                (Some(Value::Cut), _) | (_, Some(Value::Cut)) => Reason::ValueCut,
                // Never sent, so never changed; or not there yet when the old row was told.
                (Some(Value::Unknown), Some(Value::Unknown)) => continue,
                (Some(Value::Unknown), _) if judged.row.complete => continue,
                (Some(Value::Unknown), _) => Reason::OldRowIncomplete,
                (Some(old), Some(new)) if old == new || *new == Value::Unknown => continue,
                _ if column.is_identity_always => Reason::IdentityAlways,
                _ => {
                    set.push(place);
                    continue;
                }
            };
            missing.entry(reason).or_default().push(column);
        }
        if set.is_empty() && missing.is_empty() {
            return;
        }
        self.tally.row(Kind::Update);
        let named = self.effect.key.is_some() || self.columns().all(|(place, _)| is_known(new, place));
        if !named {
            return self.unnamed(judged);
        }
        let may = !set.is_empty();
        self.settle(Kind::Update, set, judged, missing, may);
    }

    /// Nothing tells which row it is.
    fn unnamed(&mut self, judged: Judged<'p, 'a>) {
        match judged.verdict.standing {
            Standing::AsLeft => self.tally.missing(Reason::RowNotNamed, Some(1), Vec::new(), false),
            standing => self.tally.later(standing),
        }
    }

    /// Does what is known, if nothing is missing or that was asked for, and nobody did something else since.
    fn settle(
        &mut self,
        kind: Kind,
        columns: Vec<usize>,
        Judged { row, verdict }: Judged<'p, 'a>,
        missing: FxHashMap<Reason, Vec<&'p Column>>,
        may: bool,
    ) {
        let partial = self.options.partial && may;
        let is_done = missing.is_empty() || partial;
        if is_done && verdict.judged_by_sql {
            self.add(kind, columns, row);
        }
        if verdict.standing != Standing::AsLeft {
            return self.tally.later(verdict.standing);
        }
        if is_done {
            self.tally.restorable();
        }
        for (reason, columns) in missing {
            let columns = columns.into_iter().map(|column| column.name.clone()).collect();
            self.tally.missing(reason, Some(1), columns, partial);
        }
    }

    fn add(&mut self, kind: Kind, columns: Vec<usize>, row: &'p Effect<'a>) {
        let order = &mut self.order;
        let group = *self.groups.entry((kind, columns)).or_insert_with_key(|(kind, columns)| {
            let (place, table, key) = (self.place, self.table, self.effect.key);
            order.push(Group { place, table, key, kind: *kind, columns: columns.clone(), rows: Vec::new() });
            order.len() - 1
        });
        if let Some(group) = order.get_mut(group) {
            group.rows.push(row);
        }
    }
}

fn is_known(row: &Row<'_>, place: usize) -> bool {
    row.get(place).is_some_and(Value::is_known)
}
