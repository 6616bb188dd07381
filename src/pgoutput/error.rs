//! Why bytes are not a `pgoutput` message.

use super::tag::Tag;

/// Bytes that are not a message as PostgreSQL writes it: which message, which field, where and why.
///
/// Holds single bytes and lengths, never a value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} message, {field} at byte {offset}: {kind}", MessageName(*.tag))]
pub struct DecodeError {
    /// The kind of message, when that much is known.
    pub tag: Option<Tag>,
    /// The field that cannot be read.
    pub field: &'static str,
    /// Where that field starts, counted from the tag.
    pub offset: usize,
    /// What is wrong with it.
    pub kind: DecodeErrorKind,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// The message ends within the field.
    #[error("the message ends too early")]
    UnexpectedEnd,
    /// The message goes on behind its last field.
    #[error("{0} bytes too many")]
    TrailingBytes(usize),
    /// A string without the NUL that ends it.
    #[error("the string has no end")]
    UnterminatedString,
    /// A length or a count below zero.
    #[error("the length {0} is negative")]
    NegativeLength(i32),
    /// A letter that means nothing here: of a message, a tuple, a column or a replica identity.
    #[error("unknown tag {:?}", char::from(*.0))]
    UnknownTag(u8),
    /// Bits that mean nothing here.
    #[error("unknown flags {0:#04x}")]
    UnknownFlags(u8),
}

struct MessageName(Option<Tag>);

impl std::fmt::Display for MessageName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(tag) => write!(f, "{tag:?}"),
            None => f.write_str("unknown"),
        }
    }
}
