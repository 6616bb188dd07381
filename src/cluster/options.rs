//! What can be chosen about a cluster, and the two configuration files that follow from it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::distr::Alphanumeric;

/// What can be chosen about a cluster. The default suits a throw-away database that pgvigil is to watch.
#[derive(Clone)]
pub struct Options {
    /// Server settings, which win over the defaults; later ones win over earlier ones.
    pub settings: Vec<(String, String)>,
    /// The whole of `pg_hba.conf`. It has to let the superuser in over the socket when there is a password to set.
    pub hba: Option<String>,
    /// The superuser's password over TCP. `None` trusts whoever can reach the port: every user of this machine.
    pub password: Option<String>,
    /// A folder that keeps what `initdb` made, by major version, so that later starts copy it in place of running `initdb`.
    /// Clusters from one template have the same system identifier.
    pub template: Option<PathBuf>,
    /// Begin as a standby of the server that the setting `primary_conninfo` names. What it begins with is what `initdb` made, so both must
    /// come from one template, and the primary must have all its log yet.
    pub standby: bool,
    /// Where the cluster's folder is made; by default the folder for temporary files.
    pub parent: Option<PathBuf>,
}

impl Default for Options {
    /// A random password, no template.
    fn default() -> Self {
        let password = rand::rng().sample_iter(Alphanumeric).take(24).map(char::from).collect();
        Options { settings: Vec::new(), hba: None, password: Some(password), template: None, standby: false, parent: None }
    }
}

impl Options {
    /// With one more server setting.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn pg_hba(&self) -> String {
        let tcp = if self.password.is_some() { "scram-sha-256" } else { "trust" };
        // The socket lies in a folder that nobody else may enter.
        let default = || {
            format!(
                "local all all trust\n\
                 local replication all trust\n\
                 host all all 127.0.0.1/32 {tcp}\n\
                 host replication all 127.0.0.1/32 {tcp}\n"
            )
        };
        self.hba.clone().unwrap_or_else(default)
    }
}

/// What the defaults of `initdb` are followed by.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("wal_level", "logical"),
    ("max_replication_slots", "20"),
    ("max_wal_senders", "20"),
    ("max_prepared_transactions", "20"),
    // The data dies with the server, so nothing has to survive a crash of the machine.
    ("fsync", "off"),
    ("full_page_writes", "off"),
    // Shared memory as files in our own folder: removed with it, and not limited by a container's small /dev/shm.
    ("dynamic_shared_memory_type", "mmap"),
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    ("lc_messages", "C"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
];

pub(super) fn postgresql_conf(port: u16, socket_dir: &Path, settings: &[(String, String)]) -> String {
    let place = [("port", port.to_string()), ("unix_socket_directories", socket_dir.to_string_lossy().into_owned())];
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let escaped = value.replace('\\', "\\\\").replace('\'', "''");
        writeln!(text, "{name} = '{escaped}'").ok();
    };
    SETTINGS.iter().for_each(|(name, value)| line(name, value));
    place.iter().for_each(|(name, value)| line(name, value));
    settings.iter().for_each(|(name, value)| line(name, value));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_settings_come_last_and_are_quoted() {
        let chosen = [("search_path".to_owned(), "it's, \\".to_owned())];
        let text = postgresql_conf(5433, Path::new("/tmp/x"), &chosen);
        assert!(text.contains("port = '5433'\nunix_socket_directories = '/tmp/x'\n"));
        assert!(text.ends_with("search_path = 'it''s, \\\\'\n"));
    }

    #[test]
    fn without_a_password_the_port_is_open_and_with_one_it_is_not() {
        let options = Options::default();
        assert!(options.pg_hba().contains("host all all 127.0.0.1/32 scram-sha-256"));
        let trusting = Options { password: None, ..options };
        assert!(trusting.pg_hba().contains("host all all 127.0.0.1/32 trust"));
    }

    #[test]
    fn no_two_clusters_share_a_password() {
        assert_ne!(Options::default().password, Options::default().password);
    }
}
