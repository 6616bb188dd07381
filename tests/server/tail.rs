//! `pgvigil tail`, the real command, at a server in the test's hand.

use std::process::Stdio;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use pgvigil::event::GapReason;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

use crate::fixture::{Server, Setup, live};
use crate::support::{PATIENCE, Pgvigil, Proxy, signal, wait_for};

fn tail(server: &Server, arguments: &[&str]) -> Result<Pgvigil> {
    let url = server.url("");
    Pgvigil::spawn("", &[&["tail", "--url", &url], arguments].concat())
}

/// What it printed: the objects, once there are so many of the wanted types.
async fn printed(tail: &Pgvigil, count: usize, types: &[&str]) -> Result<Vec<Value>> {
    wait_for(&format!("{count} objects"), PATIENCE, async || {
        let objects: Result<Vec<Value>, _> = tail.stdout().lines().map(serde_json::from_str).collect();
        // A line may be there only in part.
        let objects = objects.unwrap_or_default();
        let wanted: Vec<_> = objects.into_iter().filter(|object| types.iter().any(|kind| object["type"] == **kind)).collect();
        Ok((wanted.len() >= count).then_some(wanted))
    })
    .await
    .with_context(|| format!("it said:\n{}{}", tail.stdout(), tail.stderr()))
}

fn ids(objects: &[Value]) -> Vec<i64> {
    objects.iter().filter(|object| object["type"] == "change").filter_map(|object| object["key"]["id"].as_i64()).collect()
}

#[tokio::test]
async fn it_prints_what_was_asked_for_and_ends_well_when_told_to() -> Result<()> {
    let mut server = live().await?;
    server.delete(200, &[1, 2]);
    let mut all = tail(&server, &["--from", "oldest"])?;
    let mut some = tail(&server, &["--from", "oldest", "--where", "id.gte.2", "--kinds", "change"])?;
    printed(&all, 3, &["change", "commit"]).await?;
    printed(&some, 1, &["change"]).await?;
    server.delete(300, &[1, 3]);
    assert_eq!(ids(&printed(&all, 6, &["change", "commit"]).await?), [1, 2, 1, 3]);
    assert_eq!(ids(&printed(&some, 2, &["change", "commit"]).await?), [2, 3]);
    assert!(!all.stdout().contains("\"status\""), "the state of the server is no change");
    all.signal(Signal::SIGINT)?;
    assert_eq!(all.wait(PATIENCE).await?.code(), Some(0), "{}", all.stderr());
    assert_eq!(some.stop().await?.code(), Some(0), "{}", some.stderr());
    assert_eq!(all.stderr() + &some.stderr(), "");
    Ok(())
}

#[tokio::test]
async fn after_a_break_it_goes_on_behind_the_last_event() -> Result<()> {
    let mut server = live().await?;
    let mut proxy = Proxy::start(server.address.port()).await?;
    let url = format!("http://127.0.0.1:{}", proxy.port());
    let mut tail = Pgvigil::spawn("", &["tail", "--url", &url])?;
    printed(&tail, 1, &["hello"]).await?;
    server.delete(200, &[1]);
    printed(&tail, 2, &["change", "commit"]).await?;
    for round in 1..=3_i64 {
        proxy.refuse().await;
        proxy.reset();
        server.delete(200 + 100 * round.unsigned_abs(), &[10 * round, 10 * round + 1]);
        let lost = |times| tail.stderr().matches("connecting again").count() == times;
        wait_for("the loss to be told", PATIENCE, async || Ok(lost(usize::try_from(round)?).then_some(()))).await?;
        proxy.accept().await?;
        printed(&tail, 2 + 3 * usize::try_from(round)?, &["change", "commit"]).await?;
    }
    let objects = printed(&tail, 4, &["hello"]).await?;
    assert_eq!(objects.len(), 4);
    assert_eq!(ids(&printed(&tail, 7, &["change", "gap"]).await?), [1, 10, 11, 20, 21, 30, 31], "nothing twice, nothing missing");
    assert!(printed(&tail, 0, &["gap"]).await?.is_empty());
    assert_eq!(tail.stop().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn what_a_restarted_server_does_not_know_is_a_gap() -> Result<()> {
    let mut first = live().await?;
    let mut tail = tail(&first, &[])?;
    printed(&tail, 1, &["hello"]).await?;
    first.delete(200, &[1]);
    printed(&tail, 1, &["change"]).await?;
    let address = first.address;
    first.cancel.cancel();
    first.serving.await?;
    wait_for("the loss to be told", PATIENCE, async || Ok(tail.stderr().contains("connecting again").then_some(()))).await?;

    let mut second = Setup::default().configure(|config| config.listen = address).start().await?;
    second.begin_epoch(100, None);
    second.begin_epoch(500, Some(GapReason::SlotLost));
    second.delete(600, &[2]);
    let objects = printed(&tail, 3, &["change", "gap"]).await?;
    assert_eq!(ids(&objects), [1, 2]);
    assert_eq!(objects[1]["type"], "gap", "{objects:?}");
    assert!(tail.stderr().contains("connected again"));
    assert_eq!(tail.stop().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_filter_that_is_refused_is_told_in_words_and_ends_it() -> Result<()> {
    let server = live().await?;
    for (arguments, words) in [
        (["--op", "drop"], "op: \"drop\" is no operation; accepted: insert, update, delete, truncate"),
        (["--where", "status"], "column.operator.value"),
        (["--from", "yesterday"], "oldest"),
    ] {
        let mut tail = tail(&server, &arguments)?;
        assert_eq!(tail.wait(PATIENCE).await?.code(), Some(1));
        wait_for("its words", PATIENCE, async || Ok(tail.stderr().contains(words).then_some(()))).await?;
    }
    Ok(())
}

#[tokio::test]
async fn where_nobody_is_it_says_so_and_ends() -> Result<()> {
    let server = live().await?;
    let url = server.url("");
    server.cancel.cancel();
    server.serving.await?;
    let mut tail = Pgvigil::spawn("", &["tail", "--url", &url])?;
    assert_eq!(tail.wait(PATIENCE).await?.code(), Some(1));
    wait_for("its words", PATIENCE, async || Ok(tail.stderr().contains("no pgvigil answers").then_some(()))).await?;
    Ok(())
}

#[tokio::test]
async fn a_reader_who_goes_away_is_a_good_end() -> Result<()> {
    let mut server = live().await?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgvigil"));
    command.args(["tail", "--url", &server.url("")]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    assert!(lines.next_line().await?.context("hello")?.contains("hello"));
    drop(lines);
    let ended = wait_for("its end", PATIENCE, async || {
        let lsn = server.history.newest().context("an event")?.place.commit_lsn.0 + 100;
        server.delete(lsn, &[1]);
        Ok(child.try_wait()?)
    });
    assert_eq!(ended.await?.code(), Some(0));
    let mut said = String::new();
    child.stderr.take().context("its errors")?.read_to_string(&mut said).await?;
    assert_eq!(said, "");
    Ok(())
}

#[tokio::test]
async fn a_reader_who_pauses_does_not_keep_it_from_ending() -> Result<()> {
    let mut server = live().await?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgvigil"));
    command.args(["tail", "--url", &server.url("")]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    assert!(lines.next_line().await?.context("hello")?.contains("hello"));
    // Each is more than a pipe holds: when one was read and it is told to end, it is stuck in the next.
    server.delete_with(200, &[1, 2, 3], &"x".repeat(200_000));
    assert!(lines.next_line().await?.context("a change")?.contains("\"change\""));
    let pid = child.id().context("it runs")?;
    signal(pid, Signal::SIGTERM)?;
    assert_eq!(tokio::time::timeout(PATIENCE, child.wait()).await??.code(), Some(0));
    Ok(())
}
