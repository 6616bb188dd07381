//! Large transactions are announced while they run, and withdrawn when they come to nothing.

mod support;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use support::{Database, Pgvigil, WebSocket, cluster, cluster_with, options};

support::on_every_major!(is_announced_and_withdrawn, whose_it_is_is_seen_while_the_statement_runs);

/// What is told next of a transaction with `xid`, once it `fits`.
async fn told(socket: &mut WebSocket, xid: u32, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
    let of = |event: &Value| event["transactions"].as_array()?.iter().find(|transaction| transaction["xid"] == xid).cloned();
    let found = |event: &Value| event["type"] == "running" && of(event).is_some_and(|transaction| fits(&transaction));
    socket.until(what, found).await?.last().and_then(of).context("the last one")
}

async fn is_announced_and_withdrawn(major: u32) -> Result<()> {
    let cluster = cluster_with(major, options().set("logical_decoding_work_mem", "64kB")).await?;
    let database = Database::create(&cluster, "app").await?;
    database
        .run(
            "CREATE TABLE \"Order\" (id int PRIMARY KEY); INSERT INTO \"Order\" SELECT generate_series(1, 20000); \
             CREATE PUBLICATION pgvigil FOR ALL TABLES",
        )
        .await?;
    let pgvigil = Pgvigil::serve(&cluster.url("app"), &[]).await?;
    pgvigil.wait_for_count("public.Order", 20000).await?;
    let mut socket = pgvigil.websocket("").await?;
    let mut others = pgvigil.websocket("kinds=commit,running&from=live").await?;

    for (end, state) in [("ROLLBACK", "rolled_back"), ("COMMIT", "committed")] {
        database.run("BEGIN; SELECT pg_logical_emit_message(true, '_bemi', '{\"user\": \"paul\"}')").await?;
        database.run("SAVEPOINT a; DELETE FROM \"Order\" WHERE id <= 5000; ROLLBACK TO a").await?;
        database.run("DELETE FROM \"Order\" WHERE id > 8000").await?;
        let xid: String = database.value("SELECT pg_current_xact_id()::text").await?;
        let xid = xid.parse()?;
        // What came last may still wait at the server.
        let most =
            |transaction: &Value| transaction["changes"].as_u64().is_some_and(|changes| (11_000..=12_000).contains(&changes));
        let running = told(&mut socket, xid, "deletes", most).await?;
        ensure!(running["state"] == "running" && running["exact"] == true, "{running}");
        let table = &running["tables"][0];
        ensure!(table["name"] == "Order" && table["schema"] == "public" && table["deletes"] == running["changes"], "{running}");
        ensure!(running["actor"]["annotation"]["user"] == "paul", "{running}");
        let shown = pgvigil.table("public.Order").await?;
        ensure!(shown["count"] == 20000, "nothing of it is counted: {shown}");

        // Whoever comes now is told at once, who does not want it is not told.
        let mut late = pgvigil.websocket("").await?;
        told(&mut late, xid, "the same", most).await?;
        let mut without = pgvigil.websocket("kinds=status,counts").await?;
        let statuses = without.until("two statuses", |event| event["type"] == "status").await?;
        ensure!(statuses.iter().all(|event| event["type"] != "running"));

        database.run(end).await?;
        let ended = told(&mut socket, xid, state, |transaction| transaction["state"] == state).await?;
        ensure!(ended["since"] == running["since"], "{ended}");
        let gone = |event: &Value| event["type"] == "running" && event["transactions"].as_array().is_some_and(Vec::is_empty);
        socket.until("it to be told no more", gone).await?;
    }
    let commits = others.until("the commit", |event| event["type"] == "commit").await?;
    ensure!(commits.iter().filter(|event| event["type"] == "commit").count() == 1);
    pgvigil.wait_for_count("public.Order", 8000).await
}

/// Of a server with its usual settings, which would wait for much more than there is; in the eyes of a role that may see nothing of what
/// other sessions do.
async fn whose_it_is_is_seen_while_the_statement_runs(major: u32) -> Result<()> {
    let cluster = cluster(major).await?;
    let database = Database::create(&cluster, "app").await?;
    database
        .run(
            "CREATE TABLE \"Order\" (id int PRIMARY KEY); INSERT INTO \"Order\" SELECT generate_series(1, 100000); \
             CREATE PUBLICATION pgvigil FOR ALL TABLES; \
             CREATE ROLE watcher LOGIN REPLICATION; GRANT SELECT ON ALL TABLES IN SCHEMA public TO watcher",
        )
        .await?;
    let url = cluster.url("app").replace("//postgres@", "//watcher@");
    let pgvigil = Pgvigil::serve(&url, &[]).await?;
    pgvigil.wait_for_count("public.Order", 100_000).await?;
    let mut socket = pgvigil.websocket("kinds=running").await?;
    database.run("SET application_name = 'nightly cleanup'").await?;
    database.run("BEGIN; DELETE FROM \"Order\" WHERE id > 50000").await?;
    let xid: String = database.value("SELECT pg_current_xact_id()::text").await?;
    let xid = xid.parse()?;
    let running = told(&mut socket, xid, "whose it is", |transaction| !transaction["actor"].is_null()).await?;
    let actor = &running["actor"];
    ensure!(actor["source"] == "activity" && actor["session_user"] == "postgres", "{actor}");
    ensure!(actor["application_name"] == "nightly cleanup" && actor["pid"].is_u64(), "{actor}");
    ensure!(actor["query"].is_null() && actor["client_addr"].is_null(), "what is not shown to this role is not told: {actor}");
    database.run("ROLLBACK").await?;
    told(&mut socket, xid, "its end", |transaction| transaction["state"] == "rolled_back").await?;
    Ok(())
}
