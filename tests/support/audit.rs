//! Counting a table as anyone may, in a snapshot whose place among the transactions of the stream is known.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result};
use tokio_postgres::{Client, IsolationLevel};

use pgvigil::lsn::Lsn;

/// A snapshot, from `pg_current_snapshot()`: read here without pgvigil's own code. The servers of tests are young: ids fit 32 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    xmax: u32,
    running: Vec<u32>,
}

impl Snapshot {
    /// Whether a transaction that was committed is visible.
    pub(crate) fn sees(&self, xid: u32) -> bool {
        xid < self.xmax && !self.running.contains(&xid)
    }
}

impl FromStr for Snapshot {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split(':').skip(1);
        let xmax = parts.next().context("xmax")?.parse()?;
        let list = parts.next().context("the list")?.split(',').filter(|xid| !xid.is_empty());
        Ok(Snapshot { xmax, running: list.map(str::parse).collect::<Result<_, _>>()? })
    }
}

/// What one found who counted.
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    /// As SQL names it.
    pub(crate) table: String,
    pub(crate) oid: u32,
    pub(crate) snapshot: Snapshot,
    /// Everything that the snapshot sees was committed before this position.
    pub(crate) lsn: u64,
    pub(crate) rows: i64,
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Audit { table, oid, snapshot, lsn, .. } = self;
        write!(f, "audit of {table} (oid {oid}) at {}, xmax {}, running {:?}", Lsn(*lsn), snapshot.xmax, snapshot.running)
    }
}

/// Counts `table`, named as SQL names it and without those that inherit from it. `None` when it was locked too long, or is another by now.
pub(crate) async fn audit(client: &mut Client, table: &str, oid: u32) -> Result<Option<Audit>> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
    // The lock before the snapshot: TRUNCATE and rewrites leave nothing for an older snapshot to see.
    let lock = format!("SET LOCAL lock_timeout = '500ms'; LOCK TABLE ONLY {table} IN ACCESS SHARE MODE");
    if let Err(error) = transaction.batch_execute(&lock).await {
        return if error.code().is_some() { Ok(None) } else { Err(error.into()) };
    }
    let here = "SELECT pg_current_snapshot()::text, pg_current_wal_insert_lsn()::text, coalesce(to_regclass($1)::oid, 0) = $2";
    let row = transaction.query_one(here, &[&table, &oid]).await?;
    if !row.get::<_, bool>(2) {
        return Ok(None);
    }
    let rows = transaction.query_one(&format!("SELECT count(*) FROM ONLY {table}"), &[]).await?.get(0);
    transaction.rollback().await?;
    let lsn = row.get::<_, &str>(1).parse::<Lsn>()?.0;
    Ok(Some(Audit { table: table.to_owned(), oid, snapshot: row.get::<_, &str>(0).parse()?, lsn, rows }))
}
