//! With a synchronous standby that does not answer, a commit is in the log, and so in the stream, long before anyone can see it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgvigil::cluster::Cluster;
use tokio::task::JoinHandle;

use crate::support::{Audit, Database, PATIENCE, Stage, Watched, audit, mark, tables, wait_for};

const TABLES: &str = "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10); \
    CREATE PUBLICATION pgvigil FOR ALL TABLES";

/// Sessions whose commit waits.
struct Waiting {
    sessions: Vec<JoinHandle<Result<()>>>,
}

impl Waiting {
    /// Commits each of these by a session of its own, and returns when all of them wait.
    async fn start(stage: &Stage, statements: &[&'static str]) -> Result<Self> {
        let waiting =
            async || stage.database.value::<i64>("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").await;
        let (before, mut sessions) = (waiting().await?, Vec::new());
        for &statement in statements {
            let session = stage.session().await?;
            sessions.push(tokio::spawn(async move { session.run(statement).await }));
        }
        wait_for("the commits to wait", PATIENCE, async || {
            Ok((waiting().await? == before + i64::try_from(statements.len())?).then_some(()))
        })
        .await?;
        Ok(Waiting { sessions })
    }

    async fn end(self) -> Result<()> {
        for session in self.sessions {
            session.await??;
        }
        Ok(())
    }
}

/// Has every commit wait for a standby that never comes, or no longer.
async fn standby(stage: &Stage, name: &str) -> Result<()> {
    stage.database.run(&format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'")).await?;
    stage.database.run("SELECT pg_reload_conf()").await?;
    wait_for("the setting to be known", PATIENCE, async || {
        let known: String = Database::connect(&stage.url_of("postgres")).await?.value("SHOW synchronous_standby_names").await?;
        Ok((known == name).then_some(()))
    })
    .await
}

/// Counts every table by visibility, and holds it against what was told.
async fn audits(stage: &Stage, watched: &Watched) -> Result<Vec<Audit>> {
    let mut auditor = stage.session().await?;
    let mut audits = Vec::new();
    for table in tables(&stage.database).await? {
        let found =
            audit(auditor.client(), &table.name, table.oid).await?.with_context(|| format!("{} is locked", table.name))?;
        watched.witness.has_heard(mark(&stage.database).await?).await?;
        watched.witness.check(&found)?;
        audits.push(found);
    }
    Ok(audits)
}

pub(crate) async fn commits_that_wait_for_a_standby(cluster: &Cluster, major: u32) -> Result<()> {
    let stage = Stage::set(cluster, major, "standby", TABLES).await?;
    let watched = stage.watch().await?;
    stage.agrees(&watched).await?;
    // What is set up for the test waits for nobody.
    stage.database.run("SET synchronous_commit = local").await?;
    standby(&stage, "nobody").await?;

    let statements = ["INSERT INTO t SELECT generate_series(11, 13)", "DELETE FROM t WHERE id <= 2", "INSERT INTO u VALUES (1)"];
    let waiting = Waiting::start(&stage, &statements).await?;
    watched.witness.has_heard(mark(&stage.database).await?).await?;
    let t = tables(&stage.database).await?.into_iter().find(|table| table.name.ends_with(".t")).context("t")?;
    ensure!(watched.witness.rows(t.oid) == Some(11), "the stream has it all: {:?}", watched.witness.rows(t.oid));
    ensure!(stage.database.count("t").await? == 10, "and nobody can see it");
    audits(&stage, &watched).await?;

    // A table that is first counted now, with rows that the stream has brought and its snapshot cannot see.
    stage.database.run("CREATE TABLE late (id int PRIMARY KEY); INSERT INTO late VALUES (1), (2)").await?;
    let more = Waiting::start(&stage, &["INSERT INTO t VALUES (14)", "INSERT INTO late VALUES (3)"]).await?;
    watched.pgvigil.wait_for_count("public.late", 3).await?;
    audits(&stage, &watched).await?;

    // Someone who comes now must not count what was committed before his slot, and is not visible. He may have to wait.
    let url = stage.url_of("postgres");
    let released = async {
        wait_for("the newcomer to ask for a slot", PATIENCE, async || {
            let asking = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender' AND query ~ '^(CREATE|START)_REPLICATION'";
            Ok((stage.database.value::<i64>(asking).await? == 2).then_some(()))
        })
        .await?;
        standby(&stage, "").await?;
        waiting.end().await?;
        more.end().await
    };
    let (newcomer, released) = tokio::join!(Watched::start(&url, &[]), released);
    released?;
    let newcomer = newcomer?;
    for watched in [&watched, &newcomer] {
        let agreement = watched.agrees(&stage.database, Duration::from_secs(20)).await?;
        ensure!((agreement.tables, agreement.rows) == (3, 12 + 1 + 3), "{agreement:?}");
    }
    Ok(())
}
