//! What is said to a client that could not be given everything.

use std::fmt;

use bytes::Bytes;

use crate::lsn::EventId;

/// The events after `from`, up to and including `to`, cannot be given. Reading on after `to` loses nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last event before; `None` when nothing was given before.
    pub from: Option<EventId>,
    /// The last event that is missing, or where the new epoch began (ordinal 0).
    pub to: EventId,
    /// What happened.
    pub reason: GapReason,
}

/// Why there is a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// The reader fell behind further than the history reaches.
    Evicted,
    /// The replication slot, and with it the place in the stream, was lost.
    SlotLost,
    /// The server has let go of the slot, to keep its log within bounds.
    SlotInvalidated,
    /// Somebody else has read from the slot.
    SlotMoved,
    /// The server has another past than it had: it was restored from a backup, or a standby took over that had not everything.
    ServerRewound,
    /// The slot made the server keep more log than it may, so it was let go of.
    WalBudget,
    /// The process that knew those events is gone.
    Restart,
    /// Something that could not be read was left out.
    Skipped,
    /// The journal does not hold there what was written.
    Damaged,
}

impl GapReason {
    /// As it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::SlotLost => "slot_lost",
            Self::SlotInvalidated => "slot_invalidated",
            Self::SlotMoved => "slot_moved",
            Self::ServerRewound => "server_rewound",
            Self::WalBudget => "wal_budget",
            Self::Restart => "restart",
            Self::Skipped => "skipped",
            Self::Damaged => "damaged",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Gap {
    /// The `gap` event. Ids and reasons need no escaping.
    pub fn json(&self) -> Bytes {
        let Self { from, to, reason } = self;
        let from = from.as_ref().map_or_else(|| "null".to_owned(), |id| format!("\"{id}\""));
        Bytes::from(format!(r#"{{"type":"gap","from":{from},"to":"{to}","reason":"{reason}"}}"#))
    }
}
