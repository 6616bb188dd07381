//! Faults of the network between pgvigil and PostgreSQL.

use std::time::Duration;

use anyhow::Result;

use crate::scene::{AT_ONCE, Scene, UNTIL_STALE};
use crate::support::{Direction, Flow};

#[tokio::test]
async fn connections_are_reset_and_refused_for_a_while() -> Result<()> {
    let mut scene = Scene::live().await?;
    scene.proxy.refuse().await;
    scene.proxy.reset();
    scene.is_shown_as("disconnected", AT_ONCE).await?;
    scene.change().await?;
    scene.proxy.accept().await?;
    scene.is_well(1).await
}

#[tokio::test]
async fn connections_are_reset_again_and_again() -> Result<()> {
    let scene = Scene::live().await?;
    for lost in 1..=3 {
        scene.proxy.reset();
        scene.change().await?;
        // Each time everything has to be well before the next, or several losses would be one.
        scene.is_well(lost).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_server_half_closes_every_connection() -> Result<()> {
    let scene = Scene::live().await?;
    scene.proxy.set(Direction::ToClient, Flow::HalfClose);
    scene.is_shown_as("disconnected", AT_ONCE).await?;
    scene.change().await?;
    scene.proxy.heal();
    scene.is_well(1).await
}

#[tokio::test]
async fn our_half_of_every_connection_is_closed() -> Result<()> {
    let scene = Scene::live().await?;
    scene.proxy.set(Direction::ToServer, Flow::HalfClose);
    scene.is_shown_as("disconnected", AT_ONCE).await?;
    scene.change().await?;
    scene.proxy.heal();
    scene.is_well(1).await
}

#[tokio::test]
async fn nothing_comes_from_the_server_for_a_while() -> Result<()> {
    let scene = Scene::live().await?;
    scene.proxy.set(Direction::ToClient, Flow::Silence);
    scene.change().await?;
    scene.is_shown_as("stale", UNTIL_STALE).await?;
    scene.proxy.heal();
    // The same connection goes on: nothing was lost.
    scene.is_well(0).await
}

#[tokio::test]
async fn nothing_reaches_the_server_for_a_while() -> Result<()> {
    let scene = Scene::live().await?;
    scene.proxy.set(Direction::ToServer, Flow::Silence);
    // Changes still come, and now and then the server says by itself where it stands; but it is not asked any more.
    scene.is_shown_as("lagging", UNTIL_STALE).await?;
    scene.change().await?;
    scene.proxy.heal();
    scene.is_well(0).await
}

#[tokio::test]
async fn a_silent_connection_is_reset_at_last() -> Result<()> {
    let scene = Scene::live().await?;
    scene.proxy.silence();
    scene.change().await?;
    scene.is_shown_as("stale", UNTIL_STALE).await?;
    scene.proxy.reset();
    // New connections are accepted, and then nothing is heard of them either.
    scene.is_shown_as("disconnected", AT_ONCE).await?;
    scene.change().await?;
    scene.proxy.heal();
    scene.is_well(1).await
}

#[tokio::test]
async fn every_connection_dies_without_a_word() -> Result<()> {
    let scene = Scene::live().await?;
    scene.proxy.strand();
    scene.change().await?;
    scene.is_shown_as("stale", UNTIL_STALE).await?;
    // Nothing but patience ends it: after a minute of silence a new connection is made.
    scene.is_well(1).await
}

#[tokio::test]
async fn bytes_come_slowly() -> Result<()> {
    let scene = Scene::live().await?;
    // 20 kB a second, for more than 200 kB: the server is alive, and pgvigil is late.
    scene.proxy.set(Direction::ToClient, Flow::Trickle { bytes: 200, every: Duration::from_millis(10) });
    scene.database.run("INSERT INTO item (note) SELECT repeat('slow', 250) FROM generate_series(1, 400)").await?;
    scene.is_shown_as("lagging", UNTIL_STALE).await?;
    scene.proxy.heal();
    scene.is_well(0).await
}
