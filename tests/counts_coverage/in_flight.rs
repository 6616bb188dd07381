//! Transactions that run while it changes what the publication covers.

use std::time::Duration;

use anyhow::{Result, ensure};
use pgvigil::cluster::Cluster;

use crate::Stage;
use crate::support::{Database, Watched, wait_for};

const TABLES: &str = "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10); \
    CREATE PUBLICATION pgvigil FOR TABLE other";

/// Adds the table, and waits until pgvigil says that it has seen that, and whom it waits for.
async fn add_table(stage: &Stage, watched: &Watched, waits_for: &str) -> Result<()> {
    stage.database.run("ALTER PUBLICATION pgvigil ADD TABLE t").await?;
    stage.is_shown_without_number(watched, "public.t", "counting", waits_for).await?;
    Ok(())
}

/// The server drops such a change silently, so the table is not counted before the transaction is over.
pub(crate) async fn deletes_in_flight_while_a_table_is_added(cluster: &Cluster, major: u32) -> Result<()> {
    let stage = Stage::set(cluster, major, "in_flight", TABLES).await?;
    let watched = stage.watch().await?;
    stage.is_shown_without_number(&watched, "public.t", "uncovered", "not in publication").await?;
    let deleting = stage.session().await?;
    deleting.run("BEGIN; DELETE FROM t WHERE id <= 3").await?;
    add_table(&stage, &watched, "has to end").await?;
    deleting.run("DELETE FROM t WHERE id = 4; INSERT INTO t VALUES (11); COMMIT").await?;
    stage.agrees(&watched).await?;
    stage.play(&watched, &["DELETE FROM t WHERE id > 8"]).await
}

pub(crate) async fn prepared_deletes_while_a_table_is_added(cluster: &Cluster, major: u32) -> Result<()> {
    let stage = Stage::set(cluster, major, "in_flight_prepared", TABLES).await?;
    let watched = stage.watch().await?;
    stage.database.run("BEGIN; DELETE FROM t WHERE id <= 3; PREPARE TRANSACTION 'in flight'").await?;
    add_table(&stage, &watched, "has to end").await?;
    stage.play(&watched, &["INSERT INTO t VALUES (11)", "COMMIT PREPARED 'in flight'"]).await?;
    stage.agrees(&watched).await?;
    Ok(())
}

/// Where nothing tells of DDL, the catalog has to be looked at again and again: who cannot, knows of no count whether it still holds.
pub(crate) async fn the_catalog_cannot_be_read_for_a_while(cluster: &Cluster, major: u32) -> Result<()> {
    let before = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10); CREATE PUBLICATION pgvigil FOR ALL TABLES";
    let stage = Stage::set(cluster, major, "blind", before).await?;
    let elsewhere = Database::connect(&cluster.url("postgres")).await?;
    let watched = stage.watch().await?;
    stage.agrees(&watched).await?;
    elsewhere.run("ALTER DATABASE blind ALLOW_CONNECTIONS false").await?;
    elsewhere.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'blind' AND application_name = 'pgvigil observer'").await?;
    stage.database.run("ALTER PUBLICATION pgvigil SET (publish = 'insert')").await?;
    stage.database.run("DELETE FROM t WHERE id < 4").await?;
    stage.is_shown_without_number(&watched, "public.t", "counting", "cannot be read").await?;
    stage.database.run("ALTER PUBLICATION pgvigil SET (publish = 'insert, update, delete, truncate')").await?;
    elsewhere.run("ALTER DATABASE blind ALLOW_CONNECTIONS true").await?;
    watched.pgvigil.wait_for_count("public.t", 7).await
}

/// A partition that was about to be detached when someone gave up is no part of the whole any more, and yet attached.
pub(crate) async fn detach_that_came_to_no_end(cluster: &Cluster, major: u32) -> Result<()> {
    let before = "CREATE TABLE root (k int PRIMARY KEY) PARTITION BY RANGE (k); CREATE TABLE p0 PARTITION OF root FOR VALUES FROM (0) TO (10); \
        CREATE TABLE p1 PARTITION OF root FOR VALUES FROM (10) TO (20); INSERT INTO root SELECT generate_series(0, 19); \
        CREATE PUBLICATION pgvigil FOR ALL TABLES";
    let stage = Stage::set(cluster, major, "detach", before).await?;
    let watched = stage.watch().await?;
    stage.agrees(&watched).await?;
    let reading = stage.session().await?;
    reading.run("BEGIN; LOCK TABLE root IN ACCESS SHARE MODE").await?;
    stage.database.run("SET statement_timeout = '500ms'").await?;
    ensure!(stage.database.run("ALTER TABLE root DETACH PARTITION p0 CONCURRENTLY").await.is_err(), "it waited for nobody");
    stage.database.run("RESET statement_timeout").await?;
    reading.run("COMMIT").await?;
    ensure!(stage.database.count("root").await? == 10);
    stage.agrees(&watched).await?;
    stage.database.run("ALTER TABLE root DETACH PARTITION p0 FINALIZE").await?;
    stage.play(&watched, &["DELETE FROM p0 WHERE k = 7", "DELETE FROM root WHERE k = 11"]).await?;
    stage.agrees(&watched).await?;
    Ok(())
}

/// Everything is dropped and made anew, as by `pg_restore --clean`: new oids, data by COPY, keys last.
pub(crate) async fn restored_dump(cluster: &Cluster, major: u32) -> Result<()> {
    let before = "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a); \
        INSERT INTO a SELECT generate_series(1, 10); INSERT INTO b SELECT i, i FROM generate_series(1, 10) i; CREATE PUBLICATION pgvigil FOR ALL TABLES";
    let stage = Stage::set(cluster, major, "restored", before).await?;
    let watched = stage.watch().await?;
    stage.agrees(&watched).await?;
    let restore = [
        "ALTER TABLE b DROP CONSTRAINT b_a_fkey",
        "DROP TABLE b; DROP TABLE a",
        "CREATE TABLE a (id int NOT NULL); CREATE TABLE b (id int NOT NULL, a int)",
        "SET session_replication_role = replica",
        "COPY a FROM PROGRAM 'seq 1 7'; COPY b (id) FROM PROGRAM 'seq 1 9'",
        "ALTER TABLE a ADD PRIMARY KEY (id); ALTER TABLE b ADD PRIMARY KEY (id)",
        "UPDATE b SET a = 1; ALTER TABLE b ADD FOREIGN KEY (a) REFERENCES a",
        "DELETE FROM b WHERE id = 1",
    ];
    stage.play(&watched, &restore).await?;
    let agreement = stage.agrees(&watched).await?;
    ensure!((agreement.tables, agreement.rows) == (2, 15), "{agreement:?}");
    wait_for("the tables that are gone to go", Duration::from_secs(10), async || {
        let answer = watched.pgvigil.json("/api/v1/tables").await?;
        ensure!(answer["tables"].as_array().is_some_and(|tables| tables.len() == 2), "{answer}");
        Ok(Some(()))
    })
    .await
}
