//! `pgvigil history`: what `pgvigil serve --data-dir` has recorded, without a running server or beside one. Nothing is locked, and nothing is
//! written into the folder.
//!
//! What is asked for goes to standard output, what is said about it to standard error.

mod export;
mod list;
mod sink;
mod verify;

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::thread;

use clap::{Args, Subcommand};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::history::journal::{JournalError, Watched};

/// Of a journal that is damaged.
const DAMAGED: u8 = 1;
/// As a shell says that a program was interrupted.
const INTERRUPTED: u8 = 130;
/// As clap says that something was not given.
const USAGE: u8 = 2;

/// What `history` is told.
#[derive(Args, Clone, Debug)]
pub struct HistoryArgs {
    /// The folder that `pgvigil serve --data-dir` records in, and may be recording in now; it is only read
    #[arg(long, env = "PGVIGIL_DATA_DIR", value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,

    #[command(subcommand)]
    command: HistoryCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum HistoryCommand {
    /// Say what is recorded: of which database, from when to when, what is missing between, and in which files
    List {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Read all of it, and say whether it is what was written: every checksum, every block, their order, and nothing missing between. Ends
    /// with 1 if it is damaged
    Verify {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print what happened, oldest first, as NDJSON or CSV
    Export(Box<export::ExportArgs>),
}

/// Runs it, until cancelled.
pub async fn run(args: HistoryArgs, cancel: CancellationToken) -> Result<(), Failure> {
    let HistoryArgs { data_dir, command } = args;
    let missing =
        "say which journal: --data-dir DIR (or PGVIGIL_DATA_DIR), the folder that `pgvigil serve --data-dir` records in";
    let dir = data_dir.ok_or_else(|| Failure::with_code(USAGE, missing))?;
    let (end, ended) = oneshot::channel();
    // Nobody joins it: it may be busy with the disk, or stuck in a write to somebody who does not read.
    thread::spawn(move || {
        let outcome = match command {
            HistoryCommand::List { json } => list::run(&dir, json, &mut io::stdout().lock()),
            HistoryCommand::Verify { json } => verify::run(&dir, json, &mut io::stdout().lock()),
            HistoryCommand::Export(args) => export::run(&dir, &args),
        };
        drop(end.send(outcome));
    });
    tokio::select! {
        outcome = ended => outcome.unwrap_or_else(|_| Err(Failure::other("this ended before it was done; please report it"))),
        () = cancel.cancelled() => Err(Failure::with_code(INTERRUPTED, "interrupted before all was done")),
    }
}

/// What cannot be opened or read, and what to do about it.
fn unreadable(error: JournalError) -> Failure {
    match error {
        error if error.is_forbidden() => {
            Failure::other(format_args!("{error}. A journal is for its owner only: run this as who runs `pgvigil serve`"))
        }
        error => Failure::other(error),
    }
}

/// How a write to standard output, or to a file, ended. A pipe that was closed at its other end (`… | head`) is a good end.
fn written(outcome: io::Result<()>, to: &str) -> Result<(), Failure> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::other(format_args!("{to} cannot be written: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Says something about what is printed, beside it. Where nobody can hear it, that is no reason to end.
fn notice(text: impl std::fmt::Display) {
    drop(writeln!(io::stderr(), "pgvigil: {text}"));
}

/// A line that a person reads: what follows a title.
fn line(out: &mut dyn Write, title: &str, text: impl std::fmt::Display) -> io::Result<()> {
    writeln!(out, "{title:10} {text}")
}

/// The database, for a person.
fn named(Watched { system_identifier, database, name }: &Watched) -> String {
    format!("{name:?} (oid {database}) of system {system_identifier}")
}

/// `1 file`, `3 files`.
fn plural(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The database, for a program.
#[derive(serde::Serialize)]
struct Database {
    name: String,
    oid: u32,
    system_identifier: String,
}

impl From<&Watched> for Database {
    fn from(watched: &Watched) -> Self {
        let Watched { system_identifier, database, name } = watched.clone();
        Self { name, oid: database.0, system_identifier }
    }
}
