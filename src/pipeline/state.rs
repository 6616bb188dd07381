//! The state that everything shown carries: how far it can be trusted. Pure: time is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::published::{STALE_AFTER, State};
use crate::lsn::Lsn;

/// Further behind than this, what is shown is late.
const LAGGING_FOR: Duration = Duration::from_secs(5);
const LAGGING_BYTES: u64 = 16 << 20;

/// Where the pipeline is with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Never connected yet.
    Connecting,
    /// The stream is held, in the first epoch of the process or in a later one; `counted` once there is anything to show.
    Streaming { first_epoch: bool, counted: bool },
    /// Not connected; trying again.
    Disconnected,
    /// Connected, but there is nothing to stream from (no publication).
    Resyncing,
    /// Another database answers.
    WrongDatabase,
}

/// The state at `now`.
pub(super) fn state(phase: Phase, lag: &Lag, last_proof: Option<Instant>, now: Instant) -> State {
    match phase {
        Phase::Connecting => State::Connecting,
        Phase::Disconnected => State::Disconnected,
        Phase::Resyncing => State::Resyncing,
        Phase::WrongDatabase => State::WrongDatabase,
        Phase::Streaming { .. } if last_proof.is_none_or(|proof| now.duration_since(proof) >= STALE_AFTER) => State::Stale,
        Phase::Streaming { first_epoch: true, counted: false } => State::Connecting,
        Phase::Streaming { first_epoch: false, counted: false } => State::Resyncing,
        Phase::Streaming { .. } if lag.bytes() >= LAGGING_BYTES || lag.time(now) >= LAGGING_FOR => State::Lagging,
        Phase::Streaming { .. } => State::Live,
    }
}

/// How far behind the stream is, by the server's positions and our own monotonic clock alone: no two clocks are compared.
#[derive(Clone, Debug, Default)]
pub(super) struct Lag {
    position: Lsn,
    server: Lsn,
    /// Ends of the server's log that the stream has not reached, and when each was seen; oldest first.
    seen: VecDeque<(Lsn, Instant)>,
}

impl Lag {
    /// The server's flushed log ended at `lsn` at `now`.
    pub(super) fn server_at(&mut self, lsn: Lsn, now: Instant) {
        self.server = self.server.max(lsn);
        if lsn > self.position && self.seen.back().is_none_or(|(last, _)| lsn > *last) {
            self.seen.push_back((lsn, now));
        }
    }

    /// The stream has reached `lsn`.
    pub(super) fn stream_at(&mut self, lsn: Lsn) {
        self.position = self.position.max(lsn);
        while self.seen.front().is_some_and(|(lsn, _)| *lsn <= self.position) {
            self.seen.pop_front();
        }
    }

    pub(super) fn position(&self) -> Lsn {
        self.position
    }

    pub(super) fn server(&self) -> Lsn {
        self.server.max(self.position)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.server.bytes_since(self.position)
    }

    /// For how long the server has held something that the stream has not reached.
    pub(super) fn time(&self, now: Instant) -> Duration {
        self.seen.front().map_or(Duration::ZERO, |(_, since)| now.duration_since(*since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: Phase = Phase::Streaming { first_epoch: true, counted: true };

    #[test]
    fn live_needs_a_fresh_proof_and_little_lag() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut lag = Lag::default();
        lag.stream_at(Lsn(1000));
        assert_eq!(state(LIVE, &lag, Some(start), at(1)), State::Live);
        assert_eq!(state(LIVE, &lag, Some(start), at(15)), State::Stale);
        assert_eq!(state(LIVE, &lag, None, at(0)), State::Stale);

        lag.server_at(Lsn(2000), at(1));
        assert_eq!(state(LIVE, &lag, Some(at(5)), at(5)), State::Live);
        assert_eq!(state(LIVE, &lag, Some(at(6)), at(6)), State::Lagging);
        lag.stream_at(Lsn(2000));
        assert_eq!(state(LIVE, &lag, Some(at(6)), at(6)), State::Live);
        lag.server_at(Lsn(2000 + LAGGING_BYTES), at(6));
        assert_eq!(state(LIVE, &lag, Some(at(6)), at(6)), State::Lagging);
    }

    #[test]
    fn a_steady_stream_does_not_lag_however_long_it_flows() {
        let start = Instant::now();
        let mut lag = Lag::default();
        for second in 0..100 {
            let now = start + Duration::from_secs(second);
            lag.server_at(Lsn(1000 * (second + 1)), now);
            lag.stream_at(Lsn(1000 * second));
            assert_eq!(state(LIVE, &lag, Some(now), now), State::Live);
        }
    }

    #[test]
    fn nothing_is_live_before_the_first_count() {
        let (now, lag) = (Instant::now(), Lag::default());
        let streaming = |first_epoch| Phase::Streaming { first_epoch, counted: false };
        assert_eq!(state(streaming(true), &lag, Some(now), now), State::Connecting);
        assert_eq!(state(streaming(false), &lag, Some(now), now), State::Resyncing);
        assert_eq!(state(Phase::Disconnected, &lag, Some(now), now), State::Disconnected);
        assert_eq!(state(Phase::WrongDatabase, &lag, Some(now), now), State::WrongDatabase);
    }
}
