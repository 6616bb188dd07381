//! `pgoutput`: the bytes of logical replication, read into [`Message`]s.
//!
//! Floor 1, pure. A [`Message`] borrows from the bytes given to [`decode`], which checks every message to its last byte; nothing is
//! copied and nothing is allocated, and no input panics.

mod message;
mod tuple;

pub use message::{
    Begin, Column, Columns, Commit, CommitPrepared, Delete, Insert, Logical, Message, Oids, Old, Origin, Prepare, Relation,
    ReplicaIdentity, RollbackPrepared, StreamAbort, StreamCommit, StreamStart, Text, Timestamp, Truncate, Type, Update,
};
pub use tuple::{Tuple, Value};
