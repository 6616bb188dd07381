//! What can go wrong with a private server.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This machine has no PostgreSQL server programs, as far as we can see.
    #[error("no PostgreSQL server programs (postgres, initdb) were found{}", in_places(.looked_in))]
    NotFound {
        /// The folders that were looked into.
        looked_in: Vec<PathBuf>,
    },
    /// The programs are older than logical replication as pgvigil needs it.
    #[error("{} has PostgreSQL {major}; version {} or later is needed", .dir.display(), super::binaries::OLDEST)]
    TooOld {
        /// Where they are.
        dir: PathBuf,
        /// Their major version.
        major: u32,
    },
    /// `postgres --version` did not answer with a version.
    #[error("{} does not say which version it is: {answer:?}", .program.display())]
    NoVersion {
        /// What was run.
        program: PathBuf,
        /// What it printed.
        answer: String,
    },
    /// PostgreSQL refuses to run as root, and there is no other account to run it as.
    #[error("PostgreSQL does not run as root, and this machine has neither a user postgres nor a user nobody to run it as")]
    NoAccount,
    /// A file, a folder or a process could not be handled.
    #[error("could not {doing} {}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// `initdb` or the copy of its template failed.
    #[error("{program} failed ({status}): {log}")]
    Initialize {
        /// What was run.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// What it printed.
        log: String,
    },
    /// The server ended before it was ready.
    #[error("the private PostgreSQL server did not start ({status}): {log}")]
    Start {
        /// How it ended.
        status: ExitStatus,
        /// What it logged.
        log: String,
    },
    /// The server did not start or stop in time.
    #[error("the private PostgreSQL server did not {doing} within {after:?}: {log}")]
    TimedOut {
        /// What it did not do.
        doing: &'static str,
        /// How long it was given.
        after: Duration,
        /// What it logged.
        log: String,
    },
    /// The server runs but its superuser's password could not be set.
    #[error("could not set the password of the private PostgreSQL server")]
    Password(#[from] tokio_postgres::Error),
}

impl Error {
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Error::Io { doing, path: path.to_owned(), source }
    }

    /// What a person can do about it, where that is known.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Error::NotFound { .. } | Error::TooOld { .. } => Some(
                "install the server, for example\n  \
                 Debian, Ubuntu:  sudo apt-get install postgresql\n  \
                 Fedora:          sudo dnf install postgresql-server\n  \
                 macOS:           brew install postgresql@17\n\
                 or name the folder of its programs with --pg-bin",
            ),
            Error::NoAccount => Some("run it as an ordinary user"),
            _ => None,
        }
    }
}

fn in_places(folders: &[PathBuf]) -> String {
    let list: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
    if list.is_empty() { String::new() } else { format!(" in {}", list.join(", ")) }
}
