//! What filters find out is found out once for all, and never takes more than the ring has.

use super::*;

#[test]
fn remembering_stays_within_the_limit_whatever_is_asked() {
    let limit = 64 << 10;
    let (mut writer, history, epoch) = begun(limit);
    let filters: Vec<_> =
        (0..60).map(|n| history.intern(filter(&[("where", &format!("n.gt.{}", n % 30)), ("op", "insert")]))).collect();
    assert!(Arc::ptr_eq(&filters[0], &filters[30]));
    for lsn in 1..40 {
        writer.append(whole(&epoch, lsn, lsn % 90, 60));
        assert!(history.usage().bytes <= limit);
        for filter in &filters {
            let mut reader = history.read_from(Start::Oldest);
            while let Read::Events(batch) = reader.read(filter, 1 << 20) {
                assert!(!batch.is_empty());
            }
        }
        assert!(history.usage().bytes <= limit, "{:?}", history.usage());
    }
    // What was charged for what is gone was given back.
    writer.append(whole(&epoch, 1000, 1, limit));
    assert_eq!(history.usage().bytes, 0);
}

#[test]
fn a_second_reader_with_the_same_filter_is_given_the_same_answer() {
    let (mut writer, history, epoch) = begun(1 << 20);
    writer.append(whole(&epoch, 1, 200, 100));
    let before = history.usage().bytes;
    let odd = history.intern(filter(&[("table", "t1"), ("kinds", "change")]));
    let read = || match history.read_from(Start::Oldest).read(&odd, 1 << 20) {
        Read::Events(batch) => batch.iter().map(|event| event.id()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let first = read();
    assert_eq!(first.len(), 67);
    let remembered = history.usage().bytes;
    assert!(remembered > before, "something is remembered");
    assert_eq!(read(), first);
    assert_eq!(history.usage().bytes, remembered, "and not again");
    // What asks for everything has nothing to remember.
    let everything = history.intern(Filter::everything());
    assert!(matches!(history.read_from(Start::Oldest).read(&everything, 1 << 20), Read::Events(_)));
    assert_eq!(history.usage().bytes, remembered);
}

#[test]
fn a_block_that_is_still_read_after_it_went_charges_nothing() {
    let (mut writer, history, epoch) = begun(64 << 10);
    writer.append(whole(&epoch, 1, 100, 100));
    let kept = Arc::clone(history.shared.ring().get(0).unwrap());
    writer.append(whole(&epoch, 2, 1, 64 << 10));
    assert_eq!(history.usage().bytes, 0);
    let matches = kept.matches(&filter(&[("table", "t1")]), &history.shared.account);
    assert!(matches.contains(0));
    assert_eq!(history.usage().bytes, 0);
}
