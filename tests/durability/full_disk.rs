//! Where nothing can be recorded nothing is read, nobody else is held up, and what is said is true all the while.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgvigil::cluster::Mode;
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use crate::log::Log;
use crate::slots::up_to;
use crate::support::{Database, PATIENCE, Pgvigil, a_major, on_every_major, wait_for};
use crate::{SCHEMA, bounded, serve};

on_every_major!(a_server_that_is_stopped_does_not_wait_for_room, one_that_waits_for_the_last_bytes_only_does_not_either);

/// Soon, for a person who stops a server.
const SOON: Duration = Duration::from_secs(15);

/// The state and its reason; never live while there is no room.
async fn status(pgvigil: &Pgvigil) -> Result<(String, String)> {
    let status = pgvigil.json("/api/v1/status").await?;
    let text = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
    Ok((text("state"), text("reason")))
}

async fn waits_for_room(pgvigil: &Pgvigil) -> Result<()> {
    wait_for("the state to say that there is no room", PATIENCE, async || {
        let (state, reason) = status(pgvigil).await?;
        ensure!(reason.contains("make room there"), "{state}: {reason}");
        Ok(Some(state))
    })
    .await
    .and_then(|state| {
        ensure!(state != "live", "nothing is recorded, and the state is {state}");
        Ok(())
    })
}

/// Inserts rows of about a thousand bytes that do not become less when they are packed.
fn fill(from: i64, to: i64) -> String {
    format!(
        "INSERT INTO item SELECT i, 1, (SELECT string_agg(md5((i * 100 + j)::text), '') FROM generate_series(1, 30) j) \
           FROM generate_series({from}, {to}) i"
    )
}

/// The disk is full, that much is written, and the server is stopped, and started again: then there is room.
async fn stopped_while_the_disk_is_full(major: u32, rows: i64) -> Result<()> {
    let mut cluster = bounded(major).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let pgvigil = serve(&url, &dir, &[]).await?;
    let mut socket = pgvigil.websocket("kinds=change&from=oldest").await?;
    let mut log = Log::default();
    database.run("INSERT INTO item VALUES (1)").await?;
    log.read_up_to(&mut socket, 1).await?;
    let sizes = std::fs::read_dir(dir.path())?.map(|file| Ok(file?.metadata()?.len())).collect::<Result<Vec<u64>>>()?;
    pgvigil.allow_files(sizes.into_iter().max()).await?;
    database.run(&fill(2, rows)).await?;
    waits_for_room(&pgvigil).await?;

    let begun = Instant::now();
    timeout(SOON, cluster.stop(Mode::Fast)).await.with_context(|| format!("the server waits for us: {}", pgvigil.stderr()))??;
    println!("stopped after {:?}", begun.elapsed());
    ensure!(pgvigil.stderr().contains("so that the server can stop"), "{}", pgvigil.stderr());
    wait_for("the state to say so", SOON, async || Ok((status(&pgvigil).await?.0 == "disconnected").then_some(()))).await?;
    cluster.resume().await?;
    let database = Database::connect(&url).await?;
    database.run(&fill(rows + 1, rows + 100)).await?;
    ensure!(status(&pgvigil).await?.0 != "live");

    pgvigil.allow_files(None).await?;
    log.read_up_to(&mut socket, rows + 100).await.with_context(|| pgvigil.stderr())?;
    log.is_all(&database).await?;
    pgvigil.wait_for_state("live").await?;
    pgvigil.wait_for_count("public.item", rows + 100).await?;
    // What was not recorded for so long is by now, and only then the server was told.
    let unconfirmed = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint FROM pg_replication_slots";
    wait_for("all of it to be recorded", PATIENCE, async || {
        Ok((database.value::<i64>(unconfirmed).await? < 100_000).then_some(()))
    })
    .await
}

/// What the state says names the file, what to do, and what becomes of what happens meanwhile; all of it for as long as it is so.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_a_full_disk_is_said_until_there_is_room() -> Result<()> {
    let cluster = bounded(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let pgvigil = serve(&url, &dir, &[]).await?;
    let mut socket = pgvigil.websocket("kinds=change,status").await?;
    database.run("INSERT INTO item VALUES (1)").await?;
    up_to(&mut socket, 1).await?;
    pgvigil.wait_for_state("live").await?;
    ensure!(pgvigil.json("/api/v1/status").await?["reason"].is_null());

    pgvigil.allow_files(Some(1)).await?;
    database.run("INSERT INTO item VALUES (2)").await?;
    waits_for_room(&pgvigil).await?;
    let (state, reason) = status(&pgvigil).await?;
    let file = dir.path().join("00000000000000000001.journal");
    let begins = format!("cannot write to {}: ", file.display());
    let ends = "; make room there. What happens waits in the database, as far as the budget for its log goes";
    ensure!(state == "lagging" && reason.starts_with(&begins) && reason.ends_with(ends), "{state}: {reason}");
    // Whoever watches is told the same, unasked.
    let says = |event: &Value| event["type"] == "status" && event["state"] == "lagging" && event["reason"] == reason.as_str();
    timeout(PATIENCE, socket.until("the reason", says)).await??;
    let ready = pgvigil.get("/readyz").await?;
    ensure!(ready.status() == StatusCode::SERVICE_UNAVAILABLE, "{}", ready.status());

    pgvigil.allow_files(None).await?;
    let is_over = |event: &Value| event["type"] == "status" && event["state"] == "live" && event["reason"].is_null();
    timeout(PATIENCE, socket.until("the reason to go", is_over)).await??;
    pgvigil.wait_for_state("live").await?;
    ensure!(pgvigil.json("/api/v1/status").await?["reason"].is_null());
    ensure!(pgvigil.stderr().contains("the journal is written again"), "{}", pgvigil.stderr());
    pgvigil.wait_for_count("public.item", 2).await
}

/// Nor does the server keep more for us than it may.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_costs_no_more_than_the_budget() -> Result<()> {
    let cluster = bounded(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let pgvigil = serve(&url, &dir, &["--wal-budget", "32MiB"]).await?;
    let mut socket = pgvigil.websocket("kinds=change").await?;
    database.run("INSERT INTO item VALUES (0)").await?;
    up_to(&mut socket, 0).await?;
    pgvigil.allow_files(Some(200_000)).await?;
    let mut next = 1;
    wait_for("the budget to be over", 2 * PATIENCE, async || {
        // No more than the server may keep in any case.
        if next < 100_000 {
            database.run(&fill(next, next + 999)).await?;
            next += 1000;
        }
        Ok(pgvigil.stderr().contains("log for the replication slot, of a budget of 32.0 MiB").then_some(()))
    })
    .await
    .with_context(|| pgvigil.stderr())?;
    // The log is given back though there is no room yet.
    let end: String = database.value("SELECT pg_current_wal_lsn()::text").await?;
    wait_for("the slot to be given up", PATIENCE, async || {
        let kept = format!("SELECT count(*) = 0 FROM pg_replication_slots WHERE restart_lsn < '{end}'");
        Ok(database.value::<bool>(&kept).await?.then_some(()))
    })
    .await?;
    pgvigil.allow_files(None).await?;
    let gap = timeout(PATIENCE, socket.until("a gap", |event| event["type"] == "gap")).await??;
    ensure!(gap.last().is_some_and(|gap| gap["reason"] == "wal_budget"), "{:?}", gap.last());
    database.run("INSERT INTO item VALUES (-1)").await?;
    up_to(&mut socket, -1).await?;
    pgvigil.wait_for_count("public.item", next + 1).await
}

/// More than waits in memory: nothing is read any more.
async fn a_server_that_is_stopped_does_not_wait_for_room(major: u32) -> Result<()> {
    stopped_while_the_disk_is_full(major, 30_000).await
}

/// All of it was read, and cannot be acknowledged.
async fn one_that_waits_for_the_last_bytes_only_does_not_either(major: u32) -> Result<()> {
    stopped_while_the_disk_is_full(major, 10).await
}
