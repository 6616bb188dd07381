//! What a session shows: counts where they are certain, and what runs.
//!
//! Where the stream tells of DDL, counts are shown as they are prepared. Where it does not, what it left out is known only to the catalog:
//!
//! ```text
//!   prepare, where the stream is ──ask──▶ observer looks ──answer──▶ show, without what came into doubt meanwhile
//! ```

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;
use tokio::time::Instant;

use super::Session;
use crate::lsn::Oid;
use crate::pipeline::state::Phase;
use crate::pipeline::tables::Stamp;

/// Counts are published this often at most.
const PUBLISH: Duration = Duration::from_millis(100);
/// Where nothing tells of DDL, counts wait this long for tables that someone may be altering, before these are shown without.
const PATIENCE: Duration = Duration::from_secs(2);

/// Counts as they were prepared, where nothing in the stream tells of DDL.
pub(super) struct Unconfirmed {
    stamp: Stamp,
    /// The answer to this confirms them.
    question: u64,
    since: Instant,
}

impl Session<'_> {
    /// Tells of large transactions that are still running.
    pub(super) fn announce(&mut self) {
        let ended = self.applier.take_ended();
        let running = self.announcements.look(self.applier.running(), &ended, |oid| self.tables.name(oid));
        if let Some(running) = running {
            self.pipeline.running.send_replace(Arc::new(running));
        }
        let unknown = self.announcements.unknown();
        if !unknown.is_empty() {
            self.unknown.send_replace(unknown);
        }
    }

    /// Something that is shown has changed: publish at once when it has been quiet, else a little later together with what is to come.
    pub(super) fn soon(&mut self) {
        self.publish_at.get_or_insert_with(|| (self.published + PUBLISH).max(Instant::now()));
    }

    pub(super) fn publish(&mut self) {
        self.publish_at = None;
        self.published = Instant::now();
        let tells_ddl = self.tables.tells_ddl();
        if tells_ddl {
            self.tables.being_altered(FxHashSet::default());
        }
        let passed = self.pipeline.passed.and(self.applier.passed());
        let ledger = self.applier.ledger();
        let stamp = Stamp::new(self.pipeline.history.position(), ledger.position(), passed);
        self.tables.prepare(ledger);
        if tells_ddl || ledger.is_held() {
            self.show(&stamp);
        } else {
            // What the stream left out without a word is found by who looks now.
            self.unconfirmed = Some(Unconfirmed { stamp, question: self.question.ask(), since: self.published });
        }
    }

    /// The catalog was looked at since `question` was asked: whatever it told has been taken up. Tables that someone may be `altering` are
    /// not certain yet.
    pub(super) fn answered(&mut self, question: u64, mut altering: FxHashSet<Oid>) {
        let Some(mut unconfirmed) = self.unconfirmed.take_if(|unconfirmed| unconfirmed.question <= question) else { return };
        altering.retain(|oid| self.tables.is_known(*oid));
        if self.tables.is_news(&altering) && unconfirmed.since.elapsed() < PATIENCE {
            unconfirmed.question = self.question.ask();
            self.unconfirmed = Some(unconfirmed);
            return;
        }
        if !altering.is_empty() {
            self.soon();
        }
        self.tables.being_altered(altering);
        self.tables.withdraw(self.applier.ledger());
        self.show(&unconfirmed.stamp);
    }

    fn show(&mut self, stamp: &Stamp) {
        if !self.counted && self.tables.anything_counted(self.applier.ledger()) {
            self.counted = true;
            let first_epoch = self.first_epoch;
            self.pipeline.standing.note(|facts| {
                facts.phase = Phase::Streaming { first_epoch, counted: true };
                facts.reason = None;
            });
        }
        self.shown_after = stamp.after_block;
        self.tell_row_cache();
        match self.tables.publish(stamp) {
            Some(counts) => self.pipeline.show(counts),
            None => self.pipeline.still_true(stamp),
        }
        // What is shown is recorded as well, where it is shown: the next change may come at once.
        if self.tables.has_unrecorded() {
            self.mark_in_turn();
        }
        if self.tables.has_more() {
            self.soon();
        }
    }
}
