//! Rows whose parent stays away: it cannot be brought back, was not asked for, or somebody else has its place. They do not come either.

use rustc_hash::{FxHashMap, FxHashSet};

use super::coverage::Reason;
use super::judge::Judged;
use super::later::Standing;
use super::net::TableEffect;
use super::rows::Effect;
use super::schema::{ForeignKey, Schema};
use super::told::{differ, text_of};

/// Finds them among the rows of all tables, and so on down.
pub(super) fn mark(effects: &[TableEffect<'_, '_>], judged: &mut [Vec<Judged<'_, '_>>], schema: &Schema) {
    while schema.foreign_keys.iter().any(|key| by_key(effects, judged, key)) {}
}

/// Those whose parent by this key does. Whether there were any more.
fn by_key(effects: &[TableEffect<'_, '_>], judged: &mut [Vec<Judged<'_, '_>>], key: &ForeignKey) -> bool {
    let of = |oid| effects.iter().position(|table| table.oid == oid);
    // Of a period it is not known which rows cover it.
    let places = of(key.references).zip(of(key.table)).filter(|_| !key.is_temporal);
    let Some((parents, children)) = places else { return false };
    let unwanted = effects.get(parents).into_iter().flat_map(|table| &table.unwanted).filter(|row| left(row, key));
    let mut away: FxHashMap<String, Reason> = FxHashMap::default();
    away.extend(unwanted.filter_map(|row| Some((text_of(row.before()?, &key.referenced)?, Reason::ReferenceStaysAway))));
    // Of a table that was truncated nothing is there but what comes back.
    let is_truncated = effects.get(parents).is_some_and(|parents| parents.truncated != Some(0));
    let mut comes: FxHashSet<String> = FxHashSet::default();
    for judged in judged.get(parents).into_iter().flatten() {
        let Some(value) = judged.row.before().and_then(|row| text_of(row, &key.referenced)) else { continue };
        match stays_away(judged, key) {
            Some(reason) => drop(away.insert(value, reason)),
            None => drop(comes.insert(value)),
        }
    }
    if away.is_empty() && !is_truncated {
        return false;
    }
    let why = |parent: &String| {
        away.get(parent).copied().or((is_truncated && !comes.contains(parent)).then_some(Reason::ReferenceStaysAway))
    };
    let mut found = false;
    for judged in judged.get_mut(children).into_iter().flatten() {
        let Some(old) = judged.row.before().filter(|_| judged.verdict.standing == Standing::AsLeft) else { continue };
        let needs =
            judged.row.after().is_none_or(|new| key.columns.iter().any(|column| differ(old.get(*column), new.get(*column))));
        let Some(reason) = text_of(old, &key.columns).filter(|_| needs).and_then(|parent| why(&parent)) else { continue };
        judged.verdict.standing = Standing::Orphaned(reason);
        judged.verdict.is_lost = judged.row.after().is_none();
        // Where somebody else has the place of its parent, the SQL sees it.
        judged.is_done &= reason == Reason::ReferenceChangedLater;
        found = true;
    }
    found
}

/// Why nothing can reference by this key what the row was.
fn stays_away(Judged { row, verdict, is_done, .. }: &Judged<'_, '_>, key: &ForeignKey) -> Option<Reason> {
    match verdict.standing {
        Standing::Orphaned(reason) => (verdict.is_lost || left(row, key)).then_some(reason),
        _ if verdict.is_lost => Some(Reason::ReferenceChangedLater),
        _ => (!is_done && left(row, key)).then_some(Reason::ReferenceStaysAway),
    }
}

/// It has not any more what it was referenced by.
fn left(row: &Effect<'_>, key: &ForeignKey) -> bool {
    let text = |row| text_of(row, &key.referenced);
    row.before().and_then(text) != row.now().and_then(text)
}
