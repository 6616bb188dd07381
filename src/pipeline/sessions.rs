//! SQL sessions beside the stream: of the database that is watched, and of no other.
//!
//! The stream stays with the server that it began on. A session that is opened later may be led elsewhere, by a pooler, a name that is
//! resolved anew, or another host of the list; what it would count there is not what the stream changes.

use std::sync::Arc;

use tokio_postgres::Client;

use super::published::Database;
use crate::catalog;
use crate::connection::{ConnectError, Target};

/// Opens them.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    pub(super) target: Target,
    pub(super) watched: Arc<Database>,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the session's database cannot be told: {0}")]
    Query(#[from] tokio_postgres::Error),
    #[error("another server or database answers than the one that is streamed")]
    Elsewhere,
}

impl Sessions {
    pub(super) async fn open(&self, application_name: &str) -> Result<Client, SessionError> {
        let client = self.target.sql(application_name).await?;
        let here = catalog::identity(&client).await?;
        self.watched.is(&here).then_some(client).ok_or(SessionError::Elsewhere)
    }
}
