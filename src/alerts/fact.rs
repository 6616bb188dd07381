//! What the engine is told.

use std::time::{Duration, Instant};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::alert::Undo;
use crate::event::Operation;

/// When a fact is known: by the clock that decides, and by the one that people read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic.
    pub instant: Instant,
    /// Unix time in microseconds.
    pub unix: i64,
}

impl Moment {
    /// The moment that comes so much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        Self { instant: self.instant + time, unix: self.unix.saturating_add(micros) }
    }

    /// How long ago `earlier` was.
    pub fn since(self, earlier: Self) -> Duration {
        self.instant.saturating_duration_since(earlier.instant)
    }
}

/// A transaction that removed rows: the `commit` event of the stream, as far as rules look at it.
#[derive(Clone, Debug, Deserialize)]
pub struct Commit {
    /// The transaction.
    pub tx: Transaction,
    /// What it did to each table.
    pub tables: Vec<TableChange>,
}

/// The `change` event of rows that were taken, as far as rules look at it: whether it holds what was lost.
#[derive(Debug, Deserialize)]
pub struct Taken {
    /// From which table.
    pub oid: u32,
    /// How: by a delete or a truncate.
    pub op: Operation,
    /// Nothing is missing in the old row.
    #[serde(default)]
    pub old_complete: bool,
    /// Values that were too long to be kept.
    pub cut: Option<IgnoredAny>,
    /// The rows of a truncated table, where they are known.
    pub old_rows: Option<IgnoredAny>,
    /// How many rows a truncate took, where that is known.
    pub rows_lost: Option<i64>,
}

/// What the events of a transaction hold of the rows that it took from a table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    /// Deleted rows that are held whole,
    whole: u64,
    /// of which only the key is,
    keys: u64,
    /// or of which a long value is missing.
    cut: u64,
    /// Truncates of which all rows are held,
    emptied: u64,
    /// or none.
    truncates: u64,
    /// Rows that truncates took,
    truncated: u64,
    /// and truncates of which that is not told,
    untold: u64,
    /// or that found nothing to take.
    idle: u64,
}

impl Held {
    /// One more event.
    pub(super) fn note(&mut self, taken: &Taken) {
        let nothing_lost = taken.old_rows.is_some() || taken.rows_lost == Some(0);
        if taken.op == Operation::Truncate {
            match taken.rows_lost.map(u64::try_from) {
                Some(Ok(0)) => self.idle += 1,
                Some(Ok(rows)) => self.truncated += rows,
                Some(Err(_)) | None => self.untold += 1,
            }
        }
        let place = match (taken.op, taken.old_complete, &taken.cut) {
            (Operation::Truncate, ..) if nothing_lost => &mut self.emptied,
            (Operation::Truncate, ..) => &mut self.truncates,
            (Operation::Delete, true, _) => &mut self.whole,
            (Operation::Delete, false, Some(_)) => &mut self.cut,
            (Operation::Delete, false, None) => &mut self.keys,
            (Operation::Insert | Operation::Update, ..) => return,
        };
        *place += 1;
    }

    /// The same of another part of the table.
    pub(super) fn add(&mut self, other: Self) {
        let Self { whole, keys, cut, emptied, truncates, truncated, untold, idle } = other;
        self.truncated += truncated;
        self.untold += untold;
        self.idle += idle;
        self.whole += whole;
        self.keys += keys;
        self.cut += cut;
        self.emptied += emptied;
        self.truncates += truncates;
    }

    /// Of so many truncates those that took rows, or may have.
    pub(super) fn felt(self, truncates: u64) -> u64 {
        truncates.saturating_sub(self.idle)
    }

    /// The rows that so many truncates took, if each told.
    pub(super) fn truncated(self, truncates: u64) -> Option<u64> {
        (self.untold == 0 && self.emptied + self.truncates >= truncates).then_some(self.truncated)
    }

    /// Whether so many deletes and truncates can be undone with it. What was not seen is not held.
    pub(super) fn undo(self, deletes: u64, truncates: u64) -> Undo {
        let Self { whole, keys, cut, emptied, .. } = self;
        let reason = if self.truncates > 0 {
            "the log does not hold the rows of a truncated table".into()
        } else if whole + keys + cut < deletes || emptied < truncates {
            GONE.into()
        } else if keys > 0 {
            let which = if keys == deletes { String::new() } else { format!("{keys} of the {deletes} ") };
            format!("the log holds only the keys of {which}deleted rows; REPLICA IDENTITY FULL keeps them whole").into()
        } else if cut > 0 {
            "some values were longer than --max-value, and were left out".into()
        } else {
            return Undo { restores: Some(true), reason: None };
        };
        Undo { restores: Some(false), reason: Some(reason) }
    }
}

/// Why it is not known whether undo restores rows, though they are held: it writes nothing to such a table,
pub(super) const RULES: &str = "the table has rules (CREATE RULE), and undo may write nothing where these have a say";
/// or the rows may need others, which are not held.
pub(super) const OTHERS: &str = "the transaction also took rows of other tables that the log does not hold whole, and rows that refer to \
    these do not come back without them";

/// Why nothing can be undone of what is no longer there.
pub(super) const GONE: &str = "the history no longer holds all of the transaction; how far it reaches is set by --history-memory or, with \
    --data-dir, by --keep and --keep-for";

/// Which transaction it was, and whose.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Transaction {
    /// `{epoch}-{commit_lsn}`, as in the URL of its page.
    pub id: String,
    /// Top-level transaction id.
    pub xid: u32,
    /// Where its commit stands.
    pub lsn: String,
    /// When it was committed, RFC 3339.
    pub time: String,
    /// Who it was, if that is known.
    #[serde(default, skip_serializing)]
    pub actor: Option<Actor>,
}

/// What is known of who made a transaction: the stream's `actor`, whatever stands in it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Actor(Map<String, Value>);

impl Actor {
    /// What it says of itself under this name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// Whether this is a name of it: as whom it logged in, as whom it acts, or the application's.
    pub fn is_called(&self, name: &str) -> bool {
        ["session_user", "current_user", "application_name"].into_iter().any(|field| self.text(field) == Some(name))
    }

    /// The same without the text of the statement, which may hold values of rows.
    #[must_use]
    pub fn without_query(&self) -> Self {
        Self(self.0.iter().filter(|(name, _)| *name != "query").map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

/// What a transaction did to one table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TableChange {
    /// Which table.
    pub oid: u32,
    /// Its schema at that time.
    pub schema: String,
    /// Its name at that time.
    pub name: String,
    /// Rows inserted.
    pub inserts: u64,
    /// Rows deleted, not counting those lost by a truncate.
    pub deletes: u64,
    /// Times truncated.
    pub truncates: u64,
    /// Rows after it, if exact.
    pub count: Option<i64>,
}

/// A table, as counts were published.
#[derive(Clone, Copy, Debug)]
pub struct TableCount<'a> {
    /// Which table.
    pub oid: u32,
    /// Schema.
    pub schema: &'a str,
    /// Name, not quoted.
    pub name: &'a str,
    /// What it is.
    pub relation: Relation,
    /// The partitioned table that it belongs to.
    pub parent: Option<u32>,
    /// Exact, or nothing.
    pub count: Option<i64>,
    /// Why there is no count.
    pub reason: Option<&'a str>,
    /// How often its count was found to have been wrong in this epoch.
    pub found_wrong: u64,
    /// Whether rules (`CREATE RULE`) have a say in what is written to it.
    pub has_rules: bool,
}

/// What a table is to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It stands for itself, be it partitioned or not.
    Table,
    /// A part of another.
    Partition,
}

/// How the watch stands.
#[derive(Clone, Copy, Debug)]
pub struct Watch<'a> {
    /// The state, as in `GET /api/v1/status`.
    pub state: &'a str,
    /// Whether it is the one in which numbers are the present ones.
    pub live: bool,
    /// Why it is not.
    pub reason: Option<&'a str>,
    /// What the server holds for us.
    pub slot: Option<Slot<'a>>,
}

/// The replication slot.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// Name.
    pub name: &'a str,
    /// Log that is held for it, in bytes.
    pub retained: u64,
    /// How much may be; `None` when it goes with its connection.
    pub budget: Option<u64>,
}
