//! What becomes of the slot, and what is said of it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgvigil::cluster::Mode;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{Database, PATIENCE, Pgvigil, WebSocket, a_major, cluster, majors, wait_for};
use crate::{SCHEMA, bounded, serve};

pub(crate) async fn up_to(socket: &mut WebSocket, row: i64) -> Result<Vec<Value>> {
    let is_it = |event: &Value| event["type"] == "change" && event["new"]["id"] == row;
    timeout(PATIENCE, socket.until("the row", is_it)).await.with_context(|| format!("row {row} did not come"))?
}

/// Rows that were told, with the reasons of gaps between them.
pub(crate) fn told(events: &[Value]) -> Vec<String> {
    let tell = |event: &Value| match event["type"].as_str() {
        Some("change") => Some(event["new"]["id"].to_string()),
        Some("gap") => event["reason"].as_str().map(str::to_owned),
        _ => None,
    };
    events.iter().filter_map(tell).collect()
}

/// Watches, ends, has `meanwhile` done, and watches again; gives what someone is told who was there before.
async fn interrupted(meanwhile: &str) -> Result<Vec<String>> {
    let cluster = bounded(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let mut pgvigil = serve(&url, &dir, &[]).await?;
    let mut socket = pgvigil.websocket("kinds=change").await?;
    socket.next_of("hello").await?;
    database.run("INSERT INTO item VALUES (1)").await?;
    let seen = up_to(&mut socket, 1).await?;
    let last = seen.last().and_then(|event| event["id"].as_str()).context("an id")?.to_owned();
    pgvigil.stop().await?;
    for statement in meanwhile.split(';') {
        database.run(statement).await?;
    }
    database.run("INSERT INTO item VALUES (2)").await?;
    let pgvigil = serve(&url, &dir, &[]).await?;
    let mut socket = pgvigil.websocket(&format!("kinds=change&from={last}")).await?;
    database.run("INSERT INTO item VALUES (3)").await?;
    let events = told(&up_to(&mut socket, 3).await?);
    pgvigil.wait_for_count("public.item", database.count("item").await?).await?;
    let slots: i64 = database.value("SELECT count(*) FROM pg_replication_slots").await?;
    ensure!(slots == 1, "{slots} slots");
    Ok(events)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_nobody_watches_is_told() -> Result<()> {
    let told = interrupted("SELECT 1").await?;
    ensure!(told == ["2", "3"], "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_gone_is_a_gap() -> Result<()> {
    let told = interrupted("SELECT pg_drop_replication_slot('durable')").await?;
    ensure!(told == ["slot_lost", "3"], "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_someone_else_read_from_is_a_gap() -> Result<()> {
    let told = interrupted(
        "INSERT INTO item VALUES (-1); \
         SELECT count(*) FROM pg_logical_slot_get_binary_changes('durable', NULL, NULL, 'proto_version', '1', 'publication_names', 'pgvigil')",
    )
    .await?;
    ensure!(told == ["slot_moved", "3"], "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_the_server_let_go_of_is_a_gap() -> Result<()> {
    let told = interrupted(
        "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'; SELECT pg_reload_conf(); SELECT pg_switch_wal(); \
         INSERT INTO item SELECT i FROM generate_series(100, 200) i; SELECT pg_switch_wal(); \
         INSERT INTO item SELECT i FROM generate_series(300, 400) i; SELECT pg_switch_wal(); CHECKPOINT; CHECKPOINT",
    )
    .await?;
    ensure!(told == ["slot_invalidated", "3"], "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_nothing_bounds_and_one_of_somebody_else_are_refused() -> Result<()> {
    // Before 17 no slot is kept by standbys.
    let major = majors().into_iter().find(|major| *major < 17).context("none of the versions to be tested is older than 17")?;
    let cluster = cluster(major).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let path = dir.path().to_str().context("a path")?;
    let refused = async |more: &[&str], code: i32, why: &str| {
        let mut pgvigil = Pgvigil::spawn(
            &url,
            &[&["serve", "--listen", "127.0.0.1:0", "--data-dir", path, "--slot", "durable"], more].concat(),
        )?;
        let status = pgvigil.wait(PATIENCE).await?;
        ensure!(status.code() == Some(code), "{status}: {}", pgvigil.stderr());
        // What it said last is still on its way.
        let said = wait_for("what it says", PATIENCE, async || Ok(pgvigil.stderr().contains(why).then_some(()))).await;
        said.with_context(|| pgvigil.stderr())
    };
    refused(&[], 4, "ALTER SYSTEM SET max_slot_wal_keep_size").await?;
    let slots: i64 = database.value("SELECT count(*) FROM pg_replication_slots").await?;
    ensure!(slots == 0, "nothing is made");
    database.run("SELECT pg_create_logical_replication_slot('durable', 'pgoutput')").await?;
    refused(&[], 4, "pgvigil slots --drop durable").await?;
    database.run("SELECT pg_drop_replication_slot('durable')").await?;
    database.run("SELECT pg_create_physical_replication_slot('durable')").await?;
    refused(&["--allow-unbounded-wal"], 4, "Name another with --slot").await?;
    database.run("SELECT pg_drop_replication_slot('durable')").await?;
    refused(&["--allow-unbounded-wal", "--failover"], 4, "keeps no replication slots on standbys").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_costs_the_server_too_much_is_let_go_of() -> Result<()> {
    let cluster = bounded(a_major()).await?;
    let mut database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let pgvigil = serve(&url, &dir, &["--wal-budget", "16MiB"]).await?;
    // Someone holds back the log: a transaction that began before all of it.
    let other = Database::connect(&url).await?;
    let open = database.client().transaction().await?;
    open.batch_execute("INSERT INTO item VALUES (1)").await?;
    let half = wait_for("more than half of the budget", PATIENCE, async || {
        write_much(&other).await?;
        let status = pgvigil.json("/api/v1/status").await?;
        let reason = status["reason"].as_str().unwrap_or_default();
        Ok((status["state"] == "live" && reason.contains("of a budget of 16.0 MiB")).then_some(()))
    });
    half.await.with_context(|| pgvigil.stderr())?;
    // It has to stand still for a while, since a slot that moves comes back by itself.
    let said = wait_for("the budget to be over", 2 * PATIENCE, async || {
        // Once it is over there is no slot.
        if held(&pgvigil).await.is_ok_and(|bytes| bytes < 24 << 20) {
            write_much(&other).await?;
        }
        Ok(pgvigil.stderr().contains("log for the replication slot, of a budget of 16.0 MiB").then_some(()))
    });
    said.await.with_context(|| pgvigil.stderr())?;
    ensure!(pgvigil.stderr().contains("at 16.0 MiB pgvigil lets go of it"), "nobody was warned: {}", pgvigil.stderr());
    open.rollback().await?;
    let mut socket = pgvigil.websocket("table=public.item&from=oldest").await?;
    let is_gap = |event: &Value| event["type"] == "gap";
    let events = timeout(Duration::from_secs(60), socket.until("a gap", is_gap)).await??;
    let gap = events.last().context("a gap")?;
    ensure!(gap["reason"] == "wal_budget", "{gap}");
    other.run("INSERT INTO item VALUES (2)").await?;
    up_to(&mut socket, 2).await?;
    Ok(())
}

/// What the status says that the slot makes the server keep.
async fn held(pgvigil: &Pgvigil) -> Result<u64> {
    let status = pgvigil.json("/api/v1/status").await?;
    status["slot"]["retained_bytes"].as_u64().with_context(|| format!("no slot: {status}"))
}

/// Some more of the server's log.
async fn write_much(database: &Database) -> Result<()> {
    database.run("CREATE TABLE IF NOT EXISTS filler (t text)").await?;
    database.run("INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 2000)").await
}

/// More than the budget is written within the time in which a slot that keeps up moves, and by others.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_database_with_busy_neighbours_holds_nothing() -> Result<()> {
    let cluster = bounded(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let neighbour = Database::create(&cluster, "neighbour").await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let pgvigil = serve(&url, &dir, &["--wal-budget", "16MiB"]).await?;
    let mut socket = pgvigil.websocket("kinds=change").await?;
    let before = pgvigil.wait_for_state("live").await?["epoch"].clone();
    wait_for("it to be more than the budget", PATIENCE, async || {
        write_much(&neighbour).await?;
        Ok((held(&pgvigil).await? > 40 << 20).then_some(()))
    })
    .await?;
    let end: String = database.value("SELECT pg_current_wal_lsn()::text").await?;
    wait_for("the slot to move on", 2 * PATIENCE, async || {
        neighbour.run("INSERT INTO filler VALUES ('x')").await?;
        let moved = format!("SELECT restart_lsn > '{end}' AND confirmed_flush_lsn > '{end}' FROM pg_replication_slots");
        Ok(database.value::<bool>(&moved).await?.then_some(()))
    })
    .await?;
    wait_for("the status to say so", PATIENCE, async || Ok((held(&pgvigil).await? < 16 << 20).then_some(()))).await?;
    database.run("INSERT INTO item VALUES (1)").await?;
    let events = told(&up_to(&mut socket, 1).await?);
    ensure!(events == ["1"], "{events:?}: {}", pgvigil.stderr());
    ensure!(pgvigil.wait_for_state("live").await?["epoch"] == before, "{}", pgvigil.stderr());
    ensure!(!pgvigil.stderr().contains("The slot is dropped"), "{}", pgvigil.stderr());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_restored_from_a_backup_is_a_gap() -> Result<()> {
    let mut cluster = bounded(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let (url, dir, backup) = (cluster.url("app"), TempDir::new()?, TempDir::new()?);
    let mut pgvigil = serve(&url, &dir, &[]).await?;
    let mut socket = pgvigil.websocket("kinds=change&from=oldest").await?;
    database.run("INSERT INTO item VALUES (1)").await?;
    up_to(&mut socket, 1).await?;
    let kept = backup.path().join("data");
    cluster.stop(Mode::Fast).await?;
    copy(&cluster.data_dir(), &kept).await?;
    cluster.resume().await?;
    let database = Database::connect(&url).await?;
    database.run("INSERT INTO item SELECT i, 1, repeat('x', 100) FROM generate_series(2, 5000) i").await?;
    let seen = up_to(&mut socket, 5_000).await?;
    let last = seen.last().and_then(|event| event["id"].as_str()).context("an id")?.to_owned();
    pgvigil.stop().await?;

    cluster.stop(Mode::Fast).await?;
    std::fs::remove_dir_all(cluster.data_dir())?;
    copy(&kept, &cluster.data_dir()).await?;
    cluster.resume().await?;
    let database = Database::connect(&url).await?;
    let pgvigil = serve(&url, &dir, &[]).await?;
    let mut socket = pgvigil.websocket(&format!("kinds=change&from={last}")).await?;
    database.run("INSERT INTO item VALUES (6000)").await?;
    let events = told(&up_to(&mut socket, 6_000).await?);
    ensure!(events == ["server_rewound", "6000"], "{events:?}");
    pgvigil.wait_for_count("public.item", 2).await
}

/// A folder with all that is in it, and whose it is.
async fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().await?;
    ensure!(copied.success(), "{} could not be copied", from.display());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_are_listed_and_dropped_when_nobody_uses_them() -> Result<()> {
    let cluster = bounded(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let slots = async |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgvigil"));
        let output = command.args(["slots", "--database-url", &url]).args(arguments).output().await?;
        let [out, error] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        anyhow::Ok((output.status.success(), out, error))
    };
    let (_, none, _) = slots(&[]).await?;
    ensure!(none.contains("No slot of this server"), "{none}");
    let neighbour = Database::create(&cluster, "neighbour").await?;
    neighbour.run("SELECT pg_create_logical_replication_slot('beside', 'pgoutput')").await?;
    let mut pgvigil = serve(&url, &dir, &[]).await?;
    let (_, used, _) = slots(&[]).await?;
    let is_listed = |name: &str, database: &str| used.lines().any(|line| line.split_whitespace().take(2).eq([name, database]));
    ensure!(is_listed("durable", "app") && is_listed("beside", "neighbour"), "{used}");
    ensure!(used.contains("durable") && used.contains("pgvigil (process"), "{used}");
    let (dropped, _, error) = slots(&["--drop", "durable"]).await?;
    ensure!(!dropped && error.contains("end that pgvigil first"), "{error}");
    pgvigil.stop().await?;
    let (_, json, _) = slots(&["--json"]).await?;
    let json: Value = serde_json::from_str(&json)?;
    ensure!(json[0]["name"] == "durable" && json[0]["active_pid"].is_null(), "{json}");
    ensure!(json[1]["name"] == "beside" && json[1]["database"] == "neighbour", "{json}");
    let (dropped, out, error) = slots(&["--drop", "beside"]).await?;
    ensure!(dropped && out.starts_with("Dropped beside of neighbour"), "{out}{error}");
    let (dropped, out, error) = slots(&["--drop", "durable"]).await?;
    ensure!(dropped && out.starts_with("Dropped durable of app, which held back"), "{out}{error}");
    let (dropped, _, error) = slots(&["--drop", "durable"]).await?;
    ensure!(!dropped && error.contains("has no slot \"durable\""), "{error}");
    Ok(())
}
