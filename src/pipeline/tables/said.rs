//! What is said of the tables: written down where the stream is, then published, at once or when it is confirmed.

use std::sync::Arc;
use std::time::Instant;

use super::{Known, Tables};
use crate::catalog::{self, Coverage, Kind, Reason, ReplicaIdentity};
use crate::counts::{Ledger, Standing, Totals};
use crate::event::time::{rfc3339, rfc3339_unix};
use crate::history::journal::TableState;
use crate::lsn::{Lsn, Oid};
use crate::pipeline::published::{CountState, Counts, Passed, Table, TableKind};
use crate::pipeline::unix_micros;

const ALTERED: &str = "a transaction that may be altering it has not ended";
const UNSETTLED: &str = "its partitions have changed; the catalog is being read";

/// Where counts are true.
#[derive(Clone, Debug)]
pub(in crate::pipeline) struct Stamp {
    /// Position in the history.
    pub(in crate::pipeline) after_block: u64,
    pub(in crate::pipeline) lsn: Lsn,
    pub(in crate::pipeline) passed: Passed,
    pub(in crate::pipeline) time: Instant,
    pub(in crate::pipeline) unix_time: i64,
}

impl Stamp {
    /// Now, where the stream stands at `lsn`.
    pub(in crate::pipeline) fn new(after_block: u64, lsn: Lsn, passed: Passed) -> Self {
        Self { after_block, lsn, passed, time: Instant::now(), unix_time: unix_micros() }
    }
}

impl Tables {
    /// Writes down what is to be said of the tables where the stream is now. That a number was taken back is published before another.
    pub(in crate::pipeline) fn prepare(&mut self, ledger: &Ledger) {
        for oid in self.dirty.extract_if(|oid| !self.withdrawn.contains(oid)).collect::<Vec<_>>() {
            if let Some(now) = self.known.get(&oid).map(|known| self.describe(known, ledger)) {
                self.say(oid, now);
            }
        }
    }

    /// Takes back the counts of tables that have come into doubt since they were written down.
    pub(in crate::pipeline) fn withdraw(&mut self, ledger: &Ledger) {
        let doubtful = |oid: &Oid| Some((*oid, self.describe(self.known.get(oid)?, ledger)));
        let doubtful: Vec<_> = self.dirty.iter().filter_map(doubtful).filter(|(_, now)| now.count.is_none()).collect();
        for (oid, now) in doubtful {
            if self.known.get(&oid).is_some_and(|known| known.said.as_ref().is_some_and(|said| said.count.is_some())) {
                self.withdrawn.insert(oid);
            }
            self.say(oid, now);
        }
    }

    /// What is to be recorded of the tables where the stream is now: of those of which something is new, and those that are gone. Where nothing
    /// tells of DDL, a count is that which was shown last, as of where it was true.
    pub(in crate::pipeline) fn take_unrecorded(&mut self, ledger: &Ledger) -> (Vec<TableState>, Vec<Oid>) {
        let (mut states, mut gone) = (Vec::new(), Vec::new());
        for oid in std::mem::take(&mut self.unrecorded) {
            let Some(known) = self.known.get(&oid) else {
                gone.push(oid);
                continue;
            };
            let said = self.describe(known, ledger);
            let certain = if self.told_by.is_some() { said.count.map(|count| (count, ledger.position())) } else { known.shown };
            let (count, as_of) = certain.map_or((None, ledger.position()), |(count, as_of)| (Some(count), as_of));
            let reason = said.reason.filter(|_| count.is_none());
            let catalog::Table { schema, name, published_as, relfilenode: file, parent, coverage, .. } = &*known.table;
            let covered = *coverage == Coverage::Covered;
            let (schema, name) = (schema.clone(), name.clone());
            let (published_as, file, parent, verified_at) = (*published_as, *file, *parent, known.verified_at);
            states.push(TableState { oid, schema, name, count, as_of, reason, published_as, file, parent, covered, verified_at });
        }
        (states, gone)
    }

    /// Whether there is something to be recorded.
    pub(in crate::pipeline) fn has_unrecorded(&self) -> bool {
        !self.unrecorded.is_empty()
    }

    /// Whether there is more to say than could be said at once.
    pub(in crate::pipeline) fn has_more(&self) -> bool {
        !self.dirty.is_empty()
    }

    fn say(&mut self, oid: Oid, now: Table) {
        if let Some(known) = self.known.get_mut(&oid).filter(|known| known.said.as_deref() != Some(&now)) {
            known.said = Some(Arc::new(now));
            self.changed.insert(oid);
        }
    }

    /// What was written down, as it is published; `None` when nothing changed since.
    pub(in crate::pipeline) fn publish(&mut self, stamp: &Stamp) -> Option<Counts> {
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
        for oid in self.changed.iter().filter(|_| self.told_by.is_none()) {
            if let Some(known) = self.known.get_mut(oid) {
                known.shown = known.said.as_ref().and_then(|said| said.count).map(|count| (count, stamp.lsn));
                self.unrecorded.insert(*oid);
            }
        }
        self.version += 1;
        self.changed.clear();
        self.withdrawn.clear();
        let (version, removed) = (self.version, std::mem::take(&mut self.removed));
        let told_late = self.told_by.is_none();
        Some(Counts { version, tables, changed, removed, total_rows, told_late, ..Counts::at(stamp) })
    }

    /// Whether there is anything exact to show, or nothing that could be counted.
    pub(in crate::pipeline) fn anything_counted(&self, ledger: &Ledger) -> bool {
        let mut counted = self.known.values().filter(|known| known.is_counted());
        let exact = |known: &Known| matches!(ledger.standing(known.table.oid), Standing::Exact(_));
        counted.clone().next().is_none() || counted.any(exact)
    }

    fn describe(&self, known: &Known, ledger: &Ledger) -> Table {
        let catalog::Table { oid, schema, name, kind, parent, replica_identity, has_rules, primary_key, coverage, .. } =
            &*known.table;
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
            verified_at: known.verified_at.map(rfc3339_unix),
            found_wrong: known.found_wrong,
            replica_identity: identity_name(*replica_identity),
            has_rules: *has_rules,
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
