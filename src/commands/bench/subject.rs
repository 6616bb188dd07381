//! What is measured: pgvigil itself, as a process of its own that the measuring one starts and orders about.
//!
//! It prints its address, then does what a line on its standard input says, and goes when that input ends.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use clap::Args;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, stdin};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::Failure;
use super::{BenchError, fanout};
use crate::connection::Target;
use crate::history::journal::{Opened, Options};
use crate::history::{self, History, Writer};
use crate::pgoutput::ValueLimit;
use crate::pipeline::{Begin, Config, Pipeline, Published};
use crate::server::{self, Sources};

/// What the process under measurement does.
#[derive(Args, Clone, Debug)]
pub struct SubjectArgs {
    /// Follow this slot of the database in `DATABASE_URL`; without one, now. Without a database, make up events
    #[arg(long)]
    slot: Option<String>,
    /// Record it in this folder
    #[arg(long)]
    journal: Option<PathBuf>,
}

/// The process under measurement.
pub async fn run(args: SubjectArgs, cancel: CancellationToken) -> Result<(), Failure> {
    let config = server::Config::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let bound = server::bind(config).await.map_err(Failure::other)?;
    println!("{}", bound.local_addr());
    let journal = args.journal.map(|dir| Opened::open(&dir, Options::default()).map(|(journal, _)| journal));
    let journal = journal.transpose().map_err(Failure::other)?;
    let (writer, history) = match &journal {
        Some(journal) => history::recorded(64 << 20, journal.archive()),
        None => history::ring(64 << 20),
    };
    match std::env::var("DATABASE_URL") {
        Ok(url) => {
            let target = Target::resolve(Some(&url), |_| None).map_err(Failure::other)?;
            let begin = args.slot.map_or(Begin::Now, Begin::AtSlot);
            let (pipeline, published) = Pipeline::new(follow(target, begin), writer, journal);
            serve(bound, history, published, &cancel);
            let Some(_go) = order().await else { return Ok(()) };
            let stop = cancel.clone();
            tokio::spawn(async move {
                while order().await.is_some() {}
                stop.cancel();
            });
            pipeline.run(cancel).await.map_err(|error| Failure::other(error.advice()))
        }
        Err(_) => make_up(bound, writer, history, cancel).await,
    }
}

fn follow(target: Target, begin: Begin) -> Config {
    Config {
        target,
        publication: "pgvigil".to_owned(),
        expect_database: None,
        row_cache: None,
        max_value: ValueLimit::default(),
        max_transaction_memory: 64 << 20,
        spill_dir: std::env::temp_dir(),
        begin,
        streaming: true,
        concurrent_counts: 3,
        reconcile: std::time::Duration::from_secs(30),
    }
}

async fn make_up(bound: server::Bound, mut writer: Writer, history: History, cancel: CancellationToken) -> Result<(), Failure> {
    let (status, counts) = fanout::nothing_known();
    let (_status, status) = watch::channel(Arc::new(status));
    let (_counts, counts) = watch::channel(Arc::new(counts));
    let (_running, running) = watch::channel(Arc::default());
    fanout::begin(&mut writer);
    serve(bound, history, Published { status, counts, running }, &cancel);
    while let Some(line) = order().await {
        if let Ok(events) = line.parse() {
            fanout::make_up(&mut writer, events).await;
        }
    }
    Ok(())
}

fn serve(bound: server::Bound, history: History, published: Published, cancel: &CancellationToken) {
    let Published { status, counts, running } = published;
    let (_, alerts) = watch::channel(Arc::default());
    tokio::spawn(bound.serve(Sources { history, status, counts, running, alerts, database: None }, cancel.clone()));
}

/// The next line of standard input; `None` at its end. One reader for the whole process, so that nothing is buffered twice.
async fn order() -> Option<String> {
    use std::sync::OnceLock;
    use tokio::sync::Mutex;
    static ORDERS: OnceLock<Mutex<tokio::io::Lines<BufReader<tokio::io::Stdin>>>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| Mutex::new(BufReader::new(stdin()).lines()));
    orders.lock().await.next_line().await.ok().flatten()
}

/// The measuring process's hand on the measured one. Killed when dropped.
pub(super) struct Subject {
    child: Child,
    orders: ChildStdin,
    /// Where it serves.
    pub(super) address: SocketAddr,
    pub(super) pid: u32,
}

impl Subject {
    /// Starts one, on a database or on made-up events, with a journal in that folder or without one. It waits for its first order.
    pub(super) async fn start(
        database_url: Option<&str>,
        slot: Option<&str>,
        journal: Option<&Path>,
    ) -> Result<Self, BenchError> {
        let program: PathBuf = std::env::current_exe()?;
        let mut command = Command::new(program);
        command.arg("bench-subject").env_remove("DATABASE_URL").env("PGVIGIL_LOG", "error");
        command.envs(database_url.map(|url| ("DATABASE_URL", url)));
        command.args(slot.into_iter().flat_map(|slot| ["--slot", slot]));
        command.args(journal.into_iter().flat_map(|dir| [OsStr::new("--journal"), dir.as_os_str()]));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let gone = || BenchError::Subject("it ended before it began");
        let (orders, stdout) = (child.stdin.take().ok_or_else(gone)?, child.stdout.take().ok_or_else(gone)?);
        let line = BufReader::new(stdout).lines().next_line().await?.ok_or_else(gone)?;
        let address = line.parse().map_err(|_| BenchError::Subject("it did not say where it serves"))?;
        let pid = child.id().ok_or_else(gone)?;
        Ok(Self { child, orders, address, pid })
    }

    /// Gives an order.
    pub(super) async fn order(&mut self, line: &str) -> Result<(), BenchError> {
        self.orders.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(self.orders.flush().await?)
    }

    /// Lets it go, and waits for that.
    pub(super) async fn end(self) -> Result<(), BenchError> {
        let Self { mut child, orders, .. } = self;
        drop(orders);
        child.wait().await?;
        Ok(())
    }
}
