//! Hostile input, floods and spoofs: a client that was there before goes on as if nothing had happened.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::scene::{Scene, TABLES};
use crate::support::{PATIENCE, UPGRADE, wait_for};

/// The bystander hears of one more change, soon.
async fn goes_on(scene: &Scene) -> Result<()> {
    let heard = scene.bystander.times("change");
    scene.database.run("INSERT INTO item (note) VALUES ('during the attack')").await?;
    wait_for(
        "the change to be told",
        Duration::from_secs(5),
        async || Ok((scene.bystander.times("change") > heard).then_some(())),
    )
    .await
}

/// What pgvigil answers until it closes the connection or says no more.
async fn answer(mut socket: TcpStream) -> Result<String> {
    let mut answer = Vec::new();
    timeout(Duration::from_millis(500), socket.read_to_end(&mut answer)).await.ok();
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http() -> Result<()> {
    let scene = Scene::live().await?;
    let tls: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let http2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let postgres: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
    let noise: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let endless_head = [b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec(), vec![b'x'; 1 << 20]].concat();
    let many_headers = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "A: b\r\n".repeat(5000)).into_bytes();
    let two_lengths: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!";
    let smuggled: &[u8] =
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x";
    for said in [tls, http2, postgres, &noise, &endless_head, &many_headers, two_lengths, smuggled, b"\0", b"\r\n\r\n\r\n"] {
        for _ in 0..10 {
            // It may be closed before everything was said.
            if let Ok(socket) = scene.pgvigil.raw(said).await {
                drop(tokio::spawn(answer(socket)));
            }
        }
        goes_on(&scene).await?;
    }
    scene.is_well(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_websocket() -> Result<()> {
    let scene = Scene::live().await?;
    let huge: &[u8] = b"\x81\xff\x0f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0";
    let long = [&b"\x81\xff\0\0\0\0\0\x10\0\0\0\0\0\0"[..], &vec![b'x'; 1 << 20]].concat();
    let reserved: &[u8] = b"\xf1\x80\0\0\0\0";
    let unknown: &[u8] = b"\x8b\x80\0\0\0\0";
    let long_ping = [&b"\x89\xfe\x10\0\0\0\0\0"[..], &[0; 4096]].concat();
    let not_utf8: &[u8] = b"\x81\x82\0\0\0\0\xff\xfe";
    let without_end = [&b"\x01\x81\0\0\0\0x"[..], &b"\x00\x81\0\0\0\0x".repeat(20_000)].concat();
    for said in [huge, &long, reserved, unknown, &long_ping, not_utf8, &without_end, &[0xff; 5000]] {
        let mut socket = scene.pgvigil.raw(UPGRADE).await?;
        // It may be closed before everything was said.
        socket.write_all(said).await.ok();
        let closed = timeout(PATIENCE, socket.read_to_end(&mut Vec::new())).await;
        ensure!(closed.is_ok(), "it stays open after {:?}", &said[..said.len().min(14)]);
        goes_on(&scene).await?;
    }
    scene.is_well(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_subscriptions_and_absurd_filters() -> Result<()> {
    let scene = Scene::live().await?;
    let mut client = scene.pgvigil.websocket("kinds=change").await?;
    client.next_of("hello").await?;
    for round in 0..5000 {
        client.send(&json!({"type": "subscribe", "where": format!("id.eq.{round}"), "from": "oldest"})).await?;
    }
    client.send(&json!({"type": "subscribe", "where": "note.eq.during the attack"})).await?;
    // Each is answered, and the last one holds.
    for _ in 0..5001 {
        client.until("an answer", |object| object["type"] == "subscribed").await?;
    }
    goes_on(&scene).await?;
    client.until("what it asked for last", |object| object["new"]["note"] == "during the attack").await?;

    for filter in [
        "where=".to_owned() + &"id.eq.1&where=".repeat(250) + "id.eq.1",
        "table=".to_owned() + &"a,".repeat(1900) + "a",
        "where=note.like.".to_owned() + &"%25_".repeat(500),
        "where=note.in.(".to_owned() + &"x,".repeat(1500) + "x)",
        "where=".to_owned() + &"not.".repeat(900) + "id.eq.1",
        "where=id.eq.".to_owned() + &"9".repeat(3500),
        "from=".to_owned() + &"9".repeat(3500),
        "where=%00.eq.%FF&op=%F0%9F&table=%2e%2e%2f".to_owned(),
        "x".repeat(1 << 14),
    ] {
        for path in ["events", "stream", "ws"] {
            let answer = timeout(PATIENCE, scene.pgvigil.get(&format!("/api/v1/{path}?{filter}"))).await??;
            ensure!(!answer.status().is_server_error() || answer.status() == 503, "{}: {filter:.60}", answer.status());
        }
        goes_on(&scene).await?;
    }
    let nested = "[".repeat(4000);
    client.send(&serde_json::Value::String(nested)).await?;
    client.next_of("error").await?;
    scene.is_well(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_connections_and_slow_loris() -> Result<()> {
    let scene = Scene::live().await?;
    let mut flood = Vec::new();
    for number in 0..3000 {
        let said: &[u8] = if number % 2 == 0 { b"GET /api/v1/ws HTTP/1.1\r\nHost: loc" } else { b"" };
        // Those beyond the cap are turned away.
        if let Ok(socket) = scene.pgvigil.raw(said).await {
            flood.push(socket);
        }
    }
    for round in 0..10 {
        for socket in flood.iter_mut().skip(round).step_by(10) {
            socket.write_all(b"x").await.ok();
        }
        goes_on(&scene).await?;
    }
    // While they are still there, as far as they are concerned.
    wait_for("places to come back", PATIENCE, async || Ok((scene.pgvigil.get("/healthz").await?.status() == 200).then_some(())))
        .await?;
    drop(flood);
    scene.is_well(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn spoofs_and_paths_that_lead_elsewhere() -> Result<()> {
    let scene = Scene::live().await?;
    let origin = scene.pgvigil.address().to_owned();
    let ask = async |line: &str, headers: &str| {
        answer(scene.pgvigil.raw(format!("{line} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").as_bytes()).await?).await
    };
    for path in [
        "/../../../../etc/passwd",
        "/..%2f..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..\\..\\etc\\passwd",
        "//etc/passwd",
        "/web/../Cargo.toml",
        "/index.html%00.js",
        "/app.js/../../Cargo.toml",
        "file:///etc/passwd",
    ] {
        let answer = ask(&format!("GET {path}"), &format!("Host: {origin}\r\n")).await?;
        let refused = ["HTTP/1.1 400 ", "HTTP/1.1 403 ", "HTTP/1.1 404 "].iter().any(|status| answer.starts_with(status));
        ensure!(refused && !answer.contains("root:") && !answer.contains("[package]"), "{path}: {answer}");
    }
    for headers in [
        "Host: evil.example\r\n".to_owned(),
        "Host: localhost.evil.example\r\n".to_owned(),
        format!("Host: {origin}\r\nHost: evil.example\r\n"),
        format!("Host: {origin}\r\nOrigin: http://evil.example\r\n"),
        format!("Host: {origin}\r\nOrigin: null\r\n"),
        format!("Host: {origin}\r\nOrigin: http://{origin}.evil.example\r\n"),
        "X-Forwarded-Host: localhost\r\nHost: evil.example\r\n".to_owned(),
    ] {
        for path in ["/", "/api/v1/status", "/api/v1/tables/public/item/rows", "/api/v1/stream", "/api/v1/ws", "/metrics"] {
            let answer = ask(&format!("GET {path}"), &headers).await?;
            ensure!(answer.starts_with("HTTP/1.1 4") && !answer.contains("first"), "{path} with {headers:?}: {answer}");
        }
    }
    goes_on(&scene).await?;
    scene.bystander.was_never_misled(TABLES.len())
}
