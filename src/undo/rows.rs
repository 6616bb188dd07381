//! Rows, followed through their changes: how each was before the first of them, how it is after the last, and what became of it later.
//!
//! ```text
//!  insert ─▶ update ─▶ delete      came to nothing
//!  update ─▶ update                old of the first, new of the last; the key may have changed on the way
//!  delete ─▶ insert of that key    the same row, replaced
//! ```
//!
//! A row is followed by a key that every change of its table tells. Where there is none, whole rows are compared: of equal ones it does
//! not matter which is meant. Only where a later change makes a row what one of them was before, it is that one's, and nobody undoes it
//! again.

use rustc_hash::FxHashMap;

use super::schema::{Key, Table};
use super::told::{Row, Told, agree, text_of};
use super::value::Value;
use crate::event::Operation;
use crate::lsn::Oid;

/// What became of a row.
#[derive(Debug, Default)]
pub(super) struct Effect<'a> {
    /// How it was before; `None` if it did not exist.
    old: Option<Row<'a>>,
    /// How it is after; `None` if it does not exist.
    new: Option<Row<'a>>,
    /// All columns that the table had are known of `old`.
    pub(super) complete: bool,
    /// What later changes, which are not undone, made of it.
    pub(super) later: Option<Later<'a>>,
    /// Where it is now, or was last.
    leaf: Oid,
    /// Its place among the rows of its table.
    pub(super) number: usize,
    /// How often it came to stand somewhere.
    moves: u32,
}

/// What later changes made of a row, or put into its place.
#[derive(Debug, Default)]
pub(super) struct Later<'a> {
    /// How it is now; `None` if it does not exist.
    pub(super) row: Option<Row<'a>>,
    /// It came or went.
    pub(super) replaced: bool,
    /// Since it came last, it was once as it had been before all.
    pub(super) was_back: bool,
    /// Columns that got another value, perhaps several times.
    pub(super) columns: Vec<usize>,
    /// The last transaction that did something to it.
    pub(super) by: &'a str,
}

impl<'a> Effect<'a> {
    /// How it was before.
    pub(super) fn before(&self) -> Option<&Row<'a>> {
        self.old.as_ref()
    }

    /// How it is after.
    pub(super) fn after(&self) -> Option<&Row<'a>> {
        self.new.as_ref()
    }

    /// The table, or partition, that it is in, or was last.
    pub(super) fn leaf(&self) -> Oid {
        self.leaf
    }

    /// How it is now, as far as changes are known.
    pub(super) fn now(&self) -> Option<&Row<'a>> {
        self.later.as_ref().map_or(self.new.as_ref(), |later| later.row.as_ref())
    }

    /// A later transaction made this of it.
    fn becomes(&mut self, now: Option<Row<'a>>, by: &'a str) {
        let both = self.now().zip(now.as_ref());
        let changed = both.map(|(before, now)| {
            let pairs = before.iter().zip(now).enumerate();
            pairs
                // Of two values that are not known, though both were sent, nobody can tell that they are the same.
                .filter(|(_, (before, now))| !matches!(now, Value::Unknown) && (before != now || !now.is_known()))
                .map(|(column, _)| column)
                .collect::<Vec<_>>()
        });
        let is_back = now.as_ref().zip(self.old.as_ref()).map(|(now, old)| agree(now, old));
        let later = self.later.get_or_insert_default();
        later.was_back = is_back.is_some_and(|is_back| is_back || later.was_back);
        match changed {
            Some(columns) => {
                let news: Vec<usize> = columns.into_iter().filter(|column| !later.columns.contains(column)).collect();
                later.columns.extend(news);
            }
            None => later.replaced = true,
        }
        (later.row, later.by) = (now, by);
    }
}

/// Rows of a table.
pub(super) struct Rows<'s, 'a> {
    table: &'s Table,
    key: Option<&'s Key>,
    rows: Vec<Effect<'a>>,
    /// Rows that exist, by what identifies them. Of equal ones there may be several.
    alive: Places,
    /// Rows that existed before and do not any more.
    dead: Places,
    /// Where there is no key: rows that nobody touched later, by how they are and how they were.
    as_left: FxHashMap<[String; 2], Vec<usize>>,
    /// Rows that a TRUNCATE took and of which nothing else is known; `None` when even their number is not.
    pub(super) truncated: Option<u64>,
    /// The transaction at hand, if it is a later one.
    pub(super) later: Option<&'a str>,
    /// From this place on they are rows that only later changes are about.
    others: usize,
}

/// Places of rows by what identifies these, with how often each had moved then: one that moved on is elsewhere.
type Places = FxHashMap<String, Vec<(usize, u32)>>;

impl<'s, 'a> Rows<'s, 'a> {
    /// To be followed by this key.
    pub(super) fn new(table: &'s Table, key: Option<&'s Key>) -> Self {
        let (alive, dead, as_left) = (Places::default(), Places::default(), FxHashMap::default());
        Rows { table, key, rows: Vec::new(), alive, dead, as_left, truncated: Some(0), later: None, others: 0 }
    }

    /// Follows a change.
    pub(super) fn change(&mut self, told: Told<'a>) {
        match told.operation {
            Operation::Insert => self.insert(told),
            Operation::Update => self.update(told),
            Operation::Delete => self.delete(told),
            Operation::Truncate => self.truncate(told),
        }
    }

    /// From here on changes are later ones. What comes to stand where a row stood is seen by the key under which it would come back.
    pub(super) fn bury(&mut self) {
        self.dead.clear();
        self.others = self.rows.len();
        for place in 0..self.rows.len() {
            let Some(row) = self.rows.get(place) else { continue };
            if self.key.is_none() && (row.old.is_some() || row.new.is_some()) {
                let is = self.identity(row.new.as_ref().or(row.old.as_ref()));
                let was = self.identity(row.old.as_ref());
                if row.new.is_none() || is != was {
                    self.as_left.entry([is, was]).or_default().push(place);
                }
            }
            if row.new.is_none() {
                self.lies(place);
            }
        }
    }

    /// What became of them, and of others that only later changes were about; those that came and went are left out.
    pub(super) fn done(mut self) -> (Vec<Effect<'a>>, Vec<Effect<'a>>) {
        let mut others = self.rows.split_off(self.others);
        others.retain(|row| row.old.is_some() || row.now().is_some());
        self.rows.retain(|row| row.old.is_some() || row.new.is_some());
        for (number, row) in self.rows.iter_mut().enumerate() {
            row.number = number;
        }
        (self.rows, others)
    }

    /// What identifies a row: its key, else all of it. Nothing is what does not exist.
    pub(super) fn identity(&self, row: Option<&Row<'a>>) -> String {
        row.map(|row| identity(row, self.table, self.key)).unwrap_or_default()
    }

    fn insert(&mut self, told: Told<'a>) {
        let Some(new) = told.new else { return };
        let identity = self.identity(Some(&new));
        let replaced = self.takes(&identity);
        let place = replaced.unwrap_or_else(|| self.add(Effect { complete: true, ..Effect::default() }));
        self.lives(place, identity, new, told.leaf);
    }

    fn update(&mut self, told: Told<'a>) {
        let Some(mut new) = told.new else { return };
        let before = self.identity(Some(told.old.as_ref().unwrap_or(&new)));
        if self.key.is_none() && before == self.identity(Some(&new)) {
            // Whichever of equal rows it was, it is as it was.
            return;
        }
        let place = match self.leaves(&before, Some(&new)) {
            Some(place) => {
                // A large value that was not sent is the one that was.
                let known = self.rows.get(place).and_then(Effect::now);
                let is_later = self.later.is_some();
                for (value, known) in new.iter_mut().zip(known.into_iter().flatten()) {
                    // One that is not known, and was sent, counts as another one.
                    if *value == Value::Unknown && !(is_later && *known == Value::Cut) {
                        *value = known.clone();
                    }
                }
                place
            }
            None => {
                let kept = |column: usize| told.kept.contains(&column);
                let old = told.old.unwrap_or_else(|| {
                    let values = new.iter().enumerate();
                    values.map(|(column, value)| if kept(column) { value.clone() } else { Value::Unknown }).collect()
                });
                let place = self.add(Effect { old: Some(old), complete: told.complete, ..Effect::default() });
                match self.later.and_then(|_| self.takes(&self.identity(Some(&new)))) {
                    // A row of which nothing was known took the place of one that went.
                    Some(taken) => {
                        self.dies(place, before);
                        taken
                    }
                    None => place,
                }
            }
        };
        let identity = self.identity(Some(&new));
        self.lives(place, identity, new, told.leaf);
    }

    /// The row that was so, and is not any more.
    fn leaves(&mut self, identity: &str, becomes: Option<&Row<'a>>) -> Option<usize> {
        self.set_back(identity, becomes).or_else(|| still_there(&self.rows, self.alive.get_mut(identity)?))
    }

    /// The row that went, and in whose place there is one again.
    fn takes(&mut self, identity: &str) -> Option<usize> {
        let left = self.as_left.get_mut(&[identity.to_owned(), identity.to_owned()]);
        untouched(&self.rows, left).or_else(|| still_there(&self.rows, self.dead.get_mut(identity)?))
    }

    /// The row that nobody touched, and that this change makes what it was before.
    fn set_back(&mut self, identity: &str, becomes: Option<&Row<'a>>) -> Option<usize> {
        self.later?;
        let was = self.identity(becomes);
        untouched(&self.rows, self.as_left.get_mut(&[identity.to_owned(), was]))
    }

    fn delete(&mut self, told: Told<'a>) {
        let Some(old) = told.old else { return };
        let identity = self.identity(Some(&old));
        match self.leaves(&identity, None) {
            Some(place) => self.dies(place, identity),
            None => {
                let gone = Effect { old: Some(old), complete: told.complete, leaf: told.leaf, ..Effect::default() };
                let place = self.add(gone);
                self.dies(place, identity);
            }
        }
    }

    /// All rows in this table are gone.
    fn truncate(&mut self, told: Told<'a>) {
        let Told { leaf, tx, rows_lost, rows, .. } = told;
        let all_known = rows.is_some();
        for row in rows.into_iter().flatten() {
            self.delete(Told::deleted(row, leaf, tx));
        }
        let known = &self.rows;
        let is_there =
            |(place, moves): &(usize, u32)| known.get(*place).is_some_and(|row| row.leaf == leaf && row.moves == *moves);
        let mut lost: Vec<(usize, String)> = Vec::new();
        for (identity, places) in &mut self.alive {
            lost.extend(places.extract_if(.., |place| is_there(place)).map(|(place, _)| (place, identity.clone())));
        }
        lost.sort_unstable();
        let known = u64::try_from(lost.len()).unwrap_or(u64::MAX);
        for (place, identity) in lost {
            self.dies(place, identity);
        }
        let unknown = if all_known { Some(0) } else { rows_lost.map(|lost| lost.saturating_sub(known)) };
        self.truncated = self.truncated.zip(unknown).map(|(before, more)| before + more);
    }

    /// A row of which nothing was known. Where it is a later change that tells of it, those that are undone left it as it was.
    fn add(&mut self, mut effect: Effect<'a>) -> usize {
        if self.later.is_some() {
            effect.new = effect.old.clone();
        }
        self.rows.push(effect);
        self.rows.len() - 1
    }

    fn lives(&mut self, place: usize, identity: String, new: Row<'a>, leaf: Oid) {
        let Some(row) = self.rows.get_mut(place) else { return };
        row.leaf = leaf;
        row.moves += 1;
        match self.later {
            None => row.new = Some(new),
            Some(tx) => row.becomes(Some(new), tx),
        }
        self.alive.entry(identity).or_default().push((place, row.moves));
    }

    fn dies(&mut self, place: usize, identity: String) {
        let Some(row) = self.rows.get_mut(place) else { return };
        row.moves += 1;
        if let Some(tx) = self.later {
            row.becomes(None, tx);
            self.lies(place);
            return;
        }
        row.new = None;
        if row.old.is_some() {
            self.dead.entry(identity).or_default().push((place, row.moves));
        }
    }

    /// Where the reversal looks for it.
    fn lies(&mut self, place: usize) {
        let Some(row) = self.rows.get(place) else { return };
        if let Some(is) = row.new.as_ref().or(row.old.as_ref()) {
            let (identity, moves) = (self.identity(Some(is)), row.moves);
            self.dead.entry(identity).or_default().push((place, moves));
        }
    }
}

/// What identifies a row: its key, else all that its table has of it now.
pub(super) fn identity(row: &Row<'_>, table: &Table, key: Option<&Key>) -> String {
    let by_key = key.and_then(|key| text_of(row, &key.columns));
    by_key.unwrap_or_else(|| {
        let mut text = String::new();
        for value in row.iter().take(table.columns.len()) {
            match value {
                Value::Text(value) => text.extend(["=", value, "\0"]),
                Value::Null => text.push_str("-\0"),
                Value::Unknown | Value::Invalid | Value::Cut => text.push_str("?\0"),
            }
        }
        text
    })
}

/// The last of these rows that did not move on.
fn still_there(rows: &[Effect<'_>], places: &mut Vec<(usize, u32)>) -> Option<usize> {
    std::iter::from_fn(|| places.pop())
        .find(|(place, moves)| rows.get(*place).is_some_and(|row| row.moves == *moves))
        .map(|(place, _)| place)
}

/// The last of these rows that nobody touched later.
fn untouched(rows: &[Effect<'_>], places: Option<&mut Vec<usize>>) -> Option<usize> {
    let places = places?;
    std::iter::from_fn(|| places.pop()).find(|place| rows.get(*place).is_some_and(|row| row.later.is_none()))
}
