//! HTTP out: one request on a connection of its own, plain or with TLS.
//!
//! Floor 4. Nothing is followed and no proxy is asked: a request goes to the host of its URL, or nowhere. Time limits are the caller's, who
//! gives up by dropping what it waits for; the connection ends with it. Of an address no error tells more than the host.

mod client;
mod host;

pub use client::{Answer, Client, Error, NoRoots};
pub use host::Host;
