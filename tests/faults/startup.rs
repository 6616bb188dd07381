//! How `serve` refuses to start: with which exit code, and in which words. The snapshots are there to be read as a new user would.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use pgvigil::cluster::{Cluster, Mode, Options};
use pgvigil::connection::Target;
use pgvigil::replication::{Replication, SlotOptions};

use crate::scene::app;
use crate::support::{PATIENCE, Pgvigil, a_major, cluster, cluster_with, options, wait_for};

const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

/// Exit code and message of a `serve` that must not come up. What differs from run to run is replaced.
async fn refusal(url: &str, arguments: &[&str], cluster: &Cluster) -> Result<String> {
    let mut pgvigil = Pgvigil::spawn(url, &[&SERVE, arguments].concat())?;
    let status = pgvigil.wait(PATIENCE).await?;
    ensure!(pgvigil.stdout().is_empty(), "it said that it is ready: {}", pgvigil.stdout());
    let said = wait_for("its last words", PATIENCE, async || {
        let said = pgvigil.stderr();
        Ok(said.lines().rev().find(|line| line.starts_with("pgvigil: ")).map(str::to_owned))
    });
    let said = said.await?.replace(&cluster.port().to_string(), "PORT");
    Ok(format!("exit code {}\n{said}", status.code().context("it was killed")?))
}

#[tokio::test]
async fn a_wrong_password() -> Result<()> {
    let cluster = cluster_with(a_major(), Options { password: Some("right".to_owned()), ..options() }).await?;
    app(&cluster).await?;
    let url = cluster.url("app");
    insta::assert_snapshot!("wrong password", refusal(&url.replace(":right", ":wrong"), &[], &cluster).await?);
    insta::assert_snapshot!("no password", refusal(&url.replace(":right", ""), &[], &cluster).await?);
    Ok(())
}

#[tokio::test]
async fn a_name_that_means_nothing() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    app(&cluster).await?;
    let url = cluster.url("app");
    insta::assert_snapshot!("no such database", refusal(&cluster.url("aap"), &[], &cluster).await?);
    insta::assert_snapshot!("no such role", refusal(&url.replace("postgres@", "nobody@"), &[], &cluster).await?);
    insta::assert_snapshot!("no such publication", refusal(&url, &["--publication", "Other"], &cluster).await?);
    insta::assert_snapshot!("another database", refusal(&url, &["--expect-database", "shop"], &cluster).await?);
    Ok(())
}

#[tokio::test]
async fn a_role_without_replication() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    app(&cluster).await?.run("CREATE ROLE clerk LOGIN").await?;
    let url = cluster.url("app").replace("postgres@", "clerk@");
    insta::assert_snapshot!("no right to replicate", refusal(&url, &[], &cluster).await?);
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_prepared() -> Result<()> {
    let cluster = cluster_with(a_major(), options().set("wal_level", "replica")).await?;
    app(&cluster).await?;
    insta::assert_snapshot!("wal_level", refusal(&cluster.url("app"), &[], &cluster).await?);
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_full() -> Result<()> {
    let cluster = cluster_with(a_major(), options().set("max_replication_slots", "1").set("max_wal_senders", "2")).await?;
    let database = app(&cluster).await?;
    let target = Target::resolve(Some(&cluster.url("app")), |_| None)?;
    let mut rival = Replication::connect(&target, "rival").await?;
    rival.create_slot("rival", SlotOptions::temporary(), PATIENCE).await?;
    insta::assert_snapshot!("no slot left", refusal(&cluster.url("app"), &[], &cluster).await?);
    let other = Replication::connect(&target, "rival").await?;
    insta::assert_snapshot!("no walsender left", refusal(&cluster.url("app"), &[], &cluster).await?);
    drop((rival, other, database));
    Ok(())
}

#[tokio::test]
async fn a_port_that_is_taken() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    // Any listener will do: the server's own.
    let taken = format!("127.0.0.1:{}", cluster.port());
    let mut pgvigil = Pgvigil::spawn(&cluster.url("postgres"), &["serve", "--listen", &taken])?;
    let code = pgvigil.wait(PATIENCE).await?.code().context("it was killed")?;
    let said =
        wait_for("its last words", PATIENCE, async || Ok(Some(pgvigil.stderr()).filter(|said| said.ends_with('\n')))).await?;
    insta::assert_snapshot!("port in use", format!("exit code {code}\n{}", said.replace(&cluster.port().to_string(), "PORT")));
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_down_is_waited_for() -> Result<()> {
    let mut cluster = cluster(a_major()).await?;
    let database = app(&cluster).await?;
    cluster.stop(Mode::Fast).await?;
    let mut pgvigil = Pgvigil::spawn(&cluster.url("app"), &SERVE)?;
    let said = wait_for("it to say why it waits", PATIENCE, async || {
        let said = pgvigil.stderr();
        Ok(said.lines().find(|line| line.contains("interrupted")).map(str::to_owned))
    });
    let said = said.await?;
    ensure!(said.contains("Nothing listens at 127.0.0.1"), "{said}");
    cluster.resume().await?;
    pgvigil.ready().await?;
    pgvigil.signal(Signal::SIGTERM)?;
    ensure!(pgvigil.wait(PATIENCE).await?.code() == Some(0), "{}", pgvigil.stderr());
    drop(database);
    Ok(())
}

#[tokio::test]
async fn sigterm_while_it_waits_for_a_server_ends_it_well() -> Result<()> {
    let mut cluster = cluster(a_major()).await?;
    cluster.stop(Mode::Fast).await?;
    let mut pgvigil = Pgvigil::spawn(&cluster.url("app"), &SERVE)?;
    wait_for("it to wait", PATIENCE, async || Ok(pgvigil.stderr().contains("interrupted").then_some(()))).await?;
    pgvigil.signal(Signal::SIGTERM)?;
    ensure!(pgvigil.wait(PATIENCE).await?.code() == Some(0), "{}", pgvigil.stderr());
    Ok(())
}
