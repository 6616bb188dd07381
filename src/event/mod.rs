//! Events as the world sees them: changes, commits, notices, each encoded to JSON once.
//!
//! Floor 2, pure. The [`Encoder`] writes the JSON of a transaction's events into a [`BlockBuilder`]; the finished [`Block`] goes to the
//! history and is read, as it is, by every client. The JSON is the promised one of the stream: what a value looks like is decided in
//! `value.rs`, and nowhere else.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation))]

pub mod actor;
mod array;
mod block;
pub mod ddl;
mod document;
mod encoder;
pub mod filter;
#[cfg(test)]
mod fixture;
pub mod format;
mod gap;
mod gram;
mod json;
mod number;
pub mod received;
mod relation;
mod rows;
#[cfg(test)]
mod tests;
pub mod time;
mod trace;
mod value;

pub use actor::{Actor, Attribution};
pub use block::{Block, BlockBuilder, Head, Kind, NewEvent, Operation, Operations, TableName, Touched};
pub use encoder::{Ddl, Encoder, TableTotals, TransactionHead};
pub use gap::{Gap, GapReason};
pub use gram::Gram;
pub use relation::{Column, Domains, Relation};
pub use trace::{Trace, Traces};
pub use value::write_text;
