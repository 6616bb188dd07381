//! Exact counts: how many rows each table has at the position of the stream.
//!
//! Floor 2, pure. A count is one `count(*)` taken in some snapshot, plus what the stream says of every transaction that the snapshot did
//! not see. It may be taken at any time, while the stream flows:
//!
//! ```text
//!            ask            began(snapshot, lsn)         counted(n)                 stream ≥ lsn
//!  Unknown ──────▶ Asked ───────────────────▶ Counting ─────────────▶ Counted ───────────────────▶ Exact
//!     ▲            │ effects of recent        │ effects of unseen     │ the same, on n            │ every effect
//!     │            │ transactions are kept    │ transactions add up   │                           │
//!     └────────────┴──────────────────────────┴──── doubt ────────────┴───────────────────────────┘
//! ```
//!
//! Invariants: a count is shown only when `Exact`; nothing is clamped, and a count below zero is a proof that something was missed
//! ([`Ledger::doubt`] and count again); tables are known by oid, so a rename changes nothing here; a partitioned table has no rows of its
//! own, its count is the sum of its leaves'.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation))]

mod effect;
mod ledger;
mod recent;
mod snapshot;
#[cfg(test)]
mod tests;

pub use effect::Effect;
pub use ledger::{Ledger, Standing, TooOld, Totals, Touched};
pub use snapshot::{FullXid, ParseSnapshotError, Snapshot};
