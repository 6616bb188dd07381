//! The replication connection against real servers: slots, the stream and its status, and every way in which it ends.

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use pgvigil::cluster::{Cluster, Mode};
use pgvigil::connection::Target;
use pgvigil::lsn::Lsn;
use pgvigil::pgoutput::ValueLimit;
use pgvigil::replication::{Error, Frame, Progress, Replication, SlotOptions, StartOptions, Stream};
use support::{Database, Direction, Flow, PATIENCE, Proxy, a_major, cluster, cluster_with, on_every_major, options, wait_for};

const SLOT: &str = "a_slot";

/// A server with a table `t`, published by `p`.
struct Source {
    cluster: Cluster,
    sql: Database,
}

impl Source {
    async fn start(major: u32) -> Result<Self> {
        Source::on(cluster(major).await?).await
    }

    async fn on(cluster: Cluster) -> Result<Self> {
        let sql = Database::connect(&cluster.url("postgres")).await?;
        sql.run("CREATE TABLE t (id int PRIMARY KEY, v text)").await?;
        sql.run("CREATE PUBLICATION p FOR TABLE t").await?;
        Ok(Source { cluster, sql })
    }

    fn target(&self) -> Result<Target> {
        Ok(Target::resolve(Some(&self.cluster.url("postgres")), |_| None)?)
    }

    async fn stream(&self) -> Result<(Stream, Progress)> {
        stream(&self.target()?).await
    }

    async fn slots(&self) -> Result<i64> {
        self.sql.value("SELECT count(*) FROM pg_replication_slots").await
    }

    /// Waits until no walsender and no slot is left.
    async fn is_left_alone(&self) -> Result<()> {
        wait_for("walsender and slot to be gone", PATIENCE, async || {
            Ok((self.slots().await? == 0 && self.sql.walsenders().await?.is_empty()).then_some(()))
        })
        .await
    }

    async fn confirmed(&self) -> Result<Lsn> {
        let text: String = self.sql.value("SELECT confirmed_flush_lsn::text FROM pg_replication_slots").await?;
        Ok(text.parse()?)
    }
}

fn published() -> StartOptions {
    StartOptions { publication: "p".to_owned(), streaming: true, ..StartOptions::default() }
}

async fn stream(target: &Target) -> Result<(Stream, Progress)> {
    stream_of(target, published()).await
}

async fn stream_of(target: &Target, options: StartOptions) -> Result<(Stream, Progress)> {
    let mut session = Replication::connect(target, "test").await?;
    let slot = session.create_slot(SLOT, SlotOptions::temporary(), PATIENCE).await?;
    Ok(session.start(SLOT, slot.consistent_point, options).await?)
}

/// Reads until `enough` says so, telling it of every message and of every keepalive.
async fn read(stream: &mut Stream, mut enough: impl FnMut(&Frame<'_>) -> bool) -> Result<()> {
    let reading = async {
        loop {
            while let Some(frame) = stream.next_frame()? {
                if enough(&frame) {
                    return Ok::<_, Error>(());
                }
            }
            stream.fill().await?;
        }
    };
    Ok(tokio::time::timeout(PATIENCE, reading).await.context("nothing came")??)
}

/// Reads until so many inserts have come, and says how many frames it took.
async fn inserts(stream: &mut Stream, count: usize) -> Result<()> {
    let mut seen = 0;
    read(stream, |frame| {
        seen += usize::from(matches!(frame, Frame::Data { payload: [b'I', ..], .. }));
        seen >= count
    })
    .await
}

/// Reads until the stream fails.
async fn failure(stream: &mut Stream) -> Result<Error> {
    match read(stream, |_| false).await {
        Err(error) => error.downcast::<Error>(),
        Ok(()) => bail!("it did not fail"),
    }
}

on_every_major!(a_stream_from_its_start_to_its_end);

async fn a_stream_from_its_start_to_its_end(major: u32) -> Result<()> {
    let source = Source::start(major).await?;
    // What the database says about formats and timeouts must not reach the stream.
    source.sql.run("ALTER DATABASE postgres SET datestyle = 'SQL, DMY'").await?;
    source.sql.run("ALTER DATABASE postgres SET statement_timeout = 1").await?;
    source.sql.run("ALTER TABLE t ADD d date").await?;

    let mut session = Replication::connect(&source.target()?, "test").await?;
    assert_eq!(session.server_major(), major);
    assert_eq!(session.parameter("server_encoding"), Some("UTF8"));
    let system = session.identify().await?;
    let identifier: String = source.sql.value("SELECT system_identifier::text FROM pg_control_system()").await?;
    assert_eq!((system.system_identifier, system.timeline, system.database.as_str()), (identifier, 1, "postgres"));

    let slot = session.create_slot(SLOT, SlotOptions::temporary(), PATIENCE).await?;
    assert!(slot.name == SLOT && slot.consistent_point >= system.flushed);
    let (mut stream, progress) = session.start(SLOT, slot.consistent_point, published()).await?;
    source.sql.run("INSERT INTO t VALUES (1, 'x', '2026-12-31')").await?;
    let (mut tags, mut ends) = (String::new(), Lsn::ZERO);
    let mut date = false;
    read(&mut stream, |frame| {
        if let Frame::Data { payload, end, .. } = frame {
            tags.push(payload[0] as char);
            date |= payload.windows(10).any(|window| window == b"2026-12-31");
            ends = *end;
        }
        tags.ends_with('C')
    })
    .await?;
    assert!(tags.ends_with("BRIC"), "{tags}");
    assert!(date, "the date is not in ISO form");

    progress.flushed(ends);
    stream.end().await?;
    source.is_left_alone().await?;
    let log = source.cluster.log();
    assert!(!log.contains("unexpected EOF") && !log.contains("could not"), "the server complains: {log}");
    Ok(())
}

#[tokio::test]
async fn a_dropped_stream_leaves_nothing_behind() -> Result<()> {
    let source = Source::start(a_major()).await?;
    let (stream, progress) = source.stream().await?;
    assert_eq!(source.slots().await?, 1);
    drop((stream, progress));
    source.is_left_alone().await
}

#[tokio::test]
async fn what_is_flushed_is_confirmed_and_not_sent_again() -> Result<()> {
    let source = Source::start(a_major()).await?;
    let target = source.target()?;
    let mut session = Replication::connect(&target, "test").await?;
    let slot = session.create_slot(SLOT, SlotOptions::default(), PATIENCE).await?;
    let (mut stream, progress) = session.start(SLOT, slot.consistent_point, published()).await?;
    for id in 1..=2 {
        source.sql.run(&format!("INSERT INTO t VALUES ({id})")).await?;
    }
    let mut ends = Vec::new();
    read(&mut stream, |frame| {
        if let Frame::Data { payload: [b'C', rest @ ..], .. } = frame {
            // flags, commit_lsn, end_lsn
            ends.push(Lsn(u64::from_be_bytes(rest[9..17].try_into().unwrap_or_default())));
        }
        ends.len() == 2
    })
    .await?;
    progress.flushed(ends[0]);
    wait_for("the confirmation", PATIENCE, async || Ok((source.confirmed().await? == ends[0]).then_some(()))).await?;
    // It is told once more at the end.
    stream.end().await?;

    let again = Replication::connect(&target, "test").await?;
    let (mut stream, _progress) = again.start(SLOT, Lsn::ZERO, published()).await?;
    let mut commits = Vec::new();
    read(&mut stream, |frame| {
        if let Frame::Data { payload: [b'C', rest @ ..], .. } = frame {
            commits.push(Lsn(u64::from_be_bytes(rest[9..17].try_into().unwrap_or_default())));
        }
        matches!(frame, Frame::Keepalive { wal_end, .. } if *wal_end >= ends[1])
    })
    .await?;
    assert_eq!(commits, [ends[1]]);
    Ok(())
}

#[tokio::test]
async fn a_reader_that_pauses_keeps_its_connection() -> Result<()> {
    let source = Source::on(cluster_with(a_major(), options().set("wal_sender_timeout", "2s")).await?).await?;
    let (mut stream, _progress) = source.stream().await?;
    source.sql.run("INSERT INTO t SELECT n, repeat('x', 500) FROM generate_series(1, 20000) n").await?;
    // Nothing is read for several times the timeout, and the server's buffers are full.
    wait_for("several timeouts to pass", PATIENCE, async || {
        let pause: i64 = source
            .sql
            .value("SELECT extract(epoch FROM clock_timestamp() - backend_start)::int8 FROM pg_stat_replication")
            .await?;
        Ok((pause >= 7).then_some(()))
    })
    .await?;
    inserts(&mut stream, 20_000).await
}

#[tokio::test]
async fn every_second_the_server_proves_itself_and_at_once_when_asked() -> Result<()> {
    let source = Source::start(a_major()).await?;
    let (mut stream, progress) = source.stream().await?;
    let started = Instant::now();
    let mut keepalives = 0;
    read(&mut stream, |frame| {
        if let Frame::Keepalive { sent, .. } = frame {
            assert!(sent.elapsed() < Duration::from_millis(500));
            keepalives += 1;
        }
        keepalives == 3
    })
    .await?;
    assert!(started.elapsed() < Duration::from_secs(10), "three took {:?}", started.elapsed());
    // Ten replies in a good second can only be those that were asked for.
    let started = Instant::now();
    for _ in 0..10 {
        progress.request_reply();
        read(&mut stream, |frame| matches!(frame, Frame::Keepalive { .. })).await?;
    }
    assert!(started.elapsed() < Duration::from_secs(5), "ten replies took {:?}", started.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_keepalive_that_was_held_up_is_no_proof() -> Result<()> {
    let source = Source::start(a_major()).await?;
    let proxy = Proxy::start(source.cluster.port()).await?;
    let through = Target::resolve(Some(&proxy.url(&source.cluster.url("postgres"))), |_| None)?;
    let (mut stream, _progress) = stream(&through).await?;
    read(&mut stream, |frame| matches!(frame, Frame::Keepalive { .. })).await?;

    proxy.set(Direction::ToClient, Flow::Silence);
    let silent = Instant::now();
    // The server goes on to answer; three answers pile up on the way.
    wait_for("three seconds of silence", PATIENCE, async || Ok((silent.elapsed() > Duration::from_secs(3)).then_some(())))
        .await?;
    proxy.heal();
    let (mut held_up, mut oldest) = (0, Duration::ZERO);
    read(&mut stream, |frame| {
        if let Frame::Keepalive { sent, .. } = frame {
            held_up += usize::from(sent.elapsed() > Duration::from_millis(500));
            oldest = oldest.max(sent.elapsed());
            return sent.elapsed() < Duration::from_millis(500);
        }
        false
    })
    .await?;
    assert!(held_up >= 1 && oldest > Duration::from_millis(1_500), "{held_up} held up, the oldest for {oldest:?}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() -> Result<()> {
    let source = Source::start(a_major()).await?;
    let proxy = Proxy::start(source.cluster.port()).await?;
    let through = Target::resolve(Some(&proxy.url(&source.cluster.url("postgres"))), |_| None)?;
    let (mut stream, _progress) = stream(&through).await?;
    read(&mut stream, |frame| matches!(frame, Frame::Keepalive { .. })).await?;
    proxy.silence();
    // From here on the minute passes at once.
    tokio::time::pause();
    let error = loop {
        while stream.next_frame()?.is_some() {}
        if let Err(error) = stream.fill().await {
            break error;
        }
    };
    assert!(matches!(error, Error::Silent { .. }) && error.is_transient(), "{error:?}");
    Ok(())
}

on_every_major!(nothing_is_lost_in_a_flood);

async fn nothing_is_lost_in_a_flood(major: u32) -> Result<()> {
    let source = Source::start(major).await?;
    let socket = Target::resolve(Some(&source.cluster.socket_url("postgres")), |_| None)?;
    for target in [source.target()?, socket] {
        let (mut stream, _progress) = stream(&target).await?;
        source.sql.run("TRUNCATE t").await?;
        let transactions = "DO $$ BEGIN FOR n IN 1..5000 LOOP INSERT INTO t VALUES (n); COMMIT; END LOOP; END $$";
        let writing = source.sql.run(transactions);
        let mut ids = BTreeSet::new();
        let reading = read(&mut stream, |frame| {
            if let Frame::Data { payload: [b'I', rest @ ..], .. } = frame {
                // oid, 'N', two columns, 't', length, digits
                let length = rest[8..12].try_into().map(u32::from_be_bytes).unwrap_or_default() as usize;
                ids.insert(String::from_utf8_lossy(&rest[12..12 + length]).parse::<u32>().unwrap_or_default());
            }
            ids.len() == 5000
        });
        tokio::try_join!(reading, writing)?;
        assert_eq!((ids.first(), ids.last()), (Some(&1), Some(&5000)));
        stream.end().await?;
        source.is_left_alone().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_frame_far_larger_than_the_buffer_arrives_whole() -> Result<()> {
    let source = Source::start(a_major()).await?;
    let options = StartOptions { max_value: ValueLimit(64 << 20), ..published() };
    let (mut stream, _progress) = stream_of(&source.target()?, options).await?;
    source.sql.run("INSERT INTO t VALUES (1, repeat('y', 30000000)), (2, 'z')").await?;
    let mut lengths = Vec::new();
    read(&mut stream, |frame| {
        if let Frame::Data { payload: [b'I', rest @ ..], .. } = frame {
            lengths.push(rest.len());
        }
        lengths.len() == 2
    })
    .await?;
    assert!(lengths[0] > 30_000_000 && lengths[1] < 100, "{lengths:?}");
    Ok(())
}

#[tokio::test]
async fn filling_can_be_cancelled_at_any_time() -> Result<()> {
    let source = Source::start(a_major()).await?;
    let (mut stream, _progress) = source.stream().await?;
    source.sql.run("INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(1, 3000) n").await?;
    let (mut seen, mut cancelled, deadline) = (0, 0, Instant::now() + PATIENCE);
    while seen < 3000 {
        ensure!(Instant::now() < deadline, "only {seen} came");
        while let Some(frame) = stream.next_frame()? {
            seen += usize::from(matches!(frame, Frame::Data { payload: [b'I', ..], .. }));
        }
        tokio::select! {
            biased;
            () = tokio::task::yield_now() => cancelled += 1,
            filled = stream.fill() => filled?,
        }
        // Now the other one first, so that it comes to an end sometimes.
        tokio::select! {
            biased;
            filled = stream.fill() => filled?,
            () = tokio::time::sleep(Duration::from_micros(100)) => cancelled += 1,
        }
    }
    assert!(cancelled > 0);
    Ok(())
}

#[tokio::test]
async fn a_slot_that_must_wait_too_long_is_given_up() -> Result<()> {
    let source = Source::start(a_major()).await?;
    let mut other = Database::connect(&source.cluster.url("postgres")).await?;
    let open = other.client().transaction().await?;
    open.batch_execute("INSERT INTO t VALUES (1)").await?;
    let mut session = Replication::connect(&source.target()?, "test").await?;
    let wait = Duration::from_millis(300);
    let Err(error) = session.create_slot(SLOT, SlotOptions::temporary(), wait).await else { bail!("it did not wait") };
    assert!(matches!(&error, Error::SlotTimeout { slot, waited } if slot == SLOT && *waited == wait), "{error}");
    assert!(error.is_transient() && error.advice().to_string().contains("pg_prepared_xacts"));
    // The server has given up too, and the session is still of use.
    assert_eq!(source.slots().await?, 0);
    let mut abandoned = Box::pin(session.create_slot(SLOT, SlotOptions::temporary(), PATIENCE));
    wait_for("the wait to begin", PATIENCE, async || {
        ensure!(tokio::time::timeout(Duration::from_millis(10), &mut abandoned).await.is_err(), "it did not wait");
        Ok((source.slots().await? == 1).then_some(()))
    })
    .await?;
    drop(abandoned);
    wait_for("the server to give up", PATIENCE, async || Ok((source.slots().await? == 0).then_some(()))).await?;

    open.rollback().await?;
    let mut session = Replication::connect(&source.target()?, "test").await?;
    session.create_slot(SLOT, SlotOptions::temporary(), PATIENCE).await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_stops_is_not_kept_waiting() -> Result<()> {
    let mut source = Source::start(a_major()).await?;
    let (mut stream, progress) = source.stream().await?;
    source.sql.run("INSERT INTO t VALUES (1)").await?;
    let reading = tokio::spawn(async move {
        loop {
            while let Some(frame) = stream.next_frame()? {
                if let Frame::Keepalive { wal_end, .. } = frame {
                    progress.flushed(wal_end);
                }
            }
            stream.fill().await?;
        }
        #[allow(unreachable_code)]
        Ok::<(), Error>(())
    });
    drop(source.sql);
    tokio::time::timeout(PATIENCE, source.cluster.stop(Mode::Fast)).await.context("the server waits for us")??;
    let error = reading.await?.err().context("the stream goes on without a server")?;
    assert!(error.is_transient(), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_lost_connection_is_told_and_worth_another_try() -> Result<()> {
    let source = Source::start(a_major()).await?;
    let (mut stream, _progress) = source.stream().await?;
    source.sql.run("SELECT pg_terminate_backend(pid) FROM pg_stat_replication").await?;
    let error = failure(&mut stream).await?;
    assert!(matches!(&error, Error::Server { error, .. } if error.code.code() == "57P01"), "{error:?}");
    assert!(error.is_transient() && error.advice().to_string().contains("connects again by itself"));
    source.is_left_alone().await?;

    let proxy = Proxy::start(source.cluster.port()).await?;
    let through = Target::resolve(Some(&proxy.url(&source.cluster.url("postgres"))), |_| None)?;
    for broken in [Flow::HalfClose, Flow::CutAfter(0)] {
        let (mut stream, _progress) = self::stream(&through).await?;
        proxy.set(Direction::ToClient, broken);
        let error = failure(&mut stream).await?;
        assert!(matches!(error, Error::Channel(_)) && error.is_transient(), "{error:?}");
        proxy.heal();
        drop(stream);
        source.is_left_alone().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_cannot_says_what_to_change() -> Result<()> {
    let physical = options().set("wal_level", "replica").set("max_replication_slots", "1");
    let mut source = Source::on(cluster_with(a_major(), physical).await?).await?;
    let target = source.target()?;
    let create = async || -> Result<Error> {
        let mut session = Replication::connect(&target, "test").await?;
        let created = session.create_slot("another", SlotOptions::temporary(), PATIENCE).await;
        created.err().context("it was created")
    };
    let error = create().await?;
    assert!(!error.is_transient() && error.advice().to_string().contains("wal_level = logical"), "{error}");

    source.sql.run("ALTER SYSTEM SET wal_level = logical").await?;
    // The test's own settings come first in the file; those of ALTER SYSTEM win.
    source.cluster.restart(Mode::Fast).await?;
    let mut holder = Replication::connect(&target, "test").await?;
    holder.create_slot(SLOT, SlotOptions::default(), PATIENCE).await?;
    let error = create().await?;
    assert!(!error.is_transient() && error.advice().to_string().contains("max_replication_slots"), "{error}");

    // Held by another reader, whose process is named. He may let go of it.
    let pid = holder.pid();
    let (_stream, _progress) = holder.start(SLOT, Lsn::ZERO, published()).await?;
    let second = Replication::connect(&target, "test").await?;
    let Err(error) = second.start(SLOT, Lsn::ZERO, published()).await else { bail!("two readers of one slot") };
    assert!(error.is_transient() && error.advice().to_string().contains(&format!("process {pid}")), "{error}");
    let third = Replication::connect(&target, "test").await?;
    let Err(error) = third.start("no_such_slot", Lsn::ZERO, published()).await else { bail!("a slot from nowhere") };
    assert!(!error.is_transient() && error.advice().to_string().contains("no replication slot \"no_such_slot\""), "{error}");
    Ok(())
}

on_every_major!(a_publication_that_is_gone_is_noticed);

async fn a_publication_that_is_gone_is_noticed(major: u32) -> Result<()> {
    let source = Source::start(major).await?;
    let (mut stream, _progress) = source.stream().await?;
    source.sql.run("DROP PUBLICATION p").await?;
    source.sql.run("INSERT INTO t VALUES (1)").await?;
    if major >= 18 {
        read(&mut stream, |frame| matches!(frame, Frame::Notice(notice) if notice.publication_missing())).await?;
    } else {
        let error = failure(&mut stream).await?;
        assert!(!error.is_transient(), "{error}");
        assert!(error.advice().to_string().contains("pgvigil setup --publication p --apply"), "{}", error.advice());
    }
    Ok(())
}
