//! What a person needs to hear when there is no connection.

use std::fmt;
use std::io::ErrorKind;

use tokio_postgres::error::SqlState;

use super::error::{Address, Attempt, ChannelError, ConnectError, Failure, LoginFailure, ServerError};
use super::tls::TlsFailure;

/// An error, told to a person: whole sentences, each part one or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What happened.
    pub what: String,
    /// What it means for them.
    pub meaning: String,
    /// What to do about it.
    pub action: String,
}

impl Advice {
    /// Makes a sentence of each part: a capital in front, a full stop behind.
    pub fn new(what: impl AsRef<str>, meaning: impl AsRef<str>, action: impl AsRef<str>) -> Advice {
        Advice { what: sentence(what.as_ref()), meaning: sentence(meaning.as_ref()), action: sentence(action.as_ref()) }
    }
}

fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    // What ends as SQL does is there to be copied.
    let stop = if text.ends_with(';') { "" } else { "." };
    let first_word = text.split(' ').next().unwrap_or_default();
    let mut characters = text.chars();
    match characters.next() {
        // What looks like a name (pg_hba.conf) is written as it is.
        Some(first) if first_word.bytes().all(|b| b.is_ascii_alphabetic()) => {
            format!("{}{}{stop}", first.to_uppercase(), characters.as_str())
        }
        _ => format!("{text}{stop}"),
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.what, self.meaning, self.action)
    }
}

const NOT_REACHED: &str = "The database cannot be reached; nothing can be said about it until it can.";
const NOT_LET_IN: &str = "The server is there, but it does not let pgvigil in.";
const NOT_SAFE: &str = "No password was sent: whoever answered may not be the server that you mean.";

impl ConnectError {
    /// What happened, what it means, what to do.
    pub fn advice(&self) -> Advice {
        let Some(Attempt { address, failure }) = self.decisive() else {
            return Advice::new("No host was tried.", NOT_REACHED, "Name one in the connection string or in PGHOST.");
        };
        match failure {
            Failure::Resolve(error) => Advice::new(
                format!("The host {} cannot be found: {error}.", address.host),
                NOT_REACHED,
                "Check the host's name for a slip, and whether this machine can resolve it.",
            ),
            Failure::Connect(error) => no_answer(address, error),
            Failure::Timeout(limit) => Advice::new(
                format!("{address} did not answer within {} seconds.", limit.as_secs()),
                NOT_REACHED,
                "Check host and port, and whether a firewall swallows the packets. connect_timeout sets how long to wait.",
            ),
            Failure::Tls(failure) => no_encryption(address, failure),
            Failure::Login(failure) => self.no_login(address, failure),
            Failure::SessionAttributes(wanted) => Advice::new(
                format!("{address} is not a server of the kind that target_session_attrs asks for ({wanted})."),
                "pgvigil watches no other kind than you asked for.",
                "Name the right host, or several to choose from, or ask for another kind.",
            ),
            Failure::Channel(ChannelError::Server(error)) => self.refused(address, error),
            Failure::Channel(ChannelError::Io(_) | ChannelError::Closed) => Advice::new(
                format!("The connection to {address} broke during the login: {failure}."),
                NOT_REACHED,
                "Look into the server's log; if something stands in between (a pooler, a tunnel), look there too.",
            ),
            Failure::Channel(ChannelError::Malformed(_) | ChannelError::Unexpected { .. }) => Advice::new(
                format!("What answers at {address} does not speak PostgreSQL's protocol: {failure}."),
                NOT_REACHED,
                "Check host and port: another service may be listening there.",
            ),
        }
    }

    fn no_login(&self, address: &Address, failure: &LoginFailure) -> Advice {
        let user = &self.user;
        match failure {
            LoginFailure::PasswordMissing => Advice::new(
                format!("The server at {address} asks for the password of role {user:?}, and none was given."),
                NOT_LET_IN,
                "Put it into PGPASSWORD, ~/.pgpass (with mode 0600) or the connection string.",
            ),
            LoginFailure::Unsupported(method) => Advice::new(
                format!("The server at {address} asks role {user:?} for an authentication that pgvigil cannot do ({method})."),
                NOT_LET_IN,
                "Let pg_hba.conf ask this role for scram-sha-256, md5, a password or a certificate.",
            ),
            LoginFailure::NotBound => Advice::new(
                format!("The login at {address} is not bound to its TLS session, which channel_binding=require demands."),
                NOT_SAFE,
                "Use TLS and a scram-sha-256 password, or ask for channel_binding=prefer.",
            ),
            LoginFailure::Scram(error) => Advice::new(
                format!("The server at {address} did not prove that it knows the password of role {user:?}: {error}."),
                NOT_SAFE,
                "Check that host and port are those of the server that you mean, and that nothing stands in between.",
            ),
        }
    }

    fn refused(&self, address: &Address, error: &ServerError) -> Advice {
        let (user, database) = (&self.user, &self.database);
        let said = format!("The server at {address} said: {}.", error.message);
        if error.is_out_of_senders() {
            return Advice::new(
                format!("All WAL senders of the server at {address} are in use (max_wal_senders)."),
                "Each replica and each reader of a replication slot needs one, and pgvigil too.",
                "See pg_stat_replication for who uses them; raise max_wal_senders and restart the server.",
            );
        }
        match &error.code {
            code if *code == SqlState::INVALID_CATALOG_NAME => Advice::new(
                format!("There is no database {database:?} on the server at {address}."),
                "The server is there and lets you in, but there is nothing by that name to watch.",
                "Check the name (psql -l lists all, and upper case counts), or create the database.",
            ),
            code if *code == SqlState::INVALID_PASSWORD => Advice::new(
                format!("The server at {address} refused the password of role {user:?}."),
                "The password is wrong or has expired, or there is no such role: the server does not say which.",
                "Check PGPASSWORD, ~/.pgpass or the connection string.",
            ),
            code if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION && error.routine == "InitializeSessionUserId" => {
                Advice::new(
                    format!("The role {user:?} does not exist on the server at {address}, or may not log in."),
                    NOT_LET_IN,
                    format!("Check the name, or run: CREATE ROLE {} LOGIN REPLICATION PASSWORD '…';", quoted(user)),
                )
            }
            code if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => Advice::new(
                said,
                format!("pg_hba.conf does not let role {user:?} in from here, to database {database:?}, in this way."),
                "Add a line to pg_hba.conf (a replication connection to a database needs an ordinary line for that database), \
                 or connect with another sslmode.",
            ),
            code if *code == SqlState::INSUFFICIENT_PRIVILEGE && error.routine == "CheckMyDatabase" => Advice::new(
                format!("The role {user:?} may not connect to database {database:?}."),
                NOT_LET_IN,
                format!("Run: GRANT CONNECT ON DATABASE {} TO {};", quoted(database), quoted(user)),
            ),
            code if *code == SqlState::INSUFFICIENT_PRIVILEGE => Advice::new(
                format!("The role {user:?} has no right to replicate from the server at {address}."),
                "Without it the server sends no changes.",
                format!("Run as a superuser: ALTER ROLE {} REPLICATION;", quoted(user)),
            ),
            code if *code == SqlState::TOO_MANY_CONNECTIONS => Advice::new(
                said,
                "All of its connections are in use; pgvigil tries again by itself.",
                "See pg_stat_activity for who holds them; raise max_connections, or the limit of the role or database.",
            ),
            code if *code == SqlState::CANNOT_CONNECT_NOW || *code == SqlState::ADMIN_SHUTDOWN => Advice::new(
                said,
                "It is starting, stopping or recovering; pgvigil tries again by itself.",
                "Wait; if it lasts, look into the server's log.",
            ),
            _ => Advice::new(
                said,
                NOT_LET_IN,
                error.hint.clone().unwrap_or_else(|| "Look into the server's log for more.".to_owned()),
            ),
        }
    }
}

fn no_answer(address: &Address, error: &std::io::Error) -> Advice {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => Advice::new(
            format!("Nothing listens at {address}."),
            NOT_REACHED,
            "Check that PostgreSQL runs, its port, and listen_addresses (or unix_socket_directories) of the server.",
        ),
        ErrorKind::PermissionDenied => Advice::new(
            format!("This user may not open the socket at {address}."),
            NOT_REACHED,
            "See unix_socket_permissions of the server, or connect over TCP.",
        ),
        _ => Advice::new(
            format!("No connection to {address}: {error}."),
            NOT_REACHED,
            "Check host and port, and the network in between.",
        ),
    }
}

fn no_encryption(address: &Address, failure: &TlsFailure) -> Advice {
    match failure {
        TlsFailure::NotOffered => Advice::new(
            format!("The server at {address} does not offer TLS, and sslmode demands it."),
            "Without it the password and every row would travel in the clear.",
            "Set ssl=on at the server; or, if the network in between is your own, use sslmode=prefer or disable.",
        ),
        TlsFailure::HostName(_) | TlsFailure::WrongName { .. } => Advice::new(
            format!("At {address}, {failure}."),
            NOT_SAFE,
            "Connect by a name that the certificate has in subjectAltName; or use sslmode=verify-ca, which does not check it.",
        ),
        TlsFailure::NotTrusted(_) => Advice::new(
            format!("At {address}, {failure}."),
            NOT_SAFE,
            "Check that sslrootcert names the certificate that signed the server's, and that neither has expired.",
        ),
        TlsFailure::Handshake(_) => Advice::new(
            format!("At {address}, {failure}."),
            NOT_REACHED,
            "pgvigil speaks TLS 1.2 and 1.3: see ssl_max_protocol_version and the log of the server.",
        ),
    }
}

/// An SQL identifier, for a person to paste.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
