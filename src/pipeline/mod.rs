//! The one writer: stream → assembler → counts → event → history.
//!
//! One task owns all state that changes; everything else reads what it publishes: blocks in the history, and the [`Status`] and the
//! [`Counts`] behind watch channels.
//!
//! ```text
//!               ┌──────────── transient error: back-off, jitter ────────────┐
//!               ▼                                                           │
//!   connect ─▶ identify ─▶ publication? ─▶ slot ─▶ fence ─▶ stream ─▶ new epoch: gap, ask every table ─▶ follow
//!               │ another database: WrongDatabase, no data                  │
//!               └ definite error: before the first stream the process ends with advice; later it is shown and tried again
//! ```
//!
//! A temporary slot is gone with the connection, and with it the certainty that nothing was missed: every connection is an epoch of its own.
//! With a slot that stays the epoch goes on where it was left, if that can be proven (`resuming`). Either way a connection has its own
//! ledger, and baselines taken anew; nothing is carried over but the history.

mod applier;
mod budget;
mod counting;
mod error;
mod observer;
mod opening;
mod published;
mod resuming;
mod running;
mod session;
mod sessions;
mod slot;
mod standing;
mod state;
mod tables;
mod tree;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use error::PipelineError;
pub use published::{CountState, Counts, Database, LIVE_FOR, Passed, STALE_AFTER, Slot, State, Status, Table, TableKind};
pub use running::{Running, RunningState, RunningTable, RunningTransaction};

use self::budget::Budget;
use self::resuming::Left;
use self::standing::Standing;
use self::state::Phase;
use self::tables::{Recorded, Stamp};
use crate::connection::Target;
use crate::event::GapReason;
use crate::history::{Recording, Writer, journal};
use crate::lsn::Epoch;
use crate::pgoutput::ValueLimit;
use crate::replication::Backoff;
use crate::rows;

/// What to watch, and within which bounds.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the database is.
    pub target: Target,
    /// The publication to read. It must exist.
    pub publication: String,
    /// Refuse any database of another name.
    pub expect_database: Option<String>,
    /// Keep the rows of small tables, within these bounds.
    pub row_cache: Option<rows::Limits>,
    /// Longer values are cut.
    pub max_value: ValueLimit,
    /// Bytes of unfinished transactions kept in memory; what exceeds it goes to an unlinked file.
    pub max_transaction_memory: usize,
    /// Where such files are made.
    pub spill_dir: PathBuf,
    /// Have large transactions sent while they run, where the server can.
    pub streaming: bool,
    /// Where in the log to begin.
    pub begin: Begin,
    /// Tables counted at the same time.
    pub concurrent_counts: usize,
    /// The catalog is read again after this long, also when nothing asks for it.
    pub reconcile: Duration,
}

/// Where in the log to begin.
#[derive(Clone, Debug)]
pub enum Begin {
    /// Now: a temporary slot of our own is made at every connection.
    Now,
    /// Where it was left the last time, by a slot of our own that outlives the connection. What is read goes to a journal.
    Durable(Durable),
    /// Where this slot stands, which someone else made and takes care of. For measurements: a backlog that is always the same.
    AtSlot(String),
}

impl Begin {
    /// How many bytes of log the slot may cost the server.
    fn budget(&self) -> Option<u64> {
        match self {
            Begin::Durable(durable) => Some(durable.budget),
            Begin::Now | Begin::AtSlot(_) => None,
        }
    }
}

/// A slot of our own that stays.
#[derive(Clone, Debug)]
pub struct Durable {
    /// Its name.
    pub slot: String,
    /// Have standbys keep it too (from PostgreSQL 17 on).
    pub failover: bool,
    /// It is let go of when the server keeps so many bytes of log for it.
    pub budget: u64,
    /// Use it also where the server would keep log for it without any bound, were pgvigil gone.
    pub allow_unbounded: bool,
}

/// The writer's ends of what it publishes.
pub struct Pipeline {
    config: Config,
    history: Writer,
    counts: watch::Sender<Arc<Counts>>,
    running: watch::Sender<Arc<Running>>,
    standing: Standing,
    /// The first database that was watched; any other is refused from then on.
    pinned: Option<Arc<Database>>,
    epoch: Option<Epoch>,
    /// What is to be written once it is known which database is watched.
    journal: Option<journal::Opened>,
    /// How far that is, since then.
    recording: Option<watch::Receiver<Recording>>,
    /// The last epoch that an earlier process recorded.
    recorded: Option<Epoch>,
    /// Where the last epoch was left, to go on there with a slot that stays.
    left: Option<Left>,
    /// What was recorded of the tables there.
    recorded_tables: Recorded,
    /// What the slot may cost the server, if it stays.
    budget: Option<Budget>,
    /// Of the server's log.
    timeline: u32,
    /// What the last epoch ended with, if the next one leaves something out on purpose.
    skipped: Option<(GapReason, String)>,
    /// Of the counts published last.
    version: u64,
    /// What the stream brought in the epochs before this one.
    passed: Passed,
}

/// What the pipeline publishes.
#[derive(Clone, Debug)]
pub struct Published {
    /// How far what is shown can be trusted.
    pub status: watch::Receiver<Arc<Status>>,
    /// The counts.
    pub counts: watch::Receiver<Arc<Counts>>,
    /// Large transactions that are not committed yet.
    pub running: watch::Receiver<Arc<Running>>,
}

impl Pipeline {
    /// A pipeline that has not connected yet, and writes what it sees to `journal`, if there is one. Must be called within a tokio runtime.
    pub fn new(config: Config, history: Writer, journal: Option<journal::Opened>) -> (Self, Published) {
        let (status_sender, status) = watch::channel(Arc::new(standing::unknown(config.publication.clone())));
        let (counts, counts_receiver) = watch::channel(Arc::new(Counts::none()));
        let (running, running_receiver) = watch::channel(Arc::default());
        let standing = Standing::new(config.publication.clone(), status_sender);
        let pipeline = Self {
            history,
            counts,
            running,
            standing,
            pinned: None,
            epoch: None,
            recorded: journal.as_ref().and_then(|journal| Some(journal.left()?.0.clone())),
            left: journal.as_ref().and_then(|journal| {
                let (epoch, position, timeline) = journal.left()?;
                Some(Left { epoch: epoch.clone(), position, timeline })
            }),
            budget: config.begin.budget().map(Budget::new),
            timeline: 0,
            recorded_tables: journal.as_ref().map(Recorded::of).unwrap_or_default(),
            journal,
            recording: None,
            skipped: None,
            version: 0,
            passed: Passed::default(),
            config,
        };
        (pipeline, Published { status, counts: counts_receiver, running: running_receiver })
    }

    /// Watches until cancelled. An error is one that no retry can mend, before anything was ever streamed.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), PipelineError> {
        let outcome = self.watch(&cancel).await;
        self.history.finish().await;
        outcome
    }

    async fn watch(&mut self, cancel: &CancellationToken) -> Result<(), PipelineError> {
        let mut backoff = Backoff::default();
        loop {
            let started = tokio::time::Instant::now();
            let error = match self.session(cancel).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if error.is_fatal() || (self.epoch.is_none() && !error.is_transient()) {
                return Err(error);
            }
            if started.elapsed() > Duration::from_secs(60) {
                backoff = Backoff::default();
            }
            match (&self.left, self.config.begin.budget()) {
                (Some(_), Some(_)) if self.leaves_out(&error).is_none() => {
                    tracing::warn!("the stream is interrupted, and goes on from there when it can: {error}");
                }
                _ => tracing::warn!("the stream is interrupted: {}", error.advice()),
            }
            if let Some(reason) = self.leaves_out(&error) {
                self.skipped = Some((reason, error.advice().to_string()));
            }
            let phase = match &error {
                PipelineError::WrongDatabase { .. } => Phase::WrongDatabase,
                PipelineError::PublicationMissing { .. } => Phase::Resyncing,
                _ if self.epoch.is_none() => Phase::Connecting,
                _ => Phase::Disconnected,
            };
            self.standing.note(|facts| {
                facts.phase = phase;
                facts.reason = Some(error.advice().to_string());
                facts.slot = None;
                facts.row_cache = self.config.row_cache.map(rows::Limits::unused);
            });
            match phase {
                Phase::WrongDatabase => self.show(Counts { version: self.version + 2, ..Counts::none() }),
                Phase::Resyncing => {
                    let doubted = self.counts.borrow().doubted("what is committed now is not streamed; see the state's reason");
                    self.show(doubted);
                }
                _ => {}
            }
            let pause = backoff.next_pause();
            if cancel.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return Ok(());
            }
        }
    }

    /// Whether the next epoch has to leave something out, because the stream would only come upon the same again.
    fn leaves_out(&self, error: &PipelineError) -> Option<GapReason> {
        let slot_stays = matches!(self.config.begin, Begin::Durable(_));
        match error {
            PipelineError::Replication(error) if error.is_unsendable() => Some(GapReason::Skipped),
            // What was committed meanwhile cannot be decoded by it.
            PipelineError::PublicationMissing { .. } if slot_stays && self.epoch.is_some() => Some(GapReason::Skipped),
            PipelineError::Replication(error) if slot_stays && error.is_unpublished() => Some(GapReason::Skipped),
            PipelineError::AttachedUnnoticed { .. } if slot_stays => Some(GapReason::Skipped),
            PipelineError::OverBudget { .. } => Some(GapReason::WalBudget),
            _ => None,
        }
    }

    fn show(&mut self, counts: Counts) {
        self.version = counts.version;
        self.counts.send_replace(Arc::new(counts));
    }

    /// The counts that were published last hold behind this block too. Nobody is told: it is for those who come.
    fn still_true(&mut self, stamp: &Stamp) {
        self.counts.send_if_modified(|counts| {
            *counts = Arc::new(counts.still_true(stamp));
            // Where counts come late, someone may wait for them.
            counts.told_late
        });
    }

    /// A new epoch, later than any before it in this process, and than those that another recorded.
    fn next_epoch(&self) -> Epoch {
        let mut millis = u64::try_from(unix_micros() / 1000).unwrap_or(0);
        while self.epoch.iter().chain(&self.recorded).any(|last| *last >= Epoch::at_millis(millis)) {
            millis += 1;
        }
        Epoch::at_millis(millis)
    }
}

/// Microseconds of Unix time, by this machine's clock. For people to read; nothing is decided by it.
fn unix_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
