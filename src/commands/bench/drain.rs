//! Draining a backlog: `pg_recvlogical`, then pgvigil over TCP, then pgvigil over the socket, then the same with a journal on disk; each from
//! its own copy of the slot.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use memchr::memmem;
use tokio::process::Command;
use tokio_tungstenite::tungstenite::Message;

use super::BenchError;
use super::process::{cpu, peak_memory};
use super::subject::Subject;
use super::workload::{Backlog, MARKER, connect};
use crate::cluster::{Cluster, SUPERUSER};

/// What one drain took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    /// From its start to the last change.
    pub(super) wall: Duration,
    /// Of the consumer.
    pub(super) cpu: Option<Duration>,
    /// Of the server's walsender.
    pub(super) walsender_cpu: Option<Duration>,
    /// The consumer's, at most, in bytes.
    pub(super) memory: Option<u64>,
}

/// One round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    pub(super) changes: u64,
    pub(super) pg_recvlogical: Drain,
    pub(super) tcp: Drain,
    pub(super) socket: Drain,
    pub(super) journal: Drain,
}

/// Drains the backlog once each way.
pub(super) async fn round(cluster: &Cluster, backlog: &Backlog) -> Result<Round, BenchError> {
    let pg_recvlogical = pg_recvlogical(cluster, backlog).await?;
    let tcp = pgvigil(cluster, backlog, &cluster.url(&backlog.database), None).await?;
    let socket = pgvigil(cluster, backlog, &cluster.socket_url(&backlog.database), None).await?;
    let dir = tempfile::tempdir()?;
    let journal = pgvigil(cluster, backlog, &cluster.socket_url(&backlog.database), Some(dir.path())).await?;
    Ok(Round { changes: backlog.changes, pg_recvlogical, tcp, socket, journal })
}

/// How often the CPU time of a process that may end at any moment is read.
const SAMPLE: Duration = Duration::from_millis(20);

async fn pg_recvlogical(cluster: &Cluster, backlog: &Backlog) -> Result<Drain, BenchError> {
    const SLOT: &str = "bench_pg_recvlogical";
    let sql = connect(cluster, &backlog.database).await?;
    backlog.copy(&sql, SLOT).await?;
    let program = cluster.binaries().program("pg_recvlogical");
    let mut command = Command::new(&program);
    command.args(["--host", "127.0.0.1", "--port", &cluster.port().to_string(), "--username", SUPERUSER]);
    command.args(["--dbname", &backlog.database, "--slot", SLOT, "--start", "--no-loop", "--file", "/dev/null"]);
    command.args(["--option", "proto_version=1", "--option", "publication_names=pgvigil"]);
    command.args(["--endpos", &backlog.end.to_string()]);
    let started = Instant::now();
    let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn();
    let mut child = child.map_err(|error| BenchError::PgRecvlogical(format!("{}: {error}", program.display())))?;
    let mut drain = Drain { wall: Duration::ZERO, cpu: None, walsender_cpu: None, memory: None };
    let mut walsender = None;
    let ended = loop {
        tokio::select! {
            ended = child.wait() => break ended?,
            () = tokio::time::sleep(SAMPLE) => {}
        }
        if walsender.is_none() {
            walsender = active_pid(&sql, SLOT).await?;
        }
        if let Some(pid) = child.id() {
            drain.cpu = cpu(pid).or(drain.cpu);
            drain.memory = peak_memory(pid).or(drain.memory);
        }
        drain.walsender_cpu = walsender.and_then(cpu).or(drain.walsender_cpu);
    };
    drain.wall = started.elapsed();
    if !ended.success() {
        let said = child.wait_with_output().await?;
        return Err(BenchError::PgRecvlogical(String::from_utf8_lossy(&said.stderr).into_owned()));
    }
    backlog.drop_copy(&sql, SLOT).await?;
    Ok(drain)
}

async fn pgvigil(cluster: &Cluster, backlog: &Backlog, url: &str, journal: Option<&Path>) -> Result<Drain, BenchError> {
    const SLOT: &str = "bench_pgvigil";
    let sql = connect(cluster, &backlog.database).await?;
    backlog.copy(&sql, SLOT).await?;
    let mut subject = Subject::start(Some(url), Some(SLOT), journal).await?;
    let stream = format!("ws://{}/api/v1/ws?from=oldest&kinds=change", subject.address);
    let (mut client, _) =
        tokio_tungstenite::connect_async(stream).await.map_err(|error| BenchError::Stream(error.to_string()))?;

    let started = Instant::now();
    subject.order("go").await?;
    let marker = memmem::Finder::new(MARKER);
    let mut changes = 0;
    loop {
        let message = client.next().await.ok_or(BenchError::Subject("it closed the stream"))?;
        let Ok(Message::Text(text)) = message else { continue };
        if text.starts_with(r#"{"type":"change""#) {
            changes += 1;
            if marker.find(text.as_bytes()).is_some() {
                break;
            }
        } else if text.starts_with(r#"{"type":"gap""#) {
            return Err(BenchError::Subject("its subscriber was given a gap"));
        }
    }
    let wall = started.elapsed();
    let walsender = active_pid(&sql, SLOT).await?;
    let drain = Drain { wall, cpu: cpu(subject.pid), walsender_cpu: walsender.and_then(cpu), memory: peak_memory(subject.pid) };
    if changes != backlog.changes {
        return Err(BenchError::Changes { expected: backlog.changes, received: changes });
    }
    counted(&subject, backlog).await?;
    drop(client);
    subject.end().await?;
    backlog.drop_copy(&sql, SLOT).await?;
    Ok(drain)
}

/// Waits until the count of the backlog's table is exact, and is the right one: speed without that is worth nothing.
async fn counted(subject: &Subject, backlog: &Backlog) -> Result<(), BenchError> {
    let stream = format!("ws://{}/api/v1/ws?kinds=counts", subject.address);
    let (mut client, _) =
        tokio_tungstenite::connect_async(stream).await.map_err(|error| BenchError::Stream(error.to_string()))?;
    while let Some(message) = client.next().await {
        let Ok(Message::Text(text)) = message else { continue };
        let frame: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let tables = frame["tables"].as_array().into_iter().flatten();
        if let Some(count) = tables.filter(|table| table["name"] == "item").find_map(|table| table["count"].as_i64()) {
            return if count == backlog.rows { Ok(()) } else { Err(BenchError::Count { expected: backlog.rows, shown: count }) };
        }
    }
    Err(BenchError::Subject("it never showed the count"))
}

async fn active_pid(sql: &tokio_postgres::Client, slot: &str) -> Result<Option<u32>, BenchError> {
    let row = sql.query_opt("SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", &[&slot]).await?;
    let pid: Option<i32> = row.map(|row| row.try_get(0)).transpose()?.flatten();
    Ok(pid.and_then(|pid| u32::try_from(pid).ok()))
}
