//! A cursor in the history, and what it reads.

use std::sync::Arc;

use tokio::sync::watch;

use super::batch::Batch;
use super::block::Kept;
use super::courtesy::{ReaderId, Step};
use super::ring::{Cursor, Located};
use super::{Head, History, Shared};
use crate::event::filter::Filter;
use crate::event::{Gap, GapReason};
use crate::lsn::EventId;

/// Bytes of blocks that one read looks through at most, so that it takes a bounded time and its batch keeps a bounded number of blocks
/// alive, however few of their events pass.
const LOOK_THROUGH: usize = 1 << 20;

/// Where to begin to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what becomes visible from now on: a transaction that is being appended right now is read whole.
    Live,
    /// With the oldest event that is kept. The first transaction may have lost its beginning.
    Oldest,
    /// With what came after this event. If not all of that is kept, the reader first yields a gap. After an event (or a position of the
    /// stream) that is still ahead of the newest, that is what is live.
    After(EventId),
}

/// Reads the history at its own pace, and goes on with what is live when it has caught up.
pub struct Reader {
    shared: Arc<Shared>,
    head: watch::Receiver<Head>,
    id: ReaderId,
    place: At,
    /// The last event that the cursor came past.
    last: Option<EventId>,
    /// The last read looked through all it may without finding anything, and there is more.
    in_vain: bool,
}

/// Where a reader stands.
#[derive(Clone, Copy, Debug)]
enum At {
    Cursor(Cursor),
    /// Something after the last event is lost; where it goes on is told when it reads.
    Lost(GapReason),
}

/// What one read gave.
#[derive(Debug)]
pub enum Read {
    /// Events, in order.
    Events(Batch),
    /// Events that can no longer be given; the reader goes on behind them.
    Gap(Gap),
    /// Nothing that passes the filter, so far.
    Nothing,
}

impl History {
    /// A reader that begins at `start`. It holds its place from here on: nothing that comes is missed unless a gap says so.
    pub fn read_from(&self, start: Start) -> Reader {
        let (place, last, next, end) = {
            let ring = self.shared.ring();
            let (place, last) = match start {
                Start::Live => {
                    let (cursor, last) = ring.live();
                    (At::Cursor(cursor), last)
                }
                Start::Oldest => (At::Cursor(Cursor::at(ring.first())), ring.floor().cloned()),
                Start::After(id) => {
                    let place = match ring.locate(&id) {
                        Located::At(cursor) => At::Cursor(cursor),
                        Located::Lost(reason) => At::Lost(reason),
                        Located::Ahead => At::Cursor(ring.live().0),
                    };
                    (place, Some(id))
                }
            };
            (place, last, place.next(ring.first()), ring.end())
        };
        let id = self.shared.readers().join(next, next == end);
        let head = self.shared.head.subscribe();
        Reader { shared: Arc::clone(&self.shared), head, id, place, last, in_vain: false }
    }
}

impl At {
    /// The block that is needed next, where `first` is the first that is kept.
    fn next(self, first: u64) -> u64 {
        match self {
            Self::Cursor(cursor) => cursor.sequence,
            Self::Lost(_) => first,
        }
    }

    /// Moves to `cursor`, and tells whether it stood elsewhere.
    fn replace(&mut self, cursor: Cursor) -> bool {
        let before = std::mem::replace(self, Self::Cursor(cursor));
        !matches!(before, Self::Cursor(before) if before == cursor)
    }
}

impl Reader {
    /// Waits until something lies behind the cursor. Cancel-safe.
    pub async fn ready(&mut self) {
        if std::mem::take(&mut self.in_vain) {
            // A filter that nothing passes must not keep others from running.
            tokio::task::yield_now().await;
        }
        let there = |head: &Head| match self.place {
            At::Cursor(cursor) => head.blocks > cursor.sequence,
            At::Lost(_) => head.begun,
        };
        // It fails only without a sender, and that lives as long as `shared`.
        let _ = self.head.wait_for(there).await;
    }

    /// Takes what lies behind the cursor and passes `filter`: everything up to the head, or about `max_bytes` of JSON (but at least one
    /// event). After `Nothing` there may still be more to look through: [`Reader::ready`] knows.
    pub fn read(&mut self, filter: &Arc<Filter>, max_bytes: usize) -> Read {
        self.read_until(u64::MAX, filter, max_bytes)
    }

    /// The same, from blocks before number `until` only: what belongs behind that block can be told in its place.
    pub fn read_until(&mut self, until: u64, filter: &Arc<Filter>, max_bytes: usize) -> Read {
        let (blocks, end) = {
            let ring = self.shared.ring();
            let lost = match self.place {
                At::Lost(reason) => Some(reason),
                At::Cursor(cursor) => (cursor.sequence < ring.first()).then_some(GapReason::Evicted),
            };
            if let Some(reason) = lost {
                // Before the first epoch nobody can say where it goes on.
                let Some(to) = ring.floor().cloned() else { return Read::Nothing };
                let (first, end) = (ring.first(), ring.end());
                drop(ring);
                return Read::Gap(self.lose(reason, to, first, end));
            }
            let mut looked = 0;
            let within = |kept: &&Arc<Kept>| {
                let more = looked < LOOK_THROUGH;
                looked += kept.block.size();
                more
            };
            let next = self.place.next(0);
            let most = usize::try_from(until.saturating_sub(next)).unwrap_or(usize::MAX);
            let blocks: Vec<_> = ring.from(next).take(most).take_while(within).cloned().collect();
            (blocks, ring.end())
        };
        self.take(blocks, end, filter, max_bytes)
    }

    /// The number of the block that is read next: how many blocks it has come past.
    pub fn position(&self) -> u64 {
        self.place.next(self.shared.ring().first())
    }

    /// The last event that it came past, whether or not that passed a filter.
    pub fn last(&self) -> Option<&EventId> {
        self.last.as_ref()
    }

    fn lose(&mut self, reason: GapReason, to: EventId, first: u64, end: u64) -> Gap {
        let from = self.last.replace(to.clone());
        self.place = At::Cursor(Cursor::at(first));
        self.note(first, if first == end { Step::CaughtUp } else { Step::Lost });
        Gap { from, to, reason }
    }

    /// Takes from these blocks, the first of which is the one the cursor stands in.
    fn take(&mut self, blocks: Vec<Arc<Kept>>, end: u64, filter: &Filter, max_bytes: usize) -> Read {
        let At::Cursor(mut cursor) = self.place else { return Read::Nothing };
        let mut batch = Batch::default();
        for kept in blocks {
            let matches = kept.matches(filter, &self.shared.account);
            let taken = batch.add(&kept, matches, cursor.index, max_bytes);
            if taken > cursor.index {
                self.last = kept.block.heads().get(taken - 1).map(|head| kept.block.id(head));
            }
            if taken < kept.block.heads().len() {
                cursor.index = taken;
                break;
            }
            cursor = Cursor::at(cursor.sequence + 1);
        }
        let caught_up = cursor == Cursor::at(end);
        let step = if caught_up { Step::CaughtUp } else { Step::Advanced };
        let moved = self.place.replace(cursor);
        if moved || caught_up {
            self.note(cursor.sequence, step);
        }
        self.in_vain = batch.is_empty() && !caught_up;
        if batch.is_empty() { Read::Nothing } else { Read::Events(batch) }
    }

    fn note(&self, next: u64, step: Step) {
        let awaited = self.shared.readers().note(self.id, next, step);
        if awaited {
            self.shared.progress.notify_one();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let awaited = self.shared.readers().leave(self.id);
        if awaited {
            self.shared.progress.notify_one();
        }
    }
}
