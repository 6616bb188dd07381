//! The demo's database: a small gaming community, and people who use it.
//!
//! [`schema`] makes the tables and fills them with invented data; [`play`] then lives in them for as long as it is let, with an incident
//! now and then that is worth watching. The SQL stands in `sql/demo`.

mod incidents;
mod play;
mod scenes;
mod words;

pub use play::{Options, play};

use tokio_postgres::{Client, Error};

/// Makes the tables in an empty database, with a few hundred rows.
///
/// # Errors
/// Those of the database; above all, that a table is there already.
pub async fn schema(client: &Client) -> Result<(), Error> {
    client.batch_execute(include_str!("../../../sql/demo/schema.sql")).await?;
    rotate(client).await?;
    client.batch_execute(include_str!("../../../sql/demo/data.sql")).await
}

/// Gives the log its partitions for the hours around now, and drops those of the past.
async fn rotate(client: &Client) -> Result<(), Error> {
    client.batch_execute(include_str!("../../../sql/demo/rotate.sql")).await
}
