//! The tables that are watched: what the catalog says of each, joined with the ledger, and what is published of that.
//!
//! A table is entered when the catalog or the stream first names it. Publishing costs as much as what changed, plus one pointer a table.

mod said;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

pub(super) use self::said::Stamp;
use super::published::Table;
use super::tree::Tree;
use crate::catalog::{self, Catalog, Coverage, Kind, Persistence, Reason, ReplicaIdentity};
use crate::event::{TableName, ddl};
use crate::history::Mark;
use crate::history::journal::{Opened, TableState};
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
    /// Tables whose count was taken back, and of which that was not published yet.
    withdrawn: FxHashSet<Oid>,
    /// Tables that went since the last publication.
    removed: Vec<u32>,
    /// Tables of which something is new since that was last recorded, or that are gone since.
    unrecorded: FxHashSet<Oid>,
    /// Tables that someone may be altering, where only the catalog tells of it. With all that is under them.
    altering: FxHashSet<Oid>,
    /// Tables whose rows are in another file than where the stream was left, and where the look stands that found it.
    moved: FxHashMap<Oid, Lsn>,
    version: u64,
    /// Where the last look at the catalog stands.
    looked_at: Lsn,
    /// What told of DDL then.
    told_by: Option<i64>,
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
    /// When it was counted last, in microseconds since 1970.
    pub(super) verified_at: Option<i64>,
    pub(super) last_change: Option<Timestamp>,
    /// The transaction that truncated it, until a look at the catalog finds the file that it got by that.
    pub(super) truncated_by: Option<Xid>,
    /// How often its count was found to have been wrong.
    pub(super) found_wrong: u64,
    /// Whether its rows are kept, where any are wanted.
    pub(super) row_cache: Option<rows::Standing>,
    /// What is said of it, with the next publication or since an earlier one.
    said: Option<Arc<Table>>,
    /// Where nothing tells of DDL: the count that was shown last, and where it was true.
    shown: Option<(i64, Lsn)>,
}

impl Known {
    fn new(table: Arc<catalog::Table>, named_by: Option<Xid>) -> Self {
        Known {
            table,
            named_by,
            note: None,
            progress: None,
            verified_at: None,
            last_change: None,
            truncated_by: None,
            found_wrong: 0,
            row_cache: None,
            said: None,
            shown: None,
        }
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

    /// What told of DDL when the database was last looked at.
    pub(super) fn told_by(&self) -> Option<i64> {
        self.told_by
    }

    /// Whether the database told of DDL when it was last looked at.
    pub(super) fn tells_ddl(&self) -> bool {
        self.told_by.is_some()
    }

    /// Counts are held back, for this reason.
    pub(super) fn hold(&mut self, why: &'static str) {
        self.held = why;
        self.touch_all();
    }

    /// Every table is published anew.
    pub(super) fn touch_all(&mut self) {
        self.dirty.extend(self.known.keys());
        self.unrecorded.extend(self.known.keys());
    }

    /// Whether someone may be altering one of these of whom that was not known.
    pub(super) fn is_news(&self, altering: &FxHashSet<Oid>) -> bool {
        !altering.is_subset(&self.altering)
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
            ddl::Change::Type(_) | ddl::Change::Publication(_) | ddl::Change::Schema(_) => None,
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
            self.unrecorded.insert(oid);
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
        self.withdrawn.remove(&oid);
        if let Some(known) = self.known.remove(&oid) {
            self.removed.push(oid.0);
            self.order.remove(&(known.table.schema.clone(), known.table.name.clone(), oid));
        }
    }

    /// Takes up a look at the catalog.
    pub(super) fn survey(&mut self, catalog: Catalog) -> Vec<Change> {
        let Catalog { snapshot, read_at_lsn, told_by, publication, tables, .. } = catalog;
        // Where the same told of DDL all the while, a new file is no news.
        self.looked_at = read_at_lsn;
        let told_before = std::mem::replace(&mut self.told_by, told_by);
        let told_ddl = told_before == told_by && told_by.is_some();
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
        if told_before != told_by {
            // What was recorded of them may be what was shown last, and is from now on to be what they have.
            self.touch_all();
        }
        self.tree.look(self.known.values().map(|known| &*known.table), &snapshot, read_at_lsn);
        changes
    }
}

impl Tables {
    /// The stream goes on where this was recorded.
    pub(super) fn resume(&mut self, recorded: &Recorded) {
        if self.is_told_since(recorded) {
            let partitions = recorded.tables.values().filter_map(|table| Some((table.oid, table.parent?)));
            self.tree.resume(partitions);
        }
    }

    /// Whether what tells of DDL has told of everything since.
    fn is_told_since(&self, recorded: &Recorded) -> bool {
        self.told_by.is_some() && self.told_by == recorded.told_by
    }

    /// The stream brings a TRUNCATE.
    pub(super) fn truncated(&mut self, oid: Oid, by: Xid) {
        self.moved.remove(&oid);
        if let Some(known) = self.touch(oid) {
            known.truncated_by = Some(by);
        }
    }

    /// Tables whose count was carried over, and whose file is another, though the stream has come to `position` without a TRUNCATE: not even a
    /// superuser who has nothing told (`event_triggers`) changes rows unseen.
    pub(super) fn take_moved(&mut self, position: Lsn) -> Vec<Oid> {
        self.moved.extract_if(|_, looked_at| *looked_at <= position).map(|(oid, _)| oid).collect()
    }

    /// The count that was recorded of a table where the stream goes on, if it is still one: what tells of DDL has told of everything since, and the
    /// publication carries the table as it did.
    pub(super) fn resumed(&mut self, oid: Oid, recorded: &Recorded) -> Option<i64> {
        let state = recorded.tables.get(&oid).filter(|state| self.is_told_since(recorded) && state.covered)?;
        let known = self.known.get_mut(&oid).filter(|known| known.is_counted())?;
        let count = state.count.filter(|_| known.table.published_as == state.published_as)?;
        known.verified_at = state.verified_at;
        if known.table.relfilenode != state.file {
            self.moved.insert(oid, self.looked_at);
        }
        self.mark(oid);
        Some(count)
    }
}

/// What was recorded of the tables last.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorded {
    /// What told of DDL then.
    pub(super) told_by: Option<i64>,
    pub(super) tables: FxHashMap<Oid, TableState>,
}

impl Recorded {
    /// What a journal says at its end.
    pub(super) fn of(journal: &Opened) -> Self {
        let (told_by, tables) = journal.tables();
        Self { told_by, tables: tables.iter().map(|table| (table.oid, table.clone())).collect() }
    }

    /// What a mark says.
    pub(super) fn note(&mut self, mark: &Mark) {
        if mark.whole {
            self.tables.clear();
        }
        self.told_by = mark.told_by;
        mark.gone.iter().for_each(|oid| drop(self.tables.remove(oid)));
        self.tables.extend(mark.tables.iter().map(|table| (table.oid, table.clone())));
    }
}

/// A table of which nothing is known but what the stream says. The next survey completes it.
fn streamed(name: &TableName) -> catalog::Table {
    catalog::Table {
        oid: name.oid,
        schema: name.schema.clone(),
        name: name.name.clone(),
        kind: Kind::Table,
        persistence: Persistence::Permanent,
        parent: None,
        attached_by: None,
        replica_identity: ReplicaIdentity::Default,
        has_rules: false,
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
