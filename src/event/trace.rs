//! Traces: what is remembered of the values in a block, so that a question about one of them passes by the blocks that cannot answer it.
//!
//! A [`Trace`] is the hash of one thing that may be asked for: the value of a column of a key. [`Traces`] is a set of them, a Bloom filter: it
//! may hold what was not put into it, and then a block is read in vain; it always holds what was. It stands in files, so its
//! bits are part of their format.

use serde::{Deserialize, Serialize};

use crate::lsn::Xid;

/// Bits for each thing in a set, and how many of them it sets: then one block in a hundred is read in vain.
const BITS: usize = 10;
const PROBES: u32 = 6;

/// The hash of one thing that events can be asked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Trace(u32);

impl Trace {
    /// A row that has this in its key: a column and its value, as they stand in JSON (`"id":7`).
    pub fn key(member: &[u8]) -> Self {
        Self::of(1, member)
    }

    /// A transaction.
    pub fn xid(xid: Xid) -> Self {
        Self::of(2, &xid.0.to_le_bytes())
    }

    /// One of the names of who did something.
    pub fn actor(name: &str) -> Self {
        Self::of(3, name.as_bytes())
    }

    fn of(kind: u32, bytes: &[u8]) -> Self {
        let mut hasher = crc32fast::Hasher::new_with_initial(kind);
        hasher.update(bytes);
        Self(hasher.finalize())
    }

    /// The bits that it sets in a set of so many.
    fn bits(self, of: usize) -> impl Iterator<Item = usize> {
        // A checksum is linear: what differs little is mixed, and the second half is the step.
        let mixed = u64::from(self.0).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let [s0, s1, s2, s3, t0, t1, t2, t3] = mixed.to_be_bytes();
        let (start, step) = (u32::from_be_bytes([s0, s1, s2, s3]), u32::from_be_bytes([t0, t1, t2, t3]) | 1);
        let bits = u64::try_from(of).unwrap_or(u64::MAX).max(1);
        let bit = move |probe: u32| u64::from(start.wrapping_add(probe.wrapping_mul(step))) % bits;
        (0..PROBES).map(bit).filter_map(|bit| usize::try_from(bit).ok())
    }
}

/// A set of traces. The default knows nothing, and so may hold everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traces(Box<[u8]>);

impl Traces {
    /// The set of these.
    pub fn of(mut traces: Vec<Trace>) -> Self {
        traces.sort_unstable();
        traces.dedup();
        let mut bytes = vec![0_u8; (traces.len() * BITS).div_ceil(8).max(1)];
        let bits = bytes.len() * 8;
        for bit in traces.into_iter().flat_map(|trace| trace.bits(bits)) {
            bytes.get_mut(bit / 8).into_iter().for_each(|byte| *byte |= 1 << (bit % 8));
        }
        Self(bytes.into())
    }

    /// Whether it may be in the set; never false of what is.
    pub fn may_hold(&self, trace: Trace) -> bool {
        let is_set = |bit: usize| self.0.get(bit / 8).is_none_or(|byte| byte >> (bit % 8) & 1 == 1);
        self.0.is_empty() || trace.bits(self.0.len() * 8).all(is_set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_put_in_is_held(keys in prop::collection::vec("[a-z0-9]{0,6}", 0..200)) {
            let traces: Vec<_> = keys.iter().map(|key| Trace::key(key.as_bytes())).collect();
            let set = Traces::of(traces.clone());
            prop_assert!(traces.into_iter().all(|trace| set.may_hold(trace)));
        }
    }

    #[test]
    fn what_was_not_is_mostly_passed_by() {
        let key = |number: u32| Trace::key(format!("\"id\":{number}").as_bytes());
        let set = Traces::of((0..1_000).map(key).collect());
        let in_vain = (1_000..101_000).filter(|number| set.may_hold(key(*number))).count();
        assert!(in_vain < 4_000, "{in_vain} of 100,000");
        assert!(!Traces::of(Vec::new()).may_hold(key(1)), "an empty block holds nothing");
        assert!(Traces::default().may_hold(key(1)), "of one that nothing is known of, nobody can tell");
    }

    #[test]
    fn the_bits_are_those_that_stand_in_files() {
        let set = Traces::of(vec![Trace::key(b"\"id\":7"), Trace::xid(Xid(771)), Trace::actor("ann")]);
        assert_eq!(*set.0, [222, 52, 194, 193]);
    }
}
