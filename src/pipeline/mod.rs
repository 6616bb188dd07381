//! The one writer: stream → assembler → counts → event → history.
//!
//! One task owns all state that changes; everything else reads what it publishes.

mod published;

pub use published::{CountState, Counts, Database, LIVE_FOR, Passed, STALE_AFTER, Slot, State, Status, Table, TableKind};
