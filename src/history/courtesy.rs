//! For whom the writer waits, and for how long, before blocks go that a reader still needs.
//!
//! One transaction can be larger than the whole ring. A reader that takes its events as fast as it can would then lose some only because
//! the writer is faster still. So the writer waits for readers *in good standing*:
//!
//! ```text
//!                     a gap, or no progress for STALL, or waited for EACH
//!   in good standing ───────────────────────────────────────────────────▶ without
//!          ▲                                                                 │
//!          └──────────────────────── has caught up with the head ◀───────────┘
//! ```
//!
//! A stalled reader therefore costs at most [`STALL`] and a trickling one at most [`EACH`], once, until it has read all there is. All
//! readers together never cost more than [`TOGETHER`] and a tenth of the time, whatever they do ([`Patience`]).

use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

/// A reader that has something to read and takes nothing for this long is stalled.
pub(super) const STALL: Duration = Duration::from_millis(100);

/// How long one reader is waited for in all, until it has caught up.
pub(super) const EACH: Duration = Duration::from_secs(2);

/// How long all readers are waited for at a stretch.
pub(super) const TOGETHER: Duration = Duration::from_secs(4);

/// For less than this it is not worth waiting: timers are no finer than a millisecond, and what is overdrawn is not remembered.
const GRAIN: Duration = Duration::from_millis(10);

/// Part of the time by which the patience of [`TOGETHER`] grows back.
const RECOVERY: u32 = 10;

/// Names a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ReaderId(u64);

/// How far every reader has come.
#[derive(Debug, Default)]
pub(super) struct Readers {
    progress: FxHashMap<ReaderId, Progress>,
    joined: u64,
    /// No reader in good standing needs a block before this one. Only looked up again when blocks beyond it are to go, so that an
    /// append does not ask every reader.
    needed_from: u64,
    /// The writer waits until nobody needs a block before this one.
    awaited: Option<u64>,
}

#[derive(Debug)]
struct Progress {
    /// The block it needs next.
    next: u64,
    /// When it last took something.
    read_at: Instant,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Good {
        /// How long the writer has waited for it since it last caught up.
        waited: Duration,
    },
    Without,
}

impl Standing {
    const FRESH: Standing = Standing::Good { waited: Duration::ZERO };
}

/// What a reader has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Came a bit further.
    Advanced,
    /// Took all there was.
    CaughtUp,
    /// Was told that it lost something.
    Lost,
}

impl Readers {
    /// A reader begins at block `next`. One that begins at the head has caught up; any other has to, first.
    pub(super) fn join(&mut self, next: u64, at_head: bool) -> ReaderId {
        let id = ReaderId(self.joined);
        self.joined += 1;
        let standing = if at_head { Standing::FRESH } else { Standing::Without };
        self.progress.insert(id, Progress { next, read_at: Instant::now(), standing });
        self.needed_from = self.needed_from.min(next);
        id
    }

    /// A reader is gone. Tells whether the writer may have waited for it, as [`Readers::note`] does.
    #[must_use]
    pub(super) fn leave(&mut self, id: ReaderId) -> bool {
        let gone = self.progress.remove(&id);
        gone.is_some_and(|progress| self.awaited.is_some_and(|awaited| progress.next < awaited))
    }

    /// A reader needs block `next` next. Tells whether the writer has waited for that.
    #[must_use]
    pub(super) fn note(&mut self, id: ReaderId, next: u64, step: Step) -> bool {
        let Some(progress) = self.progress.get_mut(&id) else { return false };
        let before = std::mem::replace(&mut progress.next, next);
        progress.read_at = Instant::now();
        match step {
            Step::Advanced => {}
            Step::CaughtUp => progress.standing = Standing::FRESH,
            Step::Lost => progress.standing = Standing::Without,
        }
        self.needed_from = self.needed_from.min(next);
        self.awaited.is_some_and(|awaited| before < awaited && awaited <= next)
    }

    /// Until when the writer is to wait, at most, before blocks before `keep_from` go; `None` when nobody is waited for. `waited` has
    /// passed since it last asked; `due` tells since when a block has been there to be read.
    pub(super) fn held_up_until(
        &mut self,
        keep_from: u64,
        waited: Duration,
        due: impl Fn(u64) -> Option<Instant>,
        now: Instant,
    ) -> Option<Instant> {
        self.awaited = None;
        if self.needed_from >= keep_from {
            return None;
        }
        self.needed_from = u64::MAX;
        let mut until = None::<Instant>;
        for progress in self.progress.values_mut() {
            let Standing::Good { waited: before } = progress.standing else { continue };
            if progress.next < keep_from {
                let so_far = before + waited;
                let stalled_at = due(progress.next).map(|due| due.max(progress.read_at) + STALL);
                let patient_until = stalled_at.map(|stalled| stalled.min(now + EACH.saturating_sub(so_far)));
                let Some(patient_until) = patient_until.filter(|until| *until > now) else {
                    progress.standing = Standing::Without;
                    continue;
                };
                progress.standing = Standing::Good { waited: so_far };
                until = Some(until.map_or(patient_until, |until| until.min(patient_until)));
            }
            self.needed_from = self.needed_from.min(progress.next);
        }
        self.awaited = until.map(|_| keep_from);
        until
    }

    pub(super) fn len(&self) -> usize {
        self.progress.len()
    }
}

/// How long the writer may still wait, whoever it is for: spent by waiting, and slowly growing back.
#[derive(Debug)]
pub(super) struct Patience {
    left: Duration,
    since: Instant,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { left: TOGETHER, since: Instant::now() }
    }

    /// What is left of it now, if that is worth waiting.
    pub(super) fn left(&mut self, now: Instant) -> Option<Duration> {
        self.left = TOGETHER.min(self.left + now.duration_since(self.since) / RECOVERY);
        self.since = now;
        Some(self.left).filter(|left| *left >= GRAIN)
    }

    pub(super) fn spend(&mut self, waited: Duration) {
        self.left = self.left.saturating_sub(waited);
    }
}
