//! Whatever happens to tables, their counts follow, in the stream and at rest, whether the database tells of DDL or not.

#[path = "../support/mod.rs"]
mod support;

mod scenarios;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use scenarios::{SCENARIOS, Scenario};
use support::{DDL_MESSAGES, Database, Watched, cluster_with, options};

support::on_every_major!(counts_follow_whatever_happens, counts_follow_whatever_happens_where_ddl_is_told);

async fn counts_follow_whatever_happens(major: u32) -> Result<()> {
    follow(major, "silent", "").await
}

async fn counts_follow_whatever_happens_where_ddl_is_told(major: u32) -> Result<()> {
    follow(major, "telling", DDL_MESSAGES).await
}

/// Plays all scenarios in a database in which `setup` was run.
async fn follow(major: u32, name: &str, setup: &str) -> Result<()> {
    let cluster = cluster_with(major, options().set("logical_decoding_work_mem", "64kB")).await?;
    let database = Database::create(&cluster, name).await?;
    database.run(setup).await?;
    let scenarios = || SCENARIOS.iter().filter(|scenario| scenario.since <= major);
    for scenario in scenarios() {
        let Scenario { name, before, .. } = scenario;
        database.run(&format!("CREATE SCHEMA \"{name}\"; SET search_path = \"{name}\"; {before}")).await?;
    }
    database.run("CREATE PUBLICATION pgvigil FOR ALL TABLES").await?;
    let url = cluster.url(name);
    let start = |streaming| Watched::start(&url, streaming);
    let watched = try_join_all([&["--streaming=true"][..], &["--streaming=false"]].map(start)).await?;
    // Each is held against what a session of its own finds.
    let database = try_join_all(watched.iter().map(|_| Database::connect(&url))).await?;
    let agree = || watched.iter().zip(&database).map(|(watched, database)| watched.agrees(database, Duration::from_secs(20)));
    try_join_all(agree()).await?;
    for Scenario { name, steps, .. } in scenarios() {
        // A session of its own leaves no temporary table to the next.
        let session = Database::connect(&url).await?;
        session.run(&format!("SET search_path = \"{name}\"")).await?;
        for step in *steps {
            session.run(step).await?;
            let right = watched.iter().zip(&database).map(|(watched, database)| watched.is_not_wrong(database));
            try_join_all(right).await.with_context(|| format!("{name}: {step}"))?;
        }
    }
    for agreement in try_join_all(agree()).await? {
        ensure!(agreement.tables > 40 && agreement.rows > 2_000, "{agreement:?} is less than the scenarios make");
    }
    for watched in &watched {
        ensure!(watched.witness.changes() > 10_000);
    }
    Ok(())
}
