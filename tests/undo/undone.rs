//! A database that is watched, and what was done there, undone.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio_postgres::SimpleQueryMessage;

use crate::support::{Database, PATIENCE, Pgvigil, wait_for};

/// A database, and a pgvigil that watches it.
pub(crate) struct Scene {
    pub(crate) database: Database,
    pub(crate) pgvigil: Pgvigil,
    pub(crate) url: String,
}

/// What a reversal said of one of its statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) table: String,
    pub(crate) action: String,
    pub(crate) rows: i64,
    pub(crate) done: i64,
    pub(crate) already: i64,
    pub(crate) altered: i64,
    pub(crate) in_conflict: i64,
}

/// Every row of every table of one's own, as text, sorted.
pub(crate) type Contents = BTreeMap<String, Vec<String>>;

impl Scene {
    pub(crate) async fn set(cluster: &pgvigil::cluster::Cluster, name: &str, schema: &str) -> Result<Self> {
        let database = Database::create(cluster, name).await?;
        database.run(schema).await?;
        let url = cluster.url(name);
        let pgvigil = Pgvigil::serve(&url, &[]).await?;
        pgvigil.wait_for_state("live").await?;
        Ok(Scene { database, pgvigil, url })
    }

    /// Runs this as one transaction and gives its id once it was told.
    pub(crate) async fn transaction(&self, sql: &str) -> Result<String> {
        self.database.run("BEGIN").await?;
        self.database.run(sql).await?;
        let xid: String = self.database.value("SELECT pg_current_xact_id()::text").await?;
        self.database.run("COMMIT").await?;
        self.told(&xid).await
    }

    /// The id of a transaction that was committed.
    pub(crate) async fn told(&self, xid: &str) -> Result<String> {
        wait_for("the transaction to be told", PATIENCE, async || {
            let page = self.pgvigil.json(&format!("/api/v1/events?kinds=commit&limit=1&xid={xid}")).await?;
            Ok(page["events"][0]["tx"]["id"].as_str().map(str::to_owned))
        })
        .await
    }

    /// Waits until all that was committed is told.
    pub(crate) async fn told_all(&self) -> Result<()> {
        let database = &self.database;
        database.run("BEGIN; SELECT pg_logical_emit_message(true, 'test', '')").await?;
        let xid: String = database.value("SELECT pg_current_xact_id()::text").await?;
        database.run("COMMIT").await?;
        wait_for("the message to be told", PATIENCE, async || {
            let page = self.pgvigil.json(&format!("/api/v1/events?kinds=message&limit=1&xid={xid}")).await?;
            Ok(page["events"][0]["type"].is_string().then_some(()))
        })
        .await
    }

    /// What `GET …/undo` says.
    pub(crate) async fn undo(&self, tx: &str) -> Result<Value> {
        self.pgvigil.json(&format!("/api/v1/transactions/{tx}/undo")).await
    }

    /// Where the log ends.
    pub(crate) async fn position(&self) -> Result<String> {
        self.database.value("SELECT pg_current_wal_insert_lsn()::text").await
    }

    /// Runs a reversal, and gives what it says that it did.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<Vec<Done>> {
        let messages = self.database.client().simple_query(sql).await;
        if messages.is_err() {
            self.database.run("ROLLBACK").await?;
        }
        let text = |row: &tokio_postgres::SimpleQueryRow, column: &str| Some(row.try_get(column).ok()??.to_owned());
        let number = |row: &tokio_postgres::SimpleQueryRow, column: &str| text(row, column)?.parse().ok();
        let done = messages.with_context(|| sql.to_owned())?.into_iter().filter_map(|message| {
            let SimpleQueryMessage::Row(row) = message else { return None };
            Some(Done {
                table: text(&row, "table")?,
                action: text(&row, "action")?,
                rows: number(&row, "rows")?,
                done: number(&row, "done")?,
                already: number(&row, "already_so")?,
                altered: number(&row, "not_as_recorded")?,
                in_conflict: number(&row, "in_conflict")?,
            })
        });
        Ok(done.collect())
    }

    /// All that is there: the rows of one mark, where tables have marks.
    pub(crate) async fn contents(&self, mark: Option<u32>) -> Result<Contents> {
        let tables = self
            .database
            .rows(
                "SELECT c.oid::regclass::text, c.relkind = 'p' FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                 WHERE relkind IN ('r', 'p') AND NOT relispartition AND nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
                &[],
            )
            .await?;
        let mut contents = Contents::new();
        for table in tables {
            let (name, partitioned): (String, bool) = (table.get(0), table.get(1));
            let only = if partitioned { "" } else { "ONLY " };
            let of_mark = mark.map_or_else(String::new, |mark| format!("WHERE mark = {mark}"));
            let rows = self.database.rows(&format!("SELECT t::text FROM {only}{name} t {of_mark} ORDER BY 1"), &[]).await?;
            contents.insert(name, rows.iter().map(|row| row.get(0)).collect());
        }
        Ok(contents)
    }
}

/// Says what is not the same.
pub(crate) fn same(found: &Contents, expected: &Contents) -> Result<()> {
    for (table, rows) in expected {
        let found = found.get(table).context("a table is gone")?;
        let missing: Vec<_> = rows.iter().filter(|row| !found.contains(row)).collect();
        let more: Vec<_> = found.iter().filter(|row| !rows.contains(row)).collect();
        ensure!(found == rows, "{table}: {} rows, not {}; missing {missing:#?}, too many {more:#?}", found.len(), rows.len());
    }
    Ok(())
}
