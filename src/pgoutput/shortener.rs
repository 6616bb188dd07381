//! A message that is too long to be held, without the values that make it so: made while it comes, piece by piece.
//!
//! ```text
//!   I  oid  N  2 │ t  2  "42" │ t  1073741000  "xxxxxxxxxxx…   as it comes
//!   I  oid  N  2 │ t  2  "42" │ #  1073741000                  as it is kept
//! ```
//!
//! Everything is passed on as it is but the bytes of a value that is too long. Its tag becomes that of [`Value::Cut`](super::Value::Cut),
//! its length stays, so the decoder and all that stands behind it meet an ordinary, short message. In a logical message it is a flag
//! ([`Content::Cut`](super::Content::Cut)).
//!
//! Invariants:
//! - It makes no difference how the message is divided into pieces.
//! - What the decoder refuses, it refuses shortened as well: at the first thing that cannot be, the rest is dropped, and the decoder comes
//!   upon the same.
//! - What is kept of a row or a logical message is bounded, whatever lengths it claims.

use bytes::BytesMut;

use super::message::Logical;
use super::tag::{Context, Tag};
use super::tuple::CUT;

/// How long a value may be, in bytes of the server's text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueLimit(pub usize);

impl ValueLimit {
    /// So many times as much is kept of a row, old and new together.
    pub const ROW: usize = 4;
    /// Values up to this length are kept, also in a row that is too long: among them is, most likely, its key.
    pub const SMALL: usize = 1 << 10;
}

impl Default for ValueLimit {
    fn default() -> Self {
        ValueLimit(1 << 20)
    }
}

/// Shortens one message.
#[derive(Debug)]
pub struct Shortener {
    context: Context,
    limit: usize,
    /// Bytes of the message that have not come yet.
    left: usize,
    /// Bytes of its values that may still be kept.
    room: usize,
    stretch: Stretch,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug)]
enum Stretch {
    /// So many bytes of fields, which say what comes behind them.
    Fields { missing: usize, last: Field },
    /// So many bytes of a value, kept or not, and what comes behind it.
    Value { missing: usize, keep: bool, then: Then },
    /// The prefix of a logical message, so many bytes long up to here, and where its flags were put.
    Prefix { length: usize, flags: usize },
    /// The rest of a message without values.
    Rest,
    /// What is of no use any more, since what came before it cannot be.
    Lost,
}

/// The last of some fields.
#[derive(Clone, Copy, Debug)]
enum Field {
    Tag,
    TableOid,
    /// The letter of a row, and its number of columns.
    Columns,
    /// The letter of a value, and how many columns come behind it.
    ValueTag {
        more: u16,
    },
    ValueLength {
        more: u16,
    },
    CutLength {
        more: u16,
    },
    MessageFlags,
    /// How long the prefix was, and where the flags were put.
    ContentLength {
        prefix: usize,
        flags: usize,
    },
    /// The two lengths of a logical message that was cut before.
    CutLengths,
    /// Nothing should come any more.
    End,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Columns(u16),
    End,
}

impl Shortener {
    /// For a message of `length` bytes that stands in `context`.
    pub fn new(context: Context, limit: ValueLimit, length: usize) -> Self {
        let ValueLimit(limit) = limit;
        let stretch = fields(1, Field::Tag);
        Shortener { context, limit, left: length, room: limit.saturating_mul(ValueLimit::ROW), stretch }
    }

    /// Takes the next bytes of the message, and appends to `out` what is kept of them. `out` holds what was kept before, at its end.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut BytesMut) {
        while !bytes.is_empty() {
            let length = match self.stretch {
                Stretch::Fields { missing, .. } | Stretch::Value { missing, .. } => missing.min(bytes.len()),
                Stretch::Prefix { .. } => memchr::memchr(0, bytes).map_or(bytes.len(), |end| end + 1),
                Stretch::Rest | Stretch::Lost => bytes.len(),
            };
            let (taken, more) = bytes.split_at(length);
            bytes = more;
            self.left = self.left.saturating_sub(length);
            self.stretch = self.take(taken, out);
        }
    }

    /// Takes bytes of the current stretch; what the next ones are.
    fn take(&mut self, bytes: &[u8], out: &mut BytesMut) -> Stretch {
        match self.stretch {
            Stretch::Fields { missing, last } => {
                out.extend_from_slice(bytes);
                match missing - bytes.len() {
                    0 => self.behind(last, out),
                    missing => Stretch::Fields { missing, last },
                }
            }
            Stretch::Value { missing, keep, then } => {
                if keep {
                    out.extend_from_slice(bytes);
                }
                value(missing - bytes.len(), keep, then)
            }
            Stretch::Prefix { length, flags } => {
                let (name, ended) = match bytes.split_last() {
                    Some((0, name)) => (name, true),
                    _ => (bytes, false),
                };
                let room = self.limit.saturating_sub(length);
                out.extend_from_slice(name.get(..room).unwrap_or(name));
                let length = length + name.len();
                if !ended {
                    return Stretch::Prefix { length, flags };
                }
                out.extend_from_slice(&[0]);
                match out.get(flags) {
                    Some(flags) if flags & Logical::CUT != 0 => fields(8, Field::CutLengths),
                    _ => fields(4, Field::ContentLength { prefix: length, flags }),
                }
            }
            Stretch::Rest => {
                out.extend_from_slice(bytes);
                Stretch::Rest
            }
            Stretch::Lost => Stretch::Lost,
        }
    }

    /// What comes behind the fields that `out` ends with.
    fn behind(&mut self, last: Field, out: &mut BytesMut) -> Stretch {
        let xid = if self.context == Context::InStream { 4 } else { 0 };
        match last {
            Field::Tag => match out.last().copied().and_then(Tag::from_byte) {
                Some(Tag::Insert | Tag::Update | Tag::Delete) => fields(xid + 4, Field::TableOid),
                Some(Tag::Logical) => fields(xid + 1 + 8, Field::MessageFlags),
                Some(_) => Stretch::Rest,
                None => Stretch::Lost,
            },
            Field::TableOid => fields(3, Field::Columns),
            Field::Columns => match out.last_chunk() {
                Some([b'K' | b'O' | b'N', high, low]) => columns(u16::from_be_bytes([*high, *low])),
                _ => Stretch::Lost,
            },
            Field::ValueTag { more } => match out.last() {
                Some(b'n' | b'u') => columns(more),
                Some(b't' | b'b') => fields(4, Field::ValueLength { more }),
                Some(&CUT) => fields(4, Field::CutLength { more }),
                _ => Stretch::Lost,
            },
            Field::ValueLength { more } => {
                let Some(length) = self.length(out) else { return Stretch::Lost };
                let keep = self.has_room(length);
                if !keep && let Some([tag, ..]) = out.last_chunk_mut::<5>() {
                    *tag = CUT;
                }
                value(length, keep, Then::Columns(more))
            }
            Field::CutLength { more } => columns(more),
            Field::MessageFlags => Stretch::Prefix { length: 0, flags: out.len().saturating_sub(9) },
            Field::ContentLength { prefix, flags } => {
                let Some(length) = self.length(out) else { return Stretch::Lost };
                let keep = prefix <= self.limit && self.has_room(length);
                if !keep && let (Some(flags), Ok(prefix)) = (out.get_mut(flags), u32::try_from(prefix)) {
                    *flags |= Logical::CUT;
                    let content = out.split_off(out.len().saturating_sub(4));
                    out.extend_from_slice(&prefix.to_be_bytes());
                    out.extend_from_slice(&content);
                }
                value(length, keep, Then::End)
            }
            Field::CutLengths => value(0, true, Then::End),
            Field::End => Stretch::Lost,
        }
    }

    /// The length that `out` ends with, if there can be so many bytes.
    fn length(&self, out: &BytesMut) -> Option<usize> {
        let length = usize::try_from(i32::from_be_bytes(*out.last_chunk()?)).ok()?;
        (length <= self.left).then_some(length)
    }

    /// Whether a value of this length is kept; it then takes up room.
    fn has_room(&mut self, length: usize) -> bool {
        let small = length <= ValueLimit::SMALL.min(self.limit);
        let fits = length <= self.limit.min(self.room);
        if fits && !small {
            self.room -= length;
        }
        fits || small
    }
}

fn fields(missing: usize, last: Field) -> Stretch {
    Stretch::Fields { missing, last }
}

fn value(missing: usize, keep: bool, then: Then) -> Stretch {
    match (missing, then) {
        (0, Then::Columns(more)) => columns(more),
        // One byte more is enough for the decoder to see that it should not be there.
        (0, Then::End) => fields(1, Field::End),
        _ => Stretch::Value { missing, keep, then },
    }
}

/// So many columns of a row; behind them another row, or the end.
fn columns(count: u16) -> Stretch {
    match count.checked_sub(1) {
        Some(more) => fields(1, Field::ValueTag { more }),
        None => fields(3, Field::Columns),
    }
}
