//! Tables that are locked when they are to be counted.

use anyhow::{Context, Result, ensure};
use pgvigil::cluster::Cluster;

use crate::support::{Database, PATIENCE, Stage, Watched, wait_for};

const TABLES: &str = "CREATE TABLE t1 (id int PRIMARY KEY); INSERT INTO t1 SELECT generate_series(1, 10); CREATE TABLE t2 (LIKE t1 INCLUDING ALL); \
    CREATE TABLE t3 (LIKE t1 INCLUDING ALL); CREATE TABLE t4 (LIKE t1 INCLUDING ALL); CREATE TABLE open (LIKE t1 INCLUDING ALL); \
    CREATE PUBLICATION pgvigil FOR ALL TABLES WITH (publish = 'insert')";

const PUBLISH_ALL: &str = "ALTER PUBLICATION pgvigil SET (publish = 'insert, update, delete, truncate')";

/// The tables that are locked.
const LOCKED: [&str; 4] = ["public.t1", "public.t2", "public.t3", "public.t4"];

/// A database that comes to be published while some of its tables are locked, and someone who watches it.
async fn locked(cluster: &Cluster, major: u32, name: &str) -> Result<(Stage, Watched, Database)> {
    let stage = Stage::set(cluster, major, name, TABLES).await?;
    let watched = stage.watch().await?;
    let owner = stage.session().await?;
    owner.run("BEGIN; LOCK TABLE t1, t2, t3, t4").await?;
    stage.database.run(PUBLISH_ALL).await?;
    for table in LOCKED {
        stage.is_shown_without_number(&watched, table, "counting", "").await?;
    }
    Ok((stage, watched, owner))
}

pub(crate) async fn locked_tables_keep_no_others_waiting(cluster: &Cluster, major: u32) -> Result<()> {
    let (stage, watched, owner) = locked(cluster, major, "locked").await?;
    stage.database.run("CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (1), (2)").await?;
    watched.pgvigil.wait_for_count("public.later", 2).await?;
    for table in LOCKED {
        stage.is_shown_without_number(&watched, table, "counting", "locked").await?;
    }
    owner.run("INSERT INTO t1 VALUES (11); TRUNCATE t2; INSERT INTO t2 VALUES (1); COMMIT").await?;
    stage.agrees(&watched).await?;
    Ok(())
}

pub(crate) async fn renamed_while_locked(cluster: &Cluster, major: u32) -> Result<()> {
    let (stage, watched, owner) = locked(cluster, major, "renamed").await?;
    owner.run("ALTER TABLE t1 RENAME TO x; ALTER TABLE t2 RENAME TO t1; ALTER TABLE t3 RENAME TO \"T 3\"; COMMIT").await?;
    stage.agrees(&watched).await?;
    stage.play(&watched, &["INSERT INTO x VALUES (11)", "INSERT INTO t1 VALUES (1)"]).await
}

pub(crate) async fn dropped_while_locked(cluster: &Cluster, major: u32) -> Result<()> {
    let (stage, watched, owner) = locked(cluster, major, "dropped").await?;
    owner.run("DROP TABLE t1, t2; CREATE TABLE t1 (id int PRIMARY KEY); INSERT INTO t1 VALUES (7); COMMIT").await?;
    stage.agrees(&watched).await?;
    wait_for("the table that is gone to go", PATIENCE, async || {
        let answer = watched.pgvigil.json("/api/v1/tables").await?;
        let tables = answer["tables"].as_array().context("tables")?;
        ensure!(tables.len() == 4, "{answer}");
        Ok(Some(()))
    })
    .await
}

pub(crate) async fn rewritten_while_locked(cluster: &Cluster, major: u32) -> Result<()> {
    let (stage, watched, owner) = locked(cluster, major, "rewritten").await?;
    owner.run("ALTER TABLE t1 ALTER id TYPE bigint; INSERT INTO t2 VALUES (1); ALTER TABLE t2 ALTER id TYPE bigint; TRUNCATE t3; COMMIT").await?;
    stage.agrees(&watched).await?;
    stage.play(&watched, &["INSERT INTO t1 VALUES (11)", "DELETE FROM t2"]).await
}

/// Whoever waited to be counted when it was left out is not counted after all: with its changes no number must be told.
pub(crate) async fn left_out_while_locked(cluster: &Cluster, major: u32) -> Result<()> {
    let (stage, watched, owner) = locked(cluster, major, "left_out").await?;
    stage.database.run("ALTER PUBLICATION pgvigil SET (publish = 'insert, truncate')").await?;
    for table in LOCKED {
        stage.is_shown_without_number(&watched, table, "uncovered", "delete").await?;
    }
    let mut changes = watched.pgvigil.websocket("kinds=change").await?;
    owner.run("COMMIT").await?;
    // A count that was under way, or about to be tried again, is over when one that is asked for later is.
    stage.database.run("CREATE UNLOGGED TABLE mark (id int)").await?;
    stage.is_shown_without_number(&watched, "public.mark", "uncovered", "unlogged").await?;
    for id in 100..120 {
        stage.database.run(&format!("DELETE FROM t1 WHERE id < 3; INSERT INTO t1 VALUES ({id})")).await?;
        let insert = changes.until("the row", |change| change["key"]["id"] == id).await?.pop().context("the row")?;
        ensure!(insert["count"].is_null(), "the count of a table that is left out is told: {insert}");
    }
    stage.database.run(PUBLISH_ALL).await?;
    stage.agrees(&watched).await?;
    Ok(())
}
