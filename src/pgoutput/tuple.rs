//! A row as `pgoutput` sends it: checked once when the message is decoded, then read in place, without an allocation.

/// A row: its columns in the order of the relation's, read by [`Tuple::iter`]. Zero columns is legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple<'a> {
    pub(super) count: u16,
    pub(super) bytes: &'a [u8],
}

/// One column of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `n`: SQL NULL (in a key tuple: not known).
    Null,
    /// `u`: a large (TOASTed) value that did not change and was not sent.
    Unchanged,
    /// `t`: the type's text form, in the server's encoding.
    Text(&'a [u8]),
    /// `b`: the type's binary form.
    Binary(&'a [u8]),
    /// `#`: a value of so many bytes, left out on its way here since it is too long ([`Shortener`](super::Shortener)). No server sends it.
    Cut(usize),
}

/// A row that outlives the message it came with, in the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub(super) count: u16,
    pub(super) bytes: Box<[u8]>,
}

impl Row {
    /// To read it.
    pub fn as_tuple(&self) -> Tuple<'_> {
        Tuple { count: self.count, bytes: &self.bytes }
    }

    /// Whether every value is there.
    pub fn is_whole(&self) -> bool {
        !self.as_tuple().iter().any(|value| matches!(value, Value::Unchanged | Value::Cut(_)))
    }

    /// How many bytes its values take.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

impl From<Tuple<'_>> for Row {
    fn from(tuple: Tuple<'_>) -> Self {
        Row { count: tuple.count, bytes: tuple.bytes.into() }
    }
}

/// The letter of [`Value::Cut`].
pub(super) const CUT: u8 = b'#';

impl<'a> Tuple<'a> {
    /// How many columns there are.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there is no column at all.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each column, in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + Clone + use<'a> {
        let mut left = self.bytes;
        std::iter::from_fn(move || {
            let (tag, rest) = left.split_first()?;
            let (value, rest) = match tag {
                b'n' => (Value::Null, rest),
                b'u' => (Value::Unchanged, rest),
                _ => {
                    let (length, rest) = rest.split_first_chunk::<4>()?;
                    let length = u32::from_be_bytes(*length) as usize;
                    if *tag == CUT {
                        (Value::Cut(length), rest)
                    } else {
                        let (bytes, rest) = rest.split_at_checked(length)?;
                        (if *tag == b't' { Value::Text(bytes) } else { Value::Binary(bytes) }, rest)
                    }
                }
            };
            left = rest;
            Some(value)
        })
    }
}
