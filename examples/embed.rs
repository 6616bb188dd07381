//! pgvigil as a library: watch a database from within a Rust program, without the server.
//!
//! `cargo run --example embed -- postgresql://user@host/database`: prints the exact counts whenever they change.

use std::time::Duration;

use anyhow::Context;
use pgvigil::connection::Target;
use pgvigil::history;
use pgvigil::pgoutput::ValueLimit;
use pgvigil::pipeline::{Begin, Config, Pipeline};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args().nth(1).context("which database? give its URL")?;
    let config = Config {
        target: Target::resolve(Some(&url), |name| std::env::var(name).ok())?,
        publication: "pgvigil".to_owned(),
        expect_database: None,
        row_cache: None,
        max_value: ValueLimit::default(),
        max_transaction_memory: 64 << 20,
        spill_dir: std::env::temp_dir(),
        begin: Begin::Now,
        streaming: true,
        concurrent_counts: 3,
        reconcile: Duration::from_secs(30),
    };
    let (writer, _history) = history::ring(16 << 20);
    let (pipeline, mut published) = Pipeline::new(config, writer, None);

    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
    });
    tokio::spawn(async move {
        while published.counts.changed().await.is_ok() {
            let counts = published.counts.borrow_and_update().clone();
            for table in &counts.changed {
                let count = table.count.map_or_else(|| format!("{:?}", table.count_state), |count| count.to_string());
                println!("{} {}.{} {count}", counts.lsn, table.schema, table.name);
            }
        }
    });
    pipeline.run(cancel).await.map_err(|error| anyhow::anyhow!("{}", error.advice()))
}
