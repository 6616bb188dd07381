//! One try: connect, send, and hear what is answered.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::address::{Address, SetupError};
use super::error::SendError;
use super::message;

/// What is sent, again and again if need be.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// The same at every try.
    pub(super) id: String,
    pub(super) body: Bytes,
}

/// Sends to one address.
#[derive(Clone)]
pub(super) struct Sender {
    address: Address,
    tls: Option<TlsConnector>,
    patience: Duration,
}

impl Sender {
    /// Reads the system's trusted certificates, if the address needs them.
    pub(super) fn new(webhook: &str, address: Address, patience: Duration) -> Result<Self, SetupError> {
        let tls =
            if address.secure { Some(connector().ok_or(SetupError::NoRoots { webhook: webhook.to_owned() })?) } else { None };
        Ok(Self { address, tls, patience })
    }

    pub(super) fn host(&self) -> &str {
        self.address.host()
    }

    /// Sends a message at `unix` (seconds). It was taken, or there is an error.
    pub(super) async fn send(&self, message: &Message, unix: i64) -> Result<(), SendError> {
        let answered = timeout(self.patience, self.exchange(message, unix)).await;
        let answer = answered.map_err(|_| SendError::TimedOut(self.patience))??;
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let failure = SendError::of_status(answer.status().as_u16(), retry_after.map(Duration::from_secs));
        failure.map_or(Ok(()), Err)
    }

    async fn exchange(&self, message: &Message, unix: i64) -> Result<Response<hyper::body::Incoming>, SendError> {
        let Address { host, port, .. } = &self.address;
        let connected = TcpStream::connect((host.as_str(), *port)).await;
        let socket = connected.map_err(|source| SendError::Connect { host: host.clone(), source })?;
        let request = self.request(message, unix);
        match &self.tls {
            None => ask(socket, request).await,
            Some(connector) => {
                let no_tls = |source| SendError::Tls { host: host.clone(), source };
                let name = ServerName::try_from(host.clone());
                let name = name.map_err(|error| no_tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
                ask(connector.connect(name, socket).await.map_err(no_tls)?, request).await
            }
        }
    }

    fn request(&self, message: &Message, unix: i64) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(message.body.clone()));
        *request.method_mut() = hyper::Method::POST;
        // It was part of a URL that was read.
        *request.uri_mut() = self.address.path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("pgvigil/", env!("CARGO_PKG_VERSION"))));
        let mut set = |name, text: &str| HeaderValue::from_str(text).map(|value| headers.insert(name, value));
        // All of these are plain text by how they are made.
        let _ = set(HOST.as_str(), &self.address.authority);
        let _ = set("webhook-id", &message.id);
        let _ = set("webhook-timestamp", &unix.to_string());
        if let Some(key) = &self.address.key {
            let _ = set("webhook-signature", &message::signature(key, &message.id, unix, &message.body));
        }
        request
    }
}

/// One request on a connection of its own. Its answer's body is not read: it says nothing that is acted upon.
async fn ask<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<hyper::body::Incoming>, SendError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let (mut answer, mut connection) = (pin!(sender.send_request(request)), pin!(connection));
    tokio::select! {
        biased;
        answer = &mut answer => return Ok(answer?),
        // With its end the answer is there, or will never be.
        ended = &mut connection => ended?,
    }
    Ok(answer.await?)
}

fn connector() -> Option<TlsConnector> {
    let mut roots = RootCertStore::empty();
    let (trusted, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    (trusted > 0).then(|| TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
}
