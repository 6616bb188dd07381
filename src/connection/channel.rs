//! A connection as a sequence of messages, before and between the stretches in which it is a stream.

use bytes::{Buf, BytesMut};
use postgres_protocol::message::backend::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::error::ChannelError;
use super::socket::Transport;
use crate::wire::{Header, tag};

/// No answer outside of a stream is longer: errors, parameters and the one-row results of replication commands.
const LONGEST_MESSAGE: usize = 1 << 20;

/// One message from the server.
pub(crate) enum Incoming {
    /// One that `postgres-protocol` knows.
    Message(Message),
    /// The stream begins.
    CopyBoth,
}

/// Reads and writes whole messages.
pub(crate) struct Channel {
    transport: Transport,
    buffer: BytesMut,
}

impl Channel {
    pub(crate) fn new(transport: Transport) -> Channel {
        Channel { transport, buffer: BytesMut::new() }
    }

    /// The next message. Cancel-safe.
    pub(crate) async fn read(&mut self) -> Result<Incoming, ChannelError> {
        loop {
            match Header::peek(&self.buffer, LONGEST_MESSAGE)? {
                Some(header) if self.buffer.len() >= header.length => {
                    if header.tag == tag::COPY_BOTH_RESPONSE {
                        self.buffer.advance(header.length);
                        return Ok(Incoming::CopyBoth);
                    }
                    let parsed = Message::parse(&mut self.buffer).map_err(|e| ChannelError::Malformed(e.to_string()))?;
                    return parsed.map(Incoming::Message).ok_or(ChannelError::Unexpected { expected: "a whole message" });
                }
                _ if self.transport.read_buf(&mut self.buffer).await? == 0 => return Err(ChannelError::Closed),
                _ => {}
            }
        }
    }

    /// Sends whole messages.
    pub(crate) async fn write(&mut self, messages: &[u8]) -> Result<(), ChannelError> {
        self.transport.write_all(messages).await?;
        Ok(self.transport.flush().await?)
    }

    /// For what is bound to the TLS session.
    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The connection itself, with what was read of it but not yet taken.
    pub(crate) fn into_parts(self) -> (Transport, BytesMut) {
        (self.transport, self.buffer)
    }
}
