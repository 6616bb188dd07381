//! Undo of what happened in trees of partitions, where an `UPDATE` may move a row: the log tells that one went and another one came.

use anyhow::{Context, Result, ensure};

use crate::support::{a_major, cluster};
use crate::undone::{Scene, same};

const SCHEMA: &str = "
    CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
    CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);
    CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20);
    CREATE PUBLICATION pgvigil FOR ALL TABLES;
    INSERT INTO t VALUES (1, 'a'), (11, 'b')";
const FULL: &str = "; ALTER TABLE t1 REPLICA IDENTITY FULL; ALTER TABLE t2 REPLICA IDENTITY FULL";
const MOVE: &str = "UPDATE t SET id = 2 WHERE id = 11";

/// What is said of the two halves of a row that was moved and that would be lost if it were deleted; nothing is done.
async fn it_stays(name: &str, identity: &str, since: &str, key: &str, reasons: &[&str]) -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let scene = Scene::set(&cluster, name, &format!("{SCHEMA}{identity}")).await?;
    let tx = scene.transaction(MOVE).await?;
    scene.database.run(since).await?;
    scene.told_all().await?;
    let answer = scene.pgvigil.json(&format!("/api/v1/transactions/{tx}/undo?{key}")).await?;
    let tables = answer["coverage"]["tables"].as_array().context("tables")?;
    let missing = tables.iter().filter_map(|table| table["missing"].as_array()).flatten();
    let mut told: Vec<_> = missing.filter_map(|missing| missing["reason"].as_str()).collect();
    told.sort_unstable();
    ensure!(answer["coverage"]["restorable"] == 0 && told == reasons, "{name}: {answer}");
    ensure!(!answer["sql"].as_str().context("sql")?.contains("DELETE FROM"), "{name}: {answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_moved_is_not_lost_where_it_cannot_go_back() -> Result<()> {
    it_stays("by_key", "", "", "", &["may_have_moved", "old_row_incomplete"]).await?;
    it_stays("dropped", FULL, "DROP TABLE t2", "", &["may_have_moved", "table_gone"]).await?;
    it_stays("taken", FULL, "INSERT INTO t VALUES (11, 'other')", "", &["changed_later", "may_have_moved"]).await?;
    // Of the other half nobody asked.
    it_stays("half", FULL, "", "key=id=2", &["may_have_moved"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_moved_goes_back() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut scene = Scene::set(&cluster, "moved", &format!("{SCHEMA}{FULL}")).await?;
    let before = scene.contents(None).await?;
    let tx = scene.transaction(MOVE).await?;
    let answer = scene.undo(&tx).await?;
    ensure!(answer["coverage"]["complete"] == true, "{answer}");
    scene.run(answer["sql"].as_str().context("sql")?).await?;
    same(&scene.contents(None).await?, &before)
}
