//! Faults of PostgreSQL itself, and of pgvigil's process.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use pgvigil::cluster::Mode;
use pgvigil::connection::Target;
use pgvigil::replication::Replication;

use crate::scene::{AT_ONCE, Scene, UNTIL_STALE};
use crate::support::{Database, PATIENCE, a_major, options, signal, wait_for};

#[tokio::test]
async fn the_walsender_is_terminated() -> Result<()> {
    let scene = Scene::live().await?;
    scene.database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_replication").await?;
    scene.change().await?;
    scene.is_well(1).await
}

#[tokio::test]
async fn the_sql_sessions_are_terminated() -> Result<()> {
    let scene = Scene::live().await?;
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE application_name LIKE 'pgvigil%' AND backend_type = 'client backend'";
    scene.database.run(terminate).await?;
    scene.change().await?;
    // They are wanted for what the stream does not tell.
    scene.database.run("CREATE TABLE late (id int PRIMARY KEY); INSERT INTO late VALUES (1), (2)").await?;
    scene.pgvigil.wait_for_count("public.late", 2).await?;
    scene.database.run("DROP TABLE late").await?;
    scene.is_well(0).await
}

#[tokio::test]
async fn the_server_crashes() -> Result<()> {
    ends_and_comes_back(Mode::Immediate).await
}

#[tokio::test]
async fn the_server_is_shut_down() -> Result<()> {
    ends_and_comes_back(Mode::Fast).await
}

async fn ends_and_comes_back(mode: Mode) -> Result<()> {
    let mut scene = Scene::live().await?;
    scene.change().await?;
    // A shutdown waits for every walsender's client to have taken everything: a careless one would keep it waiting for ever.
    tokio::time::timeout(PATIENCE, scene.cluster.stop(mode)).await??;
    scene.is_shown_as("disconnected", AT_ONCE).await?;
    scene.cluster.resume().await?;
    scene.reconnect().await?;
    scene.change().await?;
    scene.is_well(1).await
}

#[tokio::test]
async fn the_server_is_restarted() -> Result<()> {
    let mut scene = Scene::live().await?;
    scene.cluster.restart(Mode::Fast).await?;
    scene.reconnect().await?;
    scene.change().await?;
    scene.is_well(1).await
}

#[tokio::test]
async fn the_walsender_hangs() -> Result<()> {
    let scene = Scene::live().await?;
    let walsenders = scene.database.walsenders().await?;
    ensure!(walsenders.len() == 1, "{walsenders:?}");
    signal(walsenders[0], Signal::SIGSTOP)?;
    scene.change().await?;
    scene.is_shown_as("stale", UNTIL_STALE).await?;
    signal(walsenders[0], Signal::SIGCONT)?;
    scene.is_well(0).await
}

#[tokio::test]
async fn pgvigil_itself_is_stopped_for_a_while() -> Result<()> {
    let scene = Scene::live().await?;
    scene.pgvigil.signal(Signal::SIGSTOP)?;
    scene.change().await?;
    // Long enough for everything it knew to be old.
    tokio::time::sleep(Duration::from_secs(6)).await;
    scene.pgvigil.signal(Signal::SIGCONT)?;
    // That nothing old was called live, nor anything lost, is what the bystander looks for.
    scene.is_well(0).await
}

#[tokio::test]
async fn no_walsender_is_left() -> Result<()> {
    let mut scene = Scene::live_on(a_major(), options().set("max_wal_senders", "1")).await?;
    scene.proxy.refuse().await;
    scene.proxy.reset();
    let target = Target::resolve(Some(&scene.cluster.url("app")), |_| None)?;
    let rival =
        wait_for("the only walsender", PATIENCE, async || Ok(Some(Replication::connect(&target, "rival").await?))).await?;
    scene.proxy.accept().await?;
    scene.change().await?;
    let told = wait_for("the reason", PATIENCE, async || {
        let status = scene.is_shown_as("disconnected", AT_ONCE).await?;
        ensure!(status["reason"].as_str().is_some_and(|reason| reason.contains("max_wal_senders")), "{status}");
        Ok(Some(()))
    });
    told.await?;
    drop(rival);
    scene.is_well(1).await
}

#[tokio::test]
async fn no_connection_is_left() -> Result<()> {
    let limits = options().set("max_connections", "10").set("superuser_reserved_connections", "0");
    let mut scene = Scene::live_on(a_major(), limits).await?;
    scene.proxy.refuse().await;
    scene.proxy.reset();
    scene.is_shown_as("disconnected", AT_ONCE).await?;
    let mut crowd = Vec::new();
    wait_for("the server to be full", PATIENCE, async || {
        match Database::connect(&scene.cluster.url("app")).await {
            Ok(one) => crowd.push(one),
            Err(_) => return Ok(Some(())),
        }
        Ok(None)
    })
    .await?;
    scene.proxy.accept().await?;
    scene.change().await?;
    wait_for("the reason", PATIENCE, async || {
        let status = scene.is_shown_as("disconnected", AT_ONCE).await?;
        ensure!(status["reason"].as_str().is_some_and(|reason| reason.contains("max_connections")), "{status}");
        Ok(Some(()))
    })
    .await?;
    drop(crowd);
    scene.is_well(1).await
}
