//! What is kept for a time goes by itself: also where nothing happens, also from memory, and never what is needed to go on.

use anyhow::{Context, Result, ensure};
use pgvigil::cluster::Mode;
use pgvigil::history::journal::verify;
use reqwest::StatusCode;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::slots::{told, up_to};
use crate::support::{Database, PATIENCE, Pgvigil, a_major, wait_for};
use crate::{SCHEMA, bounded, serve};

/// It is answered that what was asked for is no longer kept.
async fn is_gone(pgvigil: &Pgvigil, path: &str) -> Result<bool> {
    let answer = pgvigil.get(path).await?;
    let status = answer.status();
    Ok(status == StatusCode::GONE && answer.text().await?.contains("--keep-for"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_goes_where_nothing_happens_and_the_epoch_goes_on() -> Result<()> {
    let mut cluster = bounded(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let mut pgvigil = serve(&url, &dir, &["--keep-for", "2s"]).await?;
    let mut socket = pgvigil.websocket("kinds=change").await?;
    database.run("INSERT INTO item VALUES (1, 1, 'of nobody else')").await?;
    let change = up_to(&mut socket, 1).await?.pop().context("the change")?;
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned).context("a text");
    let (id, tx) = (text(&change["id"])?, text(&change["tx"]["id"])?);
    let (lsn, time) = (text(&change["tx"]["lsn"])?, text(&change["tx"]["time"])?);
    let epoch = pgvigil.json("/api/v1/status").await?["epoch"].clone();
    // Nothing comes from a server that does not run.
    cluster.stop(Mode::Fast).await?;

    wait_for("the row to go", PATIENCE, async || {
        Ok(is_gone(&pgvigil, &format!("/api/v1/transactions/{tx}")).await?.then_some(()))
    })
    .await
    .with_context(|| pgvigil.stderr())?;
    for question in [format!("until={time}"), format!("until={lsn}"), format!("before={id}")] {
        ensure!(is_gone(&pgvigil, &format!("/api/v1/events?{question}")).await?, "{question}");
    }
    for question in ["limit=9".to_owned(), format!("since={time}"), format!("since={lsn}"), "text=nobody".to_owned()] {
        let page = pgvigil.json(&format!("/api/v1/events?{question}")).await?;
        let is_empty = page["events"].as_array().is_some_and(Vec::is_empty);
        ensure!(is_empty && page["begins"]["cut"] == true && page["begins"]["time"].is_string(), "{question}: {page}");
    }
    let mut again = pgvigil.websocket(&format!("kinds=change&from={id}")).await?;
    let gap = timeout(PATIENCE, again.until("a gap", |event| event["type"] == "gap")).await??;
    ensure!(gap.last().is_some_and(|gap| gap["reason"] == "evicted"), "{gap:?}");
    let report = verify(dir.path())?;
    ensure!((report.events, report.files, report.is_sound()) == (0, 1, true), "{report:?}");

    // Where the stream stands has not gone: whoever was there misses nothing, nor does who watches next.
    cluster.resume().await?;
    let database = Database::connect(&url).await?;
    database.run("INSERT INTO item VALUES (2)").await?;
    ensure!(told(&up_to(&mut socket, 2).await?) == ["2"]);
    ensure!(pgvigil.stop().await?.success(), "{}", pgvigil.stderr());
    database.run("INSERT INTO item VALUES (3)").await?;
    let pgvigil = serve(&url, &dir, &[]).await?;
    let mut socket = pgvigil.websocket("kinds=change&from=oldest").await?;
    let told = told(&up_to(&mut socket, 3).await?);
    ensure!(told == ["2", "3"] || told == ["3"] || told == ["evicted", "3"], "{told:?}");
    pgvigil.wait_for_count("public.item", 3).await?;
    ensure!(pgvigil.json("/api/v1/status").await?["epoch"] == epoch, "another epoch");
    Ok(())
}
