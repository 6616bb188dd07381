//! Watches what the slot costs the server, whatever else the session does.

use bytesize::ByteSize;
use tokio::sync::watch;

use crate::lsn::Lsn;
use crate::pipeline::budget::{Budget, Held, Verdict};
use crate::pipeline::error::PipelineError;

/// What the slot costs the server, as far as it may.
pub(super) struct Costs {
    held: watch::Receiver<Option<Held>>,
    /// None for a slot that goes with its connection.
    budget: Option<Budget>,
}

impl Costs {
    /// For a stream that begins at this position.
    pub(super) fn new(held: watch::Receiver<Option<Held>>, mut budget: Option<Budget>, from: Lsn) -> Self {
        if let Some(budget) = &mut budget {
            budget.begin(from);
        }
        Self { held, budget }
    }

    /// For the stream after this one.
    pub(super) fn into_budget(self) -> Option<Budget> {
        self.budget
    }

    /// Waits until the slot costs more than it may; says when it costs half of that. Cancel-safe.
    pub(super) async fn exceed(&mut self) -> PipelineError {
        let Some(budget) = &mut self.budget else { return std::future::pending().await };
        loop {
            if self.held.changed().await.is_err() {
                return std::future::pending().await;
            }
            let Some(held) = *self.held.borrow_and_update() else { continue };
            let (retained, limit) = (held.retained(), budget.limit());
            match budget.judge(&held) {
                Verdict::Fine => {}
                Verdict::Half => tracing::warn!(
                    "the server keeps {} of log for the replication slot; at {} pgvigil lets go of it, and a gap is told. See what holds it \
                     up: a full disk, or a transaction that has been open for long",
                    ByteSize::b(retained).display().iec(),
                    ByteSize::b(limit).display().iec()
                ),
                Verdict::Over => return PipelineError::OverBudget { retained, budget: limit },
            }
        }
    }
}
