//! Transactions that changed a table and may not be visible yet.
//!
//! A commit is in the log, and so in the stream, a moment before a snapshot can see it; with a synchronous standby, a long moment. Rows
//! that are read in between lack it, and changes from before they were asked for are not kept: such rows are of no use.

use crate::counts::Snapshot;
use crate::lsn::Xid;

/// So many are told apart. Of more, only the youngest is known.
const LIMIT: usize = 4096;

/// A set of transactions.
#[derive(Clone, Debug, Default)]
pub(super) struct Unseen {
    xids: Vec<Xid>,
    /// This one and any older one may be among them.
    all_up_to: Option<Xid>,
}

impl Unseen {
    /// Adds one, which may have been added last.
    pub(super) fn push(&mut self, xid: Xid) {
        if self.xids.last() == Some(&xid) {
            return;
        }
        if self.xids.len() >= LIMIT {
            let each = self.xids.drain(..).chain(self.all_up_to);
            self.all_up_to = each.reduce(|one, other| if one.0.wrapping_sub(other.0).cast_signed() < 0 { other } else { one });
        }
        self.xids.push(xid);
    }

    /// Whether all are visible.
    pub(super) fn is_seen_by(&self, snapshot: &Snapshot) -> bool {
        self.all_up_to.is_none_or(|xid| snapshot.sees_all_up_to(xid)) && self.xids.iter().all(|xid| snapshot.sees(*xid))
    }

    /// Strikes those out that are.
    pub(super) fn prune(&mut self, snapshot: &Snapshot) {
        self.all_up_to = self.all_up_to.filter(|xid| !snapshot.sees_all_up_to(*xid));
        self.xids.retain(|xid| !snapshot.sees(*xid));
    }

    pub(super) fn size(&self) -> usize {
        self.xids.capacity() * size_of::<Xid>()
    }
}
