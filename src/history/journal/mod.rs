//! The journal: the history on disk, in files that are only ever appended to.
//!
//! ```text
//!   00000000000000000001.journal                         00000000000000000002.journal
//!   ┌───────┬───────┬───────┬──────┬─────┬──────┬─────┐  ┌───────┬───────┬──────┬ ─ ─ ─
//!   │ start │ block │ block │commit│texts│counts│index│  │ start │ block │commit│ block   cut off when found like this
//!   └───────┴───────┴───────┴──────┴─────┴──────┴─────┘  └───────┴───────┴──────┴ ─ ─ ─
//! ```
//!
//! A *block* holds events, compressed. A *commit* makes all before it durable in one piece: it says where the stream stands behind them, and
//! what the tables have there that changed. A *start* says that of all tables, so that every file stands alone and the oldest can be
//! deleted. The *index* of a file that is complete tells what is in its blocks; nobody has to read them to know where to look. Its *counts*
//! are how many rows each table had at the end of each minute. Its *texts* tell where not to look for a text.
//!
//! Invariants:
//! - What is committed are whole transactions, in the order of the stream. What a crash leaves behind the last commit is cut off, and said.
//! - Nothing is overwritten. A file is complete before the next begins.
//! - One process writes (a lock on the folder says so), any number of threads read; a file that goes while it is read is "no longer kept".
//! - Files are readable by their owner only, and rows stand nowhere else.
//!
//! Everything here blocks on the disk: it is called from threads that may.

mod error;
mod frame;
mod hole;
mod index;
mod lock;
mod look;
mod minutes;
mod open;
mod passage;
mod past;
mod read;
mod record;
mod search;
mod segment;
mod tail;
#[cfg(test)]
mod tests;
mod texts;
mod verify;
mod write;

pub use error::JournalError;
pub use look::{Found, FoundFile};
pub use minutes::Minute;
pub use open::{Cut, Opened};
pub use passage::Passage;
pub use past::{Course, Marked};
pub use read::{Archive, Glimpse, Located, Next};
pub use record::{TableState, Watched};
pub use verify::{Fault, Report, verify};
pub use write::{Journal, Mark, Options};
