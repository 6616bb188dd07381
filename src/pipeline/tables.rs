//! The tables that are watched: what the catalog says of each, joined with the ledger, and what is published of that.
//!
//! A table is entered when the catalog or the stream first names it. Publishing costs as much as what changed, plus one pointer a table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use rustc_hash::{FxHashMap, FxHashSet};

use super::published::{CountState, Counts, Passed, Table, TableKind};
use super::tree::Tree;
use crate::catalog::{self, Catalog, Coverage, Kind, Persistence, Reason, ReplicaIdentity};
use crate::counts::{Ledger, Standing, Totals};
use crate::event::time::rfc3339;
use crate::event::{TableName, ddl};
use crate::lsn::{Lsn, Oid, Xid};
use crate::pgoutput::Timestamp;
use crate::rows;

/// All tables known.
#[derive(Debug, Default)]
pub(super) struct Tables {
    known: FxHashMap<Oid, Known>,
    /// In the order in which they are shown.
    order: BTreeMap<(String, String, Oid), ()>,
    tree: Tree,
    /// Tables of which there may be something new to say.
    dirty: FxHashSet<Oid>,
    /// Tables of which there is, and of which it was not published yet.
    changed: FxHashSet<Oid>,
    /// Tables that went since the last publication.
    removed: Vec<u32>,
    /// Tables that someone may be altering, where only the catalog tells of it. With all that is under them.
    altering: FxHashSet<Oid>,
    version: u64,
    /// Of the last look at the catalog.
    told_ddl: bool,
    publication_version: Option<i64>,
    /// Why the ledger holds counts back, when it does.
    held: &'static str,
}

/// What is known of one table.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) table: Arc<catalog::Table>,
    /// The transaction in which the stream first named it: a look at the catalog that does not see it cannot know the table.
    named_by: Option<Xid>,
    /// Why it is not counted yet, or cannot be.
    pub(super) note: Option<String>,
    pub(super) progress: Option<u8>,
    pub(super) verified_at: Option<String>,
    pub(super) last_change: Option<Timestamp>,
    /// The transaction that truncated it, until a look at the catalog finds the file that it got by that.
    pub(super) truncated_by: Option<Xid>,
    /// How often its count was found to have been wrong.
    pub(super) found_wrong: u64,
    /// Whether its rows are kept, where any are wanted.
    pub(super) row_cache: Option<rows::Standing>,
    /// What is said of it, with the next publication or since an earlier one.
    said: Option<Arc<Table>>,
}

/// Where counts are true.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    /// Position in the history.
    pub(super) after_block: u64,
    pub(super) lsn: Lsn,
    pub(super) passed: Passed,
    pub(super) time: Instant,
    pub(super) unix_time: i64,
}

impl Stamp {
    /// Now, where the stream stands at `lsn`.
    pub(super) fn new(after_block: u64, lsn: Lsn, passed: Passed) -> Self {
        Self { after_block, lsn, passed, time: Instant::now(), unix_time: super::unix_micros() }
    }
}

impl Known {
    fn new(table: Arc<catalog::Table>, named_by: Option<Xid>) -> Self {
        let (note, progress, verified_at, last_change, truncated_by, said) = (None, None, None, None, None, None);
        Known { table, named_by, note, progress, verified_at, last_change, truncated_by, found_wrong: 0, row_cache: None, said }
    }

    /// It turned out that it cannot be counted.
    pub(super) fn uncover(&mut self, reason: Reason) {
        self.table = Arc::new(catalog::Table { coverage: Coverage::Uncovered(reason), ..catalog::Table::clone(&self.table) });
    }

    /// Whether it has a count of its own to be kept.
    pub(super) fn is_counted(&self) -> bool {
        self.table.has_rows() && self.table.coverage == Coverage::Covered
    }
}

/// What a new look at the catalog changes for one table.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is to be counted: new, newly covered, or not to be trusted any more. `fenced` when transactions that ran while this came about
    /// may have changed it unseen by the stream.
    Count { oid: Oid, fenced: bool },
    /// It is not in the stream any more.
    Uncovered(Oid),
    /// It is gone.
    Gone(Oid),
}

impl Tables {
    /// No table yet. Counts published from here on are later than `version`, and not a change of it: they are of another epoch.
    pub(super) fn after(version: u64) -> Self {
        Self { version: version + 1, ..Self::default() }
    }

    /// Whether the table has a count of its own to be kept.
    pub(super) fn is_counted(&self, oid: Oid) -> bool {
        self.known.get(&oid).is_some_and(Known::is_counted)
    }

    /// Whether there is such a table.
    pub(super) fn is_known(&self, oid: Oid) -> bool {
        self.known.contains_key(&oid)
    }

    /// The tables that have.
    pub(super) fn counted(&self) -> Vec<Oid> {
        self.known.iter().filter(|(_, known)| known.is_counted()).map(|(oid, _)| *oid).collect()
    }

    /// Schema and name.
    pub(super) fn name(&self, oid: Oid) -> Option<(String, String)> {
        let table = &self.known.get(&oid)?.table;
        Some((table.schema.clone(), table.name.clone()))
    }

    /// To change what is known of a table; it is published anew.
    pub(super) fn touch(&mut self, oid: Oid) -> Option<&mut Known> {
        self.mark(oid);
        self.known.get_mut(&oid)
    }

    /// Whether the database told of DDL when it was last looked at.
    pub(super) fn tells_ddl(&self) -> bool {
        self.told_ddl
    }

    /// Counts are held back, for this reason.
    pub(super) fn hold(&mut self, why: &'static str) {
        self.held = why;
        self.touch_all();
    }

    /// Every table is published anew.
    pub(super) fn touch_all(&mut self) {
        self.dirty.extend(self.known.keys());
    }

    /// Someone may be altering these tables, and no others.
    pub(super) fn being_altered(&mut self, tables: FxHashSet<Oid>) {
        let now = tables.into_iter().flat_map(|oid| self.tree.under(oid)).collect();
        let before = std::mem::replace(&mut self.altering, now);
        let other: Vec<Oid> = before.symmetric_difference(&self.altering).copied().collect();
        other.into_iter().for_each(|oid| self.mark(oid));
    }

    /// The stream tells, by transaction `by`, that a table was made, altered or dropped. The partitions of another may be others then.
    pub(super) fn altered(&mut self, change: &ddl::Change, by: Xid) {
        let whole = match change {
            ddl::Change::Altered(table) if table.kind == 'p' => Some(table.oid),
            ddl::Change::Created(table) | ddl::Change::Altered(table) => table.parent,
            ddl::Change::Dropped { oid, .. } => self.known.get(oid).and_then(|known| known.table.parent),
            ddl::Change::Publication(_) | ddl::Change::Schema(_) => None,
        };
        if let Some(oid) = whole {
            self.tree.altered(oid, by);
            self.mark(oid);
        }
    }

    /// The stream stands at `position`; true when that makes a tree of partitions certain.
    pub(super) fn reached(&mut self, position: Lsn) -> bool {
        let settled = self.tree.settle(position);
        settled.iter().for_each(|oid| self.mark(*oid));
        !settled.is_empty()
    }

    /// Marks a table, and the partitioned tables above it, to be published anew. What is above a marked table is marked, too.
    fn mark(&mut self, oid: Oid) {
        let mut next = Some(oid);
        while let Some(oid) = next {
            // On to the top, though it be marked: it may have been under another table then.
            self.dirty.insert(oid);
            next = self.known.get(&oid).and_then(|known| known.table.parent);
        }
    }

    /// The stream names a table; true when it was not known, or by another name.
    pub(super) fn named(&mut self, name: &TableName, by: Xid) -> bool {
        match self.known.get(&name.oid) {
            Some(known) if known.table.schema == name.schema && known.table.name == name.name => false,
            Some(known) => {
                let (schema, name) = (name.schema.clone(), name.name.clone());
                let table = catalog::Table { schema, name, ..catalog::Table::clone(&known.table) };
                self.enter(table, Some(by));
                true
            }
            None => {
                self.enter(streamed(name), Some(by));
                true
            }
        }
    }

    fn enter(&mut self, table: catalog::Table, named_by: Option<Xid>) {
        let (oid, table) = (table.oid, Arc::new(table));
        // Those that it was a partition of count it no more.
        self.mark(oid);
        let key = (table.schema.clone(), table.name.clone(), oid);
        // Detached from the one and attached to the other, it changes the sums of both.
        let parents = [self.known.get(&oid).and_then(|known| known.table.parent), table.parent];
        match self.known.get_mut(&oid) {
            Some(known) => {
                self.order.remove(&(known.table.schema.clone(), known.table.name.clone(), oid));
                known.table = table;
            }
            None => {
                self.known.insert(oid, Known::new(table, named_by));
            }
        }
        self.order.insert(key, ());
        self.mark(oid);
        parents.into_iter().flatten().for_each(|parent| self.mark(parent));
    }

    fn leave(&mut self, oid: Oid) {
        self.mark(oid);
        self.dirty.remove(&oid);
        self.changed.remove(&oid);
        if let Some(known) = self.known.remove(&oid) {
            self.removed.push(oid.0);
            self.order.remove(&(known.table.schema.clone(), known.table.name.clone(), oid));
        }
    }

    /// Takes up a look at the catalog.
    pub(super) fn survey(&mut self, catalog: Catalog) -> Vec<Change> {
        let Catalog { snapshot, read_at_lsn, tells_ddl, publication, tables, .. } = catalog;
        // Where the server told of DDL all the while, a new file is no news.
        let told_ddl = std::mem::replace(&mut self.told_ddl, tells_ddl) && tells_ddl;
        let version = publication.as_ref().map(|publication| publication.version);
        let same_publication =
            std::mem::replace(&mut self.publication_version, version).is_none_or(|before| Some(before) == version);
        // Then a table is published from its first row on.
        let from_the_first_row = same_publication && publication.is_some_and(|publication| publication.all_tables);
        let mut changes = Vec::new();
        let can_tell = |known: &Known| known.named_by.is_none_or(|xid| snapshot.sees(xid));
        let mut gone: FxHashSet<Oid> = self.known.iter().filter(|(_, known)| can_tell(known)).map(|(oid, _)| *oid).collect();
        for table in tables {
            let oid = table.oid;
            gone.remove(&oid);
            let before = self.known.get(&oid);
            let was_covered = before.is_some_and(|known| known.table.coverage == Coverage::Covered);
            // A new file is no news when the stream has brought the TRUNCATE that made it, and would have told if the table had ever
            // left the log. Any other may hold rows that the stream did not bring.
            let new_file = before.is_some_and(|known| was_rewritten(&known.table, &table));
            let by_truncate = before.and_then(|known| known.truncated_by).is_some_and(|xid| snapshot.sees(xid));
            let rewritten = new_file && !(told_ddl && by_truncate);
            let republished = was_covered && before.is_some_and(|known| known.table.published_as != table.published_as);
            match &table.coverage {
                Coverage::Covered if table.has_rows() && (!was_covered || rewritten || republished) => {
                    let unheard = before.is_none_or(|known| known.table.coverage == Coverage::Uncovered(Reason::NotLookedAt));
                    let fenced = if was_covered { republished } else { !(from_the_first_row && unheard) };
                    changes.push(Change::Count { oid, fenced });
                }
                Coverage::Uncovered(_) if was_covered => changes.push(Change::Uncovered(oid)),
                _ => {}
            }
            if before.is_none_or(|known| *known.table != table) {
                self.enter(table, None);
            }
            if new_file && let Some(known) = self.known.get_mut(&oid) {
                known.truncated_by = None;
            }
        }
        for oid in gone {
            self.leave(oid);
            changes.push(Change::Gone(oid));
        }
        self.tree.look(self.known.values().map(|known| &*known.table), &snapshot, read_at_lsn);
        changes
    }

    /// Writes down what is to be said of the tables where the stream is now.
    pub(super) fn prepare(&mut self, ledger: &Ledger) {
        for oid in std::mem::take(&mut self.dirty) {
            if let Some(now) = self.known.get(&oid).map(|known| self.describe(known, ledger)) {
                self.say(oid, now);
            }
        }
    }

    /// Takes back the counts of tables that have come into doubt since they were written down.
    pub(super) fn withdraw(&mut self, ledger: &Ledger) {
        let doubtful = |oid: &Oid| Some((*oid, self.describe(self.known.get(oid)?, ledger)));
        let doubtful: Vec<_> = self.dirty.iter().filter_map(doubtful).filter(|(_, now)| now.count.is_none()).collect();
        doubtful.into_iter().for_each(|(oid, now)| self.say(oid, now));
    }

    fn say(&mut self, oid: Oid, now: Table) {
        if let Some(known) = self.known.get_mut(&oid).filter(|known| known.said.as_deref() != Some(&now)) {
            known.said = Some(Arc::new(now));
            self.changed.insert(oid);
        }
    }

    /// What was written down, as it is published; `None` when nothing changed since.
    pub(super) fn publish(&mut self, stamp: &Stamp) -> Option<Counts> {
        let said = |oid: &Oid| self.known.get(oid)?.said.clone();
        let changed: Vec<_> = self.changed.iter().filter_map(said).collect();
        if changed.is_empty() && self.removed.is_empty() {
            return None;
        }
        let tables: Arc<[_]> = self.order.keys().filter_map(|(_, _, oid)| said(oid)).collect();
        // Leaves hold the rows of a partitioned table; what is not covered is not watched.
        let mut watched = tables.iter().filter(|table| table.count_state != CountState::Uncovered).peekable();
        // Where there are tables but none is watched, nothing is known of their rows; where there is none, there is none of those either.
        let nothing_watched = watched.peek().is_none() && !tables.is_empty();
        let leaves = watched.filter(|table| table.kind != TableKind::PartitionedTable);
        let total_rows = if nothing_watched { None } else { leaves.map(|table| table.count).sum() };
        self.version += 1;
        self.changed.clear();
        let (version, removed) = (self.version, std::mem::take(&mut self.removed));
        let &Stamp { after_block, lsn, passed, time, unix_time } = stamp;
        let told_late = !self.told_ddl;
        Some(Counts {
            version,
            after_block,
            lsn,
            time,
            unix_time,
            tables,
            changed,
            removed,
            passed,
            total_rows,
            told_late,
            ..Counts::none()
        })
    }

    /// Whether there is anything exact to show, or nothing that could be counted.
    pub(super) fn anything_counted(&self, ledger: &Ledger) -> bool {
        let mut counted = self.known.values().filter(|known| known.is_counted());
        let exact = |known: &Known| matches!(ledger.standing(known.table.oid), Standing::Exact(_));
        counted.clone().next().is_none() || counted.any(exact)
    }

    fn describe(&self, known: &Known, ledger: &Ledger) -> Table {
        let catalog::Table { oid, schema, name, kind, parent, replica_identity, primary_key, coverage, .. } = &*known.table;
        let under = self.tree.under(*oid);
        let is_settled = under.iter().all(|oid| self.tree.is_settled(*oid));
        let leaves = self.leaves(&under);
        let totals = leaves.iter().map(|leaf| ledger.totals(*leaf)).fold(Totals::default(), Totals::and);
        let told = match (coverage, kind) {
            (Coverage::Uncovered(reason @ Reason::NotLookedAt), _) => (None, CountState::Counting, Some(reason.to_string())),
            (Coverage::Uncovered(reason), _) => (None, CountState::Uncovered, Some(reason.to_string())),
            // Also the sum of no partition at all.
            (Coverage::Covered, Kind::PartitionedTable) if ledger.is_held() => {
                (None, CountState::Counting, Some(self.held.to_owned()))
            }
            (Coverage::Covered, Kind::PartitionedTable) if !is_settled => {
                (None, CountState::Counting, Some(UNSETTLED.to_owned()))
            }
            (Coverage::Covered, Kind::PartitionedTable) => self.sum(&leaves, ledger),
            (Coverage::Covered, _) => match ledger.standing(*oid) {
                Standing::Exact(rows) => (Some(rows), CountState::Exact, None),
                Standing::Counting if ledger.is_held() => (None, CountState::Counting, Some(self.held.to_owned())),
                Standing::Counting => (None, CountState::Counting, known.note.clone()),
                Standing::Unknown => (None, CountState::Unknown, known.note.clone()),
            },
        };
        let being_altered = || under.iter().any(|oid| self.altering.contains(oid));
        let (count, count_state, reason) = match told {
            (Some(_), ..) if being_altered() => (None, CountState::Counting, Some(ALTERED.to_owned())),
            told => told,
        };
        let last_change = leaves.iter().filter_map(|leaf| self.known.get(leaf)?.last_change).max();
        Table {
            oid: oid.0,
            schema: schema.clone(),
            name: name.clone(),
            kind: published_kind(*kind),
            parent: parent.map(|parent| parent.0),
            count,
            count_state,
            reason,
            progress: known.progress.filter(|_| count_state == CountState::Counting),
            inserts: totals.inserts,
            updates: totals.updates,
            deletes: totals.deletes,
            truncates: totals.truncates,
            last_change: last_change.map(rfc3339),
            verified_at: known.verified_at.clone(),
            found_wrong: known.found_wrong,
            replica_identity: identity_name(*replica_identity),
            key: primary_key.clone(),
            row_cache: known.row_cache.clone(),
        }
    }

    fn sum(&self, leaves: &[Oid], ledger: &Ledger) -> (Option<i64>, CountState, Option<String>) {
        let mut sum = 0;
        for leaf in leaves {
            let name = || self.known.get(leaf).map_or_else(String::new, |known| known.table.name.clone());
            match (self.known.get(leaf).map(|known| &known.table.coverage), ledger.standing(*leaf)) {
                (Some(Coverage::Uncovered(_)), _) => {
                    return (None, CountState::Uncovered, Some(format!("its partition {} is not covered", name())));
                }
                (_, Standing::Exact(rows)) => sum += rows,
                (_, Standing::Counting) => {
                    return (None, CountState::Counting, Some(format!("its partition {} is being counted", name())));
                }
                (_, Standing::Unknown) => {
                    return (None, CountState::Unknown, Some(format!("the count of its partition {} is not known", name())));
                }
            }
        }
        (Some(sum), CountState::Exact, None)
    }

    /// Those that have rows.
    fn leaves(&self, of: &[Oid]) -> Vec<Oid> {
        of.iter().copied().filter(|oid| self.known.get(oid).is_some_and(|known| known.table.has_rows())).collect()
    }
}

const ALTERED: &str = "a transaction that may be altering it has not ended";
const UNSETTLED: &str = "its partitions have changed; the catalog is being read";

/// A table of which nothing is known but what the stream says. The next survey completes it.
fn streamed(name: &TableName) -> catalog::Table {
    catalog::Table {
        oid: name.oid,
        schema: name.schema.clone(),
        name: name.name.clone(),
        kind: Kind::Table,
        persistence: Persistence::Permanent,
        parent: None,
        replica_identity: ReplicaIdentity::Default,
        primary_key: Vec::new(),
        relfilenode: Oid(0),
        pages: 0,
        // What is streamed is published; but only the catalog knows whether all of it is, and so whether it can be counted.
        coverage: Coverage::Uncovered(Reason::NotLookedAt),
        published_as: 0,
    }
}

/// Whether `now` has other rows than the stream tells: its file was replaced, and for a while it may not have been logged.
fn was_rewritten(before: &catalog::Table, now: &catalog::Table) -> bool {
    before.relfilenode != now.relfilenode && before.relfilenode != Oid(0)
}

fn published_kind(kind: Kind) -> TableKind {
    match kind {
        Kind::Table => TableKind::Table,
        Kind::PartitionedTable => TableKind::PartitionedTable,
        Kind::Partition => TableKind::Partition,
        Kind::MaterializedView => TableKind::MaterializedView,
        Kind::ForeignTable => TableKind::ForeignTable,
    }
}

fn identity_name(identity: ReplicaIdentity) -> &'static str {
    match identity {
        ReplicaIdentity::Default => "default",
        ReplicaIdentity::Nothing => "nothing",
        ReplicaIdentity::Full => "full",
        ReplicaIdentity::Index => "index",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::FullXid;

    #[test]
    fn the_sum_of_no_partition_is_held_back_too() {
        let (mut tables, mut ledger) = (Tables::default(), Ledger::default());
        tables.survey(seen(vec![table(1, Kind::PartitionedTable, None)]));
        tables.reached(Lsn::ZERO);
        let told = |tables: &mut Tables, ledger: &Ledger| {
            tables.prepare(ledger);
            tables.publish(&Stamp::new(0, Lsn::ZERO, Passed::default())).unwrap().tables[0].count
        };
        assert_eq!(told(&mut tables, &ledger), Some(0));
        ledger.hold();
        tables.hold("nobody looks");
        assert_eq!(told(&mut tables, &ledger), None);
    }

    #[test]
    fn a_count_that_was_in_doubt_meanwhile_is_withdrawn() {
        let (mut tables, mut ledger) = (Tables::default(), Ledger::default());
        let count = |ledger: &mut Ledger, rows| {
            ledger.ask(Oid(1));
            ledger.began(Oid(1), "10:10:".parse().unwrap(), Lsn::ZERO).unwrap();
            assert!(ledger.counted(Oid(1), rows));
            ledger.reached(Lsn::ZERO);
        };
        tables.survey(seen(vec![table(1, Kind::Table, None)]));
        count(&mut ledger, 7);
        tables.prepare(&ledger);
        let stamp = Stamp::new(0, Lsn::ZERO, Passed::default());
        // The look finds that it was rewritten, and it is counted again before the rest is shown.
        tables.survey(seen(vec![catalog::Table { relfilenode: Oid(9), ..table(1, Kind::Table, None) }]));
        ledger.ask(Oid(1));
        tables.touch(Oid(1));
        tables.withdraw(&ledger);
        count(&mut ledger, 8);
        tables.touch(Oid(1));
        tables.withdraw(&ledger);
        assert_eq!(tables.publish(&stamp).unwrap().tables[0].count, None, "neither 7 nor 8 is known to be true there");
        tables.prepare(&ledger);
        assert_eq!(tables.publish(&stamp).unwrap().tables[0].count, Some(8));
    }

    #[test]
    fn what_is_being_altered_has_no_number_and_neither_has_what_is_under_it_or_above() {
        let (mut tables, mut ledger) = (Tables::default(), Ledger::default());
        let trees = [
            table(1, Kind::PartitionedTable, None),
            table(2, Kind::PartitionedTable, Some(1)),
            table(3, Kind::Partition, Some(2)),
        ];
        tables.survey(seen(trees.into()));
        tables.reached(Lsn::ZERO);
        ledger.ask(Oid(3));
        ledger.began(Oid(3), "10:10:".parse().unwrap(), Lsn::ZERO).unwrap();
        assert!(ledger.counted(Oid(3), 7));
        ledger.reached(Lsn::ZERO);
        for (altering, counts) in [(None, [Some(7); 3]), (Some(Oid(2)), [None; 3]), (None, [Some(7); 3])] {
            tables.being_altered(altering.into_iter().collect());
            tables.prepare(&ledger);
            let told = tables.publish(&Stamp::new(0, Lsn::ZERO, Passed::default())).unwrap();
            assert_eq!(told.tables.iter().map(|table| table.count).collect::<Vec<_>>(), counts, "{altering:?}");
        }
    }

    fn table(oid: u32, kind: Kind, parent: Option<u32>) -> catalog::Table {
        let name = TableName { oid: Oid(oid), schema: "public".to_owned(), name: format!("t{oid}") };
        catalog::Table { kind, parent: parent.map(Oid), coverage: Coverage::Covered, ..streamed(&name) }
    }

    fn seen(tables: Vec<catalog::Table>) -> Catalog {
        let (snapshot, fence) = ("10:10:".parse().unwrap(), FullXid(10));
        let (role, server_version, tells_ddl, publication) = ("r".into(), 180_000, false, None);
        Catalog { snapshot, read_at_lsn: Lsn::ZERO, fence, role, server_version, tells_ddl, publication, tables }
    }

    #[test]
    fn a_partition_that_moves_changes_the_sums_of_both_its_parents() {
        let (mut tables, mut ledger) = (Tables::default(), Ledger::default());
        ledger.ask(Oid(3));
        ledger.began(Oid(3), "10:10:".parse().unwrap(), Default::default()).unwrap();
        assert!(ledger.counted(Oid(3), 7));
        ledger.reached(Default::default());

        for (parent, sums) in [(Some(1), [Some(7), Some(0)]), (Some(2), [Some(0), Some(7)]), (None, [Some(0), Some(0)])] {
            if parent == Some(2) {
                // Marked already when the survey comes, as it is when it is written to all the time.
                tables.touch(Oid(3));
            }
            let kind = if parent.is_some() { Kind::Partition } else { Kind::Table };
            let above = [1, 2].map(|oid| table(oid, Kind::PartitionedTable, None));
            tables.survey(seen(above.into_iter().chain([table(3, kind, parent)]).collect()));
            tables.reached(Lsn::ZERO);
            tables.prepare(&ledger);
            let counts = tables.publish(&Stamp::new(0, Lsn::ZERO, Passed::default())).unwrap();
            let count = |oid| counts.tables.iter().find(|table| table.oid == oid).unwrap().count;
            assert_eq!([count(1), count(2)], sums, "under {parent:?}");
        }
    }
}
