//! The opening of an epoch: connections, the right database, the slot, and the stream.
//!
//! Everything that could make the numbers wrong is looked at here, before the first byte is streamed.

use std::sync::Arc;

use super::Pipeline;
use super::applier::{self, Applier};
use super::error::PipelineError;
use super::published::{Database, Slot};
use super::slot::Beginning;
use super::state::Phase;
use crate::assembler::Assembler;
use crate::catalog::{self, Catalog};
use crate::counts::FullXid;
use crate::encoding::Encoding;
use crate::event::actor;
use crate::history::journal::Watched;
use crate::lsn::Oid;
use crate::replication::{Progress, Replication, StartOptions, Stream};
use crate::rows::{Cache, Limits};

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
    /// The epoch is one that was left, and is taken up where that was.
    pub(super) goes_on: bool,
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
        self.begin_to_record(&database)?;
        let Beginning { slot, from, epoch, goes_on, gap, durable } = self.begin(&mut walsender, &sql).await?;
        let fence = catalog::fence(&sql).await?;

        let (publication, streaming, max_value) = (config.publication.clone(), config.streaming, config.max_value);
        let acknowledge_later = self.recording.is_some();
        let options = StartOptions { publication, streaming, max_value, acknowledge_later, ..StartOptions::default() };
        let (stream, progress) = walsender.start(&slot, from, options).await?;

        let first_epoch = self.epoch.is_none();
        let skipped = self.skipped.take();
        if goes_on {
            self.history.go_on(&epoch, from);
        } else {
            self.history.begin_epoch(epoch.clone(), from, gap);
        }
        self.epoch = Some(epoch.clone());
        self.standing.note(|facts| {
            facts.phase = Phase::Streaming { first_epoch, counted: false };
            // That something was left out is said until there are counts again.
            facts.reason = skipped.map(|(_, said)| said);
            facts.epoch = Some(epoch.clone());
            let (temporary, budget_bytes) = (durable.is_none(), durable.map(|durable| durable.budget));
            facts.slot = Some(Slot { name: slot.clone(), temporary, retained_bytes: 0, budget_bytes });
            facts.lag = super::state::Lag::default();
            facts.lag.stream_at(from);
            facts.row_cache = config.row_cache.map(Limits::unused);
            facts.last_proof = Some(std::time::Instant::now());
            facts.looked_at = facts.last_proof;
        });
        let what = if goes_on { "the stream goes on where it was left" } else { "the stream begins" };
        tracing::info!(%epoch, slot, %from, "{what}");

        let spill_dir = config.spill_dir.clone();
        let create_file = Box::new(move || tempfile::tempfile_in(&spill_dir));
        let reads = Box::new(move |xid, prefix: &[u8], content: &[u8]| applier::says(xid, prefix, content, &encoding));
        let assembler = Assembler::new(config.max_transaction_memory, create_file).noting(actor::PREFIXES, reads);
        let cache = config.row_cache.map(Cache::new);
        let applier = Applier::new(epoch, from, assembler, encoding, cache);
        Ok(Opened { stream, progress, applier, catalog, fence, slot, database, first_epoch, goes_on })
    }

    /// From here on what happens is written down, if it is to be.
    fn begin_to_record(&mut self, database: &Database) -> Result<(), PipelineError> {
        let Some(opened) = self.journal.take() else { return Ok(()) };
        let Database { system_identifier, oid, name, .. } = database;
        let watched = Watched { system_identifier: system_identifier.clone(), database: Oid(*oid), name: name.clone() };
        let recording = self.history.record(opened.begin(&watched)?);
        let recording = recording.map_err(|error| PipelineError::Unrecorded { reason: error.to_string() })?;
        self.standing.note(|facts| facts.recording = Some(recording.clone()));
        self.recording = Some(recording);
        Ok(())
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
        self.timeline = system.timeline;
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
}
