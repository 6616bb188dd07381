//! Reads a message field by field; every read is checked, and a failed one names its field.

use super::error::{DecodeError, DecodeErrorKind};
use super::message::{Text, Timestamp};
use super::tag::{Peek, Tag};
use crate::lsn::{Lsn, Oid, Xid};

/// A place in the bytes of one message.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    tag: Tag,
    length: usize,
    left: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// In the message `bytes`, behind its front.
    pub(super) fn behind(front: &Peek, bytes: &'a [u8]) -> Self {
        Cursor { tag: front.tag, length: bytes.len(), left: bytes.get(front.len()..).unwrap_or_default() }
    }

    /// The bytes from here on.
    pub(super) fn left(&self) -> &'a [u8] {
        self.left
    }

    /// The error that `field`, which starts here, is not what it should be.
    #[cold]
    pub(super) fn error(&self, field: &'static str, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { tag: Some(self.tag), field, offset: self.length - self.left.len(), kind }
    }

    /// The message must end here.
    #[inline]
    pub(super) fn end(&self) -> Result<(), DecodeError> {
        match self.left.len() {
            0 => Ok(()),
            more => Err(self.error("end", DecodeErrorKind::TrailingBytes(more))),
        }
    }

    /// All the bytes that `read` takes.
    #[inline]
    pub(super) fn span(&mut self, read: impl FnOnce(&mut Self) -> Result<(), DecodeError>) -> Result<&'a [u8], DecodeError> {
        let whole = self.left;
        read(self)?;
        Ok(whole.get(..whole.len() - self.left.len()).unwrap_or_default())
    }

    /// The next `N` bytes.
    #[inline]
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (array, left) = self.left.split_first_chunk().ok_or_else(|| self.error(field, DecodeErrorKind::UnexpectedEnd))?;
        self.left = left;
        Ok(*array)
    }

    /// The next `length` bytes.
    #[inline]
    pub(super) fn bytes(&mut self, field: &'static str, length: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, left) =
            self.left.split_at_checked(length).ok_or_else(|| self.error(field, DecodeErrorKind::UnexpectedEnd))?;
        self.left = left;
        Ok(bytes)
    }

    /// One byte.
    #[inline]
    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array(field).map(u8::from_be_bytes)
    }

    /// Two bytes: a count of columns.
    #[inline]
    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    /// Four bytes with a sign.
    #[inline]
    pub(super) fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        self.array(field).map(i32::from_be_bytes)
    }

    /// Four bytes that count something.
    #[inline]
    pub(super) fn length(&mut self, field: &'static str) -> Result<usize, DecodeError> {
        let start = self.clone();
        let length = self.i32(field)?;
        usize::try_from(length).map_err(|_| start.error(field, DecodeErrorKind::NegativeLength(length)))
    }

    /// A transaction id.
    #[inline]
    pub(super) fn xid(&mut self, field: &'static str) -> Result<Xid, DecodeError> {
        self.array(field).map(u32::from_be_bytes).map(Xid)
    }

    /// An object id.
    #[inline]
    pub(super) fn oid(&mut self, field: &'static str) -> Result<Oid, DecodeError> {
        self.array(field).map(u32::from_be_bytes).map(Oid)
    }

    /// A log position.
    #[inline]
    pub(super) fn lsn(&mut self, field: &'static str) -> Result<Lsn, DecodeError> {
        self.array(field).map(u64::from_be_bytes).map(Lsn)
    }

    /// A point in time.
    #[inline]
    pub(super) fn timestamp(&mut self, field: &'static str) -> Result<Timestamp, DecodeError> {
        self.array(field).map(i64::from_be_bytes).map(Timestamp)
    }

    /// A byte of flags, of which only those in `known` may be set.
    #[inline]
    pub(super) fn flags(&mut self, field: &'static str, known: u8) -> Result<u8, DecodeError> {
        let start = self.clone();
        let flags = self.u8(field)?;
        match flags & !known {
            0 => Ok(flags),
            _ => Err(start.error(field, DecodeErrorKind::UnknownFlags(flags))),
        }
    }

    /// A string up to the NUL that ends it.
    #[inline]
    pub(super) fn text(&mut self, field: &'static str) -> Result<Text<'a>, DecodeError> {
        let end = memchr::memchr(0, self.left);
        let (text, left) = end
            .and_then(|end| Some((self.left.get(..end)?, self.left.get(end + 1..)?)))
            .ok_or_else(|| self.error(field, DecodeErrorKind::UnterminatedString))?;
        self.left = left;
        Ok(Text(text))
    }
}
