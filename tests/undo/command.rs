//! `pgvigil undo` at the command line, and the same text in psql.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::support::{Database, PATIENCE, a_major, cluster};
use crate::undone::{Scene, same};

const SCHEMA: &str = "
    CREATE TABLE parent (id int PRIMARY KEY, v text);
    CREATE TABLE child (id int PRIMARY KEY, parent int NOT NULL REFERENCES parent ON DELETE CASCADE);
    CREATE TABLE by_key (id int PRIMARY KEY, v text);
    ALTER TABLE parent REPLICA IDENTITY FULL;
    ALTER TABLE child REPLICA IDENTITY FULL;
    CREATE PUBLICATION pgvigil FOR ALL TABLES;
    INSERT INTO parent SELECT i, E'it''s \\\\ :name $1 %\\n' || i FROM generate_series(1, 3) i;
    INSERT INTO child SELECT i, 1 + i % 3 FROM generate_series(1, 9) i;
    INSERT INTO by_key VALUES (1, 'one')";

/// Exit code, standard output, standard error.
pub(crate) async fn undo(scene: &Scene, url: &str, arguments: &[&str]) -> Result<(i32, String, String)> {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pgvigil"));
    command.args(["undo", "--url", scene.pgvigil.origin()]).args(arguments).env("DATABASE_URL", url).stdin(Stdio::null());
    let output = tokio::time::timeout(PATIENCE, command.output()).await??;
    let code = output.status.code().context("an exit code")?;
    Ok((code, String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_prints_and_applies_after_a_dry_run() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let scene = Scene::set(&cluster, "command", SCHEMA).await?;
    let before = scene.contents(None).await?;
    let tx = scene.transaction("DELETE FROM parent WHERE id < 3").await?;
    let after = scene.contents(None).await?;

    let (code, printed, _) = undo(&scene, &scene.url, &["--tx", &tx]).await?;
    ensure!(
        code == 0 && printed.contains("-- 8 of 8 rows can be brought back.") && printed.ends_with("COMMIT;\n"),
        "{code} {printed}"
    );
    let (code, json, _) = undo(&scene, &scene.url, &["--tx", &tx, "--json"]).await?;
    ensure!(code == 0 && serde_json::from_str::<serde_json::Value>(&json)?["coverage"]["rows"] == 8, "{code} {json}");

    // Nobody is there to agree.
    let (code, shown, said) = undo(&scene, &scene.url, &["--tx", &tx, "--apply"]).await?;
    ensure!(code == 1 && shown.contains("A dry run") && said.contains("--yes"), "{code} {shown} {said}");
    same(&scene.contents(None).await?, &after)?;

    Database::create(&cluster, "another").await?;
    let (code, _, said) = undo(&scene, &cluster.url("another"), &["--tx", &tx, "--apply", "--yes"]).await?;
    ensure!(code == 3 && said.contains("nothing was changed"), "{code} {said}");

    let (code, shown, said) = undo(&scene, &scene.url, &["--tx", &tx, "--apply", "--yes"]).await?;
    ensure!(code == 0 && shown.ends_with("Done.\n"), "{code} {shown} {said}");
    same(&scene.contents(None).await?, &before)?;

    scene.told_all().await?;
    let (code, shown, said) = undo(&scene, &scene.url, &["--tx", &tx, "--apply"]).await?;
    ensure!(
        code == 0 && shown.contains("8 are as they were already") && shown.ends_with("Nothing is left to be changed.\n"),
        "{code} {shown} {said}"
    );

    scene.database.run("UPDATE parent SET v = 'since' WHERE id = 1").await?;
    let (code, shown, said) = undo(&scene, &scene.url, &["--tx", &tx, "--apply", "--yes"]).await?;
    ensure!(
        code == 7
            && said.trim_end() == "pgvigil: not all of it can be brought back: see above"
            && shown.contains("1 row not: changed later, and left alone (by "),
        "{code} {shown} {said}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_brought_back_is_its_exit_code() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let scene = Scene::set(&cluster, "partly", SCHEMA).await?;
    let tx = scene.transaction("DELETE FROM by_key; DELETE FROM child WHERE id = 1").await?;
    let (code, printed, said) = undo(&scene, &scene.url, &["--tx", &tx]).await?;
    ensure!(code == 7 && said.contains("REPLICA IDENTITY FULL") && printed.contains("1 of 2 rows"), "{code} {printed} {said}");
    let (code, _, said) = undo(&scene, &scene.url, &["--tx", "k3-0-1"]).await?;
    ensure!(code == 1 && said.contains("no such transaction"), "{code} {said}");
    let (code, _, said) = undo(&scene, &scene.url, &["--tx", &tx, "--table", "Child"]).await?;
    ensure!(code == 1 && said.contains(r#"There is no table public."Child". Is it public.child?"#), "{code} {said}");
    let (code, _, said) = undo(&scene, &scene.url, &["--since", "yesterday"]).await?;
    ensure!(code == 2 && said.contains("how long ago such as 10m"), "{code} {said}");
    let (code, _, said) = undo(&scene, &scene.url, &[]).await?;
    ensure!(code == 2 && said.contains("--tx <ID>|--since <BOUND>"), "{code} {said}");
    let (code, printed, said) = undo(&scene, &scene.url, &["--since", "-5m", "--until", "0m", "--table", "child"]).await?;
    ensure!(code == 7 && printed.contains("1 of 1 row can be brought back"), "{code} {printed} {said}");
    // What was changed before the history begins is not known.
    let (code, _, said) = undo(&scene, &scene.url, &["--since", "2020-01-01T00:00:00Z", "--table", "child"]).await?;
    ensure!(code == 7 && said.contains("may not reach back"), "{code} {said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_runs_the_same_text() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let scene = Scene::set(&cluster, "psql", SCHEMA).await?;
    let before = scene.contents(None).await?;
    let tx = scene.transaction("DELETE FROM parent WHERE id < 3; UPDATE parent SET v = NULL").await?;
    scene.database.run("UPDATE parent SET v = 'since' WHERE id = 3").await?;
    let sql = scene.undo(&tx).await?["sql"].as_str().context("sql")?.to_owned();
    let mut psql = Command::new("psql")
        .args(["-X", "-v", "ON_ERROR_STOP=1", "-v", "name=oops", &scene.url])
        .env("PGOPTIONS", "-c standard_conforming_strings=off -c datestyle=german")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    psql.stdin.take().context("its standard input")?.write_all(sql.as_bytes())?;
    let output = psql.wait_with_output()?;
    let (shown, said) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    ensure!(
        output.status.success()
            && said.contains("WARNING:  pgvigil undo: rows in conflict with what was done since, and left alone: 1"),
        "{shown} {said}"
    );
    ensure!(shown.contains("in_conflict"), "{shown}");
    scene.database.run("UPDATE parent SET v = E'it''s \\\\ :name $1 %\\n3' WHERE id = 3").await?;
    same(&scene.contents(None).await?, &before)
}
