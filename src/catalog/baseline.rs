//! Counting one table in one snapshot, [held](super::held), without harm to those who use it.
//!
//! ```text
//! SELECT count(*) FROM ONLY t WHERE ctid >= … AND ctid < …     range after range; stops when anyone waits for a lock on t
//! ```
//!
//! Ranges give the same rows as one scan. All are read in one snapshot, no row moves (an update leaves the version that the snapshot
//! sees where it was, and VACUUM may not remove it), and the pages that held anything visible were there when the snapshot was taken,
//! which is before their number was read. The last range has no upper end.
//!
//! `ACCESS SHARE` is in nobody's way but that of DDL. DDL that waits for it makes everyone who comes later wait, so between ranges the
//! count looks whether someone waits for this table, and then gives way ([`CountError::GaveWay`]).

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::held::{self, Failure, Held, Step};
use super::read::is_transient;
use super::{CatalogError, Reason, RunningTransaction, Table};
use crate::counts::{FullXid, Snapshot};
use crate::lsn::{Lsn, Oid};

/// The pages of the first range: 32 MiB. Tables up to this size are counted in one go.
const FIRST_RANGE: u64 = 4096;

/// How long reading a range should take: the longest that DDL waits for the count to give way, but for a slow disk.
const RANGE_TIME: Duration = Duration::from_millis(200);

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
    let outcome = attempt(client, table, fence, progress).await;
    held::explained(client, table, outcome).await
}

async fn attempt(
    client: &mut Client,
    table: &Table,
    fence: Option<FullXid>,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Baseline, Failure> {
    let held = Held::take(client, table, fence).await?;
    progress(Progress::Began { snapshot: &held.snapshot, lsn: held.lsn });
    let count = rows(&held, progress).await?;
    let (oid, snapshot, lsn, relfilenode) = (held.oid, held.snapshot.clone(), held.lsn, held.relfilenode);
    held.release().await?;
    Ok(Baseline { oid, count, snapshot, lsn, relfilenode })
}

/// Counts `blocks` pages range by range; a table that fits into the first range is read without a range at all.
async fn rows(held: &Held<'_>, mut progress: impl FnMut(Progress<'_>)) -> Result<i64, Failure> {
    let Held { transaction, oid, name, blocks, .. } = held;
    let (mut total, mut from, mut range) = (0, 0, FIRST_RANGE);
    loop {
        let next = from + range;
        let is_last = next >= *blocks;
        let within = match (from, is_last) {
            (0, true) => String::new(),
            (_, true) => format!(" WHERE ctid >= '({from},0)'"),
            (_, false) => format!(" WHERE ctid >= '({from},0)' AND ctid < '({next},0)'"),
        };
        let started = Instant::now();
        let query = format!("SELECT count(*) FROM ONLY {name}{within}");
        let row = transaction.query_typed_one(&query, &[]).await.map_err(Step::Read.failed())?;
        total += row.try_get::<_, i64>(0)?;
        if is_last {
            return Ok(total);
        }
        let waiting = include_str!("../../sql/catalog/waiting.sql");
        if transaction.query_typed_one(waiting, &[(&oid.0, Type::OID)]).await?.try_get(0)? {
            return Err(CountError::GaveWay { table: name.clone() }.into());
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
