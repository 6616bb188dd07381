//! What a streamed transaction has done so far, counted as its messages come.
//!
//! By sub-transaction, since each may yet be rolled back on its own. A transaction of very many of them is counted as a whole, and then
//! said to have done what it has *at most* done.

use rustc_hash::FxHashMap;

use crate::lsn::{Oid, Xid};
use crate::pgoutput::{self, Context, Message, Tag};

/// Sub-transactions that are counted apart.
const APART: usize = 1 << 12;

/// What was done to a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Rows inserted.
    pub inserts: u64,
    /// Rows updated.
    pub updates: u64,
    /// Rows deleted.
    pub deletes: u64,
    /// Times truncated.
    pub truncates: u64,
}

/// What a transaction has done so far.
#[derive(Debug, Default)]
pub struct Tally {
    done: FxHashMap<Xid, FxHashMap<Oid, Done>>,
    whole: bool,
}

impl Tally {
    /// Adds a message that came within a block of the stream.
    pub(super) fn add(&mut self, tag: Tag, subxid: Xid, bytes: &[u8]) {
        // Behind the tag and the sub-transaction stands the table.
        let table = bytes.get(5..).and_then(|rest| rest.first_chunk()).map(|oid| Oid(u32::from_be_bytes(*oid)));
        match (tag, table) {
            (Tag::Insert, Some(oid)) => self.of(subxid, oid).inserts += 1,
            (Tag::Update, Some(oid)) => self.of(subxid, oid).updates += 1,
            (Tag::Delete, Some(oid)) => self.of(subxid, oid).deletes += 1,
            (Tag::Truncate, _) => {
                if let Ok(Message::Truncate(truncate)) = pgoutput::decode(bytes, Context::InStream) {
                    truncate.oids.iter().for_each(|oid| self.of(subxid, oid).truncates += 1);
                }
            }
            _ => {}
        }
    }

    fn of(&mut self, subxid: Xid, oid: Oid) -> &mut Done {
        if self.done.len() > APART {
            self.whole = true;
            self.done = [(Xid::default(), self.tables())].into_iter().collect();
        }
        let subxid = if self.whole { Xid::default() } else { subxid };
        self.done.entry(subxid).or_default().entry(oid).or_default()
    }

    pub(super) fn roll_back(&mut self, subxid: Xid) {
        self.done.remove(&subxid);
    }

    /// What was done to each table.
    pub fn tables(&self) -> FxHashMap<Oid, Done> {
        let mut tables = FxHashMap::<Oid, Done>::default();
        for (oid, done) in self.done.values().flatten() {
            tables.entry(*oid).or_default().add(*done);
        }
        tables
    }

    /// Whether all that was rolled back is left out.
    pub fn is_exact(&self) -> bool {
        !self.whole
    }
}

impl Done {
    fn add(&mut self, other: Done) {
        self.inserts += other.inserts;
        self.updates += other.updates;
        self.deletes += other.deletes;
        self.truncates += other.truncates;
    }

    /// Rows changed, and tables truncated.
    pub fn changes(&self) -> u64 {
        self.inserts + self.updates + self.deletes + self.truncates
    }
}
