//! What ends an epoch, and what it means to a person.

use bytesize::ByteSize;

use crate::assembler;
use crate::catalog::CatalogError;
use crate::connection::ConnectError;
use crate::encoding::UnknownEncoding;
use crate::history::journal::JournalError;
use crate::replication::{self, Advice};

/// What ended an epoch.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The replication connection.
    #[error(transparent)]
    Replication(#[from] replication::Error),
    /// An ordinary connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The system catalogs.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The stream made no sense.
    #[error(transparent)]
    Stream(#[from] assembler::Error),
    /// Text of this server cannot be read.
    #[error(transparent)]
    Encoding(#[from] UnknownEncoding),
    /// There is nothing to read.
    #[error("there is no publication {name:?} in database {database:?}")]
    PublicationMissing {
        /// The publication.
        name: String,
        /// Where it should be.
        database: String,
    },
    /// Another database answers.
    #[error("expected {expected}, but this is {actual}")]
    WrongDatabase {
        /// What was asked for, or watched before.
        expected: String,
        /// What answers.
        actual: String,
    },
    /// The task that looks at the catalog ended.
    #[error("the catalog is not looked at any more")]
    Unobserved,
    /// The server may go on as if a partition were none.
    #[error("{table} was attached to a published table, which a running stream of PostgreSQL 14 may not notice")]
    AttachedUnnoticed {
        /// The partition, as SQL.
        table: String,
    },
    /// What happens cannot be recorded.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It could be, and cannot be any more.
    #[error("the journal cannot be written any more: {reason}")]
    Unrecorded {
        /// What came of it.
        reason: String,
    },
    /// The slot that was named is somebody else's.
    #[error("the replication slot {slot:?} cannot be used: {reason}")]
    ForeignSlot {
        /// Its name.
        slot: String,
        /// Why.
        reason: &'static str,
    },
    /// Were this process gone, the slot would fill the server's disk.
    #[error("the server sets no bound to the log that it keeps for a replication slot")]
    UnboundedWal {
        /// The slot that is there already.
        slot: Option<String>,
    },
    /// Slots are not kept by standbys yet.
    #[error("PostgreSQL {version} keeps no replication slots on standbys")]
    NoFailover {
        /// Its version.
        version: String,
    },
    /// The slot has cost the server as much as it may.
    #[error("the server keeps {retained} of log for the replication slot, of a budget of {budget}", retained = ByteSize::b(*retained).display().iec(), budget = ByteSize::b(*budget).display().iec())]
    OverBudget {
        /// Bytes of log.
        retained: u64,
        /// Bytes of log that it may keep.
        budget: u64,
    },
    /// The server follows another one.
    #[error("this server is a standby")]
    Standby,
    /// The server is too old.
    #[error("PostgreSQL {version} is too old")]
    ServerTooOld {
        /// Its version.
        version: String,
    },
}

impl PipelineError {
    /// Whether the same may work when tried again, without anyone doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            PipelineError::Replication(error) => error.is_transient(),
            PipelineError::Connect(error) => error.is_transient(),
            PipelineError::Catalog(error) => error.is_transient(),
            // A fresh stream may be whole again.
            PipelineError::Stream(_)
            | PipelineError::Unobserved
            | PipelineError::AttachedUnnoticed { .. }
            | PipelineError::OverBudget { .. } => true,
            PipelineError::Encoding(_)
            | PipelineError::PublicationMissing { .. }
            | PipelineError::WrongDatabase { .. }
            | PipelineError::Journal(_)
            | PipelineError::Unrecorded { .. }
            | PipelineError::ForeignSlot { .. }
            | PipelineError::UnboundedWal { .. }
            | PipelineError::NoFailover { .. }
            | PipelineError::Standby
            | PipelineError::ServerTooOld { .. } => false,
        }
    }

    /// Whether the process has to be started anew before anything can be watched.
    pub(super) fn is_fatal(&self) -> bool {
        matches!(self, PipelineError::Journal(_) | PipelineError::Unrecorded { .. })
    }

    /// Whether the database was reached, but is not set up to be watched.
    pub fn is_preflight(&self) -> bool {
        match self {
            PipelineError::Encoding(_)
            | PipelineError::PublicationMissing { .. }
            | PipelineError::ServerTooOld { .. }
            | PipelineError::ForeignSlot { .. }
            | PipelineError::UnboundedWal { .. }
            | PipelineError::NoFailover { .. }
            | PipelineError::Standby => true,
            PipelineError::Replication(replication::Error::Connect(error)) => error.is_unprepared(),
            PipelineError::Replication(error) => matches!(error, replication::Error::Server { .. }) && !error.is_transient(),
            _ => false,
        }
    }

    /// For a person: what happened, what it means, what to do.
    pub fn advice(&self) -> Advice {
        let advice = |meaning: &str, action: String| Advice::new(self.to_string(), meaning, action);
        match self {
            PipelineError::Replication(error) => error.advice(),
            PipelineError::Connect(error) => error.advice(),
            PipelineError::Catalog(_) => advice(
                "without its catalogs it is not known what the stream covers",
                "nothing, if it passes; else see the server's log".to_owned(),
            ),
            PipelineError::Stream(assembler::Error::Spill(_)) => advice(
                "a transaction larger than --max-transaction-memory goes to a file for as long as it runs; a new stream is begun",
                "make room in the temporary folder, name another in TMPDIR, or allow more memory".to_owned(),
            ),
            PipelineError::Stream(_) => advice(
                "what the server sent cannot be followed, so nothing is shown of it; a new stream is begun",
                "if it comes again, report it with the server's version".to_owned(),
            ),
            PipelineError::Unobserved => advice(
                "what the stream leaves out cannot be told without it; a new stream is begun",
                "report it, with what the log says before this".to_owned(),
            ),
            PipelineError::AttachedUnnoticed { .. } => advice(
                "what happens to it may be left out unsaid, so a new stream is begun, which notices",
                "nothing; with a publication FOR ALL TABLES, or from PostgreSQL 15 on, the stream goes on".to_owned(),
            ),
            PipelineError::Encoding(_) => advice("text of this database cannot be read", "report the encoding's name".to_owned()),
            PipelineError::PublicationMissing { name, .. } => advice(
                "without a publication there is nothing to stream",
                format!("run pgvigil setup --publication {name} --apply to make it, or name another with --publication"),
            ),
            PipelineError::WrongDatabase { .. } => advice(
                "numbers of another database would be shown as this one's, so nothing is shown",
                "check the connection's host, port and database name, and --expect-database".to_owned(),
            ),
            PipelineError::Journal(JournalError::OtherDatabase { .. }) => advice(
                "the history of two databases would become one, so nothing is watched",
                "check the connection's host, port and database name, or name another --data-dir".to_owned(),
            ),
            PipelineError::Journal(_) | PipelineError::Unrecorded { .. } => advice(
                "what happens from here on would not be recorded, so nothing is watched; what was recorded before is on disk",
                "mend what it says, and start pgvigil again".to_owned(),
            ),
            PipelineError::ForeignSlot { .. } => advice(
                "what somebody else reads from it would be lost to him, so it is not touched",
                "name another with --slot; pgvigil makes it".to_owned(),
            ),
            PipelineError::UnboundedWal { slot } => {
                let bound = "run: ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; SELECT pg_reload_conf(); or pass --allow-unbounded-wal and watch over the slot yourself";
                let dropped = |slot| format!("{bound}. Until then the slot that is there fills the disk: pgvigil slots --drop {slot} drops it");
                advice(
                    "a slot that stays makes the server keep its log for as long as nobody reads it, until its disk is full",
                    slot.as_ref().map_or_else(|| bound.to_owned(), dropped),
                )
            }
            PipelineError::NoFailover { .. } => advice(
                "with --failover the stream would be promised to go on after a standby has taken over, which it cannot",
                "leave out --failover; after a failover a gap is told, and all tables are counted again".to_owned(),
            ),
            PipelineError::OverBudget { .. } => advice(
                "the slot is dropped, so that the server can remove its log; what happened meanwhile cannot be read any more, and a gap says so",
                "see what holds pgvigil up: a full disk, or a transaction that has been open for long; --wal-budget sets how much is allowed".to_owned(),
            ),
            PipelineError::Standby => advice(
                "a count is tied to a position of the log that is being written, which only the primary knows",
                "watch the primary; with several hosts in the connection, target_session_attrs=read-write finds it".to_owned(),
            ),
            PipelineError::ServerTooOld { .. } => {
                advice("logical replication as it is used here needs PostgreSQL 14 or later", "upgrade the server".to_owned())
            }
        }
    }
}
