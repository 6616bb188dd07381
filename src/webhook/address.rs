//! Where a message goes and what it is signed with, read from where the file says that it stands.

use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::Uri;

use crate::alerts::{Source, Webhook};
use crate::http::{Host, NoRoots};

/// A webhook that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file is not there.
    #[error("webhook {webhook:?}: cannot read {path}: {source}")]
    File {
        /// Which webhook.
        webhook: String,
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The variable is not there.
    #[error("webhook {webhook:?}: the environment has no {name}")]
    Environment {
        /// Which webhook.
        webhook: String,
        /// Which variable.
        name: String,
    },
    /// Not an address. It is not shown: it may be a secret.
    #[error(
        "webhook {webhook:?}: its address is not a URL such as https://hooks.example.org/alerts, without user name or password"
    )]
    NotAUrl {
        /// Which webhook.
        webhook: String,
    },
    /// The secret is empty, or said to be Base64 and is not.
    #[error("webhook {webhook:?}: its secret is empty, or begins with whsec_ and is not Base64")]
    Secret {
        /// Which webhook.
        webhook: String,
    },
    /// The operating system trusts nobody.
    #[error("webhook {webhook:?}: {source}")]
    NoRoots {
        /// Which webhook.
        webhook: String,
        /// What to do.
        source: NoRoots,
    },
}

/// Where a webhook's messages go. Prints nothing but the host.
#[derive(Clone)]
pub struct Address {
    pub(super) host: Host,
    pub(super) path: Uri,
    pub(super) key: Option<ring::hmac::Key>,
}

impl Address {
    /// Reads address and secret.
    ///
    /// # Errors
    /// When they are not there, or make no sense.
    pub fn of(webhook: &Webhook) -> Result<Self, SetupError> {
        let name = || webhook.name.clone();
        let not_a_url = || SetupError::NotAUrl { webhook: name() };
        let uri: Uri = read(&webhook.name, &webhook.url)?.trim().parse().map_err(|_| not_a_url())?;
        let host = Host::of(&uri).ok_or_else(not_a_url)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).parse().map_err(|_| not_a_url())?;
        let key = match &webhook.secret {
            None => None,
            Some(secret) => {
                let secret = read(&webhook.name, secret)?;
                Some(signing_key(secret.trim()).ok_or_else(|| SetupError::Secret { webhook: name() })?)
            }
        };
        Ok(Self { host, path, key })
    }

    /// Whom it leads to.
    pub fn host(&self) -> &str {
        &self.host.name
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("host", &self.host.name).finish_non_exhaustive()
    }
}

/// As in Standard Webhooks: what follows `whsec_` is Base64; any other text is the key itself.
fn signing_key(text: &str) -> Option<ring::hmac::Key> {
    let bytes = match text.strip_prefix("whsec_") {
        Some(encoded) => BASE64.decode(encoded).ok()?,
        None => text.as_bytes().to_vec(),
    };
    (!bytes.is_empty()).then(|| ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &bytes))
}

fn read(webhook: &str, source: &Source) -> Result<String, SetupError> {
    match source {
        Source::Text(text) => Ok(text.clone()),
        Source::File(path) => std::fs::read_to_string(path).map_err(|source| SetupError::File {
            webhook: webhook.to_owned(),
            path: path.clone(),
            source,
        }),
        Source::Environment(name) => {
            std::env::var(name).map_err(|_| SetupError::Environment { webhook: webhook.to_owned(), name: name.clone() })
        }
    }
}
