//! What the server says of a replication slot.

use tokio_postgres::Client;

use super::CatalogError;
use crate::lsn::Lsn;

/// What the server has to say of a slot, whether there is one or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotState {
    /// The slot, if there is one of that name.
    pub slot: Option<DurableSlot>,
    /// The end of the server's flushed log.
    pub end_lsn: Lsn,
    /// What is sent from slots that standbys keep is on certain standbys first.
    pub standbys_first: bool,
    /// The server lets go of slots that hold back too much, or that nobody has used for too long.
    pub bounded: bool,
}

/// A slot that outlives its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurableSlot {
    /// Logical, for `pgoutput`, of this database, and durable.
    pub fits: bool,
    /// The database that it is of; none for a physical one.
    pub database: Option<String>,
    /// The server's process that uses it.
    pub active_pid: Option<i32>,
    /// Everything committed before this has been acknowledged, and will not be sent again.
    pub confirmed: Lsn,
    /// Standbys keep it, too.
    pub failover: bool,
    /// Why it cannot be used any more, in PostgreSQL's words.
    pub invalidated: Option<String>,
}

/// Looks at the slot of this name.
///
/// # Errors
/// The server refused, or the connection is lost.
pub async fn slot(client: &Client, name: &str) -> Result<SlotState, CatalogError> {
    let row = client.query_one(include_str!("../../sql/catalog/slot.sql"), &[&name]).await?;
    let fits = row.try_get::<_, bool>("is_logical")? && row.try_get("here")? && !row.try_get::<_, bool>("temporary")?;
    let confirmed = row.try_get::<_, Option<&str>>("confirmed")?.map(str::parse).transpose()?.unwrap_or_default();
    let slot = DurableSlot {
        fits,
        database: row.try_get("database")?,
        active_pid: row.try_get("active_pid")?,
        confirmed,
        failover: row.try_get("failover")?,
        invalidated: row.try_get("invalidated")?,
    };
    Ok(SlotState {
        slot: row.try_get::<_, bool>("exists")?.then_some(slot),
        end_lsn: row.try_get::<_, &str>("end_lsn")?.parse()?,
        standbys_first: row.try_get("standbys_first")?,
        bounded: row.try_get("bounded")?,
    })
}
