//! Why there is no connection: every address that was tried, and what became of it.

use std::fmt;
use std::io;
use std::time::Duration;

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{ErrorFields, ErrorResponseBody, NoticeResponseBody};
use tokio_postgres::error::{DbError, SqlState};

use super::target::SessionAttributes;
use super::tls::TlsFailure;
use crate::wire::WireError;

/// No connection. Holds each attempt, in order.
#[derive(Debug, thiserror::Error)]
#[error("{}", Attempts(.attempts))]
pub struct ConnectError {
    /// As whom.
    pub user: String,
    /// To which database.
    pub database: String,
    /// What was tried; never empty.
    pub attempts: Vec<Attempt>,
}

/// One attempt to connect.
#[derive(Debug)]
pub struct Attempt {
    /// Where to.
    pub address: Address,
    /// What became of it.
    pub failure: Failure,
}

/// Where a server listens, as a person named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Host name, address or socket folder.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

struct Attempts<'a>(&'a [Attempt]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Attempt { address, failure }) in self.0.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{address}: {failure}")?;
        }
        Ok(())
    }
}

/// What became of one attempt.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The host has no address.
    #[error("the host cannot be found: {0}")]
    Resolve(#[source] io::Error),
    /// Nobody answers there.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// It took too long, login included.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// No encrypted connection came about.
    #[error(transparent)]
    Tls(#[from] TlsFailure),
    /// Server and client cannot agree on who the client is.
    #[error(transparent)]
    Login(#[from] LoginFailure),
    /// The server is not of the kind that `target_session_attrs` asks for.
    #[error("the session is not of the kind that is wanted ({0})")]
    SessionAttributes(SessionAttributes),
    /// The server refused, or the connection broke, during the login.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

/// Server and client cannot agree on who the client is.
#[derive(Debug, thiserror::Error)]
pub enum LoginFailure {
    /// The server asks for a password and there is none.
    #[error("the server asks for a password, and none was given")]
    PasswordMissing,
    /// The server asks for a proof of identity that we cannot give.
    #[error("the server asks for an unsupported authentication method ({0})")]
    Unsupported(&'static str),
    /// `channel_binding=require`, but the login is not bound.
    #[error("the login is not bound to the TLS session, which channel_binding=require demands")]
    NotBound,
    /// The SCRAM exchange failed on our side: the server may not be the one that knows the password.
    #[error("the server did not prove that it knows the password: {0}")]
    Scram(#[source] io::Error),
}

/// An authenticated connection, or one that is about to be, failed.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The operating system says so.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The server, or something in between, closed it without a word.
    #[error("the connection was closed without a word")]
    Closed,
    /// What came is not PostgreSQL's protocol.
    #[error("the server does not speak PostgreSQL's protocol: {0}")]
    Malformed(String),
    /// What came is well formed, but has no place there.
    #[error("the server sent something else than {expected}")]
    Unexpected {
        /// What should have come.
        expected: &'static str,
    },
    /// The server reported an error.
    #[error(transparent)]
    Server(Box<ServerError>),
}

impl From<WireError> for ChannelError {
    fn from(error: WireError) -> Self {
        ChannelError::Malformed(error.to_string())
    }
}

/// An error or a notice as the server reported it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{severity}: {message} ({})", code.code())]
pub struct ServerError {
    /// `ERROR`, `FATAL`, `WARNING`… never translated.
    pub severity: String,
    /// SQLSTATE.
    pub code: SqlState,
    /// In the server's own language.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// The server's advice.
    pub hint: Option<String>,
    /// The function in the server's source that reported it: tells apart what shares a SQLSTATE, in any language.
    pub routine: String,
}

impl ServerError {
    fn from_fields(mut fields: ErrorFields<'_>) -> ServerError {
        let (mut severity, mut code, mut message, mut routine) = Default::default();
        let (mut detail, mut hint) = (None, None);
        // A malformed field ends the list: what was read until then is still the best there is.
        while let Ok(Some(field)) = fields.next() {
            // Before the session's encoding is agreed, a server may use any.
            let text = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'V' => severity = text,
                b'C' => code = text,
                b'M' => message = text,
                b'D' => detail = Some(text),
                b'H' => hint = Some(text),
                b'R' => routine = text,
                _ => {}
            }
        }
        ServerError { severity, code: SqlState::from_code(&code), message, detail, hint, routine }
    }
}

impl From<&ErrorResponseBody> for ServerError {
    fn from(body: &ErrorResponseBody) -> Self {
        Self::from_fields(body.fields())
    }
}

impl From<&NoticeResponseBody> for ServerError {
    fn from(body: &NoticeResponseBody) -> Self {
        Self::from_fields(body.fields())
    }
}

impl From<&DbError> for ServerError {
    fn from(error: &DbError) -> Self {
        ServerError {
            severity: error.severity().to_owned(),
            code: error.code().clone(),
            message: error.message().to_owned(),
            detail: error.detail().map(str::to_owned),
            hint: error.hint().map(str::to_owned),
            routine: error.routine().unwrap_or_default().to_owned(),
        }
    }
}

impl ServerError {
    /// Whether the same may well succeed a little later, without anyone doing anything.
    pub fn is_transient(&self) -> bool {
        const TRANSIENT: [SqlState; 8] = [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::IDLE_SESSION_TIMEOUT,
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::OUT_OF_MEMORY,
            SqlState::DISK_FULL,
            SqlState::LOCK_NOT_AVAILABLE,
        ];
        // Class 08: connection exceptions; class 40: transaction rollback.
        let class = self.code.code().get(..2);
        (TRANSIENT.contains(&self.code) && !self.is_out_of_senders()) || matches!(class, Some("08" | "40"))
    }

    /// All of `max_wal_senders` are used. It shares its SQLSTATE with `max_connections`, and with it the function; that limit is
    /// checked earlier, in the postmaster, for every kind of connection.
    pub(crate) fn is_out_of_senders(&self) -> bool {
        self.code == SqlState::TOO_MANY_CONNECTIONS && self.message.contains("max_wal_senders")
    }
}

impl ChannelError {
    pub(crate) fn server(body: &ErrorResponseBody) -> ChannelError {
        ChannelError::Server(Box::new(body.into()))
    }

    /// Whether to try again.
    pub fn is_transient(&self) -> bool {
        match self {
            ChannelError::Io(_) | ChannelError::Closed => true,
            ChannelError::Malformed(_) | ChannelError::Unexpected { .. } => false,
            ChannelError::Server(error) => error.is_transient(),
        }
    }
}

impl Failure {
    /// Whether to try again.
    pub fn is_transient(&self) -> bool {
        match self {
            // A resolver may be out of order as the network is; so may a server that is being restarted or switched over.
            Failure::Resolve(_) | Failure::Connect(_) | Failure::Timeout(_) | Failure::SessionAttributes(_) => true,
            Failure::Tls(TlsFailure::Handshake(error)) => error.get_ref().is_none_or(|cause| !cause.is::<rustls::Error>()),
            Failure::Tls(_) | Failure::Login(_) => false,
            Failure::Channel(error) => error.is_transient(),
        }
    }

    /// Whether another encryption could fare better: the handshake failed, or `pg_hba.conf` has no line for this kind of connection.
    pub(super) fn depends_on_encryption(&self) -> bool {
        match self {
            Failure::Tls(_) => true,
            Failure::Channel(ChannelError::Server(error)) => error.code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            _ => false,
        }
    }
}

impl ConnectError {
    /// Whether to try again: at least one of the attempts may fare better later.
    pub fn is_transient(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.failure.is_transient())
    }

    /// The server is there and lets us in, but has no right or no room for a replication connection.
    pub fn is_unprepared(&self) -> bool {
        let Some(Attempt { failure: Failure::Channel(ChannelError::Server(error)), .. }) = self.decisive() else { return false };
        let no_right = error.code == SqlState::INSUFFICIENT_PRIVILEGE && error.routine != "CheckMyDatabase";
        no_right || error.is_out_of_senders()
    }

    /// The attempt that says most: one that a server refused for good, else the last.
    pub fn decisive(&self) -> Option<&Attempt> {
        let definite = self.attempts.iter().rev().find(|attempt| !attempt.failure.is_transient());
        definite.or(self.attempts.last())
    }
}
