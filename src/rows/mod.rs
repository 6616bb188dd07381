//! The rows of small tables, kept whole: what the stream does not tell of an old row.
//!
//! Floor 3, pure. Without `REPLICA IDENTITY FULL` a DELETE brings no more than the key of a row, and a TRUNCATE never brings any. A table's
//! rows are read once, in any snapshot, while the stream flows, and follow the stream from there, as its count does:
//!
//! ```text
//!              ask                      read(rows, snapshot, lsn)              stream ≥ lsn
//!  Waiting ──────────▶ Asked ───────────────────────────────────────▶ Read ──────────────────▶ Whole
//!     ▲                │ all changes are kept,    those that the      │ unseen changes          │ every change
//!     │                │ with their transactions  snapshot does       │ are applied             │ is applied
//!     │                │                          not see applied     │                         │ and told
//!     └────────────────┴────────────────────── doubt ─────────────────┴─────────────────────────┘
//!                        refuse, or too large: Off, with a reason
//! ```
//!
//! Invariant: what is told of a row is exactly the row as the stream left it, or nothing is told. A table is never kept in part. Whatever
//! does not fit together (a row that is not there, or there already; a row of other columns than those that were read) puts the
//! table back to `Waiting`. Whoever asks must also know that the stream leaves nothing out; that is what the counts of [`counts`](crate::counts)
//! are about, so a row is told only where the table's count is exact. And he must tell of whatever was [altered](Cache::altered), types too.
//!
//! Its size is what a table takes in memory, the hash table and the allocations included.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation))]

mod alterations;
mod cache;
mod change;
mod contents;
mod log;
mod reason;
mod shape;
#[cfg(test)]
mod tests;
mod unseen;

pub use cache::{Cache, Limits, Reading, Standing, TooOld, Usage};
pub use change::{Change, Former};
pub use contents::Contents;
pub use reason::Reason;
pub use shape::{Column, Shape, columns};
