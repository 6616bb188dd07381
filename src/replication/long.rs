//! A frame that is too long to be held: read in pieces, and kept as a shorter frame of the same form.

use bytes::{Buf, BytesMut};

use crate::pgoutput::{Context, Shortener, ValueLimit};
use crate::wire::{Header, XLOG_DATA_FRONT};

/// A `CopyData` frame of which some has come.
#[derive(Debug)]
pub(super) struct LongFrame {
    /// What comes before the message, and is kept as it is.
    front: usize,
    /// Bytes of the frame that have not come yet.
    left: usize,
    message: Shortener,
    kept: BytesMut,
}

impl LongFrame {
    /// A frame with this header, of which nothing has been taken; its message stands in `context`.
    pub(super) fn begin(header: Header, context: Context, limit: ValueLimit) -> Self {
        let front = Header::LENGTH + XLOG_DATA_FRONT;
        let message = Shortener::new(context, limit, header.length.saturating_sub(front));
        LongFrame { front, left: header.length, message, kept: BytesMut::new() }
    }

    /// Takes what belongs to the frame from `buffer`. The shorter frame, once it is whole.
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> Option<BytesMut> {
        let come = &buffer[..self.left.min(buffer.len())];
        let (front, message) = come.split_at(self.front.min(come.len()));
        self.kept.extend_from_slice(front);
        self.message.push(message, &mut self.kept);
        self.front -= front.len();
        self.left -= come.len();
        buffer.advance(come.len());
        (self.left == 0).then(|| {
            let mut frame = std::mem::take(&mut self.kept);
            // It is shorter than the frame was, so its length fits. The length counts itself, but not the tag.
            let length = u32::try_from(frame.len() - 1).unwrap_or(u32::MAX);
            frame[1..Header::LENGTH].copy_from_slice(&length.to_be_bytes());
            frame
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::{Lsn, Oid};
    use crate::pgoutput::encode::TupleBuf;
    use crate::pgoutput::{Insert, Message, Value, decode, encode};
    use crate::wire::{CopyData, decode_copy_data, tag};

    fn frame(row: &[Value<'_>]) -> Vec<u8> {
        let row: TupleBuf = row.iter().copied().collect();
        let message = encode(&Message::Insert(Insert { xid: None, oid: Oid(1), new: row.as_tuple() }));
        let length = u32::try_from(4 + XLOG_DATA_FRONT + message.len()).unwrap();
        [&[tag::COPY_DATA][..], &length.to_be_bytes(), b"w", &[7; 24], &message].concat()
    }

    #[test]
    fn a_frame_in_pieces_of_any_size_becomes_a_shorter_frame_and_leaves_the_next() {
        let whole = [&frame(&[Value::Text(b"42"), Value::Text(&[b'x'; 5000])])[..], b"what comes next"].concat();
        let header = Header::peek(&whole, 1 << 20).unwrap().unwrap();
        for size in 1..=whole.len() {
            let mut long = LongFrame::begin(header, Context::Plain, ValueLimit(2000));
            let (mut buffer, mut pieces) = (BytesMut::new(), whole.chunks(size));
            let shorter = loop {
                if let Some(shorter) = long.take(&mut buffer) {
                    break shorter;
                }
                buffer.extend_from_slice(pieces.next().unwrap());
            };
            let next = [&buffer[..], &pieces.collect::<Vec<_>>().concat()].concat();
            assert_eq!(next, b"what comes next");
            let header = Header::peek(&shorter, 1 << 20).unwrap().unwrap();
            assert_eq!(header.length, shorter.len());
            let Ok(CopyData::XLogData { start, payload, .. }) = decode_copy_data(&shorter[Header::LENGTH..]) else { panic!() };
            assert_eq!(start, Lsn(0x0707_0707_0707_0707));
            let Ok(Message::Insert(insert)) = decode(payload, Context::Plain) else { panic!("no insert") };
            assert_eq!(insert.new.iter().collect::<Vec<_>>(), [Value::Text(b"42"), Value::Cut(5000)]);
        }
    }
}
