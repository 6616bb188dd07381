//! Undo of tables with what PostgreSQL takes only some SQL for: rules, constraints that are judged late, no columns; and where a session
//! reads only, unless it is told otherwise.

use anyhow::{Context, Result, ensure};

use crate::command::undo as command;
use crate::support::{a_major, cluster};
use crate::undone::{Scene, same};

const SCHEMA: &str = "
    CREATE TABLE ruled (id int PRIMARY KEY, v text);
    CREATE TABLE room (id int PRIMARY KEY, during int4range, EXCLUDE USING gist (during WITH &&) DEFERRABLE);
    CREATE TABLE bare ();
    ALTER TABLE ruled REPLICA IDENTITY FULL;
    ALTER TABLE room REPLICA IDENTITY FULL;
    ALTER TABLE bare REPLICA IDENTITY FULL;
    CREATE PUBLICATION pgvigil FOR ALL TABLES;
    INSERT INTO ruled VALUES (1, 'a'), (2, 'b');
    INSERT INTO room VALUES (1, '[1,5)'), (2, '[5,9)');
    INSERT INTO bare DEFAULT VALUES;
    INSERT INTO bare DEFAULT VALUES";

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_forbid_is_said_before() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut scene = Scene::set(&cluster, "rules", SCHEMA).await?;
    let before = scene.contents(None).await?;
    for (incident, rule) in [
        ("DELETE FROM ruled", "ON INSERT TO ruled WHERE NEW.id < 0 DO INSTEAD NOTHING"),
        // PostgreSQL takes no ON CONFLICT beside it.
        ("DELETE FROM ruled", "ON UPDATE TO ruled DO ALSO NOTHING"),
        ("UPDATE ruled SET v = 'x'", "ON UPDATE TO ruled DO ALSO NOTHING"),
        ("INSERT INTO ruled VALUES (3, 'c')", "ON DELETE TO ruled DO ALSO SELECT 1"),
    ] {
        let tx = scene.transaction(incident).await?;
        scene.database.run(&format!("CREATE RULE aside AS {rule}")).await?;
        let coverage = scene.undo(&tx).await?["coverage"].clone();
        ensure!(coverage["restorable"] == 0, "{rule}: {coverage}");
        ensure!(coverage["tables"][0]["missing"][0]["reason"] == "table_has_rules", "{rule}: {coverage}");
        scene.database.run("DROP RULE aside ON ruled").await?;
        // As it says: without the rule it can be brought back.
        let answer = scene.undo(&tx).await?;
        ensure!(answer["coverage"]["complete"] == true, "{rule}: {answer}");
        scene.run(answer["sql"].as_str().context("sql")?).await?;
        same(&scene.contents(None).await?, &before).context(rule)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_back_where_a_constraint_is_judged_late_and_where_there_are_no_columns() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let scene = Scene::set(&cluster, "late", SCHEMA).await?;
    let before = scene.contents(None).await?;
    let tx = scene.transaction("DELETE FROM room; DELETE FROM bare").await?;
    let reads_only = format!("{}?options=-cdefault_transaction_read_only=on", scene.url);
    let (code, shown, said) = command(&scene, &reads_only, &["--tx", &tx, "--apply", "--yes"]).await?;
    ensure!(
        code == 0 && shown.contains("public.room has a deferrable, partial or expression constraint"),
        "{code} {shown} {said}"
    );
    same(&scene.contents(None).await?, &before)
}

#[tokio::test(flavor = "multi_thread")]
async fn that_rows_may_not_be_unique_any_more_is_said_before() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let scene = Scene::set(&cluster, "unique", SCHEMA).await?;
    scene.database.run("UPDATE ruled SET v = 'same'").await?;
    for incident in ["UPDATE ruled SET v = id", "DELETE FROM ruled"] {
        let before = scene.contents(None).await?;
        let tx = scene.transaction(incident).await?;
        let complete = scene.undo(&tx).await?["coverage"]["complete"].clone();
        ensure!(complete == true, "{incident}: {complete}");
        scene.database.run("CREATE UNIQUE INDEX since ON ruled (v)").await?;
        let coverage = scene.undo(&tx).await?["coverage"].clone();
        let warning = coverage["warnings"][0].as_str().unwrap_or_default();
        ensure!(coverage["complete"] == false && warning.contains("whether rows are unique"), "{incident}: {coverage}");
        scene.database.run("DROP INDEX since").await?;
        let (code, shown, said) = command(&scene, &scene.url, &["--tx", &tx, "--apply", "--yes"]).await?;
        ensure!(code == 0, "{code} {shown} {said}");
        same(&scene.contents(None).await?, &before).context(incident)?;
    }
    Ok(())
}
