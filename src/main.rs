//! The `pgvigil` command: parses its arguments, runs one of the commands, and turns how it ended into an exit code.

use std::process::ExitCode;

use clap::Parser;
use pgvigil::commands::Command;

/// Exact live row counts and every change of a PostgreSQL database, from one logical replication slot.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    match command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}
