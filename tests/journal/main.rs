//! With `--data-dir` nothing that happened is forgotten: not when it leaves the memory, not when pgvigil ends, and not when it is killed.

#[path = "../support/mod.rs"]
mod support;

mod fairness;
mod history;
mod past;
mod questions;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use pgvigil::history::journal::verify;
use serde_json::Value;
use support::{DDL_MESSAGES, Database, PATIENCE, Pgvigil, WebSocket, a_major, cluster, wait_for};
use tempfile::TempDir;
use tokio::time::timeout;

const SCHEMA: &str = "CREATE TABLE item (id int PRIMARY KEY, name text); ALTER TABLE item REPLICA IDENTITY FULL; CREATE PUBLICATION pgvigil FOR ALL TABLES";

async fn serve(url: &str, dir: &Path, more: &[&str]) -> Result<Pgvigil> {
    let dir = dir.to_str().context("a path")?;
    Pgvigil::serve(url, &[&["--data-dir", dir], more].concat()).await
}

/// What comes, up to the change that inserts the row of this id.
async fn up_to(socket: &mut WebSocket, id: i64) -> Result<Vec<Value>> {
    let is_it = |event: &Value| event["type"] == "change" && event["new"]["id"] == id;
    timeout(PATIENCE, socket.until("the row", is_it)).await.with_context(|| format!("row {id} did not come"))?
}

/// The ids of the rows that were inserted, in the order in which they were told.
fn inserted(events: &[Value]) -> Vec<i64> {
    events.iter().filter(|event| event["op"] == "insert").filter_map(|event| event["new"]["id"].as_i64()).collect()
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_before_a_restart_is_told_and_can_be_undone() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    database.run(DDL_MESSAGES).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);

    let mut pgvigil = serve(&url, dir.path(), &[]).await?;
    let mut socket = pgvigil.websocket("kinds=change").await?;
    socket.next_of("hello").await?;
    database.run("INSERT INTO item VALUES (1, 'one')").await?;
    let first = up_to(&mut socket, 1).await?;
    // From the oldest on, while all of it is still in memory.
    let mut oldest = pgvigil.websocket("kinds=change&from=oldest").await?;
    ensure!(inserted(&up_to(&mut oldest, 1).await?) == [1]);
    let seen = first.last().and_then(|change| change["id"].as_str()).context("an id")?.to_owned();
    database.run("INSERT INTO item VALUES (2, 'two')").await?;
    database.run("DELETE FROM item WHERE id = 1").await?;
    let deleted = timeout(PATIENCE, socket.until("the delete", |event| event["op"] == "delete")).await??;
    let deleted = deleted.last().context("the delete")?.clone();
    ensure!(pgvigil.stop().await?.success());
    // Nobody watches.
    database.run("INSERT INTO item VALUES (3, 'three')").await?;

    let pgvigil = serve(&url, dir.path(), &[]).await?;
    // Who has seen the first row is told what came after it, then that something is missing, then what is new.
    let mut socket = pgvigil.websocket(&format!("kinds=change&from={seen}")).await?;
    database.run("INSERT INTO item VALUES (4, 'four')").await?;
    let told = up_to(&mut socket, 4).await?;
    ensure!(inserted(&told) == [2, 4], "{told:?}");
    ensure!(told.contains(&deleted), "{told:?}");
    let gaps = of_kind(&told, "gap");
    ensure!(gaps.len() == 1 && gaps[0]["reason"] == "restart", "{gaps:?}");
    let is_gap = |event: &Value| event["type"] == "gap";
    let (gap, two) = (told.iter().position(is_gap), told.iter().position(|event| event["new"]["id"] == 2));
    ensure!(two < gap, "{told:?}");
    // Who has seen nothing, likewise.
    let mut socket = pgvigil.websocket("kinds=change&from=oldest").await?;
    let all = up_to(&mut socket, 4).await?;
    ensure!(inserted(&all) == [1, 2, 4] && of_kind(&all, "gap").len() == 1, "{all:?}");

    // Questions, and undo, reach back as well.
    let page = pgvigil.json("/api/v1/events?op=delete&table=public.item").await?;
    ensure!(page["events"].as_array().is_some_and(|events| events.contains(&deleted)), "{page}");
    let tx = deleted["tx"]["id"].as_str().context("a transaction")?;
    let transaction = pgvigil.json(&format!("/api/v1/transactions/{tx}")).await?;
    ensure!(transaction["complete"] == true, "{transaction}");
    let undo = pgvigil.json(&format!("/api/v1/transactions/{tx}/undo")).await?;
    let sql = undo["sql"].as_str().context("it can be undone")?;
    database.run(sql).await?;
    ensure!(database.count("item WHERE id = 1 AND name = 'one'").await? == 1, "{sql}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_before_a_kill_is_there_after_it() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let mut recorded = Vec::new();
    for round in 0..4 {
        let mut pgvigil = serve(&url, dir.path(), &[]).await?;
        let mut socket = pgvigil.websocket("kinds=change&from=oldest").await?;
        for number in 0..30 {
            database.run(&format!("INSERT INTO item VALUES ({}, 'x')", round * 100 + number)).await?;
        }
        let told = up_to(&mut socket, round * 100 + 29).await?;
        // What was recorded is told again, in order and once; of what was not, nothing is.
        let ids = inserted(&told);
        ensure!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
        ensure!(ids.starts_with(&recorded), "{recorded:?} was recorded, {ids:?} is told");
        // What is on disk is what the journal itself says.
        let last = wait_for("the journal", PATIENCE, async || {
            let report = verify(dir.path())?;
            Ok((report.events >= 60 + 60 * u64::try_from(round)?).then_some(report))
        })
        .await?;
        ensure!(last.faults.iter().all(|fault| fault.is_tail), "{:?}", last.faults);
        recorded = ids;
        pgvigil.kill().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_room_in_memory_is_read_from_disk() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let pgvigil = serve(&url, dir.path(), &["--history-memory", "1MiB"]).await?;
    let mut live = pgvigil.websocket("kinds=change").await?;
    live.next_of("hello").await?;
    database.run("INSERT INTO item VALUES (0, 'first'); DELETE FROM item").await?;
    // Many transactions, then one that is many times larger than the memory.
    for round in 0..20 {
        let from = 1 + round * 500;
        database
            .run(&format!("INSERT INTO item SELECT i, repeat('x', 200) FROM generate_series({from}, {}) i", from + 499))
            .await?;
    }
    database.run("INSERT INTO item SELECT i, repeat('x', 200) FROM generate_series(10001, 30000) i").await?;
    database.run("INSERT INTO item VALUES (30001, 'last')").await?;
    let expected: Vec<i64> = (0..=30_001).collect();
    // Nobody is told a gap: not who follows, however slowly, and not who comes later.
    let told = up_to(&mut live, 30_001).await?;
    ensure!(of_kind(&told, "gap").is_empty(), "{:?}", of_kind(&told, "gap"));
    ensure!(inserted(&told) == expected, "{} rows were told", inserted(&told).len());
    let mut late = pgvigil.websocket("kinds=change&from=oldest").await?;
    let told = up_to(&mut late, 30_001).await?;
    ensure!(of_kind(&told, "gap").is_empty(), "{:?}", of_kind(&told, "gap"));
    ensure!(inserted(&told) == expected, "{} rows were told", inserted(&told).len());
    // A question finds what is long out of memory.
    let page = pgvigil.json("/api/v1/events?op=delete&table=public.item").await?;
    ensure!(page["events"].as_array().is_some_and(|events| events.iter().any(|event| event["op"] == "delete")), "{page}");
    let first = pgvigil.json("/api/v1/events?kinds=change&limit=1&where=id.eq.5").await?;
    ensure!(first["events"][0]["new"]["id"] == 5, "{first}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_of_one_process_and_one_database() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    for name in ["app", "other"] {
        let database = Database::create(&cluster, name).await?;
        database.run(SCHEMA).await?;
    }
    let dir = TempDir::new()?;
    let mut pgvigil = serve(&cluster.url("app"), dir.path(), &[]).await?;
    let path = dir.path().to_str().context("a path")?;
    let refused = async |name: &str, why: &str| {
        let mut second = Pgvigil::spawn(&cluster.url(name), &["serve", "--listen", "127.0.0.1:0", "--data-dir", path])?;
        let status = second.wait(PATIENCE).await?;
        ensure!(!status.success(), "{}", second.stderr());
        // What it said last is still on its way.
        let said = wait_for("what it says", PATIENCE, async || Ok(second.stderr().contains(why).then_some(()))).await;
        said.with_context(|| second.stderr())
    };
    refused("app", "is used by another pgvigil").await?;
    pgvigil.stop().await?;
    refused("other", "holds the history of database \"app\"").await?;
    serve(&cluster.url("app"), dir.path(), &[]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_room_nothing_is_lost_and_it_goes_on_by_itself() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let mut pgvigil = serve(&url, dir.path(), &["--slot", "full", "--allow-unbounded-wal"]).await?;
    let mut socket = pgvigil.websocket("kinds=change").await?;
    socket.next_of("hello").await?;
    database.run("INSERT INTO item VALUES (0, 'x')").await?;
    up_to(&mut socket, 0).await?;
    pgvigil.allow_files(Some(200_000)).await?;
    // More than is allowed, and than waits in memory.
    for round in 0..60 {
        let from = 1 + round * 500;
        database
            .run(&format!("INSERT INTO item SELECT i, repeat(md5(i::text), 30) FROM generate_series({from}, {}) i", from + 499))
            .await?;
    }
    wait_for("the state to say so", PATIENCE, async || {
        let status = pgvigil.json("/api/v1/status").await?;
        Ok(status["reason"].as_str().is_some_and(|reason| reason.contains("make room there")).then_some(()))
    })
    .await?;
    // The server is still answered, and what is not recorded not acknowledged.
    let confirmed =
        "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint FROM pg_replication_slots WHERE active";
    ensure!(database.value::<i64>(confirmed).await? > 10_000_000);
    pgvigil.allow_files(None).await?;
    let told = up_to(&mut socket, 30_000).await?;
    ensure!(
        of_kind(&told, "gap").is_empty() && inserted(&told) == (1..=30_000).collect::<Vec<i64>>(),
        "{} rows",
        inserted(&told).len()
    );
    pgvigil.wait_for_state("live").await?;
    wait_for("all of it to be recorded", PATIENCE, async || {
        Ok((database.value::<i64>(confirmed).await? < 1_000_000).then_some(()))
    })
    .await?;
    // And it ends when it is told to, room or not.
    pgvigil.allow_files(Some(200_000)).await?;
    database.run("INSERT INTO item SELECT i, repeat(md5(i::text), 30) FROM generate_series(30001, 31000) i").await?;
    up_to(&mut socket, 31_000).await?;
    pgvigil.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_on_disk_is_told_and_read_on_behind() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    // Each time it is started behind a complete file it begins another; a file is complete where it is damaged.
    for round in 0..3 {
        let mut pgvigil = serve(&url, dir.path(), &[]).await?;
        let mut socket = pgvigil.websocket("kinds=change").await?;
        socket.next_of("hello").await?;
        // Some commits, one behind the other: of a single one at the end nobody can say that it was not being written.
        for commit in 0..4_u64 {
            let before = verify(dir.path())?.events;
            for number in 1..=10 {
                database
                    .run(&format!("INSERT INTO item VALUES ({}, 'x')", round * 100 + i64::try_from(commit)? * 10 + number))
                    .await?;
            }
            wait_for("it to be recorded", PATIENCE, async || Ok((verify(dir.path())?.events >= before + 20).then_some(())))
                .await?;
        }
        up_to(&mut socket, round * 100 + 40).await?;
        pgvigil.stop().await?;
        let mut files: Vec<_> =
            std::fs::read_dir(dir.path())?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == "journal"));
        files.sort();
        let newest = files.last().context("a file")?;
        let mut bytes = std::fs::read(newest)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(newest, bytes)?;
    }
    let pgvigil = serve(&url, dir.path(), &[]).await?;
    ensure!(pgvigil.stderr().contains("the journal is damaged"), "{}", pgvigil.stderr());
    let mut socket = pgvigil.websocket("kinds=change&from=oldest").await?;
    database.run("INSERT INTO item VALUES (1000, 'x')").await?;
    let told = up_to(&mut socket, 1000).await?;
    let rows = inserted(&told);
    // Of every round something is there, and something is missing, which is said.
    for round in 0..3 {
        let of_round = rows.iter().filter(|row| **row / 100 == round).count();
        ensure!((1..40).contains(&of_round), "{rows:?}");
    }
    ensure!(rows.is_sorted() && rows.last() == Some(&1000), "{rows:?}");
    ensure!(of_kind(&told, "gap").len() >= 3, "{:?}", of_kind(&told, "gap"));
    Ok(())
}
