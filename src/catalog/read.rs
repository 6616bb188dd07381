//! Reads the tables and what the publication covers of them, all in one snapshot.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, IsolationLevel, Row};

use super::coverage::{self, Facts};
use super::{Coverage, Kind, Operation, Persistence, Publication, Reason, Table};
use crate::counts::{FullXid, ParseSnapshotError, Snapshot};
use crate::lsn::{Lsn, Oid, ParseIdError, Xid};
use crate::pgoutput::ReplicaIdentity;

/// The tables of a database, as one snapshot saw them.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// What was seen: a table made or altered by a transaction that this does not see is not in here yet.
    pub snapshot: Snapshot,
    /// Read after the snapshot was taken, so everything in here was committed before this position.
    pub read_at_lsn: Lsn,
    /// Every transaction that was running when this was read is older. One of these may have changed a table before that came under the
    /// publication, and the stream does not carry it: such a table is counted behind this fence.
    pub fence: FullXid,
    /// Who read it.
    pub role: Arc<str>,
    /// `server_version_num`, such as 150018.
    pub server_version: i32,
    /// The server tells of DDL in the stream: `setup` has made the event triggers, and they are enabled. A number that stands for these:
    /// the same at two looks, they told of everything in between.
    pub told_by: Option<i64>,
    /// The publication that was asked for, if there is one of that name.
    pub publication: Option<Publication>,
    /// By schema and name.
    pub tables: Vec<Table>,
}

impl Catalog {
    /// A table that is published through a partitioned one that it, or what it is under, was attached to since `earlier`, on a server that
    /// may not have noticed. Before 15 a walsender that has once met a table keeps to what was published then, until a publication changes:
    /// what happens to the table as a partition may not be sent, and nothing tells that it was not.
    pub fn attached_unnoticed(&self, earlier: &Snapshot) -> Option<&Table> {
        let by_name = |publication: &Publication| !publication.all_tables;
        if self.server_version >= 150_000 || !self.publication.as_ref().is_some_and(by_name) {
            return None;
        }
        let tables: FxHashMap<Oid, &Table> = self.tables.iter().map(|table| (table.oid, table)).collect();
        let since = |table: &Table| table.attached_by.is_some_and(|xid| self.snapshot.sees(xid) && !earlier.sees(xid));
        self.tables
            .iter()
            .filter(|table| table.has_rows() && table.coverage == Coverage::Covered)
            .find(|table| std::iter::successors(Some(*table), |below| tables.get(&below.parent?).copied()).any(since))
    }
}

/// The catalog could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The server refused, or the connection is lost.
    #[error("the system catalogs could not be read: {0}")]
    Query(#[from] tokio_postgres::Error),
    /// The server sent something that is no snapshot.
    #[error(transparent)]
    Snapshot(#[from] ParseSnapshotError),
    /// The server sent something that is no log position or transaction id.
    #[error(transparent)]
    Id(#[from] ParseIdError),
    /// The server has a kind of table, persistence or replica identity that PostgreSQL 14 to 18 have not.
    #[error("the server gave {code:?} where {expected} belongs")]
    Unknown {
        /// What came.
        code: char,
        /// What should have come.
        expected: &'static str,
    },
}

impl CatalogError {
    /// Whether the same may work when tried again: on a new connection, or when the server has what it lacked.
    pub fn is_transient(&self) -> bool {
        match self {
            CatalogError::Query(error) => error.code().is_none_or(is_transient),
            CatalogError::Snapshot(_) | CatalogError::Id(_) | CatalogError::Unknown { .. } => false,
        }
    }
}

/// Whether an error with this code may pass by itself.
pub(super) fn is_transient(code: &SqlState) -> bool {
    // 08 and 57: the connection or the server goes away, or someone cancelled; 40: deadlock and the like; 53: out of some resource.
    matches!(code.code().get(..2), Some("08" | "40" | "53" | "57")) || *code == SqlState::LOCK_NOT_AVAILABLE
}

/// Reads the catalog: a handful of queries, whatever the number of tables. Waits for no lock.
pub async fn read(client: &mut Client, publication: &str) -> Result<Catalog, CatalogError> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
    // A function that someone made must not be taken for the server's own.
    transaction.batch_execute("SET LOCAL search_path = ''").await?;
    let Here { snapshot, lsn, fence, role, server_version, told_by } = Here::read(transaction.client()).await?;

    let name: Arc<str> = publication.into();
    let found = transaction.query_opt(include_str!("../../sql/catalog/publication.sql"), &[&publication]).await?;
    let publication = found.map(|row| read_publication(&row, Arc::clone(&name))).transpose()?;
    let oid = publication.as_ref().map(|publication| publication.oid.0);
    let schemas: FxHashMap<u32, u32> = match oid {
        Some(_) if server_version >= 150_000 => {
            let rows = transaction.query(include_str!("../../sql/catalog/schemas.sql"), &[&oid]).await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, tokio_postgres::Error>>()?
        }
        _ => FxHashMap::default(),
    };
    let rows = transaction.query(include_str!("../../sql/catalog/tables.sql"), &[&oid]).await?;
    transaction.commit().await?;

    let (mut tables, facts): (Vec<Table>, Vec<Facts>) =
        rows.iter().map(|row| read_table(row, &schemas)).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    judge(&mut tables, &facts, publication.as_ref(), &name, &role);

    Ok(Catalog { snapshot, read_at_lsn: lsn, fence, role, server_version, told_by, publication, tables })
}

/// What a transaction sees, of which server.
pub(super) struct Here {
    snapshot: Snapshot,
    lsn: Lsn,
    pub(super) fence: FullXid,
    role: Arc<str>,
    server_version: i32,
    told_by: Option<i64>,
}

impl Here {
    pub(super) async fn read(client: &Client) -> Result<Self, CatalogError> {
        let row = client.query_one(include_str!("../../sql/catalog/here.sql"), &[]).await?;
        let snapshot: Snapshot = row.try_get::<_, &str>("snapshot")?.parse()?;
        let youngest = row.try_get::<_, Option<i64>>("youngest")?.and_then(|xid| u32::try_from(xid).ok());
        let fence = youngest.map_or(snapshot.xmin(), |xid| snapshot.xmax().closest(Xid(xid)).next());
        Ok(Here {
            snapshot,
            lsn: row.try_get::<_, &str>("lsn")?.parse()?,
            fence,
            role: row.try_get::<_, &str>("role")?.into(),
            server_version: row.try_get("version")?,
            told_by: row.try_get("told_by")?,
        })
    }
}

fn read_publication(row: &Row, name: Arc<str>) -> Result<Publication, tokio_postgres::Error> {
    let columns = [
        ("pubinsert", Operation::Insert),
        ("pubupdate", Operation::Update),
        ("pubdelete", Operation::Delete),
        ("pubtruncate", Operation::Truncate),
    ];
    let mut missing = Vec::new();
    for (column, operation) in columns {
        if !row.try_get::<_, bool>(column)? {
            missing.push(operation);
        }
    }
    Ok(Publication {
        oid: Oid(row.try_get("oid")?),
        name,
        all_tables: row.try_get("puballtables")?,
        missing,
        via_root: row.try_get("pubviaroot")?,
        version: row.try_get("version")?,
    })
}

fn read_table(row: &Row, schemas: &FxHashMap<u32, u32>) -> Result<(Table, Facts), CatalogError> {
    let letter = |column: &str| row.try_get::<_, i8>(column).map(|code| char::from(code.cast_unsigned()));
    let unexpected = |code, expected| CatalogError::Unknown { code, expected };
    let kind = match (letter("kind")?, row.try_get("is_partition")?) {
        ('r', false) => Kind::Table,
        ('r', true) => Kind::Partition,
        ('p', _) => Kind::PartitionedTable,
        ('m', _) => Kind::MaterializedView,
        ('f', _) => Kind::ForeignTable,
        (code, _) => return Err(unexpected(code, "a kind of table")),
    };
    let persistence = match letter("persistence")? {
        'p' => Persistence::Permanent,
        'u' => Persistence::Unlogged,
        code => return Err(unexpected(code, "a persistence")),
    };
    let replica_identity = match letter("replica_identity")? {
        'd' => ReplicaIdentity::Default,
        'n' => ReplicaIdentity::Nothing,
        'f' => ReplicaIdentity::Full,
        'i' => ReplicaIdentity::Index,
        code => return Err(unexpected(code, "a replica identity")),
    };
    let facts = Facts {
        listed: row.try_get("listed")?,
        schema_listed: schemas.get(&row.try_get("schema_oid")?).copied(),
        place: row.try_get("place")?,
        filtered: row.try_get("filtered")?,
        usage: row.try_get("usage")?,
        select: row.try_get("select")?,
        row_security: row.try_get("row_security")?,
    };
    let table = Table {
        oid: Oid(row.try_get("oid")?),
        schema: row.try_get("schema")?,
        name: row.try_get("name")?,
        kind,
        persistence,
        parent: row.try_get::<_, Option<u32>>("parent")?.map(Oid),
        attached_by: row.try_get::<_, Option<i64>>("attached_by")?.and_then(|xid| u32::try_from(xid).ok()).map(Xid),
        replica_identity,
        has_rules: row.try_get("has_rules")?,
        primary_key: row.try_get("primary_key")?,
        relfilenode: Oid(row.try_get("relfilenode")?),
        pages: row.try_get::<_, i32>("pages")?.try_into().unwrap_or(0),
        coverage: Coverage::Covered,
        published_as: 0,
    };
    Ok((table, facts))
}

/// Decides the coverage of every table: first of those that have rows, then of the partitioned ones above them.
fn judge(tables: &mut [Table], facts: &[Facts], publication: Option<&Publication>, name: &Arc<str>, role: &Arc<str>) {
    let place: FxHashMap<Oid, usize> = tables.iter().enumerate().map(|(place, table)| (table.oid, place)).collect();
    let parents: Vec<Option<usize>> =
        tables.iter().map(|table| table.parent.and_then(|parent| place.get(&parent).copied())).collect();
    let ancestors = |of: usize| std::iter::successors(parents[of], |above| parents[*above]);

    for (this, table) in tables.iter_mut().enumerate() {
        let judged = match (table.kind, table.persistence, publication) {
            (Kind::PartitionedTable, ..) => Ok(()),
            (Kind::ForeignTable, ..) => Err(Reason::Foreign),
            (Kind::MaterializedView, ..) => Err(Reason::MaterializedView),
            (_, Persistence::Unlogged, _) => Err(Reason::Unlogged),
            (_, _, None) => Err(Reason::NoPublication(Arc::clone(name))),
            (_, _, Some(publication)) => coverage::published(publication, facts[this], ancestors(this).map(|above| facts[above]))
                .and_then(|()| coverage::readable(role, facts[this])),
        };
        table.coverage = judged.map_or_else(Coverage::Uncovered, |()| Coverage::Covered);
        table.published_as = publication
            .map_or(0, |publication| coverage::published_as(publication, facts[this], ancestors(this).map(|above| facts[above])));
    }
    for this in 0..tables.len() {
        if tables[this].kind != Kind::PartitionedTable && tables[this].coverage != Coverage::Covered {
            let reason = Reason::Partition(tables[this].sql_name());
            for above in ancestors(this) {
                if tables[above].coverage == Coverage::Covered {
                    tables[above].coverage = Coverage::Uncovered(reason.clone());
                }
            }
        }
    }
}
