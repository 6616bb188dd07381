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
    it_stays("half", FULL, "", "key=id=2", &["may_have_moved"]).await?;
    it_stays("one", FULL, "", "table=t1", &["may_have_moved"]).await
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

#[tokio::test(flavor = "multi_thread")]
async fn that_a_partition_may_refuse_a_row_is_said_before() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let schema =
        format!("{SCHEMA}{FULL}; CREATE TABLE alone (id int PRIMARY KEY, v text); ALTER TABLE alone REPLICA IDENTITY FULL");
    let scene = Scene::set(&cluster, "refused", &schema).await?;
    for altered in [
        "ALTER TABLE t2 ADD CHECK (v <> 'b')",
        "ALTER TABLE t2 ALTER v SET NOT NULL",
        "ALTER TABLE t DETACH PARTITION t2; ALTER TABLE t ATTACH PARTITION t2 FOR VALUES FROM (10) TO (11)",
        "ALTER TABLE t ATTACH PARTITION alone FOR VALUES FROM (20) TO (21)",
    ] {
        let went = if altered.contains("alone") { "alone" } else { "t" };
        scene.database.run(&format!("DELETE FROM {went}; INSERT INTO {went} VALUES (15, 'b'), (16, NULL)")).await?;
        let tx = scene.transaction(&format!("DELETE FROM {went}")).await?;
        let before = scene.undo(&tx).await?["coverage"].clone();
        ensure!(before["complete"] == true, "{altered}: {before}");
        scene.database.run(altered).await?;
        let coverage = scene.undo(&tx).await?["coverage"].clone();
        let warning = coverage["warnings"][0].as_str().unwrap_or_default();
        ensure!(
            coverage["complete"] == false && warning.starts_with("public.t: whether its partitions take"),
            "{altered}: {coverage}"
        );
        scene.database.run("ALTER TABLE t2 DROP CONSTRAINT IF EXISTS t2_v_check, ALTER v DROP NOT NULL").await?;
    }
    Ok(())
}
