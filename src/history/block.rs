//! A block as the ring keeps it: with what filters have found out about it, and what all of that takes in memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::event::Block;
use crate::event::filter::{Filter, FilterId, Kinds, Matches};
use crate::lsn::Place;

/// The memory that the ring has, and how much of it is taken.
#[derive(Debug)]
pub(super) struct Account {
    limit: usize,
    used: AtomicUsize,
}

/// A block in the ring.
pub(super) struct Kept {
    pub(super) block: Block,
    pub(super) appended: Instant,
    kinds: Kinds,
    answers: Mutex<Answers>,
}

/// What filters have said about a block.
#[derive(Default)]
struct Answers {
    known: Vec<(FilterId, Matches)>,
    /// Bytes charged to the account.
    bytes: usize,
    /// The block is no longer in the ring: nothing may be charged for it any more.
    evicted: bool,
}

impl Account {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0) }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn charge(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Charges only what there is room for.
    fn try_charge(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }
}

impl Kept {
    pub(super) fn new(block: Block) -> Self {
        let kinds = block.heads().iter().fold(Kinds::NONE, |kinds, head| kinds.union(Kinds::of(head.kind)));
        Self { block, appended: Instant::now(), kinds, answers: Mutex::default() }
    }

    /// What a block takes in the ring, before anything is remembered about it.
    pub(super) fn size_of(block: &Block) -> usize {
        // The counters of the `Arc`, and its place in the ring, which may have room for twice what it holds.
        block.size() + size_of::<Self>() - size_of::<Block>() + 4 * size_of::<usize>()
    }

    /// What may be taken beside that by what is remembered about it.
    pub(super) fn room_for_answers(block: &Block) -> usize {
        block.size() / 2
    }

    pub(super) fn last_place(&self) -> Place {
        self.block.heads().last().map(|head| head.place).unwrap_or_default()
    }

    /// Which of its events pass `filter`: found out once for all readers that share it.
    pub(super) fn matches(&self, filter: &Filter, account: &Account) -> Matches {
        if filter.passes_all(self.kinds) {
            return Matches::All;
        }
        if let Some(matches) = self.answers().get(filter.id()) {
            return matches;
        }
        // Not under the lock: readers with other filters need not wait. Two that ask the same at once both find out.
        let matches = filter.matches(&self.block);
        self.answers().remember(filter.id(), &matches, Self::room_for_answers(&self.block), account);
        matches
    }

    /// The same for one reader, where nothing is remembered.
    pub(super) fn matches_once(&self, filter: &Filter) -> Matches {
        if filter.passes_all(self.kinds) { Matches::All } else { filter.matches(&self.block) }
    }

    /// The block leaves the ring: gives back what it was charged.
    pub(super) fn evict(&self, account: &Account) {
        let mut answers = self.answers();
        answers.evicted = true;
        account.release(Self::size_of(&self.block) + std::mem::take(&mut answers.bytes));
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that it takes now.
    pub(super) fn charged(&self) -> usize {
        Self::size_of(&self.block) + self.answers().bytes
    }
}

impl Answers {
    fn get(&self, filter: FilterId) -> Option<Matches> {
        self.known.iter().find(|(id, _)| *id == filter).map(|(_, matches)| matches.clone())
    }

    /// Remembers what there is room for. The rest is found out again: right, only slower.
    fn remember(&mut self, filter: FilterId, matches: &Matches, room: usize, account: &Account) {
        let bytes = size_of::<(FilterId, Matches)>() + matches.heap_size();
        let fits = self.bytes + bytes <= room;
        if fits && !self.evicted && self.get(filter).is_none() && account.try_charge(bytes) {
            self.bytes += bytes;
            self.known.reserve_exact(1);
            self.known.push((filter, matches.clone()));
        }
    }
}
