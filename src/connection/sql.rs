//! Ordinary SQL sessions: logged in here, then handed to `tokio-postgres`.
//!
//! `tokio-postgres` insists on doing the login itself. It gets one: its startup message is swallowed, and it reads the end of a
//! login that has already happened. So both kinds of connection are made by the same code, and fail with the same errors.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};
use tracing::Instrument;

use super::error::{Attempt, ChannelError, ConnectError};
use super::login::BackendKey;
use super::socket::Transport;
use super::target::Target;

impl Target {
    /// Opens an ordinary SQL session. It ends when the client is dropped.
    pub async fn sql(&self, application_name: &str) -> Result<Client, ConnectError> {
        let session = self.open(application_name, &[("client_encoding", "UTF8")]).await?;
        let address = session.peer.address;
        // Whatever was read beyond ReadyForQuery comes first for the new reader.
        let (transport, unread) = session.channel.into_parts();
        let stream = LoggedIn { unread: [ready(session.key), unread.to_vec()].concat(), transport, swallow: true };
        let handed_over = Config::new().user(&self.user).ssl_mode(SslMode::Disable).connect_raw(stream, NoTls).await;
        let (client, connection) = handed_over.map_err(|error| {
            let failure = ChannelError::Malformed(error.to_string()).into();
            self.unreachable(vec![Attempt { address, failure }])
        })?;
        let driver = async {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an SQL session ended");
            }
        };
        tokio::spawn(driver.in_current_span());
        Ok(client)
    }
}

/// The end of a login: AuthenticationOk, BackendKeyData, ReadyForQuery.
fn ready(key: BackendKey) -> Vec<u8> {
    let (pid, secret) = (key.pid.to_be_bytes(), key.secret.to_be_bytes());
    [b"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c", &pid[..], &secret, b"Z\0\0\0\x05I"].concat()
}

/// A session that is already logged in, for a client that is about to log in.
struct LoggedIn {
    transport: Transport,
    /// To be read before anything of the transport.
    unread: Vec<u8>,
    /// Until something is read, what is written is the login.
    swallow: bool,
}

impl AsyncRead for LoggedIn {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.swallow = false;
        if self.unread.is_empty() {
            return Pin::new(&mut self.transport).poll_read(cx, buffer);
        }
        let length = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread[..length]);
        self.unread.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LoggedIn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.swallow {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.transport).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}
