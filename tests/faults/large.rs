//! Values as large as PostgreSQL takes them, and rows that are larger than it can send.
#![cfg(target_os = "linux")]

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pgvigil::cluster::Cluster;
use serde_json::{Value, json};

use crate::support::{DDL_MESSAGES, Database, Pgvigil, Resources, a_major, cluster_with, options, wait_for};

const LIMITS: [&str; 4] = ["--history-memory", "8MiB", "--max-transaction-memory", "8MiB"];
const CONFIGURED: usize = 16 << 20;
/// The program itself, its threads, and what is on its way from one place to another.
const PROGRAM: usize = 40 << 20;
/// The server reads a large value from its table, decompresses it, and sends it.
const SLOWLY: Duration = Duration::from_secs(240);

async fn documents() -> Result<(Cluster, Database)> {
    let options = options().set("max_wal_size", "8GB").set("logical_decoding_work_mem", "1MB");
    let cluster = cluster_with(a_major(), options).await?;
    let database = Database::create(&cluster, "app").await?;
    let schema = "CREATE TABLE document (id int PRIMARY KEY, body text, other text, note text);
                  ALTER TABLE document REPLICA IDENTITY FULL;
                  CREATE PUBLICATION pgvigil FOR ALL TABLES";
    database.run(schema).await?;
    database.run(DDL_MESSAGES).await?;
    Ok((cluster, database))
}

async fn count_becomes(pgvigil: &Pgvigil, count: i64) -> Result<()> {
    wait_for(&format!("{count} documents"), SLOWLY, async || {
        let table = pgvigil.table("public.document").await?;
        ensure!(table["count"] == count, "{table}");
        Ok(Some(()))
    })
    .await
}

/// The events of this kind, once there are so many.
async fn events(pgvigil: &Pgvigil, kind: &str, expected: usize) -> Result<Vec<Value>> {
    wait_for(&format!("{expected} events"), SLOWLY, async || {
        let page = pgvigil.json(&format!("/api/v1/events?kinds={kind}")).await?;
        let mut events = page["events"].as_array().context("events")?.clone();
        ensure!(events.len() == expected, "{} events", events.len());
        events.reverse();
        Ok(Some(events))
    })
    .await
}

/// In a block of a transaction that still runs, and in a plain one: a message has a field more in the one than in the other.
#[tokio::test]
async fn a_value_longer_than_allowed_is_cut_wherever_it_stands() -> Result<()> {
    const LIMIT: u64 = 50_000;
    let (cluster, database) = documents().await?;
    let pgvigil = Pgvigil::serve(&cluster.url("app"), &["--max-value", &format!("{LIMIT}B")]).await?;
    count_becomes(&pgvigil, 0).await?;
    database.run("INSERT INTO document SELECT n, repeat('x', 60000) FROM generate_series(1, 20) n").await?;
    for (id, length) in [(21, LIMIT + 1), (22, LIMIT)] {
        database.run(&format!("INSERT INTO document VALUES ({id}, repeat('x', {length}), 'small')")).await?;
    }
    for (index, change) in events(&pgvigil, "change", 22).await?.iter().enumerate() {
        let (new, cut, count) = (&change["new"], &change["cut"]["new"]["body"], &change["count"]);
        ensure!(new["id"] == index + 1 && *count == index + 1, "{new} {count}");
        match index {
            0..20 => ensure!(*cut == 60_000 && new.get("body").is_none(), "{change}"),
            20 => ensure!(*cut == LIMIT + 1 && new["other"] == "small", "{change}"),
            _ => ensure!(cut.is_null() && new["body"].as_str().map(str::len) == Some(50_000), "{cut}"),
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_values_near_a_gigabyte_are_cut_in_flat_memory() -> Result<()> {
    const LARGE: u64 = 900 << 20;
    const MEDIUM: u64 = 100 << 20;
    let (cluster, database) = documents().await?;
    let pgvigil = Pgvigil::serve(&cluster.url("app"), &LIMITS).await?;
    count_becomes(&pgvigil, 0).await?;
    database.run(&format!("INSERT INTO document VALUES (1, repeat('x', {LARGE}), 'small', 'first')")).await?;
    // The message is long, but no value of it is.
    database.run("INSERT INTO document VALUES (2, repeat('y', 1000000), repeat('z', 1000000), 'second')").await?;
    database.run(&format!("INSERT INTO document VALUES (3, repeat('x', {MEDIUM}), 'small', 'third')")).await?;
    // The old row comes whole, and with it what has not changed in the new one.
    database.run(&format!("UPDATE document SET body = repeat('x', {MEDIUM} - 1) WHERE id = 3")).await?;
    database.run("UPDATE document SET note = 'noted' WHERE id = 3").await?;
    database.run("DELETE FROM document WHERE id = 1").await?;
    let changes = events(&pgvigil, "change", 6).await?;
    database.run(&format!("SELECT pg_logical_emit_message(true, 'large', repeat('m', {MEDIUM}))")).await?;
    database.run(&format!("SELECT pg_logical_emit_message(false, repeat('p', {MEDIUM}), '')")).await?;
    let messages = events(&pgvigil, "message", 2).await?;
    let resources = Resources::of(pgvigil.pid()?)?;
    println!("at most {} MiB, now {} MiB", resources.peak_memory >> 20, resources.memory >> 20);

    let [first, second, third, shorter, noted, gone] = &changes[..] else { bail!("{} changes", changes.len()) };
    let row = |id: u8, note: &str| json!({"id": id, "other": "small", "note": note});
    ensure!(first["new"] == row(1, "first") && first["cut"] == json!({"old": {}, "new": {"body": LARGE}}), "{first}");
    ensure!((&first["key"], &first["count"]) == (&json!({"id": 1}), &json!(1)), "{first}");
    ensure!(second["new"]["body"].as_str().map(str::len) == Some(1_000_000) && second.get("cut").is_none(), "the second is cut");
    ensure!(third["cut"]["new"]["body"] == MEDIUM && third["count"] == 3, "{third}");
    ensure!(shorter["cut"] == json!({"old": {"body": MEDIUM}, "new": {"body": MEDIUM - 1}}), "{shorter}");
    ensure!(noted["cut"] == json!({"old": {"body": MEDIUM - 1}, "new": {"body": MEDIUM - 1}}), "{noted}");
    ensure!((&noted["unchanged"], &noted["new"]) == (&json!(["body"]), &row(3, "noted")), "{noted}");
    ensure!(gone["old"] == row(1, "first") && gone["old_complete"] == false && gone["count"] == 2, "{gone}");
    let [content, prefix] = &messages[..] else { bail!("{} messages", messages.len()) };
    ensure!(content["content"].is_null() && content["cut"] == json!({"content": MEDIUM}), "{}", content["cut"]);
    ensure!(prefix["cut"] == json!({"prefix": MEDIUM, "content": 0}), "{}", prefix["cut"]);

    // Of a value that is not there, nothing is true.
    let mut filtered = pgvigil.websocket("from=oldest&where=body.not.is.null&kinds=change").await?;
    let passed = filtered.next_of("change").await?;
    ensure!(passed["key"]["id"] == 2, "a filter let {passed} pass");
    ensure!(resources.peak_memory < PROGRAM + CONFIGURED, "{} MiB", resources.peak_memory >> 20);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_a_row_that_the_server_cannot_send_is_left_out_aloud() -> Result<()> {
    let (cluster, database) = documents().await?;
    let pgvigil = Pgvigil::serve(&cluster.url("app"), &LIMITS).await?;
    database.run("INSERT INTO document VALUES (1, 'a', 'b', 'c')").await?;
    count_becomes(&pgvigil, 1).await?;
    // Each of the two values can be sent; the old row and the new one together cannot.
    let half = 540 << 20;
    database.run(&format!("INSERT INTO document VALUES (2, repeat('x', {half}), NULL, 'half')")).await?;
    count_becomes(&pgvigil, 2).await?;
    let mut reader = pgvigil.websocket("kinds=change,status").await?;
    let update = format!("UPDATE document SET other = repeat('y', {half}) WHERE id = 2");
    let reading = async { tokio::time::timeout(SLOWLY, reader.until("a gap", |object| object["type"] == "gap")).await? };
    let ((), read) = tokio::try_join!(database.run(&update), reading)?;
    ensure!(read.last().context("it")?["reason"] == "skipped", "{read:?}");
    let told = |object: &Value| object["reason"].as_str().is_some_and(|reason| reason.contains("cannot send a change"));
    ensure!(read.iter().any(told), "nobody was told why: {read:?}\n{}", pgvigil.stderr());
    // It is counted all the same, and the stream goes on.
    count_becomes(&pgvigil, 2).await?;
    database.run("INSERT INTO document VALUES (3, 'a', 'b', 'c')").await?;
    reader.until("the next change", |object| object["key"]["id"] == 3).await?;
    count_becomes(&pgvigil, 3).await?;
    let tried = pgvigil.stderr().matches("the stream is interrupted").count();
    ensure!(tried == 1, "it was tried {tried} times:\n{}", pgvigil.stderr());
    Ok(())
}
