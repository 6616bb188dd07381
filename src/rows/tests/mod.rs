//! What the cache makes of what it is told.

mod model;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Cache, Change, Column, Contents, Former, Limits, Reading, Reason, Shape, Standing, TooOld};
use crate::counts::FullXid;
use crate::lsn::{Lsn, Oid, Xid};
use crate::pgoutput::encode::TupleBuf;
use crate::pgoutput::{Row, Value};

const TABLE: Oid = Oid(16_384);
/// Of the column `name`.
const ENUM: Oid = Oid(16_390);
const AMPLE: Limits = Limits { table: 1 << 20, total: 1 << 20 };

fn described() -> Arc<[Column]> {
    let column = |name: &str, in_identity| Column { name: name.to_owned(), type_oid: Oid(23), typmod: -1, in_identity };
    [column("name", false), column("id", true), column("text", false)].into()
}

fn shape() -> Shape {
    Shape::new(described(), vec![1]).unwrap()
}

/// A small value and a large one, by which an update may have been told `Unchanged`.
type Values = (u8, u16);

/// How often the values of the enum were renamed.
type Label = u8;

fn row(id: u8, values: Values) -> Row {
    labelled(id, values, 0)
}

fn labelled(id: u8, (name, text): Values, label: Label) -> Row {
    [format!("{name} {label}"), id.to_string(), text.to_string()]
        .iter()
        .map(|text| Value::Text(text.as_bytes()))
        .collect::<TupleBuf>()
        .into()
}

fn update(id: u8, (name, _): Values, label: Label) -> Row {
    let (name, id) = (format!("{name} {label}"), id.to_string());
    [Value::Text(name.as_bytes()), Value::Text(id.as_bytes()), Value::Unchanged].into_iter().collect::<TupleBuf>().into()
}

fn key(id: u8) -> Row {
    [Value::Null, Value::Text(id.to_string().as_bytes()), Value::Null].into_iter().collect::<TupleBuf>().into()
}

fn contents(rows: &BTreeMap<u8, Values>, label: Label) -> Contents {
    let mut contents = Contents::new(shape());
    for (id, values) in rows {
        assert!(contents.add(labelled(*id, *values, label)));
    }
    contents
}

fn reading(snapshot: &str, hangs_on: &[Oid]) -> Reading {
    let (snapshot, hangs_on) = (snapshot.parse().unwrap(), hangs_on.to_vec());
    Reading { snapshot, lsn: Lsn(5), hangs_on, contents: contents(&BTreeMap::from([(1, (1, 1))]), 0) }
}

/// A cache that knows these rows.
fn knowing(limits: Limits, rows: &[(u8, Values)]) -> Cache {
    let mut cache = Cache::new(limits);
    cache.described(TABLE, described());
    read(&mut cache, TABLE, rows);
    cache
}

fn read(cache: &mut Cache, oid: Oid, rows: &[(u8, Values)]) {
    cache.ask(oid);
    let contents = contents(&rows.iter().copied().collect(), 0);
    let reading = Reading { snapshot: "10:10:".parse().unwrap(), lsn: Lsn(5), hangs_on: vec![Oid(7), Oid(8)], contents };
    cache.read(oid, reading).unwrap();
    cache.reached(Lsn(5));
    cache.begin(Xid(20));
}

#[test]
fn a_row_of_other_columns_brings_all_into_doubt() {
    let mut cache = knowing(AMPLE, &[(1, (1, 1)), (2, (2, 2))]);
    let mut columns = described().to_vec();
    columns[0].typmod = 44;
    cache.described(TABLE, columns.into());
    assert_eq!(cache.standing(TABLE), Some(Standing::Full), "no row of them has come");
    assert_eq!(cache.apply(TABLE, Change::Delete(key(1).as_tuple())), Former::Unknown);
    assert_eq!((cache.standing(TABLE), cache.take_doubtful()), (Some(Standing::Loading), vec![TABLE]));
}

#[test]
fn what_cannot_be_brings_all_into_doubt() {
    let nameless: Row = [Value::Text(b"1"), Value::Cut(7), Value::Null].into_iter().collect::<TupleBuf>().into();
    for change in [Change::Delete(key(9)), Change::Insert(row(1, (3, 3))), Change::Insert(nameless)] {
        let mut cache = knowing(AMPLE, &[(1, (1, 1))]);
        assert_eq!(cache.apply(TABLE, change.view()), Former::Unknown);
        assert_eq!((cache.standing(TABLE), cache.take_doubtful()), (Some(Standing::Loading), vec![TABLE]), "{change:?}");
    }
    let mut cache = knowing(AMPLE, &[(1, (1, 1))]);
    assert!(cache.agrees(TABLE, 1) && !cache.agrees(TABLE, 2));
    assert_eq!(cache.take_doubtful(), [TABLE]);
}

#[test]
fn what_is_altered_is_in_doubt_with_all_that_is_under_it() {
    for (altered, partitions, stays) in [
        (TABLE, vec![], false),
        (Oid(8), vec![], false),
        // Attached, or what it is a partition of.
        (Oid(9), vec![Oid(1), TABLE], false),
        (Oid(9), vec![Oid(7)], false),
        (Oid(9), vec![Oid(10)], true),
    ] {
        let mut cache = knowing(AMPLE, &[(1, (1, 1))]);
        cache.described(TABLE, described());
        cache.altered(altered, &partitions);
        let standing = if stays { Standing::Full } else { Standing::Loading };
        assert_eq!(cache.standing(TABLE), Some(standing), "{altered}, of {partitions:?}");
        assert_eq!(cache.take_doubtful().is_empty(), stays);
    }
}

#[test]
fn only_the_readings_of_what_is_altered_are_of_no_use() {
    for (altered, partitions, hangs_on, of_use) in [
        (TABLE, vec![], vec![], false),
        (Oid(9), vec![], vec![Oid(9)], false),
        (Oid(9), vec![Oid(10)], vec![Oid(10)], false),
        (Oid(9), vec![TABLE], vec![], false),
        (Oid(9), vec![Oid(10)], vec![Oid(11)], true),
    ] {
        let mut cache = knowing(AMPLE, &[]);
        cache.ask(TABLE);
        cache.altered(altered, &partitions);
        let read = cache.read(TABLE, reading("10:30:15", &hangs_on));
        assert_eq!(read.is_ok(), of_use, "{altered}, of {partitions:?}, and the rows hang on {hangs_on:?}");
    }
}

#[test]
fn who_wrote_before_a_type_was_altered_has_to_be_over() {
    let mut cache = knowing(AMPLE, &[]);
    cache.altered(ENUM, &[]);
    cache.ask(TABLE);
    let refused = |fence: Option<u64>| Err(TooOld { fence: fence.map(FullXid) });
    assert_eq!(cache.read(TABLE, reading("12:30:12,20", &[ENUM])), refused(None), "20 did it, and is not visible");
    assert_eq!(cache.read(TABLE, reading("12:31:12", &[ENUM])), refused(Some(31)), "12 may have written before");
    // What others look at meanwhile changes nothing: this one's snapshot may be older.
    cache.prune(&"40:40:".parse().unwrap());
    assert_eq!(cache.read(TABLE, reading("12:35:12", &[ENUM])), refused(Some(31)));
    assert_eq!(cache.read(TABLE, reading("31:40:31,32", &[ENUM])), Ok(()));

    cache.doubt_all();
    cache.ask(TABLE);
    assert_eq!(cache.read(TABLE, reading("12:50:12", &[ENUM])), refused(Some(50)), "it may have been this type");
    assert_eq!(cache.read(TABLE, reading("12:50:12", &[])), Ok(()));
    cache.doubt(TABLE);
    cache.prune(&"50:50:".parse().unwrap());
    cache.ask(TABLE);
    assert_eq!(cache.read(TABLE, reading("50:60:50", &[ENUM])), Ok(()));
}

#[test]
fn alterations_beyond_number_are_of_anything() {
    let mut cache = knowing(AMPLE, &[]);
    (1000..2000).for_each(|oid| cache.altered(Oid(oid), &[]));
    cache.ask(TABLE);
    assert_eq!(cache.read(TABLE, reading("12:50:12", &[ENUM])), Err(TooOld { fence: Some(FullXid(50)) }));
}

#[test]
fn the_more_often_in_doubt_the_longer_it_may_wait() {
    let mut cache = knowing(Limits { table: 3000, total: 100_000 }, &[(1, (1, 1))]);
    for doubts in 1..4 {
        cache.ask(TABLE);
        // More than fits comes while they are read.
        for id in 2..100 {
            cache.apply(TABLE, Change::Insert(row(id, (0, 0)).as_tuple()));
        }
        assert_eq!((cache.standing(TABLE), cache.doubts(TABLE)), (Some(Standing::Loading), doubts));
    }
    cache.ask(TABLE);
    cache.read(TABLE, reading("30:30:", &[])).unwrap();
    assert_eq!(cache.doubts(TABLE), 3);
    cache.reached(Lsn(5));
    assert_eq!(cache.doubts(TABLE), 0);
}

#[test]
fn what_is_not_kept_takes_no_memory() {
    let mut cache = knowing(AMPLE, &[]);
    cache.refuse(TABLE, Reason::NoKey);
    for xid in 100..6000 {
        cache.begin(Xid(xid));
        cache.apply(TABLE, Change::Truncate);
    }
    assert_eq!((cache.usage().bytes, cache.weigh()), (0, 0));
    cache.ask(TABLE);
    assert_eq!(cache.read(TABLE, reading("5999:6000:5999", &[])), Err(TooOld { fence: Some(FullXid(6000)) }));
    assert_eq!(cache.read(TABLE, reading("6000:6000:", &[])), Ok(()));
    assert_eq!(cache.usage().bytes, cache.weigh());
}

#[test]
fn what_could_not_be_kept_may_be_once_it_is_altered() {
    let mut cache = knowing(AMPLE, &[]);
    cache.refuse(TABLE, Reason::NoKey);
    cache.altered(TABLE, &[]);
    assert_eq!((cache.standing(TABLE), cache.take_doubtful()), (Some(Standing::Loading), vec![TABLE]));
}

#[test]
fn who_grows_too_large_is_dropped() {
    let grow = |limits: Limits| {
        let mut cache = knowing(limits, &[(1, (1, 1))]);
        read(&mut cache, Oid(2), &[(1, (1, 1))]);
        let dropped = (2..200).find(|id| {
            cache.apply(TABLE, Change::Insert(row(*id, (0, 0)).as_tuple()));
            cache.standing(TABLE) != Some(Standing::Full)
        });
        assert!(dropped.is_some());
        assert_eq!((cache.usage().dropped, cache.usage().full, cache.usage().bytes), (1, 1, cache.weigh()));
        assert_eq!((cache.usage().off, cache.usage().too_large), (1, 1));
        let Some(Standing::Off(reason)) = cache.standing(TABLE) else { panic!("{:?}", cache.standing(TABLE)) };
        reason
    };
    assert!(matches!(grow(Limits { table: 3000, total: 100_000 }), Reason::Table { .. }));
    assert!(matches!(grow(Limits { table: 100_000, total: 3000 }), Reason::Total { .. }));
}

#[test]
fn more_transactions_than_can_be_told_apart_are_no_mistake() {
    let mut cache = Cache::new(AMPLE);
    cache.described(TABLE, described());
    for xid in 100..10_000 {
        cache.begin(Xid(xid));
        cache.apply(TABLE, Change::Truncate);
    }
    cache.ask(TABLE);
    assert!(cache.read(TABLE, reading("500:10000:500", &[])).is_err());
    assert!(cache.read(TABLE, reading("10000:10000:", &[])).is_ok());
}
