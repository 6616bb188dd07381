//! Blocks of invented events, for the tests of this folder.

mod cases;
mod courtesy;
mod model;
mod sharing;
mod unsettled;

use std::sync::Arc;

use super::*;
use crate::event::{Block, BlockBuilder, GapReason, Kind, NewEvent, Operation, Operations, TableName, Touched};
use crate::lsn::{Epoch, Lsn, Oid, Place, Xid};
use crate::pgoutput::Timestamp;

pub(super) fn epoch(number: u64) -> Epoch {
    Epoch::at_millis(1_700_000_000_000 + number)
}

fn id(epoch: &Epoch, lsn: u64, ordinal: u64) -> EventId {
    EventId { epoch: epoch.clone(), place: Place { commit_lsn: Lsn(lsn), ordinal } }
}

fn table(number: u32) -> Arc<TableName> {
    Arc::new(TableName { oid: Oid(number), schema: "public".into(), name: format!("t{number}") })
}

/// Events `ordinals` of the transaction that commits at `lsn`; the last of its `changes` + 1 is its commit. Change `n` is to table
/// `n % 3`, and its JSON has about `width` bytes.
fn transaction(builder: &mut BlockBuilder, lsn: u64, ordinals: std::ops::RangeInclusive<u64>, changes: u64, width: usize) {
    let epoch = builder.epoch().clone();
    for ordinal in ordinals {
        let place = Place { commit_lsn: Lsn(lsn), ordinal };
        let xid = Some(Xid(u32::try_from(lsn).unwrap()));
        let time = Timestamp(i64::try_from(lsn).unwrap() * 1_000_000);
        let plain = NewEvent { kind: Kind::Commit, place, table: None, operation: None, actor: None, xid, time };
        let json = |out: &mut Vec<u8>, new: String| {
            let id = EventId { epoch: epoch.clone(), place };
            out.extend_from_slice(format!(r#"{{"id":"{id}","new":{new},"fill":"{}"}}"#, "x".repeat(width)).as_bytes());
        };
        if ordinal > changes {
            let tables: Vec<_> =
                (0..3.min(changes)).map(|number| builder.table(&table(u32::try_from(number).unwrap()))).collect();
            let operations: Operations = [Operation::Insert].into_iter().collect();
            builder.push_commit(plain, tables.into_iter().map(|table| Touched { table, operations, count: None }), |out| {
                json(out, "null".into())
            });
        } else {
            let table = builder.table(&table(u32::try_from(ordinal % 3).unwrap()));
            let event = NewEvent { kind: Kind::Change, table: Some(table), operation: Some(Operation::Insert), ..plain };
            builder.push(event, |out| json(out, format!(r#"{{"n":{ordinal}}}"#)));
        }
    }
    builder.reached(Lsn(lsn));
}

/// A whole transaction in a block of its own.
pub(super) fn whole(epoch: &Epoch, lsn: u64, changes: u64, width: usize) -> Block {
    part(epoch, lsn, 1..=changes + 1, changes, width)
}

pub(super) fn part(epoch: &Epoch, lsn: u64, ordinals: std::ops::RangeInclusive<u64>, changes: u64, width: usize) -> Block {
    let mut builder = BlockBuilder::new(epoch.clone());
    let open = *ordinals.end() <= changes;
    transaction(&mut builder, lsn, ordinals, changes, width);
    if open { builder.finish_open() } else { builder.finish() }
}

fn everything() -> Arc<Filter> {
    Arc::new(Filter::everything())
}

fn filter(parameters: &[(&str, &str)]) -> Filter {
    Filter::parse(parameters.iter().copied()).unwrap()
}

/// A history whose first epoch has begun at 0.
fn begun(limit: usize) -> (Writer, History, Epoch) {
    let (mut writer, history) = ring(limit);
    writer.begin_epoch(epoch(0), Lsn(0), None);
    (writer, history, epoch(0))
}

/// The ids of all that a reader can be given now, and its gaps.
fn drain(reader: &mut Reader) -> Vec<Result<EventId, crate::event::Gap>> {
    let (filter, mut all) = (everything(), Vec::new());
    loop {
        match reader.read(&filter, 1 << 20) {
            Read::Events(batch) => all.extend(batch.iter().map(|event| Ok(event.id()))),
            Read::Gap(gap) => all.push(Err(gap)),
            Read::Nothing => return all,
        }
    }
}
