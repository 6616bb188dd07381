//! What the database itself says: its tables, what the publication covers of them, and how many rows a table has in one snapshot.
//!
//! Floor 4. Everything here reads over an ordinary SQL connection and changes nothing. The data is never polled: [`count`] runs once a
//! table, and again only when something about that table is in doubt. Metadata is cheap to watch: [`Fingerprints`] answer from two system
//! catalogs whether [`read`] would find anything new.
//!
//! No query here waits behind the application. System catalogs are read directly, and not through `pg_publication_tables` or
//! `pg_relation_size`, which open every table and so would stand in the queue behind an `ALTER TABLE`.

mod altering;
mod baseline;
mod contents;
mod coverage;
mod fingerprint;
mod held;
mod identity;
mod read;
mod running;
mod schema;
mod sessions;
mod slot;
mod table;
mod taken;

pub use altering::altering;
pub use baseline::{Baseline, CountError, Progress, count};
pub use contents::{ReadError, contents};
pub use coverage::{Coverage, Publication, Reason};
pub use fingerprint::{Fingerprint, Fingerprints};
pub use identity::{Identity, identity};
pub use read::{Catalog, CatalogError, read};
pub use running::{RunningTransaction, fence, oldest_transaction};
pub use schema::{schema, trees};
pub use sessions::sessions;
pub use slot::{DurableSlot, SlotState, slot};
pub(crate) use table::sql_name;
pub use table::{Kind, Persistence, Table};
pub use taken::{Read, Taken, rows as rows_taken, texts as texts_taken};

pub use crate::event::Operation;
pub use crate::pgoutput::ReplicaIdentity;
