//! The server's clock, as seen from here: how old is what arrives?
//!
//! A keepalive that sat in a buffer for a minute (ours while we were paused, a proxy's while it stalled) must not pass for a sign
//! of life. The server stamps each with its own clock, which may be an hour off. But the *difference* between stamp and arrival is
//! one constant, plus the delay of that one message; so against the fastest message so far, every later one shows its own delay.
//!
//! The two clocks drift apart a little. So the fastest message is believed a little less each second: enough for any real clock,
//! too little for a stalled connection to pass.

use std::time::{Duration, Instant};

use crate::wire::SendTime;

/// Two clocks of ordinary machines drift apart less than this: 200 µs in each second.
const DRIFT_PER_SECOND: i64 = 200;

/// Turns the server's stamps into times of our own clock.
#[derive(Debug)]
pub(super) struct ServerClock {
    epoch: Instant,
    fastest: Option<Fastest>,
}

#[derive(Clone, Copy, Debug)]
struct Fastest {
    /// Arrival less stamp, in microseconds: the clocks' difference plus the shortest delay.
    lead: i64,
    arrived: i64,
}

impl ServerClock {
    pub(super) fn new(now: Instant) -> ServerClock {
        ServerClock { epoch: now, fastest: None }
    }

    /// When a message that arrives `now` was sent: never later than that.
    pub(super) fn sent(&mut self, stamp: SendTime, now: Instant) -> Instant {
        let arrived = i64::try_from(now.duration_since(self.epoch).as_micros()).unwrap_or(i64::MAX);
        let lead = arrived.saturating_sub(stamp.0);
        let expected = self.fastest.map(|fastest| {
            let drift = arrived.saturating_sub(fastest.arrived) / 1_000_000 * DRIFT_PER_SECOND;
            fastest.lead.saturating_add(drift)
        });
        match expected {
            Some(expected) if lead > expected => {
                let delay = Duration::from_micros(lead.saturating_sub(expected).unsigned_abs());
                now.checked_sub(delay).unwrap_or(self.epoch)
            }
            _ => {
                self.fastest = Some(Fastest { lead, arrived });
                now
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A server whose clock is an hour ahead and drifts by `ppm`.
    fn stamp(sent_after: Duration, ppm: i64) -> SendTime {
        let micros = i64::try_from(sent_after.as_micros()).unwrap();
        SendTime(3_600_000_000 + micros + micros * ppm / 1_000_000)
    }

    #[test]
    fn what_comes_at_once_is_new_whatever_the_clocks_say() {
        let start = Instant::now();
        let mut clock = ServerClock::new(start);
        for second in 0..10 {
            let now = start + SECOND * second;
            assert_eq!(clock.sent(stamp(now - start, 0), now), now);
        }
    }

    #[test]
    fn what_was_held_up_shows_its_age() {
        let start = Instant::now();
        let mut clock = ServerClock::new(start);
        clock.sent(stamp(Duration::ZERO, 0), start);
        // The connection stalls; after a minute sixty messages arrive at once, the last of them new.
        let now = start + SECOND * 60;
        for second in 1..=60 {
            let age = now - clock.sent(stamp(SECOND * second, 0), now);
            let expected = SECOND * (60 - second);
            let slack = Duration::from_millis(20);
            assert!(age <= expected && age + slack >= expected, "{age:?} instead of {expected:?}");
        }
    }

    #[test]
    fn a_week_of_drift_is_no_delay() {
        for ppm in [-100, 100] {
            let start = Instant::now();
            let mut clock = ServerClock::new(start);
            for second in 0..7 * 24 * 3600 {
                let now = start + SECOND * second;
                let age = now - clock.sent(stamp(now - start, ppm), now);
                assert!(age < Duration::from_millis(1), "{age:?} after {second} s");
            }
        }
    }

    #[test]
    fn absurd_stamps_are_survived() {
        let now = Instant::now();
        let mut clock = ServerClock::new(now);
        for stamp in [i64::MIN, 0, i64::MAX, i64::MIN, -1] {
            assert!(clock.sent(SendTime(stamp), now) <= now);
        }
    }
}
