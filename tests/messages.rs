//! Transactions that hold nothing but logical messages: whole as soon as they are there, and never told again to those who come later.

mod support;

use anyhow::{Context, Result, ensure};
use pgvigil::lsn::Lsn;
use serde_json::Value;
use support::{Database, PATIENCE, Pgvigil, WebSocket, a_major, cluster, wait_for};
use tokio::time::timeout;

const QUERY: &str = "kinds=message,counts";

/// The contents of the messages up to the one that says `until`.
async fn contents(socket: &mut WebSocket, until: &str) -> Result<Vec<Value>> {
    let mut messages = Vec::new();
    loop {
        let message = timeout(PATIENCE, socket.next_of("message")).await.context("no message came")??;
        messages.push(message);
        if messages.last().is_some_and(|message| message["content"] == until) {
            return Ok(messages);
        }
    }
}

#[tokio::test]
async fn are_whole_at_once_and_old_for_those_who_come_later() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run("CREATE TABLE item (id int PRIMARY KEY); CREATE PUBLICATION pgvigil FOR ALL TABLES").await?;
    let pgvigil = Pgvigil::serve(&cluster.url("app"), &[]).await?;
    pgvigil.wait_for_count("public.item", 0).await?;
    let say = |text: String| {
        let database = &database;
        async move { database.run(&format!("SELECT pg_logical_emit_message(true, 'test', '{text}')")).await }
    };

    let mut early = pgvigil.websocket(QUERY).await?;
    for number in 0..20 {
        say(format!("old {number}")).await?;
    }
    let last = contents(&mut early, "old 19").await?.pop().unwrap_or_default();
    let tx = last["tx"]["id"].as_str().context("it has a transaction")?;
    let transaction = pgvigil.json(&format!("/api/v1/transactions/{tx}")).await?;
    ensure!(transaction["complete"] == true, "{transaction}");
    ensure!(transaction["events"].as_array().is_some_and(|events| events.len() == 1), "{transaction}");

    // The counts stand behind the messages, once a moment has passed: who comes then begins behind them too.
    let old: Lsn = last["tx"]["lsn"].as_str().context("it has a position")?.parse()?;
    wait_for("the counts to stand behind the messages", PATIENCE, async || {
        let tables = pgvigil.json("/api/v1/tables").await?;
        let shown: Lsn = tables["as_of"]["lsn"].as_str().context("as_of")?.parse()?;
        Ok((shown >= old).then_some(()))
    })
    .await?;
    let mut late = pgvigil.websocket(QUERY).await?;
    late.next_of("hello").await?;
    say("new".to_owned()).await?;
    let told = contents(&mut late, "new").await?;
    ensure!(told.len() == 1, "a new client is told {told:?}");
    Ok(())
}
