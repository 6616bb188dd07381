//! The blocks in memory, oldest first, and how a place in the stream is found among them. No locks, no waiting.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use super::block::{Account, Kept};
use super::query::TransactionLookup;
use crate::event::{Block, GapReason};
use crate::lsn::{Epoch, EventId, Lsn, Place, TransactionId};
use crate::pgoutput::Timestamp;

/// Between two events: the next one is event `index` of block number `sequence`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cursor {
    pub(super) sequence: u64,
    pub(super) index: usize,
}

impl Cursor {
    /// Before the first event of a block.
    pub(super) fn at(sequence: u64) -> Self {
        Self { sequence, index: 0 }
    }
}

/// What became of an event id that someone wants to read on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Located {
    /// Everything that came after it is kept, from here on.
    At(Cursor),
    /// Some of what came after it is not kept.
    Lost(GapReason),
    /// Nothing has come so far yet.
    Ahead,
}

/// What the history takes and keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes it may take.
    pub limit: usize,
    /// Bytes it takes, bookkeeping included.
    pub bytes: usize,
    /// Blocks kept.
    pub blocks: usize,
    /// Events kept.
    pub events: usize,
    /// Blocks that had to go, since the start.
    pub evicted_blocks: u64,
    /// Events that had to go, since the start.
    pub evicted_events: u64,
    /// Readers there are.
    pub readers: usize,
}

/// The stretch of blocks of one epoch.
#[derive(Debug)]
struct Stretch {
    epoch: Epoch,
    first: u64,
}

/// A transaction of which not all has been appended yet.
#[derive(Clone, Debug)]
struct Arriving {
    commit_lsn: Lsn,
    start: Cursor,
    /// The last event before it.
    before: EventId,
}

pub(super) struct Ring {
    account: Arc<Account>,
    blocks: VecDeque<Arc<Kept>>,
    /// The number of the first block that is kept, or else of the next.
    first: u64,
    /// Of the blocks that are kept, and the current epoch. Never empty once an epoch began.
    stretches: VecDeque<Stretch>,
    origin: Option<Epoch>,
    floor: Option<EventId>,
    newest: Option<EventId>,
    arriving: Option<Arriving>,
    events: usize,
    evicted_blocks: u64,
    evicted_events: u64,
}

impl Ring {
    pub(super) fn new(account: Arc<Account>, first: u64) -> Self {
        Self {
            account,
            blocks: VecDeque::new(),
            first,
            stretches: VecDeque::new(),
            origin: None,
            floor: None,
            newest: None,
            arriving: None,
            events: 0,
            evicted_blocks: 0,
            evicted_events: 0,
        }
    }

    /// A new epoch: what comes is after `start`. The last event before was `before`, if there was any.
    pub(super) fn begin_epoch(&mut self, epoch: &Epoch, start: Lsn, before: Option<EventId>) {
        let start = EventId { epoch: epoch.clone(), place: Place { commit_lsn: start, ordinal: 0 } };
        self.stretches.push_back(Stretch { epoch: epoch.clone(), first: self.end() });
        self.origin.get_or_insert_with(|| epoch.clone());
        self.floor.get_or_insert_with(|| before.unwrap_or_else(|| start.clone()));
        self.arriving = None;
        self.newest = Some(start);
    }

    /// Adds a block, and gives those that had to go for it (and for what will be remembered about it): to be dropped when no lock is
    /// held. A block larger than all there is room for is gone at once.
    pub(super) fn push(&mut self, kept: Arc<Kept>) -> Vec<Arc<Kept>> {
        self.note_arriving(&kept);
        self.newest = kept.block.heads().last().map(|head| kept.block.id(head));
        self.events += kept.block.heads().len();
        self.account.charge(Kept::size_of(&kept.block));
        let room = Kept::room_for_answers(&kept.block);
        self.blocks.push_back(kept);
        let mut evicted = Vec::new();
        while self.account.used() + room > self.account.limit() {
            let Some(oldest) = self.blocks.pop_front() else { break };
            self.evict(&oldest);
            evicted.push(oldest);
        }
        evicted
    }

    /// Takes out what is not after `floor`: to be dropped when no lock is held.
    pub(super) fn let_go(&mut self, floor: &EventId) -> Vec<Arc<Kept>> {
        let goes = |kept: &&Arc<Kept>| kept.block.heads().last().is_none_or(|last| kept.block.id(last) <= *floor);
        let gone = self.blocks.iter().take_while(goes).count();
        let gone: Vec<_> = self.blocks.drain(..gone).collect();
        gone.iter().for_each(|kept| self.evict(kept));
        gone
    }

    fn evict(&mut self, kept: &Kept) {
        let events = kept.block.heads().len();
        kept.evict(&self.account);
        self.first += 1;
        self.events -= events;
        self.evicted_blocks += 1;
        self.evicted_events += events as u64;
        self.floor = kept.block.heads().last().map(|head| kept.block.id(head));
        while self.stretches.get(1).is_some_and(|next| next.first <= self.first) {
            self.stretches.pop_front();
        }
    }

    /// Remembers where the transaction begins that goes on after this block.
    fn note_arriving(&mut self, kept: &Kept) {
        let heads = kept.block.heads();
        let Some(last) = heads.last().filter(|_| kept.block.is_open()) else {
            self.arriving = None;
            return;
        };
        let commit_lsn = last.place.commit_lsn;
        let index = heads.iter().rposition(|head| head.place.commit_lsn != commit_lsn).map_or(0, |before| before + 1);
        if index == 0 && self.arriving.as_ref().is_some_and(|arriving| arriving.commit_lsn == commit_lsn) {
            return;
        }
        let before = index.checked_sub(1).and_then(|before| heads.get(before)).map(|head| kept.block.id(head));
        let start = Cursor { sequence: self.end(), index };
        self.arriving = before.or_else(|| self.newest.clone()).map(|before| Arriving { commit_lsn, start, before });
    }

    /// The number that the next block will have.
    pub(super) fn end(&self) -> u64 {
        self.first + self.blocks.len() as u64
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Whether it holds all that was ever appended.
    pub(super) fn is_whole(&self) -> bool {
        self.evicted_blocks == 0
    }

    /// The event after which everything is kept.
    pub(super) fn floor(&self) -> Option<&EventId> {
        self.floor.as_ref()
    }

    pub(super) fn newest(&self) -> Option<&EventId> {
        self.newest.as_ref()
    }

    pub(super) fn oldest(&self) -> Option<EventId> {
        let kept = self.blocks.front()?;
        kept.block.heads().first().map(|head| kept.block.id(head))
    }

    /// When the oldest event was committed.
    pub(super) fn begins(&self) -> Option<Timestamp> {
        self.blocks.front()?.block.heads().first().map(|head| head.time)
    }

    /// Where a reader begins that wants only what is new, and the last event before: the head, or the start of the transaction that
    /// is arriving there, because it becomes visible only with its commit.
    pub(super) fn live(&self) -> (Cursor, Option<EventId>) {
        match &self.arriving {
            Some(Arriving { start, before, .. }) => (*start, Some(before.clone())),
            None => (Cursor::at(self.end()), self.newest.clone()),
        }
    }

    /// Where what is whole ends: at the head, or before the transaction that is arriving there.
    pub(super) fn settled(&self) -> Cursor {
        self.live().0
    }

    /// The last event that had to go, of transactions that are whole.
    pub(super) fn gone(&self) -> Option<&EventId> {
        let floor = self.floor.as_ref().filter(|_| !self.is_whole())?;
        Some(self.arriving.as_ref().map_or(floor, |arriving| floor.min(&arriving.before)))
    }

    /// Whether some of this transaction has not been appended yet.
    pub(super) fn is_arriving(&self, epoch: &Epoch, commit_lsn: Lsn) -> bool {
        let current = self.stretches.back().is_some_and(|stretch| stretch.epoch == *epoch);
        current && self.arriving.as_ref().is_some_and(|arriving| arriving.commit_lsn == commit_lsn)
    }

    /// The number of the first block that would be kept, were `block` appended.
    pub(super) fn first_after(&self, block: &Block) -> u64 {
        let size = Kept::size_of(block) + Kept::room_for_answers(block);
        let mut surplus = (self.account.used() + size).saturating_sub(self.account.limit());
        let gone = self.blocks.iter().take_while(|kept| {
            let goes = surplus > 0;
            surplus = surplus.saturating_sub(kept.charged());
            goes
        });
        self.first + gone.count() as u64
    }

    pub(super) fn get(&self, sequence: u64) -> Option<&Arc<Kept>> {
        self.blocks.get(usize::try_from(sequence.checked_sub(self.first)?).ok()?)
    }

    /// Blocks from number `sequence` on.
    pub(super) fn from(&self, sequence: u64) -> impl Iterator<Item = &Arc<Kept>> {
        let skip = usize::try_from(sequence.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.blocks.len());
        self.blocks.range(skip..)
    }

    /// Where to read on after `id`.
    pub(super) fn locate(&self, id: &EventId) -> Located {
        let (Some(floor), Some(newest), Some(origin)) = (&self.floor, &self.newest, &self.origin) else {
            // No epoch has begun: whoever knew this id is gone.
            return Located::Lost(GapReason::Restart);
        };
        if id.epoch == newest.epoch && id.place > newest.place {
            return Located::Ahead;
        }
        if id.epoch == floor.epoch && id.place < floor.place {
            return Located::Lost(GapReason::Evicted);
        }
        match self.seek(&id.epoch, |place| place <= id.place) {
            Some(cursor) => Located::At(cursor),
            None if id.epoch == floor.epoch => Located::At(Cursor::at(self.first)),
            None if *origin <= id.epoch && id.epoch < newest.epoch => Located::Lost(GapReason::Evicted),
            None => Located::Lost(GapReason::Restart),
        }
    }

    /// Before the first event of `epoch` whose place is not `passed`; `None` when nothing of the epoch is known any more.
    pub(super) fn seek(&self, epoch: &Epoch, passed: impl Fn(Place) -> bool) -> Option<Cursor> {
        let at = self.stretches.iter().position(|stretch| stretch.epoch == *epoch)?;
        let start = self.stretches.get(at)?.first.max(self.first);
        let end = self.stretches.get(at + 1).map_or(self.end(), |next| next.first);
        let (mut low, mut high) = (start, end);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).map(|kept| passed(kept.last_place()).cmp(&true)) {
                Some(Ordering::Equal) => low = middle + 1,
                _ => high = middle,
            }
        }
        let index =
            self.get(low).filter(|_| low < end).map_or(0, |kept| kept.block.heads().partition_point(|head| passed(head.place)));
        Some(Cursor { sequence: low, index })
    }

    pub(super) fn usage(&self) -> Usage {
        Usage {
            limit: self.account.limit(),
            bytes: self.account.used(),
            blocks: self.blocks.len(),
            events: self.events,
            evicted_blocks: self.evicted_blocks,
            evicted_events: self.evicted_events,
            readers: 0,
        }
    }

    /// Why nothing of this transaction is kept.
    pub(super) fn missing(&self, TransactionId { epoch, commit_lsn }: &TransactionId) -> TransactionLookup {
        let (Some(floor), Some(newest), Some(origin)) = (&self.floor, &self.newest, &self.origin) else {
            return TransactionLookup::Unknown;
        };
        let before_floor = if *epoch == floor.epoch { *commit_lsn <= floor.place.commit_lsn } else { *epoch < floor.epoch };
        if origin <= epoch && *epoch <= newest.epoch && before_floor && self.evicted_blocks > 0 {
            TransactionLookup::NoLongerKept
        } else {
            TransactionLookup::Unknown
        }
    }
}
