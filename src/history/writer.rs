//! The one end that writes.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::block::Kept;
use super::courtesy::Patience;
use super::journal::Mark;
use super::journal::{Archive, Journal};
use super::recorder::{Recorder, Recording};
use super::{Head, Shared};
use crate::event::{Block, BlockBuilder, Gap, GapReason, Kind, NewEvent};
use crate::lsn::{Epoch, EventId, Lsn, Place};
use crate::pgoutput::Timestamp;

/// Appends to the history. There is one.
pub struct Writer {
    shared: Arc<Shared>,
    patience: Patience,
    recorder: Option<Recorder>,
    /// When the last event came about that has a time.
    time: Timestamp,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        // A gap behind what an earlier process recorded is as old as that.
        let time = shared.archive.as_ref().and_then(Archive::ends).unwrap_or_default();
        Self { shared, patience: Patience::new(), recorder: None, time }
    }

    /// A new unbroken stretch of the stream begins: what comes now stands behind `start`. With a reason, every reader is told a gap from
    /// the last event up to there; without one nothing was lost, as at the very first. Behind what an earlier process recorded, that this
    /// one began is reason enough.
    pub fn begin_epoch(&mut self, epoch: Epoch, start: Lsn, reason: Option<GapReason>) {
        let is_recorded = || self.shared.archive.as_ref().and_then(Archive::last).map(|_| GapReason::Restart);
        let reason = reason.or_else(is_recorded);
        let from = {
            let mut ring = self.shared.ring.write().unwrap_or_else(PoisonError::into_inner);
            let from = ring.newest().cloned().or_else(|| self.shared.archive.as_ref().and_then(Archive::last));
            ring.begin_epoch(&epoch, start, from.clone());
            from
        };
        self.shared.head.send_modify(|head| head.begun = true);
        let Some(reason) = reason else { return };
        let place = Place { commit_lsn: start, ordinal: 0 };
        let gap = Gap { from, to: EventId { epoch: epoch.clone(), place }, reason };
        let event = NewEvent { kind: Kind::Gap, place, table: None, operation: None, actor: None, xid: None, time: self.time };
        let mut builder = BlockBuilder::new(epoch);
        builder.push(event, |json| json.extend_from_slice(&gap.json()));
        builder.reached(start);
        self.append(builder.finish());
    }

    /// An epoch that was left at `start` goes on, and nothing was lost: in this process, or with what another recorded.
    pub fn go_on(&mut self, epoch: &Epoch, start: Lsn) {
        {
            let mut ring = self.shared.ring.write().unwrap_or_else(PoisonError::into_inner);
            if ring.newest().is_some_and(|newest| newest.epoch == *epoch) {
                return;
            }
            let before = self.shared.archive.as_ref().and_then(Archive::last);
            ring.begin_epoch(epoch, start, before);
        }
        self.shared.head.send_modify(|head| head.begun = true);
    }

    /// Appends a block of the current epoch and wakes the readers; gives the number of blocks ever appended. Never waits: whoever still
    /// needs a block that has to go for it will be told a gap.
    pub fn append(&mut self, block: Block) -> u64 {
        let Some(last) = block.heads().last() else { return self.position() };
        self.time = last.time;
        let kept = Arc::new(Kept::new(block));
        if let Some(recorder) = &self.recorder {
            recorder.block(Arc::clone(&kept));
        }
        let (evicted, blocks) = {
            let mut ring = self.shared.ring.write().unwrap_or_else(PoisonError::into_inner);
            (ring.push(kept), ring.end())
        };
        self.shared.head.send_modify(|head| *head = Head { blocks, ..*head });
        drop(evicted);
        blocks
    }

    /// Writes everything from here on to `journal`, too.
    ///
    /// # Errors
    /// No thread could be started for it.
    pub fn record(&mut self, journal: Journal) -> std::io::Result<watch::Receiver<Recording>> {
        let recorder = Recorder::start(journal, Arc::clone(&self.shared))?;
        let recording = recorder.recording();
        self.recorder = Some(recorder);
        Ok(recording)
    }

    /// What was appended so far are whole transactions, and this is to be said of them on disk.
    pub fn mark(&self, mark: Mark) {
        if let Some(recorder) = &self.recorder {
            recorder.mark(mark);
        }
    }

    /// Whether a mark that is set now is written soon. Where it is not, what it would say is better said by a later one.
    pub fn takes_marks(&self) -> bool {
        self.recorder.as_ref().is_none_or(Recorder::takes_marks)
    }

    /// Waits until all that was appended is on disk, if it is written there at all and there is room for it.
    pub async fn finish(self) {
        if let Some(recorder) = self.recorder {
            recorder.finish().await;
        }
    }

    /// Blocks ever appended.
    pub fn position(&self) -> u64 {
        self.shared.head.borrow().blocks
    }

    /// Waits, for a strictly bounded time, until no reader in good standing needs the blocks that have to go for `block`. To be called
    /// before [`Writer::append`]; see `courtesy.rs`. Cancel-safe.
    pub async fn make_room(&mut self, block: &Block) {
        if let Some(recorder) = &self.recorder {
            recorder.has_room().await;
        }
        let mut waited = Duration::ZERO;
        loop {
            let now = Instant::now();
            let Some(until) = self.held_up_until(block, waited, now) else { return };
            let Some(patience) = self.patience.left(now) else { return };
            // Woken or timed out, the loop looks again.
            let _ = timeout_at(until.min(now + patience), self.shared.progress.notified()).await;
            waited = now.elapsed();
            self.patience.spend(waited);
        }
    }

    fn held_up_until(&self, block: &Block, waited: Duration, now: Instant) -> Option<Instant> {
        let ring = self.shared.ring();
        let keep_from = ring.first_after(block);
        let due = |sequence| ring.get(sequence).map(|kept| kept.appended);
        if keep_from > ring.first() { self.shared.readers().held_up_until(keep_from, waited, due, now) } else { None }
    }
}
