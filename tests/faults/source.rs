//! The watched database is not harmed: while its tables are counted, nobody who uses them is kept waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::support::{Database, PATIENCE, Pgvigil, a_major, cluster, wait_for};

/// What someone who uses the database may have to wait because of pgvigil.
const WAIT: Duration = Duration::from_secs(1);

/// Runs a statement each time that `every` has passed, until told to stop; gives how often, and the longest time that it took.
fn again_and_again(
    database: Database,
    every: Duration,
    sql: &'static str,
    stop: Arc<AtomicBool>,
) -> JoinHandle<Result<(u32, Duration)>> {
    tokio::spawn(async move {
        let (mut times, mut longest) = (0, Duration::ZERO);
        let mut due = tokio::time::interval(every);
        while !stop.load(Ordering::SeqCst) {
            due.tick().await;
            let started = Instant::now();
            database.run(sql).await?;
            longest = longest.max(started.elapsed());
            times += 1;
        }
        Ok((times, longest))
    })
}

/// The locks that pgvigil's sessions hold or want, but for those on their own transactions.
const LOCKS: &str = "
    SELECT DISTINCT l.mode || ' ' || l.locktype FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE a.application_name LIKE 'pgvigil%' AND l.locktype NOT IN ('virtualxid')";

#[tokio::test]
async fn heavy_counts_block_neither_writers_nor_ddl() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database
        .run(
            "CREATE TABLE big (id bigint PRIMARY KEY, note text NOT NULL) WITH (autovacuum_enabled = off);
             INSERT INTO big SELECT id, repeat('x', 500) FROM generate_series(1, 400000) id;
             CREATE PUBLICATION pgvigil FOR ALL TABLES",
        )
        .await?;
    let session = async || Database::connect(&cluster.url("app")).await;
    let stop = Arc::new(AtomicBool::new(false));
    let insert = "INSERT INTO big SELECT max(id) + 1, 'new' FROM big";
    let alter = "ALTER TABLE big ADD COLUMN extra int; ALTER TABLE big DROP COLUMN extra";
    let writing = again_and_again(session().await?, Duration::from_millis(10), insert, Arc::clone(&stop));
    let altering = again_and_again(session().await?, Duration::from_millis(700), alter, Arc::clone(&stop));

    let pgvigil = Pgvigil::serve(&cluster.url("app"), &[]).await?;
    let watcher = session().await?;
    let mut locks = Vec::new();
    // Three baselines of the whole table.
    for _ in 0..3 {
        wait_for("the table to be counted", PATIENCE, async || {
            locks.extend(watcher.rows(LOCKS, &[]).await?.iter().map(|row| row.get::<_, String>(0)));
            let table = pgvigil.table("public.big").await?;
            ensure!(table["count_state"] == "exact", "{table}");
            Ok(Some(()))
        })
        .await?;
        let epoch = pgvigil.json("/api/v1/status").await?["epoch"].clone();
        watcher.run("SELECT pg_terminate_backend(pid) FROM pg_stat_replication").await?;
        wait_for("a new epoch", PATIENCE, async || {
            let status = pgvigil.json("/api/v1/status").await?;
            Ok((status["epoch"] != epoch).then_some(()))
        })
        .await?;
    }
    stop.store(true, Ordering::SeqCst);
    let (inserts, insert_took) = writing.await?.context("the writer")?;
    let (alters, alter_took) = altering.await?.context("the DDL")?;
    locks.sort();
    locks.dedup();
    println!(
        "{inserts} inserts, the slowest took {insert_took:?}; {alters} times DDL, the slowest {alter_took:?}; locks: {locks:?}"
    );
    ensure!(insert_took < WAIT && alter_took < WAIT, "{insert_took:?} {alter_took:?}");
    ensure!(locks.iter().any(|lock| lock == "AccessShareLock relation"), "no lock was seen: {locks:?}");
    ensure!(locks.iter().all(|lock| lock.starts_with("AccessShareLock ")), "{locks:?}");

    let rows = database.count("big").await?;
    pgvigil.wait_for_count("public.big", rows).await
}
