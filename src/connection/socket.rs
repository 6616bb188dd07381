//! From an address to a stream of bytes: TCP or unix socket, encrypted or not.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, UnixStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::error::{ChannelError, Failure};
use super::target::{Endpoint, Host, Target};
use super::tls::{Encryption, Negotiation, TlsFailure};
use super::trust::server_end_point;

/// A large receive buffer lets the server run on while we gather (see `replication::pacing`). Set before connecting, since TCP
/// agrees on its window scale then.
const RECEIVE_BUFFER: u32 = 1 << 20;

trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// A stream of bytes to a server, whatever it travels over.
pub(crate) struct Transport {
    bytes: Box<dyn Bytes>,
    /// What a login can be bound to, when encrypted.
    pub(super) server_end_point: Option<Vec<u8>>,
    /// Whether it is encrypted.
    pub(super) encrypted: bool,
    /// Whether it is a unix socket.
    pub(crate) local: bool,
}

/// Where exactly to connect.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Endpoint {
    /// Every place where this endpoint may be found.
    pub(super) async fn places(&self) -> Result<Vec<Place>, Failure> {
        match (&self.host, self.address) {
            (Host::Socket(folder), _) => Ok(vec![Place::Unix(folder.join(format!(".s.PGSQL.{}", self.port)))]),
            (Host::Name(_), Some(address)) => Ok(vec![Place::Tcp((address, self.port).into())]),
            (Host::Name(name), None) => {
                let found: Vec<_> =
                    lookup_host((name.as_str(), self.port)).await.map_err(Failure::Resolve)?.map(Place::Tcp).collect();
                let none = || Failure::Resolve(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
                if found.is_empty() { Err(none()) } else { Ok(found) }
            }
        }
    }
}

impl Target {
    /// Connects to one place, and encrypts as told.
    pub(super) async fn transport(&self, host: &Host, place: &Place, encryption: Encryption) -> Result<Transport, Failure> {
        match place {
            Place::Unix(path) => {
                let path = abstract_or_file(path);
                let stream = UnixStream::connect(path).await.map_err(Failure::Connect)?;
                Ok(Transport { local: true, ..Transport::plain(stream) })
            }
            Place::Tcp(address) => {
                let stream = self.tcp(*address).await.map_err(Failure::Connect)?;
                self.encrypt(stream, host, encryption).await
            }
        }
    }

    async fn tcp(&self, address: SocketAddr) -> io::Result<tokio::net::TcpStream> {
        let socket = match address.ip() {
            IpAddr::V4(_) => TcpSocket::new_v4()?,
            IpAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.set_nodelay(true)?;
        let options = socket2::SockRef::from(&socket);
        if let Some(keepalive) = &self.keepalive {
            options.set_tcp_keepalive(keepalive)?;
        }
        #[cfg(target_os = "linux")]
        options.set_tcp_user_timeout(self.tcp_user_timeout)?;
        socket.connect(address).await
    }

    async fn encrypt(
        &self,
        mut stream: tokio::net::TcpStream,
        host: &Host,
        encryption: Encryption,
    ) -> Result<Transport, Failure> {
        if encryption == Encryption::Plain {
            return Ok(Transport::plain(stream));
        }
        if self.tls.negotiation == Negotiation::Postgres && !offers_tls(&mut stream).await? {
            return match encryption {
                Encryption::Required => Err(TlsFailure::NotOffered.into()),
                Encryption::IfOffered | Encryption::Plain => Ok(Transport::plain(stream)),
            };
        }
        let host = host.to_string();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| TlsFailure::HostName(bare.to_owned()))?;
        let connected = TlsConnector::from(self.tls.config.clone()).connect(name, stream).await;
        let stream = connected.map_err(|error| TlsFailure::from_handshake(error, bare))?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let server_end_point = certificate.and_then(server_end_point);
        Ok(Transport { bytes: Box::new(stream), server_end_point, encrypted: true, local: false })
    }
}

/// Asks whether the server does TLS.
///
/// Exactly one byte is read: whatever someone in between slips in behind it goes into the handshake, and breaks it.
async fn offers_tls(stream: &mut tokio::net::TcpStream) -> Result<bool, Failure> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.write_all(&request).await.map_err(ChannelError::Io)?;
    match stream.read_u8().await {
        Ok(b'S') => Ok(true),
        Ok(b'N') => Ok(false),
        Ok(_) => Err(ChannelError::Unexpected { expected: "an answer to the request for TLS" }.into()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ChannelError::Closed.into()),
        Err(error) => Err(ChannelError::Io(error).into()),
    }
}

/// libpq writes sockets of Linux's abstract namespace with `@` in front; the operating system wants a NUL there.
fn abstract_or_file(path: &Path) -> PathBuf {
    match path.to_str().and_then(|path| path.strip_prefix('@')) {
        Some(name) => PathBuf::from(format!("\0{name}")),
        None => path.to_owned(),
    }
}

impl Transport {
    fn plain(stream: impl Bytes + 'static) -> Transport {
        Transport { bytes: Box::new(stream), server_end_point: None, encrypted: false, local: false }
    }
}

impl AsyncRead for Transport {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.bytes).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(cx)
    }
}
