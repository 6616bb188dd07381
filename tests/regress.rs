//! PostgreSQL's own regression SQL, followed: whatever it does to its tables, every count is right in the end, with large transactions
//! streamed and without.
//!
//! It is run by `psql`, file after file, in the order of `parallel_schedule`. What it says is of no interest: files of version 15 fail here
//! and there on other versions, and so does what needs PostgreSQL's test library. What it does is.
//!
//! ```text
//! PGVIGIL_REGRESS=full    all files, with DDL messages and without (default: those that do most to tables, in one way)
//! ```

mod support;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use pgvigil::cluster::Cluster;
use support::{Database, Watched, cluster_with, mark, options};
use tokio::process::Command;

support::on_every_major!(heavy_regression_sql);

async fn heavy_regression_sql(major: u32) -> Result<()> {
    if env::var("PGVIGIL_REGRESS").is_ok_and(|which| which == "full") {
        let files = schedule(&regress())?;
        follow(major, false, &files).await?;
        return follow(major, true, &files).await;
    }
    // Every version is followed in one way, and between them in both.
    let files: Vec<String> = schedule(&regress())?.into_iter().filter(|file| BRIEF.contains(&&**file)).collect();
    ensure!(files.len() == BRIEF.len(), "the schedule has only {files:?}");
    follow(major, major.is_multiple_of(2), &files).await
}

/// The files that do most to tables in a short time, and what these need.
const BRIEF: &[&str] = &[
    "test_setup",
    "copy",
    "copydml",
    "insert",
    "insert_conflict",
    "create_misc",
    "create_table",
    "create_type",
    "create_schema",
    "create_index",
    "create_view",
    "constraints",
    "triggers",
    "inherit",
    "typed_table",
    "drop_if_exists",
    "updatable_views",
    "create_am",
    "select_into",
    "transactions",
    "portals",
    "update",
    "delete",
    "namespace",
    "prepared_xacts",
    "matview",
    "lock",
    "replica_identity",
    "rowsecurity",
    "identity",
    "generated",
    "create_table_like",
    "alter_generic",
    "merge",
    "tid",
    "rules",
    "publication",
    "subscription",
    "foreign_key",
    "cluster",
    "dependency",
    "foreign_data",
    "indirect_toast",
    "plancache",
    "copy2",
    "temp",
    "domain",
    "truncate",
    "alter_table",
    "rowtypes",
    "returning",
    "with",
    "partition_info",
    "hash_part",
    "indexing",
    "event_trigger",
    "fast_default",
];

/// Without an identity a published table takes no UPDATE and no DELETE, so every table gets one as it is made.
const IDENTITY: &str = "
    CREATE SCHEMA test_identity;
    CREATE FUNCTION test_identity.give() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE made oid;
    BEGIN
      FOR made IN SELECT DISTINCT c.oid FROM pg_event_trigger_ddl_commands() d JOIN pg_class c ON c.oid = d.objid
                   WHERE d.classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.relreplident = 'd'
                     AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary) LOOP
        EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', made::regclass);
      END LOOP;
    EXCEPTION WHEN OTHERS THEN RAISE LOG 'no identity for %: %', made, SQLERRM;
    END $$;
    CREATE EVENT TRIGGER test_identity ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE SCHEMA')
      EXECUTE FUNCTION test_identity.give();";

/// The files, in order.
fn schedule(regress: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(regress.join("parallel_schedule")).context("run scripts/regress-sql")?;
    let groups = text.lines().filter_map(|line| line.strip_prefix("test:"));
    Ok(groups.flat_map(str::split_whitespace).map(str::to_owned).collect())
}

fn regress() -> PathBuf {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    env::var_os("PGVIGIL_CACHE").map_or_else(|| checkout.join(".cache"), PathBuf::from).join("regress")
}

/// Runs the files while two follow.
async fn follow(major: u32, tells_ddl: bool, files: &[String]) -> Result<()> {
    let settings =
        options().set("logical_decoding_work_mem", "64kB").set("max_prepared_transactions", "5").set("max_connections", "60");
    let cluster = cluster_with(major, settings).await?;
    let database = Database::create(&cluster, "regression").await?;
    // As pg_regress has it.
    database
        .run("ALTER DATABASE regression SET lc_messages = 'C'; ALTER DATABASE regression SET timezone_abbreviations = 'Default'")
        .await?;
    database.run("COPY (SELECT) TO PROGRAM 'mkdir -p regress/results regress/testtablespace'").await?;
    if tells_ddl {
        database.run(support::DDL_MESSAGES).await?;
        database.run(&support::attribution()).await?;
    }
    database.run(IDENTITY).await?;
    database.run("CREATE PUBLICATION pgvigil FOR ALL TABLES").await?;
    let url = cluster.url("regression");
    // One who listens to all of it may be slower than one who writes it.
    let arguments = ["--streaming=true", "--streaming=false"].map(|streaming| [streaming, "--history-memory=256MiB"]);
    let watched = try_join_all(arguments.iter().map(|arguments| Watched::start(&url, arguments))).await?;

    let started = Instant::now();
    for file in files {
        run(&cluster, file).await?;
        let mark = mark(&database).await?;
        for watched in &watched {
            watched.witness.has_heard(mark).await.with_context(|| format!("after {file}"))?;
        }
    }
    println!("PostgreSQL {major}: {} files in {:?}", files.len(), started.elapsed());
    // Whatever failed on the way, it was not what setup makes: an error there has its name in the context.
    let log = cluster.log();
    let ours: Vec<&str> = log.lines().filter(|line| line.contains("function pgvigil.") || line.contains("pgvigil: ")).collect();
    ensure!(ours.is_empty(), "{ours:#?}");
    let attributed: i64 =
        database.value("SELECT count(*) FROM pg_trigger WHERE tgname = 'pgvigil_actor' AND tgenabled = 'A'").await?;
    ensure!(!tells_ddl || attributed > 100, "{attributed} tables are attributed");
    for watched in &watched {
        let agreement = watched.agrees(&database, Duration::from_secs(60)).await?;
        println!("PostgreSQL {major}: {agreement:?}, {} changes, after {:?}", watched.witness.changes(), started.elapsed());
        let (tables, rows) = if files.len() > BRIEF.len() { (400, 200_000) } else { (200, 10_000) };
        ensure!(agreement.tables > tables && agreement.rows > rows, "{agreement:?} is less than the files make");
    }
    Ok(())
}

/// Runs one file.
async fn run(cluster: &Cluster, file: &str) -> Result<()> {
    let regress = regress();
    let mut psql = Command::new("psql");
    psql.args(["--no-psqlrc", "--quiet", "--file"]).arg(regress.join(format!("sql/{file}.sql")));
    psql.env("PGHOST", "127.0.0.1")
        .env("PGPORT", cluster.port().to_string())
        .env("PGUSER", "postgres")
        .env("PGDATABASE", "regression");
    psql.env("PGTZ", "PST8PDT").env("PGDATESTYLE", "Postgres, MDY").env("LANG", "C");
    psql.env("PGOPTIONS", "-c intervalstyle=postgres_verbose -c statement_timeout=20s -c lock_timeout=10s");
    psql.env("PG_ABS_SRCDIR", &regress).env("PG_ABS_BUILDDIR", cluster.data_dir().join("regress"));
    psql.env("PG_LIBDIR", "/nonexistent").env("PG_DLSUFFIX", ".so");
    psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let status =
        tokio::time::timeout(Duration::from_secs(120), psql.status()).await.with_context(|| format!("{file} takes for ever"))?;
    // 3 would be an error in a script that stops at errors, and these do not.
    let code = status.context("psql")?.code();
    ensure!(matches!(code, Some(0 | 2)), "{file}: psql ended with {code:?}");
    Ok(())
}
