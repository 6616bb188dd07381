//! Who did it: what the triggers of `setup` tell, seen by whoever listens to the stream. Everything is done by an ordinary role, and none
//! of it may fail.

mod circumstances;
mod forgeries;
mod installing;
mod scene;
#[path = "../support/mod.rs"]
mod support;
