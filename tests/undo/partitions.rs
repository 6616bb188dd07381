//! Undo of what happened in trees of partitions, where an `UPDATE` may move a row: the log tells that one went and another one came.

use anyhow::{Context, Result, ensure};

use crate::command::undo as command;
use crate::support::{PATIENCE, a_major, cluster, wait_for};
use crate::undone::{Scene, same};
use serde_json::Value;

const SCHEMA: &str = "
    CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
    CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);
    CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20);
    CREATE PUBLICATION pgvigil FOR ALL TABLES;
    INSERT INTO t VALUES (1, 'a'), (11, 'b')";
const FULL: &str = "; ALTER TABLE t1 REPLICA IDENTITY FULL; ALTER TABLE t2 REPLICA IDENTITY FULL";
const MOVE: &str = "UPDATE t SET id = 2 WHERE id = 11";

/// A trigger by which no row comes to the first partition.
const KEPT_OUT: &str = "
    CREATE FUNCTION keep_out() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER keep_out BEFORE INSERT ON t1 FOR EACH ROW EXECUTE FUNCTION keep_out()";

/// What is said of the two halves of a row that was moved and that would be lost if it were deleted; nothing is done.
async fn it_stays(name: &str, identity: &str, since: &str, key: &str, reasons: &[&str]) -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let scene = Scene::set(&cluster, name, &format!("{SCHEMA}{identity}")).await?;
    let tx = scene.transaction(MOVE).await?;
    scene.database.run(since).await?;
    scene.told_all().await?;
    let partitions = if since.contains(" t1") || since.contains(" t2") { 1 } else { 2 };
    wait_for("the tree to be as it is", PATIENCE, async || {
        let tables = scene.pgvigil.json("/api/v1/tables").await?;
        let is_partition = |table: &&Value| !table["parent"].is_null();
        let found = tables["tables"].as_array().context("tables")?.iter().filter(is_partition).count();
        Ok((found == partitions).then_some(()))
    })
    .await?;
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
    it_stays("detached_by_key", "", "ALTER TABLE t DETACH PARTITION t2", "", &["may_have_moved", "old_row_incomplete"]).await?;
    it_stays("went_to", "", "ALTER TABLE t DETACH PARTITION t1", "", &["may_have_moved", "old_row_incomplete"]).await?;
    // Of the other half nobody asked.
    it_stays("half", FULL, "", "key=id=2", &["may_have_moved"]).await?;
    it_stays("one", FULL, "", "table=t1", &["may_have_moved"]).await?;
    it_stays("root_of_dropped", FULL, "DROP TABLE t2", "table=t", &["may_have_moved"]).await?;
    it_stays("root_of_detached", FULL, "ALTER TABLE t DETACH PARTITION t2", "table=t", &["may_have_moved"]).await?;
    it_stays("detached_alone", FULL, "ALTER TABLE t DETACH PARTITION t1", "table=t1", &["may_have_moved"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_the_row_that_went_goes() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let schema = format!(
        "{SCHEMA}{FULL}; CREATE TABLE other (id int PRIMARY KEY, w text); INSERT INTO other VALUES (1), (2); ALTER TABLE other REPLICA IDENTITY FULL"
    );
    let scene = Scene::set(&cluster, "unrelated", &schema).await?;
    // Another row, before or after; and one of other columns, in a table that is no more.
    for (incident, since) in [
        ("INSERT INTO t VALUES (3, 'c'); DELETE FROM t WHERE id = 11", "INSERT INTO t VALUES (11, 'other')"),
        ("DELETE FROM other WHERE id = 1; INSERT INTO t VALUES (4, 'd')", ""),
        ("DELETE FROM other WHERE id = 2; INSERT INTO t VALUES (5, 'e')", "DROP TABLE other"),
    ] {
        let tx = scene.transaction(incident).await?;
        scene.database.run(since).await?;
        scene.told_all().await?;
        let answer = scene.pgvigil.json(&format!("/api/v1/transactions/{tx}/undo?table=t")).await?;
        ensure!(answer["sql"].as_str().context("sql")?.contains("DELETE FROM"), "{incident}: {answer}");
    }
    Ok(())
}

/// Somebody takes the place of the row between the asking and the doing.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_moved_is_not_lost_where_its_place_is_taken_meanwhile() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut scene = Scene::set(&cluster, "meanwhile", &format!("{SCHEMA}{FULL}")).await?;
    let tx = scene.transaction(MOVE).await?;
    let sql = scene.undo(&tx).await?["sql"].as_str().context("sql")?.to_owned();
    scene.database.run("INSERT INTO t VALUES (11, 'other')").await?;
    let before = scene.contents(None).await?;
    let refused = format!("{:#}", scene.run(&sql).await.err().context("it was done")?);
    ensure!(refused.contains("moved to another partition"), "{refused}");
    same(&scene.contents(None).await?, &before)?;
    // As it says.
    scene.told_all().await?;
    let answer = scene.undo(&tx).await?;
    ensure!(answer["coverage"]["restorable"] == 0 && !answer["sql"].as_str().context("sql")?.contains("DELETE FROM"), "{answer}");
    // What pgvigil knows nothing of: the command says so, and changes nothing.
    let tx = scene.transaction("UPDATE t SET id = 13 WHERE id = 2").await?;
    scene.database.run(KEPT_OUT).await?;
    let (code, shown, said) = command(&scene, &scene.url, &["--tx", &tx, "--apply", "--yes"]).await?;
    ensure!(code == 1 && said.contains("nothing was changed") && said.contains("it leaves both alone"), "{code} {shown} {said}");
    ensure!(scene.database.value::<i64>("SELECT count(*) FROM t WHERE id = 13").await? == 1);
    Ok(())
}

/// What a partition held goes with it, and no change tells of that.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_gone_with_a_partition_is_said_before() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let schema = format!(
        "{SCHEMA}{FULL}; CREATE TABLE note (id int PRIMARY KEY, t int REFERENCES t, v text); ALTER TABLE note REPLICA IDENTITY FULL;
         INSERT INTO note VALUES (1, 1), (2, 11)"
    );
    let mut scene = Scene::set(&cluster, "replaced", &schema).await?;
    let unrelated = scene.transaction("UPDATE note SET v = 'x' WHERE id = 1").await?;
    let tx = scene.transaction("DELETE FROM note").await?;
    ensure!(scene.undo(&tx).await?["coverage"]["complete"] == true);
    let replace = "ALTER TABLE t DETACH PARTITION t2; DROP TABLE t2; CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20)";
    scene.database.run(replace).await?;
    let answer = scene.undo(&tx).await?;
    let warning = answer["coverage"]["warnings"][0].as_str().unwrap_or_default();
    ensure!(answer["coverage"]["complete"] == false && warning.contains("public.t may have gone with a partition"), "{answer}");
    let done = scene.run(answer["sql"].as_str().context("sql")?).await?;
    ensure!(done.iter().map(|done| (done.done, done.in_conflict)).eq([(1, 1)]), "{done:?}");
    // Where nothing comes to reference anything, nothing is in doubt.
    ensure!(scene.undo(&unrelated).await?["coverage"]["warnings"] == serde_json::json!([]));
    Ok(())
}
