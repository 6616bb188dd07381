//! The ledger: one entry a table, moved by the stream, grounded by baselines.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::recent::Recent;
use super::{Effect, Snapshot};
use crate::lsn::{Lsn, Oid, Xid};

/// Effects of recent transactions kept at most; beyond it a baseline whose snapshot reaches too far back is taken again.
const RECENT: usize = 1 << 20;

/// All counts, at the position that the stream has reached.
#[derive(Debug)]
pub struct Ledger {
    entries: FxHashMap<Oid, Entry>,
    recent: Recent,
    /// Tables whose baseline is complete but for the stream to reach it.
    counted: FxHashSet<Oid>,
    position: Lsn,
    /// Exact counts are followed but not shown.
    held: bool,
    /// Counts are told with the changes themselves.
    inline: bool,
    xid: Xid,
    touched: Vec<Touched>,
    /// What the last transaction touched.
    committed: Vec<Touched>,
    impossible: Vec<Oid>,
}

#[derive(Debug, Default)]
struct Entry {
    count: Count,
    totals: Totals,
    /// Its place in [`Ledger::touched`], while a transaction that touches it is being applied.
    touched: Option<usize>,
}

#[derive(Debug, Default)]
enum Count {
    #[default]
    Unknown,
    Asked,
    Counting {
        snapshot: Arc<Snapshot>,
        lsn: Lsn,
        unseen: Effect,
    },
    Counted {
        snapshot: Arc<Snapshot>,
        lsn: Lsn,
        rows: i64,
    },
    Exact(i64),
}

/// What is known of a table's count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was never asked for, or is in doubt.
    Unknown,
    /// A baseline is on its way.
    Counting,
    /// It has this many rows.
    Exact(i64),
}

/// What was done to a table's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows inserted.
    pub inserts: u64,
    /// Rows updated.
    pub updates: u64,
    /// Rows deleted.
    pub deletes: u64,
    /// Times it was truncated.
    pub truncates: u64,
}

impl Totals {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Totals) -> Totals {
        Totals {
            inserts: self.inserts + other.inserts,
            updates: self.updates + other.updates,
            deletes: self.deletes + other.deletes,
            truncates: self.truncates + other.truncates,
        }
    }
}

/// What one transaction did to one table.
#[derive(Clone, Copy, Debug)]
pub struct Touched {
    /// The table.
    pub oid: Oid,
    /// What was done to its rows.
    pub totals: Totals,
    /// Its count after the transaction, when exact.
    pub count: Option<i64>,
    effect: Effect,
}

/// The snapshot of a baseline reaches further back than the transactions that are still known: take it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot of the baseline reaches further back than the transactions still remembered")]
pub struct TooOld;

impl Default for Ledger {
    fn default() -> Self {
        Self::remembering(RECENT)
    }
}

impl Ledger {
    /// An empty ledger that keeps at most `recent` effects of transactions not known to be visible.
    pub fn remembering(recent: usize) -> Self {
        Self {
            entries: FxHashMap::default(),
            recent: Recent::new(recent),
            counted: FxHashSet::default(),
            position: Lsn::ZERO,
            held: false,
            inline: true,
            xid: Xid(0),
            touched: Vec::new(),
            committed: Vec::new(),
            impossible: Vec::new(),
        }
    }

    /// What is known of `oid`'s count.
    pub fn standing(&self, oid: Oid) -> Standing {
        match self.entries.get(&oid).map(|entry| &entry.count) {
            None | Some(Count::Unknown) => Standing::Unknown,
            Some(Count::Asked | Count::Counting { .. } | Count::Counted { .. }) => Standing::Counting,
            Some(Count::Exact(_)) if self.held => Standing::Counting,
            Some(Count::Exact(rows)) => Standing::Exact(*rows),
        }
    }

    /// Its count where the stream is now, when it is certain already.
    pub fn exact(&self, oid: Oid) -> Option<i64> {
        self.entries.get(&oid).filter(|_| self.tells())?.exact()
    }

    /// What was done to `oid` since the ledger began.
    pub fn totals(&self, oid: Oid) -> Totals {
        self.entries.get(&oid).map(|entry| entry.totals).unwrap_or_default()
    }

    /// Where the stream stands.
    pub fn position(&self) -> Lsn {
        self.position
    }

    // ── baselines ───────────────────────────────────────────────────────────────────────────────────────────────────────

    /// A baseline of `oid` is about to be taken: from here on everything its snapshot may not see is kept.
    pub fn ask(&mut self, oid: Oid) {
        self.set(oid, Count::Asked);
    }

    /// The baseline of `oid` runs in `snapshot`, which was taken before the log reached `lsn`.
    pub fn began(&mut self, oid: Oid, snapshot: Snapshot, lsn: Lsn) -> Result<(), TooOld> {
        if !matches!(self.entries.get(&oid), Some(Entry { count: Count::Asked, .. })) {
            return Ok(()); // dropped or doubted meanwhile: its result is of no use either
        }
        let Some(unseen) = self.recent.unseen(oid, &snapshot) else {
            self.set(oid, Count::Unknown);
            return Err(TooOld);
        };
        self.set(oid, Count::Counting { snapshot: Arc::new(snapshot), lsn, unseen });
        Ok(())
    }

    /// The baseline of `oid` found `rows`: exact once [`Self::reached`] passes its position. False when it is of no use any more: ask again.
    pub fn counted(&mut self, oid: Oid, rows: i64) -> bool {
        let Some(Entry { count: Count::Counting { snapshot, lsn, unseen }, .. }) = self.entries.get(&oid) else { return false };
        let (snapshot, lsn, rows) = (Arc::clone(snapshot), *lsn, unseen.on(rows));
        self.set(oid, Count::Counted { snapshot, lsn, rows });
        self.counted.insert(oid);
        true
    }

    /// `oid` has `rows` where the stream stands now: that was known when it was left here.
    pub fn resume(&mut self, oid: Oid, rows: i64) {
        self.set(oid, Count::Exact(rows));
    }

    /// Whatever was known of `oid`'s count is not certain any more.
    pub fn doubt(&mut self, oid: Oid) {
        self.set(oid, Count::Unknown);
    }

    /// It may be that the stream does not carry everything from here on: no count is shown until [`Self::release`], though all are followed.
    pub fn hold(&mut self) {
        self.held = true;
    }

    /// It does, but for tables in doubt.
    pub fn release(&mut self) {
        self.held = false;
    }

    /// Whether counts are held back.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Whether changes and commits come with the count after them. Not where the stream is silent about what it leaves out: there a count
    /// is known to be exact only afterwards.
    pub fn tell_inline(&mut self, inline: bool) {
        self.inline = inline;
    }

    fn tells(&self) -> bool {
        self.inline && !self.held
    }

    /// There is no table `oid` any more.
    pub fn forget(&mut self, oid: Oid) {
        self.entries.remove(&oid);
        self.counted.remove(&oid);
    }

    /// How many effects are kept because a snapshot to come may not see them.
    pub fn recent(&self) -> usize {
        self.recent.len()
    }

    /// Drops what every snapshot from `snapshot` on sees.
    pub fn prune(&mut self, snapshot: &Snapshot) {
        // A baseline that was asked for may have taken its snapshot before this one.
        let asked = |entry: &Entry| matches!(entry.count, Count::Asked);
        let entries = &self.entries;
        self.recent.prune(snapshot, |oid| entries.get(&oid).is_some_and(asked));
        if !entries.values().any(asked) {
            self.recent.forget_dropped(snapshot);
        }
    }

    fn set(&mut self, oid: Oid, count: Count) {
        self.counted.remove(&oid);
        self.entries.entry(oid).or_default().count = count;
    }

    // ── the stream ──────────────────────────────────────────────────────────────────────────────────────────────────────

    /// The changes of the committed transaction `xid` follow; [`Self::commit`] ends it.
    pub fn begin(&mut self, xid: Xid) {
        self.xid = xid;
    }

    /// A row was inserted. Gives the count after it, when exact.
    pub fn insert(&mut self, oid: Oid) -> Option<i64> {
        self.apply(oid, Effect::rows(1), |totals| totals.inserts += 1)
    }

    /// A row was updated.
    pub fn update(&mut self, oid: Oid) -> Option<i64> {
        self.apply(oid, Effect::rows(0), |totals| totals.updates += 1)
    }

    /// A row was deleted.
    pub fn delete(&mut self, oid: Oid) -> Option<i64> {
        self.apply(oid, Effect::rows(-1), |totals| totals.deletes += 1)
    }

    /// The table was emptied. Gives how many rows were lost, when the count was exact.
    pub fn truncate(&mut self, oid: Oid) -> Option<i64> {
        let lost = self.exact(oid);
        self.apply(oid, Effect::set(0), |totals| totals.truncates += 1);
        lost
    }

    pub(super) fn apply(&mut self, oid: Oid, effect: Effect, count: impl FnOnce(&mut Totals)) -> Option<i64> {
        let tells = self.tells();
        let entry = self.entries.entry(oid).or_default();
        let place = *entry.touched.get_or_insert_with(|| {
            self.touched.push(Touched { oid, totals: Totals::default(), count: None, effect: Effect::default() });
            self.touched.len() - 1
        });
        if let Some(touched) = self.touched.get_mut(place) {
            touched.effect = touched.effect.then(effect);
            count(&mut touched.totals);
        }
        match &mut entry.count {
            Count::Exact(rows) => {
                *rows = effect.on(*rows);
                return entry.exact().filter(|_| tells);
            }
            Count::Counting { snapshot, unseen, .. } if !snapshot.sees(self.xid) => *unseen = unseen.then(effect),
            Count::Counted { snapshot, rows, .. } if !snapshot.sees(self.xid) => *rows = effect.on(*rows),
            Count::Unknown | Count::Asked | Count::Counting { .. } | Count::Counted { .. } => {}
        }
        None
    }

    /// The transaction is complete. Gives what it touched, in the order of first touch; [`Self::reached`] follows.
    pub fn commit(&mut self) -> &[Touched] {
        let (mut touched, tells) = (std::mem::take(&mut self.touched), self.tells());
        for Touched { oid, totals, count, effect } in &mut touched {
            if let Some(entry) = self.entries.get_mut(oid) {
                entry.totals = entry.totals.and(*totals);
                entry.touched = None;
                if matches!(entry.count, Count::Exact(rows) if rows < 0) {
                    entry.count = Count::Unknown;
                    self.impossible.push(*oid);
                }
                *count = entry.exact().filter(|_| tells);
            }
            if *effect != Effect::default() {
                self.recent.push(self.xid, *oid, *effect);
            }
        }
        std::mem::swap(&mut self.committed, &mut touched);
        touched.clear();
        self.touched = touched;
        &self.committed
    }

    /// Everything that was committed before `lsn` has been applied. Gives the tables whose count became exact by that.
    pub fn reached(&mut self, lsn: Lsn) -> Vec<Oid> {
        self.position = self.position.max(lsn);
        let (position, entries, impossible) = (self.position, &mut self.entries, &mut self.impossible);
        let mut exact = Vec::new();
        self.counted.retain(|oid| {
            let Some(entry) = entries.get_mut(oid) else { return false };
            let Count::Counted { lsn, rows, .. } = entry.count else { return false };
            if lsn > position {
                return true;
            }
            if rows < 0 {
                entry.count = Count::Unknown;
                impossible.push(*oid);
            } else {
                entry.count = Count::Exact(rows);
                exact.push(*oid);
            }
            false
        });
        exact
    }

    /// The tables whose count fell below zero since this was last asked. Something about them was missed; they are in doubt now.
    pub fn take_impossible(&mut self) -> Vec<Oid> {
        std::mem::take(&mut self.impossible)
    }
}

impl Entry {
    fn exact(&self) -> Option<i64> {
        match self.count {
            // Below zero within a transaction: [`Ledger::commit`] will say so.
            Count::Exact(rows) if rows >= 0 => Some(rows),
            _ => None,
        }
    }
}
