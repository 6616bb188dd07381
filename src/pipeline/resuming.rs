//! How a durable slot is taken up: whether the stream goes on where it was left, or begins anew, and why. Pure.
//!
//! ```text
//!                                    ┌──────────── no slot, nothing recorded: made, no gap
//!   recorded, slot, server's log ────┼──────────── the slot stands at or before what is recorded: the epoch goes on from there
//!                                    ├──────────── anything else of ours: dropped and made anew, a new epoch behind a gap that says why
//!                                    └──────────── somebody else's: refused
//! ```

use crate::catalog::{DurableSlot, SlotState};
use crate::event::GapReason;
use crate::lsn::{Epoch, Lsn};

/// Where an epoch was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) epoch: Epoch,
    /// Everything committed before this has been seen.
    pub(super) position: Lsn,
    /// Of the server's log.
    pub(super) timeline: u32,
}

/// What is to be done with the slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// The epoch goes on from its position.
    GoOn(Left),
    /// Nothing was seen before: the stream begins where the slot stands.
    TakeUp(Lsn),
    /// A slot is made, after the one that is there is dropped, if one is. With a reason, something may have been missed.
    Anew { drop: bool, reason: Option<GapReason> },
    /// It is not ours to use.
    Refuse(&'static str),
}

/// Decides. `ends` says where the server left a timeline for the one that it is on now, if it came from that one.
pub(super) fn plan(left: Option<Left>, server: &SlotState, timeline: u32, ends: impl Fn(u32) -> Option<Lsn>) -> Plan {
    let drop = server.slot.is_some();
    let Some(DurableSlot { fits, confirmed, invalidated, .. }) = &server.slot else {
        return Plan::Anew { drop, reason: left.map(|_| GapReason::SlotLost) };
    };
    if !fits {
        return Plan::Refuse("it is not a durable logical slot of this database for pgoutput");
    }
    let Some(left) = left else {
        let anew = Plan::Anew { drop, reason: None };
        return if invalidated.is_some() { anew } else { Plan::TakeUp(*confirmed) };
    };
    // A server that was restored from a backup, or a standby that took over without having all of it, has not this past: it left our
    // timeline before we did, or never was on it.
    let same_past = if left.timeline == timeline {
        left.position <= server.end_lsn
    } else {
        ends(left.timeline).is_some_and(|end| left.position <= end)
    };
    let reason = match (invalidated, same_past) {
        (Some(_), _) => GapReason::SlotInvalidated,
        (None, false) => GapReason::ServerRewound,
        // Someone else has read from it, and what he acknowledged is gone.
        (None, true) if *confirmed > left.position => GapReason::SlotMoved,
        (None, true) => return Plan::GoOn(left),
    };
    Plan::Anew { drop, reason: Some(reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(position: u64) -> Left {
        Left { epoch: Epoch::at_millis(1), position: Lsn(position), timeline: 1 }
    }

    fn slot(confirmed: u64) -> SlotState {
        let slot = DurableSlot {
            fits: true,
            database: None,
            active_pid: None,
            confirmed: Lsn(confirmed),
            failover: false,
            invalidated: None,
        };
        SlotState { slot: Some(slot), end_lsn: Lsn(1000), standbys_first: false, bounded: true }
    }

    fn with(state: &SlotState, change: impl Fn(&mut DurableSlot)) -> SlotState {
        let mut state = state.clone();
        state.slot.as_mut().into_iter().for_each(change);
        state
    }

    fn same(_: u32) -> Option<Lsn> {
        None
    }

    #[test]
    fn an_epoch_goes_on_only_where_nothing_can_have_been_missed() {
        let anew = |drop, reason| Plan::Anew { drop, reason: Some(reason) };
        let none = SlotState { slot: None, ..slot(0) };
        let lost = with(&slot(400), |slot| slot.invalidated = Some("wal_removed".to_owned()));
        let foreign = with(&slot(400), |slot| slot.fits = false);
        for (recorded, server, expected) in [
            (None, &none, Plan::Anew { drop: false, reason: None }),
            (None, &slot(400), Plan::TakeUp(Lsn(400))),
            (None, &lost, Plan::Anew { drop: true, reason: None }),
            (Some(left(500)), &none, anew(false, GapReason::SlotLost)),
            (Some(left(500)), &slot(500), Plan::GoOn(left(500))),
            (Some(left(500)), &slot(400), Plan::GoOn(left(500))),
            (Some(left(500)), &slot(501), anew(true, GapReason::SlotMoved)),
            (Some(left(500)), &lost, anew(true, GapReason::SlotInvalidated)),
            (Some(left(1001)), &slot(400), anew(true, GapReason::ServerRewound)),
        ] {
            assert_eq!(plan(recorded.clone(), server, 1, same), expected, "{recorded:?} {server:?}");
        }
        assert!(matches!(plan(Some(left(500)), &foreign, 1, same), Plan::Refuse(_)));
    }

    #[test]
    fn a_promoted_standby_goes_on_and_a_restored_server_does_not() {
        let ended = |at: u64| move |timeline: u32| (timeline == 1).then_some(Lsn(at));
        assert_eq!(plan(Some(left(500)), &slot(400), 2, ended(500)), Plan::GoOn(left(500)));
        let rewound = Plan::Anew { drop: true, reason: Some(GapReason::ServerRewound) };
        assert_eq!(plan(Some(left(500)), &slot(400), 2, ended(499)), rewound);
        assert_eq!(plan(Some(left(500)), &slot(400), 3, same), rewound, "a server that never was on that timeline");
    }
}
