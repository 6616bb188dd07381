//! The outer layer: tag, length, body.

/// Tags of the frames that matter to a replication stream and that `postgres-protocol` does not name.
pub mod tag {
    /// `CopyBothResponse`: the stream begins.
    pub const COPY_BOTH_RESPONSE: u8 = b'W';
    /// `CopyData`
    pub const COPY_DATA: u8 = b'd';
}

/// The longest frame that a server can send within a stream: its buffers end just below 1 GiB.
pub const MAX_STREAM_FRAME: usize = (1 << 30) + 64;

/// A frame's first five bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What kind of frame it is.
    pub tag: u8,
    /// Bytes of the whole frame, these five included.
    pub length: usize,
}

impl Header {
    /// Bytes of the header itself.
    pub const LENGTH: usize = 5;

    /// Reads the header at the start of `bytes`; `None` while it is not whole. A frame longer than `limit` is refused, so that no
    /// peer can make us wait, or allocate, for ever.
    pub fn peek(bytes: &[u8], limit: usize) -> Result<Option<Header>, WireError> {
        let Some((&[tag, a, b, c, d], _)) = bytes.split_first_chunk::<{ Header::LENGTH }>() else {
            return Ok(None);
        };
        // The length counts itself, but not the tag.
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        match length.checked_add(1) {
            Some(whole) if length >= 4 && whole <= limit => Ok(Some(Header { tag, length: whole })),
            _ => Err(WireError::Length { tag, length, limit }),
        }
    }
}

/// Bytes that are not the replication protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A frame is impossibly short or longer than allowed.
    #[error("a frame of kind {:?} claims a length of {length} bytes (at most {limit} are allowed)", *tag as char)]
    Length {
        /// Its tag.
        tag: u8,
        /// The length that it gives.
        length: usize,
        /// The longest that is accepted.
        limit: usize,
    },
    /// A `CopyData` body of unknown kind.
    #[error("replication data of unknown kind {0:?}")]
    UnknownData(Option<u8>),
    /// A `CopyData` body that ends before its fields do, or goes on after them.
    #[error("replication data of kind {kind:?} has {length} bytes", kind = *kind as char)]
    DataLength {
        /// Its first byte.
        kind: u8,
        /// Bytes of the body.
        length: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_is_read_once_it_is_whole() {
        let frame = [b'd', 0, 0, 0, 6, 1, 2];
        for cut in 0..5 {
            assert_eq!(Header::peek(frame.get(..cut).unwrap(), 100), Ok(None));
        }
        assert_eq!(Header::peek(&frame, 100), Ok(Some(Header { tag: b'd', length: 7 })));
    }

    #[test]
    fn impossible_lengths_are_refused() {
        for length in [0u32, 3, 100, u32::MAX] {
            let mut frame = vec![b'd'];
            frame.extend(length.to_be_bytes());
            let refused = WireError::Length { tag: b'd', length: length as usize, limit: 100 };
            assert_eq!(Header::peek(&frame, 100), Err(refused));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            if let Ok(Some(header)) = Header::peek(&bytes, MAX_STREAM_FRAME) {
                prop_assert!(header.length >= Header::LENGTH && header.length <= MAX_STREAM_FRAME);
            }
        }
    }
}
