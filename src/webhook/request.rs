//! One try.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request};
use tokio::time::timeout;

use super::address::{Address, SetupError};
use super::error::SendError;
use super::message;
use crate::http::Client;

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
    client: Client,
    patience: Duration,
}

impl Sender {
    /// Reads the system's trusted certificates, if the address needs them.
    pub(super) fn new(webhook: &str, address: Address, patience: Duration) -> Result<Self, SetupError> {
        let client = Client::new(address.host.clone());
        let client = client.map_err(|source| SetupError::NoRoots { webhook: webhook.to_owned(), source })?;
        Ok(Self { address, client, patience })
    }

    pub(super) fn host(&self) -> &str {
        self.address.host()
    }

    /// Sends a message at `unix` (seconds). It was taken, or there is an error. The body of the answer says nothing that is acted upon,
    /// and is not read.
    pub(super) async fn send(&self, message: &Message, unix: i64) -> Result<(), SendError> {
        let answered = timeout(self.patience, self.client.send(self.request(message, unix))).await;
        let answer = answered.map_err(|_| SendError::TimedOut(self.patience))??;
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let failure = SendError::of_status(answer.status().as_u16(), retry_after.map(Duration::from_secs));
        failure.map_or(Ok(()), Err)
    }

    fn request(&self, message: &Message, unix: i64) -> Request<Full<Bytes>> {
        let mut request = self.client.request(Method::POST, self.address.path.clone(), message.body.clone());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut set = |name, text: &str| HeaderValue::from_str(text).map(|value| headers.insert(name, value));
        // All of these are plain text by how they are made.
        let _ = set("webhook-id", &message.id);
        let _ = set("webhook-timestamp", &unix.to_string());
        if let Some(key) = &self.address.key {
            let _ = set("webhook-signature", &message::signature(key, &message.id, unix, &message.body));
        }
        request
    }
}
