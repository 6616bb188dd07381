//! What is said to a client that could not be given everything.

use bytes::Bytes;

use crate::event::{GapReason, gap_json};
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

impl Gap {
    /// The `gap` event.
    pub fn json(&self) -> Bytes {
        gap_json(self.from.as_ref(), &self.to, self.reason).into()
    }
}
