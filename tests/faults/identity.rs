//! Another database answers where the watched one was. Nothing of it may be shown.

use anyhow::{Result, ensure};
use pgvigil::cluster::Options;

use crate::scene::{AT_ONCE, Scene, app};
use crate::support::{Database, PATIENCE, a_major, cluster_with, options, wait_for};

/// No count of the database that answers, nor a row of it.
async fn shows_nothing_of(scene: &Scene, stranger: &Database) -> Result<()> {
    stranger.run("INSERT INTO item (note) SELECT 'of the stranger' FROM generate_series(1, 55)").await?;
    let foreign = stranger.count("item").await?;
    let tables = scene.pgvigil.json("/api/v1/tables").await?;
    ensure!(tables["tables"].as_array().into_iter().flatten().all(|table| table["count"] != foreign), "{tables}");
    ensure!(tables["state"] == "wrong_database", "{tables}");
    let rows = scene.pgvigil.get("/api/v1/tables/public/item/rows").await?;
    ensure!(!rows.status().is_success(), "rows of another database: {}", rows.text().await?);
    ensure!(scene.bystander.heard(&["change"]).iter().all(|change| change["new"]["note"] != "of the stranger"));
    Ok(())
}

#[tokio::test]
async fn the_database_is_dropped_and_another_made_under_its_name() -> Result<()> {
    let mut scene = Scene::live().await?;
    scene.proxy.refuse().await;
    scene.proxy.reset();
    let maintenance = Database::connect(&scene.cluster.url("postgres")).await?;
    // The slot may live on for a moment.
    wait_for("the database to be dropped", PATIENCE, async || {
        maintenance.run("DROP DATABASE app WITH (FORCE)").await?;
        Ok(Some(()))
    })
    .await?;
    scene.proxy.accept().await?;
    wait_for("the reason", PATIENCE, async || {
        let status = scene.is_shown_as("disconnected", AT_ONCE).await?;
        ensure!(status["reason"].as_str().is_some_and(|reason| reason.contains("There is no database \"app\"")), "{status}");
        Ok(Some(()))
    })
    .await?;
    let stranger = app(&scene.cluster).await?;
    scene.is_shown_as("wrong_database", PATIENCE).await?;
    shows_nothing_of(&scene, &stranger).await
}

#[tokio::test]
async fn another_server_answers_for_a_while() -> Result<()> {
    let scene = Scene::live().await?;
    // Of the same name, the same oids, made in the same way: only the system is another.
    let other = cluster_with(a_major(), Options { template: None, ..options() }).await?;
    let stranger = app(&other).await?;
    scene.proxy.point_at(other.port());
    scene.proxy.reset();
    scene.is_shown_as("wrong_database", PATIENCE).await?;
    scene.change().await?;
    shows_nothing_of(&scene, &stranger).await?;
    scene.proxy.point_at(scene.cluster.port());
    scene.is_well(1).await
}

#[tokio::test]
async fn another_server_answers_while_the_stream_goes_on() -> Result<()> {
    let scene = Scene::live().await?;
    let other = cluster_with(a_major(), Options { template: None, ..options() }).await?;
    let stranger = app(&other).await?;
    stranger.run("CREATE TABLE late (id int PRIMARY KEY); INSERT INTO late VALUES (1), (2), (3)").await?;
    // Its transactions are ahead, so that none of those that pgvigil knows seems to be running there.
    for _ in 0..200 {
        stranger.run("SELECT txid_current()").await?;
    }
    // As with a pooler that is told of another server: the stream stays where it is, and every new session goes elsewhere.
    scene.proxy.point_at(other.port());
    let before = scene.proxy.accepted();
    scene.database.run("CREATE TABLE late (id int PRIMARY KEY); INSERT INTO late VALUES (1), (2)").await?;
    wait_for("several sessions on the other server", PATIENCE, async || {
        let table = scene.pgvigil.table("public.late").await?;
        ensure!(table["count"].is_null(), "a count of another server is shown: {table}");
        Ok((scene.proxy.accepted() >= before + 3).then_some(()))
    })
    .await?;
    scene.proxy.point_at(scene.cluster.port());
    scene.pgvigil.wait_for_count("public.late", 2).await?;
    let told = scene.bystander.heard(&["counts"]);
    let wrong = |table: &serde_json::Value| table["name"] == "late" && table["count"] == 3;
    ensure!(
        !told.iter().flat_map(|counts| counts["tables"].as_array()).flatten().any(wrong),
        "a count of another server was shown"
    );
    Ok(())
}
