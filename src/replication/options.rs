//! What can be chosen about a slot and about a stream, and the commands that say it to the server.

use postgres_protocol::escape::escape_identifier;

use crate::lsn::Lsn;
use crate::pgoutput::ValueLimit;

/// What kind of slot to create.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotOptions {
    /// Dropped by the server when the session ends, or meets any error.
    pub temporary: bool,
    /// Kept up to date on standbys, so that it is there after a failover. From PostgreSQL 17 on; older servers refuse it.
    pub failover: bool,
}

impl SlotOptions {
    /// A slot that does not outlive its session.
    pub fn temporary() -> SlotOptions {
        SlotOptions { temporary: true, failover: false }
    }

    /// In the old syntax, which every version understands.
    pub(super) fn create(self, name: &str) -> String {
        let name = escape_identifier(name);
        if self.failover {
            return format!("CREATE_REPLICATION_SLOT {name} LOGICAL pgoutput (SNAPSHOT 'nothing', FAILOVER true)");
        }
        let temporary = if self.temporary { "TEMPORARY " } else { "" };
        // The snapshot is not used (tables are counted on their own), and exporting it would hold back vacuum.
        format!("CREATE_REPLICATION_SLOT {name} {temporary}LOGICAL pgoutput NOEXPORT_SNAPSHOT")
    }
}

/// What to stream. Logical messages are always asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartOptions {
    /// Name of the publication.
    pub publication: String,
    /// Send large transactions while they still run.
    pub streaming: bool,
    /// Send values in binary form.
    pub binary: bool,
    /// Values longer than this are cut as they come.
    pub max_value: ValueLimit,
    /// What lies before the position that is asked for may not be durable yet: it is acknowledged only once that is said.
    pub acknowledge_later: bool,
}

impl StartOptions {
    /// The command that starts streaming, with the highest protocol version of the server's major version.
    pub(super) fn start(&self, slot: &str, from: Lsn, server_major: u32) -> String {
        let version = proto_version(server_major);
        let publications = literal(&escape_identifier(&self.publication));
        let mut options = format!("proto_version '{version}', publication_names {publications}, messages 'true'");
        for (name, wanted) in [("streaming", self.streaming), ("binary", self.binary)] {
            if wanted {
                options.push_str(&format!(", {name} 'true'"));
            }
        }
        format!("START_REPLICATION SLOT {} LOGICAL {from} ({options})", escape_identifier(slot))
    }
}

fn proto_version(server_major: u32) -> u32 {
    match server_major {
        ..=13 => 1,
        14 => 2,
        15 => 3,
        16.. => 4,
    }
}

/// A string as replication commands take it: `escape_literal` would write a backslash as `E'…'`, which their grammar does not know.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots() {
        let temporary = SlotOptions::temporary().create("s");
        assert_eq!(temporary, "CREATE_REPLICATION_SLOT \"s\" TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT");
        assert_eq!(SlotOptions::default().create("s"), "CREATE_REPLICATION_SLOT \"s\" LOGICAL pgoutput NOEXPORT_SNAPSHOT");
    }

    #[test]
    fn names_are_quoted_twice() {
        let options = StartOptions { publication: "it's \"it\"".to_owned(), streaming: true, ..StartOptions::default() };
        assert_eq!(
            options.start("s", Lsn(0x16_0000_0001), 15),
            "START_REPLICATION SLOT \"s\" LOGICAL 16/1 (proto_version '3', \
             publication_names '\"it''s \"\"it\"\"\"', messages 'true', streaming 'true')"
        );
    }

    #[test]
    fn the_protocol_version_is_the_servers_highest() {
        assert_eq!([14, 15, 16, 18, 19].map(proto_version), [2, 3, 4, 4, 4]);
    }
}
