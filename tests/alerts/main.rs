//! Alerts: what the real binary raises while somebody does harm to a real database, and what a real receiver is sent of it.

mod commands;
mod incidents;
mod receiver;
mod scene;
#[path = "../support/mod.rs"]
mod support;
mod webhooks;
