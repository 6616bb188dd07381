//! Where to connect and how: a connection string, completed from libpq's environment and defaults.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::conninfo::{self, Parameters};
use super::passfile::{Passfile, Wanted};
use super::secret::Secret;
use super::tls::{Negotiation, SslMode, Tls, TlsFileError, TlsFiles};

/// Folders in which servers put their sockets: Debian's and the original one.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];
const DEFAULT_PORT: u16 = 5432;
/// libpq would wait for ever; whoever watches a database wants to hear that it does not answer.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that carries nothing for this long is probed: firewalls forget idle ones, and a dead peer says nothing.
const DEFAULT_KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// Everything needed to connect to a database, as often as needed. `Debug` and `Display` never show the password.
#[derive(Clone, Debug)]
pub struct Target {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) user: String,
    pub(super) database: String,
    pub(super) options: Option<String>,
    pub(super) application_name: Option<String>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) keepalive: Option<socket2::TcpKeepalive>,
    pub(super) tcp_user_timeout: Option<Duration>,
    pub(super) session: SessionAttributes,
    pub(super) random_order: bool,
    pub(super) channel_binding: ChannelBinding,
    pub(super) tls: Tls,
}

/// One of the hosts of a target.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) host: Host,
    /// `hostaddr`: connect here, without asking the resolver.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) password: Option<Secret>,
}

/// How a host is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// A name or an address.
    Name(String),
    /// The folder of a unix socket.
    Socket(PathBuf),
}

/// `target_session_attrs`: which kind of server is good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum SessionAttributes {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// `channel_binding`: whether the login must be tied to the TLS session that it travels in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ChannelBinding {
    Disable,
    Prefer,
    Require,
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

impl Target {
    /// Reads a connection string (a URL or keyword/value pairs) and fills what it leaves out from `env`, as libpq does; without a
    /// connection string, everything comes from `env`. Reads certificates and the password file, which may be named by either.
    pub fn resolve(url: Option<&str>, env: impl Fn(&str) -> Option<String>) -> Result<Target, TargetError> {
        let settings = Settings::new(conninfo::parse(url.unwrap_or_default())?, &env)?;
        let user = settings.get("user").map(str::to_owned).or_else(system_user).ok_or(TargetError::NoUser)?;
        let database = settings.get("dbname").unwrap_or(&user).to_owned();
        let endpoints = settings.endpoints(&user, &database)?;
        Ok(Target {
            endpoints,
            options: settings.get("options").map(str::to_owned),
            application_name: settings.get("application_name").map(str::to_owned),
            connect_timeout: match settings.number::<i64>("connect_timeout", "a number of seconds")? {
                None => Some(DEFAULT_CONNECT_TIMEOUT),
                Some(seconds) => u64::try_from(seconds).ok().filter(|&s| s > 0).map(Duration::from_secs),
            },
            keepalive: settings.keepalive()?,
            tcp_user_timeout: settings.number("tcp_user_timeout", "a number of milliseconds")?.map(Duration::from_millis),
            session: settings.choice("target_session_attrs", "a kind of session", SessionAttributes::Any, SESSIONS)?,
            random_order: settings.choice("load_balance_hosts", "disable or random", false, LOAD_BALANCING)?,
            channel_binding: settings.choice(
                "channel_binding",
                "disable, prefer or require",
                ChannelBinding::Prefer,
                BINDINGS,
            )?,
            tls: settings.tls()?,
            user,
            database,
        })
    }

    /// The database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The role.
    pub fn user(&self) -> &str {
        &self.user
    }
}

/// `app on db.example.org:5432`, with every host when there are several.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on ", self.database)?;
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{}:{}", endpoint.host, endpoint.port)?;
        }
        Ok(())
    }
}

impl fmt::Display for SessionAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = SESSIONS.iter().find(|(_, attributes)| attributes == self).map(|(name, _)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) if name.contains(':') => write!(f, "[{name}]"),
            Host::Name(name) => f.write_str(name),
            Host::Socket(folder) => folder.display().fmt(f),
        }
    }
}

const SESSIONS: &[(&str, SessionAttributes)] = &[
    ("any", SessionAttributes::Any),
    ("read-write", SessionAttributes::ReadWrite),
    ("read-only", SessionAttributes::ReadOnly),
    ("primary", SessionAttributes::Primary),
    ("standby", SessionAttributes::Standby),
    ("prefer-standby", SessionAttributes::PreferStandby),
];
const LOAD_BALANCING: &[(&str, bool)] = &[("disable", false), ("random", true)];
const BINDINGS: &[(&str, ChannelBinding)] =
    &[("disable", ChannelBinding::Disable), ("prefer", ChannelBinding::Prefer), ("require", ChannelBinding::Require)];
const NEGOTIATIONS: &[(&str, Negotiation)] = &[("postgres", Negotiation::Postgres), ("direct", Negotiation::Direct)];
const SSL_MODES: &[(&str, SslMode)] = &[
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

/// The parameters that were given, by string or environment, and what they say.
struct Settings {
    given: Parameters,
    home: Option<PathBuf>,
}

impl Settings {
    fn new(mut given: Parameters, env: &impl Fn(&str) -> Option<String>) -> Result<Settings, TargetError> {
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

    fn get(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    fn number<T: std::str::FromStr>(&self, name: &'static str, expected: &'static str) -> Result<Option<T>, TargetError> {
        let parse = |text: &str| text.trim().parse().map_err(|_| TargetError::InvalidValue { name, expected });
        self.get(name).map(parse).transpose()
    }

    fn choice<T: Copy>(
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
    fn list(&self, name: &'static str, count: usize) -> Result<Vec<&str>, TargetError> {
        let entries: Vec<_> = self.get(name).map(|list| list.split(',').map(str::trim).collect()).unwrap_or_default();
        match entries.len() {
            0 => Ok(vec![""; count]),
            1 => Ok(vec![entries[0]; count]),
            n if n == count => Ok(entries),
            _ => Err(TargetError::InvalidValue { name, expected: "one for all hosts, or one for each" }),
        }
    }

    fn endpoints(&self, user: &str, database: &str) -> Result<Vec<Endpoint>, TargetError> {
        let entries = |name| self.get(name).map_or(0, |list| list.split(',').count());
        let count = entries("host").max(entries("hostaddr")).max(1);
        let (hosts, addresses) = (self.list("host", count)?, self.list("hostaddr", count)?);
        let passfile = self.passfile();
        let mut endpoints = Vec::with_capacity(count);
        for ((host, address), port) in hosts.into_iter().zip(addresses).zip(self.list("port", count)?) {
            let invalid_port = TargetError::InvalidValue { name: "port", expected: "a number from 1 to 65535" };
            let port = if port.is_empty() { Ok(DEFAULT_PORT) } else { port.parse().map_err(|_| invalid_port) }?;
            let invalid_address = TargetError::InvalidValue { name: "hostaddr", expected: "an IP address" };
            let address: Option<IpAddr> =
                if address.is_empty() { None } else { Some(address.parse().map_err(|_| invalid_address)?) };
            let host = match (host, address) {
                ("", None) => default_host(port),
                ("", Some(address)) => Host::Name(address.to_string()),
                (folder, _) if folder.starts_with(['/', '@']) => Host::Socket(folder.into()),
                (name, _) => Host::Name(name.to_owned()),
            };
            let password = match self.get("password") {
                Some(password) => Some(Secret::from(password.to_owned())),
                None => passfile.password(&Wanted { hosts: &passfile_names(&host), port, database, user }),
            };
            endpoints.push(Endpoint { host, address, port, password });
        }
        Ok(endpoints)
    }

    fn passfile(&self) -> Passfile {
        let default = || Some(self.home.as_ref()?.join(".pgpass"));
        let path = self.get("passfile").map(PathBuf::from).or_else(default);
        path.map_or_else(Passfile::none, |path| Passfile::read(&path))
    }

    fn keepalive(&self) -> Result<Option<socket2::TcpKeepalive>, TargetError> {
        if self.number::<u8>("keepalives", "0 or 1")? == Some(0) {
            return Ok(None);
        }
        let seconds = |name| Ok::<_, TargetError>(self.number(name, "a number of seconds")?.map(Duration::from_secs));
        let idle = seconds("keepalives_idle")?.filter(|idle| !idle.is_zero()).unwrap_or(DEFAULT_KEEPALIVE_IDLE);
        let mut keepalive = socket2::TcpKeepalive::new().with_time(idle);
        if let Some(interval) = seconds("keepalives_interval")?.filter(|interval| !interval.is_zero()) {
            keepalive = keepalive.with_interval(interval);
        }
        if let Some(count) = self.number("keepalives_count", "a number")?.filter(|&count| count > 0) {
            keepalive = keepalive.with_retries(count);
        }
        Ok(Some(keepalive))
    }

    fn tls(&self) -> Result<Tls, TargetError> {
        // sslrootcert=system promises the strictest mode, unless a mode is given.
        let system = self.get("sslrootcert") == Some("system");
        let default_mode = if system { SslMode::VerifyFull } else { SslMode::Prefer };
        let mode = self.choice("sslmode", "one of libpq's six modes", default_mode, SSL_MODES)?;
        if system && mode != SslMode::VerifyFull {
            return Err(TargetError::InvalidValue { name: "sslmode", expected: "verify-full, as sslrootcert=system demands" });
        }
        let negotiation = self.choice("sslnegotiation", "postgres or direct", Negotiation::Postgres, NEGOTIATIONS)?;
        if negotiation == Negotiation::Direct && mode < SslMode::Require {
            return Err(TargetError::InvalidValue {
                name: "sslmode",
                expected: "require or stronger, as sslnegotiation=direct demands",
            });
        }
        let file = |name, default: &str| match self.get(name) {
            Some(path) => Some(PathBuf::from(path)),
            None => Some(self.home.as_ref()?.join(".postgresql").join(default)).filter(|path| path.exists()),
        };
        let files = TlsFiles {
            roots: file("sslrootcert", "root.crt"),
            certificate: file("sslcert", "postgresql.crt"),
            key: file("sslkey", "postgresql.key"),
        };
        Ok(Tls::new(mode, negotiation, &files)?)
    }
}

/// The socket folder that has a socket for this port, else this machine over TCP.
fn default_host(port: u16) -> Host {
    let folder = SOCKET_FOLDERS.map(Path::new).into_iter().find(|folder| folder.join(format!(".s.PGSQL.{port}")).exists());
    folder.map_or_else(|| Host::Name("localhost".to_owned()), |folder| Host::Socket(folder.to_owned()))
}

/// The names under which a host may stand in the password file.
fn passfile_names(host: &Host) -> Vec<&str> {
    match host {
        Host::Name(name) => vec![name],
        Host::Socket(folder) => {
            let mut names: Vec<_> = folder.to_str().into_iter().collect();
            if SOCKET_FOLDERS.iter().any(|default| Path::new(default) == folder) {
                names.push("localhost");
            }
            names
        }
    }
}

/// The name of whoever runs this process.
fn system_user() -> Option<String> {
    nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.name)
}
