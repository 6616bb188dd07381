//! What a slot that stays may cost the server before it is let go of. Pure: time is an argument.
//!
//! The server keeps its log from the slot's `restart_lsn` on. That follows what is acknowledged at a distance: it moves where the server notes
//! which transactions run, which it does every 15 s, and not past the oldest of these. So a slot that keeps up costs some seconds of log,
//! which may be more than the budget, and comes back by itself; were it dropped for that, its successor would be, too. It is *over* the budget
//! only while it also stands still, or while as much as that is not even acknowledged.
//!
//! What had gathered before a connection is read first: counted is from the least that was kept since. That is granted anew only to a connection
//! that begins further on than the one before, else one that fails again and again would cost without end.

use std::time::Duration;

use tokio::time::Instant;

use crate::lsn::Lsn;

/// A slot that moves does so more often than this.
const STANDS_STILL: Duration = Duration::from_secs(20);

/// What the server holds for the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// When that was so.
    pub(super) at: Instant,
    /// The end of its log.
    pub(super) end: Lsn,
    /// It keeps its log from here on.
    pub(super) restart: Lsn,
    /// Everything before this was acknowledged.
    pub(super) confirmed: Lsn,
}

impl Held {
    /// Bytes of log that are kept.
    pub(super) fn retained(&self) -> u64 {
        self.end.bytes_since(self.restart)
    }
}

/// What a slot may cost, and has cost.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    limit: u64,
    /// The least that was kept since this was granted, to a connection that began at `granted_at`.
    least: Option<u64>,
    granted_at: Lsn,
    /// Where the slot stands, and since when.
    stands: Option<(Lsn, Instant)>,
    warned: bool,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// More than half of it is used: to be said, once.
    Half,
    /// The slot is to be let go of.
    Over,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, least: None, granted_at: Lsn::ZERO, stands: None, warned: false }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// A connection begins to read at this position.
    pub(super) fn begin(&mut self, from: Lsn) {
        if from > self.granted_at {
            (self.least, self.granted_at) = (None, from);
        }
    }

    /// Judges what was seen.
    pub(super) fn judge(&mut self, held: &Held) -> Verdict {
        let kept = held.retained();
        let least = *self.least.insert(self.least.map_or(kept, |least| least.min(kept)));
        let since = match self.stands {
            Some((at, since)) if at == held.restart => since,
            _ => held.at,
        };
        self.stands = Some((held.restart, since));
        let stands_still = held.at.duration_since(since) >= STANDS_STILL;
        let unconfirmed = held.end.bytes_since(held.confirmed);
        let exceeds = |bytes: u64| kept > least.saturating_add(bytes) && (stands_still || unconfirmed > bytes);
        if exceeds(self.limit) {
            return Verdict::Over;
        }
        // It has to fall by a fifth before it is said again.
        let half = self.limit / 2;
        if kept < half - half / 5 {
            self.warned = false;
        }
        let warns = !self.warned && (exceeds(half) || kept > half && stands_still);
        self.warned |= warns;
        if warns { Verdict::Half } else { Verdict::Fine }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen, a second at a time: where the log ends, what is kept, what is not acknowledged.
    struct Server {
        start: Instant,
        budget: Budget,
    }

    impl Server {
        fn new() -> Self {
            Self { start: Instant::now(), budget: Budget::new(100) }
        }

        fn see(&mut self, second: u64, end: u64, restart: u64, confirmed: u64) -> Verdict {
            let at = self.start + Duration::from_secs(second);
            self.budget.judge(&Held { at, end: Lsn(end), restart: Lsn(restart), confirmed: Lsn(confirmed) })
        }
    }

    #[test]
    fn a_slot_that_nobody_reads_from_is_over_as_soon_as_the_budget_is() {
        let mut server = Server::new();
        assert_eq!(server.see(0, 1000, 1000, 1000), Verdict::Fine);
        assert_eq!(server.see(1, 1050, 1000, 1000), Verdict::Fine);
        assert_eq!(server.see(2, 1051, 1000, 1000), Verdict::Half);
        assert_eq!(server.see(3, 1100, 1000, 1000), Verdict::Fine, "that is said once");
        assert_eq!(server.see(4, 1101, 1000, 1000), Verdict::Over);
    }

    #[test]
    fn one_that_is_held_back_by_a_transaction_is_over_once_it_has_stood_still_for_long() {
        let mut server = Server::new();
        assert_eq!(server.see(0, 1000, 1000, 1000), Verdict::Fine);
        assert_eq!(server.see(1, 5000, 1000, 5000), Verdict::Fine);
        assert_eq!(server.see(19, 5000, 1000, 5000), Verdict::Fine);
        assert_eq!(server.see(20, 5000, 1000, 5000), Verdict::Over);
    }

    #[test]
    fn one_that_keeps_up_never_is_however_much_the_server_writes() {
        let mut server = Server::new();
        for second in 0..1000 {
            let end = second * 50;
            assert_eq!(server.see(second, end, (second / 15 * 15).saturating_sub(15) * 50, end - end.min(50)), Verdict::Fine);
        }
    }

    #[test]
    fn what_had_gathered_is_read_first_but_not_granted_twice() {
        let mut server = Server::new();
        server.budget.begin(Lsn(1000));
        assert_eq!(server.see(0, 9000, 1000, 1000), Verdict::Fine);
        assert_eq!(server.see(30, 9090, 1000, 1000), Verdict::Half);
        // A connection that came no further.
        server.budget.begin(Lsn(1000));
        assert_eq!(server.see(31, 9101, 1000, 1000), Verdict::Over);
        // One that did.
        server.budget.begin(Lsn(1001));
        assert_eq!(server.see(32, 9200, 1000, 1001), Verdict::Fine);
        // The backlog becomes smaller, and is not granted any more.
        assert_eq!(server.see(33, 9200, 9000, 9000), Verdict::Fine);
        assert_eq!(server.see(34, 9501, 9000, 9000), Verdict::Over);
    }

    #[test]
    fn a_warning_is_given_again_only_after_it_was_well() {
        let mut server = Server::new();
        assert_eq!(server.see(0, 1000, 1000, 1000), Verdict::Fine);
        assert_eq!(server.see(1, 1060, 1000, 1000), Verdict::Half);
        assert_eq!(server.see(2, 1060, 1015, 1015), Verdict::Fine);
        assert_eq!(server.see(3, 1075, 1015, 1015), Verdict::Fine);
        assert_eq!(server.see(4, 1080, 1060, 1060), Verdict::Fine);
        assert_eq!(server.see(5, 1140, 1060, 1060), Verdict::Half);
    }
}
