//! The opening of an epoch: connections, the right database, the slot, and the stream.
//!
//! Everything that could make the numbers wrong is looked at here, before the first byte is streamed.

use std::sync::Arc;
use std::time::Duration;

use super::applier::Applier;
use super::error::PipelineError;
use super::published::{Database, Slot};
use super::state::Phase;
use super::{Begin, Pipeline};
use crate::assembler::Assembler;
use crate::catalog::{self, Catalog};
use crate::counts::FullXid;
use crate::encoding::Encoding;
use crate::event::{GapReason, actor};
use crate::lsn::Lsn;
use crate::replication::{Progress, Replication, SlotOptions, StartOptions, Stream};
use crate::rows::{Cache, Limits};

/// How long the creation of the slot may wait for running transactions to end, before it is tried anew.
const SLOT_WAIT: Duration = Duration::from_secs(60);

/// Logical replication as it is used here began with this version.
const OLDEST_MAJOR: u32 = 14;

/// What [`Pipeline::open`] brings together.
pub(super) struct Opened {
    pub(super) stream: Stream,
    pub(super) progress: Progress,
    pub(super) applier: Applier,
    pub(super) catalog: Catalog,
    pub(super) fence: FullXid,
    pub(super) slot: String,
    pub(super) database: Arc<Database>,
    pub(super) first_epoch: bool,
}

impl Pipeline {
    /// Connects, checks that this is the right database, makes the slot, and starts the stream and with it a new epoch.
    pub(super) async fn open(&mut self) -> Result<Opened, PipelineError> {
        let config = self.config.clone();
        let mut walsender = Replication::connect(&config.target, "pgvigil").await?;
        let mut sql = config.target.sql("pgvigil").await?;
        let database = self.identify(&mut walsender, &sql).await?;

        // The publication comes before the slot: what it covers is judged at each position of the log, by the catalog as it was there.
        let catalog = catalog::read(&mut sql, &config.publication).await?;
        if catalog.publication.is_none() {
            let (name, database) = (config.publication, database.name.clone());
            return Err(PipelineError::PublicationMissing { name, database });
        }
        if config.streaming {
            walsender.send_early().await?;
        }
        let encoding = Encoding::from_name(walsender.parameter("server_encoding").unwrap_or("UTF8"))?;
        let epoch = self.next_epoch();
        let temporary = matches!(config.begin, Begin::Now);
        let (slot, consistent_point) = match config.begin {
            Begin::Now => {
                let slot = format!("pgvigil_{epoch}_{:04x}", rand::random::<u16>());
                let consistent_point = self.create_slot(&mut walsender, &sql, &slot).await?;
                (slot, consistent_point)
            }
            // The server begins where the slot stands when it is asked for less.
            Begin::AtSlot(slot) => (slot, Lsn::ZERO),
        };
        let fence = catalog::fence(&sql).await?;

        let (publication, streaming, max_value) = (config.publication.clone(), config.streaming, config.max_value);
        let options = StartOptions { publication, streaming, max_value, ..StartOptions::default() };
        let (stream, progress) = walsender.start(&slot, consistent_point, options).await?;

        let first_epoch = self.epoch.is_none();
        let skipped = self.skipped.take();
        let reason = if skipped.is_some() { GapReason::Skipped } else { GapReason::SlotLost };
        let reason = (!first_epoch).then_some(reason);
        self.history.begin_epoch(epoch.clone(), consistent_point, reason);
        self.epoch = Some(epoch.clone());
        self.standing.note(|facts| {
            facts.phase = Phase::Streaming { first_epoch, counted: false };
            // That something was left out is said until there are counts again.
            facts.reason = skipped;
            facts.epoch = Some(epoch.clone());
            facts.slot = Some(Slot { name: slot.clone(), temporary, retained_bytes: 0, budget_bytes: None });
            facts.lag = super::state::Lag::default();
            facts.lag.stream_at(consistent_point);
            facts.row_cache = config.row_cache.map(Limits::unused);
            facts.last_proof = Some(std::time::Instant::now());
            facts.looked_at = facts.last_proof;
        });
        tracing::info!(%epoch, slot, %consistent_point, "the stream is held");

        let spill_dir = config.spill_dir.clone();
        let create_file = Box::new(move || tempfile::tempfile_in(&spill_dir));
        let assembler = Assembler::new(config.max_transaction_memory, create_file).noting(actor::PREFIXES);
        let cache = config.row_cache.map(Cache::new);
        let applier = Applier::new(epoch, consistent_point, assembler, encoding, cache);
        Ok(Opened { stream, progress, applier, catalog, fence, slot, database, first_epoch })
    }

    /// Which database this is; an error when it is not the one that it should be.
    async fn identify(
        &mut self,
        walsender: &mut Replication,
        sql: &tokio_postgres::Client,
    ) -> Result<Arc<Database>, PipelineError> {
        let system = walsender.identify().await?;
        let here = catalog::identity(sql).await.map_err(catalog::CatalogError::from)?;
        // "15.18 (Debian 15.18-0+deb12u1)"
        let server_version = walsender.parameter("server_version").unwrap_or_default();
        let server_version = server_version.split(' ').next().unwrap_or_default().to_owned();
        if walsender.server_major() < OLDEST_MAJOR {
            return Err(PipelineError::ServerTooOld { version: server_version });
        }
        if walsender.parameter("in_hot_standby") == Some("on") {
            return Err(PipelineError::Standby);
        }
        let (host, port) = walsender.peer();
        let system_identifier = system.system_identifier;
        let database = Database { name: here.name.clone(), oid: here.oid.0, system_identifier, host, port, server_version };
        if !database.is(&here) {
            let expected = format!("system {}, which streams", database.system_identifier);
            return Err(PipelineError::WrongDatabase { expected, actual: format!("system {}", here.system_identifier) });
        }
        if let Some(expected) = self.config.expect_database.as_ref().filter(|expected| **expected != database.name) {
            let actual = format!("database {:?} at {}:{}", database.name, database.host, database.port);
            return Err(PipelineError::WrongDatabase { expected: format!("database {expected:?}"), actual });
        }
        let database = Arc::new(database);
        let pinned = self.pinned.get_or_insert_with(|| Arc::clone(&database));
        if !pinned.is(&here) {
            let describe = |d: &Database| format!("database {:?} (oid {}) of system {}", d.name, d.oid, d.system_identifier);
            return Err(PipelineError::WrongDatabase { expected: describe(pinned), actual: describe(&database) });
        }
        self.standing.note(|facts| facts.database = Some(Arc::clone(&database)));
        Ok(database)
    }

    /// Makes the slot. It waits for every transaction that is running now; meanwhile the status says for which.
    async fn create_slot(
        &mut self,
        walsender: &mut Replication,
        sql: &tokio_postgres::Client,
        slot: &str,
    ) -> Result<Lsn, PipelineError> {
        let create = walsender.create_slot(slot, SlotOptions { temporary: true, ..SlotOptions::default() }, SLOT_WAIT);
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
