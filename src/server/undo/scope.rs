//! What is to be undone: which stretch of the history, and which tables in it. What is not there is said, with what is.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::App;
use super::super::events::look;
use super::super::parameters;
use super::super::problem::{Kind, Problem};
use crate::event::TableName;
use crate::event::filter::Filter;
use crate::event::time::{rfc3339, unix_micros};
use crate::history::{Bound, History, Order, Query, TransactionLookup};
use crate::lsn::{Lsn, Oid};
use crate::pipeline::{Counts, Table};
use crate::undo::Subject;

/// Names that are listed, where one is not found.
const LISTED: usize = 20;

/// What is to be undone.
pub(super) struct Scope {
    pub(super) subject: Subject,
    /// Changes of every table, in their order, from here to there.
    everything: Query,
    /// The tables of them that are meant.
    tables: Vec<Oid>,
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
                subject.lost = lost(look(app, move |history| history.transaction(&wanted)).await?)?;
                if subject.lost > 0 {
                    let lost = subject.lost;
                    let gone = format!("The history does not keep the first {lost} changes of this transaction any more.");
                    subject.warnings.push(gone);
                }
                let Lsn(lsn) = id.commit_lsn;
                (Some(Bound::Lsn(id.commit_lsn)), Some(Bound::Lsn(Lsn(lsn.saturating_add(1)))))
            }
            None => {
                let named = |bound: Option<Bound>| bound.map_or_else(|| "now".to_owned(), shown);
                subject.title = format!("from {} to {}", named(asked.since), named(asked.until));
                (asked.since, asked.until)
            }
        };
        let changes = [("kinds", "change")];
        let filter = Filter::parse(changes).map_err(|error| Kind::Failed.because(error.to_string()))?;
        let filter = app.sources.history.intern(filter);
        let everything = Query { since, until, order: Order::OldestFirst, ..Query::new(filter, usize::MAX) };
        let live_since = app.sources.status.borrow().since;
        let began = since.filter(|_| asked.tx.is_none());
        let query = everything.clone();
        let (from_the_start, changed, reach) = look(app, move |history| {
            let from_the_start = began.is_none_or(|since| reaches_back(history, since, live_since, &query));
            (from_the_start, history.changed_tables(&query), reach(history))
        })
        .await?;
        if !from_the_start {
            let unknown = "The history may not reach back to the beginning: what was changed before it is not known.";
            subject.warnings.push(unknown.to_owned());
        }
        let counts = Arc::clone(&app.sources.counts.borrow());
        let mut scope = Scope { subject, everything, tables: Vec::new(), reach };
        scope.tables = scope.choose(&asked.filter, &changed, &counts)?;
        let is_empty = scope.tables.is_empty() && (asked.tx.is_none() || asked.filter.tables().next().is_some());
        if is_empty { Err(scope.nothing(&asked.filter, &changed)) } else { Ok(scope) }
    }

    /// The changes that are to be undone.
    pub(super) fn changes(&self) -> Query {
        Query { oids: Some(self.tables.clone()), ..self.everything.clone() }
    }

    /// The changes of these tables that came later; `None` if nothing can have.
    pub(super) fn later(&self, tables: Vec<Oid>) -> Option<Query> {
        let since = self.everything.until?;
        Some(Query { oids: Some(tables), since: Some(since), until: None, ..self.everything.clone() })
    }

    /// No row had such values.
    pub(super) fn nothing_named(&self, rows: &[(String, String)]) -> Problem {
        let named: Vec<_> = rows.iter().map(|(column, value)| format!("{column}={value}")).collect();
        let Scope { subject, reach, .. } = self;
        Kind::NotFound.because(format!("No row that was changed had {} ({}). {reach}", named.join(" and "), subject.title))
    }

    /// The tables that are meant, of those that were changed.
    fn choose(&self, asked: &Filter, changed: &[Arc<TableName>], counts: &Counts) -> Result<Vec<Oid>, Problem> {
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
            chosen.extend(all.iter().filter(|oid| meant.contains(oid)));
        }
        Ok(if is_named { chosen } else { all })
    }

    /// There is nothing to undo.
    fn nothing(&self, asked: &Filter, changed: &[Arc<TableName>]) -> Problem {
        let Scope { subject, reach, .. } = self;
        let meant: Vec<_> = asked.tables().map(|(schema, name)| format!("{schema}.{name}")).collect();
        let what = if meant.is_empty() { String::new() } else { format!(" of {}", meant.join(" or ")) };
        let others =
            if changed.is_empty() { String::new() } else { format!(" What was changed: {}.", list(changed_names(changed))) };
        Kind::NotFound.because(format!("No change{what} is known ({}).{others} {reach}", subject.title))
    }
}

/// How many of its events are not kept any more.
fn lost(lookup: TransactionLookup) -> Result<u64, Problem> {
    match lookup {
        TransactionLookup::Whole(_) => Ok(0),
        TransactionLookup::PartlyKept { first_ordinal, .. } => Ok(first_ordinal.saturating_sub(1)),
        TransactionLookup::Arriving => Err(Kind::NotYetThere.because("Ask again in a moment.")),
        TransactionLookup::NoLongerKept => {
            Err(Kind::NoLongerKept.because("Give pgvigil more memory with --history-memory to reach further back."))
        }
        TransactionLookup::Unknown => {
            Err(Kind::NotFound.because("There is no such transaction in the history: it changed no watched table, or is of an earlier run of pgvigil, whose history is gone."))
        }
    }
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

fn unknown_table(schema: &str, name: &str, changed: &[Arc<TableName>], counts: &Counts) -> Problem {
    let asked = format!("{schema}.{name}");
    let watched = counts.tables.iter().map(|table| format!("{}.{}", table.schema, table.name));
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
    let name = |text: &str| text.rsplit('.').next().unwrap_or_default().to_lowercase();
    name(known) == name(asked) || strsim::damerau_levenshtein(&known.to_lowercase(), &asked.to_lowercase()) <= 2
}

fn changed_names(changed: &[Arc<TableName>]) -> impl Iterator<Item = String> {
    changed.iter().map(|table| format!("{}.{}", table.schema, table.name))
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
