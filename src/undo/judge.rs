//! What is to be done about one row, and what is missing for it.

use std::collections::BTreeMap;

use super::coverage::{Reason, Tally};
use super::later::{self, Standing, Verdict};
use super::net::TableEffect;
use super::plan::Kind;
use super::rows::Effect;
use super::schema::{Column, Table};
use super::told::Row;
use super::value::Value;

/// A row that is not as it was.
#[derive(Debug)]
pub(super) struct Judged<'p, 'a> {
    pub(super) row: &'p Effect<'a>,
    pub(super) verdict: Verdict<'a>,
    pub(super) kind: Kind,
    /// To be given (insert), set back (update) or compared (delete).
    pub(super) columns: Vec<usize>,
    /// Why which columns cannot be brought back; no columns for the whole row.
    missing: BTreeMap<Reason, Vec<&'p str>>,
    /// Nothing that is needed is missing, so it is for the SQL if that can judge it.
    pub(super) is_done: bool,
}

impl Judged<'_, '_> {
    /// As far as is known, the SQL makes it what it was.
    pub(super) fn is_undone(&self) -> bool {
        self.is_done && self.verdict.standing == Standing::AsLeft
    }

    /// A constraint keeps it as it is, for this reason.
    pub(super) fn bind(&mut self, reason: Reason) {
        self.verdict.standing = Standing::Bound(reason);
        self.verdict.is_lost = self.row.after().is_none();
    }

    /// Nothing is done to it after all.
    pub(super) fn leave(&mut self, reason: Reason) {
        self.missing.insert(reason, Vec::new());
        self.is_done = false;
    }

    /// Counts it.
    pub(super) fn count(&self, tally: &mut Tally) {
        tally.row(self.kind);
        if self.verdict.standing != Standing::AsLeft {
            return tally.later(self.verdict.standing);
        }
        if self.is_done {
            tally.restorable();
        }
        for (reason, columns) in &self.missing {
            let columns = columns.iter().map(|column| (*column).to_owned()).collect();
            tally.missing(*reason, Some(1), columns, self.is_done);
        }
    }
}

/// Judges the rows of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judge<'p, 'a> {
    pub(super) effect: &'p TableEffect<'p, 'a>,
    /// Rows may come back without some of their columns.
    pub(super) partial: bool,
}

/// What would be done, what is missing, and whether it may be done all the same.
struct Act<'p> {
    kind: Kind,
    columns: Vec<usize>,
    missing: BTreeMap<Reason, Vec<&'p str>>,
    may_be_partial: bool,
}

impl<'p, 'a> Judge<'p, 'a> {
    /// `None` if it is as it was. For a row without an order there is nothing that could be done.
    pub(super) fn row(&self, row: &'p Effect<'a>, is_unordered: bool) -> Option<Judged<'p, 'a>> {
        let act = match (row.before(), row.after()) {
            (None, Some(new)) => self.delete(new),
            (Some(old), None) => self.insert(row, old),
            (Some(old), Some(new)) => self.update(row, old, new)?,
            (None, None) => return None,
        };
        let Act { kind, columns, mut missing, mut may_be_partial } = act;
        for check in row.before().into_iter().flat_map(|old| self.unfulfilled(old)) {
            missing.entry(Reason::CheckNotFulfilled).or_default().extend(check);
            may_be_partial = false;
        }
        if self.is_ruled(kind) {
            missing.insert(Reason::TableHasRules, Vec::new());
            may_be_partial = false;
        }
        if is_unordered {
            missing.insert(Reason::UniqueInACircle, Vec::new());
            may_be_partial = false;
        }
        // Of a column that was not told it is not known whether there was anything in it.
        let is_whole = kind != Kind::Delete && missing.keys().all(|reason| *reason == Reason::ColumnNotTold);
        let is_done = missing.is_empty() || (self.partial || is_whole) && may_be_partial;
        Some(Judged { row, verdict: later::verdict(row, self.effect.key), kind, columns, missing, is_done })
    }

    fn is_ruled(&self, kind: Kind) -> bool {
        self.effect.table.is_some_and(|Table { ruled, .. }| match kind {
            Kind::Insert => ruled.insert,
            Kind::Update => ruled.update,
            Kind::Delete => ruled.delete,
        })
    }

    /// The columns that are stored, each with its place.
    fn columns(&self) -> impl Iterator<Item = (usize, &'p Column)> + use<'p, 'a> {
        let columns = self.effect.table.into_iter().flat_map(|table| &table.columns).enumerate();
        columns.filter(|(_, column)| !column.is_generated)
    }

    /// The places of those that are no more, each with what it was called.
    fn gone(&self) -> impl Iterator<Item = (usize, &'p str)> + use<'p, 'a> {
        let now = self.effect.table.map_or(0, |table| table.columns.len());
        self.effect.columns.iter().enumerate().skip(now).map(|(place, name)| (place, name.as_str()))
    }

    /// The columns of each check that a row does not fulfil.
    fn unfulfilled(&self, row: &Row<'a>) -> impl Iterator<Item = Vec<&'p str>> {
        let table = self.effect.table;
        let checks = table.into_iter().flat_map(|table| &table.checks).filter(|check| !check.refused.is_empty());
        let unfulfilled = checks.filter(|check| check.values(row).is_some_and(|values| check.refused.contains(&values)));
        unfulfilled.map(move |check| {
            let columns = check.columns.iter().filter_map(|place| table?.column(*place));
            columns.map(|column| column.name.as_str()).collect()
        })
    }

    /// The columns among these of which the row cannot even be compared, and why.
    fn refused(&self, row: &Row<'_>, columns: &[usize]) -> BTreeMap<Reason, Vec<&'p str>> {
        let mut refused: BTreeMap<Reason, Vec<&'p str>> = BTreeMap::new();
        for (place, column) in self.columns().filter(|(place, _)| columns.contains(place)) {
            if let Some(reason) = refusal(column, row.get(place)) {
                refused.entry(reason).or_default().push(&column.name);
            }
        }
        refused
    }

    /// Nothing tells which row it is.
    fn unnamed(kind: Kind) -> Act<'p> {
        let missing = BTreeMap::from([(Reason::RowNotNamed, Vec::new())]);
        Act { kind, columns: Vec::new(), missing, may_be_partial: false }
    }

    fn delete(&self, new: &Row<'a>) -> Act<'p> {
        let known: Vec<usize> = self.columns().map(|(place, _)| place).filter(|place| is_known(new, *place)).collect();
        if self.effect.key.is_none() && known.len() < self.columns().count() {
            return Self::unnamed(Kind::Delete);
        }
        // What cannot be compared may have been changed since.
        let mut missing = self.refused(new, &known);
        let may_be_partial = missing.is_empty();
        for (place, column) in self.columns().filter(|(place, _)| !known.contains(place)) {
            let reason = match new.get(place) {
                Some(Value::Invalid) => Reason::InvalidText,
                Some(Value::Cut) => Reason::ValueCut,
                _ => Reason::ColumnNotTold,
            };
            missing.entry(reason).or_default().push(&column.name);
        }
        Act { kind: Kind::Delete, may_be_partial, columns: known, missing }
    }

    fn insert(&self, row: &Effect<'a>, old: &Row<'a>) -> Act<'p> {
        let (known, unknown): (Vec<_>, Vec<_>) = self.columns().partition(|(place, _)| is_known(old, *place));
        let mut missing: BTreeMap<Reason, Vec<&'p str>> = BTreeMap::new();
        let mut may_be_partial = true;
        for (place, column) in unknown {
            let reason = match old.get(place) {
                Some(Value::Invalid) => Reason::InvalidText,
                Some(Value::Cut) => Reason::ValueCut,
                _ if !row.complete => Reason::OldRowIncomplete,
                // It was not there when the row was told, or was generated then. It gets what a new row gets.
                _ => Reason::ColumnNotTold,
            };
            may_be_partial &= column.may_be_left_out;
            missing.entry(reason).or_default().push(&column.name);
        }
        for (_, name) in self.gone().filter(|(place, _)| held(old.get(*place))) {
            missing.entry(Reason::ColumnGone).or_default().push(name);
        }
        let mut columns = Vec::with_capacity(known.len());
        for (place, column) in known {
            let refusal = refusal(column, old.get(place));
            match refusal {
                None | Some(Reason::ValueRewritten) => columns.push(place),
                Some(_) => may_be_partial &= column.may_be_left_out,
            }
            if let Some(reason) = refusal {
                missing.entry(reason).or_default().push(&column.name);
            }
        }
        Act { kind: Kind::Insert, columns, missing, may_be_partial }
    }

    fn update(&self, row: &Effect<'a>, old: &Row<'a>, new: &Row<'a>) -> Option<Act<'p>> {
        let (mut set, mut missing, mut untold) = (Vec::new(), BTreeMap::<Reason, Vec<&'p str>>::new(), Vec::new());
        for (place, column) in self.columns() {
            let reason = match (old.get(place), new.get(place)) {
                (Some(Value::Invalid), _) | (_, Some(Value::Invalid)) => Reason::InvalidText,
                (Some(Value::Cut), Some(Value::Unknown)) => continue,
                (Some(Value::Cut), _) | (_, Some(Value::Cut)) => Reason::ValueCut,
                // Never sent, so never changed.
                (Some(Value::Unknown), Some(Value::Unknown)) if !row.complete => continue,
                // It was not there when the old row was told, or was generated then. It stays as it is.
                (Some(Value::Unknown), _) if row.complete => {
                    untold.push(column.name.as_str());
                    continue;
                }
                (Some(Value::Unknown), _) => Reason::OldRowIncomplete,
                (Some(old), Some(new)) if old == new || *new == Value::Unknown => continue,
                _ if column.is_identity_always => Reason::IdentityAlways,
                (old, new) => match refusal(column, new).or_else(|| refusal(column, old)) {
                    Some(Reason::ValueRewritten) if refusal(column, new).is_none() => {
                        set.push(place);
                        Reason::ValueRewritten
                    }
                    Some(reason) => reason,
                    None => {
                        set.push(place);
                        continue;
                    }
                },
            };
            missing.entry(reason).or_default().push(&column.name);
        }
        let differs = |place: usize| {
            held(old.get(place)) && new.get(place).is_some_and(|new| *new != Value::Unknown && old.get(place) != Some(new))
        };
        for (_, name) in self.gone().filter(|(place, _)| differs(*place)) {
            missing.entry(Reason::ColumnGone).or_default().push(name);
        }
        if set.is_empty() && missing.is_empty() {
            return None;
        }
        if !untold.is_empty() {
            missing.insert(Reason::ColumnNotTold, untold);
        }
        if self.effect.key.is_none() && !self.columns().all(|(place, _)| is_known(new, place)) {
            return Some(Self::unnamed(Kind::Update));
        }
        let stored: Vec<usize> = self.columns().map(|(place, _)| place).collect();
        let mut lost = self.refused(new, self.effect.key.map_or(stored.as_slice(), |key| key.columns.as_slice()));
        if self.effect.key.is_some() {
            // A key is found by its value, however that is written.
            lost.remove(&Reason::ValueRewritten);
        }
        if !lost.is_empty() {
            return Some(Act { kind: Kind::Update, columns: set, missing: lost, may_be_partial: false });
        }
        Some(Act { kind: Kind::Update, may_be_partial: !set.is_empty(), columns: set, missing })
    }
}

fn is_known(row: &Row<'_>, place: usize) -> bool {
    row.get(place).is_some_and(Value::is_known)
}

/// Why the column does not take a value that is known.
fn refusal(column: &Column, value: Option<&Value<'_>>) -> Option<Reason> {
    match value? {
        Value::Null => column.is_not_null.then_some(Reason::NullNotTaken),
        Value::Text(text) if column.refused.contains(text.as_ref()) => Some(Reason::ValueNotTaken),
        Value::Text(text) => column.rewritten.contains(text.as_ref()).then_some(Reason::ValueRewritten),
        Value::Unknown | Value::Invalid | Value::Cut => None,
    }
}

/// There was something in it.
fn held(value: Option<&Value<'_>>) -> bool {
    value.is_some_and(|value| !matches!(value, Value::Unknown | Value::Null))
}
