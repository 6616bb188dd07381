//! The `pgvigil` command: parses its arguments, runs one of the commands, and turns how it ended into an exit code.

use std::io::Write;
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
            // Where nobody can be told, the exit code still tells.
            drop(writeln!(std::io::stderr(), "{failure}"));
            failure.exit_code()
        }
    }
}
