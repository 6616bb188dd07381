//! What a transaction sees: `pg_snapshot`, and whether the transactions of the stream are visible in it.

use std::fmt;
use std::str::FromStr;

use crate::lsn::{ParseIdError, Xid};

/// A transaction id that never wraps around: PostgreSQL's `xid8`, whose lower half is the [`Xid`] of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullXid(pub u64);

impl FullXid {
    /// The lower half, as the stream and `pg_stat_activity` name the transaction.
    pub fn xid(self) -> Xid {
        Xid((self.0 & 0xFFFF_FFFF) as u32)
    }

    /// The id after this one.
    pub fn next(self) -> FullXid {
        FullXid(self.0.saturating_add(1))
    }

    /// The id that ends in `xid` and lies closest to this one. Transactions that a server still tells apart are never further than 2³¹
    /// apart, so for a stream and a snapshot of one server it is the right one.
    pub fn closest(self, xid: Xid) -> FullXid {
        let ahead = xid.0.wrapping_sub(self.xid().0).cast_signed();
        FullXid(self.0.wrapping_add_signed(i64::from(ahead)))
    }
}

impl FromStr for FullXid {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        number(text).ok_or_else(|| ParseIdError {
            text: text.to_owned(),
            expected: "a transaction id with its epoch, such as 4294968067",
        })
    }
}

impl fmt::Display for FullXid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which transactions are visible: all below `xmin`, none from `xmax` on, and in between those not in progress.
///
/// Read from the text form of `pg_snapshot`, `xmin:xmax:xip,xip,…`:
/// <https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT-PARTS>. It lists top-level transactions only,
/// prepared ones among them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Snapshot {
    xmin: FullXid,
    xmax: FullXid,
    in_progress: Box<[FullXid]>,
}

impl Snapshot {
    /// Every transaction below this one is over.
    pub fn xmin(&self) -> FullXid {
        self.xmin
    }

    /// No transaction from this one on had completed.
    pub fn xmax(&self) -> FullXid {
        self.xmax
    }

    /// Whether the *committed* top-level transaction `xid` is visible.
    pub fn sees(&self, xid: Xid) -> bool {
        let full = self.xmax.closest(xid);
        full < self.xmin || (full < self.xmax && self.in_progress.binary_search(&full).is_err())
    }

    /// Whether `xid` and every transaction older than it are visible, as far as they committed.
    pub fn sees_all_up_to(&self, xid: Xid) -> bool {
        self.xmax.closest(xid) < self.xmin
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (place, xid) in self.in_progress.iter().enumerate() {
            write!(f, "{}{xid}", if place == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// A text that is not a `pg_snapshot`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a snapshot such as 10:20:10,14,15")]
pub struct ParseSnapshotError {
    /// What was given.
    pub text: String,
}

impl FromStr for Snapshot {
    type Err = ParseSnapshotError;

    fn from_str(text: &str) -> Result<Self, ParseSnapshotError> {
        let parse = || {
            let mut parts = text.split(':');
            let (xmin, xmax, list) = (number(parts.next()?)?, number(parts.next()?)?, parts.next()?);
            let in_progress: Box<[FullXid]> = match list {
                "" => Box::default(),
                list => list.split(',').map(number).collect::<Option<_>>()?,
            };
            let within = in_progress.iter().all(|xid| (xmin..xmax).contains(xid));
            let valid = xmin <= xmax && within && in_progress.is_sorted_by(|a, b| a < b) && parts.next().is_none();
            valid.then_some(Snapshot { xmin, xmax, in_progress })
        };
        parse().ok_or_else(|| ParseSnapshotError { text: text.to_owned() })
    }
}

fn number(digits: &str) -> Option<FullXid> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten().map(FullXid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_snapshot() -> impl Strategy<Value = Snapshot> {
        // Close to a wrap-around of the lower half, and anywhere.
        let xmin = prop_oneof![(3_u64..9).prop_flat_map(|e| (e << 32) - 20..(e << 32) + 20), (1_u64 << 32)..1 << 60];
        (xmin, proptest::collection::btree_set(0_u64..30, 0..6), 0_u64..5).prop_map(|(xmin, in_progress, more)| {
            let in_progress: Box<[FullXid]> = in_progress.into_iter().map(|offset| FullXid(xmin + offset)).collect();
            let xmax = in_progress.last().map_or(xmin, |xid| xid.0 + 1) + more;
            Snapshot { xmin: FullXid(xmin), xmax: FullXid(xmax), in_progress }
        })
    }

    proptest! {
        #[test]
        fn prints_and_parses(snapshot in any_snapshot()) {
            prop_assert_eq!(snapshot.to_string().parse(), Ok(snapshot));
        }

        #[test]
        fn the_lower_half_tells_as_much_as_the_whole_id(snapshot in any_snapshot(), offset in -(1_i64 << 30)..1 << 30) {
            let full = FullXid(snapshot.xmax.0.wrapping_add_signed(offset));
            let visible = full < snapshot.xmax && !snapshot.in_progress.contains(&full);
            prop_assert_eq!(snapshot.sees(full.xid()), visible);
            prop_assert_eq!(snapshot.sees_all_up_to(full.xid()), full < snapshot.xmin);
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "[0-9:, +-]{0,24}") {
            let _ = text.parse::<Snapshot>();
        }
    }

    #[test]
    fn sees_what_was_complete() {
        let snapshot: Snapshot = "10:20:10,14,15".parse().unwrap();
        let seen: Vec<u32> = (3..25).filter(|xid| snapshot.sees(Xid(*xid))).collect();
        assert_eq!(seen, [3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16, 17, 18, 19]);
        assert!(snapshot.sees_all_up_to(Xid(9)) && !snapshot.sees_all_up_to(Xid(10)) && !snapshot.sees_all_up_to(Xid(11)));
    }

    #[test]
    fn ids_wrap_around() {
        let snapshot: Snapshot = "8589934590:8589934600:8589934595".parse().unwrap(); // 2³³ − 2, 2³³ + 8, 2³³ + 3
        assert!(snapshot.sees(Xid(u32::MAX - 5)) && snapshot.sees(Xid(u32::MAX)) && snapshot.sees(Xid(4)));
        assert!(!snapshot.sees(Xid(3)) && !snapshot.sees(Xid(8)) && !snapshot.sees(Xid(1000)));
    }

    #[test]
    fn malformed_snapshots_are_refused() {
        for text in
            ["", "1", "1:2", "1:2:3:", "2:1:", "1:9:10", "1:9:0", "1:9:3,3", "1:9:4,3", "1:9:,", "+1:2:", "a:b:c", "1:9:3,"]
        {
            assert!(text.parse::<Snapshot>().is_err(), "{text}");
        }
    }
}
