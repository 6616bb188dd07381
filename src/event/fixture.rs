//! A small database for the tests of this folder, and the events of what happens in it.

use super::{Block, BlockBuilder, Ddl, Encoder, Operation, Relation, TableTotals, TransactionHead};
use crate::encoding::Encoding;
use crate::lsn::{Lsn, Oid, Xid};
use crate::pgoutput::encode::{ColumnsBuf, TupleBuf};
use crate::pgoutput::{self, Column, Content, Old, ReplicaIdentity, Text, Timestamp, Value};

pub(super) const INT4: u32 = 23;
pub(super) const TEXT: u32 = 25;
pub(super) const JSONB: u32 = 3802;

/// A table `public."User"`; columns are (flagged as key, name, type).
pub(super) fn relation(identity: ReplicaIdentity, columns: &[(bool, &str, u32)], encoding: &Encoding) -> Relation {
    let columns: ColumnsBuf = columns
        .iter()
        .map(|(key, name, oid)| Column { key: *key, name: Text(name.as_bytes()), type_oid: Oid(*oid), typmod: -1 })
        .collect();
    let message = pgoutput::Relation {
        xid: None,
        oid: Oid(16402),
        schema: Text(b"public"),
        name: Text(b"User"),
        identity,
        columns: columns.as_columns(),
    };
    Relation::new(&message, encoding)
}

/// `id` (the key), `email` and `profile`.
pub(super) fn users(identity: ReplicaIdentity) -> Relation {
    let flagged = identity == ReplicaIdentity::Full;
    let id = flagged || identity != ReplicaIdentity::Nothing;
    relation(identity, &[(id, "id", INT4), (flagged, "email", TEXT), (flagged, "profile", JSONB)], &Encoding::Utf8)
}

pub(super) fn row(values: &[Value<'_>]) -> TupleBuf {
    values.iter().copied().collect()
}

pub(super) fn text(text: &str) -> Value<'_> {
    Value::Text(text.as_bytes())
}

pub(super) fn head() -> TransactionHead {
    TransactionHead {
        epoch: "k3".parse().unwrap(),
        xid: Xid(771),
        commit_lsn: Lsn(0x1A2_B3C8),
        time: Timestamp(848_671_331_204_113),
    }
}

/// The JSON of each event that `play` encodes in one transaction.
pub(super) fn encoded(encoding: Encoding, play: impl FnOnce(&mut Encoder, &mut BlockBuilder)) -> Vec<String> {
    lines(&block(encoding, play))
}

pub(super) fn block(encoding: Encoding, play: impl FnOnce(&mut Encoder, &mut BlockBuilder)) -> Block {
    let mut encoder = Encoder::new(encoding);
    let mut builder = BlockBuilder::new(head().epoch);
    encoder.begin(&head());
    play(&mut encoder, &mut builder);
    builder.finish()
}

pub(super) fn lines(block: &Block) -> Vec<String> {
    block.heads().iter().map(|head| String::from_utf8(block.json(head).to_vec()).unwrap()).collect()
}

/// A transaction with one event of every shape.
pub(super) fn every_shape() -> Block {
    let (by_key, whole) = (users(ReplicaIdentity::Default), users(ReplicaIdentity::Full));
    let ann = row(&[text("7"), text("ann@example.org"), text(r#"{"level": 3}"#)]);
    let moved = row(&[text("7"), text("ann@example.net"), Value::Unchanged]);
    let key = row(&[text("7"), Value::Null, Value::Null]);
    let (ann, moved, key) = (ann.as_tuple(), moved.as_tuple(), key.as_tuple());
    block(Encoding::Utf8, |encoder, block| {
        encoder.change(block, &by_key, Operation::Insert, None, Some(&ann), Some(22));
        encoder.change(block, &by_key, Operation::Update, None, Some(&moved), Some(22));
        encoder.change(block, &whole, Operation::Update, Some(&Old::Full(ann)), Some(&moved), Some(22));
        encoder.change(block, &by_key, Operation::Delete, Some(&Old::Key(key)), None, Some(21));
        encoder.change(block, &whole, Operation::Delete, Some(&Old::Full(ann)), None, None);
        encoder.truncate(block, &by_key, Some(21), None, Some(0));
        let ddl = Ddl {
            command: "ALTER TABLE",
            object: Some("public.\"User\""),
            sql: Some("ALTER TABLE \"User\" ADD x int"),
            table: Some(by_key.table()),
        };
        encoder.ddl(block, &ddl);
        encoder.message(block, b"app", Content::Whole(b"hello"));
        encoder.message(block, b"app", Content::Whole(b"\x00\xFF"));
        let totals =
            TableTotals { table: by_key.table().clone(), inserts: 1, updates: 2, deletes: 2, truncates: 1, count: Some(0) };
        encoder.commit(block, &[totals]);
    })
}
