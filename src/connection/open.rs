//! From a target to a session: which hosts, addresses and encryptions are tried, and in which order.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rand::seq::SliceRandom;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::channel::Channel;
use super::error::{Address, Attempt, ChannelError, ConnectError, Failure};
use super::login::{BackendKey, Credentials, log_in};
use super::socket::Place;
use super::target::{Endpoint, Host, SessionAttributes, Target};
use super::tls::Encryption;

/// Longer than any wait for an answer that a person would call one.
const NO_LIMIT: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// A session that is open and ready for queries.
pub(crate) struct Session {
    pub(crate) channel: Channel,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) key: BackendKey,
    pub(crate) peer: Peer,
}

/// Who answered, so that it can be reached again.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: Address,
    pub(crate) encrypted: bool,
    host: Host,
    place: Place,
}

impl Target {
    /// Opens a session with the first host that lets us in. `startup` goes into the startup message beside the target's own.
    ///
    /// As in libpq, a host that refuses the login ends the search: the others would only be asked with the same wrong password.
    pub(crate) async fn open(&self, application_name: &str, startup: &[(&str, &str)]) -> Result<Session, ConnectError> {
        let mut attempts = Vec::new();
        for (endpoint, wanted) in self.candidates() {
            let address = Address { host: endpoint.host.to_string(), port: endpoint.port };
            let places = match self.in_time(endpoint.places()).await {
                Ok(places) => places,
                Err(failure) => {
                    attempts.push(Attempt { address, failure });
                    continue;
                }
            };
            for place in self.ordered(places) {
                for &encryption in self.tls.tries(matches!(place, Place::Unix(_))) {
                    let peer =
                        Peer { address: address.clone(), encrypted: false, host: endpoint.host.clone(), place: place.clone() };
                    let attempt = self.attempt(endpoint, peer, encryption, wanted, application_name, startup);
                    let failure = match self.in_time(attempt).await {
                        Ok(session) => return Ok(session),
                        Err(failure) => failure,
                    };
                    let (other_encryption, definite) = (failure.depends_on_encryption(), !failure.is_transient());
                    attempts.push(Attempt { address: address.clone(), failure });
                    if other_encryption {
                        continue;
                    }
                    if definite {
                        return Err(self.unreachable(attempts));
                    }
                    break;
                }
            }
        }
        Err(self.unreachable(attempts))
    }

    pub(super) fn unreachable(&self, attempts: Vec<Attempt>) -> ConnectError {
        ConnectError { user: self.user.clone(), database: self.database.clone(), attempts }
    }

    /// Which endpoints to try, each for a session of which kind.
    fn candidates(&self) -> Vec<(&Endpoint, SessionAttributes)> {
        let endpoints = self.ordered(self.endpoints.iter().collect());
        let passes: &[SessionAttributes] = match self.session {
            SessionAttributes::PreferStandby => &[SessionAttributes::Standby, SessionAttributes::Any],
            ref wanted => std::slice::from_ref(wanted),
        };
        passes.iter().flat_map(|wanted| endpoints.iter().map(|endpoint| (*endpoint, *wanted))).collect()
    }

    fn ordered<T>(&self, mut list: Vec<T>) -> Vec<T> {
        if self.random_order {
            list.shuffle(&mut rand::rng());
        }
        list
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let limit = self.connect_timeout.unwrap_or(NO_LIMIT);
        timeout(limit, work).await.unwrap_or(Err(Failure::Timeout(limit)))
    }

    async fn attempt(
        &self,
        endpoint: &Endpoint,
        mut peer: Peer,
        encryption: Encryption,
        wanted: SessionAttributes,
        application_name: &str,
        startup: &[(&str, &str)],
    ) -> Result<Session, Failure> {
        let transport = self.transport(&peer.host, &peer.place, encryption).await?;
        peer.encrypted = transport.encrypted;
        let mut channel = Channel::new(transport);
        let mut parameters = vec![
            ("user", self.user.as_str()),
            ("database", self.database.as_str()),
            ("application_name", self.application_name.as_deref().unwrap_or(application_name)),
        ];
        parameters.extend(self.options.as_deref().map(|options| ("options", options)));
        parameters.extend(startup);
        let credentials =
            Credentials { user: &self.user, password: endpoint.password.as_ref(), channel_binding: self.channel_binding };
        let greeting = log_in(&mut channel, &credentials, &parameters).await?;
        if !suits(wanted, &greeting.parameters) {
            return Err(Failure::SessionAttributes(wanted));
        }
        Ok(Session { channel, parameters: greeting.parameters, key: greeting.key, peer })
    }

    /// Asks the server to cancel what a session is doing. That it was asked does not mean that it does.
    pub(crate) async fn cancel(&self, peer: &Peer, key: BackendKey) -> Result<(), Failure> {
        let encryption = if peer.encrypted { Encryption::Required } else { Encryption::Plain };
        let request = async {
            let mut transport = self.transport(&peer.host, &peer.place, encryption).await?;
            let mut message = BytesMut::new();
            frontend::cancel_request(key.pid, key.secret, &mut message);
            transport.write_all(&message).await.map_err(ChannelError::Io)?;
            Ok(transport.shutdown().await.map_err(ChannelError::Io)?)
        };
        self.in_time(request).await
    }
}

/// Whether a session is of the kind that is wanted, by what the server (14 and later) reports at its start.
fn suits(wanted: SessionAttributes, parameters: &BTreeMap<String, String>) -> bool {
    let on = |name| parameters.get(name).is_some_and(|value| value == "on");
    let standby = on("in_hot_standby");
    let read_only = standby || on("default_transaction_read_only");
    match wanted {
        SessionAttributes::Any | SessionAttributes::PreferStandby => true,
        SessionAttributes::ReadWrite => !read_only,
        SessionAttributes::ReadOnly => read_only,
        SessionAttributes::Primary => !standby,
        SessionAttributes::Standby => standby,
    }
}
