//! What the client says back: how far it has come.

use super::SendTime;
use super::frame::tag;
use crate::lsn::Lsn;

/// A standby status update.
///
/// Of the three positions only `flushed` counts for a logical slot: it becomes its `confirmed_flush_lsn`, which lets the server
/// discard WAL and which a later stream cannot go behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandbyStatus {
    /// Received, though perhaps not kept yet.
    pub written: Lsn,
    /// Kept: never asked for again.
    pub flushed: Lsn,
    /// When this is sent.
    pub time: SendTime,
    /// The server shall answer with a keepalive at once.
    pub reply_requested: bool,
}

impl StandbyStatus {
    /// The whole `CopyData` frame.
    pub fn encode(&self) -> Vec<u8> {
        // 38 bytes follow the tag. A reader of changes applies what it keeps: one position for `flush` and `apply`.
        let (written, flushed) = (self.written.0.to_be_bytes(), self.flushed.0.to_be_bytes());
        let (time, reply) = (self.time.0.to_be_bytes(), [u8::from(self.reply_requested)]);
        [&[tag::COPY_DATA, 0, 0, 0, 38, b'r'], &written[..], &flushed, &flushed, &time, &reply].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_is_laid_out_as_documented() {
        let status = StandbyStatus { written: Lsn(0x0102), flushed: Lsn(0x0304), time: SendTime(0x0506), reply_requested: true };
        let mut expected = vec![b'd', 0, 0, 0, 38, b'r'];
        for field in [0x0102u64, 0x0304, 0x0304, 0x0506] {
            expected.extend(field.to_be_bytes());
        }
        expected.push(1);
        assert_eq!(status.encode(), expected);
    }
}
