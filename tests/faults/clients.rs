//! Faults between pgvigil and its clients: whatever one of them does, the others get everything, and so does pgvigil.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use futures_util::SinkExt;

use crate::bystander::Bystander;
use crate::scene::{TABLES, app};
use crate::support::{Database, Direction, Flow, PATIENCE, Pgvigil, Proxy, Resources, UPGRADE, a_major, cluster, wait_for};

/// A history that a few seconds of changes go through.
const SMALL: [&str; 2] = ["--history-memory", "8MiB"];
/// More than that history holds, and more than the kernel keeps for a client that does not read.
const TRANSACTIONS: usize = 60;
const ROWS: usize = 100;

/// Inserts three times as many bytes as the history holds.
async fn insert_much(database: &Database) -> Result<()> {
    for _ in 0..TRANSACTIONS {
        database.run(&format!("INSERT INTO item (note) SELECT repeat('x', 5000) FROM generate_series(1, {ROWS})")).await?;
    }
    Ok(())
}

/// Everything that [`insert_much`] did came, once.
async fn heard_it_all(bystander: &Bystander) -> Result<()> {
    wait_for("every change", PATIENCE, async || {
        let heard = bystander.times("change");
        ensure!(heard >= TRANSACTIONS * ROWS, "{heard} changes came");
        Ok(Some(()))
    })
    .await?;
    ensure!(bystander.times("gap") == 0, "a gap came");
    ensure!(bystander.times("change") == TRANSACTIONS * ROWS, "something came twice");
    bystander.was_never_misled(TABLES.len())
}

async fn clients(pgvigil: &Pgvigil, expected: usize) -> Result<()> {
    wait_for(&format!("{expected} clients"), PATIENCE, async || {
        let clients = pgvigil.json("/api/v1/status").await?["clients"].clone();
        ensure!(clients == expected, "{clients}");
        Ok(Some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_that_never_read_cost_one_that_reads_nothing() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = app(&cluster).await?;
    let pgvigil = Pgvigil::serve(&cluster.url("app"), &SMALL).await?;
    pgvigil.wait_for_count("public.item", 1000).await?;
    let bystander = Bystander::of(pgvigil.websocket("").await?).await?;
    let mut stalled = Vec::new();
    for _ in 0..200 {
        stalled.push(pgvigil.raw(UPGRADE).await?);
    }
    clients(&pgvigil, 201).await?;
    insert_much(&database).await?;
    heard_it_all(&bystander).await?;
    // They are closed in the end, though they never said a word.
    clients(&pgvigil, 1).await?;
    pgvigil.wait_for_count("public.item", database.count("item").await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_falls_behind_is_told_one_gap_and_fresh_counts() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = app(&cluster).await?;
    let pgvigil = Pgvigil::serve(&cluster.url("app"), &SMALL).await?;
    pgvigil.wait_for_count("public.item", 1000).await?;
    let mut sleeper = pgvigil.websocket("kinds=change,counts").await?;
    sleeper.next_of("hello").await?;
    insert_much(&database).await?;
    pgvigil.wait_for_count("public.item", database.count("item").await?).await?;

    // It wakes up.
    database.run("INSERT INTO item (note) VALUES ('the last')").await?;
    let mut heard = sleeper.until("the last row", |object| object["new"]["note"] == "the last").await?;
    let rows = database.count("item").await?;
    let item = |object: &Value| object["tables"].as_array().into_iter().flatten().find(|table| table["name"] == "item").cloned();
    let fresh = |object: &Value| item(object).is_some_and(|item| item["count"] == rows);
    heard.extend(sleeper.until("the last count", fresh).await?);
    let gaps: Vec<_> = heard.iter().enumerate().filter(|(_, object)| object["type"] == "gap").collect();
    let [(place, gap)] = gaps[..] else { anyhow::bail!("{} gaps: {gaps:?}", gaps.len()) };
    ensure!(gap["reason"] == "evicted", "{gap}");
    let (before, after) = heard.split_at(place);
    let last_before = before.iter().rev().find(|object| object["type"] == "change").context("nothing came before the gap")?;
    ensure!(gap["from"] == last_before["id"], "the gap begins elsewhere than the client stood: {gap} after {last_before}");
    let counts = after.iter().find(|object| object["type"] == "counts").context("no counts after the gap")?;
    ensure!(counts["tables"].as_array().is_some_and(|tables| tables.len() == TABLES.len()), "not all counts: {counts}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_networks_of_some_are_not_felt_by_others() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = app(&cluster).await?;
    let pgvigil = Pgvigil::serve(&cluster.url("app"), &SMALL).await?;
    pgvigil.wait_for_count("public.item", 1000).await?;
    let bystander = Bystander::of(pgvigil.websocket("").await?).await?;
    let port = pgvigil.address().rsplit_once(':').context("a port")?.1.parse()?;
    let faults = [
        (Direction::ToClient, Flow::Trickle { bytes: 50, every: Duration::from_millis(10) }),
        (Direction::ToClient, Flow::CutAfter(100_000)),
        (Direction::ToClient, Flow::HalfClose),
        (Direction::ToClient, Flow::Silence),
        (Direction::ToServer, Flow::HalfClose),
        (Direction::ToServer, Flow::Silence),
    ];
    let mut victims = Vec::new();
    for (direction, flow) in faults {
        let proxy = Proxy::start(port).await?;
        for _ in 0..5 {
            let mut client = crate::support::WebSocket::connect(&format!("ws://127.0.0.1:{}/api/v1/ws", proxy.port())).await?;
            client.next_of("hello").await?;
            // They read whatever reaches them.
            victims.push(tokio::spawn(async move { while let Ok(Some(_)) = client.next().await {} }));
        }
        proxy.set(direction, flow);
        victims.push(tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(proxy);
        }));
    }
    insert_much(&database).await?;
    heard_it_all(&bystander).await?;
    victims.iter().for_each(tokio::task::JoinHandle::abort);
    clients(&pgvigil, 1).await
}

#[tokio::test]
async fn errors_of_one_are_told_to_that_one_alone() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = app(&cluster).await?;
    let pgvigil = Pgvigil::serve(&cluster.url("app"), &[]).await?;
    pgvigil.wait_for_count("public.item", 1000).await?;
    let bystander = Bystander::of(pgvigil.websocket("").await?).await?;
    let mut wrong = pgvigil.websocket("table=public.item&kinds=change").await?;
    for mistake in [
        json!({"type": "subscribe", "table": 7}),
        json!({"type": "subscribe", "where": "note.resembles.x"}),
        json!({"type": "subscribe", "tabel": "item"}),
        json!({"type": "drop"}),
        json!([[[[]]]]),
    ] {
        wrong.send(&mistake).await?;
        wrong.next_of("error").await?;
    }
    // It keeps what it had asked for.
    database.run("INSERT INTO visit (item) VALUES (1); INSERT INTO item (note) VALUES ('after the errors')").await?;
    let change = wrong.next_of("change").await?;
    ensure!(change["new"]["note"] == "after the errors", "{change}");
    wrong.socket().send(Message::binary(vec![0; 10])).await?;
    wrong.until("the end", |_| false).await.err().context("it goes on after nonsense")?;
    wait_for("the others' changes", PATIENCE, async || Ok((bystander.times("change") == 2).then_some(()))).await?;
    ensure!(bystander.heard(&["error", "gap"]).is_empty(), "it was told of another's mistakes");
    Ok(())
}

/// Whatever a client has asked to be told, and not to be told: where nothing happens, nothing is done for it.
#[tokio::test]
async fn idle_ones_cost_no_time() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    app(&cluster).await?;
    let pgvigil = Pgvigil::serve(&cluster.url("app"), &[]).await?;
    pgvigil.wait_for_count("public.item", 1000).await?;
    let mut clients = Vec::new();
    for kinds in ["change", "counts", "commit,ddl", "alert", "status", "running", "message", "change,counts,status"] {
        let mut client = pgvigil.websocket(&format!("kinds={kinds}")).await?;
        client.next_of("hello").await?;
        clients.push(client);
    }
    let mut clock = pgvigil.websocket("kinds=status").await?;
    let before = Resources::of(pgvigil.pid()?)?.cpu;
    for _beat in 0..4 {
        clock.next_of("status").await?;
    }
    let used = Resources::of(pgvigil.pid()?)?.cpu - before;
    // One task that does not rest has all of a CPU, or on a busy machine a good part of it: 3 s here.
    ensure!(used < Duration::from_millis(600), "{used:?} of CPU time in 3 s of idleness");
    Ok(())
}
