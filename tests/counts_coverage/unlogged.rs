//! Tables whose changes are not in the write-ahead log, always or for a while.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use pgvigil::cluster::Cluster;

use crate::Stage;
use crate::support::{DDL_MESSAGES, WebSocket};

const TABLE: &str =
    "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10); CREATE PUBLICATION pgvigil FOR ALL TABLES";

pub(crate) async fn kinds_that_are_never_in_the_stream(cluster: &Cluster, major: u32) -> Result<()> {
    let before = "CREATE TABLE t (id int PRIMARY KEY); CREATE UNLOGGED TABLE unlogged (a int); CREATE TEMPORARY TABLE temporary (a int); \
        CREATE MATERIALIZED VIEW matview AS SELECT 1 AS a; CREATE VIEW a_view AS SELECT 1 AS a; CREATE SEQUENCE a_sequence; \
        CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere; \
        CREATE FOREIGN TABLE remote (a int) SERVER elsewhere; CREATE PUBLICATION pgvigil FOR ALL TABLES";
    let stage = Stage::set(cluster, major, "kinds", before).await?;
    let watched = stage.watch().await?;
    stage.agrees(&watched).await?;
    for (table, reason) in [("public.unlogged", "unlogged"), ("public.matview", "materialized"), ("public.remote", "foreign")] {
        stage.is_shown_without_number(&watched, table, "uncovered", reason).await?;
    }
    let answer = watched.pgvigil.json("/api/v1/tables").await?;
    ensure!(answer["tables"].as_array().is_some_and(|tables| tables.len() == 4), "only these: {answer}");
    stage.play(&watched, &["INSERT INTO unlogged VALUES (1), (2)", "REFRESH MATERIALIZED VIEW matview"]).await?;
    stage.database.run("ALTER TABLE unlogged SET LOGGED").await?;
    stage.agrees(&watched).await?;
    Ok(())
}

/// Nothing in the stream tells of it: a look at the catalog does, before any number is told.
pub(crate) async fn unlogged_for_a_while_without_ddl_messages(cluster: &Cluster, major: u32) -> Result<()> {
    let stage = Stage::set(cluster, major, "unlogged_silent", TABLE).await?;
    let watched = stage.watch().await?;
    stage.agrees(&watched).await?;
    let steps =
        ["ALTER TABLE t SET UNLOGGED", "INSERT INTO t VALUES (11)", "ALTER TABLE t SET LOGGED", "INSERT INTO t VALUES (12)"];
    stage.play(&watched, &steps).await?;
    stage.agrees(&watched).await?;
    stage.database.run("ALTER TABLE t SET UNLOGGED").await?;
    stage.is_shown_without_number(&watched, "public.t", "uncovered", "unlogged").await?;
    stage.play(&watched, &["INSERT INTO t VALUES (13)", "ALTER TABLE t SET LOGGED", "INSERT INTO t VALUES (14)"]).await?;
    stage.agrees(&watched).await?;
    Ok(())
}

/// Where the database tells of DDL there is no moment at which a wrong number is told.
pub(crate) async fn unlogged_for_a_while_with_ddl_messages(cluster: &Cluster, major: u32) -> Result<()> {
    let stage = Stage::set(cluster, major, "unlogged_telling", TABLE).await?;
    stage.database.run(DDL_MESSAGES).await?;
    let watched = stage.watch().await?;
    stage.agrees(&watched).await?;
    let steps =
        ["ALTER TABLE t SET UNLOGGED", "INSERT INTO t VALUES (11)", "ALTER TABLE t SET LOGGED", "INSERT INTO t VALUES (12)"];
    stage.play(&watched, &steps).await?;
    stage.agrees(&watched).await?;

    let mut inserts = watched.pgvigil.websocket("kinds=change&op=insert").await?;
    let whole = "BEGIN; ALTER TABLE t SET UNLOGGED; DELETE FROM t WHERE id > 8; ALTER TABLE t SET LOGGED; INSERT INTO t VALUES (13); COMMIT";
    stage.play(&watched, &[whole, "INSERT INTO t VALUES (14)"]).await?;
    is_not_told_wrong(&mut inserts, 13, 9).await?;
    stage.agrees(&watched).await?;

    // All of it arrives in one piece.
    watched.pgvigil.signal(Signal::SIGSTOP)?;
    for step in
        ["ALTER TABLE t SET UNLOGGED", "DELETE FROM t WHERE id > 5", "ALTER TABLE t SET LOGGED", "INSERT INTO t VALUES (15)"]
    {
        stage.database.run(step).await?;
    }
    watched.pgvigil.signal(Signal::SIGCONT)?;
    watched.is_not_wrong(&stage.database).await?;
    is_not_told_wrong(&mut inserts, 15, 6).await?;
    stage.agrees(&watched).await?;
    Ok(())
}

/// With the row that has this id the count is told rightly, or not at all.
async fn is_not_told_wrong(inserts: &mut WebSocket, id: i64, count: i64) -> Result<()> {
    let mut read = inserts.until("the row", |change| change["key"]["id"] == id).await?;
    let told = &read.pop().context("the row")?["count"];
    ensure!(told.is_null() || *told == count, "with {id} the table has {count} rows, not {told}");
    Ok(())
}

/// Unlogged, changed and logged again between two looks at the catalog: the new file tells.
pub(crate) async fn unlogged_and_back_before_anyone_looks(cluster: &Cluster, major: u32) -> Result<()> {
    let stage = Stage::set(cluster, major, "unlogged_briefly", TABLE).await?;
    let watched = stage.watch().await?;
    stage.agrees(&watched).await?;
    stage
        .database
        .run("ALTER TABLE t SET UNLOGGED; INSERT INTO t VALUES (11), (12); ALTER TABLE t SET LOGGED; INSERT INTO t VALUES (13)")
        .await?;
    watched.is_not_wrong(&stage.database).await?;
    watched.pgvigil.wait_for_count("public.t", 13).await?;
    // Installing DDL messages must not make it forget what happened before them.
    stage.database.run("ALTER TABLE t SET UNLOGGED; DELETE FROM t WHERE id > 3; ALTER TABLE t SET LOGGED").await?;
    stage.database.run(DDL_MESSAGES).await?;
    watched.is_not_wrong(&stage.database).await?;
    watched.pgvigil.wait_for_count("public.t", 3).await?;
    Ok(())
}
