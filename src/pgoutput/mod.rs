//! `pgoutput`: the bytes of logical replication, read into [`Message`]s.
//!
//! Floor 1, pure. A [`Message`] borrows from the bytes given to [`decode`], which checks every message to its last byte; nothing is
//! copied and nothing is allocated, and no input panics. A message that is too long to be held goes through a [`Shortener`] first.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation))]

mod cursor;
mod decode;
pub mod encode;
mod error;
mod message;
mod shortener;
mod tag;
#[cfg(test)]
mod tests;
mod tuple;

pub use decode::decode;
pub use encode::encode;
pub use error::{DecodeError, DecodeErrorKind};
pub use message::{
    Begin, Column, Columns, Commit, CommitPrepared, Content, Delete, Insert, Logical, Message, Oids, Old, Origin, Prepare,
    Relation, ReplicaIdentity, RollbackPrepared, StreamAbort, StreamCommit, StreamStart, Text, Timestamp, Truncate, Type, Update,
};
pub use shortener::{Shortener, ValueLimit};
pub use tag::{Context, Peek, Tag, peek};
pub use tuple::{Row, Tuple, Value};
