//! A database that is watched, and whether what is told of it is so. For times at which nobody else writes.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pgvigil::lsn::Lsn;
use serde_json::Value;

use super::postgres::Database;
use super::process::Pgvigil;
use super::wait::{PATIENCE, wait_for};
use super::witness::{Witness, mark};

/// A `pgvigil serve` and someone who listens to it.
pub(crate) struct Watched {
    pub(crate) pgvigil: Pgvigil,
    pub(crate) witness: Witness,
}

/// A table as it is.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) oid: u32,
    /// As SQL names it.
    pub(crate) name: String,
    pub(crate) partitioned: bool,
}

impl Table {
    /// What counts it: with its partitions, but without those that only inherit from it.
    pub(crate) fn count(&self) -> String {
        format!("SELECT count(*) FROM {}{}", if self.partitioned { "" } else { "ONLY " }, self.name)
    }
}

/// What pgvigil and the database agree about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) tables: usize,
    /// Those of partitioned tables not counted twice.
    pub(crate) rows: i64,
}

/// All tables that are in the write-ahead log, partitioned ones among them.
pub(crate) async fn tables(database: &Database) -> Result<Vec<Table>> {
    let rows = database
        .rows(
            "SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relkind = 'p' FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
              WHERE relkind IN ('r', 'p') AND relpersistence = 'p' AND nspname NOT IN ('pg_catalog', 'information_schema', 'pgvigil') ORDER BY 2",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| Table { oid: row.get(0), name: row.get(1), partitioned: row.get(2) }).collect())
}

impl Watched {
    /// Starts `pgvigil serve` with these arguments.
    pub(crate) async fn start(database_url: &str, arguments: &[&str]) -> Result<Self> {
        let pgvigil = Pgvigil::serve(database_url, arguments).await?;
        let witness = Witness::listen(&pgvigil).await?;
        Ok(Watched { pgvigil, witness })
    }

    /// Waits until everything committed so far was told. No number that is told then may be wrong; that it is not known is no lie.
    /// Gives the names of tables of which it is not.
    pub(crate) async fn is_not_wrong(&self, database: &Database) -> Result<Vec<String>> {
        self.compare(database).await.map(|(_, unknown)| unknown)
    }

    /// Waits until the numbers of all tables are known. At no time may one be wrong.
    pub(crate) async fn agrees(&self, database: &Database, within: Duration) -> Result<Agreement> {
        let known = wait_for("all counts to be known", within, async || {
            // A number that is wrong does not become right by waiting.
            let (agreement, unknown) = match self.compare(database).await {
                Ok(compared) => compared,
                Err(error) => return Ok(Some(Err(error))),
            };
            ensure!(unknown.is_empty(), "not known: {unknown:?}");
            Ok(Some(Ok(agreement)))
        });
        let agreement = match known.await {
            Ok(agreement) => agreement?,
            Err(error) => return Err(error.context(format!("{:#}", self.inexact().await?))),
        };
        self.is_shown(database).await?;
        Ok(agreement)
    }

    /// What is shown of tables without an exact count, and what was logged.
    async fn inexact(&self) -> Result<String> {
        let answer = self.pgvigil.json("/api/v1/tables").await?;
        let inexact = answer["tables"].as_array().context("tables")?.iter().filter(|table| table["count_state"] != "exact");
        let lines: String = inexact.map(|table| format!("{table}\n")).collect();
        Ok(format!("without an exact count:\n{lines}pgvigil logged:\n{}", self.pgvigil.stderr()))
    }

    async fn compare(&self, database: &Database) -> Result<(Agreement, Vec<String>)> {
        let here: Lsn = database.value::<String>("SELECT pg_current_wal_insert_lsn()::text").await?.parse()?;
        self.witness.has_heard(mark(database).await?).await?;
        let shown = self.shown(here).await?;
        // Counts that were shown by then have been sent.
        self.witness.has_heard(mark(database).await?).await?;
        let (mut agreement, mut unknown, mut wrong) = (Agreement { tables: 0, rows: 0 }, Vec::new(), String::new());
        database.run("SET lock_timeout = '1s'").await?;
        for table in tables(database).await? {
            // Whoever holds a lock that keeps readers out, such as a prepared transaction, keeps us out too.
            let Some(rows) = database.unlocked_value::<i64>(&table.count()).await? else {
                unknown.push(table.name);
                continue;
            };
            if let Some(shown) = shown.get(&table.oid).filter(|shown| **shown != rows) {
                write!(wrong, "\n  {} (oid {}) has {rows} rows, and is shown with {shown}", table.name, table.oid)?;
            }
            match self.witness.rows(table.oid) {
                None => unknown.push(table.name),
                // The sum is told a moment after its parts.
                Some(told) if table.partitioned && told != rows => unknown.push(table.name),
                Some(told) if told != rows => {
                    write!(wrong, "\n  {} (oid {}) has {rows} rows, not {told}", table.name, table.oid)?
                }
                Some(_) => {
                    agreement.tables += 1;
                    agreement.rows += if table.partitioned { 0 } else { rows };
                }
            }
        }
        if !wrong.is_empty() {
            bail!("wrong counts:{wrong}\npgvigil logged:\n{}", self.pgvigil.stderr());
        }
        Ok((agreement, unknown))
    }

    /// The exact counts that `GET /api/v1/tables` says are true at this position or behind it.
    async fn shown(&self, behind: Lsn) -> Result<BTreeMap<u32, i64>> {
        let answer = wait_for("counts as of now", PATIENCE, async || {
            let answer = self.pgvigil.json("/api/v1/tables").await?;
            let as_of: Lsn = answer["as_of"]["lsn"].as_str().context("as_of")?.parse()?;
            if as_of < behind {
                // Many ask at once, and the answer is long.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok((as_of >= behind).then_some(answer))
        });
        let answer = answer.await?;
        let tables = answer["tables"].as_array().context("tables")?.iter();
        let shown = |table: &Value| Some((u32::try_from(table["oid"].as_u64()?).ok()?, table["count"].as_i64()?));
        Ok(tables.filter_map(shown).collect())
    }

    /// What `GET /api/v1/tables` says comes to be the same, a moment after the stream.
    async fn is_shown(&self, database: &Database) -> Result<()> {
        wait_for("the same counts to be shown", PATIENCE, async || {
            let answer = self.pgvigil.json("/api/v1/tables").await?;
            let shown = answer["tables"].as_array().context("tables")?;
            for table in tables(database).await? {
                let rows: i64 = database.value(&table.count()).await?;
                let shown = shown.iter().find(|shown| shown["oid"] == table.oid);
                let shown = shown.with_context(|| format!("{} is not shown", table.name))?;
                ensure!(shown["count"] == rows && shown["count_state"] == "exact", "{} has {rows} rows: {shown}", table.name);
            }
            Ok(Some(()))
        })
        .await
    }
}
