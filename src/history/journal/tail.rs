//! What makes no sense any more at the end of a file: what a crash left there, or damage.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::error::JournalError;
use super::frame::{self, Front, Kind};
use super::segment::{Contents, END};

/// What is wrong with a file that was scanned, where, and whether that is but the tail that a crash leaves at the end of the newest file:
/// then nothing behind it was acknowledged, so no more than one commit stands there.
pub(super) fn fault(path: &Path, found: &Contents, is_newest: bool) -> Result<Option<(u64, &'static str, bool)>, JournalError> {
    let (at, reason) = match found.fault {
        Some(fault) => fault,
        None if found.complete => return Ok(None),
        None if found.committed < found.length => (found.committed, "no commit stands behind what is there"),
        None if is_newest => return Ok(None),
        None => (found.length, "the file is not complete, but another follows"),
    };
    let is_tail = is_newest && !goes_on_behind(path, at).map_err(JournalError::io("read", path))?;
    Ok(Some((at, reason, is_tail)))
}

/// Whether more is behind `at` than what was being written when it ended: each commit is on the disk before the next one is written, so a
/// crash leaves one of them at most, and never the end of a complete file.
fn goes_on_behind(path: &Path, at: u64) -> io::Result<bool> {
    /// A commit is not larger, but where some thousand tables changed at once.
    const LARGEST: usize = 1 << 20;
    let file = File::open(path)?;
    let mut reader = BufReader::with_capacity(1 << 20, &file);
    reader.seek(SeekFrom::Start(at))?;
    let (mut front, mut end, mut commits, mut payload) = ([0; frame::FRONT], [0; END.len()], 0, Vec::new());
    for (place, byte) in (at + 1..).zip(reader.bytes()) {
        let byte = byte?;
        push(&mut front, byte);
        push(&mut end, byte);
        let is_last = |front: &Front| matches!(front.kind, Kind::Commit | Kind::Index) && front.length <= LARGEST;
        let Some(front) = Front::read(front).ok().filter(is_last) else { continue };
        payload.resize(front.length, 0);
        let is_whole = file.read_exact_at(&mut payload, place).is_ok() && front.check(&payload).is_ok();
        commits += usize::from(is_whole);
        if commits == 2 {
            return Ok(true);
        }
    }
    Ok(end == *END)
}

/// Puts `byte` at the end, where what stands at the beginning goes.
fn push(bytes: &mut [u8], byte: u8) {
    bytes.rotate_left(1);
    bytes.last_mut().into_iter().for_each(|last| *last = byte);
}
