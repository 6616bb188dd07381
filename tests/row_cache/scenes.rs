//! Scenes, each in a database of its own.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgvigil::cluster::Cluster;
use serde_json::{Value, json};

use crate::support::{
    DDL_MESSAGES, Database, PATIENCE, Pgvigil, WebSocket, clean_up, cluster_with, options, play_all, set_up, wait_for,
};

pub(crate) async fn play(major: u32) -> Result<()> {
    let cluster =
        cluster_with(major, options().set("logical_decoding_work_mem", "64kB").set("max_replication_slots", "20")).await?;
    play_all!(
        cluster,
        major,
        [
            deletes_and_truncates_tell_whole_rows,
            large_values_that_were_not_sent_are_filled_in,
            what_is_too_long_is_not_kept,
            what_grows_too_large_is_dropped_aloud,
            only_published_columns_are_kept,
            nothing_is_kept_where_ddl_is_not_told,
            nothing_is_kept_once_it_is_cleaned_up,
            bytes_are_those_of_the_server,
            a_lost_connection_is_a_new_beginning,
            nothing_is_kept_unless_asked_for,
            what_was_lost_comes_back,
        ]
    )
}

/// A database that is watched, and someone who listens.
pub(crate) struct Scene {
    pub(crate) database: Database,
    pgvigil: Pgvigil,
    socket: WebSocket,
    marks: u32,
}

impl Scene {
    /// A new database with these tables, where DDL is told.
    pub(crate) async fn set(cluster: &Cluster, name: &str, tables: &str, arguments: &[&str]) -> Result<Self> {
        let database = Database::create(cluster, name).await?;
        Self::in_database(cluster, name, database, tables, arguments).await
    }

    async fn in_database(cluster: &Cluster, name: &str, database: Database, tables: &str, arguments: &[&str]) -> Result<Self> {
        database.run("CREATE TABLE mark (id int PRIMARY KEY)").await?;
        database.run(DDL_MESSAGES).await?;
        database.run(tables).await?;
        database.run("DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_publication) THEN CREATE PUBLICATION pgvigil FOR ALL TABLES; END IF; END $$").await?;
        Self::watch(cluster, name, database, arguments).await
    }

    pub(crate) async fn watch(cluster: &Cluster, name: &str, database: Database, arguments: &[&str]) -> Result<Self> {
        let pgvigil = Pgvigil::serve(&cluster.url(name), arguments).await?;
        let mut socket = pgvigil.websocket("kinds=change").await?;
        socket.next_of("hello").await?;
        Ok(Scene { database, pgvigil, socket, marks: 0 })
    }

    /// Waits until a table is shown as `row_cache`.
    pub(crate) async fn is(&self, table: &str, row_cache: &str) -> Result<Value> {
        wait_for(&format!("{table} to be {row_cache}"), PATIENCE, async || {
            let shown = self.pgvigil.table(&format!("public.{table}")).await?;
            ensure!(shown["row_cache"] == row_cache, "{shown}");
            Ok(Some(shown))
        })
        .await
    }

    /// The changes that are told of what this does.
    pub(crate) async fn changes(&mut self, sql: &str) -> Result<Vec<Value>> {
        self.database.run(sql).await.with_context(|| sql.to_owned())?;
        self.marks += 1;
        let mark = self.marks;
        self.database.run(&format!("INSERT INTO mark VALUES ({mark})")).await?;
        let is_mark = |event: &Value| event["table"] == "mark" && event["new"]["id"] == mark;
        let mut told = self.socket.until("the mark", is_mark).await?;
        told.pop();
        Ok(told.into_iter().filter(|event| event["type"] == "change").collect())
    }

    /// The only change that is told of what this does.
    pub(crate) async fn change(&mut self, sql: &str) -> Result<Value> {
        let mut told = self.changes(sql).await?;
        ensure!(told.len() == 1, "{told:#?}");
        told.pop().context("one")
    }
}

async fn deletes_and_truncates_tell_whole_rows(cluster: &Cluster, _major: u32) -> Result<()> {
    let tables = "ALTER DATABASE whole SET datestyle = 'German'; ALTER DATABASE whole SET timezone = 'Asia/Kolkata';
        ALTER DATABASE whole SET bytea_output = 'escape'; ALTER DATABASE whole SET extra_float_digits = 0;
        ALTER DATABASE whole SET intervalstyle = 'iso_8601';
        CREATE TABLE plan (id int PRIMARY KEY, gone int, name char(4), at timestamptz, b bytea, f float8, i interval, doc json,
                           twice int GENERATED ALWAYS AS (id * 2) STORED);
        ALTER TABLE plan DROP COLUMN gone;
        CREATE TABLE account (id int PRIMARY KEY, plan int REFERENCES plan);
        CREATE TABLE place (id int PRIMARY KEY, what regclass);
        INSERT INTO plan (id, name, at, b, f, i, doc) SELECT i, 'p', '2026-11-22 14:02:11+00', '\\x00ff', 0.1::float8 + 0.2, '1 day', E'{\\n}'
          FROM generate_series(1, 12) i;
        INSERT INTO account SELECT i, i FROM generate_series(1, 3) i;";
    let mut scene = Scene::set(cluster, "whole", tables, &["--row-cache=1MiB"]).await?;
    for table in ["plan", "account", "mark"] {
        scene.is(table, "full").await?;
    }
    let place = scene.is("place", "off").await?;
    ensure!(place["row_cache_reason"].as_str().is_some_and(|reason| reason.contains("\"what\"")), "{place}");

    let row = |id: u32| json!({"id": id, "name": "p   ", "at": "2026-11-22 14:02:11+00", "b": "\\x00ff", "f": 0.30000000000000004, "i": "1 day", "doc": {}});
    let deleted = scene.change("DELETE FROM plan WHERE id = 12").await?;
    ensure!(deleted["old"] == row(12) && deleted["old_complete"] == true && deleted["key"] == json!({"id": 12}), "{deleted}");
    ensure!(deleted["exact"] == json!({"old": {"doc": "{\n}"}, "new": {}}), "{deleted}");
    let updated = scene.change("UPDATE plan SET id = 100 WHERE id = 11").await?;
    ensure!(updated["old"] == row(11) && updated["old_complete"] == true && updated["new"] == row(100), "{updated}");

    // Within one transaction, each change has what the one before it left; what was rolled back was never there.
    let told = scene
        .changes(
            "BEGIN; UPDATE account SET plan = 2 WHERE id = 1; SAVEPOINT s; UPDATE account SET plan = 3 WHERE id = 1; ROLLBACK TO s; \
             UPDATE account SET plan = 1 WHERE id = 1; DELETE FROM account WHERE id = 1; INSERT INTO account VALUES (1, 7); COMMIT",
        )
        .await?;
    let old: Vec<&Value> = told.iter().map(|change| &change["old"]["plan"]).collect();
    ensure!(old == [&json!(1), &json!(2), &json!(1), &Value::Null], "{told:#?}");

    // Streamed while it runs.
    let told = scene
        .changes(
            "BEGIN; INSERT INTO account SELECT i, 1 FROM generate_series(1000, 3000) i; UPDATE account SET plan = 2 WHERE id >= 1000; \
             DELETE FROM account WHERE id >= 1000; COMMIT",
        )
        .await?;
    let has_old = |change: &Value, operation: &str, plan: u32| change["op"] == operation && change["old"]["plan"] == plan;
    ensure!(told.iter().filter(|change| has_old(change, "update", 1)).count() == 2001);
    ensure!(told.iter().filter(|change| has_old(change, "delete", 2)).count() == 2001);

    let mut told = scene.changes("TRUNCATE plan CASCADE").await?;
    told.sort_by_key(|change| change["table"].to_string());
    let [accounts, plans] = &told[..] else { anyhow::bail!("{told:#?}") };
    ensure!(accounts["old_rows"] == json!([{"id": 1, "plan": 7}, {"id": 2, "plan": 2}, {"id": 3, "plan": 3}]), "{accounts}");
    ensure!(accounts["rows_lost"] == 3 && accounts["count"] == 0 && accounts["exact"].is_null(), "{accounts}");
    let rows: Vec<Value> = (1..11).chain([100]).map(row).collect();
    ensure!(plans["old_rows"] == json!(rows), "by their keys: {plans}");
    ensure!(plans["exact"]["old_rows"] == json!(vec![json!({"doc": "{\n}"}); 11]), "{plans}");
    let empty = scene.change("TRUNCATE account").await?;
    ensure!(empty["old_rows"] == json!([]) && empty["rows_lost"] == 0, "{empty}");
    Ok(())
}

async fn large_values_that_were_not_sent_are_filled_in(cluster: &Cluster, _major: u32) -> Result<()> {
    let tables = "CREATE TABLE page (id int PRIMARY KEY, n int, body text);
        ALTER TABLE page ALTER body SET STORAGE EXTERNAL; INSERT INTO page VALUES (1, 1, repeat('x', 5000)), (2, 2, repeat('y', 5000))";
    let mut scene = Scene::set(cluster, "large", tables, &["--row-cache=1MiB"]).await?;
    scene.is("page", "full").await?;
    let body = Value::from("x".repeat(5000));
    let updated = scene.change("UPDATE page SET n = 5 WHERE id = 1").await?;
    ensure!(
        updated["unchanged"] == json!(["body"]) && updated["new"]["body"] == body && updated["old"]["body"] == body,
        "{updated}"
    );
    let deleted = scene.change("DELETE FROM page WHERE id = 1").await?;
    ensure!(deleted["old"]["body"] == body && deleted["old"]["n"] == 5 && deleted["old_complete"] == true, "{deleted}");
    Ok(())
}

async fn what_is_too_long_is_not_kept(cluster: &Cluster, _major: u32) -> Result<()> {
    let tables = "CREATE TABLE page (id int PRIMARY KEY, n int, body text);
        INSERT INTO page VALUES (1, 1, repeat('x', 5000)), (2, 2, 'short'), (3, 3, NULL)";
    let mut scene = Scene::set(cluster, "long", tables, &["--row-cache=1MiB", "--max-value=1KiB"]).await?;
    scene.is("page", "full").await?;
    let updated = scene.change("UPDATE page SET n = 4 WHERE id = 1").await?;
    ensure!(updated["old"] == json!({"id": 1, "n": 1}) && updated["old_complete"] == false, "{updated}");
    ensure!(updated["cut"]["old"] == json!({"body": 5000}), "{updated}");
    let truncated = scene.change("BEGIN; SAVEPOINT s; TRUNCATE page; ROLLBACK TO s; TRUNCATE page; COMMIT").await?;
    ensure!(truncated["old_rows"].is_null() && truncated["rows_lost"] == 3, "not all is known: {truncated}");

    scene.changes("INSERT INTO page VALUES (1, 1, repeat('z', 2000)), (2, 2, 'short')").await?;
    let updated = scene.change("UPDATE page SET body = 'b' WHERE id = 1").await?;
    ensure!(updated["cut"]["old"] == json!({"body": 2000}) && updated["old_complete"] == false, "{updated}");
    let truncated = scene.change("TRUNCATE page").await?;
    ensure!(truncated["old_rows"].as_array().is_some_and(|rows| rows.len() == 2), "all is known now: {truncated}");
    Ok(())
}

async fn what_grows_too_large_is_dropped_aloud(cluster: &Cluster, _major: u32) -> Result<()> {
    let tables = "CREATE TABLE small (id int PRIMARY KEY, t text); CREATE TABLE grows (id int PRIMARY KEY, t text);
        CREATE TABLE large (id int PRIMARY KEY, t text); INSERT INTO large SELECT i, repeat('x', 100) FROM generate_series(1, 3000) i;
        INSERT INTO small VALUES (1, 'a'); INSERT INTO grows VALUES (1, 'a')";
    let mut scene = Scene::set(cluster, "caps", tables, &["--row-cache=300KiB", "--row-cache-table=100KiB"]).await?;
    for (table, state) in [("small", "full"), ("grows", "full"), ("large", "off")] {
        scene.is(table, state).await?;
    }
    // In the middle of a transaction.
    let told = scene
        .changes("BEGIN; INSERT INTO grows SELECT i, 'x' FROM generate_series(2, 3000) i; DELETE FROM grows WHERE id = 1; COMMIT")
        .await?;
    let deleted = told.last().context("a delete")?;
    ensure!(deleted["old"] == json!({"id": 1}) && deleted["old_complete"] == false, "{deleted}");
    let shown = scene.is("grows", "off").await?;
    ensure!(shown["row_cache_reason"].as_str().is_some_and(|reason| reason.contains("--row-cache-table")), "{shown}");
    ensure!(scene.pgvigil.stderr().contains("the rows of a table are not kept"), "{}", scene.pgvigil.stderr());
    let kept = scene.change("DELETE FROM small").await?;
    ensure!(kept["old"]["t"] == "a", "{kept}");

    wait_for("the metrics of it", PATIENCE, async || {
        let metrics = scene.pgvigil.get("/metrics").await?.text().await?;
        let has = |line: &str| metrics.lines().any(|each| each == line);
        let bytes = metrics.lines().find_map(|line| line.strip_prefix("pgvigil_row_cache_bytes ")).context("bytes")?;
        ensure!(
            has("pgvigil_row_cache_dropped_tables_total 1") && has("pgvigil_row_cache_tables{row_cache=\"off\"} 2"),
            "{metrics}"
        );
        ensure!(has("pgvigil_row_cache_limit_bytes 307200") && bytes.parse::<u64>()? < 20_000, "{metrics}");
        let status = scene.pgvigil.json("/api/v1/status").await?;
        ensure!(status["row_cache"]["limit_bytes"] == 307_200 && status["row_cache"]["tables"] == 2, "{status}");
        ensure!(status["row_cache"]["off"] == 2 && status["row_cache"]["too_large"] == 2, "{status}");
        ensure!(status["row_cache"]["loading"] == 0, "{status}");
        Ok(Some(()))
    })
    .await
}

async fn only_published_columns_are_kept(cluster: &Cluster, major: u32) -> Result<()> {
    if major < 15 {
        return Ok(());
    }
    let tables = "CREATE TABLE person (id int PRIMARY KEY, secret text, name text);
        INSERT INTO person VALUES (1, 's', 'ann'), (2, 's', 'bob');
        CREATE PUBLICATION pgvigil FOR TABLE mark, person (id, name)";
    let mut scene = Scene::set(cluster, "columns", tables, &["--row-cache=1MiB"]).await?;
    scene.is("person", "full").await?;
    let deleted = scene.change("DELETE FROM person WHERE id = 1").await?;
    ensure!(deleted["old"] == json!({"id": 1, "name": "ann"}) && deleted["old_complete"] == true, "{deleted}");
    scene.changes("ALTER PUBLICATION pgvigil SET TABLE mark, person (id, secret)").await?;
    wait_for("the other column to be known", PATIENCE, async || {
        scene.is("person", "full").await?;
        let updated = scene.change("UPDATE person SET secret = secret || 't' WHERE id = 2").await?;
        ensure!(updated["old_complete"] == false || updated["old"]["name"].is_null(), "{updated}");
        Ok((updated["old_complete"] == true).then_some(()))
    })
    .await
}

async fn nothing_is_kept_where_ddl_is_not_told(cluster: &Cluster, _major: u32) -> Result<()> {
    let database = Database::create(cluster, "untold").await?;
    database
        .run("CREATE TABLE mark (id int PRIMARY KEY); CREATE TABLE item (id int PRIMARY KEY, t text); INSERT INTO item VALUES (1, 'a'), (2, 'b'); CREATE PUBLICATION pgvigil FOR ALL TABLES")
        .await?;
    let mut scene = Scene::watch(cluster, "untold", database, &["--row-cache=1MiB", "--reconcile=1s"]).await?;
    let shown = scene.is("item", "off").await?;
    ensure!(shown["row_cache_reason"].as_str().is_some_and(|reason| reason.contains("pgvigil setup")), "{shown}");
    let deleted = scene.change("DELETE FROM item WHERE id = 1").await?;
    ensure!(deleted["old"] == json!({"id": 1}) && deleted["old_complete"] == false, "{deleted}");
    scene.database.run(DDL_MESSAGES).await?;
    scene.is("item", "full").await?;
    let deleted = scene.change("DELETE FROM item WHERE id = 2").await?;
    ensure!(deleted["old"] == json!({"id": 2, "t": "b"}) && deleted["old_complete"] == true, "{deleted}");
    Ok(())
}

async fn nothing_is_kept_once_it_is_cleaned_up(cluster: &Cluster, _major: u32) -> Result<()> {
    let mut database = Database::create(cluster, "cleaned").await?;
    database.run("CREATE TABLE mark (id int PRIMARY KEY); CREATE TABLE item (id int PRIMARY KEY, t text); INSERT INTO item VALUES (1, 'a'), (2, 'b')").await?;
    set_up(&mut database, "--apply").await.1?;
    let mut scene = Scene::watch(cluster, "cleaned", database, &["--row-cache=1MiB"]).await?;
    scene.is("item", "full").await?;
    scene.database.run("DROP EVENT TRIGGER pgvigil_change").await?;
    let shown = scene.is("item", "off").await?;
    ensure!(shown["row_cache_reason"].as_str().is_some_and(|reason| reason.contains("pgvigil setup")), "{shown}");
    let deleted = scene.change("DELETE FROM item WHERE id = 1").await?;
    ensure!(deleted["old"] == json!({"id": 1}), "{deleted}");
    set_up(&mut scene.database, "--apply").await.1?;
    scene.is("item", "full").await?;

    clean_up(&mut scene.database, "--apply").await?;
    let shown = scene.is("item", "off").await?;
    ensure!(shown["row_cache_reason"].as_str().is_some_and(|reason| reason.contains("not streamed")), "{shown}");
    wait_for("the status to say so", PATIENCE, async || {
        let status = scene.pgvigil.json("/api/v1/status").await?;
        let kept = &status["row_cache"];
        Ok((kept["limit_bytes"] == 1 << 20 && kept["bytes"] == 0 && kept["tables"] == 0).then_some(()))
    })
    .await
}

async fn bytes_are_those_of_the_server(cluster: &Cluster, _major: u32) -> Result<()> {
    let postgres = Database::connect(&cluster.url("postgres")).await?;
    postgres.run("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0").await?;
    let database = Database::connect(&cluster.url("latin")).await?;
    let tables = "CREATE TABLE \"Größe\" (\"schlüssel\" text PRIMARY KEY, wert text); INSERT INTO \"Größe\" VALUES ('ä', 'süß\ttab'), ('ö', '')";
    let mut scene = Scene::in_database(cluster, "latin", database, tables, &["--row-cache=1MiB"]).await?;
    scene.is("Größe", "full").await?;
    let truncated = scene.change("TRUNCATE \"Größe\"").await?;
    let rows = json!([{"schlüssel": "ä", "wert": "süß\ttab"}, {"schlüssel": "ö", "wert": ""}]);
    ensure!(truncated["old_rows"] == rows, "{truncated}");
    Ok(())
}

async fn a_lost_connection_is_a_new_beginning(cluster: &Cluster, _major: u32) -> Result<()> {
    let tables = "CREATE TABLE item (id int PRIMARY KEY, t text); INSERT INTO item VALUES (1, 'a'), (2, 'b')";
    let mut scene = Scene::set(cluster, "lost", tables, &["--row-cache=1MiB"]).await?;
    scene.is("item", "full").await?;
    let before = scene.pgvigil.json("/api/v1/status").await?["epoch"].clone();
    scene.database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name = 'pgvigil' AND pid IN (SELECT active_pid FROM pg_replication_slots WHERE database = 'lost')").await?;
    // Nobody sees this.
    scene.database.run("UPDATE item SET t = 'c' WHERE id = 1").await?;
    wait_for("a new epoch", Duration::from_secs(60), async || {
        let status = scene.pgvigil.json("/api/v1/status").await?;
        Ok((status["epoch"] != before && status["state"] == "live").then_some(()))
    })
    .await?;
    scene.is("item", "full").await?;
    let deleted = scene.changes("DELETE FROM item WHERE id = 1").await?;
    let deleted = deleted.last().context("a delete")?;
    ensure!(deleted["old"] == json!({"id": 1, "t": "c"}), "{deleted}");
    Ok(())
}

async fn nothing_is_kept_unless_asked_for(cluster: &Cluster, _major: u32) -> Result<()> {
    let tables = "CREATE TABLE item (id int PRIMARY KEY, t text); INSERT INTO item VALUES (1, 'a')";
    let mut scene = Scene::set(cluster, "off", tables, &[]).await?;
    scene.pgvigil.wait_for_count("public.item", 1).await?;
    let deleted = scene.change("DELETE FROM item").await?;
    ensure!(deleted["old"] == json!({"id": 1}) && deleted["old_complete"] == false, "{deleted}");
    let shown = scene.pgvigil.table("public.item").await?;
    ensure!(shown.get("row_cache").is_none(), "{shown}");
    ensure!(!scene.pgvigil.get("/metrics").await?.text().await?.contains("row_cache"));
    Ok(())
}

/// Without REPLICA IDENTITY FULL, and from TRUNCATE too.
async fn what_was_lost_comes_back(cluster: &Cluster, _major: u32) -> Result<()> {
    let tables = "CREATE TABLE plan (id int PRIMARY KEY, name text, doc json, j jsonb);
        CREATE TABLE account (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, plan int REFERENCES plan ON DELETE CASCADE, n numeric);
        INSERT INTO plan SELECT i, E'it''s ' || i, E'{\\n}', 'null' FROM generate_series(1, 20) i;
        INSERT INTO account (plan, n) SELECT 1 + i % 20, i / 7.0 FROM generate_series(1, 50) i";
    let contents = "SELECT md5((SELECT string_agg(p::text, ',' ORDER BY id) FROM plan p) || (SELECT string_agg(a::text, ',' ORDER BY id) FROM account a))";
    let mut scene = Scene::set(cluster, "undone", tables, &["--row-cache=1MiB"]).await?;
    for table in ["plan", "account"] {
        scene.is(table, "full").await?;
    }
    let before: String = scene.database.value(contents).await?;
    for lost in [
        "TRUNCATE plan CASCADE",
        "BEGIN; UPDATE plan SET name = 'x', doc = '1'; DELETE FROM plan WHERE id < 10; COMMIT",
        "BEGIN; DELETE FROM account WHERE id < 9; UPDATE plan SET name = 'x' WHERE id = 5; TRUNCATE account, plan; COMMIT",
    ] {
        let told = scene.changes(lost).await?;
        // What was told first is what the last one brought back.
        let tx = told.last().and_then(|change| change["tx"]["id"].as_str()).context("a transaction")?;
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pgvigil"));
        command
            .args(["undo", "--url", scene.pgvigil.origin(), "--tx", tx, "--apply", "--yes"])
            .env("DATABASE_URL", cluster.url("undone"));
        let output = tokio::time::timeout(PATIENCE, command.output()).await??;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "{lost}: {said}");
        ensure!(
            scene.database.value::<Option<String>>(contents).await?.as_ref() == Some(&before),
            "{lost}: not all came back: {said}"
        );
    }
    Ok(())
}
