//! Who lives in the demo's database: each with a connection of his own, as in life.

use tokio_postgres::{Client, Error};

use crate::connection::{ConnectError, Target};

/// The demo's connections. One does nothing while another is at work.
pub struct Players {
    /// The application itself. It never does anything that it should not.
    pub(super) application: Client,
    /// Jonas, at a terminal.
    pub(super) jonas: Client,
    /// The tool that changes the schema when a new version comes.
    pub(super) migration: Client,
}

impl Players {
    /// Connects all of them to the demo's database.
    ///
    /// # Errors
    /// When a connection cannot be made.
    pub async fn connect(target: &Target) -> Result<Self, ConnectError> {
        let (application, jonas) = (target.sql("arcade").await?, target.sql("psql").await?);
        Ok(Self { application, jonas, migration: target.sql("migrate").await? })
    }

    /// Has Jonas be Jonas. His role is of the demo's [`schema`](super::schema); it has no password, so that nobody else connects as him.
    pub(super) async fn dress(&self) -> Result<(), Error> {
        self.jonas.batch_execute(r#"SET SESSION AUTHORIZATION "jonas""#).await
    }

    /// Whether one of them has lost his connection.
    pub(super) fn is_broken(&self) -> bool {
        [&self.application, &self.jonas, &self.migration].iter().any(|client| client.is_closed())
    }
}
