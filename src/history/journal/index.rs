//! What is known of the files without reading them: enough to find a place, and to pass by what is not asked for.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::minutes::Minutes;
use super::record::{Commit, Index, Start, State, Summary};
use super::segment;
use super::texts::Texts;
use crate::lsn::{Epoch, EventId, Lsn};
use crate::pgoutput::Timestamp;

/// So many indexes of complete files are held at a time, those read last. The others are read again.
const HELD: usize = 4;

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Its format.
    pub(super) format: u32,
    /// Where the stream stood where it begins, and when that was written, in microseconds since 1970: nothing, of the very first.
    pub(super) begins: (Lsn, i64),
    /// The last event before it.
    pub(super) before: Option<EventId>,
    /// The first event in it, if it has any, and when that was committed.
    pub(super) first: Option<(EventId, Timestamp)>,
    /// The last event in it, or before it if it has none.
    pub(super) last: Option<EventId>,
    /// When its first and last transactions were committed, if it has any.
    pub(super) times: Option<(Timestamp, Timestamp)>,
    pub(super) events: u64,
    /// Of its events, in order.
    pub(super) epochs: Vec<Epoch>,
}

/// All files, oldest first.
#[derive(Debug, Default)]
pub(super) struct Segments {
    pub(super) all: VecDeque<Arc<Segment>>,
    /// Of the last file, which is written.
    current: Arc<Index>,
    /// The counts of the last file.
    minutes: Arc<Minutes>,
    /// The texts of the last file, as far as they are gathered.
    texts: Arc<Texts>,
    /// Of complete files, that read longest ago first.
    held: Mutex<VecDeque<(u64, Arc<Index>)>>,
}

impl Segment {
    /// The file of this number, format, and size, that begins like this and has these blocks.
    pub(super) fn new(
        dir: &Path,
        (number, format, bytes): (u64, u32, u64),
        start: &Start,
        blocks: &[(u64, u32, Summary)],
    ) -> Self {
        let mut segment = Self {
            number,
            path: segment::path(dir, number),
            bytes,
            format,
            begins: (start.state.position, start.state.time),
            before: start.before.clone(),
            first: None,
            last: start.before.clone(),
            times: None,
            events: 0,
            epochs: Vec::new(),
        };
        segment.add(blocks);
        segment
    }

    fn add(&mut self, blocks: &[(u64, u32, Summary)]) {
        for (_, _, summary) in blocks {
            self.first.get_or_insert_with(|| (summary.id(summary.first), summary.times.0));
            self.last = Some(summary.id(summary.last));
            self.events += u64::from(summary.events);
            if self.epochs.last() != Some(&summary.epoch) {
                self.epochs.push(summary.epoch.clone());
            }
            let (from, until) = summary.times;
            self.times = Some(self.times.map_or(summary.times, |times| (times.0.min(from), times.1.max(until))));
        }
    }
}

impl Segments {
    /// Another file, complete but for the last.
    pub(super) fn push(&mut self, segment: Segment, index: Index, minutes: Minutes) {
        self.all.push_back(Arc::new(segment));
        self.current = Arc::new(index);
        self.minutes = Arc::new(minutes);
        self.texts = Arc::default();
    }

    /// These texts are gathered of the last file.
    pub(super) fn gathered(&mut self, texts: Arc<Texts>) {
        self.texts = texts;
    }

    /// The last file has more: blocks, and the commit behind them, which stands at this place. It has `bytes` then.
    pub(super) fn grow(&mut self, blocks: Vec<(u64, u32, Summary)>, (place, before, commit): (u64, &State, &Commit), bytes: u64) {
        let summaries = blocks.iter().map(|(_, _, summary)| summary);
        Arc::make_mut(&mut self.minutes).committed(before, summaries, &commit.state, &commit.gone);
        if let Some(last) = self.all.back_mut().map(Arc::make_mut) {
            last.add(&blocks);
            last.bytes = bytes;
        }
        let index = Arc::make_mut(&mut self.current);
        index.blocks.extend(blocks);
        index.commits.push((place, commit.state.position, commit.state.time));
    }

    /// The index and the counts of the last file.
    pub(super) fn current(&self) -> (Arc<Index>, Arc<Minutes>) {
        (Arc::clone(&self.current), Arc::clone(&self.minutes))
    }

    /// How many commits are in the last file.
    pub(super) fn commits(&self) -> usize {
        self.current.commits.len()
    }

    /// The counts of a file, if it is the last.
    pub(super) fn minutes(&self, number: u64) -> Option<Arc<Minutes>> {
        self.all.back().filter(|last| last.number == number).map(|_| Arc::clone(&self.minutes))
    }

    /// The texts of a file, if it is the last.
    pub(super) fn texts(&self, number: u64) -> Option<Arc<Texts>> {
        self.all.back().filter(|last| last.number == number).map(|_| Arc::clone(&self.texts))
    }

    /// The index of a file, if it is in memory.
    pub(super) fn held(&self, number: u64) -> Option<Arc<Index>> {
        if self.all.back().is_some_and(|last| last.number == number) {
            return Some(Arc::clone(&self.current));
        }
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().find(|(of, _)| *of == number).map(|(_, index)| Arc::clone(index))
    }

    /// Holds the index of a complete file for a while.
    pub(super) fn hold(&self, number: u64, index: Arc<Index>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.push_back((number, index));
        if held.len() > HELD {
            held.pop_front();
        }
    }
}
