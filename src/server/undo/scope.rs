//! What is to be undone: which stretch of the history, and which tables in it. What is not there is said, with what is.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::super::App;
use super::super::events::look;
use super::super::parameters;
use super::super::problem::{Kind, Problem};
use super::reading::Undone;
use super::{read, unknown};
use crate::event::filter::Filter;
use crate::event::received::{Change, Event};
use crate::event::time::{rfc3339, unix_micros};
use crate::event::{Head, Operation, TableName};
use crate::history::{Bound, History, Order, Query, TransactionLookup};
use crate::lsn::{EventId, Lsn, Oid, Place, TransactionId};
use crate::pipeline::{CountState, Counts, Table};
use crate::undo::{Subject, table_name, where_needed};

/// Names that are listed, where one is not found.
const LISTED: usize = 20;

/// What is to be undone.
pub(super) struct Scope {
    /// What it is called, and what is not known of it.
    subject: Subject,
    /// Changes and commands of every table, and commits, in their order, from here to there.
    pub(super) range: Query,
    /// Right before the first event of it that is kept; `None` if none is.
    pub(super) start: Option<EventId>,
    /// The transaction that it begins in, if the beginning of that is not kept any more.
    begins_within: Option<TransactionId>,
    /// The tables of them that are meant.
    pub(super) tables: Vec<Oid>,
    /// The tables that were changed.
    changed: Vec<Arc<TableName>>,
    /// How far the history reaches, for a person.
    reach: String,
}

impl Scope {
    /// Finds it in the history.
    pub(super) async fn of(app: &App, asked: &parameters::Undo) -> Result<Self, Problem> {
        let mut subject = Subject::default();
        let (since, until) = match &asked.tx {
            Some(id) => {
                let wanted = id.clone();
                subject.title = format!("transaction {id}");
                is_kept(&look(app, move |history| history.transaction(&wanted)).await?)?;
                (Some(Bound::Lsn(id.commit_lsn)), Some(behind(id.commit_lsn)))
            }
            None => {
                if let Some(Bound::Time(since)) = asked.since.filter(|since| is_ahead(*since)) {
                    let text = format!("since: {} has not come yet.", rfc3339(since));
                    return Err(Kind::InvalidParameter.because(text));
                }
                let named = |bound: Option<Bound>| bound.map_or_else(|| "now".to_owned(), shown);
                subject.title = format!("from {} to {}", named(asked.since), named(asked.until));
                // What comes from now on, and what is still arriving, is not meant.
                let now = app.sources.history.settled().map(|last| behind(last.place.commit_lsn));
                (asked.since, asked.until.filter(|until| !is_beyond(*until, now)).or(now))
            }
        };
        for (nth, (column, value)) in asked.rows.iter().enumerate() {
            let with = if nth == 0 { ", rows with" } else { " and" };
            subject.title.push_str(&format!("{with} {}={value}", where_needed(column)));
        }
        let changes = [("kinds", "change,commit,ddl")];
        let filter = Filter::parse(changes).map_err(|error| Kind::Failed.because(error.to_string()))?;
        let filter = app.sources.history.intern(filter);
        let range = Query { since, until, order: Order::OldestFirst, ..Query::new(filter, usize::MAX) };
        let live_since = app.sources.status.borrow().since;
        let began = since.filter(|_| asked.tx.is_none());
        let query = range.clone();
        let (first, is_whole, from_the_start, changed, reach) = look(app, move |history| {
            // First where it begins, then whether that is the beginning: what goes from now on is told when it is read.
            let first = history.first(&query);
            let is_whole = first.as_ref().is_none_or(|first| history.keeps(&transaction(first)));
            let from_the_start = began.is_none_or(|since| reaches_back(history, since, live_since, &query));
            (first, is_whole, from_the_start, history.changed_tables(&query), reach(history))
        })
        .await?;
        if !from_the_start {
            let unknown = "The history may not reach back to the beginning: what was changed before it is not known.";
            subject.warnings.push(unknown.to_owned());
        }
        let begins_within = first.as_ref().filter(|_| !is_whole).map(transaction);
        let start = first.map(before);
        let counts = Arc::clone(&app.sources.counts.borrow());
        let mut scope = Scope { subject, range, start, begins_within, tables: Vec::new(), changed, reach };
        scope.tables = scope.choose(&asked.filter, &counts)?;
        let is_empty = scope.tables.is_empty() && (asked.tx.is_none() || asked.filter.tables().next().is_some());
        if is_empty { Err(scope.nothing(&asked.filter)) } else { Ok(scope) }
    }

    /// Whether an event came later than all of it, if it is the first behind it.
    pub(super) fn is_behind(&self, head: &Head) -> bool {
        let behind = Query { since: self.range.until, until: None, ..self.range.clone() };
        self.range.until.is_some() && behind.asks_for(head)
    }

    /// What it is called, and what of it is missing in what was read.
    pub(super) fn subject(&self, read: &Undone, changes: &[Change<'_>]) -> Result<Subject, Problem> {
        let mut subject = self.subject.clone();
        for gap in &read.gaps {
            subject.warnings.push(unknown(gap)?);
        }
        if read.is_torn {
            let warning = "The end of a transaction is not known, and what else it changed: what came of it was never recorded.";
            subject.warnings.push(warning.to_owned());
            subject.lost = None;
        } else if self.begins_within.is_some() || !read.gaps.is_empty() {
            let lost = self.lost(&read.commits, changes)?;
            let warning = "of what is to be undone are not kept any more";
            match lost {
                Some(0) => {}
                Some(1) => subject.warnings.push("One change of what is to be undone is not kept any more.".to_owned()),
                Some(lost) => subject.warnings.push(format!("{lost} changes {warning}.")),
                None => subject.warnings.push(format!("Changes {warning}, TRUNCATE among them.")),
            }
            subject.lost = lost;
        }
        Ok(subject)
    }

    /// How many changes of these tables the commits tell of that were not read; `None` if a TRUNCATE is among them, which took any number
    /// of rows.
    fn lost(&self, commits: &[Bytes], changes: &[Change<'_>]) -> Result<Option<u64>, Problem> {
        let is_truncate = |change: &&Change<'_>| change.op == Operation::Truncate;
        let truncates = u64::try_from(changes.iter().filter(is_truncate).count()).unwrap_or(u64::MAX);
        let (mut all, mut all_truncates) = (0, 0);
        for commit in commits {
            let Event::Commit(commit) = read(commit)? else { continue };
            for totals in commit.tables.iter().filter(|totals| self.tables.contains(&totals.oid)) {
                all += totals.inserts + totals.updates + totals.deletes + totals.truncates;
                all_truncates += totals.truncates;
            }
        }
        let known = u64::try_from(changes.len()).unwrap_or(u64::MAX);
        Ok((all_truncates <= truncates).then(|| all.saturating_sub(known)))
    }

    /// No row had such values.
    pub(super) fn nothing_named(&self, changes: usize) -> Problem {
        let Scope { subject, reach, .. } = self;
        let changes = if changes == 1 { "the one change".to_owned() } else { format!("{changes} changes") };
        let tables = self.changed.iter().filter(|table| self.tables.contains(&table.oid));
        let tables = list(tables.map(|table| table_name(&table.schema, &table.name)));
        Kind::NotFound.because(format!("Nothing is found in {changes} of {tables} ({}). {reach}", subject.title))
    }

    /// All tables that were changed.
    pub(super) fn changed(&self) -> Vec<Oid> {
        self.changed.iter().map(|table| table.oid).collect()
    }

    /// The beginning of the first transaction is not kept.
    pub(super) fn begins_within(&self) -> bool {
        self.begins_within.is_some()
    }

    /// The tables that are meant, of those that were changed.
    fn choose(&self, asked: &Filter, counts: &Counts) -> Result<Vec<Oid>, Problem> {
        let changed = &self.changed;
        let mut all: Vec<Oid> = changed.iter().map(|table| table.oid).collect();
        all.sort_unstable();
        all.dedup();
        let mut chosen = Vec::new();
        let mut is_named = false;
        for (schema, name) in asked.tables() {
            is_named = true;
            let then = changed.iter().filter(|table| table.schema == schema && table.name == name).map(|table| table.oid);
            let now = counts.tables.iter().find(|table| table.schema == schema && table.name == name);
            let mut meant: Vec<Oid> = then.collect();
            meant.extend(now.into_iter().flat_map(|table| tree(table, counts)));
            if meant.is_empty() {
                return Err(unknown_table(schema, name, changed, counts));
            }
            let before = chosen.len();
            chosen.extend(all.iter().filter(|oid| meant.contains(oid)));
            if let Some(reason) = now.and_then(|table| unwatched(table)).filter(|_| chosen.len() == before) {
                return Err(Kind::NotFound.because(format!("{} is not watched: {reason}.", table_name(schema, name))));
            }
        }
        Ok(if is_named { chosen } else { all })
    }

    /// There is nothing to undo.
    fn nothing(&self, asked: &Filter) -> Problem {
        let Scope { subject, reach, changed, .. } = self;
        let meant: Vec<_> = asked.tables().map(|(schema, name)| table_name(schema, name)).collect();
        let what = if meant.is_empty() { String::new() } else { format!(" of {}", meant.join(" or ")) };
        let others =
            if changed.is_empty() { String::new() } else { format!(" What was changed: {}.", list(changed_names(changed))) };
        Kind::NotFound.because(format!("No change{what} is known ({}).{others} {reach}", subject.title))
    }
}

/// Some of it is kept.
fn is_kept(lookup: &TransactionLookup) -> Result<(), Problem> {
    match lookup {
        TransactionLookup::Whole(_) | TransactionLookup::PartlyKept { .. } => Ok(()),
        TransactionLookup::Arriving => Err(Kind::NotYetThere.because("Ask again in a moment.")),
        TransactionLookup::NoLongerKept => {
            Err(Kind::NoLongerKept.because("Give pgvigil more memory with --history-memory to reach further back."))
        }
        TransactionLookup::Unknown => {
            Err(Kind::NotFound.because("There is no such transaction in the history: it changed no watched table, or is of an earlier run of pgvigil, whose history is gone."))
        }
    }
}

/// Behind what is here by now.
fn is_beyond(bound: Bound, now: Option<Bound>) -> bool {
    match (bound, now) {
        (Bound::Lsn(bound), Some(Bound::Lsn(now))) => bound > now,
        _ => is_ahead(bound),
    }
}

fn is_ahead(bound: Bound) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    matches!(bound, Bound::Time(time) if i128::from(unix_micros(time)) > i128::try_from(now.as_micros()).unwrap_or(i128::MAX))
}

/// The first place behind a transaction.
fn behind(Lsn(commit): Lsn) -> Bound {
    Bound::Lsn(Lsn(commit.saturating_add(1)))
}

/// Behind which an event is the next.
fn before(EventId { epoch, place }: EventId) -> EventId {
    EventId { epoch, place: Place { ordinal: place.ordinal.saturating_sub(1), ..place } }
}

fn transaction(EventId { epoch, place }: &EventId) -> TransactionId {
    TransactionId { epoch: epoch.clone(), commit_lsn: place.commit_lsn }
}

/// Whether everything is kept from this point on. It is if something older is kept, or if nothing ever had to go and the watch is older.
fn reaches_back(history: &History, since: Bound, live_since: i64, query: &Query) -> bool {
    let older = Query { since: None, until: Some(since), limit: 1, ..query.clone() };
    let older = Query { filter: history.intern(Filter::everything()), ..older };
    let watched_before = match since {
        Bound::Time(time) => live_since <= unix_micros(time),
        Bound::Lsn(_) => false,
    };
    !history.query(&older).events.is_empty() || watched_before && history.usage().evicted_events == 0
}

fn reach(history: &History) -> String {
    match history.oldest().zip(history.begins()) {
        Some((oldest, time)) => format!("The history reaches back to {} ({}).", rfc3339(time), oldest.place.commit_lsn),
        None => "The history holds nothing yet.".to_owned(),
    }
}

/// A table and, if it is partitioned, all that are below it.
fn tree(table: &Table, counts: &Counts) -> Vec<Oid> {
    let mut oids = vec![table.oid];
    let mut place = 0;
    while let Some(parent) = oids.get(place).copied() {
        let below = counts.tables.iter().filter(|table| table.parent == Some(parent)).map(|table| table.oid);
        oids.extend(below);
        place += 1;
    }
    oids.into_iter().map(Oid).collect()
}

/// Why its changes are not told, if they are not.
fn unwatched(table: &Table) -> Option<&str> {
    table.reason.as_deref().filter(|_| table.count_state == CountState::Uncovered)
}

fn unknown_table(schema: &str, name: &str, changed: &[Arc<TableName>], counts: &Counts) -> Problem {
    let asked = table_name(schema, name);
    let watched = counts.tables.iter().map(|table| table_name(&table.schema, &table.name));
    let known: BTreeSet<String> = changed_names(changed).chain(watched).collect();
    let close: Vec<String> = known.iter().filter(|known| is_close(known, &asked)).cloned().collect();
    let hint = match (close.is_empty(), known.is_empty()) {
        (false, _) => format!("Is it {}?", close.join(" or ")),
        (true, false) => format!("There are {}.", list(known.into_iter())),
        (true, true) => "No table is watched yet.".to_owned(),
    };
    Kind::NotFound.because(format!("There is no table {asked}. {hint}"))
}

/// Whether one may be a slip for the other. Letter case is a likely one: SQL folds it, and here it stands as it is.
fn is_close(known: &str, asked: &str) -> bool {
    let plain = |text: &str| text.replace('"', "").to_lowercase();
    let (known, asked) = (plain(known), plain(asked));
    let name = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
    name(&known) == name(&asked) || strsim::damerau_levenshtein(&known, &asked) <= 2
}

fn changed_names(changed: &[Arc<TableName>]) -> impl Iterator<Item = String> {
    changed.iter().map(|table| table_name(&table.schema, &table.name))
}

fn list(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(LISTED);
    let shown = names.get(..LISTED).unwrap_or(&names).join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

fn shown(bound: Bound) -> String {
    match bound {
        Bound::Time(time) => rfc3339(time),
        Bound::Lsn(lsn) => lsn.to_string(),
    }
}
