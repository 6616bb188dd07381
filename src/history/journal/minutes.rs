//! Counts over time: how many rows each table had at the end of each minute in which that changed.
//!
//! What commits say is put down under their own time, by the server's clock, whenever they are recorded: what happened while nobody watched
//! stands where it happened. What they do not say is put down under our time: that a table was counted, when that was recorded; that its count
//! came into doubt, when it was recorded last that it was not.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::record::{State, Summary, TableState};
use crate::event::time::from_unix_micros;
use crate::lsn::Oid;
use crate::pgoutput::Timestamp;

/// A minute, in so many of them since 2000, as PostgreSQL counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Minute(pub i64);

const MICROS: i64 = 60_000_000;

impl Minute {
    /// The minute that this time lies in.
    pub fn of(time: Timestamp) -> Self {
        Self(time.0.div_euclid(MICROS))
    }

    /// The same of a time in microseconds since 1970.
    pub fn of_unix(time: i64) -> Self {
        Self::of(from_unix_micros(time))
    }

    /// When it begins.
    pub fn begins(self) -> Timestamp {
        Timestamp(self.0.saturating_mul(MICROS))
    }
}

/// Of a file: minutes in which something became of a count, by table. Behind each it is what it was before.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Minutes {
    of: BTreeMap<(Oid, Minute), Option<i64>>,
    /// What was put down last.
    #[serde(skip)]
    latest: FxHashMap<Oid, Option<i64>>,
}

/// What stands in the file is all that counts.
impl PartialEq for Minutes {
    fn eq(&self, other: &Self) -> bool {
        self.of == other.of
    }
}

impl Minutes {
    /// At the beginning of a file, where the tables have this.
    pub(super) fn from(tables: &[TableState]) -> Self {
        Self { of: BTreeMap::new(), latest: tables.iter().map(|table| (table.oid, table.count)).collect() }
    }

    /// A commit tells this of a table.
    pub(super) fn told(&mut self, oid: Oid, minute: Minute, count: Option<i64>) {
        self.of.insert((oid, minute), count);
        self.latest.insert(oid, count);
    }

    /// A commit of the journal: behind these blocks the stream stands where `now` says, with what is new of the tables, and some are gone.
    pub(super) fn committed<'a>(
        &mut self,
        before: &State,
        blocks: impl IntoIterator<Item = &'a Summary>,
        now: &State,
        gone: &[Oid],
    ) {
        for (oid, minute, count) in blocks.into_iter().flat_map(|block| &block.counts) {
            if count.is_some() || now.told_by.is_some() {
                self.told(*oid, *minute, *count);
            }
        }
        let states = now.tables.iter().map(|table| (table.oid, table.count));
        for (oid, count) in states.chain(gone.iter().map(|oid| (*oid, None))) {
            if self.latest.get(&oid).copied().flatten() != count {
                // What is not known any more is not known since it was said last.
                let since = if count.is_none() { before.time } else { now.time };
                self.told(oid, Minute::of_unix(since), count);
            }
        }
    }

    /// Of one table, in order.
    pub(super) fn of(&self, oid: Oid) -> impl Iterator<Item = (Minute, Option<i64>)> + '_ {
        self.of.range((oid, Minute(i64::MIN))..=(oid, Minute(i64::MAX))).map(|((_, minute), count)| (*minute, *count))
    }

    /// Of all tables.
    pub(super) fn all(&self) -> impl Iterator<Item = (Oid, Minute, Option<i64>)> + '_ {
        self.of.iter().map(|((oid, minute), count)| (*oid, *minute, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::time::unix_micros;
    use crate::lsn::{Epoch, Lsn};

    fn state(epoch: u64, minute: i64, tables: &[(u32, Option<i64>)]) -> State {
        let table = |(oid, count): &(u32, Option<i64>)| {
            let named = TableState::named(Oid(*oid), "public".to_owned(), format!("t{oid}"), Lsn(1));
            TableState { count: *count, ..named }
        };
        let time = unix_micros(Minute(minute).begins());
        let tables = tables.iter().map(table).collect();
        State { epoch: Some(Epoch::at_millis(epoch)), position: Lsn(1), timeline: 1, time, told_by: Some(1), tables }
    }

    fn of(minutes: &Minutes, oid: u32) -> Vec<(i64, Option<i64>)> {
        minutes.of(Oid(oid)).map(|(minute, count)| (minute.0, count)).collect()
    }

    #[test]
    fn what_commits_say_stands_where_it_happened() {
        let mut minutes = Minutes::from(&state(1, 0, &[(7, Some(22))]).tables);
        minutes.told(Oid(7), Minute(10), Some(21));
        minutes.told(Oid(7), Minute(10), Some(0));
        // Recorded an hour later, and nothing that is new.
        minutes.committed(&state(1, 9, &[]), [], &state(1, 70, &[(7, Some(0)), (8, Some(5))]), &[]);
        assert_eq!(of(&minutes, 7), [(10, Some(0))]);
        assert_eq!(of(&minutes, 8), [(70, Some(5))]);
    }

    #[test]
    fn what_is_not_known_any_more_is_not_known_since_it_was_said_last() {
        let mut minutes = Minutes::from(&state(1, 0, &[(7, Some(22))]).tables);
        minutes.committed(&state(1, 9, &[]), [], &state(2, 70, &[(7, None)]), &[]);
        minutes.committed(&state(2, 70, &[]), [], &state(2, 71, &[(7, Some(25))]), &[]);
        assert_eq!(of(&minutes, 7), [(9, None), (71, Some(25))]);
        minutes.committed(&state(2, 71, &[]), [], &state(2, 80, &[]), &[Oid(7), Oid(8)]);
        assert_eq!(of(&minutes, 7), [(9, None), (71, None)]);
    }
}
