//! From the return of COMMIT to a client: one row a transaction, at a low rate, and under 10,000 changes a second. Beside it, in the same
//! run and for the same commits, the floor: when a bare replication connection has the bytes.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_postgres::Client;
use tokio_tungstenite::tungstenite::Message;

use super::BenchError;
use super::subject::Subject;
use super::workload::connect;
use crate::cluster::Cluster;
use crate::connection::Target;
use crate::lsn::Lsn;
use crate::pgoutput::{self, Context, Value};
use crate::replication::{Frame, Replication, SlotOptions, StartOptions};

/// Times from the return of COMMIT, sorted.
#[derive(Clone, Debug, Default)]
pub(super) struct Latency {
    /// To the bytes on a bare replication connection.
    pub(super) floor: Vec<Duration>,
    /// To a WebSocket client of pgvigil.
    pub(super) client: Vec<Duration>,
    /// The same while 10,000 changes a second are made beside.
    pub(super) under_load: Vec<Duration>,
}

/// The value below which `share` of the sorted `times` lie.
pub(super) fn percentile(times: &[Duration], share: f64) -> Option<Duration> {
    let place = (times.len().checked_sub(1)? as f64 * share) as usize;
    times.get(place).copied()
}

/// Measures `commits` of them.
pub(super) async fn measure(cluster: &Cluster, commits: u32) -> Result<Latency, BenchError> {
    connect(cluster, "postgres").await?.batch_execute("CREATE DATABASE bench_latency").await?;
    let sql = connect(cluster, "bench_latency").await?;
    let tables = "CREATE TABLE tick (id int8 PRIMARY KEY); CREATE TABLE load (id int8 PRIMARY KEY, amount int4); \
                  INSERT INTO load SELECT i, 0 FROM generate_series(1, 1000) i; CREATE PUBLICATION pgvigil FOR ALL TABLES";
    sql.batch_execute(tables).await?;
    let url = cluster.url("bench_latency");

    let (sent, mut bare) = mpsc::unbounded_channel();
    let following = tokio::spawn(follow(url.clone(), sent));
    let mut subject = Subject::start(Some(&url), None, None).await?;
    subject.order("go").await?;
    let stream = format!("ws://{}/api/v1/ws?kinds=change&table=public.tick", subject.address);
    let (mut client, _) =
        tokio_tungstenite::connect_async(stream).await.map_err(|error| BenchError::Stream(error.to_string()))?;
    let (received, mut ours) = mpsc::unbounded_channel();
    let reading = tokio::spawn(async move {
        while let Some(Ok(message)) = client.next().await {
            if let Message::Text(text) = message
                && received.send((Instant::now(), text.starts_with(r#"{"type":"change""#))).is_err()
            {
                return;
            }
        }
    });
    // Greeted: from here on nothing is missed. The bare stream has its place when it says so.
    ours.recv().await.ok_or(BenchError::Subject("it never greeted"))?;
    bare.recv().await.ok_or(BenchError::Subject("the bare stream ended"))?;

    let mut latency = Latency::default();
    let mut id = 0_i64;
    for _ in 0..commits {
        id += 1;
        let committed = commit(&sql, id).await?;
        latency.floor.push(next(&mut bare).await?.saturating_duration_since(committed));
        latency.client.push(next(&mut ours).await?.saturating_duration_since(committed));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let loading = tokio::spawn(load(connect(cluster, "bench_latency").await?));
    for _ in 0..commits {
        id += 1;
        let committed = commit(&sql, id).await?;
        latency.under_load.push(next(&mut ours).await?.saturating_duration_since(committed));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    loading.abort();
    following.abort();
    reading.abort();
    subject.end().await?;
    latency.floor.sort_unstable();
    latency.client.sort_unstable();
    latency.under_load.sort_unstable();
    Ok(latency)
}

async fn commit(sql: &Client, id: i64) -> Result<Instant, BenchError> {
    sql.execute("INSERT INTO tick VALUES ($1)", &[&id]).await?;
    Ok(Instant::now())
}

/// When the next change came.
async fn next(changes: &mut mpsc::UnboundedReceiver<(Instant, bool)>) -> Result<Instant, BenchError> {
    loop {
        match changes.recv().await {
            Some((when, true)) => return Ok(when),
            Some((_, false)) => {}
            None => return Err(BenchError::Subject("the stream ended")),
        }
    }
}

/// About 10,000 changes a second: 100 in a transaction, every 10 ms.
async fn load(sql: Client) -> Result<(), BenchError> {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    loop {
        tick.tick().await;
        sql.execute("UPDATE load SET amount = amount + 1 WHERE id <= 100", &[]).await?;
    }
}

/// A bare replication connection: says `false` once it has its place, then `true` for every row of `tick`.
async fn follow(url: String, sent: mpsc::UnboundedSender<(Instant, bool)>) -> Result<(), BenchError> {
    let target = Target::resolve(Some(&url), |_| None).map_err(|error| BenchError::Stream(error.to_string()))?;
    let failed = |error: crate::replication::Error| BenchError::Stream(error.to_string());
    let mut walsender = Replication::connect(&target, "pgvigil bench").await.map_err(failed)?;
    let options = SlotOptions { temporary: true, ..SlotOptions::default() };
    let slot = walsender.create_slot("bench_bare", options, Duration::from_secs(60)).await.map_err(failed)?;
    let options = StartOptions { publication: "pgvigil".to_owned(), ..StartOptions::default() };
    let (mut stream, progress) = walsender.start("bench_bare", slot.consistent_point, options).await.map_err(failed)?;
    sent.send((Instant::now(), false)).ok();
    let mut last = Lsn::ZERO;
    loop {
        stream.fill().await.map_err(failed)?;
        let now = Instant::now();
        while let Some(frame) = stream.next_frame().map_err(failed)? {
            match frame {
                Frame::Data { payload, .. } => match pgoutput::decode(payload, Context::Plain) {
                    Ok(pgoutput::Message::Insert(insert)) if matches!(insert.new.iter().next(), Some(Value::Text(_))) => {
                        sent.send((now, true)).ok();
                    }
                    Ok(pgoutput::Message::Commit(commit)) => last = commit.end_lsn,
                    _ => {}
                },
                Frame::Keepalive { wal_end, .. } => last = last.max(wal_end),
                Frame::Notice(_) => {}
            }
        }
        progress.flushed(last);
    }
}
