//! Questions to a journal of ten million changes: how long the first page of an answer takes, and how many rows there were at some time.
//!
//! `cargo bench --bench questions`; `PGVIGIL_BENCH_CHANGES` says how many changes (about 30 bytes of disk each). Half of the questions are for
//! what is rare, and far back: then everything would have to be read, were it not known which blocks cannot answer.
//!
//! The first question of each kind reads the ends of all files; after that what the system keeps of them in memory is what is measured.

use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use divan::Bencher;
use pgvigil::encoding::Encoding;
use pgvigil::event::filter::Filter;
use pgvigil::event::{BlockBuilder, Encoder, Operation, Relation, TableTotals, TransactionHead};
use pgvigil::history::journal::{Mark, Minute, Opened, Options, Watched};
use pgvigil::history::{self, Bound, History, Query};
use pgvigil::lsn::{Epoch, Lsn, Oid, Xid};
use pgvigil::pgoutput::encode::{ColumnsBuf, TupleBuf};
use pgvigil::pgoutput::{self, Column, Old, ReplicaIdentity, Text, Timestamp, Value};
use tempfile::TempDir;

/// Changes in a transaction.
const LENGTH: u64 = 50;

fn main() {
    divan::main();
}

fn relation(oid: u32, name: &str) -> Relation {
    let columns = [("id", 20_u32), ("email", 25), ("note", 25)];
    let columns: ColumnsBuf = columns
        .iter()
        .enumerate()
        .map(|(index, (name, oid))| Column { key: index == 0, name: Text(name.as_bytes()), type_oid: Oid(*oid), typmod: -1 })
        .collect();
    let (xid, schema, identity) = (None, Text(b"public"), ReplicaIdentity::Default);
    let (oid, name, columns) = (Oid(oid), Text(name.as_bytes()), columns.as_columns());
    Relation::new(&pgoutput::Relation { xid, oid, schema, name, identity, columns }, &Encoding::Utf8)
}

/// When transaction `nth` was committed: a thousand a minute.
fn time(nth: u64) -> Timestamp {
    Timestamp(848_671_331_000_000 + nth as i64 * 60_000)
}

/// Inserts into twenty tables, and one delete of one row, at the end of the first tenth.
fn write(dir: &Path, changes: u64) {
    let watched = Watched { system_identifier: "7300000000000000001".into(), database: Oid(16384), name: "app".into() };
    let mut journal = Opened::open(dir, Options::default()).unwrap().0.begin(&watched).unwrap();
    let tables: Vec<Relation> = (0..20).map(|nth| relation(16_400 + nth, &format!("table_{nth}"))).collect();
    let (epoch, transactions) = (Epoch::at_millis(1_795_356_131_204), changes / LENGTH);
    let mut encoder = Encoder::new(Encoding::Utf8);
    let mut block = BlockBuilder::new(epoch.clone());
    for nth in 0..transactions {
        let (relation, commit_lsn) = (&tables[nth as usize % tables.len()], Lsn((nth + 1) * 10_000));
        encoder.begin(&TransactionHead { epoch: epoch.clone(), xid: Xid(nth as u32), commit_lsn, time: time(nth) });
        for change in 0..LENGTH {
            let id = nth * LENGTH + change;
            let texts =
                [id.to_string(), format!("person{id}@example.org"), format!("{:x}", id.wrapping_mul(0x9e37_79b9_7f4a_7c15))];
            let tuple: TupleBuf = texts.iter().map(|text| Value::Text(text.as_bytes())).collect();
            let (tuple, count) = (tuple.as_tuple(), Some(id as i64));
            if nth == transactions / 10 && change == 7 {
                encoder.change(&mut block, relation, Operation::Delete, Some(&Old::Key(tuple)), None, count);
            } else {
                encoder.change(&mut block, relation, Operation::Insert, None, Some(&tuple), count);
            }
        }
        let (table, count) = (Arc::clone(relation.table()), Some(nth as i64));
        encoder.commit(&mut block, &[TableTotals { table, inserts: LENGTH, updates: 0, deletes: 0, truncates: 0, count }]);
        block.reached(commit_lsn);
        if block.len() >= 256 << 10 || nth + 1 == transactions {
            journal.append(&block.finish()).unwrap();
            let (position, epoch, time) = (Lsn(commit_lsn.0 + 1), epoch.clone(), pgvigil::event::time::unix_micros(time(nth)));
            let (tables, gone) = (Vec::new(), Vec::new());
            journal.commit(Mark { position, epoch, timeline: 1, time, told_by: Some(1), tables, gone, whole: false }).unwrap();
        }
    }
}

/// The journal, how many changes are in it, and what asks.
fn journal() -> &'static (TempDir, u64, History) {
    static JOURNAL: OnceLock<(TempDir, u64, History)> = OnceLock::new();
    JOURNAL.get_or_init(|| {
        let changes = std::env::var("PGVIGIL_BENCH_CHANGES").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
        let dir = TempDir::new().unwrap();
        let began = Instant::now();
        write(dir.path(), changes);
        let took = began.elapsed();
        let began = Instant::now();
        let archive = Opened::open(dir.path(), Options::default()).unwrap().0.archive();
        let (bytes, events) = archive.size();
        eprintln!("{events} events in {bytes} bytes, made and written in {took:.1?}, opened in {:.2?}", began.elapsed());
        let (_, history) = history::recorded(1 << 20, archive);
        (dir, changes, history)
    })
}

/// The first page of an answer, which holds so many events.
fn ask(bencher: Bencher<'_, '_>, parameters: &[(&str, String)], change: impl Fn(Query) -> Query, expected: usize) {
    let (_, _, history) = journal();
    let filter = Filter::parse(parameters.iter().map(|(name, value)| (*name, value.as_str()))).unwrap();
    let query = change(Query::new(Arc::new(filter), 100));
    let page = history.query(&query);
    assert_eq!((page.events.len(), page.unread.is_none()), (expected, true));
    bencher.bench_local(|| black_box(history.query(&query)).events.len());
}

/// Where the one delete is.
fn rare() -> (u64, u64) {
    let nth = journal().1 / LENGTH / 10;
    (nth, nth * LENGTH + 7)
}

const CHANGES: (&str, &str) = ("kinds", "change");

fn changes() -> (&'static str, String) {
    (CHANGES.0, CHANGES.1.to_owned())
}

#[divan::bench]
fn newest(bencher: Bencher<'_, '_>) {
    ask(bencher, &[changes()], |query| query, 100);
}

#[divan::bench]
fn newest_of_a_table(bencher: Bencher<'_, '_>) {
    ask(bencher, &[changes(), ("table", "public.table_7".to_owned())], |query| query, 100);
}

#[divan::bench]
fn the_one_delete(bencher: Bencher<'_, '_>) {
    let (nth, _) = rare();
    let table = format!("public.table_{}", nth % 20);
    ask(bencher, &[changes(), ("op", "delete".to_owned()), ("table", table)], |query| query, 1);
}

#[divan::bench]
fn deletes_of_a_table_that_has_none(bencher: Bencher<'_, '_>) {
    ask(bencher, &[changes(), ("op", "delete".to_owned()), ("table", "public.table_13".to_owned())], |query| query, 0);
}

#[divan::bench]
fn one_transaction_by_its_xid(bencher: Bencher<'_, '_>) {
    let (nth, _) = rare();
    let xid = Some(Xid(u32::try_from(nth).unwrap()));
    ask(bencher, &[changes()], |query| Query { xid, ..query }, usize::try_from(LENGTH).unwrap());
}

#[divan::bench]
fn one_row_by_its_key(bencher: Bencher<'_, '_>) {
    let (_, id) = rare();
    ask(bencher, &[changes(), ("key", format!("id={id}"))], |query| query, 1);
}

#[divan::bench]
fn an_actor_who_did_nothing(bencher: Bencher<'_, '_>) {
    ask(bencher, &[changes(), ("actor", "nobody".to_owned())], |query| query, 0);
}

/// One of ten million like it.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn an_address_that_is_far_back(bencher: Bencher<'_, '_>) {
    let (_, id) = rare();
    ask(bencher, &[changes(), ("text", format!("PERSON{}@example", id + 1))], |query| query, 1);
}

/// What it is made of stands nowhere else.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn sixteen_random_digits_that_are_far_back(bencher: Bencher<'_, '_>) {
    let (_, id) = rare();
    ask(bencher, &[changes(), ("text", format!("{:x}", (id + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))], |query| query, 1);
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn a_text_that_stands_nowhere(bencher: Bencher<'_, '_>) {
    ask(bencher, &[changes(), ("text", "a needle in a haystack".to_owned())], |query| query, 0);
}

/// Reads every block.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn three_letters_that_stand_nowhere(bencher: Bencher<'_, '_>) {
    ask(bencher, &[changes(), ("text", "xyz".to_owned())], |query| query, 0);
}

#[divan::bench]
fn a_text_within_ten_minutes(bencher: Bencher<'_, '_>) {
    let (nth, id) = rare();
    let (since, until) = (Some(Bound::Time(time(nth - 5_000))), Some(Bound::Time(time(nth + 5_000))));
    let text = format!("PERSON{}@example", id + 1);
    ask(bencher, &[changes(), ("text", text)], |query| Query { since, until, ..query }, 1);
}

#[divan::bench]
fn counts_at_a_time(bencher: Bencher<'_, '_>) {
    let (nth, _) = rare();
    let at = Bound::Time(time(nth));
    bencher.bench_local(|| black_box(journal().2.counts_at(at)).unwrap());
}

#[divan::bench]
fn counts_over_a_day_of_minutes(bencher: Bencher<'_, '_>) {
    let last = Minute::of(time(journal().1 / LENGTH)).0;
    let archive = journal().2.archive().unwrap();
    bencher.bench_local(|| black_box(archive.course(Oid(16_407), Minute(last - 1440), Minute(last))).unwrap());
}
