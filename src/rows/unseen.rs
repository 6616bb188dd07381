//! Transactions that changed a table and may not be visible yet.
//!
//! A commit is in the log, and so in the stream, a moment before a snapshot can see it; with a synchronous standby, a long moment. Rows
//! that are read in between lack it, and changes from before they were asked for are not kept: such rows are of no use.

use crate::counts::{FullXid, Snapshot};
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
    /// `xid`, if there is one, and any older one.
    pub(super) fn all_up_to(xid: Option<Xid>) -> Self {
        Unseen { xids: Vec::new(), all_up_to: xid }
    }

    /// Adds one, which may have been added last.
    pub(super) fn push(&mut self, xid: Xid) {
        if self.xids.last() == Some(&xid) {
            return;
        }
        if self.xids.len() >= LIMIT {
            self.all_up_to = self.xids.drain(..).fold(self.all_up_to, |youngest, xid| Some(younger(youngest, xid)));
        }
        self.xids.push(xid);
    }

    /// Whether all are visible.
    pub(super) fn is_seen_by(&self, snapshot: &Snapshot) -> bool {
        self.all_up_to.is_none_or(|xid| snapshot.sees_all_up_to(xid)) && self.xids.iter().all(|xid| snapshot.sees(*xid))
    }

    /// Who is older than this has to be over, by the reckoning of `snapshot`.
    pub(super) fn fence(&self, snapshot: &Snapshot) -> Option<FullXid> {
        self.all_up_to.map(|xid| snapshot.xmax().closest(xid).next())
    }

    /// Strikes those out that are visible.
    pub(super) fn prune(&mut self, snapshot: &Snapshot) {
        self.all_up_to = self.all_up_to.filter(|xid| !snapshot.sees_all_up_to(*xid));
        self.xids.retain(|xid| !snapshot.sees(*xid));
        self.xids.shrink_to_fit();
    }

    pub(super) fn size(&self) -> usize {
        self.xids.capacity() * size_of::<Xid>()
    }
}

/// The younger of two transactions. Ids go round, so neither is simply the greater one.
pub(super) fn younger(one: Option<Xid>, other: Xid) -> Xid {
    one.filter(|one| one.0.wrapping_sub(other.0).cast_signed() > 0).unwrap_or(other)
}
