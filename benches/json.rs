//! What a change costs on its way from a row to its JSON, and what it allocates.
//!
//! Run with `cargo bench --bench json`. Goals: 120 ns a small change, 150 ns with rows of 110 bytes, decoding
//! included; no allocation per change, but for the block's memory, which grows with it.

use std::hint::black_box;

use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher};
use pgvigil::encoding::Encoding;
use pgvigil::event::{Block, BlockBuilder, Encoder, Gram, Head, Operation, Relation, TransactionHead, filter};
use pgvigil::lsn::{Epoch, Lsn, Oid, Xid};
use pgvigil::pgoutput::encode::{ColumnsBuf, TupleBuf};
use pgvigil::pgoutput::{self, Column, Old, ReplicaIdentity, Text, Timestamp, Value};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

/// Changes in a block: as many as one of the pipeline's holds.
const CHANGES: usize = 500;

/// Name, type and text of a column; the first is the key.
type Row = &'static [(&'static str, u32, &'static str)];

const SMALL: Row = &[("id", 23, "4711"), ("balance", 23, "-250")];

/// 110 bytes of values.
const WIDE: Row = &[
    ("id", 20, "4711"),
    ("email", 25, "ann.example@example.org"),
    ("name", 25, "Ann Example"),
    ("public", 16, "t"),
    ("balance", 1700, "1234.50"),
    ("created_at", 1184, "2026-11-22 14:02:11.204113+00"),
    ("note", 25, "a note of some length, as people do"),
];

const NESTED: Row = &[
    ("id", 20, "1234567"),
    ("profile", 3802, r#"{"level": 12, "tags": ["coop", "retro"]}"#),
    ("scores", 1007, "{12,7,NULL,44}"),
];

const ESCAPED: Row =
    &[("id", 20, "1234567"), ("body", 25, "Zeile 1: \"größer\"\nZeile 2: C:\\spiele\\neu\nZeile 3: ende, wirklich")];

fn main() {
    divan::main();
}

fn relation(row: Row) -> Relation {
    let columns: ColumnsBuf = row
        .iter()
        .enumerate()
        .map(|(index, (name, oid, _))| Column { key: index == 0, name: Text(name.as_bytes()), type_oid: Oid(*oid), typmod: -1 })
        .collect();
    let message = pgoutput::Relation {
        xid: None,
        oid: Oid(16402),
        schema: Text(b"public"),
        name: Text(b"ScheduledSession"),
        identity: ReplicaIdentity::Default,
        columns: columns.as_columns(),
    };
    Relation::new(&message, &Encoding::Utf8)
}

/// Makes blocks of such changes.
fn blocks(row: Row, operation: Operation) -> impl FnMut() -> Block {
    let relation = relation(row);
    let tuple: TupleBuf = row.iter().map(|(_, _, text)| Value::Text(text.as_bytes())).collect();
    let epoch = Epoch::at_millis(1_795_356_131_204);
    let head = TransactionHead {
        epoch: epoch.clone(),
        xid: Xid(771),
        commit_lsn: Lsn(0x1A2_B3C8),
        time: Timestamp(848_671_331_204_113),
    };
    let mut encoder = Encoder::new(Encoding::Utf8);
    let mut block = BlockBuilder::new(epoch);
    move || {
        let tuple = tuple.as_tuple();
        let key = Old::Key(tuple);
        let (old, new) = match operation {
            Operation::Delete => (Some(&key), None),
            _ => (None, Some(&tuple)),
        };
        encoder.begin(&head);
        for count in 0..CHANGES as i64 {
            encoder.change(&mut block, black_box(&relation), operation, old, new, Some(count));
        }
        block.finish()
    }
}

fn encode(bencher: Bencher<'_, '_>, row: Row, operation: Operation) {
    bencher.counter(ItemsCount::new(CHANGES)).bench_local(blocks(row, operation));
}

/// What is put down of a block, so that questions for a text may pass by it.
fn grams(bencher: Bencher<'_, '_>, row: Row) {
    let block = blocks(row, Operation::Insert)();
    let (mut seen, bytes) = (vec![0_u8; Gram::COUNT], block.heads().iter().map(Head::len).sum::<usize>());
    let bencher = bencher.counter(ItemsCount::new(CHANGES)).counter(BytesCount::new(bytes));
    bencher.bench_local(|| filter::grams(black_box(&block), |gram| seen[gram.number()] |= 1));
}

#[divan::bench]
fn grams_small(bencher: Bencher<'_, '_>) {
    grams(bencher, SMALL);
}

#[divan::bench]
fn grams_110_bytes(bencher: Bencher<'_, '_>) {
    grams(bencher, WIDE);
}

#[divan::bench]
fn insert_small(bencher: Bencher<'_, '_>) {
    encode(bencher, SMALL, Operation::Insert);
}

#[divan::bench]
fn delete_small(bencher: Bencher<'_, '_>) {
    encode(bencher, SMALL, Operation::Delete);
}

#[divan::bench]
fn insert_110_bytes(bencher: Bencher<'_, '_>) {
    encode(bencher, WIDE, Operation::Insert);
}

#[divan::bench]
fn update_110_bytes(bencher: Bencher<'_, '_>) {
    encode(bencher, WIDE, Operation::Update);
}

#[divan::bench]
fn insert_nested(bencher: Bencher<'_, '_>) {
    encode(bencher, NESTED, Operation::Insert);
}

#[divan::bench]
fn insert_escaped(bencher: Bencher<'_, '_>) {
    encode(bencher, ESCAPED, Operation::Insert);
}
