//! A table, as `pg_class` describes it.

use postgres_protocol::escape::escape_identifier;

use super::Coverage;
use crate::lsn::{Oid, Xid};
use crate::pgoutput::ReplicaIdentity;

/// A table of the application: anything that holds rows, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Identity: stays through renames.
    pub oid: Oid,
    /// Schema.
    pub schema: String,
    /// Name, not quoted.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Whether its rows are logged. Temporary tables are not listed at all.
    pub persistence: Persistence,
    /// The partitioned table that it is attached to.
    pub parent: Option<Oid>,
    /// The transaction that attached it there.
    pub attached_by: Option<Xid>,
    /// What an UPDATE or a DELETE in the stream says about the old row.
    pub replica_identity: ReplicaIdentity,
    /// Whether rules (`CREATE RULE`) have a say in what is written to it, or had a while ago.
    pub has_rules: bool,
    /// Columns of the primary key, in its order.
    pub primary_key: Vec<String>,
    /// The file that holds its rows, 0 without storage. A new one means that it was rewritten or truncated.
    pub relfilenode: Oid,
    /// Its size in pages when it was last vacuumed or analyzed: good for an order, not for a statement.
    pub pages: u32,
    /// Whether the stream carries all that happens to its rows.
    pub coverage: Coverage,
    /// Stands for the way in which the publication comes to carry it. Where another number follows, the table may have been left out for
    /// a moment, though it is covered as before.
    pub published_as: u64,
}

/// What a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An ordinary table.
    Table,
    /// Has no rows of its own: they are in its partitions. May be a partition itself, as its `parent` tells.
    PartitionedTable,
    /// Holds rows, and is a partition.
    Partition,
    /// Never in the stream.
    MaterializedView,
    /// Its rows are elsewhere. May be a partition, as its `parent` tells.
    ForeignTable,
}

/// Whether a table's rows are in the write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Persistence {
    /// They are.
    Permanent,
    /// `UNLOGGED`: they are not, and so never in the stream.
    Unlogged,
}

impl Table {
    /// Its name as SQL takes it, schema and quotes included.
    pub fn sql_name(&self) -> String {
        sql_name(&self.schema, &self.name)
    }

    /// Whether it stores rows itself, so that it can be counted.
    pub fn has_rows(&self) -> bool {
        matches!(self.kind, Kind::Table | Kind::Partition)
    }
}

/// A qualified name as SQL takes it.
pub(crate) fn sql_name(schema: &str, name: &str) -> String {
    format!("{}.{}", escape_identifier(schema), escape_identifier(name))
}
