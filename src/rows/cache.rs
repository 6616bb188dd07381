//! The cache: one entry a table, grounded by a reading, moved by the stream, bounded.

use std::sync::Arc;

use bytesize::ByteSize;
use rustc_hash::FxHashMap;

use super::alterations::Alterations;
use super::contents::Contradiction;
use super::log::Log;
use super::unseen::{Unseen, younger};
use super::{Change, Column, Contents, Former, Reason};
use crate::counts::{FullXid, Snapshot};
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

impl Limits {
    /// What a cache with these holds before anything was read.
    pub fn unused(self) -> Usage {
        Usage { limit: self.total, ..Usage::default() }
    }
}

/// A table's rows as one snapshot saw them.
#[derive(Debug)]
pub struct Reading {
    /// What was seen.
    pub snapshot: Snapshot,
    /// Everything that the snapshot sees was committed before this position, and every alteration that shows in the rows.
    pub lsn: Lsn,
    /// What the rows hang on beside the table itself: tables above it; enums and composite types of its columns, and tables whose rows
    /// these are, at any depth. As in `pg_class` or `pg_type`: that numbers of both may be the same does no harm.
    pub hangs_on: Vec<Oid>,
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
    /// Those of them that take too much memory.
    pub too_large: usize,
    /// How often a table was dropped for lack of room since the cache began.
    pub dropped: u64,
}

/// The rows do not reach back to the changes that are kept: read them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rows were read before everything that happened to them was visible")]
pub struct TooOld {
    /// Who is older than this has to be over by then, as far as it is known.
    pub fence: Option<FullXid>,
}

/// The rows of all small tables, at the position that the stream has reached.
#[derive(Debug)]
pub struct Cache {
    limits: Limits,
    entries: FxHashMap<Oid, Entry>,
    /// Tables whose rows are complete but for the stream to reach them.
    read: Vec<(Lsn, Oid)>,
    /// Memory that all entries take.
    bytes: usize,
    /// What was altered of late.
    alterations: Alterations,
    /// The transaction whose changes follow.
    xid: Xid,
    /// The youngest one that the stream has brought.
    youngest: Option<Xid>,
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
    /// Nothing while its rows are not kept.
    unseen: Unseen,
    /// Of its last reading.
    hangs_on: Vec<Oid>,
    /// How often it came into doubt since its rows were last known.
    doubts: u32,
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
            alterations: Alterations::default(),
            xid: Xid(0),
            youngest: None,
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
        let start = Usage { bytes: self.bytes, dropped: self.dropped, ..self.limits.unused() };
        self.entries.values().fold(start, |usage, entry| match &entry.state {
            State::Whole(contents) => Usage { rows: usage.rows + contents.len(), full: usage.full + 1, ..usage },
            State::Waiting | State::Asked(_) | State::Read { .. } => Usage { loading: usage.loading + 1, ..usage },
            State::Off(Reason::Table { .. } | Reason::Total { .. }) => {
                Usage { off: usage.off + 1, too_large: usage.too_large + 1, ..usage }
            }
            State::Off(_) => Usage { off: usage.off + 1, ..usage },
        })
    }

    /// How often the rows of `oid` came into doubt since they were last known: the more often, the longer reading them again may wait.
    pub fn doubts(&self, oid: Oid) -> u32 {
        self.entries.get(&oid).map_or(0, |entry| entry.doubts)
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
        if matches!(self.entries.get(&oid), Some(Entry { state: State::Asked(_), .. })) {
            return;
        }
        self.waits(oid);
        let unseen = self.entries.entry(oid).or_default().unseen.clone();
        self.set(oid, State::Asked(Log::new(unseen, self.alterations.clone())));
    }

    /// The rows of `oid` were read: they are known once [`Self::reached`] passes their position.
    pub fn read(&mut self, oid: Oid, reading: Reading) -> Result<(), TooOld> {
        let Reading { snapshot, lsn, hangs_on, mut contents } = reading;
        let useless = TooOld { fence: None };
        let Some(entry) = self.entries.get_mut(&oid) else { return Err(useless) };
        let State::Asked(log) = &mut entry.state else { return Err(useless) };
        let before = log.size();
        let completes = log.completes(&snapshot, &hangs_on);
        self.bytes = (self.bytes - before) + log.size();
        completes?;
        let mut unseen = log.unseen(&snapshot);
        if !unseen.all(|(columns, change)| columns == contents.shape().columns() && contents.apply(change).is_ok()) {
            drop(unseen);
            self.waits(oid);
            return Err(useless);
        }
        drop(unseen);
        entry.hangs_on = hangs_on;
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
        self.alterations.settle(snapshot);
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
        self.youngest = Some(younger(self.youngest, xid));
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

    /// The stream tells that the table or type `oid` was altered, which has these partitions now: the rows may be others of all that is, is
    /// under, or is made of one of these.
    pub fn altered(&mut self, oid: Oid, partitions: &[Oid]) {
        let altered = || partitions.iter().copied().chain([oid]);
        let is_meant = |this: &Oid| *this == oid || partitions.contains(this);
        altered().for_each(|what| self.alterations.push(self.xid, what));
        let mut hit = Vec::new();
        for (this, entry) in &mut self.entries {
            match &mut entry.state {
                _ if is_meant(this) => hit.push(*this),
                State::Asked(log) => altered().for_each(|what| log.altered(self.xid, what)),
                _ if entry.hangs_on.iter().any(is_meant) => hit.push(*this),
                _ => {}
            }
        }
        hit.into_iter().for_each(|oid| self.doubt(oid));
    }

    /// Anything may have been altered.
    pub fn doubt_all(&mut self) {
        self.alterations.push_any(self.xid);
        let all: Vec<Oid> = self.entries.keys().copied().collect();
        all.into_iter().for_each(|oid| self.doubt(oid));
    }

    /// It is not what it seemed: its rows are to be read again, or to be kept after all.
    pub fn doubt(&mut self, oid: Oid) {
        if let Some(entry) = self.entries.get_mut(&oid).filter(|entry| !matches!(entry.state, State::Waiting)) {
            entry.doubts = entry.doubts.saturating_add(1);
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
            entry.doubts = 0;
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
        let before = entry.size();
        match (&entry.state, &state) {
            (State::Off(_), State::Off(_)) => {}
            // They are not read, so nobody has to know.
            (_, State::Off(_)) => entry.unseen = Unseen::default(),
            // Who changed them meanwhile was not noted.
            (State::Off(_), _) => entry.unseen = Unseen::all_up_to(self.youngest),
            _ => {}
        }
        entry.state = state;
        self.bytes = (self.bytes - before) + entry.size();
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
        if !matches!(self.state, State::Off(_)) {
            self.unseen.push(xid);
        }
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
