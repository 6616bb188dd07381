//! What can go wrong with a journal.

use std::io;
use std::path::{Path, PathBuf};

use super::record::Watched;
use crate::lsn::EventId;

/// A journal cannot be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk, or the system around it.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What came of it.
        source: io::Error,
    },
    /// There is no such folder.
    #[error("there is no folder {}: name the one that `pgvigil serve --data-dir` records in", dir.display())]
    NoFolder {
        /// The folder.
        dir: PathBuf,
    },
    /// There is no journal in it.
    #[error("there is no journal in {}: name the folder that `pgvigil serve --data-dir` records in", dir.display())]
    Nothing {
        /// The folder.
        dir: PathBuf,
    },
    /// Another process has it.
    #[error("{} is used by another pgvigil; one process writes a journal: end the other, or name another --data-dir", dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// Written by a later pgvigil.
    #[error(
        "{} has format {version}, and this pgvigil knows formats up to {known}: run the newer pgvigil that wrote it, or name another --data-dir",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        version: u32,
        /// The newest that is known.
        known: u32,
    },
    /// What memory has let go of is not there yet.
    #[error("what happened last is still being written to the journal: see the state, and ask again")]
    Unwritten,
    /// Not one of our files.
    #[error("{} is no journal of pgvigil", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is about another database.
    #[error(
        "{} holds the history of {recorded}, and this is {actual}: what happened in one is not what happened in the other; \
         name another --data-dir, or connect to the database that it belongs to",
        dir.display()
    )]
    OtherDatabase {
        /// The folder.
        dir: PathBuf,
        /// Whose history it holds.
        recorded: Box<Watched>,
        /// What is watched.
        actual: Box<Watched>,
    },
    /// What was written is not what is there.
    #[error("{} is damaged at byte {offset}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where, in bytes from its beginning.
        offset: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// Something in the midst of it is not there.
    #[error(
        "what was recorded {}up to {to} is missing in {}: a file is gone, or damaged. pgvigil history verify tells more",
        from.as_ref().map(|from| format!("after {from} ")).unwrap_or_default(),
        dir.display()
    )]
    Missing {
        /// The folder.
        dir: PathBuf,
        /// The last event before that; `None` if nothing is known to have come before.
        from: Option<EventId>,
        /// The last event that is missing.
        to: Box<EventId>,
    },
}

impl JournalError {
    /// For `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| JournalError::Io { action, path, source }
    }

    /// Whether there is no room on the disk: it goes on by itself once there is.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge))
    }

    /// Whether somebody else may do it.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Whether the file is not there any more: what it held is no longer kept.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}
