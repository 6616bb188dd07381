//! A database of its own for one scenario, on a server that several share.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgvigil::cluster::Cluster;
use serde_json::Value;

use super::postgres::Database;
use super::wait::{PATIENCE, wait_for};
use super::watched::{Agreement, Watched};

/// What `setup` has the database tell of DDL.
pub(crate) const DDL_MESSAGES: &str =
    concat!(include_str!("../../sql/setup/schema.sql"), include_str!("../../sql/setup/ddl_messages.sql"));

/// What `setup` has the database tell of who does it, here of every operation, on every table to come. Goes behind [`DDL_MESSAGES`].
pub(crate) fn attribution() -> String {
    let sql = concat!(include_str!("../../sql/setup/attribution.sql"), include_str!("../../sql/setup/attribution_to_come.sql"));
    let places = [
        ("{operations}", "insert,update,delete,truncate"),
        ("{events}", "INSERT OR UPDATE OR DELETE OR TRUNCATE"),
        ("{of_partitioned}", "INSERT OR UPDATE OR DELETE OR TRUNCATE"),
        ("{query_length}", "500"),
    ];
    let sql = places.into_iter().fold(sql.to_owned(), |sql, (place, value)| sql.replace(place, value));
    assert!(!sql.contains("'{"), "a place of the template has no value here: {sql}");
    sql
}

/// A database, and a session in it.
pub(crate) struct Stage {
    url: String,
    pub(crate) database: Database,
    pub(crate) major: u32,
}

impl Stage {
    /// A new database, in which `before` is run.
    pub(crate) async fn set(cluster: &Cluster, major: u32, name: &str, before: &str) -> Result<Self> {
        let database = Database::create(cluster, name).await?;
        database.run(before).await?;
        Ok(Stage { url: cluster.url(name), database, major })
    }

    /// Another session.
    pub(crate) async fn session(&self) -> Result<Database> {
        Database::connect(&self.url).await
    }

    /// The connection string of another role.
    pub(crate) fn url_of(&self, role: &str) -> String {
        self.url.replace("//postgres@", &format!("//{role}@"))
    }

    /// Someone watches the database.
    pub(crate) async fn watch(&self) -> Result<Watched> {
        Watched::start(&self.url, &[]).await
    }

    /// All counts come to be known, and at no time one that is wrong.
    pub(crate) async fn agrees(&self, watched: &Watched) -> Result<Agreement> {
        watched.agrees(&self.database, PATIENCE).await
    }

    /// Runs statements one by one, each as a query of its own. After each, no number that is told may be wrong.
    pub(crate) async fn play(&self, watched: &Watched, steps: &[&str]) -> Result<()> {
        for step in steps {
            self.database.run(step).await?;
            watched.is_not_wrong(&self.database).await.with_context(|| format!("after {step}"))?;
        }
        Ok(())
    }

    /// Waits until a table is shown without a number, as `state` and for a reason that has this in it.
    pub(crate) async fn is_shown_without_number(
        &self,
        watched: &Watched,
        table: &str,
        state: &str,
        reason: &str,
    ) -> Result<Value> {
        wait_for(&format!("{table} to be {state}"), Duration::from_secs(20), async || {
            let shown = watched.pgvigil.table(table).await?;
            ensure!(
                shown["count_state"] == state && shown["reason"].as_str().is_some_and(|text| text.contains(reason)),
                "{shown}"
            );
            ensure!(shown["count"].is_null(), "{shown}");
            Ok(Some(shown))
        })
        .await
    }
}

/// Plays scenarios, each a function of a server and a major version, all at once on one server.
#[allow(unused_macros, reason = "each test binary uses its own part of it")]
macro_rules! play_all {
    ($cluster:expr, $major:expr, [$($scenario:ident),+ $(,)?]) => {{
        use anyhow::Context as _;
        let (cluster, major) = (&$cluster, $major);
        let played: Vec<anyhow::Result<()>> = futures_util::future::join_all([
            $(Box::pin(async move { $scenario(cluster, major).await.context(stringify!($scenario)) })
                as std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>>>>),+
        ]).await;
        let failed: Vec<String> = played.into_iter().filter_map(|played| Some(format!("{:#}", played.err()?))).collect();
        anyhow::ensure!(failed.is_empty(), "{} scenarios failed:\n{}", failed.len(), failed.join("\n\n"));
        Ok(())
    }};
}
#[allow(unused_imports, reason = "each test binary uses its own part of it")]
pub(crate) use play_all;
