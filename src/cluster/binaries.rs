//! Where the programs of a PostgreSQL server are on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Error;

/// The oldest major version that is known to work.
pub(super) const OLDEST: u32 = 14;

/// Folders that hold one folder per major version, and what follows below it.
const VERSIONED: &[(&str, &str, &str)] = &[
    // Debian, Ubuntu
    ("/usr/lib/postgresql", "", "bin"),
    // The RPM packages of the PostgreSQL project
    ("/usr", "pgsql-", "bin"),
    // Homebrew
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    // Postgres.app
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    // Alpine, Arch
    ("/usr/libexec", "postgresql", ""),
    ("/opt/postgresql", "", "bin"),
];

/// The programs of one PostgreSQL version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// The folder that they are in.
    pub dir: PathBuf,
    /// Their major version.
    pub major: u32,
}

impl Binaries {
    /// Finds the programs: in `explicit` and nowhere else if that is given, else in `PATH`, else the newest version in the folders
    /// where packages put them.
    pub fn find(explicit: Option<&Path>) -> Result<Self, Error> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let candidates: Vec<PathBuf> = match explicit {
            Some(dir) => vec![dir.to_owned(), dir.join("bin")],
            None => std::env::split_paths(&path).chain(versioned(VERSIONED)).collect(),
        };
        let mut too_old = None;
        for dir in candidates.iter().filter(|dir| is_complete(dir)) {
            match Self::in_dir(dir) {
                Err(error @ Error::TooOld { .. }) if explicit.is_none() => too_old = Some(error),
                other => return other,
            }
        }
        let looked_in = if explicit.is_some() { candidates } else { Vec::new() };
        Err(too_old.unwrap_or(Error::NotFound { looked_in }))
    }

    /// The full path of a program such as `psql`. Not every package has every client program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn in_dir(dir: &Path) -> Result<Self, Error> {
        let program = dir.join("postgres");
        let output = Command::new(&program).arg("--version").output();
        let output = output.map_err(|source| Error::io("run", &program, source))?;
        let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match major_version(&answer) {
            None => Err(Error::NoVersion { program, answer }),
            Some(major) if major < OLDEST => Err(Error::TooOld { dir: dir.to_owned(), major }),
            Some(major) => Ok(Binaries { dir: home(&program).unwrap_or_else(|| dir.to_owned()), major }),
        }
    }
}

/// Where a linked program really lies: the programs that are not linked, pg_recvlogical say, are there too.
fn home(program: &Path) -> Option<PathBuf> {
    let dir = program.canonicalize().ok()?.parent()?.to_owned();
    is_complete(&dir).then_some(dir)
}

fn is_complete(dir: &Path) -> bool {
    ["postgres", "initdb"].iter().all(|name| dir.join(name).is_file())
}

/// Newest first.
fn versioned(places: &[(&str, &str, &str)]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (parent, prefix, below) in places {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix(prefix)).and_then(|digits| digits.parse::<u32>().ok());
            if let Some(version) = version {
                found.push((version, entry.path().join(below)));
            }
        }
    }
    found.sort_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, dir)| dir).collect()
}

/// From `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` or `postgres (PostgreSQL) 19beta1`.
fn major_version(answer: &str) -> Option<u32> {
    let version = answer.split_once("(PostgreSQL) ")?.1;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(dir: &Path, answer: &str) {
        use std::os::unix::fs::PermissionsExt;
        fs::create_dir_all(dir).unwrap();
        for name in ["postgres", "initdb"] {
            fs::write(dir.join(name), format!("#!/bin/sh\necho '{answer}'\n")).unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    #[test]
    fn the_major_version_is_read_from_every_form() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(major_version("postgres (PostgreSQL) 18devel"), Some(18));
        assert_eq!(major_version("something else 18"), None);
    }

    #[test]
    fn an_explicit_folder_may_be_the_one_above_bin() {
        let folder = tempfile::tempdir().unwrap();
        install(&folder.path().join("bin"), "postgres (PostgreSQL) 17.2");
        let found = Binaries::find(Some(folder.path())).unwrap();
        assert_eq!(found, Binaries { dir: folder.path().join("bin").canonicalize().unwrap(), major: 17 });
    }

    #[test]
    fn an_explicit_folder_without_programs_is_named_with_the_way_to_install_them() {
        let error = Binaries::find(Some(Path::new("/nonexistent"))).unwrap_err();
        assert!(error.to_string().contains("/nonexistent"), "{error}");
        assert!(error.advice().unwrap().contains("apt-get install postgresql"));
    }

    #[test]
    fn a_version_that_is_too_old_is_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        install(folder.path(), "postgres (PostgreSQL) 9.6.24");
        assert!(matches!(Binaries::find(Some(folder.path())), Err(Error::TooOld { major: 9, .. })));
    }

    #[test]
    fn of_several_versions_the_newest_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["pg9", "pg15", "pg17", "pg-other", "unrelated"] {
            fs::create_dir(folder.path().join(version)).unwrap();
        }
        let found = versioned(&[(folder.path().to_str().unwrap(), "pg", "bin")]);
        assert_eq!(found, ["pg17", "pg15", "pg9"].map(|name| folder.path().join(name).join("bin")));
    }
}
