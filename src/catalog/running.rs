//! The transactions that are running, as far as others wait for them.

use std::fmt;

use tokio_postgres::Client;

use super::CatalogError;
use super::read::Here;
use crate::counts::FullXid;
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

/// Every transaction that is running now is older than this. What a baseline behind this fence does not see, began after now.
///
/// Needed where the stream may lack what running transactions have done already. When a slot has just been created: a commit written
/// before its first position may still be invisible (for as long as a synchronous standby does not answer), and would be missed by the stream
/// and by the snapshot. And when a table has just come under the publication: see [`super::Catalog::fence`].
///
/// The youngest transaction with an id is looked up among the locks: each holds one on its own id from before it writes anything until
/// after every new snapshot sees its end. `pg_snapshot_xmax` would not do. It is the id after the latest that has *ended*, and any
/// number of younger ones may be running.
pub async fn fence(client: &Client) -> Result<FullXid, CatalogError> {
    Ok(Here::read(client).await?.fence)
}
