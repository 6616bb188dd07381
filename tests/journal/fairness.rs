//! Who reads much of the history slows nobody down who follows what is live.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use futures_util::StreamExt;
use tempfile::TempDir;

use crate::support::{DDL_MESSAGES, Database, a_major, cluster};
use crate::{SCHEMA, serve, up_to};

/// Readers of everything, again and again.
const READERS: usize = 6;

/// While the readers are sent so many bytes, who follows is told of at least so many rows, one after the other. (It is told of some hundreds.)
const READ: u64 = 20 << 20;
const TOLD: i64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_all_there_is_slows_nobody_down() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    database.run(DDL_MESSAGES).await?;
    let (url, dir) = (cluster.url("app"), TempDir::new()?);
    let pgvigil = serve(&url, dir.path(), &["--history-memory", "1MiB"]).await?;
    let mut live = pgvigil.websocket("kinds=change").await?;
    live.next_of("hello").await?;
    database.run("INSERT INTO item SELECT i, repeat(md5(i::text), 30) FROM generate_series(1, 20000) i").await?;
    up_to(&mut live, 20_000).await?;

    let (read, client) = (Arc::new(AtomicU64::new(0)), reqwest::Client::new());
    let readers: Vec<_> = (0..READERS)
        .map(|number| {
            // The stream, and questions that nothing answers.
            let path = ["stream?from=oldest", "events?text=nowhere"][number % 2];
            let (url, client, read) = (format!("{}/api/v1/{path}", pgvigil.origin()), client.clone(), Arc::clone(&read));
            tokio::spawn(async move {
                loop {
                    let Ok(answer) = client.get(&url).send().await else { continue };
                    let mut body = answer.bytes_stream();
                    let mut taken = 0;
                    while let Some(Ok(bytes)) = body.next().await {
                        taken += bytes.len();
                        read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                        if taken > 15 << 20 {
                            break;
                        }
                    }
                }
            })
        })
        .collect();
    let mut id = 20_000;
    while read.load(Ordering::Relaxed) < READ {
        id += 1;
        database.run(&format!("INSERT INTO item VALUES ({id}, 'x')")).await?;
        up_to(&mut live, id).await?;
    }
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    let told = id - 20_000;
    println!("{told} rows were told while {READ} bytes were read");
    ensure!(told >= TOLD, "only {told} rows were told while {READ} bytes were read");
    Ok(())
}
