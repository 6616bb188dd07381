//! Undo against real servers: what it brings back is what was there.

mod acts;
mod altered;
mod command;
mod conflicts;
mod honest;
mod partitions;
mod partly;
mod promised;
mod random;
mod rules;
#[path = "../support/mod.rs"]
mod support;
mod triggers;
mod undone;
