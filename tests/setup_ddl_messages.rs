//! The DDL messages that `setup` makes the server write: what they tell, that every role's DDL is told, and that none fails by them.

mod support;

use anyhow::{Context, Result, bail};
use clap::Parser;
use pgvigil::commands::setup::{SetupOptions, setup};
use pgvigil::event::ddl::{Change, DdlMessage};
use pgvigil::lsn::Oid;
use pgvigil::pgoutput::{self, Message};
use support::{Database, a_major, cluster_with, options};

#[derive(Parser)]
struct Setup {
    #[command(flatten)]
    options: SetupOptions,
}

/// Sets up a database that is watched by a slot.
async fn watched(database: &mut Database) -> Result<()> {
    let Setup { options } = Setup::parse_from(["setup", "--apply", "--leave-out"]);
    setup(database.client(), &options, &mut Vec::new()).await?;
    database.run("SELECT pg_create_logical_replication_slot('watching', 'pgoutput')").await
}

/// The DDL messages since the last call.
async fn told(database: &Database) -> Result<Vec<DdlMessage>> {
    let rows = database
        .rows(
            "SELECT data FROM pg_logical_slot_get_binary_changes('watching', NULL, NULL, 'proto_version', '1', \
                                                               'publication_names', 'pgvigil', 'messages', 'true')",
            &[],
        )
        .await?;
    let mut told = Vec::new();
    for row in rows {
        let data: &[u8] = row.get(0);
        if let Message::Logical(message) = pgoutput::decode(data, pgoutput::Context::Plain)? {
            assert!(message.transactional);
            assert_eq!(message.prefix.0, DdlMessage::PREFIX);
            let content = message.content.whole().context("the whole message")?;
            let text = String::from_utf8_lossy(content);
            told.push(DdlMessage::parse(content).with_context(|| text.into_owned())?);
        }
    }
    Ok(told)
}

/// What was told, in short: `created r p public.t`.
fn brief(message: &DdlMessage) -> String {
    let object = message.object();
    match &message.change {
        Change::Created(table) => format!("created {} {} {object}", table.kind, table.persistence),
        Change::Altered(table) => format!("altered {} {} {object}", table.kind, table.persistence),
        Change::Dropped { .. } => format!("dropped {object}"),
        Change::Type(_) => format!("type {object}"),
        Change::Publication(_) => format!("publication {object}"),
        Change::Schema(_) => format!("schema {object}"),
    }
}

support::on_every_major!(every_change_is_told, any_role_is_told_of_and_none_is_hindered);

async fn every_change_is_told(major: u32) -> Result<()> {
    let cluster = cluster_with(major, options().set("wal_level", "logical")).await?;
    let mut database = Database::create(&cluster, "app").await?;
    watched(&mut database).await?;
    let mut steps = vec![
        ("CREATE TABLE t (id serial PRIMARY KEY, note text)", vec!["created r p public.t"]),
        ("CREATE TABLE t2 (id int REFERENCES t)", vec!["created r p public.t2"]),
        ("ALTER TABLE t RENAME TO \"Grün\"", vec!["altered r p public.Grün"]),
        ("ALTER TABLE \"Grün\" RENAME COLUMN note TO n", vec!["altered r p public.Grün"]),
        ("ALTER TABLE t2 SET UNLOGGED", vec!["altered r u public.t2"]),
        ("ALTER TABLE t2 SET LOGGED", vec!["altered r p public.t2"]),
        ("CREATE TABLE made AS SELECT 1 a", vec!["created r p public.made"]),
        ("SELECT 1 a INTO selected", vec!["created r p public.selected"]),
        ("CREATE UNLOGGED TABLE u (a int)", vec!["created r u public.u"]),
        ("CREATE MATERIALIZED VIEW m AS SELECT 1", vec!["created m p public.m"]),
        ("CREATE SCHEMA s CREATE TABLE inner_one (a int)", vec!["created r p s.inner_one"]),
        ("ALTER SCHEMA s RENAME TO r", vec!["schema r"]),
        ("ALTER TABLE made SET SCHEMA r", vec!["altered r p r.made"]),
        ("DROP SCHEMA r CASCADE", vec!["dropped r.inner_one", "dropped r.made"]),
        ("CREATE TABLE tree (a int) PARTITION BY LIST (a)", vec!["created p p public.tree"]),
        ("CREATE TABLE leaf PARTITION OF tree DEFAULT", vec!["created r p public.leaf"]),
        ("ALTER TABLE tree DETACH PARTITION leaf", vec!["altered p p public.tree"]),
        ("ALTER TABLE tree ATTACH PARTITION leaf DEFAULT", vec!["altered p p public.tree"]),
        ("DROP TABLE tree", vec!["dropped public.leaf", "dropped public.tree"]),
        ("CREATE PUBLICATION other FOR TABLE t2", vec!["publication other"]),
        ("ALTER PUBLICATION other ADD TABLE selected", vec!["publication other"]),
        ("ALTER PUBLICATION other SET (publish = 'insert')", vec!["publication other"]),
        ("ALTER PUBLICATION other DROP TABLE selected", vec!["publication other"]),
        ("DROP TABLE t2", vec!["dropped public.t2", "publication other"]),
        ("DROP PUBLICATION other", vec!["publication other"]),
        ("CREATE TYPE mood AS ENUM ('ok'); CREATE TYPE span AS (a int, m mood, n mood); CREATE DOMAIN d AS mood", vec![]),
        (
            "CREATE TABLE typed OF span; CREATE TABLE whole (a int, v span)",
            vec!["created r p public.typed", "created r p public.whole"],
        ),
        ("ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'", vec!["type public.mood"]),
        ("ALTER TYPE mood ADD VALUE 'sad'", vec!["type public.mood"]),
        ("ALTER TYPE span ADD ATTRIBUTE b int CASCADE", vec!["type public.span"]),
        ("ALTER TYPE span RENAME TO \"Spanne\"", vec!["type public.Spanne"]),
        // By columns that it takes along.
        ("DROP TYPE mood CASCADE", vec!["type public.Spanne", "type public.typed"]),
        ("DROP TABLE whole, typed; DROP TYPE \"Spanne\"", vec!["dropped public.typed", "dropped public.whole"]),
        (
            "DO $$ BEGIN CREATE TABLE one (a int); CREATE TABLE two (a int); END $$",
            vec!["created r p public.one", "created r p public.two"],
        ),
        ("BEGIN; SAVEPOINT s; CREATE TABLE lost (a int); ROLLBACK TO s; DROP TABLE one; COMMIT", vec!["dropped public.one"]),
        (
            "SET session_replication_role = replica; CREATE TABLE three (a int); RESET session_replication_role",
            vec!["created r p public.three"],
        ),
        // None of anybody's business.
        ("CREATE TEMPORARY TABLE passing (a int); ALTER TABLE passing ADD b int; DROP TABLE passing", vec![]),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; DROP FUNCTION f()", vec![]),
        ("CREATE INDEX an_index ON two (a); DROP INDEX an_index; CREATE VIEW v AS SELECT 1; DROP VIEW v", vec![]),
        ("TRUNCATE two; INSERT INTO two VALUES (1); REFRESH MATERIALIZED VIEW m", vec![]),
    ];
    if major >= 15 {
        steps.push(("CREATE PUBLICATION schemas FOR TABLES IN SCHEMA public", vec!["publication schemas"]));
        steps.push(("ALTER PUBLICATION schemas DROP TABLES IN SCHEMA public", vec!["publication schemas"]));
    }
    for (sql, expected) in steps {
        database.run(sql).await?;
        let told = told(&database).await?;
        let mut briefly: Vec<String> = told.iter().map(brief).collect();
        briefly.sort();
        assert_eq!(briefly, expected, "{sql}");
        // A whole string may have been sent at once; it starts as it was sent.
        for message in told {
            assert_eq!(message.sql.as_deref(), Some(sql), "{sql}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_is_told_with_its_branches() -> Result<()> {
    let cluster = cluster_with(a_major(), options().set("wal_level", "logical")).await?;
    let mut database = Database::create(&cluster, "app").await?;
    watched(&mut database).await?;
    database.run("CREATE TABLE tree (a int) PARTITION BY LIST (a); CREATE TABLE leaf (a int)").await?;
    let oid = async |name: &str| anyhow::Ok(Oid(database.value(&format!("SELECT '{name}'::regclass::oid")).await?));
    let (tree, leaf) = (oid("tree").await?, oid("leaf").await?);
    told(&database).await?;
    database.run("ALTER TABLE tree ATTACH PARTITION leaf DEFAULT").await?;
    let Change::Altered(table) = &told(&database).await?[0].change.clone() else { bail!("not altered") };
    assert_eq!((table.oid, table.parent, &table.partitions[..]), (tree, None, &[leaf][..]));
    database.run("ALTER TABLE leaf ADD CHECK (a > 0)").await?;
    let Change::Altered(table) = &told(&database).await?[0].change.clone() else { bail!("not altered") };
    assert_eq!((table.oid, table.parent, &table.partitions[..]), (leaf, Some(tree), &[][..]));
    database.run("ALTER TABLE tree DETACH PARTITION leaf").await?;
    let Change::Altered(table) = &told(&database).await?[0].change.clone() else { bail!("not altered") };
    assert_eq!(table.partitions, []);

    database.run("ALTER TABLE leaf SET UNLOGGED").await?;
    assert_eq!(told(&database).await?[0].becomes_unlogged(), Some(leaf));
    database.run("ALTER TABLE leaf SET LOGGED").await?;
    assert_eq!(told(&database).await?[0].becomes_unlogged(), None);
    Ok(())
}

/// Roles without any right on the functions, in strange circumstances.
async fn any_role_is_told_of_and_none_is_hindered(major: u32) -> Result<()> {
    let cluster = cluster_with(major, options().set("wal_level", "logical")).await?;
    let mut database = Database::create(&cluster, "app").await?;
    watched(&mut database).await?;
    database
        .run(
            "CREATE ROLE nobody_much LOGIN; CREATE SCHEMA theirs AUTHORIZATION nobody_much; REVOKE ALL ON SCHEMA public FROM PUBLIC; \
             DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid FROM pg_proc \
               WHERE proname IN ('pg_logical_emit_message', 'pg_event_trigger_ddl_commands', 'pg_event_trigger_dropped_objects') \
             LOOP EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f); END LOOP; END $$; \
             REVOKE SELECT ON pg_publication, pg_inherits FROM PUBLIC",
        )
        .await?;
    told(&database).await?;
    let other =
        Database::connect(&cluster.url("app").replace("postgres@", "nobody_much@").replace("user=postgres", "user=nobody_much"))
            .await?;
    // Names that hide ours, a search path of their own, and operators that do what they should not.
    other
        .run(
            "SET search_path = theirs, pg_catalog; \
             CREATE FUNCTION theirs.convert_to(text, name) RETURNS bytea LANGUAGE plpgsql AS $$ BEGIN RAISE 'hidden'; END $$; \
             CREATE FUNCTION theirs.equal(\"char\", text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'hidden'; END $$; \
             CREATE OPERATOR theirs.= (LEFTARG = \"char\", RIGHTARG = text, FUNCTION = theirs.equal); \
             CREATE TABLE theirs.pg_class (a int); CREATE TABLE t (a int); ALTER TABLE t ADD b int; DROP TABLE t",
        )
        .await?;
    let briefly: Vec<String> = told(&database).await?.iter().map(brief).collect();
    assert_eq!(briefly, ["created r p theirs.pg_class", "created r p theirs.t", "altered r p theirs.t", "dropped theirs.t"]);

    // Not wanted: no statement in the log.
    other.run("SET pgvigil.ddl_sql = off; CREATE TABLE secret (a int DEFAULT 12345)").await?;
    assert_eq!(told(&database).await?[0].sql, None);
    Ok(())
}

/// A database that has no encoding can have names that are in none; nothing can be told of these, and nothing fails.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_fails_nobody() -> Result<()> {
    let cluster = cluster_with(a_major(), options().set("wal_level", "logical")).await?;
    let maintenance = Database::connect(&cluster.url("postgres")).await?;
    maintenance.run("CREATE DATABASE raw ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'").await?;
    let mut database = Database::connect(&cluster.url("raw")).await?;
    watched(&mut database).await?;
    database.run("DO $$ BEGIN EXECUTE 'CREATE TABLE \"' || convert_from('\\xff', 'SQL_ASCII') || '\" (a int)'; END $$").await?;
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
            .await?,
        1
    );
    assert!(cluster.log().contains("is not told in the stream"), "{}", cluster.log());
    database.run("CREATE TABLE plain (a int)").await?;
    let briefly: Vec<String> = told(&database).await?.iter().map(brief).collect();
    assert_eq!(briefly, ["created r p public.plain"]);
    Ok(())
}
