//! Rows that a constraint keeps as they are, since of all rows that it is about some are not brought back, were not asked for, or were changed
//! by somebody later:
//!
//! - what a row that would come references is not there then;
//! - a row that would go, or lose what it is referenced by, is still referenced then;
//! - a value that must be unique, and that a row would have again, is another one's then.
//!
//! Each may keep others as they are in its turn.

use rustc_hash::{FxHashMap, FxHashSet};

use super::coverage::Reason;
use super::judge::Judged;
use super::later::Standing;
use super::net::TableEffect;
use super::plan::Kind;
use super::rows::Effect;
use super::schema::{Action, ForeignKey, Key, Schema, Table};
use super::told::{Row, value_of};
use crate::lsn::Oid;

/// Finds them among the rows of all tables.
pub(super) fn mark(effects: &[TableEffect<'_, '_>], judged: &mut [Vec<Judged<'_, '_>>], schema: &Schema) {
    // Of a period it is not known which rows cover it.
    let ends = |key| {
        Some(Ends {
            key,
            parents: End::of(effects, schema, key.references, &key.referenced)?,
            children: End::of(effects, schema, key.table, &key.columns)?,
        })
    };
    let ends: Vec<Ends<'_, '_, '_>> = schema.foreign_keys.iter().filter(|key| !key.is_temporal).filter_map(ends).collect();
    let uniques = effects.iter().flat_map(|effect| {
        let keys = effect.table.into_iter().flat_map(|table| &table.keys);
        keys.filter_map(|key| Some((key, End::of(effects, schema, effect.oid, &key.columns)?)))
    });
    let uniques: Vec<(&Key, End<'_, '_, '_>)> = uniques.collect();
    while ends.iter().any(|ends| ends.orphans(judged) | ends.referenced(judged))
        || uniques.iter().any(|(key, end)| end.taken(judged, key))
    {}
}

/// A foreign key, and what became of the rows at both of its ends.
struct Ends<'e, 's, 'a> {
    key: &'e ForeignKey,
    parents: End<'e, 's, 'a>,
    children: End<'e, 's, 'a>,
}

/// The rows at one end of it; or those of a table, by columns that must be unique.
struct End<'e, 's, 'a> {
    table: &'e Table,
    columns: &'e [usize],
    /// Its place among the tables, if anything of it was changed.
    place: Option<usize>,
    effect: Option<&'e TableEffect<'s, 'a>>,
}

impl Ends<'_, '_, '_> {
    /// Marks rows that would come, and whose parent is not there then. Whether there were any more.
    fn orphans(&self, judged: &mut [Vec<Judged<'_, '_>>]) -> bool {
        let Ends { parents, children, .. } = self;
        let mut away: FxHashMap<String, Reason> = FxHashMap::default();
        let mut there: FxHashSet<String> = FxHashSet::default();
        let mut see = |row: &Effect<'_>, stays: Option<&Row<'_>>, reason: Option<Reason>| {
            there.extend(stays.and_then(|row| parents.value(row)));
            away.extend(row.before().and_then(|row| parents.value(row)).zip(reason));
        };
        for row in parents.effect.into_iter().flat_map(|effect| &effect.unwanted) {
            see(row, row.now(), parents.left(row).then_some(Reason::ReferenceStaysAway));
        }
        for judged in parents.judged(judged) {
            let stays = if judged.is_undone() { judged.row.before() } else { judged.row.now() };
            see(judged.row, stays, parents.stays_away(judged));
        }
        let others = || parents.effect.into_iter().flat_map(|effect| &effect.others);
        there.extend(others().filter_map(|row| parents.value(row.now()?)));
        let gone = others().filter(|row| parents.left(row)).filter_map(|row| parents.value(row.before()?));
        let gone: FxHashSet<String> = gone.filter(|value| !there.contains(value)).collect();
        // Of a table that was truncated nothing is there but what came or comes since.
        let is_truncated = parents.effect.is_some_and(|effect| effect.truncated != Some(0));
        let is_truncated_later = parents.effect.is_some_and(|effect| effect.truncated_later);
        let why = |value: &String| match away.get(value) {
            Some(reason) => Some(*reason),
            None if gone.contains(value) => Some(Reason::ReferenceChangedLater),
            None if there.contains(value) => None,
            None if is_truncated_later => Some(Reason::ReferenceChangedLater),
            None => is_truncated.then_some(Reason::ReferenceStaysAway),
        };
        let mut found = false;
        for judged in children.judged_mut(judged).filter(|judged| judged.verdict.standing == Standing::AsLeft) {
            let Some(reason) = children.regained(judged).and_then(|parent| why(&parent)) else { continue };
            judged.bind(reason);
            // What others did, the SQL sees.
            judged.is_done &= reason == Reason::ReferenceChangedLater;
            found = true;
        }
        found
    }

    /// Marks rows that would go, or get another key, and that something references which stays. Whether there were any more.
    fn referenced(&self, judged: &mut [Vec<Judged<'_, '_>>]) -> bool {
        let Ends { key, parents, children } = self;
        let mut held: FxHashSet<String> = FxHashSet::default();
        let others = children.effect.into_iter().flat_map(|effect| effect.unwanted.iter().chain(&effect.others));
        held.extend(others.filter_map(|row| children.value(row.now()?)));
        // Only what was changed is set back: what others came to reference since, they still do.
        let stays =
            |judged: &&Judged<'_, '_>| !judged.is_undone() || judged.kind == Kind::Update && !children.is_set_back(judged);
        let stay = children.judged(judged).filter(stays);
        held.extend(stay.filter_map(|judged| children.value(judged.row.now()?)));
        let mut found = false;
        for judged in parents.judged_mut(judged).filter(|judged| judged.is_undone()) {
            let goes = match judged.kind {
                Kind::Delete => true,
                Kind::Update => key.on_update != Action::Cascade && parents.left(judged.row),
                Kind::Insert => false,
            };
            let is_held = || judged.row.after().and_then(|row| parents.value(row)).is_some_and(|value| held.contains(&value));
            if goes && is_held() {
                judged.bind(Reason::StillReferenced);
                found = true;
            }
        }
        found
    }
}

impl<'e, 's, 'a> End<'e, 's, 'a> {
    fn of(effects: &'e [TableEffect<'s, 'a>], schema: &'e Schema, table: Oid, columns: &'e [usize]) -> Option<Self> {
        let place = effects.iter().position(|effect| effect.oid == table);
        let effect = place.and_then(|place| effects.get(place));
        Some(End { table: schema.tables.get(&table)?, columns, place, effect })
    }

    fn judged<'j, 'p, 'b>(
        &self,
        judged: &'j [Vec<Judged<'p, 'b>>],
    ) -> impl Iterator<Item = &'j Judged<'p, 'b>> + use<'j, 'p, 'b> {
        self.place.and_then(|place| judged.get(place)).into_iter().flatten()
    }

    fn judged_mut<'j, 'p, 'b>(
        &self,
        judged: &'j mut [Vec<Judged<'p, 'b>>],
    ) -> impl Iterator<Item = &'j mut Judged<'p, 'b>> + use<'j, 'p, 'b> {
        self.place.and_then(|place| judged.get_mut(place)).into_iter().flatten()
    }

    /// Marks rows that would have a value again which another one has that stays. Whether there were any more.
    fn taken(&self, judged: &mut [Vec<Judged<'_, '_>>], key: &Key) -> bool {
        let mut held: FxHashSet<String> = FxHashSet::default();
        let others = self.effect.into_iter().flat_map(|effect| effect.unwanted.iter().chain(&effect.others));
        let stay = self.judged(judged).filter(|judged| !judged.is_undone()).map(|judged| judged.row);
        held.extend(others.chain(stay).filter_map(|row| self.value(row.now()?)));
        let mut found = false;
        for judged in self.judged_mut(judged).filter(|judged| judged.is_undone()) {
            if self.regained(judged).is_some_and(|value| held.contains(&value)) {
                judged.bind(Reason::UniqueTaken);
                // What is judged late, the SQL does not see in time.
                judged.is_done &= !(key.is_deferrable && judged.kind == Kind::Update);
                found = true;
            }
        }
        found
    }

    /// What a row has again that it has not now.
    fn regained(&self, judged: &Judged<'_, '_>) -> Option<String> {
        let [before, after] = [judged.row.before(), judged.row.after()].map(|row| self.value(row?));
        before.filter(|before| after.as_ref() != Some(before))
    }

    /// Whether undoing it makes another value of it.
    fn is_set_back(&self, judged: &Judged<'_, '_>) -> bool {
        let value = |row: Option<&Row<'_>>| self.value(row?);
        value(judged.row.before()) != value(judged.row.after())
    }

    /// By what a row is referenced, or what it references.
    fn value(&self, row: &Row<'_>) -> Option<String> {
        value_of(row, self.columns, self.table)
    }

    /// It has not any more what it had.
    fn left(&self, row: &Effect<'_>) -> bool {
        row.before().and_then(|row| self.value(row)) != row.now().and_then(|row| self.value(row))
    }

    /// Why nothing can reference what the row was.
    fn stays_away(&self, judged: &Judged<'_, '_>) -> Option<Reason> {
        let is_away = !judged.is_undone() && (judged.verdict.is_lost || self.left(judged.row));
        is_away.then_some(match judged.verdict.standing {
            Standing::AsLeft | Standing::Bound(Reason::ReferenceStaysAway) => Reason::ReferenceStaysAway,
            Standing::Restored | Standing::Changed(_) | Standing::Bound(_) => Reason::ReferenceChangedLater,
        })
    }
}
