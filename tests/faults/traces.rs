//! Nothing is left behind, however pgvigil ends: no slot, no session, no object in the database, no file.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use pgvigil::cluster::Cluster;

use crate::scene::app;
use crate::support::{Database, PATIENCE, Pgvigil, a_major, cluster_with, options, wait_for};

/// Everything that a session could leave in a database or in its server, as text.
const CATALOG: &str = "
    SELECT coalesce(string_agg(line, E'\\n' ORDER BY line), '') FROM (
        SELECT 'slot ' || slot_name FROM pg_replication_slots
        UNION ALL SELECT 'session ' || application_name FROM pg_stat_activity WHERE application_name LIKE 'pgvigil%'
        UNION ALL SELECT 'prepared ' || gid FROM pg_prepared_xacts
        UNION ALL SELECT 'publication ' || pubname FROM pg_publication
        UNION ALL SELECT 'subscription ' || subname FROM pg_subscription
        UNION ALL SELECT 'origin ' || roname FROM pg_replication_origin
        UNION ALL SELECT 'relation ' || oid || ' ' || relname || ' ' || relreplident::text FROM pg_class
        UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
        UNION ALL SELECT 'function ' || oid::regprocedure::text FROM pg_proc
        UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger
        UNION ALL SELECT 'event trigger ' || evtname FROM pg_event_trigger
        UNION ALL SELECT 'type ' || oid || ' ' || typname FROM pg_type
        UNION ALL SELECT 'extension ' || extname FROM pg_extension
        UNION ALL SELECT 'role ' || rolname FROM pg_roles
        UNION ALL SELECT 'setting ' || setconfig::text FROM pg_db_role_setting
        UNION ALL SELECT 'lock ' || mode FROM pg_locks WHERE pid <> pg_backend_pid()
    ) AS lines (line)";

#[tokio::test]
async fn after_sigterm() -> Result<()> {
    leaves_nothing_after(Signal::SIGTERM).await
}

#[tokio::test]
async fn after_sigint() -> Result<()> {
    leaves_nothing_after(Signal::SIGINT).await
}

#[tokio::test]
async fn after_kill_9() -> Result<()> {
    leaves_nothing_after(Signal::SIGKILL).await
}

async fn leaves_nothing_after(end: Signal) -> Result<()> {
    // What the server does on its own account is not ours.
    let cluster = cluster_with(a_major(), options().set("autovacuum", "off").set("logical_decoding_work_mem", "64kB")).await?;
    let database = app(&cluster).await?;
    let before: String = database.value(CATALOG).await?;

    let temporary = tempfile::tempdir()?;
    let mut pgvigil = spilling(&cluster, temporary.path()).await?;
    ensure!(database.value::<String>(CATALOG).await? != before, "the dump does not see that pgvigil is there");
    spill(&pgvigil, &cluster, temporary.path()).await?;

    pgvigil.signal(end)?;
    let status = pgvigil.wait(PATIENCE).await?;
    ensure!(end == Signal::SIGKILL || status.success(), "{status}: {}", pgvigil.stderr());
    ensure!(files(temporary.path())?.is_empty(), "files are left: {:?}", files(temporary.path())?);
    wait_for("the catalog to be what it was", PATIENCE, async || {
        let after: String = database.value(CATALOG).await?;
        let new: Vec<_> = after.lines().filter(|line| !before.lines().any(|old| old == *line)).collect();
        ensure!(after == before, "new: {new:?}");
        Ok(Some(()))
    })
    .await
}

async fn spilling(cluster: &Cluster, temporary: &Path) -> Result<Pgvigil> {
    let folder = temporary.to_str().context("a path")?;
    let pgvigil = Pgvigil::serve_with(&cluster.url("app"), &["--max-transaction-memory", "1MiB"], &[("TMPDIR", folder)]).await?;
    pgvigil.wait_for_count("public.item", 1000).await?;
    Ok(pgvigil)
}

/// Has pgvigil write a file, by a transaction that is streamed before it ends; and sees that the file has no name.
async fn spill(pgvigil: &Pgvigil, cluster: &Cluster, temporary: &Path) -> Result<()> {
    let mut writer = Database::connect(&cluster.url("app")).await?;
    let transaction = writer.client().transaction().await?;
    transaction.batch_execute("INSERT INTO item (note) SELECT repeat('x', 100) FROM generate_series(1, 200000)").await?;
    let descriptors = format!("/proc/{}/fd", pgvigil.pid()?);
    wait_for("a file that has no name", PATIENCE, async || {
        let mut nameless = false;
        for descriptor in fs::read_dir(&descriptors)? {
            let Ok(target) = fs::read_link(descriptor?.path()) else { continue };
            nameless |= target.starts_with(temporary) && target.to_string_lossy().ends_with(" (deleted)");
        }
        ensure!(files(temporary)?.is_empty(), "row data has a name: {:?}", files(temporary)?);
        Ok(nameless.then_some(()))
    })
    .await?;
    transaction.rollback().await?;
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<std::ffi::OsString>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
}
