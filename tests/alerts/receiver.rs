//! A receiver of webhooks on a real socket, which behaves as it is told to.

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::support::{PATIENCE, wait_for};

/// What a receiver does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// Answers with this status, and with these headers.
    Answer(u16, &'static str),
    /// Answers with a redirection to here.
    Redirect(String),
    /// Says nothing, for ever.
    Hang,
    /// Begins to answer, and goes on for ever.
    Trickle,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    head: String,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let of_name = |line: &&str| line.split_once(": ").is_some_and(|(known, _)| known.eq_ignore_ascii_case(name));
        Some(self.head.lines().find(of_name)?.split_once(": ")?.1)
    }

    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| self.body.clone())
    }
}

pub(crate) struct Receiver {
    pub(crate) port: u16,
    manner: Arc<Mutex<Manner>>,
    received: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start(manner: Manner) -> Result<Self> {
        Self::start_with(manner, None).await
    }

    pub(crate) async fn start_with(manner: Manner, tls: Option<TlsAcceptor>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (manner, received) = (Arc::new(Mutex::new(manner)), Arc::<Mutex<Vec<Received>>>::default());
        let shared = (Arc::clone(&manner), Arc::clone(&received));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let ((manner, received), tls) = (shared.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => converse(socket, &manner, &received).await,
                        Some(tls) => converse(tls.accept(socket).await?, &manner, &received).await,
                    }
                });
            }
        });
        Ok(Receiver { port, manner, received, task })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Waits until so many requests have come.
    pub(crate) async fn has_received(&self, number: usize) -> Result<Vec<Received>> {
        wait_for(&format!("{number} requests"), PATIENCE, async || {
            let received = self.received();
            Ok((received.len() >= number).then_some(received))
        })
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    manner: &Mutex<Manner>,
    received: &Mutex<Vec<Received>>,
) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        match stream.read_line(&mut head).await {
            Ok(0) => anyhow::bail!("closed"),
            Ok(_) => {}
            // It is no text, so it is no HTTP.
            Err(_) => return Ok(stream.write_all(b"HTTP/1.1 400 X\r\ncontent-length: 0\r\n\r\n").await?),
        }
    }
    let mut request = Received { head, body: String::new() };
    let mut body = vec![0; request.header("content-length").context("a length")?.parse()?];
    stream.read_exact(&mut body).await?;
    request.body = String::from_utf8(body)?;
    received.lock().unwrap().push(request);
    let manner = manner.lock().unwrap().clone();
    let answer = match manner {
        Manner::Answer(status, headers) => format!("HTTP/1.1 {status} X\r\n{headers}content-length: 0\r\n\r\n"),
        Manner::Redirect(to) => format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"),
        Manner::Hang => std::future::pending().await,
        Manner::Trickle => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                stream.write_all(b"x: y\r\n").await?;
                stream.flush().await?;
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        }
    };
    stream.write_all(answer.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}
