//! The stream replays to the same database: what it brings is applied to an empty copy by a client whose connection is lost again and
//! again, and in the end every table is the same, row by row.

#[path = "../support/mod.rs"]
mod support;

mod changes;
mod copy;

use anyhow::{Context, Result, ensure};
use rand::Rng;
use support::{Database, EventSource, Pgvigil, WebSocket, cluster_with, options, tables};

use changes::{CHANGES, CONSEQUENCES};
use copy::{Copy, Event};

support::on_every_major!(the_stream_replays_to_the_same_database);

const END: &str = "the end";

async fn the_stream_replays_to_the_same_database(major: u32) -> Result<()> {
    let cluster = cluster_with(major, options().set("logical_decoding_work_mem", "64kB")).await?;
    let source = Database::create(&cluster, "source").await?;
    let copied = Database::create(&cluster, "copy").await?;
    for database in [&source, &copied] {
        database.run(include_str!("schema.sql")).await?;
    }
    source.run(CONSEQUENCES).await?;
    source.run("CREATE PUBLICATION pgvigil FOR ALL TABLES").await?;
    for streaming in ["--streaming=true", "--streaming=false"] {
        let pgvigil = Pgvigil::serve(&cluster.url("source"), &[streaming]).await?;
        let mut client = Client::connect(&pgvigil, "live").await?;
        let mut copy = Copy::new(Database::connect(&cluster.url("copy")).await?);
        for change in CHANGES {
            source.run(change).await?;
        }
        source.run(&format!("SELECT pg_logical_emit_message(true, '{END}', '{streaming}')")).await?;
        let connections = client.follow(&pgvigil, &mut copy, streaming).await?;
        ensure!(copy.applied > 4_000 && connections > 20, "{} changes over {connections} connections", copy.applied);
        compare(&source, &copied).await?;
        // The next round begins with the same empty tables; what empties them here is for the copy to repeat.
        let all = tables(&source).await?.into_iter().map(|table| table.name).collect::<Vec<_>>().join(", ");
        for database in [&source, &copied] {
            database.run(&format!("TRUNCATE {all}")).await?;
        }
    }
    Ok(())
}

/// Someone who follows, now over WebSocket, now over SSE.
enum Client {
    WebSocket(Box<WebSocket>),
    EventSource(EventSource),
}

const KINDS: &str = "kinds=change,commit,message";

impl Client {
    async fn connect(pgvigil: &Pgvigil, from: &str) -> Result<Self> {
        if rand::random() {
            return Ok(Client::WebSocket(Box::new(pgvigil.websocket(&format!("{KINDS}&from={from}")).await?)));
        }
        let url = format!("{}/api/v1/stream?{KINDS}&from={from}", pgvigil.origin());
        Ok(Client::EventSource(EventSource::connect(&url, None).await?))
    }

    async fn next(&mut self) -> Result<Event> {
        let text = match self {
            Client::WebSocket(socket) => socket.next_text().await?,
            Client::EventSource(source) => source.next_text().await?,
        };
        let text = text.context("the server closed the stream")?;
        serde_json::from_str(&text).with_context(|| text.clone())
    }

    /// Applies what comes until the end, with a connection that lasts for a few events, or a few hundred. Gives how many there were.
    async fn follow(&mut self, pgvigil: &Pgvigil, copy: &mut Copy, end: &str) -> Result<u32> {
        let (mut connections, mut lasts) = (1, 0);
        loop {
            let event = self.next().await?;
            if event.message(END) == Some(end) {
                return Ok(connections);
            }
            let id = event.id.clone();
            copy.take(event).await?;
            lasts -= 1;
            if let Some(id) = id.filter(|_| lasts < 0) {
                *self = Client::connect(pgvigil, &id).await?;
                connections += 1;
                lasts = rand::rng().random_range(0..[5, 50, 500][rand::rng().random_range(0..3)]);
            }
        }
    }
}

/// Every table of both, row by row, as text.
async fn compare(source: &Database, copied: &Database) -> Result<()> {
    let mut rows = 0;
    for table in tables(source).await?.iter().filter(|table| !table.partitioned) {
        let all = format!("SELECT whole_row::text FROM ONLY {} AS whole_row ORDER BY 1", table.name);
        let (there, here) = (source.rows(&all, &[]).await?, copied.rows(&all, &[]).await?);
        ensure!(there.len() == here.len(), "{} has {} rows, and the copy {}", table.name, there.len(), here.len());
        for (there, here) in there.iter().zip(&here) {
            let (there, here): (&str, &str) = (there.get(0), here.get(0));
            ensure!(there == here, "{}: a row differs\n  {there:.3000}\n  {here:.3000}", table.name);
        }
        rows += there.len();
    }
    ensure!(rows > 2_000, "only {rows} rows");
    Ok(())
}
