//! The backlogs: written once, then drained again and again, each time from a copy of the slot that was made before.

use std::fmt;

use tokio_postgres::{Client, NoTls};

use super::BenchError;
use crate::cluster::Cluster;
use crate::lsn::Lsn;

/// What fills a backlog.
#[derive(Clone, Copy, Debug)]
pub(super) enum Workload {
    /// Transactions of four changes: two inserts, an update, a delete.
    Small { transactions: u32 },
    /// One `INSERT … SELECT`.
    Bulk { rows: u32 },
    /// One transaction that inserts, updates a part and deletes a part, far beyond what the server or we keep in memory.
    Huge { rows: u32 },
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Workload::Small { transactions } => write!(f, "{transactions} transactions of 4 changes"),
            Workload::Bulk { rows } => write!(f, "one insert of {rows} rows"),
            Workload::Huge { rows } => write!(f, "one transaction of {} changes", u64::from(*rows) + u64::from(rows / 10) * 2),
        }
    }
}

/// A backlog behind a slot.
pub(super) struct Backlog {
    /// Its database.
    pub(super) database: String,
    /// Changes in it.
    pub(super) changes: u64,
    /// The rows that its table holds at the end.
    pub(super) rows: i64,
    /// Where it ends: behind the commit of the marker.
    pub(super) end: Lsn,
}

const SLOT: &str = "bench_base";

/// The marker's table: its one row is the last change of every backlog.
pub(super) const MARKER: &str = "bench_marker";

impl Workload {
    fn name(self) -> &'static str {
        match self {
            Workload::Small { .. } => "bench_small",
            Workload::Bulk { .. } => "bench_bulk",
            Workload::Huge { .. } => "bench_huge",
        }
    }

    fn sql(self) -> String {
        match self {
            Workload::Small { transactions } => format!(
                "DO $$ BEGIN FOR i IN 1..{transactions} LOOP \
                   INSERT INTO item VALUES (2 * i, 'item number ' || i, now(), i), (2 * i + 1, 'another ' || i, now(), NULL); \
                   UPDATE item SET amount = i + 1 WHERE id = 2 * i; \
                   DELETE FROM item WHERE id = 2 * i + 1; \
                   COMMIT; \
                 END LOOP; END $$"
            ),
            Workload::Bulk { rows } => {
                format!("INSERT INTO item SELECT i, 'item number ' || i, now(), i FROM generate_series(1, {rows}) i")
            }
            Workload::Huge { rows } => format!(
                "BEGIN; INSERT INTO item SELECT i, 'item number ' || i, now(), i FROM generate_series(1, {rows}) i; \
                 UPDATE item SET amount = amount + 1 WHERE id <= {0}; DELETE FROM item WHERE id > {rows} - {0}; COMMIT",
                rows / 10
            ),
        }
    }

    fn outcome(self) -> (u64, i64) {
        match self {
            Workload::Small { transactions } => (u64::from(transactions) * 4, i64::from(transactions)),
            Workload::Bulk { rows } => (u64::from(rows), i64::from(rows)),
            Workload::Huge { rows } => (u64::from(rows) + u64::from(rows / 10) * 2, i64::from(rows - rows / 10)),
        }
    }

    /// Makes a database with this backlog.
    pub(super) async fn prepare(self, cluster: &Cluster) -> Result<Backlog, BenchError> {
        let database = self.name();
        connect(cluster, "postgres").await?.batch_execute(&format!("CREATE DATABASE {database}")).await?;
        let client = connect(cluster, database).await?;
        client
            .batch_execute(&format!(
                "CREATE TABLE item (id int8 PRIMARY KEY, name text NOT NULL, added timestamptz NOT NULL, amount int4); \
                 CREATE TABLE {MARKER} (id int4 PRIMARY KEY); \
                 CREATE PUBLICATION pgvigil FOR ALL TABLES; \
                 SET synchronous_commit = off;"
            ))
            .await?;
        client.execute("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", &[&SLOT]).await?;
        client.batch_execute(&self.sql()).await?;
        client.batch_execute(&format!("SET synchronous_commit = on; INSERT INTO {MARKER} VALUES (1)")).await?;
        let end: String = client.query_one("SELECT pg_current_wal_lsn()::text", &[]).await?.try_get(0)?;
        // A checkpoint in the middle of a drain would be counted against whoever is draining.
        client.batch_execute("CHECKPOINT").await?;
        let (changes, rows) = self.outcome();
        Ok(Backlog { database: database.to_owned(), changes: changes + 1, rows, end: end.parse().unwrap_or_default() })
    }
}

impl Backlog {
    /// A copy of the slot, for one drain. It goes with [`Backlog::drop_copy`].
    pub(super) async fn copy(&self, client: &Client, name: &str) -> Result<(), BenchError> {
        client.execute("SELECT pg_copy_logical_replication_slot($1, $2, false, 'pgoutput')", &[&SLOT, &name]).await?;
        Ok(())
    }

    /// Drops a copy, once whoever read from it has let go.
    pub(super) async fn drop_copy(&self, client: &Client, name: &str) -> Result<(), BenchError> {
        let free = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active";
        while client.execute(free, &[&name]).await? == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Drops the slot and the database.
    pub(super) async fn discard(self, cluster: &Cluster) -> Result<(), BenchError> {
        self.drop_copy(&connect(cluster, &self.database).await?, SLOT).await?;
        connect(cluster, "postgres").await?.batch_execute(&format!("DROP DATABASE {} (FORCE)", self.database)).await?;
        Ok(())
    }
}

/// An ordinary session.
pub(super) async fn connect(cluster: &Cluster, database: &str) -> Result<Client, BenchError> {
    let (client, connection) = tokio_postgres::connect(&cluster.socket_url(database), NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
