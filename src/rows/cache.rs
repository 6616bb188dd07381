//! The cache: one entry a table, grounded by a reading, moved by the stream, bounded.

use std::sync::Arc;

use bytesize::ByteSize;
use rustc_hash::FxHashMap;

use super::contents::Contradiction;
use super::log::Log;
use super::unseen::Unseen;
use super::{Change, Column, Contents, Former, Reason};
use crate::counts::Snapshot;
use crate::lsn::{Lsn, Oid, Xid};
use crate::pgoutput::Tuple;

/// What the rows may take in memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Those of a single table.
    pub table: usize,
    /// All together.
    pub total: usize,
}

/// A table's rows as one snapshot saw them.
#[derive(Debug)]
pub struct Reading {
    /// What was seen.
    pub snapshot: Snapshot,
    /// Everything that the snapshot sees was committed before this position.
    pub lsn: Lsn,
    /// The tables that it is a partition of or inherits from, and those above them.
    pub ancestors: Vec<Oid>,
    /// The rows.
    pub contents: Contents,
}

/// Whether a table's rows are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// They are, where the stream stands.
    Full,
    /// They are to be read, or are being read.
    Loading,
    /// They are not kept.
    Off(Reason),
}

/// What the cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory that it takes.
    pub bytes: usize,
    /// Memory that it may take.
    pub limit: usize,
    /// Rows that are known.
    pub rows: usize,
    /// Tables whose rows are known.
    pub full: usize,
    /// Tables whose rows are to be read, or are being read.
    pub loading: usize,
    /// Tables whose rows are not kept.
    pub off: usize,
    /// How often a table was dropped for lack of room since the cache began.
    pub dropped: u64,
}

/// The rows do not reach back to the changes that are kept: read them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rows were read before everything that happened to them was visible")]
pub struct TooOld;

/// The rows of all small tables, at the position that the stream has reached.
#[derive(Debug)]
pub struct Cache {
    limits: Limits,
    entries: FxHashMap<Oid, Entry>,
    /// Tables whose rows are complete but for the stream to reach them.
    read: Vec<(Lsn, Oid)>,
    /// Memory that all entries take.
    bytes: usize,
    xid: Xid,
    dropped: u64,
    /// Tables whose standing is another.
    changed: Vec<Oid>,
    /// Tables to be read again.
    doubtful: Vec<Oid>,
}

#[derive(Debug, Default)]
struct Entry {
    /// As the stream last described it.
    columns: Arc<[Column]>,
    unseen: Unseen,
    /// Of its last reading.
    ancestors: Vec<Oid>,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Waiting,
    Asked(Log),
    Read {
        snapshot: Snapshot,
        contents: Contents,
    },
    Whole(Contents),
    Off(Reason),
}

impl Cache {
    /// An empty cache.
    pub fn new(limits: Limits) -> Self {
        Cache {
            limits,
            entries: FxHashMap::default(),
            read: Vec::new(),
            bytes: 0,
            xid: Xid(0),
            dropped: 0,
            changed: Vec::new(),
            doubtful: Vec::new(),
        }
    }

    /// What it may take.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What is known of `oid`'s rows, if the table is known at all.
    pub fn standing(&self, oid: Oid) -> Option<Standing> {
        self.entries.get(&oid).map(|entry| entry.state.standing())
    }

    /// Why `oid`'s rows are not kept.
    pub fn is_off(&self, oid: Oid, reason: &Reason) -> bool {
        matches!(self.entries.get(&oid), Some(Entry { state: State::Off(why), .. }) if why == reason)
    }

    /// What it holds.
    pub fn usage(&self) -> Usage {
        let start = Usage { bytes: self.bytes, limit: self.limits.total, dropped: self.dropped, ..Usage::default() };
        self.entries.values().fold(start, |usage, entry| match &entry.state {
            State::Whole(contents) => Usage { rows: usage.rows + contents.len(), full: usage.full + 1, ..usage },
            State::Waiting | State::Asked(_) | State::Read { .. } => Usage { loading: usage.loading + 1, ..usage },
            State::Off(_) => Usage { off: usage.off + 1, ..usage },
        })
    }

    /// The tables whose standing has changed since this was last asked.
    pub fn take_changed(&mut self) -> Vec<Oid> {
        std::mem::take(&mut self.changed)
    }

    /// The tables that the stream has brought into doubt since this was last asked: their rows are to be read again.
    pub fn take_doubtful(&mut self) -> Vec<Oid> {
        std::mem::take(&mut self.doubtful)
    }

    // ── readings ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// The rows of `oid` are about to be read: from here on everything that their snapshot may not see is kept. What is kept already, for
    /// a reading that came to nothing, stays.
    pub fn ask(&mut self, oid: Oid) {
        let entry = self.entries.entry(oid).or_default();
        if !matches!(entry.state, State::Asked(_)) {
            let log = Log::new(entry.unseen.clone());
            self.set(oid, State::Asked(log));
        }
    }

    /// The rows of `oid` were read: they are known once [`Self::reached`] passes their position.
    pub fn read(&mut self, oid: Oid, reading: Reading) -> Result<(), TooOld> {
        let Reading { snapshot, lsn, ancestors, mut contents } = reading;
        let Some(entry) = self.entries.get_mut(&oid) else { return Err(TooOld) };
        let State::Asked(log) = &mut entry.state else { return Err(TooOld) };
        if !log.completes(&snapshot) {
            let before = log.size();
            log.prune(&snapshot);
            self.bytes = (self.bytes - before) + log.size();
            return Err(TooOld);
        }
        let mut unseen = log.unseen(&snapshot);
        if !unseen.all(|(columns, change)| columns == contents.shape().columns() && contents.apply(change).is_ok()) {
            drop(unseen);
            self.waits(oid);
            return Err(TooOld);
        }
        drop(unseen);
        entry.ancestors = ancestors;
        if entry.columns == *contents.shape().columns() {
            entry.columns = Arc::clone(contents.shape().columns());
        }
        self.set(oid, State::Read { snapshot, contents });
        self.read.push((lsn, oid));
        self.bound(oid);
        Ok(())
    }

    /// The rows of `oid` are not to be kept.
    pub fn refuse(&mut self, oid: Oid, reason: Reason) {
        self.set(oid, State::Off(reason));
    }

    /// Whatever was known of `oid`'s rows is not certain any more; whoever says so has them read again.
    pub fn waits(&mut self, oid: Oid) {
        self.set(oid, State::Waiting);
    }

    /// There is no table `oid` any more.
    pub fn forget(&mut self, oid: Oid) {
        self.set(oid, State::Waiting);
        self.bytes -= self.entries.remove(&oid).map_or(0, |entry| entry.size());
    }

    /// `snapshot`, and every snapshot from now on, sees what it sees.
    pub fn prune(&mut self, snapshot: &Snapshot) {
        // A reading that was asked for may have taken its snapshot before this one.
        for entry in self.entries.values_mut().filter(|entry| !matches!(entry.state, State::Asked(_))) {
            let before = entry.unseen.size();
            entry.unseen.prune(snapshot);
            self.bytes = (self.bytes - before) + entry.unseen.size();
        }
    }

    // ── the stream ──────────────────────────────────────────────────────────────────────────────────────────────────────

    /// The changes of the committed transaction `xid` follow.
    pub fn begin(&mut self, xid: Xid) {
        self.xid = xid;
    }

    /// The stream describes a table: it has these columns from here on.
    pub fn described(&mut self, oid: Oid, columns: Arc<[Column]>) {
        let entry = self.entries.entry(oid).or_default();
        entry.columns = match &entry.state {
            // One for both: then it is seen at a glance that they are the same.
            State::Read { contents, .. } | State::Whole(contents) if columns == *contents.shape().columns() => {
                Arc::clone(contents.shape().columns())
            }
            _ => columns,
        };
    }

    /// The stream tells that `oid` was altered, which has these partitions now: its rows may be others, and those of all that is under it.
    pub fn altered(&mut self, oid: Oid, partitions: &[Oid]) {
        let is_meant = |this: &Oid| *this == oid || partitions.contains(this);
        // What is above a table whose rows are being read is not known yet.
        let hit = |(this, entry): (&Oid, &Entry)| {
            let is_hit = is_meant(this) || entry.ancestors.iter().any(is_meant) || matches!(entry.state, State::Asked(_));
            is_hit.then_some(*this)
        };
        let hit: Vec<Oid> = self.entries.iter().filter_map(hit).collect();
        hit.into_iter().for_each(|oid| self.doubt(oid));
    }

    /// The stream may have told that anything was altered.
    pub fn doubt_all(&mut self) {
        let all: Vec<Oid> = self.entries.keys().copied().collect();
        all.into_iter().for_each(|oid| self.doubt(oid));
    }

    /// It is not what it seemed: its rows are to be read again, or to be kept after all.
    pub fn doubt(&mut self, oid: Oid) {
        if self.entries.get(&oid).is_some_and(|entry| !matches!(entry.state, State::Waiting)) {
            self.waits(oid);
            self.doubtful.push(oid);
        }
    }

    /// Applies a change to the rows of `oid`, and gives what was there before, if it is known.
    pub fn apply(&mut self, oid: Oid, change: Change<Tuple<'_>>) -> Former {
        let entry = self.entries.entry(oid).or_default();
        let before = entry.size();
        let applied = entry.apply(self.xid, change);
        self.bytes = (self.bytes - before) + entry.size();
        match applied {
            Ok(former) => {
                self.bound(oid);
                former
            }
            Err(Contradiction) => {
                self.doubt(oid);
                Former::Unknown
            }
        }
    }

    /// Everything that was committed before `lsn` has been applied.
    pub fn reached(&mut self, lsn: Lsn) {
        for (_, oid) in self.read.extract_if(.., |(read, _)| *read <= lsn) {
            let Some(entry) = self.entries.get_mut(&oid) else { continue };
            entry.state = match std::mem::take(&mut entry.state) {
                State::Read { contents, .. } => State::Whole(contents),
                other => other,
            };
            self.changed.push(oid);
        }
    }

    /// `oid` has so many rows, which is certain. False when its rows, though known, are not as many: they are in doubt now.
    pub fn agrees(&mut self, oid: Oid, rows: i64) -> bool {
        let agrees = match self.entries.get(&oid) {
            Some(Entry { state: State::Whole(contents), .. }) => usize::try_from(rows) == Ok(contents.len()),
            _ => true,
        };
        if !agrees {
            self.doubt(oid);
        }
        agrees
    }

    #[cfg(test)]
    pub(super) fn weigh(&self) -> usize {
        self.entries.values().map(Entry::size).sum()
    }

    fn set(&mut self, oid: Oid, state: State) {
        let entry = self.entries.entry(oid).or_default();
        if entry.state.standing() != state.standing() {
            self.changed.push(oid);
        }
        if matches!(entry.state, State::Read { .. }) {
            self.read.retain(|(_, read)| *read != oid);
        }
        self.bytes = (self.bytes - entry.state.size()) + state.size();
        entry.state = state;
    }

    /// Drops the table that has grown too large, if `oid` has.
    fn bound(&mut self, oid: Oid) {
        let Some(entry) = self.entries.get(&oid).filter(|entry| entry.state.size() > 0) else { return };
        let reason = match self.limits {
            Limits { table, .. } if entry.state.size() > table => Reason::Table { limit: ByteSize::b(table as u64) },
            Limits { total, .. } if self.bytes > total => Reason::Total { limit: ByteSize::b(total as u64) },
            _ => return,
        };
        if matches!(entry.state, State::Asked(_)) {
            // It is only the changes that are too many; the rows may be few.
            self.doubt(oid);
        } else {
            self.dropped += 1;
            self.refuse(oid, reason);
        }
    }
}

impl Entry {
    fn apply(&mut self, xid: Xid, change: Change<Tuple<'_>>) -> Result<Former, Contradiction> {
        self.unseen.push(xid);
        let of_these = |contents: &Contents| {
            let columns = contents.shape().columns();
            Arc::ptr_eq(&self.columns, columns) || self.columns == *columns
        };
        match &mut self.state {
            State::Waiting | State::Off(_) => Ok(Former::Unknown),
            State::Asked(log) => {
                log.push(xid, Arc::clone(&self.columns), change);
                Ok(Former::Unknown)
            }
            State::Read { snapshot, .. } if snapshot.sees(xid) => Ok(Former::Unknown),
            State::Read { contents, .. } | State::Whole(contents) if !of_these(contents) => Err(Contradiction),
            State::Read { contents, .. } => contents.apply(change).map(|_| Former::Unknown),
            State::Whole(contents) => contents.apply(change),
        }
    }

    fn size(&self) -> usize {
        self.unseen.size() + self.state.size()
    }
}

impl State {
    fn standing(&self) -> Standing {
        match self {
            State::Waiting | State::Asked(_) | State::Read { .. } => Standing::Loading,
            State::Whole(_) => Standing::Full,
            State::Off(reason) => Standing::Off(reason.clone()),
        }
    }

    fn size(&self) -> usize {
        match self {
            State::Asked(log) => log.size(),
            State::Read { contents, .. } | State::Whole(contents) => contents.size(),
            State::Waiting | State::Off(_) => 0,
        }
    }
}
