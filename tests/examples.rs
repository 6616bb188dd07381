//! The examples do what they say, each as its own reader would run it, against the real thing.

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use support::{DDL_MESSAGES, Database, PATIENCE, Pgvigil, a_major, cluster};

/// A running example: killed when dropped.
struct Example {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Example {
    fn start(command: &mut Command) -> Result<Self> {
        let command = command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let stdout = child.stdout.take().context("its standard output")?;
        Ok(Example { _child: child, lines: BufReader::new(stdout).lines() })
    }

    /// Reads until a line has `text` in it.
    async fn says(&mut self, text: &str) -> Result<String> {
        let search = async {
            while let Some(line) = self.lines.next_line().await? {
                if line.contains(text) {
                    return Ok(line);
                }
            }
            anyhow::bail!("it ended without saying {text:?}")
        };
        timeout(PATIENCE, search).await.with_context(|| format!("it never said {text:?}"))?
    }
}

async fn users(database: &Database) -> Result<()> {
    database
        .run(
            "CREATE TABLE \"User\" (id int PRIMARY KEY, name text); INSERT INTO \"User\" VALUES (1, 'Ann'), (2, 'Ben'), (3, 'Cleo'); \
             CREATE PUBLICATION pgvigil FOR ALL TABLES",
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_py_prints_what_is_deleted_and_what_is_left() -> Result<()> {
    let server = cluster(a_major()).await?;
    let database = Database::create(&server, "app").await?;
    users(&database).await?;
    database.run(DDL_MESSAGES).await?;
    let pgvigil = Pgvigil::serve(&server.url("app"), &[]).await?;
    pgvigil.wait_for_count("public.User", 3).await?;

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deletes.py");
    let mut example = Example::start(Command::new("python3").arg(script).arg(pgvigil.origin()).arg("public.User"))?;
    example.says("watching app from").await?;
    database.run("DELETE FROM \"User\" WHERE id = 2").await?;
    example.says("User {'id': 2} deleted: 2 rows left").await?;
    database.run("TRUNCATE \"User\"").await?;
    example.says("User truncated: 2 rows lost").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn embed_rs_prints_exact_counts() -> Result<()> {
    let server = cluster(a_major()).await?;
    let database = Database::create(&server, "app").await?;
    users(&database).await?;

    // Built beside this test.
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_pgvigil")).with_file_name("examples").join("embed");
    let mut example = Example::start(Command::new(binary).arg(server.url("app")))?;
    example.says("public.User 3").await?;
    database.run("INSERT INTO \"User\" VALUES (4, 'Dora')").await?;
    example.says("public.User 4").await?;
    Ok(())
}
