//! Whom the writer waits for, and for how long. Time is paused: it passes only where somebody waits for it.

use std::time::Duration;

use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};

use super::super::courtesy::{EACH, STALL, TOGETHER};
use super::*;
use crate::event::Gap;

const LIMIT: usize = 256 << 10;
/// Blocks of about 11 kB: the ring holds some twenty.
const WIDTH: usize = 1000;
const EVENTS: u64 = 10;

/// Appends a transaction of `blocks` blocks, as the pipeline does, and gives the time that went into waiting.
async fn write(writer: &mut Writer, epoch: &Epoch, lsn: u64, blocks: u64) -> Duration {
    let (start, events) = (Instant::now(), blocks * EVENTS);
    for first in (1..=events).step_by(EVENTS as usize) {
        let block = part(epoch, lsn, first..=first + EVENTS - 1, events - 1, WIDTH);
        writer.make_room(&block).await;
        writer.append(block);
    }
    start.elapsed()
}

/// Follows until the commit of the transaction at `lsn`, resting after each read, and gives how many events it got; or the gap.
fn follow(history: &History, lsn: u64, bytes: usize, rest: Duration) -> JoinHandle<Result<usize, Gap>> {
    let (mut reader, filter) = (history.read_from(Start::Live), everything());
    tokio::spawn(async move {
        let mut events = 0;
        loop {
            reader.ready().await;
            match reader.read(&filter, bytes) {
                Read::Events(batch) => {
                    events += batch.len();
                    if batch.iter().any(|event| event.head().kind == Kind::Commit && event.head().place.commit_lsn == Lsn(lsn)) {
                        return Ok(events);
                    }
                }
                Read::Gap(gap) => return Err(gap),
                Read::Nothing => {}
            }
            if !rest.is_zero() {
                sleep(rest).await;
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_transaction_larger_than_the_ring_is_given_whole_to_who_reads_it() {
    let (mut writer, history, epoch) = begun(LIMIT);
    let quick: Vec<_> = (0..10).map(|_| follow(&history, 1, 64 << 10, Duration::ZERO)).collect();
    let slower = follow(&history, 1, 64 << 10, Duration::from_millis(5));
    write(&mut writer, &epoch, 1, 1000).await;
    for reader in quick {
        assert_eq!(reader.await.unwrap(), Ok(10_000));
    }
    assert_eq!(slower.await.unwrap(), Ok(10_000));
    assert!(history.usage().evicted_blocks > 900 && history.usage().bytes <= LIMIT);
}

#[tokio::test(start_paused = true)]
async fn who_stalls_delays_the_writer_for_a_moment_once() {
    let (mut writer, history, epoch) = begun(LIMIT);
    let mut stalled = history.read_from(Start::Live);
    let quick = follow(&history, 2, 64 << 10, Duration::ZERO);
    assert!(write(&mut writer, &epoch, 1, 500).await <= STALL);
    assert!(write(&mut writer, &epoch, 2, 500).await.is_zero(), "it has lost its standing");
    assert_eq!(quick.await.unwrap(), Ok(10_000), "and cost nobody else anything");
    // It is told what it lost. Having caught up, it stands as it did before.
    let told = drain(&mut stalled);
    assert!(matches!(told[0], Err(Gap { reason: GapReason::Evicted, .. })));
    let waited = write(&mut writer, &epoch, 3, 500).await;
    assert!(!waited.is_zero() && waited <= STALL);
}

#[tokio::test(start_paused = true)]
async fn who_has_stalled_before_the_ring_is_full_delays_nothing() {
    let (mut writer, history, epoch) = begun(LIMIT);
    let _stalled = history.read_from(Start::Live);
    write(&mut writer, &epoch, 1, 2).await;
    sleep(STALL).await;
    assert!(write(&mut writer, &epoch, 2, 500).await.is_zero());
}

#[tokio::test(start_paused = true)]
async fn who_trickles_delays_the_writer_for_a_bounded_time_once() {
    let (mut writer, history, epoch) = begun(LIMIT);
    let trickling = follow(&history, 2, 0, STALL / 2);
    let waited = write(&mut writer, &epoch, 1, 1000).await;
    assert!(waited > STALL && waited <= EACH, "{waited:?}");
    assert!(write(&mut writer, &epoch, 2, 1000).await.is_zero());
    assert!(trickling.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn all_together_delay_the_writer_for_a_bounded_time() {
    let (mut writer, history, epoch) = begun(LIMIT);
    let start = Instant::now();
    // Each is at the head when it comes, and then trickles: a new one every block.
    let mut trickling = Vec::new();
    for lsn in 1..200 {
        trickling.push(follow(&history, 1000, 0, STALL / 2));
        yield_now().await;
        write(&mut writer, &epoch, lsn, 1).await;
    }
    let waited = start.elapsed();
    assert!(waited > EACH && waited <= TOGETHER + waited / 10 + STALL, "{waited:?}");
    trickling.iter().for_each(JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_not_waited_for() {
    let (mut writer, history, epoch) = begun(LIMIT);
    let reader = history.read_from(Start::Live);
    let leaving = tokio::spawn(async move {
        sleep(STALL / 4).await;
        drop(reader);
    });
    assert_eq!(write(&mut writer, &epoch, 1, 100).await.as_millis(), (STALL / 4).as_millis());
    leaving.await.unwrap();
    assert_eq!(history.usage().readers, 0);
}

#[tokio::test(start_paused = true)]
async fn who_comes_with_an_old_place_has_to_catch_up_first() {
    let (mut writer, history, epoch) = begun(LIMIT);
    write(&mut writer, &epoch, 1, 1).await;
    let _stalled = history.read_from(Start::Oldest);
    assert!(write(&mut writer, &epoch, 2, 500).await.is_zero());
}
