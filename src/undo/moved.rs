//! Rows that may have been moved to another partition by an `UPDATE`: the log tells that one went and another one came. Where the one that
//! went does not come back, the other one stays, or the row would be lost.
//!
//! ```text
//!  DELETE from one partition ┐ in one transaction, and nothing was told   the one that came goes only if
//!  INSERT into another one   ┘ of the first that the second lacks     ──▶ the one that went comes back
//! ```
//!
//! A partition may have been dropped, detached or attached since, so what matters is not whether both are in one tree by now: it is enough
//! that one of them is in a tree, or is no more.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};

use super::coverage::Reason;
use super::judge::Judged;
use super::later::Standing;
use super::net::TableEffect;
use super::order::Step;
use super::plan::Kind;
use super::quoting::{literal, table_name};
use super::rows::Effect;
use super::schema::Schema;
use crate::event::Operation;
use crate::event::received::Change;
use crate::lsn::Oid;

/// The code with which the SQL ends where it would lose a row.
pub const WOULD_LOSE: &str = "PV001";

/// The names of tables stand in a table, so that none of them can end the block.
const GUARD: &str = "\
-- A row that may have been moved to another partition goes only if the row that it was comes back.
CREATE TEMPORARY TABLE pgvigil_moved (went text, came text) ON COMMIT DROP;
INSERT INTO pg_temp.pgvigil_moved VALUES {rows};
DO $pgvigil$
DECLARE
  moved record;
BEGIN
  FOR moved IN
    SELECT went, came FROM pg_temp.pgvigil_moved
     WHERE EXISTS (SELECT FROM pg_temp.pgvigil_undo
                    WHERE table_name = went AND action = 'insert' AND row_count > done + already + altered)
       AND EXISTS (SELECT FROM pg_temp.pgvigil_undo WHERE table_name = came AND action = 'delete' AND done > 0)
  LOOP
    RAISE EXCEPTION 'a row that is to come back to % finds its place taken, and a row of % that would go may be this one, moved to another partition',
      moved.went, moved.came
      USING ERRCODE = 'PV001', HINT = 'Ask for the undo again: it leaves both alone.';
  END LOOP;
END
$pgvigil$;
";

/// That rows may have been moved from one table to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Move {
    /// The table that rows went from; `None` if they stay away in any case, since nobody asked for them, or they are not kept.
    from: Option<Oid>,
    /// The table that rows came to.
    to: Oid,
}

/// Finds them. Told all that rows went from and came to, in its order, whoever asked for it.
#[derive(Debug, Default)]
pub struct Moves {
    /// The table, or the tree that it is a partition of, of every table that there is.
    trees: FxHashMap<Oid, Oid>,
    /// The tables whose changes are to be undone.
    meant: Vec<Oid>,
    /// What the transaction at hand deleted from, each with the columns that were told.
    went: FxHashMap<Oid, Vec<String>>,
    /// What it inserted into since.
    came: FxHashSet<Oid>,
    /// The beginning of the transaction at hand is not known.
    is_torn: bool,
    found: FxHashSet<Move>,
}

impl Moves {
    /// Where each table that was changed is by now, by its oid: its tree, or itself. Those that are no more are left out. And the tables
    /// whose changes are to be undone.
    pub fn new(trees: FxHashMap<Oid, Oid>, meant: Vec<Oid>) -> Self {
        Moves { trees, meant, ..Moves::default() }
    }

    /// What is told next may be the end of a transaction whose beginning is not kept.
    pub fn torn(&mut self) {
        self.is_torn = true;
    }

    /// A transaction is over.
    pub fn ended(&mut self) {
        self.is_torn = false;
        self.went.clear();
        self.came.clear();
    }

    /// Whether the next change of this table is to be told: the first of each kind in a transaction says which columns the others have.
    pub fn asks_for(&self, operation: Operation, table: Oid) -> bool {
        match operation {
            Operation::Delete => !self.went.contains_key(&table),
            Operation::Insert => (self.is_torn || !self.went.is_empty()) && !self.came.contains(&table),
            Operation::Update | Operation::Truncate => false,
        }
    }

    /// The next change that was asked for.
    pub fn tell(&mut self, change: &Change<'_>) {
        match (&change.old, &change.new) {
            (Some(old), None) => {
                self.went.insert(change.oid, old.names().map(str::to_owned).collect());
                self.came.clear();
            }
            (None, Some(new)) => {
                let to = change.oid;
                let has = |name: &String| change.cut.new.contains_key(name) || new.names().any(|other| other == name);
                let moved = self.went.iter().filter(|(from, names)| self.may_be(**from, to) && names.iter().all(has));
                let from = moved.map(|(from, _)| Some(*from).filter(|from| self.meant.contains(from)));
                let unknown = (self.is_torn && self.is_partition(to)).then_some(None);
                let moves: Vec<Move> = from.chain(unknown).map(|from| Move { from, to }).collect();
                self.found.extend(moves);
                self.came.insert(to);
            }
            _ => {}
        }
    }

    /// All that were found.
    pub fn found(self) -> Vec<Move> {
        self.found.into_iter().collect()
    }

    /// Both may have been partitions of one tree.
    fn may_be(&self, from: Oid, to: Oid) -> bool {
        from != to && (self.is_partition(from) || self.is_partition(to) || !self.trees.contains_key(&from))
    }

    fn is_partition(&self, table: Oid) -> bool {
        self.trees.get(&table).is_some_and(|tree| *tree != table)
    }
}

/// Those that are to stay.
pub(super) fn mark(effects: &[TableEffect<'_, '_>], judged: &mut [Vec<Judged<'_, '_>>], schema: &Schema, moves: &[Move]) {
    let stays = |Move { from, .. }: &&Move| from.is_none_or(|from| is_away(from, effects, judged, schema));
    let to: FxHashSet<Oid> = moves.iter().filter(stays).map(|Move { to, .. }| tree(*to, schema)).collect();
    for (_, judged) in effects.iter().zip(judged).filter(|(effect, _)| to.contains(&effect.oid)) {
        let came = judged.iter_mut().filter(|judged| judged.kind == Kind::Delete);
        came.for_each(|judged| judged.leave(Reason::MayHaveMoved));
    }
}

/// Some of what went from a table does not come back.
fn is_away(from: Oid, effects: &[TableEffect<'_, '_>], judged: &[Vec<Judged<'_, '_>>], schema: &Schema) -> bool {
    let Some(place) = effects.iter().position(|effect| effect.oid == tree(from, schema) && effect.table.is_some()) else {
        // It is no more, or nobody asked for it.
        return true;
    };
    let unwanted = effects.get(place).into_iter().flat_map(|effect| &effect.unwanted);
    let went = |row: &&Effect<'_>| row.before().is_some() && row.after().is_none();
    let stays_away = judged.get(place).into_iter().flatten().filter(|judged| stays_away(judged)).map(|judged| judged.row);
    unwanted.filter(went).chain(stays_away).any(|row| row.leaf() == from)
}

fn stays_away(judged: &Judged<'_, '_>) -> bool {
    judged.kind == Kind::Insert && judged.verdict.standing != Standing::Restored && !judged.is_undone()
}

fn tree(table: Oid, schema: &Schema) -> Oid {
    *schema.roots.get(&table).unwrap_or(&table)
}

/// SQL that ends it all where a row went whose other half did not come: somebody may have taken its place since this was written.
pub(super) fn guard(steps: &[Step<'_, '_>], schema: &Schema, moves: &[Move]) -> String {
    let does = |kind: Kind, table: Oid| {
        steps.iter().flat_map(|step| &step.groups).any(|group| group.kind == kind && group.table.oid == table)
    };
    let pairs = moves.iter().filter_map(|Move { from, to }| Some((tree((*from)?, schema), tree(*to, schema))));
    let pairs: BTreeSet<(Oid, Oid)> = pairs.filter(|(from, to)| does(Kind::Insert, *from) && does(Kind::Delete, *to)).collect();
    let name = |table| schema.tables.get(&table).map(|table| literal(&table_name(&table.schema, &table.name)));
    let rows: Vec<_> = pairs.into_iter().filter_map(|(from, to)| Some(format!("({}, {})", name(from)?, name(to)?))).collect();
    if rows.is_empty() { String::new() } else { GUARD.replace("{rows}", &rows.join(", ")) }
}
