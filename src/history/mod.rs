//! The history: one writer appends blocks, any number of readers follow with cursors of their own.
//!
//! Floor 4. The latest blocks are in memory, in a ring. With a [`journal`] all of them are on disk as well, written by a thread of its own
//! (`recorder`); who reads what the ring has no more reads it there, and passes over into the ring where that begins.
//!
//! ```text
//!             floor                                         newest
//!               │  ┌───────┬───────┬───────┬───────┬───────┐  │
//!   evicted ──▶ │  │block 7│block 8│block 9│  10   │  11   │  │ ◀── Writer::append
//!               │  └───────┴───▲───┴───────┴───────┴───────┘  │
//!                              └ a Reader: sequence number of its next block, index of the next event in it
//! ```
//!
//! Invariants:
//! - History and live are one path: a reader that catches up waits for the head to move, so "replay, then subscribe" has no race.
//! - Everything that came after the *floor* is kept. Whoever must read on from before it is told a [`Gap`](crate::event::Gap) up to the floor first; the
//!   floor is an event id, and reading on after it loses nothing.
//! - Within an epoch, places only go up. Blocks are found by sequence number and events by place, both by bisection.
//! - With a journal the floor is where that begins: what goes there for its age, or for want of room, goes from memory as well. A block leaves the ring whether or not it is on disk yet; who needs it then waits for it.
//! - Blocks and what is remembered about them never take more than the limit. A [`Batch`] keeps the blocks of its events alive for as
//!   long as it exists: it is to be written or copied at once, not kept.
//! - Nobody who does not read holds up anybody who does ([`Writer::make_room`]).

mod batch;
mod block;
mod courtesy;
pub mod journal;
mod past;
mod query;
mod reader;
mod recorder;
mod ring;
#[cfg(test)]
mod tests;
mod visit;
mod writer;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::{Notify, watch};

pub use batch::{Batch, Event};
pub use journal::Mark;
pub use past::{Past, PastError};
pub use query::{Beginning, Bound, Order, Page, ParseBoundError, Query, TransactionLookup};
pub use reader::{Read, Reader, Start};
pub use recorder::Recording;
pub use ring::Usage;
pub use writer::Writer;

use crate::event::filter::{Filter, Filters};
use crate::event::time::from_unix_micros;
use crate::lsn::EventId;
use crate::pgoutput::Timestamp;
use block::Account;
use courtesy::Readers;
use journal::Archive;
use ring::Ring;

/// A history that takes at most `limit` bytes of memory: the one end that writes, and the one that everybody reads.
pub fn ring(limit: usize) -> (Writer, History) {
    with(limit, None)
}

/// The same, before which stands all that a journal holds. Readers then block on the disk where they have to: on a runtime of several
/// threads only.
pub fn recorded(limit: usize, archive: Archive) -> (Writer, History) {
    with(limit, Some(archive))
}

fn with(limit: usize, archive: Option<Archive>) -> (Writer, History) {
    let account = Arc::new(Account::new(limit));
    // Behind a journal the first block is not the beginning.
    let first = u64::from(archive.is_some());
    let shared = Arc::new(Shared {
        archive,
        ring: RwLock::new(Ring::new(Arc::clone(&account), first)),
        account,
        head: watch::Sender::new(Head { blocks: first, begun: false }),
        readers: Mutex::default(),
        progress: Notify::new(),
        filters: Filters::default(),
        began: from_unix_micros(jiff::Timestamp::now().as_microsecond()),
    });
    (Writer::new(Arc::clone(&shared)), History { shared })
}

/// The history, for everybody who reads. Cheap to clone.
#[derive(Clone)]
pub struct History {
    shared: Arc<Shared>,
}

/// Says nothing of what it holds.
impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").field("position", &self.position()).finish_non_exhaustive()
    }
}

/// How far the history has come: what a reader waits for.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// Blocks ever appended.
    blocks: u64,
    /// The first epoch has begun, so there is a floor.
    begun: bool,
}

struct Shared {
    /// What is on disk, if anything is to be.
    archive: Option<Archive>,
    ring: RwLock<Ring>,
    account: Arc<Account>,
    head: watch::Sender<Head>,
    readers: Mutex<Readers>,
    /// Told when a reader has come past the block that the writer waits for.
    progress: Notify,
    filters: Filters,
    /// When this was made, by our clock.
    began: Timestamp,
}

impl Shared {
    fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is no longer kept on disk is not kept in memory either.
    fn let_go(&self) {
        let Some(floor) = self.archive.as_ref().and_then(Archive::floor) else { return };
        if self.ring().oldest().is_some_and(|oldest| oldest <= floor) {
            let gone = self.ring.write().unwrap_or_else(PoisonError::into_inner).let_go(&floor);
            drop(gone);
        }
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl History {
    /// The one filter that asks for what `filter` asks for: clients that share it share the work.
    pub fn intern(&self, filter: Filter) -> Arc<Filter> {
        self.shared.filters.intern(filter)
    }

    /// The oldest event that is kept.
    pub fn oldest(&self) -> Option<EventId> {
        let on_disk = self.shared.archive.as_ref().and_then(Archive::first);
        on_disk.or_else(|| self.shared.ring().oldest())
    }

    /// The newest event, or where the epoch began if there is none yet; `None` before the first epoch.
    pub fn newest(&self) -> Option<EventId> {
        self.shared.ring().newest().cloned()
    }

    /// The last event of the last transaction that is here whole.
    pub fn settled(&self) -> Option<EventId> {
        self.shared.ring().live().1
    }

    /// Blocks ever appended.
    pub fn position(&self) -> u64 {
        self.shared.head.borrow().blocks
    }

    /// What it takes and keeps.
    pub fn usage(&self) -> Usage {
        let readers = self.shared.readers().len();
        Usage { readers, ..self.shared.ring().usage() }
    }
}
