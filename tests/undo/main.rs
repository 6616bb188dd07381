//! Undo against real servers: what it brings back is what was there.

mod acts;
mod altered;
mod command;
mod conflicts;
mod random;
#[path = "../support/mod.rs"]
mod support;
mod triggers;
mod undone;
