//! What pgvigil does when things go wrong: in the network, in PostgreSQL, in its clients, in how it was started. Each test breaks one thing
//! for real, looks at what a person would see meanwhile, mends it, and compares every count with the database's own.

mod abuse;
mod bystander;
mod clients;
mod connection;
mod identity;
mod large;
mod memory;
mod publication;
mod scene;
mod secrets;
mod server;
mod source;
mod startup;
#[path = "../support/mod.rs"]
mod support;
mod traces;
