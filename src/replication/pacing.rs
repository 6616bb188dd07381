//! When to read: the nap.
//!
//! A walsender makes one `send` for every change. A reader that waits in `read` is woken by each, and both sides pay a context
//! switch per change. A reader that lets bytes gather for a millisecond lets the walsender run on: a backlog then drains about twice
//! as fast, and the *database server* spends half the CPU on it. So:
//!
//! ```text
//!            reads come thick and fast
//!   ┌───────┐ ───────────────────────▶ ┌─────────┐
//!   │ Eager │                          │ Napping │ read until the socket is empty, then nap before the next read
//!   └───────┘ ◀─────────────────────── └─────────┘
//!   block in read   a nap yields nothing
//! ```
//!
//! A transaction that arrives alone, in several sends, must not wait. What a nap saves are wake-ups, so wake-ups are what is counted:
//! a bucket takes one drop a read and loses one a millisecond, and only when it is full does napping begin. A stream begins with the
//! bucket full, since it begins with a backlog: noticed only later, the nap would come at different times of the same flood, with
//! results twice apart.
//!
//! A unix socket is read without naps. Its buffer is the sender's, which we cannot enlarge, and holds some two hundred messages: a nap
//! would stop the walsender rather than let it run on. And it has no need of one: without TCP beneath it, a wake-up costs half as much.

use std::time::{Duration, Instant};

/// Long enough for a walsender to send a few hundred changes, short enough that even the receive buffer of a slow kernel does not fill.
pub(super) const NAP: Duration = Duration::from_millis(1);

/// Reads in excess of one a millisecond that make a flood.
const FLOOD: u32 = 32;

/// Decides whether to nap before a read. Pure: time is an argument.
#[derive(Debug)]
pub(super) struct Pacing(State);

#[derive(Debug)]
enum State {
    /// Block in `read`, always.
    Blocking,
    /// Block in `read`. `level` is that of the bucket, at the time `since`.
    Eager { level: u32, since: Option<Instant> },
    /// Nap until then, and before each read from then on.
    Napping { until: Instant },
}

impl Pacing {
    /// For a stream over a unix socket.
    pub(super) fn blocking() -> Pacing {
        Pacing(State::Blocking)
    }

    /// For a stream that begins.
    pub(super) fn catching_up() -> Pacing {
        Pacing(State::Eager { level: FLOOD, since: None })
    }

    /// When the next read is due; `None` when it may block at once.
    pub(super) fn nap_until(&self) -> Option<Instant> {
        match self.0 {
            State::Blocking | State::Eager { .. } => None,
            State::Napping { until } => Some(until),
        }
    }

    /// A read brought bytes. `drained`: it left nothing behind.
    pub(super) fn read(&mut self, now: Instant, drained: bool) {
        self.0 = match self.0 {
            State::Blocking => State::Blocking,
            State::Napping { .. } => State::Napping { until: if drained { now + NAP } else { now } },
            State::Eager { level, since } => {
                let leaked = since.map_or(0, |since| now.saturating_duration_since(since).as_millis());
                let level = level.saturating_sub(u32::try_from(leaked).unwrap_or(u32::MAX)) + 1;
                match level > FLOOD {
                    true => State::Napping { until: now + NAP },
                    // Less than a whole millisecond has not leaked: it counts with the next read.
                    false => State::Eager { level, since: since.filter(|_| leaked == 0).or(Some(now)) },
                }
            }
        };
    }

    /// After a nap there was nothing to read.
    pub(super) fn nothing(&mut self) {
        self.0 = State::Eager { level: 0, since: None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eager() -> Pacing {
        let mut pacing = Pacing::catching_up();
        pacing.nothing();
        pacing
    }

    /// Reads `count` times, `apart`, and says whether it naps then.
    fn naps_after(pacing: &mut Pacing, start: Instant, count: u32, apart: Duration) -> bool {
        (0..count).for_each(|n| pacing.read(start + apart * n, true));
        pacing.nap_until().is_some()
    }

    #[test]
    fn a_stream_begins_napping_with_its_first_bytes() {
        let (mut pacing, now) = (Pacing::catching_up(), Instant::now());
        assert_eq!(pacing.nap_until(), None, "the first bytes are waited for, however long");
        pacing.read(now, true);
        assert_eq!(pacing.nap_until(), Some(now + NAP));
    }

    #[test]
    fn a_lone_transaction_in_several_sends_is_not_delayed() {
        assert!(!naps_after(&mut eager(), Instant::now(), 20, Duration::from_micros(5)));
    }

    #[test]
    fn a_steady_trickle_never_naps() {
        assert!(!naps_after(&mut eager(), Instant::now(), 10_000, Duration::from_millis(1)));
        assert!(!naps_after(&mut eager(), Instant::now(), 10_000, Duration::from_micros(1_100)));
    }

    #[test]
    fn a_unix_socket_never_naps() {
        assert!(!naps_after(&mut Pacing::blocking(), Instant::now(), 10_000, Duration::ZERO));
    }

    #[test]
    fn a_flood_naps_soon_and_on() {
        let (mut pacing, now) = (eager(), Instant::now());
        assert!(naps_after(&mut pacing, now, FLOOD + 1, Duration::from_micros(10)));
        pacing.read(now, true);
        assert!(pacing.nap_until().is_some());
    }

    #[test]
    fn five_thousand_reads_a_second_are_a_flood() {
        assert!(naps_after(&mut eager(), Instant::now(), 200, Duration::from_micros(200)));
    }

    #[test]
    fn what_is_left_in_the_socket_is_read_at_once() {
        let (mut pacing, now) = (Pacing::catching_up(), Instant::now());
        pacing.read(now, true);
        pacing.read(now, false);
        assert_eq!(pacing.nap_until(), Some(now));
    }

    #[test]
    fn an_empty_nap_ends_it() {
        let (mut pacing, now) = (Pacing::catching_up(), Instant::now());
        pacing.read(now, true);
        pacing.nothing();
        assert_eq!(pacing.nap_until(), None);
        pacing.read(now, true);
        assert_eq!(pacing.nap_until(), None);
    }
}
