//! Reads through a journal from its beginning to its end: what can be read is told, and what cannot be is told as a gap, in its place.

use std::sync::Arc;

use super::error::JournalError;
use super::index::Segment;
use super::read::{Archive, Glimpse};
use crate::event::{Block, Gap, GapReason};
use crate::history::query::Order;

/// What comes next in a journal.
#[derive(Debug)]
pub enum Passage {
    /// Events.
    Block(Block),
    /// Events that were there and cannot be read: the file is damaged, or went since the journal was opened.
    Lost(Gap),
}

impl Archive {
    /// Tells everything that is in it, oldest first, until `tell` has heard enough (and says so by `false`). Blocks that are not wanted
    /// are not read. What was lost before the first file is [`Archive::floor`]'s to say.
    ///
    /// # Errors
    /// The disk does not do what it should.
    pub fn read_through(
        &self,
        mut wants: impl FnMut(&Glimpse<'_>) -> bool,
        mut tell: impl FnMut(Passage) -> bool,
    ) -> Result<(), JournalError> {
        let segments: Vec<Arc<Segment>> = self.segments().all.iter().cloned().collect();
        let mut reached = self.floor();
        for segment in segments {
            // What is between two files stood at the end of the first, or in one that is missing.
            let hole = segment.before.clone().filter(|before| reached.as_ref() != Some(before));
            if let Some(to) = hole {
                let gap = Gap { from: reached.replace(to.clone()), to, reason: GapReason::Damaged };
                if !tell(Passage::Lost(gap)) {
                    return Ok(());
                }
            }
            while reached < segment.last {
                // The last events of the block before, and of the one that is looked at.
                let (mut passed, mut looked_at) = (reached.clone(), None);
                let mut look = |glimpse: Glimpse<'_>| {
                    passed = looked_at.replace(glimpse.last()).or(passed.take());
                    wants(&glimpse)
                };
                let mut show = |block| tell(Passage::Block(block));
                let (from, reason) =
                    match self.visit_segment(&segment, (reached.as_ref(), None), Order::OldestFirst, &mut look, &mut show) {
                        Ok(true) => break,
                        Ok(false) => return Ok(()),
                        Err(error) if error.is_gone() => (passed, GapReason::Evicted),
                        Err(JournalError::Damaged { .. }) => (passed, GapReason::Damaged),
                        Err(error) => return Err(error),
                    };
                let of_file = segment.last.clone().filter(|_| reason == GapReason::Evicted);
                let Some(to) = of_file.or(looked_at).or_else(|| segment.last.clone()) else { break };
                reached = Some(to.clone());
                if !tell(Passage::Lost(Gap { from, to, reason })) {
                    return Ok(());
                }
            }
            reached.clone_from(&segment.last);
        }
        Ok(())
    }
}
