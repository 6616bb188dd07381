//! The changes of a table since its rows were asked for.

use std::sync::Arc;

use super::unseen::Unseen;
use super::{Change, Column};
use crate::counts::Snapshot;
use crate::lsn::Xid;
use crate::pgoutput::{Row, Tuple};

/// In the order of their commits.
#[derive(Debug)]
pub(super) struct Log {
    /// What was not kept, since it came before.
    before: Unseen,
    entries: Vec<Entry>,
    /// Of the rows in it.
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    xid: Xid,
    columns: Arc<[Column]>,
    change: Change<Row>,
}

impl Log {
    pub(super) fn new(before: Unseen) -> Self {
        Log { before, entries: Vec::new(), bytes: 0 }
    }

    pub(super) fn push(&mut self, xid: Xid, columns: Arc<[Column]>, change: Change<Tuple<'_>>) {
        let change = change.keep();
        self.bytes += change.size();
        self.entries.push(Entry { xid, columns, change });
    }

    /// Whether rows that were read in `snapshot` lack nothing but what is in here.
    pub(super) fn completes(&self, snapshot: &Snapshot) -> bool {
        self.before.is_seen_by(snapshot)
    }

    /// Strikes out what every snapshot from `snapshot` on sees.
    pub(super) fn prune(&mut self, snapshot: &Snapshot) {
        self.before.prune(snapshot);
        self.entries.retain(|entry| !snapshot.sees(entry.xid));
        self.entries.shrink_to_fit();
        self.bytes = self.entries.iter().map(|entry| entry.change.size()).sum();
    }

    /// What `snapshot` does not see, each with the columns that its rows are of.
    pub(super) fn unseen(&self, snapshot: &Snapshot) -> impl Iterator<Item = (&Arc<[Column]>, Change<Tuple<'_>>)> {
        let unseen = self.entries.iter().filter(|entry| !snapshot.sees(entry.xid));
        unseen.map(|entry| (&entry.columns, entry.change.view()))
    }

    /// The memory that all this takes.
    pub(super) fn size(&self) -> usize {
        self.bytes + self.entries.capacity() * size_of::<Entry>() + self.before.size()
    }
}
