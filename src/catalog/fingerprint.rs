//! Whether anything about the tables or the publication has changed, asked so cheaply that it can be asked every second.

use tokio_postgres::{Client, Statement};

/// Stands for the definition of the publication and of all tables: equal as long as nothing about them changed.
///
/// Not part of it are privileges and row-level security of roles and schemas, which [`super::read`] looks at too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Of the publication, with everything that it names; `None` when it does not exist.
    pub publication: Option<String>,
    /// Of all tables.
    pub tables: String,
}

/// Takes fingerprints in one session: prepared, since it is asked again and again.
#[derive(Debug)]
pub struct Fingerprints(Statement);

impl Fingerprints {
    /// For this session.
    pub async fn prepare(client: &Client) -> Result<Self, tokio_postgres::Error> {
        Ok(Self(client.prepare(include_str!("../../sql/catalog/fingerprint.sql")).await?))
    }

    /// The fingerprint as of now.
    pub async fn take(&self, client: &Client, publication: &str) -> Result<Fingerprint, tokio_postgres::Error> {
        let row = client.query_one(&self.0, &[&publication]).await?;
        Ok(Fingerprint { publication: row.try_get("publication")?, tables: row.try_get("tables")? })
    }
}
