//! What other tests judge counts by: does it find what is wrong, and nothing else?

mod support;

use support::{Audit, Chronicle, Effect};

/// Told: 5 rows; 10 adds one; 11 adds one; told; 12 empties it and adds two; told.
fn chronicle() -> Chronicle {
    let mut chronicle = Chronicle::new("t");
    chronicle.told(5, 100).unwrap();
    chronicle.did(10, 110, Effect::row(1)).unwrap();
    chronicle.did(11, 120, Effect::row(1)).unwrap();
    chronicle.told(7, 120).unwrap();
    chronicle.did(12, 130, Effect::EMPTIED.then(Effect::row(2))).unwrap();
    chronicle.told(2, 140).unwrap();
    chronicle
}

fn audit(snapshot: &str, lsn: u64, rows: i64) -> Audit {
    Audit { table: "t".into(), oid: 1, snapshot: snapshot.parse().unwrap(), lsn, rows }
}

#[test]
fn an_audit_agrees_or_not() {
    let chronicle = chronicle();
    for (snapshot, lsn, rows, told) in [
        ("10:10:", 105, 5, 2),   // before everything: by the number before it, and by the one after it
        ("10:12:11", 115, 6, 2), // 11 is neither committed nor visible
        ("12:12:", 125, 7, 1),   // the next number stands behind a TRUNCATE
        ("10:12:10", 125, 6, 1), // 10 is in the log but not visible
        ("13:13:", 135, 2, 2),   // at the end
    ] {
        assert_eq!(chronicle.check(&audit(snapshot, lsn, rows)).unwrap(), told, "{snapshot}");
        assert!(chronicle.check(&audit(snapshot, lsn, rows + 1)).is_err(), "{snapshot}");
        assert!(chronicle.check(&audit(snapshot, lsn, rows - 1)).is_err(), "{snapshot}");
    }
}

#[test]
fn a_number_told_that_does_not_follow_is_wrong() {
    assert!(chronicle().told(3, 150).is_err());
    assert!(
        chronicle().did(13, 139, Effect::row(1)).is_err(),
        "numbers as of 140 must not come before what was committed at 139"
    );
}

#[test]
fn nothing_follows_across_a_doubt() {
    let mut chronicle = chronicle();
    chronicle.doubt(145);
    chronicle.did(13, 150, Effect::row(1)).unwrap();
    assert_eq!(chronicle.check(&audit("14:14:", 160, 99)).unwrap(), 0);
    chronicle.told(8, 170).unwrap();
    // Meanwhile rows may have come and gone that the stream does not bring.
    assert_eq!(chronicle.check(&audit("14:14:", 160, 99)).unwrap(), 0);
    assert_eq!(chronicle.check(&audit("14:14:", 180, 8)).unwrap(), 1);
    assert!(chronicle.check(&audit("14:14:", 180, 9)).is_err());
}
