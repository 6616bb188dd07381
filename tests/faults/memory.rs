//! Memory stays within what is configured, and what clients used comes back.
#![cfg(target_os = "linux")]

use std::env;
use std::time::Duration;

use anyhow::{Result, ensure};
use socket2::SockRef;

use crate::scene::app;
use crate::support::{Database, PATIENCE, Pgvigil, Resources, UPGRADE, a_major, cluster_with, options, wait_for};

const LIMITS: [&str; 4] = ["--history-memory", "8MiB", "--max-transaction-memory", "8MiB"];
const CONFIGURED: usize = 16 << 20;
/// The program itself, its threads, and what is on its way from one place to another.
const PROGRAM: usize = 40 << 20;

/// Rows of a large transaction; `PGVIGIL_TEST_ROWS` may ask for more.
fn rows() -> Result<i64> {
    Ok(env::var("PGVIGIL_TEST_ROWS").map_or(Ok(1_000_000), |rows| rows.parse())?)
}

async fn count_becomes(pgvigil: &Pgvigil, count: i64) -> Result<()> {
    wait_for(&format!("{count} rows"), Duration::from_secs(600), async || {
        let table = pgvigil.table("public.item").await?;
        ensure!(table["count"] == count, "{table}");
        Ok(Some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_a_large_transaction_passes_in_flat_memory() -> Result<()> {
    let cluster = cluster_with(a_major(), options().set("logical_decoding_work_mem", "1MB").set("max_wal_size", "8GB")).await?;
    let database = app(&cluster).await?;
    let pgvigil = Pgvigil::serve(&cluster.url("app"), &LIMITS).await?;
    count_becomes(&pgvigil, 1000).await?;
    let mut reader = pgvigil.websocket("kinds=commit").await?;
    reader.next_of("hello").await?;
    let rows = rows()?;
    let started = std::time::Instant::now();
    database.run(&format!("INSERT INTO item (note) SELECT 'row ' || n FROM generate_series(1, {rows}) n")).await?;
    let written = started.elapsed();
    count_becomes(&pgvigil, 1000 + rows).await?;
    let (took, peak) = (started.elapsed(), Resources::of(pgvigil.pid()?)?.peak_memory);
    println!("{rows} rows in {took:.1?} (written in {written:.1?}), at most {} MiB", peak >> 20);
    ensure!(peak < PROGRAM + CONFIGURED, "{} MiB", peak >> 20);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_a_thousand_that_never_read_cost_bounded_memory() -> Result<()> {
    let cluster = cluster_with(a_major(), options()).await?;
    let database = app(&cluster).await?;
    let pgvigil = Pgvigil::serve(&cluster.url("app"), &LIMITS).await?;
    count_becomes(&pgvigil, 1000).await?;
    let mut stalled = Vec::new();
    // They come one after the other while the history moves on, so that each stalls somewhere else.
    for _ in 0..50 {
        for _ in 0..20 {
            stalled.push(pgvigil.raw(UPGRADE).await?);
        }
        database.run("INSERT INTO item (note) SELECT repeat('x', 1000) FROM generate_series(1, 500)").await?;
    }
    count_becomes(&pgvigil, database.count("item").await?).await?;
    let resources = Resources::of(pgvigil.pid()?)?;
    println!("{} MiB with 1,000 clients that do not read, at most {} MiB", resources.memory >> 20, resources.peak_memory >> 20);
    // 16 KiB are gathered for a write to each of them.
    let clients = 1000 * (32 << 10);
    ensure!(resources.peak_memory < PROGRAM + CONFIGURED + clients, "{} MiB", resources.peak_memory >> 20);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_thousand_clients_used_comes_back() -> Result<()> {
    let cluster = cluster_with(a_major(), options()).await?;
    let database = app(&cluster).await?;
    let pgvigil = Pgvigil::serve(&cluster.url("app"), &LIMITS).await?;
    count_becomes(&pgvigil, 1000).await?;
    come_and_go(&pgvigil, &database, 200).await?;
    let before = settled(&pgvigil).await?;
    come_and_go(&pgvigil, &database, 2000).await?;
    wait_for("descriptors, threads and memory to come back", PATIENCE, async || {
        let after = Resources::of(pgvigil.pid()?)?;
        // Two sessions for counts may be open or not.
        let back = after.descriptors <= before.descriptors + 2 && after.threads <= before.threads;
        ensure!(back && after.memory < before.memory + (8 << 20), "{before:?} became {after:?}");
        Ok(Some(()))
    })
    .await
}

/// Clients of every kind come, and go in every way.
async fn come_and_go(pgvigil: &Pgvigil, database: &Database, clients: usize) -> Result<()> {
    let stream = b"GET /api/v1/stream?from=oldest HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for round in 0..clients / 100 {
        let mut sockets = Vec::new();
        for _ in 0..25 {
            for said in [UPGRADE, stream, b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET / HTT"] {
                sockets.push(pgvigil.raw(said).await?);
            }
        }
        database.run("INSERT INTO item (note) VALUES ('for them to read')").await?;
        for socket in sockets.iter().skip(round % 2).step_by(2) {
            // Not closed but reset.
            SockRef::from(socket).set_linger(Some(Duration::ZERO))?;
        }
    }
    Ok(())
}

async fn settled(pgvigil: &Pgvigil) -> Result<Resources> {
    wait_for("every client to be gone", PATIENCE, async || {
        let clients = pgvigil.json("/api/v1/status").await?["clients"].clone();
        ensure!(clients == 0, "{clients}");
        Ok(Some(()))
    })
    .await?;
    Resources::of(pgvigil.pid()?)
}
