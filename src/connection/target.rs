//! Where to connect and how: a connection string, completed from libpq's environment and defaults.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::conninfo;
use super::passfile::{Passfile, Wanted};
use super::secret::Secret;
use super::settings::{Settings, TargetError};
use super::tls::{Negotiation, SslMode, Tls, TlsFiles};

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

impl Target {
    /// Reads a connection string (a URL or keyword/value pairs) and fills what it leaves out from `env`, as libpq does; without a
    /// connection string, everything comes from `env`. Reads certificates and the password file, which may be named by either.
    pub fn resolve(url: Option<&str>, env: impl Fn(&str) -> Option<String>) -> Result<Target, TargetError> {
        let settings = Settings::new(conninfo::parse(url.unwrap_or_default())?, &env)?;
        let user = settings.get("user").map(str::to_owned).or_else(system_user).ok_or(TargetError::NoUser)?;
        let database = settings.get("dbname").unwrap_or(&user).to_owned();
        let endpoints = endpoints(&settings, &user, &database)?;
        Ok(Target {
            endpoints,
            options: settings.get("options").map(str::to_owned),
            application_name: settings.get("application_name").map(str::to_owned),
            connect_timeout: match settings.number::<i64>("connect_timeout", "a number of seconds")? {
                None => Some(DEFAULT_CONNECT_TIMEOUT),
                Some(seconds) => u64::try_from(seconds).ok().filter(|&s| s > 0).map(Duration::from_secs),
            },
            keepalive: keepalive(&settings)?,
            tcp_user_timeout: settings.number("tcp_user_timeout", "a number of milliseconds")?.map(Duration::from_millis),
            session: settings.choice("target_session_attrs", "a kind of session", SessionAttributes::Any, SESSIONS)?,
            random_order: settings.choice("load_balance_hosts", "disable or random", false, LOAD_BALANCING)?,
            channel_binding: settings.choice(
                "channel_binding",
                "disable, prefer or require",
                ChannelBinding::Prefer,
                BINDINGS,
            )?,
            tls: tls(&settings)?,
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

fn endpoints(settings: &Settings, user: &str, database: &str) -> Result<Vec<Endpoint>, TargetError> {
    let entries = |name| settings.get(name).map_or(0, |list| list.split(',').count());
    let count = entries("host").max(entries("hostaddr")).max(1);
    let (hosts, addresses) = (settings.list("host", count)?, settings.list("hostaddr", count)?);
    let passfile = passfile(settings);
    let mut endpoints = Vec::with_capacity(count);
    for ((host, address), port) in hosts.into_iter().zip(addresses).zip(settings.list("port", count)?) {
        let invalid_port = TargetError::InvalidValue { name: "port", expected: "a number from 1 to 65535" };
        let port = if port.is_empty() { Ok(DEFAULT_PORT) } else { port.parse().map_err(|_| invalid_port) }?;
        let invalid_address = TargetError::InvalidValue { name: "hostaddr", expected: "an IP address" };
        let address: Option<IpAddr> = if address.is_empty() { None } else { Some(address.parse().map_err(|_| invalid_address)?) };
        let host = match (host, address) {
            ("", None) => default_host(port),
            ("", Some(address)) => Host::Name(address.to_string()),
            (folder, _) if folder.starts_with(['/', '@']) => Host::Socket(folder.into()),
            (name, _) => Host::Name(name.to_owned()),
        };
        let password = match settings.get("password") {
            Some(password) => Some(Secret::from(password.to_owned())),
            None => passfile.password(&Wanted { hosts: &passfile_names(&host), port, database, user }),
        };
        endpoints.push(Endpoint { host, address, port, password });
    }
    Ok(endpoints)
}

fn passfile(settings: &Settings) -> Passfile {
    let default = || Some(settings.home.as_ref()?.join(".pgpass"));
    let path = settings.get("passfile").map(PathBuf::from).or_else(default);
    path.map_or_else(Passfile::none, |path| Passfile::read(&path))
}

fn keepalive(settings: &Settings) -> Result<Option<socket2::TcpKeepalive>, TargetError> {
    if settings.number::<u8>("keepalives", "0 or 1")? == Some(0) {
        return Ok(None);
    }
    let seconds = |name| Ok::<_, TargetError>(settings.number(name, "a number of seconds")?.map(Duration::from_secs));
    let idle = seconds("keepalives_idle")?.filter(|idle| !idle.is_zero()).unwrap_or(DEFAULT_KEEPALIVE_IDLE);
    let mut keepalive = socket2::TcpKeepalive::new().with_time(idle);
    if let Some(interval) = seconds("keepalives_interval")?.filter(|interval| !interval.is_zero()) {
        keepalive = keepalive.with_interval(interval);
    }
    if let Some(count) = settings.number("keepalives_count", "a number")?.filter(|&count| count > 0) {
        keepalive = keepalive.with_retries(count);
    }
    Ok(Some(keepalive))
}

fn tls(settings: &Settings) -> Result<Tls, TargetError> {
    // sslrootcert=system promises the strictest mode, unless a mode is given.
    let system = settings.get("sslrootcert") == Some("system");
    let default_mode = if system { SslMode::VerifyFull } else { SslMode::Prefer };
    let mode = settings.choice("sslmode", "one of libpq's six modes", default_mode, SSL_MODES)?;
    if system && mode != SslMode::VerifyFull {
        return Err(TargetError::InvalidValue { name: "sslmode", expected: "verify-full, as sslrootcert=system demands" });
    }
    let negotiation = settings.choice("sslnegotiation", "postgres or direct", Negotiation::Postgres, NEGOTIATIONS)?;
    if negotiation == Negotiation::Direct && mode < SslMode::Require {
        return Err(TargetError::InvalidValue {
            name: "sslmode",
            expected: "require or stronger, as sslnegotiation=direct demands",
        });
    }
    let file = |name, default: &str| match settings.get(name) {
        Some(path) => Some(PathBuf::from(path)),
        None => Some(settings.home.as_ref()?.join(".postgresql").join(default)).filter(|path| path.exists()),
    };
    let files = TlsFiles {
        roots: file("sslrootcert", "root.crt"),
        certificate: file("sslcert", "postgresql.crt"),
        key: file("sslkey", "postgresql.key"),
    };
    Ok(Tls::new(mode, negotiation, &files)?)
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
