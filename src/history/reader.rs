//! A cursor in the history, and what it reads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::batch::Batch;
use super::block::Kept;
use super::courtesy::{ReaderId, Step};
use super::journal::{Archive, Glimpse, Located as OnDisk, Next};
use super::query::Query;
use super::ring::{Cursor, Located};
use super::{Head, History, Shared};
use crate::event::filter::Filter;
use crate::event::{Gap, GapReason};
use crate::lsn::{EventId, Place};

/// Bytes of blocks that one read looks through at most, so that it takes a bounded time and its batch keeps a bounded number of blocks
/// alive, however few of their events pass.
const LOOK_THROUGH: usize = 1 << 20;

/// A block on disk that is passed by counts as so many of these bytes.
const PASS_BY: usize = 1 << 10;

/// So long it takes a transaction that is being written to come to the disk, or longer.
const UNTIL_WRITTEN: Duration = Duration::from_millis(20);

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
    /// What it needs has left the memory, and is not on disk yet.
    ahead_of_disk: bool,
    /// Events of this epoch up to this one were seen before: an earlier process told them, and did not live to record them.
    skip: Option<EventId>,
    /// What its events are to answer: what is on disk and cannot is passed by.
    question: Option<Box<Query>>,
}

/// Where a reader stands.
#[derive(Clone, Copy, Debug)]
enum At {
    Cursor(Cursor),
    /// In the journal, behind the last event that it came past.
    Disk,
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
        let mut skip = None;
        let (place, last, next, end) = {
            let ring = self.shared.ring();
            let (place, last) = match start {
                Start::Live => {
                    let (cursor, last) = ring.live();
                    (At::Cursor(cursor), last.or_else(|| self.shared.archive.as_ref()?.last()))
                }
                Start::Oldest => match &self.shared.archive {
                    Some(archive) => (At::Disk, archive.floor()),
                    None => (At::Cursor(Cursor::at(ring.first())), ring.floor().cloned()),
                },
                Start::After(id) => {
                    let on_disk = || self.shared.archive.as_ref().is_some_and(|archive| archive.locate(&id) != OnDisk::Unknown);
                    let place = match ring.locate(&id) {
                        Located::At(cursor) => At::Cursor(cursor),
                        Located::Lost(_) if on_disk() => At::Disk,
                        Located::Lost(reason) => At::Lost(reason),
                        Located::Ahead => {
                            skip = Some(id.clone());
                            At::Cursor(ring.live().0)
                        }
                    };
                    (place, Some(id))
                }
            };
            (place, last, place.next(ring.first()), ring.end())
        };
        let id = self.shared.readers().join(next, next == end);
        let head = self.shared.head.subscribe();
        Reader {
            shared: Arc::clone(&self.shared),
            head,
            id,
            place,
            last,
            in_vain: false,
            ahead_of_disk: false,
            skip,
            question: None,
        }
    }

    /// A reader that begins with the oldest event, for who wants no more than what lies between the bounds of this query.
    pub fn read_for(&self, question: Query) -> Reader {
        let mut reader = self.read_from(Start::Oldest);
        reader.question = Some(Box::new(question));
        reader
    }
}

impl At {
    /// The block that is needed next, where `first` is the first that is kept.
    fn next(self, first: u64) -> u64 {
        match self {
            Self::Cursor(cursor) => cursor.sequence,
            Self::Disk | Self::Lost(_) => first,
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
        if std::mem::take(&mut self.ahead_of_disk) {
            // What an earlier process recorded is read to its end: there is more once an epoch begins.
            let _ = self.head.wait_for(|head| head.begun).await;
            tokio::time::sleep(UNTIL_WRITTEN).await;
        }
        if std::mem::take(&mut self.in_vain) {
            // A filter that nothing passes must not keep others from running.
            tokio::task::yield_now().await;
        }
        let there = |head: &Head| match self.place {
            At::Cursor(cursor) => head.blocks > cursor.sequence,
            At::Disk => true,
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
        self.ahead_of_disk = false;
        if let Some(archive) = self.on_disk() {
            return tokio::task::block_in_place(|| self.read_disk(&archive, filter, max_bytes));
        }
        let (blocks, end) = {
            let ring = self.shared.ring();
            let lost = match self.place {
                At::Lost(reason) => Some(reason),
                At::Cursor(cursor) => (cursor.sequence < ring.first()).then_some(GapReason::Evicted),
                // It is where the ring begins.
                At::Disk => None,
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
        match self.place {
            // Where nothing is streamed there is nothing behind it.
            At::Disk if self.ahead_of_disk && !self.head.borrow().begun => self.shared.ring().end(),
            // Before all that was appended by this process, which begins with 1 behind a journal.
            At::Disk => 0,
            place => place.next(self.shared.ring().first()),
        }
    }

    /// What it needs next has left the memory, and is not on disk yet: there is more, a moment later.
    pub fn is_ahead_of_disk(&self) -> bool {
        self.ahead_of_disk
    }

    /// The last event that it came past, whether or not that passed a filter.
    pub fn last(&self) -> Option<&EventId> {
        self.last.as_ref()
    }

    /// The journal, if that is where it is to be read on; else the cursor stands in the ring.
    fn on_disk(&mut self) -> Option<Archive> {
        let archive = self.shared.archive.clone()?;
        let ring = self.shared.ring();
        match (self.place, &self.last) {
            (At::Cursor(cursor), _) if cursor.sequence >= ring.first() => None,
            (At::Lost(_), _) => None,
            // There is nothing before the ring.
            (_, None) if archive.first().map_or(ring.is_whole(), |first| ring.floor().is_some_and(|floor| first > *floor)) => {
                self.place = At::Cursor(Cursor::at(ring.first()));
                None
            }
            (_, None) => Some(archive),
            (_, Some(last)) => match ring.locate(last) {
                Located::At(cursor) => {
                    self.place = At::Cursor(cursor);
                    None
                }
                Located::Ahead | Located::Lost(_) => Some(archive),
            },
        }
    }

    /// Takes what stands in the journal behind the last event, up to where the ring begins.
    fn read_disk(&mut self, archive: &Archive, filter: &Filter, max_bytes: usize) -> Read {
        self.place = At::Disk;
        if let Some(OnDisk::Lost(to)) = self.last.as_ref().map(|last| archive.locate(last)) {
            let from = self.last.replace(to.clone());
            return Read::Gap(Gap { from, to, reason: GapReason::Evicted });
        }
        // Up to that event, and with it.
        let until = self.shared.ring().floor().cloned().map(|EventId { epoch, place: Place { commit_lsn, ordinal } }| {
            let place = Place { commit_lsn, ordinal: ordinal + 1 };
            EventId { epoch, place }
        });
        let (mut batch, mut looked, mut full) = (Batch::default(), 0, false);
        let (after, mut last) = (self.last.clone(), self.last.clone());
        let question = self.question.as_deref();
        let wanted =
            |glimpse: &Glimpse<'_>| glimpse.may_pass(filter) && question.is_none_or(|question| question.may_ask_for(glimpse));
        let take = |next: Next<'_>| {
            let block = match next {
                Next::Block(block) => block,
                Next::PassedBy(glimpse) => {
                    last = Some(glimpse.last());
                    looked += PASS_BY;
                    return looked < LOOK_THROUGH;
                }
            };
            let kept = Arc::new(Kept::new(block));
            let heads = kept.block.heads();
            let from = after.as_ref().map_or(0, |after| heads.partition_point(|head| kept.block.id(head) <= *after));
            let matches = kept.matches_once(filter);
            let taken = batch.add(&kept, matches, from, max_bytes);
            if let Some(head) = taken.checked_sub(1).and_then(|taken| heads.get(taken)) {
                last = Some(kept.block.id(head));
            }
            looked += kept.block.size();
            full = taken < heads.len() || batch.bytes() >= max_bytes || looked >= LOOK_THROUGH;
            !full
        };
        match archive.follow((after.as_ref(), until.as_ref()), wanted, take) {
            Ok(Some(to)) => {
                self.last = Some(to.clone());
                return Read::Gap(Gap { from: after, to, reason: GapReason::Damaged });
            }
            Ok(None) => {}
            Err(error) => tracing::error!("{error}: reading on is tried again"),
        }
        if let Some(OnDisk::Lost(to)) = after.as_ref().map(|after| archive.locate(after)) {
            // It went while it was read.
            self.last = Some(to.clone());
            return Read::Gap(Gap { from: after, to, reason: GapReason::Evicted });
        }
        // Nothing that is behind it is on disk, though it has left the ring: its transaction is still being written.
        self.ahead_of_disk = last == self.last;
        self.in_vain = batch.is_empty();
        self.last = last;
        if batch.is_empty() { Read::Nothing } else { Read::Events(batch) }
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
            if let Some(seen) =
                self.skip.as_ref().filter(|seen| seen.epoch == *kept.block.epoch() && seen.place < kept.last_place())
            {
                cursor.index = cursor.index.max(kept.block.heads().partition_point(|head| head.place <= seen.place));
                self.skip = None;
            } else if self.skip.as_ref().is_some_and(|seen| seen.epoch == *kept.block.epoch()) {
                cursor = Cursor::at(cursor.sequence + 1);
                continue;
            }
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
