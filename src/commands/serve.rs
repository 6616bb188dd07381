//! `pgvigil serve`: the pipeline and the server, side by side.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::SignalKind;
use tokio_util::sync::CancellationToken;

use super::connection::ConnectionArgs;
use super::{Failure, alerts};
use crate::alerts::{Links, Rules};
use crate::connection::Target;
use crate::history;
use crate::history::journal::{Opened, Options};
use crate::pgoutput::ValueLimit;
use crate::pipeline::{self, Begin, Durable, Pipeline, PipelineError, Published};
use crate::rows;
use crate::server::{self, Bound, Origin, Sources};
use crate::watchman::Watchman;

/// What `serve` is told.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

/// What `serve` and `demo` have in common.
#[derive(Args, Clone, Debug)]
pub struct WatchArgs {
    /// Where to serve the page and the API. Anyone who can connect there can read the data
    #[arg(long, env = "PGVIGIL_LISTEN", default_value = "127.0.0.1:7777", value_parser = address, value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// The publication to read; `pgvigil setup` makes it
    #[arg(long, env = "PGVIGIL_PUBLICATION", default_value = "pgvigil", value_name = "NAME")]
    pub publication: String,

    /// Refuse any database that is not called this
    #[arg(long, env = "PGVIGIL_EXPECT_DATABASE", value_name = "NAME")]
    pub expect_database: Option<String>,

    /// Let pages of this origin, such as https://vigil.example.org, use the API, and be reached by its host name. Repeatable
    #[arg(long, env = "PGVIGIL_ALLOW_ORIGIN", value_delimiter = ',', value_name = "ORIGIN")]
    pub allow_origin: Vec<Origin>,

    /// Memory for the history of changes
    #[arg(long, env = "PGVIGIL_HISTORY_MEMORY", default_value = "64MiB", value_parser = history_memory, value_name = "BYTES")]
    pub history_memory: ByteSize,

    /// Record everything that happens in this folder, also what has no room in memory any more. Without it, what happened is forgotten when
    /// pgvigil ends
    #[arg(long, env = "PGVIGIL_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// How much of it is kept on disk, about; the oldest goes first
    #[arg(long, env = "PGVIGIL_KEEP", default_value = "10GiB", value_parser = keep, value_name = "BYTES", requires = "data_dir")]
    pub keep: ByteSize,

    /// What happened longer ago than this goes, too
    #[arg(long, env = "PGVIGIL_KEEP_FOR", value_parser = keep_for, value_name = "TIME", requires = "data_dir")]
    pub keep_for: Option<Duration>,

    /// A replication slot that stays when pgvigil ends, so that nothing is missed until it comes back. It is made if it is not there
    #[arg(long, env = "PGVIGIL_SLOT", value_parser = slot, value_name = "NAME", requires = "data_dir")]
    pub slot: Option<String>,

    /// Let go of the slot, and of what happens until there is another, when the server keeps so much log for it
    #[arg(long, env = "PGVIGIL_WAL_BUDGET", default_value = "1GiB", value_parser = wal_budget, value_name = "BYTES", requires = "slot")]
    pub wal_budget: ByteSize,

    /// Have standbys keep the slot too, so that the stream goes on after a failover. From PostgreSQL 17 on
    #[arg(long, env = "PGVIGIL_FAILOVER", requires = "slot")]
    pub failover: bool,

    /// Use the slot also where neither max_slot_wal_keep_size nor idle_replication_slot_timeout bounds the log that the server keeps for it
    /// while pgvigil is gone
    #[arg(long, env = "PGVIGIL_ALLOW_UNBOUNDED_WAL", requires = "slot")]
    pub allow_unbounded_wal: bool,

    /// The longest value, in bytes of its text, that is kept and shown; of a longer one only its length is. Of a row: four times as much
    #[arg(long, env = "PGVIGIL_MAX_VALUE", default_value = "1MiB", value_parser = max_value, value_name = "BYTES")]
    pub max_value: ByteSize,

    /// Keep the rows of small tables in memory, all together at most so much: a DELETE then tells the whole row also without REPLICA IDENTITY
    /// FULL, and a TRUNCATE all of them, so that both can be undone. Off without it
    #[arg(long, env = "PGVIGIL_ROW_CACHE", value_parser = size, value_name = "BYTES")]
    pub row_cache: Option<ByteSize>,

    /// Memory for the rows of a single table; those of a larger one are not kept
    #[arg(long, env = "PGVIGIL_ROW_CACHE_TABLE", default_value = "4MiB", value_parser = size, value_name = "BYTES")]
    pub row_cache_table: ByteSize,

    /// Memory for unfinished transactions; what exceeds it goes to a temporary file
    #[arg(long, env = "PGVIGIL_MAX_TRANSACTION_MEMORY", default_value = "64MiB", value_parser = size, value_name = "BYTES")]
    pub max_transaction_memory: ByteSize,

    /// Have the server send large transactions while they run: it spares it the temporary files it would write otherwise
    #[arg(long, env = "PGVIGIL_STREAMING", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub streaming: bool,

    /// Tables counted at the same time
    #[arg(long, env = "PGVIGIL_CONCURRENT_COUNTS", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=32), value_name = "N")]
    pub concurrent_counts: u8,

    /// Read the catalog again after this long, also when nothing seems to have changed
    #[arg(long, env = "PGVIGIL_RECONCILE", default_value = "30s", value_parser = reconcile, value_name = "TIME")]
    pub reconcile: Duration,

    /// The rules of what to be alerted of, and the webhooks that are told; without it, those that `pgvigil alerts check` prints
    #[arg(long, env = "PGVIGIL_ALERTS", value_name = "FILE")]
    pub alerts: Option<PathBuf>,

    /// Where others reach the page: what the links of alerts begin with. Without it, the address that is listened on
    #[arg(long, env = "PGVIGIL_PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    pub public_url: Option<String>,

    /// The rules of alerts without a file, where they are others than usual.
    #[arg(skip)]
    pub usual_rules: Option<&'static str>,
}

impl WatchArgs {
    fn pipeline(&self, target: Target) -> pipeline::Config {
        pipeline::Config {
            target,
            publication: self.publication.clone(),
            expect_database: self.expect_database.clone(),
            row_cache: self.row_cache.map(|total| rows::Limits { table: bytes(self.row_cache_table), total: bytes(total) }),
            max_value: ValueLimit(bytes(self.max_value)),
            max_transaction_memory: bytes(self.max_transaction_memory),
            spill_dir: std::env::temp_dir(),
            begin: self.slot.clone().map_or(Begin::Now, |slot| {
                let (failover, allow_unbounded) = (self.failover, self.allow_unbounded_wal);
                Begin::Durable(Durable { slot, failover, budget: self.wal_budget.as_u64(), allow_unbounded })
            }),
            streaming: self.streaming,
            concurrent_counts: usize::from(self.concurrent_counts),
            reconcile: self.reconcile,
        }
    }

    /// Takes the address, so that it is known before anything else is begun.
    pub async fn bind(&self) -> Result<Bound, Failure> {
        let mut config = server::Config::new(self.listen);
        config.allow_origins.clone_from(&self.allow_origin);
        allow_files(config.limits.connections);
        let bound = server::bind(config).await.map_err(Failure::other)?;
        let address = bound.local_addr();
        if !address.ip().to_canonical().is_loopback() {
            tracing::warn!(%address, "anyone who can connect to this address can read the data");
        }
        Ok(bound)
    }
}

/// Each connection is an open file, and the usual limit is lower than what the system lets a process ask for.
fn allow_files(connections: usize) {
    /// What is open beside the clients: sessions, temporary files, the runtime's own.
    const OTHERS: u64 = 256;
    let wanted = connections as u64 + OTHERS;
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < wanted
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard)
    {
        tracing::debug!(%error, soft, "the limit of open files stays as it is");
    }
}

impl WatchArgs {
    fn open_journal(&self, dir: &Path) -> Result<Opened, Failure> {
        let options = Options { keep: self.keep.as_u64(), keep_for: self.keep_for, ..Options::default() };
        let (journal, cut) = Opened::open(dir, options).map_err(Failure::other)?;
        if let Some(cut) = cut {
            tracing::warn!("{cut}");
        }
        Ok(journal)
    }

    fn rules(&self) -> Result<Rules, Failure> {
        match (&self.alerts, self.usual_rules) {
            (Some(file), _) => alerts::read(file),
            (None, Some(text)) => Rules::parse(text, |_| None).map_err(Failure::other),
            (None, None) => Rules::usual().map_err(Failure::other),
        }
    }

    /// What the links of alerts begin with.
    fn links(&self, address: SocketAddr) -> Links {
        // An address that stands for all of them leads nowhere by itself.
        let ip = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
        let here = || format!("http://{}", SocketAddr::new(ip, address.port()));
        Links { origin: self.public_url.clone().unwrap_or_else(here) }
    }
}

fn public_url(text: &str) -> Result<String, &'static str> {
    let expected = "give a URL such as https://vigil.example.org";
    let uri: axum::http::Uri = text.parse().map_err(|_| expected)?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none();
    if is_web && uri.authority().is_some_and(|it| !it.as_str().contains('@')) {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(expected)
    }
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "give an IP address and a port, such as 127.0.0.1:7777 or [::1]:7777")
}

fn size(text: &str) -> Result<ByteSize, &'static str> {
    text.parse().map_err(|_| "give a size, such as 64MiB or 1GiB")
}

fn max_value(text: &str) -> Result<ByteSize, &'static str> {
    size(text).and_then(|size| if size < ByteSize::kib(1) { Err("give at least 1KiB, such as 1MiB") } else { Ok(size) })
}

fn history_memory(text: &str) -> Result<ByteSize, &'static str> {
    size(text).and_then(|size| if size < ByteSize::mib(1) { Err("give at least 1MiB, such as 64MiB") } else { Ok(size) })
}

fn slot(text: &str) -> Result<String, &'static str> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let fits = (1..=63).contains(&text.len()) && text.bytes().all(plain);
    if fits { Ok(text.to_owned()) } else { Err("give up to 63 lower-case letters, digits and underscores, such as pgvigil") }
}

fn wal_budget(text: &str) -> Result<ByteSize, &'static str> {
    size(text).and_then(|size| if size < ByteSize::mib(16) { Err("give at least 16MiB, such as 1GiB") } else { Ok(size) })
}

fn keep(text: &str) -> Result<ByteSize, &'static str> {
    size(text).and_then(|size| if size < ByteSize::mib(128) { Err("give at least 128MiB, such as 10GiB") } else { Ok(size) })
}

fn keep_for(text: &str) -> Result<Duration, &'static str> {
    humantime::parse_duration(text).map_err(|_| "give a time, such as 30d or 12h")
}

fn reconcile(text: &str) -> Result<Duration, &'static str> {
    let time = humantime::parse_duration(text).map_err(|_| "give a time, such as 30s or 5m")?;
    if time < Duration::from_secs(1) { Err("give at least 1s, such as 30s") } else { Ok(time) }
}

fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}

/// Watches until cancelled.
pub async fn run(args: ServeArgs, cancel: CancellationToken) -> Result<(), Failure> {
    let target = args.connection.target()?;
    let bound = args.watch.bind().await?;
    watch(&args.watch, target, bound, Vec::new(), cancel).await
}

/// Runs pipeline and server until cancelled, or until the pipeline finds that it can never begin. What is to be known once it is ready
/// is printed then.
pub async fn watch(
    args: &WatchArgs,
    target: Target,
    bound: Bound,
    to_know: Vec<String>,
    cancel: CancellationToken,
) -> Result<(), Failure> {
    let rules = args.rules()?;
    let (journal, (writer, history)) = match &args.data_dir {
        Some(dir) => {
            // Where files may not grow any further, a write fails as it does on a full disk, and does not end the process.
            let grown = SignalKind::from_raw(nix::libc::SIGXFSZ);
            drop(tokio::signal::unix::signal(grown).map_err(Failure::other)?);
            let journal = args.open_journal(dir)?;
            let archive = journal.archive();
            (Some(journal), history::recorded(bytes(args.history_memory), archive))
        }
        None => (None, history::ring(bytes(args.history_memory))),
    };
    let (pipeline, published) = Pipeline::new(args.pipeline(target.clone()), writer, journal);
    let Published { status, counts, running } = published.clone();
    let address = bound.local_addr();
    let watchman = Watchman::new(&rules, args.links(address), history.clone(), published.clone()).map_err(Failure::other)?;
    let alerts = watchman.bulletin();
    let sources = Sources { history, status, counts, running, alerts, database: Some(target) };

    let stop = cancel.child_token();
    // Should the server fail, or who raises the alerts, the pipeline ends too: what nobody is told of need not be watched.
    let [ends_with_it, ends_with_him] = [(); 2].map(|()| stop.clone().drop_guard());
    let until = stop.clone();
    let alerting = tokio::spawn(async move {
        let _ends_with_him = ends_with_him;
        watchman.run(until).await;
    });
    let until = stop.clone();
    let serving = tokio::spawn(async move {
        let _ends_with_it = ends_with_it;
        bound.serve(sources, until).await;
    });
    let announcing = tokio::spawn(announce(published, address, to_know));
    let outcome = pipeline.run(stop.clone()).await;
    announcing.abort();
    stop.cancel();
    // Clients are said good-bye to before the process ends.
    let (served, alerted) = tokio::join!(serving, alerting);
    outcome.map_err(|error| failure(&error))?;
    served
        .and(alerted)
        .map_err(|_| Failure::other("a task failed in a way that it should not; see what was logged, and report it"))
}

/// Prints the line that says that everything is there, once it is.
async fn announce(published: Published, address: SocketAddr, to_know: Vec<String>) {
    let mut status = published.status;
    let Ok(held) = status.wait_for(|status| status.epoch.is_some()).await else { return };
    if let Some(database) = &held.database {
        let pipeline::Database { name, host, port, .. } = &**database;
        println!("pgvigil: watching {name} on {host}:{port} at http://{address}");
        for text in to_know {
            println!("pgvigil: {text}");
        }
    }
}

fn failure(error: &PipelineError) -> Failure {
    let code = match error {
        PipelineError::WrongDatabase { .. } => 3,
        error if error.is_preflight() => 4,
        _ => 1,
    };
    Failure::advised(code, &error.advice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        watch: WatchArgs,
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_an_example() {
        for (flag, value, example) in [
            ("--listen", "nonsense", "127.0.0.1:7777"),
            ("--history-memory", "lots", "64MiB"),
            ("--history-memory", "1000kB", "at least 1MiB"),
            ("--max-value", "lots", "64MiB"),
            ("--max-value", "1023B", "at least 1KiB"),
            ("--max-transaction-memory", "lots", "64MiB"),
            ("--reconcile", "banana", "30s"),
            ("--reconcile", "999ms", "at least 1s"),
        ] {
            let said = Command::try_parse_from(["serve", flag, value]).unwrap_err().to_string();
            assert!(said.contains(flag) && said.contains(example), "{said}");
        }
        let smallest = Command::try_parse_from(["serve", "--history-memory", "1MiB", "--reconcile", "1s", "--listen", "[::1]:0"]);
        assert_eq!(smallest.unwrap().watch.history_memory, ByteSize::mib(1));
    }
}
