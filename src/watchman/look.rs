//! Events and counts, each in its place.

use std::sync::Arc;

use super::{Watchman, facts};
use crate::alerts::Moment;
use crate::event::{GapReason, Kind};
use crate::history::{self, Read};
use crate::lsn::Epoch;
use crate::pipeline::Counts;

/// Bytes of JSON that are read at a time.
const BATCH: usize = 256 << 10;

impl Watchman {
    /// Tells the engine of what has come, in order: a batch, so that others run in between.
    pub(super) fn look(&mut self, now: Moment) {
        // The position first: the counts of every block before it can be seen by then.
        let head = self.history.position();
        let until = match self.due(now) {
            None => self.as_far_as_counted(head, now),
            Some(counts) if self.reader.position() >= counts.after_block => {
                self.count(&counts, now);
                self.as_far_as_counted(head, now)
            }
            Some(counts) => {
                let after = counts.after_block;
                self.ahead = Some(counts);
                after.min(head)
            }
        };
        match self.reader.read_until(until, &self.filter, BATCH) {
            Read::Events(events) => self.read(&events, now),
            Read::Gap(gap) => {
                self.enter(&gap.to.epoch, now);
                if matches!(gap.reason, GapReason::Evicted | GapReason::Damaged) {
                    self.engine.missed(now);
                }
            }
            Read::Nothing => {}
        }
        if let Some(last) = self.reader.last() {
            let epoch = last.epoch.clone();
            self.enter(&epoch, now);
        }
        // It stands where the counts belong, so their turn has come.
        if self.ahead.as_ref().is_some_and(|counts| self.reader.position() >= counts.after_block)
            && let Some(counts) = self.due(now)
        {
            self.count(&counts, now);
        }
    }

    /// Where counts follow the changes by a moment, a transaction is told together with the counts that it led to.
    fn as_far_as_counted(&self, head: u64, now: Moment) -> u64 {
        let counts = self.published.counts.borrow();
        if counts.told_late && self.is_live(now) { counts.after_block.min(head) } else { head }
    }

    /// Counts that the engine does not know yet. None while what is published may not be the present.
    fn due(&mut self, now: Moment) -> Option<Arc<Counts>> {
        if !self.is_live(now) {
            self.ahead = None;
            return None;
        }
        let counts = self.ahead.take().unwrap_or_else(|| Arc::clone(&self.published.counts.borrow_and_update()));
        // Nothing was ever counted before the first version.
        Some(counts).filter(|counts| counts.version > 0 && self.told != Some(counts.version))
    }

    fn count(&mut self, counts: &Counts, now: Moment) {
        let adds = self.told.is_some_and(|told| told + 1 == counts.version);
        let (tables, gone) = if adds { (&counts.changed[..], &counts.removed[..]) } else { (&counts.tables[..], &[][..]) };
        // The engine is not told of counts before it knows that the watch is live.
        self.tell_status(now);
        // Later epochs begin with a gap in the history; of the first, nothing but the status may tell.
        let first = self.published.status.borrow().epoch.clone().filter(|_| self.epoch.is_none());
        if let Some(epoch) = first {
            self.enter(&epoch, now);
        }
        self.engine.counted(tables.iter().map(|table| facts::table(table)), gone, !adds, now);
        self.told = Some(counts.version);
    }

    fn read(&mut self, events: &history::Batch, now: Moment) {
        for event in events.iter() {
            self.enter(event.block().epoch(), now);
            let understood = match event.head().kind {
                Kind::Commit => serde_json::from_slice(event.bytes()).map(|commit| self.engine.committed(commit, now)),
                Kind::Ddl => serde_json::from_slice(event.bytes()).map(|ddl: facts::Ddl| {
                    if let Some((object, transaction)) = ddl.dropped() {
                        self.engine.told_of_drop(&object, transaction);
                    }
                }),
                Kind::Change => serde_json::from_slice(event.bytes()).map(|taken| self.engine.took(&taken)),
                Kind::Gap | Kind::Message => Ok(()),
            };
            if let Err(error) = understood {
                tracing::error!(id = %event.id(), %error, "an event of our own is not understood: rules cannot judge it");
                self.engine.missed(now);
            }
        }
    }

    fn enter(&mut self, epoch: &Epoch, now: Moment) {
        if self.epoch.as_ref() != Some(epoch) {
            self.engine.continues_in(epoch, now);
            self.epoch = Some(epoch.clone());
        }
    }
}
