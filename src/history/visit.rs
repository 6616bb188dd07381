//! The way through what is kept that a question takes: blocks in memory and on disk, in either order, those passed by that cannot answer it.
//!
//! Transactions are seen once they are whole. What memory lets go of is on disk a moment later: until then a question waits, and should that
//! take long (the disk may be full), it is told that something is not there.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::History;
use super::block::Kept;
use super::journal::{Archive, Glimpse, JournalError};
use super::query::{Order, Query};
use super::ring::{Cursor, Located, Ring};
use crate::event::Block;
use crate::lsn::EventId;

/// Blocks that are taken out at a time, so that nobody waits long for the lock.
const CHUNK: u64 = 64;
/// So long is waited for what is still being written,
const PATIENCE: Duration = Duration::from_secs(2);
/// with such pauses.
const PAUSE: Duration = Duration::from_millis(5);

/// Is shown blocks, each with the indices of its events that lie between the cursors; false once it has seen enough.
type Visit<'v> = dyn FnMut(&Arc<Kept>, Range<usize>) -> bool + 'v;

/// Why blocks in memory are not looked at any further.
enum Stop {
    /// Enough has been seen.
    Enough,
    /// What comes next had to go meanwhile.
    Gone,
}

impl History {
    /// Shows `visit` the blocks that may hold what is asked for, in the order that is asked for, each with the indices of the events between
    /// the cursors, until it has seen enough: what is in memory, and what is on disk beside it. Those on disk that are not `wanted` are not
    /// read. It may wait, and so blocks.
    ///
    /// # Errors
    /// A part of what is on disk cannot be read, or is not there yet; what comes behind that, in the order of the query, is not shown. Or
    /// something is missing in its midst; then all else is shown.
    pub(super) fn visit(
        &self,
        query: &Query,
        wanted: impl Fn(&Glimpse<'_>) -> bool,
        mut visit: impl FnMut(&Arc<Kept>, Range<usize>) -> bool,
    ) -> Result<(), JournalError> {
        let (after, before) = (query.after.as_ref(), query.before.as_ref());
        let located = after.map(|after| self.shared.ring().locate(after));
        if located == Some(Located::Ahead) {
            return Ok(());
        }
        match query.order {
            Order::NewestFirst => {
                let from = if let Some(Located::At(cursor)) = located { cursor } else { Cursor::default() };
                let mut oldest = None;
                let mut note = |kept: &Arc<Kept>, indices: Range<usize>| {
                    oldest = kept.block.heads().first().map(|head| kept.block.id(head));
                    visit(kept, indices)
                };
                // All that is asked for may be in memory, and may still have been when it was looked at.
                let was_there = |cursor: Cursor| self.shared.ring().first() <= cursor.sequence;
                if self.visit_memory(query, from, &mut note).is_continue()
                    && let Some(archive) = &self.shared.archive
                    && !matches!(located, Some(Located::At(cursor)) if was_there(cursor))
                {
                    self.wait_for(archive)?;
                    self.visit_disk(archive, query, (after, oldest.as_ref().or(before)), wanted, &mut visit)?;
                }
            }
            Order::OldestFirst => {
                let mut next = if let Some(Located::At(cursor)) = located { Some(cursor) } else { None };
                let (mut seen, mut missing) = (after.cloned(), None);
                loop {
                    let from = match (next.take(), &self.shared.archive) {
                        (Some(cursor), _) => cursor,
                        (None, None) => Cursor::default(),
                        (None, Some(archive)) => {
                            let reached = archive.last().max(seen.clone());
                            match self.visit_disk(archive, query, (seen.as_ref(), before), &wanted, &mut visit) {
                                Ok(true) => {}
                                Ok(false) => return missing.map_or(Ok(()), Err),
                                Err(error @ JournalError::Missing { .. }) => missing = missing.or(Some(error)),
                                Err(error) => return Err(error),
                            }
                            seen = reached;
                            // Unless more came to the disk while it was read.
                            let place = {
                                let ring = self.shared.ring();
                                let is_behind = ring.gone().is_some_and(|gone| Some(gone) > seen.as_ref());
                                (!is_behind).then(|| seen.as_ref().map(|seen| ring.locate(seen)))
                            };
                            match place {
                                Some(Some(Located::At(cursor))) => cursor,
                                Some(Some(Located::Ahead)) => return missing.map_or(Ok(()), Err),
                                Some(Some(Located::Lost(_)) | None) => Cursor::default(),
                                None => {
                                    self.wait_for(archive)?;
                                    continue;
                                }
                            }
                        }
                    };
                    let mut note = |kept: &Arc<Kept>, indices: Range<usize>| {
                        seen = kept.block.heads().last().map(|head| kept.block.id(head)).max(seen.take());
                        visit(kept, indices)
                    };
                    match self.visit_memory(query, from, &mut note) {
                        // Without a disk there is nothing but what memory still has.
                        ControlFlow::Break(Stop::Gone) => {}
                        ControlFlow::Break(Stop::Enough) | ControlFlow::Continue(()) => return missing.map_or(Ok(()), Err),
                    }
                }
            }
        }
        Ok(())
    }

    /// Waits until all that memory has let go of is on disk.
    fn wait_for(&self, archive: &Archive) -> Result<(), JournalError> {
        let begun = Instant::now();
        loop {
            let gone = self.shared.ring().gone().cloned();
            if gone <= archive.last() {
                return Ok(());
            }
            if begun.elapsed() >= PATIENCE {
                return Err(JournalError::Unwritten);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Those on disk between two events; false once enough has been seen.
    fn visit_disk(
        &self,
        archive: &Archive,
        query: &Query,
        (after, before): (Option<&EventId>, Option<&EventId>),
        wanted: impl Fn(&Glimpse<'_>) -> bool,
        visit: &mut Visit<'_>,
    ) -> Result<bool, JournalError> {
        let mut goes_on = true;
        let show = |block: Block| {
            let kept = Arc::new(Kept::new(block));
            let up_to = |id: Option<&EventId>, or: usize, is_in: fn(&EventId, &EventId) -> bool| {
                id.map_or(or, |id| kept.block.heads().partition_point(|head| is_in(&kept.block.id(head), id)))
            };
            let indices =
                up_to(after, 0, |own, after| own <= after)..up_to(before, kept.block.heads().len(), |own, before| own < before);
            goes_on = indices.is_empty() || visit(&kept, indices);
            goes_on
        };
        let wants = |glimpse: Glimpse<'_>| query.may_ask_for(&glimpse) && wanted(&glimpse);
        archive.visit((after, before), query.order, wants, show)?;
        Ok(goes_on)
    }

    /// The same of what is in memory, from `from` or from where it begins. Takes the lock only to fetch some blocks at a time.
    fn visit_memory(&self, query: &Query, from: Cursor, visit: &mut Visit<'_>) -> ControlFlow<Stop> {
        let before = |ring: &Ring| match &query.before {
            None => Some(ring.settled()),
            Some(before) => ring.seek(&before.epoch, |place| place < before.place).map(|cursor| cursor.min(ring.settled())),
        };
        let (from, to) = {
            let ring = self.shared.ring();
            let from = from.max(Cursor::at(ring.first()));
            let Some(to) = before(&ring).filter(|to| from < *to) else { return ControlFlow::Continue(()) };
            (from, to)
        };
        // A last block is looked at only if some of its events come before `to`.
        let (mut low, mut high) = (from.sequence, to.sequence + u64::from(to.index > 0));
        while low < high {
            let (start, end) = match query.order {
                Order::NewestFirst => (high.saturating_sub(CHUNK).max(low), high),
                Order::OldestFirst => (low, high.min(low + CHUNK)),
            };
            let mut chunk: Vec<(u64, Arc<Kept>)> = {
                let ring = self.shared.ring();
                if query.order == Order::OldestFirst && start < ring.first() {
                    return ControlFlow::Break(Stop::Gone);
                }
                (start..end).filter_map(|sequence| Some((sequence, Arc::clone(ring.get(sequence)?)))).collect()
            };
            match query.order {
                Order::NewestFirst => {
                    chunk.reverse();
                    high = start;
                }
                Order::OldestFirst => low = end,
            }
            for (sequence, kept) in chunk {
                let first = if sequence == from.sequence { from.index } else { 0 };
                let last = if sequence == to.sequence { to.index } else { kept.block.heads().len() };
                if !visit(&kept, first..last) {
                    return ControlFlow::Break(Stop::Enough);
                }
            }
        }
        ControlFlow::Continue(())
    }
}
