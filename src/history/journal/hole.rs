//! Holes: where something is missing in the midst of a journal, because a file is gone, or does not hold any more all that was written to it.
//!
//! ```text
//!   ┌───────┬───────┬ ─ ─      ┌───────┬───────┬───────┐
//!   │ start │ block │ ?        │ start │ block │ …     │    the start says which event came last before it: if that is not the
//!   └───────┴───────┴ ─ ─      └───────┴───────┴───────┘    last that can be read, there is a hole between the two
//! ```
//!
//! Nothing is known of what stood there but where that was. It is looked for like a block: where a question may ask for it, it is missing.
//! What came before the first file is no hole: it is no longer kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::JournalError;
use super::index::Segment;
use super::read::Glimpse;
use super::record::Summary;
use crate::event::Traces;
use crate::lsn::{EventId, Lsn, Place};
use crate::pgoutput::Timestamp;

/// What is missing: events after one, up to another.
#[derive(Debug)]
pub(super) struct Hole {
    dir: PathBuf,
    from: Option<EventId>,
    to: EventId,
    /// As of a block of which nothing else is known.
    summary: Summary,
}

/// What a journal consists of, for those who go through it.
#[derive(Debug)]
pub(super) enum Stretch {
    File(Arc<Segment>),
    Hole(Box<Hole>),
}

impl Stretch {
    /// Files and what is missing between them, as far as they may hold events after the one and before the other; oldest first.
    pub(super) fn between<'a>(
        files: impl Iterator<Item = &'a Arc<Segment>>,
        (after, before): (Option<&EventId>, Option<&EventId>),
    ) -> Vec<Self> {
        let files: Vec<&Arc<Segment>> = files.collect();
        let mut stretches = Vec::new();
        for (nth, file) in files.iter().enumerate() {
            let (earlier, later) = files.split_at_checked(nth).unwrap_or_default();
            let hole = Hole::between(earlier, later).filter(|hole| hole.may_be_between(after, before));
            stretches.extend(hole.map(Box::new).map(Stretch::Hole));
            let ends_after = after.is_none_or(|after| file.last.as_ref().is_some_and(|last| last > after));
            let begins_before = before.is_none_or(|before| file.before.as_ref().is_none_or(|last_before| last_before < before));
            if ends_after && begins_before {
                stretches.push(Stretch::File(Arc::clone(file)));
            }
        }
        stretches
    }
}

impl Hole {
    /// What is missing between these files and those, if anything is.
    pub(super) fn between(earlier: &[&Arc<Segment>], later: &[&Arc<Segment>]) -> Option<Self> {
        let (one, next) = (earlier.last()?, later.first()?);
        let to = next.before.clone().filter(|_| is_between(one, next))?;
        let since = earlier.iter().rev().find_map(|file| file.times).map_or(Timestamp(i64::MIN), |(_, last)| last);
        let until = later.iter().find_map(|file| file.times).map_or(Timestamp(i64::MAX), |(first, _)| first);
        Some(Self::new(&next.path, one.last.clone(), to, (since, until)))
    }

    /// What was in a file that is gone; `None` if nothing was.
    pub(super) fn instead_of(file: &Segment) -> Option<Self> {
        Some(Self::new(&file.path, file.before.clone(), file.last.clone()?, file.times?))
    }

    fn new(beside: &Path, from: Option<EventId>, to: EventId, times: (Timestamp, Timestamp)) -> Self {
        // Whole transactions are missing. What is of several epochs may be anywhere in them.
        let same_epoch = from.as_ref().is_none_or(|from| from.epoch == to.epoch);
        let behind = |from: &EventId| Place { commit_lsn: Lsn(from.place.commit_lsn.0.saturating_add(1)), ordinal: 0 };
        let (first, last) = if same_epoch {
            (from.as_ref().map(behind).unwrap_or_default(), to.place)
        } else {
            (Place::default(), Place { commit_lsn: Lsn(u64::MAX), ordinal: u64::MAX })
        };
        let summary = Summary {
            epoch: to.epoch.clone(),
            first,
            last,
            times,
            events: 0,
            open: false,
            size: 0,
            kinds: Vec::new(),
            tables: Vec::new(),
            traces: Traces::default(),
            counts: Vec::new(),
        };
        let dir = beside.parent().unwrap_or(beside).to_owned();
        Self { dir, from, to, summary }
    }

    /// Whether some of it may have come after the one event, and before the other.
    fn may_be_between(&self, after: Option<&EventId>, before: Option<&EventId>) -> bool {
        // What is there of a transaction is all of it.
        let ends_before = |before: &EventId| {
            self.from.as_ref().is_some_and(|from| {
                before <= from || (before.epoch == from.epoch && before.place.commit_lsn <= from.place.commit_lsn)
            })
        };
        after.is_none_or(|after| *after < self.to) && !before.is_some_and(ends_before)
    }

    /// As a question looks at it.
    pub(super) fn glimpse(&self) -> Glimpse<'_> {
        Glimpse::missing(&self.summary)
    }

    /// What is said to who asks for it.
    pub(super) fn error(self) -> JournalError {
        let Self { dir, from, to, .. } = self;
        JournalError::Missing { dir, from, to: Box::new(to) }
    }
}

/// Whether something is missing between two files.
pub(super) fn is_between(one: &Segment, next: &Segment) -> bool {
    next.before.is_some() && next.before != one.last
}
