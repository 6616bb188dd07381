//! Which column of a table each column of a whole row was, though some were renamed or dropped since.
//!
//! A row tells its columns in the order of their numbers, and a column keeps its number for as long as it lives. So the row is laid along the
//! numbers that the table ever gave: in their order, and such that no column is passed over which had to be told since one behind it was.
//! What is so in all the ways that are left is certain. Otherwise a column is the one that is called so, if that is so in the ways in which
//! the most are; unless it is known that columns were renamed, since a name of which that is told may be another one's by now. Of the rest nothing is said.
//!
//! Generated columns have numbers, too, and are not told, unless a publication says so (from 18 on). One that is not generated any more may
//! not have been told then; if nothing tells of that, it is seen by names that numbers do not bear out.
//!
//! ```text
//!  told    id    name     last             id stands for id, and nothing but name can have been "Full name";
//!  numbers 1 id  2 "Full name"  3 ✝  4 b   last may have been 3 or 4
//! ```

use super::schema::{Column, Table};

/// A number that the table gave.
#[derive(Clone, Copy, Debug)]
struct Number<'t> {
    name: Option<&'t str>,
    /// The place of the column; `None` if it was dropped.
    place: Option<usize>,
    /// It is in every row that has a column behind it.
    is_told: bool,
    /// What was in it is not to be brought back, so it does no harm to take another name for its own.
    is_generated: bool,
}

/// The place of each column of the row, if it is certain; `None` for those that are not, or that are no more.
pub(super) fn places(told: &[&str], table: &Table) -> Vec<Option<usize>> {
    let by_name = || told.iter().map(|name| table.place(name)).collect::<Vec<_>>();
    if table.has_column_list {
        // Whether a column had to be told is not known then.
        return by_name();
    }
    let numbers = numbers(told, table);
    let Some(possible) = ways(told, &numbers, |_, _| false) else { return by_name() };
    let is_called = |number: &Number<'_>, name: &str| number.name == Some(name);
    let likely =
        ways(told, &numbers, |number, name| is_called(number, name) && !table.may_have_been_renamed(name)).unwrap_or_default();
    let certain = |(name, (possible, likely)): (&&str, (Vec<Number<'_>>, Vec<Number<'_>>))| match (&*possible, &*likely) {
        ([only], _) => only.place,
        (_, [only]) if only.is_generated => only.place,
        (_, [only]) if is_called(only, name) && !table.may_have_been_renamed(name) => only.place,
        _ => None,
    };
    let mut places: Vec<Option<usize>> = told.iter().zip(possible.into_iter().zip(likely)).map(certain).collect();
    if !table.renames.is_empty() {
        return places;
    }
    let named = by_name();
    if named.iter().all(Option::is_some) && named.is_sorted() && !table.was_generated {
        // Each name is there, in its order, and yet not where it was: names were passed on, or a column that is told now was generated then.
        return places.into_iter().zip(named).map(|(place, named)| place.filter(|_| place == named)).collect();
    }
    // One that was dropped and made anew is what it was, for whoever reads its name.
    for (nth, name) in told.iter().enumerate() {
        let Some(namesake) = table.place(name).filter(|namesake| !places.contains(&Some(*namesake))) else { continue };
        if let Some(place) = places.get_mut(nth) {
            *place = Some(namesake);
        }
    }
    places
}

fn numbers<'t>(told: &[&str], table: &'t Table) -> Vec<Number<'t>> {
    // Generated columns are told all or none.
    let were_sent = table.columns.iter().any(|column| column.is_generated && told.contains(&&*column.name));
    let may_be_told = |column: &Column| !column.is_generated || column.may_be_sent || were_sent;
    let live = table.columns.iter().enumerate().filter(|(_, column)| may_be_told(column)).map(|(place, column)| {
        let is_told = if column.is_generated { were_sent } else { !table.was_generated };
        (column.number, Number { name: Some(&column.name), place: Some(place), is_told, is_generated: column.is_generated })
    });
    let dropped =
        table.dropped.iter().map(|number| (*number, Number { name: None, place: None, is_told: false, is_generated: false }));
    let mut numbers: Vec<_> = live.chain(dropped).collect();
    numbers.sort_unstable_by_key(|(number, _)| *number);
    numbers.into_iter().map(|(_, number)| number).collect()
}

/// For each told column the numbers that it has in the ways in which the most are `alike`; `None` if there is no way at all.
fn ways<'t>(told: &[&str], numbers: &[Number<'t>], alike: impl Fn(&Number<'t>, &str) -> bool) -> Option<Vec<Vec<Number<'t>>>> {
    let names = told.iter().map(|name| numbers.iter().map(|number| usize::from(alike(number, name))).collect());
    let same: Vec<Vec<usize>> = names.collect();
    let (before, after) = (before(&same, numbers), after(&same, numbers));
    let whole = |nth: usize, number: usize| {
        let before = (*before.get(nth)?.get(number)?)?;
        Some(before + (*after.get(nth)?.get(number)?)?)
    };
    let best = (0..numbers.len()).filter_map(|number| whole(0, number)).max()?;
    let of = |nth| numbers.iter().enumerate().filter(move |(number, _)| whole(nth, *number) == Some(best));
    Some((0..told.len()).map(|nth| of(nth).map(|(_, number)| *number).collect()).collect())
}

/// How many columns are called as they were at most, up to this told one, if it has this number; `None` if it cannot have it.
fn before(same: &[Vec<usize>], numbers: &[Number<'_>]) -> Vec<Vec<Option<usize>>> {
    let mut rows: Vec<Vec<Option<usize>>> = Vec::new();
    for same in same {
        let last = rows.last();
        let mut reached = if last.is_none() { Some(0) } else { None };
        let mut row = Vec::with_capacity(numbers.len());
        for (number, same) in same.iter().enumerate() {
            row.push(reached.map(|names| names + same));
            let passed = numbers.get(number).is_some_and(|number| !number.is_told);
            let stopped = last.and_then(|last| last.get(number).copied().flatten());
            reached = reached.filter(|_| passed).max(stopped);
        }
        rows.push(row);
    }
    rows
}

/// The same of those behind it, without itself.
fn after(same: &[Vec<usize>], numbers: &[Number<'_>]) -> Vec<Vec<Option<usize>>> {
    let mut next = vec![Some(0); numbers.len()];
    let mut rows = vec![next.clone()];
    for same in same.iter().skip(1).rev() {
        let mut reached = None;
        let mut row = Vec::with_capacity(numbers.len());
        for ((rest, same), number) in next.iter().zip(same).zip(numbers).rev() {
            row.push(reached);
            reached = reached.filter(|_| !number.is_told).max(rest.map(|rest: usize| rest + same));
        }
        row.reverse();
        next.clone_from(&row);
        rows.push(row);
    }
    rows.reverse();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::undo::schema::Rename;
    use proptest::prelude::*;

    /// A table by its numbers: a name, or what was dropped.
    fn table(numbers: &[Option<&str>]) -> Table {
        let mut table = Table::default();
        for (number, name) in (1..).zip(numbers) {
            match name {
                Some(name) => table.columns.push(Column { name: (*name).to_owned(), number, ..Column::default() }),
                None => table.dropped.push(number),
            }
        }
        table
    }

    fn now<'t>(told: &[&str], table: &'t Table) -> Vec<Option<&'t str>> {
        places(told, table).into_iter().map(|place| table.column(place?).map(|column| column.name.as_str())).collect()
    }

    #[test]
    fn columns_are_followed_as_far_as_it_is_certain() {
        let (x, y) = (Some("x"), Some("y"));
        let (id, a, b, z) = (Some("id"), Some("a"), Some("b"), Some("z"));
        for (told, numbers, expected) in [
            // Nothing was dropped: the numbers say it all, also where names were exchanged.
            (&["id", "a", "b"][..], &[id, x, y][..], &[id, x, y][..]),
            (&["id", "a", "b"], &[id, b, a], &[id, b, a]),
            (&["id", "a"], &[id, a, b], &[id, a]),
            // One was dropped: what is behind it tells where.
            (&["id", "a", "z"], &[id, None, z], &[id, None, z]),
            (&["id", "a", "b", "z"], &[id, x, None, z], &[id, x, None, z]),
            (&["id", "a", "z"], &[id, x, None, z], &[id, x, z]),
            (&["id", "a", "z"], &[id, None, z, b], &[id, None, z]),
            (&["id", "a"], &[id, x, None], &[id, x]),
            // It may have been this one or that one.
            (&["id", "a"], &[id, None, x], &[id, None]),
            (&["id", "a", "b"], &[id, None, x, None], &[id, None, None]),
            // Made anew.
            (&["id", "a", "z"], &[id, None, z, a], &[id, a, z]),
        ] {
            assert_eq!(now(told, &table(numbers)), expected, "{told:?} {numbers:?}");
        }
    }

    #[test]
    fn where_columns_were_renamed_names_prove_nothing() {
        let (id, a, x, z) = (Some("id"), Some("a"), Some("x"), Some("z"));
        for (told, numbers, expected) in [
            // z may be called a by now.
            (&["id", "a", "z"][..], &[id, None, a, z][..], &[id, None, None][..]),
            (&["id", "a", "z"], &[id, None, x], &[id, None, x]),
            (&["id", "a", "z"], &[id, z, a], &[id, z, a]),
        ] {
            let table = Table { renames: vec![Rename::Unknown], ..table(numbers) };
            assert_eq!(now(told, &table), expected, "{told:?} {numbers:?}");
        }
        // But those of which nobody said a word do.
        for (sql, expected) in [
            ("ALTER TABLE t RENAME x TO y", [id, None, z]),
            ("ALTER TABLE t RENAME \"Z\" TO z", [id, None, None]),
            ("ALTER TABLE t RENAME x TO U&\"\\007A\"", [id, None, None]),
        ] {
            let table = Table { renames: vec![Rename::Statement(sql.to_owned())], ..table(&[id, None, a, z]) };
            assert_eq!(now(&["id", "b", "z"], &table), expected, "{sql}");
        }
    }

    /// A column of these names is generated.
    fn generated(names: &[&str], mut table: Table) -> Table {
        table.columns.iter_mut().filter(|column| names.contains(&&*column.name)).for_each(|column| column.is_generated = true);
        table
    }

    #[test]
    fn a_generated_column_is_no_place_for_another() {
        let (id, b, up, ts, x, c) = (Some("id"), Some("b"), Some("up"), Some("ts"), Some("x"), Some("c"));
        let not_told: &[&str] = &["id", "a", "ts"];
        for (told, numbers, expected) in [
            // In the middle, at either end; beside a column that was dropped, or came since.
            (not_told, &[id, b, up, ts][..], &[id, b, ts][..]),
            (not_told, &[up, id, b, ts], &[id, b, ts]),
            (not_told, &[id, b, ts, up], &[id, b, ts]),
            (not_told, &[id, up, x, c], &[id, x, c]),
            (not_told, &[id, None, up, ts, x], &[id, None, None]),
            (not_told, &[id, b, up, ts, x], &[id, b, ts]),
            // It was told by its name, so it has a place.
            (&["id", "a", "up", "ts"], &[id, b, up, ts, x], &[id, b, up, ts]),
            (&["id", "a", "up", "ts"], &[id, up, b, ts, x], &[id, up, b, ts]),
        ] {
            let table = generated(&["up"], Table { renames: vec![Rename::Unknown], ..table(numbers) });
            assert_eq!(now(told, &table), expected, "{told:?} {numbers:?}");
        }
        // A publication may have sent it, under another name: as far as nothing else explains the row.
        let mut sent = generated(&["x"], Table { renames: vec![Rename::Unknown], ..table(&[id, b, x, ts]) });
        sent.columns[2].may_be_sent = true;
        assert_eq!(now(&["id", "a", "up", "ts"], &sent), [id, b, x, ts]);
        assert_eq!(now(not_told, &sent), [id, b, None]);
    }

    #[test]
    fn a_column_that_was_generated_then_may_not_have_been_told() {
        let (id, up, ts) = (Some("id"), Some("up"), Some("ts"));
        let told: &[&str] = &["id", "ts"];
        assert_eq!(now(told, &table(&[id, up, ts])), [id, None]);
        assert_eq!(now(told, &Table { was_generated: true, ..table(&[id, up, ts]) }), [id, ts]);
        assert_eq!(
            now(told, &Table { was_generated: true, renames: vec![Rename::Unknown], ..table(&[id, up, ts]) }),
            [None, None]
        );
    }

    #[test]
    fn with_a_list_of_columns_only_names_count() {
        let mut table = table(&[Some("id"), Some("secret"), Some("z")]);
        table.has_column_list = true;
        assert_eq!(now(&["id", "a", "z"], &table), [Some("id"), None, Some("z")]);
    }

    proptest! {
        /// Columns are added, renamed and dropped; where a place is given, it is the right one.
        #[test]
        fn no_column_is_taken_for_another(acts in prop::collection::vec((0..3_u8, any::<prop::sample::Index>()), 1..12), at in 0..12_usize) {
            let mut live: Vec<(i16, String)> = vec![(1, "id".to_owned()), (2, "a".to_owned()), (3, "b".to_owned())];
            let (mut next, mut told) = (4, live.clone());
            for (nth, (act, which)) in acts.iter().enumerate() {
                if nth == at {
                    told = live.clone();
                }
                // A name of its own each: what is called as something else was is for whoever names it so.
                match act {
                    0 => { live.push((next, format!("c{next}"))); next += 1; }
                    1 if live.len() > 1 => { live.remove(which.index(live.len())); }
                    _ => { let which = which.index(live.len()); live[which].1 = format!("r{nth}"); }
                }
            }
            let dropped = (1..next).filter(|number| live.iter().all(|(live, _)| live != number)).collect();
            let columns = live.iter().map(|(number, name)| Column { name: name.clone(), number: *number, ..Column::default() });
            let table = Table { dropped, columns: columns.collect(), ..Table::default() };
            let names: Vec<&str> = told.iter().map(|(_, name)| name.as_str()).collect();
            for (place, (number, _)) in places(&names, &table).into_iter().zip(&told) {
                if let Some(place) = place {
                    prop_assert_eq!(table.columns[place].number, *number);
                }
            }
        }
    }
}
