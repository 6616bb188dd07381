//! The alerts that fire, and those that did.
//!
//! ```text
//!            report                    count back · nothing more happened · told so
//!  nothing ─────────▶ firing ─┐ ────────────────────────────────────────────────────▶ resolved ──▶ forgotten, oldest first
//!                       ▲     │ report: updated
//!                       └─────┘
//! ```

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::alert::{Alert, State, Subject, Undo};
use super::fact::{GONE, Moment, Transaction};
use super::rules::Rule;
use crate::lsn::Epoch;

/// So many alerts of a rule fire at a time, each for a table of its own. One more stands for all other tables.
pub const MOST_OF_A_RULE: usize = 25;
/// So many resolved alerts are kept.
const RESOLVED: usize = 200;
/// A count that is good for so long, though by no margin, is good.
pub(super) const SETTLED: Duration = Duration::from_secs(60);

/// What an alert stands for: a rule, and what it was broken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Which of the rules.
    pub(super) rule: usize,
    pub(super) target: Target,
}

/// What a rule is broken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// All that is watched.
    Watch,
    /// A table, by oid.
    Table(u32),
    /// A table that is not there, by its place among the names of the rules.
    Missing(usize),
    /// All tables that have no alert of their own any more.
    Others,
}

/// When an alert is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clearing {
    /// When the count is back at `clear`, or at `good` for a while; or when this has been usual for so long.
    Count { good: i64, clear: i64, usual_after: Option<Duration> },
    /// When it has not happened again for so long.
    Quiet(Duration),
    /// When the engine says so.
    Told,
}

/// What is said of a rule that is broken.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) text: String,
    pub(super) subject: Option<Subject>,
    pub(super) from: Option<i64>,
    pub(super) to: Option<i64>,
    pub(super) deleted: Option<u64>,
    pub(super) transaction: Option<Arc<Transaction>>,
    pub(super) others: u64,
    pub(super) undo: Option<Undo>,
    pub(super) blind: Vec<String>,
    pub(super) clearing: Clearing,
}

impl Report {
    pub(super) fn new(text: String, clearing: Clearing) -> Self {
        let (subject, from, to, deleted, transaction, others, undo) = (None, None, None, None, None, 0, None);
        Self { text, subject, from, to, deleted, transaction, others, undo, blind: Vec::new(), clearing }
    }
}

#[derive(Debug)]
struct Open {
    alert: Alert,
    /// As it was last shared, until it changes.
    shared: Option<Arc<Alert>>,
    clearing: Clearing,
    happened: Moment,
    /// Since when the count has been good.
    good_since: Option<Instant>,
}

/// What became of an alert that a log should tell of.
#[derive(Clone, Debug)]
pub(super) enum News {
    Raised(Arc<Alert>),
    Resolved(Arc<Alert>),
}

#[derive(Debug)]
pub(super) struct Board {
    open: FxHashMap<Key, Open>,
    resolved: VecDeque<Arc<Alert>>,
    news: Vec<News>,
    revision: u64,
    /// How often each rule has fired.
    fired: Vec<u64>,
    /// Of this process, so that ids of two are not the same.
    began: Epoch,
    ids: u64,
}

impl Board {
    pub(super) fn new(rules: usize, now: Moment) -> Self {
        let began = Epoch::at_millis(u64::try_from(now.unix / 1000).unwrap_or_default());
        let (open, resolved, news) = (FxHashMap::default(), VecDeque::new(), Vec::new());
        Self { open, resolved, news, revision: 0, fired: vec![0; rules], began, ids: 0 }
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn fired(&self) -> &[u64] {
        &self.fired
    }

    pub(super) fn is_firing(&self, key: Key) -> bool {
        self.open.contains_key(&key)
    }

    /// The rows from which a table fell, as its alert says.
    pub(super) fn from(&self, key: Key) -> Option<i64> {
        self.open.get(&key)?.alert.from
    }

    /// It happened, for the first time or again.
    pub(super) fn report(&mut self, key: Key, rule: &Rule, report: Report, now: Moment) {
        let key = self.place(key);
        let clearing = match key.target {
            // No count of one table tells when all of them are good.
            Target::Others => Clearing::Quiet(OTHERS_AFTER),
            _ => report.clearing,
        };
        self.revision += 1;
        let Some(open) = self.open.get_mut(&key) else { return self.raise(key, rule, Report { clearing, ..report }, now) };
        let alert = &mut open.alert;
        alert.times += 1;
        alert.revision = self.revision;
        alert.last = now.unix;
        alert.text = told_of(key, report.text);
        alert.from = report.from.or(alert.from);
        alert.to = report.to;
        alert.deleted = report.deleted;
        alert.transaction = report.transaction;
        alert.others = report.others;
        alert.undo = report.undo;
        alert.blind = report.blind;
        if key.target == Target::Others {
            alert.subject = None;
        }
        open.clearing = clearing;
        open.happened = now;
        open.good_since = None;
        open.shared = None;
    }

    /// It holds still: raised if it was not known, else only what is said of it may change.
    pub(super) fn hold(&mut self, key: Key, rule: &Rule, report: Report, now: Moment) {
        let key = self.place(key);
        match self.open.get_mut(&key) {
            None => self.report(key, rule, report, now),
            Some(open) if key.target == Target::Others => open.happened = now,
            Some(open) if open.alert.text != report.text => {
                self.revision += 1;
                open.alert.revision = self.revision;
                open.alert.text = report.text;
                open.shared = None;
            }
            Some(_) => {}
        }
    }

    /// A table has its own alert, unless its rule has too many already.
    fn place(&self, key: Key) -> Key {
        let others = Key { target: Target::Others, ..key };
        let is_own = matches!(key.target, Target::Watch | Target::Others) || self.open.contains_key(&key);
        let of_the_rule = || self.open.keys().filter(|open| open.rule == key.rule && open.target != Target::Others).count();
        if is_own || of_the_rule() < MOST_OF_A_RULE { key } else { others }
    }

    fn raise(&mut self, key: Key, rule: &Rule, report: Report, now: Moment) {
        self.ids += 1;
        if let Some(fired) = self.fired.get_mut(key.rule) {
            *fired += 1;
        }
        let Report { text, subject, from, to, deleted, transaction, others, undo, blind, clearing } = report;
        let alert = Alert {
            id: format!("{}-{}", self.began, self.ids),
            revision: self.revision,
            rule: rule.name.clone(),
            kind: rule.condition.kind(),
            severity: rule.severity,
            state: State::Firing,
            text: told_of(key, text),
            subject: subject.filter(|_| key.target != Target::Others),
            from,
            to,
            deleted,
            transaction,
            others,
            undo,
            blind,
            since: now.unix,
            last: now.unix,
            resolved_at: None,
            times: 1,
            json: OnceLock::new(),
        };
        let shared = Arc::new(alert.clone());
        self.news.push(News::Raised(Arc::clone(&shared)));
        self.open.insert(key, Open { alert, shared: Some(shared), clearing, happened: now, good_since: None });
    }

    /// The table has so many rows, and that is the present. Gives what that resolves.
    pub(super) fn counted(&mut self, oid: u32, rows: i64, now: Moment) -> Vec<Key> {
        let mut good = Vec::new();
        for (key, open) in self.open.iter_mut().filter(|(key, _)| key.target == Target::Table(oid)) {
            let Clearing::Count { good: limit, clear, .. } = open.clearing else { continue };
            if rows >= clear {
                good.push(*key);
            } else if rows >= limit {
                open.good_since.get_or_insert(now.instant);
            } else {
                open.good_since = None;
            }
        }
        good.iter().for_each(|key| self.resolve(*key, now));
        good
    }

    /// The table is gone, or is not known by this oid any more: no count of it is good or bad.
    pub(super) fn gone(&mut self, oid: u32, now: Moment) {
        let of_counts = |(key, open): (&Key, &Open)| {
            let is_of_it = key.target == Target::Table(oid) && !matches!(open.clearing, Clearing::Quiet(_));
            is_of_it.then_some(*key)
        };
        let over: Vec<Key> = self.open.iter().filter_map(of_counts).collect();
        over.into_iter().for_each(|key| self.resolve(key, now));
    }

    /// Resolves what time resolves, and gives that. `can_tell` says of a table whether its count is known to be the present one.
    pub(super) fn pass(&mut self, now: Moment, can_tell: impl Fn(u32) -> bool) -> Vec<Key> {
        let mut over = Vec::new();
        for (key, open) in &mut self.open {
            match open.clearing {
                Clearing::Quiet(time) if now.since(open.happened) >= time => over.push(*key),
                Clearing::Quiet(_) | Clearing::Told => {}
                Clearing::Count { usual_after, .. } => {
                    let Target::Table(oid) = key.target else { continue };
                    if !can_tell(oid) {
                        // Nobody can say that it has been good all the while.
                        open.good_since = None;
                    } else if open.good_since.is_some_and(|since| now.instant.saturating_duration_since(since) >= SETTLED)
                        || usual_after.is_some_and(|time| now.since(open.happened) >= time)
                    {
                        over.push(*key);
                    }
                }
            }
        }
        over.iter().for_each(|key| self.resolve(*key, now));
        over
    }

    /// It does not hold any more.
    pub(super) fn resolve(&mut self, key: Key, now: Moment) {
        let Some(Open { mut alert, .. }) = self.open.remove(&key) else { return };
        self.revision += 1;
        alert.revision = self.revision;
        alert.state = State::Resolved;
        alert.resolved_at = Some(now.unix);
        let alert = Arc::new(alert);
        self.news.push(News::Resolved(Arc::clone(&alert)));
        self.resolved.push_back(alert);
        if self.resolved.len() > RESOLVED {
            self.resolved.pop_front();
        }
    }

    /// What the history does not keep any more cannot be undone any more.
    pub(super) fn forget(&mut self, keeps: impl Fn(&Transaction) -> bool) {
        let is_gone = |alert: &Alert| {
            let may_be_undone = alert.undo.as_ref().is_some_and(|undo| undo.restores != Some(false));
            may_be_undone && alert.transaction.as_ref().is_some_and(|transaction| !keeps(transaction))
        };
        let revision = &mut self.revision;
        let mut forget = |alert: &mut Alert| {
            *revision += 1;
            alert.revision = *revision;
            alert.undo = Some(Undo { restores: Some(false), reason: Some(GONE.into()) });
            // What was made of it is not true any more.
            alert.json = OnceLock::new();
        };
        for open in self.open.values_mut().filter(|open| is_gone(&open.alert)) {
            forget(&mut open.alert);
            open.shared = None;
        }
        for alert in self.resolved.iter_mut().filter(|alert| is_gone(alert)) {
            forget(Arc::make_mut(alert));
        }
    }

    /// The alerts of this rule about tables that are resolved when the engine says so.
    pub(super) fn told_of(&self, rule: usize) -> Vec<Key> {
        let told = |(key, open): (&Key, &Open)| {
            let of_a_table = matches!(key.target, Target::Table(_) | Target::Missing(_));
            (key.rule == rule && of_a_table && open.clearing == Clearing::Told).then_some(*key)
        };
        self.open.iter().filter_map(told).collect()
    }

    pub(super) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// All that are kept, by revision.
    pub(super) fn alerts(&mut self) -> Arc<[Arc<Alert>]> {
        let share = |open: &mut Open| Arc::clone(open.shared.get_or_insert_with(|| Arc::new(open.alert.clone())));
        let mut alerts: Vec<_> = self.resolved.iter().cloned().chain(self.open.values_mut().map(share)).collect();
        alerts.sort_unstable_by_key(|alert| alert.revision);
        alerts.into()
    }
}

/// What stands for many is resolved when nothing more has happened for so long.
const OTHERS_AFTER: Duration = Duration::from_secs(600);

fn told_of(key: Key, text: String) -> String {
    match key.target {
        Target::Others => format!("More tables than have an alert of their own; the latest: {text}"),
        _ => text,
    }
}
