//! A standby takes over, on PostgreSQL 17 and later: what goes on, and what is told where it cannot.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgvigil::cluster::{Cluster, Mode, Options};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::log::Log;
use crate::slots::{told, up_to};
use crate::support::{Database, PATIENCE, cluster_with, on_major, options, wait_for};
use crate::{SCHEMA, serve, write};

/// Makes a test each for the versions that keep slots on standbys.
macro_rules! on_both_majors {
    ($($test:ident),+ $(,)?) => {
        $(mod $test {
            #[tokio::test(flavor = "multi_thread")]
            async fn pg17() -> anyhow::Result<()> {
                super::on_major(17, super::$test).await
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn pg18() -> anyhow::Result<()> {
                super::on_major(18, super::$test).await
            }
        })+
    };
}

on_both_majors!(
    with_a_slot_that_the_standby_keeps_nothing_is_lost,
    without_one_a_gap_is_told,
    what_never_reached_the_standby_is_a_gap,
    a_slot_that_is_there_is_kept_by_standbys_once_that_is_asked_for,
);

/// A server, and another one that follows it.
struct Pair {
    primary: Cluster,
    standby: Cluster,
    _template: TempDir,
}

impl Pair {
    async fn start(major: u32) -> Result<Self> {
        let template = TempDir::new()?;
        let of_both = || {
            let options = Options { template: Some(template.path().to_owned()), ..options() };
            options.set("wal_keep_size", "512MB").set("max_slot_wal_keep_size", "1GB")
        };
        let primary = cluster_with(major, of_both()).await?;
        Database::connect(&primary.url("postgres")).await?.run("SELECT pg_create_physical_replication_slot('standby')").await?;
        let conninfo = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", primary.port());
        let standby = of_both().set("primary_conninfo", &conninfo).set("primary_slot_name", "standby");
        let standby = Options { standby: true, ..standby.set("hot_standby_feedback", "on") };
        let standby = cluster_with(major, standby).await?;
        let pair = Pair { primary, standby, _template: template };
        let database = Database::create(&pair.primary, "app").await?;
        database.run(SCHEMA).await?;
        Ok(pair)
    }

    /// Nothing is sent to who reads a slot that standbys keep before this one has it.
    async fn send_to_the_standby_first(&self) -> Result<()> {
        let database = Database::connect(&self.primary.url("postgres")).await?;
        database.run("ALTER SYSTEM SET synchronized_standby_slots = 'standby'").await?;
        self.primary.reload();
        wait_for("the setting", PATIENCE, async || {
            Ok((database.value::<String>("SHOW synchronized_standby_slots").await? == "standby").then_some(()))
        })
        .await
    }

    /// As a person would write it: whichever of them takes changes.
    fn url(&self) -> String {
        let ports = [self.primary.port(), self.standby.port()].map(|port| format!("127.0.0.1:{port}"));
        format!("postgresql://postgres@{}/app?target_session_attrs=read-write", ports.join(","))
    }

    /// Waits until the standby would have the slot if it were promoted.
    async fn keeps_the_slot(&self) -> Result<()> {
        let primary = Database::connect(&self.primary.url("app")).await?;
        let standby = Database::connect(&self.standby.url("postgres")).await?;
        let mut moved: Option<Instant> = None;
        wait_for("the standby to keep the slot", PATIENCE, async || {
            // The slot has to move on before it can be kept, which it does where the log tells what is running, once that is acknowledged.
            if moved.is_none_or(|moved| moved.elapsed() > Duration::from_secs(2)) {
                primary.run("SELECT pg_log_standby_snapshot()").await?;
                moved = Some(Instant::now());
            }
            standby.run("SELECT pg_sync_replication_slots()").await?;
            let kept = "SELECT count(*) = 1 FROM pg_replication_slots WHERE slot_name = 'durable' AND synced AND NOT temporary";
            Ok(standby.value::<bool>(kept).await?.then_some(()))
        })
        .await
        .with_context(|| self.standby.log())
    }

    /// Waits until the standby has replayed what there is.
    async fn has_all_of_it(&self, primary: &Database) -> Result<()> {
        let end: String = primary.value("SELECT pg_current_wal_flush_lsn()::text").await?;
        let standby = Database::connect(&self.standby.url("postgres")).await?;
        wait_for("the standby to have it", PATIENCE, async || {
            let has = format!("SELECT pg_last_wal_replay_lsn() >= '{end}'");
            Ok(standby.value::<bool>(&has).await?.then_some(()))
        })
        .await
    }

    async fn promote(&self) -> Result<Database> {
        let standby = Database::connect(&self.standby.url("app")).await?;
        ensure!(standby.value::<bool>("SELECT pg_promote()").await?, "{}", self.standby.log());
        Ok(standby)
    }
}

async fn with_a_slot_that_the_standby_keeps_nothing_is_lost(major: u32) -> Result<()> {
    let mut pair = Pair::start(major).await?;
    pair.send_to_the_standby_first().await?;
    let (url, dir) = (pair.primary.url("app"), TempDir::new()?);
    let pgvigil = serve(&pair.url(), &dir, &["--failover"]).await?;
    let mut socket = pgvigil.websocket("kinds=change&from=oldest").await?;
    let (mut log, mut next) = (Log::default(), 1);
    write(&url, &mut next, 5, Instant::now()).await?;
    pair.keeps_the_slot().await?;
    // The primary ends while someone writes and someone reads.
    let far = Instant::now() + PATIENCE;
    tokio::select! {
        written = write(&url, &mut next, 5, far) => ensure!(written.is_err(), "the server should have ended"),
        read = log.read(&mut socket) => read?,
        stopped = async {
            let watching = Database::connect(&url).await?;
            let enough = async || Ok((watching.count("item").await? > 100).then_some(()));
            wait_for("enough to be written", PATIENCE, enough).await?;
            pair.primary.stop(Mode::Immediate).await.map_err(anyhow::Error::from)
        } => stopped?,
    }
    let database = pair.promote().await?;
    let last = next;
    write(&pair.standby.url("app"), &mut next, 1, Instant::now()).await?;
    log.read_up_to(&mut socket, last).await.with_context(|| pgvigil.stderr())?;
    log.is_all(&database).await.with_context(|| pgvigil.stderr())?;
    ensure!(next > 100, "too little was written: {next}");
    pgvigil.wait_for_count("public.item", database.count("item").await?).await?;
    // It is kept by standbys to come.
    let failover = "SELECT failover FROM pg_replication_slots WHERE slot_name = 'durable'";
    ensure!(database.value::<bool>(failover).await?);
    // And the disk tells the same.
    let mut again = Log::default();
    let mut socket = pgvigil.websocket(&again.query()).await?;
    again.read_up_to(&mut socket, last).await?;
    ensure!(again == log, "the disk tells something else");
    Ok(())
}

async fn without_one_a_gap_is_told(major: u32) -> Result<()> {
    let mut pair = Pair::start(major).await?;
    let dir = TempDir::new()?;
    let pgvigil = serve(&pair.url(), &dir, &[]).await?;
    let mut socket = pgvigil.websocket("kinds=change").await?;
    let before = pgvigil.wait_for_state("live").await?["epoch"].clone();
    let primary = Database::connect(&pair.primary.url("app")).await?;
    primary.run("INSERT INTO item VALUES (1)").await?;
    up_to(&mut socket, 1).await?;
    pair.has_all_of_it(&primary).await?;
    pair.primary.stop(Mode::Immediate).await?;
    let database = pair.promote().await?;
    database.run("INSERT INTO item VALUES (2)").await?;
    let events = socket.until("a gap", |event| event["type"] == "gap").await?;
    ensure!(told(&events) == ["slot_lost"], "{events:?}");
    database.run("INSERT INTO item VALUES (3)").await?;
    let events = up_to(&mut socket, 3).await?;
    // Nobody knows whether the new slot was there in time for the second.
    ensure!(["2", "3"].ends_with(&told(&events).iter().map(String::as_str).collect::<Vec<_>>()), "{events:?}");
    pgvigil.wait_for_count("public.item", 3).await?;
    ensure!(pgvigil.wait_for_state("live").await?["epoch"] != before);
    Ok(())
}

async fn what_never_reached_the_standby_is_a_gap(major: u32) -> Result<()> {
    let mut pair = Pair::start(major).await?;
    let dir = TempDir::new()?;
    let mut pgvigil = serve(&pair.url(), &dir, &["--failover"]).await?;
    let mut socket = pgvigil.websocket("kinds=change").await?;
    let primary = Database::connect(&pair.primary.url("app")).await?;
    primary.run("INSERT INTO item VALUES (1)").await?;
    up_to(&mut socket, 1).await?;
    pair.keeps_the_slot().await?;
    pair.standby.stop(Mode::Fast).await?;
    primary.run("INSERT INTO item VALUES (-1)").await?;
    up_to(&mut socket, -1).await?;
    // It is recorded, and is not true any more.
    ensure!(pgvigil.stop().await?.success(), "{}", pgvigil.stderr());
    pair.primary.stop(Mode::Immediate).await?;
    pair.standby.resume().await?;
    let database = pair.promote().await?;
    // The log grows far past where it was recorded.
    database.run("INSERT INTO item SELECT i, 1, repeat('x', 100) FROM generate_series(2, 1000) i").await?;
    let pgvigil = serve(&pair.url(), &dir, &["--failover"]).await?;
    let mut socket = pgvigil.websocket("kinds=change&from=oldest").await?;
    database.run("INSERT INTO item VALUES (1001)").await?;
    let events = up_to(&mut socket, 1001).await?;
    ensure!(told(&events) == ["1", "-1", "server_rewound", "1001"], "{:?}\n{}", told(&events), pgvigil.stderr());
    pgvigil.wait_for_count("public.item", 1001).await
}

async fn a_slot_that_is_there_is_kept_by_standbys_once_that_is_asked_for(major: u32) -> Result<()> {
    let pair = Pair::start(major).await?;
    let dir = TempDir::new()?;
    let primary = Database::connect(&pair.primary.url("app")).await?;
    let failover = "SELECT failover FROM pg_replication_slots WHERE slot_name = 'durable'";
    let mut pgvigil = serve(&pair.url(), &dir, &[]).await?;
    ensure!(!primary.value::<bool>(failover).await?);
    ensure!(pgvigil.stop().await?.success(), "{}", pgvigil.stderr());
    primary.run("INSERT INTO item VALUES (1)").await?;
    let pgvigil = serve(&pair.url(), &dir, &["--failover"]).await?;
    ensure!(primary.value::<bool>(failover).await?, "{}", pgvigil.stderr());
    let mut socket = pgvigil.websocket("kinds=change&from=oldest").await?;
    let events = up_to(&mut socket, 1).await?;
    ensure!(told(&events) == ["1"], "{events:?}");
    pair.keeps_the_slot().await
}
