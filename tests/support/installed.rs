//! `setup` and `cleanup`, run as the command line would have them.

use anyhow::Result;
use clap::Parser;
use pgvigil::commands::cleanup::{CleanupOptions, cleanup};
use pgvigil::commands::setup::{SetupError, SetupOptions, setup};

use super::Database;

#[derive(Parser)]
struct Setup {
    #[command(flatten)]
    options: SetupOptions,
}

#[derive(Parser)]
struct Cleanup {
    #[command(flatten)]
    options: CleanupOptions,
}

/// Runs `setup` with these arguments; gives what it printed.
pub(crate) async fn set_up(database: &mut Database, arguments: &str) -> (String, Result<(), SetupError>) {
    let Setup { options } = Setup::parse_from(["setup"].into_iter().chain(arguments.split_whitespace()));
    let mut out = Vec::new();
    let outcome = setup(database.client(), &options, &mut out).await;
    (String::from_utf8_lossy(&out).into_owned(), outcome)
}

/// Runs `cleanup` with these arguments; gives what it printed.
pub(crate) async fn clean_up(database: &mut Database, arguments: &str) -> Result<String> {
    let Cleanup { options } = Cleanup::parse_from(["cleanup"].into_iter().chain(arguments.split_whitespace()));
    let mut out = Vec::new();
    cleanup(database.client(), &options, &mut out).await?;
    Ok(String::from_utf8(out)?)
}
