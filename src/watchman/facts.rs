//! What is published, as the engine takes it.

use std::time::Instant;

use serde::Deserialize;

use crate::alerts::{Place, Relation, Slot, TableCount, Transaction, Watch};
use crate::pipeline::{self, Status, Table, TableKind};

/// A `ddl` event, as far as rules look at it.
#[derive(Debug, Deserialize)]
pub(super) struct Ddl {
    pub(super) tx: Transaction,
    pub(super) command: String,
    pub(super) object: Option<String>,
}

impl Ddl {
    /// What it drops, if it does.
    pub(super) fn dropped(self) -> Option<(String, Transaction)> {
        let drops = self.command.starts_with("DROP ");
        self.object.filter(|_| drops).map(|object| (object, self.tx))
    }
}

pub(super) fn table(table: &Table) -> TableCount<'_> {
    TableCount {
        oid: table.oid,
        schema: &table.schema,
        name: &table.name,
        relation: if table.parent.is_some() || table.kind == TableKind::Partition {
            Relation::Partition
        } else {
            Relation::Table
        },
        parent: table.parent,
        count: table.count,
        reason: table.reason.as_deref(),
        found_wrong: table.found_wrong,
        has_rules: table.has_rules,
    }
}

pub(super) fn place(status: &Status) -> Option<Place> {
    let database = status.database.as_ref()?;
    Some(Place { name: database.name.clone(), host: database.host.clone(), port: database.port })
}

pub(super) fn watch(status: &Status, now: Instant) -> Watch<'_> {
    let state = status.state_at(now);
    let slot = status.slot.as_ref();
    Watch {
        state: state.as_str(),
        live: state == pipeline::State::Live,
        // How far behind it is changes all the time; the state tells that it is.
        reason: status.reason.as_deref().filter(|_| state != pipeline::State::Lagging),
        slot: slot.map(|slot| Slot { name: &slot.name, retained: slot.retained_bytes, budget: slot.budget_bytes }),
    }
}
