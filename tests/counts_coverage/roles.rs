//! What the role that watches may not see.

use anyhow::Result;
use pgvigil::cluster::Cluster;

use crate::Stage;
use crate::support::{PATIENCE, Watched};

pub(crate) async fn row_security(cluster: &Cluster, major: u32) -> Result<()> {
    let before = "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE hidden (id int PRIMARY KEY); INSERT INTO hidden SELECT generate_series(1, 10); \
        ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; CREATE POLICY low ON hidden USING (id <= 3); \
        CREATE ROLE half_blind LOGIN REPLICATION; GRANT SELECT ON ALL TABLES IN SCHEMA public TO half_blind; \
        CREATE PUBLICATION pgvigil FOR ALL TABLES";
    let stage = Stage::set(cluster, major, "row_security", before).await?;
    let watched = Watched::start(&stage.url_of("half_blind"), &["--reconcile=1s"]).await?;
    stage.is_shown_without_number(&watched, "public.hidden", "uncovered", "row-level security").await?;
    watched.pgvigil.wait_for_count("public.t", 0).await?;
    stage.play(&watched, &["INSERT INTO hidden VALUES (11)", "INSERT INTO t VALUES (1)"]).await?;
    stage.database.run("ALTER ROLE half_blind BYPASSRLS").await?;
    watched.agrees(&stage.database, PATIENCE).await?;
    Ok(())
}

pub(crate) async fn no_privilege(cluster: &Cluster, major: u32) -> Result<()> {
    let before = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); CREATE SCHEMA closed; \
        CREATE TABLE closed.t (id int PRIMARY KEY); CREATE ROLE stranger LOGIN REPLICATION; CREATE PUBLICATION pgvigil FOR ALL TABLES";
    let stage = Stage::set(cluster, major, "no_privilege", before).await?;
    let watched = Watched::start(&stage.url_of("stranger"), &["--reconcile=1s"]).await?;
    stage.is_shown_without_number(&watched, "public.t", "uncovered", "GRANT SELECT").await?;
    stage.is_shown_without_number(&watched, "closed.t", "uncovered", "GRANT USAGE").await?;
    stage.play(&watched, &["INSERT INTO t VALUES (2)", "INSERT INTO closed.t VALUES (2)"]).await?;
    stage.database.run("GRANT USAGE ON SCHEMA closed TO stranger; GRANT SELECT ON t, closed.t TO stranger").await?;
    watched.agrees(&stage.database, PATIENCE).await?;
    Ok(())
}
