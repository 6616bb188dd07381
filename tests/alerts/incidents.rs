//! What is raised, on every version of PostgreSQL.

use anyhow::{Context, Result, ensure};
use pgvigil::commands::setup::{SetupOptions, setup};
use serde_json::{Value, json};

use crate::scene::{Scene, app};
use crate::support::{DDL_MESSAGES, PATIENCE, Proxy, a_major, on_every_major, wait_for};

on_every_major!(users_that_are_gone_are_told_everywhere, dropped_and_truncated_tables_are_told);

async fn users_that_are_gone_are_told_everywhere(major: u32) -> Result<()> {
    let scene = Scene::new(major, "", r#"ALTER TABLE "User" REPLICA IDENTITY FULL"#).await?;
    let mut stream = scene.pgvigil.websocket("kinds=alert").await?;
    let mut of_games = scene.pgvigil.websocket("kinds=alert,commit&table=public.game").await?;
    scene.database.run(r#"DELETE FROM "User""#).await?;

    let alert = stream.next_of("alert").await?;
    assert_eq!(
        (&alert["rule"], &alert["severity"], &alert["state"], &alert["schema"], &alert["table"]),
        (&json!("count_zero"), &json!("critical"), &json!("firing"), &json!("public"), &json!("User"))
    );
    assert_eq!((&alert["from"], &alert["to"], &alert["deleted"]), (&json!(22), &json!(0), &json!(22)));
    let said = alert["text"].as_str().context("a text")?;
    assert!(said.starts_with("User fell from 22 to 0: 22 rows deleted in one transaction"), "{said}");
    assert_eq!(alert["undo"]["restores"], true);
    let link = alert["link"].as_str().and_then(|link| link.strip_prefix(scene.pgvigil.origin())).context("a link to here")?;
    let tx = link.strip_prefix("/?tx=").context("to the page of a transaction")?;
    let transaction = scene.pgvigil.json(&format!("/api/v1/transactions/{tx}")).await?;
    assert_eq!(transaction["events"].as_array().map(Vec::len), Some(23));

    // To whoever comes later it is told as well, and by every other way.
    let mut later = scene.pgvigil.event_source("kinds=alert").await?;
    later.until("the alert that fires", |object| object["id"] == alert["id"]).await?;
    assert_eq!(scene.fires("count_zero").await?["id"], alert["id"]);
    let metrics = scene.pgvigil.get("/metrics").await?.text().await?;
    assert!(metrics.contains(r#"pgvigil_alerts{rule="count_zero",severity="critical"} 1"#), "{metrics}");
    assert!(metrics.contains("pgvigil_alerts_evaluating 1"), "{metrics}");
    let logged = scene.pgvigil.stderr();
    assert!(logged.contains("User fell from 22 to 0"), "{logged}");
    assert!(!logged.contains("confidential"), "a value was logged");

    scene
        .database
        .run(r#"INSERT INTO "User" SELECT id, 'back' FROM generate_series(1, 22) id; DELETE FROM game WHERE id = 1"#)
        .await?;
    let resolved = stream.next_of("alert").await?;
    assert_eq!((&resolved["id"], &resolved["state"]), (&alert["id"], &json!("resolved")));
    assert_eq!(scene.was_resolved("count_zero").await?["id"], alert["id"]);
    assert!(scene.active().await?.is_empty());
    // Who asked for another table was told of none of this.
    let told = of_games.until("a commit", |object| object["type"] == "commit").await?;
    ensure!(told.iter().all(|object| object["type"] != "alert"), "{told:?}");
    Ok(())
}

async fn dropped_and_truncated_tables_are_told(major: u32) -> Result<()> {
    let rules = "defaults = true\n[[rule]]\nkind = \"protected_table\"\ntables = [\"game\"]\n";
    let scene = Scene::new(major, rules, DDL_MESSAGES).await?;
    scene.database.run("TRUNCATE game").await?;
    let alert = scene.fires("protected_table").await?;
    assert_eq!((&alert["text"], &alert["undo"]["restores"]), (&json!("game was truncated with its 5 rows"), &json!(false)));

    scene.database.run(r#"DROP TABLE "User""#).await?;
    let alert = scene.fires("table_dropped").await?;
    assert_eq!(alert["text"], "User was dropped, with the 22 rows that it had when it was last counted");
    assert!(alert["tx"]["xid"].is_u64(), "the message of the transaction tells which it was: {alert}");
    Ok(())
}

/// A table that is emptied by a truncate and filled again in one transaction has as many rows as before, but not those.
#[tokio::test]
async fn rows_that_a_truncate_took_are_missed_though_others_came() -> Result<()> {
    let before = "CREATE TABLE z (id int PRIMARY KEY); INSERT INTO z SELECT generate_series(1, 3000)";
    let scene = Scene::new(a_major(), "", &format!("{DDL_MESSAGES}{before}")).await?;
    scene.pgvigil.wait_for_count("public.z", 3000).await?;
    scene.database.run("BEGIN; TRUNCATE z; INSERT INTO z SELECT generate_series(5001, 8000); COMMIT").await?;
    let alert = scene.fires("mass_delete").await?;
    assert_eq!((&alert["text"], &alert["deleted"]), (&json!("z was truncated with its 3,000 rows"), &json!(3000)));
    Ok(())
}

/// What is held does not always come back.
#[tokio::test]
async fn what_undo_may_not_write_is_not_promised() -> Result<()> {
    let before = r#"CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY REFERENCES a); ALTER TABLE b REPLICA IDENTITY FULL;
        INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); ALTER TABLE "User" REPLICA IDENTITY FULL;
        CREATE RULE mine AS ON INSERT TO "User" DO INSTEAD NOTHING"#;
    let rules = "[[rule]]\nname = \"of b\"\nkind = \"protected_table\"\ntables = [\"b\"]\n\
        [[rule]]\nname = \"of users\"\nkind = \"protected_table\"\ntables = [\"User\"]\n";
    let scene = Scene::new(a_major(), rules, &format!("{DDL_MESSAGES}{before}")).await?;
    scene.pgvigil.wait_for_count("public.b", 1).await?;
    scene.pgvigil.wait_for_count("public.a", 1).await?;
    scene.database.run("BEGIN; DELETE FROM b; TRUNCATE a CASCADE; COMMIT").await?;
    scene.database.run(r#"DELETE FROM "User" WHERE id = 1"#).await?;
    for (rule, reason) in [("of b", "rows of other tables"), ("of users", "CREATE RULE")] {
        let undo = scene.fires(rule).await?["undo"].clone();
        ensure!(undo["restores"].is_null() && undo["reason"].as_str().is_some_and(|said| said.contains(reason)), "{undo}");
    }
    Ok(())
}

/// What the only alert that fires says of undo.
async fn undo(scene: &Scene) -> Result<(Value, String)> {
    let undo = scene.fires("protected_table").await?["undo"].clone();
    Ok((undo["restores"].clone(), undo["reason"].as_str().unwrap_or_default().to_owned()))
}

#[tokio::test]
async fn whether_undo_restores_is_what_the_history_holds() -> Result<()> {
    let before = r#"ALTER TABLE "User" REPLICA IDENTITY FULL; ALTER TABLE "User" ADD photo text;
        UPDATE "User" SET photo = repeat('x', 5000) WHERE id = 2"#;
    let (cluster, database) = app(a_major(), before).await?;
    let url = cluster.url("app");
    let rules = "[[rule]]\nkind = \"protected_table\"\ntables = [\"User\"]\n";
    let scene = Scene::of(cluster, database, &url, rules, &["--max-value", "1KiB", "--history-memory", "1MiB"], &[]).await?;
    scene.database.run(r#"DELETE FROM "User" WHERE id = 1"#).await?;
    let (restores, reason) = undo(&scene).await?;
    ensure!(restores == true, "{reason}");

    // The table is as it was, but a value was too long to be kept.
    scene.database.run(r#"DELETE FROM "User" WHERE id <= 3"#).await?;
    let cut = async || Ok(undo(&scene).await?.1.contains("--max-value").then_some(()));
    wait_for("the value that is missing to be said", PATIENCE, cut).await?;

    scene.database.run(r#"DELETE FROM "User" WHERE id = 4"#).await?;
    wait_for("a whole row", PATIENCE, async || Ok((undo(&scene).await?.0 == true).then_some(()))).await?;
    // It goes from the history, and nothing else happens to the table.
    let mut stream = scene.pgvigil.websocket("kinds=alert").await?;
    scene.database.run("DELETE FROM game; INSERT INTO game SELECT generate_series(1, 20000)").await?;
    let told = stream.until("what is gone", |object| object["type"] == "alert" && object["undo"]["restores"] == false).await?;
    let alert = told.last().context("an alert")?;
    ensure!(alert["times"] == 3 && alert["state"] == "firing", "{alert}");
    ensure!(alert["undo"]["reason"].as_str().is_some_and(|reason| reason.contains("no longer holds")), "{alert}");
    let tx = alert["tx"]["id"].as_str().context("a transaction")?;
    ensure!(scene.pgvigil.get(&format!("/api/v1/transactions/{tx}")).await?.status() == 410);
    Ok(())
}

#[tokio::test]
async fn who_it_was_is_told_where_it_is_attributed() -> Result<()> {
    let (cluster, mut database) = app(a_major(), "DROP PUBLICATION pgvigil").await?;
    let options = SetupOptions { apply: true, all_tables: true, ..SetupOptions::for_publication("pgvigil") };
    setup(database.client(), &options, &mut Vec::new()).await?;
    let rules = "[[rule]]\nkind = \"count_zero\"\n\
        [[rule]]\nkind = \"mass_delete\"\nrows = 1\nexcept_actors = [\"archiver\"]\n\
        [[rule]]\nname = \"by the archiver\"\nkind = \"mass_delete\"\nrows = 1\nactors = [\"archiver\"]\n";
    let url = cluster.url("app");
    let scene = Scene::of(cluster, database, &url, rules, &[], &[]).await?;
    scene.database.run("SET application_name = 'archiver'").await?;
    scene.database.run(r#"DELETE FROM "User" WHERE email LIKE 'confidential%'"#).await?;
    let alert = scene.fires("count_zero").await?;
    let said = alert["text"].as_str().context("a text")?;
    assert!(said.ends_with("22 rows deleted in one transaction by postgres (archiver)"), "{said}");
    assert_eq!(alert["actor"]["application_name"], "archiver");
    scene.fires("by the archiver").await?;
    assert!(!scene.active().await?.contains(&"mass_delete".to_owned()));
    assert!(!scene.pgvigil.stderr().contains("confidential"), "the statement was logged");
    Ok(())
}

#[tokio::test]
async fn a_partitioned_table_is_judged_as_a_whole() -> Result<()> {
    let before = "CREATE TABLE log (at int, PRIMARY KEY (at)) PARTITION BY RANGE (at);
        CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (100);
        CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (100) TO (200);
        INSERT INTO log SELECT generate_series(50, 149)";
    let scene = Scene::new(a_major(), "[[rule]]\nkind = \"count_zero\"\n", before).await?;
    scene.pgvigil.wait_for_count("public.log", 100).await?;
    // One partition is emptied into the other.
    scene.database.run("UPDATE log SET at = at + 100 WHERE at < 100").await?;
    scene.pgvigil.wait_for_count("public.log_1", 0).await?;
    scene.database.run("DELETE FROM log").await?;
    let alert = scene.fires("count_zero").await?;
    assert_eq!((&alert["table"], &alert["from"], &alert["deleted"]), (&json!("log"), &json!(100), &json!(100)));
    assert_eq!(scene.active().await?, ["count_zero"]);
    Ok(())
}

#[tokio::test]
async fn what_changed_while_nobody_watched_is_told_and_is_no_fall() -> Result<()> {
    let (cluster, database) = app(a_major(), "").await?;
    let mut proxy = Proxy::start(cluster.port()).await?;
    let url = proxy.url(&cluster.url("app"));
    let rules = "defaults = true\n[[rule]]\nkind = \"not_live\"\nfor = \"1s\"\n";
    let scene = Scene::of(cluster, database, &url, rules, &[], &[]).await?;

    // The start may have taken longer than the rule allows.
    wait_for("nothing to fire", PATIENCE, async || Ok(scene.active().await?.is_empty().then_some(()))).await?;

    proxy.refuse().await;
    proxy.reset();
    let blind = scene.fires("not_live").await?;
    assert_eq!(blind["cannot_evaluate"], json!(["count_zero", "count_drop"]));
    assert_eq!(scene.pgvigil.json("/api/v1/alerts").await?["evaluating"], false);
    scene.database.run(r#"DELETE FROM "User" WHERE id > 2"#).await?;
    proxy.accept().await?;

    let alert = scene.fires("changed_unwatched").await?;
    assert_eq!((&alert["from"], &alert["to"], &alert["tx"]), (&json!(22), &json!(2), &json!(null)));
    assert!(alert["text"].as_str().context("a text")?.ends_with("it changed while nobody watched"), "{alert}");
    scene.was_resolved("not_live").await?;
    assert_eq!(scene.active().await?, ["changed_unwatched"], "{}", scene.pgvigil.stderr());

    // From here on it is watched again.
    scene.database.run("DELETE FROM game").await?;
    scene.pgvigil.wait_for_count("public.game", 0).await?;
    assert_eq!(scene.active().await?, ["changed_unwatched"], "five rows are not many");
    Ok(())
}

#[tokio::test]
async fn heavy_a_storm_of_deletes_holds_nothing_back() -> Result<()> {
    let before = "CREATE TABLE big (id int PRIMARY KEY); INSERT INTO big SELECT generate_series(1, 20000)";
    let rules = "[[rule]]\nkind = \"protected_table\"\ntables = [\"big\"]\n";
    let scene = Scene::new(a_major(), rules, before).await?;
    let mut stream = scene.pgvigil.websocket("kinds=alert").await?;
    let one_by_one = "DO $$ BEGIN FOR i IN 1..20000 LOOP DELETE FROM big WHERE id = i; COMMIT; END LOOP; END $$";
    scene.database.run(one_by_one).await?;
    scene.pgvigil.wait_for_count("public.big", 0).await?;
    wait_for("all of them to be counted", PATIENCE, async || {
        let alert = scene.fires("protected_table").await?;
        ensure!(alert["times"] == 20_000, "{alert}");
        Ok(Some(()))
    })
    .await?;
    let told = stream.until("the last", |object| object["times"] == 20_000).await?;
    ensure!(told.len() < 600, "{} updates", told.len());
    ensure!(scene.pgvigil.stderr().matches("alert:").count() == 1, "{}", scene.pgvigil.stderr());
    Ok(())
}
