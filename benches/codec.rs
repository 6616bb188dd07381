//! Nanoseconds and allocations a change: decoding, from memory.
//!
//! `cargo bench --bench codec`

use std::hint::black_box;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use pgvigil::lsn::Oid;
use pgvigil::pgoutput::encode::TupleBuf;
use pgvigil::pgoutput::{Context, Insert, Message, Update, Value, decode, encode, peek};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const CHANGES: usize = 1_000;

/// The kinds of row that are measured.
#[derive(Clone, Copy, Debug)]
enum Row {
    /// Two columns, a few bytes.
    Small,
    /// Eight columns, 110 bytes of values.
    Wide,
}

const ROWS: [Row; 2] = [Row::Small, Row::Wide];

impl Row {
    fn tuple(self, id: usize) -> TupleBuf {
        let id = id.to_string();
        let text = Value::Text;
        match self {
            Row::Small => [text(id.as_bytes()), text(b"17")].into_iter().collect(),
            Row::Wide => [
                text(id.as_bytes()),
                text(b"ann.example@example.org"),
                text(b"Ann Example"),
                Value::Null,
                text(b"t"),
                text(b"1234.50"),
                text(b"2026-11-22 14:02:11.204113+00"),
                text(b"a note of some length, as people write"),
            ]
            .into_iter()
            .collect(),
        }
    }

    /// One message a change: mostly inserts, some updates.
    fn messages(self) -> Vec<Vec<u8>> {
        let message = |id| {
            let row = self.tuple(id);
            let (xid, oid, new) = (None, Oid(16_384), row.as_tuple());
            encode(&match id % 4 {
                0 => Message::Update(Update { xid, oid, old: None, new }),
                _ => Message::Insert(Insert { xid, oid, new }),
            })
        };
        (0..CHANGES).map(message).collect()
    }
}

/// The kind of a message, as the assembler asks for it when the message arrives.
#[divan::bench(args = ROWS)]
fn peeks(bencher: Bencher<'_, '_>, row: Row) {
    let messages = row.messages();
    bencher.counter(ItemsCount::new(CHANGES)).bench_local(|| {
        for message in &messages {
            let _ = black_box(peek(black_box(message), Context::Plain));
        }
    });
}

/// A message checked to its last byte.
#[divan::bench(args = ROWS)]
fn decodes(bencher: Bencher<'_, '_>, row: Row) {
    let messages = row.messages();
    bencher.counter(ItemsCount::new(CHANGES)).bench_local(|| {
        for message in &messages {
            let _ = black_box(decode(black_box(message), Context::Plain));
        }
    });
}

/// The same, and every value looked at.
#[divan::bench(args = ROWS)]
fn decodes_and_reads_values(bencher: Bencher<'_, '_>, row: Row) {
    let messages = row.messages();
    bencher.counter(ItemsCount::new(CHANGES)).bench_local(|| {
        for message in &messages {
            if let Ok(Message::Insert(Insert { new, .. }) | Message::Update(Update { new, .. })) =
                decode(black_box(message), Context::Plain)
            {
                new.iter().for_each(|value| _ = black_box(value));
            }
        }
    });
}
