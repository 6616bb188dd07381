//! What others did later to the rows that are to be brought back. What somebody did on purpose since is not undone with it.
//!
//! The guards in the SQL see a row as it is when it runs, and leave one alone that is not as the changes left it. Only the history tells of
//! one that *looks* untouched: it came back and was deleted once more, or was changed and changed back. Such a row is not in the SQL. Every
//! other one is, to be judged there, where a later change would be seen that nobody knows of yet; what is found here says what to expect.

use super::coverage::Reason;
use super::rows::{Effect, Later};
use super::schema::Key;
use super::told::{Row, agree, differ, text_of};

/// What is known of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing<'a> {
    /// As the changes left it.
    AsLeft,
    /// As it was before them, again.
    Restored,
    /// Changed later by this transaction, and to be left so.
    Changed(&'a str),
    /// A constraint keeps it as it is, for this reason.
    Bound(Reason),
}

/// What is known of a row, and whether that is for the SQL to judge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict<'a> {
    pub(super) standing: Standing<'a>,
    /// The guards of the SQL see what there is to see.
    pub(super) judged_by_sql: bool,
    /// It went, and neither is there nor comes: what referenced it has nothing to come back to.
    pub(super) is_lost: bool,
}

/// Of a row that is found by this key.
pub(super) fn verdict<'a>(row: &Effect<'a>, key: Option<&Key>) -> Verdict<'a> {
    let untouched = Verdict { standing: Standing::AsLeft, judged_by_sql: true, is_lost: false };
    let Some(later) = &row.later else { return untouched };
    let changed = Standing::Changed(later.by);
    let (standing, seen) = match (row.before(), row.after(), later.row.as_ref()) {
        // Here, the SQL looks for the row that was; there, for the one that was left.
        (Some(old), None, Some(now)) if agree(old, now) => (Standing::Restored, same_key(key, old, now)),
        // It came back, and was changed only then: whoever references it references the same row.
        (Some(_), None, Some(_)) if later.was_back => return Verdict { standing: changed, judged_by_sql: false, is_lost: false },
        (Some(old), None, Some(now)) => (changed, same_key(key, old, now)),
        (None, Some(_), None) => (Standing::Restored, true),
        (None, Some(new), Some(now)) if !later.replaced && agree(new, now) && later.columns.is_empty() => return untouched,
        (None, Some(new), Some(now)) => (changed, same_key(key, new, now) && !agree(new, now)),
        (Some(_), Some(_), None) => (changed, true),
        (Some(old), Some(new), Some(now)) => return updated(key, later, [old, new, now]),
        _ => (changed, false),
    };
    // Without a key the SQL takes any row that is equal, also one that nobody ever touched.
    let is_lost = row.after().is_none() && standing != Standing::Restored;
    Verdict { standing, judged_by_sql: seen && key.is_some(), is_lost }
}

fn updated<'a>(key: Option<&Key>, later: &Later<'a>, [old, new, now]: [&Row<'a>; 3]) -> Verdict<'a> {
    let set: Vec<usize> = (0..new.len()).filter(|column| differ(old.get(*column), new.get(*column))).collect();
    let agree = |a: &Row<'_>| !set.iter().any(|column| differ(a.get(*column), now.get(*column)));
    let touched = later.replaced || later.columns.iter().any(|column| set.contains(column));
    let at_its_key = same_key(key, new, now);
    // Without a key it is not found where others changed anything of it.
    if !touched && at_its_key && (key.is_some() || later.columns.is_empty()) {
        return Verdict { standing: Standing::AsLeft, judged_by_sql: true, is_lost: false };
    }
    let (standing, seen) = match agree(old) {
        true => (Standing::Restored, true),
        false => (Standing::Changed(later.by), at_its_key && !agree(new)),
    };
    Verdict { standing, judged_by_sql: seen && key.is_some(), is_lost: false }
}

/// Without a key, any two rows.
fn same_key(key: Option<&Key>, a: &Row<'_>, b: &Row<'_>) -> bool {
    key.is_none_or(|key| text_of(a, &key.columns) == text_of(b, &key.columns))
}
