//! What can be told of a message without decoding it: its kind, and which sub-transaction it belongs to.

use super::error::{DecodeError, DecodeErrorKind};
use super::message::Message;
use crate::lsn::Xid;

/// The kind of a message: the first byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // Named as the variants of `Message`, which are documented.
pub enum Tag {
    Begin = b'B',
    Commit = b'C',
    Origin = b'O',
    Logical = b'M',
    Relation = b'R',
    Type = b'Y',
    Insert = b'I',
    Update = b'U',
    Delete = b'D',
    Truncate = b'T',
    StreamStart = b'S',
    StreamStop = b'E',
    StreamCommit = b'c',
    StreamAbort = b'A',
    BeginPrepare = b'b',
    Prepare = b'P',
    CommitPrepared = b'K',
    RollbackPrepared = b'r',
    StreamPrepare = b'p',
}

/// Where in the stream a message stands: some messages have one field more within a stream block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Context {
    /// Outside of any stream block.
    Plain,
    /// Between Stream Start and Stream Stop.
    InStream,
}

impl Context {
    /// Where the message behind `message` stands.
    #[inline]
    pub fn after(self, message: &[u8]) -> Context {
        match message.first() {
            Some(&STREAM_START) => Context::InStream,
            Some(&STREAM_STOP) => Context::Plain,
            _ => self,
        }
    }
}

const STREAM_START: u8 = Tag::StreamStart.byte();
const STREAM_STOP: u8 = Tag::StreamStop.byte();

/// The front of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peek {
    /// Its kind.
    pub tag: Tag,
    /// The sub-transaction that wrote it: within a stream block, for the kinds that say so ([`Tag::carries_xid`]).
    pub xid: Option<Xid>,
}

/// Reads no more than the front of a message. Whatever follows it is not checked: [`decode`](super::decode) does that.
pub fn peek(bytes: &[u8], context: Context) -> Result<Peek, DecodeError> {
    let error = |tag, offset, field, kind| DecodeError { tag, field, offset, kind };
    let (&first, rest) = bytes.split_first().ok_or(error(None, 0, "tag", DecodeErrorKind::UnexpectedEnd))?;
    let tag = Tag::from_byte(first).ok_or(error(None, 0, "tag", DecodeErrorKind::UnknownTag(first)))?;
    let xid = match context {
        Context::InStream if tag.carries_xid() => {
            let xid = rest.first_chunk().ok_or(error(Some(tag), 1, "xid", DecodeErrorKind::UnexpectedEnd))?;
            Some(Xid(u32::from_be_bytes(*xid)))
        }
        _ => None,
    };
    Ok(Peek { tag, xid })
}

impl Peek {
    /// How many bytes it takes.
    pub(super) fn len(&self) -> usize {
        if self.xid.is_some() { 5 } else { 1 }
    }
}

impl Tag {
    /// Every kind there is.
    pub const ALL: [Tag; 19] = [
        Tag::Begin,
        Tag::Commit,
        Tag::Origin,
        Tag::Logical,
        Tag::Relation,
        Tag::Type,
        Tag::Insert,
        Tag::Update,
        Tag::Delete,
        Tag::Truncate,
        Tag::StreamStart,
        Tag::StreamStop,
        Tag::StreamCommit,
        Tag::StreamAbort,
        Tag::BeginPrepare,
        Tag::Prepare,
        Tag::CommitPrepared,
        Tag::RollbackPrepared,
        Tag::StreamPrepare,
    ];

    /// The kind that this byte stands for.
    pub fn from_byte(byte: u8) -> Option<Tag> {
        Tag::ALL.into_iter().find(|tag| tag.byte() == byte)
    }

    /// The byte on the wire.
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// Whether it is preceded, within a stream block, by the id of the sub-transaction that it belongs to.
    pub fn carries_xid(self) -> bool {
        matches!(self, Tag::Logical | Tag::Relation | Tag::Type | Tag::Insert | Tag::Update | Tag::Delete | Tag::Truncate)
    }
}

impl Message<'_> {
    /// Its kind.
    pub fn tag(&self) -> Tag {
        match self {
            Message::Begin(_) => Tag::Begin,
            Message::Commit(_) => Tag::Commit,
            Message::Origin(_) => Tag::Origin,
            Message::Logical(_) => Tag::Logical,
            Message::Relation(_) => Tag::Relation,
            Message::Type(_) => Tag::Type,
            Message::Insert(_) => Tag::Insert,
            Message::Update(_) => Tag::Update,
            Message::Delete(_) => Tag::Delete,
            Message::Truncate(_) => Tag::Truncate,
            Message::StreamStart(_) => Tag::StreamStart,
            Message::StreamStop => Tag::StreamStop,
            Message::StreamCommit(_) => Tag::StreamCommit,
            Message::StreamAbort(_) => Tag::StreamAbort,
            Message::BeginPrepare(_) => Tag::BeginPrepare,
            Message::Prepare(_) => Tag::Prepare,
            Message::CommitPrepared(_) => Tag::CommitPrepared,
            Message::RollbackPrepared(_) => Tag::RollbackPrepared,
            Message::StreamPrepare(_) => Tag::StreamPrepare,
        }
    }
}
