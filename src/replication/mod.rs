//! The replication connection: from a [`Target`](crate::connection::Target) to a stream of `pgoutput` frames.
//!
//! Floor 5.
//!
//! ```text
//!   Replication::connect ─▶ Replication ─ start ─▶ Stream ── fill, next_frame ─▶ frames
//!                            identify               │  │
//!                            create_slot            │  └ end: CopyDone both ways, Terminate
//!                                                   ▼
//!                             status task: owns the writing half; each second "this far, and are you there?",
//!                             at once when the server asks; ends with the Stream
//! ```
//!
//! Invariants:
//! - Nothing the reader does, or does not do, keeps the status task from its second: a reader may pause for minutes (a full disk)
//!   and the server keeps the connection.
//! - [`Stream::fill`] can be cancelled at any await: no byte is lost.
//! - A stream holds no more than some values of the longest length allowed, whatever the server sends: a longer value is cut (`long.rs`).
//! - Whether to try again is decided in one place, [`Error::is_transient`].

mod advice;
mod backoff;
mod clock;
mod error;
mod long;
mod options;
mod pacing;
mod session;
mod status;
mod stream;

pub use crate::connection::Advice;
pub use backoff::Backoff;
pub use error::{Doing, Error};
pub use options::{SlotOptions, StartOptions};
pub use session::{CreatedSlot, Replication, System};
pub use status::Progress;
pub use stream::{Frame, Notice, Stream};
