//! Which blocks of a file may hold the texts that a question is for: found out when that is first asked, for the whole file.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::index::Segment;
use super::read::Archive;
use super::record::Index;
use super::segment::Pages;
use super::texts::Groups;
use crate::event::Gram;
use crate::event::filter::{Filter, FilterId};

/// A question, on its way through a file.
#[derive(Debug)]
pub(super) struct Search<'a> {
    archive: &'a Archive,
    segment: &'a Segment,
    index: &'a Index,
    /// For this filter, whether each block may hold its texts; those behind them may.
    found: RefCell<Option<(FilterId, Vec<bool>)>>,
}

impl<'a> Search<'a> {
    pub(super) fn new(archive: &'a Archive, segment: &'a Segment, index: &'a Index) -> Self {
        Self { archive, segment, index, found: RefCell::default() }
    }

    /// Whether the block at this place of the index may hold what a filter is for. Of one about which nothing can be found out it may.
    pub(super) fn may_hold(&self, nth: usize, filter: &Filter) -> bool {
        let mut found = self.found.borrow_mut();
        let known = found.take_if(|(of, _)| *of == filter.id());
        let (_, blocks) = found.insert(known.unwrap_or_else(|| (filter.id(), self.blocks_with(filter))));
        blocks.get(nth).copied().unwrap_or(true)
    }

    fn blocks_with(&self, filter: &Filter) -> Vec<bool> {
        let grams = filter.grams();
        if grams.is_empty() {
            return Vec::new();
        }
        let current = self.archive.segments().texts(self.segment.number);
        let groups = match current {
            Some(texts) => texts.groups_with(&grams),
            None => self.in_file(&grams),
        };
        let mut of = Groups::default();
        let may_hold = |group: usize| groups.get(group / 8).is_none_or(|groups| groups >> (group % 8) & 1 == 1);
        self.index.blocks.iter().map(|(_, length, _)| may_hold(of.next(*length))).collect()
    }

    /// None that is known, where what stands there cannot be read: then all is looked through, and says for itself if it cannot be.
    fn in_file(&self, grams: &BTreeSet<Gram>) -> Vec<u8> {
        let found = Pages::open(&self.segment.path).and_then(|pages| pages.map(|pages| pages.texts(grams)).transpose());
        match found {
            Ok(groups) => groups.flatten().unwrap_or_default(),
            Err(error) => {
                if !error.is_gone() {
                    tracing::error!("{error}: all of the file is read in its place");
                }
                Vec::new()
            }
        }
    }
}
