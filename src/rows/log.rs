//! The changes of a table since its rows were asked for.

use std::sync::Arc;

use super::alterations::Alterations;
use super::unseen::Unseen;
use super::{Change, Column, TooOld};
use crate::counts::Snapshot;
use crate::lsn::{Oid, Xid};
use crate::pgoutput::{Row, Tuple};

/// In the order of their commits.
#[derive(Debug)]
pub(super) struct Log {
    /// What was not kept, since it came before.
    before: Unseen,
    /// Not over when the rows were asked for, or later than that. What the table hangs on is not known before it is read.
    alterations: Alterations,
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
    pub(super) fn new(before: Unseen, alterations: Alterations) -> Self {
        Log { before, alterations, entries: Vec::new(), bytes: 0 }
    }

    /// `xid` altered `what`.
    pub(super) fn altered(&mut self, xid: Xid, what: Oid) {
        self.alterations.push(xid, what);
    }

    pub(super) fn push(&mut self, xid: Xid, columns: Arc<[Column]>, change: Change<Tuple<'_>>) {
        let change = change.keep();
        self.bytes += change.size();
        self.entries.push(Entry { xid, columns, change });
    }

    /// Whether rows that were read in `snapshot`, and hang on these, lack nothing but what is in here. If they do, what every later snapshot
    /// sees is struck out.
    pub(super) fn completes(&mut self, snapshot: &Snapshot, hangs_on: &[Oid]) -> Result<(), TooOld> {
        self.alterations.settle(snapshot);
        if self.before.is_seen_by(snapshot) && !self.alterations.concern(hangs_on) {
            return Ok(());
        }
        self.before.prune(snapshot);
        self.entries.retain(|entry| !snapshot.sees(entry.xid));
        self.entries.shrink_to_fit();
        self.bytes = self.entries.iter().map(|entry| entry.change.size()).sum();
        Err(TooOld { fence: self.before.fence(snapshot).max(self.alterations.fence(hangs_on)) })
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
