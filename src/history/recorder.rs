//! Writes the journal: a thread of its own, to which blocks and marks come in the order of the stream.
//!
//! ```text
//!   pipeline ──▶ block · block · mark · block · mark ──▶ thread: append … commit ──▶ durable position ──▶ acknowledged
//! ```
//!
//! A [`Mark`] stands behind whole transactions, and makes all before it durable. The pipeline sets a few of them a second, however many
//! transactions there are, so the disk is not asked to sync more often. What waits to be written is bounded: then the pipeline waits
//! ([`Recorder::has_room`]), reads no more from its socket, and says why if there is no room on the disk. Marks wait as well
//! ([`Recorder::takes_marks`]), since the stream moves on where nothing else does.
//!
//! Where nothing comes, what is kept for a time goes all the same; with what goes from the disk goes what memory has of it.
//!
//! Nothing async ever waits for the thread itself: who wants to see all of it written awaits [`Recorder::finish`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::Shared;
use super::block::Kept;
use super::journal::{Journal, JournalError, Mark};
use crate::lsn::{Epoch, Lsn};

/// What waits to be written takes about so many bytes at most.
const BACKLOG: usize = 16 << 20;
/// So many marks wait to be written at most, but for the last of a connection.
const MARKS: usize = 4;
/// How long to wait for room on a full disk, before it is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// How far the journal is.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Everything committed before this is on disk, in the epoch of the last mark.
    pub durable: Option<(Epoch, Lsn)>,
    /// Why nothing is written at the moment.
    pub waits: Option<String>,
    /// Why nothing will be written any more.
    pub failed: Option<String>,
}

enum Task {
    Block(Arc<Kept>),
    Mark(Mark),
}

/// The end that hands over.
pub(super) struct Recorder {
    tasks: Option<mpsc::Sender<Task>>,
    backlog: Arc<Backlog>,
    recording: watch::Receiver<Recording>,
}

#[derive(Debug, Default)]
struct Backlog {
    bytes: AtomicUsize,
    marks: AtomicUsize,
    shrunk: Notify,
    /// Nothing more comes, and nobody waits for room on the disk.
    ends: AtomicBool,
}

impl Recorder {
    /// Starts to write. What is no longer kept goes from `shared`.
    pub(super) fn start(journal: Journal, shared: Arc<Shared>) -> std::io::Result<Self> {
        let (tasks, queue) = mpsc::channel();
        let (told, recording) = watch::channel(Recording::default());
        let backlog = Arc::new(Backlog::default());
        let (of_thread, name) = (Arc::clone(&backlog), "journal".to_owned());
        let scribe = Scribe { journal, shared, queue, backlog: of_thread, told };
        thread::Builder::new().name(name).spawn(move || scribe.write())?;
        Ok(Self { tasks: Some(tasks), backlog, recording })
    }

    pub(super) fn recording(&self) -> watch::Receiver<Recording> {
        self.recording.clone()
    }

    pub(super) fn block(&self, block: Arc<Kept>) {
        self.backlog.bytes.fetch_add(block.block.size(), Ordering::Relaxed);
        self.hand_over(Task::Block(block));
    }

    pub(super) fn mark(&self, mark: Mark) {
        self.backlog.marks.fetch_add(1, Ordering::Relaxed);
        self.hand_over(Task::Mark(mark));
    }

    /// A thread that has ended has said why.
    fn hand_over(&self, task: Task) {
        if let Some(tasks) = &self.tasks {
            drop(tasks.send(task));
        }
    }

    /// Waits until less is waiting to be written than may. Cancel-safe.
    pub(super) async fn has_room(&self) {
        let mut recording = self.recording.clone();
        loop {
            let shrunk = self.backlog.shrunk.notified();
            if self.backlog.bytes.load(Ordering::Relaxed) < BACKLOG || recording.borrow_and_update().failed.is_some() {
                return;
            }
            tokio::select! {
                () = shrunk => {}
                // A thread that panicked has not said so, and makes no room.
                told = recording.changed() => if told.is_err() { return },
            }
        }
    }

    /// Whether a mark would not have to wait behind others.
    pub(super) fn takes_marks(&self) -> bool {
        self.backlog.marks.load(Ordering::Relaxed) < MARKS
    }

    /// Takes no more, and waits until what was handed over is written, unless there is no room for it.
    pub(super) async fn finish(mut self) {
        self.end();
        // The thread holds the other end for as long as it runs.
        while self.recording.changed().await.is_ok() {}
    }

    fn end(&mut self) {
        self.backlog.ends.store(true, Ordering::Relaxed);
        drop(self.tasks.take());
    }
}

/// What was handed over is still written, unless there is no room for it or the process ends first.
impl Drop for Recorder {
    fn drop(&mut self) {
        self.end();
    }
}

/// The thread. The journal is closed before that can be seen.
struct Scribe {
    journal: Journal,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Task>,
    backlog: Arc<Backlog>,
    told: watch::Sender<Recording>,
}

impl Scribe {
    fn write(mut self) {
        loop {
            let next = match self.journal.tended_every() {
                Some(time) => self.queue.recv_timeout(time),
                None => self.queue.recv().map_err(RecvTimeoutError::from),
            };
            let done = match next {
                Ok(Task::Block(block)) => self.block(&block),
                Ok(Task::Mark(mark)) => self.commit(mark),
                Err(RecvTimeoutError::Timeout) => self.tend(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if let Err(error) = done {
                tracing::error!("{error}");
                self.told.send_modify(|told| (told.waits, told.failed) = (None, Some(error.to_string())));
                self.backlog.shrunk.notify_waiters();
                return;
            }
        }
    }

    fn block(&mut self, kept: &Kept) -> Result<(), JournalError> {
        let appended = self.journal.append(&kept.block);
        self.patiently(appended, Journal::flush)?;
        self.backlog.bytes.fetch_sub(kept.block.size(), Ordering::Relaxed);
        self.backlog.shrunk.notify_waiters();
        Ok(())
    }

    fn commit(&mut self, mark: Mark) -> Result<(), JournalError> {
        let (epoch, position) = (mark.epoch.clone(), mark.position);
        let commit = |journal: &mut Journal| journal.commit(mark.clone());
        let committed = commit(&mut self.journal);
        self.patiently(committed, commit)?;
        self.backlog.marks.fetch_sub(1, Ordering::Relaxed);
        self.told.send_modify(|told| told.durable = Some((epoch, position)));
        self.shared.let_go();
        Ok(())
    }

    fn tend(&mut self) -> Result<(), JournalError> {
        self.journal.tend(jiff::Timestamp::now().as_microsecond())?;
        self.shared.let_go();
        Ok(())
    }

    /// What fails for want of room is tried until there is some, or nobody waits for it any more.
    fn patiently(
        &mut self,
        mut outcome: Result<(), JournalError>,
        again: impl Fn(&mut Journal) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        while let Err(error) = &outcome {
            if !error.is_full() || self.backlog.ends.load(Ordering::Relaxed) {
                return outcome;
            }
            if self.told.borrow().waits.is_none() {
                tracing::error!("{error}; nothing more is read from the database until there is room");
            }
            let waits =
                format!("{error}; make room there. What happens waits in the database, as far as the budget for its log goes");
            self.told.send_modify(|told| told.waits = Some(waits));
            thread::sleep(PAUSE);
            // What goes now makes room.
            self.tend()?;
            outcome = again(&mut self.journal);
        }
        if self.told.borrow().waits.is_some() {
            tracing::info!("the journal is written again");
            self.told.send_modify(|told| told.waits = None);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_for_room_that_a_thread_that_has_ended_would_make() {
        let (told, recording) = watch::channel(Recording::default());
        let backlog = Arc::new(Backlog { bytes: AtomicUsize::new(BACKLOG), ..Backlog::default() });
        let recorder = Recorder { tasks: None, backlog, recording };
        let waits = tokio::spawn(async move { recorder.has_room().await });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        drop(told);
        waits.await.unwrap();
    }
}
