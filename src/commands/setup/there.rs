//! What is there already: the server and who is connected to it, the role, the publication.

use std::collections::BTreeSet;

use tokio_postgres::Client;

/// The DDL messages: functions and event triggers.
pub(super) const DDL_MESSAGES: &str = include_str!("../../../sql/setup/ddl_messages.sql");

/// Who is connected, and to what.
pub(super) struct Server {
    pub(super) me: String,
    pub(super) superuser: bool,
    pub(super) may_create_roles: bool,
    pub(super) may_replicate: bool,
    pub(super) may_create: bool,
    pub(super) database: String,
    pub(super) version: i32,
    pub(super) wal_level: String,
    /// The schema `pgvigil` is there.
    pub(super) has_schema: bool,
    /// It belongs to a role that is neither a superuser nor the one that is connected.
    pub(super) schema_of_another: Option<String>,
    /// Whether everyone may read the identities that tables had before; `None` where none are kept.
    pub(super) identities_shown: Option<bool>,
    /// The role of pgvigil may not connect to the database.
    pub(super) lacks_connect: bool,
    /// The DDL messages are there as they should be.
    pub(super) tells_ddl: bool,
}

/// The role that pgvigil is to connect as, if it is there.
pub(super) struct Role {
    pub(super) superuser: bool,
    pub(super) may_replicate: bool,
    /// It is a member of `pg_read_all_data`.
    pub(super) reads_all: bool,
    pub(super) ours: bool,
}

/// The publication, if it is there.
pub(super) struct Existing {
    pub(super) all_tables: bool,
    pub(super) ours: bool,
    pub(super) whole: bool,
    pub(super) generated: bool,
    pub(super) tables: BTreeSet<u32>,
}

impl Server {
    pub(super) async fn read(client: &Client, role: &str) -> Result<Server, tokio_postgres::Error> {
        let row = client.query_one(include_str!("../../../sql/setup/server.sql"), &[&role]).await?;
        let bodies = DDL_MESSAGES.split("$$").skip(1).step_by(2);
        let present: Vec<String> = row.try_get("ddl_functions")?;
        let same = bodies.clone().count() == present.len() && bodies.zip(&present).all(|(wanted, there)| wanted == there);
        Ok(Server {
            me: row.try_get("me")?,
            superuser: row.try_get("superuser")?,
            may_create_roles: row.try_get("may_create_roles")?,
            may_replicate: row.try_get("may_replicate")?,
            may_create: row.try_get("may_create")?,
            database: row.try_get("database")?,
            version: row.try_get("version")?,
            wal_level: row.try_get("wal_level")?,
            has_schema: row.try_get("has_schema")?,
            schema_of_another: row.try_get("schema_of_another")?,
            identities_shown: row.try_get("identities_shown")?,
            lacks_connect: row.try_get("lacks_connect")?,
            tells_ddl: same && row.try_get("ddl_triggers")?,
        })
    }

    /// Whether the DDL messages are to be made: they are not there, and they can be.
    pub(super) fn lacks_ddl_messages(&self) -> bool {
        self.superuser && !self.tells_ddl
    }

    pub(super) fn may_make_role(&self) -> bool {
        self.superuser || (self.version >= 160_000 && self.may_create_roles && self.may_replicate)
    }
}

impl Role {
    pub(super) async fn read(client: &Client, name: &str) -> Result<Option<Role>, tokio_postgres::Error> {
        let found = client.query_opt(include_str!("../../../sql/setup/role_is.sql"), &[&name]).await?;
        let read = |row: tokio_postgres::Row| {
            Ok(Role {
                superuser: row.try_get("superuser")?,
                may_replicate: row.try_get("may_replicate")?,
                reads_all: row.try_get("reads_all")?,
                ours: row.try_get("ours")?,
            })
        };
        found.map(read).transpose()
    }
}

impl Existing {
    pub(super) async fn read(client: &Client, name: &str) -> Result<Option<Existing>, tokio_postgres::Error> {
        let found = client.query_opt(include_str!("../../../sql/setup/publication_is.sql"), &[&name]).await?;
        let read = |row: tokio_postgres::Row| {
            Ok(Existing {
                all_tables: row.try_get("all_tables")?,
                ours: row.try_get("ours")?,
                whole: row.try_get("whole")?,
                generated: row.try_get("generated")?,
                tables: row.try_get::<_, Vec<u32>>("tables")?.into_iter().collect(),
            })
        };
        found.map(read).transpose()
    }
}
