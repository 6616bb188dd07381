//! A client of the stream that did nothing wrong: it reads everything, and forgets nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::support::{WebSocket, wait_for};

/// Reads in the background, from the moment it was greeted.
pub(crate) struct Bystander {
    heard: Arc<Mutex<Vec<Value>>>,
    listening: JoinHandle<()>,
}

impl Bystander {
    pub(crate) async fn of(mut socket: WebSocket) -> Result<Self> {
        let greeting = socket.until("hello", |object| object["type"] == "hello").await?;
        let heard = Arc::new(Mutex::new(greeting));
        let log = Arc::clone(&heard);
        let listening = tokio::spawn(async move {
            // It ends with pgvigil, or with the test.
            while let Ok(Some(object)) = socket.next_within(Duration::from_secs(600)).await {
                log.lock().unwrap().push(object);
            }
        });
        Ok(Bystander { heard, listening })
    }

    /// All that it has heard of these types, in order.
    pub(crate) fn heard(&self, types: &[&str]) -> Vec<Value> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|object| object["type"].as_str().is_some_and(|kind| types.contains(&kind))).cloned().collect()
    }

    /// How many objects of this type it has heard.
    pub(crate) fn times(&self, kind: &str) -> usize {
        self.heard.lock().unwrap().iter().filter(|object| object["type"] == kind).count()
    }

    /// What it was told last of a table's count since the last gap; `None` if that was not exact.
    fn count(&self, table: &str) -> Option<i64> {
        let mut count = None;
        for object in self.heard(&["gap", "counts"]) {
            if object["type"] == "gap" {
                count = None;
            }
            for told in object["tables"].as_array().into_iter().flatten().filter(|told| told["name"] == table) {
                count = told["count"].as_i64();
            }
        }
        count
    }

    /// Waits until it has been told that the table has so many rows.
    pub(crate) async fn wait_for_count(&self, table: &str, count: i64, within: Duration) -> Result<()> {
        wait_for(&format!("the client to hear of {count} rows in {table}"), within, async || {
            let told = self.count(table);
            ensure!(told == Some(count), "it was told {told:?}");
            Ok(Some(()))
        })
        .await
    }

    /// Whatever went wrong: nothing old was called live, no count that is not exact was given, no event came twice or out of order, and
    /// every gap was followed by the counts of all `tables`.
    pub(crate) fn was_never_misled(&self, tables: usize) -> Result<()> {
        for status in self.heard(&["hello", "status"]).iter().filter(|status| status["state"] == "live") {
            ensure!(status["type"] == "hello" || status["last_proof_age_ms"].as_u64() < Some(5000), "called live: {status}");
        }
        for told in self.heard(&["counts"]).iter().flat_map(|counts| counts["tables"].as_array().cloned().unwrap_or_default()) {
            ensure!(told["count"].is_null() == (told["count_state"] != "exact"), "{told}");
        }
        let mut last: Option<Value> = None;
        for event in self.heard(&["change"]) {
            let same_epoch = last.as_ref().filter(|last| epoch(last) == epoch(&event));
            ensure!(same_epoch.is_none_or(|last| place(last) < place(&event)), "{event} came after {last:?}");
            last = Some(event);
        }
        let told = self.heard(&["gap", "counts"]);
        for (gap, after) in told.iter().zip(told.iter().skip(1)).filter(|(object, _)| object["type"] == "gap") {
            let whole = after["tables"].as_array().is_some_and(|told| told.len() == tables);
            ensure!(whole, "not all counts follow {gap}: {after}");
        }
        Ok(())
    }

    /// Its gaps, all of which have to be for this reason.
    pub(crate) fn gaps(&self, reason: &str) -> Result<usize> {
        let gaps = self.heard(&["gap"]);
        ensure!(gaps.iter().all(|gap| gap["reason"] == reason), "not {reason}: {gaps:?}");
        Ok(gaps.len())
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

fn epoch(event: &Value) -> Option<&str> {
    Some(event["id"].as_str()?.split_once('.')?.0)
}

/// Commit position and ordinal, from `k3.0-1A2B3C8.4`.
fn place(event: &Value) -> Option<(u64, u64)> {
    let parse = || {
        let (_, place) = event["id"].as_str().context("an id")?.split_once('.').context("an epoch")?;
        let (lsn, ordinal) = place.split_once('.').context("an ordinal")?;
        let (high, low) = lsn.split_once('-').context("a position")?;
        Ok::<_, anyhow::Error>((u64::from_str_radix(high, 16)? << 32 | u64::from_str_radix(low, 16)?, ordinal.parse()?))
    };
    parse().ok()
}
