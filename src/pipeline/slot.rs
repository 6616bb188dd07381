//! The slot of a session: made for it, or taken up where it was left.

use std::time::Duration;

use super::error::PipelineError;
use super::resuming::{self, Left, Plan};
use super::{Begin, Durable, Pipeline};
use crate::catalog::{self, SlotState};
use crate::connection::Advice;
use crate::event::GapReason;
use crate::lsn::{Epoch, Lsn};
use crate::replication::{Replication, SlotOptions};

/// How long the creation of the slot may wait for running transactions to end, before it is tried anew.
const SLOT_WAIT: Duration = Duration::from_secs(60);

/// Slots can be kept by standbys from this version on.
const FAILOVER_SINCE: u32 = 17;

/// Where the stream begins, and as what.
pub(super) struct Beginning {
    pub(super) slot: String,
    pub(super) from: Lsn,
    pub(super) epoch: Epoch,
    /// It is an epoch that was left.
    pub(super) goes_on: bool,
    /// Something may have been missed before it.
    pub(super) gap: Option<GapReason>,
    pub(super) durable: Option<Durable>,
}

impl Pipeline {
    /// Makes the slot, or takes up the one that stays.
    pub(super) async fn begin(
        &mut self,
        walsender: &mut Replication,
        sql: &tokio_postgres::Client,
    ) -> Result<Beginning, PipelineError> {
        let epoch = self.next_epoch();
        let left_out = self.skipped.as_ref().map(|(reason, _)| *reason);
        let gap = self.epoch.as_ref().map(|_| left_out.unwrap_or(GapReason::SlotLost));
        let (goes_on, durable) = (false, None);
        match self.config.begin.clone() {
            Begin::Now => {
                let slot = format!("pgvigil_{epoch}_{:04x}", rand::random::<u16>());
                let from = self.create_slot(walsender, sql, &slot, SlotOptions::temporary()).await?;
                Ok(Beginning { slot, from, epoch, goes_on, gap, durable })
            }
            // The server begins where the slot stands when it is asked for less.
            Begin::AtSlot(slot) => Ok(Beginning { slot, from: Lsn::ZERO, epoch, goes_on, gap, durable }),
            Begin::Durable(durable) => self.take_up(walsender, sql, durable, epoch).await,
        }
    }

    /// Goes on with the slot that stays, or makes it.
    async fn take_up(
        &mut self,
        walsender: &mut Replication,
        sql: &tokio_postgres::Client,
        durable: Durable,
        epoch: Epoch,
    ) -> Result<Beginning, PipelineError> {
        let slot = durable.slot.clone();
        let server = catalog::slot(sql, &slot).await?;
        if !server.bounded && !durable.allow_unbounded {
            return Err(PipelineError::UnboundedWal { slot: server.slot.filter(|slot| slot.fits).map(|_| slot) });
        }
        let ended = walsender.timeline_history(self.timeline).await?;
        let ends = |timeline| ended.iter().find(|(ended, _)| *ended == timeline).map(|(_, at)| *at);
        let mut plan = resuming::plan(self.left.clone(), &server, self.timeline, ends);
        let left_out = self.skipped.as_ref().map(|(reason, _)| *reason);
        // It would come upon the same again; or a transaction was told in part, and would be told again from its beginning.
        if matches!(plan, Plan::GoOn(_)) && left_out.is_some() || matches!(plan, Plan::TakeUp(_)) && self.epoch.is_some() {
            plan = Plan::Anew { drop: true, reason: left_out.or(Some(GapReason::SlotLost)) };
        }
        if !matches!(plan, Plan::Refuse(_)) && durable.failover {
            let drops = matches!(plan, Plan::Anew { .. });
            keep_on_standbys(walsender, &slot, &server, drops).await?;
        }
        match plan {
            Plan::GoOn(Left { epoch, position, .. }) => {
                Ok(Beginning { slot, from: position, epoch, goes_on: true, gap: None, durable: Some(durable) })
            }
            Plan::TakeUp(from) => Ok(Beginning { slot, from, epoch, goes_on: false, gap: None, durable: Some(durable) }),
            Plan::Anew { drop, reason } => {
                let reason = left_out.or(reason);
                if drop {
                    walsender.drop_slot(&slot).await?;
                }
                let options = SlotOptions { failover: durable.failover, ..SlotOptions::default() };
                let from = self.create_slot(walsender, sql, &slot, options).await?;
                if let (Some(left), Some(reason)) = (&self.left, reason) {
                    let Left { epoch, position, .. } = left;
                    tracing::warn!(slot, %epoch, from = %position, to = %from, "{}", cannot_go_on(reason, *position, from));
                }
                Ok(Beginning { slot, from, epoch, goes_on: false, gap: reason, durable: Some(durable) })
            }
            Plan::Refuse(reason) => Err(PipelineError::ForeignSlot { slot, reason }),
        }
    }

    /// Makes the slot. It waits for every transaction that is running now; meanwhile the status says for which.
    async fn create_slot(
        &mut self,
        walsender: &mut Replication,
        sql: &tokio_postgres::Client,
        slot: &str,
        options: SlotOptions,
    ) -> Result<Lsn, PipelineError> {
        let create = walsender.create_slot(slot, options, SLOT_WAIT);
        tokio::pin!(create);
        loop {
            tokio::select! {
                created = &mut create => return Ok(created?.consistent_point),
                () = tokio::time::sleep(Duration::from_secs(2)) => {
                    if let Some(waiting_for) = catalog::oldest_transaction(sql).await? {
                        self.standing.note(|facts| {
                            facts.reason = Some(format!("the replication slot can be made once {waiting_for} has ended"));
                        });
                    }
                }
            }
        }
    }
}

/// Has standbys keep the slot, if they do not yet and it is not to be dropped; says what that does not promise.
async fn keep_on_standbys(
    walsender: &mut Replication,
    slot: &str,
    server: &SlotState,
    is_dropped: bool,
) -> Result<(), PipelineError> {
    if walsender.server_major() < FAILOVER_SINCE {
        let version = walsender.parameter("server_version").unwrap_or_default().to_owned();
        return Err(PipelineError::NoFailover { version });
    }
    if server.slot.as_ref().is_some_and(|slot| !slot.failover) && !is_dropped {
        walsender.keep_on_standbys(slot).await?;
        tracing::info!(slot, "standbys keep the replication slot from now on");
    }
    if !server.standbys_first {
        tracing::warn!(
            "synchronized_standby_slots is empty: pgvigil may be sent what no standby has yet, and if one takes over then, that is told as a gap \
             (server_rewound). Name the slots of the standbys there"
        );
    }
    Ok(())
}

/// For a person: what was committed between these positions is missing, and why.
fn cannot_go_on(reason: GapReason, from: Lsn, to: Lsn) -> Advice {
    let (why, action) = match reason {
        GapReason::SlotInvalidated => (
            "the server has let go of the replication slot",
            "See max_slot_wal_keep_size and, on 18, idle_replication_slot_timeout: they bound for how long pgvigil may be gone",
        ),
        GapReason::SlotMoved => {
            ("somebody else has read from the replication slot", "Give pgvigil a slot that nobody else uses (--slot)")
        }
        GapReason::ServerRewound => (
            "the server has another past than the one that is recorded: it was restored from a backup, or a standby took over that had not \
             everything",
            "What is recorded last may not be in the database any more. Against the latter, name the standbys' slots in \
             synchronized_standby_slots",
        ),
        GapReason::WalBudget => (
            "the replication slot made the server keep more log than --wal-budget allows",
            "See what held pgvigil up: a full disk, or a transaction that was open for long",
        ),
        GapReason::Skipped => ("something there cannot be read", "See the error before this"),
        GapReason::SlotLost | GapReason::Evicted | GapReason::Restart | GapReason::Damaged => (
            "the replication slot is gone, or a transaction was read in part only",
            "See who drops slots; after a failover, --failover (PostgreSQL 17 on) has standbys keep it",
        ),
    };
    let meaning = format!(
        "What was committed after {from}, up to {to}, is missing from the history, where a gap says so; all tables are counted again"
    );
    Advice::new(format!("the stream cannot go on where it was left: {why}"), meaning, action)
}
