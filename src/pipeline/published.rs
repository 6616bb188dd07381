//! What the pipeline publishes beside the history: the status and the counts, each as one immutable value behind a watch channel.
//!
//! Shapes as promised for `GET /api/v1/status` and `GET /api/v1/tables`. Every reader gets the same `Arc`.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use bytesize::ByteSize;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::tables::Stamp;
use crate::catalog::Identity;
use crate::lsn::{Lsn, Oid};
use crate::rows;

/// Older than this, the last proof no longer makes what is shown live.
pub const LIVE_FOR: Duration = Duration::from_secs(5);
/// Older than this, it is stale.
pub const STALE_AFTER: Duration = Duration::from_secs(15);

/// How far what is shown can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No baseline yet.
    Connecting,
    /// Proof from upstream less than 5 s old, and less than 5 s behind.
    Live,
    /// 5 s or 16 MiB behind, or more; or what happens cannot be recorded.
    Lagging,
    /// Connected, but no proof for 15 s.
    Stale,
    /// No connection to PostgreSQL; trying again.
    Disconnected,
    /// A new epoch began: counting again.
    Resyncing,
    /// The server that answers is not the one that was watched.
    WrongDatabase,
}

impl State {
    /// As it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Lagging => "lagging",
            Self::Stale => "stale",
            Self::Disconnected => "disconnected",
            Self::Resyncing => "resyncing",
            Self::WrongDatabase => "wrong_database",
        }
    }
}

/// `GET /api/v1/status`, but for the parts that only the server knows (clients, uptime, version) or that age with the clock.
#[derive(Clone, Debug)]
pub struct Status {
    /// How far what is shown can be trusted.
    pub state: State,
    /// Why, for a person, when it is not live, or may not stay so: what happened, what it means, what to do.
    pub reason: Option<String>,
    /// Since when (Unix time, microseconds).
    pub since: i64,
    /// What is watched; `None` until the first connection.
    pub database: Option<Arc<Database>>,
    /// The unbroken stretch of stream, once one began.
    pub epoch: Option<crate::lsn::Epoch>,
    /// The stream is held at this position: everything committed up to here has been applied.
    pub lsn: Lsn,
    /// The end of the server's flushed log, when last seen.
    pub server_lsn: Lsn,
    /// When the server last proved that `lsn` is its present: a reply to our request.
    pub last_proof: Option<Instant>,
    /// Our slot.
    pub slot: Option<Slot>,
    /// The rows of small tables that are kept, where any are wanted.
    pub row_cache: Option<rows::Usage>,
    /// The publication that is read.
    pub publication: String,
}

impl Status {
    /// A stream is held and proven now, of which nothing else is known: for a server of events that come from no database.
    pub fn held(epoch: crate::lsn::Epoch) -> Self {
        Status {
            state: State::Live,
            reason: None,
            since: super::unix_micros(),
            database: None,
            epoch: Some(epoch),
            lsn: Lsn::ZERO,
            server_lsn: Lsn::ZERO,
            last_proof: Some(Instant::now()),
            slot: None,
            row_cache: None,
            publication: String::new(),
        }
    }

    /// The state at this moment. It ages by itself: whatever stopped the pipeline from saying so, an old proof is never live.
    pub fn state_at(&self, now: Instant) -> State {
        let age = self.last_proof.map_or(Duration::MAX, |proof| now.saturating_duration_since(proof));
        match self.state {
            State::Live | State::Lagging if age >= STALE_AFTER => State::Stale,
            State::Live if age >= LIVE_FOR => State::Lagging,
            state => state,
        }
    }
}

/// The database that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Database {
    /// Name.
    pub name: String,
    /// `pg_database.oid`.
    pub oid: u32,
    /// `pg_control_system().system_identifier`, as text: it does not fit a JavaScript number.
    pub system_identifier: String,
    /// Host name, address or socket folder that was connected to.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Such as `15.18`.
    pub server_version: String,
}

impl Database {
    /// Whether a session in `here` is in this database.
    pub fn is(&self, here: &Identity) -> bool {
        self.name == here.name && Oid(self.oid) == here.oid && self.system_identifier == here.system_identifier
    }
}

/// The replication slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// Name.
    pub name: String,
    /// Dropped by the server with our connection.
    pub temporary: bool,
    /// WAL the server keeps for it, in bytes.
    pub retained_bytes: u64,
    /// How much it may keep before we let go of it. A temporary slot has no budget: it goes with its connection.
    pub budget_bytes: Option<u64>,
}

impl Slot {
    /// What is to be said of it while all else is well: more than half of its budget is used.
    pub(super) fn explain(&self) -> Option<String> {
        let budget = self.budget_bytes.filter(|budget| self.retained_bytes > budget / 2)?;
        let [retained, budget] = [self.retained_bytes, budget].map(|bytes| ByteSize::b(bytes).display().iec());
        Some(format!(
            "the server keeps {retained} of log for the replication slot, of a budget of {budget}; more is kept for as long as a transaction stays \
             open, or nothing is recorded"
        ))
    }
}

/// The counts at one position, immutable: `GET /api/v1/tables`.
#[derive(Debug)]
pub struct Counts {
    /// One more than that of the counts before it, within the process.
    pub version: u64,
    /// Position in the history (number of blocks ever appended) that these counts belong to: send them after that block.
    /// It moves on with the history, also while no count changes.
    pub after_block: u64,
    /// True at this position.
    pub lsn: Lsn,
    /// When the stream was known to stand there.
    pub time: Instant,
    /// The same by the wall clock (Unix time, microseconds).
    pub unix_time: i64,
    /// Every table, by schema and name.
    pub tables: Arc<[Arc<Table>]>,
    /// The tables that differ from version - 1.
    pub changed: Vec<Arc<Table>>,
    /// The tables of version - 1 that are no more, by oid.
    pub removed: Vec<u32>,
    /// What went by up to here.
    pub passed: Passed,
    /// Sum over all watched tables; `None` while any of them is not exact.
    pub total_rows: Option<i64>,
    /// Nothing in the stream tells of DDL, so they follow the changes by a moment: only then it is certain that the stream had left nothing
    /// out. Events behind `after_block` may have been there for a while.
    pub told_late: bool,
    /// The `counts` event with every table, made when first asked for (the server's).
    pub whole_json: OnceLock<Bytes>,
    /// The `counts` event with what changed since version - 1, made when first asked for (the server's).
    pub changed_json: OnceLock<Bytes>,
}

/// What the stream brought since the process began: never falls, whatever becomes of the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Transactions with at least one event.
    pub transactions: u64,
    /// Rows inserted.
    pub inserts: u64,
    /// Rows updated.
    pub updates: u64,
    /// Rows deleted.
    pub deletes: u64,
    /// Tables truncated.
    pub truncates: u64,
}

impl Passed {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Passed) -> Passed {
        Passed {
            transactions: self.transactions + other.transactions,
            inserts: self.inserts + other.inserts,
            updates: self.updates + other.updates,
            deletes: self.deletes + other.deletes,
            truncates: self.truncates + other.truncates,
        }
    }
}

impl Counts {
    /// The same tables, of which nothing is known any more, their rows included. Not a change of the counts before: whoever knows those is told all.
    pub(super) fn doubted(&self, reason: &str) -> Self {
        let doubt = |table: &Arc<Table>| {
            let reason = Some(reason.to_owned());
            let row_cache = table.row_cache.as_ref().map(|_| rows::Standing::Off(rows::Reason::Unstreamed));
            let count_state = CountState::Unknown;
            Arc::new(Table { count: None, count_state, reason, progress: None, row_cache, ..Table::clone(table) })
        };
        let tables: Arc<[_]> = self.tables.iter().map(doubt).collect();
        let (version, after_block, lsn, passed) = (self.version + 2, self.after_block, self.lsn, self.passed);
        Counts { version, after_block, lsn, tables, passed, ..Counts::none() }
    }

    /// The same counts, at a later position.
    pub(super) fn still_true(&self, stamp: &Stamp) -> Self {
        let Counts { version, total_rows, told_late, .. } = *self;
        let (tables, changed, removed) = (Arc::clone(&self.tables), self.changed.clone(), self.removed.clone());
        Counts { version, tables, changed, removed, total_rows, told_late, ..Counts::at(stamp) }
    }

    /// Nothing yet, true at a position.
    pub(super) fn at(stamp: &Stamp) -> Self {
        let &Stamp { after_block, lsn, passed, time, unix_time } = stamp;
        Counts { after_block, lsn, passed, time, unix_time, ..Counts::none() }
    }

    /// Before anything is known.
    pub fn none() -> Self {
        Counts {
            version: 0,
            after_block: 0,
            lsn: Lsn::ZERO,
            time: Instant::now(),
            unix_time: super::unix_micros(),
            tables: Arc::default(),
            changed: Vec::new(),
            removed: Vec::new(),
            passed: Passed::default(),
            total_rows: None,
            told_late: false,
            whole_json: OnceLock::new(),
            changed_json: OnceLock::new(),
        }
    }
}

/// One table of [`Counts`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// Identity: stays through renames.
    pub oid: u32,
    /// Schema.
    pub schema: String,
    /// Name, not quoted.
    pub name: String,
    /// What it is.
    pub kind: TableKind,
    /// The partitioned table it belongs to.
    pub parent: Option<u32>,
    /// Exact, or `None`.
    pub count: Option<i64>,
    /// What `count` is worth.
    pub count_state: CountState,
    /// Why there is no count.
    pub reason: Option<String>,
    /// How far a running baseline is, in percent, for a large table.
    pub progress: Option<u8>,
    /// Rows inserted since the epoch began.
    pub inserts: u64,
    /// Rows updated.
    pub updates: u64,
    /// Rows deleted.
    pub deletes: u64,
    /// Times truncated.
    pub truncates: u64,
    /// Commit time of its last change, RFC 3339.
    pub last_change: Option<String>,
    /// When it was last counted by the database itself, RFC 3339.
    pub verified_at: Option<String>,
    /// How often its count was found to have been wrong since the epoch began; it was counted again each time.
    pub found_wrong: u64,
    /// What old rows carry: `default`, `nothing`, `full` or `index`.
    pub replica_identity: &'static str,
    /// Whether rules (`CREATE RULE`) have a say in what is written to it, or had a while ago.
    #[serde(skip)]
    pub has_rules: bool,
    /// Columns of the primary key, in order.
    pub key: Vec<String>,
    /// Whether its rows are kept, where any are wanted.
    #[serde(flatten, serialize_with = "row_cache")]
    pub row_cache: Option<rows::Standing>,
}

/// `row_cache`, and why it is off.
fn row_cache<S: Serializer>(standing: &Option<rows::Standing>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut members = serializer.serialize_map(None)?;
    let (state, reason) = match standing {
        None => return members.end(),
        Some(rows::Standing::Full) => ("full", None),
        Some(rows::Standing::Loading) => ("loading", None),
        Some(rows::Standing::Off(reason)) => ("off", Some(reason.to_string())),
    };
    members.serialize_entry("row_cache", state)?;
    if let Some(reason) = reason {
        members.serialize_entry("row_cache_reason", &reason)?;
    }
    members.end()
}

/// What a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum TableKind {
    Table,
    PartitionedTable,
    Partition,
    MaterializedView,
    ForeignTable,
}

/// What a count is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CountState {
    /// Equal to `SELECT count(*)` at the stamped position.
    Exact,
    /// Being counted.
    Counting,
    /// Not known, for the reason given.
    Unknown,
    /// Not provable from this publication, for the reason given.
    Uncovered,
}
