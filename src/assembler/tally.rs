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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pgoutput::encode::{OidsBuf, TupleBuf, encode};
    use crate::pgoutput::{Delete, Insert, Old, Truncate, Update};

    /// A message of a sub-transaction, about a table.
    fn message(tag: Tag, subxid: Xid, oid: Oid) -> Vec<u8> {
        let row = TupleBuf::from_iter([]);
        let (xid, row, oids) = (Some(subxid), row.as_tuple(), OidsBuf::from_iter([oid]));
        encode(&match tag {
            Tag::Insert => Message::Insert(Insert { xid, oid, new: row }),
            Tag::Update => Message::Update(Update { xid, oid, old: None, new: row }),
            Tag::Delete => Message::Delete(Delete { xid, oid, old: Old::Key(row) }),
            _ => Message::Truncate(Truncate { xid, cascade: false, restart_identity: false, oids: oids.as_oids() }),
        })
    }

    proptest! {
        #[test]
        fn what_was_rolled_back_was_never_done(
            messages in prop::collection::vec((0..4_usize, 1..9_u32, 1..4_u32), 0..60),
            rolled_back in prop::collection::btree_set(1..9_u32, 0..5),
        ) {
            let tags = [Tag::Insert, Tag::Update, Tag::Delete, Tag::Truncate];
            let (mut tally, mut expected) = (Tally::default(), FxHashMap::<Oid, [u64; 4]>::default());
            for (tag, subxid, oid) in messages {
                tally.add(tags[tag], Xid(subxid), &message(tags[tag], Xid(subxid), Oid(oid)));
                if !rolled_back.contains(&subxid) {
                    expected.entry(Oid(oid)).or_default()[tag] += 1;
                }
            }
            rolled_back.into_iter().for_each(|subxid| tally.roll_back(Xid(subxid)));
            let done = |done: Done| [done.inserts, done.updates, done.deletes, done.truncates];
            let found: FxHashMap<Oid, [u64; 4]> = tally.tables().into_iter().map(|(oid, of)| (oid, done(of))).collect();
            prop_assert_eq!(found, expected);
            prop_assert!(tally.is_exact());
        }
    }

    #[test]
    fn very_many_sub_transactions_are_counted_together_and_it_is_said() {
        let mut tally = Tally::default();
        let most = u32::try_from(APART).unwrap() * 3;
        for subxid in 1..=most {
            tally.add(Tag::Delete, Xid(subxid), &message(Tag::Delete, Xid(subxid), Oid(7)));
        }
        tally.roll_back(Xid(most));
        assert!(!tally.is_exact() && tally.done.len() == 1);
        assert_eq!(tally.tables()[&Oid(7)].deletes, u64::from(most));
    }
}
