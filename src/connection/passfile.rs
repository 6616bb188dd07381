//! The password file: `~/.pgpass`, or what `PGPASSFILE` names.
//!
//! Lines of `host:port:database:user:password`; `*` matches anything, `\` escapes `:` and itself, the first line that matches wins.
//! <https://www.postgresql.org/docs/current/libpq-pgpass.html>. As in libpq, a file that others can read is not used at all.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::secret::Secret;

/// The content of a password file, or nothing.
pub(super) struct Passfile(String);

/// What a line is matched against. `host` may go by several names: a default socket folder is also `localhost`.
pub(super) struct Wanted<'a> {
    pub(super) hosts: &'a [&'a str],
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

impl Passfile {
    /// No file at all.
    pub(super) fn none() -> Passfile {
        Passfile(String::new())
    }

    /// Reads `path`; a file that is missing, not plain, or open to others counts as empty.
    pub(super) fn read(path: &Path) -> Passfile {
        Passfile(read_private(path).unwrap_or_default())
    }

    /// The password of the first line that matches.
    pub(super) fn password(&self, wanted: &Wanted<'_>) -> Option<Secret> {
        self.0.lines().filter(|line| !line.starts_with('#')).find_map(|line| password_of(line, wanted))
    }
}

fn read_private(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() {
        tracing::warn!(path = %path.display(), "the password file is not a plain file and is not used");
        return None;
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(), mode = format!("{:03o}", metadata.mode() & 0o777),
            "the password file can be read by others and is not used: run chmod 0600 on it"
        );
        return None;
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn password_of(line: &str, wanted: &Wanted<'_>) -> Option<Secret> {
    let port = wanted.port.to_string();
    let mut rest = line;
    for accepted in [wanted.hosts, &[&port], &[wanted.database], &[wanted.user]] {
        let field = take_field(&mut rest)?;
        if field.raw != "*" && !accepted.contains(&field.text.as_str()) {
            return None;
        }
    }
    // The last field ends with the line; a ':' in it may stand without its escape.
    let mut password = String::new();
    let mut characters = rest.chars();
    while let Some(character) = characters.next() {
        password.push(if character == '\\' { characters.next().unwrap_or('\\') } else { character });
    }
    (!password.is_empty()).then(|| Secret::from(password))
}

struct Field<'a> {
    raw: &'a str,
    text: String,
}

/// Takes what stands before the next ':' that is not escaped.
fn take_field<'a>(rest: &mut &'a str) -> Option<Field<'a>> {
    let line = *rest;
    let mut text = String::new();
    let mut characters = line.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            ':' => {
                *rest = line.get(at + 1..)?;
                return Some(Field { raw: line.get(..at)?, text });
            }
            '\\' => text.push(characters.next()?.1),
            plain => text.push(plain),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions, write};

    fn found(content: &str, hosts: &[&str]) -> Option<String> {
        let wanted = Wanted { hosts, port: 5432, database: "app", user: "ann" };
        Passfile(content.to_owned()).password(&wanted).map(|secret| String::from_utf8_lossy(secret.expose()).into_owned())
    }

    #[test]
    fn the_first_matching_line_wins() {
        let file = "# a comment\nother:5432:app:ann:no\nh:5432:app:ann:first\n*:*:*:*:last\n";
        assert_eq!(found(file, &["h"]).as_deref(), Some("first"));
        assert_eq!(found(file, &["elsewhere"]).as_deref(), Some("last"));
    }

    #[test]
    fn escapes_and_wildcards() {
        assert_eq!(found(r"\:\:1:*:app:*:a\:b\\c", &["::1"]).as_deref(), Some(r"a:b\c"));
        assert_eq!(found("h:*:*:*:a:b", &["h"]).as_deref(), Some("a:b"));
        assert_eq!(found(r"\*:*:*:*:x", &["h"]), None, "an escaped star is a name");
        assert_eq!(found("localhost:*:*:*:x", &["/tmp", "localhost"]).as_deref(), Some("x"));
    }

    #[test]
    fn lines_that_do_not_match() {
        for line in ["", "h", "h:5432:app:ann", "h:5432:app:ann:", "h:5433:app:ann:x", "h:5432:App:ann:x", "h:5432:app:bob:x"] {
            assert_eq!(found(line, &["h"]), None, "{line}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgpass");
        write(&path, "*:*:*:*:x").unwrap();
        for (mode, used) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_private(&path).is_some(), used, "{mode:o}");
        }
        assert!(read_private(folder.path()).is_none() && read_private(&folder.path().join("none")).is_none());
    }
}
