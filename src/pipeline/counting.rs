//! Baselines: which table is counted next, or its rows read, and by whom.
//!
//! Few at a time, smallest tables first, each on an ordinary SQL session of its own. A count that cannot be taken now (the table is locked,
//! a transaction that must end first has not ended) goes back into the queue and is tried again a little later. The rows of a table are
//! read only once it is counted, and not while it waits to be counted again.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use rustc_hash::FxHashMap;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::sessions::{SessionError, Sessions};
use crate::catalog::{self, Baseline, CountError, Progress, ReadError};
use crate::counts::{FullXid, Snapshot};
use crate::lsn::{Lsn, Oid};
use crate::pgoutput::ValueLimit;
use crate::rows::{Reading, Reason};

/// A table to be counted, or its rows to be read.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) table: Arc<catalog::Table>,
    pub(super) task: Task,
    /// Transactions below this one must have ended: the stream may not hold all that they did.
    pub(super) fence: Option<FullXid>,
    /// How often it could not be counted.
    pub(super) tries: u32,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Count,
    /// If they take no more than so many bytes.
    ReadRows(usize),
}

/// What was done.
#[derive(Debug)]
pub(super) enum Outcome {
    Counted(Baseline),
    Read(Reading),
}

impl Job {
    fn oid(&self) -> Oid {
        self.table.oid
    }

    fn rank(&self) -> (u32, Oid) {
        (self.table.pages, self.table.oid)
    }
}

/// What a count under way has to say.
#[derive(Debug)]
pub(super) enum Report {
    /// It has its snapshot, taken before the log reached this position.
    Began { oid: Oid, snapshot: Snapshot, lsn: Lsn },
    /// So much of it is done.
    Percent { oid: Oid, percent: u8 },
    /// It is over.
    Done { job: Job, outcome: Box<Result<Outcome, Failure>>, session: Option<Client> },
}

/// Why a table could not be counted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Count(#[from] CountError),
    #[error("its rows are not kept: {0}")]
    Refused(Reason),
    #[error("counting it failed in a way that it should not; see the log, and report it")]
    Panicked,
}

/// The queue and the sessions that work it off.
#[derive(Debug)]
pub(super) struct Counting {
    sessions: Sessions,
    source: Source,
    limit: usize,
    /// By the catalog's estimate of their size: small ones first.
    queue: BTreeSet<(u32, Oid)>,
    jobs: FxHashMap<Oid, Job>,
    later: Vec<(Instant, Job)>,
    running: FxHashMap<Oid, Task>,
    reports: mpsc::UnboundedSender<Report>,
    idle: Vec<Client>,
    cancel: CancellationToken,
}

/// What is read of a row.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) publication: String,
    pub(super) max_value: ValueLimit,
}

/// A table that could not be counted now is tried again after this long, and twice as long each time, up to [`AGAIN_AT_MOST`].
const AGAIN: Duration = Duration::from_millis(250);
const AGAIN_AT_MOST: Duration = Duration::from_secs(4);

impl Counting {
    /// Counts at most `limit` tables at a time.
    pub(super) fn new(sessions: Sessions, source: Source, limit: usize) -> (Self, mpsc::UnboundedReceiver<Report>) {
        let (reports, receiver) = mpsc::unbounded_channel();
        let counting = Counting {
            sessions,
            source,
            limit,
            queue: BTreeSet::new(),
            jobs: FxHashMap::default(),
            later: Vec::new(),
            running: FxHashMap::default(),
            reports,
            idle: Vec::new(),
            cancel: CancellationToken::new(),
        };
        (counting, receiver)
    }

    /// Enters a table; if it is being counted already, it will be counted once more.
    pub(super) fn ask(&mut self, job: Job) {
        self.forget(job.oid());
        self.queue.insert(job.rank());
        self.jobs.insert(job.oid(), job);
    }

    /// Whether a table is being counted, or is to be.
    pub(super) fn counts(&self, oid: Oid) -> bool {
        let waiting = self.jobs.get(&oid).into_iter().chain(self.later.iter().map(|(_, job)| job).filter(|job| job.oid() == oid));
        self.running.get(&oid) == Some(&Task::Count) || waiting.into_iter().any(|job| job.task == Task::Count)
    }

    /// Enters a table that could not be counted now.
    pub(super) fn ask_later(&mut self, job: Job) {
        let pause = AGAIN.saturating_mul(1 << job.tries.min(8)).min(AGAIN_AT_MOST);
        self.later.push((Instant::now() + pause, Job { tries: job.tries + 1, ..job }));
    }

    /// Strikes a table out.
    pub(super) fn forget(&mut self, oid: Oid) {
        self.later.retain(|(_, job)| job.oid() != oid);
        if let Some(job) = self.jobs.remove(&oid) {
            self.queue.remove(&job.rank());
        }
    }

    /// When a table that had to wait is to be tried again.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.later.iter().map(|(due, _)| *due).min()
    }

    /// Starts as many counts as may run; `starting` is told of each before its snapshot is taken.
    pub(super) fn start(&mut self, mut starting: impl FnMut(&Job)) {
        let now = Instant::now();
        for (_, job) in self.later.extract_if(.., |(due, _)| *due <= now).collect::<Vec<_>>() {
            self.ask(job);
        }
        if self.queue.is_empty() && self.later.is_empty() {
            // Quiet for now: no session is kept open for nothing.
            self.idle.clear();
        }
        while self.running.len() < self.limit {
            // A table that is asked for again while it is being counted waits for that count to end.
            let Some(next) = self.queue.iter().find(|(_, oid)| !self.running.contains_key(oid)).copied() else { return };
            self.queue.remove(&next);
            let Some(job) = self.jobs.remove(&next.1) else { continue };
            self.running.insert(job.oid(), job.task);
            starting(&job);
            let (reports, again) = (self.reports.clone(), job.clone());
            let (sessions, source) = (self.sessions.clone(), self.source.clone());
            let work = AssertUnwindSafe(work(job, sessions, source, self.idle.pop(), reports.clone())).catch_unwind();
            let cancel = self.cancel.clone();
            tokio::spawn(async move {
                if let Some(Err(_)) = cancel.run_until_cancelled(work).await {
                    // Its place among those that may run must come back, whatever happened.
                    drop(reports.send(Report::Done { job: again, outcome: Box::new(Err(Failure::Panicked)), session: None }));
                }
            });
        }
    }

    /// Takes back the session of a count that has ended. True when nobody asked for the table again meanwhile, so that its result counts.
    pub(super) fn ended(&mut self, oid: Oid, session: Option<Client>) -> bool {
        self.idle.extend(session);
        self.running.remove(&oid).is_some() && !self.jobs.contains_key(&oid)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Counts one table or reads its rows, reporting on the way, and hands its session back if it is still good.
async fn work(job: Job, sessions: Sessions, source: Source, session: Option<Client>, reports: mpsc::UnboundedSender<Report>) {
    let oid = job.oid();
    let mut session = session;
    let outcome = async {
        let client = match &mut session {
            Some(client) if !client.is_closed() => client,
            other => other.insert(sessions.open("pgvigil count").await?),
        };
        let progress = |progress: Progress<'_>| {
            // Nobody listens any more once the epoch is over; then the count is of no use either.
            drop(reports.send(match progress {
                Progress::Began { snapshot, lsn } => Report::Began { oid, snapshot: snapshot.clone(), lsn },
                Progress::Percent(percent) => Report::Percent { oid, percent },
            }));
        };
        match job.task {
            Task::Count => Ok(Outcome::Counted(catalog::count(client, &job.table, job.fence, progress).await?)),
            Task::ReadRows(limit) => {
                let Source { publication, max_value } = &source;
                match catalog::contents(client, &job.table, publication, limit, *max_value).await {
                    Ok(reading) => Ok(Outcome::Read(reading)),
                    Err(ReadError::Refused(reason)) => Err(Failure::Refused(reason)),
                    Err(ReadError::Failed(error)) => Err(error.into()),
                }
            }
        }
    }
    .await;
    let outcome = Box::new(outcome);
    let session = session.filter(|client| !client.is_closed());
    drop(reports.send(Report::Done { job, outcome, session }));
}
