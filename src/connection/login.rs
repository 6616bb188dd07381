//! The login: startup message, authentication, and the server's first words.
//!
//! ```text
//! StartupMessage ─▶ ┬ AuthenticationOk ──────────────────────────────┬─▶ ParameterStatus… BackendKeyData ─▶ ReadyForQuery
//!                   ├ cleartext or MD5 ─▶ password ──────────────────┤
//!                   └ SASL ─▶ SCRAM-SHA-256, -PLUS when bound to TLS ┘
//! ```

use std::collections::BTreeMap;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;

use super::channel::{Channel, Incoming};
use super::error::{ChannelError, Failure, LoginFailure};
use super::secret::Secret;
use super::target::ChannelBinding;

/// Who logs in.
pub(super) struct Credentials<'a> {
    pub(super) user: &'a str,
    pub(super) password: Option<&'a Secret>,
    pub(super) channel_binding: ChannelBinding,
}

/// What the server said about the session that it opened.
pub(super) struct Greeting {
    /// The server's parameters that it reports by itself.
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) key: BackendKey,
}

/// Names a session to whoever wants to cancel what it does.
#[derive(Clone, Copy, Default)]
pub(crate) struct BackendKey {
    pub(crate) pid: i32,
    pub(crate) secret: i32,
}

/// Logs in and waits until the server is ready.
pub(super) async fn log_in(
    channel: &mut Channel,
    credentials: &Credentials<'_>,
    startup: &[(&str, &str)],
) -> Result<Greeting, Failure> {
    let mut message = BytesMut::new();
    frontend::startup_message(startup.iter().copied(), &mut message).map_err(ChannelError::Io)?;
    channel.write(&message).await?;
    authenticate(channel, credentials).await?;
    greeting(channel).await
}

async fn authenticate(channel: &mut Channel, credentials: &Credentials<'_>) -> Result<(), Failure> {
    let mut bound = false;
    loop {
        let request = next(channel).await?;
        if let Message::AuthenticationSasl(body) = &request {
            bound = scram(channel, credentials, body).await?;
            continue;
        }
        // Every other method lets whoever sits in between log in as us.
        if credentials.channel_binding == ChannelBinding::Require && !bound {
            return Err(LoginFailure::NotBound.into());
        }
        match request {
            Message::AuthenticationOk => return Ok(()),
            Message::AuthenticationCleartextPassword => send_password(channel, password(credentials)?).await?,
            Message::AuthenticationMd5Password(body) => {
                let hash = md5_hash(credentials.user.as_bytes(), password(credentials)?, body.salt());
                send_password(channel, hash.as_bytes()).await?;
            }
            Message::AuthenticationGss | Message::AuthenticationGssContinue(_) => {
                return Err(LoginFailure::Unsupported("GSSAPI").into());
            }
            Message::AuthenticationSspi => return Err(LoginFailure::Unsupported("SSPI").into()),
            Message::AuthenticationKerberosV5 => return Err(LoginFailure::Unsupported("Kerberos").into()),
            _ => return Err(ChannelError::Unexpected { expected: "an authentication request" }.into()),
        }
    }
}

/// SCRAM; says whether the login is bound to the TLS session.
async fn scram(channel: &mut Channel, credentials: &Credentials<'_>, body: &AuthenticationSaslBody) -> Result<bool, Failure> {
    let password = password(credentials)?;
    let offered = body.mechanisms().map(|name| Ok(name.to_owned())).collect::<Vec<_>>();
    let offered = offered.map_err(|error| ChannelError::Malformed(error.to_string()))?;
    let offers = |mechanism: &str| offered.iter().any(|name| name == mechanism);
    if !offers(SCRAM_SHA_256) && !offers(SCRAM_SHA_256_PLUS) {
        return Err(LoginFailure::Unsupported("a SASL mechanism other than SCRAM-SHA-256").into());
    }
    let end_point = channel.transport().server_end_point.clone();
    let end_point = end_point.filter(|_| credentials.channel_binding != ChannelBinding::Disable);
    let (bound, binding) = match end_point {
        Some(end_point) if offers(SCRAM_SHA_256_PLUS) => (true, sasl::ChannelBinding::tls_server_end_point(end_point)),
        // "We could have": a server that did offer it then knows that someone in between took the offer away.
        Some(_) => (false, sasl::ChannelBinding::unrequested()),
        None => (false, sasl::ChannelBinding::unsupported()),
    };
    if credentials.channel_binding == ChannelBinding::Require && !bound {
        return Err(LoginFailure::NotBound.into());
    }
    let mechanism = if bound { SCRAM_SHA_256_PLUS } else { SCRAM_SHA_256 };

    let mut exchange = ScramSha256::new(password, binding);
    let mut message = BytesMut::new();
    frontend::sasl_initial_response(mechanism, exchange.message(), &mut message).map_err(ChannelError::Io)?;
    channel.write(&message).await?;

    let Message::AuthenticationSaslContinue(body) = next(channel).await? else {
        return Err(ChannelError::Unexpected { expected: "the server's part of SCRAM" }.into());
    };
    exchange.update(body.data()).map_err(LoginFailure::Scram)?;
    message.clear();
    frontend::sasl_response(exchange.message(), &mut message).map_err(ChannelError::Io)?;
    channel.write(&message).await?;

    let Message::AuthenticationSaslFinal(body) = next(channel).await? else {
        return Err(ChannelError::Unexpected { expected: "the server's proof of SCRAM" }.into());
    };
    exchange.finish(body.data()).map_err(LoginFailure::Scram)?;
    Ok(bound)
}

async fn greeting(channel: &mut Channel) -> Result<Greeting, Failure> {
    let mut greeting = Greeting { parameters: BTreeMap::new(), key: BackendKey::default() };
    loop {
        match next(channel).await? {
            Message::ReadyForQuery(_) => return Ok(greeting),
            Message::BackendKeyData(body) => {
                greeting.key = BackendKey { pid: body.process_id(), secret: body.secret_key() };
            }
            Message::ParameterStatus(body) => {
                if let (Ok(name), Ok(value)) = (body.name(), body.value()) {
                    greeting.parameters.insert(name.to_owned(), value.to_owned());
                }
            }
            Message::NoticeResponse(_) => {}
            _ => return Err(ChannelError::Unexpected { expected: "the parameters of the session" }.into()),
        }
    }
}

async fn next(channel: &mut Channel) -> Result<Message, ChannelError> {
    match channel.read().await? {
        Incoming::Message(Message::ErrorResponse(body)) => Err(ChannelError::server(&body)),
        Incoming::Message(message) => Ok(message),
        Incoming::CopyBoth => Err(ChannelError::Unexpected { expected: "a login" }),
    }
}

fn password<'a>(credentials: &Credentials<'a>) -> Result<&'a [u8], LoginFailure> {
    credentials.password.map(Secret::expose).ok_or(LoginFailure::PasswordMissing)
}

async fn send_password(channel: &mut Channel, password: &[u8]) -> Result<(), Failure> {
    let mut message = BytesMut::new();
    frontend::password_message(password, &mut message).map_err(ChannelError::Io)?;
    Ok(channel.write(&message).await?)
}
