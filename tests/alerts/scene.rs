//! A database with users, and pgvigil that watches it by rules of the test's own.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use pgvigil::cluster::Cluster;
use serde_json::Value;

use crate::support::{Database, PATIENCE, Pgvigil, cluster, wait_for};

const SCHEMA: &str = r#"
    CREATE TABLE "User" (id int PRIMARY KEY, email text NOT NULL);
    CREATE TABLE game (id int PRIMARY KEY);
    CREATE PUBLICATION pgvigil FOR ALL TABLES;
    INSERT INTO "User" SELECT id, 'confidential' || id || '@example.org' FROM generate_series(1, 22) id;
    INSERT INTO game SELECT generate_series(1, 5);"#;

pub(crate) struct Scene {
    _cluster: Cluster,
    pub(crate) database: Database,
    pub(crate) pgvigil: Pgvigil,
    /// Holds the file of rules.
    _folder: tempfile::TempDir,
}

/// A file of rules in a folder of its own.
pub(crate) fn file(rules: &str) -> Result<(tempfile::TempDir, String)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("alerts.toml");
    std::fs::write(&path, rules)?;
    Ok((folder, text(&path)?))
}

pub(crate) fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().context("a path that is no text")?.to_owned())
}

/// A server with a database called `app`, after `before` was run in it.
pub(crate) async fn app(major: u32, before: &str) -> Result<(Cluster, Database)> {
    let cluster = cluster(major).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    database.run(before).await?;
    Ok((cluster, database))
}

impl Scene {
    pub(crate) async fn new(major: u32, rules: &str, before: &str) -> Result<Self> {
        let (cluster, database) = app(major, before).await?;
        let url = cluster.url("app");
        Self::of(cluster, database, &url, rules, &[], &[]).await
    }

    /// pgvigil watches what is at `url`, with these flags, and every count is known.
    pub(crate) async fn of(
        cluster: Cluster,
        database: Database,
        url: &str,
        rules: &str,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let (_folder, path) = file(rules)?;
        let pgvigil = Pgvigil::serve_with(url, &[&["--alerts", &path], flags].concat(), environment).await?;
        let scene = Scene { _cluster: cluster, database, pgvigil, _folder };
        scene.is_evaluating().await?;
        Ok(scene)
    }

    /// Waits until rules can judge: the watch is live, and has its counts.
    pub(crate) async fn is_evaluating(&self) -> Result<()> {
        let users = self.database.count("\"User\"").await?;
        self.pgvigil.wait_for_count("public.User", users).await?;
        wait_for("rules to be evaluated", PATIENCE, async || {
            let told = self.pgvigil.json("/api/v1/alerts").await?;
            ensure!(told["evaluating"] == true, "{told}");
            Ok(Some(()))
        })
        .await
    }

    /// Waits until an alert of this rule fires.
    pub(crate) async fn fires(&self, rule: &str) -> Result<Value> {
        self.is_told("active", rule).await
    }

    /// Waits until one of this rule has been resolved.
    pub(crate) async fn was_resolved(&self, rule: &str) -> Result<Value> {
        self.is_told("recent", rule).await
    }

    async fn is_told(&self, list: &str, rule: &str) -> Result<Value> {
        let what = format!("{rule} to be {list}");
        let alert = wait_for(&what, PATIENCE, async || {
            let told = self.pgvigil.json("/api/v1/alerts").await?;
            let alert = told[list].as_array().context("a list")?.iter().find(|alert| alert["rule"] == rule);
            Ok(Some(alert.with_context(|| told.to_string())?.clone()))
        });
        alert.await.with_context(|| self.pgvigil.stderr())
    }

    /// The rules of which an alert fires now.
    pub(crate) async fn active(&self) -> Result<Vec<String>> {
        let told = self.pgvigil.json("/api/v1/alerts").await?;
        let active = told["active"].as_array().context("a list")?;
        Ok(active.iter().map(|alert| alert["rule"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// How one webhook does, once that is as it should be.
    pub(crate) async fn webhook(&self, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        wait_for(&format!("webhook {name}: {what}"), PATIENCE, async || {
            let told = self.pgvigil.json("/api/v1/alerts").await?;
            let webhook = told["webhooks"].as_array().context("a list")?.iter().find(|webhook| webhook["name"] == name);
            let webhook = webhook.with_context(|| told.to_string())?;
            ensure!(is_so(webhook), "{webhook}");
            Ok(Some(webhook.clone()))
        })
        .await
    }
}
