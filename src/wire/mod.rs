//! The frames of the streaming replication protocol, which `postgres-protocol` lacks.
//!
//! Floor 1, pure. Everything on a PostgreSQL connection is a *frame*: one byte of tag, four of length, the body. Within a running
//! replication stream the bodies of `CopyData` frames carry a second layer:
//!
//! ```text
//! server ─▶  'd' length ┬ 'w' start end time payload        XLogData: one pgoutput message
//!                       └ 'k' end time reply                primary keepalive
//! client ─▶  'd' length ─ 'r' written flushed applied time reply   standby status update
//! ```
//!
//! Format: <https://www.postgresql.org/docs/current/protocol-replication.html>. No input panics; whatever is not one of these is a
//! [`WireError`].

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation))]

mod copy;
mod frame;
mod status;

pub use copy::{CopyData, XLOG_DATA_FRONT, decode_copy_data};
pub use frame::{Header, MAX_STREAM_FRAME, WireError, tag};
pub use status::StandbyStatus;

/// Microseconds since 2000-01-01 00:00:00 UTC by the clock of whoever sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SendTime(pub i64);
