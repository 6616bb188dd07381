//! Recorded changes → the SQL that brings back what was before them. Floor 3, pure.
//!
//! ```text
//!  changes ──net──▶ what became of each row, then and later ──plan──▶ groups ──order──▶ steps ──statement──▶ SQL
//!            │                                                 │
//!          Schema                                           Coverage: what cannot be brought back, and why
//! ```
//!
//! Invariants:
//! - A row is touched only while it is as the recorded changes left it. What somebody changed since stays, and is counted as a conflict.
//! - What somebody did later on purpose wins, also where nothing of it can be seen any more (`later`).
//! - No row goes without the one that it was before, where it may have been moved to another partition (`moved`).
//! - No row comes under another parent than the one that it had (`absent`).
//! - No row is promised that a constraint keeps as it is, as far as what is known tells of that (`constraints`).
//! - Nothing is lost silently: every statement says how many rows it was about, how many it changed, and how many of these came out in another
//!   way than recorded; what cannot be brought back at all stands in the [`Coverage`], and at the top of the SQL.
//! - What is good for the types and constraints of now is not known here: it is asked of the database before ([`doubt`]), and what it refuses
//!   is a fact like the tables themselves.
//! - No constraint is hurt on the way, whether it is deferrable or not (`order`), and nothing goes by a cascade: a row that is referenced is
//!   not deleted.
//! - Values are written as PostgreSQL wrote them, and read by their own types.
//!
//! Left as they are: sequences, and what the application's triggers do while the SQL runs; these are named.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation))]

mod absent;
mod cascade;
mod constraints;
mod coverage;
pub mod doubt;
mod judge;
mod later;
mod layout;
mod moved;
mod names;
mod net;
mod order;
mod part;
mod plan;
mod quoting;
mod rows;
pub mod schema;
mod script;
mod sieve;
mod statement;
#[cfg(test)]
mod tests;
mod told;
mod value;

pub use cascade::{Cascade, cascades};
pub use coverage::{Coverage, Missing, Reason, TableCoverage};
pub use moved::{Move, Moves, WOULD_LOSE};
pub use plan::{Options, Wanted};
pub use quoting::{table_name, where_needed};
pub use schema::Schema;
pub use script::COMMIT;
pub use sieve::Sieve;

use rustc_hash::FxHashSet;

use crate::event::received::Change;

/// What brings it back.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub struct Undo {
    /// One transaction, for any client; remarks alone if there is nothing to do.
    pub sql: String,
    /// What it brings back, and what it does not.
    pub coverage: Coverage,
}

/// What is undone, for the person who reads it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Such as `transaction k3-0-1A2B3C8`.
    pub title: String,
    /// What is not known of it: gaps, above all.
    pub warnings: Vec<String>,
    /// What else is to be known, of which nothing is missing.
    pub notes: Vec<String>,
    /// Changes that are known to have been made and are not kept any more; `None` if they were about any number of rows.
    pub lost: Option<u64>,
}

impl Default for Subject {
    fn default() -> Self {
        Subject { title: String::new(), warnings: Vec::new(), notes: Vec::new(), lost: Some(0) }
    }
}

/// What is to be reversed, and what came later.
#[derive(Clone, Copy, Debug)]
pub struct Changes<'c, 'a> {
    /// To be reversed: oldest first, and without anything missing between them.
    pub undone: &'c [Change<'a>],
    /// Of other tables, which these reference or are referenced by, at the same time: not to be reversed.
    pub beside: &'c [Change<'a>],
    /// Made later to any of their rows, or to rows that these need or that need them, as far as they are known. They stay.
    pub later: &'c [Change<'a>],
}

/// Makes the SQL that reverses changes.
pub fn undo<'a>(changes: Changes<'a, 'a>, schema: &Schema, options: &Options, subject: Subject) -> Undo {
    let title = subject.title.clone();
    let write = |steps: &[order::Step<'_, '_>], coverage: &Coverage| script::script(steps, schema, options, coverage, &title);
    let (sql, coverage) = reverse(changes, schema, options, subject, write);
    Undo { sql, coverage }
}

/// What the SQL would bring back, without it.
pub fn coverage<'a>(changes: Changes<'a, 'a>, schema: &Schema, options: &Options, subject: Subject) -> Coverage {
    reverse(changes, schema, options, subject, |_, _| ()).1
}

fn reverse<'a, T>(
    changes: Changes<'a, 'a>,
    schema: &Schema,
    options: &Options,
    mut subject: Subject,
    write: impl FnOnce(&[order::Step<'_, '_>], &Coverage) -> T,
) -> (T, Coverage) {
    let mut effects = net::effects(changes, schema);
    plan::select(&mut effects, options);
    let mut unordered = FxHashSet::default();
    let (groups, tallies, steps) = loop {
        let (groups, tallies) = plan::plan(&effects, schema, options, &unordered);
        let (steps, impossible) = order::steps(&groups, schema);
        if impossible.is_empty() {
            break (groups, tallies, steps);
        }
        // What references these does not come either, so once more without them.
        unordered.extend(impossible.iter().flat_map(|group| group.rows.iter().map(|row| (group.place, row.number))));
    };
    subject.notes.extend(plan::unguarded(&groups));
    subject.warnings.extend(plan::in_doubt(&groups));
    let tables = tallies.into_iter().zip(&effects).map(|(tally, effect)| tally.finish(effect)).collect();
    let coverage = Coverage::new(tables, &subject);
    (write(&steps, &coverage), coverage)
}
