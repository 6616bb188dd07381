//! What one client of the stream is sent, and in which order: the core that [`websocket`](super::websocket) and [`sse`](super::sse) write.
//!
//! ```text
//!            the stream is held
//!  Waiting ────────────────────▶ Following ◀─┐ events · counts · gap, then all counts
//!  status       hello, counts     status     └─┘
//!  alerts                         alerts
//! ```
//!
//! Invariants:
//! - The reader holds its place before `hello` is sent, so nothing is missed that comes after the position which `hello` names.
//! - Counts are sent when every event up to their position was sent, and before any event behind it. (But for those that a client must
//!   not wait for: the first ones, and those after a gap or new terms. They may come before older events; their `as_of` says what they
//!   are true at. And where counts come late, they come after newer events.)
//! - After a gap, no counts are sent that are older than the gap.
//! - What is still running is told between the events, whole each time: it is no part of the history.
//! - Alerts are state, as the status is: those that fire are sent at once, then each that changes.
//! - What is waiting goes out as one [`Batch`], bounded in bytes. A client that is slow only falls behind in the history.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch;

use super::batch::Batch;
use super::{App, alerts, running, tables};
use crate::alerts::Bulletin;
use crate::event::filter::{Filter, StreamKind};
use crate::history::{History, Read, Reader, Start};
use crate::lsn::{Epoch, EventId, Lsn, Place};
use crate::pipeline::{self, Counts, Database, Running, Status};

/// What a client asks for.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) filter: Filter,
    /// Where to begin; if nothing is said, with what is new, or where the client already is.
    pub(super) from: Option<Start>,
}

/// One client's place in the stream.
pub(super) struct Subscription {
    app: Arc<App>,
    filter: Arc<Filter>,
    stage: Stage,
    beat: watch::Receiver<Bytes>,
    counts: watch::Receiver<Arc<Counts>>,
    /// What is new in it goes out with the next beat, if nothing goes before.
    running: watch::Receiver<Arc<Running>>,
    alerts: watch::Receiver<Arc<Bulletin>>,
    /// The revision of the alerts that the client knows.
    alerted: Option<u64>,
}

enum Stage {
    /// No stream is held yet.
    Waiting(Start),
    Following(Following),
}

struct Following {
    reader: Reader,
    /// Of the event last read.
    epoch: Epoch,
    told: Told,
    /// Counts that are to be sent once the reader has come as far. It must not run after newer ones for ever.
    ahead: Option<Arc<Counts>>,
}

/// Which counts the client knows.
#[derive(Clone, Copy)]
enum Told {
    Version(u64),
    /// None that still hold. It is told all, as soon as there are counts of this place in the history or behind it.
    Nothing {
        since: u64,
    },
}

impl Subscription {
    pub(super) fn open(app: Arc<App>, terms: Terms) -> Self {
        let filter = app.sources.history.intern(terms.filter);
        let (mut beat, counts, alerts) = (app.beat.clone(), app.sources.counts.clone(), app.sources.alerts.clone());
        // To a client that has just come, the latest status is news.
        beat.mark_changed();
        let mut running = app.sources.running.clone();
        if !running.borrow_and_update().transactions.is_empty() {
            running.mark_changed();
        }
        let stage = Stage::Waiting(terms.from.unwrap_or(Start::Live));
        Self { app, filter, stage, beat, counts, running, alerts, alerted: None }
    }

    /// Waits until there is something to send, or a beat (which brings an empty batch to a client that wants no status). `None` when the
    /// server ends. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Batch> {
        loop {
            let beat = self.beat.has_changed().ok()?;
            let batch = self.gather();
            if beat || !batch.is_empty() {
                return Some(batch);
            }
            let Stage::Following(Following { reader, .. }) = &mut self.stage else {
                tokio::select! {
                    beat = self.beat.changed() => {
                        beat.ok()?;
                        self.beat.mark_changed();
                    }
                    Ok(()) = self.alerts.changed() => {}
                }
                continue;
            };
            tokio::select! {
                beat = self.beat.changed() => {
                    beat.ok()?;
                    self.beat.mark_changed();
                }
                // Once nobody counts any more, only events and beats are left to wait for.
                Ok(()) = self.counts.changed() => {}
                Ok(()) = self.alerts.changed() => {}
                () = reader.ready() => {}
            }
        }
    }

    /// Takes new terms. What to answer.
    pub(super) fn change(&mut self, terms: Terms) -> Batch {
        self.filter = self.app.sources.history.intern(terms.filter);
        self.alerted = None;
        match (&mut self.stage, terms.from) {
            (Stage::Waiting(waiting), from) => *waiting = from.unwrap_or(Start::Live),
            (Stage::Following(following), None) => following.told = Told::Nothing { since: 0 },
            (Stage::Following(following), Some(start)) => {
                let epoch = self.app.sources.history.newest().map_or_else(|| following.epoch.clone(), |newest| newest.epoch);
                *following = Following::begin(&self.app.sources.history, start, &epoch, &self.counts.borrow());
            }
        }
        let no_such_table = tables::missing(&self.filter, &self.counts.borrow());
        let subscribed = Subscribed { r#type: "subscribed", no_such_table };
        Batch::from(Bytes::from(serde_json::to_vec(&subscribed).unwrap_or_default()))
    }

    /// All that can be sent now.
    fn gather(&mut self) -> Batch {
        let mut batch = Batch::default();
        if let Stage::Waiting(start) = &self.stage {
            self.stage = match self.held(start.clone(), &mut batch) {
                Some(following) => Stage::Following(following),
                None => Stage::Waiting(start.clone()),
            };
        }
        if let Stage::Following(following) = &mut self.stage {
            following.gather(&mut batch, &self.app, &self.filter, &mut self.counts);
            if self.running.has_changed().unwrap_or(false) {
                let running = self.running.borrow_and_update();
                if self.filter.wants(StreamKind::Running) {
                    batch.push(running::event(&running));
                }
            }
        }
        // Seen also by those who are not told: what is left unseen would wake them again at once.
        let bulletin = self.alerts.borrow_and_update();
        if self.alerted != Some(bulletin.revision) && self.filter.wants(StreamKind::Alert) {
            alerts::news(&bulletin, self.alerted, &self.filter).for_each(|alert| batch.push(alert));
            self.alerted = Some(bulletin.revision);
        }
        if self.beat.has_changed().unwrap_or(false) {
            let status = self.beat.borrow_and_update();
            if self.filter.wants(StreamKind::Status) {
                batch.push(status.clone());
            }
        }
        batch
    }

    /// Takes a place in the stream and greets, if the stream is held.
    fn held(&self, start: Start, batch: &mut Batch) -> Option<Following> {
        let status = Arc::clone(&self.app.sources.status.borrow());
        let counts = Arc::clone(&self.counts.borrow());
        let history = &self.app.sources.history;
        status.epoch.as_ref()?;
        let epoch = history.newest()?.epoch;
        let following = Following::begin(history, start, &epoch, &counts);
        batch.push(hello(&status, &epoch, &following, history, &counts, &self.filter));
        Some(following)
    }
}

impl Following {
    /// Takes a place in the history, whose present epoch is `epoch`.
    fn begin(history: &History, start: Start, epoch: &Epoch, counts: &Counts) -> Self {
        let start = match start {
            // The counts that are sent first tell everything up to their position; events go on from there.
            Start::Live if counts.lsn > Lsn::ZERO => {
                Start::After(EventId { epoch: epoch.clone(), place: Place { commit_lsn: counts.lsn, ordinal: 0 } })
            }
            start => start,
        };
        let reader = history.read_from(start);
        let epoch = reader.last().map_or(epoch, |last| &last.epoch).clone();
        // Where nothing was ever counted (there is no table), the first counts come in their place among the events, as later ones do.
        let told = if counts.version == 0 { Told::Version(0) } else { Told::Nothing { since: 0 } };
        Self { reader, epoch, told, ahead: None }
    }

    fn gather(&mut self, batch: &mut Batch, app: &App, filter: &Arc<Filter>, counts: &mut watch::Receiver<Arc<Counts>>) {
        let most = app.limits.batch_bytes;
        while batch.bytes() < most {
            // The position first: the counts of every block before it can be seen by then.
            let head = app.sources.history.position();
            let counts = self.ahead.take().unwrap_or_else(|| Arc::clone(&counts.borrow_and_update()));
            let until = match self.due(&counts) {
                Due::Now(told) => {
                    if filter.wants(StreamKind::Counts) {
                        batch.push(tables::news(told, &counts));
                    }
                    self.told = Told::Version(counts.version);
                    // There may be newer ones.
                    continue;
                }
                Due::After(block) => {
                    self.ahead = Some(counts);
                    block.min(head)
                }
                Due::Known => head,
            };
            match self.reader.read_until(until, filter, most.saturating_sub(batch.bytes())) {
                Read::Events(events) => batch.push_events(events),
                Read::Gap(gap) => {
                    batch.push(gap.json());
                    self.told = Told::Nothing { since: self.reader.position() };
                }
                // The counts that it was to stop at may be due now.
                Read::Nothing if self.ahead.as_ref().is_some_and(|counts| self.reader.position() >= counts.after_block) => {}
                Read::Nothing => break,
            }
            self.note_epoch();
        }
    }

    /// What is to be done about these counts.
    fn due(&self, counts: &Counts) -> Due {
        match self.told {
            // Nothing was ever counted.
            _ if counts.version == 0 => Due::Known,
            Told::Version(told) if told == counts.version => Due::Known,
            Told::Version(told) if self.reader.position() >= counts.after_block => Due::Now(Some(told)),
            Told::Version(_) => Due::After(counts.after_block),
            Told::Nothing { since } if counts.after_block >= since => Due::Now(None),
            Told::Nothing { .. } => Due::Known,
        }
    }

    /// A new epoch begins with a gap: the counts from before it hold no more.
    fn note_epoch(&mut self) {
        if let Some(last) = self.reader.last().filter(|last| last.epoch != self.epoch) {
            self.epoch = last.epoch.clone();
            self.told = Told::Nothing { since: self.reader.position() };
        }
    }
}

enum Due {
    /// They are to be sent now, to a client that was told this version.
    Now(Option<u64>),
    /// They are to be sent behind this block.
    After(u64),
    /// There is nothing to tell.
    Known,
}

#[derive(Serialize)]
struct Hello<'a> {
    r#type: &'static str,
    protocol: u8,
    epoch: &'a str,
    database: Option<&'a Database>,
    /// Everything that is committed after this will be sent.
    lsn: String,
    /// To resume from, if nothing else comes.
    from: Option<String>,
    oldest: Option<String>,
    state: pipeline::State,
    /// Tables that were asked for and are not there now. They may come yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    no_such_table: Vec<String>,
}

/// The answer to new terms.
#[derive(Serialize)]
struct Subscribed {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    no_such_table: Vec<String>,
}

fn hello(status: &Status, epoch: &Epoch, following: &Following, history: &History, counts: &Counts, filter: &Filter) -> Bytes {
    let from = following.reader.last();
    let held = from.filter(|from| from.epoch == *epoch).map_or(counts.lsn, |from| from.place.commit_lsn);
    let hello = Hello {
        r#type: "hello",
        protocol: 1,
        epoch: epoch.as_str(),
        database: status.database.as_deref(),
        lsn: held.to_string(),
        from: from.map(EventId::to_string),
        oldest: history.oldest().as_ref().map(EventId::to_string),
        state: status.state_at(Instant::now()),
        no_such_table: tables::missing(filter, counts),
    };
    serde_json::to_vec(&hello).unwrap_or_default().into()
}
