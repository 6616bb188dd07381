//! The oracle: writers do at random all that can be done to tables, and while they do it, one table after the other is counted in a
//! snapshot and held against what the stream told, of two pgvigils: one that has large transactions streamed, one that has not.
//!
//! ```text
//! PGVIGIL_ORACLE_SECONDS=600    how long it writes (default: a few)
//! PGVIGIL_ORACLE_SEED=7         what it writes, but for how the writers interleave (printed)
//! PGVIGIL_ORACLE_WRITERS=8      how many write
//! ```

#[path = "../support/mod.rs"]
mod support;

mod acts;
mod writer;

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::{try_join, try_join_all};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::{Audit, DDL_MESSAGES, Database, PATIENCE, Watched, audit, cluster_with, mark, options, tables};

use writer::{Tally, Writer};

support::on_every_major!(counts_are_exact_at_every_moment, counts_are_exact_at_every_moment_where_ddl_is_told);

async fn counts_are_exact_at_every_moment(major: u32) -> Result<()> {
    play(major, false).await
}

async fn counts_are_exact_at_every_moment_where_ddl_is_told(major: u32) -> Result<()> {
    play(major, true).await
}

fn chosen<T: std::str::FromStr>(name: &str, default: T) -> T {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => default,
    }
}

/// One game.
struct Game {
    url: String,
    watched: Vec<Watched>,
    until: Instant,
    /// Audits for which a number was told, of how many.
    proven: AtomicU64,
    audits: AtomicU64,
}

/// Once in many games the server fails to decode what it did itself to a table that was rewritten and dropped (XX000). The stream ends,
/// which pgvigil says as it should, and the game with it.
const SERVER_FAULT: &str = "could not map filenode";

/// A game that the server spoils is played again, but not for ever.
async fn play(major: u32, tells_ddl: bool) -> Result<()> {
    let seed: u64 = chosen("PGVIGIL_ORACLE_SEED", rand::random::<u32>().into());
    for again in 0..2 {
        match play_once(major, tells_ddl, seed + again).await {
            Err(error) if format!("{error:?}").contains(SERVER_FAULT) => println!("the server spoilt the game: {error:?}"),
            ended => return ended,
        }
    }
    play_once(major, tells_ddl, seed + 2).await
}

async fn play_once(major: u32, tells_ddl: bool, seed: u64) -> Result<()> {
    let seconds = chosen("PGVIGIL_ORACLE_SECONDS", 6);
    let writers = chosen("PGVIGIL_ORACLE_WRITERS", 4);
    println!("PostgreSQL {major}, DDL messages {tells_ddl}: PGVIGIL_ORACLE_SEED={seed}");

    let cluster = cluster_with(major, options().set("logical_decoding_work_mem", "64kB").set("max_connections", "50")).await?;
    let database = Database::create(&cluster, "oracle").await?;
    database.run(include_str!("schema.sql")).await?;
    if tells_ddl {
        database.run(DDL_MESSAGES).await?;
    }
    database.run("CREATE PUBLICATION pgvigil FOR ALL TABLES").await?;
    let url = cluster.url("oracle");
    // Looks at the catalog come at any moment, not only when something has changed.
    let start = |streaming| Watched::start(&url, streaming);
    let watched = try_join_all([&["--streaming=true", "--reconcile=2s"][..], &["--streaming=false"]].map(start)).await?;
    let until = Instant::now() + Duration::from_secs(seconds);
    let game = Game { url, watched, until, proven: AtomicU64::new(0), audits: AtomicU64::new(0) };

    let tally = Tally::default();
    let writing = try_join_all((0..writers).map(|number| {
        let (game, tally) = (&game, tally.clone());
        async move { game.write(Writer::new(number, seed, &game.url, major, tally).await?).await }
    }));
    let auditing = try_join_all((0..2_u64).map(|number| game.audit(StdRng::seed_from_u64(seed ^ (1000 + number)))));
    let told = || format!("PGVIGIL_ORACLE_SEED={seed}, what was done, and what failed: {:?}", tally.lock().unwrap());
    let (_, audits) = try_join(writing, auditing).await.with_context(told)?;
    game.settle(&database, audits.into_iter().flatten().collect()).await.with_context(told)?;

    let (audits, proven) = (game.audits.into_inner(), game.proven.into_inner());
    println!("{audits} audits, {proven} of them of a table whose count was told; {}", told());
    // Where nothing tells of DDL, most of it keeps the counts of all tables back, the more the busier the machine is.
    let at_least = if tells_ddl { 3 } else { 12 };
    ensure!(proven * at_least > audits, "of {audits} audits only {proven} were of a table whose count was told");
    Ok(())
}

impl Game {
    /// Writes until it is over, never too far ahead of those who listen.
    async fn write(&self, mut writer: Writer) -> Result<()> {
        let database = Database::connect(&self.url).await?;
        while Instant::now() < self.until {
            for _ in 0..10 {
                writer.transaction().await?;
            }
            self.has_been_heard(&database).await?;
        }
        writer.finish_prepared().await
    }

    /// Audits tables until it is over. Gives all that was found.
    async fn audit(&self, mut rng: StdRng) -> Result<Vec<Audit>> {
        let (mut auditor, database) = (Database::connect(&self.url).await?, Database::connect(&self.url).await?);
        let mut audits = Vec::new();
        while Instant::now() < self.until {
            let mut tables = tables(&database).await?;
            tables.retain(|table| !table.partitioned);
            let table = &tables[rng.random_range(0..tables.len())];
            let Some(found) = audit(auditor.client(), &table.name, table.oid).await? else { continue };
            self.has_been_heard(&database).await?;
            for watched in &self.watched {
                watched.witness.check(&found)?;
            }
            audits.push(found);
        }
        Ok(audits)
    }

    /// Waits until all that was committed so far has been heard.
    async fn has_been_heard(&self, database: &Database) -> Result<()> {
        let mark = mark(database).await?;
        for watched in &self.watched {
            let heard = watched.witness.has_heard(mark).await;
            heard.with_context(|| format!("pgvigil logged:\n{}", watched.pgvigil.stderr()))?;
        }
        Ok(())
    }

    /// When nobody writes any more every count is known and right, and so was every one that was told on the way.
    async fn settle(&self, database: &Database, audits: Vec<Audit>) -> Result<()> {
        let started = Instant::now();
        for watched in &self.watched {
            let agreement = watched.agrees(database, PATIENCE).await?;
            println!("{agreement:?} after {:?}, {} changes", started.elapsed(), watched.witness.changes());
            // Numbers told after an audit are held against it too.
            for found in &audits {
                let told = watched.witness.check(found)?;
                self.audits.fetch_add(1, Ordering::Relaxed);
                self.proven.fetch_add(u64::from(told > 0), Ordering::Relaxed);
            }
        }
        Ok(())
    }
}
