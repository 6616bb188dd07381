//! Clients of the stream: WebSocket and server-sent events.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::wait::PATIENCE;

/// The request of a WebSocket client for everything, for tests that go on in their own way.
pub(crate) const UPGRADE: &[u8] = b"GET /api/v1/ws?from=oldest HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A client of `/api/v1/ws`.
pub(crate) struct WebSocket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl WebSocket {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let (socket, _) = timeout(PATIENCE, connect_async(url)).await?.with_context(|| url.to_owned())?;
        Ok(WebSocket { socket })
    }

    /// The next object; `None` when the server has closed the stream. Pings are answered on the way.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>> {
        self.next_within(PATIENCE).await
    }

    pub(crate) async fn next_within(&mut self, within: Duration) -> Result<Option<Value>> {
        let text = self.next_text_within(within).await?;
        text.map(|text| serde_json::from_str(&text).with_context(|| text.to_string())).transpose()
    }

    /// The next object as it came.
    pub(crate) async fn next_text(&mut self) -> Result<Option<String>> {
        self.next_text_within(PATIENCE).await
    }

    async fn next_text_within(&mut self, within: Duration) -> Result<Option<String>> {
        loop {
            let message = timeout(within, self.socket.next()).await.with_context(|| format!("nothing came in {within:?}"))?;
            match message.transpose()? {
                Some(Message::Text(text)) => return Ok(Some(text.to_string())),
                Some(Message::Ping(_) | Message::Pong(_)) => continue,
                Some(Message::Close(_)) | None => return Ok(None),
                Some(other) => bail!("a frame that is no text: {other:?}"),
            }
        }
    }

    /// Reads on until an object fits, and returns all that were read, that one last.
    pub(crate) async fn until(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
        read_until(what, fits, async || self.next().await).await
    }

    /// The next object of this `type`.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Result<Value> {
        let mut read = self.until(kind, |object| object["type"] == kind).await?;
        read.pop().context("the last one")
    }

    /// Sends an object, such as `subscribe`.
    pub(crate) async fn send(&mut self, object: &Value) -> Result<()> {
        Ok(self.socket.send(Message::text(object.to_string())).await?)
    }

    /// The socket itself, to abuse it.
    pub(crate) fn socket(&mut self) -> &mut WebSocketStream<MaybeTlsStream<TcpStream>> {
        &mut self.socket
    }
}

/// One event as it came over SSE.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ServerSentEvent {
    pub(crate) id: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) data: Value,
    /// The data as it came: a number parsed may be another number.
    pub(crate) text: String,
}

/// A client of `/api/v1/stream`, which reads as a browser's `EventSource` does.
pub(crate) struct EventSource {
    response: reqwest::Response,
    unread: Vec<u8>,
    events: VecDeque<ServerSentEvent>,
}

impl EventSource {
    /// Connects, as after a loss of the connection when there is a last event id.
    pub(crate) async fn connect(url: &str, last_event_id: Option<&str>) -> Result<Self> {
        let mut request = reqwest::Client::builder().no_proxy().build()?.get(url).header("Accept", "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = timeout(PATIENCE, request.send()).await?.with_context(|| url.to_owned())?;
        let kind = response.headers().get("content-type").cloned();
        if !(response.status().is_success()
            && kind.as_ref().is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")))
        {
            bail!("{url}: {} {kind:?}: {}", response.status(), response.text().await?);
        }
        Ok(EventSource { response, unread: Vec::new(), events: VecDeque::new() })
    }

    /// The next event; `None` when the server has closed the stream. Comments are passed over.
    pub(crate) async fn next(&mut self) -> Result<Option<ServerSentEvent>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.context("nothing came")??;
            let Some(chunk) = chunk else { return Ok(None) };
            self.unread.extend_from_slice(&chunk);
            while let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.unread.drain(..end + 2).collect();
                self.events.extend(parse_event(std::str::from_utf8(&block)?)?);
            }
        }
    }

    /// The next object as it came.
    pub(crate) async fn next_text(&mut self) -> Result<Option<String>> {
        Ok(self.next().await?.map(|event| event.text))
    }

    /// Reads on until an object fits, and returns the objects that were read, that one last.
    pub(crate) async fn until(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
        read_until(what, fits, async || Ok(self.next().await?.map(|event| event.data))).await
    }
}

fn parse_event(block: &str) -> Result<Option<ServerSentEvent>> {
    let mut event = ServerSentEvent::default();
    let mut data: Vec<&str> = Vec::new();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => event.id = Some(value.to_owned()),
            "event" => event.event = Some(value.to_owned()),
            "data" => data.push(value),
            _ => {}
        }
    }
    if data.is_empty() {
        return Ok(None);
    }
    event.text = data.join("\n");
    event.data = serde_json::from_str(&event.text).with_context(|| block.to_owned())?;
    Ok(Some(event))
}

async fn read_until(
    what: &str,
    fits: impl Fn(&Value) -> bool,
    mut next: impl AsyncFnMut() -> Result<Option<Value>>,
) -> Result<Vec<Value>> {
    let mut read = Vec::new();
    let wait = async {
        loop {
            let object = next().await?.context("the server closed the stream")?;
            let found = fits(&object);
            read.push(object);
            if found {
                return Ok(());
            }
        }
    };
    // Other objects, such as the status of each second, must not keep us waiting for ever.
    let ended = timeout(PATIENCE, wait).await.unwrap_or_else(|_| bail!("it did not come within {PATIENCE:?}"));
    match ended {
        Ok(()) => Ok(read),
        Err(error) => Err(error.context(format!("waiting for {what}; the last that came was {:?}", read.last()))),
    }
}
