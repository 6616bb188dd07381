//! What can go wrong on a replication connection, whether to try again, and what was being done.

use std::fmt;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::connection::{ChannelError, ConnectError, ServerError};
use crate::wire::WireError;

/// A replication connection failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server refused, or reported an error.
    #[error("{doing}: {error}")]
    Server {
        /// Meanwhile.
        doing: Doing,
        /// What it said.
        error: Box<ServerError>,
    },
    /// The slot could not be created in time: some transaction, prepared or running, would not end.
    #[error("the replication slot {slot:?} was not ready within {} s", .waited.as_secs())]
    SlotTimeout {
        /// The slot that was asked for.
        slot: String,
        /// How long.
        waited: Duration,
    },
    /// The server ended the stream in good order, as it does when it shuts down.
    #[error("the server ended the stream")]
    Ended,
    /// The server does not answer any more, though the connection seems to be there.
    #[error("the server has not answered for {} s", .waited.as_secs())]
    Silent {
        /// How long.
        waited: Duration,
    },
    /// The connection broke, was closed, or carried what is not the protocol.
    #[error(transparent)]
    Channel(ChannelError),
}

/// What was being done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Asking who the server is.
    Identify,
    /// Having large transactions sent early.
    SendEarly,
    /// Creating this slot.
    CreateSlot(String),
    /// Dropping this slot.
    DropSlot(String),
    /// Having standbys keep this slot.
    AlterSlot(String),
    /// Starting the stream.
    Start {
        /// From this slot.
        slot: String,
        /// Of this publication.
        publication: String,
    },
    /// Reading the stream.
    Stream {
        /// Of this publication.
        publication: String,
    },
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doing::Identify => f.write_str("cannot identify the server"),
            Doing::SendEarly => f.write_str("cannot have large transactions sent early"),
            Doing::CreateSlot(slot) => write!(f, "cannot create the replication slot {slot:?}"),
            Doing::DropSlot(slot) => write!(f, "cannot drop the replication slot {slot:?}"),
            Doing::AlterSlot(slot) => write!(f, "cannot have standbys keep the replication slot {slot:?}"),
            Doing::Start { slot, .. } => write!(f, "cannot stream from the replication slot {slot:?}"),
            Doing::Stream { .. } => f.write_str("the stream failed"),
        }
    }
}

impl Error {
    /// Whether the same may well succeed a little later, without anyone doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Connect(error) => error.is_transient(),
            // Whoever has the slot may let go of it: perhaps it is our own last session, which the server still takes for alive.
            Error::Server { doing: Doing::Start { .. } | Doing::DropSlot(_) | Doing::AlterSlot(_), error }
                if error.code == SqlState::OBJECT_IN_USE =>
            {
                true
            }
            Error::Server { error, .. } => error.is_transient(),
            Error::Channel(error) => error.is_transient(),
            // The transaction that is in the way may end; a server that went away may come back.
            Error::SlotTimeout { .. } | Error::Ended | Error::Silent { .. } => true,
        }
    }

    /// Whether the server cannot send some change: it would fail at it again and again, so it has to be left out. One row's text, or all
    /// of it together, is longer than a message of the protocol can be.
    pub fn is_unsendable(&self) -> bool {
        match self {
            Error::Server { doing: Doing::Stream { .. }, error } => {
                error.code == SqlState::PROGRAM_LIMIT_EXCEEDED || error.code == SqlState::INTERNAL_ERROR
            }
            _ => false,
        }
    }

    /// Whether the server came upon changes from a time at which there was no such publication: it decodes them by the catalog as it was then.
    pub fn is_unpublished(&self) -> bool {
        matches!(self, Error::Server { doing: Doing::Stream { .. }, error } if error.code == SqlState::UNDEFINED_OBJECT)
    }

    /// Gives an error of the connection its place: what the server reports is told apart from a connection that broke.
    pub(super) fn while_doing(doing: impl FnOnce() -> Doing) -> impl FnOnce(ChannelError) -> Error {
        move |error| match error {
            ChannelError::Server(error) => Error::Server { doing: doing(), error },
            broken => Error::Channel(broken),
        }
    }
}

impl From<WireError> for Error {
    fn from(error: WireError) -> Self {
        Error::Channel(error.into())
    }
}
