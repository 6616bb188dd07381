//! The observer: an ordinary SQL session beside the stream that looks, once a second, at what the stream cannot tell: where the server's
//! log ends, what our slot holds, whether the publication is still the same; and that reads the catalog when asked or after a while.
//!
//! Where nothing in the stream tells of DDL, the pipeline also [asks](Question) whether the catalog is still what it was: then every look
//! that was begun after the question comes with the answer.
//!
//! And it looks up whose a large transaction is that still runs, where the stream does not tell that yet.
//!
//! What a person would want to know at once (the server's position, what the slot holds) it notes itself, since the pipeline may be held up.
//! What the pipeline is to act upon waits for it, and the looks go on meanwhile.
//!
//! A server that is being stopped waits until all of its log is acknowledged, which may be never where nothing can be recorded. So when it lets
//! no session in any more and there is no room on the disk, the stream is hung up. Nothing is lost by that: the slot stays.
//!
//! It reads metadata only, never a row, and keeps nothing.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio::try_join;
use tokio_postgres::{Client, Statement};
use tokio_util::sync::CancellationToken;

use super::budget::Held;
use super::sessions::{SessionError, Sessions};
use super::standing::Standing;
use crate::beat;
use crate::catalog::{self, Catalog, CatalogError, Fingerprint, Fingerprints};
use crate::counts::Snapshot;
use crate::event::Actor;
use crate::history::Recording;
use crate::lsn::{Lsn, Oid, Xid};
use crate::replication::Progress;

/// Between two looks.
const PULSE: Duration = Duration::from_secs(1);
const PULSE_SQL: &str = "SELECT pg_current_wal_flush_lsn()::text, pg_current_snapshot()::text, s.restart_lsn::text, s.confirmed_flush_lsn::text \
       FROM (VALUES ($1)) AS ours (slot) LEFT JOIN pg_replication_slots s ON s.slot_name = ours.slot";
/// A look that takes longer is given up, and with it the session: nobody may be there any more.
const SILENCE: Duration = Duration::from_secs(30);
/// Surveys that are asked for only because a table was described again are this far apart at least.
const SETTLE: Duration = Duration::from_secs(1);
/// So many places for sights are kept free of pulses.
const SPARE: usize = 4;
/// Questions are answered at this interval at least: so many times as long as an answer took, within bounds, so that the server is busy
/// with it for a small part of its time only.
const PAUSES: u32 = 10;
const PAUSE: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_millis(500);

/// What was seen.
#[derive(Debug)]
pub(super) enum Sight {
    /// Once a second: what every later snapshot sees too.
    Pulse(Snapshot),
    /// The catalog.
    Survey(Catalog),
    /// To the question of this number, and those before: whatever had changed when it was asked was told by the last survey, but for the
    /// tables that someone was altering.
    Answer { question: u64, altering: FxHashSet<Oid> },
    /// Who runs transactions that were asked about, as far as they run still.
    Running(Vec<(Xid, Actor)>),
    /// The session is lost, and will be tried again.
    Lost(Problem),
}

/// Why the observer sees nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("the server has not answered for {} s", SILENCE.as_secs())]
    Silent,
    #[error("the server's state cannot be read: {0}")]
    Query(#[from] tokio_postgres::Error),
}

/// Asks the observer for a survey.
#[derive(Clone, Debug, Default)]
pub(super) struct Survey {
    wanted: Arc<Notify>,
}

impl Survey {
    /// The catalog is to be read soon.
    pub(super) fn ask(&self) {
        self.wanted.notify_one();
    }
}

/// Asks the observer whether the last survey still holds.
#[derive(Debug, Default)]
pub(super) struct Question {
    asked: watch::Sender<u64>,
}

impl Question {
    /// The answer will have this number.
    pub(super) fn ask(&self) -> u64 {
        self.asked.send_modify(|asked| *asked += 1);
        *self.asked.borrow()
    }

    /// For who answers.
    pub(super) fn heard(&self) -> watch::Receiver<u64> {
        self.asked.subscribe()
    }
}

/// What to look at.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) sessions: Sessions,
    pub(super) publication: String,
    pub(super) slot: String,
    /// What that makes the server keep.
    pub(super) held: watch::Sender<Option<Held>>,
    /// What is known of the connection.
    pub(super) standing: Standing,
    /// The stream, and how far it is recorded.
    pub(super) stream: Progress,
    pub(super) recording: Option<watch::Receiver<Recording>>,
    pub(super) reconcile: Duration,
}

/// Looks until cancelled or nobody listens. Of the transactions that are `unknown` it is asked who runs them.
pub(super) async fn run(
    watch: Watch,
    survey: Survey,
    mut questions: watch::Receiver<u64>,
    mut unknown: watch::Receiver<Vec<Xid>>,
    sights: mpsc::Sender<Sight>,
    cancel: CancellationToken,
) {
    let look = async {
        loop {
            let problem = match look(&watch, &survey, &mut questions, &mut unknown, &sights).await {
                Ok(()) => return, // nobody listens
                Err(problem) => problem,
            };
            if matches!(problem, Problem::Session(_)) {
                watch.step_aside(&problem);
            }
            if let Err(TrySendError::Closed(_)) = sights.try_send(Sight::Lost(problem)) {
                return;
            }
            tokio::time::sleep(PULSE).await;
        }
    };
    cancel.run_until_cancelled(look).await;
}

async fn look(
    watch: &Watch,
    survey: &Survey,
    questions: &mut watch::Receiver<u64>,
    unknown: &mut watch::Receiver<Vec<Xid>>,
    sights: &mpsc::Sender<Sight>,
) -> Result<(), Problem> {
    let mut client = watch.sessions.open("pgvigil observer").await?;
    let (fingerprints, pulses) = (Fingerprints::prepare(&client).await?, Pulses::prepare(&client).await?);
    let mut pulse = beat::every(PULSE);
    let mut seen = fingerprints.take(&client, &watch.publication).await?;
    // What was asked of the session before may have been lost with it.
    let (mut answered, first) = begin_answer(&client, questions).await?;
    let (mut answer, mut next_answer) = (Some(first), Instant::now());
    let (mut due, mut surveyed) = (true, Instant::now());
    loop {
        // Where nobody takes what was seen, for now, no more is looked at but the pulse. So nothing here waits for him.
        let is_heard = sights.capacity() >= SPARE;
        if due && is_heard {
            (due, surveyed) = (false, Instant::now());
            let catalog = catalog::read(&mut client, &watch.publication).await?;
            for sight in [Some(Sight::Survey(catalog)), answer.take()].into_iter().flatten() {
                if sights.send(sight).await.is_err() {
                    return Ok(());
                }
            }
        }
        tokio::select! {
            _ = pulse.tick() => {
                // Both are on their way at once, and answered in this order.
                let looks = async {
                    let fingerprint = async { Ok(fingerprints.take(&client, &watch.publication).await?) };
                    try_join!(biased; pulses.take(&client, watch), fingerprint)
                };
                let (snapshot, now): (_, Fingerprint) = timeout(SILENCE, looks).await.map_err(|_| Problem::Silent)??;
                if sights.is_closed() {
                    return Ok(());
                }
                // Who is held up for long needs no more than one of them.
                if sights.capacity() > SPARE && sights.send(Sight::Pulse(snapshot)).await.is_err() {
                    return Ok(());
                }
                due |= now != seen || surveyed.elapsed() >= watch.reconcile;
                seen = now;
            }
            () = async { sleep_until(surveyed + SETTLE).await; survey.wanted.notified().await }, if !due => due = true,
            Ok(()) = unknown.changed(), if is_heard => {
                let transactions = unknown.borrow_and_update().clone();
                let looked = timeout(SILENCE, catalog::sessions(&client, &transactions));
                let running = looked.await.map_err(|_| Problem::Silent)??;
                if sights.send(Sight::Running(running)).await.is_err() {
                    return Ok(());
                }
            }
            () = async { sleep_until(next_answer).await; asked_since(questions, answered).await }, if !due && is_heard => {
                let begun = Instant::now();
                let looked = timeout(SILENCE, async {
                    let answer = begin_answer(&client, questions).await?;
                    Ok::<_, Problem>((answer, fingerprints.take(&client, &watch.publication).await?))
                });
                let ((question, told), now) = looked.await.map_err(|_| Problem::Silent)??;
                next_answer = Instant::now() + (begun.elapsed() * PAUSES).clamp(*PAUSE.start(), *PAUSE.end());
                (answered, due) = (question, now != seen);
                seen = now;
                if due {
                    answer = Some(told);
                } else if sights.send(told).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

impl Watch {
    /// The server lets nobody in. If it is being stopped it waits for what was sent to be acknowledged, and that has to be recorded first.
    fn step_aside(&self, problem: &Problem) {
        let waits = self.recording.as_ref().and_then(|recording| recording.borrow().waits.clone());
        if let Some(waits) = waits
            && self.stream.hang_up()
        {
            tracing::warn!(%problem, %waits, "the connection is let go of, so that the server can stop; it is taken up again when there is room");
            self.standing.let_go();
        }
    }
}

/// Waits for a question after this one.
async fn asked_since(questions: &mut watch::Receiver<u64>, answered: u64) {
    if questions.wait_for(|asked| *asked > answered).await.is_err() {
        // Nobody asks any more.
        std::future::pending().await
    }
}

/// The question asked last, and the answer to it and those before: to be sent once a look that begins now is told.
async fn begin_answer(client: &Client, questions: &watch::Receiver<u64>) -> Result<(u64, Sight), Problem> {
    let question = *questions.borrow();
    Ok((question, Sight::Answer { question, altering: catalog::altering(client).await? }))
}

/// Asks how far the server is and what our slot holds: prepared, like [`Fingerprints`].
struct Pulses(Statement);

impl Pulses {
    async fn prepare(client: &Client) -> Result<Self, Problem> {
        Ok(Self(client.prepare(PULSE_SQL).await?))
    }

    /// Notes what it is told; gives what every later snapshot sees too.
    async fn take(&self, client: &Client, watch: &Watch) -> Result<Snapshot, Problem> {
        let row = client.query_one(&self.0, &[&watch.slot]).await?;
        let lsn =
            |column| Ok::<_, tokio_postgres::Error>(row.try_get::<_, Option<&str>>(column)?.and_then(|lsn| lsn.parse().ok()));
        let (at, end): (_, Option<Lsn>) = (Instant::now(), lsn(0)?);
        let end = end.unwrap_or_default();
        let held = match (lsn(2)?, lsn(3)?) {
            (Some(restart), Some(confirmed)) => Some(Held { at, end, restart, confirmed }),
            _ => None,
        };
        watch.standing.looked(at.into(), end, held.map_or(0, |held| held.retained()));
        watch.held.send_replace(held);
        Ok(row.try_get::<_, &str>(1)?.parse().map_err(CatalogError::from)?)
    }
}
