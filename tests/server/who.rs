//! Who may ask: every combination of `Host` and `Origin`, on HTTP and on the WebSocket.

use anyhow::Result;

use crate::fixture::{Server, Setup};

const UPGRADE: &str = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The status line's code, and the answer.
async fn ask(server: &Server, path: &str, headers: &str, connection: &str) -> Result<(u16, String)> {
    let request = format!("GET {path} HTTP/1.1\r\n{headers}Connection: {connection}\r\n\r\n");
    let answer = if connection == "close" { server.raw(&request).await? } else { first_line(server, &request).await? };
    let code = answer.split(' ').nth(1).unwrap_or_default().parse()?;
    Ok((code, answer))
}

/// A WebSocket that was opened does not close: what comes first is enough.
async fn first_line(server: &Server, request: &str) -> Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(server.address).await?;
    socket.write_all(request.as_bytes()).await?;
    let mut answer = vec![0; 1024];
    let read = tokio::time::timeout(crate::support::PATIENCE, socket.read(&mut answer)).await??;
    Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
}

#[tokio::test]
async fn host_and_origin_decide_on_http_and_websocket_alike() -> Result<()> {
    let allow =
        |config: &mut pgvigil::server::Config| config.allow_origins = vec!["https://watch.example.org".parse().expect("one")];
    let server = Setup::default().configure(allow).live().await?;
    let port = server.address.port();
    let hosts = [
        (format!("127.0.0.1:{port}"), true),
        (format!("localhost:{port}"), true),
        (format!("[::1]:{port}"), true),
        ("watch.example.org".to_owned(), true),
        (format!("evil.example:{port}"), false),
        (format!("10.1.2.3:{port}"), false),
        (format!("localhost.evil.example:{port}"), false),
    ];
    for (host, known) in &hosts {
        let origins = [
            (None, true),
            (Some(format!("http://{host}")), true),
            (Some("https://watch.example.org".to_owned()), true),
            (Some(format!("https://{host}.")), false),
            (Some("http://evil.example".to_owned()), false),
            (Some("http://localhost:1".to_owned()), false),
            (Some("null".to_owned()), false),
        ];
        for (origin, allowed) in origins {
            let given = origin.as_ref().map_or(String::new(), |origin| format!("Origin: {origin}\r\n"));
            let headers = format!("Host: {host}\r\n{given}");
            let expected = if *known && allowed { (200, 101) } else { (403, 403) };
            let (http, answer) = ask(&server, "/api/v1/status", &headers, "close").await?;
            let (websocket, _) = ask(&server, "/api/v1/ws", &format!("{headers}{UPGRADE}"), "Upgrade").await?;
            assert_eq!((http, websocket), expected, "{host} {origin:?}");
            if http == 403 {
                assert!(answer.contains("application/problem+json") && answer.contains("-refused"), "{answer}");
                assert!(!answer.contains("16384"), "nothing of the status is told: {answer}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_allowed_origin_may_read_and_no_other_is_told_so() -> Result<()> {
    let allow =
        |config: &mut pgvigil::server::Config| config.allow_origins = vec!["https://watch.example.org".parse().expect("one")];
    let server = Setup::default().configure(allow).live().await?;
    let (_, allowed) = ask(&server, "/healthz", "Host: localhost\r\nOrigin: https://watch.example.org\r\n", "close").await?;
    assert!(allowed.contains("access-control-allow-origin: https://watch.example.org\r\n"), "{allowed}");
    let (_, same) = ask(&server, "/healthz", "Host: localhost\r\nOrigin: http://localhost\r\n", "close").await?;
    assert!(!same.contains("access-control-allow-origin"), "{same}");
    Ok(())
}

#[tokio::test]
async fn a_request_without_a_host_or_for_another_target_is_refused() -> Result<()> {
    let server = Setup::default().live().await?;
    assert_eq!(ask(&server, "/healthz", "", "close").await?.0, 403);
    assert_eq!(ask(&server, "/healthz", "Host: localhost\r\nHost: localhost\r\n", "close").await?.0, 403);
    assert_eq!(ask(&server, "http://evil.example/healthz", "Host: localhost\r\n", "close").await?.0, 403);
    // What is refused is refused before it is looked at: also for paths that do not exist.
    assert_eq!(ask(&server, "/nothing", "Host: evil.example\r\n", "close").await?.0, 403);
    Ok(())
}
