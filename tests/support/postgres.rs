//! Private PostgreSQL servers of each major version, and SQL on them.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use pgvigil::cluster::{Binaries, Cluster, Options};
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSqlOwned, ToSql};
use tokio_postgres::{Client, NoTls, Row};

/// Every major version that pgvigil promises to be exact on.
pub(crate) const MAJORS: [u32; 5] = [14, 15, 16, 17, 18];

/// The major versions to test: all, or those that `PGVIGIL_TEST_MAJORS=15,18` names.
pub(crate) fn majors() -> Vec<u32> {
    match env::var("PGVIGIL_TEST_MAJORS") {
        Ok(list) => {
            list.split(',').map(|major| major.trim().parse().expect("PGVIGIL_TEST_MAJORS is a list like 15,18")).collect()
        }
        Err(_) => MAJORS.to_vec(),
    }
}

/// One major version, for a test to which the version does not matter.
pub(crate) fn a_major() -> u32 {
    let majors = majors();
    if majors.contains(&15) { 15 } else { majors[0] }
}

/// Runs the test if this major version is to be tested. A version that is to be tested but is not here is a failure.
pub(crate) async fn on_major<F>(major: u32, test: F) -> Result<()>
where
    F: AsyncFnOnce(u32) -> Result<()>,
{
    if majors().contains(&major) { test(major).await } else { Ok(()) }
}

/// The programs of a major version, where `scripts/postgres` put them.
pub(crate) fn binaries(major: u32) -> Result<Binaries> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cache = env::var_os("PGVIGIL_CACHE").map_or_else(|| checkout.join(".cache"), PathBuf::from);
    let places = [
        cache.join(format!("postgres/{major}/bin")),
        PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")),
        PathBuf::from(format!("/opt/homebrew/opt/postgresql@{major}/bin")),
    ];
    for place in &places {
        if let Ok(found) = Binaries::find(Some(place)) {
            return Ok(found);
        }
    }
    bail!("PostgreSQL {major} is in none of {places:?}: run scripts/postgres, or name other versions in PGVIGIL_TEST_MAJORS")
}

/// A fresh server that trusts whoever can reach it, in a fraction of a second.
pub(crate) async fn cluster(major: u32) -> Result<Cluster> {
    cluster_with(major, options()).await
}

/// A fresh server with other options; start from [`options`].
pub(crate) async fn cluster_with(major: u32, options: Options) -> Result<Cluster> {
    Cluster::start(&binaries(major)?, options).await.with_context(|| format!("PostgreSQL {major}"))
}

/// The options of [`cluster`].
pub(crate) fn options() -> Options {
    let template = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres-templates");
    Options { password: None, template: Some(template), ..Options::default() }
}

/// One SQL session.
pub(crate) struct Database {
    client: Client,
    session: JoinHandle<Result<(), tokio_postgres::Error>>,
}

impl Database {
    /// Connects by a connection string, to one server of the test.
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("connect to the test's database")?;
        Ok(Database { client, session: tokio::spawn(connection) })
    }

    /// A new, empty database on the server, and a session in it.
    pub(crate) async fn create(cluster: &Cluster, name: &str) -> Result<Self> {
        let maintenance = Database::connect(&cluster.url("postgres")).await?;
        maintenance.run(&format!("CREATE DATABASE \"{name}\"")).await?;
        Database::connect(&cluster.url(name)).await
    }

    /// Runs one or more statements.
    pub(crate) async fn run(&self, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.with_context(|| sql.to_owned())
    }

    /// The rows of a query.
    pub(crate) async fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        self.client.query(sql, parameters).await.with_context(|| sql.to_owned())
    }

    /// The one value of a query.
    pub(crate) async fn value<T: FromSqlOwned>(&self, sql: &str) -> Result<T> {
        let row = self.client.query_one(sql, &[]).await.with_context(|| sql.to_owned())?;
        row.try_get(0).with_context(|| sql.to_owned())
    }

    /// The one value of a query, or `None` if a lock was in the way for as long as `lock_timeout` allows.
    pub(crate) async fn unlocked_value<T: FromSqlOwned>(&self, sql: &str) -> Result<Option<T>> {
        match self.client.query_one(sql, &[]).await {
            Ok(row) => row.try_get(0).with_context(|| sql.to_owned()).map(Some),
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(None),
            Err(error) => Err(error).with_context(|| sql.to_owned()),
        }
    }

    /// `count(*)` of a table, named as SQL names it.
    pub(crate) async fn count(&self, table: &str) -> Result<i64> {
        self.value(&format!("SELECT count(*) FROM {table}")).await
    }

    /// The processes that send WAL to us.
    pub(crate) async fn walsenders(&self) -> Result<Vec<u32>> {
        let rows = self.rows("SELECT pid FROM pg_stat_replication ORDER BY pid", &[]).await?;
        Ok(rows.iter().map(|row| row.get::<_, i32>(0).unsigned_abs()).collect())
    }

    /// The client itself, for transactions, COPY and cancellation.
    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.session.abort();
    }
}
