//! Events as the world sees them: changes, commits, notices, each encoded to JSON once.
//!
//! Floor 2, pure.

mod block;
pub mod filter;

pub use block::{Block, BlockBuilder, Head, Kind, NewEvent, Operation, Operations, TableName, Touched};
