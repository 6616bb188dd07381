//! Scenes in which the text of rows changes without the rows: by what the types of their columns become.

use anyhow::{Result, ensure};
use pgvigil::cluster::Cluster;
use serde_json::{Value, json};

use super::scenes::Scene;
use crate::support::{Database, PATIENCE, cluster_with, options, play_all, set_up, wait_for};

pub(crate) async fn play(major: u32) -> Result<()> {
    let cluster = cluster_with(major, options().set("max_replication_slots", "20")).await?;
    play_all!(
        cluster,
        major,
        [
            a_renamed_label_is_told_as_it_is_now,
            who_wrote_before_a_label_was_renamed_has_to_be_over,
            what_is_made_of_altered_types_is_read_again,
            only_what_is_altered_is_read_again,
            what_changes_untold_is_not_kept,
            an_earlier_installation_does_not_tell_of_types,
        ]
    )
}

/// The first time that a row of a table is told again, it has this in the column `v`.
async fn told_again(scene: &mut Scene, table: &str, expected: &Value) -> Result<()> {
    let updated = wait_for(&format!("the rows of {table} to be told again"), PATIENCE, async || {
        let updated = scene.change(&format!("UPDATE {table} SET n = n + 1")).await?;
        Ok((updated["old_complete"] == true).then_some(updated))
    })
    .await?;
    ensure!(updated["old"]["v"] == *expected, "{updated}");
    Ok(())
}

async fn a_renamed_label_is_told_as_it_is_now(cluster: &Cluster, _major: u32) -> Result<()> {
    let tables = "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN moods AS mood[];
        CREATE TABLE person (id int PRIMARY KEY, n int, v mood); INSERT INTO person VALUES (1, 0, 'ok'), (2, 0, 'ok'), (3, 0, 'sad');
        CREATE TABLE many (id int PRIMARY KEY, n int, v moods); INSERT INTO many VALUES (1, 0, '{ok,sad}')";
    let mut scene = Scene::set(cluster, "labels", tables, &["--row-cache=1MiB"]).await?;
    for table in ["person", "many"] {
        scene.is(table, "full").await?;
    }
    let told = scene.changes("ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'; DELETE FROM person WHERE id = 1").await?;
    ensure!(told.len() == 1 && told[0]["old"] == json!({"id": 1}), "nothing is told by who renames: {told:#?}");
    told_again(&mut scene, "many", &json!("{fine,sad}")).await?;
    scene.is("person", "full").await?;
    let truncated = scene.change("TRUNCATE person").await?;
    ensure!(truncated["old_rows"] == json!([{"id": 2, "n": 0, "v": "fine"}, {"id": 3, "n": 0, "v": "sad"}]), "{truncated}");
    Ok(())
}

async fn who_wrote_before_a_label_was_renamed_has_to_be_over(cluster: &Cluster, _major: u32) -> Result<()> {
    let tables = "CREATE TYPE mood AS ENUM ('sad', 'ok');
        CREATE TABLE person (id int PRIMARY KEY, n int, v mood); INSERT INTO person VALUES (1, 0, 'sad');
        CREATE TABLE other (id int PRIMARY KEY, n int); INSERT INTO other VALUES (1, 1)";
    let mut scene = Scene::set(cluster, "before", tables, &["--row-cache=1MiB"]).await?;
    scene.is("person", "full").await?;
    let slow = Database::connect(&cluster.url("before")).await?;
    slow.run("BEGIN; INSERT INTO person VALUES (2, 0, 'ok')").await?;
    scene.changes("ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'").await?;
    scene.is("person", "loading").await?;
    // Another one is read meanwhile, more than once: so could this have been.
    for column in ["more", "still_more"] {
        scene.changes(&format!("ALTER TABLE other ADD {column} int")).await?;
        wait_for("the other table to be told again", PATIENCE, async || {
            let updated = scene.change("UPDATE other SET n = n + 1").await?;
            Ok((updated["old_complete"] == true).then_some(()))
        })
        .await?;
    }
    let updated = scene.change("UPDATE person SET n = 1 WHERE id = 1").await?;
    ensure!(updated["old_complete"] == false, "{updated}");
    slow.run("COMMIT").await?;
    scene.is("person", "full").await?;
    // The stream said 'ok' of it.
    let mut told = scene.changes("DELETE FROM person WHERE id = 2").await?;
    let deleted = told.pop().unwrap_or_default();
    ensure!(deleted["old"] == json!({"id": 2, "n": 0, "v": "fine"}), "{deleted}");
    Ok(())
}

async fn what_is_made_of_altered_types_is_read_again(cluster: &Cluster, _major: u32) -> Result<()> {
    let tables = "CREATE TYPE gone AS ENUM ('a'); CREATE TYPE span AS (a int, b text, g gone); CREATE DOMAIN spans AS span[];
        CREATE TABLE part (id int, w text); CREATE TABLE wide (more int) INHERITS (part);
        CREATE TABLE one (id int PRIMARY KEY, n int, v span); INSERT INTO one VALUES (1, 0, '(1,x,a)');
        CREATE TABLE all_of (id int PRIMARY KEY, n int, v spans); INSERT INTO all_of VALUES (1, 0, '{\"(1,x,a)\"}');
        CREATE TABLE whole (id int PRIMARY KEY, n int, v wide); INSERT INTO whole VALUES (1, 0, '(1,y,2)')";
    let mut scene = Scene::set(cluster, "made_of", tables, &["--row-cache=1MiB"]).await?;
    for (altered, table, before, after) in [
        ("ALTER TYPE span ADD ATTRIBUTE c int", "one", "(1,x,a)", "(1,x,a,)"),
        ("ALTER TYPE span DROP ATTRIBUTE c", "all_of", "{\"(1,x,a,)\"}", "{\"(1,x,a)\"}"),
        ("DROP TYPE gone CASCADE", "one", "(1,x,a)", "(1,x)"),
        ("ALTER TABLE wide ADD last int", "whole", "(1,y,2)", "(1,y,2,)"),
        ("ALTER TABLE part DROP w", "whole", "(1,y,2,)", "(1,2,)"),
    ] {
        scene.is(table, "full").await?;
        told_again(&mut scene, table, &json!(before)).await?;
        scene.changes(altered).await?;
        told_again(&mut scene, table, &json!(after)).await?;
    }
    Ok(())
}

async fn only_what_is_altered_is_read_again(cluster: &Cluster, _major: u32) -> Result<()> {
    let tables = "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE unused AS ENUM ('a');
        CREATE TABLE person (id int PRIMARY KEY, n int, v mood); INSERT INTO person VALUES (1, 0, 'sad')";
    let mut scene = Scene::set(cluster, "others", tables, &["--row-cache=1MiB"]).await?;
    scene.is("person", "full").await?;
    for altered in
        ["ALTER TYPE unused RENAME VALUE 'a' TO 'b'", "ALTER TABLE mark ADD more int", "ALTER TYPE unused RENAME TO idle"]
    {
        let updated = scene.change(&format!("{altered}; UPDATE person SET n = n + 1")).await?;
        ensure!(updated["old_complete"] == true, "{altered}: {updated}");
    }
    Ok(())
}

async fn what_changes_untold_is_not_kept(cluster: &Cluster, _major: u32) -> Result<()> {
    let tables = "CREATE VIEW seen AS SELECT 1 AS a; CREATE DOMAIN named AS regclass; CREATE TYPE deep AS (a int, b named[]);
        CREATE DOMAIN deeper AS deep[]; CREATE TYPE stretch AS RANGE (subtype = regtype);
        CREATE TABLE kept (id int PRIMARY KEY, v int4range, w int[], x point);
        CREATE TABLE t1 (id int PRIMARY KEY, v regrole); CREATE TABLE t2 (id int PRIMARY KEY, v aclitem[]);
        CREATE TABLE t3 (id int PRIMARY KEY, v named); CREATE TABLE t4 (id int PRIMARY KEY, v deeper);
        CREATE TABLE t5 (id int PRIMARY KEY, v seen[]); CREATE TABLE t6 (id int PRIMARY KEY, v stretch)";
    let scene = Scene::set(cluster, "unsure", tables, &["--row-cache=1MiB"]).await?;
    scene.is("kept", "full").await?;
    for table in ["t1", "t2", "t3", "t4", "t5", "t6"] {
        let shown = scene.is(table, "off").await?;
        let reason = shown["row_cache_reason"].as_str().unwrap_or_default();
        ensure!(reason.contains("its column \"v\" hangs on other things"), "{shown}");
    }
    Ok(())
}

async fn an_earlier_installation_does_not_tell_of_types(cluster: &Cluster, _major: u32) -> Result<()> {
    let mut database = Database::create(cluster, "earlier").await?;
    database.run("CREATE TABLE mark (id int PRIMARY KEY); CREATE TABLE item (id int PRIMARY KEY)").await?;
    set_up(&mut database, "--apply").await.1?;
    let earlier = "CREATE OR REPLACE FUNCTION pgvigil.tell_change() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
        DROP EVENT TRIGGER pgvigil_change;
        CREATE EVENT TRIGGER pgvigil_change ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION pgvigil.tell_change();
        ALTER EVENT TRIGGER pgvigil_change ENABLE ALWAYS";
    database.run(earlier).await?;
    let mut scene = Scene::watch(cluster, "earlier", database, &["--row-cache=1MiB"]).await?;
    let shown = scene.is("item", "off").await?;
    ensure!(shown["row_cache_reason"].as_str().is_some_and(|reason| reason.contains("pgvigil setup")), "{shown}");
    set_up(&mut scene.database, "--apply").await.1?;
    scene.is("item", "full").await?;
    Ok(())
}
