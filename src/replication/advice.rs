//! What a person needs to hear when the stream cannot begin or go on.

use tokio_postgres::error::SqlState;

use super::error::{Doing, Error};
use crate::connection::{Advice, ServerError};

const STREAM_LOST: &str = "Changes made meanwhile are not seen; pgvigil connects again by itself, and counts again.";
const NO_STREAM: &str = "Without it the server sends no changes.";

impl Error {
    /// What happened, what it means, what to do.
    pub fn advice(&self) -> Advice {
        match self {
            Error::Connect(error) => error.advice(),
            Error::Server { error, .. } if self.is_unsendable() => Advice::new(
                format!("The server cannot send a change: {}", error.message),
                "A row of which the text comes near to 1 GB is more than the server can stream. The stream goes on behind its transaction: \
                 what is left out is told as a gap, and all tables are counted again",
                "Keep such values elsewhere, or in parts; or leave the table out of the publication. The server's log has the position",
            ),
            Error::Server { doing, error } => refused(doing, error),
            Error::SlotTimeout { slot, waited } => Advice::new(
                format!("The replication slot {slot:?} was not ready within {} seconds", waited.as_secs()),
                "The server waits for every transaction that was running when the slot was asked for, prepared ones included",
                "See pg_stat_activity (backend_xid is not null) and pg_prepared_xacts, and end what has been running for too long",
            ),
            Error::Ended => Advice::new("The server ended the stream, as it does when it shuts down", STREAM_LOST, "Wait"),
            Error::Silent { waited } => Advice::new(
                format!("The server has not answered for {} seconds, though it was asked every second", waited.as_secs()),
                STREAM_LOST,
                "Look at the network in between, and whether the server is overloaded or stopped",
            ),
            Error::Channel(error) => Advice::new(
                format!("The replication connection is lost: {error}"),
                STREAM_LOST,
                "If it comes again and again, look into the server's log, and at wal_sender_timeout",
            ),
        }
    }
}

fn refused(doing: &Doing, error: &ServerError) -> Advice {
    let said = format!("The server said: {}", error.message);
    let code = &error.code;
    match doing {
        _ if *code == SqlState::ADMIN_SHUTDOWN || *code == SqlState::CRASH_SHUTDOWN => {
            Advice::new(said, STREAM_LOST, "If nobody meant that, look into the server's log")
        }
        Doing::CreateSlot(_) if error.routine == "CheckLogicalDecodingRequirements" => Advice::new(
            said,
            "Logical decoding is not possible on this server as it is: by default only physical replication is",
            "Run: ALTER SYSTEM SET wal_level = logical, and restart the server",
        ),
        Doing::CreateSlot(_) if *code == SqlState::CONFIGURATION_LIMIT_EXCEEDED => Advice::new(
            "All replication slots of the server are in use (max_replication_slots)",
            "Each reader of the log needs one, and pgvigil too",
            "See pg_replication_slots: drop those that nobody uses (they hold back WAL), or raise max_replication_slots and restart \
             the server",
        ),
        Doing::CreateSlot(slot) if *code == SqlState::DUPLICATE_OBJECT => Advice::new(
            format!("There is a replication slot {slot:?} already"),
            "It may belong to somebody else, so it is not touched",
            "Choose another name, or drop it with pg_drop_replication_slot",
        ),
        Doing::Start { slot, .. } | Doing::DropSlot(slot) | Doing::AlterSlot(slot) if *code == SqlState::OBJECT_IN_USE => {
            Advice::new(
                match holder(error) {
                    Some(pid) => format!("The replication slot {slot:?} is in use by the server's process {pid}"),
                    None => format!("The replication slot {slot:?} is in use"),
                },
                "Only one reader at a time can follow a slot: perhaps another pgvigil runs",
                "See pg_stat_replication for that process; pg_terminate_backend ends it",
            )
        }
        Doing::Start { slot, .. } if *code == SqlState::UNDEFINED_OBJECT => Advice::new(
            format!("There is no replication slot {slot:?}"),
            "It was dropped, or the server is another one: what was changed since cannot be streamed any more",
            "Start anew with a new slot",
        ),
        Doing::Start { slot, .. } if *code == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE => Advice::new(
            format!("The replication slot {slot:?} cannot be used any more: {}", error.message),
            "The server has removed WAL that it would need, to keep within its limits",
            "Start anew with a new slot; max_slot_wal_keep_size sets the limit",
        ),
        Doing::Start { .. } if *code == SqlState::UNDEFINED_FILE || *code == SqlState::FEATURE_NOT_SUPPORTED => Advice::new(
            said,
            "The server does not stream changes the way pgvigil reads them (pgoutput, a part of PostgreSQL since version 10)",
            "PostgreSQL 14 or later is needed; a hosted one may have to allow logical replication first",
        ),
        Doing::Start { publication, .. } | Doing::Stream { publication } if *code == SqlState::UNDEFINED_OBJECT => Advice::new(
            format!("There is no publication {publication:?}"),
            "A publication says which tables' changes are streamed; without it there are none",
            format!("Run pgvigil setup --publication {publication} --apply to make it, or name another with --publication"),
        ),
        _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            Advice::new(said, NO_STREAM, "Give the role the right: ALTER ROLE … REPLICATION")
        }
        _ => {
            let hint = error.hint.as_deref().unwrap_or("Look into the server's log for more");
            Advice::new(said, if matches!(doing, Doing::Stream { .. }) { STREAM_LOST } else { NO_STREAM }, hint)
        }
    }
}

/// The process id in "replication slot … is active for PID 123", in any language: the last number.
fn holder(error: &ServerError) -> Option<&str> {
    error.message.rsplit(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())
}
