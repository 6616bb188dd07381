//! The rows of small tables that are kept: what is told of an old row is what the row was, whatever is done to the tables meanwhile.

#[path = "../support/mod.rs"]
mod support;

mod scenes;
mod told;
mod types;
mod writer;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::{try_join, try_join_all};
use pgvigil::lsn::Lsn;
use rand::SeedableRng;
use rand::rngs::StdRng;
use support::{DDL_MESSAGES, Database, PATIENCE, Pgvigil, cluster_with, options, wait_for};

use self::told::Told;
use self::writer::Writer;

support::on_every_major!(what_is_told_of_old_rows_is_true, kept_rows_play_their_scenes, rows_of_altered_types_play_their_scenes);

async fn kept_rows_play_their_scenes(major: u32) -> Result<()> {
    scenes::play(major).await
}

async fn rows_of_altered_types_play_their_scenes(major: u32) -> Result<()> {
    types::play(major).await
}

/// Writers do at random what can be done to rows, with DDL in between; triggers record every old row in the same transaction.
async fn what_is_told_of_old_rows_is_true(major: u32) -> Result<()> {
    let seed: u64 = match std::env::var("PGVIGIL_ROWS_SEED") {
        Ok(seed) => seed.parse()?,
        Err(_) => rand::random::<u32>().into(),
    };
    println!("PostgreSQL {major}: PGVIGIL_ROWS_SEED={seed}");
    let cluster =
        cluster_with(major, options().set("logical_decoding_work_mem", "64kB").set("max_prepared_transactions", "5")).await?;
    let database = Database::create(&cluster, "rows").await?;
    database.run(include_str!("schema.sql")).await?;
    database.run(DDL_MESSAGES).await?;
    let pgvigil = Pgvigil::serve(&cluster.url("rows"), &["--row-cache=64MiB", "--reconcile=2s"]).await?;
    // What is told before a look at the catalog is without counts, and so without rows.
    all_are_kept(&pgvigil, Lsn::ZERO, "truth").await?;
    let mut socket = pgvigil.websocket("kinds=change,commit").await?;
    socket.next_of("hello").await?;

    let until = Instant::now() + Duration::from_secs(8);
    let url = cluster.url("rows");
    let writing = try_join_all((0..3).map(|number| {
        let url = url.clone();
        async move {
            let mut writer = Writer::connect(&url, StdRng::seed_from_u64(seed ^ number), number).await?;
            while Instant::now() < until {
                writer.transaction().await?;
            }
            anyhow::Ok(())
        }
    }));
    let listening = async {
        let mut told = Told::default();
        while !told.is_over() {
            let event = socket.next().await?.context("the server closed the stream")?;
            told.event(event).with_context(|| format!("PGVIGIL_ROWS_SEED={seed}; pgvigil logged:\n{}", pgvigil.stderr()))?;
        }
        anyhow::Ok(told)
    };
    let finishing = async {
        writing.await?;
        let last = "ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_code; CREATE TABLE last (id int PRIMARY KEY)";
        database.run(last).await?;
        // What is altered by that is told by the time that this is.
        let here = database.value::<String>("SELECT pg_current_wal_insert_lsn()::text").await?.parse()?;
        database.run("INSERT INTO truth (place) VALUES ('quiet')").await?;
        all_are_kept(&pgvigil, here, "last").await?;
        // Once nobody alters anything, nothing is left unknown.
        for step in [
            "INSERT INTO truth (place) VALUES ('calm')",
            "UPDATE by_key SET a = 'u' WHERE id < 30; UPDATE by_index SET n = 7; UPDATE child SET o = true; UPDATE tree SET f = 1",
            "DELETE FROM by_key WHERE id % 2 = 0; DELETE FROM by_index WHERE id % 2 = 0; DELETE FROM tree WHERE id % 2 = 0",
            "TRUNCATE by_key, by_index, full_row, child, tree",
            "INSERT INTO truth (place) VALUES ('over')",
        ] {
            database.run(step).await?;
        }
        anyhow::Ok(())
    };
    let (told, ()) = try_join(listening, finishing).await.with_context(|| format!("PGVIGIL_ROWS_SEED={seed}"))?;
    println!("{told}");
    told.suffices()?;

    // At the very end all of it may be on its way to be read again.
    wait_for("what is kept to be shown", PATIENCE, async || {
        let metrics = pgvigil.get("/metrics").await?.text().await?;
        ensure!(metrics.contains("pgvigil_row_cache_tables{row_cache=\"full\"}"), "{metrics}");
        let bytes =
            metrics.lines().find_map(|line| line.strip_prefix("pgvigil_row_cache_bytes ")).context("no bytes are shown")?;
        Ok((bytes.parse::<u64>()? > 0).then_some(()))
    })
    .await?;
    Ok(())
}

/// Waits until the rows of all tables are kept at some position behind this, but of those that no key names; and until the catalog was looked
/// at when there was the table `last`, which nothing but the catalog tells of: what it finds rewritten is counted again.
async fn all_are_kept(pgvigil: &Pgvigil, behind: Lsn, last: &str) -> Result<()> {
    wait_for("all rows to be kept", PATIENCE, async || {
        let answer = pgvigil.json("/api/v1/tables").await?;
        let as_of: Lsn = answer["as_of"]["lsn"].as_str().context("as_of")?.parse()?;
        ensure!(as_of > behind, "{as_of}");
        let tables = answer["tables"].as_array().context("tables")?;
        ensure!(tables.iter().any(|table| table["name"] == last), "no look at the catalog since");
        for table in tables {
            let keyless = ["truth", "sample"].iter().any(|name| table["name"] == *name);
            let wanted = if keyless { "off" } else { "full" };
            ensure!(table["kind"] == "partitioned_table" || table["row_cache"] == wanted, "{table}");
        }
        Ok(Some(()))
    })
    .await
}
