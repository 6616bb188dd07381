//! What one client was told, over many connections.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::time::Instant;

use crate::support::{Database, PATIENCE, WebSocket};

/// The rows that were told to be inserted, in order; and where to go on.
#[derive(Default)]
pub(crate) struct Log {
    rows: Vec<i64>,
    last: Option<String>,
    epoch: Option<String>,
}

impl PartialEq for Log {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
    }
}

impl Log {
    /// The subscription that goes on behind what was told.
    pub(crate) fn query(&self) -> String {
        format!("kinds=change&table=public.item&from={}", self.last.as_deref().unwrap_or("oldest"))
    }

    /// Takes what comes, until the connection ends.
    pub(crate) async fn read(&mut self, socket: &mut WebSocket) -> Result<()> {
        while let Ok(Some(event)) = socket.next().await {
            self.take(&event)?;
        }
        // The rest of the round is for those who write.
        std::future::pending().await
    }

    /// Takes what comes, up to this row. However much that is, it goes on all the time.
    pub(crate) async fn read_up_to(&mut self, socket: &mut WebSocket, row: i64) -> Result<()> {
        let mut moved = Instant::now();
        while self.rows.last() != Some(&row) {
            let event = socket.next().await?.context("the connection ended")?;
            let before = self.rows.len();
            self.take(&event)?;
            if self.rows.len() > before {
                moved = Instant::now();
            }
            ensure!(moved.elapsed() < PATIENCE, "nothing came for long after {:?}, row {:?}", self.last, self.rows.last());
        }
        Ok(())
    }

    fn take(&mut self, event: &Value) -> Result<()> {
        match event["type"].as_str() {
            Some("gap") => bail!("nothing should be missing: {event}"),
            Some("hello") => {
                let epoch = event["epoch"].as_str().map(str::to_owned);
                ensure!(self.epoch.is_none() || self.epoch == epoch, "the epoch {:?} did not go on: {event}", self.epoch);
                self.epoch = epoch;
            }
            Some("change") => {
                self.rows.push(event["new"]["id"].as_i64().context("a row")?);
                self.last = event["id"].as_str().map(str::to_owned);
            }
            _ => {}
        }
        Ok(())
    }

    /// An error unless that is just what the table holds. One writer wrote it, in the order of its ids.
    pub(crate) async fn is_all(&self, database: &Database) -> Result<()> {
        let rows: Vec<i64> = database.rows("SELECT id FROM item ORDER BY id", &[]).await?.iter().map(|row| row.get(0)).collect();
        let first = rows.iter().zip(&self.rows).position(|(row, told)| row != told);
        let first = first.or_else(|| (rows.len() != self.rows.len()).then_some(rows.len().min(self.rows.len())));
        let around = |of: &[i64], at: usize| of[at.saturating_sub(3)..(at + 3).min(of.len())].to_vec();
        if let Some(at) = first {
            bail!(
                "{} rows, {} told; from {at} on the table has {:?}, and {:?} were told",
                rows.len(),
                self.rows.len(),
                around(&rows, at),
                around(&self.rows, at)
            );
        }
        Ok(())
    }
}
