//! Whether the publication carries everything that happens to a table's rows.
//!
//! The rules are those by which `pgoutput` decides (`get_rel_sync_entry`), not those of `pg_publication_tables`: a table is published when
//! the publication is for all tables, or names the table, its schema, or any partitioned table above it, or the schema of one of these.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustc_hash::FxHasher;

use crate::event::Operation;
use crate::lsn::Oid;

/// A publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Identity.
    pub oid: Oid,
    /// Name, not quoted.
    pub name: Arc<str>,
    /// `FOR ALL TABLES`.
    pub all_tables: bool,
    /// The operations that it leaves out.
    pub missing: Vec<Operation>,
    /// `publish_via_partition_root`.
    pub via_root: bool,
    /// Another one after every `ALTER PUBLICATION … SET (…)`.
    pub version: i64,
}

/// Whether the stream carries all that happens to a table's rows, and whether they can be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// It does: the count can be proven.
    Covered,
    /// It does not.
    Uncovered(Reason),
}

impl Coverage {
    /// Why not, unless covered.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Coverage::Covered => None,
            Coverage::Uncovered(reason) => Some(reason),
        }
    }
}

/// Why a table has no count. Its text is for a person, and says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A foreign table's rows are on another server.
    Foreign,
    /// A materialized view is never in the stream.
    MaterializedView,
    /// An unlogged table is never in the stream.
    Unlogged,
    /// There is no such publication.
    NoPublication(Arc<str>),
    /// The publication does not name it.
    NotPublished(Arc<str>),
    /// The publication leaves out some operations.
    Operations(Arc<str>, Vec<Operation>),
    /// The publication has a row filter for it.
    RowFilter(Arc<str>),
    /// The publication sends it under the name of the partitioned table above it, and then not every TRUNCATE.
    ViaRoot(Arc<str>),
    /// The role may not read it.
    NoSelect {
        /// Who is connected.
        role: Arc<str>,
    },
    /// The role may not use its schema.
    NoUsage {
        /// Who is connected.
        role: Arc<str>,
    },
    /// The role sees only some of its rows.
    RowSecurity {
        /// Who is connected.
        role: Arc<str>,
    },
    /// One of its partitions, named here, is not covered.
    Partition(String),
    /// The stream has named it, and the catalog was not read since.
    NotLookedAt,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Foreign => write!(f, "a foreign table: its rows change on another server, unseen by this one's log"),
            Reason::MaterializedView => write!(f, "a materialized view: logical replication never carries it"),
            Reason::Unlogged => {
                write!(f, "unlogged: its changes are not in the log; ALTER TABLE … SET LOGGED makes it countable")
            }
            Reason::NoPublication(name) => write!(f, "there is no publication {name:?}; `pgvigil setup --apply` makes it"),
            Reason::NotPublished(name) => {
                write!(
                    f,
                    "not in publication {name:?}; `pgvigil setup` shows how to add it without harm to its UPDATE and DELETE"
                )
            }
            Reason::Operations(name, missing) => {
                write!(f, "publication {name:?} leaves out ")?;
                for (place, operation) in missing.iter().enumerate() {
                    write!(f, "{}{}", if place == 0 { "" } else { ", " }, operation.as_str())?;
                }
                write!(
                    f,
                    "; ALTER PUBLICATION … SET (publish = 'insert, update, delete, truncate') adds what is missing, once every table in it \
                     has a replica identity: without one, its UPDATE and DELETE would fail"
                )
            }
            Reason::RowFilter(name) => {
                write!(
                    f,
                    "publication {name:?} filters its rows, so the stream does not carry them all; publish it without WHERE"
                )
            }
            Reason::ViaRoot(name) => write!(
                f,
                "publication {name:?} has publish_via_partition_root, and then a TRUNCATE of one partition is not in the stream; \
                 ALTER PUBLICATION … SET (publish_via_partition_root = false)"
            ),
            Reason::NoSelect { role } => write!(f, "role {role:?} may not read it; GRANT SELECT ON … TO that role"),
            Reason::NoUsage { role } => write!(f, "role {role:?} may not use its schema; GRANT USAGE ON SCHEMA … TO that role"),
            Reason::RowSecurity { role } => write!(
                f,
                "row-level security hides rows from role {role:?}, so it cannot count them; watch with a role that has BYPASSRLS"
            ),
            Reason::NotLookedAt => write!(f, "just seen in the stream; the catalog is being read"),
            Reason::Partition(name) => write!(f, "the sum is not known: its partition {name} is not covered"),
        }
    }
}

/// What the catalogs say of one table, as far as its coverage goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// The publication names it.
    pub(super) listed: bool,
    /// The publication names its schema: the oid of that.
    pub(super) schema_listed: Option<u32>,
    /// Another one when the publication names it anew, or when it was attached or moved.
    pub(super) place: i64,
    /// The publication has a row filter for it.
    pub(super) filtered: bool,
    /// The role may use its schema.
    pub(super) usage: bool,
    /// The role may read it.
    pub(super) select: bool,
    /// Row-level security applies to the role.
    pub(super) row_security: bool,
}

impl Facts {
    fn named(&self) -> bool {
        self.listed || self.schema_listed.is_some()
    }
}

/// Whether the publication carries a table that has rows, given what is known of it and of the partitioned tables above it.
pub(super) fn published(
    publication: &Publication,
    facts: Facts,
    mut ancestors: impl Iterator<Item = Facts>,
) -> Result<(), Reason> {
    let name = || Arc::clone(&publication.name);
    let mut ancestors = ancestors.by_ref().peekable();
    let is_partition = ancestors.peek().is_some();
    let through_ancestor = if publication.all_tables { is_partition } else { ancestors.any(|ancestor| ancestor.named()) };
    if !publication.all_tables && !facts.named() && !through_ancestor {
        return Err(Reason::NotPublished(name()));
    }
    if publication.via_root && through_ancestor {
        return Err(Reason::ViaRoot(name()));
    }
    if facts.filtered {
        return Err(Reason::RowFilter(name()));
    }
    if !publication.missing.is_empty() {
        return Err(Reason::Operations(name(), publication.missing.clone()));
    }
    Ok(())
}

/// A number that stands for the way in which the publication comes to carry a table.
pub(super) fn published_as(publication: &Publication, facts: Facts, ancestors: impl Iterator<Item = Facts>) -> u64 {
    let mut hasher = FxHasher::default();
    (publication.oid, publication.version).hash(&mut hasher);
    if !publication.all_tables {
        std::iter::once(facts).chain(ancestors).for_each(|facts| (facts.place, facts.schema_listed).hash(&mut hasher));
    }
    hasher.finish()
}

/// Whether `role` can count the rows of a table.
pub(super) fn readable(role: &Arc<str>, facts: Facts) -> Result<(), Reason> {
    let role = || Arc::clone(role);
    match facts {
        Facts { usage: false, .. } => Err(Reason::NoUsage { role: role() }),
        Facts { select: false, .. } => Err(Reason::NoSelect { role: role() }),
        Facts { row_security: true, .. } => Err(Reason::RowSecurity { role: role() }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published as it is, a table whose rows nothing identifies would have its UPDATE and DELETE refused. Only setup looks at that.
    #[test]
    fn nobody_is_led_to_publish_a_table_by_hand() {
        let advice = Reason::NotPublished("pgvigil".into()).to_string();
        assert!(advice.contains("pgvigil setup") && !advice.contains("ALTER"), "{advice}");
    }
}
