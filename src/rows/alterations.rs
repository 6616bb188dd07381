//! What was altered while others went on writing what hangs on it.
//!
//! Who renames a value of an enum, or adds an attribute to a composite type, takes no lock on the tables that use it. So the text of a row
//! changes under who has written it already, and the stream brings that one later, in the text from before:
//!
//! ```text
//!   T   insert 'ok' ──────────────────────────────────── commit          the stream says 'ok', the table 'fine'
//!   A        rename 'ok' to 'fine' ── commit
//! ```
//!
//! Rows that are read are right only once no such T can come any more: when all are over who ran while A was already visible.

use rustc_hash::FxHashMap;

use crate::counts::{FullXid, Snapshot};
use crate::lsn::{Oid, Xid};

/// So many are told apart. Of more, any may be among them.
const LIMIT: usize = 256;

/// Alterations that are not over in this sense.
#[derive(Clone, Debug, Default)]
pub(super) struct Alterations {
    each: FxHashMap<Oid, Since>,
    /// Of anything.
    any: Option<Since>,
}

#[derive(Clone, Copy, Debug)]
enum Since {
    /// This transaction did it, and may not be visible yet.
    Committed(Xid),
    /// It is visible. Whoever may have written before is older than this one.
    Visible(FullXid),
}

impl Alterations {
    /// `xid` altered `what`.
    pub(super) fn push(&mut self, xid: Xid, what: Oid) {
        // What is altered once more is over later.
        self.each.insert(what, Since::Committed(xid));
        if self.each.len() > LIMIT {
            self.push_any(xid);
        }
    }

    /// `xid` may have altered anything.
    pub(super) fn push_any(&mut self, xid: Xid) {
        self.each.clear();
        self.any = Some(Since::Committed(xid));
    }

    /// Strikes out what is over for who sees `snapshot`.
    pub(super) fn settle(&mut self, snapshot: &Snapshot) {
        self.any = self.any.and_then(|since| since.settled(snapshot));
        self.each.retain(|_, since| since.settled(snapshot).map(|still| *since = still).is_some());
    }

    /// Whether any of this was altered.
    pub(super) fn concern(&self, hangs_on: &[Oid]) -> bool {
        self.of(hangs_on).next().is_some()
    }

    /// Who is older than this has to be over, as far as it is known.
    pub(super) fn fence(&self, hangs_on: &[Oid]) -> Option<FullXid> {
        let fence = |since| match since {
            Since::Committed(_) => None,
            Since::Visible(fence) => Some(fence),
        };
        self.of(hangs_on).filter_map(fence).max()
    }

    fn of(&self, hangs_on: &[Oid]) -> impl Iterator<Item = Since> {
        let any = self.any.filter(|_| !hangs_on.is_empty());
        hangs_on.iter().filter_map(|what| self.each.get(what).copied()).chain(any)
    }
}

impl Since {
    fn settled(self, snapshot: &Snapshot) -> Option<Since> {
        let fence = match self {
            Since::Committed(xid) if !snapshot.sees(xid) => return Some(self),
            Since::Committed(_) => snapshot.xmax(),
            Since::Visible(fence) => fence,
        };
        (snapshot.xmin() < fence).then_some(Since::Visible(fence))
    }
}
