//! Fan-out without sockets: what the history and the filters cost when many clients follow.
//!
//! `one_filter` and `fifty_filters` do the same for 1,000 clients; the second should not take more than half as long again as the first
//! plus what the sockets take (about 6.5 µs for each write).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use pgvigil::event::filter::Filter;
use pgvigil::event::{Block, BlockBuilder, Kind, NewEvent, Operation, TableName};
use pgvigil::history::{self, History, Read, Reader, Start, Writer};
use pgvigil::lsn::{Epoch, Lsn, Oid, Place, Xid};
use pgvigil::pgoutput::Timestamp;
use tokio::runtime::Runtime;

const BATCH_BYTES: usize = 64 << 10;

fn main() {
    divan::main();
}

fn epoch() -> Epoch {
    Epoch::at_millis(1)
}

/// A block of changes with 300 bytes of JSON each, to ten tables in turn.
fn block(lsn: u64, events: u64) -> Block {
    let mut builder = BlockBuilder::new(epoch());
    let tables: Vec<_> =
        (0..10).map(|n| Arc::new(TableName { oid: Oid(n), schema: "public".into(), name: format!("t{n}") })).collect();
    for ordinal in 1..=events {
        let number = ordinal % 10;
        let table = builder.table(&tables[usize::try_from(number).unwrap()]);
        let event = NewEvent {
            kind: Kind::Change,
            place: Place { commit_lsn: Lsn(lsn), ordinal },
            table: Some(table),
            operation: Some(Operation::Insert),
            actor: None,
            xid: Some(Xid(7)),
            time: Timestamp(0),
        };
        let row = format!(r#"{{"id":{ordinal},"status":"paid","name":"{}"}}"#, "x".repeat(80));
        let head = r#""type":"change","id":"k3.0-1A2B3C8.4","op":"insert","schema":"public","table":"t","oid":16402,"tx":{"id":"k3-0-1A2B3C8","xid":771}"#;
        builder.push(event, |out| {
            out.extend_from_slice(format!(r#"{{{head},"key":{{"id":{ordinal}}},"old":null,"new":{row}}}"#).as_bytes())
        });
    }
    builder.finish()
}

fn begun() -> (Writer, History) {
    let (mut writer, history) = history::ring(64 << 20);
    writer.begin_epoch(epoch(), Lsn(0), None);
    (writer, history)
}

fn filter(parameters: &[(&str, &str)]) -> Filter {
    Filter::parse(parameters.iter().copied()).unwrap()
}

fn events_read(reader: &mut Reader, filter: &Arc<Filter>) -> usize {
    let mut events = 0;
    loop {
        match reader.read(filter, BATCH_BYTES) {
            Read::Events(batch) => {
                batch.iter().for_each(|event| _ = black_box(event.bytes()));
                events += batch.len();
            }
            Read::Gap(gap) => panic!("{gap:?}"),
            Read::Nothing => return events,
        }
    }
}

/// One block that 1,000 clients read.
fn thousand(bencher: Bencher<'_, '_>, events: u64, filters: usize) {
    const CLIENTS: usize = 1000;
    let (mut writer, history) = begun();
    let filters: Vec<_> =
        (0..filters).map(|n| history.intern(filter(&[("where", &format!("id.gte.{n},status.eq.paid"))]))).collect();
    let mut readers: Vec<_> = (0..CLIENTS).map(|_| history.read_from(Start::Live)).collect();
    let mut lsn = 0;
    bencher.counter(ItemsCount::new(CLIENTS)).bench_local(|| {
        lsn += 1;
        writer.append(block(lsn, events));
        readers.iter_mut().zip(filters.iter().cycle()).map(|(reader, filter)| events_read(reader, filter)).sum::<usize>()
    });
}

#[divan::bench(args = [1, 10, 100])]
fn one_filter(bencher: Bencher<'_, '_>, events: u64) {
    thousand(bencher, events, 1);
}

#[divan::bench(args = [1, 10, 100])]
fn fifty_filters(bencher: Bencher<'_, '_>, events: u64) {
    thousand(bencher, events, 50);
}

#[divan::bench]
fn no_filter(bencher: Bencher<'_, '_>) {
    let (mut writer, history) = begun();
    let everything = history.intern(Filter::everything());
    let mut reader = history.read_from(Start::Live);
    let mut lsn = 0;
    bencher.counter(ItemsCount::new(100_u32)).bench_local(|| {
        lsn += 1;
        writer.append(block(lsn, 100));
        events_read(&mut reader, &everything)
    });
}

/// What a filter costs for each event of a block, before anything is remembered.
#[divan::bench(args = ["kinds=change", "table=public.t3", "where=status.eq.paid", "where=name.ilike.%y%", "table=public.t3&where=id.gt.5"])]
fn evaluate(bencher: Bencher<'_, '_>, query: &str) {
    let pairs: Vec<_> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let (filter, block) = (filter(&pairs), block(1, 800));
    bencher.counter(ItemsCount::new(800_u32)).bench_local(|| filter.matches(black_box(&block)));
}

/// Clients that wait, each in a task, and are all woken by a block.
struct Waiting {
    runtime: Runtime,
    writer: Writer,
    /// Times that a client has read.
    read: Arc<AtomicUsize>,
    expected: usize,
    clients: usize,
    lsn: u64,
}

impl Waiting {
    fn start(clients: usize) -> Self {
        let (writer, history) = begun();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let read = Arc::new(AtomicUsize::new(0));
        let everything = history.intern(Filter::everything());
        for _ in 0..clients {
            let (mut reader, everything, read) = (history.read_from(Start::Live), Arc::clone(&everything), Arc::clone(&read));
            runtime.spawn(async move {
                loop {
                    reader.ready().await;
                    if events_read(&mut reader, &everything) > 0 {
                        read.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        Self { runtime, writer, read, expected: 0, clients, lsn: 0 }
    }

    fn append(&mut self) {
        self.lsn += 1;
        let block = block(self.lsn, 1);
        let _entered = self.runtime.enter();
        self.writer.append(block);
        self.expected += self.clients;
    }

    fn settle(&self) {
        while self.read.load(Ordering::Relaxed) < self.expected {
            std::thread::yield_now();
        }
    }
}

/// From the append until every client has read.
#[divan::bench(args = [1, 100, 1000, 5000])]
fn wake_all(bencher: Bencher<'_, '_>, clients: usize) {
    let mut waiting = Waiting::start(clients);
    bencher.counter(ItemsCount::new(clients)).bench_local(|| {
        waiting.append();
        waiting.settle();
    });
}

/// What of that the writer itself is held up by.
#[divan::bench(args = [1, 100, 1000, 5000], sample_count = 20, sample_size = 1)]
fn append(bencher: Bencher<'_, '_>, clients: usize) {
    let waiting = std::cell::RefCell::new(Waiting::start(clients));
    bencher.with_inputs(|| waiting.borrow().settle()).bench_local_values(|()| waiting.borrow_mut().append());
}
