//! Baselines against real servers: exact while others write, in nobody's way, and refused where they could be wrong.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use pgvigil::catalog::{self, Baseline, CountError, Progress, Reason, Table};
use pgvigil::cluster::Cluster;
use support::{Database, PATIENCE, a_major, cluster, cluster_with, options, wait_for};

async fn table(database: &mut Database, name: &str) -> Result<Table> {
    let catalog = catalog::read(database.client(), "watched").await?;
    catalog.tables.into_iter().find(|table| table.name == name).with_context(|| name.to_owned())
}

async fn count(database: &mut Database, table: &Table) -> Result<Baseline, CountError> {
    catalog::count(database.client(), table, None, |_| ()).await
}

/// A table of some 9,000 pages, so more than one range, with room for updates within a page.
const LARGE: &str = "CREATE TABLE large (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, filler text) WITH (fillfactor = 15); \
    INSERT INTO large SELECT i, 0, repeat('x', 100) FROM generate_series(1, 80000) i; VACUUM large";

async fn large(cluster: &Cluster) -> Result<Database> {
    let database = Database::create(cluster, "app").await?;
    for statement in LARGE.split("; ") {
        database.run(statement).await?;
    }
    Ok(database)
}

support::on_every_major!(ranges_count_what_one_scan_counts);

/// Writers whose every transaction leaves the number of rows as it was, while the table grows, shrinks and is vacuumed. Whatever
/// snapshot a baseline takes, it has to find that number.
async fn ranges_count_what_one_scan_counts(major: u32) -> Result<()> {
    let cluster = cluster(major).await?;
    let mut database = large(&cluster).await?;
    let over = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for statement in [
        // Within the page, then to other pages, then new keys at the end, then the freed pages again.
        "UPDATE large SET n = n + 1 WHERE id % 97 = floor(random() * 97)",
        "UPDATE large SET filler = repeat('y', 90 + (random() * 600)::int) WHERE id % 89 = floor(random() * 89)",
        "WITH moved AS (DELETE FROM large WHERE id IN (SELECT id FROM large ORDER BY random() LIMIT 200) RETURNING id, n, filler) \
         INSERT INTO large SELECT id + 1000000, n, filler FROM moved",
        "BEGIN; SAVEPOINT s; INSERT INTO large SELECT -i FROM generate_series(1, 500) i; ROLLBACK TO s; COMMIT",
        "VACUUM large",
    ] {
        let (writer, over) = (Database::connect(&cluster.url("app")).await?, Arc::clone(&over));
        writers.push(tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                // Two writers may want the same row at once, and deadlock: that leaves the number as it was too.
                if writer.run(statement).await.is_err() {
                    writer.run("ROLLBACK").await?;
                }
            }
            anyhow::Ok(())
        }));
    }
    let large = table(&mut database, "large").await?;
    for round in 0..8 {
        let mut percents = Vec::new();
        let mut began = 0;
        let baseline = catalog::count(database.client(), &large, None, |progress| match progress {
            Progress::Began { .. } => began += 1,
            Progress::Percent(percent) => percents.push(percent),
        })
        .await;
        let baseline = baseline.with_context(|| format!("round {round}"))?;
        assert_eq!(baseline.count, 80_000, "round {round}");
        assert_eq!(baseline.oid, large.oid);
        assert_eq!(baseline.relfilenode, large.relfilenode);
        assert_eq!(began, 1);
        assert!(!percents.is_empty() && percents.is_sorted() && percents.iter().all(|percent| *percent < 100), "{percents:?}");
    }
    over.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await??;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_rows_of_the_table_itself_are_counted() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut database = Database::create(&cluster, "app").await?;
    database
        .run(
            r#"CREATE TABLE "Odd ""Name""" (a int); CREATE TABLE child () INHERITS ("Odd ""Name""");
               INSERT INTO "Odd ""Name""" VALUES (1), (2); INSERT INTO child VALUES (3);
               CREATE TABLE tree (a int) PARTITION BY LIST (a); CREATE TABLE leaf PARTITION OF tree DEFAULT;
               INSERT INTO tree VALUES (1), (2), (3); CREATE TABLE no_columns (); INSERT INTO no_columns DEFAULT VALUES"#,
        )
        .await?;
    for (name, rows) in [("Odd \"Name\"", 2), ("child", 1), ("leaf", 3), ("no_columns", 1)] {
        let table = table(&mut database, name).await?;
        assert_eq!(count(&mut database, &table).await?.count, rows, "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_is_left_alone_soon() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut database = Database::create(&cluster, "app").await?;
    database.run("CREATE TABLE t AS SELECT generate_series(1, 10) a").await?;
    let t = table(&mut database, "t").await?;
    let other = Database::connect(&cluster.url("app")).await?;

    // A truncation that is about to commit: counted before it commits, nothing; after it, the new file.
    other.run("BEGIN; TRUNCATE t; INSERT INTO t VALUES (1)").await?;
    let started = Instant::now();
    let error = count(&mut database, &t).await.unwrap_err();
    assert!(matches!(error, CountError::Locked { .. }), "{error}");
    assert!(error.is_transient());
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(!in_transaction(&mut database).await?);
    other.run("COMMIT").await?;
    let baseline = count(&mut database, &t).await?;
    assert_eq!(baseline.count, 1);
    assert_ne!(baseline.relfilenode, t.relfilenode);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ddl_that_waits_is_given_way() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut database = large(&cluster).await?;
    let t = table(&mut database, "large").await?;
    let altering = Database::connect(&cluster.url("app")).await?;
    let watching = Database::connect(&cluster.url("app")).await?;
    let mut altered = None;
    let counted = catalog::count(database.client(), &t, None, |progress| {
        let Progress::Began { .. } = progress else { return };
        // The lock is held: DDL that starts now has to wait for it.
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                altered = Some(tokio::spawn(async_alter(&cluster)));
                let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'large'::regclass";
                let waiting = async || Ok((watching.value::<i64>(waits).await? == 1).then_some(()));
                wait_for("the ALTER TABLE to wait", PATIENCE, waiting).await.unwrap();
            });
        });
    })
    .await;
    assert!(matches!(counted, Err(CountError::GaveWay { .. })), "{counted:?}");
    altered.context("the count began")?.await??;
    drop(altering);
    let t = table(&mut database, "large").await?;
    assert_eq!(count(&mut database, &t).await?.count, 80_000);
    Ok(())
}

fn async_alter(cluster: &Cluster) -> impl Future<Output = Result<()>> + Send + use<> {
    let url = cluster.url("app");
    async move { Database::connect(&url).await?.run("ALTER TABLE large ADD COLUMN added int").await }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_means_another_table_is_not_counted() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut database = Database::create(&cluster, "app").await?;
    database
        .run("CREATE TABLE a AS SELECT 1 x; CREATE TABLE b AS SELECT generate_series(1, 2) x; CREATE TABLE c (x int)")
        .await?;
    let (a, c) = (table(&mut database, "a").await?, table(&mut database, "c").await?);
    database.run("ALTER TABLE a RENAME TO old; ALTER TABLE b RENAME TO a; DROP TABLE c").await?;
    for table in [&a, &c] {
        let error = count(&mut database, table).await.unwrap_err();
        assert!(matches!(error, CountError::Changed { .. }), "{error}");
        assert!(!error.is_transient());
    }
    database.run("CREATE VIEW c AS SELECT 1").await?;
    assert!(matches!(count(&mut database, &c).await, Err(CountError::Changed { .. })), "a view by the name of a table");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_sees_less_does_not_count() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut database = Database::create(&cluster, "app").await?;
    database
        .run(
            "CREATE TABLE secret AS SELECT 1 a; CREATE TABLE filtered AS SELECT generate_series(1, 10) a; \
             ALTER TABLE filtered ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON filtered USING (a < 4); \
             CREATE ROLE reader LOGIN; GRANT SELECT ON filtered TO reader",
        )
        .await?;
    let (secret, filtered) = (table(&mut database, "secret").await?, table(&mut database, "filtered").await?);
    assert_eq!(count(&mut database, &filtered).await?.count, 10);
    database.run("SET ROLE reader").await?;
    assert_eq!(database.count("filtered").await?, 3, "what an ordinary count would say");
    for (table, expected) in
        [(&secret, Reason::NoSelect { role: "reader".into() }), (&filtered, Reason::RowSecurity { role: "reader".into() })]
    {
        match count(&mut database, table).await {
            Err(CountError::Uncovered(reason)) => assert_eq!(reason, expected),
            other => bail!("{other:?}"),
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fence_waits_for_what_ran_before() -> Result<()> {
    let cluster = cluster_with(a_major(), options().set("max_prepared_transactions", "2")).await?;
    let mut database = Database::create(&cluster, "app").await?;
    database.run("CREATE TABLE t (a int)").await?;
    let t = table(&mut database, "t").await?;
    let writer = Database::connect(&cluster.url("app")).await?;
    let pid: i32 = writer.value("SELECT pg_backend_pid()").await?;
    writer.run("BEGIN; INSERT INTO t VALUES (1)").await?;

    let fence = catalog::fence(database.client()).await?;
    let oldest = catalog::oldest_transaction(database.client()).await?.context("one transaction runs")?;
    assert_eq!(oldest.pid, Some(pid));
    match catalog::count(database.client(), &t, Some(fence), |_| ()).await {
        Err(error @ CountError::FenceNotPassed { .. }) => {
            assert!(error.is_transient());
            assert_eq!(error.to_string(), format!("transaction {} of process {pid} has to end first", oldest.xid));
        }
        other => bail!("{other:?}"),
    }
    writer.run("PREPARE TRANSACTION 'in doubt'").await?;
    assert_eq!(catalog::oldest_transaction(database.client()).await?.and_then(|it| it.prepared).as_deref(), Some("in doubt"));
    match catalog::count(database.client(), &t, Some(fence), |_| ()).await {
        Err(CountError::FenceNotPassed { running }) => assert_eq!(running.prepared.as_deref(), Some("in doubt")),
        other => bail!("{other:?}"),
    }
    writer.run("COMMIT PREPARED 'in doubt'").await?;
    let baseline = catalog::count(database.client(), &t, Some(fence), |_| ()).await?;
    assert_eq!(baseline.count, 1);
    assert!(baseline.snapshot.sees(oldest.xid) && baseline.snapshot.xmin() >= fence);
    let open = catalog::fence(database.client()).await?;
    assert!(baseline.snapshot.xmin() >= open, "with nothing running the fence lets everything pass");
    assert_eq!(catalog::oldest_transaction(database.client()).await?, None);
    Ok(())
}

/// A commit that is in the log but not visible: nothing tells it from a running transaction but the log. A slot made now would begin
/// behind it, and a snapshot taken now would not see it.
#[tokio::test(flavor = "multi_thread")]
async fn the_fence_waits_for_a_commit_that_waits_for_its_standby() -> Result<()> {
    let cluster = cluster_with(a_major(), options().set("synchronous_standby_names", "nobody")).await?;
    let mut database = Database::connect(&cluster.url("postgres")).await?;
    database.run("SET synchronous_commit = local").await?;
    database.run("CREATE TABLE t (a int)").await?;
    let t = table(&mut database, "t").await?;
    let writer = Database::connect(&cluster.url("postgres")).await?;
    let pid: i32 = writer.value("SELECT pg_backend_pid()").await?;
    let committing = tokio::spawn(async move { writer.run("INSERT INTO t VALUES (1)").await });
    let waits = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'SyncRep'");
    wait_for("the commit to wait", PATIENCE, async || Ok((database.value::<i64>(&waits).await? == 1).then_some(()))).await?;
    assert_eq!(count(&mut database, &t).await?.count, 0, "without a fence: it is not visible");

    let fence = catalog::fence(database.client()).await?;
    let error = catalog::count(database.client(), &t, Some(fence), |_| ()).await.unwrap_err();
    assert!(matches!(error, CountError::FenceNotPassed { .. }), "{error}");

    database.run(&format!("SELECT pg_cancel_backend({pid})")).await?; // it no longer waits for the standby
    committing.await??;
    assert_eq!(catalog::count(database.client(), &t, Some(fence), |_| ()).await?.count, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_is_dropped_leaves_nothing_open() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut database = large(&cluster).await?;
    let t = table(&mut database, "large").await?;
    for moment in 0..40 {
        let within = Duration::from_micros(moment * 500);
        drop(tokio::time::timeout(within, count(&mut database, &t)).await);
        assert!(!in_transaction(&mut database).await?, "dropped after {within:?}");
    }
    assert_eq!(count(&mut database, &t).await?.count, 80_000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_told_from_the_rest() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut database = Database::create(&cluster, "app").await?;
    database.run("CREATE TABLE t (a int)").await?;
    let t = table(&mut database, "t").await?;
    let pid: i32 = database.value("SELECT pg_backend_pid()").await?;
    let other = Database::connect(&cluster.url("app")).await?;
    assert!(other.value::<bool>(&format!("SELECT pg_terminate_backend({pid}, 5000)")).await?);
    let error = count(&mut database, &t).await.unwrap_err();
    assert!(matches!(error, CountError::Disconnected(_)), "{error:?}");
    Ok(())
}

/// Whether the session is in a transaction that lasts longer than one statement.
async fn in_transaction(database: &mut Database) -> Result<bool> {
    // Outside of one, each statement has a snapshot and a start time of its own.
    let now = "SELECT now()::text";
    Ok(database.value::<String>(now).await? == database.value::<String>(now).await?)
}
