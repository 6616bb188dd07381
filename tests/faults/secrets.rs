//! Neither a password nor a row's value is ever printed, whatever is logged and whatever goes wrong.

use std::fmt::Write;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use pgvigil::cluster::Options;
use serde_json::json;

use crate::scene::app;
use crate::support::{PATIENCE, Pgvigil, a_major, cluster_with, options};

const PASSWORD: &str = "pw-Zq7-marmalade";
const VALUE: &str = "value-Kx3-tangerine";

#[tokio::test]
async fn nothing_of_them_is_in_any_output() -> Result<()> {
    let cluster = cluster_with(a_major(), Options { password: Some(PASSWORD.to_owned()), ..options() }).await?;
    let database = app(&cluster).await?;
    let url = cluster.url("app");
    let trace = [("PGVIGIL_LOG", "trace"), ("RUST_BACKTRACE", "full")];
    let mut pgvigil = Pgvigil::serve_with(&url, &["--max-transaction-memory", "64KiB"], &trace).await?;
    pgvigil.wait_for_count("public.item", 1000).await?;

    // Values that come by the stream, that are asked for, filtered by, sent back, and that are wrong for what they should be.
    database.run(&format!("INSERT INTO item (note) SELECT '{VALUE}' FROM generate_series(1, 2000)")).await?;
    database
        .run(&format!("ALTER TABLE item ADD COLUMN extra text DEFAULT '{VALUE}'; DELETE FROM item WHERE note = '{VALUE}'"))
        .await?;
    database.run(&format!("SELECT pg_logical_emit_message(true, 'pgvigil.ddl', '{VALUE}')")).await?;
    let mut client = pgvigil.websocket(&format!("where=note.eq.{VALUE}&from=oldest")).await?;
    client.until("a row", |object| object["new"]["note"] == VALUE).await?;
    client.send(&json!({"type": "subscribe", "where": VALUE, "table": VALUE})).await?;
    client.next_of("error").await?;
    pgvigil.get("/api/v1/tables/public/item/rows?limit=3").await?;
    pgvigil.get(&format!("/api/v1/tables/public/item/rows?after={VALUE}")).await?;
    pgvigil.get(&format!("/api/v1/events?where=note.eq.{VALUE}&limit=2")).await?;
    // The connection breaks, and is made again with the password.
    database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'pgvigil%'").await?;
    client.next_of("gap").await?;
    pgvigil.wait_for_count("public.item", 1000).await?;
    pgvigil.signal(Signal::SIGTERM)?;
    pgvigil.wait(PATIENCE).await?;
    let mut output = pgvigil.stdout() + &pgvigil.stderr();
    ensure!(output.contains(" DEBUG "), "not even debugging is logged:\n{output}");

    // The commands that fail, and those that print what they would do.
    let wrong = url.replace("marmalade", "marmelade-wrong");
    let other_database = cluster.url("nowhere");
    let nonsense = url.replace("postgresql://", "postgresql:///?/");
    for (url, arguments) in [
        (wrong.as_str(), &["serve", "--listen", "127.0.0.1:0"][..]),
        (&other_database, &["serve", "--listen", "127.0.0.1:0"]),
        (&nonsense, &["serve", "--listen", "127.0.0.1:0"]),
        (&url, &["serve", "--listen", "127.0.0.1:0", "--expect-database", "other"]),
        (&url, &["serve", "--listen", "127.0.0.1:0", "--publication", "other"]),
        (&url, &["serve", "--help"]),
        (&url, &["setup"]),
        (&url, &["cleanup"]),
    ] {
        let mut command = Pgvigil::spawn_with(url, arguments, &trace)?;
        command.wait(PATIENCE).await?;
        write!(output, "\n{arguments:?}\n{}{}", command.stdout(), command.stderr())?;
    }
    for secret in [PASSWORD, "marmelade-wrong", VALUE] {
        let told: Vec<_> = output.lines().filter(|line| line.contains(secret)).collect();
        ensure!(told.is_empty(), "{secret} was printed: {told:#?}");
    }
    ensure!(!output.contains('\x1b'), "colours, though nobody sees them");
    Ok(())
}
