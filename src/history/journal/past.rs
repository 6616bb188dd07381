//! The past: what was known of the tables at a mark, and minute by minute. No block is read for it.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::error::JournalError;
use super::hole;
use super::index::Segment;
use super::minutes::{Minute, Minutes};
use super::read::Archive;
use super::record::TableState;
use super::segment::Pages;
use crate::lsn::{Epoch, Lsn, Oid};

/// What a mark tells: where the stream stood, and all tables there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// In which epoch.
    pub epoch: Epoch,
    /// Everything committed before this had been applied.
    pub position: Lsn,
    /// When that was written, by our clock, in microseconds since 1970.
    pub time: i64,
    /// Counts wait for a look at the catalog: commits tell none.
    pub late: bool,
    /// By oid.
    pub tables: FxHashMap<Oid, TableState>,
    /// The mark that follows, if it is of another epoch and nothing between is missing: what happened between the two is not known.
    pub ended_before: Option<(Lsn, i64)>,
    /// No mark follows.
    pub is_last: bool,
}

/// How many rows a table had, minute by minute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// What it had where the question begins.
    pub before: Option<i64>,
    /// Minutes at the end of which it had another number than before, or none was known.
    pub changes: Vec<(Minute, Option<i64>)>,
    /// Where what is kept begins.
    pub begins: Option<Minute>,
}

impl Archive {
    /// The last mark whose position and time, in microseconds since 1970, are `reached` by what is asked; `None` if what is kept begins behind
    /// that.
    ///
    /// # Errors
    /// A file is gone or damaged, or the disk does not do what it should.
    pub fn marked(&self, reached: impl Fn(Lsn, i64) -> bool) -> Result<Option<Marked>, JournalError> {
        let segments: Vec<Arc<Segment>> = self.segments().all.iter().cloned().collect();
        let begins_before = |segment: &Arc<Segment>| reached(segment.begins.0, segment.begins.1);
        let Some(at) = segments.iter().rposition(begins_before) else { return Ok(None) };
        let Some(segment) = segments.get(at) else { return Ok(None) };
        let index = self.index(segment)?;
        let passed = index.commits.iter().rposition(|(_, position, time)| reached(*position, *time)).map_or(0, |last| last + 1);
        let (commits, later) = index.commits.split_at_checked(passed).unwrap_or_default();
        let damaged = |offset: u64| {
            let reason = "a commit cannot be read";
            JournalError::Damaged { path: segment.path.clone(), offset, reason }
        };
        let pages = Pages::open(&segment.path)?.ok_or_else(|| damaged(0))?;
        let mut state = pages.start()?.ok_or_else(|| damaged(0))?.state;
        let mut tables: FxHashMap<Oid, TableState> = state.tables.drain(..).map(|table| (table.oid, table)).collect();
        for (place, ..) in commits {
            let commit = pages.commit(*place)?.ok_or_else(|| damaged(*place))?;
            commit.gone.iter().for_each(|oid| drop(tables.remove(oid)));
            state = commit.state;
            tables.extend(state.tables.drain(..).map(|table| (table.oid, table)));
        }
        let Some(epoch) = state.epoch else { return Ok(None) };
        let next = match later.first() {
            Some((place, ..)) => pages.commit(*place)?.map(|commit| commit.state),
            None => self.first_mark(segments.get(at + 1..).unwrap_or_default())?,
        };
        let is_last = next.is_none();
        // Somebody may have watched what is missing.
        let is_hole = later.is_empty() && segments.get(at + 1).is_some_and(|next| hole::is_between(segment, next));
        let other = next.filter(|next| !is_hole && next.epoch.as_ref() != Some(&epoch));
        let ended_before = other.map(|next| (next.position, next.time));
        let (position, time, late) = (state.position, state.time, state.told_by.is_none());
        Ok(Some(Marked { epoch, position, time, late, tables, ended_before, is_last }))
    }

    /// The first that stands in one of these files.
    fn first_mark(&self, segments: &[Arc<Segment>]) -> Result<Option<super::record::State>, JournalError> {
        for segment in segments {
            if let Some((place, ..)) = self.index(segment)?.commits.first() {
                let commit = Pages::open(&segment.path)?.map(|pages| pages.commit(*place)).transpose()?.flatten();
                return Ok(commit.map(|commit| commit.state));
            }
        }
        Ok(None)
    }

    /// When the first mark that is kept was set, in microseconds since 1970.
    ///
    /// # Errors
    /// A file is damaged, or the disk does not do what it should.
    pub fn marks_begin(&self) -> Result<Option<i64>, JournalError> {
        let segments: Vec<Arc<Segment>> = self.segments().all.iter().cloned().collect();
        // The start of a file is that of the mark before it.
        let started = segments.first().map(|first| first.begins.1).filter(|time| *time > 0);
        if started.is_some() { Ok(started) } else { Ok(self.first_mark(&segments)?.map(|state| state.time)) }
    }

    /// How many rows the table had, from the beginning of the one minute to the end of the other.
    ///
    /// # Errors
    /// A file is damaged, or the disk does not do what it should. One that goes meanwhile is no longer kept.
    pub fn course(&self, oid: Oid, since: Minute, until: Minute) -> Result<Course, JournalError> {
        let segments: Vec<Arc<Segment>> = self.segments().all.iter().cloned().collect();
        let from = segments.iter().rposition(|segment| begins(segment).is_some_and(|begins| begins <= since)).unwrap_or(0);
        let mut course = Course { begins: self.marks_begin()?.map(Minute::of_unix), ..Course::default() };
        let mut points = Vec::new();
        for (nth, segment) in segments.iter().enumerate().skip(from) {
            let minutes = match self.minutes(segment) {
                Err(error) if error.is_gone() && !self.should_be_there(segment) => continue,
                minutes => minutes?,
            };
            if nth == from {
                course.before = at_start(segment, oid)?;
            }
            let earlier = segments.get(..nth).unwrap_or_default();
            if nth > from && earlier.last().is_some_and(|last| hole::is_between(last, segment)) {
                // Something is missing behind the last event that is known of, up to where this file begins.
                let events = earlier.iter().rev().find_map(|segment| segment.times).map(|(_, last)| Minute::of(last));
                let lost = events.or_else(|| earlier.first().and_then(begins)).unwrap_or(Minute(i64::MIN));
                let found = begins(segment).unwrap_or(lost).max(lost);
                points.retain(|(minute, _)| !(lost..found).contains(minute));
                points.extend([(lost, None), (found, at_start(segment, oid)?)]);
            }
            points.extend(minutes.of(oid));
        }
        // What was recorded later than it happened comes out of turn.
        points.sort_by_key(|(minute, _)| *minute);
        for (minute, count) in points.into_iter().filter(|(minute, _)| *minute <= until) {
            match course.changes.last_mut() {
                _ if minute < since => course.before = count,
                Some(last) if last.0 == minute => last.1 = count,
                _ => course.changes.push((minute, count)),
            }
        }
        Ok(course)
    }

    /// The counts in a file: of the one that is written from memory, of another from its end.
    fn minutes(&self, segment: &Segment) -> Result<Arc<Minutes>, JournalError> {
        let current = self.segments().minutes(segment.number);
        if let Some(minutes) = current {
            return Ok(minutes);
        }
        let at_its_end = Pages::open(&segment.path)?.map(|pages| pages.minutes()).transpose()?.flatten();
        // An older file has none, and in a damaged one they may not be found.
        Ok(Arc::new(at_its_end.map_or_else(|| Self::scanned(segment).map(|found| found.minutes), Ok)?))
    }

    /// The table that had this name last, of those that something was recorded of.
    ///
    /// # Errors
    /// A file is damaged, or the disk does not do what it should.
    pub fn named(&self, schema: &str, name: &str) -> Result<Option<Oid>, JournalError> {
        let segments: Vec<Arc<Segment>> = self.segments().all.iter().cloned().collect();
        for segment in segments.iter().rev() {
            let index = match self.index(segment) {
                Err(error) if error.is_gone() => continue,
                index => index?,
            };
            let tables = index.blocks.iter().rev().flat_map(|(_, _, summary)| &summary.tables);
            let mut tables = tables.filter(|(table, _)| table.schema == schema && table.name == name);
            if let Some((table, _)) = tables.next() {
                return Ok(Some(table.oid));
            }
        }
        Ok(None)
    }
}

/// The minute in which the first of a file was committed, or where it begins was recorded, whichever was earlier.
fn begins(segment: &Arc<Segment>) -> Option<Minute> {
    let times = segment.times.map(|(first, _)| Minute::of(first));
    let marked = (segment.begins.1 > 0).then(|| Minute::of_unix(segment.begins.1));
    times.into_iter().chain(marked).min()
}

/// How many rows the table had where a file begins.
fn at_start(segment: &Segment, oid: Oid) -> Result<Option<i64>, JournalError> {
    let start = Pages::open(&segment.path)?.map(|pages| pages.start()).transpose()?.flatten();
    let tables = start.map(|start| start.state.tables).unwrap_or_default();
    Ok(tables.iter().find(|table| table.oid == oid).and_then(|table| table.count))
}
