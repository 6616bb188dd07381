//! A table held in one snapshot, to read its rows without harm to those who use it.
//!
//! ```text
//! START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY
//! LOCK TABLE ONLY t IN ACCESS SHARE MODE      gives up after 400 ms
//! ── the snapshot is taken here, by the first query ──
//! is t still that table, and its file the snapshot's?   has every transaction older than the fence ended?
//! …                                           what is read
//! is it still that table?
//! ROLLBACK
//! ```
//!
//! The lock comes before the snapshot: a rewrite or a TRUNCATE does not keep old row versions, so a snapshot older than one of these would
//! see an empty table, and nothing in the stream would ever correct it. For the same reason there is one table a transaction: a second
//! lock would come after the first snapshot, and could deadlock with the application.

use std::sync::Arc;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, IsolationLevel, Row, Transaction};

use super::{CatalogError, CountError, Reason, RunningTransaction, Table};
use crate::counts::{FullXid, Snapshot};
use crate::lsn::{Lsn, Oid};

/// No function of the application is taken for the server's own; timeouts of the role or the database are for its own work; hidden rows
/// are an error; one process is enough.
const SETTINGS: &str = "SET LOCAL search_path = ''; SET LOCAL lock_timeout = '400ms'; SET LOCAL statement_timeout = 0; \
    SET LOCAL row_security = off; SET LOCAL enable_tidscan = on; SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off;";

/// A table that cannot become another until it is released.
pub(super) struct Held<'c> {
    pub(super) transaction: Transaction<'c>,
    pub(super) oid: Oid,
    /// As SQL takes it.
    pub(super) name: String,
    /// What the transaction sees.
    pub(super) snapshot: Snapshot,
    /// Read after the snapshot was taken: every transaction that it sees was committed before.
    pub(super) lsn: Lsn,
    /// The file that is read.
    pub(super) relfilenode: Oid,
    /// Its pages, if these can be read by range.
    pub(super) blocks: u64,
}

impl<'c> Held<'c> {
    /// Takes hold of `table`; with a fence, only if every transaction older than that is over.
    pub(super) async fn take(client: &'c mut Client, table: &Table, fence: Option<FullXid>) -> Result<Self, Failure> {
        let name = table.sql_name();
        let begin = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let transaction = begin.start().await?;
        let lock = format!("{SETTINGS} LOCK TABLE ONLY {name} IN ACCESS SHARE MODE");
        transaction.batch_execute(&lock).await.map_err(Step::Lock.failed())?;

        let (oid, changed) = (table.oid, || CountError::Changed { table: name.clone() });
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
        Ok(Held { transaction, oid, name, snapshot, lsn, relfilenode, blocks })
    }

    /// Lets go of it. An error when it is not the table any more that was to be read.
    pub(super) async fn release(self) -> Result<(), Failure> {
        let Held { transaction, oid, name, relfilenode, .. } = self;
        let still = include_str!("../../sql/catalog/still_same.sql");
        let parameters: &[(&(dyn ToSql + Sync), Type)] = &[(&oid.0, Type::OID), (&name, Type::TEXT), (&relfilenode.0, Type::OID)];
        if !transaction.query_typed_one(still, parameters).await?.try_get(0)? {
            return Err(CountError::Changed { table: name }.into());
        }
        transaction.rollback().await?;
        Ok(())
    }
}

/// The outcome of an attempt on `table`, for who asked. Its transaction is over.
pub(super) async fn explained<T>(client: &Client, table: &Table, outcome: Result<T, Failure>) -> Result<T, CountError> {
    let (step, error) = match outcome {
        Ok(done) => return Ok(done),
        Err(Failure::Error(error)) => return Err(error),
        Err(Failure::Server(step, error)) => (step, error),
    };
    let reason = step.explain(error, &table.sql_name())?;
    let row = client.query_one("SELECT current_user::text", &[]).await.map_err(CountError::Disconnected)?;
    let role = row.try_get::<_, &str>(0).map_err(CountError::Disconnected)?.into();
    Err(CountError::Uncovered(reason(role)))
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
pub(super) enum Step {
    Lock,
    Read,
    Other,
}

/// What became of an attempt.
#[derive(Debug)]
pub(super) enum Failure {
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
    pub(super) fn failed(self) -> impl FnOnce(tokio_postgres::Error) -> Failure {
        move |error| Failure::Server(self, error)
    }

    /// What `error` means, or how to tell why the role cannot count the table, given its name.
    fn explain(self, error: tokio_postgres::Error, table: &str) -> Result<fn(Arc<str>) -> Reason, CountError> {
        let table = table.to_owned();
        let Some(code) = error.code() else { return Err(CountError::Disconnected(error)) };
        Err(match (self, code) {
            (Step::Lock, &SqlState::INSUFFICIENT_PRIVILEGE) => return Ok(|role| Reason::NoSelect { role }),
            // The lock was granted, so the table may be read; what is refused is to hide rows.
            (Step::Read, &SqlState::INSUFFICIENT_PRIVILEGE) => return Ok(|role| Reason::RowSecurity { role }),
            (_, &SqlState::LOCK_NOT_AVAILABLE) => CountError::Locked { table },
            (_, &SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME | &SqlState::WRONG_OBJECT_TYPE) => {
                CountError::Changed { table }
            }
            _ if error.is_closed() || matches!(code.code().get(..3), Some("57P" | "080")) => CountError::Disconnected(error),
            _ => CountError::Server { table, source: error },
        })
    }
}
