//! Whatever happens to tables, their counts follow, in the stream and at rest, whether the database tells of DDL or not.

#[path = "../support/mod.rs"]
mod support;

mod scenarios;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use scenarios::{SCENARIOS, Scenario};
use support::{DDL_MESSAGES, Database, Watched, cluster_with, options};

support::on_every_major!(counts_follow_whatever_happens);

async fn counts_follow_whatever_happens(major: u32) -> Result<()> {
    let cluster = cluster_with(major, options().set("logical_decoding_work_mem", "64kB")).await?;
    for tells_ddl in [false, true] {
        let name = if tells_ddl { "telling" } else { "silent" };
        let database = Database::create(&cluster, name).await?;
        if tells_ddl {
            database.run(DDL_MESSAGES).await?;
        }
        let scenarios = || SCENARIOS.iter().filter(|scenario| scenario.since <= major);
        for scenario in scenarios() {
            let Scenario { name, before, .. } = scenario;
            database.run(&format!("CREATE SCHEMA \"{name}\"; SET search_path = \"{name}\"; {before}")).await?;
        }
        database.run("CREATE PUBLICATION pgvigil FOR ALL TABLES").await?;
        let url = cluster.url(name);
        let start = |streaming| Watched::start(&url, streaming);
        let watched = try_join_all([&["--streaming=true"][..], &["--streaming=false"]].map(start)).await?;
        for watched in &watched {
            watched.agrees(&database, Duration::from_secs(20)).await?;
        }
        for Scenario { name, steps, .. } in scenarios() {
            // A session of its own leaves no temporary table to the next.
            let session = Database::connect(&url).await?;
            session.run(&format!("SET search_path = \"{name}\"")).await?;
            for step in *steps {
                session.run(step).await?;
                for watched in &watched {
                    watched.is_not_wrong(&database).await.with_context(|| format!("{name}: {step}"))?;
                }
            }
        }
        for watched in &watched {
            let agreement = watched.agrees(&database, Duration::from_secs(20)).await?;
            ensure!(agreement.tables > 40 && agreement.rows > 2_000, "{agreement:?} is less than the scenarios make");
            ensure!(watched.witness.changes() > 10_000);
        }
    }
    Ok(())
}
