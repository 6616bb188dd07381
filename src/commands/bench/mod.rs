//! `pgvigil bench`: measures this build on this machine, beside `pg_recvlogical` in the same run.
//!
//! Wall times of one machine say little; ratios within one run do. So every round drains the same backlog with `pg_recvlogical` and with
//! pgvigil in turn, from copies of one slot, and the ratios are given. pgvigil runs with everything on (exact counts, JSON, history, one
//! WebSocket subscriber that receives all of it), as a process of its own, so that its CPU time and memory are its own too.

mod attribution;
mod drain;
mod fanout;
mod latency;
mod process;
mod report;
mod start;
mod subject;
mod workload;

use std::path::PathBuf;

use clap::Args;
use tokio_util::sync::CancellationToken;

use self::report::Report;
use self::workload::Workload;
use super::Failure;
use crate::cluster::{Binaries, Cluster, Options};

pub use subject::{SubjectArgs, run as run_subject};

/// A measurement that came to nothing.
#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error("the measured database: {0}")]
    Sql(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("pgbench: {0}")]
    Pgbench(String),
    #[error("setup: {0}")]
    Setup(String),
    #[error("pg_recvlogical: {0}")]
    PgRecvlogical(String),
    #[error("the measured process: {0}")]
    Subject(&'static str),
    #[error("the stream: {0}")]
    Stream(String),
    #[error("{received} changes were received of {expected}")]
    Changes { expected: u64, received: u64 },
    #[error("{shown} rows were shown where there are {expected}")]
    Count { expected: i64, shown: i64 },
}

/// What to measure.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// What to measure; all of it when nothing is named
    #[arg(value_enum)]
    parts: Vec<Part>,

    /// The folder of PostgreSQL's programs, pg_recvlogical and pgbench among them
    #[arg(long, env = "PGVIGIL_PG_BIN", value_name = "DIR")]
    pg_bin: Option<PathBuf>,

    /// Each drain is repeated this often
    #[arg(long, env = "PGVIGIL_BENCH_ROUNDS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    rounds: u32,

    /// The size of everything, relative to the usual: 0.01 shows in seconds that it works
    #[arg(long, env = "PGVIGIL_BENCH_SCALE", default_value_t = 1.0, value_name = "FACTOR")]
    scale: f64,

    /// One JSON object instead of tables
    #[arg(long)]
    json: bool,
}

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Reading a backlog
    Drain,
    /// Until all counts are exact, and idleness
    Start,
    /// From COMMIT to a client
    Latency,
    /// To many clients
    Fanout,
    /// What telling who did it costs the application
    Attribution,
}

impl BenchArgs {
    fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    fn scaled(&self, usual: u32) -> u32 {
        // Between 10 and 4 billion, whatever the factor.
        (f64::from(usual) * self.scale).clamp(10.0, f64::from(u32::MAX)) as u32
    }
}

/// Measures, and prints what it found.
pub async fn run(args: BenchArgs, cancel: CancellationToken) -> Result<(), Failure> {
    let Some(report) = cancel.run_until_cancelled(measure(&args)).await else { return Ok(()) };
    let report = report?;
    if args.json {
        println!("{}", report.json())
    } else {
        println!("{report}")
    }
    Ok(())
}

async fn measure(args: &BenchArgs) -> Result<Report, Failure> {
    let mut report = Report::of_this_machine(args.scale, args.rounds);
    if [Part::Drain, Part::Start, Part::Latency, Part::Attribution].into_iter().any(|part| args.wants(part)) {
        let binaries = Binaries::find(args.pg_bin.as_deref()).map_err(|error| Failure::with_code(5, error))?;
        let options = Options { password: None, ..Options::default() };
        let cluster = Cluster::start(&binaries, options).await.map_err(Failure::other)?;
        if args.wants(Part::Start) {
            eprintln!("counting many small tables …");
            report.start = Some(start::measure(&cluster, args.scaled(500)).await.map_err(Failure::other)?);
        }
        if args.wants(Part::Drain) {
            let (small, rows, huge) = (args.scaled(150_000), args.scaled(1_000_000), args.scaled(3_000_000));
            for workload in [Workload::Small { transactions: small }, Workload::Bulk { rows }, Workload::Huge { rows: huge }] {
                eprintln!("preparing {workload} …");
                let backlog = workload.prepare(&cluster).await.map_err(Failure::other)?;
                for round in 1..=args.rounds {
                    eprintln!("draining {workload}, round {round} of {} …", args.rounds);
                    report.drained(&workload, drain::round(&cluster, &backlog).await.map_err(Failure::other)?);
                }
                backlog.discard(&cluster).await.map_err(Failure::other)?;
            }
        }
        if args.wants(Part::Latency) {
            eprintln!("measuring the time from COMMIT to client …");
            report.latency = Some(latency::measure(&cluster, args.scaled(3000)).await.map_err(Failure::other)?);
        }
        if args.wants(Part::Attribution) {
            eprintln!("running pgbench with and without attribution …");
            let seconds = (5.0 * args.scale).clamp(1.0, 600.0) as u32;
            report.attribution = attribution::measure(&cluster, args.rounds, seconds).await.map_err(Failure::other)?;
        }
    }
    if args.wants(Part::Fanout) {
        for clients in [1, 100, 1000] {
            eprintln!("sending to {clients} clients …");
            report.fanout.push(fanout::measure(clients, args.scaled(3_000_000)).await.map_err(Failure::other)?);
        }
    }
    Ok(report)
}
