//! Counts that are carried over where the stream goes on: as right as if they had been taken anew.

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::support::{
    self, DDL_MESSAGES, Database, Direction, Flow, PATIENCE, Pgvigil, Proxy, a_major, cluster_with, options, wait_for,
};
use crate::{SCHEMA, bounded, serve};

const WATCHED: &str = "
    CREATE TABLE item (id int PRIMARY KEY);
    CREATE TABLE other (id int PRIMARY KEY);
    CREATE TABLE part (id int PRIMARY KEY) PARTITION BY RANGE (id);
    CREATE TABLE low PARTITION OF part FOR VALUES FROM (0) TO (100);
    CREATE TABLE high PARTITION OF part FOR VALUES FROM (100) TO (200);
    INSERT INTO item SELECT generate_series(1, 20);
    INSERT INTO other SELECT generate_series(1, 3);
    INSERT INTO part SELECT generate_series(90, 109)";

/// What is done while nobody watches, each statement on its own.
const ACTS: [&[&str]; 12] = [
    &["DELETE FROM item WHERE id = 3", "INSERT INTO part VALUES (1), (150)"],
    &["TRUNCATE low", "INSERT INTO low VALUES (5)"],
    &["VACUUM FULL item", "VACUUM FULL high", "DELETE FROM item WHERE id = 4"],
    &["ALTER TABLE item SET UNLOGGED", "DELETE FROM item WHERE id = 5", "ALTER TABLE item SET LOGGED"],
    &[
        "ALTER PUBLICATION pgvigil SET (publish = 'insert')",
        "DELETE FROM item WHERE id = 6",
        "ALTER PUBLICATION pgvigil SET (publish = 'insert, update, delete, truncate')",
    ],
    &[
        "ALTER EVENT TRIGGER pgvigil_change DISABLE",
        "ALTER TABLE item SET UNLOGGED",
        "DELETE FROM item WHERE id = 7",
        "ALTER TABLE item SET LOGGED",
        "ALTER EVENT TRIGGER pgvigil_change ENABLE ALWAYS",
    ],
    &[
        "ALTER TABLE part DETACH PARTITION high",
        "DELETE FROM high WHERE id = 101",
        "ALTER TABLE part ATTACH PARTITION high FOR VALUES FROM (100) TO (200)",
    ],
    &["DROP TABLE other", "CREATE TABLE other (id int PRIMARY KEY)", "INSERT INTO other VALUES (1)"],
    &[
        "BEGIN; DELETE FROM item WHERE id = 8; PREPARE TRANSACTION 'two'",
        "INSERT INTO item VALUES (100)",
        "COMMIT PREPARED 'two'",
    ],
    &["ALTER TABLE item RENAME TO items", "CREATE TABLE item (id int PRIMARY KEY)", "INSERT INTO item VALUES (1)"],
    &["DROP TABLE item", "ALTER TABLE items RENAME TO item", "DELETE FROM item WHERE id = 9"],
    &["ALTER TABLE low SET UNLOGGED", "INSERT INTO low VALUES (6)", "ALTER TABLE low SET LOGGED"],
];

/// From 17 on a superuser can have DDL done of which nothing is told.
const UNTOLD: &[&str] = &[
    "SET event_triggers = off",
    "ALTER TABLE item SET UNLOGGED",
    "DELETE FROM item WHERE id = 10",
    "ALTER TABLE item SET LOGGED",
    "SET event_triggers = on",
];

const HANG_UP: &str = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL";

async fn counts_agree(pgvigil: &Pgvigil, database: &Database) -> Result<()> {
    pgvigil.wait_for_count("public.item", database.count("item").await?).await
}

/// When the table was counted last.
async fn counted_at(pgvigil: &Pgvigil, table: &str) -> Result<String> {
    let table = pgvigil.table(table).await?;
    Ok(table["verified_at"].as_str().context("it was counted")?.to_owned())
}

async fn all_agree(pgvigil: &Pgvigil, database: &Database) -> Result<()> {
    for table in ["item", "other", "part", "low", "high"] {
        let rows = database.count(table).await?;
        pgvigil.wait_for_count(&format!("public.{table}"), rows).await.with_context(|| format!("{table} has {rows}"))?;
    }
    Ok(())
}

support::on_every_major!(whatever_happened_while_nobody_watched_no_count_is_wrong);

async fn whatever_happened_while_nobody_watched_no_count_is_wrong(major: u32) -> Result<()> {
    let options = options().set("max_slot_wal_keep_size", "1GB").set("max_prepared_transactions", "2");
    let cluster = cluster_with(major, options).await?;
    for (name, publication) in [("all", "FOR ALL TABLES"), ("some", "FOR TABLE item, other, part")] {
        let database = Database::create(&cluster, name).await?;
        database.run(WATCHED).await?;
        database.run(&format!("CREATE PUBLICATION pgvigil {publication}")).await?;
        database.run(DDL_MESSAGES).await?;
        let (url, dir) = (cluster.url(name), TempDir::new()?);
        let serve = async || {
            let path = dir.path().to_str().context("a path")?;
            Pgvigil::serve(&url, &["--data-dir", path, "--slot", name]).await
        };
        let mut pgvigil = serve().await?;
        all_agree(&pgvigil, &database).await?;
        for act in ACTS.into_iter().chain((major >= 17).then_some(UNTOLD)) {
            // What is dropped and made again is published by name no more, and what is published by name has to be logged.
            let is_for_all = |sql: &&str| ["CREATE TABLE", "DROP TABLE", "UNLOGGED"].iter().any(|part| sql.contains(part));
            if name == "some" && act.iter().any(is_for_all) {
                continue;
            }
            let before = counted_at(&pgvigil, "public.high").await?;
            ensure!(pgvigil.stop().await?.success(), "{}", pgvigil.stderr());
            for sql in act {
                database.run(sql).await.with_context(|| (*sql).to_owned())?;
            }
            pgvigil = serve().await?;
            all_agree(&pgvigil, &database).await.with_context(|| format!("{name}: {act:?}\n{}", pgvigil.stderr()))?;
            let is_of_item = act.iter().all(|sql| sql.contains("item") && !sql.contains("PUBLICATION"));
            let after = counted_at(&pgvigil, "public.high").await?;
            ensure!(!is_of_item || after == before, "{act:?}: it was counted anew, at {after}");
        }
    }
    Ok(())
}

/// What ends a connection may come together with the last of what it brought.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_connection_brought_last_is_counted() -> Result<()> {
    let cluster = bounded(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    database.run(DDL_MESSAGES).await?;
    let (proxy, dir) = (Proxy::start(cluster.port()).await?, TempDir::new()?);
    let mut pgvigil = serve(&proxy.url(&cluster.url("app")), &dir, &[]).await?;
    for round in 0..3 {
        database.run(&format!("INSERT INTO item SELECT {round} * 10 + i FROM generate_series(1, 5) i")).await?;
        counts_agree(&pgvigil, &database).await?;
        proxy.set(Direction::ToClient, Flow::Silence);
        database.run(&format!("DELETE FROM item WHERE id = {round} * 10 + 1")).await?;
        wait_for("the walsender to send it", PATIENCE, async || {
            let sent = "SELECT coalesce(bool_or(sent_lsn >= pg_current_wal_lsn()), false) FROM pg_stat_replication";
            Ok(database.value::<bool>(sent).await?.then_some(()))
        })
        .await?;
        database.run(HANG_UP).await?;
        proxy.heal();
        counts_agree(&pgvigil, &database).await.with_context(|| format!("round {round}"))?;
    }
    ensure!(pgvigil.stderr().contains("goes on where it was left"), "{}", pgvigil.stderr());
    ensure!(pgvigil.stop().await?.success());
    Ok(())
}
