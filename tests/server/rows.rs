//! Pages of rows, from a real PostgreSQL.

use anyhow::{Context, Result};
use pgvigil::cluster::Cluster;
use pgvigil::connection::Target;
use pgvigil::pipeline::{CountState, Database as Watched, Table, TableKind};
use serde_json::{Value, json};

use crate::fixture::{Server, Setup, table, watched};
use crate::support::{Database, a_major, cluster};

const TABLES: &str = r#"
    CREATE DOMAIN score AS int;
    CREATE TYPE mood AS ENUM ('low', 'high');
    CREATE TABLE "User" (id int PRIMARY KEY, name text, points score, mood mood);
    INSERT INTO "User" SELECT n, 'user ' || n, n, 'high' FROM generate_series(1, 25) n;
    CREATE TABLE kinds (region text, id uuid, ok bool, small int2, large int8, exact numeric, approx float8, doc jsonb, tags text[],
        note char(4), at timestamptz, raw bytea, nothing text, PRIMARY KEY (region, id));
    INSERT INTO kinds VALUES
        ('a', '00000000-0000-0000-0000-000000000002', true, 1, 9007199254740993, 12.50, 'NaN', '{"a": [1]}', '{x,NULL}', 'ab',
         '2026-11-22 14:02:11+01', '\x00ff', NULL),
        ('a', '00000000-0000-0000-0000-000000000001', false, -1, 1, 'NaN', 0.5, 'null', '{}', 'abcd', 'infinity', '', ''),
        ('b', '00000000-0000-0000-0000-000000000000', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    CREATE TABLE keyless (a int);
    INSERT INTO keyless VALUES (1), (2), (3);
    CREATE TABLE keyed_otherwise (a int UNIQUE, b int NOT NULL UNIQUE);
    INSERT INTO keyed_otherwise VALUES (NULL, 2), (NULL, 1);
    CREATE TABLE long (id int PRIMARY KEY, doc jsonb);
    INSERT INTO long SELECT n, to_jsonb(repeat('x', 100000)) FROM generate_series(1, 200) n;
    CREATE TABLE logs (day int, PRIMARY KEY (day)) PARTITION BY RANGE (day);
    CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (1) TO (10);
    INSERT INTO logs VALUES (1), (2);
    CREATE TABLE guarded (id int PRIMARY KEY);
    ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
    CREATE ROLE reader LOGIN;
    GRANT SELECT ON guarded, "User" TO reader;
"#;

struct Fixture {
    server: Server,
    database: Database,
    cluster: Cluster,
}

/// A server that watches a database with the tables, connecting as `role` if one is named.
async fn start(role: Option<&str>) -> Result<Fixture> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(TABLES).await?;
    let url = cluster.url("app");
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = role.map_or(url.clone(), |role| format!("{url}{separator}user={role}"));
    let target = Target::resolve(Some(&url), |_| None)?;
    let server = Setup { database: Some(target), ..Setup::default() }.live().await?;
    let identity = Watched {
        name: "app".to_owned(),
        oid: database.value("SELECT oid FROM pg_database WHERE datname = 'app'").await?,
        system_identifier: database.value("SELECT system_identifier::text FROM pg_control_system()").await?,
        ..watched()
    };
    server.note(|status| status.database = Some(identity.into()));
    let mut tables = Vec::new();
    for row in database.rows("SELECT oid, relname::text, relkind = 'p' FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace", &[]).await? {
        let kind = if row.get(2) { TableKind::PartitionedTable } else { TableKind::Table };
        tables.push(Table { kind, ..table(row.get(0), row.get(1), 1) });
    }
    tables.push(Table {
        count_state: CountState::Uncovered,
        reason: Some("it is unlogged".to_owned()),
        ..table(1, "unlogged", None)
    });
    server.count(100, tables);
    Ok(Fixture { server, database, cluster })
}

fn ids(page: &Value) -> Vec<i64> {
    page["rows"].as_array().into_iter().flatten().filter_map(|row| row["id"].as_i64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_the_key_whatever_changes_between_them() -> Result<()> {
    let Fixture { server, database, cluster: _cluster } = start(None).await?;
    let page = server.json("/api/v1/tables/public/User/rows?limit=10").await?;
    assert_eq!(ids(&page), (1..=10).collect::<Vec<_>>());
    assert_eq!(page["rows"][0], json!({"id": 1, "name": "user 1", "points": 1, "mood": "high"}));
    assert_eq!((&page["key"], &page["complete"], &page["cut"]), (&json!(["id"]), &json!(false), &json!([])));
    assert!(page["read_at"].as_str().is_some_and(|time| time.ends_with('Z')));

    database.run(r#"DELETE FROM "User" WHERE id <= 5"#).await?;
    let next = urlencode(page["next"].as_str().context("there is more")?);
    let page = server.json(&format!("/api/v1/tables/public/User/rows?limit=20&after={next}")).await?;
    assert_eq!((ids(&page), &page["complete"], &page["next"]), ((11..=25).collect(), &json!(true), &Value::Null));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_shown_as_events_show_them() -> Result<()> {
    let Fixture { server, database: _database, cluster: _cluster } = start(None).await?;
    let page = server.json("/api/v1/tables/public/kinds/rows?limit=2").await?;
    assert_eq!(
        page["rows"][1],
        json!({
            "region": "a", "id": "00000000-0000-0000-0000-000000000002", "ok": true, "small": 1, "large": "9007199254740993", "exact": 12.50,
            "approx": "NaN", "doc": {"a": [1]}, "tags": ["x", null], "note": "ab  ", "at": "2026-11-22 13:02:11+00", "raw": "\\x00ff",
            "nothing": null,
        })
    );
    assert_eq!(
        (&page["rows"][0]["ok"], &page["rows"][0]["doc"], &page["rows"][0]["nothing"]),
        (&json!(false), &Value::Null, &json!(""))
    );
    let next = urlencode(page["next"].as_str().context("there is more")?);
    let page = server.json(&format!("/api/v1/tables/public/kinds/rows?after={next}")).await?;
    assert_eq!((page["rows"].as_array().map(Vec::len), &page["rows"][0]["region"]), (Some(1), &json!("b")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_paged_or_shown_in_full_says_so() -> Result<()> {
    let Fixture { server, database: _database, cluster: _cluster } = start(None).await?;
    let page = server.json("/api/v1/tables/public/keyless/rows?limit=2").await?;
    assert_eq!((&page["key"], &page["complete"], &page["next"]), (&json!([]), &json!(false), &Value::Null));
    assert_eq!(page["rows"].as_array().map(Vec::len), Some(2));

    let page = server.json("/api/v1/tables/public/keyed_otherwise/rows").await?;
    assert_eq!((&page["key"], &page["rows"]), (&json!(["b"]), &json!([{"a": null, "b": 1}, {"a": null, "b": 2}])));

    let page = server.json("/api/v1/tables/public/logs/rows").await?;
    assert_eq!(page["rows"], json!([{"day": 1}, {"day": 2}]));

    // A page has a size, and a value too.
    let page = server.json("/api/v1/tables/public/long/rows?limit=500").await?;
    let rows = page["rows"].as_array().context("rows")?;
    assert!(rows.len() < 100 && page["complete"] == false && page["next"].is_string());
    assert_eq!(rows[0]["doc"].as_str().map(str::len), Some(16 << 10));
    assert_eq!(page["cut"][0], json!({"row": 0, "column": "doc", "characters": 100_002}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_watched_or_not_ours_is_not_read() -> Result<()> {
    let Fixture { server, database, cluster: _cluster } = start(None).await?;
    let (code, document) = server.problem("/api/v1/tables/public/unlogged/rows").await?;
    assert_eq!((code, &document["detail"]), (404, &json!("The table public.unlogged is not watched: it is unlogged.")));
    assert_eq!(server.problem("/api/v1/tables/pg_catalog/pg_authid/rows").await?.0, 404);
    for after in ["7", "[]", "[7]", "[\"1\",\"2\"]", "[\"x\"]"] {
        let (code, _) = server.problem(&format!("/api/v1/tables/public/User/rows?after={}", urlencode(after))).await?;
        assert_eq!(code, 400, "{after}");
    }
    database.run(r#"DROP TABLE "User""#).await?;
    assert_eq!(server.problem("/api/v1/tables/public/User/rows").await?.0, 404);
    server.note(|status| status.database = Some(watched().into()));
    let (code, document) = server.problem("/api/v1/tables/public/keyless/rows").await?;
    assert_eq!((code, &document["type"]), (502, &json!("urn:pgvigil:problem:database-refused")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_or_a_missing_right_is_explained() -> Result<()> {
    let Fixture { server, mut database, cluster: _cluster } = start(Some("reader")).await?;
    assert_eq!(ids(&server.json("/api/v1/tables/public/User/rows?limit=1").await?), [1]);
    let (code, document) = server.problem("/api/v1/tables/public/keyless/rows").await?;
    assert_eq!(code, 502, "{document}");
    // Row-level security would hide rows: better none than some.
    let (code, document) = server.problem("/api/v1/tables/public/guarded/rows").await?;
    assert_eq!(code, 502, "{document}");
    let locking = database.client().transaction().await?;
    locking.batch_execute(r#"LOCK TABLE "User""#).await?;
    let (code, document) = server.problem("/api/v1/tables/public/User/rows").await?;
    assert_eq!((code, &document["type"]), (503, &json!("urn:pgvigil:problem:database-unavailable")));
    Ok(())
}

fn urlencode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
