//! A filter asked of a whole block at once: the answer is a set of bits that every client with the same filter can use.

use std::sync::Arc;

use super::{Filter, Kinds, content, row};
use crate::event::block::{Block, Head, Kind, Operation, Operations, TableName};
use crate::event::trace::{Trace, Traces};

/// Which events of a block pass a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matches {
    /// None of them.
    None,
    /// All of them.
    All,
    /// Those whose bit is set, where the block has no more than 64.
    Few(u64),
    /// Those whose bit is set.
    Many(Arc<[u64]>),
}

impl Matches {
    /// Whether the event at `index` passes.
    pub fn contains(&self, index: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Few(bits) => {
                u32::try_from(index).ok().and_then(|index| bits.checked_shr(index)).is_some_and(|bits| bits & 1 == 1)
            }
            Self::Many(words) => words.get(index / 64).is_some_and(|bits| bits >> (index % 64) & 1 == 1),
        }
    }

    /// Bytes on the heap.
    pub fn heap_size(&self) -> usize {
        match self {
            // The two counters of the `Arc` come before the words.
            Self::Many(words) => size_of_val(&**words) + 2 * size_of::<usize>(),
            _ => 0,
        }
    }

    fn collect(length: usize, passes: impl Fn(usize) -> bool) -> Self {
        let word = |start: usize| {
            let bit = |index| u64::from(passes(index)) << (index - start);
            (start..length.min(start + 64)).map(bit).fold(0, |word, bit| word | bit)
        };
        if length <= 64 {
            return match word(0) {
                0 => Self::None,
                bits if bits.count_ones() as usize == length => Self::All,
                bits => Self::Few(bits),
            };
        }
        let words: Arc<[u64]> = (0..length).step_by(64).map(word).collect();
        match words.iter().map(|word| word.count_ones() as usize).sum::<usize>() {
            0 => Self::None,
            all if all == length => Self::All,
            _ => Self::Many(words),
        }
    }
}

impl Filter {
    /// Which events of `block` pass.
    pub fn matches(&self, block: &Block) -> Matches {
        let passes_table = |name: &TableName| self.passes_table(&name.schema, &name.name);
        let tables: Vec<bool> = block.tables().iter().map(|table| passes_table(table)).collect();
        let actors: Vec<bool> = block.actors().iter().map(|names| self.passes_actor(names)).collect();
        let by_actor = |head: &Head| match head.actor {
            _ if self.selection.actors.is_none() || head.kind == Kind::Gap => true,
            Some(actor) => actors.get(usize::from(actor.get()) - 1).copied().unwrap_or(false),
            None => false,
        };
        let passes = |index: usize| {
            block.heads().get(index).is_some_and(|head| by_actor(head) && self.passes(block, &tables, index, head))
        };
        Matches::collect(block.heads().len(), passes)
    }

    /// Whether anything may pass of a block with events of these `kinds`, that are about these tables, and hold these traces; whether it may
    /// hold all of [`Filter::grams`] is asked last. It is not said of a block that nothing may pass if something does.
    pub fn may_pass<'a>(
        &self,
        kinds: &[Kind],
        tables: impl IntoIterator<Item = (&'a TableName, Operations)>,
        traces: &Traces,
        may_hold_grams: impl FnOnce() -> bool,
    ) -> bool {
        let selection = &self.selection;
        if kinds.contains(&Kind::Gap) {
            return true;
        }
        let named = |actors: &Vec<String>| actors.iter().any(|name| traces.may_hold(Trace::actor(name)));
        if !selection.actors.as_ref().is_none_or(named) || !selection.keys.iter().all(|key| key.may_be_in(traces)) {
            return false;
        }
        let is_wanted = |kind: &&Kind| selection.kinds.contains_all(Kinds::of(**kind));
        let is_about_tables = |kind: &Kind| matches!(kind, Kind::Change | Kind::Commit);
        let (mut about_tables, mut about_others) = (false, false);
        for kind in kinds.iter().filter(is_wanted) {
            about_tables |= is_about_tables(kind);
            about_others |= !is_about_tables(kind);
        }
        let all = selection.tables.is_none() && selection.operations == Operations::ALL;
        let asked = |(table, operations): (&TableName, Operations)| {
            selection.operations.intersects(operations) && self.passes_table(&table.schema, &table.name)
        };
        (about_others || about_tables && (all || tables.into_iter().any(asked))) && may_hold_grams()
    }

    /// Whether one event passes; `tables` says which of the block's tables do.
    fn passes(&self, block: &Block, tables: &[bool], index: usize, head: &Head) -> bool {
        let passes_table = |table: u32| tables.get(table as usize).copied().unwrap_or(false);
        let selection = &self.selection;
        if !selection.kinds.contains_all(Kinds::of(head.kind)) {
            return false;
        }
        if head.kind == Kind::Gap {
            return true;
        }
        if head.kind != Kind::Change && !selection.keys.is_empty() {
            return false;
        }
        let by_head = match head.kind {
            Kind::Gap | Kind::Message => true,
            Kind::Ddl => head.table.map_or(selection.tables.is_none(), passes_table),
            Kind::Commit => {
                let every_change = selection.tables.is_none() && selection.operations == Operations::ALL;
                let mut touched = block.touched(index);
                every_change || touched.any(|it| passes_table(it.table) && selection.operations.intersects(it.operations))
            }
            Kind::Change => {
                let operation = head.operation.is_some_and(|operation| selection.operations.contains(operation));
                operation && head.table.is_some_and(passes_table) && self.passes_row(block, head)
            }
        };
        by_head && selection.texts.iter().all(|text| text.is_in_event(head.kind, block.bytes(head)))
    }

    fn passes_row(&self, block: &Block, head: &Head) -> bool {
        let (conditions, keys) = (&self.selection.conditions, &self.selection.keys);
        let by_key = keys.is_empty() || content::has_key(keys, block.bytes(head));
        let by_row =
            || conditions.is_empty() || head.operation == Some(Operation::Truncate) || row::passes(conditions, block.bytes(head));
        by_key && by_row()
    }
}
