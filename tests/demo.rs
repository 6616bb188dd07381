//! The demo's play on a real server: every incident happens and is put right, and nothing grows without bound.

mod support;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgvigil::cluster::Cluster;
use pgvigil::commands::demo::{self, Options, Players};
use pgvigil::connection::Target;
use support::{Database, PATIENCE, a_major, cluster, on_every_major, wait_for};
use tokio_util::sync::CancellationToken;

/// Everything at once.
fn hurried() -> Options {
    let millis = Duration::from_millis;
    Options {
        pace: millis(4),
        first_incident: millis(300),
        calm: millis(100)..millis(200),
        damage: millis(400)..millis(500),
        seed: 3,
    }
}

/// In a database with the demo's tables.
async fn players(cluster: &Cluster) -> Result<Players> {
    let target = Target::resolve(Some(&cluster.url("demo")), |_| None)?;
    demo::schema(&target.sql("schema").await?).await?;
    Ok(Players::connect(&target).await?)
}

async fn count(database: &Database, table: &str) -> Result<i64> {
    database.count(&format!("\"{table}\"")).await
}

/// The type of a column, or nothing if there is no such column.
async fn column(database: &Database, table: &str, column: &str) -> Result<Option<String>> {
    let sql = "SELECT format_type(atttypid, -1) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
                WHERE c.relname = $1 AND attname = $2 AND NOT attisdropped";
    Ok(database.rows(sql, &[&table, &column]).await?.first().map(|row| row.get(0)))
}

on_every_major!(every_incident_happens_and_is_put_right);

async fn every_incident_happens_and_is_put_right(major: u32) -> Result<()> {
    let cluster = cluster(major).await?;
    let database = Database::create(&cluster, "demo").await?;
    let players = players(&cluster).await?;
    let mut rows = 0;
    for table in ["User", "UserProfile", "Game", "GameRequest", "ScheduledSession", "SessionSeat", "ChatMessage", "ActivityLog"] {
        let count = count(&database, table).await?;
        ensure!(count > 0, "{table} is empty");
        rows += count;
    }
    ensure!((300..1000).contains(&rows), "{rows} rows are not several hundred");

    let cancel = CancellationToken::new();
    let play = tokio::spawn(demo::play(players, hurried(), cancel.clone()));
    let seen = async |what: &str, condition: &dyn Fn(&Glance) -> bool| {
        wait_for(what, PATIENCE, async || Ok(condition(&Glance::at(&database).await?).then_some(()))).await
    };
    seen("the mass delete", &|now| now.users < 15).await?;
    seen("the users to be back", &|now| now.users > 30).await?;
    seen("a new column", &|now| now.display_name.is_some()).await?;
    seen("the column to be gone", &|now| now.display_name.is_none()).await?;
    seen("a change of type", &|now| now.votes.as_deref() == Some("bigint")).await?;
    seen("the type to be back", &|now| now.votes.as_deref() == Some("integer")).await?;
    seen("a truncate", &|now| now.sessions < 8).await?;
    seen("the sessions to be back", &|now| now.sessions > 15).await?;

    cancel.cancel();
    tokio::time::timeout(PATIENCE, play).await.context("the play does not end")???;
    let log = cluster.log();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR") || line.contains("FATAL")).collect();
    ensure!(errors.is_empty(), "the demo's own statements failed: {errors:?}");
    Ok(())
}

/// What an observer sees of the demo at one moment.
struct Glance {
    users: i64,
    sessions: i64,
    display_name: Option<String>,
    votes: Option<String>,
}

impl Glance {
    async fn at(database: &Database) -> Result<Self> {
        Ok(Self {
            users: count(database, "User").await?,
            sessions: count(database, "ScheduledSession").await?,
            display_name: column(database, "User", "displayName").await?,
            votes: column(database, "GameRequest", "votes").await?,
        })
    }
}

#[tokio::test]
async fn nothing_grows_without_bound() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "demo").await?;
    let players = players(&cluster).await?;
    let at_first: i64 = database.value(r#"SELECT max("id") FROM "ChatMessage""#).await?;

    let cancel = CancellationToken::new();
    let calm = Options { pace: Duration::ZERO, ..Options::default() };
    let play = tokio::spawn(demo::play(players, calm, cancel.clone()));
    // At its own pace this many messages take some eight minutes.
    wait_for("five hundred messages", PATIENCE * 2, async || {
        let newest: i64 = database.value(r#"SELECT max("id") FROM "ChatMessage""#).await?;
        Ok((newest > at_first + 500).then_some(()))
    })
    .await?;
    cancel.cancel();
    tokio::time::timeout(PATIENCE, play).await.context("the play does not end")???;

    for (table, bounds) in [
        ("User", 30..50),
        ("Game", 10..30),
        ("GameRequest", 5..30),
        ("ScheduledSession", 10..35),
        ("SessionSeat", 20..300),
        ("ChatMessage", 50..200),
    ] {
        let rows = count(&database, table).await?;
        ensure!(bounds.contains(&rows), "{table} has {rows} rows, expected {bounds:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_log_has_partitions_for_now_and_none_of_the_past() -> Result<()> {
    let cluster = cluster(a_major()).await?;
    let database = Database::create(&cluster, "demo").await?;
    let players = players(&cluster).await?;
    database
        .run(
            r#"CREATE TABLE "ActivityLog_2001010100" PARTITION OF "ActivityLog" FOR VALUES FROM ('2001-01-01 00:00Z') TO ('2001-01-01 01:00Z');
               INSERT INTO "ActivityLog" ("at", "action") VALUES ('2001-01-01 00:30Z', 'login')"#,
        )
        .await?;
    let cancel = CancellationToken::new();
    let play = tokio::spawn(demo::play(players, hurried(), cancel.clone()));
    wait_for("the old partition to go", PATIENCE, async || {
        Ok(database.value::<bool>(r#"SELECT to_regclass('"ActivityLog_2001010100"') IS NULL"#).await?.then_some(()))
    })
    .await?;
    cancel.cancel();
    tokio::time::timeout(PATIENCE, play).await.context("the play does not end")???;
    let partitions = r#"SELECT count(*) FROM pg_inherits WHERE inhparent = '"ActivityLog"'::regclass"#;
    ensure!((3..=4).contains(&database.value::<i64>(partitions).await?));
    Ok(())
}
