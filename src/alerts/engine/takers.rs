//! Who took rows from a table: of several transactions the greatest, and how many others there were, in bounded memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::alerts::alert::Undo;
use crate::alerts::fact::Transaction;

/// A time is divided into so many parts, of each of which only the greatest is kept.
const PARTS: u32 = 32;

/// What one transaction took from a table.
#[derive(Clone, Debug)]
pub(in crate::alerts) struct Cause {
    pub(in crate::alerts) transaction: Arc<Transaction>,
    /// Rows deleted.
    pub(in crate::alerts) deletes: u64,
    /// Times truncated; not those that found the table empty.
    pub(in crate::alerts) truncates: u64,
    /// Rows that were truncated, if that was told.
    pub(in crate::alerts) truncated: Option<u64>,
    /// Whether the rows can be brought back.
    pub(in crate::alerts) undo: Undo,
}

impl Cause {
    /// How many rows it took; `None` when a truncate did not tell.
    pub(in crate::alerts) fn rows(&self) -> Option<u64> {
        Some(self.deletes + self.truncated?)
    }

    /// As many of them as were told.
    pub(in crate::alerts) fn known_rows(&self) -> u64 {
        self.rows().unwrap_or(self.deletes)
    }

    /// Nothing takes more than a truncate that does not tell how much it took: it left no row.
    fn extent(&self) -> (bool, u64) {
        (self.rows().is_none(), self.known_rows())
    }
}

/// Transactions that took rows of the same table.
#[derive(Clone, Debug)]
pub(in crate::alerts) struct Takers {
    /// The one that took the most; of equals, the last.
    pub(in crate::alerts) greatest: Cause,
    /// How many there were beside it.
    pub(in crate::alerts) others: u64,
}

impl Takers {
    /// One by itself.
    pub(super) fn only(cause: Cause) -> Self {
        Self { greatest: cause, others: 0 }
    }

    /// These, and then those.
    fn and(self, later: Self) -> Self {
        let others = self.others + later.others + 1;
        let greatest = if later.greatest.extent() >= self.greatest.extent() { later.greatest } else { self.greatest };
        Self { greatest, others }
    }

    /// Adds those to these, if there are any.
    pub(super) fn join(these: &mut Option<Self>, later: Self) {
        *these = Some(match these.take() {
            Some(these) => these.and(later),
            None => later,
        });
    }
}

/// Those of a time before now, oldest first.
#[derive(Debug, Default)]
pub(super) struct Takings(VecDeque<Part>);

#[derive(Debug)]
struct Part {
    since: Instant,
    until: Instant,
    takers: Takers,
}

impl Takings {
    /// These took rows. What was within the same part of `within` is told as one, and so is what was very long ago.
    pub(super) fn note(&mut self, takers: Takers, now: Instant, within: Duration) {
        let (mut since, mut takers) = (now, takers);
        if self.0.back().is_some_and(|last| now.saturating_duration_since(last.since) < within / PARTS)
            && let Some(last) = self.0.pop_back()
        {
            (since, takers) = (last.since, last.takers.and(takers));
        }
        self.0.push_back(Part { since, until: now, takers });
        if self.0.len() > PARTS as usize + 1
            && let (Some(first), Some(second)) = (self.0.pop_front(), self.0.pop_front())
        {
            self.0.push_front(Part { since: first.since, until: second.until, takers: first.takers.and(second.takers) });
        }
    }

    /// What was before `moment` has nothing to do with what is now.
    pub(super) fn forget_before(&mut self, moment: Instant) {
        while self.0.front().is_some_and(|part| part.until < moment) {
            self.0.pop_front();
        }
    }

    /// What was does not matter any more.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// All of them together.
    pub(super) fn all(&self) -> Option<Takers> {
        self.0.iter().map(|part| part.takers.clone()).reduce(Takers::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(deletes: u64, truncates: u64) -> Takers {
        let (id, lsn, time) = (format!("1-0-{deletes}"), String::new(), String::new());
        let transaction = Arc::new(Transaction { id, xid: 1, lsn, time, actor: None });
        let truncated = (truncates == 0).then_some(0);
        Takers::only(Cause { transaction, deletes, truncates, truncated, undo: Undo { restores: None, reason: None } })
    }

    #[test]
    fn however_many_there_are_little_is_kept_and_the_greatest_is_known() {
        let (mut takings, mut now, within) = (Takings::default(), Instant::now(), Duration::from_secs(60));
        for number in 0..10_000 {
            now += Duration::from_secs(1);
            takings.note(took(if number == 77 { 500 } else { 3 }, 0), now, within);
            assert!(takings.0.len() <= PARTS as usize + 1);
        }
        let all = takings.all().unwrap();
        assert_eq!((all.greatest.deletes, all.others), (500, 9_999));
        // Only the last parts are told apart.
        takings.forget_before(now - Duration::from_secs(10));
        let late = takings.all().unwrap();
        assert_eq!(late.greatest.deletes, 3);
        assert!((10..=12).contains(&(late.others + 1)), "{}", late.others);
        takings.note(took(1, 1), now, within);
        assert_eq!(takings.all().unwrap().greatest.truncates, 1, "nothing takes more than a truncate that does not tell");
    }
}
