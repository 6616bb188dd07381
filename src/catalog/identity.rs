//! Which database a session is in. A name proves nothing: a copy has the same, and a pooler may lead elsewhere today.

use tokio_postgres::Client;

use crate::lsn::Oid;

/// What tells a database from every other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name.
    pub name: String,
    /// `pg_database.oid`: another one when it was dropped and made again.
    pub oid: Oid,
    /// Of the server, its replicas and its copies: no number that JavaScript could hold.
    pub system_identifier: String,
}

/// The database that this session is in.
pub async fn identity(client: &Client) -> Result<Identity, tokio_postgres::Error> {
    let row = client.query_one(include_str!("../../sql/catalog/identity.sql"), &[]).await?;
    Ok(Identity {
        name: row.try_get("name")?,
        oid: Oid(row.try_get("oid")?),
        system_identifier: row.try_get("system_identifier")?,
    })
}
