//! Questions to the history: by transaction, by who did it, by key, by text; and what is answered about what is not there any more.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use pgvigil::cluster::Cluster;
use pgvigil::history::journal::Watched;
use pgvigil::lsn::{Lsn, Oid};
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::history::write_journal;
use crate::serve;
use crate::support::{Database, PATIENCE, Pgvigil, a_major, cluster, set_up, wait_for};

const SCHEMA: &str = "
    CREATE TABLE person (id int PRIMARY KEY, email text, doc jsonb);
    ALTER TABLE person REPLICA IDENTITY FULL;
    CREATE TABLE pair (a int, b text, PRIMARY KEY (a, b));
    CREATE PUBLICATION pgvigil FOR ALL TABLES";

/// What is told, newest first.
async fn told(pgvigil: &Pgvigil, question: &str) -> Result<Vec<Value>> {
    let page = pgvigil.json(&format!("/api/v1/events?{question}")).await?;
    let events = page["events"].as_array().context("events")?;
    // A gap is told to everybody.
    Ok(events.iter().filter(|event| event["type"] != "gap").cloned().collect())
}

fn ids(events: &[Value]) -> Vec<i64> {
    events.iter().filter_map(|event| event["key"]["id"].as_i64()).collect()
}

async fn are_answered(pgvigil: &Pgvigil, xid: i64) -> Result<()> {
    ensure!(ids(&told(pgvigil, "key=id%3D7").await?) == [7, 7, 70_000, 7]);
    ensure!(told(pgvigil, "key=id%3D07").await?.is_empty());
    ensure!(told(pgvigil, "key=id%3D7&op=delete").await?.len() == 1);
    // The update that gave it that key, and the one that took it away.
    ensure!(told(pgvigil, "key=id%3D70000").await?.len() == 2);
    ensure!(told(pgvigil, "key=a%3D1&key=b%3Dx%2Cy").await?.len() == 1);
    ensure!(told(pgvigil, "key=a%3D1&key=b%3Dz").await?.is_empty());
    // In a row, in a document in one, in a statement; never in a column's name.
    ensure!(ids(&told(pgvigil, "text=P4711%40EXAMPLE").await?) == [4711]);
    ensure!(ids(&told(pgvigil, "text=needle").await?) == [4712]);
    ensure!(told(pgvigil, "text=email&kinds=change").await?.is_empty());
    let statement = told(pgvigil, "text=delete%20from%20person%20where%20id%20%3D%207&kinds=commit").await?;
    ensure!(statement.len() == 1, "statement: {statement:?} of {:?}", told(pgvigil, "kinds=commit").await?);
    let altered = told(pgvigil, "text=add%20age&kinds=ddl").await?;
    ensure!(altered.len() == 1, "ddl: {altered:?}");
    let transaction = told(pgvigil, &format!("xid={xid}")).await?;
    ensure!(transaction.len() == 2 && transaction.iter().all(|event| event["tx"]["xid"] == xid), "{transaction:?}");
    let by = told(pgvigil, "actor=the-importer&kinds=commit").await?;
    ensure!(by.len() == 1, "by: {by:?}");
    ensure!(told(pgvigil, "actor=nobody").await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_is_found_in_memory_and_on_disk() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let mut database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    set_up(&mut database, "--apply --attribute insert,update,delete,truncate").await.1?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let mut pgvigil = serve(&url, dir.path(), &["--history-memory", "64MiB"]).await?;
    pgvigil.wait_for_count("public.person", 0).await?;
    database.run("SET application_name = 'the-importer'; INSERT INTO person SELECT i, 'p' || i || '@example.org' FROM generate_series(1, 9000) i; SET application_name = 'psql'").await?;
    database.run("UPDATE person SET doc = '{\"in\":[\"a Needle\"]}' WHERE id = 4712").await?;
    database.run("INSERT INTO pair VALUES (1, 'x,y'), (1, 'z2')").await?;
    database.run("ALTER TABLE person ADD age int").await?;
    database.run("UPDATE person SET id = 70000 WHERE id = 7").await?;
    database.run("UPDATE person SET id = 7 WHERE email = 'p7@example.org'").await?;
    database.run("DELETE FROM person WHERE id = 7").await?;
    let deleted = wait_for("the delete", PATIENCE, async || Ok(told(&pgvigil, "op=delete&kinds=change").await?.pop())).await?;
    let xid = deleted["tx"]["xid"].as_i64().context("an xid")?;
    are_answered(&pgvigil, xid).await?;
    // So much follows that of what was asked for it is put down which texts may stand where.
    database.run("INSERT INTO person SELECT i, (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 60) j) FROM generate_series(100001, 103000) i").await?;
    pgvigil.wait_for_count("public.person", 11_999).await?;
    ensure!(pgvigil.stop().await?.success());
    // Nothing is in memory now.
    are_answered(&serve(&url, dir.path(), &["--history-memory", "1MiB"]).await?, xid).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_kept_is_no_empty_list() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let before: String =
        database.value("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')").await?;
    let pgvigil = Pgvigil::serve(&cluster.url("app"), &["--history-memory", "1MiB"]).await?;
    database.run("INSERT INTO person VALUES (1, 'first')").await?;
    let first = wait_for("the row", PATIENCE, async || Ok(told(&pgvigil, "op=insert&kinds=change").await?.pop())).await?;
    // All of it is here: what was before pgvigil came it says it does not know.
    let page = pgvigil.json("/api/v1/events?op=insert&kinds=change").await?;
    ensure!(page["begins"]["cut"] == false && page["begins"]["time"].is_string() && page["next"].is_null(), "{page}");
    let answer = pgvigil.get(&format!("/api/v1/events?until={before}")).await?;
    ensure!(answer.status() == StatusCode::GONE, "{}", answer.text().await?);
    let time = first["tx"]["time"].as_str().context("a time")?;
    let page = pgvigil.json(&format!("/api/v1/events?since={time}&op=insert&kinds=change")).await?;
    ensure!(page["begins"].is_null() && page["events"].as_array().is_some_and(|events| events.len() == 1), "{page}");
    // More comes than is kept.
    let id = first["tx"]["id"].as_str().context("an id")?;
    wait_for("the first to go", PATIENCE, async || {
        database.run("UPDATE person SET email = repeat('x', 10000) FROM generate_series(1, 100)").await?;
        database
            .run("INSERT INTO pair SELECT 1, g || repeat('x', 1000) FROM generate_series(1, 500) g; DELETE FROM pair")
            .await?;
        Ok((pgvigil.get(&format!("/api/v1/transactions/{id}")).await?.status() == StatusCode::GONE).then_some(()))
    })
    .await?;
    let lsn = first["tx"]["lsn"].as_str().context("an lsn")?;
    is_said(
        &pgvigil,
        &[format!("until={time}"), format!("until={lsn}"), format!("before={}", first["id"].as_str().context("an id")?)],
    )
    .await
}

/// What was asked for is no longer kept; and that what is kept is not all, whoever asks for more is told.
async fn is_said(pgvigil: &Pgvigil, gone: &[String]) -> Result<()> {
    let page = pgvigil.json("/api/v1/events?table=public.nothing").await?;
    ensure!(page["begins"]["cut"] == true && page["begins"]["id"].is_string(), "{page}");
    for question in gone {
        let answer = pgvigil.get(&format!("/api/v1/events?{question}")).await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == StatusCode::GONE && text.contains("--keep"), "{question}: {text}");
    }
    let url = format!("{}/api/v1/events?limit=1", pgvigil.origin());
    let lines = reqwest::Client::new().get(url).header("accept", "application/x-ndjson").send().await?.text().await?;
    let gap: Value = serde_json::from_str(lines.lines().next().context("a line")?)?;
    ensure!(gap["type"] == "gap" && gap["reason"] == "evicted" && gap["from"].is_null(), "{gap}");
    Ok(())
}

/// Watches a database of which files were recorded, the oldest of them gone.
async fn recorded() -> Result<(Cluster, TempDir, Pgvigil)> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    let dir = TempDir::new()?;
    let system_identifier = database.value("SELECT system_identifier::text FROM pg_control_system()").await?;
    let oid: u32 = database.value("SELECT oid FROM pg_database WHERE datname = 'app'").await?;
    write_journal(dir.path(), &Watched { system_identifier, database: Oid(oid), name: "app".to_owned() }, 60)?;
    let pgvigil = serve(&cluster.url("app"), dir.path(), &[]).await?;
    Ok((cluster, dir, pgvigil))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_on_disk_is_no_empty_list() -> Result<()> {
    let (_cluster, _dir, pgvigil) = recorded().await?;
    is_said(&pgvigil, &["until=2000-01-01T00:00:00Z".to_owned(), "until=0/64".to_owned(), "before=k3.0-64.2".to_owned()]).await?;
    // A time at which nothing was recorded is none of which nothing is kept.
    let page = pgvigil.json("/api/v1/events?since=2001-01-01T00:00:00Z&op=delete&kinds=change").await?;
    ensure!(page["begins"].is_null() && page["unread"].is_null(), "{page}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_no_empty_list() -> Result<()> {
    let (_cluster, dir, pgvigil) = recorded().await?;
    let page = pgvigil.json("/api/v1/events?op=insert&limit=1000").await?;
    ensure!(page["unread"].is_null(), "{page}");
    let files = journal_files(dir.path())?;
    let damaged = files.get(1).context("a file")?;
    let mut bytes = std::fs::read(damaged)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(damaged, bytes)?;
    let page = pgvigil.json("/api/v1/events?op=insert&limit=1000").await?;
    ensure!(page["unread"].as_str().is_some_and(|said| said.contains("journal")), "{page}");
    // Who asks for what cannot stand there has it all, since that is not read: also line by line.
    let newest = pgvigil.json("/api/v1/events?op=insert&limit=1").await?;
    let (xid, time) = (&newest["events"][0]["new"]["id"], "2000-01-01T00:00:00.000060Z");
    for question in [format!("xid={xid}"), format!("since={time}"), "op=delete".to_owned()] {
        let gaps = lines(&pgvigil, &question).await?.into_iter().filter(|event| event["reason"] == "damaged").count();
        ensure!(gaps == 0, "{question}: {gaps} gaps");
    }
    let gaps = lines(&pgvigil, "op=insert").await?.into_iter().filter(|event| event["reason"] == "damaged").count();
    ensure!(gaps == 1, "{gaps} gaps");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_in_the_midst_is_no_empty_list_and_no_count() -> Result<()> {
    let (cluster, dir, mut pgvigil) = recorded().await?;
    let (all, unread) = rows(&pgvigil, "limit=1000").await?;
    ensure!(unread.is_none(), "{unread:?}");
    pgvigil.stop().await?;
    let mut files = journal_files(dir.path())?;
    ensure!(files.len() > 3, "{files:?}");
    std::fs::remove_file(files.remove(1))?;
    let pgvigil = serve(&cluster.url("app"), dir.path(), &[]).await?;
    let said = format!("between {} and {} something is missing", files[0].display(), files[1].display());
    ensure!(pgvigil.stderr().contains(&said), "{}", pgvigil.stderr());
    let (rest, unread) = rows(&pgvigil, "limit=1000").await?;
    ensure!(unread.is_some_and(|unread| unread.contains("pgvigil history verify tells more")));
    ensure!(rest.len() < all.len() && rest.first() == all.first() && rest.last() == all.last(), "{rest:?} of {all:?}");
    for id in &all {
        let (lsn, is_there) = (Lsn(id * 100), rest.contains(id));
        let (found, unread) = rows(&pgvigil, &format!("since={lsn}&until={}", Lsn(lsn.0 + 1))).await?;
        ensure!((found.is_empty(), unread.is_none()) == (!is_there, is_there), "{lsn}: {found:?} {unread:?}");
        let answer = pgvigil.get(&format!("/api/v1/tables?at={lsn}")).await?;
        let (status, text) = (answer.status(), answer.text().await?);
        let is_said = status == StatusCode::GONE && text.contains("is missing in");
        ensure!((status == StatusCode::OK, is_said) == (is_there, !is_there), "{lsn}: {text}");
    }
    Ok(())
}

/// The rows that were inserted, newest first; and what is said of what cannot be read.
async fn rows(pgvigil: &Pgvigil, question: &str) -> Result<(Vec<u64>, Option<String>)> {
    let page = pgvigil.json(&format!("/api/v1/events?op=insert&{question}")).await?;
    let rows = page["events"].as_array().context("events")?.iter().filter_map(|event| event["new"]["id"].as_u64());
    Ok((rows.collect(), page["unread"].as_str().map(str::to_owned)))
}

/// Oldest first.
fn journal_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<_> = std::fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "journal"));
    files.sort();
    Ok(files)
}

/// The answer as lines, oldest first.
async fn lines(pgvigil: &Pgvigil, question: &str) -> Result<Vec<Value>> {
    let url = format!("{}/api/v1/events?{question}", pgvigil.origin());
    let lines = reqwest::Client::new().get(url).header("accept", "application/x-ndjson").send().await?.text().await?;
    Ok(lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// Keys of all kinds: what stands in a file to be passed by, and what a question asks for, are the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_found_by_whatever_key_it_has() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run("CREATE TABLE odd (\"the \"\"k\" text, n numeric, b bytea, t timestamptz, at boolean, PRIMARY KEY (\"the \"\"k\", n, b, t, at)); CREATE PUBLICATION pgvigil FOR ALL TABLES").await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let mut pgvigil = serve(&url, dir.path(), &[]).await?;
    pgvigil.wait_for_count("public.odd", 0).await?;
    let long = "ä\u{1F600}\"".repeat(60);
    let texts = ["", "\"", "a\\b\"c", "\u{1}\t\n\r\u{7f}", "Größe \u{1F600}", "null", "7", "a=b&c,d", &long];
    for (number, text) in texts.iter().enumerate() {
        let quoted = text.replace('\'', "''");
        database.run(&format!("INSERT INTO odd VALUES ('{quoted}', {number}.50, '\\x0{number}ff', '2026-01-01Z', true)")).await?;
    }
    database.run("INSERT INTO odd VALUES ('not', 'NaN', '', 'infinity', false)").await?;
    // What a key was, it is found by too.
    database.run("UPDATE odd SET \"the \"\"k\" = \"the \"\"k\" || '!'").await?;
    pgvigil.wait_for_count("public.odd", i64::try_from(texts.len())? + 1).await?;
    let find = async |pgvigil: &Pgvigil, keys: &[String]| {
        let pairs = keys.iter().map(|key| ("key", key.as_str())).chain([("kinds", "change")]);
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/events", pgvigil.origin()), pairs)?;
        let page: Value = reqwest::get(url).await?.json().await?;
        let events = page["events"].as_array().with_context(|| page.to_string())?;
        anyhow::Ok(events.iter().filter(|event| event["type"] == "change").count())
    };
    for restarted in [false, true] {
        if restarted {
            ensure!(pgvigil.stop().await?.success());
            pgvigil = serve(&url, dir.path(), &[]).await?;
        }
        for (number, text) in texts.iter().enumerate() {
            let others = [format!("n={number}.50"), format!("b=\\x0{number}ff"), "at=true".to_owned()];
            for (name, expected) in [((*text).to_owned(), 2), (format!("{text}!"), 1), (format!("{text}?"), 0)] {
                let keys = [&[format!("the \"k={name}")], &others[..]].concat();
                let found = find(&pgvigil, &keys).await?;
                ensure!(found == expected, "{keys:?}: {found}, not {expected}; restarted: {restarted}");
            }
        }
        let found = find(&pgvigil, &["n=NaN".to_owned(), "t=infinity".to_owned(), "b=\\x".to_owned()]).await?;
        ensure!(found == 2, "{found}");
    }
    Ok(())
}
