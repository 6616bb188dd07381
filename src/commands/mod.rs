//! The commands, a file each. Floor 8: wires the floors below together and talks to the person at the terminal.

pub mod alerts;
pub mod bench;
pub mod cleanup;
pub mod connection;
pub mod demo;
pub mod history;
mod script;
pub mod serve;
pub mod setup;
pub mod slots;
pub mod tail;
pub mod undo;

use std::fmt;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Subcommand;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::connection::Advice;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch one database: serve its exact counts and every change, to a browser and to other tools
    Serve(serve::ServeArgs),
    /// Print every change as it commits, from a running pgvigil
    Tail(tail::TailArgs),
    /// Print, and with --apply run, the SQL that brings back what a transaction or a time changed, from a running pgvigil
    Undo(undo::UndoArgs),
    /// Look at what `serve --data-dir` has recorded: list, verify, export. Needs no running pgvigil, and changes nothing
    History(history::HistoryArgs),
    /// Print, and with --apply run, the SQL that prepares a database to be watched: role, publication, DDL messages
    Setup(setup::SetupArgs),
    /// Print, and with --apply run, the SQL that removes all that setup made
    Cleanup(cleanup::CleanupArgs),
    /// List the replication slots that pgvigil may have made, with what they make the server keep, and drop one with --drop
    Slots(slots::SlotsArgs),
    /// Watch a private, throw-away PostgreSQL with a sample database in which something is always going on
    Demo(demo::DemoArgs),
    /// Look at the rules of alerts, and try the webhooks that are told of them
    Alerts(alerts::AlertsArgs),
    /// Measure this build on this machine, beside pg_recvlogical
    Bench(bench::BenchArgs),
    /// The process that bench measures
    #[command(hide = true)]
    BenchSubject(bench::SubjectArgs),
}

impl Command {
    /// Runs to its end, or until SIGINT or SIGTERM asks it to come to one.
    pub fn run(self) -> Result<(), Failure> {
        log();
        // One thread may be busy applying a large transaction; another must always be there to answer the server.
        let threads = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
        let runtime = runtime.map_err(|error| Failure::other(format!("the runtime cannot be started: {error}")))?;
        runtime.block_on(async {
            let cancel = cancelled_by_signals()?;
            match self {
                Command::Serve(args) => serve::run(args, cancel).await,
                Command::Tail(args) => tail::run(args, cancel).await.map_err(Failure::other),
                Command::Undo(args) => undo::run(args, &mut std::io::stdout()).await,
                Command::History(args) => history::run(args, cancel).await,
                Command::Setup(args) => setup::run(args, &mut std::io::stdout()).await,
                Command::Cleanup(args) => cleanup::run(args, &mut std::io::stdout()).await,
                Command::Slots(args) => slots::run(args, &mut std::io::stdout()).await,
                Command::Demo(args) => demo::run(args, cancel).await,
                Command::Alerts(args) => alerts::run(args, &mut std::io::stdout()).await,
                Command::Bench(args) => bench::run(args, cancel).await,
                Command::BenchSubject(args) => bench::run_subject(args, cancel).await,
            }
        })
    }
}

/// How a command failed.
#[derive(Debug)]
pub struct Failure {
    text: String,
    code: u8,
}

impl Failure {
    /// Anything that has no code of its own.
    pub fn other(text: impl fmt::Display) -> Self {
        Self { text: format!("pgvigil: {text}"), code: 1 }
    }

    /// With an exit code that others rely on.
    pub fn with_code(code: u8, text: impl fmt::Display) -> Self {
        Self { text: format!("pgvigil: {text}"), code }
    }

    /// What happened, what it means, what to do.
    pub fn advised(code: u8, advice: &Advice) -> Self {
        Self::with_code(code, advice)
    }

    /// For the shell.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// To standard error, at the level that `PGVIGIL_LOG` asks for.
///
/// Libraries that use the `log` crate are not listened to: at their lower levels they print what they send and receive, values and all.
fn log() {
    let filter = EnvFilter::try_from_env("PGVIGIL_LOG").unwrap_or_else(|_| EnvFilter::new("pgvigil=info,warn"));
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colours = std::io::stderr().is_terminal() && !no_color;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    // A second subscriber is refused; the first one stays.
    drop(tracing::subscriber::set_global_default(subscriber.with_target(false).finish()));
}

fn cancelled_by_signals() -> Result<CancellationToken, Failure> {
    let cannot = |error| Failure::other(format!("signals cannot be received: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let cancel = CancellationToken::new();
    let cancelled = cancel.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        cancelled.cancel();
        // Asked twice, do not wait for anything.
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        std::process::exit(130);
    });
    Ok(cancel)
}
