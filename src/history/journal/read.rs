//! The end that everybody reads: finds places by event, and shows blocks.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::error::JournalError;
use super::hole::{Hole, Stretch};
use super::index::{Segment, Segments};
use super::record::{Index, Summary};
use super::search::Search;
use super::segment::{self, Contents};
use crate::event::filter::Filter;
use crate::event::time::from_unix_micros;
use crate::event::{Block, Kind, Trace};
use crate::history::query::Order;
use crate::lsn::{Epoch, EventId, Place, Xid};
use crate::pgoutput::Timestamp;

/// A journal, for those who read. Cheap to clone. It blocks on the disk.
#[derive(Clone, Debug)]
pub struct Archive {
    segments: Arc<RwLock<Segments>>,
}

/// What is kept after an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    /// All that came after it, as far as it is written.
    Kept,
    /// What came after this later event; before that something is no longer kept.
    Lost(EventId),
    /// Nothing is known of its epoch.
    Unknown,
}

/// What comes next after an event.
#[derive(Debug)]
pub enum Next<'a> {
    /// A block that was wanted.
    Block(Block),
    /// One that was not, and was not read.
    PassedBy(Glimpse<'a>),
}

/// What is known of a block before it is read: enough to pass by it.
#[derive(Clone, Copy, Debug)]
pub struct Glimpse<'a> {
    summary: &'a Summary,
    /// Of its file, and its place in the index there; nothing, where that is missing.
    found: Option<(&'a Search<'a>, usize)>,
}

impl<'a> Glimpse<'a> {
    /// Of what is missing: it may have been anything.
    pub(super) fn missing(summary: &'a Summary) -> Self {
        Self { summary, found: None }
    }

    /// Nothing is there to be read, but something was.
    pub fn is_missing(&self) -> bool {
        self.found.is_none()
    }

    /// Its epoch.
    pub fn epoch(&self) -> &Epoch {
        &self.summary.epoch
    }

    /// The places of its first and its last event.
    pub fn places(&self) -> (Place, Place) {
        (self.summary.first, self.summary.last)
    }

    /// Its first event.
    pub fn first(&self) -> EventId {
        self.summary.id(self.summary.first)
    }

    /// Its last event.
    pub fn last(&self) -> EventId {
        self.summary.id(self.summary.last)
    }

    /// Whether an event of this kind is in it.
    pub fn holds(&self, kind: Kind) -> bool {
        self.is_missing() || self.summary.kinds.contains(&kind)
    }

    /// Between which times its transactions were committed, by the server's clock.
    pub fn times(&self) -> (Timestamp, Timestamp) {
        self.summary.times
    }

    /// How many events are in it.
    pub fn events(&self) -> u32 {
        self.summary.events
    }

    /// Whether it may hold something of this transaction.
    pub fn may_be_of(&self, xid: Xid) -> bool {
        self.summary.traces.may_hold(Trace::xid(xid))
    }

    /// Whether something in it may pass a filter.
    pub fn may_pass(&self, filter: &Filter) -> bool {
        let Some((search, nth)) = self.found else { return true };
        let Summary { kinds, tables, traces, .. } = self.summary;
        let tables = tables.iter().map(|(table, operations)| (table, *operations));
        filter.may_pass(kinds, tables, traces, || search.may_hold(nth, filter))
    }
}

impl Archive {
    pub(super) fn new(segments: Arc<RwLock<Segments>>) -> Self {
        Self { segments }
    }

    pub(super) fn segments(&self) -> RwLockReadGuard<'_, Segments> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything after this event is kept; `None` if that is everything there ever was.
    pub fn floor(&self) -> Option<EventId> {
        self.segments().all.front()?.before.clone()
    }

    /// The last event.
    pub fn last(&self) -> Option<EventId> {
        self.segments().all.back()?.last.clone()
    }

    /// Bytes on disk, and events in them.
    pub fn size(&self) -> (u64, u64) {
        let segments = self.segments();
        segments.all.iter().fold((0, 0), |(bytes, events), segment| (bytes + segment.bytes, events + segment.events))
    }

    /// Whether all that came after `id` is kept.
    pub fn locate(&self, id: &EventId) -> Located {
        let segments = self.segments();
        let floor = segments.all.front().and_then(|first| first.before.as_ref());
        match floor {
            Some(floor) if id.epoch == floor.epoch && id.place >= floor.place => Located::Kept,
            Some(floor) if id < floor => Located::Lost(floor.clone()),
            _ if segments.all.iter().any(|segment| segment.epochs.contains(&id.epoch)) => Located::Kept,
            _ => Located::Unknown,
        }
    }

    /// Whether anything came after `id` in its epoch.
    pub fn holds(&self, id: &EventId) -> bool {
        let segments = self.segments();
        segments
            .all
            .iter()
            .any(|segment| segment.epochs.contains(&id.epoch) && segment.last.as_ref().is_some_and(|last| last > id))
    }

    /// The first event that is kept.
    pub fn first(&self) -> Option<EventId> {
        self.beginning().map(|(first, _)| first)
    }

    /// When the first transaction that is kept was committed; where all that ever was is gone, since when there is none.
    pub fn begins(&self) -> Option<Timestamp> {
        let first = self.beginning().map(|(_, time)| time);
        let since = || self.segments().all.front().filter(|first| first.before.is_some()).map(|first| first.begins.1);
        first.or_else(|| since().map(from_unix_micros))
    }

    /// When the last transaction was committed.
    pub fn ends(&self) -> Option<Timestamp> {
        self.segments().all.iter().rev().find_map(|segment| segment.times).map(|(_, last)| last)
    }

    fn beginning(&self) -> Option<(EventId, Timestamp)> {
        self.segments().all.iter().find_map(|segment| segment.first.clone())
    }

    /// The index of a file, from memory or from its end. The disk is read while nobody else waits for that.
    pub(super) fn index(&self, segment: &Segment) -> Result<Arc<Index>, JournalError> {
        let held = self.segments().held(segment.number);
        if let Some(index) = held {
            return Ok(index);
        }
        let index = Arc::new(match segment::glance(&segment.path)? {
            Some((_, index, ..)) => index,
            None => Self::scanned(segment)?.index,
        });
        self.segments().hold(segment.number, Arc::clone(&index));
        Ok(index)
    }

    /// What is in a complete file whose end cannot be read.
    pub(super) fn scanned(segment: &Segment) -> Result<Contents, JournalError> {
        let found = segment::scan(&segment.path, |_| Ok(()))?;
        if found.last >= segment.last {
            return Ok(found);
        }
        let (offset, reason) = found.fault.unwrap_or((found.length, "it ends before what was written to it"));
        Err(JournalError::Damaged { path: segment.path.clone(), offset, reason })
    }

    /// Whether a file that is not there should be: one before it is, so that it did not go because it is no longer kept.
    pub(super) fn should_be_there(&self, gone: &Segment) -> bool {
        self.segments().all.iter().any(|segment| segment.number < gone.number && segment.path.exists())
    }

    /// Shows `visit` the blocks that hold events after `after` and before `before`, oldest first, until it has seen enough, or to where
    /// something is missing. Blocks that are not `wanted` are not read. Gives the last event that is missing, if that is what comes next.
    ///
    /// # Errors
    /// A file could not be read, though it may be another time.
    pub fn follow(
        &self,
        (after, before): (Option<&EventId>, Option<&EventId>),
        wanted: impl Fn(&Glimpse<'_>) -> bool,
        mut visit: impl FnMut(Next<'_>) -> bool,
    ) -> Result<Option<EventId>, JournalError> {
        let segments: Vec<Arc<Segment>> = self.segments().all.iter().cloned().collect();
        let (mut came_past, mut shown) = (after.cloned(), false);
        for segment in segments.iter().filter(|segment| after.is_none_or(|after| segment.last.as_ref() > Some(after))) {
            if segment.before > came_past {
                // A file that stood between is not there any more.
                return Ok(segment.before.clone().filter(|_| !shown));
            }
            let lost = |error: JournalError, to: Option<EventId>, shown: bool| match error {
                error if !error.is_gone() && !matches!(error, JournalError::Damaged { .. }) => Err(error),
                _ if shown => Ok(None),
                error => {
                    tracing::error!("{error}: what it held is missing");
                    Ok(to)
                }
            };
            let index = match self.index(segment) {
                Ok(index) => index,
                Err(error) => return lost(error, segment.last.clone(), shown),
            };
            let from = after.map_or(0, |after| index.blocks.partition_point(|(_, _, block)| block.id(block.last) <= *after));
            let search = &Search::new(self, segment, &index);
            for (nth, (place, length, summary)) in index.blocks.iter().enumerate().skip(from) {
                if before.is_some_and(|before| summary.id(summary.first) >= *before) {
                    return Ok(None);
                }
                let glimpse = Glimpse { summary, found: Some((search, nth)) };
                let next = if wanted(&glimpse) {
                    segment::block(&segment.path, segment.format, *place, *length).map(Next::Block)
                } else {
                    Ok(Next::PassedBy(glimpse))
                };
                match next {
                    Ok(next) => {
                        shown = true;
                        if !visit(next) {
                            return Ok(None);
                        }
                    }
                    Err(error) => return lost(error, Some(summary.id(summary.last)), shown),
                }
            }
            came_past.clone_from(&segment.last);
        }
        Ok(None)
    }

    /// Shows `visit` the blocks that hold events after `after` and before `before`, in the given order, until it has seen enough (and says
    /// so by `false`). Blocks that it does not `want` are not read. An event of such a block may lie outside.
    ///
    /// What is missing is asked for like a block; where it is wanted that is an error, once all that is there was shown.
    ///
    /// # Errors
    /// A file could not be read, or does not hold what it should: what comes behind that is not shown. Or something that is wanted is missing.
    /// That an oldest file goes meanwhile is no error: what it held is no longer kept.
    pub fn visit(
        &self,
        (after, before): (Option<&EventId>, Option<&EventId>),
        order: Order,
        mut wants: impl FnMut(Glimpse<'_>) -> bool,
        mut visit: impl FnMut(Block) -> bool,
    ) -> Result<(), JournalError> {
        // Files that are made meanwhile hold what came later.
        let mut stretches = Stretch::between(self.segments().all.iter(), (after, before));
        if order == Order::NewestFirst {
            stretches.reverse();
        }
        let mut missing = None;
        for stretch in stretches {
            let hole = match stretch {
                Stretch::Hole(hole) => Some(*hole),
                Stretch::File(segment) => match self.visit_segment(&segment, (after, before), order, &mut wants, &mut visit) {
                    Err(error) if error.is_gone() => Hole::instead_of(&segment).filter(|_| self.should_be_there(&segment)),
                    Ok(true) => None,
                    Ok(false) => break,
                    Err(error) => return Err(error),
                },
            };
            if let Some(hole) = hole.filter(|hole| wants(hole.glimpse())) {
                missing.get_or_insert(hole);
            }
        }
        missing.map_or(Ok(()), |hole| Err(hole.error()))
    }

    /// The same of one file; false once `visit` has seen enough. That the file is gone is an error like any other.
    pub(super) fn visit_segment(
        &self,
        segment: &Segment,
        (after, before): (Option<&EventId>, Option<&EventId>),
        order: Order,
        wants: &mut impl FnMut(Glimpse<'_>) -> bool,
        visit: &mut impl FnMut(Block) -> bool,
    ) -> Result<bool, JournalError> {
        let index = self.index(segment)?;
        let from = after.map_or(0, |after| index.blocks.partition_point(|(_, _, block)| block.id(block.last) <= *after));
        let begins_before = |before: &EventId| index.blocks.partition_point(|(_, _, block)| block.id(block.first) < *before);
        let until = before.map_or(index.blocks.len(), begins_before);
        let search = &Search::new(self, segment, &index);
        let mut show = |(nth, (place, length, summary)): (usize, &(u64, u32, Summary))| {
            if wants(Glimpse { summary, found: Some((search, nth)) }) {
                segment::block(&segment.path, segment.format, *place, *length).map(&mut *visit)
            } else {
                Ok(true)
            }
        };
        let mut goes_on = Ok(true);
        let mut step = |block| {
            goes_on = show(block);
            matches!(goes_on, Ok(true))
        };
        let mut blocks = index.blocks.iter().enumerate().take(until).skip(from);
        match order {
            Order::OldestFirst => blocks.all(&mut step),
            Order::NewestFirst => blocks.rev().all(&mut step),
        };
        goes_on
    }
}
