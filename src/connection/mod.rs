//! Connections to PostgreSQL: what libpq does, for both kinds of session that pgvigil needs.
//!
//! Floor 4. A [`Target`] is resolved once, from a connection string and libpq's environment, and then opened as often as needed:
//! as an ordinary SQL session ([`Target::sql`]), or by `replication` as one that streams. Both go the same way:
//!
//! ```text
//! conninfo ─▶ target ─▶ open: host after host ─▶ socket: TCP, unix, TLS ─▶ login ─▶ session
//!            passfile                              tls
//! ```
//!
//! Invariants: a password is never printed, not by `Debug` and not within an error; what would make a connection less safe is never
//! ignored, but refused.

mod advice;
mod channel;
mod conninfo;
mod error;
mod login;
mod open;
mod passfile;
mod secret;
mod settings;
mod socket;
mod sql;
mod target;
mod tls;
mod trust;

pub use advice::Advice;
pub(crate) use channel::{Channel, Incoming};
pub use error::{Address, Attempt, ChannelError, ConnectError, Failure, LoginFailure, ServerError};
pub(crate) use login::BackendKey;
pub(crate) use open::{Peer, Session};
pub use settings::TargetError;
pub(crate) use socket::Transport;
pub use target::{SessionAttributes, Target};
pub use tls::{TlsFailure, TlsFileError};
