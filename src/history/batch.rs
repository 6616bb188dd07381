//! Events that were read at once: ranges of blocks, and nothing copied.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::block::Kept;
use crate::event::filter::Matches;
use crate::event::{Block, Head};
use crate::lsn::EventId;

/// Events in order, of one block or several. It keeps their blocks alive: copy what is to be written, then drop it.
#[derive(Default)]
pub struct Batch {
    parts: Vec<Part>,
    events: usize,
    bytes: usize,
}

/// Events of one block.
struct Part {
    kept: Arc<Kept>,
    matches: Matches,
    range: Range<usize>,
}

/// One event of a [`Batch`].
#[derive(Clone, Copy)]
pub struct Event<'a> {
    block: &'a Block,
    head: &'a Head,
}

impl Batch {
    /// Takes the events of `kept` that pass, from index `from` on, up to `max_bytes` in the whole batch; gives the index to go on from.
    pub(super) fn add(&mut self, kept: &Arc<Kept>, matches: Matches, from: usize, max_bytes: usize) -> usize {
        let heads = kept.block.heads();
        if matches == Matches::None {
            return heads.len();
        }
        let (mut events, mut bytes, mut end) = (0, 0, heads.len());
        for (index, head) in heads.iter().enumerate().skip(from).filter(|(index, _)| matches.contains(*index)) {
            if self.bytes + bytes + head.len() > max_bytes && self.events + events > 0 {
                end = index;
                break;
            }
            events += 1;
            bytes += head.len();
        }
        if events > 0 {
            self.parts.push(Part { kept: Arc::clone(kept), matches, range: from..end });
        }
        self.events += events;
        self.bytes += bytes;
        end
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.events
    }

    /// Whether there is none, which a batch that was read is not.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Bytes of JSON.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Each event, in order.
    pub fn iter(&self) -> impl Iterator<Item = Event<'_>> {
        self.parts.iter().flat_map(|Part { kept, matches, range }| {
            let block = &kept.block;
            let heads = block.heads().iter().enumerate().take(range.end).skip(range.start);
            heads.filter(|(index, _)| matches.contains(*index)).map(move |(_, head)| Event { block, head })
        })
    }

    /// The last event: what a client that received the batch resumes from.
    pub fn last(&self) -> Option<EventId> {
        let Part { kept, matches, range } = self.parts.last()?;
        let index = range.clone().rev().find(|index| matches.contains(*index))?;
        kept.block.heads().get(index).map(|head| kept.block.id(head))
    }
}

impl<'a> Event<'a> {
    pub(super) fn new(block: &'a Block, head: &'a Head) -> Self {
        Self { block, head }
    }

    /// What is known of it without reading its JSON.
    pub fn head(&self) -> &'a Head {
        self.head
    }

    /// The block it is in.
    pub fn block(&self) -> &'a Block {
        self.block
    }

    /// Its identity.
    pub fn id(&self) -> EventId {
        self.block.id(self.head)
    }

    /// Its JSON, sharing the block's memory.
    pub fn json(&self) -> Bytes {
        self.block.json(self.head)
    }

    /// Its JSON, borrowed.
    pub fn bytes(&self) -> &'a [u8] {
        self.block.bytes(self.head)
    }
}

/// Says how much it holds, never what.
impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("events", &self.events).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("head", self.head).finish_non_exhaustive()
    }
}
