//! Publications that do not carry everything, for good or for a moment.

use anyhow::Result;
use pgvigil::cluster::Cluster;

use crate::Stage;
use crate::support::{DDL_MESSAGES, PATIENCE, Watched, wait_for};

/// Watches, and waits until all counts are known.
async fn settled(stage: &Stage) -> Result<Watched> {
    let watched = stage.watch().await?;
    stage.agrees(&watched).await?;
    Ok(watched)
}

pub(crate) async fn row_filter(cluster: &Cluster, major: u32) -> Result<()> {
    if major < 15 {
        return Ok(());
    }
    let before = "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT i, i FROM generate_series(1, 10) i; \
        CREATE PUBLICATION pgvigil FOR TABLE t WHERE (id > 5)";
    let stage = Stage::set(cluster, major, "row_filter", before).await?;
    let watched = stage.watch().await?;
    stage.is_shown_without_number(&watched, "public.t", "uncovered", "filters its rows").await?;
    stage.play(&watched, &["UPDATE t SET id = id + 100 WHERE id < 3", "INSERT INTO t VALUES (0, 0)", "TRUNCATE t"]).await?;
    stage.database.run("INSERT INTO t VALUES (1, 1); ALTER PUBLICATION pgvigil SET TABLE t").await?;
    stage.agrees(&watched).await?;
    Ok(())
}

/// A list of columns leaves out columns, not rows.
pub(crate) async fn column_list(cluster: &Cluster, major: u32) -> Result<()> {
    if major < 15 {
        return Ok(());
    }
    let before = "CREATE TABLE t (id int PRIMARY KEY, secret text, v int); INSERT INTO t SELECT i FROM generate_series(1, 10) i; \
        CREATE PUBLICATION pgvigil FOR TABLE t (v, id)";
    let stage = Stage::set(cluster, major, "column_list", before).await?;
    let watched = settled(&stage).await?;
    let steps = [
        "INSERT INTO t VALUES (11, 'x', 1), (12, 'y', 2)",
        "UPDATE t SET secret = 'y'",
        "DELETE FROM t WHERE id < 5",
        "UPDATE t SET id = -id",
    ];
    stage.play(&watched, &steps).await?;
    stage.agrees(&watched).await?;
    Ok(())
}

/// Through the root, a TRUNCATE of one partition is in no message.
pub(crate) async fn through_the_root(cluster: &Cluster, major: u32) -> Result<()> {
    let before = "CREATE TABLE root (k int PRIMARY KEY) PARTITION BY RANGE (k); CREATE TABLE leaf PARTITION OF root FOR VALUES FROM (0) TO (10); \
        CREATE TABLE alone (k int PRIMARY KEY); INSERT INTO root SELECT generate_series(0, 4); \
        CREATE PUBLICATION pgvigil FOR ALL TABLES WITH (publish_via_partition_root)";
    let stage = Stage::set(cluster, major, "through_the_root", before).await?;
    let watched = stage.watch().await?;
    stage.is_shown_without_number(&watched, "public.leaf", "uncovered", "publish_via_partition_root").await?;
    stage.is_shown_without_number(&watched, "public.root", "uncovered", "partition").await?;
    watched.pgvigil.wait_for_count("public.alone", 0).await?;
    stage
        .play(
            &watched,
            &["INSERT INTO root VALUES (7)", "TRUNCATE leaf", "INSERT INTO root VALUES (8)", "INSERT INTO alone VALUES (1)"],
        )
        .await?;
    stage.database.run("ALTER PUBLICATION pgvigil SET (publish_via_partition_root = false)").await?;
    stage.agrees(&watched).await?;
    Ok(())
}

pub(crate) async fn operations_left_out(cluster: &Cluster, major: u32) -> Result<()> {
    let before = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10); \
        CREATE PUBLICATION pgvigil FOR ALL TABLES WITH (publish = 'insert, update')";
    let stage = Stage::set(cluster, major, "operations", before).await?;
    let watched = stage.watch().await?;
    stage.is_shown_without_number(&watched, "public.t", "uncovered", "delete, truncate").await?;
    stage
        .play(&watched, &["DELETE FROM t WHERE id < 5", "INSERT INTO t VALUES (11)", "TRUNCATE t", "INSERT INTO t VALUES (12)"])
        .await?;
    stage.database.run("ALTER PUBLICATION pgvigil SET (publish = 'insert, update, delete, truncate')").await?;
    stage.agrees(&watched).await?;
    Ok(())
}

/// What is gone and there again at the next look has been away all the same.
async fn away_for_a_moment(cluster: &Cluster, major: u32, name: &str, before: &str, steps: &[&str]) -> Result<()> {
    for tells_ddl in [false, true] {
        let name = format!("{name}_{}", if tells_ddl { "telling" } else { "silent" });
        let stage = Stage::set(cluster, major, &name, before).await?;
        if tells_ddl {
            stage.database.run(DDL_MESSAGES).await?;
        }
        let watched = settled(&stage).await?;
        for step in steps {
            stage.database.run(step).await?;
            watched.is_not_wrong(&stage.database).await?;
        }
        let rows = stage.database.count("ONLY t").await?;
        watched.pgvigil.wait_for_count("public.t", rows).await?;
        // No number told from here on may be wrong.
        let watched = settled(&stage).await?;
        stage.play(&watched, &["INSERT INTO t VALUES (-1)", "DELETE FROM t WHERE id = -1"]).await?;
    }
    Ok(())
}

pub(crate) async fn operations_left_out_for_a_moment(cluster: &Cluster, major: u32) -> Result<()> {
    let before = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10); CREATE PUBLICATION pgvigil FOR ALL TABLES";
    let steps = [
        "ALTER PUBLICATION pgvigil SET (publish = 'insert')",
        "DELETE FROM t WHERE id < 5",
        "ALTER PUBLICATION pgvigil SET (publish = 'insert, update, delete, truncate')",
        "INSERT INTO t VALUES (11)",
    ];
    away_for_a_moment(cluster, major, "operations_moment", before, &steps).await
}

const NAMED: &str = "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10); \
    CREATE PUBLICATION pgvigil FOR TABLE t, other";

pub(crate) async fn table_left_out_for_a_moment(cluster: &Cluster, major: u32) -> Result<()> {
    let steps = [
        "ALTER PUBLICATION pgvigil DROP TABLE t",
        "INSERT INTO t VALUES (11), (12)",
        "ALTER PUBLICATION pgvigil ADD TABLE t",
        "INSERT INTO t VALUES (13)",
    ];
    away_for_a_moment(cluster, major, "table_moment", NAMED, &steps).await
}

/// Committed, streamed, and not to be seen by anyone as long as no synchronous standby has it.
pub(crate) async fn table_left_out_by_a_commit_that_waits(cluster: &Cluster, major: u32) -> Result<()> {
    let stage = Stage::set(cluster, major, "table_waits", NAMED).await?;
    let watched = settled(&stage).await?;
    let waiting = stage.session().await?;
    let pid: i32 = waiting.value("SELECT pg_backend_pid()").await?;
    waiting.run("SET synchronous_commit = on").await?;
    let leaving = tokio::spawn(async move { waiting.run("ALTER PUBLICATION pgvigil DROP TABLE t").await });
    wait_for("the commit to wait for a standby", PATIENCE, async || {
        let event: Option<String> =
            stage.database.value(&format!("SELECT wait_event FROM pg_stat_activity WHERE pid = {pid}")).await?;
        Ok((event.as_deref() == Some("SyncRep")).then_some(()))
    })
    .await?;
    stage.database.run("INSERT INTO t VALUES (11), (12); INSERT INTO other VALUES (1)").await?;
    watched.is_not_wrong(&stage.database).await?;
    stage.is_shown_without_number(&watched, "public.t", "counting", "altering").await?;
    watched.pgvigil.wait_for_count("public.other", 1).await?;
    stage.database.run(&format!("SELECT pg_cancel_backend({pid})")).await?;
    leaving.await?.ok(); // It is done all the same, with a warning.
    stage.is_shown_without_number(&watched, "public.t", "uncovered", "not in publication").await?;
    Ok(())
}

pub(crate) async fn table_left_out_within_a_transaction(cluster: &Cluster, major: u32) -> Result<()> {
    let steps = [
        "BEGIN; ALTER PUBLICATION pgvigil DROP TABLE t; INSERT INTO t VALUES (11), (12); ALTER PUBLICATION pgvigil ADD TABLE t; \
        INSERT INTO t VALUES (13); COMMIT",
    ];
    away_for_a_moment(cluster, major, "table_transaction", NAMED, &steps).await
}

pub(crate) async fn table_out_of_a_published_schema_for_a_moment(cluster: &Cluster, major: u32) -> Result<()> {
    if major < 15 {
        return Ok(());
    }
    let before = "CREATE SCHEMA elsewhere; CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10); \
        CREATE PUBLICATION pgvigil FOR TABLES IN SCHEMA public";
    let steps = [
        "ALTER TABLE t SET SCHEMA elsewhere",
        "DELETE FROM elsewhere.t WHERE id < 3",
        "ALTER TABLE elsewhere.t SET SCHEMA public",
        "INSERT INTO t VALUES (13)",
    ];
    away_for_a_moment(cluster, major, "schema_moment", before, &steps).await
}

const PARTITION: &str = "CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE t PARTITION OF root DEFAULT; \
    INSERT INTO root SELECT generate_series(1, 10); CREATE PUBLICATION pgvigil FOR TABLE root";

pub(crate) async fn partition_detached_for_a_moment(cluster: &Cluster, major: u32) -> Result<()> {
    if major == 14 {
        return partition_attached_unnoticed(cluster).await;
    }
    let steps = [
        "ALTER TABLE root DETACH PARTITION t",
        "INSERT INTO t VALUES (11), (12)",
        "ALTER TABLE root ATTACH PARTITION t DEFAULT",
        "INSERT INTO t VALUES (13)",
    ];
    away_for_a_moment(cluster, major, "partition_moment", PARTITION, &steps).await
}

/// This server met the table while it was none of the published, and does not send what happens to it as a partition.
async fn partition_attached_unnoticed(cluster: &Cluster) -> Result<()> {
    for (name, ddl_messages) in [("attached_silent", ""), ("attached_telling", DDL_MESSAGES)] {
        let stage = Stage::set(cluster, 14, name, PARTITION).await?;
        stage.database.run(ddl_messages).await?;
        let watched = settled(&stage).await?;
        for step in ["ALTER TABLE root DETACH PARTITION t", "INSERT INTO t VALUES (11), (12)"] {
            stage.database.run(step).await?;
            watched.is_not_wrong(&stage.database).await?;
        }
        let mut socket = watched.pgvigil.websocket("kinds=change").await?;
        stage.database.run("ALTER TABLE root ATTACH PARTITION t DEFAULT").await?;
        let gap = socket.next_of("gap").await?;
        anyhow::ensure!(gap["reason"] == "slot_lost", "{gap}");
        anyhow::ensure!(watched.pgvigil.stderr().contains("may not notice"), "{}", watched.pgvigil.stderr());
        let watched = settled(&stage).await?;
        stage.play(&watched, &["INSERT INTO t VALUES (13)", "DELETE FROM t WHERE id = 11", "TRUNCATE root"]).await?;
    }
    Ok(())
}

const PUBLISHED: &str =
    "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10); CREATE PUBLICATION pgvigil FOR ALL TABLES";

/// From 18 on the server says nothing but a notice, and skips what happens.
pub(crate) async fn publication_dropped(cluster: &Cluster, major: u32) -> Result<()> {
    let stage = Stage::set(cluster, major, "publication_dropped", PUBLISHED).await?;
    let watched = settled(&stage).await?;
    stage.database.run("DROP PUBLICATION pgvigil").await?;
    stage.database.run("INSERT INTO t VALUES (11)").await?;
    let status = watched.pgvigil.wait_for_state("resyncing").await?;
    anyhow::ensure!(status["reason"].as_str().is_some_and(|reason| reason.contains("setup")), "{status}");
    stage.database.run("INSERT INTO t VALUES (12); CREATE PUBLICATION pgvigil FOR ALL TABLES").await?;
    watched.pgvigil.wait_for_state("live").await?;
    watched.pgvigil.wait_for_count("public.t", 12).await
}

pub(crate) async fn publication_dropped_for_a_moment(cluster: &Cluster, major: u32) -> Result<()> {
    let stage = Stage::set(cluster, major, "publication_moment", PUBLISHED).await?;
    let watched = settled(&stage).await?;
    for step in [
        "DROP PUBLICATION pgvigil",
        "INSERT INTO t VALUES (11)",
        "CREATE PUBLICATION pgvigil FOR ALL TABLES",
        "INSERT INTO t VALUES (12)",
    ] {
        stage.database.run(step).await?;
    }
    watched.pgvigil.wait_for_count("public.t", 12).await?;
    watched.pgvigil.wait_for_state("live").await?;
    stage.database.run("INSERT INTO t VALUES (13)").await?;
    watched.pgvigil.wait_for_count("public.t", 13).await
}

pub(crate) async fn publication_renamed(cluster: &Cluster, major: u32) -> Result<()> {
    let stage = Stage::set(cluster, major, "publication_renamed", PUBLISHED).await?;
    let watched = settled(&stage).await?;
    stage.database.run("ALTER PUBLICATION pgvigil RENAME TO other; INSERT INTO t VALUES (11)").await?;
    watched.pgvigil.wait_for_state("resyncing").await?;
    stage.database.run("ALTER PUBLICATION other RENAME TO pgvigil").await?;
    watched.pgvigil.wait_for_count("public.t", 11).await?;
    watched.agrees(&stage.database, PATIENCE).await.err().map_or(Ok(()), |error| {
        // The one who listened was told of the gap, which ends what he can add up.
        if format!("{error:#}").contains("gap") { Ok(()) } else { Err(error) }
    })
}
