//! What a slot that stays may cost the server before it is let go of. Pure: time is an argument.
//!
//! The server keeps its log from the slot's `restart_lsn` on. That follows what is acknowledged at a distance: it moves where the server notes
//! which transactions run, which it does every 15 s, and while any do only up to the note before. So a slot that keeps up costs the log of
//! half a minute, which may be more than the budget, and comes back by itself; were it dropped for that, its successor would be, too. It is
//! *over* the budget only while it also stands still, as behind a transaction that stays open, or while what is acknowledged is late.
//!
//! What had gathered before a connection is read first: counted is from the least that was kept since. That is granted anew only to a connection
//! that begins further on than the one before, else one that fails again and again would cost without end.

use std::time::Duration;

use tokio::time::Instant;

use crate::lsn::Lsn;

/// A slot that moves does so more often than this: the server has noted at least twice what runs.
const STANDS_STILL: Duration = Duration::from_secs(45);
/// What was written this long ago is acknowledged by who keeps up.
const LATE: Duration = Duration::from_secs(5);
/// It is well again after it was for so long: longer than it takes a slot to move.
const WELL: Duration = Duration::from_secs(60);

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
    /// An end of the log that is not acknowledged, and when it was seen.
    awaited: Option<(Lsn, Instant)>,
    /// When that was last said, or would have been but for that.
    unwell: Option<Instant>,
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
        Self { limit, least: None, granted_at: Lsn::ZERO, stands: None, awaited: None, unwell: None }
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
        // Each begins anew where it is not so any more.
        let (_, since) =
            *self.stands.insert(self.stands.filter(|(at, _)| *at == held.restart).unwrap_or((held.restart, held.at)));
        let (_, seen) =
            *self.awaited.insert(self.awaited.filter(|(end, _)| *end > held.confirmed).unwrap_or((held.end, held.at)));
        let is_stuck = held.at.duration_since(since) >= STANDS_STILL || held.at.duration_since(seen) >= LATE;
        if is_stuck && kept > least.saturating_add(self.limit) {
            return Verdict::Over;
        }
        let half = self.limit / 2;
        let is_said = self.unwell.is_some_and(|last| held.at.duration_since(last) < WELL);
        // It has to fall by a fifth to be well.
        if kept > half || is_said && kept >= half - half / 5 {
            self.unwell = Some(held.at);
        }
        if kept > half && !is_said { Verdict::Half } else { Verdict::Fine }
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
    fn a_slot_that_nobody_reads_from_is_over_when_the_budget_is() {
        let mut server = Server::new();
        assert_eq!(server.see(0, 1000, 1000, 1000), Verdict::Fine);
        assert_eq!(server.see(1, 1020, 1000, 1000), Verdict::Fine);
        assert_eq!(server.see(5, 1050, 1000, 1000), Verdict::Fine);
        assert_eq!(server.see(6, 1051, 1000, 1000), Verdict::Half);
        assert_eq!(server.see(7, 1100, 1000, 1000), Verdict::Fine, "that is said once");
        assert_eq!(server.see(8, 1101, 1000, 1000), Verdict::Over);
    }

    #[test]
    fn one_that_is_held_back_by_a_transaction_is_over_once_it_has_stood_still_for_long() {
        let mut server = Server::new();
        assert_eq!(server.see(0, 1000, 1000, 1000), Verdict::Fine);
        assert_eq!(server.see(1, 5000, 1000, 5000), Verdict::Half);
        assert_eq!(server.see(44, 5000, 1000, 5000), Verdict::Fine);
        assert_eq!(server.see(45, 5000, 1000, 5000), Verdict::Over);
    }

    #[test]
    fn one_that_keeps_up_never_is_however_much_the_server_writes() {
        let mut server = Server::new();
        let mut warnings = 0;
        for second in 0..1000 {
            let end = second * 50;
            match server.see(second, end, (second / 15 * 15).saturating_sub(15) * 50, end.saturating_sub(50)) {
                Verdict::Fine => {}
                Verdict::Half => warnings += 1,
                Verdict::Over => panic!("after {second} s"),
            }
        }
        assert_eq!(warnings, 1);
    }

    #[test]
    fn what_had_gathered_is_read_first_but_not_granted_twice() {
        let mut server = Server::new();
        server.budget.begin(Lsn(1000));
        assert_eq!(server.see(0, 9000, 1000, 1000), Verdict::Half);
        assert_eq!(server.see(30, 9090, 1000, 1000), Verdict::Fine);
        // A connection that came no further.
        server.budget.begin(Lsn(1000));
        assert_eq!(server.see(31, 9101, 1000, 1000), Verdict::Over);
        // One that did.
        server.budget.begin(Lsn(1001));
        assert_eq!(server.see(32, 9200, 1000, 1001), Verdict::Fine);
        // The backlog becomes smaller, and is not granted any more.
        assert_eq!(server.see(33, 9200, 9200, 9200), Verdict::Fine);
        assert_eq!(server.see(34, 9250, 9200, 9200), Verdict::Fine);
        assert_eq!(server.see(39, 9301, 9200, 9200), Verdict::Over);
    }

    #[test]
    fn a_warning_is_given_again_only_after_it_was_well_for_a_while() {
        let mut server = Server::new();
        assert_eq!(server.see(0, 1050, 1000, 1050), Verdict::Fine);
        assert_eq!(server.see(1, 1051, 1000, 1051), Verdict::Half);
        // Not well.
        assert_eq!(server.see(40, 1051, 1010, 1051), Verdict::Fine);
        assert_eq!(server.see(70, 1050, 1010, 1050), Verdict::Fine);
        assert_eq!(server.see(71, 1061, 1010, 1061), Verdict::Fine);
        // Well, but not for long.
        assert_eq!(server.see(72, 1070, 1070, 1070), Verdict::Fine);
        assert_eq!(server.see(130, 1130, 1070, 1130), Verdict::Fine);
        // For long.
        assert_eq!(server.see(131, 1130, 1130, 1130), Verdict::Fine);
        assert_eq!(server.see(191, 1190, 1130, 1190), Verdict::Half);
    }
}
