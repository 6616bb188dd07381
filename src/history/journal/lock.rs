//! One process writes a journal.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::error::JournalError;

/// Makes the folder if need be, for its owner only, and holds it until the file is dropped.
pub(super) fn take(dir: &Path) -> Result<File, JournalError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(JournalError::io("make the folder", dir))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(JournalError::io("close to others the folder", dir))?;
    let path = dir.join("lock");
    let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = open.map_err(JournalError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(JournalError::Io { action: "lock", path, source }),
    }
}
