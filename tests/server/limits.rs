//! Clients that take too long, too much or too many, and what becomes of the others.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use crate::fixture::{Server, Setup};
use crate::support::{PATIENCE, wait_for};

const UPGRADE: &str = "GET /api/v1/ws?from=oldest HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const STREAM: &str = "GET /api/v1/stream?from=oldest HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A client that asks, and takes little before it must be read.
async fn ask(server: &Server, request: &str) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut stream = socket.connect(server.address).await?;
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

async fn clients(server: &Server, expected: u64) -> Result<()> {
    wait_for(&format!("{expected} clients"), PATIENCE, async || {
        Ok((server.json("/api/v1/status").await?["clients"] == expected).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_are_closed_and_the_others_miss_nothing() -> Result<()> {
    let stall = Duration::from_millis(500);
    let setup = Setup { history: 64 << 20, ..Setup::default() };
    let mut server = setup.configure(|config| config.limits.stall_time = stall).live().await?;
    let stalled = (ask(&server, UPGRADE).await?, ask(&server, STREAM).await?);
    let mut reader = server.websocket("?kinds=change").await?;
    reader.next_of("hello").await?;
    clients(&server, 3).await?;

    let note = "x".repeat(10_000);
    for (id, lsn) in (0..500).zip((200..).step_by(100)) {
        server.delete_with(lsn, &[id], &note);
        assert_eq!(reader.next_of("change").await?["key"]["id"], id);
    }
    clients(&server, 1).await?;
    server.delete(1_000_000, &[1000]);
    assert_eq!(reader.next_of("change").await?["key"]["id"], 1000);
    drop(stalled);
    Ok(())
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_closed() -> Result<()> {
    let setup = Setup::default().configure(|config| config.limits.ping_every = Duration::from_millis(300));
    let server = setup.live().await?;
    // Reads everything and says nothing.
    let mut silent = ask(&server, UPGRADE).await?;
    let mut read = Vec::new();
    timeout(PATIENCE, silent.read_to_end(&mut read)).await.context("it was not closed")??;
    assert!(read.windows(2).any(|frame| frame == [0x89, 0]), "a ping came");
    assert!(read.windows(4).any(|frame| frame[0] == 0x88 && frame[2..] == [0x03, 0xF0]), "closed for a policy (1008)");

    // A client that answers stays, however long it says nothing else.
    let mut healthy = server.websocket("").await?;
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(2) {
        healthy.next_of("status").await?;
    }
    Ok(())
}

/// Memory of this process, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> Result<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    Ok(pages.split(' ').nth(1).context("a number")?.parse::<usize>()? * 4096)
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_client_costs_little_also_after_a_flood() -> Result<()> {
    const CLIENTS: usize = 300;
    let mut server = Setup::default().live().await?;
    let connect = async |count: usize| {
        let mut sockets = Vec::new();
        for _ in 0..count {
            let mut socket = TcpStream::connect(server.address).await?;
            socket.write_all(UPGRADE.as_bytes()).await?;
            sockets.push(socket);
        }
        Ok::<_, anyhow::Error>(sockets)
    };
    // What the first ones cost is shared by all.
    let first = connect(50).await?;
    clients(&server, 50).await?;
    let before = resident()?;
    let mut others = connect(CLIENTS).await?;
    clients(&server, 50 + CLIENTS as u64).await?;
    let idle = resident()?.saturating_sub(before) / CLIENTS;
    server.delete_with(200, &[1], &"x".repeat(100_000));
    for socket in &mut others {
        let mut flood = vec![0; 100_000];
        timeout(PATIENCE, socket.read_exact(&mut flood)).await??;
    }
    let after = resident()?.saturating_sub(before) / CLIENTS;
    println!("{idle} bytes a client, {after} after a flood");
    // The clients' ends of the sockets, which are in this process too, are part of it.
    assert!(idle <= 8 << 10 && after <= 8 << 10, "an idle client costs {idle} bytes, {after} after a flood");
    drop(first);
    Ok(())
}

#[tokio::test]
async fn a_head_that_drips_is_cut_off() -> Result<()> {
    let setup = Setup::default().configure(|config| config.limits.head_time = Duration::from_millis(300));
    let server = setup.live().await?;
    let mut socket = TcpStream::connect(server.address).await?;
    let dripping = async {
        for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x')) {
            if socket.write_all(&[*byte]).await.is_err() || matches!(socket.try_read(&mut [0; 512]), Ok(0)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, dripping).await.context("it may drip for ever")?;
    // One that says nothing at all too.
    let mut silent = TcpStream::connect(server.address).await?;
    timeout(PATIENCE, silent.read_to_end(&mut Vec::new())).await.context("it may wait for ever")?.ok();
    Ok(())
}

#[tokio::test]
async fn a_frame_that_is_not_masked_is_against_the_protocol() -> Result<()> {
    let server = Setup::default().live().await?;
    let mut socket = ask(&server, UPGRADE).await?;
    socket.write_all(b"\x81\x02{}").await?;
    let mut read = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut read)).await.context("it was not closed")??;
    assert!(read.windows(4).any(|frame| frame[0] == 0x88 && frame[2..] == [0x03, 0xEA]), "closed for the protocol (1002)");
    Ok(())
}

#[tokio::test]
async fn heads_are_bounded() -> Result<()> {
    let server = Setup::default().live().await?;
    let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Large: {}\r\nConnection: close\r\n\r\n", "x".repeat(20_000));
    let answer = server.raw(&head).await?;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let answer = server.raw("nonsense\r\n\r\n").await?;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    Ok(())
}

#[tokio::test]
async fn connections_are_capped_and_places_come_back() -> Result<()> {
    for by_address in [false, true] {
        let setup = Setup::default().configure(|config| {
            config.limits.connections = if by_address { 100 } else { 2 };
            config.limits.connections_per_address = if by_address { 2 } else { 100 };
        });
        let server = setup.live().await?;
        let mut first = server.websocket("").await?;
        first.next_of("hello").await?;
        let mut second = server.websocket("").await?;
        second.next_of("hello").await?;
        // Nothing need be sent to be refused.
        let answer = server.raw("").await?;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("urn:pgvigil:problem:too-many-connections"), "{answer}");
        // Those that are there are not harmed.
        first.next_of("status").await?;
        drop(second);
        wait_for("the place to come back", PATIENCE, async || Ok((server.get("/healthz").await?.status() == 200).then_some(())))
            .await?;
    }
    Ok(())
}
