//! The `running` events of the stream: large transactions that are not committed yet, all of them in each event.

use bytes::Bytes;
use serde::Serialize;

use crate::pipeline::{Running, RunningTransaction};

#[derive(Serialize)]
struct RunningEvent<'a> {
    r#type: &'static str,
    transactions: Vec<&'a RunningTransaction>,
}

/// The event, encoded once for all clients.
pub(super) fn event(running: &Running) -> Bytes {
    let encode = || {
        let transactions = running.transactions.iter().map(|transaction| &**transaction).collect();
        serde_json::to_vec(&RunningEvent { r#type: "running", transactions }).unwrap_or_default().into()
    };
    running.json.get_or_init(encode).clone()
}
