//! Who runs a transaction, by what the server says of its sessions.

use tokio_postgres::Client;

use super::CatalogError;
use crate::event::Actor;
use crate::event::actor::Source;
use crate::lsn::Xid;

/// The sessions that run these transactions, as far as they run still. Their statements are not asked for: they may hold values of rows.
pub async fn sessions(client: &Client, transactions: &[Xid]) -> Result<Vec<(Xid, Actor)>, CatalogError> {
    let ids: Vec<String> = transactions.iter().map(Xid::to_string).collect();
    let rows = client.query(include_str!("../../sql/catalog/sessions.sql"), &[&ids]).await?;
    let mut sessions = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(xid) = transactions.iter().find(|xid| row.get::<_, &str>("xid") == xid.to_string()) else { continue };
        let actor = Actor {
            session_user: row.try_get("session_user")?,
            current_user: None,
            application_name: row.try_get::<_, Option<String>>("application_name")?.filter(|name| !name.is_empty()),
            client_addr: row.try_get("client_addr")?,
            pid: u32::try_from(row.try_get::<_, i32>("pid")?).ok(),
            query: None,
            source: Source::Activity,
            annotation: None,
        };
        sessions.push((*xid, actor));
    }
    Ok(sessions)
}
