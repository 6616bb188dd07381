//! Counts as they were, at any position and time, and minute by minute: compared with what the database itself said then.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use pgvigil::lsn::Lsn;
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::serve;
use crate::support::{self, DDL_MESSAGES, Database, PATIENCE, Pgvigil, a_major, cluster, cluster_with, options, wait_for};

const SCHEMA: &str = "
    CREATE TABLE item (id int PRIMARY KEY);
    CREATE TABLE part (id int PRIMARY KEY) PARTITION BY RANGE (id);
    CREATE TABLE part_low PARTITION OF part FOR VALUES FROM (0) TO (100);
    CREATE TABLE part_high PARTITION OF part FOR VALUES FROM (100) TO (200);
    CREATE PUBLICATION pgvigil FOR ALL TABLES";

/// What the database said.
#[derive(Clone, Debug)]
struct Moment {
    lsn: Lsn,
    time: String,
    item: i64,
    part: i64,
}

impl Moment {
    async fn now(database: &Database) -> Result<Self> {
        let sql = "SELECT pg_current_wal_insert_lsn()::text, (SELECT count(*) FROM item), (SELECT count(*) FROM part), \
                   to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
        let rows = database.rows(sql, &[]).await?;
        let row = rows.first().context("a row")?;
        let lsn: String = row.get(0);
        Ok(Moment { lsn: lsn.parse()?, item: row.get(1), part: row.get(2), time: row.get(3) })
    }
}

const ACTS: [&str; 8] = [
    "INSERT INTO item SELECT generate_series(1, 7)",
    "INSERT INTO part SELECT generate_series(90, 109)",
    "DELETE FROM item WHERE id = 3",
    "BEGIN; DELETE FROM part WHERE id < 95; INSERT INTO item VALUES (50), (51); COMMIT",
    "TRUNCATE part_high",
    "UPDATE item SET id = id + 1000",
    "DELETE FROM item",
    "INSERT INTO item SELECT generate_series(1, 5)",
];

/// The same again, with nothing in it.
const EMPTY: &str = "TRUNCATE item, part";

/// The answer, once the stream is there.
async fn asked(pgvigil: &Pgvigil, path: &str) -> Result<(StatusCode, Value)> {
    wait_for(path, PATIENCE, async || {
        let answer = pgvigil.get(path).await?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        Ok((status != StatusCode::SERVICE_UNAVAILABLE).then_some((status, body)))
    })
    .await
}

fn table<'a>(tables: &'a Value, name: &str) -> Result<&'a Value> {
    let mut tables = tables["tables"].as_array().into_iter().flatten();
    tables.find(|table| table["name"] == name).with_context(|| format!("no {name}"))
}

/// Asks for these moments, by position and by time.
async fn ask_for(pgvigil: &Pgvigil, moments: &[Moment]) -> Result<()> {
    for moment in moments {
        for at in [moment.lsn.to_string(), moment.time.clone()] {
            let (status, told) = asked(pgvigil, &format!("/api/v1/tables?at={at}")).await?;
            ensure!(status == StatusCode::OK, "{at}: {told}");
            let counts = (table(&told, "item")?["count"].as_i64(), table(&told, "part")?["count"].as_i64());
            ensure!(counts == (Some(moment.item), Some(moment.part)), "{at}: {moment:?}, told {told}");
            ensure!(told["total_rows"].as_i64() == Some(moment.item + moment.part), "{at}: {told}");
            let (_, one) = asked(pgvigil, &format!("/api/v1/tables/public/item/history?at={at}")).await?;
            ensure!(one["count"].as_i64() == Some(moment.item) && one["name"] == "item", "{at}: {one}");
        }
    }
    Ok(())
}

async fn act(database: &Database) -> Result<Vec<Moment>> {
    let mut moments = Vec::new();
    for sql in ACTS {
        database.run(sql).await?;
        moments.push(Moment::now(database).await?);
    }
    Ok(moments)
}

async fn counted(pgvigil: &Pgvigil, database: &Database) -> Result<()> {
    pgvigil.wait_for_count("public.item", database.count("item").await?).await?;
    pgvigil.wait_for_count("public.part", database.count("part").await?).await
}

async fn recorded(url: &str, dir: &Path) -> Result<Pgvigil> {
    serve(url, dir, &["--history-memory", "1MiB"]).await
}

support::on_every_major!(what_was_there_is_told_of_any_position_and_time);

async fn what_was_there_is_told_of_any_position_and_time(major: u32) -> Result<()> {
    let cluster = cluster(major).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    database.run(DDL_MESSAGES).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let before = Moment::now(&database).await?;
    let mut pgvigil = recorded(&url, dir.path()).await?;
    counted(&pgvigil, &database).await?;
    let mut moments = act(&database).await?;
    ask_for(&pgvigil, &moments).await?;
    // What was before anybody watched, nobody knows, and what has not been yet neither.
    let (status, told) = asked(&pgvigil, &format!("/api/v1/tables?at={}", before.time)).await?;
    ensure!(status == StatusCode::GONE && told["detail"].as_str().is_some_and(|it| it.contains("begins")), "{told}");
    let (status, told) = asked(&pgvigil, "/api/v1/tables?at=2999-01-01T00:00:00Z").await?;
    ensure!(status == StatusCode::BAD_REQUEST, "{told}");
    let ahead = pgvigil.get("/api/v1/tables?at=FFFFFF/0").await?;
    ensure!(ahead.status() == StatusCode::SERVICE_UNAVAILABLE, "{ahead:?}");

    // While nobody watches, nobody knows either; before and behind that, all is known.
    ensure!(pgvigil.stop().await?.success());
    database.run(EMPTY).await?;
    let unseen = Moment::now(&database).await?;
    let pgvigil = recorded(&url, dir.path()).await?;
    counted(&pgvigil, &database).await?;
    moments.extend(act(&database).await?);
    ask_for(&pgvigil, &moments).await?;
    for at in [unseen.lsn.to_string(), unseen.time.clone()] {
        let (status, told) = asked(&pgvigil, &format!("/api/v1/tables?at={at}")).await?;
        let detail = told["detail"].as_str().unwrap_or_default();
        ensure!(status == StatusCode::GONE && detail.contains("nobody watched"), "{at}: {told}");
    }
    Ok(())
}

support::on_every_major!(what_happened_while_nobody_watched_is_told_when_the_slot_stayed);

async fn what_happened_while_nobody_watched_is_told_when_the_slot_stayed(major: u32) -> Result<()> {
    let cluster = cluster_with(major, options().set("max_slot_wal_keep_size", "1GB")).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    database.run(DDL_MESSAGES).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let durable = async || serve(&url, dir.path(), &["--history-memory", "1MiB", "--slot", "past"]).await;
    let mut pgvigil = durable().await?;
    counted(&pgvigil, &database).await?;
    let verified = pgvigil.table("public.item").await?["verified_at"].clone();
    let mut moments = act(&database).await?;
    wait_for("the journal", PATIENCE, async || Ok(asked(&pgvigil, &format!("/api/v1/tables?at={}", moments[7].lsn)).await.ok()))
        .await?;
    ensure!(pgvigil.stop().await?.success());
    database.run(EMPTY).await?;
    moments.extend(act(&database).await?);
    let mut pgvigil = durable().await?;
    counted(&pgvigil, &database).await?;
    ask_for(&pgvigil, &moments).await?;
    pgvigil.kill().await?;
    database.run(EMPTY).await?;
    moments.extend(act(&database).await?);
    let pgvigil = durable().await?;
    counted(&pgvigil, &database).await?;
    ask_for(&pgvigil, &moments).await?;
    // All that was known went on: nothing was counted again.
    let item = pgvigil.table("public.item").await?;
    ensure!(verified.is_string() && item["verified_at"] == verified, "{verified}: {item}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_in_the_log_is_not_known_of_any_position() -> Result<()> {
    let cluster = cluster_with(a_major(), options().set("max_slot_wal_keep_size", "1GB")).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    database.run(DDL_MESSAGES).await?;
    database.run(ACTS[0]).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let durable = async || serve(&url, dir.path(), &["--slot", "unlogged"]).await;
    let mut pgvigil = durable().await?;
    counted(&pgvigil, &database).await?;
    ensure!(pgvigil.stop().await?.success());
    // All of it is read in one go.
    let mut moments = vec![Moment::now(&database).await?];
    for sql in [
        "ALTER TABLE item SET UNLOGGED",
        "DELETE FROM item WHERE id < 3",
        "INSERT INTO part VALUES (1)",
        "ALTER TABLE item SET LOGGED",
        "INSERT INTO item VALUES (50)",
    ] {
        database.run(sql).await?;
        moments.push(Moment::now(&database).await?);
    }
    let pgvigil = durable().await?;
    counted(&pgvigil, &database).await?;
    for (number, moment) in moments.iter().enumerate() {
        for at in [moment.lsn.to_string(), moment.time.clone()] {
            let (status, told) = asked(&pgvigil, &format!("/api/v1/tables?at={at}")).await?;
            ensure!(status == StatusCode::OK, "{at}: {told}");
            for (name, rows) in [("item", moment.item), ("part", moment.part)] {
                let count = table(&told, name)?["count"].as_i64();
                ensure!(count.is_none_or(|count| count == rows), "{number}: {name} had {rows}, told {told}");
                // It is known while nothing is altered.
                ensure!(number > 0 || count.is_some(), "{told}");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_tells_of_ddl_what_is_told_was_true_where_it_says() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let pgvigil = recorded(&url, dir.path()).await?;
    counted(&pgvigil, &database).await?;
    let mut moments = vec![Moment::now(&database).await?];
    moments.extend(act(&database).await?);
    counted(&pgvigil, &database).await?;
    let last = moments.last().cloned().context("a moment")?;
    let mut seen = Vec::new();
    for moment in &moments {
        let (status, told) = asked(&pgvigil, &format!("/api/v1/tables?at={}", moment.lsn)).await?;
        ensure!(status == StatusCode::OK, "{told}");
        let item = table(&told, "item")?;
        let lsn: Lsn = item["lsn"].as_str().context("a position")?.parse()?;
        let true_then = moments.iter().rev().find(|moment| moment.lsn <= lsn).unwrap_or(&moments[0]);
        let count = item["count"].as_i64();
        ensure!(lsn <= moment.lsn && (count.is_none() || count == Some(true_then.item)), "{moment:?}: {item}");
        seen.extend(count);
    }
    // In the end it is told that it is so now.
    wait_for("the last count", PATIENCE, async || {
        let (_, told) = asked(&pgvigil, &format!("/api/v1/tables?at={}", Moment::now(&database).await?.lsn)).await?;
        let counts = (table(&told, "item")?["count"].as_i64(), table(&told, "part")?["count"].as_i64());
        Ok((counts == (Some(last.item), Some(last.part))).then_some(()))
    })
    .await?;
    ensure!(!seen.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_told_minute_by_minute_and_hour_by_hour() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    database.run(DDL_MESSAGES).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let mut pgvigil = recorded(&url, dir.path()).await?;
    counted(&pgvigil, &database).await?;
    for sql in ACTS {
        database.run(sql).await?;
    }
    counted(&pgvigil, &database).await?;
    let last_point = async |pgvigil: &Pgvigil, path: &str, expected: i64| {
        wait_for("the point", PATIENCE, async || {
            let told = pgvigil.json(path).await?;
            let points = told["points"].as_array().context("points")?.clone();
            Ok((points.last().is_some_and(|point| point["count"] == expected)).then_some(points))
        })
        .await
    };
    let points = last_point(&pgvigil, "/api/v1/tables/public/item/history", 5).await?;
    ensure!(points.len() == 24 * 60, "{} points", points.len());
    // Before anybody watched nothing is known.
    ensure!(points[0]["count"].is_null() && points[24 * 60 - 4]["count"].is_null(), "{:?}", &points[24 * 60 - 5..]);
    ensure!(points.windows(2).all(|pair| pair[0]["time"].as_str() < pair[1]["time"].as_str()));
    let hours = last_point(&pgvigil, "/api/v1/tables/public/part/history?step=hour", 5).await?;
    ensure!(hours.len() == 31 * 24, "{} points", hours.len());
    // A table that is gone keeps its past.
    database.run("DROP TABLE item").await?;
    wait_for("the drop", PATIENCE, async || Ok(pgvigil.table("public.item").await.is_err().then_some(()))).await?;
    ensure!(pgvigil.stop().await?.success());
    let pgvigil = recorded(&url, dir.path()).await?;
    let told = pgvigil.json("/api/v1/tables/public/item/history").await?;
    ensure!(told["points"].as_array().is_some_and(|points| points.len() == 24 * 60), "{told}");
    for (path, status) in [
        ("/api/v1/tables/public/nothing/history", StatusCode::NOT_FOUND),
        ("/api/v1/tables/public/part/history?since=2020-01-01T00:00:00Z", StatusCode::BAD_REQUEST),
        ("/api/v1/tables/public/part/history?since=2999-01-01T00:00:00Z", StatusCode::BAD_REQUEST),
        ("/api/v1/tables/public/part/history?step=day", StatusCode::BAD_REQUEST),
        ("/api/v1/tables/public/part/history?at=0/1&step=hour", StatusCode::BAD_REQUEST),
        ("/api/v1/tables/public/part/history?since=0/1", StatusCode::BAD_REQUEST),
    ] {
        let answer = pgvigil.get(path).await?;
        ensure!(answer.status() == status, "{path}: {}", answer.text().await?);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_journal_it_is_said_how_to_get_one() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let pgvigil = Pgvigil::serve(&cluster.url("app"), &[]).await?;
    for path in ["/api/v1/tables?at=0/1", "/api/v1/tables/public/item/history"] {
        let answer = pgvigil.get(path).await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == StatusCode::NOT_FOUND && text.contains("--data-dir"), "{path}: {text}");
    }
    Ok(())
}
