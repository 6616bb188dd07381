//! The catalog against real servers: what is listed, what is covered and why not, and when the fingerprint changes.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use pgvigil::catalog::{
    self, Catalog, Coverage, Fingerprint, Fingerprints, Kind, Operation, Persistence, Reason, ReplicaIdentity, Table,
};
use support::{Database, a_major, cluster};

/// Tables of every kind.
const TABLES: &str = r#"
    CREATE TABLE plain (a int, b int, PRIMARY KEY (b, a));
    CREATE TABLE "Mixed ""Case""" (id int, note text, PRIMARY KEY (id) INCLUDE (note));
    CREATE TABLE child () INHERITS (plain);
    CREATE TABLE keyless (a int);
    CREATE UNLOGGED TABLE unlogged (a int);
    CREATE TEMPORARY TABLE temporary (a int);
    CREATE MATERIALIZED VIEW matview AS SELECT 1 AS a;
    CREATE VIEW a_view AS SELECT 1 AS a;
    CREATE FOREIGN DATA WRAPPER nowhere;
    CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere;
    CREATE FOREIGN TABLE remote (a int) SERVER elsewhere;
    CREATE SCHEMA shop;
    CREATE SCHEMA archive;
    CREATE SCHEMA pgvigil;
    CREATE TABLE pgvigil.own (a int);
    CREATE TABLE shop.ordered (id int PRIMARY KEY);
    CREATE TABLE shop.logs (day int, note text) PARTITION BY RANGE (day);
    CREATE TABLE shop.logs_1 PARTITION OF shop.logs FOR VALUES FROM (1) TO (2);
    CREATE TABLE archive.logs_2 PARTITION OF shop.logs FOR VALUES FROM (2) TO (3) PARTITION BY RANGE (day);
    CREATE TABLE archive.logs_2a PARTITION OF archive.logs_2 DEFAULT;
    CREATE TABLE empty_tree (a int) PARTITION BY LIST (a);
    CREATE TABLE half_remote (a int) PARTITION BY LIST (a);
    CREATE FOREIGN TABLE half_remote_1 PARTITION OF half_remote FOR VALUES IN (1) SERVER elsewhere;
    CREATE TABLE half_remote_2 PARTITION OF half_remote FOR VALUES IN (2);
    ALTER TABLE keyless REPLICA IDENTITY FULL;
    ALTER TABLE child REPLICA IDENTITY NOTHING;
"#;

async fn read(database: &mut Database) -> Result<Catalog> {
    Ok(catalog::read(database.client(), "watched").await?)
}

fn table<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a Table> {
    catalog.tables.iter().find(|table| format!("{}.{}", table.schema, table.name) == name).with_context(|| name.to_owned())
}

fn reason<'a>(catalog: &'a Catalog, name: &str) -> Result<Option<&'a Reason>> {
    Ok(table(catalog, name)?.coverage.reason())
}

support::on_every_major!(tables_are_described, coverage_is_what_the_server_publishes, the_fingerprint_changes_with_what_matters);

async fn tables_are_described(major: u32) -> Result<()> {
    let cluster = cluster(major).await?;
    let mut database = Database::create(&cluster, "app").await?;
    database.run(TABLES).await?;
    database.run("CREATE PUBLICATION watched FOR ALL TABLES").await?;
    let catalog = read(&mut database).await?;

    assert_eq!(u32::try_from(catalog.server_version)? / 10_000, major);
    assert_eq!(&*catalog.role, "postgres");
    assert!(catalog.told_by.is_none());
    let kinds: BTreeMap<String, Kind> =
        catalog.tables.iter().map(|table| (format!("{}.{}", table.schema, table.name), table.kind)).collect();
    let expected = [
        ("archive.logs_2", Kind::PartitionedTable),
        ("archive.logs_2a", Kind::Partition),
        ("public.Mixed \"Case\"", Kind::Table),
        ("public.child", Kind::Table),
        ("public.empty_tree", Kind::PartitionedTable),
        ("public.half_remote", Kind::PartitionedTable),
        ("public.half_remote_1", Kind::ForeignTable),
        ("public.half_remote_2", Kind::Partition),
        ("public.keyless", Kind::Table),
        ("public.matview", Kind::MaterializedView),
        ("public.plain", Kind::Table),
        ("public.remote", Kind::ForeignTable),
        ("public.unlogged", Kind::Table),
        ("shop.logs", Kind::PartitionedTable),
        ("shop.logs_1", Kind::Partition),
        ("shop.ordered", Kind::Table),
    ];
    assert_eq!(kinds, expected.map(|(name, kind)| (name.to_owned(), kind)).into());

    let oid = |name| table(&catalog, name).map(|table| table.oid);
    let parent = |name| table(&catalog, name).map(|table| table.parent);
    assert_eq!(parent("archive.logs_2a")?, Some(oid("archive.logs_2")?));
    assert_eq!(parent("archive.logs_2")?, Some(oid("shop.logs")?));
    assert_eq!(parent("shop.logs")?, None);
    assert_eq!(parent("public.child")?, None, "inheritance is no partitioning");

    assert_eq!(table(&catalog, "public.plain")?.primary_key, ["b", "a"]);
    let mixed = table(&catalog, "public.Mixed \"Case\"")?;
    assert_eq!(mixed.primary_key, ["id"], "included columns are no part of the key");
    assert_eq!(mixed.sql_name(), r#""public"."Mixed ""Case""""#);
    assert_eq!(mixed.replica_identity, ReplicaIdentity::Default);
    assert_eq!(table(&catalog, "public.keyless")?.replica_identity, ReplicaIdentity::Full);
    assert_eq!(table(&catalog, "public.child")?.replica_identity, ReplicaIdentity::Nothing);
    assert_eq!(table(&catalog, "public.unlogged")?.persistence, Persistence::Unlogged);
    assert_eq!(table(&catalog, "shop.logs")?.relfilenode.0, 0);
    assert_ne!(mixed.relfilenode.0, 0);

    database.run("CREATE TABLE later (a int)").await?;
    let created: i64 = database.value("SELECT xmin::text::int8 FROM pg_class WHERE relname = 'later'").await?;
    let created = pgvigil::lsn::Xid(u32::try_from(created)?);
    assert!(!catalog.snapshot.sees(created) && read(&mut database).await?.snapshot.sees(created));
    Ok(())
}

/// Our rules against the server's own view, for publications of every form.
async fn coverage_is_what_the_server_publishes(major: u32) -> Result<()> {
    let cluster = cluster(major).await?;
    let mut database = Database::create(&cluster, "app").await?;
    database.run(TABLES).await?;
    let mut publications = vec![
        "FOR ALL TABLES",
        "",
        "FOR TABLE plain",
        "FOR TABLE ONLY plain, shop.ordered",
        "FOR TABLE shop.logs",
        "FOR TABLE archive.logs_2",
        "FOR TABLE archive.logs_2a, half_remote_2, empty_tree",
    ];
    if major >= 15 {
        publications.extend([
            "FOR TABLES IN SCHEMA shop",
            "FOR TABLES IN SCHEMA archive",
            "FOR TABLES IN SCHEMA public, TABLE shop.logs_1",
            "FOR TABLE keyless WHERE (a > 1), child (a)",
        ]);
    }
    for definition in publications {
        database.run(&format!("CREATE PUBLICATION watched {definition}")).await?;
        let rows = database
            .rows(
                "SELECT schemaname || '.' || tablename FROM pg_publication_tables \
                   JOIN pg_class ON oid = format('%I.%I', schemaname, tablename)::regclass \
                  WHERE pubname = 'watched' AND relkind = 'r'", // FOR TABLES IN SCHEMA it lists foreign partitions too
                &[],
            )
            .await?;
        let published: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        let catalog = read(&mut database).await?;
        let ours: BTreeSet<String> = catalog
            .tables
            .iter()
            .filter(|table| {
                table.has_rows() && matches!(table.coverage, Coverage::Covered | Coverage::Uncovered(Reason::RowFilter(_)))
            })
            .map(|table| format!("{}.{}", table.schema, table.name))
            .collect();
        let own = |name: &String| name.starts_with("pgvigil.");
        assert_eq!(ours, published.into_iter().filter(|name| !own(name)).collect(), "{definition}");
        database.run("DROP PUBLICATION watched").await?;
    }

    // Through the root: a partition counts as published only when it is sent under its own name.
    database.run("CREATE PUBLICATION watched FOR TABLE shop.logs, half_remote_2 WITH (publish_via_partition_root)").await?;
    let catalog = read(&mut database).await?;
    assert!(matches!(reason(&catalog, "shop.logs_1")?, Some(Reason::ViaRoot(_))));
    assert!(matches!(reason(&catalog, "archive.logs_2a")?, Some(Reason::ViaRoot(_))));
    assert_eq!(reason(&catalog, "public.half_remote_2")?, None);
    assert!(matches!(reason(&catalog, "shop.logs")?, Some(Reason::Partition(_))));
    assert_eq!(reason(&catalog, "public.empty_tree")?, None, "no partition, no rows, nothing to miss");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_covered_has_its_reason() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut database = Database::create(&cluster, "app").await?;
    database.run(TABLES).await?;

    let catalog = read(&mut database).await?;
    assert_eq!(catalog.publication, None);
    assert_eq!(reason(&catalog, "public.plain")?, Some(&Reason::NoPublication("watched".into())));

    database
        .run(
            "CREATE PUBLICATION watched FOR TABLE plain, shop.ordered, shop.logs, half_remote, keyless WHERE (a > 0); \
             CREATE TABLE hidden (a int); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; \
             ALTER PUBLICATION watched ADD TABLE hidden; \
             CREATE ROLE reader LOGIN; GRANT SELECT ON plain, hidden, keyless, half_remote_2, shop.ordered TO reader",
        )
        .await?;
    let mut reader =
        Database::connect(&cluster.url("app").replace("postgres@", "reader@").replace("user=postgres", "user=reader")).await?;
    assert_eq!(reader.value::<String>("SELECT current_user::text").await?, "reader");
    let catalog = read(&mut reader).await?;
    let role = || "reader".into();
    let expected = [
        ("public.plain", None),
        ("public.child", Some(Reason::NoSelect { role: role() })),
        ("public.hidden", Some(Reason::RowSecurity { role: role() })),
        ("public.keyless", Some(Reason::RowFilter("watched".into()))),
        ("public.unlogged", Some(Reason::Unlogged)),
        ("public.matview", Some(Reason::MaterializedView)),
        ("public.remote", Some(Reason::Foreign)),
        ("public.half_remote_2", None),
        ("public.half_remote", Some(Reason::Partition("\"public\".\"half_remote_1\"".into()))),
        ("public.Mixed \"Case\"", Some(Reason::NotPublished("watched".into()))),
        ("shop.ordered", Some(Reason::NoUsage { role: role() })),
        ("shop.logs", Some(Reason::Partition("\"archive\".\"logs_2a\"".into()))),
    ];
    for (name, expected) in expected {
        assert_eq!(reason(&catalog, name)?, expected.as_ref(), "{name}");
    }

    database.run("ALTER PUBLICATION watched SET (publish = 'insert, delete')").await?;
    let missing = vec![Operation::Update, Operation::Truncate];
    let catalog = read(&mut database).await?;
    assert_eq!(reason(&catalog, "public.plain")?, Some(&Reason::Operations("watched".into(), missing)));
    Ok(())
}

/// An `ALTER TABLE` that takes its time must not keep the catalog from being read.
#[tokio::test(flavor = "multi_thread")]
async fn reading_waits_for_no_lock() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut database = Database::create(&cluster, "app").await?;
    database.run(TABLES).await?;
    database.run("CREATE PUBLICATION watched FOR ALL TABLES").await?;
    let altering = Database::connect(&cluster.url("app")).await?;
    altering.run("BEGIN; ALTER TABLE plain ADD COLUMN c int; ALTER TABLE shop.logs ADD COLUMN c int").await?;
    database.run("SET statement_timeout = '5s'").await?;
    assert_eq!(read(&mut database).await?.tables.len(), 16);
    fingerprint(&mut database).await?;
    altering.run("ROLLBACK").await
}

async fn the_fingerprint_changes_with_what_matters(major: u32) -> Result<()> {
    let cluster = cluster(major).await?;
    let mut database = Database::create(&cluster, "app").await?;
    database.run(TABLES).await?;
    let before = fingerprint(&mut database).await?;
    assert_eq!(before.publication, None);

    let mut changes = vec![
        ("CREATE PUBLICATION watched FOR TABLE plain", true),
        ("ALTER PUBLICATION watched ADD TABLE shop.logs", true),
        ("ALTER PUBLICATION watched SET TABLE shop.logs", true),
        ("ALTER PUBLICATION watched SET (publish = 'insert')", true),
        ("ALTER PUBLICATION watched RENAME TO other", true),
        ("ALTER PUBLICATION other RENAME TO watched", true),
        ("CREATE TABLE fresh (a int)", true),
        ("INSERT INTO fresh SELECT generate_series(1, 1000); DELETE FROM fresh WHERE a % 2 = 0", false),
        ("VACUUM ANALYZE fresh", false),
        ("CREATE INDEX ON fresh (a)", false),
        ("CREATE TEMPORARY TABLE passing (a int)", false),
        ("CREATE FUNCTION nothing() RETURNS int LANGUAGE sql AS 'SELECT 1'", false),
        ("ALTER TABLE fresh RENAME TO renamed", true),
        ("ALTER TABLE renamed SET SCHEMA shop", true),
        ("ALTER TABLE shop.renamed SET UNLOGGED", true),
        ("ALTER TABLE shop.renamed SET LOGGED", true),
        ("VACUUM FULL shop.renamed", true),
        ("TRUNCATE shop.renamed", true),
        ("ALTER TABLE shop.renamed ENABLE ROW LEVEL SECURITY", true),
        ("ALTER TABLE shop.renamed REPLICA IDENTITY FULL", true),
        ("ALTER TABLE shop.logs DETACH PARTITION shop.logs_1", true),
        ("ALTER TABLE shop.logs ATTACH PARTITION shop.logs_1 FOR VALUES FROM (1) TO (2)", true),
        ("GRANT SELECT ON plain TO public", true),
        ("DROP TABLE shop.renamed", true),
    ];
    if major >= 15 {
        changes.push(("ALTER PUBLICATION watched ADD TABLES IN SCHEMA archive", true));
        changes.push(("ALTER PUBLICATION watched SET TABLE plain WHERE (a > 1), TABLES IN SCHEMA archive", true));
        changes.push(("ALTER PUBLICATION watched SET TABLE plain WHERE (a > 2), TABLES IN SCHEMA archive", true));
    }
    changes.push(("DROP PUBLICATION watched", true));

    let mut seen = before;
    for (change, matters) in changes {
        for statement in change.split("; ") {
            database.run(statement).await?;
        }
        let now = fingerprint(&mut database).await?;
        assert_eq!(now != seen, matters, "{change}");
        seen = now;
    }
    Ok(())
}

/// What the watching role runs must be the server's own, whatever others have made.
#[tokio::test(flavor = "multi_thread")]
async fn functions_of_others_are_not_run() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut database = Database::create(&cluster, "app").await?;
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION watched FOR TABLE t; \
             CREATE FUNCTION unnest(int2vector) RETURNS SETOF int2 LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$; \
             CREATE FUNCTION pg_relation_size(oid) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$; \
             CREATE FUNCTION hashoidextended(oid, int) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$; \
             CREATE FUNCTION same(oid, regclass) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$; \
             CREATE OPERATOR = (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = same); \
             CREATE FUNCTION same(oid, int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$; \
             CREATE OPERATOR >= (LEFTARG = oid, RIGHTARG = int, FUNCTION = same)",
        )
        .await?;
    assert!(database.run("SELECT unnest(indkey) FROM pg_index").await.is_err(), "the trap works");
    let catalog = read(&mut database).await?;
    fingerprint(&mut database).await?;
    catalog::fence(database.client()).await?;
    catalog::oldest_transaction(database.client()).await?;
    catalog::count(database.client(), table(&catalog, "public.t")?, None, |_| ()).await?;
    Ok(())
}

async fn fingerprint(database: &mut Database) -> Result<Fingerprint> {
    let client = database.client();
    Ok(Fingerprints::prepare(client).await?.take(client, "watched").await?)
}
