//! The effects of transactions that were streamed but may not be visible yet.
//!
//! A commit is in the log, and so in the stream, a moment before a snapshot can see it; with a synchronous standby, a long moment. A
//! baseline taken in between must still be given these effects, so they are kept until a later snapshot is known to see them. Visibility
//! only ever grows, so what one snapshot sees, every snapshot taken after it sees too.

use std::collections::VecDeque;

use super::{Effect, Snapshot};
use crate::lsn::{Oid, Xid};

#[derive(Clone, Copy, Debug)]
struct Operation {
    xid: Xid,
    oid: Oid,
    effect: Effect,
}

/// Effects in commit order, bounded.
#[derive(Debug)]
pub(super) struct Recent {
    operations: VecDeque<Operation>,
    limit: usize,
    /// The youngest transaction that had to be dropped unseen.
    dropped: Option<Xid>,
}

impl Recent {
    pub(super) fn new(limit: usize) -> Self {
        Self { operations: VecDeque::new(), limit, dropped: None }
    }

    pub(super) fn len(&self) -> usize {
        self.operations.len()
    }

    pub(super) fn push(&mut self, xid: Xid, oid: Oid, effect: Effect) {
        if self.operations.len() >= self.limit {
            // The first to commit need not be the first to have begun.
            let dropped = self.operations.pop_front().map(|operation| operation.xid);
            let younger = |xid: &Xid| self.dropped.is_none_or(|dropped| dropped.0.wrapping_sub(xid.0).cast_signed() < 0);
            self.dropped = dropped.filter(younger).or(self.dropped);
        }
        self.operations.push_back(Operation { xid, oid, effect });
    }

    /// Drops what `snapshot` sees, but for tables that `keep` names.
    pub(super) fn prune(&mut self, snapshot: &Snapshot, keep: impl Fn(Oid) -> bool) {
        self.operations.retain(|operation| !snapshot.sees(operation.xid) || keep(operation.oid));
    }

    /// What had to be dropped unseen is of no account any more if `snapshot` sees it, and no baseline has a snapshot from before.
    pub(super) fn forget_dropped(&mut self, snapshot: &Snapshot) {
        if self.dropped.is_some_and(|xid| snapshot.sees_all_up_to(xid)) {
            self.dropped = None;
        }
    }

    /// What happened to `oid` in transactions that `snapshot` does not see; `None` when something may have been dropped that it does not.
    pub(super) fn unseen(&self, oid: Oid, snapshot: &Snapshot) -> Option<Effect> {
        if self.dropped.is_some_and(|xid| !snapshot.sees_all_up_to(xid)) {
            return None;
        }
        let unseen = self.operations.iter().filter(|operation| operation.oid == oid && !snapshot.sees(operation.xid));
        Some(unseen.fold(Effect::default(), |sum, operation| sum.then(operation.effect)))
    }
}
