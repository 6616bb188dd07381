//! The server over real sockets: its history is written here, its status and counts are published here, everything else is as it runs.

mod alerts;
mod documents;
mod fixture;
mod limits;
mod rows;
mod stream;
#[path = "../support/mod.rs"]
mod support;
mod tail;
mod who;
