//! Which tables somebody may be altering at this moment.

use rustc_hash::FxHashSet;
use tokio_postgres::Client;

use crate::lsn::Oid;

/// The tables of this database that someone may be altering: what he does to them may be committed, and so in the stream, before a look
/// at the catalog sees it (for long, where the commit waits for a synchronous standby).
///
/// Whoever asks this first and looks then, sees what was done to every other table. What changes a publication without a lock on the tables
/// is not found: its options, and the schemas that it names.
pub async fn altering(client: &Client) -> Result<FxHashSet<Oid>, tokio_postgres::Error> {
    let rows = client.query(include_str!("../../sql/catalog/altering.sql"), &[]).await?;
    rows.iter().map(|row| row.try_get::<_, u32>("relation").map(Oid)).collect()
}
