//! A database, a proxy in front of it, and pgvigil that watches the one through the other.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgvigil::cluster::{Cluster, Options};
use serde_json::Value;

use crate::bystander::Bystander;
use crate::support::{Database, Pgvigil, Proxy, a_major, cluster_with, options, wait_for};

/// The tables that are watched.
pub(crate) const TABLES: [&str; 2] = ["item", "visit"];

const SCHEMA: &str = "
    CREATE TABLE item (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text NOT NULL);
    CREATE TABLE visit (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item bigint);
    INSERT INTO item (note) SELECT 'first' FROM generate_series(1, 1000);
    INSERT INTO visit (item) SELECT id FROM item;
    CREATE PUBLICATION pgvigil FOR ALL TABLES;";

/// What is changed while something is broken: every operation, so that no count stays what it was by chance.
const CHANGES: &str = "
    INSERT INTO item (note) SELECT 'later' FROM generate_series(1, 300);
    UPDATE item SET note = 'changed' WHERE id % 10 = 0;
    DELETE FROM item WHERE id % 7 = 0;
    TRUNCATE visit;
    INSERT INTO visit (item) SELECT id FROM item WHERE id % 3 = 0;";

/// Longer than pgvigil waits for a connection that is dead, or between two tries to make one.
const RECOVERY: Duration = Duration::from_secs(60);

/// A connection that is gone is noticed at once. The rest is for a busy machine.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(3);
/// Without proof for this long what is shown is stale. The rest is for a busy machine.
pub(crate) const UNTIL_STALE: Duration = Duration::from_secs(15 + 4);

pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    pub(crate) proxy: Proxy,
    /// Straight to the server.
    pub(crate) database: Database,
    pub(crate) pgvigil: Pgvigil,
    pub(crate) bystander: Bystander,
}

impl Scene {
    /// Live, with every count exact.
    pub(crate) async fn live() -> Result<Self> {
        Self::live_on(a_major(), options()).await
    }

    pub(crate) async fn live_on(major: u32, options: Options) -> Result<Self> {
        let cluster = cluster_with(major, options).await?;
        let database = app(&cluster).await?;
        let proxy = Proxy::start(cluster.port()).await?;
        let pgvigil = Pgvigil::serve(&proxy.url(&cluster.url("app")), &[]).await?;
        let bystander = Bystander::of(pgvigil.websocket("").await?).await?;
        let scene = Scene { cluster, proxy, database, pgvigil, bystander };
        scene.is_well(0).await?;
        Ok(scene)
    }

    /// Changes the tables.
    pub(crate) async fn change(&self) -> Result<()> {
        self.database.run(CHANGES).await
    }

    /// A new session, after the server ended the one before.
    pub(crate) async fn reconnect(&mut self) -> Result<()> {
        self.database = Database::connect(&self.cluster.url("app")).await?;
        Ok(())
    }

    /// Waits until this state is shown, and nobody is told that pgvigil is ready.
    pub(crate) async fn is_shown_as(&self, state: &str, within: Duration) -> Result<Value> {
        let status = wait_for(&format!("state {state}"), within, async || {
            let status = self.pgvigil.json("/api/v1/status").await?;
            ensure!(status["state"] == state, "{status}");
            Ok(Some(status))
        })
        .await?;
        ensure!(self.pgvigil.get("/readyz").await?.status() == 503, "it says that it is ready");
        ensure!(self.pgvigil.json("/api/v1/tables").await?["state"] != "live", "the tables are shown as live");
        Ok(status)
    }

    /// Waits until all is shown as it is: live, every count exact and the same as the database's own, to the client too; which was told
    /// so many gaps since the beginning.
    pub(crate) async fn is_well(&self, gaps: usize) -> Result<()> {
        wait_for("pgvigil to be ready again", RECOVERY, async || {
            let answer = self.pgvigil.get("/readyz").await?;
            ensure!(answer.status() == 200, "{}", answer.text().await?);
            Ok(Some(()))
        })
        .await
        .with_context(|| self.pgvigil.stderr())?;
        for table in TABLES {
            let count = self.database.count(table).await?;
            self.pgvigil.wait_for_count(&format!("public.{table}"), count).await?;
            self.bystander.wait_for_count(table, count, RECOVERY).await?;
        }
        let told = self.bystander.gaps("slot_lost")?;
        ensure!(told == gaps, "{told} gaps were told, not {gaps}; pgvigil said:\n{}", self.pgvigil.stderr());
        self.bystander.was_never_misled(TABLES.len())
    }
}

/// A database called `app` with two tables and a publication.
pub(crate) async fn app(cluster: &Cluster) -> Result<Database> {
    let database = Database::create(cluster, "app").await?;
    database.run(SCHEMA).await?;
    Ok(database)
}
