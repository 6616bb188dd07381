//! The account that the server runs as.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Gid, Uid, User, chown};

use super::Error;

/// Whom the server runs as: ourselves, or, since PostgreSQL refuses root, somebody with fewer rights.
#[derive(Clone, Copy)]
pub(super) enum Account {
    Ourselves,
    Other { uid: Uid, gid: Gid },
}

impl Account {
    pub(super) fn choose() -> Result<Self, Error> {
        if !Uid::effective().is_root() {
            return Ok(Account::Ourselves);
        }
        let user = ["postgres", "nobody"].into_iter().find_map(|name| User::from_name(name).ok().flatten());
        let User { uid, gid, .. } = user.ok_or(Error::NoAccount)?;
        Ok(Account::Other { uid, gid })
    }

    /// Tells apart what different accounts made.
    pub(super) fn uid(self) -> Uid {
        match self {
            Account::Ourselves => Uid::effective(),
            Account::Other { uid, .. } => uid,
        }
    }

    /// Lets the command run as this account. Supplementary groups of root are dropped with it.
    pub(super) fn apply(self, command: &mut Command) {
        if let Account::Other { uid, gid } = self {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
    }

    /// Gives a file or a folder to this account.
    pub(super) fn own(self, path: &Path) -> Result<(), Error> {
        match self {
            Account::Ourselves => Ok(()),
            Account::Other { uid, gid } => {
                chown(path, Some(uid), Some(gid)).map_err(|errno| Error::io("change the owner of", path, errno.into()))
            }
        }
    }
}
