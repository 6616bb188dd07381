//! Counting one table in one snapshot, without harm to those who use it.
//!
//! ```text
//! START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY
//! LOCK TABLE ONLY t IN ACCESS SHARE MODE      gives up after 400 ms
//! ── the snapshot is taken here, by the first query ──
//! is t still that table, and its file the snapshot's?   has every transaction older than the fence ended?
//! SELECT count(*) FROM ONLY t WHERE ctid >= … AND ctid < …     range after range; stops when anyone waits for a lock on t
//! ROLLBACK
//! ```
//!
//! The lock comes before the snapshot: a rewrite or a TRUNCATE does not keep old row versions, so a snapshot older than one of these would
//! see an empty table, and nothing in the stream would ever correct it. For the same reason there is one table a transaction: a second
//! lock would come after the first snapshot, and could deadlock with the application.
//!
//! Ranges give the same rows as one scan. All are read in one snapshot, no row moves (an update leaves the version that the snapshot
//! sees where it was, and VACUUM may not remove it), and the pages that held anything visible were there when the snapshot was taken,
//! which is before their number was read. The last range has no upper end.
//!
//! `ACCESS SHARE` is in nobody's way but that of DDL. DDL that waits for it makes everyone who comes later wait, so between ranges the
//! count looks whether someone waits for this table, and then gives way ([`CountError::GaveWay`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, IsolationLevel, Row, Transaction};

use super::read::is_transient;
use super::{CatalogError, Reason, RunningTransaction, Table};
use crate::counts::{FullXid, Snapshot};
use crate::lsn::{Lsn, Oid};

/// The pages of the first range: 32 MiB. Tables up to this size are counted in one go.
const FIRST_RANGE: u64 = 4096;

/// How long reading a range should take: the longest that DDL waits for the count to give way, but for a slow disk.
const RANGE_TIME: Duration = Duration::from_millis(200);

/// No function of the application is taken for the server's own; timeouts of the role or the database are for its own work; hidden rows
/// are an error; one process is enough.
const SETTINGS: &str = "SET LOCAL search_path = ''; SET LOCAL lock_timeout = '400ms'; SET LOCAL statement_timeout = 0; \
    SET LOCAL row_security = off; SET LOCAL enable_tidscan = on; SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off;";

/// How many rows a table had in one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// The table.
    pub oid: Oid,
    /// `count(*)`, without tables that inherit from it.
    pub count: i64,
    /// What was counted: the rows of the transactions that this sees.
    pub snapshot: Snapshot,
    /// Read after the snapshot was taken: every transaction that it sees was committed before.
    pub lsn: Lsn,
    /// The file that was read.
    pub relfilenode: Oid,
}

/// What a running count tells.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// The snapshot is taken, and the rows are about to be read.
    Began {
        /// What will be counted.
        snapshot: &'a Snapshot,
        /// As in [`Baseline::lsn`].
        lsn: Lsn,
    },
    /// So many percent are read. Told of tables that take more than one range.
    Percent(u8),
}

/// A count that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// Someone holds a lock that keeps even readers out. Try again soon.
    #[error("{table} is locked")]
    Locked {
        /// Its name.
        table: String,
    },
    /// Someone waited for a lock on the table, so the count was given up. Try again soon.
    #[error("the count of {table} was given up, because someone waits for a lock on the table")]
    GaveWay {
        /// Its name.
        table: String,
    },
    /// The name means another table now, or none, or the file was replaced: read the catalog again, then count what it says.
    #[error("{table} was renamed, dropped or rewritten meanwhile")]
    Changed {
        /// Its name.
        table: String,
    },
    /// A transaction from before the fence is still running. Try again soon.
    #[error("{running} has to end first")]
    FenceNotPassed {
        /// The oldest transaction that runs.
        running: RunningTransaction,
    },
    /// The role cannot count it.
    #[error("{0}")]
    Uncovered(Reason),
    /// The connection is lost.
    #[error("the connection was lost: {0}")]
    Disconnected(#[source] tokio_postgres::Error),
    /// The server could not do it.
    #[error("{table} could not be counted: {source}")]
    Server {
        /// Its name.
        table: String,
        /// What the server says.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The server sent what this does not understand.
    #[error(transparent)]
    Unexpected(CatalogError),
}

impl CountError {
    /// Whether the same count, asked for again soon on the same connection, may well succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            CountError::Locked { .. } | CountError::GaveWay { .. } | CountError::FenceNotPassed { .. } => true,
            CountError::Server { source, .. } => source.code().is_some_and(is_transient),
            CountError::Changed { .. } | CountError::Uncovered(_) | CountError::Disconnected(_) | CountError::Unexpected(_) => {
                false
            }
        }
    }
}

/// Counts the rows of `table`, which must be one that has rows ([`Table::has_rows`]).
///
/// With a [`fence`](super::fence), only in a snapshot for which every transaction older than the fence is over. When the future is
/// dropped, the transaction is rolled back before anything else runs on this connection.
pub async fn count(
    client: &mut Client,
    table: &Table,
    fence: Option<FullXid>,
    progress: impl FnMut(Progress<'_>),
) -> Result<Baseline, CountError> {
    let name = table.sql_name();
    let (step, error) = match attempt(client, table, &name, fence, progress).await {
        Ok(baseline) => return Ok(baseline),
        Err(Failure::Error(error)) => return Err(error),
        Err(Failure::Server(step, error)) => (step, error),
    };
    let reason = step.explain(error, &name)?;
    let row = client.query_one("SELECT current_user::text", &[]).await.map_err(CountError::Disconnected)?;
    let role = row.try_get::<_, &str>(0).map_err(CountError::Disconnected)?.into();
    Err(CountError::Uncovered(reason(role)))
}

async fn attempt(
    client: &mut Client,
    table: &Table,
    name: &str,
    fence: Option<FullXid>,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Baseline, Failure> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
    let lock = format!("{SETTINGS} LOCK TABLE ONLY {name} IN ACCESS SHARE MODE");
    transaction.batch_execute(&lock).await.map_err(Step::Lock.failed())?;

    let (oid, changed) = (table.oid, || CountError::Changed { table: name.to_owned() });
    let begin = include_str!("../../sql/catalog/baseline.sql");
    let found = transaction.query_typed_opt(begin, &[(&oid.0, Type::OID), (&name, Type::TEXT)]).await?;
    let row = found.ok_or_else(changed)?;
    if !row.try_get("same")? {
        return Err(changed().into());
    }
    let (snapshot, lsn) = position(&row).map_err(CountError::Unexpected)?;
    if fence.is_some_and(|fence| snapshot.xmin() < fence) {
        return Err(not_passed(&transaction, snapshot.xmin()).await?.into());
    }
    let relfilenode = Oid(row.try_get("relfilenode")?);
    let blocks = if row.try_get("heap")? { row.try_get::<_, i64>("blocks")?.unsigned_abs() } else { 0 };

    progress(Progress::Began { snapshot: &snapshot, lsn });
    let count = rows(&transaction, oid, name, blocks, progress).await?;

    let still = include_str!("../../sql/catalog/still_same.sql");
    let parameters: &[(&(dyn ToSql + Sync), Type)] = &[(&oid.0, Type::OID), (&name, Type::TEXT), (&relfilenode.0, Type::OID)];
    if !transaction.query_typed_one(still, parameters).await?.try_get(0)? {
        return Err(changed().into());
    }
    transaction.rollback().await?;
    Ok(Baseline { oid, count, snapshot, lsn, relfilenode })
}

/// Counts `blocks` pages range by range; a table that fits into the first range is read without a range at all.
async fn rows(
    transaction: &Transaction<'_>,
    oid: Oid,
    name: &str,
    blocks: u64,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<i64, Failure> {
    let (mut total, mut from, mut range) = (0, 0, FIRST_RANGE);
    loop {
        let next = from + range;
        let is_last = next >= blocks;
        let within = match (from, is_last) {
            (0, true) => String::new(),
            (_, true) => format!(" WHERE ctid >= '({from},0)'"),
            (_, false) => format!(" WHERE ctid >= '({from},0)' AND ctid < '({next},0)'"),
        };
        let started = Instant::now();
        let query = format!("SELECT count(*) FROM ONLY {name}{within}");
        let row = transaction.query_typed_one(&query, &[]).await.map_err(Step::Count.failed())?;
        total += row.try_get::<_, i64>(0)?;
        if is_last {
            return Ok(total);
        }
        let waiting = include_str!("../../sql/catalog/waiting.sql");
        if transaction.query_typed_one(waiting, &[(&oid.0, Type::OID)]).await?.try_get(0)? {
            return Err(CountError::GaveWay { table: name.to_owned() }.into());
        }
        progress(Progress::Percent(u8::try_from(next * 100 / blocks).unwrap_or(99)));
        from = next;
        range = match started.elapsed() {
            quick if quick < RANGE_TIME / 2 => range * 2,
            slow if slow > RANGE_TIME * 2 => (range / 2).max(FIRST_RANGE / 64),
            _ => range,
        };
    }
}

fn position(row: &Row) -> Result<(Snapshot, Lsn), CatalogError> {
    let (snapshot, lsn): (&str, &str) = (row.try_get("snapshot")?, row.try_get("lsn")?);
    Ok((snapshot.parse()?, lsn.parse()?))
}

async fn not_passed(transaction: &Transaction<'_>, waiting_for: FullXid) -> Result<CountError, tokio_postgres::Error> {
    let xid = waiting_for.xid();
    let row = transaction.query_one(include_str!("../../sql/catalog/holder.sql"), &[&xid.to_string()]).await?;
    let running = RunningTransaction { xid, pid: row.try_get("pid")?, prepared: row.try_get("prepared")? };
    Ok(CountError::FenceNotPassed { running })
}

/// What was being done when the server refused: one code means different things at different steps.
#[derive(Clone, Copy, Debug)]
enum Step {
    Lock,
    Count,
    Other,
}

enum Failure {
    Error(CountError),
    Server(Step, tokio_postgres::Error),
}

impl From<CountError> for Failure {
    fn from(error: CountError) -> Self {
        Failure::Error(error)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Failure::Server(Step::Other, error)
    }
}

impl Step {
    fn failed(self) -> impl FnOnce(tokio_postgres::Error) -> Failure {
        move |error| Failure::Server(self, error)
    }

    /// What `error` means, or how to tell why the role cannot count the table, given its name.
    fn explain(self, error: tokio_postgres::Error, table: &str) -> Result<fn(Arc<str>) -> Reason, CountError> {
        let table = table.to_owned();
        let Some(code) = error.code() else { return Err(CountError::Disconnected(error)) };
        Err(match (self, code) {
            (Step::Lock, &SqlState::INSUFFICIENT_PRIVILEGE) => return Ok(|role| Reason::NoSelect { role }),
            // The lock was granted, so the table may be read; what is refused is to hide rows.
            (Step::Count, &SqlState::INSUFFICIENT_PRIVILEGE) => return Ok(|role| Reason::RowSecurity { role }),
            (_, &SqlState::LOCK_NOT_AVAILABLE) => CountError::Locked { table },
            (_, &SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME | &SqlState::WRONG_OBJECT_TYPE) => {
                CountError::Changed { table }
            }
            _ if error.is_closed() || matches!(code.code().get(..3), Some("57P" | "080")) => CountError::Disconnected(error),
            _ => CountError::Server { table, source: error },
        })
    }
}
