//! Doubt, sums and what is shown of them.

use super::*;
use crate::counts::FullXid;
use crate::counts::Ledger;
use crate::pipeline::published::Passed;

#[test]
fn the_sum_of_no_partition_is_held_back_too() {
    let (mut tables, mut ledger) = (Tables::default(), Ledger::default());
    tables.survey(seen(vec![table(1, Kind::PartitionedTable, None)]));
    tables.reached(Lsn::ZERO);
    let told = |tables: &mut Tables, ledger: &Ledger| {
        tables.prepare(ledger);
        tables.publish(&Stamp::new(0, Lsn::ZERO, Passed::default())).unwrap().tables[0].count
    };
    assert_eq!(told(&mut tables, &ledger), Some(0));
    ledger.hold();
    tables.hold("nobody looks");
    assert_eq!(told(&mut tables, &ledger), None);
}

#[test]
fn a_count_that_was_in_doubt_meanwhile_is_withdrawn() {
    let (mut tables, mut ledger) = (Tables::default(), Ledger::default());
    let count = |ledger: &mut Ledger, rows| {
        ledger.ask(Oid(1));
        ledger.began(Oid(1), "10:10:".parse().unwrap(), Lsn::ZERO).unwrap();
        assert!(ledger.counted(Oid(1), rows));
        ledger.reached(Lsn::ZERO);
    };
    tables.survey(seen(vec![table(1, Kind::Table, None)]));
    count(&mut ledger, 7);
    tables.prepare(&ledger);
    let stamp = Stamp::new(0, Lsn::ZERO, Passed::default());
    // The look finds that it was rewritten, and it is counted again before the rest is shown.
    tables.survey(seen(vec![catalog::Table { relfilenode: Oid(9), ..table(1, Kind::Table, None) }]));
    ledger.ask(Oid(1));
    tables.touch(Oid(1));
    tables.withdraw(&ledger);
    count(&mut ledger, 8);
    tables.touch(Oid(1));
    tables.withdraw(&ledger);
    tables.prepare(&ledger);
    assert_eq!(tables.publish(&stamp).unwrap().tables[0].count, None, "neither 7 nor 8 is known to be true there");
    assert!(tables.has_more());
    tables.prepare(&ledger);
    assert_eq!(tables.publish(&stamp).unwrap().tables[0].count, Some(8));
}

#[test]
fn what_is_being_altered_has_no_number_and_neither_has_what_is_under_it_or_above() {
    let (mut tables, mut ledger) = (Tables::default(), Ledger::default());
    let trees =
        [table(1, Kind::PartitionedTable, None), table(2, Kind::PartitionedTable, Some(1)), table(3, Kind::Partition, Some(2))];
    tables.survey(seen(trees.into()));
    tables.reached(Lsn::ZERO);
    ledger.ask(Oid(3));
    ledger.began(Oid(3), "10:10:".parse().unwrap(), Lsn::ZERO).unwrap();
    assert!(ledger.counted(Oid(3), 7));
    ledger.reached(Lsn::ZERO);
    for (altering, counts) in [(None, [Some(7); 3]), (Some(Oid(2)), [None; 3]), (None, [Some(7); 3])] {
        tables.being_altered(altering.into_iter().collect());
        tables.prepare(&ledger);
        let told = tables.publish(&Stamp::new(0, Lsn::ZERO, Passed::default())).unwrap();
        assert_eq!(told.tables.iter().map(|table| table.count).collect::<Vec<_>>(), counts, "{altering:?}");
    }
}

fn table(oid: u32, kind: Kind, parent: Option<u32>) -> catalog::Table {
    let name = TableName { oid: Oid(oid), schema: "public".to_owned(), name: format!("t{oid}") };
    catalog::Table { kind, parent: parent.map(Oid), coverage: Coverage::Covered, ..streamed(&name) }
}

fn seen(tables: Vec<catalog::Table>) -> Catalog {
    let (snapshot, fence) = ("10:10:".parse().unwrap(), FullXid(10));
    let (role, server_version, told_by, publication) = ("r".into(), 180_000, None, None);
    Catalog { snapshot, read_at_lsn: Lsn::ZERO, fence, role, server_version, told_by, publication, tables }
}

#[test]
fn a_partition_that_moves_changes_the_sums_of_both_its_parents() {
    let (mut tables, mut ledger) = (Tables::default(), Ledger::default());
    ledger.ask(Oid(3));
    ledger.began(Oid(3), "10:10:".parse().unwrap(), Default::default()).unwrap();
    assert!(ledger.counted(Oid(3), 7));
    ledger.reached(Default::default());

    for (parent, sums) in [(Some(1), [Some(7), Some(0)]), (Some(2), [Some(0), Some(7)]), (None, [Some(0), Some(0)])] {
        if parent == Some(2) {
            // Marked already when the survey comes, as it is when it is written to all the time.
            tables.touch(Oid(3));
        }
        let kind = if parent.is_some() { Kind::Partition } else { Kind::Table };
        let above = [1, 2].map(|oid| table(oid, Kind::PartitionedTable, None));
        tables.survey(seen(above.into_iter().chain([table(3, kind, parent)]).collect()));
        tables.reached(Lsn::ZERO);
        tables.prepare(&ledger);
        let counts = tables.publish(&Stamp::new(0, Lsn::ZERO, Passed::default())).unwrap();
        let count = |oid| counts.tables.iter().find(|table| table.oid == oid).unwrap().count;
        assert_eq!([count(1), count(2)], sums, "under {parent:?}");
    }
}

#[test]
fn what_is_recorded_once_ddl_is_told_is_what_there_is_then() {
    let (mut tables, mut ledger) = (Tables::default(), Ledger::default());
    tables.survey(seen(vec![table(1, Kind::Table, None)]));
    ledger.resume(Oid(1), 7);
    tables.touch(Oid(1));
    let recorded =
        |tables: &mut Tables, ledger: &Ledger| tables.take_unrecorded(ledger).0.first().map(|state| (state.oid, state.count));
    assert_eq!(recorded(&mut tables, &ledger), Some((Oid(1), None)), "it was not shown yet");
    tables.survey(Catalog { told_by: Some(1), ..seen(vec![table(1, Kind::Table, None)]) });
    assert_eq!(recorded(&mut tables, &ledger), Some((Oid(1), Some(7))));
    assert_eq!(recorded(&mut tables, &ledger), None, "nothing is new");
}

#[test]
fn a_count_is_carried_over_only_with_what_it_rests_on() {
    let here = || catalog::Table { relfilenode: Oid(5), ..table(1, Kind::Table, None) };
    let mut left = Tables::default();
    left.survey(Catalog { told_by: Some(1), ..seen(vec![here()]) });
    let mut ledger = Ledger::default();
    ledger.resume(Oid(1), 7);
    let (states, _) = left.take_unrecorded(&ledger);
    let recorded = Recorded { told_by: Some(1), tables: states.into_iter().map(|state| (state.oid, state)).collect() };
    let otherwise = || catalog::Table { published_as: 1, ..here() };
    for (told_by, now, expected) in
        [(Some(1), here(), Some(7)), (Some(2), here(), None), (None, here(), None), (Some(1), otherwise(), None)]
    {
        let mut tables = Tables::default();
        tables.survey(Catalog { told_by, ..seen(vec![now.clone()]) });
        assert_eq!(tables.resumed(Oid(1), &recorded), expected, "{told_by:?} {now:?}");
        assert_eq!(tables.take_moved(Lsn(9)), []);
    }
    // In another file: that is for a TRUNCATE to explain, before the stream comes to where that was found.
    for truncated in [false, true] {
        let mut tables = Tables::default();
        let elsewhere = catalog::Table { relfilenode: Oid(6), ..here() };
        tables.survey(Catalog { told_by: Some(1), read_at_lsn: Lsn(9), ..seen(vec![elsewhere]) });
        assert_eq!(tables.resumed(Oid(1), &recorded), Some(7));
        assert_eq!(tables.take_moved(Lsn(8)), []);
        if truncated {
            tables.truncated(Oid(1), Xid(100));
        }
        assert_eq!(tables.take_moved(Lsn(9)).len(), usize::from(!truncated));
    }
}
