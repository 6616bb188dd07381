//! `pgvigil alerts`, and what `serve` makes of a file that is not good.

use anyhow::{Result, ensure};
use tokio::process::Command;
use tokio::time::timeout;

use crate::receiver::{Manner, Receiver};
use crate::scene::file;
use crate::support::PATIENCE;

/// Runs a command to its end: whether it was good, and what it printed.
async fn run(arguments: &[&str]) -> Result<(bool, String, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgvigil"));
    command.args(arguments).env("DATABASE_URL", "postgresql://127.0.0.1:1/none").kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await??;
    let text = |bytes| String::from_utf8(bytes);
    Ok((output.status.success(), text(output.stdout)?, text(output.stderr)?))
}

#[tokio::test]
async fn a_test_goes_to_every_webhook_and_tells_what_came_of_it() -> Result<()> {
    let good = Receiver::start(Manner::Answer(204, "")).await?;
    let bad = Receiver::start(Manner::Answer(403, "")).await?;
    let one = |name: &str, url: String| format!("[[webhook]]\nname = \"{name}\"\nurl = \"{url}\"\nseverity = \"critical\"\n");
    let (_folder, path) = file(&(one("good", good.url("/")) + &one("bad", bad.url("/")) + &one("unset", "nonsense".to_owned())))?;
    let (success, printed, said) = run(&["alerts", "test", "--alerts", &path]).await?;
    ensure!(!success, "one was not taken");
    let lines: Vec<_> = printed.lines().collect();
    ensure!(lines[..2] == ["good: taken", "bad: FAILED: refused with 403; is the secret the right one?"], "{printed}");
    ensure!(lines[2].starts_with("unset: FAILED: webhook \"unset\": its address is not a URL"), "{printed}");
    ensure!(said.contains("2 of 3 webhooks did not take it"), "{said}");
    ensure!(good.received()[0].json()?["rule"] == "test");

    let (_folder, path) = file(&one("good", good.url("/")))?;
    ensure!(run(&["alerts", "test", "--alerts", &path]).await?.0);
    Ok(())
}

#[tokio::test]
async fn a_file_is_checked() -> Result<()> {
    let (success, printed, _) = run(&["alerts", "check"]).await?;
    ensure!(success && printed.contains("kind = \"count_zero\""), "{printed}");
    // What it prints is a file.
    let (_folder, path) = file(&printed)?;
    let (success, printed, said) = run(&["alerts", "check", &path]).await?;
    ensure!(success && printed.lines().next() == Some("rule     critical  count_zero"), "{printed}{said}");

    // As `serve` would not begin with it.
    let webhooks = "[[webhook]]\nname = \"ops\"\nurl = \"https://ops.example.org/in?token=secret\"\n\
        [[webhook]]\nname = \"slack\"\nurl = \"hooks.slack.example/services/secret\"\nformat = \"slack\"\n";
    let (_folder, path) = file(webhooks)?;
    let (success, printed, said) = run(&["alerts", "check", &path]).await?;
    ensure!(!success && said.contains("webhook \"slack\": its address is not a URL"), "{said}");
    ensure!(printed.contains("ops (to ops.example.org)") && !(printed + &said).contains("secret"), "{said}");

    let (_folder, path) = file("[[rule]]\nkind = \"count_zero\"\nfrom_row = 3\n")?;
    for arguments in [&["alerts", "check", &path][..], &["serve", "--listen", "127.0.0.1:0", "--alerts", &path]] {
        let (success, _, said) = run(arguments).await?;
        ensure!(!success && said.contains("line 3") && said.contains("`from_rows`"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_place_is_one_that_is_known_here() -> Result<()> {
    let (_folder, path) = file("timezone = \"Europe/Berlin\"\nquiet_hours = [\"22:00-07:00\"]\n")?;
    let (success, _, said) = run(&["alerts", "check", &path]).await?;
    ensure!(success, "{said}");
    let (_folder, path) = file("timezone = \"Europe/Nowhere\"\n")?;
    let (success, _, said) = run(&["alerts", "check", &path]).await?;
    ensure!(!success && said.contains("Europe/Nowhere"), "{said}");
    Ok(())
}
