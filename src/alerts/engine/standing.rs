//! How the watch itself stands, and what time brings.

use std::time::Duration;

use super::{Engine, names_tables};
use crate::alerts::alert::Subject;
use crate::alerts::board::{Clearing, Key, Report, Target};
use crate::alerts::condition::Condition;
use crate::alerts::engine::table::Count;
use crate::alerts::fact::{Moment, Slot, Watch};
use crate::alerts::rules::Rule;
use crate::alerts::text::{self, Called};

/// A watch that is live for less than this is still one that is not.
const STEADY: Duration = Duration::from_secs(5);

/// Since when the watch is live, or not.
#[derive(Debug)]
pub(super) struct Standing {
    live_since: Option<Moment>,
    /// It has not been live for long since.
    down_since: Option<Moment>,
    /// The state, and why it is so, as it was when the state began.
    state: String,
    reason: Option<String>,
}

impl Standing {
    pub(super) fn new(now: Moment) -> Self {
        Self { live_since: None, down_since: Some(now), state: "connecting".to_owned(), reason: None }
    }

    pub(super) fn is_live(&self) -> bool {
        self.live_since.is_some()
    }
}

impl Engine {
    /// How the watch stands. To be told at least once a second.
    pub fn watched(&mut self, watch: &Watch<'_>, now: Moment) {
        let standing = &mut self.standing;
        if standing.state != watch.state {
            watch.state.clone_into(&mut standing.state);
            standing.reason = watch.reason.map(str::to_owned);
        }
        if watch.live {
            let since = *standing.live_since.get_or_insert(now);
            if now.since(since) >= STEADY {
                standing.down_since = None;
            }
        } else {
            standing.live_since = None;
            standing.down_since.get_or_insert(now);
        }
        self.hold_slot(watch.slot.as_ref(), now);
    }

    /// Time passes. To be told about once a second.
    pub fn passed(&mut self, now: Moment) {
        let (tables, live) = (&self.tables, self.standing.is_live());
        let can_tell = |oid| live && tables.get(&oid).is_some_and(|known| known.count.is_known());
        for key in self.board.pass(now, can_tell) {
            if let Some(Count::Known(rows)) = self.table_count(key.target) {
                self.over(key, rows, now);
            }
        }
        for (index, rule) in self.rules.clone().into_iter().enumerate() {
            match rule.condition {
                Condition::NotLive { lasting } => self.tell_not_live(index, &rule, lasting, now),
                Condition::CannotEvaluate { lasting } if live => self.tell_blind(index, &rule, lasting, now),
                _ => {}
            }
        }
    }

    fn table_count(&self, target: Target) -> Option<Count> {
        match target {
            Target::Table(oid) => self.tables.get(&oid).map(|known| known.count),
            _ => None,
        }
    }

    fn tell_not_live(&mut self, index: usize, rule: &Rule, lasting: Duration, now: Moment) {
        let key = Key { rule: index, target: Target::Watch };
        match self.standing.down_since {
            Some(since) if now.since(since) >= lasting => {
                let Standing { state, reason, .. } = &self.standing;
                // For the seconds in which it is live, and not yet for long, what was said stays.
                if !self.standing.is_live() {
                    let blind = self.blind(|_| true);
                    let report = Report::new(text::not_live(state, reason.as_deref(), lasting, &blind), Clearing::Told);
                    self.board.hold(key, rule, Report { blind, ..report }, now);
                }
            }
            Some(_) => {}
            None => self.board.resolve(key, now),
        }
    }

    /// The rules of counts that are blind without the counts of tables of which this holds.
    fn blind(&self, concerns: impl Fn(&Rule) -> bool) -> Vec<String> {
        let blind = self.rules.iter().filter(|rule| rule.condition.kind().is_of_counts() && concerns(rule));
        blind.map(|rule| rule.name.clone()).collect()
    }

    fn tell_blind(&mut self, index: usize, rule: &Rule, lasting: Duration, now: Moment) {
        let live_since = self.standing.live_since;
        let is_long = |since: Moment| {
            let since = live_since.map_or(since.instant, |live| live.instant.max(since.instant));
            now.instant.saturating_duration_since(since) >= lasting
        };
        let mut known_again = self.board.told_of(index);
        for oid in &self.unknown {
            let Some(known) = self.tables.get(oid) else { continue };
            let Count::Unknown { since, last } = known.count else { continue };
            // Nobody expects a count of a table that never had one, unless a rule names it.
            let is_expected = |rule: &Rule| known.is_named_by(rule) || last.is_some();
            let (schema, name) = known.is_called();
            let concerns = |rule: &Rule| rule.selection.has_table(schema, name, known.relation) && is_expected(rule);
            let key = known.key(index);
            known_again.retain(|told| *told != key);
            if !is_long(since) || !rule.selection.has_table(schema, name, known.relation) {
                continue;
            }
            let blind = self.blind(concerns);
            if !blind.is_empty() {
                let text = text::cannot_evaluate(known.called(), known.reason.as_deref(), lasting, &blind);
                let report = Report { subject: Some(known.subject()), blind, ..Report::new(text, Clearing::Told) };
                self.board.hold(key, rule, report, now);
            }
        }
        for (place, named) in self.named.iter().enumerate().filter(|(_, named)| named.there.is_none() && self.surveyed) {
            let key = Key { rule: index, target: Target::Missing(place) };
            known_again.retain(|told| *told != key);
            if live_since.is_some_and(is_long) {
                let (schema, name) = (named.schema.as_str(), named.name.as_str());
                let of_it = self.rules.iter().filter(|rule| names_tables(rule) && rule.selection.names_table(schema, name));
                let blind: Vec<String> = of_it.map(|rule| rule.name.clone()).collect();
                let subject = Some(Subject { oid: None, schema: schema.to_owned(), name: name.to_owned() });
                let report = Report::new(text::missing(Called(schema, name), &blind), Clearing::Told);
                self.board.hold(key, rule, Report { subject, blind, ..report }, now);
            }
        }
        known_again.into_iter().for_each(|key| self.board.resolve(key, now));
    }

    fn hold_slot(&mut self, slot: Option<&Slot<'_>>, now: Moment) {
        for (index, rule) in self.rules.iter().enumerate() {
            let Condition::WalHeld { percent, bytes } = rule.condition else { continue };
            let key = Key { rule: index, target: Target::Watch };
            let limit = |slot: &Slot<'_>| slot.budget.map_or(bytes, |budget| budget / 100 * u64::from(percent));
            match slot {
                Some(slot) if slot.retained > limit(slot) => {
                    let report = Report::new(text::wal_held(slot, limit(slot)), Clearing::Told);
                    self.board.hold(key, rule, report, now);
                }
                // It has to fall by a tenth of the limit before it is good again.
                Some(slot) if slot.retained > limit(slot) / 10 * 9 => {}
                _ => self.board.resolve(key, now),
            }
        }
    }
}
