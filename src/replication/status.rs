//! The status task: tells the server how far we are, and asks whether it is there.
//!
//! It owns the writing half of the connection and shares nothing with the reader but a few atomics, so no reader can hold it up. An
//! update goes out each second, asking for a reply; and at once when the server asks for one, or the reader wants one. But never
//! two within [`SPACING`]: a server that shuts down asks again after every answer that does not confirm all it has sent, and would be
//! answered tens of thousands of times a second until the reader has caught up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::beat;
use crate::connection::Transport;
use crate::lsn::Lsn;
use crate::wire::{SendTime, StandbyStatus};

/// A server that is there proves it this often.
const PULSE: Duration = Duration::from_secs(1);
/// The shortest time between two updates.
const SPACING: Duration = Duration::from_millis(10);
/// 2000-01-01, from which PostgreSQL counts, in Unix time.
const POSTGRES_EPOCH: Duration = Duration::from_secs(946_684_800);

/// How far the reader has come; a cheap handle.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    received: AtomicU64,
    flushed: AtomicU64,
    /// The next update shall ask for a reply, though it is not yet time for one.
    ask: AtomicBool,
    /// The connection is to end, whoever still has something to read.
    ends: AtomicBool,
    wake: Notify,
}

impl Progress {
    pub(super) fn at(start: Lsn, acknowledged: Lsn) -> Progress {
        Progress(Arc::new(Shared {
            received: AtomicU64::new(start.0),
            flushed: AtomicU64::new(acknowledged.0),
            ask: AtomicBool::new(false),
            ends: AtomicBool::new(false),
            wake: Notify::new(),
        }))
    }

    /// Everything up to here is kept and will never be asked for again: the server may discard it. Told with the next update.
    pub fn flushed(&self, position: Lsn) {
        self.0.flushed.fetch_max(position.0, Ordering::Relaxed);
    }

    /// Asks the server for a keepalive now. Asked often, it is done as often as makes sense.
    pub fn request_reply(&self) {
        self.0.ask.store(true, Ordering::Relaxed);
        self.0.wake.notify_one();
    }

    /// Ends the connection at once, whatever the reader does: the server stops to send, and lets go of the slot. What has arrived can still be
    /// read, then the stream ends. False when that was done before.
    pub fn hang_up(&self) -> bool {
        let is_news = !self.0.ends.swap(true, Ordering::Relaxed);
        self.0.wake.notify_one();
        is_news
    }

    /// Everything up to here has arrived.
    pub(super) fn received(&self, position: Lsn) {
        self.0.received.fetch_max(position.0, Ordering::Relaxed);
    }

    /// The server wants to hear from us at once.
    pub(super) fn reply(&self) {
        self.0.wake.notify_one();
    }

    fn status(&self, reply_requested: bool) -> StandbyStatus {
        let flushed = Lsn(self.0.flushed.load(Ordering::Relaxed));
        let written = Lsn(self.0.received.load(Ordering::Relaxed)).max(flushed);
        StandbyStatus { written, flushed, time: now(), reply_requested }
    }
}

/// Runs until the connection breaks or is hung up, or until `finish`: then it says CopyDone and gives the connection back.
pub(super) async fn run(
    mut half: WriteHalf<Transport>,
    progress: Progress,
    mut finish: oneshot::Receiver<()>,
) -> std::io::Result<WriteHalf<Transport>> {
    let mut pulse = beat::every(PULSE);
    let mut next = Instant::now();
    loop {
        let finished = tokio::select! {
            _ = pulse.tick() => {
                progress.0.ask.store(true, Ordering::Relaxed);
                false
            }
            () = progress.0.wake.notified() => false,
            _ = &mut finish => true,
        };
        sleep_until(next).await;
        next = Instant::now() + SPACING;
        if progress.0.ends.load(Ordering::Relaxed) {
            half.shutdown().await?;
            return Err(std::io::ErrorKind::NotConnected.into());
        }
        let ask = progress.0.ask.swap(false, Ordering::Relaxed);
        half.write_all(&progress.status(ask && !finished).encode()).await?;
        if finished {
            half.write_all(&copy_done()).await?;
            half.flush().await?;
            return Ok(half);
        }
        half.flush().await?;
    }
}

fn copy_done() -> bytes::BytesMut {
    let mut message = bytes::BytesMut::new();
    postgres_protocol::message::frontend::copy_done(&mut message);
    message
}

fn now() -> SendTime {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH + POSTGRES_EPOCH).unwrap_or_default();
    SendTime(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
