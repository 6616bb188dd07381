//! The transactions that others wait for.

use std::fmt;

use tokio_postgres::Client;

use super::CatalogError;
use crate::lsn::Xid;

/// A transaction that has an id and has not ended. Its text names it for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningTransaction {
    /// Its id.
    pub xid: Xid,
    /// The server process that runs it, unless it is prepared.
    pub pid: Option<i32>,
    /// The name under which it is prepared.
    pub prepared: Option<String>,
}

impl fmt::Display for RunningTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunningTransaction { prepared: Some(gid), .. } => write!(f, "the prepared transaction {gid:?}"),
            RunningTransaction { xid, pid: Some(pid), .. } => write!(f, "transaction {xid} of process {pid}"),
            RunningTransaction { xid, .. } => write!(f, "transaction {xid}"),
        }
    }
}

/// The oldest transaction of the server that has an id: what the creation of a slot waits for.
pub async fn oldest_transaction(client: &Client) -> Result<Option<RunningTransaction>, CatalogError> {
    let Some(row) = client.query_opt(include_str!("../../sql/catalog/oldest_transaction.sql"), &[]).await? else {
        return Ok(None);
    };
    let xid: i64 = row.try_get("xid")?;
    let xid = Xid(u32::try_from(xid).unwrap_or_default());
    Ok(Some(RunningTransaction { xid, pid: row.try_get("pid")?, prepared: row.try_get("prepared")? }))
}
