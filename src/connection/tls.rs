//! TLS as libpq's `sslmode` means it, through rustls.
//!
//! | mode | encrypted | the certificate is checked against |
//! |---|---|---|
//! | `disable` | never | – |
//! | `allow` | when the server insists | nothing |
//! | `prefer` | when the server offers it | nothing |
//! | `require` | always | nothing, or the roots when a root file exists, as libpq does |
//! | `verify-ca` | always | the roots |
//! | `verify-full` | always | the roots, and the name of the host |

use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, io};

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig};

use super::trust::{Verifier, read_certificates, unusable};

/// `sslmode`, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// `sslnegotiation`: whether the server is first asked, in the clear, if it does TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Negotiation {
    Postgres,
    /// PostgreSQL 17 and later.
    Direct,
}

/// What one try to connect asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Encryption {
    Plain,
    IfOffered,
    Required,
}

/// How connections of a target are encrypted.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) mode: SslMode,
    pub(super) negotiation: Negotiation,
    pub(super) config: Arc<ClientConfig>,
}

/// The files that take part.
pub(super) struct TlsFiles {
    /// Trusted roots; the path `system` stands for those of the operating system.
    pub(super) roots: Option<PathBuf>,
    /// Our own certificate, with its chain.
    pub(super) certificate: Option<PathBuf>,
    /// Its key.
    pub(super) key: Option<PathBuf>,
}

/// Certificates or keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    /// The mode checks certificates, but against what?
    #[error("sslmode {mode} needs trusted certificates: name a file in sslrootcert, or sslrootcert=system")]
    NoRoots {
        /// `verify-ca` or `verify-full`.
        mode: &'static str,
    },
    /// A file that cannot be read, or holds no certificate or key.
    #[error("cannot use {path}: {problem}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The operating system's roots cannot be read.
    #[error("the system's trusted certificates cannot be read: {0}")]
    SystemRoots(String),
    /// A certificate without its key, or the other way round.
    #[error("a client certificate needs both sslcert and sslkey")]
    HalfAPair,
    /// The certificate and the key do not fit.
    #[error("the client certificate cannot be used: {0}")]
    ClientCertificate(#[source] rustls::Error),
}

/// Without the configuration, which holds our key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("mode", &self.mode).field("negotiation", &self.negotiation).finish_non_exhaustive()
    }
}

impl Tls {
    pub(super) fn new(mode: SslMode, negotiation: Negotiation, files: &TlsFiles) -> Result<Tls, TlsFileError> {
        let provider = rustls::crypto::ring::default_provider();
        let verifier = Verifier::new(&provider, mode, files.roots.as_deref())?;
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsFileError::ClientCertificate)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match (mode, &files.certificate, &files.key) {
            (SslMode::Disable, _, _) | (_, None, None) => builder.with_no_client_auth(),
            (_, Some(certificate), Some(key)) => {
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
                let chain = read_certificates(certificate)?;
                builder.with_client_auth_cert(chain, key).map_err(TlsFileError::ClientCertificate)?
            }
            _ => return Err(TlsFileError::HalfAPair),
        };
        if negotiation == Negotiation::Direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(Tls { mode, negotiation, config: Arc::new(config) })
    }

    /// What to try, in this order. A unix socket needs no encryption, whatever the mode.
    pub(super) fn tries(&self, local: bool) -> &'static [Encryption] {
        match self.mode {
            _ if local => &[Encryption::Plain],
            SslMode::Disable => &[Encryption::Plain],
            SslMode::Allow => &[Encryption::Plain, Encryption::Required],
            SslMode::Prefer => &[Encryption::IfOffered, Encryption::Plain],
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Encryption::Required],
        }
    }
}

/// Why no encrypted connection came about.
#[derive(Debug, thiserror::Error)]
pub enum TlsFailure {
    /// The server does not do TLS, and the mode insists.
    #[error("the server does not offer TLS")]
    NotOffered,
    /// The host cannot stand in a certificate.
    #[error("{0:?} is no name that a certificate could be made out to")]
    HostName(String),
    /// The certificate is made out to another host.
    #[error("the certificate is made out to {}, not to {expected}", list(.presented))]
    WrongName {
        /// The host as we know it.
        expected: String,
        /// The names in the certificate, when known.
        presented: Vec<String>,
    },
    /// The certificate is not signed by whom we trust, or is not valid now.
    #[error("the certificate is not trusted: {0}")]
    NotTrusted(CertificateError),
    /// Any other way a handshake can fail.
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[source] io::Error),
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "another name".to_owned() } else { names.join(", ") }
}

impl TlsFailure {
    pub(super) fn from_handshake(error: io::Error, host: &str) -> TlsFailure {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        match cause {
            Some(rustls::Error::InvalidCertificate(problem)) => match problem {
                CertificateError::NotValidForName => TlsFailure::WrongName { expected: host.to_owned(), presented: Vec::new() },
                CertificateError::NotValidForNameContext { presented, .. } => {
                    TlsFailure::WrongName { expected: host.to_owned(), presented: presented.clone() }
                }
                problem => TlsFailure::NotTrusted(problem.clone()),
            },
            _ => TlsFailure::Handshake(error),
        }
    }
}
