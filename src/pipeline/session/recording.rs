//! What a session has recorded: marks behind whole transactions, and what may be acknowledged once they are on disk.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Session;
use crate::history::{Mark, Recording};
use crate::lsn::Lsn;
use crate::pipeline::error::PipelineError;
use crate::pipeline::resuming::Left;
use crate::pipeline::unix_micros;

/// Marks are at least so far apart: each asks the disk to sync.
const APART: Duration = Duration::from_millis(100);
/// Where nothing but the position is new, it is enough to record it so often.
const SELDOM: Duration = Duration::from_secs(1);

/// What is still to be written when all ends may take so long.
const FAREWELL: Duration = Duration::from_secs(3);

/// When the next mark is to be set.
#[derive(Debug, Default)]
pub(super) struct Marks {
    due: Option<Instant>,
    last: Option<Instant>,
    position: Lsn,
    after_block: u64,
    /// Any was set since the session began.
    any: bool,
}

impl Marks {
    /// The stream stands at `position`, behind so many blocks.
    pub(super) fn moved(&mut self, position: Lsn, after_block: u64) {
        let apart = if after_block > self.after_block { APART } else { SELDOM };
        if position > self.position || after_block > self.after_block {
            let due = self.last.map_or_else(Instant::now, |last| last + apart);
            self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
}

impl Session<'_> {
    /// Where a slot that stays can be taken up again.
    pub(super) fn leave(&mut self) {
        // What came together with the end was applied, and its counts are to be recorded with it.
        self.notice();
        self.applier.flush_whole(&mut self.pipeline.history);
        self.mark();
        let (epoch, timeline) = (self.applier.epoch().clone(), self.pipeline.timeline);
        let position = self.applier.ledger().position();
        // A transaction of which only a part was told would be told again from its beginning.
        self.pipeline.left = self.applier.is_flushed().then_some(Left { epoch, position, timeline });
    }

    /// A mark is due, unless those before it still wait to be written.
    pub(super) fn mark_in_turn(&mut self) {
        if self.pipeline.history.takes_marks() {
            self.mark();
        } else {
            self.marks.due = Some(Instant::now() + APART);
        }
    }

    /// What was applied so far are whole transactions, and can be made durable.
    pub(super) fn mark(&mut self) {
        self.marks.due = None;
        if self.pipeline.recording.is_none() || !self.applier.is_flushed() {
            return;
        }
        let (position, epoch) = (self.applier.ledger().position(), self.applier.epoch().clone());
        let (tables, gone) = self.tables.take_unrecorded(self.applier.ledger());
        self.marks.last = Some(Instant::now());
        (self.marks.position, self.marks.after_block) = (position, self.pipeline.history.position());
        let (timeline, told_by) = (self.pipeline.timeline, self.tables.told_by());
        let whole = !std::mem::replace(&mut self.marks.any, true);
        let mark = Mark { position, epoch, timeline, time: unix_micros(), told_by, tables, gone, whole };
        self.pipeline.recorded_tables.note(&mark);
        self.pipeline.history.mark(mark);
    }

    /// Waits, for a bounded time, until what was marked last is on disk, so that the server is told.
    pub(super) async fn written(&mut self) {
        let (epoch, position) = (self.applier.epoch().clone(), self.marks.position);
        let Some(recording) = self.pipeline.recording.as_mut() else { return };
        let is_written = |told: &Recording| told.failed.is_some() || told.durable.as_ref() == Some(&(epoch.clone(), position));
        if let Ok(Ok(told)) =
            tokio::time::timeout(FAREWELL, recording.wait_for(is_written)).await.map(|told| told.map(|told| told.clone()))
        {
            drop(self.recorded(told));
        }
    }

    /// What was on disk when the stream began can be acknowledged.
    pub(super) fn recorded_before(&mut self) -> Result<(), PipelineError> {
        let told = self.pipeline.recording.as_ref().map(|recording| recording.borrow().clone());
        told.map_or(Ok(()), |told| self.recorded(told))
    }

    /// More is on disk: the server need not keep it any more.
    pub(super) fn recorded(&mut self, recording: Recording) -> Result<(), PipelineError> {
        if let Some(reason) = recording.failed {
            return Err(PipelineError::Unrecorded { reason });
        }
        if let Some((_, position)) = recording.durable.filter(|(epoch, _)| epoch == self.applier.epoch()) {
            self.progress.flushed(position);
        }
        Ok(())
    }
}

/// Waits until the journal is further. For ever, if there is none.
pub(super) async fn recorded(recording: Option<&mut watch::Receiver<Recording>>) -> Recording {
    let Some(recording) = recording else { return std::future::pending().await };
    match recording.changed().await {
        Ok(()) => recording.borrow_and_update().clone(),
        Err(_) => {
            let failed = recording.borrow().failed.clone().unwrap_or_else(|| "its thread has ended".to_owned());
            Recording { failed: Some(failed), ..Recording::default() }
        }
    }
}
