//! What the server's `CopyData` frames carry within a replication stream.

use super::SendTime;
use super::frame::WireError;
use crate::lsn::Lsn;

/// Bytes in front of the message of [`CopyData::XLogData`]: its kind, two positions, a time.
pub const XLOG_DATA_FRONT: usize = 1 + 8 + 8 + 8;

/// The body of one `CopyData` frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyData<'a> {
    /// `w`, XLogData: one message of the output plugin.
    XLogData {
        /// Where the message stands in the log; `0/0` for messages that stand nowhere, such as Relation.
        start: Lsn,
        /// The end of the log that the server had sent when it sent this.
        end: Lsn,
        /// When it sent this.
        time: SendTime,
        /// The message.
        payload: &'a [u8],
    },
    /// `k`, primary keepalive.
    Keepalive {
        /// Everything up to here that concerns this stream has been sent.
        wal_end: Lsn,
        /// When the server sent this.
        time: SendTime,
        /// The server asks for a status update at once, or it will end the connection.
        reply_requested: bool,
    },
}

/// Reads the body of a `CopyData` frame.
pub fn decode_copy_data(body: &[u8]) -> Result<CopyData<'_>, WireError> {
    let (&kind, fields) = body.split_first().ok_or(WireError::UnknownData(None))?;
    let decoded = match kind {
        b'w' => xlog_data(fields),
        b'k' => keepalive(fields),
        _ => return Err(WireError::UnknownData(Some(kind))),
    };
    decoded.ok_or(WireError::DataLength { kind, length: body.len() })
}

fn xlog_data(fields: &[u8]) -> Option<CopyData<'_>> {
    let (start, rest) = fields.split_first_chunk()?;
    let (end, rest) = rest.split_first_chunk()?;
    let (time, payload) = rest.split_first_chunk()?;
    Some(CopyData::XLogData { start: lsn(start), end: lsn(end), time: send_time(time), payload })
}

fn keepalive(fields: &[u8]) -> Option<CopyData<'_>> {
    let (wal_end, rest) = fields.split_first_chunk()?;
    let (time, rest) = rest.split_first_chunk()?;
    let &[reply] = rest else { return None };
    Some(CopyData::Keepalive { wal_end: lsn(wal_end), time: send_time(time), reply_requested: reply != 0 })
}

fn lsn(field: &[u8; 8]) -> Lsn {
    Lsn(u64::from_be_bytes(*field))
}

fn send_time(field: &[u8; 8]) -> SendTime {
    SendTime(i64::from_be_bytes(*field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(kind: u8, fields: &[u64], rest: &[u8]) -> Vec<u8> {
        let mut body = vec![kind];
        fields.iter().for_each(|field| body.extend(field.to_be_bytes()));
        body.extend(rest);
        body
    }

    #[test]
    fn data_borrows_its_payload() {
        let bytes = body(b'w', &[0x10, 0x20, 0x30], b"B...");
        let read = CopyData::XLogData { start: Lsn(0x10), end: Lsn(0x20), time: SendTime(0x30), payload: b"B..." };
        assert_eq!(decode_copy_data(&bytes), Ok(read));
    }

    #[test]
    fn a_keepalive_is_checked_to_its_last_byte() {
        let bytes = body(b'k', &[0x10, 0x30], &[1]);
        let read = CopyData::Keepalive { wal_end: Lsn(0x10), time: SendTime(0x30), reply_requested: true };
        assert_eq!(decode_copy_data(&bytes), Ok(read));
        for wrong in [body(b'k', &[0x10, 0x30], &[]), body(b'k', &[0x10, 0x30], &[1, 0]), body(b'w', &[1, 2], &[])] {
            assert!(matches!(decode_copy_data(&wrong), Err(WireError::DataLength { .. })));
        }
    }

    #[test]
    fn other_kinds_are_refused() {
        assert_eq!(decode_copy_data(&[]), Err(WireError::UnknownData(None)));
        assert_eq!(decode_copy_data(b"x"), Err(WireError::UnknownData(Some(b'x'))));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = decode_copy_data(&bytes);
        }
    }
}
