//! What is known of the connection, and the status that is published of it.
//!
//! The pipeline notes facts; a task of its own turns them into a [`Status`] once a second and whenever a fact changes that a person would
//! want to know at once. So the status tells the truth also while the pipeline is busy for a long time, or stuck.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use tokio::sync::watch;

use super::published::{Database, STALE_AFTER, Slot, State, Status};
use super::state::{self, Lag, Phase};
use crate::beat;
use crate::history::Recording;
use crate::lsn::{Epoch, Lsn};
use crate::rows;

/// Facts, as the pipeline sees them.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) phase: Phase,
    pub(super) reason: Option<String>,
    pub(super) database: Option<Arc<Database>>,
    pub(super) epoch: Option<Epoch>,
    pub(super) slot: Option<Slot>,
    /// The rows that are kept, where any are wanted.
    pub(super) row_cache: Option<rows::Usage>,
    /// How far the journal is, if there is one.
    pub(super) recording: Option<watch::Receiver<Recording>>,
    pub(super) publication: String,
    pub(super) lag: Lag,
    /// When the server last said how far the stream is.
    pub(super) last_proof: Option<Instant>,
    /// When the publication, the catalog and the end of the log were last looked at. A stream alone proves nothing: it is as silent when
    /// the publication is empty.
    pub(super) looked_at: Option<Instant>,
}

/// A hand on the facts: the pipeline's, and its observer's.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    facts: watch::Sender<Facts>,
}

impl Standing {
    /// Nothing known yet. The status goes to `status` for as long as the pipeline lives.
    pub(super) fn new(publication: String, status: watch::Sender<Arc<Status>>) -> Self {
        let facts = Facts::new(publication);
        let (sender, receiver) = watch::channel(facts);
        tokio::spawn(publish(receiver, status));
        Self { facts: sender }
    }

    /// Notes what a person would want to know at once.
    pub(super) fn note(&self, change: impl FnOnce(&mut Facts)) {
        self.facts.send_modify(change);
    }

    /// Notes that the stream stands at `lsn`, and when the server last said that this is all. It goes with the next second's status.
    pub(super) fn streamed(&self, lsn: Lsn, proof: Option<Instant>) {
        self.facts.send_if_modified(|facts| {
            facts.lag.stream_at(lsn);
            let silent_for = facts.last_proof.map(|proof| proof.elapsed());
            facts.last_proof = facts.last_proof.max(proof);
            silent_for.is_none_or(|silent| silent >= STALE_AFTER)
        });
    }

    /// Notes that the stream was hung up.
    pub(super) fn let_go(&self) {
        self.note(|facts| {
            facts.phase = Phase::Disconnected;
            facts.reason = Some("the connection was let go of, so that the server can stop".to_owned());
        });
    }

    /// Notes what the cache of rows holds. It goes with the next second's status.
    pub(super) fn caches(&self, usage: rows::Usage) {
        self.facts.send_if_modified(|facts| {
            facts.row_cache = Some(usage);
            false
        });
    }

    /// Notes a look at the server.
    pub(super) fn looked(&self, at: Instant, server_lsn: Lsn, retained_bytes: u64) {
        self.facts.send_if_modified(|facts| {
            facts.looked_at = Some(at);
            facts.lag.server_at(server_lsn, Instant::now());
            if let Some(slot) = &mut facts.slot {
                slot.retained_bytes = retained_bytes;
            }
            false
        });
    }
}

impl Facts {
    fn new(publication: String) -> Self {
        let phase = Phase::Connecting;
        let (reason, database, epoch, slot, row_cache, recording) = (None, None, None, None, None, None);
        let (last_proof, looked_at) = (None, None);
        Self {
            phase,
            reason,
            database,
            epoch,
            slot,
            row_cache,
            recording,
            publication,
            lag: Lag::default(),
            last_proof,
            looked_at,
        }
    }

    fn status(&self, before: Option<&Status>) -> Status {
        let now = Instant::now();
        let last_proof = self.last_proof.min(self.looked_at);
        let waits = self.recording.as_ref().and_then(|recording| recording.borrow().waits.clone());
        let state = match state::state(self.phase, &self.lag, last_proof, now) {
            // What cannot be recorded is not read any more, or soon will not be.
            State::Live if waits.is_some() => State::Lagging,
            state => state,
        };
        let since = before.filter(|before| before.state == state).map_or_else(super::unix_micros, |before| before.since);
        Status {
            state,
            reason: waits.or_else(|| self.reason.clone()).or_else(|| self.explain(state, now)),
            since,
            database: self.database.clone(),
            epoch: self.epoch.clone(),
            lsn: self.lag.position(),
            server_lsn: self.lag.server(),
            last_proof,
            slot: self.slot.clone(),
            row_cache: self.row_cache,
            publication: self.publication.clone(),
        }
    }

    fn explain(&self, state: State, now: Instant) -> Option<String> {
        match state {
            State::Lagging => {
                let (time, log) = (self.lag.time(now).as_secs(), ByteSize::b(self.lag.bytes()).display().iec());
                let time = humantime::format_duration(Duration::from_secs(time));
                Some(format!("the stream is {time} and {log} of log behind the server"))
            }
            State::Stale => {
                let seconds = STALE_AFTER.as_secs();
                Some(format!("the server has not answered for {seconds} s, though the connection is open"))
            }
            State::Live => self.slot.as_ref().and_then(Slot::explain),
            _ => None,
        }
    }
}

/// The status before anything is known.
pub(super) fn unknown(publication: String) -> Status {
    Facts::new(publication).status(None)
}

async fn publish(mut facts: watch::Receiver<Facts>, status: watch::Sender<Arc<Status>>) {
    let mut tick = beat::every(Duration::from_secs(1));
    loop {
        tokio::select! {
            changed = facts.changed() => if changed.is_err() { return },
            _ = tick.tick() => {}
        }
        let now = facts.borrow_and_update().status(Some(&status.borrow()));
        status.send_replace(Arc::new(now));
    }
}
