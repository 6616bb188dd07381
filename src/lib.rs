//! pgvigil keeps watch over a PostgreSQL database: exact live row counts and every change, from one logical replication slot.
//!
//! The modules are floors; each imports only from those below it. Floors 0 to 3 are pure (no tokio, no sockets, no clock) and build
//! alone with `--no-default-features`. `ARCHITECTURE.md` follows a change through them.

// Floor 0
pub mod lsn;
// Floor 1
pub mod encoding;
pub mod pgoutput;
pub mod wire;
// Floor 2
pub mod assembler;
pub mod counts;
pub mod event;
// Floor 3
pub mod alerts;
pub mod rows;
pub mod undo;
// Floor 4
#[cfg(feature = "full")]
mod beat;
#[cfg(feature = "full")]
pub mod catalog;
#[cfg(feature = "full")]
pub mod cluster;
#[cfg(feature = "full")]
pub mod connection;
#[cfg(feature = "full")]
pub mod history;
#[cfg(feature = "full")]
pub mod http;
// Floor 5
#[cfg(feature = "full")]
pub mod replication;
// Floor 6
#[cfg(feature = "full")]
pub mod pipeline;
#[cfg(feature = "full")]
pub mod webhook;
// Floor 7
#[cfg(feature = "full")]
pub mod server;
#[cfg(feature = "full")]
pub mod watchman;
// Floor 8
#[cfg(feature = "full")]
pub mod commands;
