//! libpq's parameters as they were given: by the connection string, or else by the environment.

use std::path::PathBuf;
use std::str::FromStr;

use super::conninfo::Parameters;
use super::tls::TlsFileError;

/// libpq's parameters that are used, with the environment variable that stands in for each.
const SUPPORTED: [(&str, &str); 31] = [
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("options", "PGOPTIONS"),
    ("application_name", "PGAPPNAME"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("sslmode", "PGSSLMODE"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("keepalives", ""),
    ("keepalives_idle", ""),
    ("keepalives_interval", ""),
    ("keepalives_count", ""),
    ("tcp_user_timeout", ""),
    // Read and left alone: they change nothing here that could matter.
    ("fallback_application_name", ""),
    ("client_encoding", ""),
    ("sslcompression", ""),
    ("sslsni", ""),
    ("gssencmode", "PGGSSENCMODE"),
    ("gssdelegation", ""),
    ("gsslib", ""),
    ("krbsrvname", ""),
];

/// libpq's parameters that ask for something we do not do: better refused than ignored.
const UNSUPPORTED: [(&str, &str); 11] = [
    ("service", "PGSERVICE"),
    ("servicefile", ""),
    ("require_auth", "PGREQUIREAUTH"),
    ("requirepeer", "PGREQUIREPEER"),
    ("sslcrl", "PGSSLCRL"),
    ("sslcrldir", "PGSSLCRLDIR"),
    ("sslcertmode", "PGSSLCERTMODE"),
    ("sslpassword", ""),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("replication", ""),
];

/// The parameters that were given, by string or environment, and what they say.
pub(super) struct Settings {
    given: Parameters,
    /// The folder of whoever runs this process.
    pub(super) home: Option<PathBuf>,
}

impl Settings {
    pub(super) fn new(mut given: Parameters, env: &impl Fn(&str) -> Option<String>) -> Result<Settings, TargetError> {
        let known = |name: &str| SUPPORTED.iter().any(|(known, _)| *known == name);
        let from_env = |variable: &str| if variable.is_empty() { None } else { env(variable).filter(|v| !v.is_empty()) };
        for (name, variable) in UNSUPPORTED {
            if given.contains_key(name) || from_env(variable).is_some() {
                return Err(TargetError::Unsupported(name));
            }
        }
        given.retain(|_, value| !value.is_empty());
        for (name, variable) in SUPPORTED {
            if let (false, Some(value)) = (given.contains_key(name), from_env(variable)) {
                given.insert(name.to_owned(), value);
            }
        }
        if given.get("gssencmode").is_some_and(|mode| mode == "require") {
            return Err(TargetError::Unsupported("gssencmode"));
        }
        if let Some(name) = given.keys().find(|name| !known(name)) {
            // What is not even a word is more likely a torn value, and could be secret.
            let word = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            let unreadable = TargetError::Syntax("the name of a parameter is not a word");
            return Err(if word { TargetError::UnknownParameter(name.clone()) } else { unreadable });
        }
        Ok(Settings { given, home: from_env("HOME").map(PathBuf::from) })
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    pub(super) fn number<T: FromStr>(&self, name: &'static str, expected: &'static str) -> Result<Option<T>, TargetError> {
        let parse = |text: &str| text.trim().parse().map_err(|_| TargetError::InvalidValue { name, expected });
        self.get(name).map(parse).transpose()
    }

    pub(super) fn choice<T: Copy>(
        &self,
        name: &'static str,
        expected: &'static str,
        default: T,
        choices: &[(&str, T)],
    ) -> Result<T, TargetError> {
        let Some(given) = self.get(name) else { return Ok(default) };
        let chosen = choices.iter().find(|(text, _)| *text == given);
        chosen.map(|(_, value)| *value).ok_or(TargetError::InvalidValue { name, expected })
    }

    /// The entries of a comma-separated list, of which there must be `count`, or one for all, or none.
    pub(super) fn list(&self, name: &'static str, count: usize) -> Result<Vec<&str>, TargetError> {
        let entries: Vec<_> = self.get(name).map(|list| list.split(',').map(str::trim).collect()).unwrap_or_default();
        match entries.len() {
            0 => Ok(vec![""; count]),
            1 => Ok(vec![entries[0]; count]),
            n if n == count => Ok(entries),
            _ => Err(TargetError::InvalidValue { name, expected: "one for all hosts, or one for each" }),
        }
    }
}

/// A connection string or environment that does not say where to connect. Never holds a value, which could be the password.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It cannot be read.
    #[error("the connection string is malformed: {0}")]
    Syntax(&'static str),
    /// A parameter that libpq does not know either.
    #[error("the connection string has an unknown parameter {0:?}")]
    UnknownParameter(String),
    /// A parameter that libpq knows; to ignore it could be unsafe.
    #[error("the connection parameter {0} is not supported")]
    Unsupported(&'static str),
    /// A value that means nothing.
    #[error("the connection parameter {name} is not {expected}")]
    InvalidValue {
        /// Which parameter.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// No user was named, and the system does not name one.
    #[error("no user to connect as: name one in the connection string or in PGUSER")]
    NoUser,
    /// Certificates or the private key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsFileError),
}
