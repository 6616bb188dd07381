//! What the engine is told.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
    /// The log holds deleted rows whole, not only their keys.
    pub keeps_old_rows: bool,
    /// How often its count was found to have been wrong in this epoch.
    pub found_wrong: u64,
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
