//! How soon every count is exact in a database of many small tables, and what it costs to watch it while nothing happens.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::Message;

use super::BenchError;
use super::process::{cpu, resident_memory, wake_ups};
use super::subject::Subject;
use super::workload::connect;
use crate::cluster::Cluster;

/// For how long nothing happens.
const IDLE: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) tables: u32,
    /// From the order to connect until all counts are exact.
    pub(super) exact: Duration,
    /// On a CPU in a second of idleness.
    pub(super) idle_cpu: Option<Duration>,
    /// In a second of idleness, all threads together.
    pub(super) idle_wake_ups: Option<f64>,
    /// In bytes, resident.
    pub(super) memory: Option<u64>,
}

/// Measures with so many tables.
pub(super) async fn measure(cluster: &Cluster, tables: u32) -> Result<Start, BenchError> {
    connect(cluster, "postgres").await?.batch_execute("CREATE DATABASE bench_start").await?;
    let sql = connect(cluster, "bench_start").await?;
    let create = format!(
        "DO $$ BEGIN FOR i IN 1..{tables} LOOP \
           EXECUTE format('CREATE TABLE t%s (id int8 PRIMARY KEY, note text)', i); \
           EXECUTE format('INSERT INTO t%s SELECT n, n FROM generate_series(1, 20) n', i); \
         END LOOP; END $$"
    );
    sql.batch_execute(&create).await?;
    sql.batch_execute("CREATE PUBLICATION pgvigil FOR ALL TABLES; CHECKPOINT").await?;

    let mut subject = Subject::start(Some(&cluster.url("bench_start")), None, None).await?;
    let stream = format!("ws://{}/api/v1/ws?kinds=counts", subject.address);
    let (mut client, _) =
        tokio_tungstenite::connect_async(stream).await.map_err(|error| BenchError::Stream(error.to_string()))?;
    let started = Instant::now();
    subject.order("go").await?;
    loop {
        let message = client.next().await.ok_or(BenchError::Subject("it closed the stream"))?;
        let Ok(Message::Text(text)) = message else { continue };
        let frame: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        match frame["total_rows"].as_i64() {
            None => {}
            Some(rows) if rows == i64::from(tables) * 20 => break,
            Some(shown) => return Err(BenchError::Count { expected: i64::from(tables) * 20, shown }),
        }
    }
    let exact = started.elapsed();

    let used = || Some((cpu(subject.pid)?, wake_ups(subject.pid)?));
    let before = used();
    tokio::time::sleep(IDLE).await;
    let idle = before.zip(used()).map(|(before, after)| (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1)));
    let memory = resident_memory(subject.pid);
    drop(client);
    subject.end().await?;
    let seconds = IDLE.as_secs_f64();
    let (idle_cpu, idle_wake_ups) = (idle.map(|(cpu, _)| cpu.div_f64(seconds)), idle.map(|(_, times)| times as f64 / seconds));
    Ok(Start { tables, exact, idle_cpu, idle_wake_ups, memory })
}
