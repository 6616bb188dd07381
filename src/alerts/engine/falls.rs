//! The count of one table, from one number to the next: what is a fall, and what only looks like one.
//!
//! ```text
//!              exact                    held back for a moment
//!  Known(22) ─────────▶ Known(0): fell      Known(22) ──▶ Unknown ──▶ Known(0): fell, both numbers were true
//!
//!              new epoch
//!  Known(22) ───────────▶ Unknown ──▶ Known(0): changed while nobody watched, at whatever time
//! ```

use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use super::table::{Count, Last, Past};
use super::takers::Takers;
use crate::alerts::board::{Clearing, Key, Report, Target};
use crate::alerts::condition::{Condition, Kind};
use crate::alerts::fact::{Moment, TableChange, TableCount};
use crate::alerts::text;

/// Until when the count before was true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    UntilNow,
    /// Until some time ago; in between it was not known.
    Before,
}

impl Engine {
    /// The count of a table after a transaction.
    pub(super) fn count_after(&mut self, change: &TableChange, why: Option<&Takers>, now: Moment) {
        let Some(after) = change.count else {
            return self.lose(change.oid, now);
        };
        let number = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
        let before =
            (change.truncates == 0).then(|| after.saturating_sub(number(change.inserts)).saturating_add(number(change.deletes)));
        self.moved(change.oid, before, after, why, now);
    }

    /// The count of a table as it was published.
    pub(super) fn count_told(&mut self, table: &TableCount<'_>, now: Moment) {
        let Some(rows) = table.count else {
            self.lose(table.oid, now);
            if let Some(known) = self.tables.get_mut(&table.oid) {
                known.reason = table.reason.map(str::to_owned);
            }
            return;
        };
        let why = self.tables.get(&table.oid).and_then(|known| known.takers.clone());
        self.moved(table.oid, None, rows, why.as_ref(), now);
        for key in self.board.counted(table.oid, rows, now) {
            self.over(key, rows, now);
        }
    }

    /// An alert of a table was resolved when it had `rows`. What it fell from was told, and is not told again: it falls from these now.
    pub(super) fn over(&mut self, key: Key, rows: i64, now: Moment) {
        let Target::Table(oid) = key.target else { return };
        let was_empty = self.rules.get(key.rule).is_some_and(|rule| rule.condition.kind() == Kind::CountZero);
        self.begin(oid, rows, now, |index, kind| index == key.rule || was_empty && kind == Kind::CountDrop);
    }

    fn lose(&mut self, oid: u32, now: Moment) {
        if let Some(known) = self.tables.get_mut(&oid) {
            known.lose(now, true);
            self.unknown.insert(oid);
        }
    }

    /// A table has `after` rows; right before that it had `before`, if that is known.
    fn moved(&mut self, oid: u32, before: Option<i64>, after: i64, why: Option<&Takers>, now: Moment) {
        let Some(known) = self.tables.get_mut(&oid) else { return };
        let was = std::mem::replace(&mut known.count, Count::Known(after));
        self.unknown.remove(&oid);
        let then = before.unwrap_or(after);
        match was {
            Count::Known(rows) if rows == after && before.is_none_or(|before| before == after) => {}
            Count::Known(rows) => self.fell(oid, before.unwrap_or(rows), after, Held::UntilNow, why, now),
            // Since then it was not watched, and may have changed at any time.
            Count::Unknown { last: Some(last @ Last { watched: false, .. }), .. } => {
                self.changed(oid, last, then, None, now);
                self.begin(oid, then, now, |_, _| true);
                self.fell(oid, then, after, Held::UntilNow, why, now);
            }
            // Watched all the while, only not counted: both numbers are true, each at its time.
            Count::Unknown { last: Some(last), .. } => {
                let already = self.is_fallen(oid);
                self.fell(oid, last.rows, then, Held::Before, why, now);
                self.fell(oid, then, after, Held::UntilNow, why, now);
                if !already && !self.is_fallen(oid) {
                    self.changed(oid, last, after, why, now);
                }
            }
            Count::Unknown { last: None, .. } => {
                self.begin(oid, then, now, |_, _| true);
                self.fell(oid, then, after, Held::UntilNow, why, now);
            }
        }
    }

    /// What was before does not count to these rules: the table has `rows` from now on.
    fn begin(&mut self, oid: u32, rows: i64, now: Moment, concerns: impl Fn(usize, Kind) -> bool) {
        self.each_rule(oid, |_, index, rule, known| {
            if let Some(within) = rule.condition.looks_back().filter(|_| concerns(index, rule.condition.kind())) {
                known.past(index).begin(rows, now.instant, within);
            }
        });
    }

    fn is_fallen(&self, oid: u32) -> bool {
        let is_firing = |index| self.board.is_firing(Key { rule: index, target: Target::Table(oid) });
        self.rules.iter().enumerate().any(|(index, rule)| rule.condition.looks_back().is_some() && is_firing(index))
    }

    /// Holds the count of a table, that was `before`, against the rules.
    fn fell(&mut self, oid: u32, before: i64, after: i64, held: Held, why: Option<&Takers>, now: Moment) {
        let mut is_empty = self.is_empty(oid);
        self.each_rule(oid, |engine, index, rule, known| {
            let key = known.key(index);
            let highest = rule.condition.looks_back().and_then(|within| {
                let Past { peaks, .. } = known.past(index);
                if held == Held::UntilNow {
                    peaks.hold(now.instant);
                    peaks.note(before, now.instant, within);
                }
                peaks.note(after, now.instant, within);
                peaks.highest(now.instant)
            });
            if after >= before || !rule.selection.has_actor(why.and_then(|why| why.greatest.transaction.actor.as_ref())) {
                // No less than it was is no fall. But fewer than the least is too few, however it came to be.
                let Condition::CountFloor { min } = rule.condition else { return };
                if after < min && !engine.board.is_firing(key) {
                    engine.board.report(key, rule, known.below(None, after, min, None), now);
                }
                return;
            }
            // What this transaction did by itself is said before what it only completed.
            let by_itself = rule.condition.is_broken_by(before, after);
            let highest = if by_itself { Some((before, Duration::ZERO)) } else { highest };
            let takers = rule.condition.looks_back().zip(highest).and_then(|(within, (_, ago))| {
                let Past { takings, .. } = known.past(index);
                // From when it fires, all who took rows have their part in it.
                match engine.board.is_firing(key) {
                    true => {}
                    false if by_itself => takings.forget(),
                    false => takings.forget_before(now.instant.checked_sub(ago).unwrap_or(now.instant)),
                }
                if let Some(why) = why {
                    takings.note(why.clone(), now.instant, within);
                }
                takings.all()
            });
            let fallen_to = |from, ago, good, clear, usual_after| {
                let clearing = Clearing::Count { good, clear, usual_after: Some(usual_after) };
                known.fallen(from, after, ago, takers.as_ref(), clearing)
            };
            match (&rule.condition, highest) {
                (condition @ Condition::CountZero { resolve_after, .. }, Some((from, ago)))
                    if condition.is_broken_by(from, after) =>
                {
                    is_empty = true;
                    let from = engine.board.from(key).map_or(from, |known| known.max(from));
                    // Those who come meanwhile do not bring back what is gone.
                    let half = (from / 2).max(1);
                    engine.board.report(key, rule, fallen_to(from, ago, half, half, *resolve_after), now);
                }
                // What is empty is said to be that, and not also to have fallen.
                (Condition::CountDrop { .. }, _) if is_empty => {}
                (condition @ Condition::CountDrop { percent, resolve_after, .. }, Some((from, ago)))
                    if condition.is_broken_by(from, after) =>
                {
                    let from = engine.board.from(key).map_or(from, |known| known.max(from));
                    let good = from - part(from, *percent);
                    let clear = from - part(from, *percent) / 2;
                    engine.board.report(key, rule, fallen_to(from, ago, good, clear, *resolve_after), now);
                }
                (Condition::CountFloor { min }, _) if after < *min => {
                    engine.board.report(key, rule, known.below(Some(before), after, *min, why), now);
                }
                _ => {}
            }
        });
    }

    fn is_empty(&self, oid: u32) -> bool {
        let is_firing = |index| self.board.is_firing(Key { rule: index, target: Target::Table(oid) });
        self.rules.iter().enumerate().any(|(index, rule)| rule.condition.kind() == Kind::CountZero && is_firing(index))
    }

    /// A table has other rows than when they were last known.
    fn changed(&mut self, oid: u32, last: Last, rows: i64, why: Option<&Takers>, now: Moment) {
        self.each_rule(oid, |engine, index, rule, known| {
            let Condition::ChangedUnwatched { resolve_after, .. } = rule.condition else { return };
            if rule.condition.is_broken_by(last.rows, rows) {
                let text = text::changed_unwatched(known.called(), last.rows, rows, now.since(last.at), last.watched);
                let report = Report::new(text, Clearing::Quiet(resolve_after));
                let (from, to) = (Some(last.rows), Some(rows));
                let transaction = why.map(|why| Arc::clone(&why.greatest.transaction));
                let report = Report { subject: Some(known.subject()), from, to, transaction, ..report };
                engine.board.report(known.key(index), rule, report, now);
            }
        });
    }
}

/// So many percent of `rows`.
fn part(rows: i64, percent: u8) -> i64 {
    i64::try_from(i128::from(rows) * i128::from(percent) / 100).unwrap_or(i64::MAX)
}
