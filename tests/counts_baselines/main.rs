//! Tables are counted while others work with them, lock them, rename them, and commit what nobody can see yet.

#[path = "../support/mod.rs"]
mod support;

mod locked;
mod standby;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pgvigil::cluster::Cluster;
use pgvigil::lsn::Lsn;
use serde_json::Value;
use support::{Pgvigil, Stage, a_major, cluster, play_all};

use locked::*;

support::on_every_major!(tables_are_counted_whatever_is_in_the_way, commits_that_wait_for_a_standby, many_small_tables);

async fn tables_are_counted_whatever_is_in_the_way(major: u32) -> Result<()> {
    let cluster = cluster(major).await?;
    play_all!(
        cluster,
        major,
        [
            locked_tables_keep_no_others_waiting,
            renamed_while_locked,
            dropped_while_locked,
            rewritten_while_locked,
            left_out_while_locked
        ]
    )
}

async fn commits_that_wait_for_a_standby(major: u32) -> Result<()> {
    let cluster = cluster(major).await?;
    standby::commits_that_wait_for_a_standby(&cluster, major).await
}

/// How long this machine may take for 500 small tables, each counted in a transaction of its own.
const SOON: Duration = Duration::from_secs(15);

async fn many_small_tables(major: u32) -> Result<()> {
    let cluster: Cluster = cluster(major).await?;
    let make = "DO $$ BEGIN FOR i IN 1..500 LOOP EXECUTE format('CREATE TABLE t%s AS SELECT generate_series(1, %s) AS id', i, i % 7); END LOOP; END $$; \
        CREATE PUBLICATION pgvigil FOR ALL TABLES";
    let stage = Stage::set(&cluster, major, "many", make).await?;
    let started = Instant::now();
    let watched = stage.watch().await?;
    let agreement = stage.agrees(&watched).await?;
    let took = started.elapsed();
    ensure!(agreement.tables == 500 && agreement.rows == 1_497, "{agreement:?}");
    ensure!(took < SOON, "it took {took:?}");
    Ok(())
}

/// The first counts of a database that had no table come in their place, however slowly they are read.
#[tokio::test(flavor = "multi_thread")]
async fn first_counts_come_in_their_place() -> Result<()> {
    let major = a_major();
    let cluster = cluster(major).await?;
    let stage = Stage::set(&cluster, major, "empty", "CREATE PUBLICATION pgvigil FOR ALL TABLES").await?;
    let pgvigil = Pgvigil::serve(&cluster.url("empty"), &[]).await?;
    let mut unread = pgvigil.websocket("kinds=commit,change,counts").await?;
    stage.database.run("CREATE TABLE t (id serial PRIMARY KEY, v text)").await?;
    // More than fits between a client that does not read and the history.
    for _ in 0..40 {
        stage.database.run("INSERT INTO t (v) SELECT repeat('x', 1000) FROM generate_series(1, 1000)").await?;
    }
    pgvigil.wait_for_count("public.t", 40_000).await?;
    let (mut as_of, mut commits) = (Lsn::ZERO, 0);
    while commits < 40 {
        let object = unread.next().await?.context("the server closed the stream")?;
        let lsn = |value: &Value| value.as_str().unwrap_or_default().parse::<Lsn>();
        if object["type"] == "counts" {
            as_of = lsn(&object["as_of"]["lsn"])?;
        } else if object["type"] == "commit" {
            commits += 1;
            ensure!(lsn(&object["tx"]["lsn"])? >= as_of, "after counts as of {as_of} comes {object}");
        }
    }
    Ok(())
}
