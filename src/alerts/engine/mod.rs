//! Facts in, alerts out.
//!
//! | fact | judged by |
//! |---|---|
//! | [`Engine::took`], [`Engine::committed`]: a transaction removed rows | `count_zero`, `count_drop`, `count_floor`, `mass_delete`, `protected_table` |
//! | [`Engine::counted`]: counts were published while the watch is live | the first three, `changed_unwatched`, `recount_differs`, `table_dropped` |
//! | [`Engine::watched`]: how the watch stands | `not_live`, `wal_held` |
//! | [`Engine::passed`]: time passes | `not_live`, `cannot_evaluate`, and all that time resolves |
//!
//! A transaction is a fact whenever it is told: the count after it was exact at its position. Published counts are only taken while the
//! watch is live, so nothing is resolved, and no fall is seen, by a number from before an interruption.

mod falls;
mod standing;
mod table;
mod takers;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::alert::{Alert, Bulletin, Links, Subject, Undo};
use super::board::{Board, Clearing, Key, News, Report, Target};
use super::condition::{Condition, Kind};
use super::fact::{Commit, Held, Moment, OTHERS, RULES, Relation, TableChange, TableCount, Taken, Transaction};
use super::rules::{Rule, Rules};
use super::text;
use crate::lsn::Epoch;
use standing::Standing;
use table::Known;
pub(super) use takers::{Cause, Takers};

/// Notices of dropped tables that are kept until the catalog says that the table is gone.
const DROPS: usize = 64;
/// For how long it is said that transactions went unseen.
const MISSED_FOR: Duration = Duration::from_secs(600);

/// A table that a rule names.
#[derive(Debug)]
struct Named {
    schema: String,
    name: String,
    there: Option<u32>,
}

/// Holds the facts against the rules.
#[derive(Debug)]
pub struct Engine {
    rules: Vec<Arc<Rule>>,
    tables: FxHashMap<u32, Known>,
    /// Those whose count is not known.
    unknown: FxHashSet<u32>,
    /// Those of which rows were removed since counts were published.
    caused: Vec<u32>,
    named: Vec<Named>,
    /// Counts were published at least once.
    surveyed: bool,
    epoch: Option<Epoch>,
    /// What the events of the transaction that is being told hold, by table.
    held: FxHashMap<u32, Held>,
    drops: VecDeque<(String, Arc<Transaction>)>,
    standing: Standing,
    board: Board,
    links: Arc<Links>,
}

impl Engine {
    /// Nothing known yet.
    pub fn new(rules: &Rules, links: Links, now: Moment) -> Self {
        let rules = rules.rules.clone();
        let mut named: Vec<Named> = Vec::new();
        for (schema, name) in rules.iter().filter(|rule| names_tables(rule)).flat_map(|rule| rule.selection.named_tables()) {
            if !named.iter().any(|known| known.schema == schema && known.name == name) {
                named.push(Named { schema: schema.to_owned(), name: name.to_owned(), there: None });
            }
        }
        Self {
            board: Board::new(rules.len(), now),
            rules,
            tables: FxHashMap::default(),
            unknown: FxHashSet::default(),
            caused: Vec::new(),
            named,
            surveyed: false,
            epoch: None,
            held: FxHashMap::default(),
            drops: VecDeque::new(),
            standing: Standing::new(now),
            links: Arc::new(links),
        }
    }

    /// The highest revision of any alert so far.
    pub fn revision(&self) -> u64 {
        self.board.revision()
    }

    /// Whether count rules can be evaluated now.
    pub fn is_evaluating(&self) -> bool {
        self.standing.is_live()
    }

    /// All alerts as they are now.
    pub fn bulletin(&mut self) -> Bulletin {
        let fired = self.rules.iter().zip(self.board.fired()).map(|(rule, fired)| (rule.name.clone(), rule.severity, *fired));
        let fired = fired.collect();
        Bulletin {
            revision: self.board.revision(),
            alerts: self.board.alerts(),
            evaluating: self.is_evaluating(),
            webhooks: Vec::new(),
            links: Arc::clone(&self.links),
            fired,
        }
    }

    /// What a log should tell of since it was last asked: alerts that were raised, and those that were resolved.
    pub fn take_news(&mut self) -> impl Iterator<Item = Arc<Alert>> + use<> {
        self.board.take_news().into_iter().map(|news| match news {
            News::Raised(alert) | News::Resolved(alert) => alert,
        })
    }

    /// What comes now is of this epoch. If that is another than before, nobody watched in between.
    pub fn continues_in(&mut self, epoch: &Epoch, now: Moment) {
        if self.epoch.as_ref() == Some(epoch) {
            return;
        }
        if self.epoch.replace(epoch.clone()).is_some() {
            for (oid, known) in &mut self.tables {
                known.lose(now, false);
                self.unknown.insert(*oid);
            }
        }
    }

    /// Some transactions could not be looked at.
    pub fn missed(&mut self, now: Moment) {
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.condition.kind() == Kind::CannotEvaluate {
                let blind = self.rules.iter().filter(|rule| is_of_transactions(rule)).map(|rule| rule.name.clone()).collect();
                let report = Report { blind, ..Report::new(text::missed().to_owned(), Clearing::Quiet(MISSED_FOR)) };
                self.board.report(Key { rule: index, target: Target::Watch }, rule, report, now);
            }
        }
    }

    /// A message says that a table was dropped. It is no fact (anyone can write one), but tells who it was once it is one.
    pub fn told_of_drop(&mut self, object: &str, transaction: Transaction) {
        self.drops.push_back((object.to_owned(), Arc::new(transaction)));
        if self.drops.len() > DROPS {
            self.drops.pop_front();
        }
    }

    /// A transaction took rows: its changes are told first, its commit last.
    pub fn took(&mut self, taken: &Taken) {
        self.held.entry(taken.oid).or_default().note(taken);
    }

    /// What the history does not keep any more cannot be undone any more. To be asked about once a second.
    pub fn forget(&mut self, keeps: impl Fn(&Transaction) -> bool) {
        self.board.forget(keeps);
    }

    /// A transaction removed rows.
    pub fn committed(&mut self, commit: Commit, now: Moment) {
        let transaction = Arc::new(commit.tx);
        let held = std::mem::take(&mut self.held);
        let all_held = commit.tables.iter().all(|change| Took::of(change, held.get(&change.oid)).undo().restores == Some(true));
        // What a transaction did to the tables whose partitions it changed. Rows that moved between these were not deleted.
        let mut wholes: FxHashMap<u32, Took> = FxHashMap::default();
        for change in &commit.tables {
            self.meet(change, now);
            let took = Took::of(change, held.get(&change.oid));
            for whole in self.above(change.oid) {
                wholes.entry(whole).or_default().add(&took);
            }
            let why = took.cause(&transaction, self.doubt(change.oid, all_held));
            self.count_after(change, why.clone().map(Takers::only).as_ref(), now);
            if let Some(why) = why {
                self.removed(change.oid, why, change.count.is_some(), now);
            }
        }
        for (oid, took) in wholes {
            let took = Took { deletes: took.deletes.saturating_sub(took.inserts), ..took };
            if let Some(why) = took.cause(&transaction, self.doubt(oid, all_held)) {
                self.removed(oid, why, false, now);
            }
        }
    }

    /// Counts were published: those of `tables`, which are all when it is `whole`; the tables with the oids `gone` are no more. Only to be
    /// told while the watch is live, and behind everything that the counts hold.
    pub fn counted<'a>(&mut self, tables: impl Iterator<Item = TableCount<'a>>, gone: &[u32], whole: bool, now: Moment) {
        self.surveyed = true;
        let mut missing: FxHashSet<u32> = if whole { self.tables.keys().copied().collect() } else { FxHashSet::default() };
        for table in tables {
            missing.remove(&table.oid);
            self.learn(&table, now);
            self.count_told(&table, now);
        }
        gone.iter().copied().chain(missing).for_each(|oid| self.dropped(oid, now));
        // What a count fell by is not what the next one falls by.
        let tables = &mut self.tables;
        self.caused.retain(|oid| match tables.get_mut(oid) {
            Some(known) if known.count.is_known() => {
                known.takers = None;
                false
            }
            known => known.is_some(),
        });
    }

    /// The tables that this one is a part of.
    fn above(&self, oid: u32) -> impl Iterator<Item = u32> {
        let parent = |oid: &u32| self.tables.get(oid).and_then(|known| known.parent);
        // A tree that goes in circles is none.
        std::iter::successors(parent(&oid), parent).take(32)
    }

    /// Why undo may not restore rows of this table though they are held; `all_held`: so are all rows that the transaction took.
    fn doubt(&self, oid: u32, all_held: bool) -> Option<&'static str> {
        let has_rules = |oid: u32| self.tables.get(&oid).is_some_and(|known| known.has_rules);
        // What is written to a partition goes through the tables above it.
        if self.above(oid).chain([oid]).any(has_rules) { Some(RULES) } else { (!all_held).then_some(OTHERS) }
    }

    /// A table that a transaction changed, if it is not known yet.
    fn meet(&mut self, change: &TableChange, now: Moment) {
        let name = (change.schema.as_str(), change.name.as_str());
        if self.tables.get(&change.oid).is_none_or(|known| known.is_called() != name) {
            let relation = self.tables.get(&change.oid).map_or(Relation::Table, |known| known.relation);
            self.enter(change.oid, name, relation, now);
        }
    }

    /// What counts say of a table beside its count.
    fn learn(&mut self, table: &TableCount<'_>, now: Moment) {
        let known = self.tables.get(&table.oid);
        if known.is_none_or(|known| known.is_called() != (table.schema, table.name) || known.relation != table.relation) {
            self.enter(table.oid, (table.schema, table.name), table.relation, now);
        }
        let Some(known) = self.tables.get_mut(&table.oid) else { return };
        (known.parent, known.has_rules) = (table.parent, table.has_rules);
        let found_wrong = std::mem::replace(&mut known.found_wrong, table.found_wrong) < table.found_wrong;
        if found_wrong {
            self.each_rule(table.oid, |engine, index, rule, known| {
                let Condition::RecountDiffers { resolve_after } = rule.condition else { return };
                let report = Report::new(text::found_wrong(known.called()), Clearing::Quiet(resolve_after));
                engine.board.report(known.key(index), rule, Report { subject: Some(known.subject()), ..report }, now);
            });
        }
    }

    fn enter(&mut self, oid: u32, (schema, name): (&str, &str), relation: Relation, now: Moment) {
        let concerned = |(_, rule): &(usize, &Arc<Rule>)| rule.selection.has_table(schema, name, relation);
        let mut rules: Vec<usize> = self.rules.iter().enumerate().filter(concerned).map(|(index, _)| index).collect();
        // What says that a table is empty comes first: others then have nothing to add.
        rules.sort_by_key(|index| self.rules.get(*index).is_none_or(|rule| rule.condition.kind() != Kind::CountZero));
        for named in &mut self.named {
            if named.schema == schema && named.name == name {
                named.there = Some(oid);
            } else if named.there == Some(oid) {
                named.there = None;
            }
        }
        let subject = Subject { oid: Some(oid), schema: schema.to_owned(), name: name.to_owned() };
        match self.tables.get_mut(&oid) {
            Some(known) => known.rename(subject, relation, rules),
            None => {
                self.tables.insert(oid, Known::new(subject, relation, rules, now));
                self.unknown.insert(oid);
            }
        }
    }

    /// Calls `judge` with each rule that is about this table.
    fn each_rule(&mut self, oid: u32, mut judge: impl FnMut(&mut Self, usize, &Rule, &mut Known)) {
        // It is taken out meanwhile, so that both it and the rest can be changed.
        let Some(mut known) = self.tables.remove(&oid) else { return };
        for index in known.rules.clone().iter().copied() {
            let Some(rule) = self.rules.get(index).cloned() else { continue };
            judge(self, index, &rule, &mut known);
        }
        self.tables.insert(oid, known);
    }

    /// A transaction removed rows of a table, or of its partitions. If it is not `told` how many rows it has after it, counts will tell.
    fn removed(&mut self, oid: u32, why: Cause, told: bool, now: Moment) {
        let why = Takers::only(why);
        self.each_rule(oid, |engine, index, rule, known| {
            let resolve_after = match rule.condition {
                Condition::MassDelete { rows, resolve_after } if why.greatest.known_rows() > rows => resolve_after,
                Condition::ProtectedTable { resolve_after } => resolve_after,
                _ => return,
            };
            if rule.selection.has_actor(why.greatest.transaction.actor.as_ref()) {
                let report = Report::new(text::deleted(known.called(), &why.greatest), Clearing::Quiet(resolve_after));
                engine.board.report(known.key(index), rule, known.because(report, &why), now);
            }
        });
        if let Some(known) = self.tables.get_mut(&oid).filter(|_| !told) {
            if known.takers.is_none() {
                self.caused.push(oid);
            }
            Takers::join(&mut known.takers, why);
        }
    }

    /// A table is gone.
    fn dropped(&mut self, oid: u32, now: Moment) {
        self.each_rule(oid, |engine, index, rule, known| {
            let Condition::TableDropped { from_rows, resolve_after } = rule.condition else { return };
            let had = known.count.last_known();
            let matters = had.map_or_else(|| known.is_named_by(rule), |had| had >= from_rows);
            if matters {
                let transaction = engine.drop_of(known.is_called());
                let undo =
                    Some(Undo { restores: Some(false), reason: Some("the log does not hold what a dropped table held".into()) });
                let report = Report::new(text::dropped(known.called(), had), Clearing::Quiet(resolve_after));
                let report = Report { subject: Some(known.subject()), from: had, transaction, undo, ..report };
                engine.board.report(known.key(index), rule, report, now);
            }
        });
        self.tables.remove(&oid);
        self.unknown.remove(&oid);
        self.named.iter_mut().filter(|named| named.there == Some(oid)).for_each(|named| named.there = None);
        self.board.gone(oid, now);
    }

    /// The transaction that said that it drops the table of this name.
    fn drop_of(&self, (schema, name): (&str, &str)) -> Option<Arc<Transaction>> {
        let object = format!("{schema}.{name}");
        self.drops.iter().rev().find(|(dropped, _)| *dropped == object).map(|(_, transaction)| Arc::clone(transaction))
    }
}

/// What a transaction did to a table, or to all parts of one.
#[derive(Clone, Copy, Debug, Default)]
struct Took {
    inserts: u64,
    deletes: u64,
    truncates: u64,
    /// Rows deleted, those that moved to another part too.
    left: u64,
    held: Held,
}

impl Took {
    fn of(change: &TableChange, held: Option<&Held>) -> Self {
        let TableChange { inserts, deletes, truncates, .. } = *change;
        Self { inserts, deletes, truncates, left: deletes, held: held.copied().unwrap_or_default() }
    }

    fn add(&mut self, part: &Self) {
        self.inserts += part.inserts;
        self.deletes += part.deletes;
        self.truncates += part.truncates;
        self.left += part.left;
        self.held.add(part.held);
    }

    /// Whether the rows can be brought back, as far as they themselves tell.
    fn undo(&self) -> Undo {
        self.held.undo(self.left, self.truncates)
    }

    /// Why there are fewer rows, if there are. What makes undo doubtful is said with it.
    fn cause(&self, transaction: &Arc<Transaction>, doubt: Option<&'static str>) -> Option<Cause> {
        let Self { deletes, truncates, held, .. } = *self;
        let (undo, truncated, truncates) = (self.undo().doubted(doubt), held.truncated(truncates), held.felt(truncates));
        let transaction = || Arc::clone(transaction);
        (deletes > 0 || truncates > 0).then(|| Cause { transaction: transaction(), deletes, truncates, truncated, undo })
    }
}

/// Whether a table that the rule names has to be there.
fn names_tables(rule: &Rule) -> bool {
    let kind = rule.condition.kind();
    kind.is_of_counts() || kind == Kind::ProtectedTable
}

fn is_of_transactions(rule: &Rule) -> bool {
    matches!(rule.condition.kind(), Kind::MassDelete | Kind::ProtectedTable)
}
