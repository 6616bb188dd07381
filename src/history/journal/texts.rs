//! Texts: which [grams](Gram) stand where in a file, so that a question for a text passes by the blocks that cannot answer it.
//!
//! Blocks that follow each other make a *group* as soon as they have [`GROUP`] bytes in the file; so which block is of which group, their lengths
//! tell. Eight groups make a *slice*: a byte for each gram that there is, and a bit in it for each group. What stands behind the last whole
//! slice may hold anything.
//!
//! ```text
//!   in memory, a slice after the other         in the file, a gram after the other: its row, and behind sixteen of them a checksum
//!            gram 0     gram 1     gram 2              slice 0  slice 1  …
//!   slice 0  0110 0100  0000 0000  1111 1111   gram 0  01100100 00000001 …
//!   slice 1  0000 0001  0000 0000  1111 1011   gram 1  00000000 00000000 …
//! ```
//!
//! A slice has 32 KiB for 512 KiB of the file or more, so those of the file that is written, which stand in memory, have 4 MiB at most.
//! A question reads as many short pieces of another file as it has grams. If one is damaged, nothing of them is believed, and all of the file is
//! looked through.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use crate::event::filter;
use crate::event::{Block, Gram};

/// Bytes of a group, at least.
const GROUP: u64 = 64 << 10;
/// Grams whose rows have a checksum, a CRC-32.
const PAGE: usize = 16;
const CHECKSUM: usize = size_of::<u32>();

/// Of the groups of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    slices: Vec<Arc<[u8]>>,
}

/// Gathers them, block by block, as the file is written.
pub(super) struct Gathering {
    whole: Arc<Texts>,
    /// The slice that is gathered.
    slice: Vec<u8>,
    groups: Groups,
}

/// Tells which group the next block is of.
#[derive(Debug, Default)]
pub(super) struct Groups {
    number: usize,
    /// Of the group so far.
    bytes: u64,
}

impl Groups {
    /// The group of a block that has so many bytes in the file.
    pub(super) fn next(&mut self, length: u32) -> usize {
        let number = self.number;
        self.bytes += u64::from(length);
        if self.bytes >= GROUP {
            (self.number, self.bytes) = (number + 1, 0);
        }
        number
    }
}

impl Default for Gathering {
    fn default() -> Self {
        Self { whole: Arc::default(), slice: vec![0; Gram::COUNT], groups: Groups::default() }
    }
}

impl Gathering {
    /// Adds a block that has so many bytes in the file. One that cannot be read may hold anything.
    pub(super) fn add(&mut self, length: u32, block: Option<&Block>) {
        let bit = 1 << (self.groups.next(length) % 8);
        let Some(slice) = self.slice.first_chunk_mut::<{ Gram::COUNT }>() else { return };
        let mut note = |at: usize| slice.get_mut(at).into_iter().for_each(|groups| *groups |= bit);
        match block {
            Some(block) => filter::grams(block, |gram| note(gram.number())),
            None => (0..Gram::COUNT).for_each(note),
        }
        if self.groups.number / 8 > self.whole.slices.len() {
            Arc::make_mut(&mut self.whole).slices.push(self.slice.as_slice().into());
            self.slice.fill(0);
        }
    }

    /// What is gathered.
    pub(super) fn texts(&self) -> Arc<Texts> {
        Arc::clone(&self.whole)
    }
}

impl Texts {
    /// The groups that may hold all of these, a bit each; those behind them may as well.
    pub(super) fn groups_with(&self, grams: &BTreeSet<Gram>) -> Vec<u8> {
        let with = |slice: &Arc<[u8]>| grams.iter().fold(u8::MAX, |all, gram| all & slice.get(gram.number()).unwrap_or(&u8::MAX));
        self.slices.iter().map(with).collect()
    }

    /// As they stand in the file.
    pub(super) fn payload(&self) -> Vec<u8> {
        let width = self.slices.len();
        let mut payload = Vec::with_capacity(length(width));
        let mut rows = vec![0; PAGE * width];
        for page in (0..Gram::COUNT).step_by(PAGE).filter(|_| width > 0) {
            for (nth, slice) in self.slices.iter().enumerate() {
                let of_slice = rows.iter_mut().skip(nth).step_by(width);
                of_slice.zip(slice.iter().skip(page)).for_each(|(to, from)| *to = *from);
            }
            payload.extend_from_slice(&rows);
            payload.extend_from_slice(&crc32fast::hash(&rows).to_le_bytes());
        }
        payload
    }
}

/// Bytes in the file of so many slices.
fn length(slices: usize) -> usize {
    if slices == 0 { 0 } else { Gram::COUNT / PAGE * (PAGE * slices + CHECKSUM) }
}

/// The same as [`Texts::groups_with`] of what stands in a file in so many bytes, which `read` reads from some place on. An error within says
/// what is wrong with that.
pub(super) fn groups_with(
    grams: &BTreeSet<Gram>,
    bytes: usize,
    read: impl Fn(&mut [u8], usize) -> io::Result<()>,
) -> io::Result<Result<Vec<u8>, &'static str>> {
    let width = (bytes / (Gram::COUNT / PAGE)).saturating_sub(CHECKSUM) / PAGE;
    if length(width) != bytes {
        return Ok(Err("its texts are not as long as they are for any file"));
    }
    let (mut groups, page) = (vec![u8::MAX; width], PAGE * width + CHECKSUM);
    let mut bytes = vec![0; page];
    for gram in grams.iter().filter(|_| width > 0) {
        read(&mut bytes, gram.number() / PAGE * page)?;
        let sound = bytes.split_last_chunk().filter(|(rows, sum)| **sum == crc32fast::hash(rows).to_le_bytes());
        let Some((rows, _)) = sound else { return Ok(Err("a checksum of its texts is wrong")) };
        let row = rows.chunks(width).nth(gram.number() % PAGE).unwrap_or_default();
        groups.iter_mut().zip(row).for_each(|(all, with)| *all &= with);
    }
    Ok(Ok(groups))
}
