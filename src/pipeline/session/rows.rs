//! The rows of small tables: when they are read, and what becomes of what was read.
//!
//! They are read after the table was counted, so everything that had to end before a count has ended. They are read only where the stream
//! tells of DDL: elsewhere no count is certain at the very change either, and a row is told only where the count is.

use std::sync::Arc;

use super::Session;
use crate::catalog::CountError;
use crate::lsn::Oid;
use crate::pipeline::counting::{Failure, Job, Outcome, Task};
use crate::rows::{Reading, Reason, Standing};

impl Session<'_> {
    /// Has the rows of a table read, as soon as it is counted.
    pub(super) fn want_rows(&mut self, oid: Oid) {
        if let Some(job) = self.rows_job(oid) {
            self.counting.ask(job);
        }
    }

    fn rows_job(&mut self, oid: Oid) -> Option<Job> {
        let tells_ddl = self.tables.tells_ddl();
        let cache = self.applier.cache()?;
        let known = self.tables.touch(oid).filter(|known| known.is_counted())?;
        if !tells_ddl {
            cache.refuse(oid, Reason::DdlUntold);
            return None;
        }
        cache.waits(oid);
        let task = Task::ReadRows(cache.limits().table);
        // The first doubt is none of many.
        let tries = cache.doubts(oid).saturating_sub(1);
        (!self.counting.counts(oid)).then(|| Job { table: Arc::clone(&known.table), task, fence: None, tries })
    }

    /// Whatever is known of its rows is not certain; they are read when it is counted.
    pub(super) fn doubt_rows(&mut self, oid: Oid) {
        if let Some(cache) = self.applier.cache() {
            cache.waits(oid);
        }
    }

    /// Its rows are not in the stream.
    pub(super) fn forget_rows(&mut self, oid: Oid) {
        if let Some(cache) = self.applier.cache() {
            cache.forget(oid);
        }
    }

    /// Takes up what a count or a reading came to.
    pub(super) fn done(&mut self, job: Job, outcome: Result<Outcome, Failure>) {
        match outcome {
            Ok(Outcome::Counted(baseline)) => self.counted(job, Ok(baseline)),
            Ok(Outcome::Read(reading)) => self.rows_read(job, Ok(reading)),
            Err(failure) if job.task == Task::Count => self.counted(job, Err(failure)),
            Err(failure) => self.rows_read(job, Err(failure)),
        }
    }

    fn rows_read(&mut self, job: Job, outcome: Result<Reading, Failure>) {
        let oid = job.table.oid;
        let Some(cache) = self.applier.cache() else { return };
        let Some(known) = self.tables.touch(oid).filter(|known| known.is_counted()) else { return };
        let job = Job { table: Arc::clone(&known.table), ..job };
        match outcome {
            Ok(reading) => match cache.read(oid, reading) {
                // They are known once the stream has passed them: ask where it stands, rather than wait for the next second.
                Ok(()) => self.progress.request_reply(),
                Err(error) => {
                    tracing::debug!(%oid, %error, "reading the rows again");
                    self.counting.ask_later(Job { fence: error.fence, ..job });
                }
            },
            Err(Failure::Refused(reason)) => cache.refuse(oid, reason),
            Err(failure) => {
                tracing::debug!(%oid, %failure, "reading the rows has to wait");
                if matches!(failure, Failure::Count(CountError::Changed { .. })) {
                    self.survey.ask();
                }
                self.counting.ask_later(job);
            }
        }
    }

    /// Acts upon what has become of the rows that are kept.
    pub(super) fn note_rows(&mut self) {
        let Some(cache) = self.applier.cache() else { return };
        let (doubtful, changed) = (cache.take_doubtful(), cache.take_changed());
        for oid in doubtful {
            // Not at once: whatever brought it into doubt may not be over.
            if let Some(job) = self.rows_job(oid) {
                self.counting.ask_later(job);
            }
        }
        for oid in changed {
            let standing = self.applier.cache().and_then(|cache| cache.standing(oid));
            let Some(known) = self.tables.touch(oid) else { continue };
            if let Some(Standing::Off(reason)) = &standing
                && *reason != Reason::DdlUntold
            {
                tracing::warn!(table = known.table.sql_name(), %reason, "the rows of a table are not kept");
            }
            known.row_cache = standing;
            self.soon();
        }
    }

    /// Publishes what the cache holds.
    pub(super) fn tell_row_cache(&mut self) {
        if let Some(cache) = self.applier.cache() {
            self.pipeline.standing.caches(cache.usage());
        }
    }
}
