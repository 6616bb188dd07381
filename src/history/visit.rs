//! The way through what is kept that a question takes: blocks in memory and on disk, in either order, those passed by that cannot answer it.

use std::ops::Range;
use std::sync::Arc;

use super::History;
use super::block::Kept;
use super::journal::{Glimpse, JournalError};
use super::query::{Order, Query};
use super::ring::{Cursor, Located};
use crate::event::Block;
use crate::lsn::EventId;

/// Blocks that are taken out at a time, so that nobody waits long for the lock.
const CHUNK: u64 = 64;

impl History {
    /// Shows `visit` the blocks that may hold what is asked for, in the order that is asked for, each with the indices of the events between
    /// the cursors, until it has seen enough: what is in memory, and what is on disk beside it. Those on disk that are not `wanted` are not
    /// read.
    ///
    /// # Errors
    /// A part of what is on disk cannot be read; what comes behind that, in the order of the query, is not shown.
    pub(super) fn visit(
        &self,
        query: &Query,
        wanted: impl Fn(&Glimpse<'_>) -> bool,
        mut visit: impl FnMut(&Arc<Kept>, Range<usize>) -> bool,
    ) -> Result<(), JournalError> {
        let (after, before) = (query.after.as_ref(), query.before.as_ref());
        let from = match after.map(|after| self.shared.ring().locate(after)) {
            Some(Located::Ahead) => return Ok(()),
            Some(Located::At(cursor)) => Some(cursor),
            // What is lost after it cannot be on the page; the rest can.
            None | Some(Located::Lost(_)) => None,
        };
        let in_memory = |from: Option<Cursor>, visit: &mut dyn FnMut(&Arc<Kept>, Range<usize>) -> bool| {
            let span = {
                let ring = self.shared.ring();
                let to = match before {
                    None => Some(Cursor::at(ring.end())),
                    Some(before) => ring.seek(&before.epoch, |place| place < before.place),
                };
                to.map(|to| (from.unwrap_or_else(|| Cursor::at(ring.first())), to)).filter(|(from, to)| from < to)
            };
            span.is_none_or(|(from, to)| self.visit_memory(from, to, query.order, visit))
        };
        let on_disk = |before: Option<&EventId>, visit: &mut dyn FnMut(&Arc<Kept>, Range<usize>) -> bool| {
            let Some(archive) = &self.shared.archive else { return Ok(true) };
            let mut goes_on = true;
            let show = |block: Block| {
                let kept = Arc::new(Kept::new(block));
                let up_to = |id: Option<&EventId>, or: usize, is_in: fn(&EventId, &EventId) -> bool| {
                    id.map_or(or, |id| kept.block.heads().partition_point(|head| is_in(&kept.block.id(head), id)))
                };
                let indices = up_to(after, 0, |own, after| own <= after)
                    ..up_to(before, kept.block.heads().len(), |own, before| own < before);
                goes_on = indices.is_empty() || visit(&kept, indices);
                goes_on
            };
            let wants = |glimpse: Glimpse<'_>| query.may_ask_for(&glimpse) && wanted(&glimpse);
            archive.visit((after, before), query.order, wants, show)?;
            Ok::<bool, JournalError>(goes_on)
        };
        match query.order {
            Order::NewestFirst => {
                let mut oldest = None;
                let mut note = |kept: &Arc<Kept>, indices: Range<usize>| {
                    oldest = kept.block.heads().first().map(|head| kept.block.id(head));
                    visit(kept, indices)
                };
                if in_memory(from, &mut note) {
                    on_disk(oldest.as_ref().or(before), &mut visit)?;
                }
            }
            Order::OldestFirst if from.is_some() => {
                in_memory(from, &mut visit);
            }
            Order::OldestFirst => {
                let mut newest = None;
                let mut note = |kept: &Arc<Kept>, indices: Range<usize>| {
                    newest = kept.block.heads().last().map(|head| kept.block.id(head));
                    visit(kept, indices)
                };
                if on_disk(before, &mut note)? {
                    // Blocks that were passed by on disk may be in memory as well, and are looked at again there.
                    let from = newest.and_then(|newest| match self.shared.ring().locate(&newest) {
                        Located::At(cursor) => Some(cursor),
                        Located::Ahead | Located::Lost(_) => None,
                    });
                    in_memory(from, &mut visit);
                }
            }
        }
        Ok(())
    }

    /// The same of what is in memory, from `from` to `to`; false once enough has been seen. Takes the lock only to fetch some blocks at a
    /// time.
    fn visit_memory(
        &self,
        from: Cursor,
        to: Cursor,
        order: Order,
        visit: &mut dyn FnMut(&Arc<Kept>, Range<usize>) -> bool,
    ) -> bool {
        // A last block is looked at only if some of its events come before `to`.
        let (mut low, mut high) = (from.sequence, to.sequence + u64::from(to.index > 0));
        while low < high {
            let (start, end) = match order {
                Order::NewestFirst => (high.saturating_sub(CHUNK).max(low), high),
                Order::OldestFirst => (low, high.min(low + CHUNK)),
            };
            let mut chunk: Vec<(u64, Arc<Kept>)> = {
                let ring = self.shared.ring();
                (start..end).filter_map(|sequence| Some((sequence, Arc::clone(ring.get(sequence)?)))).collect()
            };
            match order {
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
                    return false;
                }
            }
        }
        true
    }
}
