//! The stream, by WebSocket and by SSE: what comes, and in which order.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt};
use pgvigil::event::GapReason;
use pgvigil::pipeline::State;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::fixture::{Setup, live, table, user};
use crate::support::{PATIENCE, WebSocket};

const WITHOUT_STATUS: &str = "?kinds=change,commit,counts";

fn types(objects: &[Value]) -> Vec<&str> {
    objects.iter().map(|object| object["type"].as_str().unwrap_or("?")).collect()
}

async fn take(socket: &mut WebSocket, count: usize) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for _ in 0..count {
        objects.push(socket.next().await?.context("the server closed the stream")?);
    }
    Ok(objects)
}

/// The code with which the server closes.
async fn close_code(socket: &mut WebSocket) -> Result<CloseCode> {
    loop {
        match timeout(PATIENCE, socket.socket().next()).await?.context("closed without a word")?? {
            Message::Close(frame) => return Ok(frame.context("a code")?.code),
            _ => continue,
        }
    }
}

#[tokio::test]
async fn hello_then_all_counts_then_what_happens() -> Result<()> {
    let mut server = live().await?;
    let mut socket = server.websocket(WITHOUT_STATUS).await?;
    let start = take(&mut socket, 2).await?;
    assert_eq!(types(&start), ["hello", "counts"]);
    let [hello, counts] = [&start[0], &start[1]];
    assert_eq!(
        (&hello["protocol"], &hello["epoch"], &hello["lsn"], &hello["state"]),
        (&json!(1), &json!("1"), &json!("0/64"), &json!("live"))
    );
    assert_eq!(hello["database"]["name"], "app");
    assert_eq!(
        (&counts["whole"], &counts["as_of"]["lsn"], &counts["tables"][0]["count"]),
        (&json!(true), &json!("0/64"), &json!(22))
    );

    server.delete(200, &[1, 2]);
    server.count(209, [user(20), table(7, "Game", 5)]);
    let next = take(&mut socket, 4).await?;
    assert_eq!(types(&next), ["change", "change", "commit", "counts"]);
    assert_eq!((&next[0]["id"], &next[1]["id"]), (&json!("1.0-C8.1"), &json!("1.0-C8.2")));
    assert_eq!((&next[3]["whole"], &next[3]["as_of"]["lsn"]), (&json!(false), &json!("0/D1")));

    // Only what changed, and what is no more.
    server.count(300, [user(20)]);
    let counts = socket.next_of("counts").await?;
    assert_eq!((&counts["whole"], &counts["tables"], &counts["gone"]), (&json!(false), &json!([]), &json!([7])));
    Ok(())
}

#[tokio::test]
async fn counts_never_overtake_the_events_they_count() -> Result<()> {
    let mut server = live().await?;
    let mut socket = server.websocket(WITHOUT_STATUS).await?;
    take(&mut socket, 2).await?;
    // Told before the block is there.
    server.count_after(2, 309, [user(18)]);
    server.delete(200, &[1, 2]);
    server.delete(300, &[3, 4]);
    server.delete(400, &[5]);
    let objects = take(&mut socket, 9).await?;
    assert_eq!(types(&objects), ["change", "change", "commit", "change", "change", "commit", "counts", "change", "commit"]);
    Ok(())
}

#[tokio::test]
async fn counts_are_told_though_newer_ones_are_always_further_on() -> Result<()> {
    let mut server = live().await?;
    let mut socket = server.websocket(WITHOUT_STATUS).await?;
    take(&mut socket, 2).await?;
    server.count_after(2, 309, [user(20)]);
    server.delete(200, &[1]);
    assert_eq!(types(&take(&mut socket, 2).await?), ["change", "commit"]);
    server.count_after(3, 409, [user(19)]);
    server.delete(300, &[2]);
    let objects = take(&mut socket, 3).await?;
    assert_eq!(types(&objects), ["change", "commit", "counts"]);
    assert_eq!(objects[2]["as_of"]["lsn"], "0/135");
    server.delete(400, &[3]);
    let objects = take(&mut socket, 3).await?;
    assert_eq!((types(&objects), &objects[2]["as_of"]["lsn"]), (vec!["change", "commit", "counts"], &json!("0/199")));
    Ok(())
}

#[tokio::test]
async fn nothing_that_came_after_the_counts_is_missed_or_told_twice() -> Result<()> {
    let mut server = live().await?;
    server.delete(200, &[1]);
    server.count(209, [user(21)]);
    // Not counted yet when the client comes.
    server.delete(300, &[2]);
    let mut socket = server.websocket(WITHOUT_STATUS).await?;
    let objects = take(&mut socket, 4).await?;
    assert_eq!(types(&objects), ["hello", "counts", "change", "commit"]);
    assert_eq!((&objects[0]["lsn"], &objects[2]["key"]["id"]), (&json!("0/D1"), &json!(2)));
    Ok(())
}

#[tokio::test]
async fn hello_waits_until_the_stream_is_held() -> Result<()> {
    let mut server = Setup::default().start().await?;
    let mut socket = server.websocket("").await?;
    let waiting = take(&mut socket, 3).await?;
    assert_eq!(types(&waiting), ["status", "status", "status"]);
    assert_eq!(waiting[0]["state"], "connecting");
    server.begin_epoch(100, None);
    server.count(100, [user(22)]);
    server.delete(200, &[1]);
    let mut objects = socket.until("a change", |object| object["type"] == "change").await?;
    objects.retain(|object| object["type"] != "status");
    assert_eq!(types(&objects)[..2], ["hello", "counts"]);
    assert_eq!(objects.last().map(|change| &change["key"]["id"]), Some(&json!(1)));
    Ok(())
}

#[tokio::test]
async fn a_change_of_state_is_told_at_once() -> Result<()> {
    let slow = Setup::default().configure(|config| config.heartbeat = Duration::from_secs(3600));
    let server = slow.live().await?;
    let mut socket = server.websocket("").await?;
    let start = take(&mut socket, 3).await?;
    assert_eq!(types(&start), ["hello", "counts", "status"]);
    server.note(|status| (status.state, status.reason) = (State::Disconnected, Some("The server was stopped.".to_owned())));
    let status = socket.next_of("status").await?;
    assert_eq!((&status["state"], &status["reason"]), (&json!("disconnected"), &json!("The server was stopped.")));
    assert!(status["uptime_ms"].is_u64());
    Ok(())
}

#[tokio::test]
async fn a_client_goes_on_where_it_was() -> Result<()> {
    let mut server = live().await?;
    server.delete(200, &[1, 2]);
    server.delete(300, &[3]);
    server.count(309, [user(19)]);
    let mut socket = server.websocket("?from=1.0-C8.1&kinds=change,counts").await?;
    let objects = take(&mut socket, 4).await?;
    assert_eq!(types(&objects), ["hello", "counts", "change", "change"]);
    assert_eq!((&objects[2]["id"], &objects[3]["id"]), (&json!("1.0-C8.2"), &json!("1.0-12C.1")));

    let mut oldest = server.websocket("?from=oldest&kinds=change").await?;
    let objects = take(&mut oldest, 4).await?;
    assert_eq!(objects[1]["id"], "1.0-C8.1");

    // What `hello` names can be resumed from, also when nothing happened since, and when the stream is beyond the newest event.
    server.count(5000, [user(19)]);
    let hello = server.websocket("").await?.next_of("hello").await?;
    let from = hello["from"].as_str().context("an id")?;
    let mut resumed = server.websocket(&format!("?from={from}&kinds=change")).await?;
    resumed.next_of("hello").await?;
    server.delete(6000, &[9]);
    assert_eq!(resumed.next().await?.context("a change")?["key"]["id"], 9);
    Ok(())
}

#[tokio::test]
async fn what_is_lost_is_told_as_a_gap_and_counted_anew() -> Result<()> {
    let mut server = Setup { history: 64 << 10, ..Setup::default() }.live().await?;
    server.delete(200, &[1]);
    let note = "x".repeat(10_000);
    for lsn in (300..).step_by(100).take(10) {
        server.delete_with(lsn, &[1], &note);
    }
    server.count(1300, [user(11)]);
    for (from, reason) in [("1.0-C8.1", "evicted"), ("zz.0-C8.1", "restart")] {
        let mut socket = server.websocket(&format!("?from={from}&kinds=change,counts")).await?;
        let objects = socket.until("a change", |object| object["type"] == "change").await?;
        assert_eq!(types(&objects), ["hello", "counts", "gap", "counts", "change"]);
        assert_eq!((&objects[2]["from"], &objects[2]["reason"]), (&json!(from), &json!(reason)));
        assert_eq!(objects[3]["whole"], true);
    }
    Ok(())
}

#[tokio::test]
async fn counts_from_before_a_gap_are_never_shown_after_it() -> Result<()> {
    let mut server = live().await?;
    let mut socket = server.websocket(WITHOUT_STATUS).await?;
    take(&mut socket, 2).await?;
    server.begin_epoch(500, Some(GapReason::SlotLost));
    let gap = socket.next_of("gap").await?;
    assert_eq!((&gap["reason"], &gap["to"]), (&json!("slot_lost"), &json!("2.0-1F4.0")));
    // The counts of the first epoch are still what is published; they belong to the time before the gap.
    server.delete(600, &[1]);
    assert_eq!(types(&take(&mut socket, 2).await?), ["change", "commit"]);
    server.count(609, [user(None)]);
    let counts = socket.next_of("counts").await?;
    assert_eq!((&counts["whole"], &counts["tables"][0]["count"]), (&json!(true), &Value::Null));
    Ok(())
}

#[tokio::test]
async fn a_subscription_can_be_changed() -> Result<()> {
    let mut server = live().await?;
    let mut socket = server.websocket("?kinds=change").await?;
    socket.next_of("hello").await?;
    server.delete(200, &[1]);
    socket.next_of("change").await?;
    socket.send(&json!({"type": "subscribe", "kinds": ["commit", "change"], "where": "id.eq.3"})).await?;
    socket.next_of("subscribed").await?;
    server.delete(300, &[2, 3]);
    let objects = take(&mut socket, 2).await?;
    assert_eq!((types(&objects), &objects[0]["key"]["id"]), (vec!["change", "commit"], &json!(3)));
    socket.send(&json!({"type": "subscribe", "kinds": "change", "from": "oldest"})).await?;
    let again = socket.until("all of it again", |object| object["id"] == "1.0-12C.2").await?;
    assert_eq!(types(&again), ["subscribed", "change", "change", "change"]);
    // And with counts, all of them come first.
    socket.send(&json!({"type": "subscribe", "kinds": "counts"})).await?;
    assert_eq!(types(&take(&mut socket, 2).await?), ["subscribed", "counts"]);
    Ok(())
}

#[tokio::test]
async fn who_asks_for_a_table_that_is_not_there_is_told() -> Result<()> {
    let server = live().await?;
    let mut socket = server.websocket("?table=user,User").await?;
    assert_eq!(socket.next_of("hello").await?["no_such_table"], json!(["public.user"]));
    socket.send(&json!({"type": "subscribe", "table": "User"})).await?;
    assert_eq!(socket.next_of("subscribed").await?, json!({"type": "subscribed"}));
    socket.send(&json!({"type": "subscribe", "table": "shop.x"})).await?;
    assert_eq!(socket.next_of("subscribed").await?["no_such_table"], json!(["shop.x"]));
    Ok(())
}

#[tokio::test]
async fn what_is_not_understood_is_an_error_and_the_connection_stays() -> Result<()> {
    let mut server = live().await?;
    let mut socket = server.websocket("?kinds=change").await?;
    socket.next_of("hello").await?;
    for text in [
        "",
        "nonsense",
        "[1]",
        r#"{"type":"publish"}"#,
        r#"{"type":"subscribe","tabel":"x"}"#,
        r#"{"type":"subscribe","op":"drop"}"#,
    ] {
        socket.socket().send(Message::text(text)).await?;
        let error = socket.next().await?.context("an answer")?;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("invalid-parameter")), "{text}");
        assert!(error["message"].as_str().is_some_and(|message| message.len() > 20));
    }
    server.delete(200, &[1]);
    assert_eq!(socket.next().await?.context("a change")?["type"], "change");
    Ok(())
}

#[tokio::test]
async fn kinds_that_are_not_wanted_do_not_come() -> Result<()> {
    let mut server = live().await?;
    let mut socket = server.websocket("?kinds=commit&table=public.User&op=delete").await?;
    socket.next_of("hello").await?;
    server.delete(200, &[1, 2]);
    server.count(209, [user(20)]);
    server.delete(300, &[3]);
    let objects = take(&mut socket, 2).await?;
    assert_eq!((types(&objects), &objects[1]["tx"]["id"]), (vec!["commit", "commit"], &json!("1-0-12C")));
    Ok(())
}

#[tokio::test]
async fn everything_that_waits_comes_whatever_its_size() -> Result<()> {
    let mut server = Setup { history: 64 << 20, ..Setup::default() }.live().await?;
    let ids: Vec<i64> = (0..3000).collect();
    server.delete(200, &ids);
    // Frames with each form of length: up to 125, to 65,535, and beyond, gathered and alone.
    for (lsn, size) in [(300, 0), (400, 200), (500, 60_000), (600, 17_000), (700, 70_000), (800, 3_000_000), (900, 1)] {
        server.delete_with(lsn, &[i64::try_from(size)?], &"é".repeat(size / 2));
    }
    let mut socket = server.websocket("?from=oldest&kinds=change").await?;
    socket.next_of("hello").await?;
    let objects = take(&mut socket, ids.len() + 7).await?;
    let found: Vec<i64> = objects.iter().filter_map(|object| object["key"]["id"].as_i64()).collect();
    assert_eq!(found[..3000], ids);
    assert_eq!(found[3000..], [0, 200, 60_000, 17_000, 70_000, 3_000_000, 1]);
    assert_eq!(objects[3005]["old"]["note"].as_str().map(str::len), Some(3_000_000));
    Ok(())
}

#[tokio::test]
async fn sse_carries_the_same_with_ids_and_resumes() -> Result<()> {
    let mut server = live().await?;
    let mut source = server.event_source(WITHOUT_STATUS, None).await?;
    server.delete(200, &[1, 2]);
    let mut events = Vec::new();
    while events.len() < 5 {
        events.push(source.next().await?.context("the server closed the stream")?);
    }
    let kinds: Vec<_> = events.iter().map(|event| event.data["type"].as_str().unwrap_or("?")).collect();
    assert_eq!(kinds, ["hello", "counts", "change", "change", "commit"]);
    let ids: Vec<_> = events.iter().map(|event| event.id.as_deref()).collect();
    assert_eq!(ids, [None, None, Some("1.0-C8.1"), Some("1.0-C8.2"), Some("1.0-C8.3")]);

    drop(source);
    server.delete(300, &[3]);
    let mut resumed = server.event_source("?kinds=change&from=live", Some("1.0-C8.1")).await?;
    let objects = resumed.until("the last change", |object| object["key"]["id"] == 3).await?;
    assert_eq!(types(&objects), ["hello", "change", "change"]);
    let client = reqwest::Client::builder().no_proxy().build()?;
    let refused = client.get(server.url("/api/v1/stream")).header("last-event-id", "yesterday").send().await?;
    assert_eq!(refused.status(), 400);
    Ok(())
}

#[tokio::test]
async fn every_client_is_told_when_the_server_ends() -> Result<()> {
    let server = live().await?;
    let mut socket = server.websocket("").await?;
    socket.next_of("hello").await?;
    let mut source = server.event_source("", None).await?;
    source.next().await?;
    server.cancel.cancel();
    assert_eq!(close_code(&mut socket).await?, CloseCode::Away);
    while source.next().await?.is_some() {}
    timeout(PATIENCE, server.serving).await??;
    Ok(())
}

#[tokio::test]
async fn abuse_is_answered_with_the_proper_code() -> Result<()> {
    let server = live().await?;
    let mut binary = server.websocket("").await?;
    binary.socket().send(Message::binary(vec![0; 8])).await?;
    assert_eq!(close_code(&mut binary).await?, CloseCode::Unsupported);

    let mut oversize = server.websocket("").await?;
    oversize.socket().send(Message::text("x".repeat(9000))).await?;
    assert_eq!(close_code(&mut oversize).await?, CloseCode::Size);

    // 8 KiB are fine.
    let mut large = server.websocket("?kinds=change").await?;
    large.next_of("hello").await?;
    large.socket().send(Message::text("x".repeat(8000))).await?;
    assert_eq!(large.next().await?.context("an answer")?["type"], "error");

    let mut client_closes = server.websocket("").await?;
    client_closes.socket().close(None).await?;
    while let Some(message) = timeout(PATIENCE, client_closes.socket().next()).await? {
        message?;
    }
    Ok(())
}
