//! Connect, send, and hear what is answered.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::host::Host;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody there.
    #[error("cannot connect to {host}: {source}")]
    Connect {
        /// Where to.
        host: String,
        /// What the system says.
        source: io::Error,
    },
    /// Connected, but not to whom it should be.
    #[error("no TLS with {host}: {source}{}", hint(.source))]
    Tls {
        /// Where to.
        host: String,
        /// What is wrong.
        source: io::Error,
    },
    /// The connection failed, or what came was not HTTP.
    #[error("the connection failed: {0}")]
    Http(#[from] hyper::Error),
}

/// What is most often wrong where the server answers with something that is not TLS.
fn hint(error: &io::Error) -> &'static str {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    if matches!(error, Some(rustls::Error::InvalidMessage(_))) { "; is it http:// there?" } else { "" }
}

/// The operating system trusts nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's trusted certificates cannot be read; install them (ca-certificates)")]
pub struct NoRoots;

/// Sends to one host.
#[derive(Clone)]
pub struct Client {
    host: Host,
    tls: Option<TlsConnector>,
}

/// What was answered, so far its head. The connection ends when this is dropped.
pub struct Answer {
    response: Response<Incoming>,
    _connection: AbortOnDropHandle<()>,
}

impl Client {
    /// Reads the system's trusted certificates, if the host needs them.
    ///
    /// # Errors
    /// When there are none.
    pub fn new(host: Host) -> Result<Self, NoRoots> {
        let tls = if host.secure { Some(connector().ok_or(NoRoots)?) } else { None };
        Ok(Self { host, tls })
    }

    /// To whom it sends.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// A request for `path`, to be sent by this.
    pub fn request(&self, method: Method, path: Uri, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("pgvigil/", env!("CARGO_PKG_VERSION"))));
        // It was part of a URL that was read, so it is plain text.
        headers.extend(HeaderValue::from_str(&self.host.authority).map(|authority| (HOST, authority)));
        request
    }

    /// Sends it, and waits for the head of the answer.
    ///
    /// # Errors
    /// When there is none. Any answer is one, whatever it says.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, Error> {
        let Host { name, port, .. } = &self.host;
        let connected = TcpStream::connect((name.as_str(), *port)).await;
        let socket = connected.map_err(|source| Error::Connect { host: name.clone(), source })?;
        let Some(connector) = &self.tls else { return exchange(socket, request).await };
        let no_tls = |source| Error::Tls { host: name.clone(), source };
        let server = ServerName::try_from(name.clone());
        let server = server.map_err(|error| no_tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        exchange(connector.connect(server, socket).await.map_err(no_tls)?, request).await
    }
}

impl Answer {
    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Its headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// All that is answered, however much it is.
    ///
    /// # Errors
    /// When the connection fails meanwhile.
    pub async fn body(self) -> Result<Bytes, Error> {
        Ok(self.response.into_body().collect().await?.to_bytes())
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Whoever waits for the answer is told of its failure.
    let connection = AbortOnDropHandle::new(tokio::spawn(async move { connection.await.unwrap_or_default() }));
    Ok(Answer { response: sender.send_request(request).await?, _connection: connection })
}

fn connector() -> Option<TlsConnector> {
    let mut roots = RootCertStore::empty();
    let (trusted, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    (trusted > 0).then(|| TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
}
