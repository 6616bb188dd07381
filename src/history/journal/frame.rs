//! Frames: what a journal's file consists of.
//!
//! ```text
//!   length of the payload, u32 │ CRC-32 of kind and payload, u32 │ kind, u8 │ payload          numbers are little-endian
//! ```

/// Bytes before the payload.
pub(super) const FRONT: usize = 9;

/// No frame is longer: a block of the pipeline has a few hundred kilobytes of JSON, and one single event at most some megabytes more.
pub(super) const LONGEST: usize = 1 << 30;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first of a file: a [`Start`](super::record::Start).
    Start = 1,
    /// A [`Summary`](super::record::Summary), then a block of events, compressed.
    Block = 2,
    /// A [`Commit`](super::record::Commit).
    Commit = 3,
    /// The last of a file: an [`Index`](super::record::Index).
    Index = 4,
    /// Before that: [`Minutes`](super::minutes::Minutes).
    Counts = 5,
    /// Before those: [`Texts`](super::texts::Texts).
    Texts = 6,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        use Kind::{Block, Commit, Counts, Index, Start, Texts};
        [Start, Block, Commit, Index, Counts, Texts].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The front of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Front {
    pub(super) kind: Kind,
    pub(super) length: usize,
    sum: u32,
}

impl Front {
    /// Reads it; an error says what is wrong.
    pub(super) fn read(bytes: [u8; FRONT]) -> Result<Self, &'static str> {
        let [l0, l1, l2, l3, s0, s1, s2, s3, kind] = bytes;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let kind = Kind::of(kind).ok_or("no frame of a kind that is known begins here")?;
        if length > LONGEST {
            return Err("a frame claims to be longer than any is");
        }
        Ok(Front { kind, length, sum: u32::from_le_bytes([s0, s1, s2, s3]) })
    }

    /// Whether this payload is the one that was written.
    pub(super) fn check(&self, payload: &[u8]) -> Result<(), &'static str> {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&[self.kind as u8]);
        hasher.update(payload);
        if hasher.finalize() == self.sum { Ok(()) } else { Err("the checksum of a frame is wrong") }
    }
}

/// Appends a frame whose payload are these parts; gives the place of the payload in `out`.
pub(super) fn append(out: &mut Vec<u8>, kind: Kind, parts: &[&[u8]]) -> usize {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind as u8]);
    parts.iter().for_each(|part| hasher.update(part));
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&hasher.finalize().to_le_bytes());
    out.push(kind as u8);
    let place = out.len();
    parts.iter().for_each(|part| out.extend_from_slice(part));
    place
}
