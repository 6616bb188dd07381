//! `GET /api/v1/ws`: the stream, one JSON object a text frame. A thin writer of a [`Subscription`].
//!
//! Reading, pings and the closing handshake are tungstenite's. Writing is ours: a server's frames are not masked, so what stands in the
//! history goes to the socket as it is, many frames a write, and no client owns a buffer while nothing is on its way to it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt, copy, sink};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::admission::Peer;
use super::batch::Batch;
use super::problem::Kind;
use super::socket::Socket;
use super::subscription::{Subscription, Terms};
use super::{App, parameters};

/// Frames are gathered up to this size before they are written; a larger one is written by itself, uncopied.
const GATHER: usize = 16 << 10;
/// Clients say little: this much is read at a time.
const READ_BUFFER: usize = 512;
/// The longest header of a frame that is not masked.
const MAX_HEADER: usize = 10;
/// A ping without a payload.
const PING: &[u8] = &[0x89, 0];
/// How long a client may take to end its side after our close frame.
const CLOSING: Duration = Duration::from_secs(1);

/// `GET /api/v1/ws`
pub(super) async fn upgrade(State(app): State<Arc<App>>, mut request: Request) -> Response {
    let terms = match parameters::stream(request.uri()) {
        Ok(terms) => terms,
        Err(problem) => return problem.into_response(),
    };
    let response = match create_response_with_body(&request, Body::empty) {
        Ok(response) => response,
        Err(error) => {
            let detail =
                format!("{error}. Connect with a WebSocket client (version 13), or read /api/v1/stream, which is plain HTTP.");
            return Kind::UpgradeRequired.because(detail).into_response();
        }
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let peer = request.extensions().get::<Peer>().cloned();
    app.tasks.clone().spawn(async move {
        let _counted = (peer, app.clients.enter());
        match upgrade.await {
            Ok(upgraded) => run(app, terms, upgraded).await,
            Err(error) => tracing::debug!(%error, "a WebSocket was not opened"),
        }
    });
    response
}

async fn run(app: Arc<App>, terms: Terms, upgraded: Upgraded) {
    let Some((socket, unread)) = take(upgraded) else { return };
    let limit = Some(app.limits.message_bytes);
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER).max_message_size(limit).max_frame_size(limit);
    let socket = WebSocketStream::from_partially_read(socket, unread, Role::Server, Some(config)).await;
    let ping_every = app.limits.ping_every;
    Session { socket, subscription: Subscription::open(app, terms), ping_every, pinged: Instant::now(), heard: true }.run().await;
}

/// The socket that was put into hyper when it was accepted, and what hyper read beyond the request. Hyper's own buffers end here.
fn take(upgraded: Upgraded) -> Option<(Socket, Vec<u8>)> {
    let parts = upgraded.downcast::<TokioIo<Socket>>().ok()?;
    Some((parts.io.into_inner(), parts.read_buf.to_vec()))
}

/// Why a session ends.
enum End {
    /// The connection failed: nothing more can be said.
    Gone,
    /// The client closed it.
    Closed,
    /// The client is told why.
    Close(CloseCode, &'static str),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

struct Session {
    socket: WebSocketStream<Socket>,
    subscription: Subscription,
    ping_every: Duration,
    pinged: Instant,
    /// Something came since the last ping.
    heard: bool,
}

impl Session {
    async fn run(mut self) {
        let end = loop {
            let turn = tokio::select! {
                batch = self.subscription.next() => match batch {
                    Some(batch) => self.send(batch).await,
                    None => Err(End::Close(CloseCode::Away, "pgvigil ends")),
                },
                message = self.socket.next() => self.hear(message).await,
            };
            if let Err(end) = turn {
                break end;
            }
        };
        match end {
            End::Gone => {}
            End::Closed => self.part(None).await,
            End::Close(code, reason) => self.part(Some(CloseFrame { code, reason: reason.into() })).await,
        }
    }

    /// Writes a batch, and a ping when one is due. The beat brings a batch, maybe an empty one, at least once a second.
    async fn send(&mut self, batch: Batch) -> Result<(), End> {
        self.write(frames(batch)).await?;
        if self.pinged.elapsed() < self.ping_every {
            return Ok(());
        }
        if !self.heard {
            return Err(End::Close(CloseCode::Policy, "no answer to a ping"));
        }
        (self.pinged, self.heard) = (Instant::now(), false);
        Ok(self.socket.get_mut().write_all(PING).await?)
    }

    async fn write(&mut self, frames: Vec<Bytes>) -> Result<(), End> {
        // A pong that is on its way must not be cut in two by what follows.
        self.socket.flush().await.map_err(|_| End::Gone)?;
        for bytes in frames {
            self.socket.get_mut().write_all(&bytes).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, message: Option<Result<Message, Error>>) -> Result<(), End> {
        self.heard = true;
        match message {
            Some(Ok(Message::Text(text))) => {
                let answer = match parameters::subscribe(&text) {
                    Ok(terms) => self.subscription.change(terms),
                    Err(problem) => Batch::from(problem.to_frame()),
                };
                self.send(answer).await
            }
            Some(Ok(Message::Binary(_))) => Err(End::Close(CloseCode::Unsupported, "only text is understood here")),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(()),
            Some(Err(Error::Capacity(_))) => Err(End::Close(CloseCode::Size, "the message is too long")),
            Some(Err(Error::Utf8(_))) => Err(End::Close(CloseCode::Invalid, "the text is not UTF-8")),
            Some(Err(Error::Protocol(_))) => Err(End::Close(CloseCode::Protocol, "this is not WebSocket")),
            Some(Ok(Message::Close(_))) => Err(End::Closed),
            Some(Err(_)) | None => Err(End::Gone),
        }
    }

    /// Says good-bye: with this frame, or with the answer to the client's that is on its way.
    async fn part(mut self, frame: Option<CloseFrame>) {
        let said = async {
            // An error here says no more than that the client has closed.
            let _ = self.socket.flush().await;
            let socket = self.socket.get_mut();
            if frame.is_some() {
                let mut bytes = Vec::new();
                // Writing to memory cannot fail.
                let _ = Frame::close(frame).format(&mut bytes);
                socket.write_all(&bytes).await?;
            }
            socket.shutdown().await?;
            // Bytes left unread would turn our end into a reset, which can overtake the close frame.
            copy(socket, &mut sink()).await
        };
        // Whether it was heard makes no difference to us.
        let _ = timeout(CLOSING, Box::pin(said)).await;
    }
}

/// The frames of a batch, as they are to be written one after the other. A slow client keeps no block of the history alive but that of
/// an event too long to be copied.
fn frames(batch: Batch) -> Vec<Bytes> {
    let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
    let gather = || Vec::with_capacity((batch.bytes() + batch.len() * MAX_HEADER).min(GATHER));
    let (mut frames, mut gathered) = (Vec::new(), gather());
    for object in batch.iter() {
        let json = object.bytes();
        if gathered.len() + MAX_HEADER + json.len() > GATHER {
            frames.push(std::mem::replace(&mut gathered, gather()).into());
        }
        // Writing to memory cannot fail.
        let _ = header.format(json.len() as u64, &mut gathered);
        if json.len() > GATHER {
            frames.extend([std::mem::take(&mut gathered).into(), object.share()]);
        } else {
            gathered.extend_from_slice(json);
        }
    }
    frames.push(gathered.into());
    frames
}
