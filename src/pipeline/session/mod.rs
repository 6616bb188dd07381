//! One epoch: from the connection to its loss.

mod costs;
mod recording;
mod rows;
mod showing;

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::costs::Costs;
use self::recording::{Marks, recorded};
use self::showing::Unconfirmed;
use super::applier::Applier;
use super::counting::{Counting, Failure, Job, Report, Source, Task};
use super::error::PipelineError;
use super::observer::{self, Question, Sight, Survey, Watch};
use super::opening::Opened;
use super::running::Announcements;
use super::sessions::Sessions;
use super::tables::{Change, Recorded, Tables};
use super::{Pipeline, unix_micros};
use crate::catalog::{self, Catalog, CountError};
use crate::counts::{FullXid, Snapshot};
use crate::lsn::{Oid, Xid};
use crate::replication::{Frame, Progress, Stream};

/// Where nothing tells of DDL in the stream, the catalog must have been looked at within this time, or no count is certain.
const BLIND: Duration = Duration::from_secs(5);

/// Why counts are held back.
const REGROUPED: &str = "what the publication covers has changed; the catalog is being read";
const UNSEEN: &str = "the catalog cannot be read at the moment, so it is not known what the stream leaves out";

/// All that lives as long as one connection.
struct Session<'a> {
    pipeline: &'a mut Pipeline,
    applier: Applier,
    tables: Tables,
    counting: Counting,
    progress: Progress,
    survey: Survey,
    question: Question,
    /// What is to be shown once it is known that the stream had left nothing out.
    unconfirmed: Option<Unconfirmed>,
    fence: FullXid,
    /// What could be seen before the stream began.
    before: Snapshot,
    /// Tables that went out of the log, if only for a moment, and the transaction that did it: in doubt until a look at the catalog sees it.
    doubtful: FxHashMap<Oid, Xid>,
    /// Transactions that may have changed what the publication covers, and that no look at the catalog has seen yet.
    regrouped: Vec<Xid>,
    /// Whether the observer sees anything.
    sees: bool,
    /// When it last did.
    looked: Instant,
    /// When the server last said how far the stream is.
    proof: Option<std::time::Instant>,
    counted: bool,
    first_epoch: bool,
    publish_at: Option<Instant>,
    published: Instant,
    announcements: Announcements,
    /// Running transactions of which the observer is to tell whose they are.
    unknown: watch::Sender<Vec<Xid>>,
    /// Behind this block of the history the published counts stand.
    shown_after: u64,
    /// What is recorded.
    marks: Marks,
}

impl Pipeline {
    /// Connects, follows the stream until it ends. `Ok` only when cancelled.
    pub(super) async fn session(&mut self, cancel: &CancellationToken) -> Result<(), PipelineError> {
        let Some(opened) = cancel.run_until_cancelled(self.open()).await else { return Ok(()) };
        let Opened { mut stream, progress, applier, catalog, fence, slot, database, first_epoch, goes_on } = opened?;

        let (sight_sender, mut sights) = mpsc::channel(16);
        let observing = cancel.child_token();
        let _stop_observing = observing.clone().drop_guard();
        let survey = Survey::default();
        let held = watch::Sender::default();
        let sessions = Sessions { target: self.config.target.clone(), watched: database };
        let watch = Watch {
            sessions: sessions.clone(),
            publication: self.config.publication.clone(),
            slot,
            held: held.clone(),
            standing: self.standing.clone(),
            stream: progress.clone(),
            recording: self.recording.clone(),
            reconcile: self.config.reconcile,
        };
        let question = Question::default();
        let unknown = watch::Sender::default();
        tokio::spawn(observer::run(watch, survey.clone(), question.heard(), unknown.subscribe(), sight_sender, observing));
        let source = Source { publication: self.config.publication.clone(), max_value: self.config.max_value };
        let (counting, mut reports) = Counting::new(sessions, source, self.config.concurrent_counts);

        let tables = Tables::after(self.version);
        let mut session = Session {
            pipeline: self,
            applier,
            tables,
            counting,
            progress,
            survey,
            question,
            unconfirmed: None,
            fence,
            before: catalog.snapshot.clone(),
            doubtful: FxHashMap::default(),
            regrouped: Vec::new(),
            sees: true,
            looked: Instant::now(),
            proof: None,
            counted: false,
            first_epoch,
            publish_at: None,
            published: Instant::now(),
            announcements: Announcements::default(),
            unknown,
            shown_after: 0,
            marks: Marks::default(),
        };
        // What was recorded is true where the stream goes on, and nowhere else.
        let recorded = std::mem::take(&mut session.pipeline.recorded_tables);
        session.surveyed(catalog, goes_on.then_some(&recorded))?;
        session.mark();
        session.publish();
        session.recorded_before()?;
        let mut costs = Costs::new(held.subscribe(), session.pipeline.budget.take(), session.applier.ledger().position());
        let outcome = session.follow(&mut stream, &mut sights, &mut reports, &mut costs, cancel).await;
        session.pipeline.budget = costs.into_budget();
        session.leave();
        if outcome.is_ok() {
            session.written().await;
        }
        let (passed, whole) = (session.applier.passed(), session.applier.is_between_transactions());
        drop(session);
        // Whatever still runs comes anew from its beginning, or is never heard of again.
        self.running.send_if_modified(|running| !std::mem::take(running).transactions.is_empty());
        self.passed = self.passed.and(passed);
        // Within a transaction the server would first send the rest of it. Without a farewell it drops the slot as well.
        if outcome.is_ok()
            && whole
            && let Err(error) = stream.end().await
        {
            tracing::debug!(%error, "the stream did not end in good order");
        }
        outcome
    }
}

impl Session<'_> {
    async fn follow(
        &mut self,
        stream: &mut Stream,
        sights: &mut mpsc::Receiver<Sight>,
        reports: &mut mpsc::UnboundedReceiver<Report>,
        costs: &mut Costs,
        cancel: &CancellationToken,
    ) -> Result<(), PipelineError> {
        loop {
            let applier = &mut self.applier;
            self.counting.start(|job| applier.ask(job));
            let ledger = self.applier.ledger();
            let blind_at = (!ledger.is_held() && !self.tables.tells_ddl()).then(|| self.looked + BLIND);
            let publish_at = self.publish_at.filter(|_| self.unconfirmed.is_none());
            let mark_at = self.marks.due();
            let announce_at = self.announcements.due(self.applier.streams());
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                filled = stream.fill() => {
                    filled?;
                    // A large transaction takes its time, a full disk more, and nobody waits for it who wants to end.
                    tokio::select! {
                        biased;
                        () = cancel.cancelled() => return Ok(()),
                        over = costs.exceed() => return Err(over),
                        drained = self.drain(stream) => drained?,
                    }
                }
                over = costs.exceed() => return Err(over),
                sight = sights.recv() => match sight {
                    Some(sight) => self.sight(sight)?,
                    // The observer ends when all does, or when it fails in a way that it should not.
                    None if cancel.is_cancelled() => return Ok(()),
                    None => return Err(PipelineError::Unobserved),
                },
                Some(report) = reports.recv() => self.report(report),
                () = sleep_until(publish_at) => self.publish(),
                () = sleep_until(mark_at) => self.mark_in_turn(),
                recorded = recorded(self.pipeline.recording.as_mut()) => self.recorded(recorded)?,
                () = sleep_until(announce_at) => self.announce(),
                () = sleep_until(self.counting.next_due()) => {}
                () = sleep_until(blind_at), if sights.is_empty() => self.hold(UNSEEN),
            }
        }
    }

    /// Applies everything that has arrived, then hands it to the readers at once.
    async fn drain(&mut self, stream: &mut Stream) -> Result<(), PipelineError> {
        while let Some(frame) = stream.next_frame()? {
            match frame {
                Frame::Data { start, payload, .. } => self.applier.apply(start, payload, &mut self.pipeline.history).await?,
                Frame::Keepalive { wal_end, sent } => {
                    self.applier.keepalive(wal_end);
                    self.proof = self.proof.max(Some(sent));
                }
                Frame::Notice(notice) => {
                    tracing::info!(code = notice.code(), message = notice.message(), "the server notes");
                    // From 18 on the server goes on without a publication, and sends nothing.
                    if notice.publication_missing() {
                        return Err(self.publication_missing());
                    }
                }
            }
        }
        self.applier.flush(&mut self.pipeline.history).await;
        if self.pipeline.history.position() > self.shown_after {
            self.soon();
        }
        let position = self.applier.ledger().position();
        if self.pipeline.recording.is_none() {
            self.progress.flushed(position);
        }
        self.marks.moved(position, self.pipeline.history.position());
        self.pipeline.standing.streamed(position, self.proof);
        if self.tables.reached(position) {
            self.soon();
        }
        self.notice();
        for oid in self.tables.take_moved(position) {
            if self.tables.is_counted(oid) {
                self.recount(oid, self.fence, "it was rewritten while nobody watched, so it is counted again");
            }
        }
        Ok(())
    }

    /// Acts upon what the stream said about tables.
    fn notice(&mut self) {
        let noticed = self.applier.take_noticed();
        for (table, xid) in &noticed.described {
            if self.tables.named(table, *xid) {
                self.soon();
            }
            // Described anew: altered, rewritten, covered otherwise, or just vacuumed. The catalog knows.
            self.survey.ask();
        }
        for (oid, time) in noticed.touched {
            if let Some(known) = self.tables.touch(oid) {
                known.last_change = known.last_change.max(time);
            }
            self.soon();
        }
        for (oid, xid) in noticed.truncated {
            self.tables.truncated(oid, xid);
        }
        for oid in self.applier.ledger().take_impossible() {
            tracing::error!(%oid, "a count fell below zero: something was missed; counting again");
            if let Some(known) = self.tables.touch(oid) {
                known.found_wrong += 1;
            }
            self.recount(oid, self.fence, "its count fell below zero, so it is counted again");
            self.tables.withdraw(self.applier.ledger());
        }
        if !noticed.regrouped.is_empty() {
            self.regrouped.extend(noticed.regrouped);
            self.hold(REGROUPED);
        }
        for (ddl, xid) in noticed.ddl {
            self.survey.ask();
            self.tables.altered(&ddl.change, xid);
            self.soon();
            if let Some(oid) = ddl.becomes_unlogged() {
                self.doubtful.insert(oid, xid);
                self.counting.forget(oid);
                if let Some(known) = self.tables.touch(oid) {
                    known.note = Some("it was made unlogged, so its changes are not in the log".to_owned());
                }
            }
        }
        self.note_rows();
    }

    /// Shows no count until the catalog has been looked at again.
    fn hold(&mut self, why: &'static str) {
        self.applier.ledger().hold();
        self.tables.hold(why);
        self.unconfirmed = None;
        self.survey.ask();
        self.soon();
    }

    fn sight(&mut self, sight: Sight) -> Result<(), PipelineError> {
        if let Sight::Running(sessions) = sight {
            // It tells nothing of the catalog.
            self.announcements.seen(sessions);
            return Ok(());
        }
        let sees = std::mem::replace(&mut self.sees, !matches!(sight, Sight::Lost(_)));
        if self.sees {
            self.looked = Instant::now();
        }
        match sight {
            Sight::Pulse(snapshot) => self.applier.prune(&snapshot),
            Sight::Survey(catalog) => self.surveyed(catalog, None)?,
            Sight::Answer { question, altering } => self.answered(question, altering),
            Sight::Running(_) => {}
            Sight::Lost(problem) if sees => tracing::warn!(%problem, "the observer's connection is lost; trying again"),
            Sight::Lost(problem) => tracing::debug!(%problem, "the observer's connection is still lost"),
        }
        Ok(())
    }

    /// Takes up a look at the catalog. Counts that were `recorded` where the stream is now need not be taken.
    fn surveyed(&mut self, catalog: Catalog, recorded: Option<&Recorded>) -> Result<(), PipelineError> {
        tracing::debug!(tables = catalog.tables.len(), at = %catalog.read_at_lsn, "the catalog was read");
        let Some(publication) = &catalog.publication else { return Err(self.publication_missing()) };
        if let Some(table) = catalog.attached_unnoticed(&self.before) {
            return Err(PipelineError::AttachedUnnoticed { table: table.sql_name() });
        }
        self.applier.set_publication(publication.clone());
        self.regrouped.retain(|xid| !catalog.snapshot.sees(*xid));
        if self.regrouped.is_empty() && self.applier.ledger().is_held() {
            self.applier.ledger().release();
            self.tables.touch_all();
        }
        let told_ddl = self.tables.tells_ddl();
        for table in &catalog.tables {
            self.applier.set_primary_key(table.oid, &table.primary_key);
        }
        // Transactions that were running when a table came under the publication may have changed it unseen by the stream.
        let fence = self.fence.max(catalog.fence);
        let resolved: Vec<Oid> = self.doubtful.extract_if(|_, xid| catalog.snapshot.sees(*xid)).map(|(oid, _)| oid).collect();
        let changes = self.tables.survey(catalog);
        recorded.into_iter().for_each(|recorded| self.tables.resume(recorded));
        for change in changes {
            match change {
                Change::Count { oid, fenced } => match recorded.and_then(|recorded| self.tables.resumed(oid, recorded)) {
                    Some(count) => {
                        self.applier.ledger().resume(oid, count);
                        self.want_rows(oid);
                    }
                    None => self.recount(oid, if fenced { fence } else { self.fence }, "waiting to be counted"),
                },
                Change::Uncovered(oid) => {
                    self.counting.forget(oid);
                    self.applier.ledger().doubt(oid);
                    self.forget_rows(oid);
                }
                Change::Gone(oid) => {
                    self.counting.forget(oid);
                    self.applier.forget(oid);
                }
            }
        }
        for oid in resolved {
            if self.tables.is_counted(oid) {
                self.recount(oid, fence, "it was unlogged for a while, so it is counted again");
            }
        }
        if told_ddl != self.tables.tells_ddl() {
            self.tables.counted().into_iter().for_each(|oid| self.want_rows(oid));
        }
        let ledger = self.applier.ledger();
        ledger.tell_inline(self.tables.tells_ddl());
        // At once: what is in doubt now may be certain again, and another number, when what was written down before is to be shown.
        self.tables.withdraw(ledger);
        // What was found is certain once the stream has come as far: ask where it stands, rather than wait for the next second.
        self.progress.request_reply();
        self.note_rows();
        self.soon();
        Ok(())
    }

    /// Has a table counted, whatever is known of its count.
    fn recount(&mut self, oid: Oid, fence: FullXid, why: &str) {
        self.applier.ledger().ask(oid);
        self.doubt_rows(oid);
        if let Some(known) = self.tables.touch(oid) {
            known.note = Some(why.to_owned());
            known.progress = None;
            let table = Arc::clone(&known.table);
            self.counting.ask(Job { table, task: Task::Count, fence: Some(fence), tries: 0 });
        }
        self.soon();
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Began { oid, snapshot, lsn } => {
                if let Some(known) = self.tables.touch(oid) {
                    known.note = None;
                }
                if let Err(error) = self.applier.ledger().began(oid, snapshot, lsn) {
                    tracing::info!(%oid, %error, "counting again");
                }
            }
            Report::Percent { oid, percent } => {
                if let Some(known) = self.tables.touch(oid) {
                    known.progress = Some(percent);
                }
            }
            Report::Done { job, outcome, session } => {
                let oid = job.table.oid;
                if self.counting.ended(oid, session) {
                    self.done(job, *outcome);
                }
            }
        }
        self.note_rows();
        self.soon();
    }

    fn counted(&mut self, job: Job, outcome: Result<catalog::Baseline, Failure>) {
        let oid = job.table.oid;
        // Gone, or not covered any more; or out of the log for a moment, and then it is counted when the catalog has been read.
        let Some(known) = self.tables.touch(oid).filter(|known| known.is_counted()) else { return };
        if self.doubtful.contains_key(&oid) {
            return;
        }
        // Should it have to be counted again: under the name that it has by now.
        let job = Job { table: Arc::clone(&known.table), ..job };
        known.progress = None;
        known.note = None;
        match outcome {
            Ok(baseline) => {
                known.verified_at = Some(unix_micros());
                if self.applier.ledger().counted(oid, baseline.count) {
                    // Exact once the stream has passed it: ask where the stream stands, rather than wait for the next second.
                    self.progress.request_reply();
                    self.want_rows(oid);
                } else {
                    self.applier.ledger().ask(oid);
                    self.counting.ask_later(job);
                }
            }
            Err(Failure::Count(CountError::Uncovered(reason))) => {
                known.uncover(reason);
                self.applier.ledger().doubt(oid);
                self.forget_rows(oid);
            }
            Err(Failure::Count(CountError::Changed { .. })) => {
                self.survey.ask();
                self.applier.ledger().ask(oid);
                self.counting.ask_later(job);
            }
            Err(failure) => {
                tracing::debug!(%oid, %failure, "a count has to wait");
                known.note = Some(failure.to_string());
                self.applier.ledger().ask(oid);
                self.counting.ask_later(job);
            }
        }
    }

    fn publication_missing(&self) -> PipelineError {
        let database = self.pipeline.pinned.as_ref().map_or_else(String::new, |database| database.name.clone());
        PipelineError::PublicationMissing { name: self.pipeline.config.publication.clone(), database }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
