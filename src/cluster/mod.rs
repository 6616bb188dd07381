//! A private, throw-away PostgreSQL server: what `demo`, `bench` and the tests run against.
//!
//! Floor 4, and it imports no other module. A [`Cluster`] is one server in one folder of its own, on a free port of `127.0.0.1`
//! and on a Unix socket inside that folder. Nothing of it outlives its [`Cluster`]:
//!
//! ```text
//!   pgvigil ──pipe──▶ guard (sh)        the pipe ends when the Cluster is dropped, and also when
//!      │                │               pgvigil panics, exits or is killed with kill -9
//!      ▼                ▼
//!   postgres ◀──QUIT────┘ then the folder is removed
//! ```
//!
//! There is one way to end, whatever ends us: the pipe closes and the guard cleans up. The server and the guard each have a
//! process group of their own, so a Ctrl-C in the terminal reaches only pgvigil, which can then end in good order.
//!
//! PostgreSQL refuses to run as root. Started by root, the server runs as `postgres`, or else as `nobody`.

mod account;
mod binaries;
mod error;
mod home;
mod options;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use binaries::Binaries;
pub use error::Error;
pub use options::Options;

use home::Home;

/// The superuser that every cluster has.
pub const SUPERUSER: &str = "postgres";

/// How long a server may take to start or to stop before that is an error. Crash recovery of a large database counts too.
const PATIENCE: Duration = Duration::from_secs(120);

/// How to stop a server; the names are those of `pg_ctl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Sessions are ended, walsenders may send what is left, and a shutdown checkpoint is written.
    Fast,
    /// As a crash: the next start recovers from the WAL.
    Immediate,
}

/// A private PostgreSQL server. Dropping it stops the server at once and removes all its data.
pub struct Cluster {
    home: Home,
    binaries: Binaries,
    password: Option<String>,
    port: u16,
}

impl Cluster {
    /// Makes a new cluster in a folder of its own and starts it; it accepts connections when this returns.
    pub async fn start(binaries: &Binaries, options: Options) -> Result<Self, Error> {
        let mut home = Home::new(options.parent.as_deref())?;
        home.initialize(binaries, options.template.as_deref()).await?;
        home.write("data/pg_hba.conf", &options.pg_hba())?;
        if options.standby {
            home.write("data/standby.signal", "")?;
        }
        // A standby has the roles of its primary, and these their passwords.
        let set_password = !options.standby;
        let Options { settings, password, .. } = options;
        let mut cluster = Cluster { home, binaries: binaries.clone(), password, port: 0 };
        let initial = cluster.home.read("data/postgresql.conf")?;
        let mut tries = 5;
        loop {
            cluster.port = free_port().map_err(|source| Error::io("find a free port on", Path::new("127.0.0.1"), source))?;
            let settings = options::postgresql_conf(cluster.port, cluster.home.folder(), &settings);
            cluster.home.write("data/postgresql.conf", &format!("{initial}\n{settings}"))?;
            tries -= 1;
            match cluster.resume().await {
                // Between our look and the server's bind somebody else may have taken the port.
                Err(Error::Start { log, .. }) if tries > 0 && log.contains("Address already in use") => continue,
                other => break other?,
            }
        }
        if set_password {
            cluster.set_password().await?;
        }
        Ok(cluster)
    }

    /// A connection string over TCP, for the superuser, with the password if there is one: never print it.
    pub fn url(&self, database: &str) -> String {
        let password = self.password.as_deref().map(|password| format!(":{}", percent_encoded(password))).unwrap_or_default();
        format!("postgresql://{SUPERUSER}{password}@127.0.0.1:{}/{}", self.port, percent_encoded(database))
    }

    /// A connection string over the Unix socket, which only the account that runs the server, and root, can reach.
    pub fn socket_url(&self, database: &str) -> String {
        let folder = percent_encoded(&self.home.folder().to_string_lossy());
        format!("postgresql://{SUPERUSER}@{folder}:{}/{}", self.port, percent_encoded(database))
    }

    /// The port on `127.0.0.1`; it stays the same over a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        self.home.folder()
    }

    /// PostgreSQL's data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.home.folder().join("data")
    }

    /// The binaries that it runs.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The process id of the postmaster; `None` while the server is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.home.pid()
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        self.log_since(0)
    }

    /// Stops the server and keeps its data. Fine also when it has stopped, or was killed, already.
    pub async fn stop(&mut self, mode: Mode) -> Result<(), Error> {
        self.signal(match mode {
            Mode::Fast => Signal::SIGINT,
            Mode::Immediate => Signal::SIGQUIT,
        });
        let deadline = Instant::now() + PATIENCE;
        while self.home.exit_status()?.is_none() {
            self.wait_until(deadline, "stop").await?;
        }
        Ok(())
    }

    /// Starts the server again after [`stop`](Self::stop), on the same port and data.
    pub async fn resume(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.launch(deadline).await {
                // The children of a postmaster that was killed live on for a moment.
                Err(Error::Start { log, .. }) if log.contains("pre-existing shared memory block") => {
                    self.wait_until(deadline, "start").await?;
                }
                other => return other,
            }
        }
    }

    /// Stops the server, then starts it again.
    pub async fn restart(&mut self, mode: Mode) -> Result<(), Error> {
        self.stop(mode).await?;
        self.resume().await
    }

    /// Makes the server read its configuration files again, as `pg_reload_conf()` does.
    pub fn reload(&self) {
        self.signal(Signal::SIGHUP);
    }

    /// Runs the server until it says that it is ready.
    async fn launch(&mut self, deadline: Instant) -> Result<(), Error> {
        let logged = self.log_since(0).len() as u64;
        let data = self.data_dir();
        let pid = self.home.spawn(self.home.account, &self.binaries.program("postgres"), &["-D".as_ref(), data.as_os_str()])?;
        while !is_ready(&data, pid) {
            if let Some(status) = self.home.exit_status()? {
                return Err(Error::Start { status, log: self.log_since(logged) });
            }
            self.wait_until(deadline, "start").await?;
        }
        Ok(())
    }

    /// Over the socket, where no password is asked for.
    async fn set_password(&self) -> Result<(), Error> {
        let Some(password) = &self.password else { return Ok(()) };
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.socket_dir()).port(self.port).user(SUPERUSER).dbname("postgres");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        let session = tokio::spawn(connection);
        client.batch_execute(&format!("ALTER ROLE {SUPERUSER} PASSWORD '{}'", password.replace('\'', "''"))).await?;
        drop(client);
        session.await.ok();
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        // The server is our child and not yet waited for, so the id cannot have passed to another process.
        if let Some(pid) = self.pid().and_then(|pid| i32::try_from(pid).ok()) {
            kill(Pid::from_raw(pid), signal).ok();
        }
    }

    async fn wait_until(&self, deadline: Instant, doing: &'static str) -> Result<(), Error> {
        if Instant::now() > deadline {
            return Err(Error::TimedOut { doing, after: PATIENCE, log: self.log() });
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(())
    }

    fn log_since(&self, offset: u64) -> String {
        let mut bytes = Vec::new();
        // No log yet is an empty log.
        if let Ok(mut file) = File::open(self.home.log_path()) {
            file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_to_end(&mut bytes)).ok();
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The postmaster writes its state into the eighth line of `postmaster.pid`, as `pg_ctl` reads it too.
fn is_ready(data: &Path, pid: u32) -> bool {
    let Ok(text) = std::fs::read_to_string(data.join("postmaster.pid")) else { return false };
    let mut lines = text.lines().map(str::trim);
    lines.next() == Some(pid.to_string().as_str()) && lines.nth(6) == Some("ready")
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_for_a_url() {
        assert_eq!(percent_encoded("/tmp/a b-1.x"), "%2Ftmp%2Fa%20b-1.x");
    }

    #[test]
    fn a_server_is_ready_only_when_its_own_lock_file_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text: &str| std::fs::write(folder.path().join("postmaster.pid"), text).unwrap();
        assert!(!is_ready(folder.path(), 7));
        write("7\n/data\n1700000000\n5433\n/tmp\n127.0.0.1\n 1 2\nstarting\n");
        assert!(!is_ready(folder.path(), 7));
        write("7\n/data\n1700000000\n5433\n/tmp\n127.0.0.1\n 1 2\nready   \n");
        assert!(is_ready(folder.path(), 7));
        assert!(!is_ready(folder.path(), 8), "a lock file that an earlier server left behind");
    }
}
