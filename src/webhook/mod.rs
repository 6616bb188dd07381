//! Alerts out to others, over HTTP.
//!
//! Floor 6. Each webhook has a task of its own, so that one which hangs delays no other.
//!
//! ```text
//!  Post::send ──▶ queue (bounded; one message an alert, the newest) ──▶ try ──▶ taken
//!                   │ full: the oldest goes, and is counted              │ ▲
//!                   ▼                                                    ▼ │ back-off with jitter, or as the answer says
//!                 dropped                                  refused · given up after some minutes
//! ```
//!
//! Invariants:
//! - A message is sent once or more, never less unless that is said in [`Health`](crate::alerts::Health) or, at the end of the process, in
//!   the log. Its id is the same at every try.
//! - Nothing is followed: an answer that leads elsewhere is a failure. A signed message goes to the address in the file, or nowhere.
//! - The address and the secret are never printed or logged; of the address only the host is. Nor is what a receiver answers,
//!   because it may repeat them.

mod address;
mod error;
mod message;
mod post;
mod queue;
mod request;

pub use address::{Address, SetupError};
pub use error::SendError;
pub use post::{Post, send_once};
