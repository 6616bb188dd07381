//! The proxy that breaks connections for other tests: does each fault do to a real session what it is named after?

mod support;

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgvigil::cluster::Cluster;
use support::{Database, Direction, Flow, PATIENCE, Proxy, a_major, cluster};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Long enough for an answer that comes at all.
const MOMENT: Duration = Duration::from_millis(300);

async fn proxied() -> Result<(Cluster, Proxy)> {
    let cluster = cluster(a_major()).await?;
    let proxy = Proxy::start(cluster.port()).await?;
    Ok((cluster, proxy))
}

#[tokio::test]
async fn silence_keeps_the_session_and_healing_brings_the_answer() -> Result<()> {
    let (cluster, proxy) = proxied().await?;
    let database = Database::connect(&proxy.url(&cluster.url("postgres"))).await?;
    ensure!(database.value::<i32>("SELECT 1").await? == 1);
    for direction in [Direction::ToServer, Direction::ToClient] {
        proxy.set(direction, Flow::Silence);
        let mut answer = Box::pin(database.value::<i32>("SELECT 2"));
        ensure!(timeout(MOMENT, &mut answer).await.is_err(), "an answer came through silence {direction:?}");
        proxy.heal();
        ensure!(timeout(PATIENCE, answer).await?? == 2);
    }
    ensure!(proxy.accepted() == 1);
    Ok(())
}

#[tokio::test]
async fn a_reset_ends_open_sessions_and_no_new_ones() -> Result<()> {
    let (cluster, proxy) = proxied().await?;
    let url = proxy.url(&cluster.url("postgres"));
    let mut raw = TcpStream::connect(("127.0.0.1", proxy.port())).await?;
    let database = Database::connect(&url).await?;
    proxy.reset();
    ensure!(database.value::<i32>("SELECT 1").await.is_err());
    let error = raw.read(&mut [0; 1]).await.err().context("it ended in order")?;
    ensure!(error.kind() == ErrorKind::ConnectionReset, "{error}");
    ensure!(Database::connect(&url).await?.value::<i32>("SELECT 1").await? == 1);
    Ok(())
}

#[tokio::test]
async fn refused_is_refused_until_accepted_again() -> Result<()> {
    let (cluster, mut proxy) = proxied().await?;
    let url = proxy.url(&cluster.url("postgres"));
    let open = Database::connect(&url).await?;
    proxy.refuse().await;
    let error = TcpStream::connect(("127.0.0.1", proxy.port())).await.err().context("it was accepted")?;
    ensure!(error.kind() == ErrorKind::ConnectionRefused, "{error}");
    ensure!(open.value::<i32>("SELECT 1").await? == 1);
    proxy.accept().await?;
    Database::connect(&url).await?;
    Ok(())
}

#[tokio::test]
async fn a_cut_comes_after_so_many_bytes() -> Result<()> {
    let (cluster, proxy) = proxied().await?;
    let database = Database::connect(&proxy.url(&cluster.url("postgres"))).await?;
    proxy.set(Direction::ToClient, Flow::CutAfter(10_000));
    ensure!(database.value::<String>("SELECT repeat('x', 5000)").await?.len() == 5000);
    ensure!(database.value::<String>("SELECT repeat('x', 5000)").await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_half_closed_connection_still_works_the_other_way() -> Result<()> {
    let (_cluster, proxy) = proxied().await?;
    let mut raw = TcpStream::connect(("127.0.0.1", proxy.port())).await?;
    // An SSL request is answered with one letter.
    raw.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await?;
    ensure!(raw.read_u8().await? == b'N');
    proxy.set(Direction::ToClient, Flow::HalfClose);
    ensure!(timeout(PATIENCE, raw.read(&mut [0; 1])).await?? == 0, "the client should see the end of the stream");
    raw.write_all(&[0, 0, 0, 8]).await?;
    Ok(())
}

#[tokio::test]
async fn trickling_bytes_take_their_time_and_all_arrive() -> Result<()> {
    let (cluster, proxy) = proxied().await?;
    let database = Database::connect(&proxy.url(&cluster.url("postgres"))).await?;
    proxy.set(Direction::ToClient, Flow::Trickle { bytes: 100, every: Duration::from_millis(5) });
    let before = std::time::Instant::now();
    ensure!(database.value::<String>("SELECT repeat('x', 5000)").await?.len() == 5000);
    ensure!(before.elapsed() > Duration::from_millis(200), "5,000 bytes came in {:?}", before.elapsed());
    Ok(())
}
