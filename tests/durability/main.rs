//! With a slot that stays, nothing is lost and nothing comes twice: whatever ends, and however.
//!
//! ```text
//! PGVIGIL_DURABILITY_ROUNDS=300    how often something is ended (default: a few times)
//! PGVIGIL_DURABILITY_SEED=7        when, what, and how (printed)
//! ```
//!
//! For a night: `PGVIGIL_DURABILITY_ROUNDS=300 cargo nextest run --profile night --test durability -E 'test(nothing_is_lost_and)'`

#[path = "../support/mod.rs"]
mod support;

mod counts;
mod failover;
mod full_disk;
mod keeping;
mod log;
mod slots;

use std::env;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgvigil::cluster::{Cluster, Mode};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::{DDL_MESSAGES, Database, Pgvigil, cluster_with, options};
use tempfile::TempDir;
use tokio::time::Instant;

use log::Log;

support::on_every_major!(nothing_is_lost_and_nothing_comes_twice);

pub(crate) const SCHEMA: &str =
    "CREATE TABLE item (id bigint PRIMARY KEY, writer int, fill text); CREATE PUBLICATION pgvigil FOR ALL TABLES";

/// Another table, and a partitioned one, whose counts have to be right in the end, whatever was done to them, and whoever was looking then.
const OTHERS: &str = "
    CREATE TABLE other (id bigserial PRIMARY KEY, fill text);
    CREATE TABLE part (id bigserial PRIMARY KEY, fill text) PARTITION BY HASH (id);
    CREATE TABLE part_0 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE part_1 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 1)";

/// What is done to them (a sequence may go back with a crash): among it what leaves no trace in the stream, and what lets a count taken before be wrong.
const ACTS: [&str; 14] = [
    "INSERT INTO other SELECT FROM generate_series(1, 50) ON CONFLICT DO NOTHING",
    "INSERT INTO part SELECT FROM generate_series(1, 50) ON CONFLICT DO NOTHING",
    "DELETE FROM other WHERE id % 3 = 0",
    "DELETE FROM part WHERE id % 3 = 0",
    "TRUNCATE other",
    "TRUNCATE part_1; INSERT INTO part SELECT FROM generate_series(1, 9) ON CONFLICT DO NOTHING",
    "VACUUM FULL other",
    "ALTER TABLE other SET UNLOGGED; INSERT INTO other SELECT FROM generate_series(1, 7) ON CONFLICT DO NOTHING; ALTER TABLE other SET LOGGED",
    "ALTER PUBLICATION pgvigil SET (publish = 'insert'); DELETE FROM other WHERE id % 5 = 0; ALTER PUBLICATION pgvigil SET (publish = 'insert, update, delete, truncate')",
    "ALTER TABLE part DETACH PARTITION part_0; INSERT INTO part_0 SELECT i, 'x' FROM generate_series(1000000, 1000009) i ON CONFLICT DO NOTHING; \
     DELETE FROM part_0 WHERE NOT satisfies_hash_partition('part'::regclass, 2, 0, id); ALTER TABLE part ATTACH PARTITION part_0 FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
    "BEGIN; INSERT INTO other SELECT FROM generate_series(1, 20) ON CONFLICT DO NOTHING; SAVEPOINT a; DELETE FROM other; ROLLBACK TO a; COMMIT",
    "BEGIN; TRUNCATE other; ROLLBACK",
    "ALTER TABLE other ALTER COLUMN fill TYPE text USING upper(fill)",
    "DROP TABLE other; CREATE TABLE other (id bigserial PRIMARY KEY, fill text); INSERT INTO other SELECT FROM generate_series(1, 3) ON CONFLICT DO NOTHING",
];

fn chosen<T: std::str::FromStr>(name: &str, default: T) -> T {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => default,
    }
}

/// A server that bounds what it keeps for slots.
pub(crate) async fn bounded(major: u32) -> Result<Cluster> {
    cluster_with(major, options().set("max_slot_wal_keep_size", "1GB").set("logical_decoding_work_mem", "64kB")).await
}

pub(crate) async fn serve(url: &str, dir: &TempDir, more: &[&str]) -> Result<Pgvigil> {
    let dir = dir.path().to_str().context("a path")?;
    Pgvigil::serve(url, &[&["--data-dir", dir, "--slot", "durable", "--history-memory", "1MiB"], more].concat()).await
}

/// What is ended.
#[derive(Clone, Copy, Debug)]
enum Blow {
    /// pgvigil, with `SIGKILL`.
    Kill,
    /// pgvigil, with `SIGTERM`.
    Stop,
    /// The server, at once, as if it had crashed.
    Crash,
    /// The server's process that sends.
    Walsender,
}

async fn nothing_is_lost_and_nothing_comes_twice(major: u32) -> Result<()> {
    let seed: u64 = chosen("PGVIGIL_DURABILITY_SEED", rand::random::<u32>().into());
    let rounds = chosen("PGVIGIL_DURABILITY_ROUNDS", 6);
    println!("PostgreSQL {major}: PGVIGIL_DURABILITY_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = bounded(major).await?;
    let database = Database::create(&cluster, "app").await?;
    database.run(SCHEMA).await?;
    database.run(OTHERS).await?;
    // Where the stream tells of DDL, counts go on with it; where it does not, they are taken anew.
    let told = random.random();
    if told {
        database.run(DDL_MESSAGES).await?;
    }
    println!("PostgreSQL {major}: DDL messages {told}");
    let (url, dir) = (cluster.url("app"), TempDir::new()?);

    let (mut log, mut next) = (Log::default(), 1);
    let mut pgvigil = serve(&url, &dir, &[]).await?;
    let mut socket = pgvigil.websocket("kinds=change&table=public.item&from=oldest").await?;
    for round in 0..rounds {
        let writing = Duration::from_millis(random.random_range(20..400));
        let size = if random.random_ratio(1, 4) { 3_000 } else { 5 };
        // Someone writes while someone reads; then something ends in the middle of both.
        tokio::select! {
            written = write(&url, &mut next, size, Instant::now() + writing) => written?,
            read = log.read(&mut socket) => read?,
        }
        act(&url, &mut random).await?;
        let blow = [Blow::Kill, Blow::Kill, Blow::Stop, Blow::Crash, Blow::Walsender][random.random_range(0..5)];
        println!("round {round}: {blow:?} at row {next}");
        match blow {
            Blow::Kill => pgvigil.kill().await?,
            Blow::Stop => ensure!(pgvigil.stop().await?.success(), "{}", pgvigil.stderr()),
            Blow::Crash => cluster.restart(Mode::Immediate).await?,
            Blow::Walsender => {
                let database = Database::connect(&url).await?;
                database
                    .run("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL")
                    .await?;
            }
        }
        if matches!(blow, Blow::Kill | Blow::Stop) {
            // Nobody reads for a while.
            act(&url, &mut random).await?;
            write(&url, &mut next, size, Instant::now() + writing / 4).await?;
            pgvigil = serve(&url, &dir, &[]).await?;
            socket = pgvigil.websocket(&log.query()).await?;
        }
        if random.random_ratio(1, 4) {
            counts_agree(&pgvigil, &url).await.with_context(|| format!("PGVIGIL_DURABILITY_SEED={seed}"))?;
        }
    }
    let last = next;
    write(&url, &mut next, 1, Instant::now()).await?;
    log.read_up_to(&mut socket, last).await.with_context(|| format!("row {last} was not told\n{}", pgvigil.stderr()))?;
    log.is_all(&Database::connect(&url).await?).await.with_context(|| format!("PGVIGIL_DURABILITY_SEED={seed}"))?;
    // Who comes now is told the same, from the disk.
    let mut again = Log::default();
    let mut socket = pgvigil.websocket(&again.query()).await?;
    again.read_up_to(&mut socket, last).await.context("not all is on disk")?;
    ensure!(again == log, "the disk tells something else");
    let report = pgvigil::history::journal::verify(dir.path())?;
    ensure!(report.faults.iter().all(|fault| fault.is_tail), "{:?}", report.faults);
    counts_agree(&pgvigil, &url).await.with_context(|| format!("PGVIGIL_DURABILITY_SEED={seed}"))
}

/// Up to three of [`ACTS`].
async fn act(url: &str, random: &mut StdRng) -> Result<()> {
    let database = Database::connect(url).await?;
    for _ in 0..random.random_range(0..4) {
        let sql = ACTS[random.random_range(0..ACTS.len())];
        // A statement at a time: some may not stand in a transaction with others.
        for statement in sql.split("; ") {
            database.run(statement).await.with_context(|| statement.to_owned())?;
        }
    }
    Ok(())
}

async fn counts_agree(pgvigil: &Pgvigil, url: &str) -> Result<()> {
    let database = Database::connect(url).await?;
    for table in ["item", "other", "part"] {
        pgvigil.wait_for_count(&format!("public.{table}"), database.count(table).await?).await?;
    }
    Ok(())
}

/// Writes transactions of up to `size` rows until then, at least one.
pub(crate) async fn write(url: &str, next: &mut i64, size: i64, until: Instant) -> Result<()> {
    let database = Database::connect(url).await?;
    database.run("SET synchronous_commit = on").await?;
    loop {
        let from = *next;
        // Whether it is committed when all this is dropped, the table will tell.
        *next += size;
        let to = *next - 1;
        let rows = format!("INSERT INTO item SELECT i, 1, repeat('x', 100) FROM generate_series({from}, {to}) i");
        // A message outside of the transaction ends just where its commit begins.
        database.run(&format!("{rows}; SELECT pg_logical_emit_message(false, 'note', 'x')")).await?;
        if Instant::now() >= until {
            return Ok(());
        }
    }
}
